/* SPDX-License-Identifier: MIT */
/* Expressions. */
#include <string.h>

#include "libcommon/text/jinja_priv.h"

/* --- attributes and items ------------------------------------------------- */

/* What getattr finds on a value: 1, 0, -1. */
static int own_attr(struct jx *x, const struct jval *o, const struct jstr *name,
		    struct jval *out)
{
	const struct jbuiltin *m;
	const struct jval *v;
	struct jmethod *me;
	int rc;

	if (o->t == V_NS) {
		v = jd_get(o->u.d, name->s);
		if (v)
			*out = *v;
		return v != NULL;
	}
	if (o->t == V_LOOP) {
		rc = jx_loop_attr(x, o->u.lo, name->s, out);
		if (rc)
			return rc;
	}
	if (o->t == V_RANGE) {
		const struct jrange *r = o->u.r;

		*out = jv_int(name->s[0] == 's' && name->s[2] == 'a' ? r->start
			      : js_is(name, "stop")                  ? r->stop
								     : r->step);
		if (js_is(name, "start") || js_is(name, "stop") ||
		    js_is(name, "step"))
			return 1;
	}
	if (o->t == V_CYCLER && js_is(name, "current")) {
		*out = o->u.c->items->v[o->u.c->pos];
		return 1;
	}
	if (o->t == V_MACRO && js_is(name, "name")) {
		*out = o->u.m->name ? jv_str(js_lit(x, o->u.m->name))
				    : jv_none();
		return 1;
	}
	m = jinja_method(o->t, name->s);
	if (m) {
		me = jx_alloc(x, sizeof(*me));
		*me = (struct jmethod){*o, m};
		*out = (struct jval){.t = V_METHOD, .u.me = me};
		return 1;
	}
	if (jinja_foreign(o->t, name->s))
		return jx_err(x, "attribute '%s' of '%s' is not supported",
			      name->s, jv_type(o));
	return 0;
}

/* What the sandbox keeps from templates: it is undefined. */
static bool unsafe(const struct jval *o, const struct jstr *name)
{
	static const char *const list[] = {"append",  "clear",  "pop",
					   "reverse", "insert", "sort",
					   "extend",  "remove", NULL};
	static const char *const dict[] = {"clear",      "pop",    "popitem",
					   "setdefault", "update", NULL};
	const char *const *v = o->t == V_LIST   ? list
			       : o->t == V_DICT ? dict
						: NULL;

	if (name->n > 4 && !memcmp(name->s, "__", 2) &&
	    !memcmp(name->s + name->n - 2, "__", 2))
		return true;
	for (; v && *v; v++)
		if (js_is(name, *v))
			return true;
	return false;
}

static struct jval no_attr(struct jx *x, const struct jval *o,
			   const struct jstr *name)
{
	return jv_undef(x, "'%s' object has no attribute '%.100s'", jv_type(o),
			name->s);
}

static struct jval unsafe_attr(struct jx *x, const struct jval *o,
			       const struct jstr *name)
{
	return jv_undef(x,
			"access to attribute '%.100s' of '%s' object is unsafe",
			name->s, jv_type(o));
}

int jx_attr(struct jx *x, const struct jval *of, const struct jstr *name,
	    struct jval *out)
{
	const struct jval self = *of, *o = &self; /* out may be of */
	struct jval k = jv_str(name);
	size_t at;
	int rc;

	if (o->t == V_UNDEF)
		return jx_undefined(x, o);
	if (unsafe(o, name)) {
		*out = unsafe_attr(x, o, name);
		return 0;
	}
	rc = own_attr(x, o, name, out);
	if (rc)
		return rc < 0 ? -1 : 0;
	if (o->t == V_DICT) {
		rc = jd_find(x, o->u.d, &k, &at);
		if (rc < 0)
			return -1;
		if (rc) {
			*out = o->u.d->v[at];
			return 0;
		}
	}
	*out = no_attr(x, o, name);
	return 0;
}

int jx_item(struct jx *x, const struct jval *of, const struct jval *key,
	    struct jval *out)
{
	const struct jval self = *of, *o = &self; /* out may be of */
	const struct jstr *name;
	size_t at;
	int rc = 0;

