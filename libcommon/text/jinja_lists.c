/* SPDX-License-Identifier: MIT */
/* Filters of sequences, as Jinja2's filters.py defines them. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/text/jinja_priv.h"

static struct jiter *lazy(struct jx *x, int kind, const struct jval *of,
			  struct jval *out)
{
	struct jiter *it = jx_alloc(x, sizeof(*it));

	*it = (struct jiter){.kind = kind, .of = *of};
	it->attr = jv_none();
	*out = jv_iter(it);
	return it;
}

/* What is left of the arguments behind the first so many. */
static struct jargs *rest(struct jx *x, const struct jargs *all, size_t n)
{
	struct jargs *a = jx_alloc(x, sizeof(*a));

	*a = *all;
	a->v = all->v + n;
	a->n = all->n - n;
	a->cap = a->n;
	return a;
}

static const struct jval *named(const struct jargs *all, const char *name)
{
	for (size_t i = 0; i < all->nk; i++)
		if (js_is(all->key[i], name))
			return &all->kv[i];
	return NULL;
}

JX_FN(f_map)
{
	struct jiter *it = lazy(x, IT_MAP, self, out);
	const struct jval *attr = named(all, "attribute");
	const struct jval *dflt = named(all, "default");
	const struct jstr *name;

	JX_UNUSED;
	if (!all->n && attr) {
		if (all->nk > 1u + (dflt != NULL))
			return jx_err(x, "map: unexpected keyword argument");
		it->attr = *attr;
		it->has_fallback = jp_given(dflt);
		if (dflt)
			it->fallback = *dflt;
		return 0;
	}
	if (!all->n)
		return jx_err(x, "map wants a filter");
	if (jp_str(x, &all->v[0], "a filter's name", &name))
		return -1;
	it->fn = jinja_filter(name->s);
	if (!it->fn)
		return jx_err(x, "filter '%.100s' is not known", name->s);
	it->args = rest(x, all, 1);
	return 0;
}

static int choose(struct jx *x, const struct jval *self,
		  const struct jargs *all, bool negate, bool by_attr,
		  struct jval *out)
{
	struct jiter *it = lazy(x, IT_SELECT, self, out);
	const struct jstr *name;
	size_t off = by_attr;

	it->negate = negate;
	it->by_attr = by_attr;
	if (by_attr && !all->n)
		return jx_err(x, "the name of an attribute is missing");
	if (by_attr)
		it->attr = all->v[0];
	if (all->n == off)
		return 0;
	if (jp_str(x, &all->v[off], "a test's name", &name))
		return -1;
	it->fn = jinja_test(name->s);
	if (!it->fn)
		return jx_err(x, "test '%.100s' is not known", name->s);
	it->args = rest(x, all, off + 1);
	return 0;
}

JX_FN(f_select)
{
	JX_UNUSED;
	return choose(x, self, all, false, false, out);
}

JX_FN(f_reject)
{
	JX_UNUSED;
	return choose(x, self, all, true, false, out);
}

JX_FN(f_selectattr)
{
	JX_UNUSED;
	return choose(x, self, all, false, true, out);
}

JX_FN(f_rejectattr)
{
	JX_UNUSED;
	return choose(x, self, all, true, true, out);
}

JX_FN(f_unique)
{
	struct jiter *it = lazy(x, IT_UNIQUE, self, out);
	bool cased;

	JX_UNUSED;
	if (jp_bool(x, v[0], false, &cased))
		return -1;
	it->fold = !cased;
	if (v[1])
		it->attr = *v[1];
	it->seen = jv_list(x, 0).u.l;
	return 0;
}

static int parts(struct jx *x, int kind, const struct jval *self,
		 const struct jval *const v[], struct jval *out)
{
	struct jiter *it = lazy(x, kind, self, out);

	if (jp_int(x, v[0], 1, &it->i))
		return -1;
	if (it->i < 1)
		return jx_err(x, "parts of %" PRId64 " are not supported",
			      it->i);
	it->has_fallback = jp_given(v[1]);
	if (v[1])
		it->fallback = *v[1];
	return 0;
}

JX_FN(f_batch)
{
	JX_UNUSED;
	return parts(x, IT_BATCH, self, v, out);
}

