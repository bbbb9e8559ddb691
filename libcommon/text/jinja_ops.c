/* SPDX-License-Identifier: MIT */
/* Operators, elements and slices, as Python has them. */
#include <math.h>
#include <string.h>

#include "libcommon/text/jinja_priv.h"

/* --- operators ------------------------------------------------------------ */

static const char *op_name(enum jtok op)
{
	static const char *const names[] = {
		[T_ADD] = "+",       [T_SUB] = "-", [T_MUL] = "*",
		[T_DIV] = "/",       [T_MOD] = "%", [T_POW] = "**",
		[T_FLOORDIV] = "//",
	};

	return names[op];
}

static int bad_operands(struct jx *x, enum jtok op, const struct jval *a,
			const struct jval *b)
{
	if (a->t == V_UNDEF)
		return jx_undefined(x, a);
	if (b->t == V_UNDEF)
		return jx_undefined(x, b);
	if (a->t == V_BIG || b->t == V_BIG)
		return jx_err(x, "integers beyond 64 bits are not supported");
	return jx_err(x, "'%s' is not supported between '%s' and '%s'",
		      op_name(op), jv_type(a), jv_type(b));
}

int jx_too_large(struct jx *x)
{
	return jx_err(x, "integers beyond 64 bits are not supported");
}

static int int_pow(struct jx *x, int64_t a, int64_t b, struct jval *out)
{
	int64_t r = 1;

	if (b < 0) {
		if (!a)
			return jx_err(x,
				      "0 cannot be raised to a negative power");
		*out = jv_float(pow((double)a, (double)b));
		return 0;
	}
	if (a == 1 || a == 0 || a == -1) {
		*out = jv_int(!b ? 1 : a == -1 && b % 2 == 0 ? 1 : a);
		return 0;
	}
	while (b--)
		if (__builtin_mul_overflow(r, a, &r))
			return jx_too_large(x);
	*out = jv_int(r);
	return 0;
}

static int int_op(struct jx *x, enum jtok op, int64_t a, int64_t b,
		  struct jval *out)
{
	int64_t r = 0;
	bool over = false;

	if (op == T_POW)
		return int_pow(x, a, b, out);
	if ((op == T_DIV || op == T_FLOORDIV || op == T_MOD) && !b)
		return jx_err(x, "division by zero");
	switch (op) {
	case T_ADD:
		over = __builtin_add_overflow(a, b, &r);
		break;
	case T_SUB:
		over = __builtin_sub_overflow(a, b, &r);
		break;
	case T_MUL:
		over = __builtin_mul_overflow(a, b, &r);
		break;
	case T_DIV:
		*out = jv_float((double)((long double)a / (long double)b));
		return 0;
	case T_FLOORDIV:
		over = a == INT64_MIN && b == -1;
		if (!over)
			r = a / b - (a % b != 0 && (a < 0) != (b < 0));
		break;
	default: /* T_MOD */
		r = b == -1 ? 0 : a % b;
		if (r && (r < 0) != (b < 0))
			r += b;
	}
	if (over)
		return jx_too_large(x);
	*out = jv_int(r);
	return 0;
}

/* Python's float % and //. */
static int float_divmod(struct jx *x, enum jtok op, double a, double b,
			struct jval *out)
{
	double mod, div, floordiv;

	if (b == 0)
		return jx_err(x, "division by zero");
	mod = fmod(a, b);
	div = (a - mod) / b;
	if (mod != 0) {
		if ((b < 0) != (mod < 0)) {
			mod += b;
			div -= 1;
		}
	} else {
		mod = copysign(0, b);
	}
	if (div != 0) {
		floordiv = floor(div);
		if (div - floordiv > 0.5)
			floordiv += 1;
	} else {
		floordiv = copysign(0, a / b);
	}
	*out = jv_float(op == T_MOD ? mod : floordiv);
	return 0;
}

static int float_op(struct jx *x, enum jtok op, double a, double b,
		    struct jval *out)
{
	double r;

