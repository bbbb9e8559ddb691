/* SPDX-License-Identifier: MIT */
/* A config.json: refused, or one whose sizes and names may be used. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/nn/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct ft_config *c)
{
	static float table[2 * 4096];
	char name[128];
	size_t n, k;

	if (!c->layers || !c->heads || c->heads % c->kv_heads ||
	    c->head_dim % 2 || c->head_dim > 4096 || c->neos > 8)
		abort();
	for (int s = 0; s < FT_NSLOT; s++) {
		if (!ft_config_has(c, (enum ft_slot)s))
			continue;
		ft_config_shape(c, (enum ft_slot)s, &n, &k);
		ft_config_name(c, (enum ft_slot)s, c->layers - 1, name,
			       sizeof(name));
		if (!n || !name[0] || strlen(name) == sizeof(name) - 1)
			abort();
	}
	if (!ft_config_params(c, &n))
		abort();
	for (int i = 0; i < c->neos; i++) {
		if (c->eos[i] < 0 || !ft_config_is_eos(c, c->eos[i]))
			abort();
	}
	if (c->rot > c->head_dim || c->rot % 2)
		abort();
	ft_rope_table(c, &c->rope, 2, table);
	ft_rope_table(c, &c->local, 2, table);
	for (size_t l = 0; l < c->layers; l++) {
		if (ft_config_window(c, l) > 1 << 30)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ft_config c;
	struct ft_err err;

	if (!ft_config_parse(&c, (const char *)data, size, &err))
		use(&c);
	return 0;
}
