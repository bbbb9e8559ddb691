/* SPDX-License-Identifier: MIT */
/* Walks through values, and the lazy ones that filters make. */
#include <string.h>

#include "libcommon/text/jinja_priv.h"
#include "libcommon/text/unicode.h"

struct jval jv_iter(struct jiter *it)
{
	return (struct jval){.t = V_ITER, .u.it = it};
}

bool jv_iterable(const struct jval *v)
{
	return v->t == V_ITER || jv_has_len(v);
}

int jx_iter(struct jx *x, const struct jval *v, struct jiter **out)
{
	struct jiter *it;

	if (v->t == V_ITER) {
		*out = v->u.it;
		return 0;
	}
	if (v->t == V_LOOP)
		return jx_err(x, "a walk through 'loop' is not supported");
	if (!jv_iterable(v))
		return jx_err(x, "'%s' object is not iterable", jv_type(v));
	it = jx_alloc(x, sizeof(*it));
	*it = (struct jiter){.kind = v->t == V_STR     ? IT_STR
				     : v->t == V_DICT  ? IT_DICT
				     : v->t == V_RANGE ? IT_RANGE
				     : v->t == V_VIEW  ? IT_VIEW
				     : v->t == V_LIST || v->t == V_TUPLE
					     ? IT_LIST
					     : IT_EMPTY,
			     .of = *v};
	*out = it;
	return jx_step(x);
}

static struct jval pair(struct jx *x, const struct jval *k,
			const struct jval *v)
{
	struct jval t = jv_tuple(x, 2);

	jl_push(x, t.u.l, *k);
	jl_push(x, t.u.l, *v);
	return t;
}

static int next_str(struct jx *x, struct jiter *it, struct jval *v)
{
	const struct jstr *s = it->of.u.s;
	const char *p = s->s + it->pos;
	size_t from = it->pos;

	if (from >= s->n)
		return 0;
	ft_utf8_next(&p);
	it->pos = (size_t)(p - s->s);
	*v = jv_str(js_part(x, s, from, it->pos));
	return 1;
}

static int next_view(struct jx *x, struct jiter *it, struct jval *v)
{
	const struct jdict *d = it->of.u.w->d;
	size_t i = it->pos;

	if (i >= d->n)
		return 0;
	it->pos++;
	if (it->of.u.w->kind == VIEW_KEYS)
		*v = d->k[i];
	else if (it->of.u.w->kind == VIEW_VALUES)
		*v = d->v[i];
	else
		*v = pair(x, &d->k[i], &d->v[i]);
	return 1;
}

/* --- lazy ones ------------------------------------------------------------ */

/*
 * What make_attrgetter does: "a.b.0" goes down by item, then by attribute;
 * what is undefined on the way is the fallback, if there is one.
 */
static int attribute(struct jx *x, const struct jval *item,
		     const struct jval *attr, const struct jval *fallback,
		     bool fold, struct jval *out)
{
	const char *p, *end;
	struct jval part;

	*out = *item;
	if (attr->t == V_STR) {
		p = attr->u.s->s;
		end = p + attr->u.s->n;
		for (;;) {
			const char *dot = memchr(p, '.', (size_t)(end - p));
			const char *z = dot ? dot : end;
			int64_t n = 0;
			bool number = z > p && z - p < 18;

			for (const char *q = p; q < z; q++) {
				number = number && *q >= '0' && *q <= '9';
				if (number)
					n = n * 10 + (*q - '0');
			}
			part = number ? jv_int(n)
				      : jv_str(js_part(
						x, attr->u.s,
						(size_t)(p - attr->u.s->s),
						(size_t)(z - attr->u.s->s)));
			if (jx_item(x, out, &part, out))
				return -1;
			if (fallback && out->t == V_UNDEF)
				*out = *fallback;
			if (!dot)
				break;
			p = dot + 1;
		}
	} else if (attr->t != V_NONE) {
		if (jx_item(x, out, attr, out))
			return -1;
		if (fallback && out->t == V_UNDEF)
			*out = *fallback;
	}
	if (fold && out->t == V_STR) {
		struct jbuf b = {0};

		jc_put(x, &b, out->u.s, CASE_LOWER);
		*out = jv_str(jb_end(x, &b));
	}
	return 0;
}

