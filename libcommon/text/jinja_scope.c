/* SPDX-License-Identifier: MIT */
/*
 * Names that a scope hides before it gives them a value.  Jinja2 decides by the
 * text: a name that a scope sets before it reads it, and that no scope around
 * speaks of, is a variable of that scope from its start; a scope inside that
 * reads it too early finds it undefined, though the template was given a
 * variable of that name.  This follows Jinja2's idtracking.
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/text/jinja_priv.h"

struct ref {
	const char *name;
	bool stored;
	bool unset; /* has no value at the start */
};

struct frame {
	const struct frame *up;
	struct ref *v; /* malloc'ed */
	size_t n, cap;
};

static void tags(struct ft_jinja *t, struct frame *f, const struct jnode *n);
static void inside(struct ft_jinja *t, struct frame *f, struct jnode *n);

static struct ref *own(const struct frame *f, const char *name)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->v[i].name == name)
			return &f->v[i];
	return NULL;
}

static bool known(const struct frame *f, const char *name)
{
	for (; f; f = f->up)
		if (own(f, name))
			return true;
	return false;
}

static struct ref *add(struct frame *f, const char *name)
{
	FT_GROW(f->v, f->n, f->cap, 1);
	f->v[f->n] = (struct ref){.name = name};
	return &f->v[f->n++];
}

static void load(struct frame *f, const char *name)
{
	if (!known(f, name))
		add(f, name);
}

static void store(struct frame *f, const char *name)
{
	struct ref *r = own(f, name);

	if (!r) {
		bool outside = f->up && known(f->up, name);

		r = add(f, name);
		r->unset = !outside;
	}
	r->stored = true;
}

static void parameter(struct frame *f, const char *name)
{
	struct ref *r = own(f, name);

	if (!r)
		r = add(f, name);
	r->stored = true;
	r->unset = false;
}

static struct frame copy(const struct frame *f)
{
	struct frame c = {.up = f->up};

	FT_GROW(c.v, 0, c.cap, f->n + 1);
	if (f->n)
		memcpy(c.v, f->v, f->n * sizeof(*c.v));
	c.n = f->n;
	return c;
}

/* What only a branch stores is looked up outside, as if it were read. */
static void merge(struct frame *f, struct frame *branch)
{
	for (size_t i = 0; i < branch->n; i++) {
		const struct ref *b = &branch->v[i];
		struct ref *r = own(f, b->name);
		bool was = r && r->stored;

		if (!r) {
			r = add(f, b->name);
			r->unset = b->unset;
		}
		r->stored = was || b->stored;
		if (b->stored && !was)
			r->unset = false;
	}
	free(branch->v);
}

/* --- what is read and set ------------------------------------------------- */

static void reads(struct frame *f, const struct jnode *n)
{
	if (!n)
		return;
	if (n->kind == N_NAME || n->kind == N_NSREF)
		load(f, n->name);
	reads(f, n->a);
	reads(f, n->b);
	reads(f, n->c);
	reads(f, n->d);
	reads(f, n->star);
	reads(f, n->star2);
	for (const struct jnode *c = n->list; c; c = c->next)
		reads(f, c);
	for (const struct jnode *c = n->kw; c; c = c->next)
		reads(f, c->a);
}

static void target(struct frame *f, const struct jnode *n, bool param)
{
	if (n->kind == N_NAME && param)
		parameter(f, n->name);
	else if (n->kind == N_NAME)
		store(f, n->name);
	else if (n->kind == N_NSREF)
		load(f, n->name);
	for (const struct jnode *c = n->list; c; c = c->next)
		target(f, c, param);
}

static void branches(struct ft_jinja *t, struct frame *f, const struct jnode *n)
{
	struct frame body, elifs, other, sub;
	const struct jnode *last = n;

	reads(f, n->a);
	body = copy(f);
	elifs = copy(f);
	other = copy(f);
	tags(t, &body, n->list);
	while (!last->flag && last->other) {
		last = last->other;
		reads(&elifs, last->a);
		sub = copy(&elifs);
		tags(t, &sub, last->list);
		merge(&elifs, &sub);
	}
	if (last->flag)
		tags(t, &other, last->other);
	merge(f, &body);
	merge(f, &elifs);
	merge(f, &other);
}

