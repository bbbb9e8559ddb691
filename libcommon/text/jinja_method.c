/* SPDX-License-Identifier: MIT */
/* Methods of Python's dict, list, tuple and of Jinja2's loop, cycler. */
#include <string.h>

#include "libcommon/text/jinja_priv.h"

/* --- dict ----------------------------------------------------------------- */

static int view(struct jx *x, const struct jval *self, int kind,
		struct jval *out)
{
	struct jview *w = jx_alloc(x, sizeof(*w));

	*w = (struct jview){self->u.d, kind};
	*out = (struct jval){.t = V_VIEW, .u.w = w};
	return 0;
}

JX_FN(d_items)
{
	JX_UNUSED;
	return view(x, self, VIEW_ITEMS, out);
}

JX_FN(d_keys)
{
	JX_UNUSED;
	return view(x, self, VIEW_KEYS, out);
}

JX_FN(d_values)
{
	JX_UNUSED;
	return view(x, self, VIEW_VALUES, out);
}

JX_FN(d_get)
{
	size_t at;
	int rc = jd_find(x, self->u.d, v[0], &at);

	JX_UNUSED;
	if (rc < 0)
		return -1;
	if (rc)
		*out = self->u.d->v[at];
	else if (v[1])
		*out = *v[1];
	return 0;
}

JX_FN(d_copy)
{
	JX_UNUSED;
	*out = *self; /* no template can change it */
	return 0;
}

/* --- list, tuple, range --------------------------------------------------- */

JX_FN(l_count)
{
	struct jlist *l;
	int64_t n = 0;

	JX_UNUSED;
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

JX_FN(l_index)
{
	int64_t n, i, end;
	struct jlist *l;

	JX_UNUSED;
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

JX_FN(o_cycle)
{
	JX_UNUSED;
	if (all->nk)
		return jx_err(x, "cycle takes no keyword arguments");
	if (!all->n)
		return jx_err(x, "no items for cycling given");
	*out = all->v[(size_t)self->u.lo->index0 % all->n];
	return 0;
}

JX_FN(o_changed)
{
	struct jloop *lo = self->u.lo;
	struct jval now = jv_tuple(x, all->n);
	int eq = 0;

	JX_UNUSED;
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

JX_FN(c_next)
{
	struct jcycle *c = self->u.c;

	JX_UNUSED;
	*out = c->items->v[c->pos];
	c->pos = (c->pos + 1) % c->items->n;
	return 0;
}

JX_FN(c_reset)
{
	JX_UNUSED;
	self->u.c->pos = 0;
	*out = jv_none();
	return 0;
}

static const struct jbuiltin dict_methods[] = {
	{"copy", "/", d_copy},     {"get", "/key,default?", d_get},
	{"items", "/", d_items},   {"keys", "/", d_keys},
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

const struct jbuiltin *jinja_among(const struct jbuiltin *t, size_t n,
				   const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(t[i].name, name))
			return &t[i];
	return NULL;
}

const struct jbuiltin *jinja_method(enum jtype t, const char *name)
{
	const struct jbuiltin *m = NULL;

	if (t == V_STR)
		return jinja_str_method(name);
	if (t == V_DICT)
		return JINJA_AMONG(dict_methods, name);
	if (t == V_LIST)
		m = JINJA_AMONG(list_copy, name);
	if (t == V_LIST || t == V_TUPLE || t == V_RANGE)
		return m ? m : JINJA_AMONG(list_methods, name);
	if (t == V_LOOP)
		return JINJA_AMONG(loop_methods, name);
	if (t == V_CYCLER)
		return JINJA_AMONG(cycler_methods, name);
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
	static const enum jtype of[] = {V_STR, V_DICT, V_LIST, V_LOOP,
					V_CYCLER};

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
