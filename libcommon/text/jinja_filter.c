/* SPDX-License-Identifier: MIT */
/* Filters, as Jinja2's filters.py defines them. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/text/jinja_priv.h"
#include "libcommon/text/unicode.h"

/* --- text ----------------------------------------------------------------- */

/* soft_str: Markup stays what it is. */
static int text(struct jx *x, const struct jval *self, const struct jstr **s)
{
	return jv_to_str(x, self, s);
}

static int in_case(struct jx *x, const struct jval *self, enum jcase c,
		   struct jval *out)
{
	const struct jstr *s;
	struct jbuf b = {0};

	if (text(x, self, &s))
		return -1;
	jc_put(x, &b, s, c);
	*out = jv_str(jb_end(x, &b));
	return 0;
}

JX_FN(f_lower)
{
	JX_UNUSED;
	return in_case(x, self, CASE_LOWER, out);
}

JX_FN(f_upper)
{
	JX_UNUSED;
	return in_case(x, self, CASE_UPPER, out);
}

JX_FN(f_capitalize)
{
	const struct jstr *s;
	struct jbuf b = {0};

	JX_UNUSED;
	if (text(x, self, &s))
		return -1;
	jc_capitalize(x, &b, s);
	*out = jv_str(jb_end(x, &b));
	return 0;
}

/* Words begin behind -, white space, (, {, [ and <; str.title sees others. */
JX_FN(f_title)
{
	const struct jstr *s;
	struct jbuf b = {0};
	const char *p, *end;
	size_t from = 0;

	JX_UNUSED;
	if (text(x, self, &s))
		return -1;
	for (p = s->s, end = p + s->n; p < end || from < s->n;) {
		const char *q = p, *r;
		const struct jstr *w;
		struct jbuf first = {0};
		bool cut = p < end;

		if (cut) {
			uint32_t c = ft_utf8_next(&p);

			cut = jc_space(c) ||
			      (c < 128 && c && strchr("-({[<", (int)c));
			if (!cut && p < end)
				continue;
			if (!cut)
				q = p;
		}
		/* item[0].upper() + item[1:].lower() */
		w = js_part(x, s, from, (size_t)(q - s->s));
		if (w->n) {
			r = w->s;
			ft_utf8_next(&r);
			jc_put(x, &first, js_part(x, w, 0, (size_t)(r - w->s)),
			       CASE_UPPER);
			jb_str(x, &b, jb_end(x, &first));
			jc_put(x, &b, js_part(x, w, (size_t)(r - w->s), w->n),
			       CASE_LOWER);
		}
		if (cut)
			jb_part(x, &b, s, (size_t)(q - s->s),
				(size_t)(p - s->s));
		from = (size_t)(p - s->s);
		if (jx_step(x))
			return -1;
	}
	*out = jv_str(jb_end(x, &b));
	return 0;
}

JX_FN(f_trim)
{
	const struct jstr *s, *chars = NULL;

	JX_UNUSED;
	if (text(x, self, &s) ||
	    (jp_given(v[0]) && jp_str(x, v[0], "chars", &chars)))
		return -1;
	*out = jv_str(jx_strip(x, s, chars, true, true));
	return 0;
}

JX_FN(f_replace)
{
	const struct jstr *s, *old, *new;
	int64_t n = -1;

	JX_UNUSED;
	if (text(x, self, &s) || text(x, v[0], &old) || text(x, v[1], &new) ||
	    (jp_given(v[2]) && jp_int(x, v[2], -1, &n)))
		return -1;
	*out = jv_str(js_replace(x, s, old, new, n));
	return 0;
}

JX_FN(f_string)
{
	const struct jstr *s;

	JX_UNUSED;
	if (text(x, self, &s))
		return -1;
	*out = jv_str(s);
	return 0;
}

JX_FN(f_safe)
{
	const struct jstr *s;
	struct jstr *r = jx_alloc(x, sizeof(*r));

	JX_UNUSED;
	if (text(x, self, &s))
		return -1;
	*r = *s;
	r->safe = true;
	*out = jv_str(r);
	return 0;
}

JX_FN(f_escape)
{
	const struct jstr *s;

	JX_UNUSED;
	if (text(x, self, &s))
		return -1;
	*out = jv_str(jx_escape(x, s));
	return 0;
}