int jx_attribute(struct jx *x, const struct jval *item, const struct jval *attr,
		 const struct jval *fallback, bool fold, struct jval *out)
{
	const struct jval none = jv_none();

	return attribute(x, item, attr ? attr : &none, fallback, fold, out);
}

static int next_select(struct jx *x, struct jiter *it, struct jval *v)
{
	struct jval of, r;
	bool yes;
	int rc;

	while ((rc = ji_next(x, it->from, v)) > 0) {
		of = *v;
		if (it->by_attr && attribute(x, v, &it->attr, NULL, false, &of))
			return -1;
		r = of;
		if (it->fn && jx_builtin(x, it->fn, &of, it->args, &r))
			return -1;
		if (jv_truth(x, &r, &yes))
			return -1;
		if (yes != it->negate)
			return 1;
		if (jx_step(x))
			return -1;
	}
	return rc;
}

static int next_map(struct jx *x, struct jiter *it, struct jval *v)
{
	struct jval of;
	int rc = ji_next(x, it->from, &of);

	if (rc <= 0)
		return rc;
	if (it->fn)
		return jx_builtin(x, it->fn, &of, it->args, v) ? -1 : 1;
	return attribute(x, &of, &it->attr,
			 it->has_fallback ? &it->fallback : NULL, false, v)
		       ? -1
		       : 1;
}

static int next_unique(struct jx *x, struct jiter *it, struct jval *v)
{
	struct jval key;
	int rc;

	while ((rc = ji_next(x, it->from, v)) > 0) {
		bool seen = false;

		if (attribute(x, v, &it->attr, NULL, it->fold, &key) ||
		    jv_hashable(x, &key))
			return -1;
		for (size_t i = 0; i < it->seen->n && !seen; i++) {
			int eq = jv_eq(x, &key, &it->seen->v[i]);

			if (eq < 0 || jx_step(x))
				return -1;
			seen = eq;
		}
		if (seen)
			continue;
		jl_push(x, it->seen, key);
		return 1;
	}
	return rc;
}

static int next_batch(struct jx *x, struct jiter *it, struct jval *v)
{
	struct jval one;
	int rc = 0;

	*v = jv_list(x, 0);
	while ((int64_t)v->u.l->n < it->i) {
		rc = ji_next(x, it->from, &one);
		if (rc < 0 || jx_step(x))
			return -1;
		if (!rc)
			break;
		jl_push(x, v->u.l, one);
	}
	if (!v->u.l->n)
		return 0;
	while (it->has_fallback && (int64_t)v->u.l->n < it->i && !rc) {
		if (jx_step(x))
			return -1;
		jl_push(x, v->u.l, it->fallback);
	}
	return 1;
}

/* Part pos of i parts of seen. */
static int next_slice(struct jx *x, struct jiter *it, struct jval *v)
{
	int64_t n = (int64_t)it->seen->n, each = n / it->i, more = n % it->i;
	int64_t p = (int64_t)it->pos, from, to;

	if (p >= it->i)
		return 0;
	it->pos++;
	from = p * each + (p < more ? p : more);
	to = from + each + (p < more);
	*v = jv_list(x, 0);
	for (; from < to; from++) {
		if (jx_step(x))
			return -1;
		jl_push(x, v->u.l, it->seen->v[from]);
	}
	if (it->has_fallback && p >= more)
		jl_push(x, v->u.l, it->fallback);
	return 1;
}

