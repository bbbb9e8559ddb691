/* SPDX-License-Identifier: MIT */
/*
 * NF4 with double quantization (Dettmers et al. 2023, "QLoRA"): the same codes
 * as bitsandbytes finds.  An element's code is the nearest of 16 values to
 * x * (1 / absmax) of its block, the lower one of two that are as near; a
 * block's absmax less the mean of all is kept as the nearest of 256 values in
 * the same way.
 */
#include <math.h>
#include <pthread.h>

#include "kernels/cpu/cpu.h"

/* Quantiles of the normal distribution. */
static const float values[16] = {
	-1.0f,
	-0.6961928009986877f,
	-0.5250730514526367f,
	-0.39491748809814453f,
	-0.28444138169288635f,
	-0.18477343022823334f,
	-0.09105003625154495f,
	0.0f,
	0.07958029955625534f,
	0.16093020141124725f,
	0.24611230194568634f,
	0.33791524171829224f,
	0.44070982933044434f,
	0.5626170039176941f,
	0.7229568362236023f,
	1.0f,
};

enum { CELLS = 64 }; /* of [-1, 1]: no two bounds lie in one */

static float map[256];        /* of 8 bits */
static double map_bound[255]; /* halfway from each to the next */
static float bound[CELLS];    /* the one in a cell, or infinity */
static uint8_t below[CELLS];  /* bounds in the cells before */

/* Where x of [-1, 1] lies: never less for a larger x. */
static int cell(float x)
{
	int i = (int)((x + 1) * (CELLS / 2));

	return i < CELLS ? i : CELLS - 1;
}

/*
 * The signed dynamic map of 8 bits (Dettmers 2015, "8-Bit Approximations for
 * Parallelism in Deep Learning"): for each power of ten the middles of 2^i
 * equal parts of [0.1, 1], either sign; 0 and 1.  Rounded step by step as
 * bitsandbytes computes it in float, products and sums of the parts' ends in
 * one rounding.
 */
static void make_map(void)
{
	static const float power[7] = {1e-6f, 1e-5f, 1e-4f, 1e-3f,
				       1e-2f, 1e-1f, 1};
	size_t at = 127;

	map[at++] = 0;
	for (int i = 0; i < 7; i++) {
		int n = 1 << i;
		double step = (double)((1.0f - 0.1f) / (float)n);
		float end[2] = {0};

		for (int j = 0; j <= n; j++) {
			end[0] = end[1];
			end[1] = j < (n + 1) / 2
					 ? (float)((double)0.1f + step * j)
					 : (float)(1 - step * (n - j));
			if (j) {
				map[at] = power[i] * ((end[0] + end[1]) / 2);
				map[254 - at] = -map[at];
				at++;
			}
		}
	}
	map[at] = 1;
	for (int i = 0; i < 255; i++)
		map_bound[i] = ((double)map[i] + (double)map[i + 1]) / 2;
}

static void make_tables(void)
{
	make_map();
	for (int i = 0; i < CELLS; i++)
		bound[i] = INFINITY;
	for (int i = 0; i < 15; i++) {
		float b = (values[i] + values[i + 1]) / 2;

		bound[cell(b)] = b;
		for (int j = cell(b) + 1; j < CELLS; j++)
			below[j]++;
	}
}

/* --- reading ------------------------------------------------------------- */

/* To the nearest of float16, ties to even; NaN stays one. */
static float round_16(float x)
{
	float a = fabsf(x);
	uint32_t u;

	if (!(a < 65520)) /* halfway between the largest and the next */
		return isnan(x) ? x : copysignf(INFINITY, x);
	if (a < 0x1p-14f) /* steps of 2^-24, as float has them from 0.5 on */
		return copysignf((a + 0.5f) - 0.5f, x);
	memcpy(&u, &x, 4);
	u = (u + 0xfff + (u >> 13 & 1)) & ~(uint32_t)0x1fff;
	memcpy(&x, &u, 4);
	return x;
}

static float rounded(float x, enum ftk_type t)
{
	if (t == FTK_BF16)
		return cpu_widen(cpu_round(x));
	return t == FTK_F16 ? round_16(x) : x;
}

static float value_of(const struct ftk_nf4 *q, size_t i)
{
	unsigned code = ((const uint8_t *)q->code)[i / 2];
	float v;

	code = i % 2 ? code & 15 : code >> 4;
	memcpy(&v, (const char *)q->value + 4 * (size_t)code, 4);
	return v;
}

float nf4_element(const struct ftk_nf4 *q, size_t i)
{
	return rounded(value_of(q, i) * nf4_absmax(q, i / NF4_BLOCK), q->round);
}

void nf4_floats(const struct ftk_nf4 *q, size_t i, size_t n, float *to)
{
	float absmax = 0;

	for (size_t end = i + n, from = i; i < end; i++) {
		if (i == from || i % NF4_BLOCK == 0)
			absmax = nf4_absmax(q, i / NF4_BLOCK);
		*to++ = rounded(value_of(q, i) * absmax, q->round);
	}
}

void nf4_halves(const struct ftk_nf4 *q, size_t i, size_t n, uint16_t *to)
{
	float f[NF4_BLOCK];

	for (size_t l; n; n -= l, i += l, to += l) {
		l = n < NF4_BLOCK ? n : NF4_BLOCK;
		nf4_floats(q, i, l, f);
		for (size_t j = 0; j < l; j++)
			to[j] = cpu_round(f[j]);
	}
}

