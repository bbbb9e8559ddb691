/* SPDX-License-Identifier: MIT */
/* The metrics that look at one row at a time. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "tools/ft-eval/eval.h"

/* --- exact, close --------------------------------------------------------- */

static bool white(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static void trim(const char **s, size_t *n)
{
	while (*n && white(**s)) {
		(*s)++;
		(*n)--;
	}
	while (*n && white((*s)[*n - 1]))
		(*n)--;
}

static void score_text(struct eval *e, const struct ft_row *row)
{
	const struct ft_json *a = eval_text(row, "completion");
	const struct ft_json *b = eval_text(row, e->reference_field);
	const char *x = a->s, *y = b->s;
	size_t nx = a->ns, ny = b->ns, longer;
	struct ft_str sim = {0}, reward = {0};
	bool exact, close;
	double s, r;

	trim(&x, &nx);
	trim(&y, &ny);
	longer = nx > ny ? nx : ny;
	exact = nx == ny && !memcmp(x, y, nx);
	s = exact ? 1
		  : 1 - (double)ft_edit_distance(x, nx, y, ny) / (double)longer;
	close = exact || s >= e->close_threshold;
	r = exact ? e->exact_reward : close ? e->close_reward : 0;
	tally_add(e->tally, "exact", exact, 1);
	tally_add(e->tally, "close", close, 1);
	tally_add(e->tally, "similarity", s, 1);
	tally_add(e->tally, "reward", r, 1);
	ft_str_add_double(&sim, s);
	ft_str_add_double(&reward, r);
	eval_put(e, row,
		 (struct ft_edit[]){
			 {.key = "exact",
			  .json = exact ? "true" : "false",
			  .n = exact ? 4 : 5},
			 {.key = "close",
			  .json = close ? "true" : "false",
			  .n = close ? 4 : 5},
			 {.key = "similarity", .json = sim.s, .n = sim.n},
			 {.key = "reward", .json = reward.s, .n = reward.n},
		 },
		 4);
	ft_str_release(&sim);
	ft_str_release(&reward);
}

/* --- accuracy, bits per byte ---------------------------------------------- */

static void put_number(struct eval *e, const struct ft_row *row,
		       const char *key, double v)
{
	struct ft_str s = {0};

	ft_str_add_double(&s, v);
	eval_put(e, row, &(struct ft_edit){.key = key, .json = s.s, .n = s.n},
		 1);
	ft_str_release(&s);
}

/* hits: how many tokens were the likeliest, or 0 or 1 for each. */
static double hits_of(const struct ft_row *row)
{
	const struct ft_json *v = ft_json_get(row->obj, "hits");
	double n = 0;

	if (!v || v->type != FT_JSON_ARRAY)
		return eval_number(row, "hits");
	for (v = v->child; v; v = v->next) {
		bool one = v->type == FT_JSON_TRUE ||
			   (v->type == FT_JSON_NUMBER && v->num == 1);

		if (!one && v->type != FT_JSON_FALSE &&
		    !(v->type == FT_JSON_NUMBER && v->num == 0))
			eval_die(row, "field 'hits' holds neither 0 nor 1");
		n += one;
	}
	return n;
}

static void score_accuracy(struct eval *e, const struct ft_row *row)
{
	double hits = hits_of(row), tokens = eval_number(row, "tokens");

	if (hits < 0 || hits > tokens)
		eval_die(row, "%g hits in %g tokens", hits, tokens);
	tally_add(e->tally, "accuracy", hits, tokens);
	put_number(e, row, "accuracy", hits / tokens);
}

static void score_bpb(struct eval *e, const struct ft_row *row)
{
	double sum = eval_number(row, "sum_logps");
	double bytes = eval_number(row, "bytes");
	double tokens = eval_number(row, "tokens");
	double bits = -sum / log(2);

	if (bytes < 0 || tokens < 0)
		eval_die(row, "fields 'bytes' and 'tokens' count something");
	tally_add(e->tally, "bpb", bits, bytes);
	tally_add(e->tally, "loss", -sum, tokens);
	put_number(e, row, "bpb", bits / bytes);
}

/* --- preference ----------------------------------------------------------- */

struct base_row {
	double row; /* the number that joins them */
	char *id;   /* as JSON; owned; NULL when it has none */
	double chosen, rejected;
};

struct base {
	struct base_row *v; /* sorted by row; owned */
	size_t n, cap;
	size_t used;
};

/* The line that a scored row came from, else its own. */
static double row_number(const struct ft_row *row)
{
	const struct ft_json *v = ft_json_get(row->obj, "row");

	return v ? eval_number(row, "row") : (double)row->row;
}

static char *own_id(const struct ft_row *row)
{
	const struct ft_json *v = ft_json_get(row->obj, "id");

	return v ? ft_xstrndup(v->raw, v->nraw) : NULL;
}

static int by_row(const void *a, const void *b)
{
	const struct base_row *x = a, *y = b;

	return (x->row > y->row) - (x->row < y->row);
}

static void load_base(struct base *b, const char *file)
{
	char *name = ft_xstrdup(file);
	struct ft_rows *rows;
	struct ft_row row;
	struct ft_err err;
	int k;

	if (ft_rows_open(&rows, &name, 1, NULL, &err))
		ft_die_err(&err);
	while ((k = ft_rows_next(rows, &row, &err)) > 0) {
		FT_GROW(b->v, b->n, b->cap, 1);
		b->v[b->n++] = (struct base_row){
			.row = row_number(&row),
			.id = own_id(&row),
			.chosen = eval_number(&row, "chosen_sum_logps"),
			.rejected = eval_number(&row, "rejected_sum_logps")};
	}
	if (k < 0)
		ft_die_err(&err);
	ft_rows_close(rows);
	free(name);
	if (b->n)
		qsort(b->v, b->n, sizeof(*b->v), by_row);
	for (size_t i = 1; i < b->n; i++) {
		if (b->v[i].row == b->v[i - 1].row)
			ft_die(FT_EXIT_DATA, "%s: row %.0f is there twice",
			       file, b->v[i].row);
	}
}

static const struct base_row *find_base(struct base *b, const struct eval *e,
					const struct ft_row *row)
{
	struct base_row key = {.row = row_number(row)};
	const struct base_row *r =
		b->n ? bsearch(&key, b->v, b->n, sizeof(*b->v), by_row) : NULL;
	const struct ft_json *id = ft_json_get(row->obj, "id");

	if (!r)
		eval_die(row, "no row %.0f in '%s'", key.row,
			 e->reference_rows);
	if (id && r->id &&
	    (strlen(r->id) != id->nraw ||
	     memcmp(r->id, id->raw, id->nraw) != 0))
		eval_die(row, "row %.0f has another id in '%s'", key.row,
			 e->reference_rows);
	b->used++;
	return r;
}

/* A comparison whose ties are worth a half: a coin would do as well. */
static double wins(double a, double b)
{
	return a > b ? 1 : a < b ? 0 : 0.5;
}

/* Lengths are compared where the rows have them. */
static void score_shorter(struct eval *e, const struct ft_row *row)
{
	const char *chosen = "chosen_bytes", *rejected = "rejected_bytes";

	if (!ft_json_get(row->obj, chosen)) {
		chosen = "chosen_tokens";
		rejected = "rejected_tokens";
	}
	if (!ft_json_get(row->obj, chosen))
		return;
	tally_add(e->tally, "shorter_wins",
		  wins(eval_number(row, rejected), eval_number(row, chosen)),
		  1);
}

static void score_pair(struct eval *e, struct base *b, const struct ft_row *row)
{
	double chosen = eval_number(row, "chosen_sum_logps");
	double rejected = eval_number(row, "rejected_sum_logps");
	const struct base_row *r =
		e->reference_rows ? find_base(b, e, row) : NULL;
	double margin = chosen - rejected;
	const char *says;
	struct ft_str m = {0};

	if (r)
		margin = e->beta *
			 ((chosen - r->chosen) - (rejected - r->rejected));
	says = margin > 0   ? "\"chosen\""
	       : margin < 0 ? "\"rejected\""
			    : "\"tie\"";
	tally_add(e->tally, "preference", margin > 0, 1);
	tally_add(e->tally, "ties", margin == 0, 1);
	tally_add(e->tally, "margin", margin, 1);
	score_shorter(e, row);
	if (r) {
		tally_add(e->tally, "base_logprob_wins",
			  wins(r->chosen, r->rejected), 1);
		if (r->chosen <= r->rejected)
			tally_add(e->tally, "preference_where_base_wrong",
				  margin > 0, 1);
	}
	ft_str_add_double(&m, margin);
	eval_put(e, row,
		 (struct ft_edit[]){
			 {.key = "preference", .json = says, .n = strlen(says)},
			 {.key = "margin", .json = m.s, .n = m.n},
		 },
		 2);
	ft_str_release(&m);
}

static void end_base(struct base *b, const struct eval *e)
{
	if (b->used != b->n)
		ft_die(FT_EXIT_DATA,
		       "'%s' has %zu rows, of which only %zu were compared",
		       e->reference_rows, b->n, b->used);
	for (size_t i = 0; i < b->n; i++)
		free(b->v[i].id);
	free(b->v);
}

/* --- all of them ---------------------------------------------------------- */

void eval_declare(struct eval *e)
{
	struct tally *t = e->tally;

	switch ((enum metric)e->metric) {
	case METRIC_EXACT:
	case METRIC_CLOSE:
		tally_declare(t, "exact", RATE);
		tally_declare(t, "close", RATE);
		tally_declare(t, "similarity", MEAN);
		tally_declare(t, "reward", MEAN);
		break;
	case METRIC_ACCURACY:
		tally_declare(t, "accuracy", SHARE);
		break;
	case METRIC_BPB:
		tally_declare(t, "bpb", MEAN);
		tally_declare(t, "loss", MEAN);
		break;
	case METRIC_PREFERENCE:
		tally_declare(t, "preference", RATE);
		tally_declare(t, "ties", RATE);
		tally_declare(t, "margin", MEAN);
		tally_declare(t, "shorter_wins", RATE);
		tally_declare(t, "base_logprob_wins", RATE);
		tally_declare(t, "preference_where_base_wrong", RATE);
		break;
	case METRIC_WINRATE:
		tally_declare(t, "winrate", RATE);
		tally_declare(t, "winrate_same_length", RATE);
		tally_declare(t, "ties", RATE);
		tally_declare(t, "first_wins", RATE);
		break;
	}
}

/* Pairs are told apart by kind unless something else is asked for. */
static void default_groups(struct eval *e, const struct ft_row *row)
{
	static const char *kind = "pair_kind";

	if (e->metric == METRIC_PREFERENCE && !e->by.n &&
	    ft_json_get(row->obj, kind)) {
		e->by.v = ft_xcalloc(1, sizeof(*e->by.v));
		e->by.v[0] = kind;
		e->by.n = 1;
	}
}

void eval_rows(struct eval *e, struct ft_rows *rows)
{
	struct base base = {0};
	struct ft_row row;
	struct ft_err err;
	bool first = true;
	int k;

	if (e->reference_rows)
		load_base(&base, e->reference_rows);
	while ((k = ft_rows_next(rows, &row, &err)) > 0) {
		if (first)
			default_groups(e, &row);
		first = false;
		tally_row(e->tally, &row, e->group_by, &e->by);
		if (e->metric == METRIC_PREFERENCE)
			score_pair(e, &base, &row);
		else if (e->metric == METRIC_ACCURACY)
			score_accuracy(e, &row);
		else if (e->metric == METRIC_BPB)
			score_bpb(e, &row);
		else
			score_text(e, &row);
	}
	if (k < 0)
		ft_die_err(&err);
	end_base(&base, e);
}
