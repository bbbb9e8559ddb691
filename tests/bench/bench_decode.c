/* SPDX-License-Identifier: MIT */
/*
 * Products of a few rows, as generating tokens wants them: weights that do not
 * fit into caches are read once, so memory is the limit.  Each product and the
 * plain reading of the same bytes take turns: share is the median of the
 * pairs' ratios, reading's time over ours.  LoRA's share is that of bfloat16
 * alone over the same with LoRA of rank 16.
 *
 * usage: bench_decode [-t THREADS] [-p PAIRS] [-m ROWS] [-k KIND] [SUBSTRING]
 * TSV: weights, shape, isa, threads, ns, GB/s of weights, share.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/ftk.h"
#include "tests/bench/machine.h"
#include "tests/bench/median.h"

enum { TOTAL = 200 << 20, R = 16, MOST = 64 };

static const struct shape {
	const char *name;
	size_t n, k;
} shapes[] = {
	{"135M.qo", 576, 576},    {"135M.up", 1536, 576},
	{"135M.down", 576, 1536}, {"1B.qo", 2048, 2048},
	{"1B.up", 8192, 2048},    {"1B.down", 2048, 8192},
	{"7B.up", 11008, 4096},
};

enum kind { FLOAT, HALF, NF4, LORA };
static const char *const kinds[] = {"float32", "bf16", "nf4", "lora"};

struct bench {
	struct ftk *k;
	struct ft_pool *pool;
	int threads;
	enum kind kind;
	const struct shape *s;
	size_t m, count; /* rows, weights of a pass */
	struct ftk_weight **w;
	void *first; /* NF4 as it was made */
	char *mem;   /* what they read, one after another */
	size_t nbytes;
	float *from, *ab; /* a matrix; LoRA's matrices */
	void *x, *y, *u, *ws, *lora_ws;
};

static void *take(struct bench *b, size_t nbytes)
{
	void *p = b->k->alloc(b->k, nbytes + 64);

	if (!p)
		exit(4);
	return p;
}

/* Small numbers of either sign. */
static void fill(float *p, size_t n)
{
	uint32_t s = 1;

	for (size_t i = 0; i < n; i++) {
		s = s * 1664525u + 1013904223u;
		p[i] = (float)(int32_t)s * 0x1p-34f;
	}
}

static struct ftk_lora lora_of(const struct bench *b, size_t i)
{
	float *a = b->ab + i * R * (b->s->k + b->s->n);

	return (struct ftk_lora){.y = b->y,
				 .u = b->u,
				 .x = b->x,
				 .a = a,
				 .b = a + R * b->s->k,
				 .m = b->m,
				 .n = b->s->n,
				 .k = b->s->k,
				 .r = R,
				 .scale = 1,
				 .ws = b->lora_ws};
}

static void pass(const struct bench *b, int lora)
{
	for (size_t i = 0; i < b->count; i++) {
		struct ftk_matmul a = {.y = b->y,
				       .x = b->x,
				       .w = b->w[i],
				       .m = b->m,
				       .ws = b->ws};
		struct ftk_lora l = lora_of(b, i);

		b->k->matmul(b->k, &a);
		if (lora)
			b->k->lora(b->k, &l);
	}
}

/* Weights that share nothing: a product of NF4 reads codes and factors. */
static void make_nf4(struct bench *b, struct ftk_matrix *m)
{
	size_t codes = m->n * m->k / 2, blocks = m->n * m->k / 64;
	size_t size = (codes + blocks + 63) / 64 * 64;
	struct ftk_nf4 q;

	m->use |= FTK_W_NF4;
	b->first = take(b, b->k->weight_bytes(b->k, m));
	b->k->weight_nf4(b->k, b->k->weight_make(b->k, b->first, m), &q);
	b->count = TOTAL / 2 / size;
	b->nbytes = b->count * size;
	b->mem = take(b, b->nbytes);
	m->type = FTK_NF4;
	for (size_t i = 0; i < b->count; i++) {
		struct ftk_nf4 own = q;

		own.code = memcpy(b->mem + i * size, q.code, codes);
		own.absmax =
			memcpy(b->mem + i * size + codes, q.absmax, blocks);
		m->data = &own;
		b->w[i] = b->k->weight_make(
			b->k, take(b, b->k->weight_bytes(b->k, m)), m);
	}
}

static void make(struct bench *b)
{
	size_t n = b->s->n, k = b->s->k, size;
	struct ftk_matrix m = {FTK_F32, b->from, n, k, FTK_W_FORWARD};

	if (b->kind == NF4) {
		make_nf4(b, &m);
		return;
	}
	size = b->kind == FLOAT ? 4 * n * k : b->k->weight_bytes(b->k, &m);
	b->count = TOTAL / size;
	b->nbytes = b->count * size;
	b->mem = take(b, b->nbytes);
	for (size_t i = 0; i < b->count; i++) {
		void *mem = b->mem + i * size;

		if (b->kind == FLOAT) {
			m.data = memcpy(mem, b->from, size);
			mem = take(b, b->k->weight_bytes(b->k, &m));
		}
		b->w[i] = b->k->weight_make(b->k, mem, &m);
	}
}

