/* SPDX-License-Identifier: MIT */
/*
 * Every backward against central differences of its forward, in double
 * (backend "ref64"), which the float backends are then checked against.
 *
 * Tolerance: with h = 1e-5 the differences err by h^2 times a third
 * derivative, some 1e-10, and by 1e-16 / h = 1e-11 from rounding: 1e-7 of the
 * largest gradient leaves room for the float arguments (eps, scale).
 */
#include "tests/kernels/check.h"

enum { STEP = 61 }; /* of a large array each 61st element is tried */

/* A forward: the sum of coef * its output. */
typedef double loss_fn(void *arg);

static double dot(const double *a, const double *b, size_t n)
{
	double s = 0;

	for (size_t i = 0; i < n; i++)
		s += a[i] * b[i];
	return s;
}

static void differ(const char *name, loss_fn *loss, void *arg, double *x,
		   const double *grad, size_t n)
{
	double h = 1e-5, err = 0, big = 1e-3;

	for (size_t i = 0; i<n; i += n> 500 ? STEP : 1) {
		double was = x[i], up, d;

		x[i] = was + h;
		up = loss(arg);
		x[i] = was - h;
		d = (up - loss(arg)) / (2 * h);
		x[i] = was;
		err = fmax(err, fabs(d - grad[i]));
		big = fmax(big, fabs(d));
	}
	CHECK(err <= 1e-7 * big, "%s: %.2g", name, err / big);
}

static double *zeros(struct ctx *c, size_t n)
{
	double *p = inout(c, n);

	memset(p, 0, n * sizeof(*p));
	return p;
}

/* --- matmul -------------------------------------------------------------- */

struct mat {
	struct ctx c;
	size_t m, n, k;
	double *y, *coef, *x, *w, *bias;
	const struct ftk_weight *weight;
};

static double mat_loss(void *arg)
{
	struct mat *s = arg;
	struct ftk_matmul a = {.y = s->y,
			       .x = s->x,
			       .w = s->weight,
			       .bias = s->bias,
			       .m = s->m};

	s->c.k->matmul(s->c.k, &a);
	return dot(s->y, s->coef, s->m * s->n);
}

static void check_matmul(struct ftk *k)
{
	struct mat s = {.c = {.k = k, .seed = 1}, .m = 5, .n = 7, .k = 11};
	struct ctx *c = &s.c;
	struct ftk_matrix m = {FTK_F64, NULL, s.n, s.k, FTK_W_TRAINED};
	double *dx = zeros(c, s.m * s.k), *dw = zeros(c, s.n * s.k);
	double *db = zeros(c, s.n);
	struct ftk_matmul_dx a = {.dx = dx, .m = s.m};
	struct ftk_matmul_dw b = {
		.dw = dw, .dbias = db, .m = s.m, .n = s.n, .k = s.k};

	s.y = out(c, s.m * s.n);
	s.coef = inout(c, s.m * s.n);
	s.x = inout(c, s.m * s.k);
	m.data = s.w = inout(c, s.n * s.k);
	s.bias = inout(c, s.n);
	a.w = s.weight =
		k->weight_make(k, new_buf(c, k->weight_bytes(k, &m), 0), &m);
	b.dy = a.dy = s.coef;
	b.x = s.x;
	k->matmul_dx(k, &a);
	k->matmul_dw(k, &b);
	differ("matmul_dx", mat_loss, &s, s.x, dx, s.m * s.k);
	differ("matmul_dw", mat_loss, &s, s.w, dw, s.n * s.k);
	differ("matmul_dw dbias", mat_loss, &s, s.bias, db, s.n);
	release(c);
}

/* --- lora ---------------------------------------------------------------- */

struct lora {
	struct ctx c;
	struct ftk_lora a;
	double *y, *coef;
};

static double lora_loss(void *arg)
{
	struct lora *s = arg;

	memset(s->y, 0, s->a.m * s->a.n * sizeof(*s->y));
	s->c.k->lora(s->c.k, &s->a);
	return dot(s->y, s->coef, s->a.m * s->a.n);
}

