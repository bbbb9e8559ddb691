/* SPDX-License-Identifier: MIT */
/* Statements: scopes, loops, macros, and a rendering as a whole. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/text/jinja_priv.h"

/* --- scopes --------------------------------------------------------------- */

void jx_define(struct jx *x, const char *name, struct jval v)
{
	struct jscope *s = x->scope;

	for (size_t i = 0; i < s->n; i++) {
		if (s->v[i].name == name) {
			s->v[i].v = v;
			return;
		}
	}
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 8;
		struct jvar *p = jx_alloc(x, cap * sizeof(*p));

		if (s->n)
			memcpy(p, s->v, s->n * sizeof(*p));
		s->v = p;
		s->cap = cap;
	}
	s->v[s->n++] = (struct jvar){name, v};
}

bool jx_lookup(struct jx *x, const char *name, struct jval *v)
{
	for (const struct jscope *s = x->scope; s; s = s->up) {
		for (size_t i = 0; i < s->n; i++) {
			if (s->v[i].name == name) {
				*v = s->v[i].v;
				return v->t != V_UNSET;
			}
		}
	}
	return false;
}

/* A new scope under up, which is current until the caller takes it back. */
void jx_enter(struct jx *x, struct jscope *s, struct jscope *up,
	      const char **unset)
{
	*s = (struct jscope){.up = up};
	x->scope = s;
	for (; unset && *unset; unset++)
		jx_define(x, *unset, (struct jval){.t = V_UNSET});
}

/* A scope that a macro may remember lives as long as the rendering. */
static struct jscope *new_scope(struct jx *x, struct jscope *up,
				const char **unset)
{
	struct jscope *s = jx_alloc(x, sizeof(*s));

	jx_enter(x, s, up, unset);
	return s;
}

static int set_attr(struct jx *x, const struct jnode *ref, const struct jval *v)
{
	struct jval ns, key = jv_str(ref->attr);

	if (!jx_lookup(x, ref->name, &ns))
		return jx_err(x, "'%s' is undefined", ref->name);
	if (ns.t != V_NS)
		return jx_err(
			x, "cannot assign attribute '%s': '%s' is no namespace",
			ref->attr->s, ref->name);
	return jd_set(x, ns.u.d, &key, v);
}

static int unpack(struct jx *x, const struct jnode *targets,
		  const struct jval *v)
{
	struct jval *item;
	struct jiter *it;
	struct jval one;
	size_t n = 0, want = 0;
	int rc;

	for (const struct jnode *c = targets; c; c = c->next)
		want++;
	if (!jv_iterable(v))
		return jx_err(x, "cannot unpack a '%s'", jv_type(v));
	if (jx_iter(x, v, &it))
		return -1;
	item = jx_alloc(x, (want + 1) * sizeof(*item));
	while ((rc = ji_next(x, it, &one)) > 0 && n <= want)
		item[n++] = one;
	if (rc < 0)
		return -1;
	if (n != want)
		return jx_err(x, "%s values to unpack (%zu wanted)",
			      n < want ? "not enough" : "too many", want);
	n = 0;
	for (const struct jnode *c = targets; c; c = c->next)
		if (jx_assign(x, c, &item[n++]))
			return -1;
	return 0;
}

int jx_assign(struct jx *x, const struct jnode *target, const struct jval *v)
{
	if (target->kind == N_NAME) {
		jx_define(x, target->name, *v);
		return 0;
	}
	if (target->kind == N_NSREF)
		return set_attr(x, target, v);
	return unpack(x, target->list, v);
}

/* --- loops ---------------------------------------------------------------- */

int jx_loop_if(struct jx *x, struct jiter *it, const struct jval *v)
{
	struct jscope *was = x->scope;
	struct jval cond;
	bool yes = false;
	int rc = -1;

	new_scope(x, it->scope, NULL);
	if (!jx_assign(x, it->node->a, v) && !jx_eval(x, it->node->c, &cond) &&
	    !jv_truth(x, &cond, &yes))
		rc = yes;
	x->scope = was;
	return rc;
}

static int peek(struct jx *x, struct jloop *lo)
{
	int rc;

	if (lo->has_after || lo->ended)
		return 0;
	rc = ji_next(x, lo->it, &lo->after);
	lo->has_after = rc > 0;
	lo->ended = rc == 0;
	return rc < 0 ? -1 : 0;
}