JX_FN(f_slice)
{
	JX_UNUSED;
	return parts(x, IT_SLICE, self, v, out);
}

JX_FN(f_sum)
{
	struct jval total = v[1] ? *v[1] : jv_int(0), item;
	struct jiter *it;
	int rc;

	JX_UNUSED;
	if (total.t == V_STR)
		return jx_err(x, "sum cannot sum strings");
	if (jx_iter(x, self, &it))
		return -1;
	while ((rc = ji_next(x, it, &item)) > 0) {
		if (jp_given(v[0]) &&
		    jx_attribute(x, &item, v[0], NULL, false, &item))
			return -1;
		if (jx_step(x) || jx_binary(x, T_ADD, &total, &item, &total))
			return -1;
	}
	*out = total;
	return rc;
}

/* --- sorting -------------------------------------------------------------- */

struct keyed {
	struct jval key, v;
};

/* Stable, by merging; b is room for n more. */
static int merge_sort(struct jx *x, struct keyed *a, struct keyed *b, size_t n,
		      bool reverse)
{
	size_t m = n / 2, i = 0, j = m, k = 0;

	if (n < 2)
		return 0;
	if (merge_sort(x, a, b, m, reverse) ||
	    merge_sort(x, a + m, b, n - m, reverse))
		return -1;
	while (i < m && j < n) {
		bool less;

		/* the later one goes first only when it is less (more) */
		if (jx_step(x) ||
		    jv_order(x, T_LT, reverse ? &a[i].key : &a[j].key,
			     reverse ? &a[j].key : &a[i].key, &less))
			return -1;
		b[k++] = less ? a[j++] : a[i++];
	}
	while (i < m)
		b[k++] = a[i++];
	memcpy(a, b, k * sizeof(*a));
	return 0;
}

/* The items of self with a key each. */
static int keys(struct jx *x, const struct jval *self, const struct jval *attr,
		const struct jval *dflt, bool fold, struct keyed **out,
		size_t *n)
{
	struct jlist *l;

	if (jx_to_list(x, self, &l) || jx_room(x, l->n, 2 * sizeof(**out)))
		return -1;
	*out = jx_alloc(x, 2 * l->n * sizeof(**out) + 1);
	*n = l->n;
	for (size_t i = 0; i < l->n; i++) {
		(*out)[i].v = l->v[i];
		if (jx_attribute(x, &l->v[i], attr, dflt, fold, &(*out)[i].key))
			return -1;
	}
	return 0;
}

/* Lists of one key or more ("a,b"): equal ones need have no order. */
static int many_keys(struct jx *x, const struct jval *self,
		     const struct jval *attr, bool fold, struct keyed **out,
		     size_t *n)
{
	const struct jval none = jv_none(), *a = attr ? attr : &none;
	const struct jstr *s = a->t == V_STR ? a->u.s : NULL;

	if (keys(x, self, NULL, NULL, false, out, n))
		return -1;
	for (size_t i = 0; i < *n; i++) {
		struct jval list = jv_list(x, 1), name = *a, one;
		size_t from = 0, to = 0;

		do {
			if (s) {
				const char *comma =
					memchr(s->s + from, ',', s->n - from);

				to = comma ? (size_t)(comma - s->s) : s->n;
				name = jv_str(js_part(x, s, from, to));
			}
			if (jx_attribute(x, &(*out)[i].v, &name, NULL, fold,
					 &one))
				return -1;
			jl_push(x, list.u.l, one);
			from = to + 1;
		} while (s && from <= s->n);
		(*out)[i].key = list;
	}
	return 0;
}

static struct jval values(struct jx *x, const struct keyed *k, size_t n)
{
	struct jval l = jv_list(x, n);

	for (size_t i = 0; i < n; i++)
		jl_push(x, l.u.l, k[i].v);
	return l;
}

JX_FN(f_sort)
{
	bool reverse, cased;
	struct keyed *k;
	size_t n;

	JX_UNUSED;
	if (jp_bool(x, v[0], false, &reverse) ||
	    jp_bool(x, v[1], false, &cased) ||
	    many_keys(x, self, v[2], !cased, &k, &n) ||
	    merge_sort(x, k, k + n, n, reverse))
		return -1;
	*out = values(x, k, n);
	return 0;
}

