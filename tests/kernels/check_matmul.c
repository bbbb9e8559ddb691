/* SPDX-License-Identifier: MIT */
/*
 * Products with weights, of sizes about the edges of tiles (14 x 32, 6 x 16),
 * of blocks (512 long, 2048 wide) and of the path for few rows; LoRA; types of
 * weights; dropout's bits.
 *
 * Tolerance: floats summed k at a time in another order differ by some
 * sqrt(k) units in the last place of the largest sums: 3e-7 * sqrt(k).
 */
#include "libcommon/base/philox.h"
#include "tests/kernels/products.h"

/* dims: m, n, k, with bias and accumulate?, REAL? */
static void matmul(struct ctx *c, const size_t *d)
{
	product(c, d[0], d[1], d[2], weight(c, d[1], d[2], FTK_W_FORWARD), d[3],
		d[4]);
}

static void matmul_dx(struct ctx *c, const size_t *d)
{
	product_dx(c, d[0], d[1], d[2], weight(c, d[1], d[2], FTK_W_BACKWARD),
		   d[3], d[4]);
}

static void matmul_dw(struct ctx *c, const size_t *d)
{
	size_t n = d[0] * d[1];
	struct ftk_matmul_dw a = {.dw = inout(c, d[1] * d[2]),
				  .dbias = d[3] ? inout(c, d[1]) : NULL,
				  .dy = d[4] ? in(c, n) : act_in(c, n),
				  .x = act_in(c, d[0] * d[2]),
				  .m = d[0],
				  .n = d[1],
				  .k = d[2],
				  .real = (int)d[4]};

	a.ws = scratch(c, c->k->matmul_dw_ws(c->k, &a));
	c->k->matmul_dw(c->k, &a);
}

/* dims: m, n, k, r, percent dropped */
static void lora(struct ctx *c, const size_t *d)
{
	struct ftk_lora a = {.y = act_inout(c, d[0] * d[1]),
			     .u = act_out(c, d[0] * d[3]),
			     .x = act_in(c, d[0] * d[2]),
			     .a = in(c, d[3] * d[2]),
			     .b = in(c, d[1] * d[3]),
			     .m = d[0],
			     .n = d[1],
			     .k = d[2],
			     .r = d[3],
			     .scale = 0.5f,
			     .drop = dropout(c, d[0], d[4])};

	a.ws = scratch(c, c->k->lora_ws(c->k, &a));
	c->k->lora(c->k, &a);
}

static void lora_backward(struct ctx *c, const size_t *d)
{
	struct ftk_lora_backward a = {.dx = d[5] ? act_inout(c, d[0] * d[2])
						 : NULL,
				      .da = inout(c, d[3] * d[2]),
				      .db = inout(c, d[1] * d[3]),
				      .dy = act_in(c, d[0] * d[1]),
				      .x = act_in(c, d[0] * d[2]),
				      .u = act_in(c, d[0] * d[3]),
				      .a = in(c, d[3] * d[2]),
				      .b = in(c, d[1] * d[3]),
				      .m = d[0],
				      .n = d[1],
				      .k = d[2],
				      .r = d[3],
				      .scale = 0.5f,
				      .drop = dropout(c, d[0], d[4])};

	a.ws = scratch(c, c->k->lora_backward_ws(c->k, &a));
	c->k->lora_backward(c->k, &a);
}

static void linear(struct ctx *c, const size_t *d)
{
	linears(c, d, weight);
}

static void linear_backward(struct ctx *c, const size_t *d)
{
	linears_backward(c, d, weight);
}

/* dims: n, k, r */
static void row_norms(struct ctx *c, const size_t *d)
{
	struct ftk_row_norms a = {.norm = out(c, d[0]),
				  .w = weight(c, d[0], d[1], FTK_W_FORWARD),
				  .a = in(c, d[2] * d[1]),
				  .b = in(c, d[0] * d[2]),
				  .n = d[0],
				  .k = d[1],
				  .r = d[2],
				  .scale = 0.5f};

	a.ws = scratch(c, c->k->row_norms_ws(c->k, &a));
	c->k->row_norms(c->k, &a);
}

