/* SPDX-License-Identifier: MIT */
/*
 * Vectors of simd.inc in AVX-512: VW floats in a V, a mask of lanes in an M.
 * The same names as in vec_avx2.h, so that one source serves both.
 */
#ifndef FTK_CPU_VEC_H
#define FTK_CPU_VEC_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define VW       16
#define MR       14 /* rows of a tile of a product, whose columns are 2 VW */
#define DOT_COLS 4  /* rows of the weight in dot products at once */

typedef __m512 V;
typedef __mmask16 M;

#define v_zero()           _mm512_setzero_ps()
#define v_set1(x)          _mm512_set1_ps(x)
#define v_load(p)          _mm512_loadu_ps(p)
#define v_store(p, v)      _mm512_storeu_ps(p, v)
#define v_load_m(p, m)     _mm512_maskz_loadu_ps(m, p) /* 0 elsewhere */
#define v_store_m(p, m, v) _mm512_mask_storeu_ps(p, m, v)
#define v_prefetch(p)      _mm_prefetch((const char *)(p), _MM_HINT_T1)
#define v_add(a, b)        _mm512_add_ps(a, b)
#define v_sub(a, b)        _mm512_sub_ps(a, b)
#define v_mul(a, b)        _mm512_mul_ps(a, b)
#define v_div(a, b)        _mm512_div_ps(a, b)
#define v_max(a, b)        _mm512_max_ps(a, b)
#define v_min(a, b)        _mm512_min_ps(a, b)
#define v_sqrt(a)          _mm512_sqrt_ps(a)
#define v_fma(a, b, c)     _mm512_fmadd_ps(a, b, c)  /* ab + c */
#define v_fnma(a, b, c)    _mm512_fnmadd_ps(a, b, c) /* c - ab */
#define v_abs(a)           _mm512_abs_ps(a)
#define v_round(a)         _mm512_roundscale_ps(a, 8)
#define v_lt(a, b)         _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ)
#define v_select(m, a, b)  _mm512_mask_blend_ps(m, b, a) /* m ? a : b */
#define v_sign_of(a, s)                                                     \
	_mm512_castsi512_ps(_mm512_ternarylogic_epi32(                      \
		_mm512_set1_epi32((int)0x80000000), _mm512_castps_si512(s), \
		_mm512_castps_si512(a), 0xCA)) /* |a| with the sign of s */
#define m_first(n)  ((M)((1u << (n)) - 1))     /* n <= VW */
#define m_and(a, b) ((M)((a) & (b)))
#define m_any(a)    ((a) != 0)

/* x * 2^n for whole n in [-126, 127]. */
static inline V v_ldexp(V x, V n)
{
	return _mm512_scalef_ps(x, n);
}

static inline float v_hmax(V a)
{
	return _mm512_reduce_max_ps(a);
}

/* The sum of lanes, in the same order as vec_avx2.h would halve them. */
static inline float v_hsum(V a)
{
	__m256 h = _mm256_add_ps(_mm512_castps512_ps256(a),
				 _mm512_extractf32x8_ps(a, 1));
	__m128 q = _mm_add_ps(_mm256_castps256_ps128(h),
			      _mm256_extractf128_ps(h, 1));

	q = _mm_add_ps(q, _mm_movehl_ps(q, q));
	return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}

/* The sums of four, as they are cheapest together. */
static inline __m128 v_hsum4(const V s[4])
{
	V a = _mm512_add_ps(_mm512_unpacklo_ps(s[0], s[1]),
			    _mm512_unpackhi_ps(s[0], s[1]));
	V b = _mm512_add_ps(_mm512_unpacklo_ps(s[2], s[3]),
			    _mm512_unpackhi_ps(s[2], s[3]));
	__m256 h;

	a = _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x44),
			  _mm512_shuffle_ps(a, b, 0xEE));
	h = _mm256_add_ps(_mm512_castps512_ps256(a),
			  _mm512_extractf32x8_ps(a, 1));
	return _mm_add_ps(_mm256_castps256_ps128(h),
			  _mm256_extractf128_ps(h, 1));
}

