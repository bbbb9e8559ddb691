/* SPDX-License-Identifier: MIT */
/*
 * Checkpoints: OUT/checkpoint-N/, built as checkpoint-N.tmp/ and renamed, each
 * with its manifest; and the result in OUT itself.
 */
#ifndef FT_TRAIN_CHECKPOINT_H
#define FT_TRAIN_CHECKPOINT_H

#include "libcommon/train/loop.h"

/* Is OUT free?  FT_EXIT_USAGE when it holds checkpoints of an earlier run that
   is neither resumed nor overwritten.  Changes nothing. */
int ft_checkpoint_check(const struct ft_train_opts *o, struct ft_err *err);
/* OUT is about to change: drop its manifest, remove what killed runs left, and
   with --overwrite-output-dir earlier checkpoints. */
int ft_checkpoint_claim(struct ft_trainer *t, struct ft_err *err);
/* Save step t->step, then remove what --save-total-limit lets go. */
int ft_checkpoint_save(struct ft_trainer *t, struct ft_err *err);
/* What --resume-from-checkpoint means: 1 and its path, 0 none, -1. */
int ft_checkpoint_find(const struct ft_trainer *t, struct ft_str *path,
		       struct ft_err *err);
/* Take up a checkpoint: after the model, adapter and data are there. Options,
   data and start model have to be those it was made with. */
int ft_checkpoint_load(struct ft_trainer *t, const char *path,
		       struct ft_err *err);
/* The finished adapter or model in OUT, its manifest last. */
int ft_checkpoint_finish(struct ft_trainer *t, struct ft_err *err);

#endif
