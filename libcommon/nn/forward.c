/* SPDX-License-Identifier: MIT */
/* The forward of every family: it reads the config's row, layer by layer. */
#include "libcommon/nn/model_priv.h"

/* y += LoRA's part; its r is 0 where there is none. */
static struct ftk_lora lora_part(struct ft_model *m, const struct ft_run *run,
				 enum ft_slot s, size_t layer, const void *x,
				 void *y)
{
	const struct ft_lora_mod *l = ft_lora_at(run->adapter, s, layer);
	const struct ft_block *b = l ? &run->adapter->b : NULL;

	if (!l)
		return (struct ftk_lora){0};
	return (struct ftk_lora){.y = y,
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
				 .ws = m->ws};
}

static void lora(struct ft_model *m, const struct ft_run *run, enum ft_slot s,
		 size_t layer, const void *x, void *y)
{
	struct ftk_lora l = lora_part(m, run, s, layer, x, y);

	if (l.r)
		m->k->lora(m->k, &l);
}

/* y[i] = x W' + bias + LoRA's part (+ y with accumulate), of n slots from s on:
   they read the same x. */
static void linears(struct ft_model *m, const struct ft_run *run,
		    enum ft_slot s, size_t n, size_t layer, const void *x,
		    void *const *y, int accumulate)
{
	struct ftk_matmul base[FTK_LINEAR_MAX];
	struct ftk_lora part[FTK_LINEAR_MAX];

	for (size_t i = 0; i < n; i++, s++) {
		const struct ft_weight *w = ft_weight_at(m, s, layer);

		base[i] = (struct ftk_matmul){.y = y[i],
					      .x = x,
					      .w = w->w,
					      .bias = w->vec,
					      .m = m->t,
					      .accumulate = accumulate};
		part[i] = lora_part(m, run, s, layer, x, y[i]);
	}
	m->k->linear(m->k, &(struct ftk_linear){base, part, n, m->ws});
}

static void linear(struct ft_model *m, const struct ft_run *run, enum ft_slot s,
		   size_t layer, const void *x, void *y, int accumulate)
{
	linears(m, run, s, 1, layer, x, &y, accumulate);
}

/* Of t rows as wide as the norm is. */
static void norm(struct ft_model *m, enum ft_slot s, size_t layer, size_t t,
		 void *x, const void *add, void *sum, void *y, void *stat)
{
	const struct ft_config *c = &m->cfg;
	const struct ft_weight *w = ft_weight_at(m, s, layer);
	size_t n, none;

	ft_config_shape(c, s, &n, &none);
	m->k->norm(m->k, &(struct ftk_norm){.y = y,
					    .x = x,
					    .add = add,
					    .sum = sum == x ? NULL : sum,
					    .w = w->vec,
					    .b = w->bias,
					    .stat = stat,
					    .t = t,
					    .c = n,
					    .eps = c->eps,
					    .shift = c->arch->shift,
					    .kind = c->arch->norm});
}

void ft_model_rope(struct ft_model *m, size_t layer, void *x, size_t heads,
		   int inverse)
{
	const struct ft_config *c = &m->cfg;
	bool local = m->local && ft_config_window(c, layer);

	if (!c->rot)
		return;
	m->k->rope(m->k,
		   &(struct ftk_rope){.x = x,
				      .pos = m->pos,
				      .table = local ? m->local : m->table,
				      .t = m->t,
				      .heads = heads,
				      .d = c->head_dim,
				      .rot = c->rot,
				      .ld = heads * c->head_dim,
				      .inverse = inverse});
}

static void qkv(struct ft_model *m, const struct ft_run *run, size_t layer)
{
	struct ft_layer_acts *l = &m->act[layer];
	void *const to[] = {l->q, l->k, l->v};
	void *const raw[] = {l->rq ? l->rq : l->q, l->rk ? l->rk : l->k, l->v};
	struct ftk *k = m->k;

	if (!ft_has(m, FT_QKV)) {
		linears(m, run, FT_Q, 3, layer, l->n1, raw, 0);
		return;
	}
	linear(m, run, FT_QKV, layer, l->n1, m->qkv, 0);
	for (size_t j = 0; j < 3; j++)
		k->gather(k, &(struct ftk_gather){.y = to[j],
						  .x = m->qkv,
						  .idx = ft_third(m, j),
						  .n = m->t,
						  .c = m->cfg.hidden});
}

