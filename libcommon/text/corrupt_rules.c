/* SPDX-License-Identifier: MIT */
/* The kinds of corruption that are data: corrupt_rules.inc. */
#include <string.h>

#include "libcommon/text/corrupt_priv.h"

struct rule {
	const char *group;
	bool lead;
	const char *from, *to;
	const char *inside; /* callee, or NULL */
};

#define API(group, lead, from, to, inside) {group, lead, from, to, inside},
static const struct rule api[] = {
#include "libcommon/text/corrupt_rules.inc"
};

#define PROPERTY(label, wrong, inside) {NULL, true, label, wrong, inside},
static const struct rule property[] = {
#include "libcommon/text/corrupt_rules.inc"
};

/* The next word of a pattern: its length, 0 at the end. */
static size_t word(const char **s)
{
	*s += strspn(*s, " ");
	return strcspn(*s, " ");
}

static bool token_is(const struct ft_dart *d, size_t i, const char *s, size_t n)
{
	return i < d->n && d->t[i].n == n && !memcmp(d->s + d->t[i].at, s, n);
}

/*
 * The name that is called with the arguments that token i stands directly in:
 * `Name(`, `Name.other(` (both of its words) and `Name<T>(`.
 */
static bool called(const struct ft_dart *d, size_t i, const char *name,
		   bool *is_widget)
{
	size_t j = d->t[i].up;
	bool found = false;

	*is_widget = false;
	if (j == FT_DART_NONE || !ft_dart_is(d, j, "("))
		return false;
	if (j && ft_dart_is(d, j - 1, ">")) {
		while (j && !ft_dart_is(d, j, "<"))
			j--;
	}
	while (j && d->t[j - 1].kind == FT_DART_IDENT) {
		char c = d->s[d->t[--j].at];

		found |= name && ft_dart_is(d, j, name);
		*is_widget |= c >= 'A' && c <= 'Z';
		if (!j || !ft_dart_is(d, j - 1, "."))
			break;
		j--;
	}
	return found;
}

static bool label(const struct ft_dart *d, size_t i)
{
	return i && d->t[i].kind == FT_DART_IDENT &&
	       ft_dart_is(d, i + 1, ":") &&
	       (ft_dart_is(d, i - 1, "(") || ft_dart_is(d, i - 1, ","));
}

/* Does the pattern stand at token i?  Returns its tokens, or 0. */
static size_t matches(const struct ft_dart *d, size_t i, const struct rule *r)
{
	const char *s = r->from;
	size_t n, k = 0;
	bool widget;

	while ((n = word(&s)) > 0) {
		bool any = n == 1 && *s == '*';

		if (any ? i + k >= d->n || d->t[i + k].kind != FT_DART_IDENT
			: !token_is(d, i + k, s, n))
			return 0;
		s += n;
		k++;
	}
	if (r->inside && (!label(d, i) || !called(d, i, r->inside, &widget)))
		return 0;
	return k;
}

static void replace(struct ft_corruptor *c, struct ft_ways *w, size_t i,
		    const char *to)
{
	const struct ft_dart *d = &c->d;
	size_t n;

	for (; (n = word(&to)) > 0; to += n, i++) {
		size_t j = i;

		if (n == 1 && *to == '*')
			continue;
		if (n != 1 || *to != '-') {
			if (!token_is(d, i, to, n))
				ft_way_change(w, d->t[i].at, d->t[i].n, to, n);
			continue;
		}
		while (to[n] == ' ' && to[n + 1] == '-') {
			to += n + 1;
			j++;
		}
		ft_way_delete(c, w, i, j);
		i = j;
	}
}

/* A way is all of a group's rows, wherever they match. */
static void group_way(struct ft_corruptor *c, struct ft_ways *w, size_t from,
		      size_t to)
{
	const struct ft_dart *d = &c->d;
	bool begun = false;

	for (size_t r = from; r < to && !begun; r++) {
		for (size_t i = 0; i < d->n && api[r].lead && !begun; i++)
			begun = matches(d, i, &api[r]) > 0;
	}
	if (!begun)
		return;
	ft_way(w);
	for (size_t i = 0; i < d->n; i++) {
		for (size_t r = from; r < to; r++) {
			size_t n = matches(d, i, &api[r]);

			if (!n)
				continue;
			replace(c, w, i, api[r].to);
			break;
		}
	}
}

void ft_ways_api(struct ft_corruptor *c, struct ft_ways *w)
{
	size_t n = sizeof(api) / sizeof(*api), from = 0;

	for (size_t r = 1; r <= n; r++) {
		if (r < n && !strcmp(api[r].group, api[from].group))
			continue;
		group_way(c, w, from, r);
		from = r;
	}
}

void ft_ways_property(struct ft_corruptor *c, struct ft_ways *w)
{
	const struct ft_dart *d = &c->d;

	for (size_t i = 1; i + 1 < d->n; i++) {
		if (!label(d, i))
			continue;
		for (size_t r = 0; r < sizeof(property) / sizeof(*property);
		     r++) {
			const struct rule *p = &property[r];
			bool widget, in;

			if (!ft_dart_is(d, i, p->from))
				continue;
			in = called(d, i, p->inside, &widget);
			if (!widget || (p->inside && !in))
				continue;
			ft_way(w);
			ft_way_change(w, d->t[i].at, d->t[i].n, p->to,
				      strlen(p->to));
		}
	}
}
