/* SPDX-License-Identifier: MIT */
/* ft-pairgen - make preference pairs of answers. */

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/die.h"
#include "libcommon/base/hash.h"
#include "libcommon/base/mem.h"
#include "libcommon/base/rng.h"
#include "tools/ft-pairgen/pairgen.h"

enum { ON_NONE_SKIP, ON_NONE_ERROR };

const char *kind_name(int kind)
{
	return kind == KIND_OWN      ? "own-sample"
	       : kind == KIND_SCORED ? "scored"
				     : ft_corruption_names[kind];
}

const struct ft_json *need_text(const struct ft_row *row, const char *key)
{
	const struct ft_json *v = ft_json_get(row->obj, key);
	struct ft_err err;

	if (v && v->type == FT_JSON_STRING)
		return v;
	ft_row_err(&err, row,
		   v ? "field '%s' is not a string" : "field '%s' missing",
		   key);
	ft_die_err(&err);
}

int get_score(const struct pairgen *g, const struct ft_row *row, bool must,
	      double *score)
{
	const struct ft_json *v = ft_json_get(row->obj, g->score_field);
	struct ft_err err;

	if (!v && !must)
		return 0;
	if (v && v->type == FT_JSON_NULL)
		return 0;
	if (!v || v->type != FT_JSON_NUMBER) {
		ft_row_err(&err, row,
			   v ? "field '%s' is not a number"
			     : "field '%s' missing",
			   g->score_field);
		ft_die_err(&err);
	}
	*score = v->num;
	return 1;
}

static void trim(const char **s, size_t *n)
{
	while (*n && strchr(" \t\r\n", **s) && **s) {
		(*s)++;
		(*n)--;
	}
	while (*n && strchr(" \t\r\n", (*s)[*n - 1]) && (*s)[*n - 1])
		(*n)--;
}

bool same_text(const char *a, size_t na, const char *b, size_t nb)
{
	trim(&a, &na);
	trim(&b, &nb);
	return na == nb && !memcmp(a, b, na);
}

static struct ft_str json_string(const char *s, size_t n)
{
	struct ft_str b = {0};

	ft_str_add_json(&b, s, n);
	return b;
}

/* Remember a pair; false when it was made before. */
static bool is_new(struct pairgen *g, const struct ft_json *chosen,
		   const char *rejected, size_t nrejected)
{
	uint64_t digest;
	struct ft_xxh64 h;

	ft_xxh64_init(&h);
	ft_xxh64_add(&h, &chosen->ns, sizeof(chosen->ns));
	ft_xxh64_add(&h, chosen->s, chosen->ns);
	ft_xxh64_add(&h, rejected, nrejected);
	digest = ft_xxh64_end(&h);
	for (size_t i = 0; i < g->nmade; i++) {
		if (g->made[i] == digest)
			return false;
	}
	FT_GROW(g->made, g->nmade, g->capmade, 1);
	g->made[g->nmade++] = digest;
	return true;
}

static bool has_id(const struct ft_row *row)
{
	const struct ft_json *v = ft_json_get(row->obj, "id");

	return v && (v->type == FT_JSON_STRING || v->type == FT_JSON_NUMBER);
}

bool put_pair(struct pairgen *g, const struct ft_row *row,
	      const struct ft_row *first, int kind,
	      const struct ft_json *chosen, const char *rejected,
	      size_t nrejected)
{
	struct ft_str yes = json_string(chosen->s, chosen->ns);
	struct ft_str no = json_string(rejected, nrejected);
	struct ft_str what =
		json_string(kind_name(kind), strlen(kind_name(kind)));
	struct ft_str id = {0};
	struct ft_edit e[5] = {
		{.key = "completion"},
		{.key = "chosen", .json = yes.s, .n = yes.n},
		{.key = "rejected", .json = no.s, .n = no.n},
		{.key = "pair_kind", .json = what.s, .n = what.n},
	};
	size_t n = 4;
	struct ft_err err;
	bool fresh = is_new(g, chosen, rejected, nrejected);

	if (!fresh)
		goto out;
	/* several pairs of a row stay known as one row's */
	if ((g->per_row > 1 || g->scored) && !has_id(row)) {
		ft_row_id(first, &id);
		e[n++] = (struct ft_edit){.key = "id", .json = id.s, .n = id.n};
	}
	ft_str_clear(&g->line);
	ft_row_edit(row, e, n, &g->line);
	ft_str_addc(&g->line, '\n');
	if (ft_output_write(g->out, g->line.s, g->line.n, &err) < 0)
		ft_die_err(&err);
	g->pairs[kind]++;
out:
	ft_str_release(&yes);
	ft_str_release(&no);
	ft_str_release(&what);
	ft_str_release(&id);
	return fresh;
}