/* dims: m, n, percent dropped, in place? */
static void drop(struct ctx *c, const size_t *d)
{
	struct ftk_drop a = {
		.m = d[0], .n = d[1], .drop = dropout(c, d[0], d[2])};

	a.x = a.y = act_inout(c, d[0] * d[1]);
	if (!d[3])
		a.y = act_out(c, d[0] * d[1]);
	c->k->drop(c->k, &a);
}

/* A token's row must be the same in any batch of more than a few rows; with
   pairs' dot products in any batch. */
static void check_rows(const char *backend, const char *isa)
{
	enum { N = 45, K = 600, MOST = 300 };
	struct backend b = open_backend(backend, isa, 1);
	struct ctx c = {.k = b.k, .seed = 1};
	size_t size = b.k->act_size;
	char *y = act_out(&c, N * MOST), row[N * sizeof(float)];
	struct ftk_matmul a = {.y = y,
			       .x = act_in(&c, MOST * K),
			       .w = weight(&c, N, K, FTK_W_FORWARD),
			       .m = MOST};
	int same = 1, pairs = !strcmp(isa, "avx512bf16");

	a.ws = scratch(&c, b.k->matmul_ws(b.k, &a));
	b.k->matmul(b.k, &a);
	memcpy(row, y + 7 * N * size, N * size);
	for (a.m = 9; a.m < 100; a.m++) {
		b.k->matmul(b.k, &a);
		same &= !memcmp(row, y + 7 * N * size, N * size);
	}
	CHECK(same, "%s %s: a row is the same among 9 to 300", backend,
	      b.k->isa);
	memcpy(row, y, N * size);
	for (same = 1, a.m = 1; a.m < 9; a.m++) {
		if (a.m == 5 && strstr(isa, "amx"))
			break; /* tiles from here on */
		b.k->matmul(b.k, &a);
		if (a.m == 1 && !pairs)
			memcpy(row, y, N * size);
		same &= !memcmp(row, y, N * size);
	}
	CHECK(same, "%s %s: a row is the same among 1 to 8", backend, b.k->isa);
	release(&c);
	close_backend(&b);
}

/* Scratch for a larger product serves a smaller one. */
static void check_growth(const char *backend)
{
	struct backend b = open_backend(backend, NULL, 2);
	struct ctx c = {.k = b.k, .seed = 1};
	float dw[1];
	struct ftk_matmul_dw w = {.dw = dw, .n = 40, .k = 60};
	struct ftk_matmul f = {.w = weight(&c, 50, 5000, FTK_W_FORWARD)};
	struct ftk_matmul_dx x = {.w = weight(&c, 5000, 50, FTK_W_BACKWARD)};
	struct ftk_lora l = {.n = 3000, .k = 1000, .r = 16};
	struct ftk_lora some[2] = {{.n = 50, .k = 5000, .r = 16}};
	struct ftk_matmul base[2] = {f, f};
	struct ftk_linear q = {base, some, 2, NULL};
	struct ftk_matmul_dx dxs[2] = {x, x};
	struct ftk_lora_backward back[2] = {{.n = 5000, .k = 50, .r = 16}};
	struct ftk_linear_backward g = {dxs, back, 2, NULL};
	size_t most[6] = {0}, less = 0;

	for (size_t m = 1; m < 3000; m++) {
		size_t n[6];

		w.m = f.m = x.m = l.m = m;
		base[0].m = base[1].m = some[0].m = m;
		dxs[0].m = dxs[1].m = back[0].m = m;
		dxs[0].dx = dw;
		n[0] = b.k->matmul_dw_ws(b.k, &w);
		n[1] = b.k->matmul_ws(b.k, &f);
		n[2] = b.k->matmul_dx_ws(b.k, &x);
		n[3] = b.k->lora_ws(b.k, &l);
		n[4] = b.k->linear_ws(b.k, &q);
		n[5] = b.k->linear_backward_ws(b.k, &g);
		for (size_t i = 0; i < 6; i++) {
			less += n[i] < most[i];
			most[i] = n[i] > most[i] ? n[i] : most[i];
		}
	}
	CHECK(!less, "%s: scratch never shrinks as rows grow", backend);
	release(&c);
	close_backend(&b);
}

/* --- weights ------------------------------------------------------------- */

