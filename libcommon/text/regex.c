/* SPDX-License-Identifier: MIT */
/* Regular expressions: from their text to a tree, and to a program. */
#include "libcommon/text/regex.h"

#include <stdlib.h>
#include <string.h>

#include "libcommon/text/regex_priv.h"

enum {
	MAX_DEPTH = 50,      /* of groups */
	MAX_COUNT = 1000,    /* in {n,m} */
	MAX_PROGRAM = 20000, /* instructions */
};

struct node {
	enum { SET, CAT, ALT, REP, AHEAD, BEHIND, EOL } kind;
	uint32_t set; /* SET, AHEAD, BEHIND */
	uint32_t min, max;
	enum { GREEDY, LAZY, POSSESSIVE } how;
	bool nullable;
	struct node *child, *next; /* CAT, ALT: a list; REP: one */
};

struct parser {
	struct ft_arena *a;
	const char *p, *end;
	bool fold; /* inside (?i:) */
	unsigned depth;
	struct ft_rx_set *set;
	size_t nset, cap;
	struct ft_err *err;
};

static int unknown(struct parser *c, const char *what)
{
	return ft_err_set(c->err, FT_EXIT_DATA, "%s is not supported", what);
}

static bool at(const struct parser *c, const char *s)
{
	size_t n = strlen(s);

	return (size_t)(c->end - c->p) >= n && !memcmp(c->p, s, n);
}

static bool eat(struct parser *c, const char *s)
{
	bool yes = at(c, s);

	if (yes)
		c->p += strlen(s);
	return yes;
}

/* --- sets ----------------------------------------------------------------- */

static void add_range(struct parser *c, struct ft_rx_set *s, uint32_t from,
		      uint32_t to)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 4;
		uint32_t *v = ft_arena_alloc(c->a, 2 * cap * sizeof(*v));

		if (s->n)
			memcpy(v, s->range, 2 * s->n * sizeof(*v));
		s->range = v;
		s->cap = cap;
	}
	s->range[2 * s->n] = from;
	s->range[2 * s->n + 1] = to;
	s->n++;
}

/*
 * Without regard to case, of ASCII: the other case, and the two characters
 * beyond ASCII whose lower case is in it, U+017F and U+212A.
 */
static int add_folded(struct parser *c, struct ft_rx_set *s, uint32_t from,
		      uint32_t to)
{
	if (to >= 128)
		return unknown(c, "(?i:) around what is not ASCII");
	for (uint32_t ch = from; ch <= to; ch++) {
		uint32_t low = ch | 32;

		add_range(c, s, ch, ch);
		if (low < 'a' || low > 'z')
			continue;
		add_range(c, s, ch ^ 32, ch ^ 32);
		if (low == 's' || low == 'k')
			add_range(c, s, low == 's' ? 0x17f : 0x212a,
				  low == 's' ? 0x17f : 0x212a);
	}
	return 0;
}

static int add_chars(struct parser *c, struct ft_rx_set *s, uint32_t from,
		     uint32_t to)
{
	if (from > to)
		return unknown(c, "a range that ends before it begins");
	if (c->fold)
		return add_folded(c, s, from, to);
	add_range(c, s, from, to);
	return 0;
}

/* \p{...}: categories, by their first letter or whole; Han. */
static int property(struct parser *c, struct ft_rx_set *s, bool negated)
{
	static const char name[] = "CnLuLlLtLmLoMnMcMeNdNlNoPcPdPsPePiPfPo"
				   "SmScSkSoZsZlZpCcCfCsCo";
	const char *from = c->p, *to;
	uint32_t mask = 0;
	size_t n;

	if (*from == '^') {
		negated = !negated;
		from++;
	}
	to = memchr(from, '}', (size_t)(c->end - from));
	if (!to)
		return unknown(c, "\\p{ without }");
	n = (size_t)(to - from);
	if (n == 3 && !memcmp(from, "Han", 3)) {
		*(negated ? &s->absent : &s->flags) |= FT_UC_HAN;
		c->p = to + 1;
		return 0;
	}
	for (unsigned i = 0; i < sizeof(name) / 2; i++)
		if ((n == 1 || n == 2) && !memcmp(from, name + 2 * i, n))
			mask |= 1u << i;
	if (!mask)
		return ft_err_set(c->err, FT_EXIT_DATA,
				  "\\p{%.*s} is not supported", (int)(n & 63),
				  from);
	s->categories |= negated ? ~mask : mask;
	c->p = to + 1;
	return 0;
}

