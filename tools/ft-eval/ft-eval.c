/* SPDX-License-Identifier: MIT */
/* ft-eval - measure answers; no rate without its n and interval. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "tools/ft-eval/eval.h"

static const char *const metric_names[] = {
	"exact", "close", "accuracy", "bpb", "preference", "winrate",
};

void eval_die(const struct ft_row *row, const char *fmt, ...)
{
	char msg[512];
	struct ft_err err;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	ft_row_err(&err, row, "%s", msg);
	ft_die_err(&err);
}

const struct ft_json *eval_text(const struct ft_row *row, const char *key)
{
	const struct ft_json *v = ft_json_get(row->obj, key);

	if (!v || v->type != FT_JSON_STRING)
		eval_die(row,
			 v ? "field '%s' is not a string"
			   : "field '%s' missing",
			 key);
	return v;
}

double eval_number(const struct ft_row *row, const char *key)
{
	const struct ft_json *v = ft_json_get(row->obj, key);

	if (!v || v->type != FT_JSON_NUMBER)
		eval_die(row,
			 v ? "field '%s' is not a number"
			   : "field '%s' missing",
			 key);
	return v->num;
}

void eval_put(struct eval *e, const struct ft_row *row,
	      const struct ft_edit *edit, size_t n)
{
	struct ft_err err;

	ft_str_clear(&e->line);
	ft_row_edit(row, edit, n, &e->line);
	ft_str_addc(&e->line, '\n');
	if (ft_output_write(e->out, e->line.s, e->line.n, &err))
		ft_die_err(&err);
}

/* --- the command line ----------------------------------------------------- */

#define ONLY(m) (1u << METRIC_##m)

/* Options that only some metrics know. */
struct particular {
	const char *name;
	bool given;
	unsigned metrics;
};

enum {
	OPT_REFERENCE_FIELD,
	OPT_THRESHOLD,
	OPT_EXACT_REWARD,
	OPT_CLOSE_REWARD,
	OPT_REFERENCE_ROWS,
	OPT_BETA,
	OPT_AGAINST,
	OPT_JUDGE,
	OPT_TIMEOUT,
	OPT_LENGTH,
	NPARTICULAR,
};

static struct particular particulars[NPARTICULAR] = {
	[OPT_REFERENCE_FIELD] = {"reference-field", false,
				 ONLY(EXACT) | ONLY(CLOSE)},
	[OPT_THRESHOLD] = {"close-threshold", false, ONLY(EXACT) | ONLY(CLOSE)},
	[OPT_EXACT_REWARD] = {"exact-reward", false, ONLY(EXACT) | ONLY(CLOSE)},
	[OPT_CLOSE_REWARD] = {"close-reward", false, ONLY(EXACT) | ONLY(CLOSE)},
	[OPT_REFERENCE_ROWS] = {"reference-rows", false, ONLY(PREFERENCE)},
	[OPT_BETA] = {"beta", false, ONLY(PREFERENCE)},
	[OPT_AGAINST] = {"against", false, ONLY(WINRATE)},
	[OPT_JUDGE] = {"judge", false, ONLY(WINRATE)},
	[OPT_TIMEOUT] = {"judge-timeout", false, ONLY(WINRATE)},
	[OPT_LENGTH] = {"length-tolerance", false, ONLY(WINRATE)},
};
#define GIVEN(o) (&particulars[OPT_##o].given)

/* Standard input can be read once. */
static void check_stdin(const struct eval *e, char **files, int n)
{
	const char *other =
		e->metric == METRIC_WINRATE ? e->against : e->reference_rows;
	int times = (n == 0) + (other && !strcmp(other, "-"));

	for (int i = 0; i < n; i++)
		times += !strcmp(files[i], "-");
	if (times > 1)
		ft_die(FT_EXIT_USAGE, "standard input is named %d times",
		       times);
}

