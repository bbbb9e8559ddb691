/* SPDX-License-Identifier: MIT */
#include "libcommon/text/corrupt.h"

#include <stdlib.h>
#include <string.h>

#include "libcommon/text/corrupt_priv.h"

const char *const ft_corruption_names[FT_NCORRUPT] = {
	[FT_CORRUPT_IMPORT] = "missing-import",
	[FT_CORRUPT_PROPERTY] = "wrong-widget-property",
	[FT_CORRUPT_BRACKET] = "unbalanced-bracket",
	[FT_CORRUPT_API] = "deprecated-api",
	[FT_CORRUPT_MEMBER] = "dropped-member",
	[FT_CORRUPT_STATE] = "stale-state",
};

struct ft_corruptor *ft_corruptor_new(void)
{
	return ft_xcalloc(1, sizeof(struct ft_corruptor));
}

void ft_corruptor_free(struct ft_corruptor *c)
{
	if (!c)
		return;
	for (int k = 0; k < FT_NCORRUPT; k++) {
		free(c->ways[k].change);
		free(c->ways[k].first);
	}
	ft_dart_release(&c->d);
	ft_arena_release(&c->arena);
	free(c);
}

void ft_corruptor_set(struct ft_corruptor *c, const char *s, size_t n)
{
	ft_arena_clear(&c->arena);
	for (int k = 0; k < FT_NCORRUPT; k++) {
		c->ways[k].n = c->ways[k].nway = 0;
		c->known[k] = false;
	}
	ft_dart_lex(&c->d, s, n);
}

/* --- changes -------------------------------------------------------------- */

void ft_way(struct ft_ways *w)
{
	FT_GROW(w->first, w->nway, w->capway, 1);
	w->first[w->nway++] = w->n;
}

