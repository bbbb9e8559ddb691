/* SPDX-License-Identifier: MIT */
/*
 * Random numbers without state: each is a function of what it is for (contract
 * in ft(7)), so that no order of calls, number of threads or resumption
 * changes it.
 */
#ifndef FT_BASE_RNG_H
#define FT_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* Never renumber: results depend on them. */
enum ft_purpose {
	FT_RNG_INIT = 1,    /* weights of a new model or adapter */
	FT_RNG_SHUFFLE = 2, /* order of rows in an epoch */
	FT_RNG_DROPOUT = 3,
	FT_RNG_SAMPLE = 4, /* tokens drawn in generation */
	FT_RNG_PAIRS = 5,  /* corruptions, choices of ft-pairgen */
	FT_RNG_JUDGE = 6,  /* order in which a judge sees two answers */
	FT_RNG_BOOT = 7,   /* bootstrap intervals */
};

/* 128 random bits keyed by (seed, purpose, a, b): the key is seed and
   purpose mixed to 64 bits, the counter is (a, b). */
void ft_rng_bits(uint64_t seed, enum ft_purpose p, uint64_t a, uint64_t b,
		 uint32_t out[4]);
/* The Philox key for (seed, purpose), for ops that draw their own bits. */
uint64_t ft_rng_key(uint64_t seed, enum ft_purpose p);
double ft_rng_unit(uint64_t seed, enum ft_purpose p, uint64_t a,
		   uint64_t b); /* [0, 1) with 53 bits */
uint64_t ft_rng_below(uint64_t seed, enum ft_purpose p, uint64_t a, uint64_t b,
		      uint64_t n); /* [0, n), unbiased to 2^-64 */
/* Standard normal number i of stream a (Box-Muller in double). */
double ft_rng_normal(uint64_t seed, enum ft_purpose p, uint64_t a, uint64_t i);
/* perm[0..n) = a random permutation of 0..n-1 (Fisher-Yates). */
void ft_rng_permute(uint64_t seed, enum ft_purpose p, uint64_t a,
		    uint64_t *perm, size_t n);
/* A 64-bit mix (splitmix64 finaliser) to fold several numbers into one. */
uint64_t ft_mix64(uint64_t x);

#endif