	switch (op) {
	case T_ADD:
		r = a + b;
		break;
	case T_SUB:
		r = a - b;
		break;
	case T_MUL:
		r = a * b;
		break;
	case T_DIV:
		if (b == 0)
			return jx_err(x, "division by zero");
		r = a / b;
		break;
	case T_POW:
		if (a == 0 && b < 0)
			return jx_err(x,
				      "0 cannot be raised to a negative power");
		if (a < 0 && floor(b) != b && isfinite(a) && isfinite(b))
			return jx_err(x, "complex numbers are not supported");
		r = pow(a, b);
		if (isinf(r) && isfinite(a) && isfinite(b))
			return jx_err(x, "numerical result out of range");
		break;
	default:
		return float_divmod(x, op, a, b, out);
	}
	*out = jv_float(r);
	return 0;
}

static int repeat(struct jx *x, const struct jval *v, int64_t n,
		  struct jval *out)
{
	struct jbuf b = {0};
	size_t len = v->t == V_STR ? v->u.s->n : v->u.l->n, all;

	n = n < 0 || !len ? 0 : n;
	if (ft_mul((size_t)n, len, &all))
		all = SIZE_MAX;
	if (jx_room(x, all, v->t == V_STR ? 2 : sizeof(*v)))
		return -1;
	x->steps += all / 64;
	if (v->t == V_STR) {
		for (; n; n--)
			jb_str(x, &b, v->u.s);
		*out = jv_str(jb_end(x, &b));
		return 0;
	}
	*out = jv_list(x, 0);
	out->t = v->t;
	for (; n; n--)
		for (size_t i = 0; i < len; i++)
			jl_push(x, out->u.l, v->u.l->v[i]);
	return 0;
}

static struct jval add_lists(struct jx *x, const struct jval *a,
			     const struct jval *b)
{
	struct jval v = jv_list(x, a->u.l->n + b->u.l->n);

	v.t = a->t;
	for (size_t i = 0; i < a->u.l->n; i++)
		jl_push(x, v.u.l, a->u.l->v[i]);
	for (size_t i = 0; i < b->u.l->n; i++)
		jl_push(x, v.u.l, b->u.l->v[i]);
	return v;
}

static struct jval add_strings(struct jx *x, const struct jstr *a,
			       const struct jstr *b)
{
	struct jbuf buf = {0};
	bool safe = a->safe || b->safe;
	struct jstr *s;

	jb_reserve(x, &buf, a->n + b->n + 1);
	jb_str(x, &buf, safe ? jx_escape(x, a) : a);
	jb_str(x, &buf, safe ? jx_escape(x, b) : b);
	if (!safe)
		return jv_str(jb_end(x, &buf));
	s = jx_alloc(x, sizeof(*s));
	*s = *jb_end(x, &buf);
	s->safe = true;
	return jv_str(s);
}

static bool sequence(const struct jval *v)
{
	return v->t == V_STR || v->t == V_LIST || v->t == V_TUPLE;
}

int jx_binary(struct jx *x, enum jtok op, const struct jval *a,
	      const struct jval *b, struct jval *out)
{
	if (jv_is_int(a) && jv_is_int(b))
		return int_op(x, op, jv_i(a), jv_i(b), out);
	if (jv_is_num(a) && jv_is_num(b))
		return float_op(x, op, jv_f(a), jv_f(b), out);
	if (op != T_ADD && ((a->t == V_STR && a->u.s->safe) ||
			    (b->t == V_STR && b->u.s->safe)))
		return jx_err(x,
			      "'%s' of Markup (safe, escape) is not supported",
			      op_name(op));
	if (op == T_MOD && a->t == V_STR)
		return jx_percent(x, a->u.s, b, out);
	if (op == T_ADD && a->t == b->t && sequence(a)) {
		*out = a->t == V_STR ? add_strings(x, a->u.s, b->u.s)
				     : add_lists(x, a, b);
		return 0;
	}
	if (op == T_MUL && sequence(a) && jv_is_int(b))
		return repeat(x, a, jv_i(b), out);
	if (op == T_MUL && sequence(b) && jv_is_int(a))
		return repeat(x, b, jv_i(a), out);
	return bad_operands(x, op, a, b);
}

/* --- elements and slices -------------------------------------------------- */

