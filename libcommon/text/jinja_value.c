/* SPDX-License-Identifier: MIT */
/* Values as Python has them: truth, equality, order, str and repr. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "libcommon/text/jinja_priv.h"
#include "libcommon/text/unicode.h"

/* --- errors and memory ---------------------------------------------------- */

int jx_err(struct jx *x, const char *fmt, ...)
{
	char msg[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	return jinja_bad(x->err, x->line, "%s", msg);
}

int jx_step(struct jx *x)
{
	if (x->over || x->a.total > x->max_memory)
		return jx_err(x, "the template takes more memory than it may");
	if (++x->steps > x->max_steps)
		return jx_err(x, "the template takes more steps than it may");
	return 0;
}

void *jx_alloc(struct jx *x, size_t n)
{
	return ft_arena_alloc(&x->a, n);
}

int jx_room(struct jx *x, size_t n, size_t size)
{
	size_t bytes;

	if (ft_mul(n, size, &bytes) || bytes > x->max_memory)
		x->over = true;
	return jx_step(x);
}

int jx_undefined(struct jx *x, const struct jval *v)
{
	return jx_err(x, "%s", v->u.why ? v->u.why : "undefined value");
}

/* --- making them ---------------------------------------------------------- */

struct jval jv_undef(struct jx *x, const char *fmt, ...)
{
	char msg[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	return (struct jval){.t = V_UNDEF,
			     .u.why =
				     ft_arena_strndup(&x->a, msg, strlen(msg))};
}

struct jval jv_list(struct jx *x, size_t cap)
{
	struct jlist *l = jx_alloc(x, sizeof(*l));

	*l = (struct jlist){.cap = cap};
	if (cap)
		l->v = jx_alloc(x, cap * sizeof(*l->v));
	return (struct jval){.t = V_LIST, .u.l = l};
}

struct jval jv_tuple(struct jx *x, size_t cap)
{
	struct jval v = jv_list(x, cap);

	v.t = V_TUPLE;
	return v;
}

void jl_push(struct jx *x, struct jlist *l, struct jval v)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 4;
		struct jval *p;

		if (x->over || x->a.total + cap * sizeof(*p) > x->max_memory) {
			x->over = true;
			return;
		}
		p = jx_alloc(x, cap * sizeof(*p));
		if (l->n)
			memcpy(p, l->v, l->n * sizeof(*p));
		l->v = p;
		l->cap = cap;
	}
	l->v[l->n++] = v;
}

struct jval jv_dict(struct jx *x)
{
	struct jdict *d = jx_alloc(x, sizeof(*d));

	*d = (struct jdict){0};
	return (struct jval){.t = V_DICT, .u.d = d};
}

/* --- what they are -------------------------------------------------------- */

const char *jv_type(const struct jval *v)
{
	static const char *const names[] = {
		[V_UNSET] = "Undefined",  [V_UNDEF] = "Undefined",
		[V_NONE] = "NoneType",    [V_BOOL] = "bool",
		[V_INT] = "int",          [V_BIG] = "int",
		[V_FLOAT] = "float",      [V_STR] = "str",
		[V_LIST] = "list",        [V_TUPLE] = "tuple",
		[V_DICT] = "dict",        [V_RANGE] = "range",
		[V_VIEW] = "dict_view",   [V_ITER] = "generator",
		[V_NS] = "Namespace",     [V_MACRO] = "Macro",
		[V_FUNC] = "function",    [V_METHOD] = "method",
		[V_LOOP] = "LoopContext", [V_CYCLER] = "Cycler",
		[V_JOINER] = "Joiner",
	};

	return names[v->t];
}

bool jv_is_int(const struct jval *v)
{
	return v->t == V_INT || v->t == V_BOOL;
}

bool jv_is_num(const struct jval *v)
{
	return jv_is_int(v) || v->t == V_FLOAT;
}

int64_t jv_i(const struct jval *v)
{
	return v->t == V_BOOL ? v->u.b : v->u.i;
}

double jv_f(const struct jval *v)
{
	return v->t == V_FLOAT ? v->u.f : (double)jv_i(v);
}

bool jv_has_len(const struct jval *v)
{
	switch (v->t) {
	case V_UNSET:
	case V_UNDEF:
	case V_STR:
	case V_LIST:
	case V_TUPLE:
	case V_DICT:
	case V_RANGE:
	case V_VIEW:
	case V_LOOP:
		return true;
	default:
		return false;
	}
}

