/* SPDX-License-Identifier: MIT */
/*
 * Operations on rows and elements, on sizes that no vector divides.
 *
 * Tolerances: 2e-6 is some 30 units in the last place: sums of up to a few
 * hundred floats in another order.  Updates and copies are exact or nearly.
 */
#include "tests/kernels/check.h"

static void embed(struct ctx *c, const size_t *d)
{
	struct ftk_embed a = {.y = act_out(c, d[0] * d[1]),
			      .t = d[0],
			      .c = d[1],
			      .table = weight(c, 11, d[1], FTK_W_ROWS),
			      .ids = indexes(c, d[0], 11),
			      .scale = 1.5f};

	c->k->embed(c->k, &a);
}

static void embed_backward(struct ctx *c, const size_t *d)
{
	struct ftk_embed_backward a = {.dtable = inout(c, 11 * d[1]),
				       .dy = act_in(c, d[0] * d[1]),
				       .ids = indexes(c, d[0], 11),
				       .t = d[0],
				       .c = d[1],
				       .scale = 1.5f};

	c->k->embed_backward(c->k, &a);
}

/* dims: t, c, kind, with add and bias and stat? */
static void norm(struct ctx *c, const size_t *d)
{
	struct ftk_norm a = {.y = act_out(c, d[0] * d[1]),
			     .x = act_fill(c, d[0] * d[1], 0.5f, 1, 1),
			     .w = in(c, d[1]),
			     .t = d[0],
			     .c = d[1],
			     .eps = 1e-5f,
			     .shift = d[3] ? 1 : 0,
			     .kind = (int)d[2]};

	if (d[3]) {
		a.add = act_in(c, d[0] * d[1]);
		a.b = in(c, d[1]);
		a.stat = out(c, d[0] * 2);
	}
	c->k->norm(c->k, &a);
}

static void norm_backward(struct ctx *c, const size_t *d)
{
	struct ftk_norm_backward a = {.dx = act_inout(c, d[0] * d[1]),
				      .dy = act_in(c, d[0] * d[1]),
				      .x = act_in(c, d[0] * d[1]),
				      .w = in(c, d[1]),
				      .t = d[0],
				      .c = d[1],
				      .stat = fill(c, d[0] * 2, 1, 0.3f, 0),
				      .kind = (int)d[2]};

	if (d[3]) {
		a.dw = inout(c, d[1]);
		a.shift = 1;
	}
	if (d[3] > 1)
		a.db = inout(c, d[1]);
	a.ws = scratch(c, c->k->norm_backward_ws(c->k, &a));
	c->k->norm_backward(c->k, &a);
}

/* dims: t, heads, d, rot, inverse */
static void rope(struct ctx *c, const size_t *d)
{
	size_t ld = d[1] * d[2] + 5;
	struct ftk_rope a = {.x = act_inout(c, d[0] * ld),
			     .t = d[0],
			     .pos = indexes(c, d[0], 19),
			     .table = in(c, 19 * d[3]),
			     .heads = d[1],
			     .d = d[2],
			     .rot = d[3],
			     .ld = ld,
			     .inverse = (int)d[4]};

	c->k->rope(c->k, &a);
}

/* dims: n, act, with up? */
static void glu(struct ctx *c, const size_t *d)
{
	struct ftk_glu a = {.h = act_out(c, d[0]),
			    .gate = act_fill(c, d[0], 0, 9, 0),
			    .up = d[2] ? act_in(c, d[0]) : NULL,
			    .n = d[0],
			    .act = (int)d[1]};

	c->k->glu(c->k, &a);
}

static void glu_backward(struct ctx *c, const size_t *d)
{
	struct ftk_glu_backward a = {.dgate = act_out(c, d[0]),
				     .dup = d[2] ? act_out(c, d[0]) : NULL,
				     .dh = act_in(c, d[0]),
				     .gate = act_fill(c, d[0], 0, 9, 0),
				     .up = d[2] ? act_in(c, d[0]) : NULL,
				     .n = d[0],
				     .act = (int)d[1]};

	c->k->glu_backward(c->k, &a);
}

