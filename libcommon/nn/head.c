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

void *ft_model_logits(struct ft_model *m, const int32_t *src, size_t n)
{
	struct ftk *k = m->k;

	k->put(k, m->src, src, n * sizeof(*src));
	k->gather(k, &(struct ftk_gather){.y = m->hrow,
					  .x = m->n_final,
					  .idx = m->src,
					  .n = n,
					  .c = m->cfg.hidden});
	k->matmul(k, &(struct ftk_matmul){.y = m->logits,
					  .x = m->hrow,
					  .w = m->w[FT_HEAD].w,
					  .bias = m->w[FT_HEAD].vec,
					  .m = n,
					  .real = 1,
					  .ws = m->ws});
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
	k->matmul_dx(k, &(struct ftk_matmul_dx){.dx = slopes,
						.dy = m->logits,
						.w = m->w[FT_HEAD].w,
						.m = n,
						.real = 1,
						.ws = m->ws});
}

static void chunk_backward(struct ft_model *m, const float *coef, size_t n)
{
	struct ftk *k = m->k;
	size_t c = m->cfg.hidden;

	chunk_slopes(m, coef, n, m->dhrow);
	if (m->full)
		k->matmul_dw(
			k,
			&(struct ftk_matmul_dw){
				.dw = ft_block_grad_at(m, m->w[FT_HEAD].off_w),
				.dbias =
					m->w[FT_HEAD].vec
						? ft_block_grad_at(
							  m,
							  m->w[FT_HEAD].off_vec)
						: NULL,
				.dy = m->logits,
				.x = m->hrow,
				.m = n,
				.n = m->cfg.vocab,
				.k = c,
				.real = 1,
				.ws = m->ws});
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
	if (m->full) {
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

	if (m->full) {
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
