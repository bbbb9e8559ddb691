/* SPDX-License-Identifier: MIT */
/*
 * Tokens to a tree: the tags.  The grammar is that of Jinja2's parser, of which
 * this is a plain recursive descent; what a chat template cannot use
 * (inheritance, imports) is refused by name, and so is an unknown filter, test
 * or method.
 */
#include "libcommon/text/jinja_parse.h"

#include <stdlib.h>
#include <string.h>

#include "libcommon/text/unicode.h"

enum { MAX_TEMPLATE = 4 << 20 };

static bool body(struct parser *ps, struct jnode *n, struct jnode **list,
		 const char *const *ends);

static bool names_loop(const struct jnode *target)
{
	if (target->kind == N_NAME)
		return !strcmp(target->name, "loop");
	for (const struct jnode *c = target->list; c; c = c->next)
		if (names_loop(c))
			return true;
	return false;
}

static bool assignable(struct parser *ps, const struct jnode *n)
{
	if (n->kind == N_TUPLE) {
		for (const struct jnode *c = n->list; c; c = c->next)
			if (!assignable(ps, c))
				return false;
		return true;
	}
	if (n->kind != N_NAME && n->kind != N_NSREF)
		return jp_fail(ps, "this cannot be assigned to");
	if (n->kind == N_NSREF && n->attr->s[0] == '_')
		return jp_fail(ps, "namespace attribute '%s' begins with '_'",
			       n->attr->s);
	return true;
}

static struct jnode *target(struct parser *ps, bool nsref, const char *end)
{
	struct jnode *n = jp_tuple(ps, true, nsref, true, false, end);

	if (!n || !assignable(ps, n))
		return NULL;
	if (ps->fors && names_loop(n))
		return jp_fail(ps, "'%s' cannot be assigned to in a loop",
			       "loop");
	return n;
}

static struct jnode *name_target(struct parser *ps)
{
	struct jnode *n;

	if (!jp_is(ps, T_NAME))
		return jp_expected(ps, "name");
	n = jp_primary(ps, false);
	return n && assignable(ps, n) ? n : NULL;
}

static const char *const end_for[] = {"endfor", "else", NULL};
static const char *const end_else[] = {"endfor", NULL};
static const char *const end_if[] = {"elif", "else", "endif", NULL};
static const char *const end_if_else[] = {"endif", NULL};
static const char *const end_set[] = {"endset", NULL};
static const char *const end_macro[] = {"endmacro", NULL};
static const char *const end_call[] = {"endcall", NULL};
static const char *const end_filter[] = {"endfilter", NULL};
static const char *const end_with[] = {"endwith", NULL};
static const char *const end_generation[] = {"endgeneration", NULL};

/* The word that ended a body is current; behind it. */
static bool body_done(struct parser *ps, struct jnode *n, struct jnode **list,
		      const char *const *ends)
{
	if (!body(ps, n, list, ends))
		return false;
	ps->p++;
	return true;
}

static struct jnode *parse_for(struct parser *ps)
{
	struct jnode *n = jp_node(ps, N_FOR);

	ps->p++;
	ps->fors++;
	n->a = target(ps, false, "in");
	ps->fors--;
	if (!n->a)
		return NULL;
	if (!jp_skip_word(ps, "in"))
		return jp_expected(ps, "in");
	n->b = jp_tuple(ps, false, false, false, false, "recursive");
	if (!n->b)
		return NULL;
	if (jp_skip_word(ps, "if")) {
		n->c = jp_expression(ps, true);
		if (!n->c)
			return NULL;
	}
	n->flag = jp_skip_word(ps, "recursive");
	if (!jp_over(ps, n, n->b) || !jp_over(ps, n, n->c))
		return NULL;
	ps->loops++;
	ps->fors++;
	if (!body(ps, n, &n->list, end_for))
		return NULL;
	ps->loops--;
	if (jp_skip_word(ps, "endfor")) {
		ps->fors--;
		return n;
	}
	ps->p++;
	if (!body_done(ps, n, &n->other, end_else))
		return NULL;
	ps->fors--;
	return n;
}

static struct jnode *parse_if(struct parser *ps)
{
	struct jnode *first = NULL, *n, **at = &first;
	int arms = 0;

	do {
		if (++arms > JP_MAX_TREE)
			return jp_fail(ps, "too many elif");
		n = jp_node(ps, N_IF);
		ps->p++;
		n->a = jp_tuple(ps, false, false, false, false, NULL);
		if (!n->a || !jp_over(ps, n, n->a) ||
		    !body(ps, n, &n->list, end_if))
			return NULL;
		*at = n;
		at = &n->other; /* elif: a chain, walked without recursion */
		if (first->depth < n->depth)
			first->depth = n->depth;
	} while (jp_word(ps, "elif"));
	n->flag = jp_skip_word(ps, "else"); /* other is no elif */
	if (!n->flag)
		ps->p++;
	else if (!body_done(ps, n, &n->other, end_if_else))
		return NULL;
	if (first->depth < n->depth)
		first->depth = n->depth;
	return first;
}

