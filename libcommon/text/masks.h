/* SPDX-License-Identifier: MIT */
/*
 * Which bytes of 64 are of which kind, as bits: the scanners' first look at a
 * text.  Kinds are of ASCII; a byte above it is only high.
 */
#ifndef FT_TEXT_MASKS_H
#define FT_TEXT_MASKS_H

#include <stdint.h>

struct ft_masks {
	uint64_t high;    /* not ASCII */
	uint64_t letter;  /* A-Z a-z */
	uint64_t upper;   /* A-Z */
	uint64_t digit;   /* 0-9 */
	uint64_t space;   /* \t \n \v \f \r and the blank */
	uint64_t blank;   /* the blank alone */
	uint64_t newline; /* \n \r */
	uint64_t quote;   /* ' */
	uint64_t symbol;  /* $ + < = > ^ ` | ~, \p{S} */
	uint64_t control; /* below the blank, and 0x7f */
};

/* s is 64 bytes. */
typedef void ft_masks_fn(const char *s, struct ft_masks *m);

/* One for each instruction set, which all give the same; NULL: not here. */
extern ft_masks_fn ft_masks_plain;
ft_masks_fn *ft_masks_avx2(void);
ft_masks_fn *ft_masks_avx512(void);
/* The best that this machine has and FT_ISA allows. */
ft_masks_fn *ft_masks_best(void);

#endif