JX_FN(f_center)
{
	const struct jstr *s;
	struct jbuf b = {0};
	int64_t width, pad, left;

	JX_UNUSED;
	if (text(x, self, &s) || jp_int(x, v[0], 80, &width))
		return -1;
	pad = width - (int64_t)s->chars;
	if (pad < 0)
		pad = 0;
	if (jx_room(x, (size_t)pad, 2))
		return -1;
	left = pad / 2 + (pad & width & 1);
	for (int64_t i = 0; i < left; i++)
		jb_addc(x, &b, ' ');
	jb_str(x, &b, s);
	for (int64_t i = left; i < pad; i++)
		jb_addc(x, &b, ' ');
	*out = jv_str(jb_end(x, &b));
	return 0;
}

JX_FN(f_indent)
{
	const struct jstr *s, *by;
	struct jbuf b = {0}, in = {0};
	struct jval lines;
	bool first, blank;
	int64_t n = 4;

	JX_UNUSED;
	if (v[0] && v[0]->t == V_STR) {
		by = v[0]->u.s;
	} else {
		if (jp_int(x, v[0], 4, &n) ||
		    jx_room(x, n > 0 ? (size_t)n : 0, 2))
			return -1;
		for (; n > 0; n--)
			jb_addc(x, &in, ' ');
		by = jb_end(x, &in);
	}
	if (jp_bool(x, v[1], false, &first) ||
	    jp_bool(x, v[2], false, &blank) ||
	    jp_str(x, self, "what is indented", &s))
		return -1;
	/* `s += newline`: a string that ends a line has one more, empty */
	jb_str(x, &b, s);
	jb_addc(x, &b, '\n');
	lines = js_splitlines(x, jb_end(x, &b), false);
	b = (struct jbuf){0};
	for (size_t i = 0; i < lines.u.l->n; i++) {
		const struct jstr *l = lines.u.l->v[i].u.s;

		if (i)
			jb_addc(x, &b, '\n');
		if (i ? blank || l->n : first)
			jb_str(x, &b, by);
		jb_str(x, &b, l);
		if (jx_step(x))
			return -1;
	}
	*out = jv_str(jb_end(x, &b));
	return 0;
}

JX_FN(f_truncate)
{
	const struct jstr *s, *end = js_lit(x, "...");
	int64_t length, leeway = 5;
	struct jbuf b = {0};
	int64_t n;
	size_t cut;
	bool kill;

	JX_UNUSED;
	if (jp_int(x, v[0], 255, &length) || jp_bool(x, v[1], false, &kill) ||
	    (v[2] && jp_str(x, v[2], "end", &end)) ||
	    (jp_given(v[3]) && jp_int(x, v[3], 5, &leeway)))
		return -1;
	if (length < (int64_t)end->chars || leeway < 0)
		return jx_err(x, "truncate: bad length or leeway");
	if (jv_len(x, self, &n))
		return -1;
	if (n <= length || n - length <= leeway) {
		*out = *self;
		return 0;
	}
	if (jp_str(x, self, "what is truncated", &s))
		return -1;
	cut = js_at(s, (size_t)(length - (int64_t)end->chars));
	if (!kill) {
		const char *sp = memrchr(s->s, ' ', cut);

		if (sp)
			cut = (size_t)(sp - s->s);
	}
	jb_part(x, &b, s, 0, cut);
	jb_str(x, &b, end);
	*out = jv_str(jb_end(x, &b));
	return 0;
}

JX_FN(f_wordcount)
{
	const struct jstr *s;
	int64_t n = 0;
	bool in = false;

	JX_UNUSED;
	if (text(x, self, &s))
		return -1;
	for (const char *p = s->s, *end = p + s->n; p < end;) {
		uint32_t c = ft_utf8_next(&p);
		bool w = c == '_' || jc_is(CLASS_ALPHA, c) ||
			 jc_is(CLASS_NUMERIC, c);

		n += w && !in;
		in = w;
	}
	*out = jv_int(n);
	return 0;
}

JX_FN(f_format)
{
	const struct jstr *s;
	struct jval arg;

	JX_UNUSED;
	if (text(x, self, &s))
		return -1;
	if (all->n && all->nk)
		return jx_err(
			x,
			"format takes arguments by position or by name, not both");
	arg = all->nk ? jv_dict(x) : jv_tuple(x, 0);
	for (size_t i = 0; i < all->n; i++)
		jl_push(x, arg.u.l, all->v[i]);
	for (size_t i = 0; i < all->nk; i++)
		jd_put(x, arg.u.d, all->key[i]->s, all->kv[i]);
	return jx_percent(x, s, &arg, out);
}