int jv_len(struct jx *x, const struct jval *v, int64_t *n)
{
	struct jval len;

	*n = 0;
	switch (v->t) {
	case V_UNSET:
	case V_UNDEF:
		return 0;
	case V_STR:
		*n = (int64_t)v->u.s->chars;
		return 0;
	case V_LIST:
	case V_TUPLE:
		*n = (int64_t)v->u.l->n;
		return 0;
	case V_DICT:
		*n = (int64_t)v->u.d->n;
		return 0;
	case V_VIEW:
		*n = (int64_t)v->u.w->d->n;
		return 0;
	case V_RANGE:
		*n = v->u.r->n;
		return 0;
	case V_LOOP:
		if (jx_loop_attr(x, v->u.lo, "length", &len) < 0)
			return -1;
		*n = len.u.i;
		return 0;
	default:
		return jx_err(x, "object of type '%s' has no length",
			      jv_type(v));
	}
}

int jv_truth(struct jx *x, const struct jval *v, bool *out)
{
	int64_t n;

	*out = true;
	switch (v->t) {
	case V_NONE:
		*out = false;
		return 0;
	case V_BOOL:
		*out = v->u.b;
		return 0;
	case V_INT:
		*out = v->u.i != 0;
		return 0;
	case V_FLOAT:
		*out = v->u.f != 0;
		return 0;
	default:
		if (!jv_has_len(v))
			return 0;
		if (jv_len(x, v, &n))
			return -1;
		*out = n != 0;
		return 0;
	}
}

/* --- dicts ---------------------------------------------------------------- */

bool jv_can_hash(const struct jval *v)
{
	if (v->t == V_LIST || v->t == V_DICT ||
	    (v->t == V_VIEW && v->u.w->kind != VIEW_VALUES))
		return false;
	for (size_t i = 0; v->t == V_TUPLE && i < v->u.l->n; i++)
		if (!jv_can_hash(&v->u.l->v[i]))
			return false;
	return true;
}

int jv_hashable(struct jx *x, const struct jval *v)
{
	return jv_can_hash(v) ? 0
			      : jx_err(x, "unhashable type: '%s'", jv_type(v));
}

int jd_find(struct jx *x, const struct jdict *d, const struct jval *k,
	    size_t *at)
{
	if (jv_hashable(x, k))
		return -1;
	for (size_t i = 0; i < d->n; i++) {
		int eq;

		if (k->t == V_STR && d->k[i].t == V_STR)
			eq = js_eq(k->u.s, d->k[i].u.s);
		else
			eq = jv_eq(x, k, &d->k[i]);
		if (eq) {
			*at = i;
			return eq;
		}
	}
	x->steps += d->n / 16;
	return 0;
}

int jd_set(struct jx *x, struct jdict *d, const struct jval *k,
	   const struct jval *v)
{
	size_t at, cap = d->cap;
	int rc = jd_find(x, d, k, &at);

	if (rc < 0)
		return -1;
	if (rc) {
		d->v[at] = *v;
		return 0;
	}
	if (d->n == cap) {
		struct jval *nk, *nv;

		cap = cap ? 2 * cap : 4;
		if (jx_room(x, cap, 2 * sizeof(*nk)))
			return -1;
		nk = jx_alloc(x, cap * sizeof(*nk));
		nv = jx_alloc(x, cap * sizeof(*nv));
		if (d->n) {
			memcpy(nk, d->k, d->n * sizeof(*nk));
			memcpy(nv, d->v, d->n * sizeof(*nv));
		}
		d->k = nk;
		d->v = nv;
		d->cap = cap;
	}
	d->k[d->n] = *k;
	d->v[d->n++] = *v;
	return 0;
}

const struct jval *jd_get(const struct jdict *d, const char *key)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->k[i].t == V_STR && js_is(d->k[i].u.s, key))
			return &d->v[i];
	return NULL;
}

/* --- equality and order --------------------------------------------------- */

/* Both numbers; -2 when one is no number (NaN). */
static int compare_numbers(const struct jval *a, const struct jval *b)
{
	double fa, fb;

	if (jv_is_int(a) && jv_is_int(b))
		return (jv_i(a) > jv_i(b)) - (jv_i(a) < jv_i(b));
	fa = jv_f(a);
	fb = jv_f(b);
	if (isnan(fa) || isnan(fb))
		return -2;
	if (fa == fb && a->t != b->t && fabs(fa) < 0x1p63) {
		/* a long integer loses digits as a double */
		int64_t i = a->t == V_FLOAT ? (int64_t)fa : jv_i(a);
		int64_t j = b->t == V_FLOAT ? (int64_t)fb : jv_i(b);

		return (i > j) - (i < j);
	}
	return (fa > fb) - (fa < fb);
}

