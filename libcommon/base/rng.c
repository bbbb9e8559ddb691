/* SPDX-License-Identifier: MIT */
#include "libcommon/base/rng.h"

#include <math.h>

#include "libcommon/base/philox.h"

__extension__ typedef unsigned __int128 u128;

uint64_t ft_mix64(uint64_t x)
{
	x += 0x9E3779B97F4A7C15u;
	x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
	x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
	return x ^ (x >> 31);
}

uint64_t ft_rng_key(uint64_t seed, enum ft_purpose p)
{
	return ft_mix64(ft_mix64(seed) + (uint64_t)p);
}

void ft_rng_bits(uint64_t seed, enum ft_purpose p, uint64_t a, uint64_t b,
		 uint32_t out[4])
{
	uint64_t key = ft_rng_key(seed, p);

	out[0] = (uint32_t)a;
	out[1] = (uint32_t)(a >> 32);
	out[2] = (uint32_t)b;
	out[3] = (uint32_t)(b >> 32);
	ft_philox(out, (uint32_t)key, (uint32_t)(key >> 32));
}

static uint64_t join(uint32_t hi, uint32_t lo)
{
	return (uint64_t)hi << 32 | lo;
}

double ft_rng_unit(uint64_t seed, enum ft_purpose p, uint64_t a, uint64_t b)
{
	uint32_t r[4];

	ft_rng_bits(seed, p, a, b, r);
	return (double)(join(r[0], r[1]) >> 11) * 0x1p-53;
}

uint64_t ft_rng_below(uint64_t seed, enum ft_purpose p, uint64_t a, uint64_t b,
		      uint64_t n)
{
	uint32_t r[4];
	u128 low;

	ft_rng_bits(seed, p, a, b, r);
	low = (u128)join(r[2], r[3]) * n >> 64;
	return (uint64_t)(((u128)join(r[0], r[1]) * n + low) >> 64);
}

double ft_rng_normal(uint64_t seed, enum ft_purpose p, uint64_t a, uint64_t i)
{
	uint32_t r[4];
	double radius, angle;

	ft_rng_bits(seed, p, a, i >> 1, r);
	/* (0, 1], so that the logarithm is finite */
	radius = ((double)(join(r[0], r[1]) >> 11) + 1) * 0x1p-53;
	radius = sqrt(-2 * log(radius));
	angle = (double)(join(r[2], r[3]) >> 11) * 0x1p-53;
	angle *= 6.283185307179586;
	return radius * (i & 1 ? sin(angle) : cos(angle));
}

void ft_rng_permute(uint64_t seed, enum ft_purpose p, uint64_t a,
		    uint64_t *perm, size_t n)
{
	for (size_t i = 0; i < n; i++)
		perm[i] = i;
	for (size_t i = n; i-- > 1;) {
		size_t j = (size_t)ft_rng_below(seed, p, a, i, i + 1);
		uint64_t t = perm[i];

		perm[i] = perm[j];
		perm[j] = t;
	}
}