static int next_loop_if(struct jx *x, struct jiter *it, struct jval *v)
{
	int rc;

	while ((rc = ji_next(x, it->from, v)) > 0) {
		int yes = jx_loop_if(x, it, v);

		if (yes)
			return yes;
		if (jx_step(x))
			return -1;
	}
	return rc;
}

/* What a lazy one does when it is first asked: `if value:`, then iter(). */
static int begin(struct jx *x, struct jiter *it)
{
	bool yes = true;

	it->begun = true;
	if (it->kind == IT_MAP || it->kind == IT_SELECT) {
		if (jv_truth(x, &it->of, &yes))
			return -1;
		it->ended = !yes;
	}
	if (it->kind == IT_ITEMS) {
		if (it->of.t == V_UNDEF) {
			it->ended = true;
		} else if (it->of.t != V_DICT) {
			return jx_err(x,
				      "can only get item pairs from a mapping");
		}
	}
	if (it->ended)
		return 0;
	if (it->kind == IT_SLICE)
		return jx_to_list(x, &it->of, &it->seen);
	return jx_iter(x, &it->of, &it->from);
}

static int next_lazy(struct jx *x, struct jiter *it, struct jval *v)
{
	size_t i;
	int rc = 0;

	if (!it->begun && begin(x, it))
		return -1;
	if (it->ended)
		return 0;
	switch (it->kind) {
	case IT_LOOP_IF:
		rc = next_loop_if(x, it, v);
		break;
	case IT_MAP:
		rc = next_map(x, it, v);
		break;
	case IT_SELECT:
		rc = next_select(x, it, v);
		break;
	case IT_UNIQUE:
		rc = next_unique(x, it, v);
		break;
	case IT_BATCH:
		rc = next_batch(x, it, v);
		break;
	case IT_SLICE:
		rc = next_slice(x, it, v);
		break;
	default: /* IT_ITEMS */
		i = it->pos++;
		if (i < it->of.u.d->n) {
			*v = pair(x, &it->of.u.d->k[i], &it->of.u.d->v[i]);
			rc = 1;
		}
	}
	it->ended = rc == 0;
	return rc;
}

int ji_next(struct jx *x, struct jiter *it, struct jval *v)
{
	const struct jval *of = &it->of;
	int rc;

	switch (it->kind) {
	case IT_LIST:
		if (it->pos >= of->u.l->n)
			return 0;
		*v = of->u.l->v[it->pos++];
		return 1;
	case IT_REVERSED:
		if (!it->pos)
			return 0;
		*v = of->u.l->v[--it->pos];
		return 1;
	case IT_STR:
		return next_str(x, it, v);
	case IT_DICT:
		if (it->pos >= of->u.d->n)
			return 0;
		*v = of->u.d->k[it->pos++];
		return 1;
	case IT_VIEW:
		return next_view(x, it, v);
	case IT_RANGE:
		if (it->i >= of->u.r->n)
			return 0;
		*v = jv_int(of->u.r->start + it->i++ * of->u.r->step);
		return 1;
	case IT_EMPTY:
		return 0;
	default:
		break;
	}
	if (++x->depth > JX_DEPTH)
		return jx_err(x, "nested too deep");
	rc = next_lazy(x, it, v);
	x->depth--;
	return rc;
}

int jx_to_list(struct jx *x, const struct jval *v, struct jlist **out)
{
	struct jval l = jv_list(x, 0), item;
	struct jiter *it;
	int rc;

	if (jx_iter(x, v, &it))
		return -1;
	while ((rc = ji_next(x, it, &item)) > 0) {
		if (jx_step(x))
			return -1;
		jl_push(x, l.u.l, item);
	}
	*out = l.u.l;
	return rc;
}

/* --- input ---------------------------------------------------------------- */

struct jval jx_json(struct jx *x, const struct ft_json *j, unsigned char mark)
{
	struct jval v = jv_none(), k, c;
	bool whole;