static int advance(struct jx *x, struct jloop *lo)
{
	if (peek(x, lo))
		return -1;
	if (!lo->has_after)
		return 0;
	lo->index0++;
	lo->before = lo->current;
	lo->current = lo->after;
	lo->has_after = false;
	return 1;
}

static int loop_length(struct jx *x, struct jloop *lo)
{
	struct jval rest;

	if (lo->length >= 0)
		return 0;
	if (lo->of.t != V_ITER)
		return jv_len(x, &lo->of, &lo->length);
	rest = jv_list(x, 0);
	if (jx_to_list(x, &lo->of, &rest.u.l))
		return -1;
	/* go on with what was read ahead */
	if (jx_iter(x, &rest, &lo->it))
		return -1;
	lo->ended = false;
	lo->length = (int64_t)rest.u.l->n + lo->index0 + 1 + lo->has_after;
	return 0;
}

static int loop_number(struct jx *x, struct jloop *lo, const char *name,
		       struct jval *out)
{
	int64_t n;

	if (!strcmp(name, "index") || !strcmp(name, "index0"))
		n = lo->index0 + !name[5];
	else if (!strcmp(name, "depth") || !strcmp(name, "depth0"))
		n = lo->depth0 + !name[5];
	else if (loop_length(x, lo))
		return -1;
	else if (!strcmp(name, "length"))
		n = lo->length;
	else
		n = lo->length - lo->index0 - (name[8] == '0');
	*out = jv_int(n);
	return 1;
}

int jx_loop_attr(struct jx *x, struct jloop *lo, const char *name,
		 struct jval *out)
{
	static const char *const numbers[] = {"index",    "index0", "depth",
					      "depth0",   "length", "revindex",
					      "revindex0"};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		if (!strcmp(name, numbers[i]))
			return loop_number(x, lo, name, out);
	if (!strcmp(name, "first")) {
		*out = jv_bool(lo->index0 == 0);
	} else if (!strcmp(name, "last")) {
		if (peek(x, lo))
			return -1;
		*out = jv_bool(!lo->has_after);
	} else if (!strcmp(name, "previtem")) {
		*out = lo->index0 == 0
			       ? jv_undef(x, "there is no previous item")
			       : lo->before;
	} else if (!strcmp(name, "nextitem")) {
		if (peek(x, lo))
			return -1;
		*out = lo->has_after ? lo->after
				     : jv_undef(x, "there is no next item");
	} else {
		return 0;
	}
	return 1;
}

/* The body for each item; 0, JX_BREAK never. */
static int run_loop(struct jx *x, const struct jnode *n, struct jscope *up,
		    const struct jval *of, int depth)
{
	struct jloop *lo = jx_alloc(x, sizeof(*lo));
	bool any = false;
	int rc;

	*lo = (struct jloop){.of = *of,
			     .index0 = -1,
			     .length = -1,
			     .depth0 = depth,
			     .node = n->flag ? n : NULL,
			     .scope = up};
	if (!jv_iterable(of))
		return jx_err(x, "'%s' object is not iterable", jv_type(of));
	if (n->c) {
		struct jiter *it = jx_alloc(x, sizeof(*it));

		*it = (struct jiter){
			.kind = IT_LOOP_IF, .of = *of, .node = n, .scope = up};
		lo->of = jv_iter(it);
	}
	if (jx_iter(x, &lo->of, &lo->it))
		return -1;
	while ((rc = advance(x, lo)) > 0) {
		if (jx_step(x))
			return -1;
		new_scope(x, up, n->unset);
		jx_define(x, x->t->loop,
			  (struct jval){.t = V_LOOP, .u.lo = lo});
		rc = jx_assign(x, n->a, &lo->current);
		if (!rc)
			rc = jx_body(x, n->list);
		if (rc < 0)
			return -1;
		if (rc == JX_BREAK)
			break;
		/* what skips the end of the body leaves `else` open */
		any = any || rc == 0;
	}
	if (rc < 0)
		return -1;
	if (any || !n->other)
		return 0;
	new_scope(x, up, n->unset_other);
	return jx_body(x, n->other);
}

/* Text that a body writes, caught. */
static int capture(struct jx *x, int (*run)(struct jx *x, void *arg), void *arg,
		   const struct jstr **out)
{
	struct jbuf *was = x->out, b = {0};
	int rc;

	x->out = &b;
	rc = run(x, arg);
	x->out = was;
	*out = jb_end(x, &b);
	return rc;
}

