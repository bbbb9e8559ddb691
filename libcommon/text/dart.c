/* SPDX-License-Identifier: MIT */
#include "libcommon/text/dart.h"

#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"

enum { MAX_NESTING = 64 }; /* of code in strings in code */

static bool ident_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       c == '$' || (unsigned char)c >= 0x80;
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* --- literals and comments ------------------------------------------------ */

struct scan {
	const char *s;
	size_t n;
	bool torn;
};

static size_t skip_string(struct scan *x, size_t i, bool raw, int depth);

/* From after a slash-star to after the star-slash; they nest. */
static size_t skip_block_comment(struct scan *x, size_t i)
{
	int depth = 1;

	while (i + 1 < x->n) {
		if (x->s[i] == '*' && x->s[i + 1] == '/') {
			i += 2;
			if (!--depth)
				return i;
		} else if (x->s[i] == '/' && x->s[i + 1] == '*') {
			i += 2;
			depth++;
		} else {
			i++;
		}
	}
	x->torn = true;
	return x->n;
}

/* What stands at i if it is a comment: the place after it, else i. */
static size_t skip_comment(struct scan *x, size_t i)
{
	const char *nl;

	if (i + 1 >= x->n || x->s[i] != '/')
		return i;
	if (x->s[i + 1] == '*')
		return skip_block_comment(x, i + 2);
	if (x->s[i + 1] != '/')
		return i;
	nl = memchr(x->s + i, '\n', x->n - i);
	return nl ? (size_t)(nl - x->s) : x->n;
}

/* From after "${" to after its brace. */
static size_t skip_interpolation(struct scan *x, size_t i, int depth)
{
	int braces = 1;

	while (i < x->n) {
		size_t j = skip_comment(x, i);
		char c = x->s[i];

		if (j != i) {
			i = j;
		} else if (c == '\'' || c == '"') {
			bool raw = i && x->s[i - 1] == 'r' &&
				   (i < 2 || (!ident_start(x->s[i - 2]) &&
					      !digit(x->s[i - 2])));

			i = skip_string(x, i, raw, depth + 1);
		} else {
			i++;
			braces += (c == '{') - (c == '}');
			if (!braces)
				return i;
		}
	}
	x->torn = true;
	return i;
}

/* i is at the opening quote; returns the place after the closing one. */
static size_t skip_string(struct scan *x, size_t i, bool raw, int depth)
{
	char q = x->s[i];
	bool three = i + 2 < x->n && x->s[i + 1] == q && x->s[i + 2] == q;

	if (depth > MAX_NESTING) {
		x->torn = true;
		return x->n;
	}
	i += three ? 3 : 1;
	while (i < x->n) {
		char c = x->s[i];

		if (c == q && !three)
			return i + 1;
		if (c == q && i + 2 < x->n && x->s[i + 1] == q &&
		    x->s[i + 2] == q)
			return i + 3;
		if (c == '\n' && !three)
			break;
		if (c == '\\' && !raw)
			i += 2;
		else if (c == '$' && !raw && i + 1 < x->n && x->s[i + 1] == '{')
			i = skip_interpolation(x, i + 2, depth);
		else
			i++;
	}
	x->torn = true;
	return i < x->n ? i : x->n;
}

/* --- tokens --------------------------------------------------------------- */

static size_t next_end(struct scan *x, size_t i, enum ft_dart_kind *kind)
{
	const char *s = x->s;
	size_t j = i;

	if (s[i] == '\'' || s[i] == '"') {
		*kind = FT_DART_STRING;
		return skip_string(x, i, false, 0);
	}
	if (s[i] == 'r' && i + 1 < x->n &&
	    (s[i + 1] == '\'' || s[i + 1] == '"')) {
		*kind = FT_DART_STRING;
		return skip_string(x, i + 1, true, 0);
	}
	if (!ident_start(s[i]) && !digit(s[i])) {
		*kind = FT_DART_PUNCT;
		return i + 1;
	}
	*kind = digit(s[i]) ? FT_DART_NUMBER : FT_DART_IDENT;
	while (j < x->n && (ident_start(s[j]) || digit(s[j]) ||
			    (*kind == FT_DART_NUMBER && s[j] == '.' &&
			     j + 1 < x->n && digit(s[j + 1]))))
		j++;
	return j;
}

