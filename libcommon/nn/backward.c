/* SPDX-License-Identifier: MIT */
/* The backward of forward.c, layer by layer from the end. */
#include "libcommon/nn/model_priv.h"

/*
 * Gradients of y = x W' + bias + LoRA: dx (= or += with accumulate; NULL: not
 * wanted), and those of what is trained.
 */
static void linear_backward(struct ft_model *m, const struct ft_run *run,
			    enum ft_slot s, size_t layer, const void *x,
			    const void *dy, void *dx, int accumulate)
{
	const struct ft_weight *w = ft_weight_at(m, s, layer);
	const struct ft_lora_mod *l = ft_lora_at(run->adapter, s, layer);
	const struct ft_block *b = l ? &run->adapter->b : NULL;
	struct ftk *k = m->k;
	size_t n, in;

	ft_config_shape(&m->cfg, s, &n, &in);
	if (dx)
		k->matmul_dx(k,
			     &(struct ftk_matmul_dx){.dx = dx,
						     .dy = dy,
						     .w = w->w,
						     .m = m->t,
						     .accumulate = accumulate,
						     .ws = m->ws});
	if (m->full)
		k->matmul_dw(k, &(struct ftk_matmul_dw){
					.dw = ft_block_grad_at(m, w->off_w),
					.dbias = w->vec ? ft_block_grad_at(
								  m, w->off_vec)
							: NULL,
					.dy = dy,
					.x = x,
					.m = m->t,
					.n = n,
					.k = in,
					.ws = m->ws});
	if (!l)
		return;
	k->lora_backward(k, &(struct ftk_lora_backward){
				    .dx = dx,
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
				    .drop = ft_drop(m, run, s, layer),
				    .ws = m->ws});
}

/* dx += the gradient through a norm of x. */
static void norm_backward(struct ft_model *m, enum ft_slot s, size_t layer,
			  const void *x, const void *stat, const void *dy)
{
	const struct ft_weight *w = ft_weight_at(m, s, layer);

	m->k->norm_backward(m->k, &(struct ftk_norm_backward){
					  .dx = m->dx,
					  .dy = dy,
					  .x = x,
					  .w = w->vec,
					  .stat = stat,
					  .dw = ft_block_grad_at(m, w->off_vec),
					  .t = m->t,
					  .c = m->cfg.hidden,
					  .kind = m->cfg.arch->norm,
					  .ws = m->ws});
}

static void mlp_backward(struct ft_model *m, const struct ft_run *run,
			 size_t layer)
{
	struct ft_layer_acts *l = &m->act[layer];

	linear_backward(m, run, FT_DOWN, layer, l->h, m->dx, m->dh, 0);
	m->k->glu_backward(
		m->k, &(struct ftk_glu_backward){.dgate = l->gate,
						 .dup = l->up,
						 .dh = m->dh,
						 .gate = l->gate,
						 .up = l->up,
						 .act = m->cfg.act,
						 .n = m->t * m->cfg.inter});
	linear_backward(m, run, FT_GATE, layer, l->n2, l->gate, m->dn, 0);
	linear_backward(m, run, FT_UP, layer, l->n2, l->up, m->dn, 1);
	norm_backward(m, FT_MLP_NORM, layer, l->xm, l->stat2, m->dn);
}

static void attn_backward(struct ft_model *m, const struct ft_run *run,
			  size_t layer, size_t nseg)
{
	const struct ft_config *c = &m->cfg;
	struct ft_layer_acts *l = &m->act[layer];
	/* below the first layer there is only the embedding */
	void *dn = layer || m->full ? m->dn : NULL;

	linear_backward(m, run, FT_O, layer, l->o, m->dx, m->dao, 0);
	m->k->attn_backward(
		m->k, &(struct ftk_attn_backward){.dq = m->dq,
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
						  .scale = ft_attn_scale(c),
						  .ws = m->ws});
	ft_model_rope(m, m->dq, c->heads, 1);
	ft_model_rope(m, m->dk, c->kv_heads, 1);
	linear_backward(m, run, FT_Q, layer, l->n1, m->dq, dn, 0);
	linear_backward(m, run, FT_K, layer, l->n1, m->dk, dn, 1);
	linear_backward(m, run, FT_V, layer, l->n1, m->dv, dn, 1);
	if (dn)
		norm_backward(m, FT_ATTN_NORM, layer, l->xa, l->stat1, dn);
}

void ft_model_backward(struct ft_model *m, const struct ft_run *run,
		       const struct ft_pass *p)
{
	struct ftk *k = m->k;

	/* ft_model_head left the gradient of the final norm's output in dn */
	k->zero(k, m->dx, p->t * m->cfg.hidden * k->act_size);
	norm_backward(m, FT_NORM, 0, m->x_final, m->stat_final, m->dn);
	for (size_t i = m->cfg.layers; i-- > 0;) {
		ft_model_again(m, run, i, p->nseg);
		mlp_backward(m, run, i);
		attn_backward(m, run, i, p->nseg);
	}
	if (m->full)
		k->embed_backward(k, &(struct ftk_embed_backward){
					     .dtable = ft_block_grad_at(
						     m, m->w[FT_EMBED].off_w),
					     .dy = m->dx,
					     .ids = m->ids,
					     .t = p->t,
					     .c = m->cfg.hidden,
					     .scale = 1});
}
