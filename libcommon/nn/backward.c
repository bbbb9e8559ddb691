/* SPDX-License-Identifier: MIT */
/* The backward of forward.c, layer by layer from the end. */
#include "libcommon/nn/model_priv.h"

static struct ftk_matmul_dx product_dx_of(struct ft_model *m,
					  const struct ft_weight *w,
					  const void *dy, void *dx,
					  int accumulate)
{
	return (struct ftk_matmul_dx){.dx = dx,
				      .dy = dy,
				      .w = w->w,
				      .m = m->t,
				      .accumulate = accumulate};
}

/* dx = dy W (+ dx with accumulate). */
static void product_dx(struct ft_model *m, const struct ft_weight *w,
		       const void *dy, void *dx, int accumulate)
{
	struct ftk_matmul_dx base = product_dx_of(m, w, dy, dx, accumulate);

	m->k->linear_backward(
		m->k, &(struct ftk_linear_backward){&base, NULL, 1, m->ws});
}

/* LoRA's gradients; its r is 0 where there is none. */
static struct ftk_lora_backward lora_back(struct ft_model *m,
					  const struct ft_lora_mod *l,
					  const void *x, const void *dy,
					  void *dx)
{
	const struct ft_block *b;

	if (!l)
		return (struct ftk_lora_backward){0};
	b = &m->run.adapter->b;
	return (struct ftk_lora_backward){.dx = dx,
					  .dy = dy,
					  .x = x,
					  .u = m->act[l->layer].u[l->slot],
					  .a = ft_block_at(b, b->p, l->off_a),
					  .b = ft_block_at(b, b->p, l->off_b),
					  .da = ft_block_at(b, b->g, l->off_a),
					  .db = ft_block_at(b, b->g, l->off_b),
					  .m = m->t,
					  .n = l->n,
					  .k = l->k,
					  .r = l->r,
					  .scale = l->scale,
					  .drop = ft_drop(m, l),
					  .ws = m->ws};
}

/* The products are made again, for the magnitude's gradient; then dy times the
   factors takes their place. */
static void dora_backward(struct ft_model *m, const struct ft_lora_mod *l,
			  const struct ft_weight *w, const void *x,
			  const void *dy, void *dx, int accumulate)
{
	const struct ft_block *b = &m->run.adapter->b;
	bool drops = m->run.dropout > 0;
	struct ftk_lora_backward part;
	struct ftk *k = m->k;

	ft_model_dora(m, l, x, NULL);
	k->columns_backward(k, &(struct ftk_columns_backward){
				       .dx = m->z,
				       .dnum = ft_block_at(b, b->g, l->off_m),
				       .dy = dy,
				       .x = m->z,
				       .num = ft_block_at(b, b->p, l->off_m),
				       .den = l->norm,
				       .m = m->t,
				       .n = l->n});
	if (dx)
		product_dx(m, w, drops ? dy : m->z, dx, accumulate);
	part = lora_back(m, l, x, m->z, dx);
	k->lora_backward(k, &part);
	if (!dx || !drops)
		return;
	k->columns(k, &(struct ftk_columns){.y = m->z,
					    .x = dy,
					    .shift = -1,
					    .m = m->t,
					    .n = l->n,
					    .accumulate = 1});
	product_dx(m, w, m->z, m->xd, 0);
	k->drop(k, &(struct ftk_drop){.y = m->xd,
				      .x = m->xd,
				      .m = m->t,
				      .n = l->k,
				      .drop = ft_drop(m, l)});
	k->accum(k, &(struct ftk_accum){.y = dx, .x = m->xd, .n = m->t * l->k});
}

/* Of a weight that is trained whole: its own gradients. */
static void weight_backward(struct ft_model *m, const struct ft_weight *w,
			    enum ft_slot s, const void *x, const void *dy)
{
	size_t n, in;

	ft_config_shape(&m->cfg, s, &n, &in);
	m->k->matmul_dw(
		m->k,
		&(struct ftk_matmul_dw){
			.dw = ft_weight_grad(w, w->off_w),
			.dbias = w->vec ? ft_weight_grad(w, w->off_vec) : NULL,
			.dy = dy,
			.x = x,
			.m = m->t,
			.n = n,
			.k = in,
			.ws = m->ws});
}

/*
 * Gradients of y[i] = x W' + bias + LoRA, of count slots from s on: dx (= or +=
 * with accumulate; NULL: not wanted), and those of what is trained.
 */