static int lists_equal(struct jx *x, const struct jlist *a,
		       const struct jlist *b)
{
	int eq = a->n == b->n;

	for (size_t i = 0; i < a->n && eq > 0; i++)
		eq = jv_eq(x, &a->v[i], &b->v[i]);
	return eq;
}

static int dicts_equal(struct jx *x, const struct jdict *a,
		       const struct jdict *b)
{
	size_t at;
	int eq = a->n == b->n;

	for (size_t i = 0; i < a->n && eq > 0; i++) {
		eq = jd_find(x, b, &a->k[i], &at);
		if (eq > 0)
			eq = jv_eq(x, &a->v[i], &b->v[at]);
	}
	return eq;
}

static int ranges_equal(const struct jrange *a, const struct jrange *b)
{
	return a->n == b->n && (!a->n || a->start == b->start) &&
	       (a->n < 2 || a->step == b->step);
}

static int same_kind_equal(struct jx *x, const struct jval *a,
			   const struct jval *b)
{
	switch (a->t) {
	case V_NONE:
	case V_UNDEF:
	case V_UNSET:
		return 1;
	case V_STR:
	case V_BIG:
		return js_eq(a->u.s, b->u.s);
	case V_LIST:
	case V_TUPLE:
		return lists_equal(x, a->u.l, b->u.l);
	case V_DICT:
		return dicts_equal(x, a->u.d, b->u.d);
	case V_RANGE:
		return ranges_equal(a->u.r, b->u.r);
	case V_FUNC:
		return a->u.fn == b->u.fn;
	case V_METHOD:
		return a->u.me == b->u.me;
	case V_VIEW:
		if (a->u.w == b->u.w)
			return 1;
		return jx_err(x, "comparison of dict views is not supported");
	default:
		return a->u.d == b->u.d; /* one pointer like any other */
	}
}

int jv_eq(struct jx *x, const struct jval *a, const struct jval *b)
{
	int eq;

	if (jv_is_num(a) && jv_is_num(b))
		return compare_numbers(a, b) == 0;
	if ((a->t == V_BIG && b->t == V_FLOAT) ||
	    (b->t == V_BIG && a->t == V_FLOAT))
		return jx_err(x, "integers beyond 64 bits are not supported");
	if (a->t != b->t)
		return 0;
	if (jx_step(x))
		return -1;
	if (++x->depth > JX_DEPTH)
		return jx_err(x, "nested too deep");
	eq = same_kind_equal(x, a, b);
	x->depth--;
	return eq;
}

static bool holds(enum jtok op, int c)
{
	switch (op) {
	case T_LT:
		return c < 0;
	case T_LE:
		return c <= 0;
	case T_GT:
		return c > 0;
	default:
		return c >= 0;
	}
}

static int unordered(struct jx *x, enum jtok op, const struct jval *a,
		     const struct jval *b)
{
	static const char *const ops[] = {
		[T_GT] = ">", [T_GE] = ">=", [T_LT] = "<", [T_LE] = "<="};

	if (a->t == V_UNDEF)
		return jx_undefined(x, a);
	if (b->t == V_UNDEF)
		return jx_undefined(x, b);
	return jx_err(x, "'%s' is not supported between '%s' and '%s'", ops[op],
		      jv_type(a), jv_type(b));
}

int jv_order(struct jx *x, enum jtok op, const struct jval *a,
	     const struct jval *b, bool *out)
{
	int c;

	if (jv_is_num(a) && jv_is_num(b)) {
		c = compare_numbers(a, b);
		*out = c != -2 && holds(op, c);
		return 0;
	}
	if (a->t != b->t)
		return unordered(x, op, a, b);
	if (a->t == V_STR) {
		size_t n = a->u.s->n < b->u.s->n ? a->u.s->n : b->u.s->n;

		c = n ? memcmp(a->u.s->s, b->u.s->s, n) : 0;
		if (!c)
			c = (a->u.s->n > b->u.s->n) - (a->u.s->n < b->u.s->n);
		*out = holds(op, c);
		return 0;
	}
	if (a->t != V_LIST && a->t != V_TUPLE)
		return unordered(x, op, a, b);
	if (jx_step(x))
		return -1;
	for (size_t i = 0; i < a->u.l->n && i < b->u.l->n; i++) {
		c = jv_eq(x, &a->u.l->v[i], &b->u.l->v[i]);
		if (c < 0)
			return -1;
		if (c)
			continue;
		if (++x->depth > JX_DEPTH)
			return jx_err(x, "nested too deep");
		c = jv_order(x, op, &a->u.l->v[i], &b->u.l->v[i], out);
		x->depth--;
		return c;
	}
	*out = holds(op, (a->u.l->n > b->u.l->n) - (a->u.l->n < b->u.l->n));
	return 0;
}

