/* SPDX-License-Identifier: MIT */
/*
 * Weights in NF4: what they become, and products with them, of sizes whose
 * rows are whole blocks of 64 and of such whose blocks span rows; their arrays
 * lie at odd addresses, between guards.  Tolerances: see check_matmul.c.
 */
#include "tests/kernels/products.h"

enum { NESTED = 1, FROM_HALF = 2, MAPPED = 4 };

/* --- weights ------------------------------------------------------------- */

/* n bytes of p at an odd address. */
static const void *odd(struct ctx *c, const void *p, size_t n)
{
	char *to = new_buf(c, n + 1, 0);

	memcpy(to + 1, p, n);
	return to + 1;
}

/* Numbers as a model has them: of many sizes, some blocks all 0. */
static float *numbers(struct ctx *c, size_t n)
{
	float *x = new_buf(c, n * sizeof(*x), 0);

	for (size_t i = 0; i < n; i++) {
		x[i] = number(c) * number(c) * ldexpf(1, (int)(i / 64 % 7));
		if (i / 64 % 11 == 5)
			x[i] = 0;
	}
	return x;
}

/* A matrix as some file has it: any codes, and factors plain or nested. */
static const struct ftk_nf4 *mapped(struct ctx *c, size_t n, size_t k, int how)
{
	size_t blocks = (n * k + 63) / 64, groups = (blocks + 255) / 256;
	struct ftk_nf4 *q = new_buf(c, sizeof(*q), 0);
	uint8_t *code = malloc(n * k + 1), *few = malloc(blocks + 1);
	float *absmax = malloc((blocks + 1) * sizeof(*absmax)), table[256];

	for (size_t i = 0; i < n * k; i++)
		code[i] = (uint8_t)(128 + 127 * number(c));
	for (size_t i = 0; i < blocks; i++) {
		absmax[i] = fabsf(number(c));
		few[i] = (uint8_t)(128 + 127 * number(c));
	}
	for (size_t i = 0; i < 256; i++)
		table[i] = number(c);
	*q = (struct ftk_nf4){.offset = 0.3f,
			      .round = how & FROM_HALF ? FTK_F16 : FTK_BF16};
	q->code = odd(c, code, (n * k + 1) / 2);
	q->value = odd(c, table, 64);
	q->absmax =
		how & NESTED ? odd(c, few, blocks) : odd(c, absmax, 4 * blocks);
	if (how & NESTED) {
		q->map = odd(c, table, sizeof(table));
		q->nested = odd(c, absmax, 4 * groups);
	}
	free(code);
	free(few);
	free(absmax);
	return q;
}

static struct ftk_weight *weight_nf4(struct ctx *c, size_t n, size_t k, int how)
{
	struct ftk_matrix m = {.type = FTK_NF4,
			       .n = n,
			       .k = k,
			       .use = FTK_W_FORWARD | FTK_W_BACKWARD};

	if (how & MAPPED) {
		m.data = mapped(c, n, k, how);
	} else {
		const float *x = numbers(c, n * k);
		uint16_t *h = new_buf(c, 2 * n * k, 0);

		m.use |= FTK_W_NF4;
		m.type = how & FROM_HALF ? FTK_BF16 : FTK_F32;
		for (size_t i = 0; i < n * k; i++)
			h[i] = to_half(x[i]);
		m.data = how & FROM_HALF ? odd(c, h, 2 * n * k)
					 : odd(c, x, 4 * n * k);
	}
	return c->k->weight_make(
		c->k, new_buf(c, c->k->weight_bytes(c->k, &m), 0), &m);
}

/* --- products ------------------------------------------------------------ */

/* dims: m, n, k, how, with bias and accumulate?, REAL? */
static void matmul(struct ctx *c, const size_t *d)
{
	product(c, d[0], d[1], d[2], weight_nf4(c, d[1], d[2], (int)d[3]), d[4],
		d[5]);
}

static void matmul_dx(struct ctx *c, const size_t *d)
{
	product_dx(c, d[0], d[1], d[2], weight_nf4(c, d[1], d[2], (int)d[3]),
		   d[4], d[5]);
}

static const struct ftk_weight *plain_nf4(struct ctx *c, size_t n, size_t k,
					  unsigned use)
{
	(void)use;
	return weight_nf4(c, n, k, 0);
}

/* One of several is not in NF4. */
static const struct ftk_weight *some_nf4(struct ctx *c, size_t n, size_t k,
					 unsigned use)
{
	return n == 33 ? weight(c, n, k, use) : plain_nf4(c, n, k, use);
}