	switch (j->type) {
	case FT_JSON_NULL:
		break;
	case FT_JSON_FALSE:
	case FT_JSON_TRUE:
		v = jv_bool(j->type == FT_JSON_TRUE);
		break;
	case FT_JSON_NUMBER:
		whole = !memchr(j->raw, '.', j->nraw) &&
			!memchr(j->raw, 'e', j->nraw) &&
			!memchr(j->raw, 'E', j->nraw);
		if (whole && j->is_int)
			v = jv_int(j->i);
		else if (whole)
			v = (struct jval){
				.t = V_BIG,
				.u.s = js_new(x, j->raw, j->nraw, mark)};
		else
			v = jv_float(j->num);
		break;
	case FT_JSON_STRING:
		v = jv_str(js_new(x, j->s, j->ns, mark));
		break;
	case FT_JSON_ARRAY:
		v = jv_list(x, 0);
		for (const struct ft_json *e = j->child; e; e = e->next)
			jl_push(x, v.u.l, jx_json(x, e, mark));
		break;
	case FT_JSON_OBJECT:
		v = jv_dict(x);
		if (jx_room(x, j->n, 2 * sizeof(v)))
			return v;
		v.u.d->cap = j->n;
		v.u.d->k = jx_alloc(x, j->n * sizeof(v));
		v.u.d->v = jx_alloc(x, j->n * sizeof(v));
		/* the parser refuses a key that stands twice */
		for (const struct ft_json *e = j->child; e; e = e->next) {
			k = jv_str(js_new(x, e->key, e->nkey, mark));
			c = jx_json(x, e, mark);
			v.u.d->k[v.u.d->n] = k;
			v.u.d->v[v.u.d->n++] = c;
		}
		break;
	}
	return v;
}

void jd_put(struct jx *x, struct jdict *d, const char *key, struct jval v)
{
	struct jval k = jv_str(js_lit(x, key));

	jd_set(x, d, &k, &v); /* a string is hashable */
}

/* A role that is a plain word counts as the template's. */
static bool plain_word(const struct ft_json *j)
{
	if (j->type != FT_JSON_STRING)
		return false;
	for (size_t i = 0; i < j->ns; i++) {
		char c = j->s[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		      (c >= 'A' && c <= 'Z') || c == '_' || c == '-' ||
		      c == '.'))
			return false;
	}
	return true;
}

static bool key_is(const struct ft_json *j, const char *key)
{
	return j->nkey == strlen(key) && !memcmp(j->key, key, j->nkey);
}

static struct jval message(struct jx *x, const struct ft_json *m,
			   unsigned char mark)
{
	static const char *const names[] = {"reasoning_content", "thinking",
					    "reasoning"};
	const struct ft_json *why = NULL, *f;
	struct jval d = jv_dict(x), k, v;

	for (size_t i = 0; i < 3 && !why; i++) {
		f = ft_json_get(m, names[i]);
		if (f && f->type != FT_JSON_NULL)
			why = f;
	}
	if (why)
		jd_put(x, d.u.d, "thinking", jx_json(x, why, mark));
	for (f = m->child; f; f = f->next) {
		if (f->type == FT_JSON_NULL)
			continue;
		k = jv_str(js_new(x, f->key, f->nkey, mark));
		v = jx_json(x, f,
			    key_is(f, "role") && plain_word(f) ? FT_JINJA_OWN
							       : mark);
		jd_set(x, d.u.d, &k, &v);
	}
	if (why)
		jd_put(x, d.u.d, "reasoning_content", jx_json(x, why, mark));
	return d;
}

struct jval jx_messages(struct jx *x, const struct ft_jinja_var *v)
{
	struct jval l = jv_list(x, 0);

	for (size_t i = 0; i < v->n; i++)
		jl_push(x, l.u.l,
			message(x, v->list[i],
				i == v->chosen ? FT_JINJA_CHOSEN
					       : FT_JINJA_INPUT));
	return l;
}