static struct jnode *parse_set(struct parser *ps)
{
	struct jnode *n = jp_node(ps, N_SET);

	ps->p++;
	n->a = target(ps, true, NULL);
	if (!n->a)
		return NULL;
	if (jp_skip(ps, T_ASSIGN)) {
		n->b = jp_tuple(ps, false, false, true, false, NULL);
		return n->b && jp_over(ps, n, n->b) ? n : NULL;
	}
	n->kind = N_SET_BLOCK;
	while (jp_skip(ps, T_PIPE)) {
		n->b = jp_filter(ps, n->b);
		if (!n->b || !jp_over(ps, n, n->b))
			return NULL;
	}
	return body_done(ps, n, &n->list, end_set) ? n : NULL;
}

/* (a, b=1): a list of names, in b the default. */
static bool signature(struct parser *ps, struct jnode *n)
{
	struct jnode **last = &n->params, *v;
	bool dflt = false;

	if (!jp_want(ps, T_LPAREN, "("))
		return false;
	while (!jp_is(ps, T_RPAREN)) {
		if (n->params && !jp_want(ps, T_COMMA, ","))
			return false;
		v = name_target(ps);
		if (!v)
			return false;
		for (const struct jnode *c = n->params; c; c = c->next)
			if (c->name == v->name)
				return jp_fail(ps, "parameter '%s' repeated",
					       v->name);
		if (jp_skip(ps, T_ASSIGN)) {
			v->b = jp_expression(ps, true);
			if (!v->b || !jp_over(ps, n, v->b))
				return false;
			dflt = true;
		} else if (dflt) {
			return jp_fail(
				ps,
				"parameter '%s' without a default after one with",
				v->name);
		}
		*last = v;
		last = &v->next;
	}
	ps->p++;
	return true;
}

/* A body that is a function: no loop is around it. */
static bool function(struct parser *ps, struct jnode *n,
		     const char *const *ends)
{
	int loops = ps->loops;
	bool ok;

	ps->loops = 0;
	ok = body_done(ps, n, &n->list, ends);
	ps->loops = loops;
	return ok;
}

static struct jnode *parse_macro(struct parser *ps)
{
	struct jnode *n = jp_node(ps, N_MACRO), *v;

	ps->p++;
	v = name_target(ps);
	if (!v)
		return NULL;
	n->name = v->name;
	return signature(ps, n) && function(ps, n, end_macro) ? n : NULL;
}

static struct jnode *parse_call(struct parser *ps)
{
	struct jnode *n = jp_node(ps, N_CALL_BLOCK);

	ps->p++;
	if (jp_is(ps, T_LPAREN) && !signature(ps, n))
		return NULL;
	n->a = jp_expression(ps, true);
	if (!n->a || !jp_over(ps, n, n->a))
		return NULL;
	if (n->a->kind != N_CALL)
		return jp_expected(ps, "call");
	return function(ps, n, end_call) ? n : NULL;
}

static struct jnode *parse_filter(struct parser *ps)
{
	struct jnode *n = jp_node(ps, N_FILTER_BLOCK);

	ps->p++;
	do {
		n->b = jp_filter(ps, n->b);
		if (!n->b || !jp_over(ps, n, n->b))
			return NULL;
	} while (jp_skip(ps, T_PIPE));
	return body_done(ps, n, &n->list, end_filter) ? n : NULL;
}

static struct jnode *parse_with(struct parser *ps)
{
	struct jnode *n = jp_node(ps, N_WITH), **last = &n->params, *v;

	ps->p++;
	while (!jp_is(ps, T_TAG_END)) {
		if (n->params && !jp_want(ps, T_COMMA, ","))
			return NULL;
		v = jp_node(ps, N_SET);
		v->a = target(ps, false, NULL);
		if (!v->a || !jp_want(ps, T_ASSIGN, "="))
			return NULL;
		v->b = jp_expression(ps, true);
		if (!v->b || !jp_over(ps, v, v->b) || !jp_over(ps, n, v))
			return NULL;
		*last = v;
		last = &v->next;
	}
	return body_done(ps, n, &n->list, end_with) ? n : NULL;
}

static struct jnode *parse_generation(struct parser *ps)
{
	struct jnode *n = jp_node(ps, N_GENERATION);

	ps->p++;
	ps->t->generation = true;
	return function(ps, n, end_generation) ? n : NULL;
}

static struct jnode *parse_jump(struct parser *ps)
{
	bool brk = jp_word(ps, "break");
	struct jnode *n = jp_node(ps, brk ? N_BREAK : N_CONTINUE);