void no_pair(struct pairgen *g, const struct ft_row *row, const char *why)
{
	struct ft_err err;

	g->none++;
	if (g->on_none != ON_NONE_ERROR)
		return;
	ft_row_err(&err, row, "no pair can be made: %s", why);
	ft_die_err(&err);
}

/* --- one row -------------------------------------------------------------- */

/* The ways of one kind for the present row, in the order they are tried. */
struct choice {
	int kind;
	uint64_t *way; /* owned */
	size_t n, next;
};

static size_t count_ways(struct pairgen *g, struct ft_corruptor *c,
			 struct samples *own, const struct ft_row *row,
			 const struct ft_json *chosen, int kind)
{
	if (kind == KIND_OWN)
		return samples_find(own, g, row, chosen);
	return ft_corruptor_ways(c, (enum ft_corruption)kind);
}

/* Kinds come in a random order, and so do the ways of each: what is drawn
   depends on the seed, the row and the kind alone. */
static size_t find_choices(struct pairgen *g, struct ft_corruptor *c,
			   struct samples *own, const struct ft_row *row,
			   const struct ft_json *chosen, struct choice *choice)
{
	uint64_t key = (uint64_t)row->row << 8, order[NKIND] = {0};
	struct choice found[NKIND];
	size_t n = 0;

	for (int i = 0; i < g->nkind; i++) {
		int kind = g->kind[i];
		size_t ways = count_ways(g, c, own, row, chosen, kind);

		if (!ways)
			continue;
		found[n] = (struct choice){
			.kind = kind,
			.n = ways,
			.way = ft_xcalloc(ways, sizeof(uint64_t))};
		ft_rng_permute((uint64_t)g->seed, FT_RNG_PAIRS,
			       key | (uint64_t)kind, found[n++].way, ways);
	}
	ft_rng_permute((uint64_t)g->seed, FT_RNG_PAIRS, key | 0xff, order, n);
	for (size_t i = 0; i < n; i++)
		choice[i] = found[order[i]];
	return n;
}

/* The next way of a kind that gives another text. */
static bool try_next(struct pairgen *g, struct ft_corruptor *c,
		     struct samples *own, const struct ft_row *row,
		     const struct ft_json *chosen, struct choice *k)
{
	struct ft_str spoilt = {0};
	bool done = false;

	while (!done && k->next < k->n) {
		size_t way = (size_t)k->way[k->next++];

		ft_str_clear(&spoilt);
		if (k->kind == KIND_OWN)
			ft_str_add(&spoilt, samples_at(own, way)->s,
				   samples_at(own, way)->ns);
		else
			ft_corruptor_make(c, (enum ft_corruption)k->kind, way,
					  &spoilt);
		if (spoilt.n == chosen->ns &&
		    (!spoilt.n || !memcmp(spoilt.s, chosen->s, spoilt.n)))
			continue;
		done = put_pair(g, row, row, k->kind, chosen,
				ft_str_cstr(&spoilt), spoilt.n);
	}
	ft_str_release(&spoilt);
	return done;
}

static const struct ft_json *chosen_of(const struct pairgen *g,
				       const struct ft_row *row)
{
	const struct ft_json *v = ft_json_get(row->obj, "completion");

	if (g->chosen_field)
		return need_text(row, g->chosen_field);
	if (v && v->type != FT_JSON_NULL)
		return need_text(row, "completion");
	v = ft_json_get(row->obj, "reference");
	return need_text(row, v && v->type != FT_JSON_NULL ? "reference"
							   : "completion");
}