static void linear(struct ctx *c, const size_t *d)
{
	linears(c, d, plain_nf4);
}

static void linear_some(struct ctx *c, const size_t *d)
{
	linears(c, d, some_nf4);
}

static void linear_backward(struct ctx *c, const size_t *d)
{
	linears_backward(c, d, plain_nf4);
}

static void linear_some_backward(struct ctx *c, const size_t *d)
{
	linears_backward(c, d, some_nf4);
}

/* What a weight is, byte for byte on every instruction set. */
static void made(struct ctx *c, const size_t *d)
{
	size_t numel = d[1] * d[2], blocks = (numel + 63) / 64;
	struct ftk_weight *w = weight_nf4(c, d[1], d[2], (int)d[3]);
	float *got = exact(c, numel * sizeof(*got));
	struct ftk_nf4 q;

	c->k->weight_get(c->k, w, 0, d[1] / 2, got);
	c->k->weight_get(c->k, w, d[1] / 2, d[1] - d[1] / 2,
			 got + d[1] / 2 * d[2]);
	if (c->k->weight_nf4(c->k, w, &q))
		abort();
	memcpy(exact(c, numel / 2), q.code, numel / 2);
	if (q.map)
		memcpy(exact(c, blocks), q.absmax, blocks);
}

/* --- what they become ---------------------------------------------------- */

/* The nearest of n values to x, the first of such. */
static size_t nearest(const float *v, size_t n, float x)
{
	size_t best = 0;

	for (size_t i = 1; i < n; i++)
		if (fabs((double)v[i] - (double)x) <
		    fabs((double)v[best] - (double)x))
			best = i;
	return best;
}

/* The mean in plain loops, and from it every code. */
static void check_codes(size_t n, size_t k)
{
	struct backend b = open_backend("cpu", NULL, 2);
	struct ctx c = {.k = b.k, .seed = 7};
	size_t blocks = (n * k + 63) / 64, bad[3] = {0};
	float *x = numbers(&c, n * k), *absmax = malloc(blocks * 4);
	struct ftk_matrix m = {FTK_F32, x, n, k, FTK_W_FORWARD | FTK_W_NF4};
	struct ftk_nf4 q;
	double sum = 0;

	b.k->weight_nf4(
		b.k,
		b.k->weight_make(
			b.k, new_buf(&c, b.k->weight_bytes(b.k, &m), 0), &m),
		&q);
	for (size_t i = 0; i < blocks; i++) {
		absmax[i] = 0;
		for (size_t j = i * 64; j < i * 64 + 64 && j < n * k; j++)
			absmax[i] = fmaxf(absmax[i], fabsf(x[j]));
		sum += (double)absmax[i];
	}
	for (size_t i = 0; i < n * k; i++) {
		uint8_t code = ((const uint8_t *)q.code)[i / 2];
		float by = 1 / fmaxf(absmax[i / 64], 1e-38f);

		bad[0] += (i % 2 ? code & 15 : code >> 4) !=
			  (int)nearest(q.value, 16, x[i] * by);
	}
	for (size_t g = 0; g < blocks; g += 256) {
		float most = 0, off = (float)(sum / (double)blocks);

		for (size_t i = g; i < g + 256 && i < blocks; i++)
			most = fmaxf(most, fabsf(absmax[i] - off));
		bad[1] += ((const float *)q.nested)[g / 256] != most ||
			  q.offset != off;
		for (size_t i = g; i < g + 256 && i < blocks; i++)
			bad[2] += ((const uint8_t *)q.absmax)[i] !=
				  (most > 0 ? nearest(q.map, 256,
						      (absmax[i] - off) *
							      (1 / most))
					    : 127);
	}
	CHECK(!bad[0], "%zu x %zu: the nearest codes: %zu wrong", n, k, bad[0]);
	CHECK(!bad[1], "%zu x %zu: offset, nested factors", n, k);
	CHECK(!bad[2], "%zu x %zu: the nearest codes of factors: %zu wrong", n,
	      k, bad[2]);
	CHECK(guards_whole(&c), "%zu x %zu: guards", n, k);
	free(absmax);
	release(&c);
	close_backend(&b);
}

