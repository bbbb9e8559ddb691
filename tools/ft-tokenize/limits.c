/* SPDX-License-Identifier: MIT */
/* Rows that are too long, and the ledger. */
#include <inttypes.h>

#include "tools/ft-tokenize/tokenize.h"

size_t supervised(const struct segments *g)
{
	size_t n = 0;

	if (g->mask) {
		for (size_t i = !g->nprefix; i < g->nbranch[0]; i++)
			n += g->mask[i];
		return n;
	}
	for (int i = 0; i < g->k; i++)
		if (g->nbranch[i])
			n += g->nbranch[i] - !g->nprefix;
	return n;
}

static size_t longest_branch(const struct segments *g)
{
	return g->nbranch[0] > g->nbranch[1] ? g->nbranch[0] : g->nbranch[1];
}

/* Nothing to learn from, or to go on from. */
static bool empty(const struct rules *r, const struct segments *g)
{
	if (r->kind == FT_ROW_PROMPT)
		return !g->nprefix;
	if (g->mask && !supervised(g))
		return true;
	for (int i = 0; i < g->k; i++)
		if (g->nbranch[i] <= !g->nprefix)
			return true;
	return false;
}

static bool drop(struct ledger *l, enum reason why, size_t sup)
{
	l->rows_dropped[why]++;
	l->sup_dropped[why] += (int64_t)sup;
	return false;
}

static bool note_long(const struct ft_row *row, struct ledger *l, size_t n)
{
	if (!l->too_long++)
		ft_row_err(&l->first, row, "too long");
	if ((int64_t)n > l->longest)
		l->longest = (int64_t)n;
	return false;
}

static bool truncate_row(const struct rules *r, struct segments *g,
			 struct ledger *l, size_t sup)
{
	size_t max = (size_t)r->max_length, left;

	/* Without a prefix a branch of one token has nothing to learn. */
	if (g->nprefix + !g->nprefix >= max)
		return drop(l, DROP_PROMPT, sup);
	left = max - g->nprefix;
	for (int i = 0; i < g->k; i++)
		if (g->nbranch[i] > left)
			g->nbranch[i] = left;
	l->rows_cut++;
	return true;
}

bool fit(const struct rules *r, const struct ft_row *row, struct segments *g,
	 struct ledger *l, size_t *pieces)
{
	size_t sup = supervised(g), n = g->nprefix + longest_branch(g), out;
	size_t max = (size_t)r->max_length;
	bool keep = true;

	*pieces = 1;
	l->rows_in++;
	l->sup_in += (int64_t)sup;
	l->merged += g->merged;
	if (!r->keep_empty && empty(r, g))
		return drop(l, DROP_EMPTY, sup);
	if (max && n > max) {
		switch (r->on_long) {
		case LONG_ERROR:
			return note_long(row, l, n);
		case LONG_DROP:
			return drop(l, DROP_LONG, sup);
		case LONG_TRUNCATE:
			keep = truncate_row(r, g, l, sup);
			break;
		case LONG_SPLIT:
			*pieces = (n + max - 1) / max;
			l->rows_split++;
			break;
		}
	}
	if (!keep)
		return false;
	if (g->mask && !supervised(g) && !r->keep_empty) {
		l->rows_cut--; /* what was to be learnt is cut off */
		return drop(l, DROP_EMPTY, sup);
	}
	out = supervised(g) - (*pieces - 1);
	l->rows_out++;
	l->pieces += (int64_t)*pieces;
	l->eos += g->eos && out == sup;
	l->sup_out += (int64_t)out;
	l->sup_cut += (int64_t)(sup - out);
	l->tokens += (int64_t)(g->nprefix + g->nbranch[0] + g->nbranch[1]);
	return true;
}

static void counts(struct ft_str *out, const char *name, const int64_t v[])
{
	static const char *const why[] = {"too_long", "prompt_too_long",
					  "empty"};

	ft_str_addf(out, ",\"%s\":{", name);
	for (int i = 0; i < NREASON; i++)
		ft_str_addf(out, "%s\"%s\":%" PRId64, i ? "," : "", why[i],
			    v[i]);
	ft_str_addc(out, '}');
}

void ledger_json(const struct ledger *l, struct ft_str *out)
{
	ft_str_addf(out,
		    "{\"rows_in\":%" PRId64 ",\"rows_kept\":%" PRId64
		    ",\"rows_cut\":%" PRId64 ",\"rows_split\":%" PRId64
		    ",\"rows_written\":%" PRId64,
		    l->rows_in, l->rows_out, l->rows_cut, l->rows_split,
		    l->pieces);
	counts(out, "rows_dropped", l->rows_dropped);
	ft_str_addf(out,
		    ",\"supervised_in\":%" PRId64
		    ",\"supervised_kept\":%" PRId64
		    ",\"supervised_cut\":%" PRId64,
		    l->sup_in, l->sup_out, l->sup_cut);
	counts(out, "supervised_dropped", l->sup_dropped);
	ft_str_addf(out,
		    ",\"tokens\":%" PRId64 ",\"eos_appended\":%" PRId64
		    ",\"boundary_moved\":%" PRId64 "}",
		    l->tokens, l->eos, l->merged);
}