static void linears_backward(struct ft_model *m, enum ft_slot s, size_t count,
			     size_t layer, const void *x, const void *const *dy,
			     void *dx, int accumulate)
{
	struct ftk_matmul_dx base[FTK_LINEAR_MAX];
	struct ftk_lora_backward part[FTK_LINEAR_MAX];
	size_t plain = 0;

	for (size_t i = 0; i < count; i++, s++) {
		const struct ft_lora_mod *l =
			ft_lora_at(m->run.adapter, s, layer);
		const struct ft_weight *w = ft_weight_now(m, s, layer);
		bool whole = ft_weight_whole(m, w);

		if (w->in)
			weight_backward(m, w, s, x, dy[i]);
		if (l && l->norm) {
			dora_backward(m, l, w, x, dy[i], dx, accumulate);
		} else if (whole && dx) {
			product_dx(m, w, dy[i], dx, accumulate);
		} else if (!whole) {
			base[plain] = product_dx_of(m, w, dy[i], dx, 0);
			part[plain++] = lora_back(m, l, x, dy[i], dx);
			continue;
		}
		accumulate = 1;
	}
	if (!plain)
		return;
	base[0].accumulate = accumulate;
	m->k->linear_backward(
		m->k, &(struct ftk_linear_backward){base, part, plain, m->ws});
}

static void linear_backward(struct ft_model *m, enum ft_slot s, size_t layer,
			    const void *x, const void *dy, void *dx,
			    int accumulate)
{
	linears_backward(m, s, 1, layer, x, &dy, dx, accumulate);
}

/* dx += the gradient through a norm of t rows x. */
static void norm_backward(struct ft_model *m, enum ft_slot s, size_t layer,
			  size_t t, const void *x, const void *stat,
			  const void *dy, void *dx)
{
	const struct ft_weight *w = ft_weight_now(m, s, layer);
	size_t n, none;

	ft_config_shape(&m->cfg, s, &n, &none);
	m->k->norm_backward(
		m->k,
		&(struct ftk_norm_backward){
			.dx = dx,
			.dy = dy,
			.x = x,
			.w = w->vec,
			.stat = stat,
			.dw = ft_weight_grad(w, w->off_vec),
			.db = w->bias ? ft_weight_grad(w, w->off_bias) : NULL,
			.t = t,
			.c = n,
			.shift = m->cfg.arch->shift,
			.kind = m->cfg.arch->norm,
			.ws = m->ws});
}

/* The gradient of what a linear gave to the residual: dx itself, or through
   the norm that stands between. */
static const void *through_post(struct ft_model *m, enum ft_slot post,
				size_t layer, const void *before,
				const void *stat)
{
	struct ftk *k = m->k;

	if (!before)
		return m->dx;
	k->zero(k, m->dpost, m->t * m->cfg.hidden * k->act_size);
	norm_backward(m, post, layer, m->t, before, stat, m->dx, m->dpost);
	return m->dpost;
}

/* Below the first layer there are only its norm and the embedding. */
static void *first_dn(const struct ft_model *m, size_t layer)
{
	const struct ft_adapter *a = m->run.adapter;
	bool trained = m->full || (a && (a->nwhole || a->at[FT_EMBED] >= 0));

	return layer || trained ? m->dn : NULL;
}

static void mlp_backward(struct ft_model *m, size_t layer)
{
	struct ft_layer_acts *l = &m->act[layer];
	bool parallel = m->cfg.arch->parallel;
	void *dn = parallel ? first_dn(m, layer) : m->dn;

	linear_backward(m, FT_DOWN, layer, l->h,
			through_post(m, FT_MLP_POST, layer, l->pm, l->stat4),
			m->dh, 0);
	m->k->glu_backward(
		m->k, &(struct ftk_glu_backward){.dgate = l->gate,
						 .dup = l->up,
						 .dh = m->dh,
						 .gate = l->gate,
						 .up = l->up,
						 .act = m->cfg.act,
						 .n = m->t * m->cfg.inter});
	linears_backward(m, FT_GATE, l->up ? 2 : 1, layer, l->n2,
			 (const void *[]){l->gate, l->up}, dn, 0);
	if (!parallel)
		norm_backward(m, FT_MLP_NORM, layer, m->t, l->xm, l->stat2,
			      m->dn, m->dx);
}

/* From gradients of q, k and v as attention reads them to those of the first
   norm's output. */
