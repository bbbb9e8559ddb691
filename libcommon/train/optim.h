/* SPDX-License-Identifier: MIT */
/* Optimizers over a block, and the learning rate's course. */
#ifndef FT_TRAIN_OPTIM_H
#define FT_TRAIN_OPTIM_H

#include "libcommon/nn/block.h"
#include "libcommon/nn/plan.h"
#include "libcommon/train/options.h"

struct ft_optimizer {
	struct ft_block *b; /* borrowed */
	const struct ft_train_opts *o;
	void *m, *v; /* REAL [n]; v NULL for SGD, m too without momentum */
	void *ws;
	void *mem;   /* all three, one allocation */
	size_t nmem; /* bytes of m and v */
	int64_t t;   /* updates made */
};

/* Count gradients, moments and scratch, before there is memory for b. */
void ft_optimizer_plan(struct ft_block *b, struct ftk *k,
		       const struct ft_train_opts *o, struct ft_plan *plan);

int ft_optimizer_init(struct ft_optimizer *p, struct ft_block *b,
		      const struct ft_train_opts *o, struct ft_err *err);
void ft_optimizer_release(struct ft_optimizer *p);
/* Norm of the gradients, sqrt of the sum of squares. */
double ft_optimizer_norm(struct ft_optimizer *p);
/* One update with rate lr; gradients are read times gscale. */
void ft_optimizer_step(struct ft_optimizer *p, double lr, double gscale);
void ft_optimizer_zero(struct ft_optimizer *p); /* the gradients */

int ft_optimizer_save(const struct ft_optimizer *p, const char *path,
		      struct ft_err *err);
int ft_optimizer_load(struct ft_optimizer *p, const char *path,
		      struct ft_err *err);

/* Warmup steps that the options mean, of total. */
int64_t ft_warmup_steps(const struct ft_train_opts *o, int64_t total);
/* The rate of step (from 0) of total: transformers' schedules, in which the
   first step of a warmup has rate 0. */
double ft_learning_rate(const struct ft_train_opts *o, int64_t step,
			int64_t total);

#endif