static void pair_row(struct pairgen *g, struct ft_corruptor *c,
		     struct samples *own, const struct ft_row *row)
{
	const struct ft_json *chosen = chosen_of(g, row);
	struct choice choice[NKIND];
	int64_t made = 0, before = -1;
	size_t n;

	need_text(row, "prompt");
	g->nmade = 0;
	ft_corruptor_set(c, chosen->s, chosen->ns);
	n = find_choices(g, c, own, row, chosen, choice);
	while (made < g->per_row && made != before) {
		before = made;
		for (size_t i = 0; i < n && made < g->per_row; i++)
			made += try_next(g, c, own, row, chosen, &choice[i]);
	}
	if (!made)
		no_pair(g, row, "no kind of pair applies to it");
	for (size_t i = 0; i < n; i++)
		free(choice[i].way);
}

/* --- the command line ----------------------------------------------------- */

static void add_kind(struct pairgen *g, const char *s, size_t n)
{
	struct ft_str all = {0};

	for (int k = 0; k < NKIND; k++) {
		ft_str_addf(&all, "%s%s", k ? ", " : "", kind_name(k));
		if (strlen(kind_name(k)) != n ||
		    memcmp(kind_name(k), s, n) != 0)
			continue;
		for (int i = 0; i < g->nkind; i++) {
			if (g->kind[i] == k)
				ft_die(FT_EXIT_USAGE,
				       "kind of pair '%s' is named twice",
				       kind_name(k));
		}
		g->kind[g->nkind++] = k;
		ft_str_release(&all);
		return;
	}
	ft_die(FT_EXIT_USAGE, "unknown kind of pair '%.*s' (there are %s)",
	       (int)n, s, all.s);
}

static bool has_kind(const struct pairgen *g, int kind)
{
	for (int i = 0; i < g->nkind; i++) {
		if (g->kind[i] == kind)
			return true;
	}
	return false;
}

static void parse_kinds(struct pairgen *g)
{
	const char *s = g->kind_names;

	if (!s && g->rejected_from)
		s = "own-sample";
	for (int k = 0; !s && k < FT_NCORRUPT; k++)
		g->kind[g->nkind++] = k;
	while (s) {
		size_t n = strcspn(s, ",");

		add_kind(g, s, n);
		s = s[n] ? s + n + 1 : NULL;
	}
	g->scored = has_kind(g, KIND_SCORED);
	if (g->scored && g->nkind > 1)
		ft_die(FT_EXIT_USAGE,
		       "kind of pair 'scored' goes with no other");
	if (has_kind(g, KIND_OWN) && !g->rejected_from)
		ft_die(FT_EXIT_USAGE,
		       "kind of pair 'own-sample' needs --rejected-from");
	if (g->rejected_from && !has_kind(g, KIND_OWN))
		ft_die(FT_EXIT_USAGE,
		       "--rejected-from needs kind of pair 'own-sample'");
}

static void check_usage(const struct pairgen *g, char **files, int n)
{
	int times = n == 0;

	if (g->max_reward_given && !g->rejected_from)
		ft_die(FT_EXIT_USAGE, "--max-reward needs --rejected-from");
	if (g->min_gap_given && !g->scored)
		ft_die(FT_EXIT_USAGE, "--min-gap needs --kind-of-pair scored");
	if (g->score_field_given && !g->scored && !g->max_reward_given)
		ft_die(FT_EXIT_USAGE,
		       "--score-field needs --kind-of-pair scored or --max-reward");
	if (g->chosen_field && g->scored)
		ft_die(FT_EXIT_USAGE,
		       "--chosen-field does not go with --kind-of-pair scored");
	times += g->rejected_from && !strcmp(g->rejected_from, "-");
	for (int i = 0; i < n; i++)
		times += !strcmp(files[i], "-");
	if (times > 1)
		ft_die(FT_EXIT_USAGE, "standard input is named %d times",
		       times);
}

