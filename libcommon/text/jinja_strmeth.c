/* SPDX-License-Identifier: MIT */
/* Methods of Python's str. */
#include <string.h>

#include "libcommon/text/jinja_priv.h"
#include "libcommon/text/unicode.h"

JX_FN(s_lower)
{
	struct jbuf b = {0};

	JX_UNUSED;
	jc_put(x, &b, self->u.s, CASE_LOWER);
	*out = jv_str(jb_end(x, &b));
	return 0;
}

JX_FN(s_upper)
{
	struct jbuf b = {0};

	JX_UNUSED;
	jc_put(x, &b, self->u.s, CASE_UPPER);
	*out = jv_str(jb_end(x, &b));
	return 0;
}

JX_FN(s_title)
{
	struct jbuf b = {0};

	JX_UNUSED;
	jc_put(x, &b, self->u.s, CASE_TITLE);
	*out = jv_str(jb_end(x, &b));
	return 0;
}

JX_FN(s_capitalize)
{
	struct jbuf b = {0};

	JX_UNUSED;
	jc_capitalize(x, &b, self->u.s);
	*out = jv_str(jb_end(x, &b));
	return 0;
}

static int strip(struct jx *x, const struct jval *self, const struct jval *c,
		 bool left, bool right, struct jval *out)
{
	const struct jstr *chars = NULL;

	if (jp_given(c) && jp_str(x, c, "what is stripped", &chars))
		return -1;
	*out = jv_str(jx_strip(x, self->u.s, chars, left, right));
	return 0;
}

JX_FN(s_strip)
{
	JX_UNUSED;
	return strip(x, self, v[0], true, true, out);
}

JX_FN(s_lstrip)
{
	JX_UNUSED;
	return strip(x, self, v[0], true, false, out);
}

JX_FN(s_rstrip)
{
	JX_UNUSED;
	return strip(x, self, v[0], false, true, out);
}

/* [start, end) of a string as bytes, from Python's indices; false: they are
   past its end. */
static int window(struct jx *x, const struct jstr *s, const struct jval *a,
		  const struct jval *z, size_t *from, size_t *to, bool *in)
{
	int64_t n = (int64_t)s->chars, i, k;

	if (jp_int(x, jp_given(a) ? a : NULL, 0, &i) ||
	    jp_int(x, jp_given(z) ? z : NULL, n, &k))
		return -1;
	i += i < 0 ? n : 0;
	k += k < 0 ? n : 0;
	i = i < 0 ? 0 : i;
	k = k < 0 ? 0 : k > n ? n : k;
	*in = i <= k;
	*from = *in ? js_at(s, (size_t)i) : 0;
	*to = *in ? js_at(s, (size_t)k) : 0;
	return 0;
}

static int affix(struct jx *x, const struct jval *self,
		 const struct jval *const v[], bool end, struct jval *out)
{
	const struct jval *one = v[0];
	size_t n = 1, from, to;
	bool in;

	*out = jv_bool(false);
	if (window(x, self->u.s, v[1], v[2], &from, &to, &in))
		return -1;
	if (v[0]->t == V_TUPLE) {
		one = v[0]->u.l->v;
		n = v[0]->u.l->n;
	}
	for (size_t i = 0; i < n; i++) {
		const struct jstr *s;

		if (jp_str(x, &one[i], "what a string starts or ends with", &s))
			return -1;
		if (in && s->n <= to - from &&
		    !memcmp(self->u.s->s + (end ? to - s->n : from), s->s,
			    s->n)) {
			*out = jv_bool(true);
			return 0;
		}
	}
	return 0;
}

JX_FN(s_startswith)
{
	JX_UNUSED;
	return affix(x, self, v, false, out);
}

JX_FN(s_endswith)
{
	JX_UNUSED;
	return affix(x, self, v, true, out);
}

JX_FN(s_removeprefix)
{
	const struct jstr *s = self->u.s, *p;

	JX_UNUSED;
	if (jp_str(x, v[0], "a prefix", &p))
		return -1;
	*out = jv_str(s->n >= p->n && !memcmp(s->s, p->s, p->n)
			      ? js_part(x, s, p->n, s->n)
			      : s);
	return 0;
}

JX_FN(s_removesuffix)
{
	const struct jstr *s = self->u.s, *p;

	JX_UNUSED;
	if (jp_str(x, v[0], "a suffix", &p))
		return -1;
	*out = jv_str(s->n >= p->n && !memcmp(s->s + s->n - p->n, p->s, p->n)
			      ? js_part(x, s, 0, s->n - p->n)
			      : s);
	return 0;
}