static char closer_of(char c)
{
	return c == '(' ? ')' : c == '[' ? ']' : c == '{' ? '}' : 0;
}

/* Pair the bracket i, if it is one; open is the innermost open one. */
static size_t pair(struct ft_dart *d, size_t i, size_t open)
{
	struct ft_dart_tok *t = &d->t[i];
	char c = d->s[t->at];

	t->up = open;
	if (t->kind != FT_DART_PUNCT)
		return open;
	if (closer_of(c))
		return i;
	if (c != ')' && c != ']' && c != '}')
		return open;
	if (open == FT_DART_NONE || closer_of(d->s[d->t[open].at]) != c) {
		d->balanced = false;
		return open;
	}
	t->match = open;
	d->t[open].match = i;
	t->up = d->t[open].up;
	return t->up;
}

void ft_dart_lex(struct ft_dart *d, const char *s, size_t n)
{
	struct scan x = {.s = s, .n = n};
	size_t i = 0, open = FT_DART_NONE;

	d->s = s;
	d->ns = n;
	d->n = 0;
	d->balanced = true;
	while (i < n) {
		size_t end = skip_comment(&x, i);
		enum ft_dart_kind kind;

		if (end != i) {
			i = end;
			continue;
		}
		if (strchr(" \t\r\n\f", s[i]) || !s[i]) {
			i++;
			continue;
		}
		end = next_end(&x, i, &kind);
		FT_GROW(d->t, d->n, d->cap, 1);
		d->t[d->n] = (struct ft_dart_tok){.kind = kind,
						  .at = i,
						  .n = end - i,
						  .match = FT_DART_NONE};
		open = pair(d, d->n++, open);
		i = end;
	}
	if (open != FT_DART_NONE)
		d->balanced = false;
	d->whole = !x.torn;
}

void ft_dart_release(struct ft_dart *d)
{
	free(d->t);
	*d = (struct ft_dart){0};
}

bool ft_dart_is(const struct ft_dart *d, size_t i, const char *text)
{
	size_t n = strlen(text);

	return i < d->n && d->t[i].n == n &&
	       !memcmp(d->s + d->t[i].at, text, n);
}

/* --- members -------------------------------------------------------------- */

/* The brace that opens the body of the declaration whose keyword is token i;
   *first is where its members begin. */
static size_t body_of(const struct ft_dart *d, size_t i, size_t *first)
{
	bool is_enum = ft_dart_is(d, i, "enum");
	size_t j = i + 1, end;

	while (j < d->n && !ft_dart_is(d, j, "{")) {
		if (ft_dart_is(d, j, ";"))
			return FT_DART_NONE;
		j = d->t[j].match != FT_DART_NONE ? d->t[j].match + 1 : j + 1;
	}
	if (j >= d->n)
		return FT_DART_NONE;
	*first = j + 1;
	end = d->t[j].match;
	while (is_enum && *first < end) {
		size_t k = (*first)++;

		if (ft_dart_is(d, k, ";"))
			break;
		if (d->t[k].match != FT_DART_NONE)
			*first = d->t[k].match + 1;
	}
	return j;
}

static bool declares(const struct ft_dart *d, size_t i)
{
	return (ft_dart_is(d, i, "class") || ft_dart_is(d, i, "mixin") ||
		ft_dart_is(d, i, "extension") || ft_dart_is(d, i, "enum")) &&
	       i + 1 < d->n && d->t[i + 1].kind == FT_DART_IDENT;
}