/* Scratch for more rows serves fewer. */
static void check_growth(const char *backend)
{
	struct backend b = open_backend(backend, NULL, 2);
	struct ctx c = {.k = b.k, .seed = 1};
	struct ftk_matmul f = {.w = weight_nf4(&c, 50, 5000, 0)};
	struct ftk_matmul_dx x = {.w = weight_nf4(&c, 5000, 50, 0)};
	size_t most[2] = {0}, less = 0;

	for (size_t m = 1; m < 3000; m++) {
		size_t n[2];

		f.m = x.m = m;
		n[0] = b.k->matmul_ws(b.k, &f);
		n[1] = b.k->matmul_dx_ws(b.k, &x);
		for (size_t i = 0; i < 2; i++) {
			less += n[i] < most[i];
			most[i] = n[i] > most[i] ? n[i] : most[i];
		}
	}
	CHECK(!less, "%s: scratch never shrinks as rows grow", backend);
	release(&c);
	close_backend(&b);
}

static void check_refused(const char *backend)
{
	struct backend b = open_backend(backend, NULL, 1);
	struct ftk_nf4 q = {0};
	struct ftk_matrix m = {FTK_NF4, &q, 8, 8, FTK_W_FORWARD | FTK_W_ROWS};

	CHECK(b.k->weight_bytes(b.k, &m) == SIZE_MAX, "%s: no rows of NF4",
	      backend);
	m.use = FTK_W_FORWARD | FTK_W_TRAINED;
	CHECK(b.k->weight_bytes(b.k, &m) == SIZE_MAX, "%s: NF4 is not trained",
	      backend);
	m.type = b.k->real;
	m.use |= FTK_W_NF4;
	CHECK(b.k->weight_bytes(b.k, &m) == SIZE_MAX,
	      "%s: what is trained does not become NF4", backend);
	m.use = FTK_W_FORWARD | FTK_W_NF4;
	m.n = m.k = SIZE_MAX / 2;
	CHECK(b.k->weight_bytes(b.k, &m) == SIZE_MAX, "%s: too large", backend);
	close_backend(&b);
}

int main(void)
{
	/* rows of whole blocks, and of such parts that blocks span them */
	static const size_t s[][3] = {
		{1, 1, 1},     {1, 33, 64},    {3, 70, 128},   {2, 5, 31},
		{8, 31, 192},  {9, 33, 515},   {17, 64, 2112}, {33, 130, 96},
		{15, 40, 600}, {64, 288, 768}, {40, 2100, 17}, {30, 47, 2049},
		{1040, 33, 7},
	};

	for (size_t i = 0; i < sizeof(s) / sizeof(s[0]); i++) {
		size_t m = s[i][0], n = s[i][1], k = s[i][2];
		double tol = 3e-7 * sqrt((double)(k > n ? k : n));

		printf("# %zu %zu %zu\n", m, n, k);
		for (size_t how = 0; how < 8; how++) {
			size_t all = (i + how) % 2, real = how % 3 == 0;

			check_backend("cpu", "made", made, DIMS(m, n, k, how),
				      0);
			if (how != i % 4 && how != MAPPED + i % 4)
				continue;
			check_case("matmul", matmul,
				   DIMS(m, n, k, how, all, real), tol);
			check_both("matmul_dx", matmul_dx,
				   DIMS(m, n, k, how, all, real), tol,
				   real ? 4e-3 : tol);
		}
	}
	check_backend("cpu-bf16", "matmul, blocks", matmul,
		      DIMS(17, 1060, 4100, 0, 1, 1), 2e-5);
	check_backend("cpu-bf16", "matmul_dx, blocks", matmul_dx,
		      DIMS(33, 4100, 1060, 0, 1, 0), 2e-5);
	for (size_t m = 1; m < 300; m = m * 6 + 1)
		for (size_t r = 0; r <= 16; r += 16) {
			check_both("linear", linear,
				   DIMS(m, 128, r, 0, 1, 75, 33, 20), 4e-6,
				   8e-3);
			check_both("linear, some", linear_some,
				   DIMS(m, 131, r, 30, 0, 75, 33, 20), 4e-6,
				   8e-3);
			check_both("linear_backward", linear_backward,
				   DIMS(m, 128, r, 0, 0, 75, 33, 20, 0), 4e-6,
				   1.2e-2);
			check_both("linear_backward, some",
				   linear_some_backward,
				   DIMS(m, 131, r, 30, 1, 75, 33, 20, 0), 4e-6,
				   1.2e-2);
		}
	check_codes(1, 1);
	check_codes(3, 21);
	check_codes(2, 128);
	check_codes(131, 517);
	check_growth("cpu");
	check_growth("cpu-bf16");
	check_refused("cpu");
	check_refused("cpu-bf16");
	check_refused("ref64");
	return test_done();
}