/* o[i] of a sequence: 1, or 0 when there is none. */
int jx_element(struct jx *x, const struct jval *o, int64_t i, struct jval *out)
{
	int64_t n;
	size_t at;

	if (jv_len(x, o, &n))
		return -1;
	if (i < 0)
		i += n;
	if (i < 0 || i >= n)
		return 0;
	if (o->t == V_RANGE) {
		*out = jv_int(o->u.r->start + i * o->u.r->step);
	} else if (o->t == V_STR) {
		at = js_at(o->u.s, (size_t)i);
		*out = jv_str(
			js_part(x, o->u.s, at,
				o->u.s->chars == o->u.s->n
					? at + 1
					: at + ft_utf8_len(o->u.s->s + at,
							   o->u.s->n - at)));
	} else {
		*out = o->u.l->v[i];
	}
	return 1;
}

static int slice_bound(struct jx *x, const struct jval *v, int64_t dflt,
		       int64_t *out)
{
	*out = dflt;
	if (v->t == V_NONE)
		return 0;
	if (!jv_is_int(v))
		return jx_err(x, "slice indices are integers or None, not '%s'",
			      jv_type(v));
	*out = jv_i(v);
	return 0;
}

/* Python's slice.indices. */
static int slice_indices(struct jx *x, const struct jval k[3], int64_t n,
			 int64_t *start, int64_t *stop, int64_t *step)
{
	int64_t low, high;

	if (slice_bound(x, &k[2], 1, step))
		return -1;
	if (!*step)
		return jx_err(x, "slice step is zero");
	if (*step < -INT64_MAX)
		*step = -INT64_MAX;
	low = *step < 0 ? -1 : 0;
	high = *step < 0 ? n - 1 : n;
	if (slice_bound(x, &k[0], *step < 0 ? high : low, start) ||
	    slice_bound(x, &k[1], *step < 0 ? low : high, stop))
		return -1;
	if (k[0].t != V_NONE) {
		*start += *start < 0 ? n : 0;
		*start = *start < low ? low : *start > high ? high : *start;
	}
	if (k[1].t != V_NONE) {
		*stop += *stop < 0 ? n : 0;
		*stop = *stop < low ? low : *stop > high ? high : *stop;
	}
	return 0;
}

static struct jval slice_str(struct jx *x, const struct jstr *s, int64_t start,
			     int64_t stop, int64_t step)
{
	struct jbuf b = {0};
	struct jval v;

	if (step == 1)
		return jv_str(stop <= start
				      ? js_lit(x, "")
				      : js_part(x, s, js_at(s, (size_t)start),
						js_at(s, (size_t)stop)));
	if (step == -1 && start == (int64_t)s->chars - 1 && stop == -1)
		return jx_reverse_str(x, s);
	v = jv_str(s);
	while (step > 0 ? start < stop : start > stop) {
		struct jval c;

		if (jx_step(x) || jx_element(x, &v, start, &c) <= 0)
			break;
		x->steps += s->chars == s->n ? 0 : s->n / 256;
		jb_str(x, &b, c.u.s);
		if (__builtin_add_overflow(start, step, &start))
			break;
	}
	return jv_str(jb_end(x, &b));
}

int jx_slice(struct jx *x, const struct jval *o, const struct jval k[3],
	     struct jval *out)
{
	int64_t n, start = 0, stop = 0, step = 1;
	struct jval r;

	if (o->t == V_UNDEF)
		return jx_undefined(x, o);
	if (o->t != V_STR && o->t != V_LIST && o->t != V_TUPLE &&
	    o->t != V_RANGE)
		return jx_err(x, "'%s' object cannot be sliced", jv_type(o));
	if (jv_len(x, o, &n) || slice_indices(x, k, n, &start, &stop, &step))
		return -1;
	if (o->t == V_RANGE || (o->t == V_STR && o->u.s->safe))
		return jx_err(x, "slices of %s are not supported",
			      o->t == V_RANGE ? "ranges" : "Markup");
	if (o->t == V_STR) {
		*out = slice_str(x, o->u.s, start, stop, step);
		return 0;
	}
	r = jv_list(x, 0);
	r.t = o->t;
	while (step > 0 ? start < stop : start > stop) {
		jl_push(x, r.u.l, o->u.l->v[start]);
		if (jx_step(x))
			return -1;
		if (__builtin_add_overflow(start, step, &start))
			break;
	}
	*out = r;
	return 0;
}