/* Numbers that each type holds exactly, and their float values. */
static void check_types(const char *name)
{
	enum { N = 5, K = 6 };
	static const uint16_t half[K] = {0x3C00, 0xC000, 0x0001,
					 0x7BFF, 0x8400, 0x03FF};
	static const float half_value[K] = {1,     -2,        0x1p-24f,
					    65504, -0x1p-14f, 1023 * 0x1p-24f};
	static const uint16_t brain[K] = {0x3F80, 0xC000, 0x0001,
					  0x7F7F, 0xBF00, 0x0080};
	struct backend b = open_backend(name, NULL, 1);
	struct ctx c = {.k = b.k, .seed = 1};
	unsigned char odd[N * K * 8 + 1];
	float got[N * K];
	struct ftk_matrix m = {FTK_F16, odd + 1, N, K, FTK_W_FORWARD};
	struct ftk_weight *w;
	int same = 1;

	for (size_t i = 0; i < N; i++)
		memcpy(odd + 1 + i * sizeof(half), half, sizeof(half));
	w = b.k->weight_make(b.k, new_buf(&c, b.k->weight_bytes(b.k, &m), 0),
			     &m);
	b.k->weight_get(b.k, w, 1, N - 1, got);
	for (size_t i = 0; i < (N - 1) * K; i++)
		same &= got[i] == half_value[i % K];
	CHECK(same, "%s: float16, unaligned", name);
	for (size_t i = 0; i < N; i++)
		memcpy(odd + 1 + i * sizeof(brain), brain, sizeof(brain));
	m.type = FTK_BF16;
	w = b.k->weight_make(b.k, new_buf(&c, b.k->weight_bytes(b.k, &m), 0),
			     &m);
	b.k->weight_get(b.k, w, 0, N, got);
	for (size_t i = 0; i < N * K; i++) {
		uint32_t bits = (uint32_t)brain[i % K] << 16;

		same &= !memcmp(&bits, got + i, 4);
	}
	CHECK(same, "%s: bfloat16, unaligned", name);
	for (size_t i = 0; i < N * K; i++)
		memcpy(odd + 1 + 4 * i, half_value + i % K, 4);
	m.type = FTK_F32;
	w = b.k->weight_make(b.k, new_buf(&c, b.k->weight_bytes(b.k, &m), 0),
			     &m);
	b.k->weight_get(b.k, w, 2, 1, got);
	CHECK(!memcmp(got, half_value, sizeof(half_value)),
	      "%s: float32, unaligned", name);
	CHECK(guards_whole(&c), "%s: weights stay in their memory", name);
	m.type = FTK_BF16;
	m.use |= FTK_W_TRAINED;
	CHECK(b.k->weight_bytes(b.k, &m) == SIZE_MAX,
	      "%s: none is trained but in REAL", name);
	release(&c);
	close_backend(&b);
}

/* What is stored as its transpose becomes the same weight. */
static void check_turned(const char *name)
{
	enum { N = 37, K = 150 };
	static const unsigned uses[] = {FTK_W_FORWARD | FTK_W_BACKWARD,
					FTK_W_FORWARD | FTK_W_NF4, 0};
	struct backend b = open_backend(name, NULL, 2);
	struct ctx c = {.k = b.k, .seed = 1};
	uint16_t *h[2] = {new_buf(&c, 2 * N * K, 0), new_buf(&c, 2 * N * K, 0)};
	float *f[2] = {new_buf(&c, 4 * N * K, 0), new_buf(&c, 4 * N * K, 0)};
	float *got[2] = {new_buf(&c, 4 * N * K, 0), new_buf(&c, 4 * N * K, 0)};
	int same = 1;

	for (size_t i = 0; i < N * K; i++) {
		size_t turned = i % K * N + i / K;

		f[0][i] = f[1][turned] = number(&c);
		h[0][i] = h[1][turned] = to_half(f[0][i]);
	}
	for (size_t t = 0; t < 2 * sizeof(uses) / sizeof(*uses); t++) {
		for (size_t i = 0; i < 2; i++) {
			struct ftk_matrix m = {t % 2 ? FTK_BF16 : FTK_F32,
					       t % 2 ? (void *)h[i]
						     : (void *)f[i],
					       N, K, uses[t / 2]};
			void *mem;

			m.use |= i ? FTK_W_TURNED : 0;
			mem = new_buf(&c, b.k->weight_bytes(b.k, &m), 0);
			b.k->weight_get(b.k, b.k->weight_make(b.k, mem, &m), 0,
					N, got[i]);
		}
		same &= !memcmp(got[0], got[1], 4 * N * K);
	}
	CHECK(same && guards_whole(&c), "%s: turned weights", name);
	release(&c);
	close_backend(&b);
}

