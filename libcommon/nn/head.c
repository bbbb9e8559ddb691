/* SPDX-License-Identifier: MIT */
/*
 * The language-model head and its cross-entropy, in chunks of the rows where
 * a token is predicted: the logits of a whole batch never exist.
 */
#include "libcommon/base/mem.h"
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
					  .m = n,
					  .real = 1,
					  .ws = m->ws});
	return m->logits;
}

static void chunk_backward(struct ft_model *m, const float *coef, size_t n)
{
	struct ftk *k = m->k;
	size_t c = m->cfg.hidden;

	k->put_real(k, m->coef, coef, n);
	k->xent_backward(k, &(struct ftk_xent_backward){.logits = m->logits,
							.target = m->target,
							.lse = m->lse,
							.coef = m->coef,
							.n = n,
							.v = m->cfg.vocab});
	k->matmul_dx(k, &(struct ftk_matmul_dx){.dx = m->dhrow,
						.dy = m->logits,
						.w = m->w[FT_HEAD].w,
						.m = n,
						.real = 1,
						.ws = m->ws});
	if (m->full)
		k->matmul_dw(k, &(struct ftk_matmul_dw){
					.dw = ft_block_grad_at(
						m, m->w[FT_HEAD].off_w),
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

static void chunk_values(struct ft_model *m, size_t n, float *logp,
			 float *entropy, uint8_t *hit)
{
	struct ftk *k = m->k;

	k->get_real(k, logp, m->logp, n);
	if (entropy)
		k->get_real(k, entropy, m->entropy, n);
	if (hit)
		k->get(k, hit, m->hit, n);
}

void ft_model_head(struct ft_model *m, const struct ft_pass *p,
		   const float *coef, float *logp, float *entropy, uint8_t *hit)
{
	struct ftk *k = m->k;

	if (coef)
		k->zero(k, m->dn, p->t * m->cfg.hidden * k->act_size);
	for (size_t i = 0; i < p->n; i += m->chunk) {
		size_t n = p->n - i < m->chunk ? p->n - i : m->chunk;

		ft_model_logits(m, p->src + i, n);
		k->put(k, m->target, p->target + i, n * sizeof(*p->target));
		k->xent(k, &(struct ftk_xent){.logits = m->logits,
					      .target = m->target,
					      .logp = m->logp,
					      .lse = m->lse,
					      .entropy = entropy ? m->entropy
								 : NULL,
					      .hit = hit ? m->hit : NULL,
					      .n = n,
					      .v = m->cfg.vocab});
		chunk_values(m, n, logp + i, entropy ? entropy + i : NULL,
			     hit ? hit + i : NULL);
		if (coef)
			chunk_backward(m, coef + i, n);
	}
	k->sync(k);
}
