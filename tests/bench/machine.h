/* SPDX-License-Identifier: MIT */
/* What benches share: clocks, and reading memory as fast as it goes. */
#ifndef FT_BENCH_MACHINE_H
#define FT_BENCH_MACHINE_H

#include <stdint.h>
#include <time.h>

#include "libcommon/base/thread.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* One thread is timed by its own clock, that others' work does not move. */
static inline double seconds(int threads)
{
	struct timespec t;

	clock_gettime(threads > 1 ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID,
		      &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static volatile uint64_t read_sink;

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static inline void read_512(const char *p,
							       size_t n)
{
	__m512i s[4] = {0};

	for (size_t i = 0; i + 256 <= n; i += 256)
#pragma GCC unroll 4
		for (int j = 0; j < 4; j++)
			s[j] = _mm512_xor_si512(
				s[j], _mm512_loadu_si512(p + i + 64 * j));
	s[0] = _mm512_xor_si512(_mm512_xor_si512(s[0], s[1]),
				_mm512_xor_si512(s[2], s[3]));
	read_sink = (uint64_t)_mm512_reduce_or_epi64(s[0]);
}
#endif

static inline void read_plain(const uint64_t *p, size_t n)
{
	uint64_t s[8] = {0};

	for (size_t i = 0; i + 8 <= n / 8; i += 8)
		for (size_t j = 0; j < 8; j++)
			s[j] ^= p[i + j];
	for (size_t j = 1; j < 8; j++)
		s[0] ^= s[j];
	read_sink = s[0];
}

struct reading {
	const char *p;
	size_t n, piece; /* bytes */
};

static inline void read_piece(void *arg, size_t piece, int worker)
{
	const struct reading *r = arg;
	size_t at = piece * r->piece;
	size_t n = r->n - at < r->piece ? r->n - at : r->piece;

	(void)worker;
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f")) {
		read_512(r->p + at, n);
		return;
	}
#endif
	read_plain((const uint64_t *)(const void *)(r->p + at), n);
}

/* All n bytes at p (a multiple of 64), in pieces of 4 MiB. */
static inline void read_all(struct ft_pool *pool, const void *p, size_t n)
{
	struct reading r = {p, n, (size_t)4 << 20};

	ft_pool_run(pool, read_piece, &r, (n + r.piece - 1) / r.piece);
}

#endif