/* In place: h is gate; dgate, dup are gate, up. */
static void glu_inplace(struct ctx *c, const size_t *d)
{
	void *gate = act_fill(c, d[0], 0, 3, 1), *up = act_inout(c, d[0]);
	void *dh = act_inout(c, d[0]), *h = act_inout(c, d[0]);
	struct ftk_glu f = {.h = h, .gate = h, .up = up, .n = d[0]};
	struct ftk_glu_backward b = {.dgate = gate,
				     .dup = up,
				     .dh = dh,
				     .gate = gate,
				     .up = up,
				     .n = d[0]};

	c->k->glu(c->k, &f);
	c->k->glu_backward(c->k, &b);
}

static void gather(struct ctx *c, const size_t *d)
{
	struct ftk_gather a = {.y = act_out(c, d[0] * d[1]),
			       .x = act_in(c, 11 * d[1]),
			       .idx = indexes(c, d[0], 11),
			       .n = d[0],
			       .c = d[1]};

	c->k->gather(c->k, &a);
}

static void scatter(struct ctx *c, const size_t *d)
{
	int32_t *idx = indexes(c, d[0], 1);
	struct ftk_scatter a = {.y = act_inout(c, (3 * d[0] + 1) * d[1]),
				.x = act_in(c, d[0] * d[1]),
				.idx = idx,
				.n = d[0],
				.c = d[1]};

	for (size_t i = 0; i < d[0]; i++)
		idx[i] = (int32_t)(3 * ((i + 5) % d[0]) + 1);
	c->k->scatter(c->k, &a);
}

static void scatter_add(struct ctx *c, const size_t *d)
{
	int32_t *idx = indexes(c, d[0], 1);
	struct ftk_scatter_add a = {.y = act_inout(c, d[0] * d[1]),
				    .x = act_in(c, d[0] * d[1]),
				    .idx = idx,
				    .coef = d[2] ? in(c, d[0]) : NULL,
				    .n = d[0],
				    .c = d[1]};

	for (size_t i = 0; i < d[0]; i++)
		idx[i] = (int32_t)(i / 7);
	c->k->scatter_add(c->k, &a);
}

static void sums(struct ctx *c, const size_t *d)
{
	void *y = inout(c, d[0]);
	double *sum = new_buf(c, sizeof(*sum), 0);
	float *shown = out(c, 1);
	struct ftk_accum a = {act_inout(c, d[0]), act_in(c, d[0]), d[0]};
	struct ftk_scale s = {y, 0.3f, d[0]};
	struct ftk_sumsq q = {.out = sum, .x = y, .n = d[0]};

	c->k->accum(c->k, &a);
	c->k->scale(c->k, &s);
	q.ws = scratch(c, c->k->sumsq_ws(c->k, &q));
	c->k->sumsq(c->k, &q);
	*shown = (float)*sum;
}

static void clear(struct ctx *c, const size_t *d)
{
	float *y = inout(c, d[0]);
	struct ftk_scale s = {y, 0, d[0]};

	y[0] = NAN;
	y[d[0] - 1] = INFINITY;
	c->k->scale(c->k, &s);
}

/* dims: n, t */
static void adamw(struct ctx *c, const size_t *d)
{
	struct ftk_adamw a = {.p = inout(c, d[0]),
			      .m = fill(c, d[0], 0, 0.1f, 1),
			      .v = fill(c, d[0], 0.02f, 0.01f, 1),
			      .g = in(c, d[0]),
			      .n = d[0],
			      .lr = 1e-2f,
			      .beta1 = 0.9f,
			      .beta2 = 0.999f,
			      .eps = 1e-8f,
			      .decay = 0.1f,
			      .gscale = 0.7f,
			      .t = (int64_t)d[1]};

	c->k->adamw(c->k, &a);
}