static int in_range(struct jx *x, const struct jval *a, const struct jrange *r)
{
	struct jval v;

	if (jv_is_int(a)) {
		/* ranges are short and their ends small: no overflow */
		int64_t i = jv_i(a), last = r->start + (r->n - 1) * r->step;

		if (!r->n || (r->step > 0 ? i < r->start || i > last
					  : i > r->start || i < last))
			return 0;
		return (i - r->start) % r->step == 0;
	}
	for (int64_t i = 0; i < r->n; i++) {
		int eq;

		v = jv_int(r->start + i * r->step);
		if (jx_step(x))
			return -1;
		eq = jv_eq(x, &v, a);
		if (eq)
			return eq;
	}
	return 0;
}

int jv_in(struct jx *x, const struct jval *a, const struct jval *b)
{
	struct jiter *it;
	struct jval v;
	size_t at;
	int rc;

	switch (b->t) {
	case V_STR:
		if (a->t == V_UNDEF)
			return jx_err(
				x,
				"'in <string>' wants a string, not Undefined");
		if (a->t != V_STR)
			return jx_err(x,
				      "'in <string>' wants a string, not '%s'",
				      jv_type(a));
		return js_find(b->u.s, 0, a->u.s) != SIZE_MAX;
	case V_DICT:
		return jd_find(x, b->u.d, a, &at);
	case V_RANGE:
		return in_range(x, a, b->u.r);
	case V_VIEW:
		if (b->u.w->kind == VIEW_KEYS)
			return jd_find(x, b->u.w->d, a, &at);
		break;
	default:
		break;
	}
	if (!jv_iterable(b))
		return jx_err(x, "argument of type '%s' is not iterable",
			      jv_type(b));
	if (jx_iter(x, b, &it))
		return -1;
	while ((rc = ji_next(x, it, &v)) > 0) {
		rc = jv_eq(x, &v, a);
		if (rc)
			return rc;
		if (jx_step(x))
			return -1;
	}
	return rc;
}

/* --- as text -------------------------------------------------------------- */

static void repr_char(struct jx *x, struct jbuf *b, uint32_t c, char quote,
		      unsigned char mark)
{
	static const char from[] = "\n\r\t\\", to[] = "nrt\\";
	const char *k = c && c < 128 ? strchr(from, (int)c) : NULL;
	char s[16];

	if (k || c == (uint32_t)quote)
		snprintf(s, sizeof(s), "\\%c", k ? to[k - from] : quote);
	else if (jc_is(CLASS_PRINTABLE, c))
		s[ft_utf8_put(s, c)] = 0;
	else if (c < 0x100)
		snprintf(s, sizeof(s), "\\x%02x", c);
	else if (c < 0x10000)
		snprintf(s, sizeof(s), "\\u%04x", c);
	else
		snprintf(s, sizeof(s), "\\U%08x", c);
	jb_add(x, b, s, strlen(s), mark);
}

static void repr_str(struct jx *x, struct jbuf *b, const struct jstr *s)
{
	bool one = s->n && memchr(s->s, '\'', s->n);
	bool two = s->n && memchr(s->s, '"', s->n);
	char quote = one && !two ? '"' : '\'';
	const char *p = s->s, *end = p + s->n;

	jb_addc(x, b, quote);
	while (p < end) {
		const char *q = p;
		uint32_t c = ft_utf8_next(&p);

		repr_char(x, b, c, quote, js_mark(s, (size_t)(q - s->s)));
	}
	jb_addc(x, b, quote);
}

static int repr_list(struct jx *x, struct jbuf *b, const struct jlist *l,
		     const char *ends)
{
	jb_addc(x, b, ends[0]);
	for (size_t i = 0; i < l->n; i++) {
		if (i)
			jb_adds(x, b, ", ");
		if (jv_repr(x, b, &l->v[i]))
			return -1;
	}
	if (ends[0] == '(' && l->n == 1)
		jb_addc(x, b, ',');
	jb_addc(x, b, ends[1]);
	return 0;
}