	if (o->t == V_UNDEF)
		return jx_undefined(x, o);
	if (o->t == V_DICT) {
		/* an unhashable key is a TypeError, which is caught */
		if (jv_can_hash(key))
			rc = jd_find(x, o->u.d, key, &at);
		if (rc > 0)
			*out = o->u.d->v[at];
	} else if ((o->t == V_LIST || o->t == V_TUPLE || o->t == V_STR ||
		    o->t == V_RANGE) &&
		   jv_is_int(key)) {
		rc = jx_element(x, o, jv_i(key), out);
	}
	if (rc)
		return rc < 0 ? -1 : 0;
	if (key->t == V_STR) {
		name = key->u.s;
		if (unsafe(o, name)) {
			*out = unsafe_attr(x, o, name);
			return 0;
		}
		rc = own_attr(x, o, name, out);
		if (rc)
			return rc < 0 ? -1 : 0;
		*out = no_attr(x, o, name);
		return 0;
	}
	*out = jv_undef(x, "'%s' object has no such element", jv_type(o));
	return 0;
}

/* --- calls ---------------------------------------------------------------- */

void ja_push(struct jx *x, struct jargs *a, struct jval v)
{
	struct jlist l = {a->v, a->n, a->cap};

	jl_push(x, &l, v);
	a->v = l.v;
	a->n = l.n;
	a->cap = l.cap;
}

void ja_push_key(struct jx *x, struct jargs *a, const struct jstr *k,
		 struct jval v)
{
	struct jlist l = {a->kv, a->nk, a->capk};
	const struct jstr **key;

	jl_push(x, &l, v);
	if (l.n == a->nk)
		return; /* no memory: said at the next step */
	key = jx_alloc(x, l.cap * sizeof(*key));
	if (a->nk)
		memcpy(key, a->key, a->nk * sizeof(*key));
	key[a->nk] = k;
	a->key = key;
	a->kv = l.v;
	a->nk = l.n;
	a->capk = l.cap;
}

static int star_arguments(struct jx *x, const struct jnode *n, struct jargs *a)
{
	struct jval v;
	struct jlist *l;

	if (n->star) {
		if (jx_eval(x, n->star, &v) || jx_to_list(x, &v, &l))
			return -1;
		for (size_t i = 0; i < l->n; i++)
			ja_push(x, a, l->v[i]);
	}
	for (const struct jnode *k = n->kw; k; k = k->next) {
		if (jx_eval(x, k->a, &v))
			return -1;
		ja_push_key(x, a, k->attr, v);
	}
	if (!n->star2)
		return 0;
	if (jx_eval(x, n->star2, &v))
		return -1;
	if (v.t != V_DICT)
		return jx_err(x, "what follows ** is no mapping");
	for (size_t i = 0; i < v.u.d->n; i++) {
		if (v.u.d->k[i].t != V_STR)
			return jx_err(x, "keywords are strings");
		for (size_t k = 0; k < a->nk; k++)
			if (js_eq(a->key[k], v.u.d->k[i].u.s))
				return jx_err(x,
					      "keyword argument '%s' repeated",
					      a->key[k]->s);
		ja_push_key(x, a, v.u.d->k[i].u.s, v.u.d->v[i]);
	}
	return 0;
}

static int eval_arguments(struct jx *x, const struct jnode *n, struct jargs *a)
{
	struct jval v;

	for (const struct jnode *c = n->list; c; c = c->next) {
		if (jx_eval(x, c, &v))
			return -1;
		ja_push(x, a, v);
	}
	return star_arguments(x, n, a);
}

int jx_call(struct jx *x, const struct jval *f, const struct jargs *args,
	    struct jval *out)
{
	switch (f->t) {
	case V_MACRO:
		return jx_call_macro(x, f->u.m, args, out);
	case V_FUNC:
		return jx_builtin(x, f->u.fn, NULL, args, out);
	case V_METHOD:
		return jx_builtin(x, f->u.me->fn, &f->u.me->self, args, out);
	case V_LOOP:
		if (args->n != 1 || args->nk)
			return jx_err(x, "'loop' takes one argument");
		return jx_loop_call(x, f->u.lo, &args->v[0], out);
	case V_JOINER:
		if (args->n || args->nk)
			return jx_err(x, "a joiner takes no arguments");
		*out = jv_str(f->u.c->pos++ ? f->u.c->sep : js_lit(x, ""));
		return 0;
	case V_UNDEF:
		return jx_undefined(x, f);
	default:
		return jx_err(x, "'%s' object is not callable", jv_type(f));
	}
}