struct looping {
	const struct jnode *n;
	struct jscope *up;
	const struct jval *of;
	int depth;
};

static int run_looping(struct jx *x, void *arg)
{
	const struct looping *l = arg;

	return run_loop(x, l->n, l->up, l->of, l->depth);
}

int jx_loop_call(struct jx *x, struct jloop *lo, const struct jval *of,
		 struct jval *out)
{
	struct jscope *was = x->scope;
	struct looping l = {lo->node, lo->scope, of, lo->depth0 + 1};
	const struct jstr *s;
	int rc;

	if (!lo->node)
		return jx_err(
			x, "'loop' is called in a loop that is not recursive");
	rc = capture(x, run_looping, &l, &s);
	x->scope = was;
	*out = jv_str(s);
	return rc;
}

static int exec_for(struct jx *x, const struct jnode *n)
{
	struct jscope *was = x->scope;
	struct jval of;
	struct looping l = {n, was, &of, 0};
	const struct jstr *s;
	int rc;

	if (jx_eval(x, n->b, &of))
		return -1;
	if (!n->flag) {
		rc = run_loop(x, n, was, &of, 0);
		x->scope = was;
		return rc;
	}
	rc = capture(x, run_looping, &l, &s);
	x->scope = was;
	jb_str(x, x->out, s);
	return rc;
}

/* --- macros --------------------------------------------------------------- */

/* Of keyword arguments, the one with that name; used says which are taken. */
static const struct jval *keyword(const struct jargs *a, const char *name,
				  bool *used)
{
	for (size_t i = 0; i < a->nk; i++) {
		if (!used[i] && js_is(a->key[i], name)) {
			used[i] = true;
			return &a->kv[i];
		}
	}
	return NULL;
}

static int bind_rest(struct jx *x, const struct jmacro *m,
		     const struct jargs *a, size_t taken, const bool *used)
{
	const struct jnode *n = m->node;
	struct jval rest = jv_tuple(x, 0), named = jv_dict(x), k;

	for (size_t i = 0; i < a->nk; i++) {
		if (used[i])
			continue;
		if (!n->kwargs)
			return jx_err(
				x, "macro '%s' takes no keyword argument '%s'",
				m->name ? m->name : "caller", a->key[i]->s);
		k = jv_str(a->key[i]);
		if (jd_set(x, named.u.d, &k, &a->kv[i]))
			return -1;
	}
	for (size_t i = taken; i < a->n; i++) {
		if (!n->varargs)
			return jx_err(
				x,
				"macro '%s' takes not more than %zu argument(s)",
				m->name ? m->name : "caller", taken);
		jl_push(x, rest.u.l, a->v[i]);
	}
	if (n->kwargs)
		jx_define(x, x->t->kwargs, named);
	if (n->varargs)
		jx_define(x, x->t->varargs, rest);
	return 0;
}

static int bind_params(struct jx *x, const struct jmacro *m,
		       const struct jargs *a)
{
	const struct jnode *n = m->node, *p;
	bool *used = jx_alloc(x, a->nk + 1);
	bool has_caller = false;
	struct jval v;
	size_t i = 0;

	memset(used, 0, a->nk + 1);
	/* all are there, maybe without a value, before defaults are looked at */
	for (p = n->params; p; p = p->next, i++) {
		const struct jval *kv = NULL;

		has_caller = has_caller || !strcmp(p->name, "caller");
		if (i >= a->n)
			kv = keyword(a, p->name, used);
		v = (struct jval){.t = V_UNSET};
		jx_define(x, p->name, i < a->n ? a->v[i] : kv ? *kv : v);
	}
	if (n->caller && !has_caller) {
		const struct jval *kv = keyword(a, "caller", used);

		jx_define(x, x->t->caller,
			  kv && kv->t != V_NONE
				  ? *kv
				  : jv_undef(x, "no caller defined"));
	}
	if (bind_rest(x, m, a, i, used))
		return -1;
	for (p = n->params; p; p = p->next) {
		if (jx_lookup(x, p->name, &v))
			continue;
		if (!p->b)
			v = jv_undef(x, "parameter '%.100s' was not provided",
				     p->name);
		else if (jx_eval(x, p->b, &v))
			return -1;
		jx_define(x, p->name, v);
	}
	return 0;
}