static int repr_dict(struct jx *x, struct jbuf *b, const struct jdict *d)
{
	jb_addc(x, b, '{');
	for (size_t i = 0; i < d->n; i++) {
		if (i)
			jb_adds(x, b, ", ");
		if (jv_repr(x, b, &d->k[i]))
			return -1;
		jb_adds(x, b, ": ");
		if (jv_repr(x, b, &d->v[i]))
			return -1;
	}
	jb_addc(x, b, '}');
	return 0;
}

static int repr_view(struct jx *x, struct jbuf *b, const struct jval *v)
{
	static const char *const name[] = {
		[VIEW_KEYS] = "dict_keys(",
		[VIEW_VALUES] = "dict_values(",
		[VIEW_ITEMS] = "dict_items(",
	};
	struct jlist *l;

	if (jx_to_list(x, v, &l))
		return -1;
	jb_adds(x, b, name[v->u.w->kind]);
	if (repr_list(x, b, l, "[]"))
		return -1;
	jb_addc(x, b, ')');
	return 0;
}

static int repr_loop(struct jx *x, struct jbuf *b, struct jloop *lo)
{
	struct jval n;

	if (jx_loop_attr(x, lo, "length", &n) < 0)
		return -1;
	jb_addf(x, b, "<LoopContext %" PRId64 "/%" PRId64 ">", lo->index0 + 1,
		n.u.i);
	return 0;
}

static int repr(struct jx *x, struct jbuf *b, const struct jval *v)
{
	switch (v->t) {
	case V_UNSET:
	case V_UNDEF:
		jb_adds(x, b, "Undefined");
		return 0;
	case V_NONE:
		jb_adds(x, b, "None");
		return 0;
	case V_BOOL:
		jb_adds(x, b, v->u.b ? "True" : "False");
		return 0;
	case V_INT:
		jb_addf(x, b, "%" PRId64, v->u.i);
		return 0;
	case V_BIG:
		jb_str(x, b, v->u.s);
		return 0;
	case V_FLOAT:
		jx_float_repr(x, b, v->u.f);
		return 0;
	case V_STR:
		if (v->u.s->safe)
			jb_adds(x, b, "Markup(");
		repr_str(x, b, v->u.s);
		if (v->u.s->safe)
			jb_addc(x, b, ')');
		return 0;
	case V_LIST:
		return repr_list(x, b, v->u.l, "[]");
	case V_TUPLE:
		return repr_list(x, b, v->u.l, "()");
	case V_DICT:
		return repr_dict(x, b, v->u.d);
	case V_NS:
		jb_adds(x, b, "<Namespace ");
		if (repr_dict(x, b, v->u.d))
			return -1;
		jb_addc(x, b, '>');
		return 0;
	case V_RANGE:
		jb_addf(x, b, "range(%" PRId64 ", %" PRId64, v->u.r->start,
			v->u.r->stop);
		if (v->u.r->step != 1)
			jb_addf(x, b, ", %" PRId64, v->u.r->step);
		jb_addc(x, b, ')');
		return 0;
	case V_VIEW:
		return repr_view(x, b, v);
	case V_MACRO:
		if (v->u.m->name)
			jb_addf(x, b, "<Macro '%.200s'>", v->u.m->name);
		else
			jb_adds(x, b, "<Macro anonymous>");
		return 0;
	case V_LOOP:
		return repr_loop(x, b, v->u.lo);
	default:
		return jx_err(
			x,
			"a %s is printed, which shows where it lies in memory (| list is missing?)",
			jv_type(v));
	}
}

int jv_repr(struct jx *x, struct jbuf *b, const struct jval *v)
{
	int rc;

	if (jx_step(x))
		return -1;
	if (++x->depth > JX_DEPTH)
		return jx_err(x, "nested too deep");
	rc = repr(x, b, v);
	x->depth--;
	return rc;
}

int jv_put(struct jx *x, struct jbuf *b, const struct jval *v)
{
	if (v->t == V_STR) {
		jb_str(x, b, v->u.s);
		return 0;
	}
	if (v->t == V_UNDEF || v->t == V_UNSET)
		return 0;
	return jv_repr(x, b, v);
}

int jv_to_str(struct jx *x, const struct jval *v, const struct jstr **out)
{
	struct jbuf b = {0};

	if (v->t == V_STR) {
		*out = v->u.s;
		return 0;
	}
	if (jv_put(x, &b, v))
		return -1;
	*out = jb_end(x, &b);
	return 0;
}
