/* SPDX-License-Identifier: MIT */
/*
 * Instruction set "avx512bf16": products of bfloat16 with packed weights, by
 * vdpbf16ps.  Compiled with flags of its own (see GNUmakefile).
 *
 * vdpbf16ps adds to each of 16 sums the product of the odd elements of a pair,
 * then that of the even ones: two fused steps, each rounded to nearest even;
 * numbers below the least normal one count as 0, among inputs, sums and
 * results.
 */
#define MR   14
#define WIDE 2 /* panels at once, of one or two rows */
#include "kernels/cpu/mul.inc"

/* --- tiles --------------------------------------------------------------- */

/* Row i of panel p of the tile. */
INLINE void put_row(const struct tile *t, size_t i, size_t p, __m512 s0,
		    __m512 s1)
{
	__m512 scale = _mm512_set1_ps(t->scale);
	size_t n = t->n - p * PANEL, at = i * t->ldy + p * PANEL;
	__mmask32 m = n < PANEL ? ((__mmask32)1 << n) - 1 : UINT32_MAX;
	__mmask16 lo = (__mmask16)m, hi = (__mmask16)(m >> 16);

	s0 = _mm512_mul_ps(s0, scale);
	s1 = _mm512_mul_ps(s1, scale);
	if (t->bias) {
		const float *bias = t->bias + p * PANEL;

		s0 = _mm512_add_ps(s0, _mm512_maskz_loadu_ps(lo, bias));
		s1 = _mm512_add_ps(s1, _mm512_maskz_loadu_ps(hi, bias + 16));
	}
	if (t->real) {
		float *y = (float *)t->y + at;

		if (t->add) {
			s0 = _mm512_add_ps(s0, _mm512_maskz_loadu_ps(lo, y));
			s1 = _mm512_add_ps(s1,
					   _mm512_maskz_loadu_ps(hi, y + 16));
		}
		_mm512_mask_storeu_ps(y, lo, s0);
		_mm512_mask_storeu_ps(y + 16, hi, s1);
	} else {
		uint16_t *y = (uint16_t *)t->y + at;
		__m512i h;

		if (t->add) {
			h = _mm512_maskz_loadu_epi16(m, y);
			s0 = _mm512_add_ps(
				s0, _mm512_castsi512_ps(_mm512_slli_epi32(
					    _mm512_cvtepu16_epi32(
						    _mm512_castsi512_si256(h)),
					    16)));
			s1 = _mm512_add_ps(
				s1, _mm512_castsi512_ps(_mm512_slli_epi32(
					    _mm512_cvtepu16_epi32(
						    _mm512_extracti64x4_epi64(
							    h, 1)),
					    16)));
		}
		h = (__m512i)_mm512_cvtne2ps_pbh(s1, s0);
		_mm512_mask_storeu_epi16(y, m, h);
	}
}

/* One step of rows, for np panels len apart, of which nv vectors count. */
INLINE void tile_step(__m512 s[][2 * WIDE], int rows, int np, int nv,
		      const uint32_t *a, const uint16_t *b, size_t len)
{
#pragma GCC unroll 16
	for (int p = 0; p < np; p++) {
		const uint16_t *w = b + (size_t)p * len;
		__m512bh w0 = (__m512bh)_mm512_loadu_si512(w), w1 = w0;

		if (nv > 1)
			w1 = (__m512bh)_mm512_loadu_si512(w + PANEL);
#pragma GCC unroll 16
		for (int i = 0; i < rows; i++) {
			__m512bh x = (__m512bh)_mm512_set1_epi32((int)a[i]);
			__m512 *sum = &s[i][2 * p];

			sum[0] = _mm512_dpbf16_ps(sum[0], x, w0);
			if (nv > 1)
				sum[1] = _mm512_dpbf16_ps(sum[1], x, w1);
		}
	}
}

/* Rows from `row` on, [steps, rows] pairs, by np panels, [steps, PANEL] pairs,
   of which nv vectors count: strip after strip.  Sums of few rows go through
   several panels at once: one would wait for itself. */
