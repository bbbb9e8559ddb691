/* SPDX-License-Identifier: MIT */
/* Strings of the interpreter: bytes that know whose they are. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/text/jinja_priv.h"
#include "libcommon/text/unicode.h"

/* --- growing ones --------------------------------------------------------- */

/* Room for n more bytes, or false: the rendering ends at its next step. */
static bool reserve(struct jx *x, struct jbuf *b, size_t n)
{
	/* one piece gets what it needs, one that grows the double each time */
	size_t cap = b->cap ? b->cap : n < 16 ? 32 : n + 1;
	char *s;
	unsigned char *m;

	if (x->over)
		return false;
	if (b->cap - b->n > n)
		return true;
	while (cap - b->n <= n && cap < x->max_memory)
		cap *= 2;
	if (cap - b->n <= n || x->a.total + 2 * cap > x->max_memory) {
		x->over = true;
		return false;
	}
	s = jx_alloc(x, cap);
	m = jx_alloc(x, cap);
	if (b->n) {
		memcpy(s, b->s, b->n);
		memcpy(m, b->m, b->n);
	}
	b->s = s;
	b->m = m;
	b->cap = cap;
	return true;
}

void jb_reserve(struct jx *x, struct jbuf *b, size_t n)
{
	reserve(x, b, n);
}

void jb_add(struct jx *x, struct jbuf *b, const char *s, size_t n,
	    unsigned char mark)
{
	if (!n || !reserve(x, b, n))
		return;
	memcpy(b->s + b->n, s, n);
	memset(b->m + b->n, mark, n);
	b->n += n;
	b->chars += js_chars(s, n);
}

void jb_adds(struct jx *x, struct jbuf *b, const char *s)
{
	jb_add(x, b, s, strlen(s), FT_JINJA_OWN);
}

void jb_addc(struct jx *x, struct jbuf *b, char c)
{
	jb_add(x, b, &c, 1, FT_JINJA_OWN);
}

