/* SPDX-License-Identifier: MIT */
/* Products with a weight of any kind, for the checks. */
#ifndef FT_TEST_PRODUCTS_H
#define FT_TEST_PRODUCTS_H

#include "tests/kernels/check.h"

/* y [m, n] of x [m, k]; more: with a bias, added to what is there. */
static inline void product(struct ctx *c, size_t m, size_t n, size_t k,
			   const struct ftk_weight *w, size_t more, size_t real)
{
	struct ftk_matmul a = {.y = real ? inout(c, m * n)
					 : act_inout(c, m * n),
			       .x = act_in(c, m * k),
			       .w = w,
			       .m = m,
			       .accumulate = (int)more,
			       .real = (int)real};

	if (more)
		a.bias = in(c, n);
	a.ws = scratch(c, c->k->matmul_ws(c->k, &a));
	c->k->matmul(c->k, &a);
}

/* dx [m, k] of dy [m, n]; more: added to what is there. */
static inline void product_dx(struct ctx *c, size_t m, size_t n, size_t k,
			      const struct ftk_weight *w, size_t more,
			      size_t real)
{
	struct ftk_matmul_dx a = {.dx = act_inout(c, m * k),
				  .dy = real ? in(c, m * n) : act_in(c, m * n),
				  .w = w,
				  .m = m,
				  .accumulate = (int)more,
				  .real = (int)real};

	a.ws = scratch(c, c->k->matmul_dx_ws(c->k, &a));
	c->k->matmul_dx(c->k, &a);
}

typedef const struct ftk_weight *weight_fn(struct ctx *c, size_t n, size_t k,
					   unsigned use);

static inline struct ftk_dropout dropout(struct ctx *c, size_t m,
					 size_t percent)
{
	uint64_t *token = new_buf(c, m * sizeof(*token), 0);

	for (size_t i = 0; i < m; i++)
		token[i] = 0x9E3779B97F4A7C15u * (i + 1);
	return (struct ftk_dropout){(float)percent / 100, 0xDEADBEEF12345678u,
				    77, token};
}

/* LoRA's rank at output i of those below, 0 for none: the last of three has
   none, and the first of two; the second's is another. */
static inline size_t rank_at(const size_t *d, size_t i)
{
	int with = d[2] && (d[7] ? i < 2 : !d[6] || i > 0);

	return !with ? 0 : i == 1 ? d[2] / 2 + 1 : d[2];
}

/* dims: m, k, rank, percent dropped, accumulate, n of each */
static inline void linears(struct ctx *c, const size_t *d, weight_fn *make)
{
	struct ftk_matmul base[FTK_LINEAR_MAX];
	struct ftk_lora lora[FTK_LINEAR_MAX];
	struct ftk_linear a = {base, d[2] ? lora : NULL, 0, NULL};
	const void *x = act_in(c, d[0] * d[1]);

	for (; a.n < FTK_LINEAR_MAX && d[5 + a.n]; a.n++) {
		size_t n = d[5 + a.n], r = rank_at(d, a.n), with = r > 0;

		base[a.n] = (struct ftk_matmul){
			.y = act_inout(c, d[0] * n),
			.x = x,
			.w = make(c, n, d[1], FTK_W_FORWARD),
			.bias = a.n == 0 ? in(c, n) : NULL,
			.m = d[0],
			.accumulate = (int)d[4]};
		lora[a.n] = (struct ftk_lora){
			.y = base[a.n].y,
			.u = with ? act_out(c, d[0] * r) : NULL,
			.x = x,
			.a = with ? in(c, r * d[1]) : NULL,
			.b = with ? in(c, n * r) : NULL,
			.m = d[0],
			.n = n,
			.k = d[1],
			.r = r,
			.scale = 0.5f,
			.drop = dropout(c, d[0], a.n == 0 ? d[3] : 0)};
	}
	a.ws = scratch(c, c->k->linear_ws(c->k, &a));
	c->k->linear(c->k, &a);
}

/* dims: m, k, rank, percent dropped, accumulate, n of each, no dx */
static inline void linears_backward(struct ctx *c, const size_t *d,
				    weight_fn *make)
{
	struct ftk_matmul_dx base[FTK_LINEAR_MAX];
	struct ftk_lora_backward lora[FTK_LINEAR_MAX];
	struct ftk_linear_backward a = {base, d[2] ? lora : NULL, 0, NULL};
	const void *x = act_in(c, d[0] * d[1]);
	void *dx = d[8] ? NULL : act_inout(c, d[0] * d[1]);

	for (; a.n < FTK_LINEAR_MAX && d[5 + a.n]; a.n++) {
		size_t n = d[5 + a.n], r = rank_at(d, a.n), with = r > 0;

		base[a.n] = (struct ftk_matmul_dx){
			.dx = dx,
			.dy = act_in(c, d[0] * n),
			.w = make(c, n, d[1], FTK_W_BACKWARD),
			.m = d[0],
			.accumulate = a.n ? 1 : (int)d[4]};
		lora[a.n] = (struct ftk_lora_backward){
			.dx = dx,
			.da = with ? inout(c, r * d[1]) : NULL,
			.db = with ? inout(c, n * r) : NULL,
			.dy = base[a.n].dy,
			.x = x,
			.u = with ? act_in(c, d[0] * r) : NULL,
			.a = with ? in(c, r * d[1]) : NULL,
			.b = with ? in(c, n * r) : NULL,
			.m = d[0],
			.n = n,
			.k = d[1],
			.r = r,
			.scale = 0.5f,
			.drop = dropout(c, d[0], a.n == 0 ? d[3] : 0)};
	}
	a.ws = scratch(c, c->k->linear_backward_ws(c->k, &a));
	c->k->linear_backward(c->k, &a);
}

#endif
