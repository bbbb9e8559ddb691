/* SPDX-License-Identifier: MIT */
#include "libcommon/text/window.h"

#include <stdbool.h>
#include <string.h>

static unsigned lowest(uint64_t x)
{
	return (unsigned)__builtin_ctzll(x);
}

static unsigned highest(uint64_t x)
{
	return 63 - (unsigned)__builtin_clzll(x);
}

/* Bits 0 .. n - 1. */
static uint64_t below(unsigned n)
{
	return n < 64 ? (UINT64_C(1) << n) - 1 : UINT64_MAX;
}

/* The first of each run of bits. */
static uint64_t firsts(uint64_t x)
{
	return x & ~(x << 1);
}

/* The classes of the expressions, of n bytes. */
struct kinds {
	uint64_t letter, digit, space, other;
};

static struct kinds kinds_of(const struct ft_masks *m, unsigned n)
{
	uint64_t all = below(n);
	struct kinds k = {m->letter & all, m->digit & all, m->space & all, 0};

	k.other = all & ~(k.letter | k.digit | k.space);
	return k;
}

/* The last of each run of white space that is seen to end. */
static uint64_t last_spaces(uint64_t space, unsigned n)
{
	return space & ~(space >> 1) & below(n - 1);
}

/* --- contractions --------------------------------------------------------- */

/* Bytes of the contraction at s, whose first is a quote; 0: none.  Any case:
   lower is 32. */
static unsigned contraction(const char *s, char lower)
{
	char a = (char)(s[1] | lower), b = (char)(s[2] | lower);

	if (a == 's' || a == 't' || a == 'm' || a == 'd')
		return 2;
	if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') ||
	    (a == 'l' && b == 'l'))
		return 3;
	return 0;
}

/* They come before anything else where a piece begins with a quote. */
static uint64_t contractions(uint64_t begin, uint64_t quote, const char *s,
			     unsigned n, char lower)
{
	uint64_t q = begin & quote;

	for (; q; q &= q - 1) {
		unsigned i = lowest(q), k;

		if (i + 3 > n)
			return begin & below(i + 1);
		k = contraction(s + i, lower);
		if (!k)
			continue;
		begin &= ~(UINT64_C(2) << i);
		begin |= UINT64_C(1) << (i + k - 1) << 1;
	}
	return begin;
}

/* --- GPT-2 ---------------------------------------------------------------- */

uint64_t ft_window_gpt2(const struct ft_masks *m, const char *s, unsigned n)
{
	struct kinds k = kinds_of(m, n);
	uint64_t words = firsts(k.letter) | firsts(k.digit) | firsts(k.other);
	uint64_t begin = firsts(k.space) | last_spaces(k.space, n) |
			 (words & ~(m->blank << 1)) | 1;

	return contractions(begin, m->quote, s, n, 0);
}

/* A digit is a piece, and what stands between two is a text of its own: white
   space at its end is one piece. */
uint64_t ft_window_starcoder(const struct ft_masks *m, const char *s,
			     unsigned n)
{
	struct kinds k = kinds_of(m, n);
	uint64_t words = firsts(k.letter) | firsts(k.other);
	uint64_t last = last_spaces(k.space, n) & ~(k.digit >> 1);
	uint64_t begin = firsts(k.space) | last | k.digit |
			 (words & ~(m->blank << 1)) | 1;

	return contractions(begin, m->quote, s, n, 0);
}

/* --- what came after it --------------------------------------------------- */

/*
 * White space of a piece that a line end closes, and what is left behind the
 * last line end.  space is what no piece before it has taken; returns where
 * pieces begin in it.
 */
static uint64_t modern_space(uint64_t space, uint64_t newline, unsigned n)
{
	uint64_t rest = space & ~newline;
	uint64_t behind = rest & ((newline & space) << 1);
	/* runs of rest that end at a line end again do not begin a piece */
	uint64_t ended = (rest + behind) & ~rest & newline & space;
	uint64_t last = rest & last_spaces(space, n);

	for (; ended; ended &= ended - 1)
		behind &= ~(UINT64_C(1)
			    << highest(behind & below(lowest(ended))));
	return firsts(space) | behind | last;
}