/* A float32 weight at an odd address serves as it is. */
static void unaligned(struct ctx *c, const size_t *d)
{
	size_t n = d[1] * d[2];
	char *odd = new_buf(c, n * 4 + 1, 0);
	struct ftk_matrix m = {FTK_F32, odd + 1, d[1], d[2], 0};
	void *mem = new_buf(c, c->k->weight_bytes(c->k, &m), 0);
	const struct ftk_weight *w;
	struct ftk_matmul a = {
		.y = out(c, d[0] * d[1]), .x = in(c, d[0] * d[2]), .m = d[0]};
	struct ftk_embed e = {.y = out(c, 3 * d[2]),
			      .ids = indexes(c, 3, d[1]),
			      .t = 3,
			      .c = d[2],
			      .scale = 1};

	memcpy(odd + 1, in(c, n), n * 4);
	w = c->k->weight_make(c->k, mem, &m);
	e.table = a.w = w;
	a.ws = scratch(c, c->k->matmul_ws(c->k, &a));
	c->k->matmul(c->k, &a);
	c->k->embed(c->k, &e);
}

/* A weight in bfloat16, unaligned with d[3], forward, backward and for rows. */
static void half_weight(struct ctx *c, const size_t *d)
{
	size_t n = d[1] * d[2];
	char *mem = new_buf(c, 2 * n + 1, 0), *half = mem + d[3];
	struct ftk_matrix m = {FTK_BF16, half, d[1], d[2],
			       FTK_W_FORWARD | FTK_W_BACKWARD | FTK_W_ROWS};
	void *wmem = new_buf(c, c->k->weight_bytes(c->k, &m), 0);
	struct ftk_matmul a = {.y = act_out(c, d[0] * d[1]),
			       .x = act_in(c, d[0] * d[2]),
			       .m = d[0]};
	struct ftk_matmul_dx b = {.dx = act_out(c, d[0] * d[2]),
				  .dy = act_in(c, d[0] * d[1]),
				  .m = d[0]};
	struct ftk_embed e = {.y = act_out(c, 3 * d[2]),
			      .ids = indexes(c, 3, d[1]),
			      .t = 3,
			      .c = d[2],
			      .scale = 1};
	float *got = out(c, 2 * d[2]);

	for (size_t i = 0; i < n; i++) {
		uint16_t h = to_half(number(c));

		memcpy(half + 2 * i, &h, 2);
	}
	a.w = b.w = e.table = c->k->weight_make(c->k, wmem, &m);
	a.ws = scratch(c, c->k->matmul_ws(c->k, &a));
	b.ws = scratch(c, c->k->matmul_dx_ws(c->k, &b));
	c->k->matmul(c->k, &a);
	c->k->matmul_dx(c->k, &b);
	c->k->embed(c->k, &e);
	c->k->weight_get(c->k, a.w, d[1] - 2, 2, got);
}

/* A weight that changes, then is synchronised. */
static void trained(struct ctx *c, const size_t *d)
{
	size_t n = d[1] * d[2];
	float *p = fill(c, n, 0, 0, 0);
	struct ftk_matrix m = {FTK_F32, p, d[1], d[2],
			       FTK_W_FORWARD | FTK_W_TRAINED | FTK_W_BACKWARD};
	void *mem = new_buf(c, c->k->weight_bytes(c->k, &m), 0);
	struct ftk_weight *w = c->k->weight_make(c->k, mem, &m);
	struct ftk_matmul a = {.y = act_out(c, d[0] * d[1]),
			       .x = act_in(c, d[0] * d[2]),
			       .w = w,
			       .m = d[0],
			       .real = 0};

	for (size_t i = 0; i < n; i++)
		p[i] = number(c);
	c->k->weight_sync(c->k, w);
	a.ws = scratch(c, c->k->matmul_ws(c->k, &a));
	c->k->matmul(c->k, &a);
}

