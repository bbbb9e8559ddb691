/* SPDX-License-Identifier: MIT */
/*
 * judge - is this the Flutter code that the instruction asked for?
 *
 *	judge <ROWS >ROWS
 *
 * A row with `prompt`, `a` and `b` gets `winner` ("a", "b" or "tie") and the
 * two rewards; a row with `prompt` and `completion` gets `reward`, 0 to 1, and
 * `grades`.  All else in a row passes through.  Nothing is run and nothing is
 * looked up: the answer is the same on any machine.
 *
 * The reward is the sum of these grades, each 0 to 1, times its weight; rewards
 * within TIE of each other are a tie.
 *
 *	balanced .25	brackets pair outside strings and comments, strings and
 *			comments end; else half of the part before the first
 *			fault, half where some are only left open
 *	parses   .15	part of the declarations, at top level and in classes,
 *			that begin and end as Dart's do
 *	asked    .20	part of the names (and quoted labels) of the instruction
 *			that the code holds
 *	declared .10	something that the instruction names is declared; for a
 *			test: it has tests
 *	current  .10	no deprecated API: half of it lost for each other name
 *	end      .15	the answer ends after its last declaration: it is not
 *			cut and does not run on into another file
 *	fresh    .05	does not repeat itself
 *
 * An answer without a declaration gets 0, one of under 60 tokens a part of its
 * sum in proportion, so that saying little wins nothing.
 *
 * It knows Dart's words, strings (raw, of three quotes, with interpolation) and
 * nested comments, and guesses at the rest; flutter.bats shows it right and
 * wrong code.
 */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/die.h"
#include "libcommon/base/opt.h"
#include "libcommon/io/output.h"
#include "libcommon/io/rows.h"

static const double TIE = 0.02;
enum { ENOUGH = 60, MAX_DEPTH = 200, GRAM = 12 };

enum { BALANCED, PARSES, ASKED, DECLARED, CURRENT, END, FRESH, NGRADE };
static const char *const grade_names[NGRADE] = {
	"balanced", "parses", "asked", "declared", "current", "end", "fresh",
};
static const double weights[NGRADE] = {.25, .15, .20, .10, .10, .15, .05};

/* --- tokens -------------------------------------------------------------- */

enum kind { WORD, NUMBER, STRING, PUNCT };

struct token {
	enum kind kind;
	const char *s;
	size_t n;
	int depth; /* brackets open before it (a closing one: after it) */
};

struct code {
	struct token *v; /* owned */
	size_t n, cap;
	int open;    /* brackets that were never closed */
	bool wrong;  /* a bracket, string or comment that does not fit */
	double read; /* part of the text before that, else 1 */
};

struct lexer {
	const char *p, *end;
	struct code *code;
	char stack[MAX_DEPTH]; /* of open brackets; '$' is that of ${ */
	int depth;
};

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$';
}

static void put(struct lexer *l, enum kind kind, const char *s, int depth)
{
	struct code *c = l->code;

	FT_GROW(c->v, c->n, c->cap, 1);
	c->v[c->n++] = (struct token){kind, s, (size_t)(l->p - s), depth};
}

static void lex_until(struct lexer *l, int floor);

/* At the opening quote. */
static void lex_string(struct lexer *l, bool raw)
{
	char q = *l->p;
	bool three = l->end - l->p >= 3 && l->p[1] == q && l->p[2] == q;
	const char *from = l->p;
	int depth = l->depth;

	l->p += three ? 3 : 1;
	while (l->p < l->end) {
		if (*l->p == '\\' && !raw && l->end - l->p > 1) {
			l->p += 2;
		} else if (*l->p == '$' && !raw && l->end - l->p > 1 &&
			   l->p[1] == '{' && l->depth < MAX_DEPTH) {
			l->p += 2;
			l->stack[l->depth++] = '$';
			lex_until(l, depth);
			if (l->code->wrong)
				return;
		} else if (*l->p == q &&
			   (!three || (l->end - l->p >= 3 && l->p[1] == q &&
				       l->p[2] == q))) {
			l->p += three ? 3 : 1;
			put(l, STRING, from, depth);
			return;
		} else if (*l->p == '\n' && !three) {
			break;
		} else {
			l->p++;
		}
	}
	l->code->wrong = true;
}

