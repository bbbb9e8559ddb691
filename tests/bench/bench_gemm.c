/* SPDX-License-Identifier: MIT */
/*
 * Products with the weights of small Llamas, beside OpenBLAS where it is
 * installed (at its best kernels: OPENBLAS_CORETYPE=SkylakeX where the machine
 * has AVX-512, unless it is set).  Ours and theirs take turns, so that a busy
 * machine slows both: the ratio is the median of the pairs' ratios.
 *
 * With -b in bfloat16, beside oneDNN with weights packed as it
 * likes them.
 *
 * usage: bench_gemm [-b] [-p PAIRS] [-m ROWS] [-t THREADS] [-f FORM] [SUBSTRING]
 * TSV: form, shape, isa, threads, GF/s of ours, of theirs, median ratio.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/ftk.h"
#include "tests/bench/dnnl.h"
#include "tests/bench/machine.h"
#include "tests/bench/median.h"

typedef void sgemm_fn(int order, int ta, int tb, int m, int n, int k,
		      float alpha, const float *a, int lda, const float *b,
		      int ldb, float beta, float *c, int ldc);

static const struct shape {
	const char *name;
	size_t n, k;
} shapes[] = {
	{"15M.qkvo", 288, 288},    {"15M.up", 768, 288},
	{"15M.down", 288, 768},    {"15M.head", 32000, 288},
	{"135M.qo", 576, 576},     {"135M.kv", 192, 576},
	{"135M.up", 1536, 576},    {"135M.down", 576, 1536},
	{"135M.head", 49152, 576}, {"1B.qo", 2048, 2048},
	{"1B.kv", 512, 2048},      {"1B.up", 8192, 2048},
	{"1B.down", 2048, 8192},   {"1B.head", 128256, 2048},
	{"7B.qkvo", 4096, 4096},   {"7B.up", 11008, 4096},
	{"7B.down", 4096, 11008},
};

struct bench {
	struct ftk *k;
	sgemm_fn *sgemm;
	void (*set_threads)(int n);
	int half; /* bfloat16 */
	struct dnnl *dnnl;
	void *x, *y, *w;
	float *c, *ws;
	struct ftk_weight *weight;
	void *mem;
	size_t m, n, nk;
	int form; /* 0 matmul, 1 matmul_dx, 2 matmul_dw */
};

static const char *const forms[] = {"matmul", "matmul_dx", "matmul_dw"};

static float *numbers(size_t n)
{
	float *p = aligned_alloc(64, (n * 4 + 4096) / 64 * 64);
	uint32_t s = 1;

	if (!p)
		exit(4);
	for (size_t i = 0; i < n; i++) {
		s = s * 1664525u + 1013904223u;
		p[i] = (float)(int32_t)s * 0x1p-31f;
	}
	return p;
}

static void *halves(size_t n)
{
	uint16_t *p = aligned_alloc(64, (n * 2 + 4096) / 64 * 64);
	uint32_t s = 1;

	if (!p)
		exit(4);
	for (size_t i = 0; i < n; i++) { /* 1 to 2, of either sign */
		s = s * 1664525u + 1013904223u;
		p[i] = (uint16_t)(0x3f80 | (s >> 16 & 0x807f));
	}
	return p;
}

static void *elements(const struct bench *b, size_t n)
{
	return b->half ? halves(n) : numbers(n);
}

static void ours(const struct bench *b)
{
	struct ftk_matmul f = {
		.y = b->y, .x = b->x, .w = b->weight, .m = b->m, .ws = b->ws};
	struct ftk_matmul_dx d = {
		.dx = b->x, .dy = b->y, .w = b->weight, .m = b->m, .ws = b->ws};
	struct ftk_matmul_dw w = {.dw = b->c,
				  .dy = b->y,
				  .x = b->x,
				  .m = b->m,
				  .n = b->n,
				  .k = b->nk,
				  .ws = b->ws};

	if (b->form == 0)
		b->k->matmul(b->k, &f);
	else if (b->form == 1)
		b->k->matmul_dx(b->k, &d);
	else
		b->k->matmul_dw(b->k, &w);
}

static void theirs(const struct bench *b)
{
	enum { ROW = 101, NO = 111, TRANS = 112 };
	int m = (int)b->m, n = (int)b->n, k = (int)b->nk;

	if (b->half)
		dnnl_run(b->dnnl);
	else if (b->form == 0)
		b->sgemm(ROW, NO, TRANS, m, n, k, 1, b->x, k, b->w, k, 0, b->y,
			 n);
	else if (b->form == 1)
		b->sgemm(ROW, NO, NO, m, k, n, 1, b->y, n, b->w, k, 0, b->x, k);
	else
		b->sgemm(ROW, TRANS, NO, n, k, m, 1, b->y, n, b->x, k, 1, b->c,
			 k);
}

static size_t scratch(const struct bench *b)
{
	struct ftk_matmul f = {.w = b->weight, .m = b->m};
	struct ftk_matmul_dx d = {.w = b->weight, .m = b->m};
	struct ftk_matmul_dw w = {.dw = b->c, .m = b->m, .n = b->n, .k = b->nk};

	return b->form == 0   ? b->k->matmul_ws(b->k, &f)
	       : b->form == 1 ? b->k->matmul_dx_ws(b->k, &d)
			      : b->k->matmul_dw_ws(b->k, &w);
}

