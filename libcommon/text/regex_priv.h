/* SPDX-License-Identifier: MIT */
/* Inside of regular expressions: programs for a backtracking machine. */
#ifndef FT_TEXT_REGEX_PRIV_H
#define FT_TEXT_REGEX_PRIV_H

#include "libcommon/text/regex.h"
#include "libcommon/text/unicode.h"

/*
 * A set of characters: those of the categories, with one of the flags, without
 * one of the absent flags, or in a range; then maybe all others.
 */
struct ft_rx_set {
	uint64_t ascii[2]; /* all of it, ready, for the first 128 */
	uint32_t categories;
	uint16_t flags, absent; /* FT_UC_* */
	bool negated;
	uint32_t *range; /* [2 * n] first, last */
	size_t n, cap;
};

struct ft_rx_insn {
	enum {
		FT_RX_SET,    /* a character of set */
		FT_RX_RUN,    /* min to max of set, as many as there are */
		FT_RX_SPLIT,  /* go on at x, and if that fails at y */
		FT_RX_JUMP,   /* to x */
		FT_RX_AHEAD,  /* a character of set follows */
		FT_RX_BEHIND, /* none of set follows */
		FT_RX_EOL,    /* the end, or a line feed follows */
		FT_RX_MATCH,
	} op;
	bool possessive;   /* RUN gives nothing back */
	uint32_t set;      /* index of a set */
	uint32_t min, max; /* RUN; UINT32_MAX: any number */
	uint32_t x, y;     /* places in the program */
	uint32_t memo;     /* RUN: its memo; SPLIT: its row of bits */
};

struct ft_regex {
	struct ft_rx_insn *insn;
	size_t ninsn;
	struct ft_rx_set *set;
	size_t nset;
	size_t nrun, nsplit;
	bool first[256]; /* bytes that a match can begin with */
};

static inline bool ft_rx_in(const struct ft_rx_set *s, uint32_t cp)
{
	unsigned uc;

	if (cp < 128)
		return s->ascii[cp >> 6] >> (cp & 63) & 1;
	uc = ft_uc(cp);
	if (s->categories >> (uc >> FT_UC_CATEGORY) & 1 || s->flags & uc ||
	    s->absent & ~uc)
		return !s->negated;
	for (size_t i = 0; i < 2 * s->n; i += 2)
		if (cp >= s->range[i] && cp <= s->range[i + 1])
			return !s->negated;
	return s->negated;
}

#endif
