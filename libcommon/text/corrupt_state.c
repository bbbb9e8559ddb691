/* SPDX-License-Identifier: MIT */
/* Stale state: a change that is made and that nobody is told of. */
#include <string.h>

#include "libcommon/text/corrupt_priv.h"

/* Do the words (with spaces between them) stand at token i? */
static bool at(const struct ft_dart *d, size_t i, const char *words)
{
	while (*words) {
		size_t n = strcspn(words, " ");

		if (i >= d->n || d->t[i].n != n ||
		    memcmp(d->s + d->t[i].at, words, n) != 0)
			return false;
		words += n;
		words += *words == ' ';
		i++;
	}
	return true;
}

static size_t begin(const struct ft_dart *d, size_t i)
{
	return d->t[i].at;
}

static size_t end(const struct ft_dart *d, size_t i)
{
	return d->t[i].at + d->t[i].n;
}

/* --- setState ------------------------------------------------------------- */

static size_t indent_of(const struct ft_dart *d, size_t from)
{
	size_t a = from;

	while (a && d->s[a - 1] != '\n')
		a--;
	return strspn(d->s + a, " ") < from - a ? strspn(d->s + a, " ")
						: from - a;
}

static bool has_long_string(const struct ft_dart *d, size_t i, size_t j)
{
	for (; i < j; i++) {
		if (d->t[i].kind == FT_DART_STRING &&
		    memchr(d->s + d->t[i].at, '\n', d->t[i].n))
			return true;
	}
	return false;
}

/* Bytes [a, e) with each line moved to the left by n spaces. */
static void shift_left(struct ft_corruptor *c, struct ft_ways *w, size_t from,
		       size_t to, size_t a, size_t e, size_t n)
{
	char *s = ft_arena_alloc(&c->arena, e - a + 1);
	size_t k = 0;

	for (size_t i = a; i < e; i++) {
		s[k++] = c->d.s[i];
		if (c->d.s[i] != '\n')
			continue;
		for (size_t j = 0; j < n && i + 1 < e && c->d.s[i + 1] == ' ';
		     j++)
			i++;
	}
	ft_way_change(w, from, to - from, s, k);
}

/* setState(() { body }); with the body alone left. */
static void set_state_block(struct ft_corruptor *c, struct ft_ways *w, size_t i)
{
	const struct ft_dart *d = &c->d;
	size_t open = i + 4, close = d->t[open].match, paren = i + 1;
	size_t a, e, outer, inner;

	if (close == FT_DART_NONE || d->t[paren].match != close + 1 ||
	    !ft_dart_is(d, close + 2, ";"))
		return;
	ft_way(w);
	if (close == open + 1) {
		ft_way_delete(c, w, i, close + 2);
		return;
	}
	a = begin(d, open + 1);
	e = end(d, close - 1);
	outer = indent_of(d, begin(d, i));
	inner = indent_of(d, a);
	shift_left(c, w, begin(d, i), end(d, close + 2), a, e,
		   inner > outer && !has_long_string(d, open, close)
			   ? inner - outer
			   : 0);
}

/* setState(() => expression); with the expression alone left. */
static void set_state_arrow(struct ft_corruptor *c, struct ft_ways *w, size_t i)
{
	const struct ft_dart *d = &c->d;
	size_t close = d->t[i + 1].match;

	if (close == FT_DART_NONE || close < i + 7 ||
	    !ft_dart_is(d, close + 1, ";"))
		return;
	ft_way(w);
	ft_way_change(w, begin(d, i), begin(d, i + 6) - begin(d, i), "", 0);
	if (ft_dart_is(d, close - 1, ","))
		close--;
	ft_way_change(w, begin(d, close),
		      begin(d, d->t[i + 1].match + 1) - begin(d, close), "", 0);
}

/* --- notifiers, blocs, lists ---------------------------------------------- */

/* emit(state.copyWith(...)) emits what it was. */
static void emit_same(struct ft_corruptor *c, struct ft_ways *w, size_t i)
{
	const struct ft_dart *d = &c->d;
	size_t close = d->t[i + 1].match, inner = d->t[i + 5].match, last;

	if (close == FT_DART_NONE || inner == FT_DART_NONE)
		return;
	last = ft_dart_is(d, close - 1, ",") ? close - 2 : close - 1;
	if (last != inner)
		return;
	ft_way(w);
	ft_way_change(w, end(d, i + 1), begin(d, close) - end(d, i + 1),
		      "state", 5);
}

