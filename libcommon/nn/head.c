/* SPDX-License-Identifier: MIT */
/*
 * The language-model head and its cross-entropy, in chunks of the rows where
 * a token is predicted: the logits of a whole batch never exist.
 */
#include "libcommon/nn/model_priv.h"

size_t ft_model_chunk(const struct ft_model *m)
{
	return m->chunk;
}

static const struct ft_lora_mod *head_lora(const struct ft_model *m)
{
	return ft_lora_at(m->run.adapter, FT_HEAD, 0);
}

/* Is anything of the head trained? */
static bool head_trains(const struct ft_model *m)
{
	return ft_weight_now(m, FT_HEAD, 0)->in || head_lora(m);
}

static void gather(struct ft_model *m, void *y, const void *x, size_t n,
		   size_t c)
{
	m->k->gather(m->k,
		     &(struct ftk_gather){
			     .y = y, .x = x, .idx = m->src, .n = n, .c = c});
}

/* u = scale * x A'; the logits += u B'. */
static void lora_logits(struct ft_model *m, const struct ft_lora_mod *l,
			size_t n)
{
	bool drops = m->run.dropout > 0;
	struct ftk *k = m->k;

	if (drops) { /* keys are so many ACT wide */
		gather(m, m->hkey, m->key, n, sizeof(*m->hkey) / k->act_size);
		k->drop(k, &(struct ftk_drop){.y = m->hx,
					      .x = m->hrow,
					      .m = n,
					      .n = l->k,
					      .drop = ft_drop(m, l)});
	}
	k->matmul(k, &(struct ftk_matmul){.y = m->uh,
					  .x = drops ? m->hx : m->hrow,
					  .w = l->a,
					  .m = n,
					  .ws = m->ws});
	k->columns(k, &(struct ftk_columns){.y = m->uh,
					    .x = m->uh,
					    .shift = l->scale,
					    .m = n,
					    .n = l->r});
	k->matmul(k, &(struct ftk_matmul){.y = m->logits,
					  .x = m->uh,
					  .w = l->b,
					  .m = n,
					  .accumulate = 1,
					  .real = 1,
					  .ws = m->ws});
}

static void lora_logits_backward(struct ft_model *m,
				 const struct ft_lora_mod *l, size_t n)
{
	const struct ft_block *b = &m->run.adapter->b;
	bool drops = m->run.dropout > 0;
	struct ftk *k = m->k;

	k->matmul_dw(
		k, &(struct ftk_matmul_dw){.dw = ft_block_at(b, b->g, l->off_b),
					   .dy = m->logits,
					   .x = m->uh,
					   .m = n,
					   .n = l->n,
					   .k = l->r,
					   .real = 1,
					   .ws = m->ws});
	k->matmul_dx(k, &(struct ftk_matmul_dx){.dx = m->duh,
						.dy = m->logits,
						.w = l->b,
						.m = n,
						.real = 1,
						.ws = m->ws});
	k->columns(k, &(struct ftk_columns){.y = m->duh,
					    .x = m->duh,
					    .shift = l->scale,
					    .m = n,
					    .n = l->r});
	k->matmul_dw(
		k, &(struct ftk_matmul_dw){.dw = ft_block_at(b, b->g, l->off_a),
					   .dy = m->duh,
					   .x = drops ? m->hx : m->hrow,
					   .m = n,
					   .n = l->r,
					   .k = l->k,
					   .ws = m->ws});
	k->matmul_dx(k, &(struct ftk_matmul_dx){.dx = drops ? m->hx : m->dhrow,
						.dy = m->duh,
						.w = l->a,
						.m = n,
						.accumulate = !drops,
						.ws = m->ws});
	if (!drops)
		return;
	k->drop(k, &(struct ftk_drop){.y = m->hx,
				      .x = m->hx,
				      .m = n,
				      .n = l->k,
				      .drop = ft_drop(m, l)});
	k->accum(k,
		 &(struct ftk_accum){.y = m->dhrow, .x = m->hx, .n = n * l->k});
}

void *ft_model_logits(struct ft_model *m, const int32_t *src, size_t n)
{
	const struct ft_weight *w = ft_weight_now(m, FT_HEAD, 0);
	struct ftk *k = m->k;

	k->put(k, m->src, src, n * sizeof(*src));
	gather(m, m->hrow, m->n_final, n, m->cfg.hidden);
	k->matmul(k, &(struct ftk_matmul){.y = m->logits,
					  .x = m->hrow,
					  .w = w->w,
					  .bias = w->vec,
					  .m = n,
					  .real = 1,
					  .ws = m->ws});
	if (head_lora(m))
		lora_logits(m, head_lora(m), n);
	if (m->cfg.logit_cap > 0)
		k->softcap(k, &(struct ftk_softcap){.x = m->logits,
						    .n = n * m->cfg.vocab,
						    .cap = m->cfg.logit_cap});
	return m->logits;
}