/* The tags of one scope; what begins a scope of its own is not entered. */
static void tags(struct ft_jinja *t, struct frame *f, const struct jnode *n)
{
	for (; n; n = n->next) {
		switch (n->kind) {
		case N_PRINT:
		case N_CALL_BLOCK:
			reads(f, n->a);
			break;
		case N_FOR:
		case N_FILTER_BLOCK:
			reads(f, n->b);
			break;
		case N_IF:
			branches(t, f, n);
			break;
		case N_SET:
			reads(f, n->b);
			target(f, n->a, false);
			break;
		case N_SET_BLOCK:
			target(f, n->a, false);
			break;
		case N_MACRO:
			store(f, n->name);
			break;
		case N_WITH:
			for (const struct jnode *p = n->params; p; p = p->next)
				reads(f, p->b);
			break;
		default:
			break;
		}
	}
}

/* --- scopes inside -------------------------------------------------------- */

static const char **unset_names(struct ft_jinja *t, const struct frame *f)
{
	const char **v;
	size_t n = 0, k = 0;

	for (size_t i = 0; i < f->n; i++)
		n += f->v[i].unset;
	if (!n)
		return NULL;
	v = ft_arena_alloc(&t->a, (n + 1) * sizeof(*v));
	for (size_t i = 0; i < f->n; i++)
		if (f->v[i].unset)
			v[k++] = f->v[i].name;
	v[k] = NULL;
	return v;
}

static bool speaks_of(const struct jnode *n, const char *name)
{
	for (; n; n = n->next) {
		if (n->kind == N_NAME && n->name == name)
			return true;
		if (speaks_of(n->list, name) || speaks_of(n->other, name) ||
		    speaks_of(n->params, name) || speaks_of(n->kw, name) ||
		    speaks_of(n->a, name) || speaks_of(n->b, name) ||
		    speaks_of(n->c, name) || speaks_of(n->d, name) ||
		    speaks_of(n->star, name) || speaks_of(n->star2, name))
			return true;
	}
	return false;
}

static void macro(struct ft_jinja *t, struct frame *f, struct jnode *n)
{
	n->caller = speaks_of(n->list, t->caller);
	n->kwargs = speaks_of(n->list, t->kwargs);
	n->varargs = speaks_of(n->list, t->varargs);
	for (const struct jnode *p = n->params; p; p = p->next) {
		parameter(f, p->name);
		n->kwargs = n->kwargs && p->name != t->kwargs;
		n->varargs = n->varargs && p->name != t->varargs;
	}
	if (n->caller)
		parameter(f, t->caller);
	if (n->kwargs)
		parameter(f, t->kwargs);
	if (n->varargs)
		parameter(f, t->varargs);
	for (const struct jnode *p = n->params; p; p = p->next)
		reads(f, p->b);
}

static void scope(struct ft_jinja *t, const struct frame *up, struct jnode *n)
{
	struct frame f = {.up = up}, other = {.up = up};

	if (n->kind == N_FOR) {
		parameter(&f, t->loop);
		target(&f, n->a, true);
		tags(t, &other, n->other);
		n->unset_other = unset_names(t, &other);
		inside(t, &other, n->other);
	} else if (n->kind == N_WITH) {
		for (const struct jnode *p = n->params; p; p = p->next)
			target(&f, p->a, true);
	} else if (n->kind != N_SET_BLOCK && n->kind != N_FILTER_BLOCK) {
		macro(t, &f, n);
	}
	tags(t, &f, n->list);
	if (n->kind == N_FILTER_BLOCK)
		reads(&f, n->b);
	n->unset = unset_names(t, &f);
	inside(t, &f, n->list);
	free(f.v);
	free(other.v);
}

static void inside(struct ft_jinja *t, struct frame *f, struct jnode *n)
{
	for (; n; n = n->next) {
		if (n->kind == N_IF) {
			inside(t, f, n->list);
			inside(t, f, n->other);
		} else if (n->kind >= N_FOR && n->kind != N_SET &&
			   n->kind != N_BREAK && n->kind != N_CONTINUE) {
			scope(t, f, n);
		}
	}
}

void jinja_scopes(struct ft_jinja *t)
{
	struct frame f = {0};

	tags(t, &f, t->body);
	t->unset = unset_names(t, &f);
	inside(t, &f, t->body);
	free(f.v);
}