/* Where needle is last in bytes [from, to), or SIZE_MAX. */
static size_t last_in(const struct jstr *s, size_t from, size_t to,
		      const struct jstr *needle)
{
	size_t at;

	if (needle->n > to - from)
		return SIZE_MAX;
	for (at = to - needle->n;; at--) {
		if (!memcmp(s->s + at, needle->s, needle->n))
			return at;
		if (at == from)
			return SIZE_MAX;
	}
}

static int find(struct jx *x, const struct jval *self,
		const struct jval *const v[], bool last, int64_t *out)
{
	const struct jstr *s = self->u.s, *needle;
	size_t from, to, at;
	bool in;

	*out = -1;
	if (jp_str(x, v[0], "what is looked for", &needle) ||
	    window(x, s, v[1], v[2], &from, &to, &in))
		return -1;
	if (!in)
		return 0;
	at = last ? last_in(s, from, to, needle) : js_find(s, from, needle);
	if (at == SIZE_MAX || at + needle->n > to)
		return 0;
	*out = (int64_t)js_chars(s->s, at);
	return 0;
}

JX_FN(s_find)
{
	int64_t i;

	JX_UNUSED;
	if (find(x, self, v, false, &i))
		return -1;
	*out = jv_int(i);
	return 0;
}

JX_FN(s_rfind)
{
	int64_t i;

	JX_UNUSED;
	if (find(x, self, v, true, &i))
		return -1;
	*out = jv_int(i);
	return 0;
}

JX_FN(s_index)
{
	if (s_find(x, self, v, all, out))
		return -1;
	return out->u.i < 0 ? jx_err(x, "substring not found") : 0;
}

JX_FN(s_rindex)
{
	if (s_rfind(x, self, v, all, out))
		return -1;
	return out->u.i < 0 ? jx_err(x, "substring not found") : 0;
}

JX_FN(s_count)
{
	const struct jstr *s = self->u.s, *needle;
	size_t from, to, at;
	int64_t n = 0;
	bool in;

	JX_UNUSED;
	if (jp_str(x, v[0], "what is counted", &needle) ||
	    window(x, s, v[1], v[2], &from, &to, &in))
		return -1;
	if (in && !needle->n)
		n = (int64_t)js_chars(s->s + from, to - from) + 1;
	while (in && needle->n && (at = js_find(s, from, needle)) != SIZE_MAX &&
	       at + needle->n <= to) {
		n++;
		from = at + needle->n;
	}
	*out = jv_int(n);
	return 0;
}

JX_FN(s_replace)
{
	const struct jstr *old, *new;
	int64_t n;

	JX_UNUSED;
	if (jp_str(x, v[0], "what is replaced", &old) ||
	    jp_str(x, v[1], "what replaces", &new) || jp_int(x, v[2], -1, &n))
		return -1;
	*out = jv_str(js_replace(x, self->u.s, old, new, n));
	return 0;
}

/* split() at white space. */
static void split_space(struct jx *x, const struct jstr *s, int64_t max,
			struct jlist *l)
{
	const char *p = s->s, *end = p + s->n, *q, *z;

	for (;;) {
		for (q = p; q < end; p = q)
			if (!jc_space(ft_utf8_next(&q)))
				break;
		if (p >= end)
			return;
		if (max-- == 0) {
			jl_push(x, l,
				jv_str(js_part(x, s, (size_t)(p - s->s),
					       s->n)));
			return;
		}
		for (z = q = p; q < end; z = q)
			if (jc_space(ft_utf8_next(&q)))
				break;
		jl_push(x, l,
			jv_str(js_part(x, s, (size_t)(p - s->s),
				       (size_t)(z - s->s))));
		p = z;
	}
}

static void rsplit_space(struct jx *x, const struct jstr *s, int64_t max,
			 struct jlist *l)
{
	for (;;) {
		const char *z, *p, *q, *r;

		s = jx_strip(x, s, NULL, false, true);
		if (!s->n)
			return;
		if (max-- == 0) {
			jl_push(x, l, jv_str(s));
			return;
		}
		for (p = z = s->s + s->n; p > s->s; p = q) {
			q = p - 1;
			while ((*q & 0xc0) == 0x80)
				q--;
			r = q;
			if (jc_space(ft_utf8_next(&r)))
				break;
		}
		jl_push(x, l, jv_str(js_part(x, s, (size_t)(p - s->s), s->n)));
		s = js_part(x, s, 0, (size_t)(p - s->s));
	}
}

static void turn(struct jlist *l)
{
	for (size_t i = 0; i < l->n / 2; i++) {
		struct jval t = l->v[i];

		l->v[i] = l->v[l->n - 1 - i];
		l->v[l->n - 1 - i] = t;
	}
}

