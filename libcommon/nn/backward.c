/* SPDX-License-Identifier: MIT */
/* The backward of forward.c, layer by layer from the end. */
#include "libcommon/nn/model_priv.h"

/* LoRA's gradients; its r is 0 where there is none. */
static struct ftk_lora_backward
lora_back(struct ft_model *m, const struct ft_run *run, enum ft_slot s,
	  size_t layer, const void *x, const void *dy, void *dx)
{
	const struct ft_lora_mod *l = ft_lora_at(run->adapter, s, layer);
	const struct ft_block *b = l ? &run->adapter->b : NULL;

	if (!l)
		return (struct ftk_lora_backward){0};
	return (struct ftk_lora_backward){.dx = dx,
					  .dy = dy,
					  .x = x,
					  .u = m->act[layer].u[s],
					  .a = ft_block_at(b, b->p, l->off_a),
					  .b = ft_block_at(b, b->p, l->off_b),
					  .da = ft_block_at(b, b->g, l->off_a),
					  .db = ft_block_at(b, b->g, l->off_b),
					  .m = m->t,
					  .n = l->n,
					  .k = l->k,
					  .r = l->r,
					  .scale = l->scale,
					  .drop = ft_drop(m, run, s, layer)};
}

/*
 * Gradients of y[i] = x W' + bias + LoRA, of count slots from s on: dx (= or +=
 * with accumulate; NULL: not wanted), and those of what is trained.
 */
static void linears_backward(struct ft_model *m, const struct ft_run *run,
			     enum ft_slot s, size_t count, size_t layer,
			     const void *x, const void *const *dy, void *dx,
			     int accumulate)
{
	struct ftk_matmul_dx base[FTK_LINEAR_MAX];
	struct ftk_lora_backward part[FTK_LINEAR_MAX];
	struct ftk *k = m->k;
	size_t n, in;

	for (size_t i = 0; i < count; i++, s++) {
		const struct ft_weight *w = ft_weight_at(m, s, layer);

		base[i] = (struct ftk_matmul_dx){.dx = dx,
						 .dy = dy[i],
						 .w = w->w,
						 .m = m->t,
						 .accumulate = accumulate};
		part[i] = lora_back(m, run, s, layer, x, dy[i], dx);
		ft_config_shape(&m->cfg, s, &n, &in);
		if (m->full)
			k->matmul_dw(
				k,
				&(struct ftk_matmul_dw){
					.dw = ft_block_grad_at(m, w->off_w),
					.dbias = w->vec ? ft_block_grad_at(
								  m, w->off_vec)
							: NULL,
					.dy = dy[i],
					.x = x,
					.m = m->t,
					.n = n,
					.k = in,
					.ws = m->ws});
	}
	k->linear_backward(
		k, &(struct ftk_linear_backward){base, part, count, m->ws});
}

static void linear_backward(struct ft_model *m, const struct ft_run *run,
			    enum ft_slot s, size_t layer, const void *x,
			    const void *dy, void *dx, int accumulate)
{
	linears_backward(m, run, s, 1, layer, x, &dy, dx, accumulate);
}

/* dx += the gradient through a norm of t rows x. */
static void norm_backward(struct ft_model *m, enum ft_slot s, size_t layer,
			  size_t t, const void *x, const void *stat,
			  const void *dy, void *dx)
{
	const struct ft_weight *w = ft_weight_at(m, s, layer);
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
			.dw = ft_block_grad_at(m, w->off_vec),
			.db = w->bias ? ft_block_grad_at(m, w->off_bias) : NULL,
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

/* Below the first layer there is only the embedding. */
static void *first_dn(const struct ft_model *m, size_t layer)
{
	return layer || m->full ? m->dn : NULL;
}

static void mlp_backward(struct ft_model *m, const struct ft_run *run,
			 size_t layer)
{
	struct ft_layer_acts *l = &m->act[layer];
	bool parallel = m->cfg.arch->parallel;
	void *dn = parallel ? first_dn(m, layer) : m->dn;

	linear_backward(m, run, FT_DOWN, layer, l->h,
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
	linears_backward(m, run, FT_GATE, l->up ? 2 : 1, layer, l->n2,
			 (const void *[]){l->gate, l->up}, dn, 0);
	if (!parallel)
		norm_backward(m, FT_MLP_NORM, layer, m->t, l->xm, l->stat2,
			      m->dn, m->dx);
}

/* From gradients of q, k and v as attention reads them to those of the first
   norm's output. */
static void heads_backward(struct ft_model *m, const struct ft_run *run,
			   size_t layer, void *dn, int accumulate)
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
		linears_backward(m, run, FT_Q, 3, layer, l->n1,
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
	linear_backward(m, run, FT_QKV, layer, l->n1, m->qkv, dn, accumulate);
}

static void attn_backward(struct ft_model *m, const struct ft_run *run,
			  size_t layer, size_t nseg)
{
	const struct ft_config *c = &m->cfg;
	struct ft_layer_acts *l = &m->act[layer];
	void *dn = first_dn(m, layer);

	linear_backward(m, run, FT_O, layer, l->o,
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
	heads_backward(m, run, layer, dn, c->arch->parallel);
	if (dn)
		norm_backward(m, FT_ATTN_NORM, layer, m->t, l->xa, l->stat1, dn,
			      m->dx);
}

static void embed_backward(struct ft_model *m, enum ft_slot s,
			   const int32_t *ids, float scale)
{
	struct ftk_embed_backward a = {
		.dtable = ft_block_grad_at(m, m->w[s].off_w),
		.dy = m->dx,
		.ids = ids,
		.t = m->t,
		.c = m->cfg.hidden,
		.scale = scale};

	m->k->embed_backward(m->k, &a);
}

void ft_model_backward(struct ft_model *m, const struct ft_run *run,
		       const struct ft_pass *p)
{
	struct ftk *k = m->k;

	/* ft_model_head left the gradient of the final norm's output in dn */
	k->zero(k, m->dx, p->t * m->cfg.hidden * k->act_size);
	norm_backward(m, FT_NORM, 0, m->t, m->x_final, m->stat_final, m->dn,
		      m->dx);
	for (size_t i = m->cfg.layers; i-- > 0;) {
		ft_model_again(m, run, i, p->nseg);
		mlp_backward(m, run, i);
		attn_backward(m, run, i, p->nseg);
	}
	if (!m->full)
		return;
	embed_backward(m, FT_EMBED, m->ids, ft_model_scale(m));
	if (ft_has(m, FT_POS))
		embed_backward(m, FT_POS, m->pos, 1);
}
