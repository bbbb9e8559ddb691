/* SPDX-License-Identifier: MIT */
/*
 * The speed of every operation at sizes of a 135M Llama (hidden 576, 9 heads
 * of 64, 3 for keys, inner 1536, vocabulary 49152), 1024 tokens at a time, and
 * of generating one token.
 *
 * usage: bench_ops [-t THREADS] [SUBSTRING]
 * TSV: op, shape, isa, threads, ns (median), GF/s, GB/s (of what must be read
 * and written at least), and the larger share of what this machine reaches:
 * of fused multiply-adds in registers, or of reading memory.  Those two come
 * first, as "peak" and "bandwidth".
 */
#include <stdio.h>

#include "tests/bench/machine.h"
#include "tests/bench/median.h"
#include "tests/kernels/check.h"

enum { T = 1024, C = 576, HQ = 9, HKV = 3, D = 64, F = 1536, VOC = 49152 };

static double peak, bandwidth; /* GF/s, GB/s */
static const char *only = "";
static int threads = 1;

static double now(void)
{
	return seconds(threads);
}

static void report(const char *op, const char *shape, const struct ftk *k,
		   double s, double flop, double byte)
{
	double gf = flop / s * 1e-9, gb = byte / s * 1e-9;

	printf("%s\t%s\t%s\t%d\t%.0f\t%.1f\t%.1f\t%.2f\n", op, shape,
	       k ? k->isa : "-", threads, s * 1e9, gf, gb,
	       fmax(peak > 0 ? gf / peak : 0,
		    bandwidth > 0 ? gb / bandwidth : 0));
	fflush(stdout);
}