/*
 * [...list, x] as list..add(x): the old list is changed and given again, so
 * that what compares by identity sees no change.  `state = [...state, x];`
 * becomes state.add(x).
 */
static void same_list(struct ft_corruptor *c, struct ft_ways *w, size_t i)
{
	const struct ft_dart *d = &c->d;
	size_t close = d->t[i].match, comma = i + 4, last, from = begin(d, i);
	struct ft_str b = {0};
	bool statement;

	while (comma < close && d->t[comma].kind != FT_DART_PUNCT)
		comma++;
	while (ft_dart_is(d, comma, ".") &&
	       d->t[comma + 1].kind == FT_DART_IDENT)
		comma += 2;
	if (close == FT_DART_NONE || comma + 1 >= close ||
	    ft_dart_is(d, i - 1, ">") || ft_dart_is(d, close + 1, ".") ||
	    !ft_dart_is(d, comma, ",") || ft_dart_is(d, comma + 1, ".") ||
	    ft_dart_is(d, comma + 1, "if") || ft_dart_is(d, comma + 1, "for"))
		return;
	last = ft_dart_is(d, close - 1, ",") ? close - 1 : close;
	for (size_t j = comma + 1; j < last; j++) {
		if (d->t[j].match != FT_DART_NONE && d->t[j].match > j)
			j = d->t[j].match;
		else if (ft_dart_is(d, j, ","))
			return;
	}
	statement = i >= 2 && comma == i + 5 && at(d, i - 2, "state =") &&
		    at(d, i + 4, "state") && ft_dart_is(d, close + 1, ";");
	if (statement)
		from = begin(d, i - 2);
	ft_str_add(&b, d->s + begin(d, i + 4),
		   end(d, comma - 1) - begin(d, i + 4));
	ft_str_adds(&b, statement ? ".add(" : "..add(");
	ft_str_add(&b, d->s + begin(d, comma + 1),
		   end(d, last - 1) - begin(d, comma + 1));
	ft_str_addc(&b, ')');
	ft_way(w);
	ft_way_change(w, from, end(d, close) - from,
		      ft_arena_strndup(&c->arena, b.s, b.n), b.n);
	ft_str_release(&b);
}

/* Statements that are taken away, and words that become others. */
static void small_ways(struct ft_corruptor *c, struct ft_ways *w, size_t i)
{
	static const char *const statements[] = {
		"notifyListeners ( ) ;",
		"if ( ! mounted ) return ;",
		"if ( ! context . mounted ) return ;",
		"if ( ! ref . mounted ) return ;",
	};
	static const struct {
		const char *words;
		size_t which;
		const char *to;
	} others[] = {
		{"ref . watch (", 2, "read"},
		{"context . watch <", 2, "read"},
	};
	const struct ft_dart *d = &c->d;

	for (size_t k = 0; k < sizeof(statements) / sizeof(*statements); k++) {
		size_t n = 1;

		if (!at(d, i, statements[k]))
			continue;
		for (const char *s = statements[k]; *s; s++)
			n += *s == ' ';
		ft_way(w);
		ft_way_delete(c, w, i, i + n - 1);
	}
	for (size_t k = 0; k < sizeof(others) / sizeof(*others); k++) {
		size_t j = i + others[k].which;

		if (!at(d, i, others[k].words))
			continue;
		ft_way(w);
		ft_way_change(w, begin(d, j), d->t[j].n, others[k].to,
			      strlen(others[k].to));
	}
	/* the new state is made and thrown away */
	if (at(d, i, "state = state . copyWith (")) {
		ft_way(w);
		ft_way_delete(c, w, i, i + 1);
	}
}

void ft_ways_state(struct ft_corruptor *c, struct ft_ways *w)
{
	const struct ft_dart *d = &c->d;

	if (!d->balanced || !d->whole)
		return;
	for (size_t i = 0; i < d->n; i++) {
		if (at(d, i, "setState ( ( ) {"))
			set_state_block(c, w, i);
		else if (at(d, i, "setState ( ( ) = >"))
			set_state_arrow(c, w, i);
		else if (at(d, i, "emit ( state . copyWith ("))
			emit_same(c, w, i);
		else if (at(d, i, "[ . . .") && i + 4 < d->n &&
			 d->t[i + 4].kind == FT_DART_IDENT)
			same_list(c, w, i);
		else
			small_ways(c, w, i);
	}
}