/* From the first norm's output to what attention reads. */
static void heads(struct ft_model *m, const struct ft_run *run, size_t layer)
{
	const struct ft_config *c = &m->cfg;
	struct ft_layer_acts *l = &m->act[layer];

	qkv(m, run, layer);
	if (ft_has(m, FT_Q_NORM)) {
		norm(m, FT_Q_NORM, layer, m->t * c->heads, l->rq, NULL, NULL,
		     l->q, l->statq);
		norm(m, FT_K_NORM, layer, m->t * c->kv_heads, l->rk, NULL, NULL,
		     l->k, l->statk);
	}
	ft_model_rope(m, layer, l->q, c->heads, 0);
	ft_model_rope(m, layer, l->k, c->kv_heads, 0);
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
			     .scale = ft_attn_scale(c, layer),
			     .window = (int)ft_config_window(c, layer),
			     .softcap = c->attn_cap,
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

/* What a linear adds to the residual, in m->tmp: by way of before and a norm
   where the family has one. */
static void branch(struct ft_model *m, const struct ft_run *run, enum ft_slot s,
		   enum ft_slot post, size_t layer, const void *x, void *before,
		   void *stat)
{
	bool both = s == FT_DOWN && m->cfg.arch->parallel;

	linear(m, run, s, layer, x, before ? before : m->tmp, both);
	if (before)
		norm(m, post, layer, m->t, before, NULL, NULL, m->tmp, stat);
}

static void mlp_out(struct ft_model *m, const struct ft_run *run, size_t layer)
{
	struct ft_layer_acts *l = &m->act[layer];

	branch(m, run, FT_DOWN, FT_MLP_POST, layer, l->h, l->pm, l->stat4);
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
	struct ft_layer_acts *l = &m->act[layer];

	heads(m, run, layer);
	attention(m, run, layer, nseg);
	branch(m, run, FT_O, FT_ATTN_POST, layer, l->o, l->pa, l->stat3);
	if (!m->cfg.arch->parallel)
		norm(m, FT_MLP_NORM, layer, m->t, l->xa, m->tmp, l->xm, l->n2,
		     l->stat2);
	linears(m, run, FT_GATE, l->up ? 2 : 1, layer, l->n2,
		(void *[]){l->gate, l->up}, 0);
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
	norm(m, FT_ATTN_NORM, layer, m->t, l->xa, NULL, NULL, l->n1, l->stat1);
	if (layer < m->cap.heavy) {
		layer_forward(m, run, layer, nseg);
		if (l->pm)
			mlp_out(m, run, layer);
		else /* for its u alone */
			lora(m, run, FT_DOWN, layer, l->h, m->tmp);
		return;
	}
	if (!m->cfg.arch->parallel)
		norm(m, FT_MLP_NORM, layer, m->t, l->xm, NULL, NULL, l->n2,
		     l->stat2);
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

/* As transformers has it: a number of the activations' type. */
float ft_model_scale(const struct ft_model *m)
{
	float scale = (float)sqrt((double)m->cfg.hidden);
	uint16_t half = ft_bf16(scale);

	if (!m->cfg.arch->scaled)
		return 1;
	if (m->k->act == FTK_BF16)
		(void)ft_to_f32(&scale, &half, FT_BF16, 1);
	return scale;
}

static void embed(struct ft_model *m, enum ft_slot s, const int32_t *ids,
		  float scale, void *y)
{
	m->k->embed(m->k, &(struct ftk_embed){.y = y,
					      .table = m->w[s].w,
					      .ids = ids,
					      .t = m->t,
					      .c = m->cfg.hidden,
					      .scale = scale});
}

void ft_model_forward(struct ft_model *m, const struct ft_run *run,
		      const struct ft_pass *p)
{
	struct ft_layer_acts *l = m->act;

	m->t = p->t;
	upload(m, run, p);
	embed(m, FT_EMBED, m->ids, ft_model_scale(m), l->xa);
	if (ft_has(m, FT_POS)) {
		embed(m, FT_POS, m->pos, 1, m->tmp);
		m->k->accum(m->k,
			    &(struct ftk_accum){.y = l->xa,
						.x = m->tmp,
						.n = m->t * m->cfg.hidden});
	}
	norm(m, FT_ATTN_NORM, 0, m->t, l->xa, NULL, NULL, l->n1, l->stat1);
	for (size_t i = 0; i < m->cfg.layers; i++) {
		struct ft_layer_acts *next = &m->act[i + 1];

		layer_forward(m, run, i, p->nseg);
		mlp_out(m, run, i);
		if (i + 1 < m->cfg.layers)
			norm(m, FT_ATTN_NORM, i + 1, m->t, m->act[i].xm, m->tmp,
			     next->xa, next->n1, next->stat1);
		else
			norm(m, FT_NORM, 0, m->t, m->act[i].xm, m->tmp,
			     m->x_final, m->n_final, m->stat_final);
	}
}