static void heads_backward(struct ft_model *m, size_t layer, void *dn,
			   int accumulate)
{
	const struct ft_config *c = &m->cfg;
	struct ft_layer_acts *l = &m->act[layer];
	void *dq = m->dq, *dk = m->dk, *const all[] = {m->dq, m->dk, m->dv};
	size_t as = m->k->act_size, d = c->head_dim;
	struct ftk *k = m->k;

	ft_model_rope(m, layer, dq, c->heads, 1);
	ft_model_rope(m, layer, dk, c->kv_heads, 1);
	if (ft_has(m, FT_Q_NORM)) {
		k->zero(k, m->drq, m->t * c->heads * d * as);
		k->zero(k, m->drk, m->t * c->kv_heads * d * as);
		norm_backward(m, FT_Q_NORM, layer, m->t * c->heads, l->rq,
			      l->statq, dq, m->drq);
		norm_backward(m, FT_K_NORM, layer, m->t * c->kv_heads, l->rk,
			      l->statk, dk, m->drk);
		dq = m->drq;
		dk = m->drk;
	}
	if (!ft_has(m, FT_QKV)) {
		linears_backward(m, FT_Q, 3, layer, l->n1,
				 (const void *[]){dq, dk, m->dv}, dn,
				 accumulate);
		return;
	}
	for (size_t j = 0; j < 3; j++)
		k->scatter(k, &(struct ftk_scatter){.y = m->qkv,
						    .x = all[j],
						    .idx = ft_third(m, j),
						    .n = m->t,
						    .c = c->hidden});
	linear_backward(m, FT_QKV, layer, l->n1, m->qkv, dn, accumulate);
}

static void attn_backward(struct ft_model *m, size_t layer, size_t nseg)
{
	const struct ft_config *c = &m->cfg;
	struct ft_layer_acts *l = &m->act[layer];
	void *dn = first_dn(m, layer);

	linear_backward(m, FT_O, layer, l->o,
			through_post(m, FT_ATTN_POST, layer, l->pa, l->stat3),
			m->dao, 0);
	m->k->attn_backward(m->k,
			    &(struct ftk_attn_backward){
				    .dq = m->dq,
				    .dk = m->dk,
				    .dv = m->dv,
				    .dout = m->dao,
				    .o = l->o,
				    .q = l->q,
				    .k = l->k,
				    .v = l->v,
				    .lse = l->lse,
				    .seg = m->seg,
				    .nseg = nseg,
				    .tq = m->t,
				    .hq = c->heads,
				    .hkv = c->kv_heads,
				    .d = c->head_dim,
				    .scale = ft_attn_scale(c, layer),
				    .window = (int)ft_config_window(c, layer),
				    .softcap = c->attn_cap,
				    .ws = m->ws});
	heads_backward(m, layer, dn, c->arch->parallel);
	if (dn)
		norm_backward(m, FT_ATTN_NORM, layer, m->t, l->xa, l->stat1, dn,
			      m->dx);
}

static void embed_backward(struct ft_model *m, enum ft_slot s,
			   const int32_t *ids, float scale)
{
	const struct ft_weight *w = ft_weight_now(m, s, 0);

	if (!w->in)
		return;
	m->k->embed_backward(m->k,
			     &(struct ftk_embed_backward){
				     .dtable = ft_weight_grad(w, w->off_w),
				     .dy = m->dx,
				     .ids = ids,
				     .t = m->t,
				     .c = m->cfg.hidden,
				     .scale = scale});
}

static void embed_lora_backward(struct ft_model *m, const struct ft_lora_mod *l)
{
	const struct ft_block *b = &m->run.adapter->b;
	struct ftk *k = m->k;

	k->matmul_dw(
		k, &(struct ftk_matmul_dw){.dw = ft_block_at(b, b->g, l->off_b),
					   .dy = m->dx,
					   .x = m->ue,
					   .m = m->t,
					   .n = l->n,
					   .k = l->r,
					   .ws = m->ws});
	k->matmul_dx(k, &(struct ftk_matmul_dx){.dx = m->ue,
						.dy = m->dx,
						.w = l->b,
						.m = m->t,
						.ws = m->ws});
	k->embed_backward(k, &(struct ftk_embed_backward){
				     .dtable = ft_block_at(b, b->g, l->off_a),
				     .dy = m->ue,
				     .ids = m->ids,
				     .t = m->t,
				     .c = l->r,
				     .scale = l->scale * ft_model_scale(m)});
}

void ft_model_backward(struct ft_model *m, const struct ft_run *run,
		       const struct ft_pass *p)
{
	const struct ft_lora_mod *on_table =
		ft_lora_at(run->adapter, FT_EMBED, 0);
	struct ftk *k = m->k;

	m->run = *run;
	/* ft_model_head left the gradient of the final norm's output in dn */
	k->zero(k, m->dx, p->t * m->cfg.hidden * k->act_size);
	norm_backward(m, FT_NORM, 0, m->t, m->x_final, m->stat_final, m->dn,
		      m->dx);
	for (size_t i = m->cfg.layers; i-- > 0;) {
		ft_model_again(m, i, p->nseg);
		mlp_backward(m, i);
		attn_backward(m, i, p->nseg);
	}
	embed_backward(m, FT_EMBED, m->ids, ft_model_scale(m));
	if (ft_has(m, FT_POS))
		embed_backward(m, FT_POS, m->pos, 1);
	if (on_table)
		embed_lora_backward(m, on_table);
}
