/* SPDX-License-Identifier: MIT */
#include "libcommon/base/str.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"

/* Room for n more bytes and the NUL. */
static void reserve(struct ft_str *b, size_t n)
{
	if (b->cap - b->n > n && b->s)
		return;
	if (n + 1 == 0)
		n--; /* let ft_grow refuse it */
	b->s = ft_grow(b->s, b->n, &b->cap, n + 1, 1);
}

void ft_str_add(struct ft_str *b, const void *s, size_t n)
{
	reserve(b, n);
	if (n)
		memcpy(b->s + b->n, s, n);
	b->n += n;
	b->s[b->n] = 0;
}

void ft_str_adds(struct ft_str *b, const char *s)
{
	ft_str_add(b, s, strlen(s));
}

void ft_str_addc(struct ft_str *b, char c)
{
	reserve(b, 1);
	b->s[b->n++] = c;
	b->s[b->n] = 0;
}

void ft_str_addf(struct ft_str *b, const char *fmt, ...)
{
	va_list ap;
	int r;

	reserve(b, 64);
	va_start(ap, fmt);
	r = vsnprintf(b->s + b->n, b->cap - b->n, fmt, ap);
	va_end(ap);
	if (r < 0)
		r = 0;
	if ((size_t)r >= b->cap - b->n) {
		reserve(b, (size_t)r);
		va_start(ap, fmt);
		vsnprintf(b->s + b->n, b->cap - b->n, fmt, ap);
		va_end(ap);
	}
	b->n += (size_t)r;
	b->s[b->n] = 0;
}

void ft_str_clear(struct ft_str *b)
{
	b->n = 0;
	if (b->s)
		b->s[0] = 0;
}

void ft_str_release(struct ft_str *b)
{
	free(b->s);
	*b = (struct ft_str){0};
}

const char *ft_str_cstr(const struct ft_str *b)
{
	return b->s ? b->s : "";
}

static void add_escape(struct ft_str *b, unsigned char c)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	const char *p = c ? strchr(from, c) : NULL;

	if (p)
		ft_str_addf(b, "\\%c", to[p - from]);
	else
		ft_str_addf(b, "\\u%04x", c);
}

void ft_str_add_json(struct ft_str *b, const char *s, size_t n)
{
	size_t start = 0;

	reserve(b, n);
	ft_str_addc(b, '"');
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		size_t k = c < 0x80 ? 1 : ft_utf8_len(s + i, n - i);

		if (k && c >= ' ' && c != '"' && c != '\\') {
			i += k - 1;
			continue;
		}
		ft_str_add(b, s + start, i - start);
		if (k)
			add_escape(b, c);
		else
			ft_str_adds(b, "\xEF\xBF\xBD");
		start = i + 1;
	}
	if (n > start)
		ft_str_add(b, s + start, n - start);
	ft_str_addc(b, '"');
}

/*
 * A decimal of up to 15 digits survives a normal double, so if %.15g reads
 * back, %g's stripped zeros make it the shortest.  Subnormals carry fewer
 * digits and are searched from one.
 */
void ft_str_add_double(struct ft_str *b, double x)
{
	char s[40];
	int prec = fabs(x) < DBL_MIN ? 1 : 15;

	if (!isfinite(x)) {
		ft_str_add(b, "null", 4);
		return;
	}
	do
		snprintf(s, sizeof(s), "%.*g", prec, x);
	while (prec++ < 17 && strtod(s, NULL) != x);
	ft_str_adds(b, s);
}

void ft_str_add_float(struct ft_str *b, float x)
{
	char s[40];
	int prec = fabsf(x) < FLT_MIN ? 1 : 6;

	if (!isfinite(x)) {
		ft_str_add(b, "null", 4);
		return;
	}
	do
		snprintf(s, sizeof(s), "%.*g", prec, (double)x);
	while (prec++ < 9 && strtof(s, NULL) != x);
	ft_str_adds(b, s);
}

int ft_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

int ft_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

/*
 * Myers 1999 ("A fast bit-vector algorithm for approximate string matching
 * based on dynamic programming") as Hyyro 2003 has it for whole texts: the
 * column of the table as differences, a bit each, 64 of a's bytes a word.
 */
struct edit_word {
	uint64_t up, down; /* of this word, +1 and -1 */
};

/* The column one byte of b further; returns what its last row changes by. */
static int edit_step(struct edit_word *w, const uint64_t *same, size_t words,
		     uint64_t last)
{
	uint64_t in_up = 1, in_down = 0;
	int change = 0;

	for (size_t k = 0; k < words; k++) {
		uint64_t eq = same[k] | in_down, up = w[k].up, down = w[k].down;
		uint64_t diag = (((eq & up) + up) ^ up) | eq | down;
		uint64_t right = down | ~(diag | up), left = up & diag;
		uint64_t top = k + 1 < words ? (uint64_t)1 << 63 : last;

		change = !!(right & top) - !!(left & top);
		eq = right << 1 | in_up;
		up = left << 1 | in_down;
		in_up = !!(right & top);
		in_down = !!(left & top);
		w[k].up = up | ~(diag | eq);
		w[k].down = eq & diag;
	}
	return change;
}

size_t ft_edit_distance(const char *a, size_t na, const char *b, size_t nb)
{
	size_t words, r;
	uint64_t *same;
	struct edit_word *w;

	for (; na && nb && *a == *b; na--, nb--)
		a++, b++;
	for (; na && nb && a[na - 1] == b[nb - 1]; na--)
		nb--;
	if (!na || !nb)
		return na + nb;
	words = (na + 63) / 64;
	same = ft_xcalloc(256 * words, sizeof(*same));
	w = ft_xcalloc(words, sizeof(*w));
	for (size_t i = 0; i < na; i++)
		same[(unsigned char)a[i] * words + i / 64] |= (uint64_t)1
							      << i % 64;
	for (size_t k = 0; k < words; k++)
		w[k].up = ~(uint64_t)0;
	r = na;
	for (size_t j = 0; j < nb; j++)
		r += (size_t)(ptrdiff_t)edit_step(
			w, same + (unsigned char)b[j] * words, words,
			(uint64_t)1 << (na - 1) % 64);
	free(same);
	free(w);
	return r;
}

static int cont(const char *s, size_t i)
{
	return ((unsigned char)s[i] & 0xC0) == 0x80;
}

size_t ft_utf8_len(const char *s, size_t n)
{
	unsigned char c, d;

	if (!n)
		return 0;
	c = (unsigned char)s[0];
	if (c < 0x80)
		return 1;
	if (c < 0xC2 || c > 0xF4 || n < 2 || !cont(s, 1))
		return 0;
	if (c < 0xE0)
		return 2;
	d = (unsigned char)s[1];
	if (n < 3 || !cont(s, 2) || (c == 0xE0 && d < 0xA0) ||
	    (c == 0xED && d > 0x9F))
		return 0;
	if (c < 0xF0)
		return 3;
	if (n < 4 || !cont(s, 3) || (c == 0xF0 && d < 0x90) ||
	    (c == 0xF4 && d > 0x8F))
		return 0;
	return 4;
}