static int split(struct jx *x, const struct jval *self,
		 const struct jval *const v[], bool right, struct jval *out)
{
	const struct jstr *s = self->u.s, *sep;
	size_t from = 0, to = s->n, at;
	int64_t max;
	struct jlist *l;

	*out = jv_list(x, 0);
	l = out->u.l;
	if (jp_int(x, v[1], -1, &max))
		return -1;
	if (!jp_given(v[0])) {
		if (right)
			rsplit_space(x, s, max, l);
		else
			split_space(x, s, max, l);
		if (right)
			turn(l);
		return 0;
	}
	if (jp_str(x, v[0], "a separator", &sep))
		return -1;
	if (!sep->n)
		return jx_err(x, "empty separator");
	for (; max != 0; max--) {
		at = right ? last_in(s, 0, to, sep) : js_find(s, from, sep);
		if (at == SIZE_MAX)
			break;
		if (right) {
			jl_push(x, l, jv_str(js_part(x, s, at + sep->n, to)));
			to = at;
		} else {
			jl_push(x, l, jv_str(js_part(x, s, from, at)));
			from = at + sep->n;
		}
		if (jx_step(x))
			return -1;
	}
	jl_push(x, l, jv_str(js_part(x, s, from, to)));
	if (right)
		turn(l);
	return 0;
}

JX_FN(s_split)
{
	JX_UNUSED;
	return split(x, self, v, false, out);
}

JX_FN(s_rsplit)
{
	JX_UNUSED;
	return split(x, self, v, true, out);
}

static int partition(struct jx *x, const struct jval *self,
		     const struct jval *const v[], bool right, struct jval *out)
{
	const struct jstr *s = self->u.s, *sep, *none = js_lit(x, "");
	size_t at;

	if (jp_str(x, v[0], "a separator", &sep))
		return -1;
	if (!sep->n)
		return jx_err(x, "empty separator");
	*out = jv_tuple(x, 3);
	at = right ? last_in(s, 0, s->n, sep) : js_find(s, 0, sep);
	if (at == SIZE_MAX) {
		jl_push(x, out->u.l, jv_str(right ? none : s));
		jl_push(x, out->u.l, jv_str(none));
		jl_push(x, out->u.l, jv_str(right ? s : none));
		return 0;
	}
	jl_push(x, out->u.l, jv_str(js_part(x, s, 0, at)));
	jl_push(x, out->u.l, jv_str(js_part(x, s, at, at + sep->n)));
	jl_push(x, out->u.l, jv_str(js_part(x, s, at + sep->n, s->n)));
	return 0;
}

JX_FN(s_partition)
{
	JX_UNUSED;
	return partition(x, self, v, false, out);
}

JX_FN(s_rpartition)
{
	JX_UNUSED;
	return partition(x, self, v, true, out);
}

JX_FN(s_splitlines)
{
	bool keep;

	JX_UNUSED;
	if (jp_bool(x, v[0], false, &keep))
		return -1;
	*out = js_splitlines(x, self->u.s, keep);
	return 0;
}

JX_FN(s_join)
{
	struct jbuf b = {0};
	struct jiter *it;
	struct jval item;
	bool first = true;
	int rc;

	JX_UNUSED;
	if (jx_iter(x, v[0], &it))
		return -1;
	while ((rc = ji_next(x, it, &item)) > 0) {
		if (item.t != V_STR)
			return jx_err(x, "join wants strings, not '%s'",
				      jv_type(&item));
		if (!first)
			jb_str(x, &b, self->u.s);
		first = false;
		jb_str(x, &b, item.u.s);
		if (jx_step(x))
			return -1;
	}
	*out = jv_str(jb_end(x, &b));
	return rc;
}

JX_FN(s_format)
{
	JX_UNUSED;
	return jx_format(x, self->u.s, all, out);
}

static int pad(struct jx *x, const struct jval *self,
	       const struct jval *const v[], int where, struct jval *out)
{
	const struct jstr *fill = js_lit(x, " "), *s = self->u.s;
	int64_t width, n, left;
	struct jbuf b = {0};

	if (jp_int(x, v[0], 0, &width) ||
	    (v[1] && jp_str(x, v[1], "the fill character", &fill)))
		return -1;
	if (fill->chars != 1)
		return jx_err(x, "the fill character is one character");
	n = width - (int64_t)s->chars;
	n = n < 0 ? 0 : n;
	if (jx_room(x, (size_t)n, 2 * fill->n))
		return -1;
	left = where < 0 ? 0 : where > 0 ? n : n / 2 + (n & width & 1);
	for (int64_t i = 0; i < left; i++)
		jb_str(x, &b, fill);
	jb_str(x, &b, s);
	for (int64_t i = left; i < n; i++)
		jb_str(x, &b, fill);
	*out = jv_str(jb_end(x, &b));
	return 0;
}

