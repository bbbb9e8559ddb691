/* SPDX-License-Identifier: MIT */
/*
 * Vectors of simd.inc in AVX2 with FMA: VW floats in a V, a mask of lanes in
 * an M (all bits of a lane).  The same names as in vec_avx512.h.
 */
#ifndef FTK_CPU_VEC_H
#define FTK_CPU_VEC_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VW       8
#define MR       6 /* rows of a tile of a product, whose columns are 2 VW */
#define DOT_COLS 2 /* rows of the weight in dot products at once */

typedef __m256 V;
typedef __m256 M;

#define v_zero()          _mm256_setzero_ps()
#define v_set1(x)         _mm256_set1_ps(x)
#define v_load(p)         _mm256_loadu_ps(p)
#define v_store(p, v)     _mm256_storeu_ps(p, v)
#define v_load_m(p, m)    _mm256_maskload_ps(p, _mm256_castps_si256(m))
#define v_prefetch(p)     _mm_prefetch((const char *)(p), _MM_HINT_T1)
#define v_add(a, b)       _mm256_add_ps(a, b)
#define v_sub(a, b)       _mm256_sub_ps(a, b)
#define v_mul(a, b)       _mm256_mul_ps(a, b)
#define v_div(a, b)       _mm256_div_ps(a, b)
#define v_max(a, b)       _mm256_max_ps(a, b)
#define v_min(a, b)       _mm256_min_ps(a, b)
#define v_sqrt(a)         _mm256_sqrt_ps(a)
#define v_fma(a, b, c)    _mm256_fmadd_ps(a, b, c)  /* ab + c */
#define v_fnma(a, b, c)   _mm256_fnmadd_ps(a, b, c) /* c - ab */
#define v_abs(a)          _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a)
#define v_round(a)        _mm256_round_ps(a, 8)
#define v_lt(a, b)        _mm256_cmp_ps(a, b, _CMP_LT_OQ)
#define v_select(m, a, b) _mm256_blendv_ps(b, a, m) /* m ? a : b */
#define v_sign_of(a, s) \
	_mm256_or_ps(_mm256_and_ps(_mm256_set1_ps(-0.0f), s), a) /* a >= 0 */
#define m_and(a, b) _mm256_and_ps(a, b)
#define m_any(a)    (_mm256_movemask_ps(a) != 0)

/* Masked stores cost dozens of steps on some CPUs: rarely taken. */
static inline void v_store_m(float *p, M m, V v)
{
	if (_mm256_movemask_ps(m) == 255)
		_mm256_storeu_ps(p, v);
	else
		_mm256_maskstore_ps(p, _mm256_castps_si256(m), v);
}

static inline M m_first(size_t n)
{
	__m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

	return _mm256_castsi256_ps(
		_mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane));
}

/* x * 2^n for whole n in [-126, 127]. */
static inline V v_ldexp(V x, V n)
{
	__m256i e = _mm256_cvtps_epi32(n);

	e = _mm256_slli_epi32(_mm256_add_epi32(e, _mm256_set1_epi32(127)), 23);
	return _mm256_mul_ps(x, _mm256_castsi256_ps(e));
}

static inline float v_hmax(V a)
{
	__m128 q = _mm_max_ps(_mm256_castps256_ps128(a),
			      _mm256_extractf128_ps(a, 1));

	q = _mm_max_ps(q, _mm_movehl_ps(q, q));
	return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}

static inline float v_hsum(V a)
{
	__m128 q = _mm_add_ps(_mm256_castps256_ps128(a),
			      _mm256_extractf128_ps(a, 1));

	q = _mm_add_ps(q, _mm_movehl_ps(q, q));
	return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}