void jb_addf(struct jx *x, struct jbuf *b, const char *fmt, ...)
{
	char buf[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	jb_adds(x, b, buf);
}

void jb_char(struct jx *x, struct jbuf *b, uint32_t c, unsigned char mark)
{
	char buf[4];

	jb_add(x, b, buf, ft_utf8_put(buf, c), mark);
}

void jb_part(struct jx *x, struct jbuf *b, const struct jstr *s, size_t from,
	     size_t to)
{
	size_t at = b->n;

	if (to <= from)
		return;
	jb_add(x, b, s->s + from, to - from, s->mark);
	if (s->m && b->n == at + (to - from))
		memcpy(b->m + at, s->m + from, to - from);
}

void jb_str(struct jx *x, struct jbuf *b, const struct jstr *s)
{
	jb_part(x, b, s, 0, s->n);
}

/* The buffer must not grow afterwards. */
const struct jstr *jb_end(struct jx *x, struct jbuf *b)
{
	struct jstr *s = jx_alloc(x, sizeof(*s));

	*s = (struct jstr){.s = "", .n = b->n, .chars = b->chars};
	if (!b->n)
		return s;
	b->s[b->n] = 0; /* reserve() leaves room */
	s->s = b->s;
	s->mark = b->m[0];
	for (size_t i = 1; i < b->n; i++) {
		if (b->m[i] != s->mark) {
			s->m = b->m;
			break;
		}
	}
	return s;
}

/* --- strings -------------------------------------------------------------- */

size_t js_chars(const char *s, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		k += (s[i] & 0xc0) != 0x80;
	return k;
}

const struct jstr *js_new(struct jx *x, const char *s, size_t n,
			  unsigned char mark)
{
	struct jbuf b = {0};

	jb_add(x, &b, s, n, mark);
	return jb_end(x, &b);
}

const struct jstr *js_lit(struct jx *x, const char *s)
{
	return js_new(x, s, strlen(s), FT_JINJA_OWN);
}

const struct jstr *js_part(struct jx *x, const struct jstr *s, size_t from,
			   size_t to)
{
	struct jbuf b = {0};

	if (!from && to == s->n && !s->safe)
		return s;
	jb_part(x, &b, s, from, to);
	return jb_end(x, &b);
}

bool js_is(const struct jstr *s, const char *lit)
{
	return s->n == strlen(lit) && !memcmp(s->s, lit, s->n);
}

bool js_eq(const struct jstr *a, const struct jstr *b)
{
	return a->n == b->n && (!a->n || !memcmp(a->s, b->s, a->n));
}

size_t js_at(const struct jstr *s, size_t i)
{
	const char *p = s->s;

	if (s->chars == s->n)
		return i;
	if (i >= s->chars)
		return s->n;
	while (i--)
		ft_utf8_next(&p);
	return (size_t)(p - s->s);
}

size_t js_find(const struct jstr *s, size_t from, const struct jstr *needle)
{
	const char *p;

	if (from > s->n)
		return SIZE_MAX;
	p = needle->n ? memmem(s->s + from, s->n - from, needle->s, needle->n)
		      : s->s + from;
	return p ? (size_t)(p - s->s) : SIZE_MAX;
}

const struct jstr *js_replace(struct jx *x, const struct jstr *s,
			      const struct jstr *old, const struct jstr *new,
			      int64_t count)
{
	struct jbuf b = {0};
	size_t at = 0, found;

	if (!old->n) { /* between all characters */
		for (; count != 0 && at <= s->n; count -= count > 0) {
			const char *p = s->s + at;

			if (jx_step(x))
				break;
			jb_str(x, &b, new);
			if (at == s->n)
				return jb_end(x, &b);
			ft_utf8_next(&p);
			jb_part(x, &b, s, at, (size_t)(p - s->s));
			at = (size_t)(p - s->s);
		}
		jb_part(x, &b, s, at, s->n);
		return jb_end(x, &b);
	}
	while (count != 0 && (found = js_find(s, at, old)) != SIZE_MAX) {
		jb_part(x, &b, s, at, found);
		jb_str(x, &b, new);
		at = found + old->n;
		count -= count > 0;
	}
	jb_part(x, &b, s, at, s->n);
	return jb_end(x, &b);
}

static bool among(const struct jstr *chars, uint32_t c)
{
	const char *p, *end;

	if (!chars)
		return jc_space(c);
	for (p = chars->s, end = p + chars->n; p < end;)
		if (ft_utf8_next(&p) == c)
			return true;
	return false;
}

const struct jstr *jx_strip(struct jx *x, const struct jstr *s,
			    const struct jstr *chars, bool left, bool right)
{
	const char *a = s->s, *z = s->s + s->n, *p;

	while (left && a < z) {
		p = a;
		if (!among(chars, ft_utf8_next(&p)))
			break;
		a = p;
	}
	while (right && z > a) {
		const char *q = z - 1;

		while ((*q & 0xc0) == 0x80)
			q--;
		p = q;
		if (!among(chars, ft_utf8_next(&p)))
			break;
		z = q;
	}
	return js_part(x, s, (size_t)(a - s->s), (size_t)(z - s->s));
}

struct jval jx_reverse_str(struct jx *x, const struct jstr *s)
{
	struct jbuf b = {0};

	for (size_t z = s->n, a; z; z = a) {
		a = z - 1;
		while ((s->s[a] & 0xc0) == 0x80)
			a--;
		jb_part(x, &b, s, a, z);
	}
	return jv_str(jb_end(x, &b));
}

static bool line_end(uint32_t c)
{
	return (c >= 10 && c <= 13) || (c >= 0x1c && c <= 0x1e) || c == 0x85 ||
	       c == 0x2028 || c == 0x2029;
}

struct jval js_splitlines(struct jx *x, const struct jstr *s, bool keep)
{
	struct jval out = jv_list(x, 0);
	const char *p = s->s, *end = p + s->n, *from = p, *stop;

	while (p < end) {
		uint32_t c;

		stop = p;
		c = ft_utf8_next(&p);
		if (!line_end(c))
			continue;
		if (c == '\r' && p < end && *p == '\n')
			p++;
		if (keep)
			stop = p;
		jl_push(x, out.u.l,
			jv_str(js_part(x, s, (size_t)(from - s->s),
				       (size_t)(stop - s->s))));
		from = p;
	}
	if (from < end)
		jl_push(x, out.u.l,
			jv_str(js_part(x, s, (size_t)(from - s->s), s->n)));
	return out;
}

const struct jstr *jx_escape(struct jx *x, const struct jstr *s)
{
	static const char from[] = "&<>'\"";
	static const char *const to[] = {"&amp;", "&lt;", "&gt;", "&#39;",
					 "&#34;"};
	struct jbuf b = {0};
	struct jstr *r;

	for (size_t i = 0, k; i < s->n; i = k + 1) {
		const char *f;

		for (k = i; k < s->n; k++)
			if (s->s[k] && strchr(from, s->s[k]))
				break;
		jb_part(x, &b, s, i, k);
		if (k == s->n)
			break;
		f = strchr(from, s->s[k]);
		jb_add(x, &b, to[f - from], strlen(to[f - from]),
		       js_mark(s, k));
	}
	r = jx_alloc(x, sizeof(*r));
	*r = *(s->safe ? s : jb_end(x, &b));
	r->safe = true;
	return r;
}

/* --- numbers -------------------------------------------------------------- */

/* Python's repr of a float: the shortest digits that read back the same. */
void jx_float_repr(struct jx *x, struct jbuf *b, double f)
{
	char buf[64], digits[32];
	int n = 0, exp, neg = signbit(f) != 0;

	if (isnan(f) || isinf(f)) {
		jb_adds(x, b, isnan(f) ? "nan" : neg ? "-inf" : "inf");
		return;
	}
	for (int prec = 0; prec < 17; prec++) {
		snprintf(buf, sizeof(buf), "%.*e", prec, f);
		if (strtod(buf, NULL) == f)
			break;
	}
	for (const char *p = buf + neg; *p && *p != 'e'; p++)
		if (*p != '.')
			digits[n++] = *p;
	exp = (int)strtol(strchr(buf, 'e') + 1, NULL, 10);
	if (neg)
		jb_addc(x, b, '-');
	if (exp < -4 || exp >= 16) {
		jb_add(x, b, digits, 1, FT_JINJA_OWN);
		if (n > 1) {
			jb_addc(x, b, '.');
			jb_add(x, b, digits + 1, (size_t)n - 1, FT_JINJA_OWN);
		}
		jb_addf(x, b, "e%c%02d", exp < 0 ? '-' : '+', abs(exp));
		return;
	}
	if (exp < 0) {
		jb_adds(x, b, "0.");
		for (int i = -1; i > exp; i--)
			jb_addc(x, b, '0');
		jb_add(x, b, digits, (size_t)n, FT_JINJA_OWN);
		return;
	}
	for (int i = 0; i <= exp || i < n; i++) {
		if (i == exp + 1)
			jb_addc(x, b, '.');
		jb_addc(x, b, i < n ? digits[i] : '0');
	}
	if (n <= exp + 1)
		jb_adds(x, b, ".0");
}