/* --- making -------------------------------------------------------------- */

static size_t blocks_of(size_t numel)
{
	return (numel + NF4_BLOCK - 1) / NF4_BLOCK;
}

static size_t groups_of(size_t numel)
{
	return (blocks_of(numel) + NF4_GROUP - 1) / NF4_GROUP;
}

/* Whole blocks of codes, so that each has room for a float. */
static size_t code_bytes(size_t numel)
{
	return cpu_pad(blocks_of(numel) * (NF4_BLOCK / 2));
}

size_t nf4_bytes(size_t numel)
{
	return code_bytes(numel) + cpu_pad(blocks_of(numel)) +
	       cpu_pad(groups_of(numel) * sizeof(float));
}

struct quantise {
	const struct ftk_matrix *m;
	uint8_t *code, *absmax;
	float *nested;
	float offset;
	size_t numel, blocks;
};

/* x [NF4_BLOCK] = block b, with zeros after the last element. */
static void load_block(const struct quantise *q, size_t b, float *x)
{
	size_t i = b * NF4_BLOCK, n = q->numel - i;

	n = n < NF4_BLOCK ? n : NF4_BLOCK;
	cpu_matrix_floats(q->m, i, n, x);
	memset(x + n, 0, (NF4_BLOCK - n) * sizeof(*x));
}

/* The absmax of each block of a group, for now where its codes will be. */
static void find_absmax(void *arg, size_t piece, int worker)
{
	const struct cpu_job *j = arg;
	const struct quantise *q = j->a;
	float x[NF4_BLOCK];

	(void)worker;
	for (size_t b = cpu_begin(j, piece); b < cpu_end(j, piece); b++) {
		float most[8] = {0};

		load_block(q, b, x);
		for (size_t i = 0; i < NF4_BLOCK; i += 8)
			for (size_t l = 0; l < 8; l++) {
				float a = fabsf(x[i + l]);

				most[l] = a > most[l] ? a : most[l];
			}
		for (size_t l = 1; l < 8; l++)
			most[0] = most[l] > most[0] ? most[l] : most[0];
		memcpy(q->code + b * (NF4_BLOCK / 2), most, 4);
	}
}

static float absmax_at(const struct quantise *q, size_t b)
{
	float x;

	memcpy(&x, q->code + b * (NF4_BLOCK / 2), 4);
	return x;
}

/* As a float of the sum of doubles, in order. */
static float mean_absmax(const struct quantise *q)
{
	double sum = 0;

	for (size_t b = 0; b < q->blocks; b++)
		sum += (double)absmax_at(q, b);
	return q->blocks ? (float)(sum / (double)q->blocks) : 0;
}

/* The nearest code of 8 bits; of NaN (0 / 0, all alike) that of 0. */
static uint8_t map_code(float x)
{
	unsigned lo = 0, hi = 255;

	if (isnan(x))
		return 127;
	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if ((double)x > map_bound[mid])
			lo = mid + 1;
		else
			hi = mid;
	}
	return (uint8_t)lo;
}

static unsigned code_of(float x)
{
	int i;

	x = x >= -1 ? x : -1; /* not NaN */
	x = x <= 1 ? x : 1;
	i = cell(x);
	return below[i] + (x > bound[i]);
}

/* A group of blocks: their factors, then their elements. */
static void quantise_group(void *arg, size_t piece, int worker)
{
	const struct cpu_job *j = arg;
	const struct quantise *q = j->a;
	size_t b0 = cpu_begin(j, piece), b1 = cpu_end(j, piece);
	float most = 0, x[NF4_BLOCK];

	(void)worker;
	for (size_t b = b0; b < b1; b++)
		most = fmaxf(most, fabsf(absmax_at(q, b) - q->offset));
	q->nested[piece] = most;
	for (size_t b = b0; b < b1; b++) {
		float absmax = absmax_at(q, b);
		float by = 1 / (absmax > 1e-38f ? absmax : 1e-38f);
		uint8_t *to = q->code + b * (NF4_BLOCK / 2);

		q->absmax[b] = map_code((absmax - q->offset) * (1 / most));
		load_block(q, b, x);
		for (size_t i = 0; i < NF4_BLOCK; i += 2)
			*to++ = (uint8_t)(code_of(x[i] * by) << 4 |
					  code_of(x[i + 1] * by));
	}
}

void nf4_make(struct ftk *k, struct ftk_nf4 *q, void *mem,
	      const struct ftk_matrix *m)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	size_t numel = m->n * m->k;
	struct quantise a = {.m = m,
			     .code = mem,
			     .numel = numel,
			     .blocks = blocks_of(numel)};

	pthread_once(&once, make_tables);
	a.absmax = a.code + code_bytes(numel);
	a.nested = (float *)(void *)(a.absmax + cpu_pad(a.blocks));
	cpu_for(k, find_absmax, &a, a.blocks, NF4_GROUP);
	a.offset = mean_absmax(&a);
	cpu_for(k, quantise_group, &a, a.blocks, NF4_GROUP);
	*q = (struct ftk_nf4){.code = a.code,
			      .absmax = a.absmax,
			      .map = map,
			      .nested = a.nested,
			      .value = values,
			      .offset = a.offset,
			      .round = FTK_F32};
}