struct macro_run {
	const struct jmacro *m;
	const struct jargs *args;
};

static int run_macro(struct jx *x, void *arg)
{
	const struct macro_run *r = arg;

	return bind_params(x, r->m, r->args) || jx_body(x, r->m->node->list)
		       ? -1
		       : 0;
}

int jx_call_macro(struct jx *x, const struct jmacro *m,
		  const struct jargs *args, struct jval *out)
{
	struct jscope *was = x->scope;
	struct macro_run r = {m, args};
	const struct jstr *s;
	int rc;

	if (++x->depth > JX_DEPTH)
		return jx_err(x, "nested too deep");
	new_scope(x, m->scope, m->node->unset);
	rc = capture(x, run_macro, &r, &s);
	x->scope = was;
	x->depth--;
	*out = jv_str(s);
	return rc;
}

static struct jval new_macro(struct jx *x, const struct jnode *n)
{
	struct jmacro *m = jx_alloc(x, sizeof(*m));

	*m = (struct jmacro){n, x->scope, n->name};
	return (struct jval){.t = V_MACRO, .u.m = m};
}

/* --- the others ----------------------------------------------------------- */

static int run_list(struct jx *x, void *arg)
{
	const struct jnode *n = arg;

	return jx_body(x, n);
}

/* The text of n's body, in a scope of its own, through n->b's filters. */
static int caught(struct jx *x, const struct jnode *n, struct jval *out)
{
	struct jscope *was = x->scope;
	const struct jstr *s;
	int rc;

	new_scope(x, was, n->unset);
	rc = capture(x, run_list, n->list, &s);
	*out = jv_str(s);
	if (!rc && n->b) {
		jx_define(x, x->t->block, *out); /* the filter's value */
		rc = jx_eval(x, n->b, out);
	}
	x->scope = was;
	return rc;
}

static int exec_if(struct jx *x, const struct jnode *n)
{
	struct jval v;
	bool yes;

	for (;; n = n->other) {
		x->line = n->line;
		if (jx_eval(x, n->a, &v) || jv_truth(x, &v, &yes))
			return -1;
		if (yes)
			return jx_body(x, n->list);
		if (n->flag || !n->other)
			return jx_body(x, n->other);
	}
}

static int exec_set(struct jx *x, const struct jnode *n)
{
	struct jval v;
	int rc;

	rc = n->kind == N_SET ? jx_eval(x, n->b, &v) : caught(x, n, &v);
	if (rc)
		return rc;
	return jx_assign(x, n->a, &v);
}

static int exec_with(struct jx *x, const struct jnode *n)
{
	struct jscope *outer = x->scope, *inner = new_scope(x, outer, n->unset);
	struct jval v;
	int rc = 0;

	for (const struct jnode *p = n->params; p && !rc; p = p->next) {
		x->scope = outer;
		rc = jx_eval(x, p->b, &v);
		x->scope = inner;
		if (!rc)
			rc = jx_assign(x, p->a, &v);
	}
	if (!rc)
		rc = jx_body(x, n->list);
	x->scope = outer;
	return rc;
}

/* The call's result; the body is the macro that it may call as `caller`. */
static int exec_call(struct jx *x, const struct jnode *n)
{
	struct jval v, *was = x->caller, caller = new_macro(x, n);
	int rc;

	x->caller = &caller;
	rc = jx_eval(x, n->a, &v);
	x->caller = was;
	return rc ? rc : jv_put(x, x->out, &v);
}

static int exec_generation(struct jx *x, const struct jnode *n)
{
	struct ft_jinja_out *o = x->gen;
	size_t from = x->top->n;
	const struct jargs none = {0};
	const struct jmacro m = {n, x->scope, NULL};
	struct jval v;

	if (jx_call_macro(x, &m, &none, &v))
		return -1;
	FT_GROW(o->gen, o->ngen, o->capgen, 1);
	/* as transformers counts it: what was written so far, then this */
	o->gen[o->ngen++] = (struct ft_jinja_span){from, from + v.u.s->n};
	jb_str(x, x->out, v.u.s);
	return 0;
}

