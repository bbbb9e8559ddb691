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

#endif