/* --- rounding ------------------------------------------------------------ */

/* One row of sums that lie between two numbers of bfloat16, or are none. */
static void check_rounding(const char *isa)
{
	static const uint32_t x[8] = {
		0x3f808000, 0x3f818000, 0xbf808000, 0x3f808001,
		0x7f7fff00, 0x7fffffff, 0x7f800000, 0,
	};
	static const uint16_t want[8] = {0x3F80, 0x3F82, 0xBF80, 0x3F81,
					 0x7F80, 0x7FC0, 0x7F80, 0};
	struct backend b = open_backend("cpu-bf16", isa, 1);
	struct ctx c = {.k = b.k, .seed = 1};
	uint16_t *y = act_out(&c, 8 * 20), *one = act_fill(&c, 20, 0, 0, 1);
	float *zero = fill(&c, 8, 0, 0, 1);
	struct ftk_matrix m = {FTK_F32, zero, 8, 1, FTK_W_FORWARD};
	struct ftk_matmul a = {.y = y, .x = one, .bias = x};
	size_t wrong = 0;

	a.w = b.k->weight_make(b.k, new_buf(&c, b.k->weight_bytes(b.k, &m), 0),
			       &m);
	for (a.m = 1; a.m <= 20; a.m += 19) {
		a.ws = scratch(&c, b.k->matmul_ws(b.k, &a));
		b.k->matmul(b.k, &a);
		for (size_t i = 0; i < 8 * a.m; i++)
			wrong += i % 8 == 5 ? (y[i] & 0x7fff) <= 0x7f80
					    : y[i] != want[i % 8];
	}
	CHECK(!wrong, "%s bf16: rounded to the nearest even: %zu wrong",
	      b.k->isa, wrong);
	release(&c);
	close_backend(&b);
}

/* What is in one row of x does not reach another, though k is odd. */
static void check_apart(const char *isa)
{
	enum { N = 5, K = 33, MOST = 20 };
	struct backend b = open_backend("cpu-bf16", isa, 1);
	struct ctx c = {.k = b.k, .seed = 1};
	uint16_t *y = act_out(&c, MOST * N), *x = act_inout(&c, MOST * K);
	struct ftk_matmul a = {
		.y = y, .x = x, .w = weight(&c, N, K, FTK_W_FORWARD)};
	size_t wrong = 0;

	for (size_t l = 0; l < K; l++)
		x[K + l] = 0x7FC0;
	for (a.m = 2; a.m <= MOST; a.m += MOST - 2) {
		a.ws = scratch(&c, b.k->matmul_ws(b.k, &a));
		b.k->matmul(b.k, &a);
		for (size_t i = 0; i < a.m * N; i++)
			wrong += ((y[i] & 0x7fff) > 0x7f80) != (i / N == 1);
	}
	CHECK(!wrong, "%s bf16: rows are apart: %zu wrong", b.k->isa, wrong);
	release(&c);
	close_backend(&b);
}

/* --- dropout ------------------------------------------------------------- */

/* u of the identity: the dropped x itself. */
static void dropped(struct ctx *c, size_t m, size_t k, size_t percent, float *u)
{
	float *one = inout(c, k * k), *x = inout(c, m * k);
	struct ftk_lora a = {.y = out(c, m),
			     .u = u,
			     .x = x,
			     .a = one,
			     .b = in(c, k),
			     .m = m,
			     .n = 1,
			     .k = k,
			     .r = k,
			     .scale = 1,
			     .drop = dropout(c, m, percent)};

	memset(one, 0, k * k * sizeof(*one));
	for (size_t i = 0; i < k; i++)
		one[i * k + i] = 1;
	for (size_t i = 0; i < m * k; i++)
		x[i] = 1;
	a.ws = scratch(c, c->k->lora_ws(c->k, &a));
	c->k->lora(c->k, &a);
}