/* dims: n, t, with momentum? */
static void sgd(struct ctx *c, const size_t *d)
{
	struct ftk_sgd a = {.p = inout(c, d[0]),
			    .m = d[2] ? inout(c, d[0]) : NULL,
			    .g = in(c, d[0]),
			    .n = d[0],
			    .lr = 1e-2f,
			    .momentum = 0.9f,
			    .decay = 0.1f,
			    .gscale = 0.7f,
			    .t = (int64_t)d[1]};

	c->k->sgd(c->k, &a);
}

static void softcap(struct ctx *c, const size_t *d)
{
	struct ftk_softcap a = {fill(c, d[0], 0, 20, 1), d[0], 7.5f};

	c->k->softcap(c->k, &a);
}

/* dims: n, v, all? */
static void xent(struct ctx *c, const size_t *d)
{
	float *x = fill(c, d[0] * d[1], 0, 20, 0);
	struct ftk_xent a = {.logits = x,
			     .target = indexes(c, d[0], d[1]),
			     .logp = out(c, d[0]),
			     .lse = out(c, d[0]),
			     .n = d[0],
			     .v = d[1]};

	if (d[2]) {
		int32_t *target = new_buf(c, d[0] * sizeof(*target), 0);

		a.entropy = out(c, d[0]);
		a.hit = exact(c, d[0]);
		a.target = target;
		for (size_t i = 0; i < d[0]; i++) { /* a tie, the first wins */
			target[i] = (int32_t)(i * 5 % d[1]);
			x[i * d[1] + (size_t)target[i]] = 30;
			x[i * d[1] + i * 7 % d[1]] = 30;
		}
	}
	c->k->xent(c->k, &a);
}

/* dims: n, v, cap */
static void xent_backward(struct ctx *c, const size_t *d)
{
	struct ftk_xent_backward a = {.logits = fill(c, d[0] * d[1], 0, 3, 1),
				      .target = indexes(c, d[0], d[1]),
				      .lse = fill(c, d[0], 4, 1, 0),
				      .coef = in(c, d[0]),
				      .n = d[0],
				      .v = d[1],
				      .softcap = (float)d[2]};

	c->k->xent_backward(c->k, &a);
}

/* Scratch for a larger batch serves a smaller one. */
static void check_growth(const char *isa)
{
	struct backend b = open_backend("cpu", isa, 2);
	float dw[1];
	struct ftk_norm_backward a = {.dw = dw, .c = 5};
	size_t most = 0, less = 0;

	for (a.t = 1; a.t < 3000; a.t++) {
		size_t n = b.k->norm_backward_ws(b.k, &a);

		less += n < most;
		most = n > most ? n : most;
	}
	CHECK(!less, "%s: norm_backward_ws never shrinks", b.k->isa);
	close_backend(&b);
}

/* dims: m, n, 1: num and den, 2: bias, 4: accumulate */
static void columns(struct ctx *c, const size_t *d)
{
	size_t n = d[0] * d[1];
	struct ftk_columns a = {.y = d[2] & 4 ? act_inout(c, n) : act_out(c, n),
				.x = act_in(c, n),
				.num = d[2] & 1 ? in(c, d[1]) : NULL,
				.den = fill(c, d[1], 2, 1, 0),
				.bias = d[2] & 2 ? in(c, d[1]) : NULL,
				.shift = -0.75f,
				.m = d[0],
				.n = d[1],
				.accumulate = (d[2] & 4) != 0};

	c->k->columns(c->k, &a);
}