JX_FN(f_dictsort)
{
	const struct jstr *by = js_lit(x, "key");
	struct jval items, at;
	struct keyed *k;
	bool cased, reverse;
	struct jview w = {.kind = VIEW_ITEMS};
	size_t n;

	JX_UNUSED;
	if (jp_bool(x, v[0], false, &cased) ||
	    (v[1] && jp_str(x, v[1], "by", &by)) ||
	    jp_bool(x, v[2], false, &reverse))
		return -1;
	if (!js_is(by, "key") && !js_is(by, "value"))
		return jx_err(x, "dictsort goes by 'key' or by 'value'");
	if (self->t == V_UNDEF)
		return jx_undefined(x, self);
	if (self->t != V_DICT)
		return jx_err(x, "'%s' object has no attribute 'items'",
			      jv_type(self));
	w.d = self->u.d;
	items = (struct jval){.t = V_VIEW, .u.w = &w};
	at = jv_int(js_is(by, "value"));
	if (keys(x, &items, &at, NULL, !cased, &k, &n) ||
	    merge_sort(x, k, k + n, n, reverse))
		return -1;
	*out = values(x, k, n);
	return 0;
}

static int extreme(struct jx *x, const struct jval *self,
		   const struct jval *const v[], enum jtok op, struct jval *out)
{
	struct keyed *k;
	size_t n, best = 0;
	bool cased, better;

	if (jp_bool(x, v[0], false, &cased) ||
	    keys(x, self, v[1], NULL, !cased, &k, &n))
		return -1;
	if (!n) {
		*out = jv_undef(x, "no aggregated item, sequence was empty");
		return 0;
	}
	for (size_t i = 1; i < n; i++) {
		if (jx_step(x) ||
		    jv_order(x, op, &k[i].key, &k[best].key, &better))
			return -1;
		best = better ? i : best;
	}
	*out = k[best].v;
	return 0;
}

JX_FN(f_min)
{
	JX_UNUSED;
	return extreme(x, self, v, T_LT, out);
}

JX_FN(f_max)
{
	JX_UNUSED;
	return extreme(x, self, v, T_GT, out);
}

/* Tuples (key, items); its attributes grouper and list are not there. */
JX_FN(f_groupby)
{
	const struct jval *dflt = jp_given(v[1]) ? v[1] : NULL;
	struct keyed *k;
	struct jval real;
	struct jlist *group = NULL;
	bool cased;
	size_t n;

	JX_UNUSED;
	if (jp_bool(x, v[2], false, &cased) ||
	    keys(x, self, v[0], dflt, !cased, &k, &n) ||
	    merge_sort(x, k, k + n, n, false))
		return -1;
	*out = jv_list(x, 0);
	for (size_t i = 0; i < n; i++) {
		int eq = i ? jv_eq(x, &k[i - 1].key, &k[i].key) : 0;

		if (eq < 0 || jx_step(x))
			return -1;
		if (!eq) {
			struct jval t = jv_tuple(x, 2), l = jv_list(x, 0);

			group = l.u.l;
			if (jx_attribute(x, &k[i].v, v[0], dflt, false, &real))
				return -1;
			jl_push(x, t.u.l, real);
			jl_push(x, t.u.l, l);
			jl_push(x, out->u.l, t);
		}
		jl_push(x, group, k[i].v);
	}
	return 0;
}

static const struct jbuiltin filters[] = {
	{"batch", "linecount,fill_with?", f_batch},
	{"dictsort", "case_sensitive?,by?,reverse?", f_dictsort},
	{"groupby", "attribute,default?,case_sensitive?", f_groupby},
	{"map", "*", f_map},
	{"max", "case_sensitive?,attribute?", f_max},
	{"min", "case_sensitive?,attribute?", f_min},
	{"reject", "*", f_reject},
	{"rejectattr", "*", f_rejectattr},
	{"select", "*", f_select},
	{"selectattr", "*", f_selectattr},
	{"slice", "slices,fill_with?", f_slice},
	{"sort", "reverse?,case_sensitive?,attribute?", f_sort},
	{"sum", "attribute?,start?", f_sum},
	{"unique", "case_sensitive?,attribute?", f_unique},
};

const struct jbuiltin *jinja_list_filter(const char *name)
{
	return JINJA_AMONG(filters, name);
}