JX_FN(f_urlencode)
{
	static const char hex[] = "0123456789ABCDEF";
	static const char plain[] = "_.-~/";
	const struct jstr *s;
	struct jbuf b = {0};

	JX_UNUSED;
	if (self->t != V_STR && jv_iterable(self))
		return jx_err(x, "urlencode of a '%s' is not supported",
			      jv_type(self));
	if (text(x, self, &s))
		return -1;
	for (size_t i = 0; i < s->n; i++) {
		unsigned char c = (unsigned char)s->s[i];

		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		    (c >= 'A' && c <= 'Z') || (c && strchr(plain, c)))
			jb_add(x, &b, s->s + i, 1, js_mark(s, i));
		else
			jb_add(x, &b, (char[]){'%', hex[c >> 4], hex[c & 15]},
			       3, js_mark(s, i));
	}
	*out = jv_str(jb_end(x, &b));
	return 0;
}

/* --- numbers -------------------------------------------------------------- */

/* int(s, base): 1, or 0 when it is none. */
static int parse_int(struct jx *x, const struct jstr *s, int base,
		     struct jval *out)
{
	const struct jstr *t = jx_strip(x, s, NULL, true, true);
	char buf[128], *stop;
	size_t n = 0, i = 0;
	bool neg = false, digit = false;
	long long r;

	if (t->n && (t->s[0] == '-' || t->s[0] == '+'))
		neg = t->s[i++] == '-';
	if (i + 1 < t->n && t->s[i] == '0') {
		int c = t->s[i + 1] | 0x20;
		int b = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;

		if (b && (base == b || base == 0)) {
			base = b;
			i += 2;
			digit = true; /* an underscore may follow */
		}
	}
	if (base == 0)
		base = 10;
	for (; i < t->n; i++) {
		if (t->s[i] == '_' && digit && i + 1 < t->n &&
		    t->s[i + 1] != '_') {
			digit = false;
			continue;
		}
		if (n + 1 == sizeof(buf))
			return jx_err(
				x, "integers beyond 64 bits are not supported");
		digit = t->s[i] != '_' && t->s[i] != '-' && t->s[i] != '+' &&
			!jc_space((unsigned char)t->s[i]);
		if (!digit)
			return 0;
		buf[n++] = t->s[i];
	}
	buf[n] = 0;
	errno = 0;
	r = strtoll(buf, &stop, base);
	if (!n || *stop || strlen(buf) != n ||
	    (base == 16 && n > 1 && (buf[1] | 0x20) == 'x'))
		return 0;
	if (errno)
		return jx_err(x, "integers beyond 64 bits are not supported");
	*out = jv_int(neg ? -r : r);
	return 1;
}

/* float(s): 1, or 0 when it is none. */
static int parse_float(struct jx *x, const struct jstr *s, double *f)
{
	const struct jstr *t = jx_strip(x, s, NULL, true, true);
	char buf[400], *stop;
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++) {
		char c = t->s[i];

		if (c == '_' && i && i + 1 < t->n && t->s[i - 1] >= '0' &&
		    t->s[i - 1] <= '9' && t->s[i + 1] >= '0' &&
		    t->s[i + 1] <= '9')
			continue;
		/* no hexadecimal, no nan(...) */
		if (c == 'x' || c == 'X' || c == '(' || c == '_' || c == 'p' ||
		    n + 1 == sizeof(buf))
			return 0;
		buf[n++] = c;
	}
	buf[n] = 0;
	*f = strtod(buf, &stop);
	return n && stop == buf + n && strlen(buf) == n;
}

static int float_to_int(struct jx *x, double f, struct jval *out)
{
	if (!(fabs(f) < 0x1p63))
		return jx_err(x, "integers beyond 64 bits are not supported");
	*out = jv_int((int64_t)f);
	return 0;
}

JX_FN(f_int)
{
	int64_t base;
	double f = 0;
	int rc = 0;

	JX_UNUSED;
	if (jp_int(x, v[1], 10, &base))
		return -1;
	*out = v[0] ? *v[0] : jv_int(0);
	if (self->t == V_UNDEF)
		return jx_undefined(x, self);
	if (jv_is_int(self)) {
		*out = jv_int(jv_i(self));
		return 0;
	}
	if (self->t == V_BIG) {
		*out = *self;
		return 0;
	}
	if (self->t == V_FLOAT) {
		f = self->u.f;
	} else if (self->t == V_STR) {
		if (base == 0 || (base >= 2 && base <= 36))
			rc = parse_int(x, self->u.s, (int)base, out);
		if (rc)
			return rc < 0 ? -1 : 0;
		if (!parse_float(x, self->u.s, &f))
			return 0;
	} else {
		return 0;
	}
	if (isinf(f) && self->t == V_FLOAT)
		return jx_err(x, "cannot convert float infinity to integer");
	return isnan(f) || isinf(f) ? 0 : float_to_int(x, f, out);
}