/* d sum coef * logp / d hidden of the chunk's rows, of the logits there are. */
static void chunk_slopes(struct ft_model *m, const float *coef, size_t n,
			 void *slopes)
{
	struct ftk *k = m->k;

	k->put_real(k, m->coef, coef, n);
	k->xent_backward(
		k, &(struct ftk_xent_backward){.logits = m->logits,
					       .target = m->target,
					       .lse = m->lse,
					       .coef = m->coef,
					       .n = n,
					       .v = m->cfg.vocab,
					       .softcap = m->cfg.logit_cap});
	k->matmul_dx(
		k, &(struct ftk_matmul_dx){.dx = slopes,
					   .dy = m->logits,
					   .w = ft_weight_now(m, FT_HEAD, 0)->w,
					   .m = n,
					   .real = 1,
					   .ws = m->ws});
}

static void chunk_backward(struct ft_model *m, const float *coef, size_t n)
{
	const struct ft_weight *w = ft_weight_now(m, FT_HEAD, 0);
	struct ftk *k = m->k;
	size_t c = m->cfg.hidden;

	chunk_slopes(m, coef, n, m->dhrow);
	if (w->in)
		k->matmul_dw(k, &(struct ftk_matmul_dw){
					.dw = ft_weight_grad(w, w->off_w),
					.dbias = w->vec ? ft_weight_grad(
								  w, w->off_vec)
							: NULL,
					.dy = m->logits,
					.x = m->hrow,
					.m = n,
					.n = m->cfg.vocab,
					.k = c,
					.real = 1,
					.ws = m->ws});
	if (head_lora(m))
		lora_logits_backward(m, head_lora(m), n);
	k->scatter_add(k, &(struct ftk_scatter_add){.y = m->dn,
						    .x = m->dhrow,
						    .idx = m->src,
						    .n = n,
						    .c = c});
}

static size_t chunk_at(const struct ft_model *m, const struct ft_pass *p,
		       size_t i)
{
	return p->n - i < m->chunk ? p->n - i : m->chunk;
}

/* Logits of the n predictions from i on, and what is wanted of them. */
static void chunk_forward(struct ft_model *m, const struct ft_pass *p, size_t i,
			  size_t n, float *logp, float *entropy, uint8_t *hit)
{
	struct ftk *k = m->k;

	ft_model_logits(m, p->src + i, n);
	k->put(k, m->target, p->target + i, n * sizeof(*p->target));
	k->xent(k, &(struct ftk_xent){.logits = m->logits,
				      .target = m->target,
				      .logp = m->logp,
				      .lse = m->lse,
				      .entropy = entropy ? m->entropy : NULL,
				      .hit = hit ? m->hit : NULL,
				      .n = n,
				      .v = m->cfg.vocab});
	if (logp)
		k->get_real(k, logp + i, m->logp, n);
	if (entropy)
		k->get_real(k, entropy + i, m->entropy, n);
	if (hit)
		k->get(k, hit + i, m->hit, n);
}

static void clear_dn(struct ft_model *m, const struct ft_pass *p)
{
	m->k->zero(m->k, m->dn, p->t * m->cfg.hidden * m->k->act_size);
}

void ft_model_head(struct ft_model *m, const struct ft_pass *p,
		   const float *coef, float *logp, float *entropy, uint8_t *hit)
{
	if (coef)
		clear_dn(m, p);
	for (size_t i = 0, n; i < p->n; i += n) {
		n = chunk_at(m, p, i);
		chunk_forward(m, p, i, n, logp, entropy, hit);
		if (coef)
			chunk_backward(m, coef + i, n);
	}
	m->k->sync(m->k);
}

static void *slope_at(const struct ft_model *m, size_t i)
{
	return (char *)m->slope + i * m->cfg.hidden * m->k->act_size;
}

void ft_model_slopes(struct ft_model *m, const struct ft_pass *p, float *logp,
		     float *entropy, uint8_t *hit)
{
	if (head_trains(m)) {
		ft_model_head(m, p, NULL, logp, entropy, hit);
		return;
	}
	for (size_t i = 0, n; i < p->n; i += n) {
		n = chunk_at(m, p, i);
		chunk_forward(m, p, i, n, logp, entropy, hit);
		chunk_slopes(m, m->ones, n, slope_at(m, i));
	}
	m->k->sync(m->k);
}

void ft_model_slopes_apply(struct ft_model *m, const struct ft_pass *p,
			   const float *coef)
{
	struct ftk *k = m->k;

	if (head_trains(m)) {
		ft_model_head(m, p, coef, NULL, NULL, NULL);
		return;
	}
	clear_dn(m, p);
	for (size_t i = 0, n; i < p->n; i += n) {
		n = chunk_at(m, p, i);
		k->put(k, m->src, p->src + i, n * sizeof(*p->src));
		k->put_real(k, m->coef, coef + i, n);
		k->scatter_add(k,
			       &(struct ftk_scatter_add){.y = m->dn,
							 .x = slope_at(m, i),
							 .idx = m->src,
							 .coef = m->coef,
							 .n = n,
							 .c = m->cfg.hidden});
	}
	k->sync(k);
}