static void check_dropout(const char *isa)
{
	enum { T = 200, C = 131, PERCENT = 30 };
	struct backend b = open_backend("cpu", isa, 1);
	struct ctx c = {.k = b.k, .seed = 1};
	float *u = out(&c, T * C), up = 1 / (1 - 0.3f);
	struct ftk_dropout d = dropout(&c, T, PERCENT);
	uint32_t least = (uint32_t)lrint(65536 * (double)d.p);
	size_t kept = 0, pairs = 0;
	int right = 1;

	dropped(&c, T, C, PERCENT, u);
	for (size_t i = 0; i < T * C; i++) {
		uint32_t w[4] = {(uint32_t)(i % C / 8), d.salt,
				 (uint32_t)d.token[i / C],
				 (uint32_t)(d.token[i / C] >> 32)};
		uint32_t bits;

		ft_philox(w, (uint32_t)d.key, (uint32_t)(d.key >> 32));
		bits = w[i % C % 8 / 2] >> (i % C % 2 ? 16 : 0) & 0xFFFF;
		right &= (u[i] != 0) == (bits >= least);
		right &= u[i] == 0 || fabsf(u[i] - up) < 1e-6f;
		kept += u[i] != 0;
		pairs += i > 0 && u[i] != 0 && u[i - 1] != 0;
	}
	CHECK(right, "%s: dropout's bits are Philox's", b.k->isa);
	/* five standard deviations of 26200 draws */
	CHECK(fabs((double)kept / (T * C) - 0.7) < 0.0142,
	      "%s: 70 in a hundred are kept", b.k->isa);
	CHECK(fabs((double)pairs / (T * C) - 0.49) < 0.02,
	      "%s: neighbours are independent", b.k->isa);
	release(&c);
	close_backend(&b);
}