JX_FN(f_float)
{
	double f;

	JX_UNUSED;
	*out = v[0] ? *v[0] : jv_float(0);
	if (self->t == V_UNDEF)
		return jx_undefined(x, self);
	if (jv_is_num(self))
		*out = jv_float(jv_f(self));
	else if ((self->t == V_STR || self->t == V_BIG) &&
		 parse_float(x, self->u.s, &f))
		*out = jv_float(f);
	return 0;
}

JX_FN(f_abs)
{
	JX_UNUSED;
	if (self->t == V_FLOAT) {
		*out = jv_float(fabs(self->u.f));
		return 0;
	}
	if (self->t == V_UNDEF)
		return jx_undefined(x, self);
	if (!jv_is_int(self) || jv_i(self) == INT64_MIN)
		return jx_err(x, "bad operand for abs: '%s'", jv_type(self));
	*out = jv_int(jv_i(self) < 0 ? -jv_i(self) : jv_i(self));
	return 0;
}

/* round(f, n) as Python does it: the decimal nearest to the double's value,
   ties to even. */
static double round_to(double f, int64_t n)
{
	char buf[512];
	double p;

	if (!isfinite(f) || n > 300)
		return f;
	if (n < -300)
		return copysign(0, f);
	if (n < 0) {
		p = pow(10, (double)-n);
		return nearbyint(f / p) * p;
	}
	snprintf(buf, sizeof(buf), "%.*f", (int)n, f);
	return strtod(buf, NULL);
}

JX_FN(f_round)
{
	const struct jstr *method = js_lit(x, "common");
	int64_t n;
	double f, p;

	JX_UNUSED;
	if (jp_int(x, v[0], 0, &n) ||
	    (v[1] && jp_str(x, v[1], "method", &method)))
		return -1;
	if (!js_is(method, "common") && !js_is(method, "ceil") &&
	    !js_is(method, "floor"))
		return jx_err(x, "method must be common, ceil or floor");
	if (self->t == V_UNDEF)
		return jx_undefined(x, self);
	if (!jv_is_num(self))
		return jx_err(x, "'%s' cannot be rounded", jv_type(self));
	if (js_is(method, "common")) {
		if (self->t != V_FLOAT && n < 0)
			return jx_err(
				x,
				"round of an integer to a negative precision is not supported");
		*out = self->t == V_FLOAT ? jv_float(round_to(self->u.f, n))
					  : jv_int(jv_i(self));
		return 0;
	}
	if (n < -15 || n > 15)
		return jx_err(x, "round: this precision is not supported");
	/* func(value * 10 ** n) / 10 ** n, where func makes an integer */
	p = pow(10, (double)n);
	f = jv_f(self) * p;
	f = js_is(method, "ceil") ? ceil(f) : floor(f);
	if (!isfinite(f))
		return jx_err(x, "a number that is not finite has no integer");
	*out = jv_float((f == 0 ? 0 : f) / p);
	return 0;
}

/* --- one value ------------------------------------------------------------ */

JX_FN(f_length)
{
	int64_t n;

	JX_UNUSED;
	if (jv_len(x, self, &n))
		return -1;
	*out = jv_int(n);
	return 0;
}

JX_FN(f_default)
{
	bool boolean, yes = true;

	JX_UNUSED;
	if (jp_bool(x, v[1], false, &boolean) ||
	    (boolean && jv_truth(x, self, &yes)))
		return -1;
	*out = self->t != V_UNDEF && yes ? *self
	       : v[0]                    ? *v[0]
					 : jv_str(js_lit(x, ""));
	return 0;
}

JX_FN(f_attr)
{
	const struct jstr *name;

	JX_UNUSED;
	if (self->t == V_UNDEF)
		return jx_undefined(x, self);
	if (jp_str(x, v[0], "attribute", &name))
		return -1;
	/* an item is no attribute */
	if (self->t == V_DICT && !jinja_method(V_DICT, name->s)) {
		*out = jv_undef(x, "'dict' object has no attribute '%.100s'",
				name->s);
		return 0;
	}
	return jx_attr(x, self, name, out);
}