/* dims: m, n, in x's place? */
static void columns_backward(struct ctx *c, const size_t *d)
{
	void *x = act_inout(c, d[0] * d[1]);
	struct ftk_columns_backward a = {.dx = d[2] ? x
						    : act_out(c, d[0] * d[1]),
					 .dnum = inout(c, d[1]),
					 .dy = act_in(c, d[0] * d[1]),
					 .x = x,
					 .num = in(c, d[1]),
					 .den = fill(c, d[1], 2, 1, 0),
					 .m = d[0],
					 .n = d[1]};

	c->k->columns_backward(c->k, &a);
}

int main(void)
{
	static const size_t rows[][2] = {{1, 1}, {3, 37}, {70, 288}, {33, 515}};

	for (size_t i = 0; i < 4; i++) {
		size_t t = rows[i][0], n = rows[i][1];

		check_case("embed", embed, DIMS(t, n), 0);
		check_case("embed_backward", embed_backward, DIMS(t, n), 2e-7);
		check_case("gather", gather, DIMS(t, n), 0);
		check_case("scatter", scatter, DIMS(t, n), 0);
		check_case("scatter_add", scatter_add, DIMS(t, n, 0), 0);
		check_case("scatter_add coef", scatter_add, DIMS(t, n, 1),
			   2e-7);
		for (size_t all = 0; all < 8; all++)
			check_case("columns", columns, DIMS(t, n, all), 5e-7);
		check_case("columns_backward", columns_backward, DIMS(t, n, 0),
			   2e-6);
		check_case("columns_backward in place", columns_backward,
			   DIMS(t, n, 1), 2e-6);
		for (size_t kind = FTK_RMS; kind <= FTK_LAYER; kind++) {
			check_case("norm", norm, DIMS(t, n + 1, kind, 0), 2e-6);
			check_case("norm with all", norm,
				   DIMS(t, n + 1, kind, 1), 2e-6);
			check_case("norm_backward", norm_backward,
				   DIMS(t, n, kind, 0), 2e-6);
			check_case("norm_backward dw", norm_backward,
				   DIMS(t, n, kind, 1), 2e-6);
			check_case("norm_backward dw db", norm_backward,
				   DIMS(t, n, kind, 2), 2e-6);
		}
		check_case("rope", rope, DIMS(t, 3, 48, 48, 0), 2e-7);
		check_case("rope partial inverse", rope, DIMS(t, 2, 37, 22, 1),
			   2e-7);
	}
	for (size_t n = 1; n < 20000; n = n * 7 + 2) {
		for (size_t act = FTK_SILU; act <= FTK_RELU; act++) {
			check_case("glu", glu, DIMS(n, act, 1), 5e-7);
			check_case("glu without up", glu, DIMS(n, act, 0),
				   5e-7);
			check_case("glu_backward", glu_backward,
				   DIMS(n, act, 1), 5e-7);
			check_case("glu_backward without up", glu_backward,
				   DIMS(n, act, 0), 5e-7);
		}
		check_case("glu in place", glu_inplace, DIMS(n), 5e-7);
		check_case("accum scale sumsq", sums, DIMS(n * 4), 1e-6);
		check_case("scale by 0", clear, DIMS(n * 4), 0);
		check_case("adamw", adamw, DIMS(n, 1), 5e-7);
		check_case("adamw later", adamw, DIMS(n, 1000), 5e-7);
		check_case("sgd", sgd, DIMS(n, 1, 0), 2e-6);
		check_case("sgd momentum", sgd, DIMS(n, 1, 1), 2e-6);
		check_case("sgd momentum later", sgd, DIMS(n, 2, 1), 2e-6);
		check_case("xent", xent, DIMS(5, n, 0), 1e-6);
		check_case("xent with all", xent, DIMS(5, n, 1), 1e-6);
		check_case("xent_backward", xent_backward, DIMS(5, n, 0), 1e-6);
		check_case("xent_backward capped", xent_backward, DIMS(5, n, 9),
			   1e-6);
		check_case("softcap", softcap, DIMS(n * 4), 5e-7);
	}
	check_growth("scalar");
	check_growth(NULL);
	return test_done();
}