/* A piece of the text has ended, unless it is caught for something else. */
static void cut(struct jx *x)
{
	struct ft_jinja_out *o = x->gen;

	if (x->out != x->top || (o->ncut && o->cut[o->ncut - 1] == x->top->n))
		return;
	FT_GROW(o->cut, o->ncut, o->capcut, 1);
	o->cut[o->ncut++] = x->top->n;
}

static int exec(struct jx *x, const struct jnode *n)
{
	struct jval v;
	int rc;

	switch (n->kind) {
	case N_DATA:
		jb_str(x, x->out, n->v.u.s);
		cut(x);
		return 0;
	case N_PRINT:
		if (jx_eval(x, n->a, &v) || jv_put(x, x->out, &v))
			return -1;
		cut(x);
		return 0;
	case N_FOR:
		return exec_for(x, n);
	case N_IF:
		return exec_if(x, n);
	case N_SET:
	case N_SET_BLOCK:
		return exec_set(x, n);
	case N_MACRO:
		jx_define(x, n->name, new_macro(x, n));
		return 0;
	case N_CALL_BLOCK:
		return exec_call(x, n);
	case N_FILTER_BLOCK:
		rc = caught(x, n, &v);
		return rc ? rc : jv_put(x, x->out, &v);
	case N_WITH:
		return exec_with(x, n);
	case N_GENERATION:
		return exec_generation(x, n);
	case N_BREAK:
		return JX_BREAK;
	default: /* N_CONTINUE */
		return JX_CONTINUE;
	}
}

int jx_body(struct jx *x, const struct jnode *list)
{
	int rc = 0;

	if (++x->depth > JX_DEPTH)
		return jx_err(x, "nested too deep");
	for (; list && !rc; list = list->next) {
		x->line = list->line;
		rc = jx_step(x);
		if (!rc)
			rc = exec(x, list);
	}
	x->depth--;
	return rc;
}

/* --- a rendering ---------------------------------------------------------- */

static struct jval variable(struct jx *x, const struct ft_jinja_var *v)
{
	switch (v->kind) {
	case FT_JINJA_JSON:
		return jx_json(x, v->json, FT_JINJA_INPUT);
	case FT_JINJA_STRING:
		return jv_str(js_new(x, v->s, v->n, FT_JINJA_OWN));
	case FT_JINJA_TRUE:
	case FT_JINJA_FALSE:
		return jv_bool(v->kind == FT_JINJA_TRUE);
	case FT_JINJA_MESSAGES:
		return jx_messages(x, v);
	default:
		return jv_none();
	}
}

/* Variables whose names the template knows; others it cannot see. */
static void set_variables(struct jx *x, const struct ft_jinja_var *vars,
			  size_t n)
{
	const struct ft_jinja *t = x->t;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < t->nname; k++)
			if (!strcmp(t->name[k], vars[i].name))
				jx_define(x, t->name[k], variable(x, &vars[i]));
}

static void take(struct ft_jinja_out *out, const struct jbuf *b)
{
	ft_str_clear(&out->text);
	ft_str_add(&out->text, b->s, b->n);
	FT_GROW(out->mark, 0, out->capmark, b->n + 1);
	if (b->n)
		memcpy(out->mark, b->m, b->n);
}

int ft_jinja_render(const struct ft_jinja *t, const struct ft_jinja_var *vars,
		    size_t nvars, const struct ft_jinja_limits *limits,
		    struct ft_jinja_out *out, struct ft_err *err)
{
	struct jbuf b = {0};
	struct jx x = {.t = t,
		       .err = err,
		       .max_steps = 20000000,
		       .max_memory = (size_t)1 << 30,
		       .out = &b,
		       .top = &b,
		       .gen = out};
	struct jscope context, top;
	int rc;

	if (limits && limits->steps)
		x.max_steps = limits->steps;
	if (limits && limits->memory)
		x.max_memory = limits->memory;
	out->ngen = out->ncut = 0;
	jx_enter(&x, &context, NULL, NULL);
	set_variables(&x, vars, nvars);
	jx_enter(&x, &top, &context, t->unset);
	rc = jx_body(&x, t->body) ? -1 : jx_step(&x);
	if (!rc)
		take(out, &b);
	ft_arena_release(&x.a);
	return rc;
}

void ft_jinja_out_release(struct ft_jinja_out *o)
{
	ft_str_release(&o->text);
	free(o->mark);
	free(o->gen);
	free(o->cut);
	*o = (struct ft_jinja_out){0};
}