void ft_way_change(struct ft_ways *w, size_t at, size_t n, const char *s,
		   size_t ns)
{
	FT_GROW(w->change, w->n, w->cap, 1);
	w->change[w->n++] =
		(struct ft_change){.at = at, .n = n, .s = s, .ns = ns};
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Bytes [at, end) and, if nothing else stands there, their whole lines. */
static void whole_lines(const struct ft_dart *d, size_t *at, size_t *end)
{
	size_t a = *at, e = *end;

	while (a && blank(d->s[a - 1]))
		a--;
	while (e < d->ns && blank(d->s[e]))
		e++;
	if ((a && d->s[a - 1] != '\n') || (e < d->ns && d->s[e] != '\n'))
		return;
	*at = a;
	*end = e < d->ns ? e + 1 : e;
}

void ft_way_delete(struct ft_corruptor *c, struct ft_ways *w, size_t i,
		   size_t j)
{
	const struct ft_dart *d = &c->d;
	size_t at = d->t[i].at, end = d->t[j].at + d->t[j].n;

	whole_lines(d, &at, &end);
	if (at == d->t[i].at) {
		/* one of the spaces around it goes too */
		while (end < d->ns && d->s[end] == ' ')
			end++;
	}
	ft_way_change(w, at, end - at, "", 0);
}

static int by_place(const void *a, const void *b)
{
	const struct ft_change *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

void ft_corruptor_make(struct ft_corruptor *c, enum ft_corruption kind,
		       size_t way, struct ft_str *out)
{
	struct ft_ways *w = &c->ways[kind];
	size_t from, to, at = 0;

	ft_corruptor_ways(c, kind);
	from = w->first[way];
	to = way + 1 < w->nway ? w->first[way + 1] : w->n;
	qsort(w->change + from, to - from, sizeof(*w->change), by_place);
	for (; from < to; from++) {
		const struct ft_change *e = &w->change[from];

		if (e->at < at)
			continue;
		ft_str_add(out, c->d.s + at, e->at - at);
		ft_str_add(out, e->s, e->ns);
		at = e->at + e->n;
	}
	ft_str_add(out, c->d.s + at, c->d.ns - at);
}

/* --- the kinds that need no table ----------------------------------------- */

static void ways_import(struct ft_corruptor *c, struct ft_ways *w)
{
	const struct ft_dart *d = &c->d;

	for (size_t i = 0; i + 2 < d->n; i++) {
		size_t j = i + 1;

		if (d->t[i].up != FT_DART_NONE || !ft_dart_is(d, i, "import") ||
		    d->t[j].kind != FT_DART_STRING)
			continue;
		while (j < d->n && !ft_dart_is(d, j, ";"))
			j++;
		if (j == d->n)
			break;
		ft_way(w);
		ft_way_delete(c, w, i, j);
		i = j;
	}
}

static void ways_bracket(struct ft_corruptor *c, struct ft_ways *w)
{
	const struct ft_dart *d = &c->d;

	if (!d->balanced || !d->whole)
		return;
	for (size_t i = 0; i < d->n; i++) {
		size_t at = d->t[i].at, end = at + 1, j = i;

		if (d->t[i].match == FT_DART_NONE || d->t[i].match > i)
			continue;
		/* `),` alone on its line goes with its line */
		if (ft_dart_is(d, i + 1, ",") || ft_dart_is(d, i + 1, ";"))
			j = i + 1;
		end = d->t[j].at + 1;
		whole_lines(d, &at, &end);
		if (at == d->t[i].at && end == d->t[j].at + 1)
			end = at + 1;
		ft_way(w);
		ft_way_change(w, at, end - at, "", 0);
		ft_way(w);
		ft_way_change(w, d->t[i].at, 0, d->s + d->t[i].at, 1);
	}
}

/* Is the name of m used outside of it (or is it one that others call)? */
static bool needed(const struct ft_dart *d, const struct ft_dart_member *m)
{
	const struct ft_dart_tok *name = &d->t[m->name];

	if (m->is_override)
		return true;
	if (m->is_constructor || name->kind != FT_DART_IDENT)
		return false;
	for (size_t i = 0; i < d->n; i++) {
		if (i == m->first)
			i = m->last + 1;
		if (i < d->n && d->t[i].kind == FT_DART_IDENT &&
		    d->t[i].n == name->n &&
		    !memcmp(d->s + d->t[i].at, d->s + name->at, name->n))
			return true;
	}
	return false;
}

static size_t line_after(const struct ft_dart *d, size_t at)
{
	const char *nl = memchr(d->s + at, '\n', d->ns - at);

	return nl ? (size_t)(nl - d->s) + 1 : d->ns;
}

static bool empty_line(const struct ft_dart *d, size_t at)
{
	while (at < d->ns && blank(d->s[at]))
		at++;
	return at < d->ns && d->s[at] == '\n';
}

/* The bytes of a member with the comments before it and one empty line. */
static void member_bytes(const struct ft_dart *d,
			 const struct ft_dart_member *m, size_t *at,
			 size_t *end)
{
	const struct ft_dart_tok *prev = &d->t[m->first - 1];
	const struct ft_dart_tok *next = &d->t[m->last + 1];
	size_t before = prev->at + prev->n;
	size_t after = d->t[m->last].at + d->t[m->last].n;
	size_t nl = line_after(d, before);

	*at = nl <= d->t[m->first].at ? nl : d->t[m->first].at;
	*end = after;
	nl = line_after(d, after);
	if (*at == d->t[m->first].at || nl > next->at)
		return;
	/* its last line may end in a comment about it */
	*end = nl;
	if (empty_line(d, *at) && d->s[next->at] != '}')
		*at = line_after(d, *at);
	if (empty_line(d, *end) &&
	    (d->s[prev->at] == '{' || empty_line(d, line_after(d, before))))
		*end = line_after(d, *end);
}

static void ways_member(struct ft_corruptor *c, struct ft_ways *w)
{
	const struct ft_dart *d = &c->d;
	struct ft_dart_walk walk = {0};
	struct ft_dart_member m;

	if (!d->balanced || !d->whole)
		return;
	while (ft_dart_member(d, &walk, &m)) {
		size_t at, end;

		if (!needed(d, &m))
			continue;
		member_bytes(d, &m, &at, &end);
		ft_way(w);
		ft_way_change(w, at, end - at, "", 0);
	}
}

size_t ft_corruptor_ways(struct ft_corruptor *c, enum ft_corruption kind)
{
	static void (*const find[FT_NCORRUPT])(struct ft_corruptor *,
					       struct ft_ways *) = {
		[FT_CORRUPT_IMPORT] = ways_import,
		[FT_CORRUPT_PROPERTY] = ft_ways_property,
		[FT_CORRUPT_BRACKET] = ways_bracket,
		[FT_CORRUPT_API] = ft_ways_api,
		[FT_CORRUPT_MEMBER] = ways_member,
		[FT_CORRUPT_STATE] = ft_ways_state,
	};

	if (!c->known[kind])
		find[kind](c, &c->ways[kind]);
	c->known[kind] = true;
	return c->ways[kind].nway;
}
