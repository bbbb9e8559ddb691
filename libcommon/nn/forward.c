/* SPDX-License-Identifier: MIT */
/* The forward of every family: it reads the config's row, layer by layer. */
#include "libcommon/nn/model_priv.h"

/* y += LoRA's part. */
static void lora(struct ft_model *m, const struct ft_run *run, enum ft_slot s,
		 size_t layer, const void *x, void *y)
{
	const struct ft_lora_mod *l = ft_lora_at(run->adapter, s, layer);
	const struct ft_block *b = l ? &run->adapter->b : NULL;

	if (!l)
		return;
	m->k->lora(m->k, &(struct ftk_lora){.y = y,
					    .u = m->act[layer].u[s],
					    .x = x,
					    .a = ft_block_at(b, b->p, l->off_a),
					    .b = ft_block_at(b, b->p, l->off_b),
					    .m = m->t,
					    .n = l->n,
					    .k = l->k,
					    .r = l->r,
					    .scale = l->scale,
					    .drop = ft_drop(m, run, s, layer),
					    .ws = m->ws});
}

/* y = x W' + bias + LoRA's part. */
static void linear(struct ft_model *m, const struct ft_run *run, enum ft_slot s,
		   size_t layer, const void *x, void *y)
{
	const struct ft_weight *w = ft_weight_at(m, s, layer);
	struct ftk *k = m->k;

	k->matmul(k, &(struct ftk_matmul){.y = y,
					  .x = x,
					  .w = w->w,
					  .bias = w->vec,
					  .m = m->t,
					  .ws = m->ws});
	lora(m, run, s, layer, x, y);
}

static void norm(struct ft_model *m, enum ft_slot s, size_t layer, void *x,
		 const void *add, void *sum, void *y, void *stat)
{
	const struct ft_config *c = &m->cfg;

	m->k->norm(m->k, &(struct ftk_norm){.y = y,
					    .x = x,
					    .add = add,
					    .sum = sum == x ? NULL : sum,
					    .w = ft_weight_at(m, s, layer)->vec,
					    .stat = stat,
					    .t = m->t,
					    .c = c->hidden,
					    .eps = c->eps,
					    .kind = c->arch->norm});
}

void ft_model_rope(struct ft_model *m, void *x, size_t heads, int inverse)
{
	size_t d = m->cfg.head_dim;

	m->k->rope(m->k, &(struct ftk_rope){.x = x,
					    .pos = m->pos,
					    .table = m->table,
					    .t = m->t,
					    .heads = heads,
					    .d = d,
					    .rot = d,
					    .ld = heads * d,
					    .inverse = inverse});
}

/* Keys and values of the pass, in place or in the cache. */
static void attention(struct ft_model *m, const struct ft_run *run,
		      size_t layer, size_t nseg)
{
	const struct ft_config *c = &m->cfg;
	struct ft_layer_acts *l = &m->act[layer];
	size_t kv = c->kv_heads * c->head_dim;
	struct ftk *k = m->k;
	struct ftk_attn a = {.o = l->o,
			     .q = l->q,
			     .k = l->k,
			     .v = l->v,
			     .lse = run->save ? l->lse : NULL,
			     .seg = m->seg,
			     .nseg = nseg,
			     .tq = m->t,
			     .hq = c->heads,
			     .hkv = c->kv_heads,
			     .d = c->head_dim,
			     .scale = ft_attn_scale(c),
			     .ws = m->ws};

	if (run->kv) {
		struct ftk_scatter put = {.y = run->kv->k[layer],
					  .x = l->k,
					  .idx = m->place,
					  .n = m->t,
					  .c = kv};

		k->scatter(k, &put);
		a.k = put.y;
		put.y = run->kv->v[layer];
		put.x = l->v;
		k->scatter(k, &put);
		a.v = put.y;
	}
	k->attn(k, &a);
}

static void gated(struct ft_model *m, const struct ft_layer_acts *l)
{
	m->k->glu(m->k, &(struct ftk_glu){.h = l->h,
					  .gate = l->gate,
					  .up = l->up,
					  .act = m->cfg.act,
					  .n = m->t * m->cfg.inter});
}

/* From the first norm's output to the gate's. */
static void layer_forward(struct ft_model *m, const struct ft_run *run,
			  size_t layer, size_t nseg)
{
	const struct ft_config *c = &m->cfg;
	struct ft_layer_acts *l = &m->act[layer];

	linear(m, run, FT_Q, layer, l->n1, l->q);
	linear(m, run, FT_K, layer, l->n1, l->k);
	linear(m, run, FT_V, layer, l->n1, l->v);
	ft_model_rope(m, l->q, c->heads, 0);
	ft_model_rope(m, l->k, c->kv_heads, 0);
	attention(m, run, layer, nseg);
	linear(m, run, FT_O, layer, l->o, m->tmp);
	norm(m, FT_MLP_NORM, layer, l->xa, m->tmp, l->xm, l->n2, l->stat2);
	linear(m, run, FT_GATE, layer, l->n2, l->gate);
	linear(m, run, FT_UP, layer, l->n2, l->up);
	gated(m, l);
}

/* Norms read what was stored, so what they make again is the same; and the
   rest is the same calls on the same values. */
void ft_model_again(struct ft_model *m, const struct ft_run *run, size_t layer,
		    size_t nseg)
{
	struct ft_layer_acts *l = &m->act[layer];

	if (layer >= m->cap.light)
		return;
	norm(m, FT_ATTN_NORM, layer, l->xa, NULL, NULL, l->n1, l->stat1);
	if (layer < m->cap.heavy) {
		layer_forward(m, run, layer, nseg);
		/* for its u alone */
		lora(m, run, FT_DOWN, layer, l->h, m->tmp);
		return;
	}
	norm(m, FT_MLP_NORM, layer, l->xm, NULL, NULL, l->n2, l->stat2);
	gated(m, l);
}

static void upload(struct ft_model *m, const struct ft_run *run,
		   const struct ft_pass *p)
{
	struct ftk *k = m->k;

	k->put(k, m->ids, p->ids, p->t * sizeof(*p->ids));
	k->put(k, m->pos, p->pos, p->t * sizeof(*p->pos));
	k->put(k, m->key, p->key, p->t * sizeof(*p->key));
	k->put(k, m->seg, p->seg, p->nseg * sizeof(*p->seg));
	if (run->place)
		k->put(k, m->place, run->place, p->t * sizeof(*run->place));
}

void ft_model_forward(struct ft_model *m, const struct ft_run *run,
		      const struct ft_pass *p)
{
	struct ft_layer_acts *l = m->act;

	m->t = p->t;
	upload(m, run, p);
	m->k->embed(m->k, &(struct ftk_embed){.y = l->xa,
					      .table = m->w[FT_EMBED].w,
					      .ids = m->ids,
					      .t = p->t,
					      .c = m->cfg.hidden,
					      .scale = 1});
	norm(m, FT_ATTN_NORM, 0, l->xa, NULL, NULL, l->n1, l->stat1);
	for (size_t i = 0; i < m->cfg.layers; i++) {
		struct ft_layer_acts *next = &m->act[i + 1];

		layer_forward(m, run, i, p->nseg);
		linear(m, run, FT_DOWN, i, m->act[i].h, m->tmp);
		if (i + 1 < m->cfg.layers)
			norm(m, FT_ATTN_NORM, i + 1, m->act[i].xm, m->tmp,
			     next->xa, next->n1, next->stat1);
		else
			norm(m, FT_NORM, 0, m->act[i].xm, m->tmp, m->x_final,
			     m->n_final, m->stat_final);
	}
}
