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
	ft_rope_table(c, 2, table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ft_config c;
	struct ft_err err;

	if (!ft_config_parse(&c, (const char *)data, size, &err))
		use(&c);
	return 0;
}
