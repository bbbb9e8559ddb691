/* SPDX-License-Identifier: MIT */
/* The forward of every family: it reads the config's row, layer by layer. */
#include "libcommon/nn/model_priv.h"

/* What LoRA adds to y; its r is 0 where there is none. */
static struct ftk_lora lora_part(struct ft_model *m,
				 const struct ft_lora_mod *l, const void *x,
				 void *y)
{
	const struct ft_block *b;

	if (!l)
		return (struct ftk_lora){0};
	b = &m->run.adapter->b;
	return (struct ftk_lora){.y = y,
				 .u = m->act[l->layer].u[l->slot],
				 .x = x,
				 .a = ft_block_at(b, b->p, l->off_a),
				 .b = ft_block_at(b, b->p, l->off_b),
				 .m = m->t,
				 .n = l->n,
				 .k = l->k,
				 .r = l->r,
				 .scale = l->scale,
				 .drop = ft_drop(m, l),
				 .ws = m->ws};
}

static void lora(struct ft_model *m, const struct ft_lora_mod *l, const void *x,
		 void *y)
{
	struct ftk_lora part = lora_part(m, l, x, y);

	if (part.r)
		m->k->lora(m->k, &part);
}

/* x W' + bias (+ y with accumulate). */
static struct ftk_matmul product_of(struct ft_model *m,
				    const struct ft_weight *w, const void *bias,
				    const void *x, void *y, int accumulate)
{
	return (struct ftk_matmul){.y = y,
				   .x = x,
				   .w = w->w,
				   .bias = bias,
				   .m = m->t,
				   .accumulate = accumulate};
}

static void product(struct ft_model *m, const struct ft_weight *w,
		    const void *bias, const void *x, void *y, int accumulate)
{
	struct ftk_matmul base = product_of(m, w, bias, x, y, accumulate);

	m->k->linear(m->k, &(struct ftk_linear){&base, NULL, 1, m->ws});
}

void ft_model_dora(struct ft_model *m, const struct ft_lora_mod *l,
		   const void *x, void *y)
{
	const struct ft_weight *w = ft_weight_at(m, l->slot, l->layer);
	bool drops = m->run.dropout > 0;

	if (drops)
		m->k->drop(m->k, &(struct ftk_drop){.y = m->xd,
						    .x = x,
						    .m = m->t,
						    .n = l->k,
						    .drop = ft_drop(m, l)});
	product(m, w, NULL, drops ? m->xd : x, m->z, 0);
	if (drops && y)
		m->k->columns(m->k, &(struct ftk_columns){.y = y,
							  .x = m->z,
							  .shift = -1,
							  .m = m->t,
							  .n = l->n,
							  .accumulate = 1});
	lora(m, l, x, m->z);
}

/* Where there is dropout PEFT drops x of W as well, but of the part alone that
   DoRA adds: y = x W' + bias + (g - 1) drop(x) W' + g LoRA's part, and g is the
   magnitude by the length of the row. */
static void dora(struct ft_model *m, const struct ft_lora_mod *l,
		 const struct ft_weight *w, const void *x, void *y,
		 int accumulate)
{
	const struct ft_block *b = &m->run.adapter->b;
	bool drops = m->run.dropout > 0;

	if (drops)
		product(m, w, w->vec, x, y, accumulate);
	ft_model_dora(m, l, x, y);
	m->k->columns(m->k, &(struct ftk_columns){
				    .y = y,
				    .x = m->z,
				    .num = ft_block_at(b, b->p, l->off_m),
				    .den = l->norm,
				    .bias = drops ? NULL : w->vec,
				    .m = m->t,
				    .n = l->n,
				    .accumulate = drops || accumulate});
}

/* y[i] = x W' + bias + LoRA's part (+ y with accumulate), of n slots from s on:
   they read the same x.  Those that are more than LoRA on the base's weights
   are computed apart. */
