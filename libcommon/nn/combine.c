/* SPDX-License-Identifier: MIT */
#include "libcommon/nn/combine.h"

#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"
#include "libcommon/nn/adapter_priv.h"

/* What is no sum of products has no weighted sum. */
static int check_linear(const struct ft_adapter *a, struct ft_err *err)
{
	if (!a->dora && !a->nwhole)
		return 0;
	return ft_err_set(
		err, FT_EXIT_USAGE,
		"an adapter with %s cannot be weighted or added to others",
		a->dora ? "DoRA (use_dora)"
			: "whole modules (modules_to_save)");
}

int ft_adapter_scale(struct ft_adapter *a, double weight, struct ft_err *err)
{
	if (check_linear(a, err) < 0)
		return -1;
	a->alpha *= weight;
	for (size_t i = 0; i < a->nmod; i++) {
		a->mod[i].alpha *= weight;
		a->mod[i].scale = (float)(a->mod[i].scale * weight);
	}
	return 0;
}

static const struct ft_lora_mod *module_at(const struct ft_adapter *a, size_t i)
{
	return a->at[i] < 0 ? NULL : &a->mod[a->at[i]];
}

/* f [rows, r] times scale becomes columns r0.. of to [rows, tr]. */
static void beside(float *to, size_t tr, size_t r0, const float *f, size_t r,
		   size_t rows, double scale)
{
	for (size_t i = 0; i < rows; i++) {
		for (size_t j = 0; j < r; j++)
			to[i * tr + r0 + j] = (float)(scale * f[i * r + j]);
	}
}

/* A below what is there from row r0 on, but of the embedding, whose A stands
   upright, beside it, as B. */
static void place(const struct ft_lora_mod *t, const struct ft_adapter *from,
		  const struct ft_lora_mod *m, size_t r0, double weight,
		  float *a, float *b)
{
	struct ftk *k = from->b.k;
	float *v = ft_xmalloc(m->r * (m->n > m->k ? m->n : m->k) * sizeof(*v));

	k->get_real(k, v, ft_block_at(&from->b, from->b.p, m->off_a),
		    m->r * m->k);
	k->sync(k);
	if (m->slot == FT_EMBED)
		beside(a, t->r, r0, v, m->r, m->k, 1);
	else
		memcpy(a + r0 * t->k, v, m->r * m->k * sizeof(*v));
	k->get_real(k, v, ft_block_at(&from->b, from->b.p, m->off_b),
		    m->n * m->r);
	k->sync(k);
	beside(b, t->r, r0, v, m->r, m->n, weight * m->scale);
	free(v);
}

static void fill(struct ft_adapter *to, const struct ft_adapter *from,
		 const double *weight, size_t n, size_t at)
{
	const struct ft_lora_mod *t = module_at(to, at);
	struct ftk *k = to->b.k;
	float *a = ft_xcalloc(t->k * t->r, sizeof(*a));
	float *b = ft_xcalloc(t->n * t->r, sizeof(*b));
	size_t r0 = 0;

	for (size_t i = 0; i < n; i++) {
		const struct ft_lora_mod *m = module_at(&from[i], at);

		if (m)
			place(t, &from[i], m, r0, weight[i], a, b);
		r0 += from[i].max_r;
	}
	k->put_real(k, ft_block_at(&to->b, to->b.p, t->off_a), a, t->k * t->r);
	k->put_real(k, ft_block_at(&to->b, to->b.p, t->off_b), b, t->n * t->r);
	k->sync(k);
	free(a);
	free(b);
}

int ft_adapter_combine(struct ft_adapter *to, const struct ft_adapter *from,
		       const double *weight, size_t n,
		       const struct ft_config *c, struct ft_err *err)
{
	size_t rank = 0, places = c->layers * FT_NSLOT;

	for (size_t i = 0; i < n; i++) {
		if (check_linear(&from[i], err) < 0)
			return -1;
	}
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