INLINE void tile_sum(int rows, int np, int nv, size_t row,
		     const struct strip *strip, size_t ns, const struct tile *t)
{
	__m512 s[MR][2 * WIDE];

#pragma GCC unroll 16
	for (int i = 0; i < rows; i++)
#pragma GCC unroll 16
		for (int v = 0; v < 2 * np; v++)
			s[i][v] = _mm512_setzero_ps();
	if (!t->first)
#pragma GCC unroll 16
		for (int i = 0; i < rows; i++) {
			s[i][0] = _mm512_loadu_ps(t->c + i * PANEL);
			if (nv > 1)
				s[i][1] =
					_mm512_loadu_ps(t->c + i * PANEL + 16);
		}
	for (; ns; ns--, strip++) {
		const uint32_t *a = strip->x->pa + row * strip->x->steps;
		const uint16_t *b = strip->panel;
		size_t len = strip->len;

		for (size_t l = strip->x->steps; l;
		     l--, a += rows, b += 2 * PANEL)
			tile_step(s, rows, np, nv, a, b, len);
	}
	if (t->last) {
#pragma GCC unroll 16
		for (int p = 0; p < np; p++)
#pragma GCC unroll 16
			for (int i = 0; i < rows; i++)
				put_row(t, (size_t)i, (size_t)p, s[i][2 * p],
					s[i][2 * p + 1]);
		return;
	}
#pragma GCC unroll 16
	for (int i = 0; i < rows; i++) {
		_mm512_storeu_ps(t->c + i * PANEL, s[i][0]);
		if (nv > 1)
			_mm512_storeu_ps(t->c + i * PANEL + 16, s[i][1]);
	}
}

typedef void tile_fn(size_t row, const struct strip *s, size_t ns,
		     const struct tile *t);

#define TILE(rows, np)                                                    \
	static void tile_##rows##_##np(size_t row, const struct strip *s, \
				       size_t ns, const struct tile *t)   \
	{                                                                 \
		if (np == 1 && t->n <= 16)                                \
			tile_sum(rows, np, 1, row, s, ns, t);             \
		else                                                      \
			tile_sum(rows, np, 2, row, s, ns, t);             \
	}
TILE(1, 2)
TILE(2, 2)
TILE(1, 1)
TILE(2, 1)
TILE(3, 1)
TILE(4, 1)
TILE(5, 1)
TILE(6, 1)
TILE(7, 1)
TILE(8, 1)
TILE(9, 1)
TILE(10, 1)
TILE(11, 1)
TILE(12, 1)
TILE(13, 1)
TILE(14, 1)
#undef TILE

static tile_fn *const tiles[MR + 1] = {
	NULL,      tile_1_1,  tile_2_1,  tile_3_1,  tile_4_1,
	tile_5_1,  tile_6_1,  tile_7_1,  tile_8_1,  tile_9_1,
	tile_10_1, tile_11_1, tile_12_1, tile_13_1, tile_14_1,
};

/* --- copying x ----------------------------------------------------------- */

/* 16 numbers as bfloat16, of which m are. */
INLINE __m512i load_halves(const void *x, int real, size_t at, __mmask16 m)
{
	const uint16_t *h = (const uint16_t *)x + at;

	if (!real)
		return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, h));
	return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(
		_mm512_maskz_loadu_ps(m, (const float *)x + at)));
}

/* One tile of rows of x', which lie along its rows. */
static void pack_a_turned(const struct block *b, const struct source *x,
			  size_t tile)
{
	size_t i0 = tile_row(b, tile), rows = tile_row(b, tile + 1) - i0;
	uint32_t *to = x->pa + i0 * x->steps;
	size_t at = x->k0 * x->ldx + b->m0 + i0;
	__mmask16 m = (__mmask16)((1u << rows) - 1);

	for (size_t l = 0; l < x->kn; l += 2, at += 2 * x->ldx, to += rows) {
		__m512i even = load_halves(x->x, x->real, at, m), odd;

		odd = l + 1 < x->kn ? load_halves(x->x, x->real, at + x->ldx, m)
				    : _mm512_setzero_si512();
		odd = _mm512_slli_epi32(odd, 16);
		_mm512_mask_storeu_epi32(to, m, _mm512_or_si512(even, odd));
	}
}