static void linears(struct ft_model *m, enum ft_slot s, size_t n, size_t layer,
		    const void *x, void *const *y, int accumulate)
{
	struct ftk_matmul base[FTK_LINEAR_MAX];
	struct ftk_lora part[FTK_LINEAR_MAX];
	size_t plain = 0;

	for (size_t i = 0; i < n; i++, s++) {
		const struct ft_lora_mod *l =
			ft_lora_at(m->run.adapter, s, layer);
		const struct ft_weight *w = ft_weight_now(m, s, layer);

		if (l && l->norm) {
			dora(m, l, w, x, y[i], accumulate);
		} else if (ft_weight_whole(m, w)) {
			product(m, w, w->vec, x, y[i], accumulate);
		} else {
			base[plain] =
				product_of(m, w, w->vec, x, y[i], accumulate);
			part[plain++] = lora_part(m, l, x, y[i]);
		}
	}
	if (plain)
		m->k->linear(m->k,
			     &(struct ftk_linear){base, part, plain, m->ws});
}

static void linear(struct ft_model *m, enum ft_slot s, size_t layer,
		   const void *x, void *y, int accumulate)
{
	linears(m, s, 1, layer, x, &y, accumulate);
}

/* Of t rows as wide as the norm is. */
static void norm(struct ft_model *m, enum ft_slot s, size_t layer, size_t t,
		 void *x, const void *add, void *sum, void *y, void *stat)
{
	const struct ft_config *c = &m->cfg;
	const struct ft_weight *w = ft_weight_now(m, s, layer);
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

static void qkv(struct ft_model *m, size_t layer)
{
	struct ft_layer_acts *l = &m->act[layer];
	void *const to[] = {l->q, l->k, l->v};
	void *const raw[] = {l->rq ? l->rq : l->q, l->rk ? l->rk : l->k, l->v};
	struct ftk *k = m->k;

	if (!ft_has(m, FT_QKV)) {
		linears(m, FT_Q, 3, layer, l->n1, raw, 0);
		return;
	}
	linear(m, FT_QKV, layer, l->n1, m->qkv, 0);
	for (size_t j = 0; j < 3; j++)
		k->gather(k, &(struct ftk_gather){.y = to[j],
						  .x = m->qkv,
						  .idx = ft_third(m, j),
						  .n = m->t,
						  .c = m->cfg.hidden});
}

/* From the first norm's output to what attention reads. */
static void heads(struct ft_model *m, size_t layer)
{
	const struct ft_config *c = &m->cfg;
	struct ft_layer_acts *l = &m->act[layer];

	qkv(m, layer);
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
static void attention(struct ft_model *m, size_t layer, size_t nseg)
{
	const struct ft_config *c = &m->cfg;
	struct ft_layer_acts *l = &m->act[layer];
	size_t kv = c->kv_heads * c->head_dim;
	struct ftk *k = m->k;
	struct ftk_attn a = {.o = l->o,
			     .q = l->q,
			     .k = l->k,
			     .v = l->v,
			     .lse = m->run.save ? l->lse : NULL,
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

	if (m->run.kv) {
		struct ftk_scatter put = {.y = m->run.kv->k[layer],
					  .x = l->k,
					  .idx = m->place,
					  .n = m->t,
					  .c = kv};

		k->scatter(k, &put);
		a.k = put.y;
		put.y = m->run.kv->v[layer];
		put.x = l->v;
		k->scatter(k, &put);
		a.v = put.y;
	}
	k->attn(k, &a);
}

/* What a linear adds to the residual, in m->tmp: by way of before and a norm
   where the family has one. */
static void branch(struct ft_model *m, enum ft_slot s, enum ft_slot post,
		   size_t layer, const void *x, void *before, void *stat)
{
	bool both = s == FT_DOWN && m->cfg.arch->parallel;

	linear(m, s, layer, x, before ? before : m->tmp, both);
	if (before)
		norm(m, post, layer, m->t, before, NULL, NULL, m->tmp, stat);
}

static void mlp_out(struct ft_model *m, size_t layer)
{
	struct ft_layer_acts *l = &m->act[layer];

	branch(m, FT_DOWN, FT_MLP_POST, layer, l->h, l->pm, l->stat4);
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
static void layer_forward(struct ft_model *m, size_t layer, size_t nseg)
{
	struct ft_layer_acts *l = &m->act[layer];

	heads(m, layer);
	attention(m, layer, nseg);
	branch(m, FT_O, FT_ATTN_POST, layer, l->o, l->pa, l->stat3);
	if (!m->cfg.arch->parallel)
		norm(m, FT_MLP_NORM, layer, m->t, l->xa, m->tmp, l->xm, l->n2,
		     l->stat2);
	linears(m, FT_GATE, l->up ? 2 : 1, layer, l->n2,
		(void *[]){l->gate, l->up}, 0);
	gated(m, l);
}

/* Norms read what was stored, so what they make again is the same; and the
   rest is the same calls on the same values. */
void ft_model_again(struct ft_model *m, size_t layer, size_t nseg)
{
	struct ft_layer_acts *l = &m->act[layer];

	if (layer >= m->cap.light)
		return;
	norm(m, FT_ATTN_NORM, layer, m->t, l->xa, NULL, NULL, l->n1, l->stat1);
	if (layer < m->cap.heavy) {
		layer_forward(m, layer, nseg);
		if (l->pm)
			mlp_out(m, layer);
		else /* for its u alone */
			lora(m, ft_lora_at(m->run.adapter, FT_DOWN, layer),
			     l->h, m->tmp);
		return;
	}
	if (!m->cfg.arch->parallel)
		norm(m, FT_MLP_NORM, layer, m->t, l->xm, NULL, NULL, l->n2,
		     l->stat2);
	gated(m, l);
}

static void upload(struct ft_model *m, const struct ft_pass *p)
{
	struct ftk *k = m->k;

	k->put(k, m->ids, p->ids, p->t * sizeof(*p->ids));
	k->put(k, m->pos, p->pos, p->t * sizeof(*p->pos));
	k->put(k, m->key, p->key, p->t * sizeof(*p->key));
	k->put(k, m->seg, p->seg, p->nseg * sizeof(*p->seg));
	if (m->run.place)
		k->put(k, m->place, m->run.place, p->t * sizeof(*m->run.place));
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
	m->k->embed(m->k,
		    &(struct ftk_embed){.y = y,
					.table = ft_weight_now(m, s, 0)->w,
					.ids = ids,
					.t = m->t,
					.c = m->cfg.hidden,
					.scale = scale});
}

/* Rows of A, then their products with B. */
static void embed_lora(struct ft_model *m, const struct ft_lora_mod *l, void *y)
{
	m->k->embed(m->k,
		    &(struct ftk_embed){.y = m->ue,
					.table = l->a,
					.ids = m->ids,
					.t = m->t,
					.c = l->r,
					.scale = l->scale * ft_model_scale(m)});
	m->k->matmul(m->k, &(struct ftk_matmul){.y = y,
						.x = m->ue,
						.w = l->b,
						.m = m->t,
						.accumulate = 1,
						.ws = m->ws});
}

void ft_model_forward(struct ft_model *m, const struct ft_run *run,
		      const struct ft_pass *p)
{
	const struct ft_lora_mod *on_table =
		ft_lora_at(run->adapter, FT_EMBED, 0);
	struct ft_layer_acts *l = m->act;

	m->t = p->t;
	m->run = *run;
	upload(m, p);
	embed(m, FT_EMBED, m->ids, ft_model_scale(m), l->xa);
	if (on_table)
		embed_lora(m, on_table, l->xa);
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

		layer_forward(m, i, p->nseg);
		mlp_out(m, i);
		if (i + 1 < m->cfg.layers)
			norm(m, FT_ATTN_NORM, i + 1, m->t, m->act[i].xm, m->tmp,
			     next->xa, next->n1, next->stat1);
		else
			norm(m, FT_NORM, 0, m->t, m->act[i].xm, m->tmp,
			     m->x_final, m->n_final, m->stat_final);
	}
}