static uint64_t modern(const struct ft_masks *m, const char *s, unsigned n,
		       bool threes)
{
	struct kinds k = kinds_of(m, n);
	uint64_t newline = m->newline & k.space, taken, space, glue, begin;
	uint64_t after = newline & (k.other << 1), group;

	/* line ends right behind signs belong to them */
	taken = newline & ~(newline + after);
	space = k.space & ~taken;
	/* what may stand before letters in their piece */
	glue = (space & ~newline) | (firsts(k.other) & ~(m->blank << 1));
	begin = modern_space(space, newline, n) |
		(firsts(k.letter) & ~(glue << 1)) |
		(firsts(k.other) & ~(m->blank << 1)) | 1;
	group = threes ? firsts(k.digit) : k.digit;
	for (; group;
	     group = threes ? group << 3 & k.digit & k.digit << 1 & k.digit << 2
			    : 0)
		begin |= group;
	/* white space whose end is not seen */
	if (space >> (n - 1) & 1)
		begin &= below(highest(firsts(space)) + 1);
	return contractions(begin, m->quote, s, n, 32);
}

uint64_t ft_window_qwen(const struct ft_masks *m, const char *s, unsigned n)
{
	return modern(m, s, n, false);
}

uint64_t ft_window_llama3(const struct ft_masks *m, const char *s, unsigned n)
{
	return modern(m, s, n, true);
}

/* --- DeepSeek-Coder ------------------------------------------------------- */

/*
 * Line ends and digits alone; letters, and punctuation, with one character of
 * white space before them; runs of what is left.
 */
uint64_t ft_window_deepseek(const struct ft_masks *m, const char *s, unsigned n)
{
	struct kinds k = kinds_of(m, n);
	uint64_t newline = m->newline & k.space, space = k.space & ~newline;
	uint64_t punct = k.other & ~(m->symbol | m->control);
	uint64_t glue = space & (k.letter >> 1 | punct >> 1);
	uint64_t rest = (space & ~glue) | (k.other & ~punct);

	(void)s;
	return newline | k.digit | glue | firsts(rest) |
	       ((firsts(k.letter) | firsts(punct)) & ~(space << 1)) | 1;
}

/* --- text ----------------------------------------------------------------- */

size_t ft_window_cut(ft_window_fn *f, ft_masks_fn *masks, const char *p,
		     const char *end, uint32_t *stop, size_t max)
{
	const char *base = p;
	size_t count = 0;

	while (p < end && count + 64 <= max) {
		size_t left = (size_t)(end - p);
		unsigned n = left < 64 ? (unsigned)left : 64, last;
		const char *s = p;
		struct ft_masks m;
		uint64_t begin;
		char tail[64] = {0};
		uint32_t at = (uint32_t)(p - base);

		if (*p & 0x80)
			break;
		if (left < 64)
			s = memcpy(tail, p, left);
		masks(s, &m);
		if (m.high && lowest(m.high) < n)
			n = lowest(m.high);
		begin = f(&m, s, n) & below(n);
		last = highest(begin);
		if (!last)
			break;
		for (begin &= begin - 1; begin; begin &= begin - 1)
			stop[count++] = at + lowest(begin);
		p += last;
	}
	return count;
}

static bool is_letter(char c)
{
	return (unsigned char)((c | 32) - 'a') < 26;
}

const char *ft_window_seam(const char *p, const char *end)
{
	const char *q = p + 1;

	while (end - q > 1 && (q = memchr(q, ' ', (size_t)(end - q) - 1))) {
		if (is_letter(q[-1]) && is_letter(q[1]))
			return q;
		q++;
	}
	return end;
}