static void lex_comment(struct lexer *l)
{
	int nested = 0;

	if (l->p[1] == '/') {
		while (l->p < l->end && *l->p != '\n')
			l->p++;
		return;
	}
	do {
		if (l->end - l->p < 2) {
			l->code->wrong = true;
			l->p = l->end;
			return;
		}
		if (l->p[0] == '/' && l->p[1] == '*') {
			nested++;
			l->p += 2;
		} else if (l->p[0] == '*' && l->p[1] == '/') {
			nested--;
			l->p += 2;
		} else {
			l->p++;
		}
	} while (nested);
}

static void lex_bracket(struct lexer *l)
{
	static const char opens[] = "([{", closes[] = ")]}";
	const char *from = l->p, *close = strchr(closes, *from);
	char top;

	l->p++;
	if (!close) {
		if (l->depth == MAX_DEPTH) {
			l->code->wrong = true;
			return;
		}
		put(l, PUNCT, from, l->depth);
		l->stack[l->depth++] = *from;
		return;
	}
	top = l->depth ? l->stack[l->depth - 1] : 0;
	if (top != opens[close - closes] && !(top == '$' && *from == '}')) {
		l->code->wrong = true;
		return;
	}
	l->depth--;
	if (top != '$')
		put(l, PUNCT, from, l->depth);
}

/* Up to the bracket that takes the depth back to floor; -1: to the end. */
static void lex_until(struct lexer *l, int floor)
{
	while (l->p < l->end && !l->code->wrong && l->depth > floor) {
		const char *from = l->p;
		char c = *from, d = l->end - from > 1 ? from[1] : 0;

		if (isspace((unsigned char)c)) {
			l->p++;
		} else if (c == '/' && (d == '/' || d == '*')) {
			lex_comment(l);
		} else if (c == '\'' || c == '"') {
			lex_string(l, false);
		} else if (c == 'r' && (d == '\'' || d == '"')) {
			l->p++;
			lex_string(l, true);
		} else if (is_word(c)) {
			while (l->p < l->end && is_word(*l->p))
				l->p++;
			put(l, isdigit((unsigned char)c) ? NUMBER : WORD, from,
			    l->depth);
		} else if (strchr("()[]{}", c)) {
			lex_bracket(l);
		} else {
			l->p++;
			put(l, PUNCT, from, l->depth);
		}
	}
}

static void lex(struct code *code, const char *s, size_t n)
{
	struct lexer l = {.p = s, .end = s + n, .code = code};

	lex_until(&l, -1);
	code->open = l.depth;
	code->read = code->wrong && n ? (double)(l.p - s) / (double)n : 1;
}

static bool is(const struct token *t, const char *s)
{
	return t->n == strlen(s) && memcmp(t->s, s, t->n) == 0;
}

static bool is_any(const struct token *t, const char *const *words)
{
	for (; *words; words++) {
		if (is(t, *words))
			return true;
	}
	return false;
}

/* Does the word stand in the text, faults or not? */
static bool has_word(const char *text, size_t size, const char *s, size_t n)
{
	const char *end = text + size, *p = text;

	for (; (p = memmem(p, (size_t)(end - p), s, n)); p++) {
		if ((p == text || !is_word(p[-1])) &&
		    (p + n == end || !is_word(p[n])))
			return true;
	}
	return false;
}

/* --- declarations -------------------------------------------------------- */

struct decls {
	int n, good;
	bool real;      /* one that is no import */
	bool misplaced; /* an import after other declarations */
	struct token name[256];
	int nname;
};

static void add_name(struct decls *d, const struct token *t)
{
	if (d->nname < 256)
		d->name[d->nname++] = *t;
}

static const char *const directives[] = {"import", "export", "part", "library",
					 NULL};
static const char *const modifiers[] = {"abstract",  "sealed", "base",
					"interface", "final",  "external",
					"augment",   NULL};
static const char *const types[] = {"class",     "enum",    "mixin",
				    "extension", "typedef", NULL};