static void unmake(struct bench *b)
{
	for (size_t i = 0; i < b->count; i++)
		if (b->kind == FLOAT || b->kind == NF4)
			b->k->free(b->k, b->w[i]);
	b->k->free(b->k, b->first);
	b->first = NULL;
	b->k->free(b->k, b->mem);
}

static void measure(struct bench *b, size_t pairs)
{
	double t[2][256];
	char shape[64];

	pass(b, b->kind == LORA);
	for (size_t i = 0; i < pairs; i++) {
		double t0 = seconds(b->threads), t1;

		pass(b, b->kind == LORA);
		t1 = seconds(b->threads);
		if (b->kind == LORA)
			pass(b, 0);
		else
			read_all(b->pool, b->mem, b->nbytes);
		t[0][i] = t1 - t0;
		t[1][i] = (seconds(b->threads) - t1) / (t1 - t0);
	}
	snprintf(shape, sizeof(shape), "%s m=%zu n=%zu k=%zu", b->s->name, b->m,
		 b->s->n, b->s->k);
	printf("%s\t%s\t%s\t%d\t%.0f\t%.1f\t%.2f\n", kinds[b->kind], shape,
	       b->k->isa, b->threads,
	       median(t[0], pairs) / (double)b->count * 1e9,
	       (double)b->nbytes / median(t[0], pairs) * 1e-9,
	       median(t[1], pairs));
	fflush(stdout);
}

/* rows 0: 1, 2, 4, 8, 16 */
static void bench(struct bench *b, size_t rows, size_t pairs)
{
	size_t n = b->s->n, k = b->s->k;
	struct ftk_matmul a = {.m = MOST};
	struct ftk_lora l;

	fill(b->from = take(b, 4 * n * k), n * k);
	b->w = take(b, TOTAL / (n * k / 2) * sizeof(*b->w));
	make(b);
	b->m = MOST;
	b->x = take(b, MOST * k * 4);
	b->y = take(b, MOST * n * 4);
	b->u = take(b, MOST * R * 4);
	memset(b->x, 0, MOST * k * 4);
	memset(b->y, 0, MOST * n * 4);
	fill(b->ab = take(b, b->count * R * (n + k) * 4),
	     b->count * R * (n + k));
	a.w = b->w[0];
	l = lora_of(b, 0);
	b->ws = take(b, b->k->matmul_ws(b->k, &a));
	b->lora_ws = take(b, b->k->lora_ws(b->k, &l));
	for (b->m = rows ? rows : 1; b->m <= (rows ? rows : 16); b->m *= 2)
		measure(b, pairs);
	unmake(b);
	b->k->free(b->k, b->w);
	b->k->free(b->k, b->from);
	b->k->free(b->k, b->ab);
	b->k->free(b->k, b->x);
	b->k->free(b->k, b->y);
	b->k->free(b->k, b->u);
	b->k->free(b->k, b->ws);
	b->k->free(b->k, b->lora_ws);
}

int main(int argc, char **argv)
{
	struct bench b = {.threads = 1};
	size_t pairs = 15, rows = 0;
	const char *why = "", *kind = "", *only;
	int opt;

	while ((opt = getopt(argc, argv, "t:p:m:k:")) != -1) {
		long v = optarg ? strtol(optarg, NULL, 10) : 0;

		if (opt == '?' || (opt != 'k' && (v < 1 || v > 256)))
			return 2;
		b.threads = opt == 't' ? (int)v : b.threads;
		pairs = opt == 'p' ? (size_t)v : pairs;
		rows = opt == 'm' && v <= MOST ? (size_t)v : rows;
		kind = opt == 'k' ? optarg : kind;
	}
	only = optind < argc ? argv[optind] : "";
	b.pool = ft_pool_new(b.threads);
	printf("weights\tshape\tisa\tthreads\tns\tGB/s\tshare\n");
	for (b.kind = FLOAT; b.kind <= LORA; b.kind++) {
		struct ftk_threads t = {
			b.threads,
			(void (*)(void *, void (*)(void *, size_t, int), void *,
				  size_t))ft_pool_run,
			b.pool};

		if (!strstr(kinds[b.kind], kind))
			continue;
		b.k = ftk_open(b.kind == FLOAT ? "cpu" : "cpu-bf16", &t, &why);
		if (!b.k) {
			fprintf(stderr, "bench_decode: %s\n", why);
			return 4;
		}
		for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
			b.s = &shapes[i];
			if (strstr(shapes[i].name, only))
				bench(&b, rows, pairs);
		}
		b.k->close(b.k);
	}
	ft_pool_free(b.pool);
	return 0;
}