static void check_lora(struct ftk *k, float p)
{
	static const uint64_t token[6] = {1, 22, 333, 4444, 55555, 666666};
	enum { T = 6, N = 9, K = 21, R = 4 };
	struct lora s = {.c = {.k = k, .seed = 1}};
	struct ctx *c = &s.c;
	double *x = inout(c, T * K), *a = inout(c, R * K), *b = inout(c, N * R);
	double *dx = zeros(c, T * K), *da = zeros(c, R * K);
	double *db = zeros(c, N * R);
	struct ftk_lora_backward g = {.dx = dx,
				      .da = da,
				      .db = db,
				      .x = x,
				      .a = a,
				      .b = b,
				      .m = T,
				      .n = N,
				      .k = K,
				      .r = R,
				      .scale = 0.5f,
				      .drop = {p, 12345, 6, token}};

	s.y = out(c, T * N);
	s.coef = inout(c, T * N);
	s.a = (struct ftk_lora){.y = s.y,
				.u = out(c, T * R),
				.x = x,
				.a = a,
				.b = b,
				.m = T,
				.n = N,
				.k = K,
				.r = R,
				.scale = 0.5f,
				.drop = g.drop};
	s.a.ws = scratch(c, k->lora_ws(k, &s.a));
	lora_loss(&s);
	g.dy = s.coef;
	g.u = s.a.u;
	g.ws = scratch(c, k->lora_backward_ws(k, &g));
	k->lora_backward(k, &g);
	differ(p > 0 ? "lora dropped dx" : "lora dx", lora_loss, &s, x, dx,
	       T * K);
	differ(p > 0 ? "lora dropped da" : "lora da", lora_loss, &s, a, da,
	       R * K);
	differ(p > 0 ? "lora dropped db" : "lora db", lora_loss, &s, b, db,
	       N * R);
	release(c);
}

/* --- columns ------------------------------------------------------------- */

struct columns {
	struct ctx c;
	struct ftk_columns a;
	double *coef;
};

static double columns_loss(void *arg)
{
	struct columns *s = arg;

	s->c.k->columns(s->c.k, &s->a);
	return dot(s->a.y, s->coef, s->a.m * s->a.n);
}

static void check_columns(struct ftk *k)
{
	enum { M = 7, N = 70 };
	struct columns s = {.c = {.k = k, .seed = 1}};
	struct ctx *c = &s.c;
	double *x = inout(c, M * N), *num = inout(c, N);
	double *dx = zeros(c, M * N), *dnum = zeros(c, N);
	const void *den = fill(c, N, 2, 1, 0);

	s.coef = inout(c, M * N);
	s.a = (struct ftk_columns){.y = out(c, M * N),
				   .x = x,
				   .num = num,
				   .den = den,
				   .bias = in(c, N),
				   .m = M,
				   .n = N};
	k->columns_backward(k, &(struct ftk_columns_backward){.dx = dx,
							      .dnum = dnum,
							      .dy = s.coef,
							      .x = x,
							      .num = num,
							      .den = den,
							      .m = M,
							      .n = N});
	differ("columns dx", columns_loss, &s, x, dx, M * N);
	differ("columns dnum", columns_loss, &s, num, dnum, N);
	release(c);
}

/* --- norm ---------------------------------------------------------------- */

struct norm {
	struct ctx c;
	struct ftk_norm a;
	double *x, *coef;
};

static double norm_loss(void *arg)
{
	struct norm *s = arg;

	s->c.k->norm(s->c.k, &s->a);
	return dot(s->a.y, s->coef, s->a.t * s->a.c);
}

static void check_norm(struct ftk *k, int kind, float shift)
{
	enum { T = 5, C = 13 };
	struct norm s = {.c = {.k = k, .seed = 1}};
	struct ctx *c = &s.c;
	double *x = fill(c, T * C, 0.3f, 1, 1), *w = inout(c, C);
	double *b = inout(c, C), *dx = zeros(c, T * C), *dw = zeros(c, C);
	double *db = zeros(c, C);
	struct ftk_norm_backward g = {.dx = dx,
				      .x = x,
				      .w = w,
				      .dw = dw,
				      .db = db,
				      .t = T,
				      .c = C,
				      .shift = shift,
				      .kind = kind};

	s.coef = inout(c, T * C);
	s.a = (struct ftk_norm){.y = out(c, T * C),
				.x = x,
				.w = w,
				.b = b,
				.stat = out(c, 2 * T),
				.t = T,
				.c = C,
				.eps = 1e-3f,
				.shift = shift,
				.kind = kind};
	norm_loss(&s);
	g.dy = s.coef;
	g.stat = s.a.stat;
	k->norm_backward(k, &g);
	differ(kind ? "layer norm dx" : "rms norm dx", norm_loss, &s, x, dx,
	       T * C);
	differ(kind ? "layer norm dw" : "rms norm dw", norm_loss, &s, w, dw, C);
	differ(kind ? "layer norm db" : "rms norm db", norm_loss, &s, b, db, C);
	release(c);
}

/* --- glu ----------------------------------------------------------------- */

struct glu {
	struct ctx c;
	struct ftk_glu a;
	double *coef;
};

static double glu_loss(void *arg)
{
	struct glu *s = arg;

	s->c.k->glu(s->c.k, &s->a);
	return dot(s->a.h, s->coef, s->a.n);
}