JX_FN(f_tojson)
{
	(void)all;
	return jx_tojson(x, self, v, out);
}

JX_FN(f_list)
{
	JX_UNUSED;
	*out = (struct jval){.t = V_LIST};
	return jx_to_list(x, self, &out->u.l);
}

JX_FN(f_first)
{
	struct jiter *it;
	int rc;

	JX_UNUSED;
	if (jx_iter(x, self, &it))
		return -1;
	rc = ji_next(x, it, out);
	if (!rc)
		*out = jv_undef(x, "no first item, sequence was empty");
	return rc < 0 ? -1 : 0;
}

JX_FN(f_last)
{
	struct jlist *l;

	JX_UNUSED;
	if (self->t == V_ITER)
		return jx_err(
			x, "a generator has no last item (| list is missing?)");
	if (jx_to_list(x, self, &l))
		return -1;
	*out = l->n ? l->v[l->n - 1]
		    : jv_undef(x, "no last item, sequence was empty");
	return 0;
}

JX_FN(f_reverse)
{
	struct jiter *it;
	struct jval l;

	JX_UNUSED;
	if (self->t == V_STR) {
		*out = jx_reverse_str(x, self->u.s);
		return 0;
	}
	l = (struct jval){.t = V_LIST};
	if (jx_to_list(x, self, &l.u.l))
		return -1;
	it = jx_alloc(x, sizeof(*it));
	*it = (struct jiter){.kind = IT_REVERSED, .of = l, .pos = l.u.l->n};
	*out = jv_iter(it);
	if (self->t == V_ITER) { /* a list then */
		*out = (struct jval){.t = V_LIST};
		return jx_to_list(x, &(struct jval){.t = V_ITER, .u.it = it},
				  &out->u.l);
	}
	return 0;
}

JX_FN(f_items)
{
	struct jiter *it = jx_alloc(x, sizeof(*it));

	JX_UNUSED;
	*it = (struct jiter){.kind = IT_ITEMS, .of = *self};
	*out = jv_iter(it);
	return 0;
}

JX_FN(f_join)
{
	const struct jstr *d = js_lit(x, "");
	struct jbuf b = {0};
	struct jiter *it;
	struct jval item;
	bool first = true;
	int rc;

	JX_UNUSED;
	if (v[0] && text(x, v[0], &d))
		return -1;
	if (jx_iter(x, self, &it))
		return -1;
	while ((rc = ji_next(x, it, &item)) > 0) {
		if (jp_given(v[1]) &&
		    jx_attribute(x, &item, v[1], NULL, false, &item))
			return -1;
		if (!first)
			jb_str(x, &b, d);
		first = false;
		if (jv_put(x, &b, &item) || jx_step(x))
			return -1;
	}
	*out = jv_str(jb_end(x, &b));
	return rc;
}

static const struct jbuiltin filters[] = {
	{"abs", "", f_abs},
	{"attr", "name", f_attr},
	{"capitalize", "", f_capitalize},
	{"center", "width?", f_center},
	{"count", "", f_length},
	{"d", "default_value?,boolean?", f_default},
	{"default", "default_value?,boolean?", f_default},
	{"e", "", f_escape},
	{"escape", "", f_escape},
	{"first", "", f_first},
	{"float", "default?", f_float},
	{"format", "*", f_format},
	{"indent", "width?,first?,blank?", f_indent},
	{"int", "default?,base?", f_int},
	{"items", "", f_items},
	{"join", "d?,attribute?", f_join},
	{"last", "", f_last},
	{"length", "", f_length},
	{"list", "", f_list},
	{"lower", "", f_lower},
	{"replace", "old,new,count?", f_replace},
	{"reverse", "", f_reverse},
	{"round", "precision?,method?", f_round},
	{"safe", "", f_safe},
	{"string", "", f_string},
	{"title", "", f_title},
	{"tojson", "ensure_ascii?,indent?,separators?,sort_keys?", f_tojson},
	{"trim", "chars?", f_trim},
	{"truncate", "length?,killwords?,end?,leeway?", f_truncate},
	{"upper", "", f_upper},
	{"urlencode", "", f_urlencode},
	{"wordcount", "", f_wordcount},
};

const struct jbuiltin *jinja_filter(const char *name)
{
	const struct jbuiltin *f = JINJA_AMONG(filters, name);

	return f ? f : jinja_list_filter(name);
}
