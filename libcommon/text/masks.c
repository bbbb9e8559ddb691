/* SPDX-License-Identifier: MIT */
#include "libcommon/text/masks.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* --- any machine ---------------------------------------------------------- */

enum { NKIND = sizeof(struct ft_masks) / sizeof(uint64_t) };

static unsigned range(unsigned char c, unsigned char a, unsigned char z)
{
	return c >= a && c <= z;
}

/* Bits in the order of the struct. */
static unsigned kinds_of(unsigned char c)
{
	unsigned upper = range(c, 'A', 'Z');
	unsigned space = range(c, '\t', '\r') || c == ' ';

	return (unsigned)(c >= 0x80) | (upper || range(c, 'a', 'z')) << 1 |
	       upper << 2 | range(c, '0', '9') << 3 | space << 4 |
	       (unsigned)(c == ' ') << 5 |
	       (unsigned)(c == '\n' || c == '\r') << 6 |
	       (unsigned)(c == '\'') << 7 |
	       (unsigned)(c && strchr("$+<=>^`|~", c)) << 8 |
	       (unsigned)(c < ' ' || c == 0x7f) << 9;
}

void ft_masks_plain(const char *s, struct ft_masks *m)
{
	uint64_t v[NKIND] = {0};

	for (unsigned i = 0; i < 64; i++) {
		unsigned k = kinds_of((unsigned char)s[i]);

		for (unsigned j = 0; j < NKIND; j++)
			v[j] |= (uint64_t)(k >> j & 1) << i;
	}
	memcpy(m, v, sizeof(*m));
}

#if defined(__x86_64__)

/* --- AVX2 ----------------------------------------------------------------- */

#define AVX2 __attribute__((target("avx2")))

/* Bytes of x from a on, n of them. */
AVX2 static __m256i from2(__m256i x, char a, char n)
{
	__m256i t = _mm256_sub_epi8(x, _mm256_set1_epi8(a));

	return _mm256_cmpeq_epi8(
		_mm256_min_epu8(t, _mm256_set1_epi8((char)(n - 1))), t);
}

AVX2 static __m256i is2(__m256i x, char c)
{
	return _mm256_cmpeq_epi8(x, _mm256_set1_epi8(c));
}

/* The symbols by their two halves: a row of bits for each upper half. */
AVX2 static __m256i symbol2(__m256i x)
{
	const __m256i low = _mm256_broadcastsi128_si256(_mm_setr_epi8(
		8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2 | 16, 2, 2 | 4 | 16, 0));
	const __m256i high = _mm256_broadcastsi128_si256(
		_mm_setr_epi8(0, 0, 1, 2, 0, 4, 8, 16, 0, 0, 0, 0, 0, 0, 0, 0));
	const __m256i half = _mm256_set1_epi8(15);
	__m256i a = _mm256_shuffle_epi8(low, _mm256_and_si256(x, half));
	__m256i b = _mm256_shuffle_epi8(
		high, _mm256_and_si256(_mm256_srli_epi16(x, 4), half));

	return _mm256_cmpgt_epi8(_mm256_and_si256(a, b),
				 _mm256_setzero_si256());
}

AVX2 static uint64_t bits2(__m256i x)
{
	return (uint32_t)_mm256_movemask_epi8(x);
}

AVX2 static void masks_avx2(const char *s, struct ft_masks *m)
{
	memset(m, 0, sizeof(*m));
	for (int i = 0; i < 64; i += 32) {
		__m256i x = _mm256_loadu_si256((const void *)(s + i));
		__m256i low = _mm256_or_si256(x, _mm256_set1_epi8(32));
		__m256i blank = is2(x, ' ');

		m->high |= bits2(x) << i;
		m->letter |= bits2(from2(low, 'a', 26)) << i;
		m->upper |= bits2(from2(x, 'A', 26)) << i;
		m->digit |= bits2(from2(x, '0', 10)) << i;
		m->space |= bits2(_mm256_or_si256(blank, from2(x, '\t', 5)))
			    << i;
		m->blank |= bits2(blank) << i;
		m->newline |= bits2(_mm256_or_si256(is2(x, '\n'), is2(x, '\r')))
			      << i;
		m->quote |= bits2(is2(x, '\'')) << i;
		m->symbol |= bits2(symbol2(x)) << i;
		m->control |=
			bits2(_mm256_or_si256(from2(x, 0, 32), is2(x, 0x7f)))
			<< i;
	}
}

/* --- AVX-512 -------------------------------------------------------------- */

#define AVX512 __attribute__((target("avx512f,avx512bw")))

AVX512 static uint64_t from5(__m512i x, char a, char n)
{
	return _mm512_cmplt_epu8_mask(_mm512_sub_epi8(x, _mm512_set1_epi8(a)),
				      _mm512_set1_epi8(n));
}

AVX512 static uint64_t is5(__m512i x, char c)
{
	return _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8(c));
}

AVX512 static void masks_avx512(const char *s, struct ft_masks *m)
{
	const __m512i low = _mm512_broadcast_i32x4(_mm_setr_epi8(
		8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2 | 16, 2, 2 | 4 | 16, 0));
	const __m512i high = _mm512_broadcast_i32x4(
		_mm_setr_epi8(0, 0, 1, 2, 0, 4, 8, 16, 0, 0, 0, 0, 0, 0, 0, 0));
	const __m512i half = _mm512_set1_epi8(15);
	__m512i x = _mm512_loadu_si512(s);

	m->high = _mm512_movepi8_mask(x);
	m->letter = from5(_mm512_or_si512(x, _mm512_set1_epi8(32)), 'a', 26);
	m->upper = from5(x, 'A', 26);
	m->digit = from5(x, '0', 10);
	m->blank = is5(x, ' ');
	m->space = m->blank | from5(x, '\t', 5);
	m->newline = is5(x, '\n') | is5(x, '\r');
	m->quote = is5(x, '\'');
	m->symbol = _mm512_test_epi8_mask(
		_mm512_shuffle_epi8(low, _mm512_and_si512(x, half)),
		_mm512_shuffle_epi8(
			high, _mm512_and_si512(_mm512_srli_epi16(x, 4), half)));
	m->control = from5(x, 0, 32) | is5(x, 0x7f);
}

ft_masks_fn *ft_masks_avx2(void)
{
	return __builtin_cpu_supports("avx2") ? masks_avx2 : NULL;
}

ft_masks_fn *ft_masks_avx512(void)
{
	return __builtin_cpu_supports("avx512bw") ? masks_avx512 : NULL;
}

#else

ft_masks_fn *ft_masks_avx2(void)
{
	return NULL;
}

ft_masks_fn *ft_masks_avx512(void)
{
	return NULL;
}

#endif

ft_masks_fn *ft_masks_best(void)
{
	const char *isa = getenv("FT_ISA");
	ft_masks_fn *f = NULL;

	if (isa && !strcmp(isa, "scalar"))
		return ft_masks_plain;
	if (!isa || strcmp(isa, "avx2") != 0)
		f = ft_masks_avx512();
	if (!f)
		f = ft_masks_avx2();
	return f ? f : ft_masks_plain;
}
