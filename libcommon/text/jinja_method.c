/* SPDX-License-Identifier: MIT */
/* Methods of Python's str, dict, list, tuple and of Jinja2's loop, cycler. */
#include <inttypes.h>
#include <string.h>

#include "libcommon/text/jinja_priv.h"
#include "libcommon/text/unicode.h"

/* clang-format off */
#define FN(name) \
	static int name(struct jx *x, const struct jval *self, \
			const struct jval *const v[], \
			const struct jargs *all, struct jval *out)
/* clang-format on */
#define UNUSED (void)x, (void)self, (void)v, (void)all

/* --- str ------------------------------------------------------------------ */

FN(s_lower)
{
	struct jbuf b = {0};

	UNUSED;
	jc_put(x, &b, self->u.s, CASE_LOWER);
	*out = jv_str(jb_end(x, &b));
	return 0;
}

FN(s_upper)
{
	struct jbuf b = {0};

	UNUSED;
	jc_put(x, &b, self->u.s, CASE_UPPER);
	*out = jv_str(jb_end(x, &b));
	return 0;
}

FN(s_title)
{
	struct jbuf b = {0};

	UNUSED;
	jc_put(x, &b, self->u.s, CASE_TITLE);
	*out = jv_str(jb_end(x, &b));
	return 0;
}

