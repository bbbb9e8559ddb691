/* SPDX-License-Identifier: MIT */
/*
 * Unicode normalization, character by character: UAX #15 by the tables of the
 * tokenizers package, whose versions are those of the libraries it is built
 * from and not all of Unicode 16.0 (tests/golden/gen_unicode.py).
 */
#ifndef FT_TEXT_NORMAL_H
#define FT_TEXT_NORMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FT_NORMAL_MAX = 18 }; /* longest decomposition: U+FDFA, compatible */

/* Whole decomposition of a code point into out; its length.  compat: NFKD. */
size_t ft_normal_decompose(uint32_t cp, bool compat,
			   uint32_t out[FT_NORMAL_MAX]);
/* Canonical combining class. */
unsigned ft_normal_class(uint32_t cp);
/* The composition of two code points, or 0. */
uint32_t ft_normal_compose(uint32_t a, uint32_t b);
/* Lower case of a code point into out; its length. */
size_t ft_normal_lower(uint32_t cp, uint32_t out[FT_NORMAL_MAX]);

/* Generated: sorted keys, where the string of each begins, all strings. */
extern const size_t ft_nfd_n, ft_nfkd_n, ft_lower_n;
extern const uint32_t ft_nfd_cp[], ft_nfkd_cp[], ft_lower_cp[];
extern const uint16_t ft_nfd_at[], ft_nfkd_at[], ft_lower_at[];
extern const uint32_t ft_nfd_to[], ft_nfkd_to[], ft_lower_to[];
/* Runs {first, last, class}; pairs {a, b, composition}. */
extern const size_t ft_ccc_n, ft_pair_n;
extern const uint32_t ft_ccc[], ft_pair[];

#endif