/* What begins a statement and no declaration. */
static const char *const statements[] = {
	"if",    "else",    "for",    "while",    "do",       "switch",
	"case",  "default", "return", "break",    "continue", "try",
	"catch", "finally", "throw",  "await",    "yield",    "assert",
	"super", "this",    "child",  "children", NULL,
};

/* From `@` behind the annotation. */
static size_t skip_annotations(const struct code *c, size_t i, size_t end)
{
	while (i < end && is(&c->v[i], "@")) {
		i += 2;
		while (i + 1 < end && is(&c->v[i], "."))
			i += 2;
		if (i < end && is(&c->v[i], "(")) {
			int depth = c->v[i].depth;

			for (i++; i < end && c->v[i].depth > depth; i++)
				;
			i++;
		}
	}
	return i;
}

/* One past the last token of the declaration at i: a `;` or a `}` on its
   depth; end when neither comes. */
static size_t decl_end(const struct code *c, size_t i, size_t end, int depth)
{
	static const char *const more[] = {";", ",", ")", NULL};
	bool value = false; /* behind = or =>: a `}` ends a literal */
	bool init = false;  /* in a constructor's list: = says nothing */

	for (; i < end; i++) {
		const struct token *t = &c->v[i];

		if (t->depth != depth)
			continue;
		if (is(t, "operator")) {
			while (i + 1 < end && !is(&c->v[i + 1], "("))
				i++;
			continue;
		}
		if (is(t, ";"))
			return i + 1;
		init = init || (is(t, ":") && !value);
		value = value || (is(t, "=") && !init);
		if (is(t, "}") && !value &&
		    !(i + 1 < end && is_any(&c->v[i + 1], more)))
			return i + 1;
	}
	return end;
}

static void scan_decls(const struct code *c, size_t i, size_t end, int depth,
		       struct decls *d);

/* class A { ... } and its kin, from the word after the modifiers. */
static bool good_type(const struct code *c, size_t i, size_t end, int depth,
		      struct decls *d)
{
	const struct token *last = &c->v[end - 1];
	bool alias = is(&c->v[i], "typedef"), list = is(&c->v[i], "enum");
	size_t body = i;

	i++;
	if (i < end && (is(&c->v[i], "class") || is(&c->v[i], "type")))
		i++;
	if (i + 1 >= end || c->v[i].kind != WORD)
		return false;
	add_name(d, &c->v[i]);
	if (alias)
		return is(last, ";");
	while (body < end &&
	       !(is(&c->v[body], "{") && c->v[body].depth == depth))
		body++;
	if (body == end)
		return is(last, ";"); /* class A = B with C; */
	if (!is(last, "}"))
		return false;
	if (list) {
		while (body < end &&
		       !(is(&c->v[body], ";") && c->v[body].depth == depth + 1))
			body++;
	}
	if (body + 1 < end)
		scan_decls(c, body + 1, end - 1, depth + 1, d);
	return true;
}

/* A function, method, field or variable: words, then one of ( = ; => {. */
static bool good_other(const struct code *c, size_t i, size_t end, int depth,
		       struct decls *d)
{
	const struct token *first = &c->v[i], *last = &c->v[end - 1];
	const struct token *name = NULL;
	bool call = false;

	if (first->kind != WORD && !is(first, "("))
		return false;
	if (is_any(first, statements) || (!is(last, ";") && !is(last, "}")))
		return false;
	if (is(first, "(")) { /* a record's type */
		for (i++; i < end && c->v[i].depth > depth; i++)
			;
		i++;
	}
	for (; i < end; i++) {
		const struct token *t = &c->v[i];

		if (t->depth != depth)
			continue;
		if (t->kind == WORD)
			name = t;
		call = call || (name && is(t, "("));
		if (is(t, "(") || is(t, "=") || is(t, "{") || is(t, ";"))
			break;
	}
	if (!name)
		return false;
	if (depth == 0)
		add_name(d, name);
	return call || name != first; /* `foo;` declares nothing */
}

static bool good_decl(const struct code *c, size_t i, size_t end, int depth,
		      struct decls *d)
{
	size_t k = skip_annotations(c, i, end);

