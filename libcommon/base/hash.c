/* SPDX-License-Identifier: MIT */
#include "libcommon/base/hash.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

/* --- XXH64 ---------------------------------------------------------------
 * github.com/Cyan4973/xxHash, doc/xxhash_spec.md */

#define P1 0x9E3779B185EBCA87u
#define P2 0xC2B2AE3D27D4EB4Fu
#define P3 0x165667B19E3779F9u
#define P4 0x85EBCA77C2B2AE63u
#define P5 0x27D4EB2F165667C5u

static uint64_t rotl64(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

static uint64_t le64(const unsigned char *p)
{
	uint64_t x = 0;

	for (int i = 7; i >= 0; i--)
		x = x << 8 | p[i];
	return x;
}

static uint32_t le32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

static uint64_t lane(uint64_t v, uint64_t x)
{
	return rotl64(v + x * P2, 31) * P1;
}

static uint64_t merge(uint64_t h, uint64_t v)
{
	return (h ^ lane(0, v)) * P1 + P4;
}

void ft_xxh64_init(struct ft_xxh64 *h)
{
	*h = (struct ft_xxh64){.v = {P1 + P2, P2, 0, 0 - P1}};
}

static void stripes(struct ft_xxh64 *h, const unsigned char *p, size_t n)
{
	uint64_t a = h->v[0], b = h->v[1], c = h->v[2], d = h->v[3];

	for (; n; n--, p += 32) {
		a = lane(a, le64(p));
		b = lane(b, le64(p + 8));
		c = lane(c, le64(p + 16));
		d = lane(d, le64(p + 24));
	}
	h->v[0] = a;
	h->v[1] = b;
	h->v[2] = c;
	h->v[3] = d;
}

void ft_xxh64_add(struct ft_xxh64 *h, const void *data, size_t n)
{
	const unsigned char *p = data;

	if (!n)
		return;
	h->total += n;
	if (h->nbuf) {
		size_t k = sizeof(h->buf) - h->nbuf;

		k = n < k ? n : k;
		memcpy(h->buf + h->nbuf, p, k);
		h->nbuf += k;
		p += k;
		n -= k;
		if (h->nbuf < sizeof(h->buf))
			return;
		stripes(h, h->buf, 1);
	}
	stripes(h, p, n / 32);
	h->nbuf = n % 32;
	memcpy(h->buf, p + n / 32 * 32, h->nbuf);
}

uint64_t ft_xxh64_end(const struct ft_xxh64 *h)
{
	const unsigned char *p = h->buf, *end = p + h->nbuf;
	uint64_t x = P5;

	if (h->total >= 32) {
		x = rotl64(h->v[0], 1) + rotl64(h->v[1], 7) +
		    rotl64(h->v[2], 12) + rotl64(h->v[3], 18);
		for (int i = 0; i < 4; i++)
			x = merge(x, h->v[i]);
	}
	x += h->total;
	for (; end - p >= 8; p += 8)
		x = rotl64(x ^ lane(0, le64(p)), 27) * P1 + P4;
	for (; end - p >= 4; p += 4)
		x = rotl64(x ^ le32(p) * P1, 23) * P2 + P3;
	for (; p < end; p++)
		x = rotl64(x ^ *p * P5, 11) * P1;
	x = (x ^ x >> 33) * P2;
	x = (x ^ x >> 29) * P3;
	return x ^ x >> 32;
}

/* --- SHA-256, FIPS 180-4 ------------------------------------------------- */

static const uint32_t K[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
	0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
	0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotr(uint32_t x, int k)
{
	return x >> k | x << (32 - k);
}

static uint32_t be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

/* The eight words stay where they are; their names move round. */
static inline void round_of(uint32_t v[8], int i, uint32_t kw)
{
	uint32_t a = v[(0 - i) & 7], b = v[(1 - i) & 7], c = v[(2 - i) & 7];
	uint32_t e = v[(4 - i) & 7], f = v[(5 - i) & 7], g = v[(6 - i) & 7];
	uint32_t t = v[(7 - i) & 7] + kw + ((e & f) ^ (~e & g)) +
		     (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25));

	v[(3 - i) & 7] += t;
	v[(7 - i) & 7] = t + (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) +
			 ((a & b) ^ (a & c) ^ (b & c));
}

static void blocks_plain(uint32_t h[8], const unsigned char *p, size_t n)
{
	for (; n; n--, p += 64) {
		uint32_t w[64], v[8];

		for (int i = 0; i < 16; i++)
			w[i] = be32(p + 4 * i);
		for (int i = 16; i < 64; i++) {
			uint32_t a = w[i - 15], b = w[i - 2];

			w[i] = w[i - 16] + w[i - 7] +
			       (rotr(a, 7) ^ rotr(a, 18) ^ a >> 3) +
			       (rotr(b, 17) ^ rotr(b, 19) ^ b >> 10);
		}
		memcpy(v, h, sizeof(v));
		for (int i = 0; i < 64; i += 8) {
			for (int j = 0; j < 8; j++)
				round_of(v, j, K[i + j] + w[i + j]);
		}
		for (int i = 0; i < 8; i++)
			h[i] += v[i];
	}
}

#if defined(__x86_64__)
/* With the processor's own rounds; ten times as fast, and weights are large. */
__attribute__((target("sha,sse4.1"))) static void
blocks_ni(uint32_t h[8], const unsigned char *p, size_t n)
{
	const __m128i swap =
		_mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	__m128i abef =
		_mm_set_epi32((int)h[0], (int)h[1], (int)h[4], (int)h[5]);
	__m128i cdgh =
		_mm_set_epi32((int)h[2], (int)h[3], (int)h[6], (int)h[7]);
	uint32_t out[8];

	for (; n; n--, p += 64) {
		__m128i w[4], abef0 = abef, cdgh0 = cdgh;

		for (int i = 0; i < 4; i++)
			w[i] = _mm_shuffle_epi8(
				_mm_loadu_si128((const void *)(p + 16 * i)),
				swap);
		for (int i = 0; i < 16; i++) {
			__m128i w0 = w[i & 3], w3 = w[(i + 3) & 3], t;

			t = _mm_add_epi32(
				w0, _mm_loadu_si128((const void *)(K + 4 * i)));
			cdgh = _mm_sha256rnds2_epu32(cdgh, abef, t);
			t = _mm_shuffle_epi32(t, 0x0E);
			abef = _mm_sha256rnds2_epu32(abef, cdgh, t);
			t = _mm_add_epi32(
				_mm_sha256msg1_epu32(w0, w[(i + 1) & 3]),
				_mm_alignr_epi8(w3, w[(i + 2) & 3], 4));
			w[i & 3] = _mm_sha256msg2_epu32(t, w3);
		}
		abef = _mm_add_epi32(abef, abef0);
		cdgh = _mm_add_epi32(cdgh, cdgh0);
	}
	_mm_storeu_si128((void *)out, abef);
	_mm_storeu_si128((void *)(out + 4), cdgh);
	for (int i = 0; i < 4; i++) {
		static const int at[8] = {5, 4, 1, 0, 7, 6, 3, 2};

		h[at[i]] = out[i];
		h[at[i + 4]] = out[i + 4];
	}
}

static bool have_ni(void)
{
	const char *isa = getenv("FT_ISA");
	unsigned int a, b, c, d;

	if (isa && !strcmp(isa, "scalar"))
		return false;
	return __builtin_cpu_supports("sse4.1") &&
	       __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
}
#endif

static void blocks(uint32_t h[8], const unsigned char *p, size_t n)
{
#if defined(__x86_64__)
	static _Atomic int ni; /* 0 not known, 1 no, 2 yes */

	if (!ni)
		ni = have_ni() ? 2 : 1;
	if (ni == 2) {
		blocks_ni(h, p, n);
		return;
	}
#endif
	blocks_plain(h, p, n);
}

void ft_sha256_init(struct ft_sha256 *s)
{
	*s = (struct ft_sha256){.h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372,
				      0xa54ff53a, 0x510e527f, 0x9b05688c,
				      0x1f83d9ab, 0x5be0cd19}};
}

