/* SPDX-License-Identifier: MIT */
/*
 * Drawing tokens from logits, some rows at a time: the sample op with what it
 * wants in the backend's memory.
 */
#ifndef FT_NN_DRAW_H
#define FT_NN_DRAW_H

#include "kernels/ftk.h"
#include "libcommon/nn/generate.h"

/* Of each row, as struct ftk_sample has them. */
struct ft_draw_rows {
	double *u;
	float *temperature, *top_p, *min_p;
	int32_t *top_k, *id, *seen, *seen_at;
	void *logp;
};

struct ft_draws {
	struct ftk *k;
	float penalty; /* as of the op */
	size_t rows, vocab, behind;
	struct ft_draw_rows host, dev;
	void *host_mem, *dev_mem, *ws;
};

/* Room for so many rows at a time, with at most `behind` tokens behind each.
   On error there is nothing to release. */
int ft_draws_open(struct ft_draws *d, struct ftk *k,
		  const struct ft_gen_opts *o, size_t rows, size_t vocab,
		  size_t behind, struct ft_err *err);
/* Count that into p. */
void ft_draws_plan(struct ftk *k, const struct ft_gen_opts *o, size_t rows,
		   size_t vocab, size_t behind, struct ft_plan *p);
/* Row i, after rows 0 to i - 1: its number, and the tokens behind it, those of
   the prompt and those drawn. */
void ft_draws_row(struct ft_draws *d, size_t i, double u, const int32_t *prompt,
		  size_t nprompt, const int32_t *drawn, size_t ndrawn);
/* A token for each of the n rows of REAL logits [n, vocab], and its
   log-probability, on the host. */
void ft_draws_run(struct ft_draws *d, const void *logits, size_t n, int32_t *id,
		  float *logp);
void ft_draws_release(struct ft_draws *d);

#endif
