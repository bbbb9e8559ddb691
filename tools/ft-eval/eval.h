/* SPDX-License-Identifier: MIT */
/* What the parts of ft-eval share. */
#ifndef FT_EVAL_H
#define FT_EVAL_H

#include "libcommon/base/opt.h"
#include "libcommon/io/output.h"
#include "libcommon/io/rows.h"

enum metric {
	METRIC_EXACT,
	METRIC_CLOSE,
	METRIC_ACCURACY,
	METRIC_BPB,
	METRIC_PREFERENCE,
	METRIC_WINRATE,
};

/* --- tally.c: sums by cluster, and what they come to --- */
struct tally;
enum interval { INTERVAL_AUTO, INTERVAL_WILSON, INTERVAL_BOOTSTRAP };
enum value_kind {
	RATE,  /* each observation is in [0, 1] with weight 1 */
	SHARE, /* each is in [0, 1], with any weight */
	MEAN,  /* a mean, or a ratio of sums */
};

struct tally *tally_new(void);
void tally_free(struct tally *t);
/* Names in the order in which they are to be shown. */
void tally_declare(struct tally *t, const char *name, enum value_kind kind);
bool tally_has(const struct tally *t, const char *name, size_t n);
/* The cluster and the groups of --by of what is added next. */
void tally_row(struct tally *t, const struct ft_row *row, const char *group_by,
	       const struct ft_opt_list *by);
/* One observation: value = sum(num) / sum(den). */
void tally_add(struct tally *t, const char *name, double num, double den);
/* Compute everything; status 3 when there is nothing. */
void tally_end(struct tally *t, enum interval how, uint64_t seed,
	       size_t resamples);
void tally_show(const struct tally *t);
void tally_json(const struct tally *t, struct ft_str *out);

/* --- gate.c: NAME[/FIELD=VALUE][.low|.high|.n] OP NUMBER --- */
struct gate;
/* by: the fields that there are groups of, or NULL for any. */
struct gate *gate_parse(const char *text, const struct tally *t,
			const struct ft_opt_list *by);
/* Says so and returns false when it is not met. */
bool gate_met(const struct gate *g, const struct tally *t);
void gate_free(struct gate *g);
/* A value that was computed: which is 0 value, 1 low, 2 high, 3 n.  False
   when there is none. */
bool tally_value(const struct tally *t, const char *name, const char *field,
		 const char *group, int which, double *v);

/* --- the tool --- */
struct eval {
	/* the command line */
	int metric, interval;
	const char *reference_field, *reference_rows, *against, *judge;
	const char *summary, *map, *output, *group_by;
	struct ft_opt_list by, gates;
	double close_threshold, exact_reward, close_reward, beta;
	double judge_timeout, length_tolerance;
	int64_t seed, resamples;
	bool zstd;
	/* the work */
	struct tally *tally;
	struct ft_output *out, *sum; /* rows; the summary, or NULL */
	struct ft_str line;
};

/* Fields; the program ends when one is not there or of another type. */
const struct ft_json *eval_text(const struct ft_row *row, const char *key);
double eval_number(const struct ft_row *row, const char *key);
_Noreturn void eval_die(const struct ft_row *row, const char *fmt, ...)
	FT_PRINTF(2, 3);
void eval_put(struct eval *e, const struct ft_row *row,
	      const struct ft_edit *edit, size_t n);

/* --- metrics.c --- */
void eval_declare(struct eval *e);
void eval_rows(struct eval *e, struct ft_rows *rows);
/* --- winrate.c --- */
void eval_winrate(struct eval *e, struct ft_rows *rows);

#endif
