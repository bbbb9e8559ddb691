/* SPDX-License-Identifier: MIT */
#include "libcommon/nn/weight.h"

#include <stdio.h>

void ft_weight_add(struct ft_weight *w, struct ft_block *b,
		   const struct ft_config *c, enum ft_slot s, const char *name,
		   bool own)
{
	char full[FT_NAME_MAX + 16];
	size_t n, k;

	ft_config_shape(c, s, &n, &k);
	snprintf(full, sizeof(full), "%s.weight", name);
	if (own) {
		w->off_w = w->off_vec = ft_block_add(b, full, n, k, k != 0);
		b->t[b->nt - 1].turned = ft_config_turned(c, s);
	}
	if (!ft_config_bias(c, s))
		return;
	snprintf(full, sizeof(full), "%s.bias", name);
	w->off_bias = ft_block_add(b, full, n, 0, false);
	if (k)
		w->off_vec = w->off_bias;
}

void ft_weight_bind(struct ft_weight *w, const struct ft_block *b,
		    const struct ft_config *c, enum ft_slot s)
{
	bool bias = ft_config_bias(c, s);
	size_t n, k;

	w->in = b;
	if (!b->p)
		return;
	ft_config_shape(c, s, &n, &k);
	if (!k || bias)
		w->vec = ft_block_at(b, b->p, w->off_vec);
	if (!k && bias)
		w->bias = ft_block_at(b, b->p, w->off_bias);
}