static void check_usage(const struct eval *e, char **files, int nfiles)
{
	if (e->metric < 0)
		ft_die(FT_EXIT_USAGE,
		       "no metric: give --metric exact, close, accuracy, bpb, preference or winrate");
	for (int i = 0; i < NPARTICULAR; i++) {
		const struct particular *p = &particulars[i];

		if (p->given && !(p->metrics & 1u << e->metric))
			ft_die(FT_EXIT_USAGE,
			       "--%s does not belong to --metric %s", p->name,
			       metric_names[e->metric]);
	}
	if (e->metric == METRIC_WINRATE && (!e->against || !e->judge))
		ft_die(FT_EXIT_USAGE,
		       "--metric winrate needs --against FILE and --judge COMMAND");
	if (*GIVEN(BETA) && !e->reference_rows)
		ft_die(FT_EXIT_USAGE, "--beta needs --reference-rows");
	if (e->by.n > 16)
		ft_die(FT_EXIT_USAGE, "more than 16 times --by");
	for (int i = 0; i < e->by.n; i++) {
		for (int j = 0; j < i; j++) {
			if (!strcmp(e->by.v[i], e->by.v[j]))
				ft_die(FT_EXIT_USAGE, "--by names '%s' twice",
				       e->by.v[i]);
		}
	}
	if (e->summary && !strcmp(e->summary, e->output ? e->output : "-"))
		ft_die(FT_EXIT_USAGE,
		       "rows and summary cannot both go to '%s'; give -o FILE",
		       e->summary);
	check_stdin(e, files, nfiles);
}

static void write_summary(const struct eval *e)
{
	struct ft_str s = {0};
	struct ft_err err;

	tally_show(e->tally);
	if (!e->sum)
		return;
	tally_json(e->tally, &s);
	if (ft_output_write(e->sum, s.s, s.n, &err) ||
	    ft_output_commit(e->sum, &err))
		ft_die_err(&err);
	ft_str_release(&s);
}

static int run(struct eval *e, char **files, int nfiles)
{
	struct gate **gate = ft_xcalloc((size_t)e->gates.n + 1, sizeof(*gate));
	/* preference chooses its groups when it sees the rows */
	bool known = e->metric != METRIC_PREFERENCE || e->by.n;
	struct ft_rows *rows;
	struct ft_err err;
	bool met = true;

	e->tally = tally_new();
	eval_declare(e);
	for (int i = 0; i < e->gates.n; i++)
		gate[i] = gate_parse(e->gates.v[i], e->tally,
				     known ? &e->by : NULL);
	/* a judge is not paid for what cannot be written */
	if (ft_rows_open(&rows, files, nfiles, e->map, &err) ||
	    ft_output_open(&e->out, e->output, e->zstd, &err) ||
	    (e->summary && ft_output_open(&e->sum, e->summary, false, &err)))
		ft_die_err(&err);
	if (e->metric == METRIC_WINRATE)
		eval_winrate(e, rows);
	else
		eval_rows(e, rows);
	ft_rows_close(rows);
	tally_end(e->tally, (enum interval)e->interval, (uint64_t)e->seed,
		  (size_t)e->resamples);
	if (ft_output_commit(e->out, &err))
		ft_die_err(&err);
	write_summary(e);
	for (int i = 0; i < e->gates.n; i++) {
		met = gate_met(gate[i], e->tally) && met;
		gate_free(gate[i]);
	}
	free(gate);
	free((void *)e->gates.v);
	free((void *)e->by.v);
	tally_free(e->tally);
	ft_str_release(&e->line);
	return met ? FT_EXIT_OK : FT_EXIT_NO;
}

#define PARTICULAR(o, name, kind, member, ptr, lo, hi, arg, help, flags)    \
	{                                                                   \
		0, name, kind, {.member = (ptr)}, lo, hi, arg, help, flags, \
			GIVEN(o)                                            \
	}