static inline double v_hsum_double(V a)
{
	__m512d lo = _mm512_cvtps_pd(_mm512_castps512_ps256(a));
	__m512d hi = _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1));

	return _mm512_reduce_add_pd(_mm512_add_pd(lo, hi));
}

/* r[i][j] becomes r[j][i]. */
static inline void v_transpose(V r[VW])
{
	V t[VW];

	for (int i = 0; i < 16; i += 4) {
		V a = _mm512_unpacklo_ps(r[i], r[i + 1]);
		V b = _mm512_unpackhi_ps(r[i], r[i + 1]);
		V c = _mm512_unpacklo_ps(r[i + 2], r[i + 3]);
		V d = _mm512_unpackhi_ps(r[i + 2], r[i + 3]);

		t[i] = _mm512_shuffle_ps(a, c, 0x44);
		t[i + 1] = _mm512_shuffle_ps(a, c, 0xEE);
		t[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
		t[i + 3] = _mm512_shuffle_ps(b, d, 0xEE);
	}
	for (int i = 0; i < 4; i++) {
		V a = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88);
		V b = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xDD);
		V c = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88);
		V d = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xDD);

		r[i] = _mm512_shuffle_f32x4(a, c, 0x88);
		r[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
		r[i + 8] = _mm512_shuffle_f32x4(a, c, 0xDD);
		r[i + 12] = _mm512_shuffle_f32x4(b, d, 0xDD);
	}
}

/* --- bfloat16 ------------------------------------------------------------ */

/* VW of 16 bits, each the upper half of a lane. */
static inline V v_widen(__m256i h)
{
	return _mm512_castsi512_ps(
		_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

/* To the nearest, ties to even; NaN stays one. */
#if defined(__AVX512BF16__)
#define v_round_half(v) ((__m256i)_mm512_cvtneps_pbh(v))
#else
static inline __m256i v_round_half(V v)
{
	__m512i u = _mm512_castps_si512(v), odd, r;

	odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
	r = _mm512_add_epi32(_mm512_add_epi32(u, odd),
			     _mm512_set1_epi32(0x7fff));
	r = _mm512_mask_or_epi32(r, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), u,
				 _mm512_set1_epi32(0x400000));
	return _mm512_cvtepi32_epi16(_mm512_srli_epi32(r, 16));
}
#endif

#define v_load_h(p)         v_widen(_mm256_loadu_si256((const void *)(p)))
#define v_load_hm(p, m)     v_widen(_mm256_maskz_loadu_epi16(m, p))
#define v_store_hm(p, m, v) _mm256_mask_storeu_epi16(p, m, v_round_half(v))

/* The elements of VW pairs at p: those of even index, of odd. */
#define v_load_even(p)       \
	_mm512_castsi512_ps( \
		_mm512_slli_epi32(_mm512_loadu_si512((const void *)(p)), 16))
#define v_load_odd(p)                                                   \
	_mm512_castsi512_ps(                                            \
		_mm512_and_si512(_mm512_loadu_si512((const void *)(p)), \
				 _mm512_set1_epi32((int)0xffff0000)))

/* Bits of 2 VW of bfloat16 in order become two vectors. */
static inline void v_widen_both(V bits, V *lo, V *hi)
{
	__m512i u = _mm512_castps_si512(bits);

	*lo = v_widen(_mm512_castsi512_si256(u));
	*hi = v_widen(_mm512_extracti64x4_epi64(u, 1));
}

/* To float16 and back. */
#define v_round_16(v) _mm512_cvtph_ps(_mm512_cvtps_ph(v, 0))

/* --- codes of 4 bits ------------------------------------------------------ */

typedef struct {
	V v[1];
} T; /* 16 numbers, one for each code */

/* The numbers of VW codes, two a byte, the first its high half. */
static inline V t_look(T t, const uint8_t *code)
{
	__m128i b = _mm_loadl_epi64((const void *)code);
	__m512i i = _mm512_cvtepu8_epi32(_mm_unpacklo_epi8(b, b));

	i = _mm512_srlv_epi32(i, _mm512_set1_epi64(4)); /* of each two, one */
	return _mm512_permutexvar_ps(i, t.v[0]);
}

/* --- pairs of bfloat16: words --------------------------------------------- */

#if defined(__AVX512BF16__)
/* s + the products of both halves of words. */
static inline V v_dot(V a, V b, V s)
{
	return _mm512_dpbf16_ps(s, (__m512bh)_mm512_castps_si512(a),
				(__m512bh)_mm512_castps_si512(b));
}

/* Words of lanes: even's rounded in the low half, odd's in the high one. */
static inline V v_words(V even, V odd)
{
	__m512i lo = _mm512_cvtepu16_epi32(v_round_half(even));
	__m512i hi = _mm512_cvtepu16_epi32(v_round_half(odd));

	return _mm512_castsi512_ps(
		_mm512_or_si512(lo, _mm512_slli_epi32(hi, 16)));
}

/* The words of n halves at p, 0 beyond. */
static inline V v_load_words(const uint16_t *p, size_t n)
{
	__mmask32 m = n < 32 ? ((__mmask32)1 << n) - 1 : UINT32_MAX;

	return _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(m, p));
}
#endif