/* Short products are repeated, so that a turn takes a millisecond or more. */
static void run(struct bench *b, const char *name, int threads, size_t pairs)
{
	double flops = 2.0 * (double)b->m * (double)b->n * (double)b->nk;
	size_t turn = flops < 1e8 ? (size_t)(1e8 / flops) + 1 : 1;
	double t[3][256];
	int both = b->half ? b->dnnl != NULL : b->sgemm != NULL;

	b->ws = b->k->alloc(b->k, scratch(b) + 64);
	if (!b->ws)
		exit(4);
	ours(b);
	if (both) {
		if (b->half)
			dnnl_threads(threads);
		else
			b->set_threads(threads);
		theirs(b);
	}
	for (size_t i = 0; i < pairs; i++) {
		double t0 = seconds(threads), t1;

		for (size_t j = 0; j < turn; j++)
			ours(b);
		t1 = seconds(threads);
		t[0][i] = (t1 - t0) / (double)turn;
		for (size_t j = 0; both && j < turn; j++)
			theirs(b);
		t[1][i] = both ? (seconds(threads) - t1) / (double)turn : 1;
		t[2][i] = t[1][i] / t[0][i];
	}
	printf("%s\t%s m=%zu n=%zu k=%zu\t%s\t%d\t%.1f\t", forms[b->form], name,
	       b->m, b->n, b->nk, b->k->isa, threads,
	       flops / median(t[0], pairs) * 1e-9);
	if (both)
		printf("%.1f\t%.3f\n", flops / median(t[1], pairs) * 1e-9,
		       median(t[2], pairs));
	else
		printf("-\t-\n");
	fflush(stdout);
	b->k->free(b->k, b->ws);
}

static void open_blas(struct bench *b)
{
	void *lib, *f, *g;

	if (__builtin_cpu_supports("avx512f"))
		setenv("OPENBLAS_CORETYPE", "SkylakeX", 0);
	lib = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
	f = lib ? dlsym(lib, "cblas_sgemm") : NULL;
	g = lib ? dlsym(lib, "openblas_set_num_threads") : NULL;
	if (!f || !g)
		return;
	memcpy(&b->sgemm, &f, sizeof(f));
	memcpy(&b->set_threads, &g, sizeof(g));
}

static void bench_shape(struct bench *b, const struct shape *s, int threads,
			size_t pairs, int form)
{
	struct ftk_matrix mat = {b->half ? FTK_BF16 : FTK_F32, NULL, s->n, s->k,
				 FTK_W_FORWARD | FTK_W_BACKWARD};

	b->n = s->n;
	b->nk = s->k;
	b->x = elements(b, b->m * s->k);
	b->y = elements(b, b->m * s->n);
	mat.data = b->w = elements(b, s->n * s->k);
	b->mem = b->k->alloc(b->k, b->k->weight_bytes(b->k, &mat));
	if (!b->mem)
		exit(4);
	b->weight = b->k->weight_make(b->k, b->mem, &mat);
	for (b->form = 0; b->form < 3; b->form++) {
		if (form >= 0 && form != b->form)
			continue;
		b->c = b->form == 2 ? numbers(s->n * s->k) : b->w;
		if (b->half && b->form < 2)
			b->dnnl = dnnl_new(b->form, b->m, b->n, b->nk,
					   b->form ? b->y : b->x, b->w,
					   b->form ? b->x : b->y);
		run(b, s->name, threads, pairs);
		dnnl_free(b->dnnl);
		b->dnnl = NULL;
		if (b->form == 2)
			free(b->c);
	}
	free(b->x);
	free(b->y);
	free(b->w);
	b->k->free(b->k, b->mem);
}

int main(int argc, char **argv)
{
	struct bench b = {0};
	size_t pairs = 20, rows = 0;
	int threads = 0, form = -1, opt;
	const char *why = "", *only;

	while ((opt = getopt(argc, argv, "bp:m:t:f:")) != -1) {
		long v = optarg ? strtol(optarg, NULL, 10) : 1;

		if (opt == '?' || v < 0)
			return 2;
		b.half |= opt == 'b';
		pairs = opt == 'p' && v > 0 && v <= 256 ? (size_t)v : pairs;
		rows = opt == 'm' ? (size_t)v : rows;
		threads = opt == 't' ? (int)v : threads;
		form = opt == 'f' ? (int)v : form;
	}
	only = optind < argc ? argv[optind] : "";
	if (!b.half)
		open_blas(&b);
	printf("form\tshape\tisa\tthreads\tGF/s\t%s\tratio\n",
	       b.half ? "oneDNN" : "OpenBLAS");
	for (int t = 1; t <= 2; t++) {
		struct ft_pool *pool = ft_pool_new(t);
		struct ftk_threads ft = {
			t,
			(void (*)(void *, void (*)(void *, size_t, int), void *,
				  size_t))ft_pool_run,
			pool};

		b.k = ftk_open(b.half ? "cpu-bf16" : "cpu", &ft, &why);
		if (!b.k) {
			fprintf(stderr, "bench_gemm: %s\n", why);
			return 4;
		}
		for (b.m = b.half ? 1 : 512; b.m <= 2048; b.m *= b.m == 1 ? 16
								 : b.m == 16
									 ? 32
									 : 4) {
			size_t m = b.m;

			if (threads && threads != t)
				break;
			b.m = rows ? rows : m;
			for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes);
			     i++)
				if (strstr(shapes[i].name, only))
					bench_shape(&b, &shapes[i], t, pairs,
						    form);
			b.m = m;
			if (rows)
				break;
		}
		b.k->close(b.k);
		ft_pool_free(pool);
	}
	return 0;
}
