/* SPDX-License-Identifier: MIT */
/*
 * Scanners: expressions that cut a whole text into pieces, by hand.  Each is
 * tested against its expression in regex.c.
 */
#include <string.h>

#include "libcommon/text/tok.h"
#include "libcommon/text/unicode.h"

enum { LETTER = FT_UC_L, NUMBER = FT_UC_N, SPACE = FT_UC_S };
enum { CLASS = LETTER | NUMBER | SPACE }; /* 0: none of them */

static unsigned class_of(const char **p)
{
	return ft_uc(ft_utf8_next(p)) & CLASS;
}

/* The end of the characters of one class from p on. */
static const char *run_of(unsigned class, const char *p, const char *end)
{
	while (p < end) {
		const char *q = p;

		if (class_of(&q) != class)
			break;
		p = q;
	}
	return p;
}

/* \s+(?!\S)|\s+ : white space before something else keeps its last character
   for it. */
static const char *white_space(const char *p, const char *end)
{
	const char *z = run_of(SPACE, p, end), *last;

	if (z == end)
		return z;
	last = ft_utf8_prev(z);
	return last > p ? last : z;
}

/* --- GPT-2 ---------------------------------------------------------------- */

static const char *contraction(const char *p, const char *end)
{
	if (end - p < 2)
		return NULL;
	if (p[1] == 's' || p[1] == 't' || p[1] == 'm' || p[1] == 'd')
		return p + 2;
	if (end - p < 3)
		return NULL;
	if ((p[1] == 'r' && p[2] == 'e') || (p[1] == 'v' && p[2] == 'e') ||
	    (p[1] == 'l' && p[2] == 'l'))
		return p + 3;
	return NULL;
}

static const char gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|"
			   " ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

const char *ft_scan_gpt2(const char *p, const char *end)
{
	const char *q = p, *r;
	unsigned class;

	if (*p == '\'' && (q = contraction(p, end)))
		return q;
	q = p + (*p == ' ');
	if (q < end) {
		r = q;
		class = class_of(&r);
		if (class != SPACE)
			return run_of(class, r, end);
	}
	return white_space(p, end);
}

/* --- what came after it --------------------------------------------------- */

/* As above in any case; U+017F is an s too. */
static const char *any_contraction(const char *p, const char *end)
{
	char a, b;

	if (end - p < 2)
		return NULL;
	a = (char)(p[1] | 32);
	if (a == 's' || a == 't' || a == 'm' || a == 'd')
		return p + 2;
	if (end - p < 3)
		return NULL;
	if (!memcmp(p + 1, "\xc5\xbf", 2))
		return p + 3;
	b = (char)(p[2] | 32);
	if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') ||
	    (a == 'l' && b == 'l'))
		return p + 3;
	return NULL;
}

/* Behind the last line end in the white space from p on, or NULL. */
static const char *last_newline(const char *p, const char *end)
{
	const char *z = run_of(SPACE, p, end);

	while (z > p && z[-1] != '\n' && z[-1] != '\r')
		z--;
	return z > p ? z : NULL;
}

/* Numbers come in groups of so many. */
static const char *scan_modern(const char *p, const char *end, int group)
{
	const char *q = p, *r, *z;
	unsigned class, next;

	if (*p == '\'' && (z = any_contraction(p, end)))
		return z;
	class = class_of(&q);
	if (class == LETTER)
		return run_of(LETTER, q, end);
	if (class == NUMBER) {
		for (int i = 1; i < group && q < end; i++) {
			r = q;
			if (class_of(&r) != NUMBER)
				break;
			q = r;
		}
		return q;
	}
	r = q;
	next = q < end ? class_of(&r) : SPACE;
	if (next == LETTER && *p != '\r' && *p != '\n')
		return run_of(LETTER, r, end);
	if (class == SPACE && *p == ' ' && next == 0)
		class = 0;
	if (class == 0) {
		q = run_of(0, q, end);
		while (q < end && (*q == '\r' || *q == '\n'))
			q++;
		return q;
	}
	z = last_newline(p, end);
	return z ? z : white_space(p, end);
}

#define MODERN(group)                                                 \
	"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" \
	"\\p{N}" group "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"             \
	"\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* Qwen */
const char *ft_scan_qwen(const char *p, const char *end)
{
	return scan_modern(p, end, 1);
}

/* Llama 3 */
const char *ft_scan_llama3(const char *p, const char *end)
{
	return scan_modern(p, end, 3);
}

ft_scan_fn *ft_scan_known(const char *regex, size_t n)
{
	static const struct {
		const char *regex;
		ft_scan_fn *scan;
	} known[] = {
		{gpt2, ft_scan_gpt2},
		{MODERN(""), ft_scan_qwen},
		{MODERN("{1,3}"), ft_scan_llama3},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strlen(known[i].regex) == n &&
		    !memcmp(known[i].regex, regex, n))
			return known[i].scan;
	return NULL;
}

/* --- Digits --------------------------------------------------------------- */

static const char *digits(const char *p, const char *end, bool each)
{
	unsigned kind = ft_uc(ft_utf8_next(&p)) & FT_UC_NUM;

	while (p < end && !(kind && each)) {
		const char *r = p;

		if ((ft_uc(ft_utf8_next(&r)) & FT_UC_NUM) != kind)
			break;
		p = r;
	}
	return p;
}

const char *ft_scan_digits(const char *p, const char *end)
{
	return digits(p, end, false);
}

const char *ft_scan_digit(const char *p, const char *end)
{
	return digits(p, end, true);
}