/* --- whole numbers, for Philox ------------------------------------------- */

typedef __m512i U; /* VW numbers of 32 bits */

#define u_set1(x)     _mm512_set1_epi32((int)(x))
#define u_xor(a, b)   _mm512_xor_si512(a, b)
#define u_add(a, b)   _mm512_add_epi32(a, b)
#define u_store(p, a) _mm512_storeu_si512(p, a)
#define u_iota() \
	_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)

/* High and low halves of the products of lanes. */
static inline U u_mulhi(U a, U b, U *lo)
{
	U even = _mm512_mul_epu32(a, b);
	U odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32),
				 _mm512_srli_epi64(b, 32));

	*lo = _mm512_mullo_epi32(a, b);
	return _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32),
				       odd);
}

/* p [VW, 4]: lanes of a, b, c and d in turn. */
static inline void u_store_turns(uint32_t *p, U a, U b, U c, U d)
{
	U ab = _mm512_unpacklo_epi32(a, b), cd = _mm512_unpacklo_epi32(c, d);
	U t0 = _mm512_unpacklo_epi64(ab, cd),
	  t1 = _mm512_unpackhi_epi64(ab, cd);
	U t2, t3, u[4];

	ab = _mm512_unpackhi_epi32(a, b);
	cd = _mm512_unpackhi_epi32(c, d);
	t2 = _mm512_unpacklo_epi64(ab, cd);
	t3 = _mm512_unpackhi_epi64(ab, cd);
	u[0] = _mm512_shuffle_i32x4(t0, t1, 0x88);
	u[1] = _mm512_shuffle_i32x4(t2, t3, 0x88);
	u[2] = _mm512_shuffle_i32x4(t0, t1, 0xDD);
	u[3] = _mm512_shuffle_i32x4(t2, t3, 0xDD);
	u_store(p, _mm512_shuffle_i32x4(u[0], u[1], 0x88));
	u_store(p + 16, _mm512_shuffle_i32x4(u[2], u[3], 0x88));
	u_store(p + 32, _mm512_shuffle_i32x4(u[0], u[1], 0xDD));
	u_store(p + 48, _mm512_shuffle_i32x4(u[2], u[3], 0xDD));
}

/* A mask as bits in memory, VW / 8 bytes. */
static inline void m_put(uint8_t *p, M m)
{
	p[0] = (uint8_t)m;
	p[1] = (uint8_t)(m >> 8);
}

static inline M m_get(const uint8_t *p)
{
	return (M)(p[0] | p[1] << 8);
}

/* Lanes of 16 unsigned halves of 16 bits at p, that are at least `least`. */
static inline M m_keep(const uint16_t *p, uint32_t least)
{
	U bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)p));

	return _mm512_cmpge_epi32_mask(bits, u_set1(least));
}

#endif