static void check_glu(struct ftk *k, int act)
{
	enum { N = 99 };
	struct glu s = {.c = {.k = k, .seed = 1}};
	struct ctx *c = &s.c;
	double *gate = fill(c, N, 0, 5, 1), *up = inout(c, N);
	double *dgate = out(c, N), *dup = out(c, N);
	struct ftk_glu_backward g = {dgate, dup, NULL, gate, up, N, act};
	char name[64];

	s.coef = inout(c, N);
	s.a = (struct ftk_glu){out(c, N), gate, up, N, act};
	g.dh = s.coef;
	k->glu_backward(k, &g);
	snprintf(name, sizeof(name), "glu %d dgate", act);
	differ(name, glu_loss, &s, gate, dgate, N);
	snprintf(name, sizeof(name), "glu %d dup", act);
	differ(name, glu_loss, &s, up, dup, N);
	g.up = s.a.up = NULL;
	k->glu_backward(k, &g);
	snprintf(name, sizeof(name), "activation %d", act);
	differ(name, glu_loss, &s, gate, dgate, N);
	release(c);
}

/* --- attention ----------------------------------------------------------- */

struct attn {
	struct ctx c;
	struct ftk_attn a;
	double *coef;
};

static double attn_loss(void *arg)
{
	struct attn *s = arg;

	s->c.k->attn(s->c.k, &s->a);
	return dot(s->a.o, s->coef, s->a.tq * s->a.hq * s->a.d);
}

static void check_attn(struct ftk *k, int window, float softcap)
{
	enum { T = 26, HQ = 4, HKV = 2, D = 6 };
	static const struct ftk_segment seg[] = {{0, 9, 0, 9, 0, 0},
						 {9, 5, 9, 5, 0, 9},
						 {14, 7, 14, 7, 0, 9},
						 {21, 5, 21, 5, 0, 0}};
	struct attn s = {.c = {.k = k, .seed = 1}};
	struct ctx *c = &s.c;
	size_t nq = T * HQ * D, nk = T * HKV * D;
	double *q = inout(c, nq), *key = inout(c, nk), *v = inout(c, nk);
	double *dq = out(c, nq), *dk = out(c, nk), *dv = out(c, nk);
	struct ftk_attn_backward g = {.dq = dq,
				      .dk = dk,
				      .dv = dv,
				      .q = q,
				      .k = key,
				      .v = v,
				      .seg = seg,
				      .nseg = 4,
				      .tq = T,
				      .hq = HQ,
				      .hkv = HKV,
				      .d = D,
				      .scale = 0.7f,
				      .window = window,
				      .softcap = softcap};
	char name[64];

	s.coef = inout(c, nq);
	s.a = (struct ftk_attn){.o = out(c, nq),
				.q = q,
				.k = key,
				.v = v,
				.lse = out(c, T * HQ),
				.seg = seg,
				.nseg = 4,
				.tq = T,
				.hq = HQ,
				.hkv = HKV,
				.d = D,
				.scale = 0.7f,
				.window = window,
				.softcap = softcap};
	s.a.ws = scratch(c, k->attn_ws(k, &s.a));
	attn_loss(&s);
	g.dout = s.coef;
	g.o = s.a.o;
	g.lse = s.a.lse;
	g.ws = scratch(c, k->attn_backward_ws(k, &g));
	k->attn_backward(k, &g);
	snprintf(name, sizeof(name), "attn window %d softcap %g dq", window,
		 (double)softcap);
	differ(name, attn_loss, &s, q, dq, nq);
	name[strlen(name) - 1] = 'k';
	differ(name, attn_loss, &s, key, dk, nk);
	name[strlen(name) - 1] = 'v';
	differ(name, attn_loss, &s, v, dv, nk);
	release(c);
}

/* --- cross entropy, rope, embedding -------------------------------------- */

struct rest {
	struct ctx c;
	struct ftk_xent xent;
	struct ftk_softcap cap;
	struct ftk_rope rope;
	struct ftk_embed embed;
	double *x, *work, *coef;
};

static double xent_loss(void *arg)
{
	struct rest *s = arg;

	double *capped = s->work;

	if (capped) {
		s->cap.x = capped;
		memcpy(capped, s->x, s->cap.n * sizeof(*capped));
		s->c.k->softcap(s->c.k, &s->cap);
	}
	s->c.k->xent(s->c.k, &s->xent);
	return dot(s->xent.logp, s->coef, s->xent.n);
}