	if (!ps->loops)
		return jp_fail(ps, "'%s' outside of a loop",
			       brk ? "break" : "continue");
	ps->p++;
	return n;
}

static struct jnode *parse_print(struct parser *ps)
{
	struct jnode *n = jp_node(ps, N_PRINT);

	ps->p++;
	n->a = jp_expression(ps, true);
	return n->a && jp_over(ps, n, n->a) ? n : NULL;
}

static struct jnode *tag(struct parser *ps)
{
	static const struct {
		const char *word;
		struct jnode *(*parse)(struct parser *ps);
	} tags[] = {
		{"for", parse_for},     {"if", parse_if},
		{"set", parse_set},     {"macro", parse_macro},
		{"call", parse_call},   {"filter", parse_filter},
		{"with", parse_with},   {"generation", parse_generation},
		{"break", parse_jump},  {"continue", parse_jump},
		{"print", parse_print},
	};
	struct jnode *n;

	if (!jp_is(ps, T_NAME))
		return jp_expected(ps, "name of a tag");
	for (size_t i = 0; i < sizeof(tags) / sizeof(*tags); i++) {
		if (!jp_word(ps, tags[i].word))
			continue;
		if (!jp_deeper(ps))
			return NULL;
		n = tags[i].parse(ps);
		ps->depth--;
		return n;
	}
	return jp_fail(ps, "tag '%s' is not known", ps->p->s);
}

static bool ends_here(const struct parser *ps, const char *const *ends)
{
	for (; ends && *ends; ends++)
		if (jp_word(ps, *ends))
			return true;
	return false;
}

/* Text and tags up to one of ends, which is current then. */
static bool block(struct parser *ps, struct jnode *up, struct jnode **list,
		  const char *const *ends)
{
	struct jnode **last = list, *n;

	for (;;) {
		if (jp_is(ps, T_EOF)) {
			if (!ends)
				return true;
			jp_fail(ps, "'%s' is missing", *ends);
			return false;
		}
		if (jp_is(ps, T_DATA)) {
			n = jp_node(ps, N_DATA);
			n->v = (struct jval){
				.t = V_STR,
				.u.s = jp_literal(ps->t, ps->p->s, ps->p->n)};
			ps->p++;
		} else if (jp_skip(ps, T_PRINT_BEGIN)) {
			n = jp_node(ps, N_PRINT);
			n->a = jp_tuple(ps, false, false, true, false, NULL);
			if (!n->a || !jp_over(ps, n, n->a) ||
			    !jp_want(ps, T_PRINT_END, "}}"))
				return false;
		} else {
			ps->p++;
			if (ends_here(ps, ends))
				return true;
			n = tag(ps);
			if (!n || !jp_want(ps, T_TAG_END, "%}"))
				return false;
		}
		if (up && !jp_over(ps, up, n))
			return false;
		*last = n;
		last = &n->next;
	}
}

static bool body(struct parser *ps, struct jnode *n, struct jnode **list,
		 const char *const *ends)
{
	jp_skip(ps, T_COLON);
	return jp_want(ps, T_TAG_END, "%}") && block(ps, n, list, ends);
}

int jinja_parse(struct ft_jinja *t, const struct jtokens *tk,
		struct ft_err *err)
{
	struct parser ps = {.t = t, .p = tk->v, .err = err};

	t->loop = jinja_intern(t, "loop", 4);
	t->caller = jinja_intern(t, "caller", 6);
	t->kwargs = jinja_intern(t, "kwargs", 6);
	t->varargs = jinja_intern(t, "varargs", 7);
	t->block = jinja_intern(t, "", 0);
	return block(&ps, NULL, &t->body, NULL) ? 0 : -1;
}

/* --- the whole ------------------------------------------------------------ */

int ft_jinja_compile(struct ft_jinja **out, const char *s, size_t n,
		     struct ft_err *err)
{
	struct ft_jinja *t = ft_xcalloc(1, sizeof(*t));
	struct jtokens tk = {0};
	int rc = -1;

	*out = NULL;
	if (n > MAX_TEMPLATE)
		ft_err_set(err, FT_EXIT_DATA,
			   "chat template: longer than %d MiB",
			   MAX_TEMPLATE >> 20);
	else if (ft_utf8_valid(s, n) != n)
		ft_err_set(err, FT_EXIT_DATA, "chat template: not UTF-8");
	else if (!jinja_lex(&t->a, s, n, &tk, err) && !jinja_parse(t, &tk, err))
		rc = 0;
	free(tk.v);
	if (rc) {
		ft_jinja_free(t);
		return -1;
	}
	jinja_scopes(t);
	*out = t;
	return 0;
}

void ft_jinja_free(struct ft_jinja *t)
{
	if (!t)
		return;
	ft_arena_release(&t->a);
	free(t->name);
	free(t);
}

bool ft_jinja_has_generation(const struct ft_jinja *t)
{
	return t->generation;
}