int main(void)
{
	static const size_t s[][3] = {
		{1, 1, 1},     {1, 3, 40},     {2, 33, 5},   {3, 70, 288},
		{7, 65, 130},  {8, 31, 64},    {9, 33, 515}, {28, 64, 16},
		{33, 31, 100}, {64, 288, 768}, {85, 47, 1},  {2100, 20, 37},
		{30, 2100, 9}, {29, 7, 1100},
	};
	static const char *const isas[] = {"scalar",     "avx2",      "avx512",
					   "avx512bf16", "amx-plain", "amx"};

	for (size_t i = 0; i < sizeof(s) / sizeof(s[0]); i++) {
		size_t m = s[i][0], n = s[i][1], k = s[i][2];
		char name[64];

		for (size_t all = 0; all < 2; all++) {
			snprintf(name, sizeof(name), "%zu %zu %zu %s", m, n, k,
				 all ? "+=" : "=");
			printf("# %s\n", name);
			check_case("matmul", matmul, DIMS(m, n, k, all, 0),
				   3e-7 * sqrt((double)k));
			check_case("matmul real", matmul, DIMS(m, n, k, all, 1),
				   3e-7 * sqrt((double)k));
			check_case("matmul_dx", matmul_dx,
				   DIMS(m, n, k, all, 0),
				   3e-7 * sqrt((double)n));
			check_both("matmul_dx real", matmul_dx,
				   DIMS(m, n, k, all, 1),
				   3e-7 * sqrt((double)n), 4e-3);
			check_case("matmul_dw", matmul_dw,
				   DIMS(m, n, k, all, 0),
				   3e-7 * sqrt((double)m));
			check_both("matmul_dw real", matmul_dw,
				   DIMS(m, n, k, all, 1),
				   3e-7 * sqrt((double)m), 4e-3);
		}
	}
	for (size_t p = 0; p <= 30; p += 30)
		for (size_t m = 1; m < 300; m = m * 6 + 1) {
			check_both("lora", lora, DIMS(m, 75, 131, 8, p), 4e-6,
				   4e-3);
			check_both("lora 16", lora, DIMS(m, 33, 40, 16, p),
				   4e-6, 4e-3);
			check_both("lora_backward", lora_backward,
				   DIMS(m, 75, 131, 8, p, 1), 4e-6, 4e-3);
			check_both("lora_backward, no dx", lora_backward,
				   DIMS(m, 75, 131, 5, p, 0), 4e-6, 4e-3);
			check_both("lora_backward 40", lora_backward,
				   DIMS(m, 33, 40, 40, p, 1), 4e-6, 4e-3);
			check_case("drop", drop, DIMS(m, 75, p, 0), 2e-7);
			check_case("drop in place", drop, DIMS(m, 75, p, 1),
				   2e-7);
		}
	for (size_t p = 0; p <= 30; p += 30)
		for (size_t m = 1; m < 300; m = m * 6 + 1)
			for (size_t r = 0; r <= 40; r += r ? 24 : 16) {
				check_both("linear of three", linear,
					   DIMS(m, 131, r, p, 1, 75, 33, 20),
					   4e-6, 8e-3);
				check_both("linear of two", linear,
					   DIMS(m, 96, r, p, 0, 64, 64, 0),
					   4e-6, 8e-3);
				check_both("linear_backward of three",
					   linear_backward,
					   DIMS(m, 131, r, p, 0, 75, 33, 20, 0),
					   4e-6, 1.2e-2);
				check_both("linear_backward of two",
					   linear_backward,
					   DIMS(m, 96, r, p, 1, 64, 64, 0, 0),
					   4e-6, 1.2e-2);
				check_both("linear_backward, no dx",
					   linear_backward,
					   DIMS(m, 33, r, p, 0, 40, 0, 0, 1),
					   4e-6, 8e-3);
			}
	check_backend("cpu-bf16", "linear, blocks", linear,
		      DIMS(17, 4500, 16, 0, 0, 1060, 20, 0), 8e-3);
	check_backend("cpu-bf16", "linear_backward, blocks", linear_backward,
		      DIMS(33, 1060, 16, 0, 0, 4500, 1500, 0, 0), 1.2e-2);
	check_backend("cpu-bf16", "linear, blocks of rows", linear,
		      DIMS(1100, 64, 16, 0, 0, 40, 20, 0), 8e-3);
	check_backend("cpu-bf16", "linear_backward, blocks of rows",
		      linear_backward, DIMS(1100, 64, 16, 0, 0, 40, 20, 0, 0),
		      1.2e-2);
	for (size_t n = 1; n < 300; n = n * 6 + 1) {
		check_both("row_norms", row_norms, DIMS(n, 131, 8), 2e-6, 4e-3);
		check_both("row_norms", row_norms, DIMS(n, 40, 33), 2e-6, 4e-3);
	}
	/* more than a block of depth, and of columns */
	check_backend("cpu-bf16", "matmul, blocks", matmul,
		      DIMS(17, 1060, 4100, 1, 1), 2e-5);
	check_backend("cpu-bf16", "matmul_dx, blocks", matmul_dx,
		      DIMS(33, 4100, 1060, 1, 0), 2e-5);
	check_backend("cpu-bf16", "matmul_dw, blocks", matmul_dw,
		      DIMS(2100, 17, 1060, 1, 0), 2e-5);
	check_backend("cpu", "matmul, unaligned weight", unaligned,
		      DIMS(3, 20, 67), 3e-6);
	check_backend("cpu", "matmul, unaligned weight, panels", unaligned,
		      DIMS(30, 20, 67), 3e-6);
	for (size_t m = 1; m < 40; m = m * 3 + 1)
		for (size_t at = 0; at < 2; at++) {
			check_case("weight in bfloat16", half_weight,
				   DIMS(m, 45, 515, at), 1e-5);
			check_case("trained weight", trained,
				   DIMS(m, 45, 67, at), 1e-5);
		}
	for (size_t i = 0; i < sizeof(isas) / sizeof(isas[0]); i++) {
		struct backend b = open_backend("cpu-bf16", isas[i], 1);
		int here = b.k && !strcmp(b.k->isa, isas[i]);

		close_backend(&b);
		if (!here)
			continue;
		check_rounding(isas[i]);
		check_apart(isas[i]);
		check_rows("cpu-bf16", isas[i]);
		if (i > 2) /* for float they are avx512 */
			continue;
		check_rows("cpu", isas[i]);
		check_dropout(isas[i]);
	}
	check_growth("cpu");
	check_growth("cpu-bf16");
	check_types("cpu");
	check_turned("cpu");
	check_types("ref64");
	return test_done();
}
