/* SPDX-License-Identifier: MIT */
#include "libcommon/nn/combine.h"

#include <stdlib.h>

#include "libcommon/base/mem.h"
#include "libcommon/nn/adapter_priv.h"

void ft_adapter_scale(struct ft_adapter *a, double weight)
{
	a->alpha *= weight;
	for (size_t i = 0; i < a->nmod; i++) {
		a->mod[i].alpha *= weight;
		a->mod[i].scale = (float)(a->mod[i].scale * weight);
	}
}

static const struct ft_lora_mod *module_at(const struct ft_adapter *a, size_t i)
{
	return a->at[i] < 0 ? NULL : &a->mod[a->at[i]];
}

/* Rows [r0, r0 + m->r) of A and the same columns of B, [n, rank]. */
static void place(struct ft_adapter *to, const struct ft_lora_mod *t,
		  const struct ft_adapter *from, const struct ft_lora_mod *m,
		  size_t r0, double weight, float *b)
{
	struct ftk *k = to->b.k;
	float *v = ft_xmalloc(m->r * (m->n > m->k ? m->n : m->k) * sizeof(*v));

	k->get_real(k, v, ft_block_at(&from->b, from->b.p, m->off_a),
		    m->r * m->k);
	k->sync(k);
	k->put_real(k, ft_block_at(&to->b, to->b.p, t->off_a + r0 * t->k), v,
		    m->r * m->k);
	k->get_real(k, v, ft_block_at(&from->b, from->b.p, m->off_b),
		    m->n * m->r);
	k->sync(k);
	for (size_t i = 0; i < m->n; i++) {
		for (size_t j = 0; j < m->r; j++)
			b[i * t->r + r0 + j] =
				(float)(weight * m->scale * v[i * m->r + j]);
	}
	free(v);
}

static void fill(struct ft_adapter *to, const struct ft_adapter *from,
		 const double *weight, size_t n, size_t at)
{
	const struct ft_lora_mod *t = module_at(to, at);
	struct ftk *k = to->b.k;
	float *b = ft_xcalloc(t->n * t->r, sizeof(*b));
	size_t r0 = 0;

	for (size_t i = 0; i < n; i++) {
		const struct ft_lora_mod *m = module_at(&from[i], at);

		if (m)
			place(to, t, &from[i], m, r0, weight[i], b);
		r0 += from[i].max_r;
	}
	k->put_real(k, ft_block_at(&to->b, to->b.p, t->off_b), b, t->n * t->r);
	k->sync(k);
	free(b);
}

int ft_adapter_combine(struct ft_adapter *to, const struct ft_adapter *from,
		       const double *weight, size_t n,
		       const struct ft_config *c, struct ft_err *err)
{
	size_t rank = 0, places = c->layers * FT_NSLOT;

	ft_adapter_start(to, c);
	for (size_t i = 0; i < n; i++)
		rank += from[i].max_r;
	to->r = (int64_t)rank;
	to->alpha = (double)rank;
	for (size_t at = 0; at < places; at++) {
		bool any = false;

		for (size_t i = 0; i < n; i++)
			any |= module_at(&from[i], at) != NULL;
		if (any)
			ft_adapter_add(to, c, (enum ft_slot)(at % FT_NSLOT),
				       at / FT_NSLOT, rank, (double)rank);
	}
	if (ft_block_alloc(&to->b, from[0].b.k, err)) {
		ft_adapter_release(to);
		return -1;
	}
	for (size_t at = 0; at < places; at++) {
		if (module_at(to, at))
			fill(to, from, weight, n, at);
	}
	return 0;
}
