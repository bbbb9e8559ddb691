/* SPDX-License-Identifier: MIT */
/* Letters as Python's str methods see them: case, classes, white space. */
#include <stdint.h>

#include "libcommon/text/jinja_priv.h"
#include "libcommon/text/unicode.h"

/* Code points first, first + step, ... last, and what is added to them. */
struct run {
	uint32_t first, last, step;
	int32_t delta;
};
#include "libcommon/text/jinja_case.inc"

#define COUNT(t) (sizeof(t) / sizeof(*(t)))

static const struct run *find(const struct run *t, size_t n, uint32_t c)
{
	size_t a = 0, z = n;

	/* runs of every second code point interleave: look at two */
	while (a < z) {
		size_t m = a + (z - a) / 2;

		if (t[m].first <= c)
			a = m + 1;
		else
			z = m;
	}
	for (size_t i = a; i > 0 && i + 3 > a; i--) {
		const struct run *r = &t[i - 1];

		if (c <= r->last && (c - r->first) % r->step == 0)
			return r;
	}
	return NULL;
}

bool jc_is(enum jclass k, uint32_t c)
{
	static const struct {
		const struct run *t;
		size_t n;
	} of[] = {
		[CLASS_LOWER] = {t_islower, COUNT(t_islower)},
		[CLASS_UPPER] = {t_isupper, COUNT(t_isupper)},
		[CLASS_ALPHA] = {t_isalpha, COUNT(t_isalpha)},
		[CLASS_DECIMAL] = {t_isdecimal, COUNT(t_isdecimal)},
		[CLASS_DIGIT] = {t_isdigit, COUNT(t_isdigit)},
		[CLASS_NUMERIC] = {t_isnumeric, COUNT(t_isnumeric)},
		[CLASS_PRINTABLE] = {t_isprintable, COUNT(t_isprintable)},
		[CLASS_CASED] = {t_iscased, COUNT(t_iscased)},
		[CLASS_IGNORABLE] = {t_isignorable, COUNT(t_isignorable)},
	};

	return find(of[k].t, of[k].n, c) != NULL;
}

bool jc_space(uint32_t c)
{
	return (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x20) || c == 0x85 ||
	       c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
	       c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
	       c == 0x3000;
}

static void put_mapped(struct jx *x, struct jbuf *b, uint32_t c, enum jcase k,
		       unsigned char mark)
{
	static const struct {
		const struct run *t;
		size_t n;
		const uint32_t (*more)[4];
		size_t nmore;
	} of[] = {
		[CASE_LOWER] = {lower, COUNT(lower), lower_more,
				COUNT(lower_more)},
		[CASE_UPPER] = {upper, COUNT(upper), upper_more,
				COUNT(upper_more)},
		[CASE_TITLE] = {title, COUNT(title), title_more,
				COUNT(title_more)},
	};
	const struct run *r = find(of[k].t, of[k].n, c);

	if (r) {
		jb_char(x, b, (uint32_t)((int32_t)c + r->delta), mark);
		return;
	}
	for (size_t i = 0; c >= 0x80 && i < of[k].nmore; i++) {
		const uint32_t *m = of[k].more[i];

		if (m[0] != c)
			continue;
		for (int j = 1; j < 4 && m[j]; j++)
			jb_char(x, b, m[j], mark);
		return;
	}
	jb_char(x, b, c, mark);
}

/* Is the sigma before p one that ends a word? */
static bool final_sigma(const char *s, const char *sigma, const char *p,
			const char *end)
{
	const char *q = sigma;
	uint32_t c = 0;
	bool before = false;

	while (q > s && !before) {
		const char *r;

		do
			q--;
		while (q > s && (*q & 0xc0) == 0x80);
		r = q;
		c = ft_utf8_next(&r);
		if (jc_is(CLASS_IGNORABLE, c))
			continue;
		if (!jc_is(CLASS_CASED, c))
			return false;
		before = true;
	}
	if (!before)
		return false;
	while (p < end) {
		c = ft_utf8_next(&p);
		if (!jc_is(CLASS_IGNORABLE, c))
			return !jc_is(CLASS_CASED, c);
	}
	return true;
}

static void put_from(struct jx *x, struct jbuf *b, const struct jstr *s,
		     size_t from, enum jcase k)
{
	const char *p = s->s + from, *end = s->s + s->n;

	while (p < end) {
		const char *q = p;
		uint32_t c = ft_utf8_next(&p);
		unsigned char mark = js_mark(s, (size_t)(q - s->s));

		if (c == 0x3a3 && k == CASE_LOWER &&
		    final_sigma(s->s, q, p, end))
			jb_char(x, b, 0x3c2, mark);
		else
			put_mapped(x, b, c, k, mark);
	}
}

void jc_put(struct jx *x, struct jbuf *b, const struct jstr *s, enum jcase k)
{
	const char *p = s->s, *end = s->s + s->n;
	bool inside = false;

	if (k != CASE_TITLE) {
		put_from(x, b, s, 0, k);
		return;
	}
	while (p < end) {
		const char *q = p;
		uint32_t c = ft_utf8_next(&p);
		unsigned char mark = js_mark(s, (size_t)(q - s->s));

		if (inside && c == 0x3a3 && final_sigma(s->s, q, p, end))
			jb_char(x, b, 0x3c2, mark);
		else
			put_mapped(x, b, c, inside ? CASE_LOWER : CASE_TITLE,
				   mark);
		inside = jc_is(CLASS_CASED, c);
	}
}

void jc_capitalize(struct jx *x, struct jbuf *b, const struct jstr *s)
{
	const char *p = s->s;

	if (!s->n)
		return;
	put_mapped(x, b, ft_utf8_next(&p), CASE_TITLE, js_mark(s, 0));
	put_from(x, b, s, (size_t)(p - s->s), CASE_LOWER);
}