static int eval_call(struct jx *x, const struct jnode *n, struct jval *out)
{
	const struct jval *caller = x->caller;
	struct jargs args = {0};
	struct jval f;

	x->caller = NULL;
	if (jx_eval(x, n->a, &f) || eval_arguments(x, n, &args))
		return -1;
	if (caller)
		ja_push_key(x, &args, js_lit(x, "caller"), *caller);
	x->line = n->line;
	return jx_call(x, &f, &args, out);
}

/* --- filters and tests ---------------------------------------------------- */

static int eval_builtin(struct jx *x, const struct jnode *n, struct jval *out)
{
	struct jargs args = {0};
	struct jval v;

	if (!n->a) {
		if (!jx_lookup(x, x->t->block, &v))
			return jx_err(x, "a filter without a value");
	} else if (jx_eval(x, n->a, &v)) {
		return -1;
	}
	if (eval_arguments(x, n, &args))
		return -1;
	x->line = n->line;
	return jx_builtin(x, n->fn, &v, &args, out);
}

/* --- the walk ------------------------------------------------------------- */

static int eval_sign(struct jx *x, const struct jnode *n, struct jval *out)
{
	bool neg = n->kind == N_NEG;

	if (jx_eval(x, n->a, out))
		return -1;
	if (out->t == V_FLOAT) {
		*out = jv_float(neg ? -out->u.f : out->u.f);
		return 0;
	}
	if (jv_is_int(out)) {
		if (neg && jv_i(out) == INT64_MIN)
			return jx_too_large(x);
		*out = jv_int(neg ? -jv_i(out) : jv_i(out));
		return 0;
	}
	if (out->t == V_UNDEF)
		return jx_undefined(x, out);
	return jx_err(x, "bad operand for unary %c: '%s'", neg ? '-' : '+',
		      jv_type(out));
}

static int eval_compare(struct jx *x, const struct jnode *n, struct jval *out)
{
	struct jval a, b;
	bool yes = true;
	int rc;

	if (jx_eval(x, n->a, &a))
		return -1;
	for (const struct jnode *c = n->list; c && yes; c = c->next, a = b) {
		if (jx_eval(x, c->a, &b))
			return -1;
		switch (c->op) {
		case T_EQ:
		case T_NE:
			rc = jv_eq(x, &a, &b);
			yes = (rc > 0) == (c->op == T_EQ);
			break;
		case T_IN:
		case T_NOT_IN:
			rc = jv_in(x, &a, &b);
			yes = (rc > 0) == (c->op == T_IN);
			break;
		default:
			rc = jv_order(x, c->op, &a, &b, &yes);
		}
		if (rc < 0)
			return -1;
	}
	*out = jv_bool(yes);
	return 0;
}

static int eval_list(struct jx *x, const struct jnode *n, struct jval *out)
{
	struct jval l = jv_list(x, 0), v;

	l.t = n->kind == N_TUPLE ? V_TUPLE : V_LIST;
	for (const struct jnode *c = n->list; c; c = c->next) {
		if (jx_eval(x, c, &v))
			return -1;
		jl_push(x, l.u.l, v);
	}
	*out = l;
	return 0;
}

static int eval_dict(struct jx *x, const struct jnode *n, struct jval *out)
{
	struct jval d = jv_dict(x), k, v;

	for (const struct jnode *c = n->list; c; c = c->next->next) {
		if (jx_eval(x, c, &k) || jx_eval(x, c->next, &v) ||
		    jd_set(x, d.u.d, &k, &v))
			return -1;
	}
	*out = d;
	return 0;
}