static bool alphanumeric(char c)
{
	return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

/* After a backslash: a class goes into s (1), a character into *cp (0). */
static int escape(struct parser *c, struct ft_rx_set *s, uint32_t *cp)
{
	static const char from[] = "nrtfvae", to[] = "\n\r\t\f\v\a\033";
	const char *control;
	char ch;

	if (c->p == c->end || *c->p & 0x80)
		return unknown(c, "a backslash before nothing known");
	ch = *c->p++;
	if (strchr("sSdDwWpP", ch) && c->fold)
		return unknown(c, "a class inside (?i:)");
	switch (ch) {
	case 's':
		s->flags |= FT_UC_S;
		return 1;
	case 'S':
		s->absent |= FT_UC_S;
		return 1;
	case 'w':
		s->flags |= FT_UC_WORD;
		return 1;
	case 'W':
		s->absent |= FT_UC_WORD;
		return 1;
	case 'd':
		s->categories |= 1u << FT_ND;
		return 1;
	case 'D':
		s->categories |= ~(1u << FT_ND);
		return 1;
	case 'p':
	case 'P':
		if (!eat(c, "{"))
			return unknown(c, "\\p without {");
		return property(c, s, ch == 'P') ? -1 : 1;
	default:
		break;
	}
	control = strchr(from, ch);
	if (!control && alphanumeric(ch))
		return ft_err_set(c->err, FT_EXIT_DATA, "\\%c is not supported",
				  ch);
	*cp = (unsigned char)(control ? to[control - from] : ch);
	return 0;
}

static uint32_t next_char(struct parser *c)
{
	return ft_utf8_next(&c->p);
}

/* One member of a class, and what it begins if it is a range. */
static int class_member(struct parser *c, struct ft_rx_set *s)
{
	uint32_t from, to;
	int rc;

	if (eat(c, "\\")) {
		rc = escape(c, s, &from);
		if (rc)
			return rc < 0 ? -1 : 0;
	} else {
		from = next_char(c);
	}
	to = from;
	if (at(c, "-") && !at(c, "-]") && c->end - c->p > 1) {
		c->p++;
		if (at(c, "["))
			return unknown(c, "a range to a class");
		if (eat(c, "\\")) {
			rc = escape(c, s, &to);
			if (rc)
				return rc < 0 ? -1
					      : unknown(c,
							"a range to a class");
		} else {
			to = next_char(c);
		}
	}
	return add_chars(c, s, from, to);
}

/* The inside of [...], to its end; a class in it adds its members. */
static int class_body(struct parser *c, struct ft_rx_set *s)
{
	bool any = false;

	for (; c->p < c->end && !at(c, "]"); any = true) {
		if (at(c, "&&"))
			return unknown(c, "&& in a class");
		if (at(c, "[^") || at(c, "[:"))
			return unknown(c, "[^ or [: in a class");
		if (at(c, "-") && any && !at(c, "-]"))
			return unknown(c, "- inside a class");
		if (eat(c, "[")) {
			if (++c->depth > MAX_DEPTH)
				return unknown(c, "such nesting");
			if (class_body(c, s))
				return -1;
			c->depth--;
		} else if (class_member(c, s)) {
			return -1;
		}
	}
	if (!any)
		return unknown(c, "an empty class");
	return eat(c, "]") ? 0 : unknown(c, "[ without ]");
}

/* Bits of the first 128, for look-up. */
static void finish_set(struct ft_rx_set *s)
{
	for (uint32_t cp = 0; cp < 128; cp++) {
		unsigned uc = ft_uc(cp);
		bool in = s->categories >> (uc >> FT_UC_CATEGORY) & 1 ||
			  s->flags & uc || s->absent & ~uc;

		for (size_t i = 0; i < 2 * s->n && !in; i += 2)
			in = cp >= s->range[i] && cp <= s->range[i + 1];
		if (in != s->negated)
			s->ascii[cp >> 6] |= 1ull << (cp & 63);
	}
}

static struct node *new_node(struct parser *c, int kind)
{
	struct node *v = ft_arena_zalloc(c->a, sizeof(*v));

	v->kind = kind;
	return v;
}

static struct node *set_node(struct parser *c, struct ft_rx_set *s)
{
	struct node *v = new_node(c, SET);

	finish_set(s);
	FT_GROW(c->set, c->nset, c->cap, 1);
	v->set = (uint32_t)c->nset;
	c->set[c->nset++] = *s;
	return v;
}

/* --- the tree ------------------------------------------------------------- */

static struct node *alternatives(struct parser *c);

static struct node *group(struct parser *c, const char *open)
{
	bool fold = c->fold;
	struct node *v;

	if (++c->depth > MAX_DEPTH) {
		unknown(c, "such nesting");
		return NULL;
	}
	c->fold = fold || !strcmp(open, "(?i:");
	v = alternatives(c);
	c->fold = fold;
	c->depth--;
	if (v && !eat(c, ")")) {
		unknown(c, "( without )");
		return NULL;
	}
	return v;
}

static struct node *look_ahead(struct parser *c, int kind)
{
	struct node *v = group(c, "(?=");

	while (v && (v->kind == CAT || v->kind == ALT) && v->child &&
	       !v->child->next)
		v = v->child;
	if (!v)
		return NULL;
	if (v->kind != SET) {
		unknown(c, "a lookahead for more than one character");
		return NULL;
	}
	v->kind = kind;
	v->nullable = true;
	return v;
}

static struct node *open_group(struct parser *c)
{
	static const char *const plain[] = {"(?:", "(?i:"};

	if (eat(c, "(?="))
		return look_ahead(c, AHEAD);
	if (eat(c, "(?!"))
		return look_ahead(c, BEHIND);
	for (int i = 0; i < 2; i++)
		if (eat(c, plain[i]))
			return group(c, plain[i]);
	if (at(c, "(?") || at(c, "(*")) {
		ft_err_set(c->err, FT_EXIT_DATA, "'%.*s' is not supported",
			   c->end - c->p > 3 ? 3 : (int)(c->end - c->p), c->p);
		return NULL;
	}
	c->p++;
	return group(c, "(");
}

/* Two letters that together are one character, in another case. */
static bool folds_together(uint32_t a, uint32_t b)
{
	a |= 32;
	b |= 32;
	return (a == 's' && (b == 's' || b == 't')) ||
	       (a == 'f' && (b == 'f' || b == 'i' || b == 'l'));
}

static struct node *literal(struct parser *c, uint32_t cp)
{
	struct ft_rx_set s = {0};

	if (c->fold && c->p < c->end &&
	    folds_together(cp, (unsigned char)*c->p)) {
		unknown(c, "(?i:) around letters that are one in another case");
		return NULL;
	}
	return add_chars(c, &s, cp, cp) ? NULL : set_node(c, &s);
}

static struct node *class(struct parser *c)
{
	struct ft_rx_set s = {0};

	s.negated = eat(c, "^");
	return class_body(c, &s) ? NULL : set_node(c, &s);
}

static struct node *atom(struct parser *c)
{
	struct ft_rx_set s = {0};
	uint32_t cp;
	int rc;

	if (at(c, "("))
		return open_group(c);
	if (eat(c, "["))
		return class(c);
	if (eat(c, "$")) {
		struct node *v = new_node(c, EOL);

		v->nullable = true;
		return v;
	}
	if (eat(c, ".")) {
		s.negated = true;
		add_range(c, &s, '\n', '\n');
		return set_node(c, &s);
	}
	if (eat(c, "\\")) {
		rc = escape(c, &s, &cp);
		if (rc < 0)
			return NULL;
		return rc ? set_node(c, &s) : literal(c, cp);
	}
	if (strchr("^*+?{", *c->p)) {
		ft_err_set(c->err, FT_EXIT_DATA, "'%c' here is not supported",
			   *c->p);
		return NULL;
	}
	return literal(c, next_char(c));
}

static bool number(struct parser *c, uint32_t *v)
{
	const char *from = c->p;

	*v = 0;
	while (c->p < c->end && *c->p >= '0' && *c->p <= '9' && *v <= MAX_COUNT)
		*v = *v * 10 + (uint32_t)(*c->p++ - '0');
	return c->p > from;
}

/* {n}, {n,}, {n,m} or {,m} behind its brace. */
static int counts(struct parser *c, uint32_t *min, uint32_t *max)
{
	if (!number(c, min) && (!at(c, ",") || at(c, ",}")))
		return unknown(c, "a { that is no count");
	*max = *min;
	if (eat(c, ",") && !number(c, max))
		*max = UINT32_MAX;
	if (!eat(c, "}"))
		return unknown(c, "a { that is no count");
	if (*min > MAX_COUNT || (*max > MAX_COUNT && *max != UINT32_MAX) ||
	    *max < *min || !*max)
		return unknown(c, "such a count");
	if (at(c, "?") || at(c, "+"))
		return unknown(c, "? or + behind a count");
	return 0;
}

static struct node *repeat(struct parser *c, struct node *child)
{
	struct node *v = new_node(c, REP);

	v->child = child;
	v->max = UINT32_MAX;
	if (eat(c, "{")) {
		if (counts(c, &v->min, &v->max))
			return NULL;
	} else if (eat(c, "?")) {
		v->max = 1;
	} else {
		v->min = *c->p++ == '+';
	}
	if (c->p[-1] != '}' && eat(c, "?"))
		v->how = LAZY;
	else if (c->p[-1] != '}' && eat(c, "+"))
		v->how = POSSESSIVE;
	v->nullable = !v->min || child->nullable;
	if (child->nullable)
		unknown(c, "a repetition of what may be nothing");
	else if (v->how == POSSESSIVE && child->kind != SET)
		unknown(c, "a possessive repetition of more than a character");
	else if (c->p < c->end && strchr("*+?{", *c->p))
		unknown(c, "a repetition of a repetition");
	else
		return v;
	return NULL;
}

static struct node *sequence(struct parser *c)
{
	struct node *v = new_node(c, CAT), **tail = &v->child;

	v->nullable = true;
	while (c->p < c->end && !at(c, "|") && !at(c, ")")) {
		struct node *k = atom(c);

		if (k && c->p < c->end && *c->p && strchr("*+?{", *c->p))
			k = repeat(c, k);
		if (!k)
			return NULL;
		*tail = k;
		tail = &k->next;
		v->nullable = v->nullable && k->nullable;
	}
	return v;
}

static struct node *alternatives(struct parser *c)
{
	struct node *v = new_node(c, ALT), **tail = &v->child;

	do {
		struct node *k = sequence(c);

		if (!k)
			return NULL;
		*tail = k;
		tail = &k->next;
		v->nullable = v->nullable || k->nullable;
	} while (eat(c, "|"));
	return v;
}

/* --- the program ---------------------------------------------------------- */

struct emitter {
	struct ft_rx_insn *insn;
	size_t n, cap;
	size_t nrun, nsplit;
};

static uint32_t emit(struct emitter *e, int op)
{
	struct ft_rx_insn *i;

	FT_GROW(e->insn, e->n, e->cap, 1);
	i = &e->insn[e->n++];
	memset(i, 0, sizeof(*i));
	i->op = op;
	if (op == FT_RX_RUN)
		i->memo = (uint32_t)e->nrun++;
	if (op == FT_RX_SPLIT)
		i->memo = (uint32_t)e->nsplit++;
	return (uint32_t)e->n - 1;
}

static void compile(struct emitter *e, const struct node *v);

/* The choice at `at` goes to its body, right behind it, or out to the end of
   the program as it stands. */
static void set_split(struct emitter *e, uint32_t at_insn, bool lazy)
{
	struct ft_rx_insn *i = &e->insn[at_insn];
	uint32_t body = at_insn + 1, out = (uint32_t)e->n;

	i->x = lazy ? out : body;
	i->y = lazy ? body : out;
}

static void compile_repeat(struct emitter *e, const struct node *v)
{
	uint32_t split, i;

	if (v->child->kind == SET && v->how != LAZY) {
		i = emit(e, FT_RX_RUN);
		e->insn[i].set = v->child->set;
		e->insn[i].min = v->min;
		e->insn[i].max = v->max;
		e->insn[i].possessive = v->how == POSSESSIVE;
		return;
	}
	for (i = 0; i < v->min && e->n < MAX_PROGRAM; i++)
		compile(e, v->child);
	if (v->max == UINT32_MAX) {
		split = emit(e, FT_RX_SPLIT);
		compile(e, v->child);
		i = emit(e, FT_RX_JUMP);
		e->insn[i].x = split;
		set_split(e, split, v->how == LAZY);
	} else if (v->max > v->min && e->n < MAX_PROGRAM) {
		/* x{0,3} is (x(xx?)?)? */
		struct node rest = *v;

		split = emit(e, FT_RX_SPLIT);
		compile(e, v->child);
		rest.min = 0;
		rest.max = v->max - v->min - 1;
		if (rest.max)
			compile_repeat(e, &rest);
		set_split(e, split, v->how == LAZY);
	}
}

static void compile_choice(struct emitter *e, const struct node *v)
{
	uint32_t jump[2] = {0}; /* the chain of jumps out, by their x */

	for (const struct node *k = v->child; k; k = k->next) {
		uint32_t split = 0;

		if (k->next)
			split = emit(e, FT_RX_SPLIT);
		compile(e, k);
		if (!k->next)
			break;
		jump[1] = emit(e, FT_RX_JUMP);
		e->insn[jump[1]].x = jump[0];
		jump[0] = jump[1];
		set_split(e, split, false);
	}
	while (jump[0]) {
		uint32_t before = e->insn[jump[0]].x;

		e->insn[jump[0]].x = (uint32_t)e->n;
		jump[0] = before;
	}
}

static void compile(struct emitter *e, const struct node *v)
{
	static const int op[] = {[SET] = FT_RX_SET,
				 [AHEAD] = FT_RX_AHEAD,
				 [BEHIND] = FT_RX_BEHIND,
				 [EOL] = FT_RX_EOL};
	uint32_t at_insn;

	if (e->n >= MAX_PROGRAM)
		return;
	switch (v->kind) {
	case CAT:
		for (const struct node *k = v->child; k; k = k->next)
			compile(e, k);
		break;
	case ALT:
		compile_choice(e, v);
		break;
	case REP:
		compile_repeat(e, v);
		break;
	case SET:
	case AHEAD:
	case BEHIND:
	case EOL:
		at_insn = emit(e, op[v->kind]);
		e->insn[at_insn].set = v->set;
		break;
	}
}

/* Bytes that a match of v can begin with; v is not nullable or what follows
   it in its sequence is looked at as well. */
static void first_bytes(const struct parser *c, const struct node *v,
			bool first[256])
{
	switch (v->kind) {
	case SET:
		for (unsigned b = 0; b < 128; b++)
			first[b] |=
				c->set[v->set].ascii[b >> 6] >> (b & 63) & 1;
		for (unsigned b = 0xc2; b < 0xf5; b++)
			first[b] = true;
		break;
	case CAT:
		for (const struct node *k = v->child; k; k = k->next) {
			first_bytes(c, k, first);
			if (!k->nullable)
				break;
		}
		break;
	case ALT:
		for (const struct node *k = v->child; k; k = k->next)
			first_bytes(c, k, first);
		break;
	case REP:
		first_bytes(c, v->child, first);
		break;
	case AHEAD:
	case BEHIND:
	case EOL:
		break;
	}
}

static int build(struct parser *c, const struct node *root,
		 struct ft_regex **out)
{
	struct ft_regex *re = ft_arena_zalloc(c->a, sizeof(*re));
	struct emitter e = {0};

	compile(&e, root);
	emit(&e, FT_RX_MATCH);
	if (e.n > MAX_PROGRAM) {
		free(e.insn);
		return unknown(c, "so long an expression");
	}
	re->insn = ft_arena_alloc(c->a, e.n * sizeof(*re->insn));
	memcpy(re->insn, e.insn, e.n * sizeof(*re->insn));
	re->ninsn = e.n;
	re->nrun = e.nrun;
	re->nsplit = e.nsplit;
	re->nset = c->nset;
	re->set = ft_arena_alloc(c->a, c->nset * sizeof(*re->set));
	if (c->nset)
		memcpy(re->set, c->set, c->nset * sizeof(*re->set));
	first_bytes(c, root, re->first);
	free(e.insn);
	*out = re;
	return 0;
}

int ft_regex_compile(struct ft_arena *a, const char *s, size_t n,
		     struct ft_regex **out, struct ft_err *err)
{
	struct parser c = {.a = a, .p = s, .end = s + n, .err = err};
	struct node *root;
	int rc = -1;

	if (memchr(s, 0, n) || ft_utf8_valid(s, n) != n)
		return unknown(&c, "a NUL");
	root = alternatives(&c);
	if (root && c.p < c.end)
		unknown(&c, "a ) without (");
	else if (root && root->nullable)
		unknown(&c, "an expression that matches nothing at all");
	else if (root)
		rc = build(&c, root, out);
	free(c.set);
	return rc;
}