FN(s_capitalize)
{
	struct jbuf b = {0};

	UNUSED;
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

FN(s_strip)
{
	UNUSED;
	return strip(x, self, v[0], true, true, out);
}

FN(s_lstrip)
{
	UNUSED;
	return strip(x, self, v[0], true, false, out);
}

FN(s_rstrip)
{
	UNUSED;
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

		if (jp_str(x, &one[i], "what a string starts or ends with",
			   &s))
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

FN(s_startswith)
{
	UNUSED;
	return affix(x, self, v, false, out);
}

FN(s_endswith)
{
	UNUSED;
	return affix(x, self, v, true, out);
}

FN(s_removeprefix)
{
	const struct jstr *s = self->u.s, *p;

	UNUSED;
	if (jp_str(x, v[0], "a prefix", &p))
		return -1;
	*out = jv_str(s->n >= p->n && !memcmp(s->s, p->s, p->n)
			      ? js_part(x, s, p->n, s->n)
			      : s);
	return 0;
}

FN(s_removesuffix)
{
	const struct jstr *s = self->u.s, *p;

	UNUSED;
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

FN(s_find)
{
	int64_t i;

	UNUSED;
	if (find(x, self, v, false, &i))
		return -1;
	*out = jv_int(i);
	return 0;
}

FN(s_rfind)
{
	int64_t i;

	UNUSED;
	if (find(x, self, v, true, &i))
		return -1;
	*out = jv_int(i);
	return 0;
}

FN(s_index)
{
	if (s_find(x, self, v, all, out))
		return -1;
	return out->u.i < 0 ? jx_err(x, "substring not found") : 0;
}

FN(s_rindex)
{
	if (s_rfind(x, self, v, all, out))
		return -1;
	return out->u.i < 0 ? jx_err(x, "substring not found") : 0;
}

FN(s_count)
{
	const struct jstr *s = self->u.s, *needle;
	size_t from, to, at;
	int64_t n = 0;
	bool in;

	UNUSED;
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

FN(s_replace)
{
	const struct jstr *old, *new;
	int64_t n;

	UNUSED;
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
			const struct jstr *tail =
				js_part(x, s, (size_t)(p - s->s), s->n);

			jl_push(x, l,
				jv_str(jx_strip(x, tail, NULL, false, true)));
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
			jl_push(x, l,
				jv_str(jx_strip(x, s, NULL, true, false)));
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
		jl_push(x, l,
			jv_str(js_part(x, s, (size_t)(p - s->s), s->n)));
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

FN(s_split)
{
	UNUSED;
	return split(x, self, v, false, out);
}

FN(s_rsplit)
{
	UNUSED;
	return split(x, self, v, true, out);
}

static int partition(struct jx *x, const struct jval *self,
		     const struct jval *const v[], bool right,
		     struct jval *out)
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

FN(s_partition)
{
	UNUSED;
	return partition(x, self, v, false, out);
}

FN(s_rpartition)
{
	UNUSED;
	return partition(x, self, v, true, out);
}

FN(s_splitlines)
{
	bool keep;

	UNUSED;
	if (jp_bool(x, v[0], false, &keep))
		return -1;
	*out = js_splitlines(x, self->u.s, keep);
	return 0;
}

FN(s_join)
{
	struct jbuf b = {0};
	struct jiter *it;
	struct jval item;
	bool first = true;
	int rc;

	UNUSED;
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

FN(s_format)
{
	UNUSED;
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

FN(s_ljust)
{
	UNUSED;
	return pad(x, self, v, -1, out);
}

FN(s_rjust)
{
	UNUSED;
	return pad(x, self, v, 1, out);
}

FN(s_center)
{
	UNUSED;
	return pad(x, self, v, 0, out);
}

FN(s_zfill)
{
	const struct jstr *s = self->u.s;
	struct jbuf b = {0};
	int64_t width, n;
	size_t sign = s->n && (s->s[0] == '-' || s->s[0] == '+');

	UNUSED;
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

#define EVERY(name, cond)                     \
	static bool name##_char(uint32_t c)   \
	{                                     \
		return cond;                  \
	}                                     \
	FN(name)                              \
	{                                     \
		UNUSED;                       \
		return every(self, name##_char, out); \
	}
EVERY(s_isalpha, jc_is(CLASS_ALPHA, c))
EVERY(s_isdecimal, jc_is(CLASS_DECIMAL, c))
EVERY(s_isdigit, jc_is(CLASS_DIGIT, c))
EVERY(s_isnumeric, jc_is(CLASS_NUMERIC, c))
EVERY(s_isspace, jc_space(c))
EVERY(s_isalnum, jc_is(CLASS_ALPHA, c) || jc_is(CLASS_NUMERIC, c))

FN(s_isascii)
{
	UNUSED;
	*out = jv_bool(self->u.s->chars == self->u.s->n);
	return 0;
}

FN(s_islower)
{
	return jinja_test("lower")->fn(x, self, v, all, out);
}

FN(s_isupper)
{
	return jinja_test("upper")->fn(x, self, v, all, out);
}

/* --- dict ----------------------------------------------------------------- */

static int view(struct jx *x, const struct jval *self, int kind,
		struct jval *out)
{
	struct jview *w = jx_alloc(x, sizeof(*w));

	*w = (struct jview){self->u.d, kind};
	*out = (struct jval){.t = V_VIEW, .u.w = w};
	return 0;
}

FN(d_items)
{
	UNUSED;
	return view(x, self, VIEW_ITEMS, out);
}

FN(d_keys)
{
	UNUSED;
	return view(x, self, VIEW_KEYS, out);
}

FN(d_values)
{
	UNUSED;
	return view(x, self, VIEW_VALUES, out);
}

FN(d_get)
{
	size_t at;
	int rc = jd_find(x, self->u.d, v[0], &at);

	UNUSED;
	if (rc < 0)
		return -1;
	if (rc)
		*out = self->u.d->v[at];
	else if (v[1])
		*out = *v[1];
	return 0;
}

FN(d_copy)
{
	UNUSED;
	*out = *self; /* no template can change it */
	return 0;
}

/* --- list, tuple, range --------------------------------------------------- */

FN(l_count)
{
	struct jlist *l;
	int64_t n = 0;

	UNUSED;
	if (jx_to_list(x, self, &l))
		return -1;
	for (size_t i = 0; i < l->n; i++) {
		int eq = jv_eq(x, &l->v[i], v[0]);

		if (eq < 0 || jx_step(x))
			return -1;
		n += eq;
	}
	*out = jv_int(n);
	return 0;
}

FN(l_index)
{
	int64_t n, i, end;
	struct jlist *l;

	UNUSED;
	if (jx_to_list(x, self, &l))
		return -1;
	n = (int64_t)l->n;
	if (jp_int(x, v[1], 0, &i) || jp_int(x, v[2], n, &end))
		return -1;
	i += i < 0 ? n : 0;
	end += end < 0 ? n : 0;
	for (i = i < 0 ? 0 : i; i < end && i < n; i++) {
		int eq = jv_eq(x, &l->v[i], v[0]);

		if (eq < 0 || jx_step(x))
			return -1;
		if (eq) {
			*out = jv_int(i);
			return 0;
		}
	}
	return jx_err(x, "value is not in list");
}

/* --- loop, cycler --------------------------------------------------------- */

FN(o_cycle)
{
	UNUSED;
	if (all->nk)
		return jx_err(x, "cycle takes no keyword arguments");
	if (!all->n)
		return jx_err(x, "no items for cycling given");
	*out = all->v[(size_t)self->u.lo->index0 % all->n];
	return 0;
}

FN(o_changed)
{
	struct jloop *lo = self->u.lo;
	struct jval now = jv_tuple(x, all->n);
	int eq = 0;

	UNUSED;
	for (size_t i = 0; i < all->n; i++)
		jl_push(x, now.u.l, all->v[i]);
	if (lo->has_changed)
		eq = jv_eq(x, &lo->changed, &now);
	if (eq < 0)
		return -1;
	lo->changed = now;
	lo->has_changed = true;
	*out = jv_bool(!eq);
	return 0;
}

FN(c_next)
{
	struct jcycle *c = self->u.c;

	UNUSED;
	*out = c->items->v[c->pos];
	c->pos = (c->pos + 1) % c->items->n;
	return 0;
}

FN(c_reset)
{
	UNUSED;
	self->u.c->pos = 0;
	*out = jv_none();
	return 0;
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
static const struct jbuiltin dict_methods[] = {
	{"copy", "/", d_copy},	 {"get", "/key,default?", d_get},
	{"items", "/", d_items}, {"keys", "/", d_keys},
	{"values", "/", d_values},
};
static const struct jbuiltin list_methods[] = {
	{"count", "/value", l_count},
	{"index", "/value,start?,stop?", l_index},
};
static const struct jbuiltin list_copy[] = {{"copy", "/", d_copy}};
static const struct jbuiltin loop_methods[] = {
	{"changed", "*", o_changed},
	{"cycle", "*", o_cycle},
};
static const struct jbuiltin cycler_methods[] = {
	{"next", "", c_next},
	{"reset", "", c_reset},
};

static const struct jbuiltin *among(const struct jbuiltin *t, size_t n,
				    const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(t[i].name, name))
			return &t[i];
	return NULL;
}
#define AMONG(t, name) among(t, sizeof(t) / sizeof(*(t)), name)

const struct jbuiltin *jinja_method(enum jtype t, const char *name)
{
	const struct jbuiltin *m = NULL;

	if (t == V_STR)
		return AMONG(str_methods, name);
	if (t == V_DICT)
		return AMONG(dict_methods, name);
	if (t == V_LIST)
		m = AMONG(list_copy, name);
	if (t == V_LIST || t == V_TUPLE || t == V_RANGE)
		return m ? m : AMONG(list_methods, name);
	if (t == V_LOOP)
		return AMONG(loop_methods, name);
	if (t == V_CYCLER)
		return AMONG(cycler_methods, name);
	return NULL;
}

/* Of names in a string with spaces around each. */
static bool listed(const char *list, const char *name)
{
	size_t n = strlen(name);
	const char *p = list;

	while (n && (p = strstr(p, name))) {
		if (p[-1] == ' ' && p[n] == ' ')
			return true;
		p++;
	}
	return false;
}

bool jinja_callable_name(const char *name)
{
	/* those that change a list or a dict are refused when they are met */
	static const char others[] =
		" append clear pop reverse insert sort extend remove popitem setdefault update fromkeys ";
	static const enum jtype of[] = {V_STR,	V_DICT, V_LIST,
					V_LOOP, V_CYCLER};

	for (size_t i = 0; i < sizeof(of) / sizeof(*of); i++)
		if (jinja_method(of[i], name))
			return true;
	return listed(others, name);
}

bool jinja_foreign(enum jtype t, const char *name)
{
	switch (t) {
	case V_STR:
		return listed(
			" casefold encode expandtabs format_map isidentifier isprintable istitle maketrans swapcase translate ",
			name);
	case V_DICT:
		return listed(" fromkeys ", name);
	case V_INT:
	case V_BIG:
	case V_BOOL:
		return listed(
			" as_integer_ratio bit_count bit_length conjugate denominator from_bytes imag numerator real to_bytes ",
			name);
	case V_FLOAT:
		return listed(
			" as_integer_ratio conjugate fromhex hex imag is_integer real ",
			name);
	case V_VIEW:
		return listed(" isdisjoint mapping ", name);
	case V_ITER:
		return listed(
			" close gi_code gi_frame gi_running gi_suspended gi_yieldfrom send throw ",
			name);
	case V_MACRO:
		return listed(
			" arguments caller catch_kwargs catch_varargs explicit_caller ",
			name);
	case V_CYCLER:
		return listed(" items pos ", name);
	case V_JOINER:
		return listed(" sep used ", name);
	default:
		return false;
	}
}

bool jinja_foreign_filter(const char *name)
{
	return listed(
		" filesizeformat forceescape pprint random striptags urlize wordwrap xmlattr ",
		name);
}