static int eval_concat(struct jx *x, const struct jnode *n, struct jval *out)
{
	struct jbuf b = {0};
	struct jval l;

	/* all are there before any becomes text */
	if (eval_list(x, n, &l))
		return -1;
	for (size_t i = 0; i < l.u.l->n; i++)
		if (jv_put(x, &b, &l.u.l->v[i]))
			return -1;
	*out = jv_str(jb_end(x, &b));
	return 0;
}

static int eval_name(struct jx *x, const struct jnode *n, struct jval *out)
{
	const struct jbuiltin *g;
	const struct jscope *s;

	if (jx_lookup(x, n->name, out))
		return 0;
	/* one that shadows hides what is global too */
	for (s = x->scope; s; s = s->up)
		for (size_t i = 0; i < s->n; i++)
			if (s->v[i].name == n->name)
				goto undefined;
	g = jinja_global(n->name);
	if (g) {
		*out = (struct jval){.t = V_FUNC, .u.fn = g};
		return 0;
	}
undefined:
	*out = jv_undef(x, "'%.200s' is undefined", n->name);
	return 0;
}

static int eval_logic(struct jx *x, const struct jnode *n, struct jval *out)
{
	bool yes;

	if (jx_eval(x, n->a, out) || jv_truth(x, out, &yes))
		return -1;
	if (n->kind == N_NOT)
		*out = jv_bool(!yes);
	else if (yes == (n->kind == N_AND))
		return jx_eval(x, n->b, out);
	return 0;
}

static int eval_cond(struct jx *x, const struct jnode *n, struct jval *out)
{
	struct jval c;
	bool yes;

	if (jx_eval(x, n->b, &c) || jv_truth(x, &c, &yes))
		return -1;
	if (yes)
		return jx_eval(x, n->a, out);
	if (n->c)
		return jx_eval(x, n->c, out);
	*out = jv_undef(
		x,
		"the inline if-expression evaluated to false and has no else");
	return 0;
}

static int eval_item(struct jx *x, const struct jnode *n, struct jval *out)
{
	struct jval o, k[3] = {jv_none(), jv_none(), jv_none()};

	if (jx_eval(x, n->a, &o))
		return -1;
	if (n->kind == N_ATTR)
		return jx_attr(x, &o, n->attr, out);
	if ((n->b && jx_eval(x, n->b, &k[0])) ||
	    (n->c && jx_eval(x, n->c, &k[1])) ||
	    (n->d && jx_eval(x, n->d, &k[2])))
		return -1;
	return n->kind == N_SLICE ? jx_slice(x, &o, k, out)
				  : jx_item(x, &o, &k[0], out);
}

static int eval_binary(struct jx *x, const struct jnode *n, struct jval *out)
{
	struct jval a, b;

	if (jx_eval(x, n->a, &a) || jx_eval(x, n->b, &b))
		return -1;
	return jx_binary(x, n->op, &a, &b, out);
}

static int eval(struct jx *x, const struct jnode *n, struct jval *out)
{
	switch (n->kind) {
	case N_CONST:
		*out = n->v;
		return 0;
	case N_NAME:
		return eval_name(x, n, out);
	case N_LIST:
	case N_TUPLE:
		return eval_list(x, n, out);
	case N_DICT:
		return eval_dict(x, n, out);
	case N_COND:
		return eval_cond(x, n, out);
	case N_OR:
	case N_AND:
	case N_NOT:
		return eval_logic(x, n, out);
	case N_COMPARE:
		return eval_compare(x, n, out);
	case N_BINARY:
		return eval_binary(x, n, out);
	case N_CONCAT:
		return eval_concat(x, n, out);
	case N_NEG:
	case N_POS:
		return eval_sign(x, n, out);
	case N_ATTR:
	case N_ITEM:
	case N_SLICE:
		return eval_item(x, n, out);
	case N_CALL:
		return eval_call(x, n, out);
	default: /* N_FILTER, N_TEST */
		return eval_builtin(x, n, out);
	}
}

int jx_eval(struct jx *x, const struct jnode *n, struct jval *out)
{
	int rc;

	*out = jv_none();
	if (jx_step(x))
		return -1;
	if (++x->depth > JX_DEPTH)
		return jx_err(x, "nested too deep");
	rc = eval(x, n, out);
	x->depth--;
	return rc;
}
