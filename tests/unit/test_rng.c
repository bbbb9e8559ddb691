/* SPDX-License-Identifier: MIT */
#include "libcommon/base/rng.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/philox.h"
#include "tests/lib/test.h"

/* The vectors published with the paper (Random123, kat_vectors). */
static void test_philox(void)
{
	static const struct {
		uint32_t c[4], k[2], want[4];
	} t[] = {
		{{0, 0, 0, 0},
		 {0, 0},
		 {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
		 {0xffffffff, 0xffffffff},
		 {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
		 {0xa4093822, 0x299f31d0},
		 {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	};

	for (size_t i = 0; i < 3; i++) {
		uint32_t c[4];

		memcpy(c, t[i].c, sizeof(c));
		ft_philox(c, t[i].k[0], t[i].k[1]);
		CHECK(!memcmp(c, t[i].want, sizeof(c)), "philox vector %zu", i);
	}
	CHECK(ft_mix64(0) == 0xE220A8397B1DCDAFu, "splitmix64's first number");
}

/* Results depend on these: they may never change. */
static void test_fixed(void)
{
	uint64_t key = ft_rng_key(42, FT_RNG_DROPOUT);
	uint32_t r[4], c[4] = {5, 1, 7, 0};

	ft_rng_bits(42, FT_RNG_DROPOUT, (UINT64_C(1) << 32) + 5, 7, r);
	ft_philox(c, (uint32_t)key, (uint32_t)(key >> 32));
	CHECK(!memcmp(r, c, sizeof(r)), "bits are philox of (a, b) by the key");
	CHECK(key == ft_mix64(ft_mix64(42) + 3), "the key");
	CHECK(ft_rng_below(0, FT_RNG_SHUFFLE, 0, 0, 1000) == 144,
	      "a number that stays: %llu",
	      (unsigned long long)ft_rng_below(0, FT_RNG_SHUFFLE, 0, 0, 1000));
	CHECK(ft_rng_unit(0, FT_RNG_SAMPLE, 1, 2) == 0x1.b8dee8f0b274fp-1,
	      "another: %a", ft_rng_unit(0, FT_RNG_SAMPLE, 1, 2));
}

/* Numbers 2k and 2k + 1 are the two that Box and Muller make of bits k. */
static void test_normal(void)
{
	uint32_t r[4];
	double u, x = ft_rng_normal(9, FT_RNG_INIT, 4, 6);
	double y = ft_rng_normal(9, FT_RNG_INIT, 4, 7);

	ft_rng_bits(9, FT_RNG_INIT, 4, 3, r);
	u = 1 - ((double)(((uint64_t)r[0] << 32 | r[1]) >> 11) + 1) * 0x1p-53;
	CHECK(fabs(x * x + y * y + 2 * log1p(-u)) < 1e-12,
	      "a pair of normals is one point");
	u = (double)(((uint64_t)r[2] << 32 | r[3]) >> 11) * 0x1p-53;
	u = remainder(atan2(y, x) / 6.283185307179586 - u, 1);
	CHECK(fabs(u) < 1e-12, "at its angle");
}

static void test_ranges(void)
{
	double sum = 0, sq = 0, cross = 0, prev = 0;
	size_t count[6] = {0};
	bool ok = true;
	int n = 100000;

	for (int i = 0; i < n; i++) {
		uint64_t k = ft_rng_below(3, FT_RNG_SHUFFLE, 1, (uint64_t)i, 6);
		double u = ft_rng_unit(3, FT_RNG_SAMPLE, 1, (uint64_t)i);
		double g = ft_rng_normal(3, FT_RNG_INIT, 1, (uint64_t)i);

		ok = ok && k < 6 && u >= 0 && u < 1 && isfinite(g);
		count[k < 6 ? k : 0]++;
		sum += g;
		sq += g * g;
		cross += g * prev;
		prev = g;
	}
	CHECK(ok, "numbers are in their ranges");
	/* five standard deviations each */
	for (int i = 0; i < 6; i++)
		CHECK(fabs((double)count[i] - n / 6.0) < 5 * sqrt(n * 5 / 36.0),
		      "side %d of a die comes up as often as the others", i);
	CHECK(fabs(sum / n) < 5 / sqrt(n), "mean of normals");
	CHECK(fabs(sq / n - 1) < 5 * sqrt(2.0 / n), "variance of normals");
	CHECK(fabs(cross / n) < 5 / sqrt(n), "neighbours are uncorrelated");
	CHECK(ft_rng_below(1, FT_RNG_PAIRS, 0, 0, 0) == 0 &&
		      ft_rng_below(1, FT_RNG_PAIRS, 0, 0, 1) == 0,
	      "below 0 and 1");
	CHECK(ft_rng_below(1, FT_RNG_PAIRS, 0, 0, UINT64_MAX) < UINT64_MAX,
	      "below the largest");
}

static void test_permute(void)
{
	uint64_t p[1000], q[1000];
	bool seen[1000] = {false}, ok = true;
	size_t fixed = 0;

	ft_rng_permute(7, FT_RNG_SHUFFLE, 0, p, 1000);
	for (size_t i = 0; i < 1000; i++) {
		ok = ok && p[i] < 1000 && !seen[p[i]];
		seen[p[i] % 1000] = true;
		fixed += p[i] == i;
	}
	CHECK(ok, "a permutation");
	CHECK(fixed < 10, "that moves most");
	ft_rng_permute(7, FT_RNG_SHUFFLE, 1, q, 1000);
	CHECK(memcmp(p, q, sizeof(p)) != 0, "another epoch, another order");
	ft_rng_permute(7, FT_RNG_SHUFFLE, 0, q, 1000);
	CHECK(memcmp(p, q, sizeof(p)) == 0, "the same, the same");
	ft_rng_permute(7, FT_RNG_SHUFFLE, 0, q, 0);
	ft_rng_permute(7, FT_RNG_SHUFFLE, 0, q, 1);
	CHECK(q[0] == 0, "one element");
}

int main(void)
{
	test_philox();
	test_fixed();
	test_normal();
	test_ranges();
	test_permute();
	return test_done();
}
