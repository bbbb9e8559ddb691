/* SPDX-License-Identifier: MIT */
/*
 * The one step loop.  SFT, DPO and whatever comes differ in a struct
 * ft_method: what a micro-batch adds to the gradients and to the sums.
 */
#ifndef FT_TRAIN_LOOP_H
#define FT_TRAIN_LOOP_H

#include "libcommon/nn/open.h"
#include "libcommon/train/data.h"
#include "libcommon/train/metrics.h"
#include "libcommon/train/optim.h"

struct ft_trainer;

/* Sums over a log window or an evaluation; a method names its own. */
enum { FT_NSUM = 16 };
struct ft_sums {
	double v[FT_NSUM];
};

struct ft_method {
	const char *name; /* "sft", "dpo" */
	unsigned kinds;   /* stream kinds it trains on, bits */
	bool slopes;      /* it uses ft_model_slopes */
	/* Count memory of its own, beside a model with room for r; NULL: none.
	   More than once, before start. */
	int (*plan)(struct ft_trainer *t, const struct ft_reserve *r, bool more,
		    struct ft_plan *p, struct ft_err *err);
	/* Before the first step, and to let go. */
	int (*start)(struct ft_trainer *t, struct ft_err *err);
	void (*end)(struct ft_trainer *t);
	/* What the gradient of these rows is divided by: once a step. */
	double (*weight)(const struct ft_trainer *t, const struct ft_data *d,
			 const size_t *rows, size_t n);
	/* One micro-batch: sums, and with train gradients of loss / t->weight. */
	void (*micro)(struct ft_trainer *t, const struct ft_data *d,
		      const size_t *rows, size_t n, bool train,
		      struct ft_sums *sums);
	/* Mean loss of sums, and metrics (",..." fields) under prefix. */
	double (*report)(const struct ft_trainer *t, const struct ft_sums *sums,
			 const char *prefix, struct ft_str *fields);
	void *self;
};

struct ft_trainer {
	struct ft_train_opts *o;
	const struct ft_opt *table; /* for the record of options */
	const struct ft_method *method;
	struct ft_loaded l;
	struct ft_block
		*block; /* what is trained: the adapter's or the model's */
	struct ft_optimizer optim;
	struct ft_adapter *
		reference; /* DPO's frozen adapter, saved with checkpoints; or NULL */
	struct ft_data data, eval;
	bool has_eval;
	size_t *eval_rows; /* all of eval's */
	struct ft_pass pass;
	struct ft_run
		run; /* dropout, adapter and save as of the present step */
	float *logp, *coef, *entropy; /* [most predictions of a micro-batch] */
	uint8_t *hit;
	void *rows;             /* those four, one allocation */
	struct ft_reserve room; /* of the model's passes */
	struct ft_plan plan;
	double weight; /* of the present step */

	int64_t step, total; /* steps done, in all */
	int64_t bad, num_tokens, skipped;
	struct ft_metrics metrics;
	struct ft_str fields;  /* of the line that is being made */
	char start_digest[65]; /* the model training began from */
	double train_loss_sum; /* over steps that were applied */
	size_t seen;           /* rows, since this program began */
	struct ft_sums window; /* since the last logged line */
};

/*
 * Run it all: load, resume, train, evaluate, save.  table is the tool's whole
 * option table.  Returns 0, or -1 with err; *signal is the signal that ended
 * it (a checkpoint was saved), else 0.  With o->plan nothing is written and
 * t->plan is all that comes of it.  FT_EXIT_NO: too many steps in a row
 * were not finite.
 */
int ft_train(struct ft_trainer *t, const char *stream, int *signal,
	     struct ft_err *err);
void ft_trainer_release(struct ft_trainer *t);

/* What is trained, once the model is begun: a new adapter (of a plan without
   values), the one that was loaded, or the model. */
int ft_trainer_block(struct ft_trainer *t, struct ft_err *err);
/* Lay rows into t->pass. */
void ft_trainer_pass(struct ft_trainer *t, const struct ft_data *d,
		     const size_t *rows, size_t n);

#endif