JX_FN(s_ljust)
{
	JX_UNUSED;
	return pad(x, self, v, -1, out);
}

JX_FN(s_rjust)
{
	JX_UNUSED;
	return pad(x, self, v, 1, out);
}

JX_FN(s_center)
{
	JX_UNUSED;
	return pad(x, self, v, 0, out);
}

JX_FN(s_zfill)
{
	const struct jstr *s = self->u.s;
	struct jbuf b = {0};
	int64_t width, n;
	size_t sign = s->n && (s->s[0] == '-' || s->s[0] == '+');

	JX_UNUSED;
	if (jp_int(x, v[0], 0, &width))
		return -1;
	n = width - (int64_t)s->chars;
	if (n > 0 && jx_room(x, (size_t)n, 2))
		return -1;
	jb_part(x, &b, s, 0, sign);
	for (; n > 0; n--)
		jb_addc(x, &b, '0');
	jb_part(x, &b, s, sign, s->n);
	*out = jv_str(jb_end(x, &b));
	return 0;
}

/* Every character of some class, and there is one. */
static int every(const struct jval *self, bool (*is)(uint32_t c),
		 struct jval *out)
{
	const char *p = self->u.s->s, *end = p + self->u.s->n;
	bool yes = p < end;

	while (p < end)
		yes = is(ft_utf8_next(&p)) && yes;
	*out = jv_bool(yes);
	return 0;
}

#define EVERY(name, cond)                             \
	static bool name##_char(uint32_t c)           \
	{                                             \
		return cond;                          \
	}                                             \
	JX_FN(name)                                   \
	{                                             \
		JX_UNUSED;                            \
		return every(self, name##_char, out); \
	}
EVERY(s_isalpha, jc_is(CLASS_ALPHA, c))
EVERY(s_isdecimal, jc_is(CLASS_DECIMAL, c))
EVERY(s_isdigit, jc_is(CLASS_DIGIT, c))
EVERY(s_isnumeric, jc_is(CLASS_NUMERIC, c))
EVERY(s_isspace, jc_space(c))
EVERY(s_isalnum, jc_is(CLASS_ALPHA, c) || jc_is(CLASS_NUMERIC, c))

JX_FN(s_isascii)
{
	JX_UNUSED;
	*out = jv_bool(self->u.s->chars == self->u.s->n);
	return 0;
}

JX_FN(s_islower)
{
	return jinja_test("lower")->fn(x, self, v, all, out);
}

JX_FN(s_isupper)
{
	return jinja_test("upper")->fn(x, self, v, all, out);
}

static const struct jbuiltin str_methods[] = {
	{"capitalize", "/", s_capitalize},
	{"center", "/width,fill?", s_center},
	{"count", "/sub,start?,end?", s_count},
	{"endswith", "/suffix,start?,end?", s_endswith},
	{"find", "/sub,start?,end?", s_find},
	{"format", "*", s_format},
	{"index", "/sub,start?,end?", s_index},
	{"isalnum", "/", s_isalnum},
	{"isalpha", "/", s_isalpha},
	{"isascii", "/", s_isascii},
	{"isdecimal", "/", s_isdecimal},
	{"isdigit", "/", s_isdigit},
	{"islower", "/", s_islower},
	{"isnumeric", "/", s_isnumeric},
	{"isspace", "/", s_isspace},
	{"isupper", "/", s_isupper},
	{"join", "/iterable", s_join},
	{"ljust", "/width,fill?", s_ljust},
	{"lower", "/", s_lower},
	{"lstrip", "/chars?", s_lstrip},
	{"partition", "/sep", s_partition},
	{"removeprefix", "/prefix", s_removeprefix},
	{"removesuffix", "/suffix", s_removesuffix},
	{"replace", "/old,new,count?", s_replace},
	{"rfind", "/sub,start?,end?", s_rfind},
	{"rindex", "/sub,start?,end?", s_rindex},
	{"rjust", "/width,fill?", s_rjust},
	{"rpartition", "/sep", s_rpartition},
	{"rsplit", "sep?,maxsplit?", s_rsplit},
	{"rstrip", "/chars?", s_rstrip},
	{"split", "sep?,maxsplit?", s_split},
	{"splitlines", "keepends?", s_splitlines},
	{"startswith", "/prefix,start?,end?", s_startswith},
	{"strip", "/chars?", s_strip},
	{"title", "/", s_title},
	{"upper", "/", s_upper},
	{"zfill", "/width", s_zfill},
};

const struct jbuiltin *jinja_str_method(const char *name)
{
	return JINJA_AMONG(str_methods, name);
}
