/* SPDX-License-Identifier: MIT */
/* Expressions: tokens to trees. */
#include "libcommon/text/jinja_parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct jnode *unary(struct parser *ps, bool filters);
static struct jnode *postfix(struct parser *ps, struct jnode *n);

/* --- helpers -------------------------------------------------------------- */

void *jp_fail(struct parser *ps, const char *fmt, ...)
{
	char msg[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	jinja_bad(ps->err, ps->p->line, "%s", msg);
	return NULL;
}

void *jp_expected(struct parser *ps, const char *what)
{
	char buf[48];

	jinja_bad(ps->err, ps->p->line, "'%s' expected, not '%s'", what,
		  jinja_token_name(ps->p, buf));
	return NULL;
}

bool jp_is(const struct parser *ps, enum jtok k)
{
	return ps->p->kind == k;
}

static bool token_word(const struct jtoken *t, const char *word)
{
	return t->kind == T_NAME && t->n == strlen(word) &&
	       !memcmp(t->s, word, t->n);
}

bool jp_word(const struct parser *ps, const char *w)
{
	return token_word(ps->p, w);
}

bool jp_skip(struct parser *ps, enum jtok k)
{
	if (!jp_is(ps, k))
		return false;
	ps->p++;
	return true;
}

bool jp_skip_word(struct parser *ps, const char *w)
{
	if (!jp_word(ps, w))
		return false;
	ps->p++;
	return true;
}

bool jp_want(struct parser *ps, enum jtok k, const char *what)
{
	if (jp_skip(ps, k))
		return true;
	jp_expected(ps, what);
	return false;
}

const char *jinja_intern(struct ft_jinja *t, const char *s, size_t n)
{
	for (size_t i = 0; i < t->nname; i++)
		if (strlen(t->name[i]) == n && !memcmp(t->name[i], s, n))
			return t->name[i];
	FT_GROW(t->name, t->nname, t->capname, 1);
	t->name[t->nname] = ft_arena_strndup(&t->a, s, n);
	return t->name[t->nname++];
}

struct jnode *jp_node(struct parser *ps, enum jkind k)
{
	struct jnode *n = ft_arena_zalloc(&ps->t->a, sizeof(*n));

	n->kind = k;
	n->line = ps->p->line;
	n->depth = 1;
	return n;
}

/* n has child below it. */
bool jp_over(struct parser *ps, struct jnode *n, const struct jnode *child)
{
	if (child && child->depth >= n->depth)
		n->depth = child->depth + 1;
	if (n->depth <= JP_MAX_TREE)
		return true;
	jp_fail(ps, "nested too deep");
	return false;
}

static struct jnode *wrap(struct parser *ps, enum jkind k, struct jnode *a,
			  struct jnode *b)
{
	struct jnode *n;

	if (!a || (k != N_NOT && k != N_NEG && k != N_POS && !b))
		return NULL;
	n = jp_node(ps, k);
	n->line = a->line;
	n->a = a;
	n->b = b;
	return jp_over(ps, n, a) && jp_over(ps, n, b) ? n : NULL;
}

/* Append child to a list; false when there is none, or it is too deep. */
bool jp_append(struct parser *ps, struct jnode *n, struct jnode **list,
	       struct jnode *child)
{
	if (!child)
		return false;
	while (*list)
		list = &(*list)->next;
	*list = child;
	return jp_over(ps, n, child);
}

const struct jstr *jp_literal(struct ft_jinja *t, const char *s, size_t n)
{
	struct jstr *v = ft_arena_zalloc(&t->a, sizeof(*v));

	v->s = ft_arena_strndup(&t->a, s, n);
	v->n = n;
	v->chars = js_chars(s, n);
	return v;
}

bool jp_deeper(struct parser *ps)
{
	if (++ps->depth <= JP_MAX_DEPTH)
		return true;
	jp_fail(ps, "nested too deep");
	return false;
}

/* --- calls, filters, tests ------------------------------------------------ */

static bool argument(struct parser *ps, struct jnode *n, struct jnode ***last,
		     struct jnode ***last_kw)
{
	struct jnode *v;

	if (jp_skip(ps, T_MUL)) {
		if (n->star || n->star2)
			return jp_fail(ps, "bad arguments");
		n->star = jp_expression(ps, true);
		return n->star && jp_over(ps, n, n->star);
	}
	if (jp_skip(ps, T_POW)) {
		if (n->star2)
			return jp_fail(ps, "bad arguments");
		n->star2 = jp_expression(ps, true);
		return n->star2 && jp_over(ps, n, n->star2);
	}
	if (jp_is(ps, T_NAME) && ps->p[1].kind == T_ASSIGN) {
		struct jnode *kw = jp_node(ps, N_CONST);

		kw->attr = jp_literal(ps->t, ps->p->s, ps->p->n);
		ps->p += 2;
		if (n->star2)
			return jp_fail(ps, "bad arguments");
		for (const struct jnode *k = n->kw; k; k = k->next)
			if (js_eq(k->attr, kw->attr))
				return jp_fail(ps,
					       "keyword argument '%s' repeated",
					       kw->attr->s);
		kw->a = v = jp_expression(ps, true);
		if (!v || !jp_over(ps, n, v))
			return false;
		**last_kw = kw;
		*last_kw = &kw->next;
		return true;
	}
	if (n->star || n->star2 || n->kw)
		return jp_fail(ps, "bad arguments");
	v = jp_expression(ps, true);
	if (!v || !jp_over(ps, n, v))
		return false;
	**last = v;
	*last = &v->next;
	return true;
}

static bool arguments(struct parser *ps, struct jnode *n)
{
	struct jnode **last = &n->list, **last_kw = &n->kw;
	bool comma = false;

	if (!jp_want(ps, T_LPAREN, "("))
		return false;
	while (!jp_is(ps, T_RPAREN)) {
		if (comma) {
			if (!jp_want(ps, T_COMMA, ","))
				return false;
			if (jp_is(ps, T_RPAREN))
				break;
		}
		if (!argument(ps, n, &last, &last_kw))
			return false;
		comma = true;
	}
	ps->p++;
	return true;
}

static struct jnode *call(struct parser *ps, struct jnode *f)
{
	struct jnode *n = jp_node(ps, N_CALL);

	n->a = f;
	if (!jp_over(ps, n, f) || !arguments(ps, n))
		return NULL;
	if (f->kind == N_ATTR && !jinja_callable_name(f->attr->s))
		return jp_fail(ps, "method '%s' is not known", f->attr->s);
	return n;
}

/* The filter or test that map, select and the like are given by name. */
static bool inner_name(struct parser *ps, const struct jnode *n)
{
	const struct jnode *a = n->list;
	bool map = !strcmp(n->fn->name, "map");
	bool attr = !strcmp(n->fn->name, "selectattr") ||
		    !strcmp(n->fn->name, "rejectattr");

	if (!map && !attr && strcmp(n->fn->name, "select") &&
	    strcmp(n->fn->name, "reject"))
		return true;
	if (attr && a)
		a = a->next;
	if (!a || a->kind != N_CONST || a->v.t != V_STR)
		return true;
	if (map ? jinja_filter(a->v.u.s->s) : jinja_test(a->v.u.s->s))
		return true;
	return jp_fail(ps, "%s '%s' is not known", map ? "filter" : "test",
		       a->v.u.s->s);
}

/* At the name of a filter of what (NULL: of a block). */
struct jnode *jp_filter(struct parser *ps, struct jnode *what)
{
	struct jnode *n = jp_node(ps, N_FILTER);

	n->a = what;
	if (!jp_is(ps, T_NAME))
		return jp_expected(ps, "name");
	n->fn = jinja_filter(ps->p->s);
	if (!n->fn)
		return jp_fail(ps, "filter '%s' is not known", ps->p->s);
	ps->p++;
	if (what && !jp_over(ps, n, what))
		return NULL;
	if (jp_is(ps, T_LPAREN) && !arguments(ps, n))
		return NULL;
	return inner_name(ps, n) ? n : NULL;
}

static bool begins_argument(const struct parser *ps)
{
	switch (ps->p->kind) {
	case T_NAME:
		return !jp_word(ps, "else") && !jp_word(ps, "or") &&
		       !jp_word(ps, "and");
	case T_STRING:
	case T_INT:
	case T_FLOAT:
	case T_LBRACKET:
	case T_LBRACE:
		return true;
	default:
		return false;
	}
}

/* Behind "is". */
static struct jnode *test(struct parser *ps, struct jnode *what)
{
	bool negate = jp_skip_word(ps, "not");
	struct jnode *n = jp_node(ps, N_TEST), *arg;

	n->a = what;
	if (!jp_is(ps, T_NAME))
		return jp_expected(ps, "name");
	n->fn = jinja_test(ps->p->s);
	if (!n->fn)
		return jp_fail(ps, "test '%s' is not known", ps->p->s);
	ps->p++;
	if (!jp_over(ps, n, what))
		return NULL;
	if (jp_is(ps, T_LPAREN)) {
		if (!arguments(ps, n))
			return NULL;
	} else if (begins_argument(ps)) {
		if (jp_word(ps, "is"))
			return jp_fail(ps, "tests cannot be chained with 'is'");
		arg = jp_primary(ps, false);
		if (arg)
			arg = postfix(ps, arg);
		if (!jp_append(ps, n, &n->list, arg))
			return NULL;
	}
	return negate ? wrap(ps, N_NOT, n, NULL) : n;
}

/* --- subscripts ----------------------------------------------------------- */

static bool slice_part(struct parser *ps, struct jnode *n, struct jnode **part)
{
	if (jp_is(ps, T_COLON) || jp_is(ps, T_RBRACKET) || jp_is(ps, T_COMMA))
		return true;
	*part = jp_expression(ps, true);
	return *part && jp_over(ps, n, *part);
}

/* Between [ and ]. */
static struct jnode *subscript(struct parser *ps, struct jnode *what)
{
	struct jnode *n = jp_node(ps, N_ITEM), *tuple;

	n->a = what;
	if (!jp_over(ps, n, what))
		return NULL;
	if (jp_is(ps, T_RBRACKET)) {
		n->b = jp_node(ps, N_TUPLE);
		ps->p++;
		return n;
	}
	if (!slice_part(ps, n, &n->b))
		return NULL;
	if (jp_skip(ps, T_COLON)) {
		n->kind = N_SLICE;
		if (!slice_part(ps, n, &n->c) ||
		    (jp_skip(ps, T_COLON) && !slice_part(ps, n, &n->d)))
			return NULL;
	} else if (jp_is(ps, T_COMMA)) {
		tuple = jp_node(ps, N_TUPLE);
		if (!jp_append(ps, tuple, &tuple->list, n->b))
			return NULL;
		while (jp_skip(ps, T_COMMA))
			if (!jp_append(ps, tuple, &tuple->list,
				       jp_expression(ps, true)))
				return NULL;
		n->b = tuple;
	}
	if (n->kind == N_SLICE && jp_is(ps, T_COMMA))
		return jp_fail(ps, "slices in tuples are not supported");
	return jp_want(ps, T_RBRACKET, "]") && jp_over(ps, n, n->b) ? n : NULL;
}

static struct jnode *dotted(struct parser *ps, struct jnode *what)
{
	struct jnode *n = jp_node(ps, N_ATTR);

	n->a = what;
	if (!jp_over(ps, n, what))
		return NULL;
	if (jp_is(ps, T_NAME)) {
		n->attr = jp_literal(ps->t, ps->p->s, ps->p->n);
	} else if (jp_is(ps, T_INT)) {
		n->kind = N_ITEM;
		n->b = jp_node(ps, N_CONST);
		n->b->v = jv_int(ps->p->i);
	} else {
		return jp_expected(ps, "name or number");
	}
	ps->p++;
	return n;
}

static struct jnode *postfix(struct parser *ps, struct jnode *n)
{
	while (n) {
		if (jp_skip(ps, T_DOT))
			n = dotted(ps, n);
		else if (jp_skip(ps, T_LBRACKET))
			n = subscript(ps, n);
		else if (jp_is(ps, T_LPAREN))
			n = call(ps, n);
		else
			break;
	}
	return n;
}

static struct jnode *filters_and_tests(struct parser *ps, struct jnode *n)
{
	while (n) {
		if (jp_skip(ps, T_PIPE))
			n = jp_filter(ps, n);
		else if (jp_skip_word(ps, "is"))
			n = test(ps, n);
		else if (jp_is(ps, T_LPAREN))
			n = call(ps, n);
		else
			break;
	}
	return n;
}

/* --- expressions ---------------------------------------------------------- */

static bool tuple_ends(const struct parser *ps, const char *end)
{
	return jp_is(ps, T_PRINT_END) || jp_is(ps, T_TAG_END) ||
	       jp_is(ps, T_RPAREN) || (end && jp_word(ps, end));
}

/* One expression, or several with commas; targets: names to assign to. */
struct jnode *jp_tuple(struct parser *ps, bool targets, bool nsref, bool cond,
		       bool parens, const char *end)
{
	struct jnode *n = jp_node(ps, N_TUPLE), **last = &n->list, *v;
	bool many = false;

	for (;;) {
		if (n->list && !jp_want(ps, T_COMMA, ","))
			return NULL;
		if (tuple_ends(ps, end))
			break;
		v = targets ? jp_primary(ps, nsref) : jp_expression(ps, cond);
		if (!v || !jp_over(ps, n, v))
			return NULL;
		*last = v;
		last = &v->next;
		if (!jp_is(ps, T_COMMA))
			break;
		many = true;
	}
	if (many)
		return n;
	if (n->list)
		return n->list;
	return parens ? n : jp_expected(ps, "expression");
}

static struct jnode *list_literal(struct parser *ps)
{
	struct jnode *n = jp_node(ps, N_LIST), **last = &n->list, *v;

	while (!jp_is(ps, T_RBRACKET)) {
		if (n->list && !jp_want(ps, T_COMMA, ","))
			return NULL;
		if (jp_is(ps, T_RBRACKET))
			break;
		v = jp_expression(ps, true);
		if (!v || !jp_over(ps, n, v))
			return NULL;
		*last = v;
		last = &v->next;
	}
	ps->p++;
	return n;
}

static struct jnode *dict_literal(struct parser *ps)
{
	struct jnode *n = jp_node(ps, N_DICT), **last = &n->list, *k, *v;

	while (!jp_is(ps, T_RBRACE)) {
		if (n->list && !jp_want(ps, T_COMMA, ","))
			return NULL;
		if (jp_is(ps, T_RBRACE))
			break;
		k = jp_expression(ps, true);
		if (!k || !jp_want(ps, T_COLON, ":"))
			return NULL;
		v = jp_expression(ps, true);
		if (!v || !jp_over(ps, n, k) || !jp_over(ps, n, v))
			return NULL;
		*last = k;
		k->next = v;
		last = &v->next;
	}
	ps->p++;
	return n;
}

static struct jnode *string(struct parser *ps)
{
	struct jnode *n = jp_node(ps, N_CONST);
	struct ft_str s = {0};

	for (; jp_is(ps, T_STRING); ps->p++)
		ft_str_add(&s, ps->p->s, ps->p->n);
	n->v = jv_str(jp_literal(ps->t, ft_str_cstr(&s), s.n));
	ft_str_release(&s);
	return n;
}

static struct jnode *name(struct parser *ps, bool nsref)
{
	static const struct {
		const char *word;
		struct jval v;
	} consts[] = {
		{"true", {.t = V_BOOL, .u.b = true}},
		{"True", {.t = V_BOOL, .u.b = true}},
		{"false", {.t = V_BOOL, .u.b = false}},
		{"False", {.t = V_BOOL, .u.b = false}},
		{"none", {.t = V_NONE}},
		{"None", {.t = V_NONE}},
	};
	struct jnode *n = jp_node(ps, N_CONST);

	for (size_t i = 0; i < sizeof(consts) / sizeof(*consts); i++) {
		if (jp_word(ps, consts[i].word)) {
			n->v = consts[i].v;
			ps->p++;
			return n;
		}
	}
	n->kind = N_NAME;
	n->name = jinja_intern(ps->t, ps->p->s, ps->p->n);
	if (!strcmp(n->name, "self") || !strcmp(n->name, "super") ||
	    !strcmp(n->name, "lipsum"))
		return jp_fail(ps, "'%s' is not supported", n->name);
	ps->p++;
	if (nsref && jp_skip(ps, T_DOT)) {
		n->kind = N_NSREF;
		if (!jp_is(ps, T_NAME))
			return jp_expected(ps, "name");
		n->attr = jp_literal(ps->t, ps->p->s, ps->p->n);
		ps->p++;
	}
	return n;
}

static struct jnode *parenthesis(struct parser *ps)
{
	struct jnode *n = jp_tuple(ps, false, false, true, true, NULL);

	return n && jp_want(ps, T_RPAREN, ")") ? n : NULL;
}

struct jnode *jp_primary(struct parser *ps, bool nsref)
{
	struct jnode *n;

	switch (ps->p->kind) {
	case T_NAME:
		return name(ps, nsref);
	case T_STRING:
		return string(ps);
	case T_INT:
	case T_FLOAT:
		n = jp_node(ps, N_CONST);
		n->v = jp_is(ps, T_INT) ? jv_int(ps->p->i) : jv_float(ps->p->f);
		ps->p++;
		return n;
	case T_LPAREN:
	case T_LBRACKET:
	case T_LBRACE:
		if (!jp_deeper(ps))
			return NULL;
		ps->p++;
		if (ps->p[-1].kind == T_LBRACKET)
			n = list_literal(ps);
		else if (ps->p[-1].kind == T_LBRACE)
			n = dict_literal(ps);
		else
			n = parenthesis(ps);
		ps->depth--;
		return n;
	default:
		return jp_expected(ps, "expression");
	}
}

static struct jnode *unary(struct parser *ps, bool filters)
{
	struct jnode *n;

	if (!jp_deeper(ps))
		return NULL;
	if (jp_skip(ps, T_SUB)) {
		n = wrap(ps, N_NEG, unary(ps, false), NULL);
	} else if (jp_skip(ps, T_ADD)) {
		n = wrap(ps, N_POS, unary(ps, false), NULL);
	} else {
		n = jp_primary(ps, false);
	}
	n = postfix(ps, n);
	if (filters)
		n = filters_and_tests(ps, n);
	ps->depth--;
	return n;
}

static struct jnode *binary(struct parser *ps, int level)
{
	static const enum jtok ops[][5] = {
		{T_ADD, T_SUB, T_EOF, T_EOF, T_EOF},
		{T_TILDE, T_EOF, T_EOF, T_EOF, T_EOF},
		{T_MUL, T_DIV, T_FLOORDIV, T_MOD, T_EOF},
		{T_POW, T_EOF, T_EOF, T_EOF, T_EOF},
	};
	struct jnode *n, *right, *cat = NULL;

	if (level == 4)
		return unary(ps, true);
	n = binary(ps, level + 1);
	while (n) {
		enum jtok op = ps->p->kind;
		int i = 0;

		while (ops[level][i] != T_EOF && ops[level][i] != op)
			i++;
		if (ops[level][i] == T_EOF)
			break;
		ps->p++;
		right = binary(ps, level + 1);
		if (!right)
			return NULL;
		if (op == T_TILDE) {
			if (!cat) {
				cat = jp_node(ps, N_CONCAT);
				if (!jp_append(ps, cat, &cat->list, n))
					return NULL;
				n = cat;
			}
			if (!jp_append(ps, cat, &cat->list, right))
				return NULL;
			continue;
		}
		n = wrap(ps, N_BINARY, n, right);
		if (n)
			n->op = op;
	}
	return n;
}

static struct jnode *compare(struct parser *ps)
{
	struct jnode *n = binary(ps, 0), *all = NULL, *right;

	while (n) {
		enum jtok op = ps->p->kind;

		if (op == T_NAME && jp_word(ps, "in")) {
			op = T_IN;
			ps->p++;
		} else if (op == T_NAME && jp_word(ps, "not") &&
			   token_word(ps->p + 1, "in")) {
			op = T_NOT_IN;
			ps->p += 2;
		} else if (op >= T_EQ && op <= T_LE) {
			ps->p++;
		} else {
			break;
		}
		right = binary(ps, 0);
		if (!right)
			return NULL;
		if (!all) {
			all = jp_node(ps, N_COMPARE);
			all->a = n;
			if (!jp_over(ps, all, n))
				return NULL;
			n = all;
		}
		right = wrap(ps, N_POS, right, NULL); /* to hold op */
		if (!jp_append(ps, all, &all->list, right))
			return NULL;
		right->op = op;
	}
	return n;
}

static struct jnode *negation(struct parser *ps)
{
	struct jnode *n;

	if (!jp_skip_word(ps, "not"))
		return compare(ps);
	if (!jp_deeper(ps))
		return NULL;
	n = wrap(ps, N_NOT, negation(ps), NULL);
	ps->depth--;
	return n;
}

static struct jnode *conjunction(struct parser *ps)
{
	struct jnode *n = negation(ps);

	while (n && jp_skip_word(ps, "and"))
		n = wrap(ps, N_AND, n, negation(ps));
	return n;
}

static struct jnode *disjunction(struct parser *ps)
{
	struct jnode *n = conjunction(ps);

	while (n && jp_skip_word(ps, "or"))
		n = wrap(ps, N_OR, n, conjunction(ps));
	return n;
}

static struct jnode *conditional(struct parser *ps)
{
	struct jnode *n = disjunction(ps), *c;

	while (n && jp_skip_word(ps, "if")) {
		c = jp_node(ps, N_COND);
		c->a = n;
		c->b = disjunction(ps);
		if (!c->b)
			return NULL;
		if (jp_skip_word(ps, "else")) {
			c->c = jp_expression(ps, true);
			if (!c->c)
				return NULL;
		}
		n = jp_over(ps, c, c->a) && jp_over(ps, c, c->b) &&
				    jp_over(ps, c, c->c)
			    ? c
			    : NULL;
	}
	return n;
}

struct jnode *jp_expression(struct parser *ps, bool cond)
{
	struct jnode *n;

	if (!jp_deeper(ps))
		return NULL;
	n = cond ? conditional(ps) : disjunction(ps);
	ps->depth--;
	return n;
}