/* Go to the next body with members; false when there is none. */
static bool enter(const struct ft_dart *d, struct ft_dart_walk *w)
{
	while (w->i < d->n) {
		size_t i = w->i, first, open;

		if (d->t[i].match != FT_DART_NONE && d->t[i].match > i) {
			w->i = d->t[i].match + 1;
			continue;
		}
		w->i++;
		/* of `mixin class X` and `enum class` the last word counts */
		if (!declares(d, i) || declares(d, i + 1))
			continue;
		open = body_of(d, i, &first);
		if (open == FT_DART_NONE)
			continue;
		w->owner = ft_dart_is(d, i + 1, "type") ? i + 2 : i + 1;
		w->i = first;
		w->end = d->t[open].match;
		return true;
	}
	return false;
}

/* Does the brace i begin a set or map, by what stands before it? */
static bool literal_brace(const struct ft_dart *d, size_t i)
{
	return ft_dart_is(d, i - 1, "=") || ft_dart_is(d, i - 1, ">") ||
	       ft_dart_is(d, i - 1, "const");
}

/*
 * The last token of the member that begins at i: its `;`, or the brace of its
 * body.  After `=` or `=>` a brace belongs to a value, except that a
 * constructor's body follows its list of initialisers.
 */
static size_t member_end(const struct ft_dart *d, size_t i, size_t end)
{
	bool value = false, initialisers = false;

	for (; i < end; i++) {
		if (ft_dart_is(d, i, ";"))
			return i;
		if (ft_dart_is(d, i, ":") && ft_dart_is(d, i - 1, ")") &&
		    !value)
			initialisers = true;
		if (ft_dart_is(d, i, "=") &&
		    !ft_dart_is(d, i - 1, "operator") &&
		    !ft_dart_is(d, i - 2, "operator"))
			value = true;
		if (d->t[i].match == FT_DART_NONE || d->t[i].match < i)
			continue;
		if (ft_dart_is(d, i, "{") &&
		    (initialisers ? !literal_brace(d, i) : !value))
			return d->t[i].match;
		i = d->t[i].match;
	}
	return end - 1;
}

static void name_member(const struct ft_dart *d, struct ft_dart_member *m)
{
	size_t i = m->first;
	int angle = 0;

	while (ft_dart_is(d, i, "@")) {
		m->is_override |= ft_dart_is(d, i + 1, "override");
		i += 2;
		while (ft_dart_is(d, i, ".") || ft_dart_is(d, i - 1, "."))
			i++;
		if (ft_dart_is(d, i, "("))
			i = d->t[i].match + 1;
	}
	m->name = i;
	for (; i <= m->last; i++) {
		if (ft_dart_is(d, i, "operator")) {
			m->name = i;
			return;
		}
		if (ft_dart_is(d, i, "Function") && ft_dart_is(d, i + 1, "(")) {
			i = d->t[i + 1].match;
			continue;
		}
		angle += ft_dart_is(d, i, "<");
		angle -= ft_dart_is(d, i, ">");
		if (angle > 0)
			continue;
		if (ft_dart_is(d, i, "(") || ft_dart_is(d, i, "=") ||
		    ft_dart_is(d, i, ";") || ft_dart_is(d, i, "{"))
			break;
		if (d->t[i].kind != FT_DART_IDENT ||
		    ft_dart_is(d, i, "async") || ft_dart_is(d, i, "sync"))
			continue;
		/* X.named is X's constructor */
		if (ft_dart_is(d, i - 1, ".") && m->name == i - 2 &&
		    m->is_constructor)
			continue;
		m->name = i;
		m->is_constructor =
			d->t[i].n == d->t[m->owner].n &&
			!memcmp(d->s + d->t[i].at, d->s + d->t[m->owner].at,
				d->t[i].n);
	}
	/* a field or method of the class's own type is none */
	if (m->is_constructor && !ft_dart_is(d, i, "("))
		m->is_constructor = false;
}

bool ft_dart_member(const struct ft_dart *d, struct ft_dart_walk *w,
		    struct ft_dart_member *m)
{
	while (!w->end || w->i >= w->end) {
		if (w->end)
			w->i = w->end + 1;
		w->end = 0;
		if (!enter(d, w))
			return false;
	}
	*m = (struct ft_dart_member){.first = w->i, .owner = w->owner};
	m->last = member_end(d, w->i, w->end);
	name_member(d, m);
	w->i = m->last + 1;
	return true;
}
