/* SPDX-License-Identifier: MIT */
/*
 * An adapter on a model: handles of what it has whole, lengths of the rows of
 * DoRA's matrices.  One function says what memory there is, as in acts.c.
 */
#include <stdlib.h>

#include "libcommon/base/mem.h"
#include "libcommon/nn/model_priv.h"

enum { SOME = 16384 }; /* numbers that pass through the host at a time */

/* A handle of parameters [n, k] of the adapter.  For a plan the adapter may
   have no values. */
static void lay_handle(const struct ft_adapter *a, struct ftk *be,
		       struct ft_carve *c, size_t off, size_t n, size_t k,
		       unsigned use, struct ftk_weight **w)
{
	struct ftk_matrix m = {
		.type = be->real, .n = n, .k = k, .use = use | FTK_W_TRAINED};
	void *mem = ft_take(c, be->weight_bytes(be, &m), 1);

	if (!mem)
		return;
	m.data = ft_block_at(&a->b, a->b.p, off);
	*w = be->weight_make(be, mem, &m);
}

static struct ftk_row_norms norms_of(const struct ft_adapter *a,
				     const struct ft_model *m,
				     const struct ft_lora_mod *l)
{
	return (struct ftk_row_norms){
		.norm = l->norm,
		.w = ft_weight_at(m, l->slot, l->layer)->w,
		.a = ft_block_at(&a->b, a->b.p, l->off_a),
		.b = ft_block_at(&a->b, a->b.p, l->off_b),
		.n = l->n,
		.k = l->k,
		.r = l->r,
		.scale = l->scale,
		.ws = a->ws};
}

static void lay(struct ft_adapter *a, const struct ft_model *m,
		struct ft_carve *c)
{
	struct ftk *k = m->k;
	size_t ws = 0, n, in;

	for (size_t i = 0; i < a->nmod; i++) {
		struct ft_lora_mod *l = &a->mod[i];
		struct ftk_row_norms norms = {.k = l->k, .r = l->r};
		bool table = l->slot == FT_EMBED;

		if (!ft_slot_is_linear(l->slot)) {
			lay_handle(a, k, c, l->off_a, table ? l->k : l->r,
				   table ? l->r : l->k, ft_slot_use(l->slot),
				   &l->a);
			lay_handle(a, k, c, l->off_b, l->n, l->r,
				   ft_slot_use(FT_HEAD), &l->b);
		}
		if (!a->dora)
			continue;
		l->norm = ft_take(c, l->n, k->real_size);
		if (k->row_norms_ws(k, &norms) > ws)
			ws = k->row_norms_ws(k, &norms);
	}
	for (size_t i = 0; i < a->nwhole; i++) {
		struct ft_whole *w = &a->whole[i];

		ft_config_shape(&m->cfg, w->slot, &n, &in);
		if (in)
			lay_handle(a, k, c, w->w.off_w, n, in,
				   ft_slot_use(w->slot), &w->w.w);
		if (c->base)
			ft_weight_bind(&w->w, &a->b, &m->cfg, w->slot);
	}
	a->ws = ft_take(c, ws, 1);
}

/* n REALs of the model's. */
static void copy_reals(struct ftk *k, void *to, const void *from, size_t n)
{
	float f[SOME];

	for (size_t i = 0, some; i < n; i += some) {
		some = n - i < SOME ? n - i : SOME;
		k->get_real(k, f, (const char *)from + i * k->real_size, some);
		k->sync(k);
		k->put_real(k, (char *)to + i * k->real_size, f, some);
		k->sync(k);
	}
}

/* The base's own numbers. */
static void copy_whole(struct ft_adapter *a, const struct ft_model *m,
		       const struct ft_whole *w)
{
	const struct ft_weight *from = ft_weight_at(m, w->slot, w->layer);
	struct ftk *k = m->k;
	size_t n, in;
	float *f;

	ft_config_shape(&m->cfg, w->slot, &n, &in);
	if (from->vec)
		copy_reals(k, w->w.vec, from->vec, n);
	if (from->bias)
		copy_reals(k, w->w.bias, from->bias, n);
	f = ft_xmalloc(in * sizeof(*f) + 1);
	for (size_t r = 0; in && r < n; r++) {
		k->weight_get(k, from->w, r, 1, f);
		k->put_real(k, ft_block_at(&a->b, a->b.p, w->w.off_w + r * in),
			    f, in);
		k->sync(k);
	}
	free(f);
}

void ft_adapter_sync(struct ft_adapter *a, const struct ft_model *m)
{
	struct ftk *k = m->k;

	for (size_t i = 0; i < a->nmod; i++) {
		const struct ft_lora_mod *l = &a->mod[i];
		struct ftk_row_norms norms = norms_of(a, m, l);

		if (a->dora)
			k->row_norms(k, &norms);
		if (l->a) {
			k->weight_sync(k, l->a);
			k->weight_sync(k, l->b);
		}
	}
	for (size_t i = 0; i < a->nwhole; i++) {
		if (a->whole[i].w.w)
			k->weight_sync(k, a->whole[i].w.w);
	}
}

int ft_adapter_attach(struct ft_adapter *a, const struct ft_model *m,
		      bool fresh, struct ft_err *err)
{
	struct ft_carve c = {0};

	lay(a, m, &c);
	if (c.n && !a->mem)
		a->mem = m->k->alloc(m->k, c.n);
	if (c.n && !a->mem)
		return ft_err_set(err, FT_EXIT_SYS, "no memory for an adapter");
	c = (struct ft_carve){.base = a->mem};
	if (a->mem)
		lay(a, m, &c);
	for (size_t i = 0; fresh && i < a->nwhole; i++)
		copy_whole(a, m, &a->whole[i]);
	ft_adapter_sync(a, m);
	for (size_t i = 0; fresh && a->dora && i < a->nmod; i++)
		copy_reals(m->k, ft_block_at(&a->b, a->b.p, a->mod[i].off_m),
			   a->mod[i].norm, a->mod[i].n);
	return 0;
}

void ft_adapter_plan(struct ft_adapter *a, const struct ft_model *m,
		     enum ft_plan_part part, struct ft_plan *p)
{
	struct ft_carve c = {.plan = p, .part = part};

	ft_take(&c, a->b.n, m->k->real_size);
	lay(a, m, &c);
}