/* The sums of four, as they are cheapest together. */
static inline __m128 v_hsum4(const V s[4])
{
	V a = _mm256_add_ps(_mm256_unpacklo_ps(s[0], s[1]),
			    _mm256_unpackhi_ps(s[0], s[1]));
	V b = _mm256_add_ps(_mm256_unpacklo_ps(s[2], s[3]),
			    _mm256_unpackhi_ps(s[2], s[3]));

	a = _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x44),
			  _mm256_shuffle_ps(a, b, 0xEE));
	return _mm_add_ps(_mm256_castps256_ps128(a),
			  _mm256_extractf128_ps(a, 1));
}

static inline double v_hsum_double(V a)
{
	__m256d s = _mm256_add_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(a)),
				  _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1)));
	__m128d h = _mm_add_pd(_mm256_castpd256_pd128(s),
			       _mm256_extractf128_pd(s, 1));

	return _mm_cvtsd_f64(_mm_add_sd(h, _mm_unpackhi_pd(h, h)));
}

/* r[i][j] becomes r[j][i]. */
static inline void v_transpose(V r[VW])
{
	V t[VW];

	for (int i = 0; i < 8; i += 4) {
		V a = _mm256_unpacklo_ps(r[i], r[i + 1]);
		V b = _mm256_unpackhi_ps(r[i], r[i + 1]);
		V c = _mm256_unpacklo_ps(r[i + 2], r[i + 3]);
		V d = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);

		t[i] = _mm256_shuffle_ps(a, c, 0x44);
		t[i + 1] = _mm256_shuffle_ps(a, c, 0xEE);
		t[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
		t[i + 3] = _mm256_shuffle_ps(b, d, 0xEE);
	}
	for (int i = 0; i < 4; i++) {
		r[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
		r[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
	}
}

/* --- bfloat16 ------------------------------------------------------------ */

/* VW of 16 bits, each the upper half of a lane. */
static inline V v_widen(__m128i h)
{
	return _mm256_castsi256_ps(
		_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

/* To the nearest, ties to even; NaN stays one. */
static inline __m128i v_round_half(V v)
{
	__m256i u = _mm256_castps_si256(v), odd, r;

	odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
	r = _mm256_add_epi32(_mm256_add_epi32(u, odd),
			     _mm256_set1_epi32(0x7fff));
	r = _mm256_castps_si256(_mm256_blendv_ps(
		_mm256_castsi256_ps(r),
		_mm256_or_ps(v,
			     _mm256_castsi256_ps(_mm256_set1_epi32(0x400000))),
		_mm256_cmp_ps(v, v, _CMP_UNORD_Q)));
	r = _mm256_srli_epi32(r, 16);
	return _mm_packus_epi32(_mm256_castsi256_si128(r),
				_mm256_extracti128_si256(r, 1));
}

#define v_load_h(p) v_widen(_mm_loadu_si128((const void *)(p)))

static inline V v_load_hm(const uint16_t *p, M m)
{
	int n = __builtin_popcount((unsigned)_mm256_movemask_ps(m));
	uint16_t h[VW] = {0};

	if (n == VW)
		return v_load_h(p);
	/* masks begin at the first lane; weights may lie at any address */
	memcpy(h, p, (size_t)n * sizeof(*h));
	return v_load_h(h);
}

static inline void v_store_hm(uint16_t *p, M m, V v)
{
	int n = __builtin_popcount((unsigned)_mm256_movemask_ps(m));
	uint16_t h[VW];

	if (n == VW) {
		_mm_storeu_si128((void *)p, v_round_half(v));
		return;
	}
	_mm_storeu_si128((void *)h, v_round_half(v));
	for (int i = 0; i < n; i++)
		p[i] = h[i];
}

/* The elements of VW pairs at p: those of even index, of odd. */
#define v_load_even(p)       \
	_mm256_castsi256_ps( \
		_mm256_slli_epi32(_mm256_loadu_si256((const void *)(p)), 16))
#define v_load_odd(p)                                                   \
	_mm256_castsi256_ps(                                            \
		_mm256_and_si256(_mm256_loadu_si256((const void *)(p)), \
				 _mm256_set1_epi32((int)0xffff0000)))

/* Bits of 2 VW of bfloat16 in order become two vectors. */
static inline void v_widen_both(V bits, V *lo, V *hi)
{
	__m256i u = _mm256_castps_si256(bits);

	*lo = v_widen(_mm256_castsi256_si128(u));
	*hi = v_widen(_mm256_extracti128_si256(u, 1));
}

/* To float16 and back. */
#define v_round_16(v) _mm256_cvtph_ps(_mm256_cvtps_ph(v, 0))

/* --- codes of 4 bits ------------------------------------------------------ */

typedef struct {
	V v[2];
} T; /* 16 numbers, one for each code */

/* The numbers of VW codes, two a byte, the first its high half. */
static inline V t_look(T t, const uint8_t *code)
{
	__m256i i;
	__m128i b;
	int32_t four;

	memcpy(&four, code, 4);
	b = _mm_cvtsi32_si128(four);
	i = _mm256_cvtepu8_epi32(_mm_unpacklo_epi8(b, b));
	i = _mm256_srlv_epi32(i, _mm256_set1_epi64x(4)); /* of each two, one */
	return _mm256_blendv_ps(_mm256_permutevar8x32_ps(t.v[0], i),
				_mm256_permutevar8x32_ps(t.v[1], i),
				_mm256_castsi256_ps(_mm256_slli_epi32(i, 28)));
}

/* --- whole numbers, for Philox ------------------------------------------- */

typedef __m256i U; /* VW numbers of 32 bits */

#define u_set1(x)     _mm256_set1_epi32((int)(x))
#define u_xor(a, b)   _mm256_xor_si256(a, b)
#define u_add(a, b)   _mm256_add_epi32(a, b)
#define u_store(p, a) _mm256_storeu_si256((void *)(p), a)
#define u_iota()      _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)

/* High and low halves of the products of lanes. */
static inline U u_mulhi(U a, U b, U *lo)
{
	U even = _mm256_mul_epu32(a, b);
	U odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32),
				 _mm256_srli_epi64(b, 32));

	*lo = _mm256_mullo_epi32(a, b);
	return _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
}

/* p [VW, 4]: lanes of a, b, c and d in turn. */
static inline void u_store_turns(uint32_t *p, U a, U b, U c, U d)
{
	U ab = _mm256_unpacklo_epi32(a, b), cd = _mm256_unpacklo_epi32(c, d);
	U t0 = _mm256_unpacklo_epi64(ab, cd),
	  t1 = _mm256_unpackhi_epi64(ab, cd);
	U t2, t3;

	ab = _mm256_unpackhi_epi32(a, b);
	cd = _mm256_unpackhi_epi32(c, d);
	t2 = _mm256_unpacklo_epi64(ab, cd);
	t3 = _mm256_unpackhi_epi64(ab, cd);
	u_store(p, _mm256_permute2x128_si256(t0, t1, 0x20));
	u_store(p + 8, _mm256_permute2x128_si256(t2, t3, 0x20));
	u_store(p + 16, _mm256_permute2x128_si256(t0, t1, 0x31));
	u_store(p + 24, _mm256_permute2x128_si256(t2, t3, 0x31));
}

/* A mask as bits in memory, VW / 8 bytes. */
static inline void m_put(uint8_t *p, M m)
{
	p[0] = (uint8_t)_mm256_movemask_ps(m);
}

static inline M m_get(const uint8_t *p)
{
	U bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
	U set = _mm256_and_si256(u_set1(p[0]), bit);

	return _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, bit));
}

/* Lanes of 8 unsigned halves of 16 bits at p, that are at least `least`. */
static inline M m_keep(const uint16_t *p, uint32_t least)
{
	U bits = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)p));

	return _mm256_castsi256_ps(
		_mm256_cmpgt_epi32(bits, u_set1((int)least - 1)));
}

#endif