/* At least 5 times and a fifth of a second. */
#define MEASURE(op, a, shape, flop, byte)                               \
	do {                                                            \
		double ns_[1000], begin_ = now();                       \
		size_t n_ = 0;                                          \
                                                                        \
		if (!strstr(#op, only))                                 \
			break;                                          \
		k->op(k, (a));                                          \
		while (n_ < 5 || (n_ < 1000 && now() - begin_ < 0.2)) { \
			double t0_ = now();                             \
                                                                        \
			k->op(k, (a));                                  \
			ns_[n_++] = now() - t0_;                        \
		}                                                       \
		report(#op, shape, k, median(ns_, n_), (double)(flop),  \
		       (double)(byte));                                 \
	} while (0)

/* --- the machine --------------------------------------------------------- */

#if defined(__x86_64__)
#define CHAINS  12 /* enough to hide the latency of any of these CPUs */
#define EACH(x) x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11)

__attribute__((target("avx512f"))) static double fma_512(size_t n)
{
	__m512 x = _mm512_set1_ps(0.999f), sum = x;

#define START(i) __m512 s##i = _mm512_set1_ps((float)i);
#define STEP(i)  s##i = _mm512_fmadd_ps(s##i, x, x);
#define SUM(i)   sum = _mm512_add_ps(sum, s##i);
	EACH(START)
	while (n--) {
		EACH(STEP)
	}
	EACH(SUM)
	return (double)_mm512_reduce_add_ps(sum);
#undef START
#undef STEP
#undef SUM
}

__attribute__((target("avx2,fma"))) static double fma_256(size_t n)
{
	__m256 x = _mm256_set1_ps(0.999f), sum = x;
	float lane[8];

#define START(i) __m256 s##i = _mm256_set1_ps((float)i);
#define STEP(i)  s##i = _mm256_fmadd_ps(s##i, x, x);
#define SUM(i)   sum = _mm256_add_ps(sum, s##i);
	EACH(START)
	while (n--) {
		EACH(STEP)
	}
	EACH(SUM)
	_mm256_storeu_ps(lane, sum);
	return (double)lane[0];
#undef START
#undef STEP
#undef SUM
}
#endif

static volatile double sink;

static void fma_piece(void *arg, size_t piece, int worker)
{
	const size_t *n = arg;

	(void)piece, (void)worker;
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f"))
		sink = fma_512(*n);
	else if (__builtin_cpu_supports("fma"))
		sink = fma_256(*n);
#else
	(void)n;
#endif
}

static void machine(struct ftk *k, struct ft_pool *pool)
{
	size_t n = 2000000, width = 0, len = (size_t)256 << 20;
	void *p = k->alloc(k, len);
	double s[7];

#if defined(__x86_64__)
	width = __builtin_cpu_supports("avx512f") ? 16 : 8;
	width = __builtin_cpu_supports("fma") ? width * CHAINS : 0;
#endif
	if (!p)
		return;
	for (size_t i = 0; i < 7; i++) {
		double t0 = now();

		ft_pool_run(pool, fma_piece, &n, (size_t)threads);
		s[i] = now() - t0;
	}
	if (width) {
		double flop = 2.0 * (double)(width * n) * threads,
		       t = median(s, 7);

		peak = flop / t * 1e-9;
		report("peak", "fma in registers", NULL, t, flop, 0);
	}
	memset(p, 1, len);
	for (size_t i = 0; i < 7; i++) {
		double t0 = now();

		read_all(pool, p, len);
		s[i] = now() - t0;
	}
	bandwidth = (double)len / median(s, 7) * 1e-9;
	report("bandwidth", "read 256 MiB", NULL, median(s, 7), 0, (double)len);
	k->free(k, p);
}

/* --- operations ---------------------------------------------------------- */

static void bench_matmul(struct ftk *k, size_t m, size_t n, size_t kk)
{
	struct ctx c = {.k = k, .seed = 1};
	const struct ftk_weight *w = weight(&c, n, kk, FTK_W_FORWARD);
	double flop = 2.0 * (double)(m * n) * (double)kk;
	double byte = 4.0 * (double)(n * kk + m * (n + kk));
	struct ftk_matmul a = {
		.y = inout(&c, m * n), .x = in(&c, m * kk), .w = w, .m = m};
	struct ftk_matmul_dx d = {
		.dx = inout(&c, m * kk), .dy = a.y, .w = w, .m = m};
	struct ftk_matmul_dw g = {.dw = inout(&c, n * kk),
				  .dy = a.y,
				  .x = a.x,
				  .m = m,
				  .n = n,
				  .k = kk};
	char shape[64];

	snprintf(shape, sizeof(shape), "m=%zu n=%zu k=%zu", m, n, kk);
	a.ws = scratch(&c, k->matmul_ws(k, &a));
	MEASURE(matmul, &a, shape, flop, byte);
	if (m >= 64) {
		d.ws = scratch(&c, k->matmul_dx_ws(k, &d));
		MEASURE(matmul_dx, &d, shape, flop, byte);
		g.ws = scratch(&c, k->matmul_dw_ws(k, &g));
		MEASURE(matmul_dw, &g, shape, flop, byte);
	}
	release(&c);
}

static void bench_lora(struct ftk *k, float p)
{
	enum { R = 16 };
	struct ctx c = {.k = k, .seed = 1};
	uint64_t *token = new_buf(&c, T * sizeof(*token), 0);
	struct ftk_lora a = {.y = inout(&c, T * F),
			     .u = out(&c, T * R),
			     .x = in(&c, T * C),
			     .a = in(&c, R * C),
			     .b = in(&c, F * R),
			     .m = T,
			     .n = F,
			     .k = C,
			     .r = R,
			     .scale = 1e-3f,
			     .drop = {p, 7, 1, token}};
	struct ftk_lora_backward b = {.dx = inout(&c, T * C),
				      .da = inout(&c, R * C),
				      .db = inout(&c, F * R),
				      .dy = in(&c, T * F),
				      .x = a.x,
				      .u = a.u,
				      .a = a.a,
				      .b = a.b,
				      .m = T,
				      .n = F,
				      .k = C,
				      .r = R,
				      .scale = 1e-3f,
				      .drop = a.drop};
	double flop = 2.0 * T * R * (F + C);
	const char *shape = p > 0 ? "r=16 dropout" : "r=16";

	a.ws = scratch(&c, k->lora_ws(k, &a));
	MEASURE(lora, &a, shape, flop, 4.0 * T * (2 * F + C));
	b.ws = scratch(&c, k->lora_backward_ws(k, &b));
	MEASURE(lora_backward, &b, shape, 2 * flop, 4.0 * T * (F + 3 * C));
	release(&c);
}

static void bench_rows(struct ftk *k)
{
	struct ctx c = {.k = k, .seed = 1};
	struct ftk_norm a = {.y = out(&c, T * C),
			     .x = inout(&c, T * C),
			     .add = fill(&c, T * C, 0, 0, 0),
			     .w = in(&c, C),
			     .stat = out(&c, T * 2),
			     .t = T,
			     .c = C,
			     .eps = 1e-5f};
	struct ftk_norm_backward b = {.dx = inout(&c, T * C),
				      .dy = a.y,
				      .x = a.x,
				      .w = a.w,
				      .stat = a.stat,
				      .dw = inout(&c, C),
				      .t = T,
				      .c = C};
	struct ftk_rope r = {.x = inout(&c, T * C),
			     .pos = indexes(&c, T, T),
			     .table = in(&c, T * D),
			     .t = T,
			     .heads = HQ,
			     .d = D,
			     .rot = D,
			     .ld = C};
	struct ftk_glu g = {.h = out(&c, T * F),
			    .gate = in(&c, T * F),
			    .up = in(&c, T * F),
			    .n = T * F};
	struct ftk_glu_backward h = {.dgate = out(&c, T * F),
				     .dup = out(&c, T * F),
				     .dh = in(&c, T * F),
				     .gate = g.gate,
				     .up = g.up,
				     .n = T * F};
	struct ftk_embed e = {.y = out(&c, T * C),
			      .ids = indexes(&c, T, VOC),
			      .table = weight(&c, VOC, C, FTK_W_ROWS),
			      .t = T,
			      .c = C,
			      .scale = 1};

	MEASURE(embed, &e, "1024 of 49152", 0, 8.0 * T * C);
	MEASURE(norm, &a, "rms add", 0, 16.0 * T * C);
	b.ws = scratch(&c, k->norm_backward_ws(k, &b));
	MEASURE(norm_backward, &b, "rms dw", 0, 16.0 * T * C);
	MEASURE(rope, &r, "9 heads of 64", 0, 8.0 * T * C);
	MEASURE(glu, &g, "silu", 0, 12.0 * T * F);
	MEASURE(glu_backward, &h, "silu", 0, 20.0 * T * F);
	g.act = h.act = FTK_GELU_TANH;
	MEASURE(glu, &g, "gelu tanh", 0, 12.0 * T * F);
	g.act = FTK_GELU;
	MEASURE(glu, &g, "gelu", 0, 12.0 * T * F);
	release(&c);
}

static void bench_attn(struct ftk *k, const char *shape,
		       const struct ftk_segment *seg, size_t nseg, double pairs)
{
	struct ctx c = {.k = k, .seed = 1};
	size_t tq = (size_t)(seg[nseg - 1].q0 + seg[nseg - 1].nq), keys = 0;
	struct ftk_attn a = {.seg = seg,
			     .nseg = nseg,
			     .tq = tq,
			     .hq = HQ,
			     .hkv = HKV,
			     .d = D,
			     .scale = 0.125f};
	struct ftk_attn_backward b = {.seg = seg,
				      .nseg = nseg,
				      .tq = tq,
				      .hq = HQ,
				      .hkv = HKV,
				      .d = D,
				      .scale = 0.125f};
	double flop = 4 * pairs * HQ * D, byte;

	for (size_t i = 0; i < nseg; i++)
		if ((size_t)(seg[i].k0 + seg[i].nk) > keys)
			keys = (size_t)(seg[i].k0 + seg[i].nk);
	byte = 4.0 * (double)(2 * tq * HQ + 2 * keys * HKV) * D;
	a.o = fill(&c, tq * HQ * D, 0, 1, 0);
	b.q = a.q = in(&c, tq * HQ * D);
	b.k = a.k = in(&c, keys * HKV * D);
	b.v = a.v = in(&c, keys * HKV * D);
	b.lse = a.lse = fill(&c, tq * HQ, 4, 1, 0);
	a.ws = scratch(&c, k->attn_ws(k, &a));
	MEASURE(attn, &a, shape, flop, byte);
	if (keys == tq) {
		b.o = a.o;
		b.dout = in(&c, tq * HQ * D);
		b.dq = out(&c, tq * HQ * D);
		b.dk = out(&c, tq * HKV * D);
		b.dv = out(&c, tq * HKV * D);
		b.ws = scratch(&c, k->attn_backward_ws(k, &b));
		MEASURE(attn_backward, &b, shape, 2.5 * flop, 2 * byte);
	}
	release(&c);
}

static void bench_logits(struct ftk *k)
{
	enum { N = 128 };
	static float temp[N], top_p[N];
	static int32_t top_k[N], id[N];
	static double u[N];
	struct ctx c = {.k = k, .seed = 1};
	void *x = fill(&c, (size_t)N * VOC, 0, 4, 0);
	struct ftk_xent a = {.logits = x,
			     .target = indexes(&c, N, VOC),
			     .logp = out(&c, N),
			     .lse = out(&c, N),
			     .n = N,
			     .v = VOC};
	struct ftk_xent_backward b = {x, a.target, a.lse, in(&c, N), N, VOC, 0};
	struct ftk_softcap cap = {x, (size_t)N * VOC, 30};
	struct ftk_sample s = {.id = id,
			       .logp = a.logp,
			       .logits = x,
			       .u = u,
			       .temperature = temp,
			       .top_k = top_k,
			       .top_p = top_p,
			       .n = N,
			       .v = VOC};

	for (size_t i = 0; i < N; i++) {
		u[i] = ((double)i + 0.5) / N;
		temp[i] = 0.7f;
		top_p[i] = 0.9f;
	}
	MEASURE(softcap, &cap, "128 of 49152", 0, 8.0 * N * VOC);
	MEASURE(xent, &a, "128 of 49152", 0, 4.0 * N * VOC);
	s.ws = scratch(&c, k->sample_ws(k, &s));
	MEASURE(sample, &s, "128 of 49152, T 0.7, top_p 0.9", 0, 4.0 * N * VOC);
	MEASURE(xent_backward, &b, "128 of 49152", 0, 8.0 * N * VOC);
	release(&c);
}

static void bench_blocks(struct ftk *k)
{
	enum { N = 1 << 22 };
	struct ctx c = {.k = k, .seed = 1};
	struct ftk_adamw a = {.p = inout(&c, N),
			      .m = inout(&c, N),
			      .v = fill(&c, N, 2, 1, 0),
			      .g = in(&c, N),
			      .n = N,
			      .lr = 1e-6f,
			      .beta1 = 0.9f,
			      .beta2 = 0.999f,
			      .eps = 1e-8f,
			      .gscale = 1,
			      .t = 10};
	double sum;
	struct ftk_sumsq q = {.out = &sum, .x = a.g, .n = N};
	struct ftk_accum y = {a.p, a.g, N};

	MEASURE(adamw, &a, "4 Mi", 0, 28.0 * N);
	q.ws = scratch(&c, k->sumsq_ws(k, &q));
	MEASURE(sumsq, &q, "4 Mi", 0, 4.0 * N);
	MEASURE(accum, &y, "4 Mi", 0, 12.0 * N);
	release(&c);
}

int main(int argc, char **argv)
{
	static const struct ftk_segment row[] = {{0, T, 0, T, 0, 0}};
	static const struct ftk_segment pair[] = {{0, 512, 0, 512, 0, 0},
						  {512, 256, 512, 256, 0, 512},
						  {768, 256, 768, 256, 0, 512}};
	static const struct ftk_segment one[] = {{0, 1, 0, T, 0, 0}};
	struct backend b;
	int opt;

	while ((opt = getopt(argc, argv, "t:")) != -1) {
		threads = opt == 't' ? (int)strtol(optarg, NULL, 10) : 0;
		if (threads < 1)
			return 2;
	}
	only = optind < argc ? argv[optind] : "";
	printf("op\tshape\tisa\tthreads\tns\tGF/s\tGB/s\tshare\n");
	b = open_backend("cpu", getenv("FT_ISA"), threads);
	if (!b.k)
		return 4;
	machine(b.k, b.pool);
	bench_matmul(b.k, T, C, C);
	bench_matmul(b.k, T, F, C);
	bench_matmul(b.k, T, C, F);
	for (size_t m = 1; m <= 64; m *= 2)
		bench_matmul(b.k, m, VOC / 4, C);
	bench_lora(b.k, 0);
	bench_lora(b.k, 0.05f);
	bench_rows(b.k);
	bench_attn(b.k, "causal 1024", row, 1, T * (T + 1) / 2.0);
	bench_attn(b.k, "512 + 2 * 256", pair, 3,
		   512 * 513 / 2.0 + 256 * 257 + 2 * 256 * 512.0);
	bench_attn(b.k, "1 of 1024", one, 1, T);
	bench_logits(b.k);
	bench_blocks(b.k);
	close_backend(&b);
	return 0;
}
