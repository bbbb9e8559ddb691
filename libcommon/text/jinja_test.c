/* SPDX-License-Identifier: MIT */
/* Tests ("x is defined"), as Jinja2's tests.py defines them. */
#include <string.h>

#include "libcommon/text/jinja_priv.h"
#include "libcommon/text/unicode.h"

#define TEST(name, cond)              \
	JX_FN(name)                   \
	{                             \
		JX_UNUSED;            \
		*out = jv_bool(cond); \
		return 0;             \
	}

TEST(t_defined, self->t != V_UNDEF)
TEST(t_undefined, self->t == V_UNDEF)
TEST(t_none, self->t == V_NONE)
TEST(t_boolean, self->t == V_BOOL)
TEST(t_true, self->t == V_BOOL && self->u.b)
TEST(t_false, self->t == V_BOOL && !self->u.b)
TEST(t_integer, self->t == V_INT || self->t == V_BIG)
TEST(t_float, self->t == V_FLOAT)
TEST(t_number, jv_is_num(self) || self->t == V_BIG)
TEST(t_string, self->t == V_STR)
TEST(t_mapping, self->t == V_DICT)
TEST(t_iterable, jv_iterable(self))
TEST(t_sequence, jv_has_len(self) && self->t != V_VIEW && self->t != V_LOOP)
TEST(t_escaped, self->t == V_STR && self->u.s->safe)
TEST(t_callable, self->t == V_MACRO || self->t == V_FUNC ||
			 self->t == V_METHOD || self->t == V_LOOP ||
			 self->t == V_JOINER || self->t == V_UNDEF)

/* value % n == m */
static int modulo(struct jx *x, const struct jval *self, const struct jval *n,
		  int64_t m, struct jval *out)
{
	struct jval r, want = jv_int(m);
	int eq;

	if (self->t == V_STR) /* formatting, which yields no number */
		return jx_err(x, "a string has no remainder");
	if (jx_binary(x, T_MOD, self, n, &r))
		return -1;
	eq = jv_eq(x, &r, &want);
	*out = jv_bool(eq > 0);
	return eq < 0 ? -1 : 0;
}

JX_FN(t_odd)
{
	const struct jval two = jv_int(2);

	JX_UNUSED;
	return modulo(x, self, &two, 1, out);
}

JX_FN(t_even)
{
	const struct jval two = jv_int(2);

	JX_UNUSED;
	return modulo(x, self, &two, 0, out);
}

JX_FN(t_divisibleby)
{
	JX_UNUSED;
	return modulo(x, self, v[0], 0, out);
}

/* str(value).islower(), isupper(): of the letters with case, and there is one */
static int all_case(struct jx *x, const struct jval *self, enum jclass want,
		    struct jval *out)
{
	const struct jstr *s;
	bool any = false, other = false;

	if (jv_to_str(x, self, &s))
		return -1;
	for (const char *p = s->s, *end = p + s->n; p < end;) {
		uint32_t c = ft_utf8_next(&p);

		if (jc_is(want, c))
			any = true;
		else if (jc_is(CLASS_CASED, c))
			other = true;
	}
	*out = jv_bool(any && !other);
	return 0;
}

JX_FN(t_lower)
{
	JX_UNUSED;
	return all_case(x, self, CLASS_LOWER, out);
}

JX_FN(t_upper)
{
	JX_UNUSED;
	return all_case(x, self, CLASS_UPPER, out);
}

JX_FN(t_in)
{
	int rc = jv_in(x, self, v[0]);

	JX_UNUSED;
	*out = jv_bool(rc > 0);
	return rc < 0 ? -1 : 0;
}

JX_FN(t_eq)
{
	int rc = jv_eq(x, self, v[0]);

	JX_UNUSED;
	*out = jv_bool(rc > 0);
	return rc < 0 ? -1 : 0;
}

JX_FN(t_ne)
{
	int rc = jv_eq(x, self, v[0]);

	JX_UNUSED;
	*out = jv_bool(rc == 0);
	return rc < 0 ? -1 : 0;
}

#define ORDER(name, op)                                     \
	JX_FN(name)                                         \
	{                                                   \
		bool yes = false;                           \
		int rc = jv_order(x, op, self, v[0], &yes); \
		JX_UNUSED;                                  \
		*out = jv_bool(yes);                        \
		return rc;                                  \
	}
ORDER(t_lt, T_LT)
ORDER(t_le, T_LE)
ORDER(t_gt, T_GT)
ORDER(t_ge, T_GE)

/* `is`: what is one object in Python for sure, or for sure not. */
JX_FN(t_sameas)
{
	const struct jval *o = v[0];

	JX_UNUSED;
	if (self->t != o->t) {
		*out = jv_bool(false);
		return 0;
	}
	switch (self->t) {
	case V_NONE:
		*out = jv_bool(true);
		return 0;
	case V_BOOL:
		*out = jv_bool(self->u.b == o->u.b);
		return 0;
	case V_INT:
		if (self->u.i == o->u.i && (self->u.i < -5 || self->u.i > 256))
			break;
		*out = jv_bool(self->u.i == o->u.i);
		return 0;
	case V_LIST:
	case V_DICT:
	case V_NS:
	case V_MACRO:
		*out = jv_bool(self->u.l == o->u.l);
		return 0;
	default:
		break;
	}
	return jx_err(x, "sameas of a '%s' is not supported", jv_type(self));
}

JX_FN(t_filter)
{
	JX_UNUSED;
	if (self->t == V_STR && jinja_filter(self->u.s->s)) {
		*out = jv_bool(true);
		return 0;
	}
	*out = jv_bool(self->t == V_STR && jinja_foreign_filter(self->u.s->s));
	return jv_hashable(x, self);
}

JX_FN(t_test)
{
	JX_UNUSED;
	*out = jv_bool(self->t == V_STR && jinja_test(self->u.s->s));
	return jv_hashable(x, self);
}

static const struct jbuiltin tests[] = {
	{"!=", "other", t_ne},
	{"<", "other", t_lt},
	{"<=", "other", t_le},
	{"==", "other", t_eq},
	{">", "other", t_gt},
	{">=", "other", t_ge},
	{"boolean", "", t_boolean},
	{"callable", "", t_callable},
	{"defined", "", t_defined},
	{"divisibleby", "num", t_divisibleby},
	{"eq", "other", t_eq},
	{"equalto", "other", t_eq},
	{"escaped", "", t_escaped},
	{"even", "", t_even},
	{"false", "", t_false},
	{"filter", "", t_filter},
	{"float", "", t_float},
	{"ge", "other", t_ge},
	{"greaterthan", "other", t_gt},
	{"gt", "other", t_gt},
	{"in", "seq", t_in},
	{"integer", "", t_integer},
	{"iterable", "", t_iterable},
	{"le", "other", t_le},
	{"lessthan", "other", t_lt},
	{"lower", "", t_lower},
	{"lt", "other", t_lt},
	{"mapping", "", t_mapping},
	{"ne", "other", t_ne},
	{"none", "", t_none},
	{"number", "", t_number},
	{"odd", "", t_odd},
	{"sameas", "other", t_sameas},
	{"sequence", "", t_sequence},
	{"string", "", t_string},
	{"test", "", t_test},
	{"true", "", t_true},
	{"undefined", "", t_undefined},
	{"upper", "", t_upper},
};

const struct jbuiltin *jinja_test(const char *name)
{
	return JINJA_AMONG(tests, name);
}