/* One tile of rows of x. */
static void pack_a(const struct block *b, const struct source *x, size_t tile)
{
	size_t i0 = tile_row(b, tile), rows = tile_row(b, tile + 1) - i0;
	uint32_t *to = x->pa + i0 * x->steps; /* [steps, rows] */
	size_t size = x->real ? 4 : 2;
	const char *from = (const char *)x->x + (b->m0 + i0) * x->ldx * size;
	__mmask16 m = (__mmask16)((1u << rows) - 1);

	if (x->turned) {
		pack_a_turned(b, x, tile);
		return;
	}
	for (size_t p = 0; p < x->steps; p += 16) {
		size_t left = min_size(x->kn - 2 * p, 32);
		__m512i r[16];

#pragma GCC unroll 16
		for (size_t i = 0; i < 16; i++)
			r[i] = i < rows ? load_pairs(from + i * x->ldx * size,
						     x->real, x->k0 + 2 * p,
						     left)
					: _mm512_setzero_si512();
		transpose_pairs(r);
#pragma GCC unroll 16
		for (size_t i = 0; i < 16; i++)
			if (p + i < x->steps)
				_mm512_mask_storeu_epi32(to + (p + i) * rows, m,
							 r[i]);
	}
}

static void multiply(const struct block *b, size_t i, size_t rows,
		     const struct strip *s, size_t ns, size_t np,
		     const struct tile *t)
{
	tile_fn *fn = np == 1 ? tiles[rows] : rows == 1 ? tile_1_2 : tile_2_2;

	fn(tile_row(b, i), s, ns, t);
}

static void mul_begin(void)
{
}

static void mul_end(void)
{
}

#include "kernels/cpu/skinny.inc"

#include "kernels/cpu/few_nf4.inc"

#include "kernels/cpu/few_lora.inc"

static void op_matmul_any(struct ftk *k, const struct ftk_matmul *a)
{
	if (a->w->nf4 && a->m <= FEW_NF4)
		few_nf4(k, a);
	else
		op_matmul(k, a);
}

static size_t matmul_any_ws(const struct ftk *k, const struct ftk_matmul *a)
{
	return max_size(matmul_ws(k, a), a->w->nf4 ? few_nf4_ws(k, a) : 0);
}

static int few(size_t m, const struct ftk_lora *l, size_t n)
{
	int dropped = 0;

	for (size_t i = 0; i < n; i++)
		dropped |= l[i].r && l[i].drop.p > 0;
	return m <= FEW_LORA && !dropped;
}

static void op_lora_any(struct ftk *k, const struct ftk_lora *a)
{
	if (few(a->m, a, 1))
		few_lora(k, a);
	else
		op_lora(k, a);
}

/* Of few rows weights in NF4 and LoRA have ways of their own. */
static void op_linear_any(struct ftk *k, const struct ftk_linear *a)
{
	int after = a->lora && few(a->base->m, a->lora, a->n), apart = 0;

	for (size_t i = 0; i < a->n; i++)
		apart |= a->base[i].w->nf4 && a->base[i].m <= FEW_NF4;
	if (apart) {
		((const struct cpu *)k)->apart(k, a);
		return;
	}
	linear(k, a->base, after ? NULL : a->lora, a->n, a->ws);
	for (size_t i = 0; after && i < a->n; i++)
		if (a->lora[i].r)
			few_lora(k, &a->lora[i]);
}

static size_t linear_any_ws(const struct ftk *k, const struct ftk_linear *a)
{
	return max_size(linear_ws(k, a),
			((const struct cpu *)k)->apart_ws(k, a));
}

void ftk_init_avx512bf16(struct ftk *k)
{
	struct cpu *c = (struct cpu *)k;

	ftk_init_avx512bf16_simd(k);
	c->apart = k->linear;
	c->apart_ws = k->linear_ws;
	init(k);
	k->matmul = op_matmul_any;
	k->matmul_ws = matmul_any_ws;
	k->lora = op_lora_any;
	k->linear = op_linear_any;
	k->linear_ws = linear_any_ws;
}