	if (k >= end)
		return false;
	if (depth == 0 && is_any(&c->v[k], directives)) {
		d->misplaced = d->misplaced || d->real;
		return is(&c->v[end - 1], ";") && k + 2 < end &&
		       (c->v[k + 1].kind == STRING || c->v[k + 1].kind == WORD);
	}
	d->real = true;
	if (depth == 0) {
		size_t m = k;

		while (m < end && is_any(&c->v[m], modifiers))
			m++;
		if (m < end && is_any(&c->v[m], types))
			return good_type(c, m, end, depth, d);
	}
	return good_other(c, k, end, depth, d);
}

static void scan_decls(const struct code *c, size_t i, size_t end, int depth,
		       struct decls *d)
{
	while (i < end) {
		size_t stop = decl_end(c, i, end, depth);

		d->n++;
		d->good += good_decl(c, i, stop, depth, d);
		i = stop;
	}
}

/* --- what was asked ------------------------------------------------------ */

struct span {
	const char *s;
	size_t n;
};

/* The instruction within the prompt, or all of it. */
static struct span instruction(const char *prompt, size_t n)
{
	static const char head[] = "**Instruction**: ";
	const char *s = memmem(prompt, n, head, strlen(head)), *e;

	if (!s)
		return (struct span){prompt, n};
	s += strlen(head);
	n -= (size_t)(s - prompt);
	e = memmem(s, n, "\n\n**", 4);
	return (struct span){s, e ? (size_t)(e - s) : n};
}

/* A word that is a name in code: an inner capital, a call, a type's bracket, or
   a capital within the sentence. */
static bool is_name(struct span in, const char *s, size_t n)
{
	const char *next = s + n;
	bool inner = false, lower = false;

	for (size_t i = 0; i < n; i++) {
		lower = lower || islower((unsigned char)s[i]);
		inner = inner || (i && isupper((unsigned char)s[i]));
	}
	if (!lower || n < 3)
		return false;
	if (inner)
		return true;
	if (next < in.s + in.n && (*next == '(' || *next == '<'))
		return true;
	return isupper((unsigned char)*s) && s - in.s >= 2 && s[-1] == ' ' &&
	       !strchr(".:!?", s[-2]);
}

struct asked {
	int n, found, ndecl;
};

static bool declares(const struct decls *d, const char *s, size_t n)
{
	for (int i = 0; i < d->nname; i++) {
		if (d->name[i].n == n && memcmp(d->name[i].s, s, n) == 0)
			return true;
	}
	return false;
}

static void look_for_names(struct span in, const struct decls *d,
			   const char *text, size_t n, struct asked *a)
{
	for (size_t i = 0, k; i < in.n; i = k) {
		const char *s = in.s + i;

		k = i + 1;
		if (*s == '"') {
			const char *e = memchr(s + 1, '"', in.n - i - 1);

			if (!e)
				continue;
			k = (size_t)(e - in.s) + 1;
			a->n++;
			a->found += memmem(text, n, s + 1,
					   (size_t)(e - s - 1)) != NULL;
		} else if (is_word(*s)) {
			while (k < in.n && is_word(in.s[k]))
				k++;
			if (!is_name(in, s, k - i))
				continue;
			a->n++;
			a->found += has_word(text, n, s, k - i);
			a->ndecl += declares(d, s, k - i);
		}
	}
}

static bool asks_for_test(struct span in)
{
	return memmem(in.s, in.n, "test", 4) || memmem(in.s, in.n, "Test", 4);
}

/* --- the rest of the grades ---------------------------------------------- */

struct api {
	const char *group, *old, *inside;
};

/* What ft-pairgen puts in place of current API. */
static const struct api apis[] = {
#define API(group, lead, from, to, inside) {group, to, inside},
#include "libcommon/text/corrupt_rules.inc"
};

/* Groups whose old side is also said rightly of other things. */
static const char *const also_current[] = {
	"argb", "theme-data", "riverpod", "launch", "share", NULL,
};

static bool ambiguous(const struct api *a)
{
	for (int i = 0; also_current[i]; i++) {
		if (strcmp(also_current[i], a->group) == 0)
			return true;
	}
	return a->inside != NULL;
}