static void check_xent(struct ftk *k, float cap)
{
	enum { N = 4, V = 31 };
	struct rest s = {.c = {.k = k, .seed = 1}};
	struct ctx *c = &s.c;
	double *x = fill(c, N * V, 0, 4, 1), *d = inout(c, N * V);
	struct ftk_xent_backward g = {
		.logits = d, .n = N, .v = V, .softcap = cap};

	s.coef = inout(c, N);
	s.x = x;
	s.work = cap > 0 ? inout(c, N * V) : NULL;
	s.cap = (struct ftk_softcap){.n = N * V, .cap = cap};
	s.xent = (struct ftk_xent){.logits = s.work ? s.work : x,
				   .target = indexes(c, N, V),
				   .logp = out(c, N),
				   .lse = out(c, N),
				   .n = N,
				   .v = V};
	xent_loss(&s);
	memcpy(d, s.xent.logits, N * V * sizeof(*d));
	g.target = s.xent.target;
	g.lse = s.xent.lse;
	g.coef = s.coef;
	k->xent_backward(k, &g);
	differ(cap > 0 ? "xent of capped logits" : "xent", xent_loss, &s, x, d,
	       N * V);
	release(c);
}

static double rope_loss(void *arg)
{
	struct rest *s = arg;
	size_t n = s->rope.t * s->rope.ld;

	memcpy(s->work, s->x, n * sizeof(*s->x));
	s->c.k->rope(s->c.k, &s->rope);
	return dot(s->work, s->coef, n);
}

static void check_rope(struct ftk *k)
{
	enum { T = 3, H = 2, D = 10, ROT = 6, N = T * H * D, POS = 8 };
	struct rest s = {.c = {.k = k, .seed = 1}};
	struct ctx *c = &s.c;
	double *table = inout(c, POS * ROT), *d = inout(c, N);

	for (size_t i = 0; i < POS; i++)
		for (size_t j = 0; j < ROT / 2; j++) {
			table[i * ROT + j] = cos((double)(i + 3 * j));
			table[i * ROT + ROT / 2 + j] = sin((double)(i + 3 * j));
		}
	s.x = inout(c, N);
	s.work = inout(c, N);
	s.coef = inout(c, N);
	s.rope = (struct ftk_rope){.x = d,
				   .pos = indexes(c, T, POS),
				   .table = table,
				   .t = T,
				   .heads = H,
				   .d = D,
				   .rot = ROT,
				   .ld = H * D,
				   .inverse = 1};
	memcpy(d, s.coef, N * sizeof(*d));
	k->rope(k, &s.rope);
	s.rope.x = s.work;
	s.rope.inverse = 0;
	differ("rope", rope_loss, &s, s.x, d, N);
	release(c);
}

static double embed_loss(void *arg)
{
	struct rest *s = arg;

	s->c.k->embed(s->c.k, &s->embed);
	return dot(s->work, s->coef, s->embed.t * s->embed.c);
}

static void check_embed(struct ftk *k)
{
	enum { T = 9, C = 5, V = 4 };
	struct rest s = {.c = {.k = k, .seed = 1}};
	struct ctx *c = &s.c;
	double *table = inout(c, V * C), *d = zeros(c, V * C);
	struct ftk_matrix m = {FTK_F64, table, V, C, FTK_W_TRAINED};
	struct ftk_embed_backward g = {
		.dtable = d, .t = T, .c = C, .scale = 1.5f};

	s.work = out(c, T * C);
	s.coef = inout(c, T * C);
	s.embed = (struct ftk_embed){.y = s.work,
				     .t = T,
				     .c = C,
				     .ids = indexes(c, T, V),
				     .scale = 1.5f};
	s.embed.table =
		k->weight_make(k, new_buf(c, k->weight_bytes(k, &m), 0), &m);
	g.ids = s.embed.ids;
	g.dy = s.coef;
	k->embed_backward(k, &g);
	differ("embed", embed_loss, &s, table, d, V * C);
	release(c);
}

int main(void)
{
	struct backend b = open_backend("ref64", NULL, 2);
	struct ftk *k = b.k;

	CHECK(k && k->real == FTK_F64, "ref64 computes in double");
	if (!k)
		return test_done();
	check_matmul(k);
	check_lora(k, 0);
	check_lora(k, 0.3f);
	check_columns(k);
	for (int kind = FTK_RMS; kind <= FTK_LAYER; kind++) {
		check_norm(k, kind, 0);
		check_norm(k, kind, 1);
	}
	for (int act = FTK_SILU; act <= FTK_RELU; act++)
		check_glu(k, act);
	check_attn(k, 0, 0);
	check_attn(k, 4, 0);
	check_attn(k, 0, 1.5f);
	check_attn(k, 3, 2);
	check_xent(k, 0);
	check_xent(k, 5);
	check_rope(k);
	check_embed(k);
	close_backend(&b);
	return test_done();
}