void ft_sha256_add(struct ft_sha256 *s, const void *data, size_t n)
{
	const unsigned char *p = data;

	if (!n)
		return;
	s->total += n;
	if (s->nbuf) {
		size_t k = sizeof(s->buf) - s->nbuf;

		k = n < k ? n : k;
		memcpy(s->buf + s->nbuf, p, k);
		s->nbuf += k;
		p += k;
		n -= k;
		if (s->nbuf < sizeof(s->buf))
			return;
		blocks(s->h, s->buf, 1);
	}
	blocks(s->h, p, n / 64);
	s->nbuf = n % 64;
	memcpy(s->buf, p + n / 64 * 64, s->nbuf);
}

void ft_sha256_hex(struct ft_sha256 *s, char hex[65])
{
	static const char digits[] = "0123456789abcdef";
	uint64_t bits = s->total * 8;

	s->buf[s->nbuf++] = 0x80;
	if (s->nbuf > 56) {
		memset(s->buf + s->nbuf, 0, sizeof(s->buf) - s->nbuf);
		blocks(s->h, s->buf, 1);
		s->nbuf = 0;
	}
	memset(s->buf + s->nbuf, 0, 56 - s->nbuf);
	for (int i = 0; i < 8; i++)
		s->buf[56 + i] = (unsigned char)(bits >> (56 - 8 * i));
	blocks(s->h, s->buf, 1);
	for (int i = 0; i < 64; i++)
		hex[i] = digits[s->h[i / 8] >> (28 - 4 * (i % 8)) & 15];
	hex[64] = 0;
}