/* Does the pattern stand at token i?  `*` is any word, `-` no token. */
static bool stands_at(const struct code *pattern, const struct code *c,
		      size_t i)
{
	for (size_t k = 0; k < pattern->n; k++) {
		const struct token *p = &pattern->v[k];

		if (is(p, "-"))
			continue;
		if (i == c->n ||
		    (is(p, "*") ? c->v[i].kind != WORD
				: p->n != c->v[i].n ||
					  memcmp(p->s, c->v[i].s, p->n) != 0))
			return false;
		i++;
	}
	return true;
}

static int deprecated_names(const struct code *c)
{
	int n = 0;

	for (size_t k = 0; k < sizeof(apis) / sizeof(*apis); k++) {
		struct code pattern = {0};

		if (ambiguous(&apis[k]))
			continue;
		lex(&pattern, apis[k].old, strlen(apis[k].old));
		for (size_t i = 0; i < c->n; i++) {
			if (stands_at(&pattern, c, i)) {
				n++;
				break;
			}
		}
		free(pattern.v);
	}
	return n;
}

/* Lines `// lib/...dart` and `// test/...dart`: one names the file. */
static int named_files(const char *s, size_t n)
{
	const char *end = s + n;
	int files = 0;

	while (s < end) {
		const char *nl = memchr(s, '\n', (size_t)(end - s));
		size_t len = (size_t)((nl ? nl : end) - s);

		if (len > 12 && memcmp(s + len - 5, ".dart", 5) == 0 &&
		    (memcmp(s, "// lib/", 7) == 0 ||
		     memcmp(s, "// test/", 8) == 0))
			files++;
		s += len + 1;
	}
	return files;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* 1 up to a fifth of runs of GRAM tokens said before, 0 from a half on. */
static double freshness(const struct code *c)
{
	size_t n = c->n > GRAM ? c->n - GRAM : 0, again = 0;
	double part;
	uint64_t *h;

	if (!n)
		return 1;
	h = ft_xcalloc(n, sizeof(*h));
	for (size_t i = 0; i < n; i++) {
		uint64_t x = 0xcbf29ce484222325;

		for (size_t k = i; k < i + GRAM; k++) {
			for (size_t b = 0; b < c->v[k].n; b++)
				x = (x ^ (unsigned char)c->v[k].s[b]) *
				    0x100000001b3;
			x = (x ^ ' ') * 0x100000001b3;
		}
		h[i] = x;
	}
	qsort(h, n, sizeof(*h), by_value);
	for (size_t i = 1; i < n; i++)
		again += h[i] == h[i - 1];
	free(h);
	part = (double)again / (double)n;
	return part < .2 ? 1 : part > .5 ? 0 : (.5 - part) / .3;
}

/* --- reward -------------------------------------------------------------- */

static double reward(struct span prompt, struct span text, bool cut,
		     double g[NGRADE])
{
	struct span in = instruction(prompt.s, prompt.n);
	struct code c = {0};
	struct decls d = {0};
	struct asked a = {0};
	const struct token *last;
	double sum = 0;

	memset(g, 0, NGRADE * sizeof(*g));
	lex(&c, text.s, text.n);
	if (c.n)
		scan_decls(&c, 0, c.n, 0, &d);
	if (!d.real || !d.good)
		goto out;
	look_for_names(in, &d, text.s, text.n, &a);
	last = &c.v[c.n - 1];

	g[BALANCED] = c.wrong || c.open ? .5 * c.read : 1;
	g[PARSES] = (double)d.good / d.n;
	g[ASKED] = a.n ? (double)a.found / a.n : 1;
	if (asks_for_test(in) && (has_word(text.s, text.n, "test", 4) ||
				  has_word(text.s, text.n, "testWidgets", 11) ||
				  has_word(text.s, text.n, "blocTest", 8)))
		g[DECLARED] = 1;
	else
		g[DECLARED] = a.ndecl > 0 || !a.n;
	g[CURRENT] = 1 - .5 * deprecated_names(&c);
	if (g[CURRENT] < 0)
		g[CURRENT] = 0;
	g[END] = !c.wrong && !c.open && !cut && !d.misplaced &&
		 (is(last, "}") || is(last, ";")) && last->depth == 0 &&
		 named_files(text.s, text.n) <= 1;
	g[FRESH] = freshness(&c);
	for (int i = 0; i < NGRADE; i++)
		sum += weights[i] * g[i];
	if (c.n < ENOUGH)
		sum *= (double)c.n / ENOUGH;
out:
	free(c.v);
	return sum;
}

/* --- rows ---------------------------------------------------------------- */

static struct span text_of(const struct ft_row *row, const char *key)
{
	struct span t = {NULL, 0};
	struct ft_err err;
	int k = ft_json_str(row->obj, key, &t.s, &t.n, &err);

	if (k <= 0) {
		if (k == 0)
			ft_err_set(&err, FT_EXIT_DATA, "field '%s' is missing",
				   key);
		ft_err_at(&err, row->file, row->line);
		ft_die_err(&err);
	}
	return t;
}

static bool is_cut(const struct ft_row *row, const char *key)
{
	const struct ft_json *v = ft_json_get(row->obj, key);

	return v && v->type == FT_JSON_STRING && strcmp(v->s, "length") == 0;
}

static void judge_two(const struct ft_row *row, struct ft_str *out)
{
	struct span p = text_of(row, "prompt");
	double g[NGRADE], a, b;
	struct ft_str ra = {0}, rb = {0};
	const char *w;

	a = reward(p, text_of(row, "a"), is_cut(row, "a_finish_reason"), g);
	b = reward(p, text_of(row, "b"), is_cut(row, "b_finish_reason"), g);
	w = a > b + TIE ? "\"a\"" : b > a + TIE ? "\"b\"" : "\"tie\"";
	ft_str_addf(&ra, "%.4f", a);
	ft_str_addf(&rb, "%.4f", b);
	ft_row_edit(row,
		    (const struct ft_edit[]){{"winner", w, strlen(w), NULL},
					     {"reward_a", ra.s, ra.n, NULL},
					     {"reward_b", rb.s, rb.n, NULL}},
		    3, out);
	ft_str_release(&ra);
	ft_str_release(&rb);
}

static void judge_one(const struct ft_row *row, struct ft_str *out)
{
	struct ft_str r = {0}, grades = {0};
	double g[NGRADE];

	ft_str_addf(&r, "%.4f",
		    reward(text_of(row, "prompt"), text_of(row, "completion"),
			   is_cut(row, "finish_reason"), g));
	for (int i = 0; i < NGRADE; i++)
		ft_str_addf(&grades, "%c\"%s\":%.3g", i ? ',' : '{',
			    grade_names[i], g[i]);
	ft_str_addc(&grades, '}');
	ft_row_edit(
		row,
		(const struct ft_edit[]){{"reward", r.s, r.n, NULL},
					 {"grades", grades.s, grades.n, NULL}},
		2, out);
	ft_str_release(&r);
	ft_str_release(&grades);
}

int main(int argc, char **argv)
{
	const char *output = NULL;
	const struct ft_opt opts[] = {
		FT_STR_FREE('o', "output", &output, "FILE",
			    "write there instead of to stdout"),
		FT_END,
	};
	struct ft_str line = {0};
	struct ft_output *out;
	struct ft_rows *rows;
	struct ft_row row;
	struct ft_err err;
	int i, k;

	ft_start(argv[0]);
	i = ft_opt_parse(argc, argv, opts, "[-o FILE] [ROWS...]",
			 "Grade Flutter code by what was asked for.");
	if (ft_rows_open(&rows, argv + i, argc - i, NULL, &err) ||
	    ft_output_open(&out, output, false, &err))
		ft_die_err(&err);
	while ((k = ft_rows_next(rows, &row, &err)) > 0) {
		ft_str_clear(&line);
		if (ft_json_get(row.obj, "a"))
			judge_two(&row, &line);
		else
			judge_one(&row, &line);
		ft_str_addc(&line, '\n');
		if (ft_output_write(out, line.s, line.n, &err))
			ft_die_err(&err);
	}
	if (k < 0 || ft_output_commit(out, &err))
		ft_die_err(&err);
	ft_rows_close(rows);
	ft_str_release(&line);
	return 0;
}
