/* SPDX-License-Identifier: MIT */
/*
 * A run's memory, planned before it is taken, and fitted into --memory.
 *
 * What is chosen depends on the data, the options and the budget alone.  A
 * smaller micro-batch costs least, down to where products get slow; then what
 * norms and gates make is computed again, for as few layers as will do; then
 * whole layers; then micro-batches get smaller still.
 */
#ifndef FT_TRAIN_FIT_H
#define FT_TRAIN_FIT_H

#include "libcommon/train/loop.h"

/*
 * Once the model is begun, the data are loaded and what is trained is known:
 * fills t->room and t->plan, and o->micro_tokens with what was chosen.
 * FT_EXIT_SYS, and the least that does, when nothing fits.
 */
int ft_fit(struct ft_trainer *t, struct ft_err *err);
/*
 * The same, into t->plan, for a model of which there is no more than a config,
 * and rows of one length, as many as a step has.  t has o (with plan) and
 * method; it is to be released.
 */
int ft_fit_imagine(struct ft_trainer *t, const struct ft_config *c,
		   size_t length, struct ft_err *err);
/* Take what was planned for the model's passes and their rows. */
int ft_fit_take(struct ft_trainer *t, struct ft_err *err);

#endif