static void summary(const struct pairgen *g)
{
	struct ft_str b = {0};
	int64_t pairs = 0;

	for (int k = 0; k < NKIND; k++) {
		pairs += g->pairs[k];
		if (g->pairs[k])
			ft_str_addf(&b, "%s%s %" PRId64, b.n ? ", " : "",
				    kind_name(k), g->pairs[k]);
	}
	ft_info("%" PRId64 " rows, %" PRId64 " pairs%s%s%s; %" PRId64
		" %s without a pair%s",
		g->rows, pairs, b.n ? " (" : "", ft_str_cstr(&b),
		b.n ? ")" : "", g->none, g->scored ? "prompts" : "rows",
		g->scored ? "" : " left out");
	if (g->unscored)
		ft_info("%" PRId64 " samples whose '%s' is null left out",
			g->unscored, g->score_field);
	ft_str_release(&b);
}

static void pair_rows(struct pairgen *g, struct ft_rows *rows)
{
	struct ft_corruptor *c = ft_corruptor_new();
	struct samples *own = g->rejected_from ? samples_load(g) : NULL;
	struct ft_err err;
	struct ft_row row;
	int k;

	while ((k = ft_rows_next(rows, &row, &err)) > 0) {
		g->rows++;
		pair_row(g, c, own, &row);
	}
	if (k < 0)
		ft_die_err(&err);
	ft_corruptor_free(c);
	samples_free(own);
}

static const struct pairgen defaults = {.seed = 42,
					.per_row = 1,
					.score_field = "reward",
					.max_reward = HUGE_VAL};

int main(int argc, char **argv)
{
	struct pairgen g = defaults;
	const struct ft_opt opts[] = {
		FT_STR(0, "kind-of-pair", &g.kind_names, "NAME,...",
		       "kinds to choose from: missing-import, wrong-widget-property, unbalanced-bracket, deprecated-api, dropped-member, stale-state, own-sample, scored"),
		FT_INT(0, "seed", &g.seed, 0, INT64_MAX, "N", "random seed"),
		FT_INT(0, "num-pairs-per-row", &g.per_row, 1, 1000, "N",
		       "make up to N different pairs of a row"),
		FT_STR_FREE(
			0, "rejected-from", &g.rejected_from, "FILE",
			"own-sample: the answers that a model gave to the rows' prompts"),
		{0,
		 "max-reward",
		 FT_KIND_REAL,
		 {.r = &g.max_reward},
		 -1e300,
		 1e300,
		 "X",
		 "own-sample: only answers scored X or less",
		 0,
		 &g.max_reward_given},
		{0,
		 "min-gap",
		 FT_KIND_REAL,
		 {.r = &g.min_gap},
		 0,
		 1e300,
		 "X",
		 "scored: only pairs whose scores differ by X or more",
		 0,
		 &g.min_gap_given},
		{0,
		 "score-field",
		 FT_KIND_STR,
		 {.s = &g.score_field},
		 0,
		 0,
		 "NAME",
		 "the field with an answer's score",
		 0,
		 &g.score_field_given},
		FT_STR(0, "chosen-field", &g.chosen_field, "NAME",
		       "the field with the good answer (completion, else reference)"),
		FT_ENUM(0, "on-none", &g.on_none, "skip|error",
			"what to do with a row that no pair can be made of"),
		FT_STR(0, "map", &g.map, "JQ",
		       "reshape each row by a jq program"),
		FT_STR_FREE('o', "output", &g.output, "FILE",
			    "write FILE, which appears when complete"),
		FT_FLAG_FREE('z', "zstd", &g.zstd, "compress the output"),
		FT_END,
	};
	struct ft_rows *rows;
	struct ft_err err;
	int i;

	ft_start(argv[0]);
	i = ft_opt_parse(
		argc, argv, opts, "[OPTIONS] [FILE...]",
		"Make preference pairs: spoil good code in one way, or set a better answer against a worse one.");
	parse_kinds(&g);
	check_usage(&g, argv + i, argc - i);
	if (ft_rows_open(&rows, argv + i, argc - i, g.map, &err) ||
	    ft_output_open(&g.out, g.output, g.zstd, &err))
		ft_die_err(&err);
	if (g.scored)
		pair_scored(&g, rows);
	else
		pair_rows(&g, rows);
	ft_rows_close(rows);
	if (ft_output_commit(g.out, &err))
		ft_die_err(&err);
	summary(&g);
	ft_str_release(&g.line);
	free(g.made);
	return FT_EXIT_OK;
}