static const struct eval defaults = {.metric = -1,
				     .reference_field = "reference",
				     .group_by = "id",
				     .close_threshold = 0.9,
				     .exact_reward = 10,
				     .close_reward = 5,
				     .beta = 0.1,
				     .judge_timeout = 600,
				     .length_tolerance = 0.2,
				     .seed = 42,
				     .resamples = 2000};

int main(int argc, char **argv)
{
	struct eval e = defaults;
	const struct ft_opt opts[] = {
		FT_ENUM(0, "metric", &e.metric,
			"exact|close|accuracy|bpb|preference|winrate",
			"what to measure"),
		PARTICULAR(REFERENCE_FIELD, "reference-field", FT_KIND_STR, s,
			   &e.reference_field, 0, 0, "NAME",
			   "exact, close: the field to compare with", 0),
		PARTICULAR(
			THRESHOLD, "close-threshold", FT_KIND_REAL, r,
			&e.close_threshold, 0, 1, "X",
			"exact, close: similarity from which an answer is close",
			0),
		PARTICULAR(EXACT_REWARD, "exact-reward", FT_KIND_REAL, r,
			   &e.exact_reward, -1e300, 1e300, "X",
			   "reward of an exact answer", 0),
		PARTICULAR(CLOSE_REWARD, "close-reward", FT_KIND_REAL, r,
			   &e.close_reward, -1e300, 1e300, "X",
			   "reward of a close answer", 0),
		PARTICULAR(
			REFERENCE_ROWS, "reference-rows", FT_KIND_STR, s,
			&e.reference_rows, 0, 0, "FILE",
			"preference: the same pairs scored by the reference model",
			FT_OPT_FREE),
		PARTICULAR(BETA, "beta", FT_KIND_REAL, r, &e.beta, 0, 1e300,
			   "X", "preference: scale of implicit rewards", 0),
		PARTICULAR(AGAINST, "against", FT_KIND_STR, s, &e.against, 0, 0,
			   "FILE", "winrate: the other model's answers",
			   FT_OPT_FREE),
		PARTICULAR(JUDGE, "judge", FT_KIND_STR, s, &e.judge, 0, 0,
			   "COMMAND",
			   "winrate: the command that compares answers", 0),
		PARTICULAR(TIMEOUT, "judge-timeout", FT_KIND_REAL, r,
			   &e.judge_timeout, 0, 1e9, "SECONDS",
			   "winrate: end it when it takes longer (0: never)",
			   0),
		PARTICULAR(
			LENGTH, "length-tolerance", FT_KIND_REAL, r,
			&e.length_tolerance, 0, 1, "X",
			"winrate: lengths that differ by this part count as the same",
			0),
		FT_LIST(0, "by", &e.by, "FIELD",
			"every value also for each group of FIELD"),
		FT_STR(0, "group-by", &e.group_by, "FIELD",
		       "rows with the same FIELD are no independent trials"),
		FT_ENUM(0, "interval", &e.interval, "auto|wilson|bootstrap",
			"how intervals of rates are made"),
		FT_INT(0, "resamples", &e.resamples, 100, 1000000, "N",
		       "bootstrap resamples"),
		FT_LIST(0, "gate", &e.gates, "NAME>=X",
			"end with status 1 unless it is so"),
		FT_INT(0, "seed", &e.seed, 0, INT64_MAX, "N", "random seed"),
		FT_STR_FREE(0, "summary", &e.summary, "FILE",
			    "write the values as a JSON object"),
		FT_STR(0, "map", &e.map, "JQ",
		       "reshape each row by a jq program"),
		FT_STR_FREE('o', "output", &e.output, "FILE",
			    "write rows to FILE, which appears when complete"),
		FT_FLAG_FREE('z', "zstd", &e.zstd, "compress the rows"),
		FT_END,
	};
	int i;

	ft_start(argv[0]);
	i = ft_opt_parse(
		argc, argv, opts, "--metric NAME [OPTIONS] [FILE...]",
		"Measure the rows of a model: every value with its n and 95 % interval.");
	check_usage(&e, argv + i, argc - i);
	return run(&e, argv + i, argc - i);
}
