/* SPDX-License-Identifier: MIT */
/*
 * A trainer's rows: read whole and checked before the first step, dealt out in
 * the seeded order of each epoch, laid into micro-batches by tokens.
 */
#ifndef FT_TRAIN_DATA_H
#define FT_TRAIN_DATA_H

#include "libcommon/io/tstream.h"
#include "libcommon/nn/config.h"
#include "libcommon/train/options.h"

struct ft_data {
	struct ft_tokens b;
	struct ft_stream_info info;
	size_t longest; /* tokens of the longest row, all branches */
	size_t *perm;   /* order of epoch `epoch` */
	int64_t epoch;  /* -1: none yet */
	int64_t seed;
	bool sequential, overfit;
	size_t per_step; /* rows of a full step */
};

/* kind_mask: bit (1 << kind) of stream kinds that are taken.  model_dir's
   tokenizer.json, if there, has to be the stream's. */
int ft_data_load(struct ft_data *d, const char *path, unsigned kind_mask,
		 const struct ft_config *c, const char *model_dir,
		 bool allow_no_stop, struct ft_err *err);
/* Set how it is dealt out; per_step = batch * accumulation. */
void ft_data_deal(struct ft_data *d, const struct ft_train_opts *o);
size_t ft_data_steps_per_epoch(const struct ft_data *d);
/* Rows of step (from 0) into rows [per_step]; returns how many. */
size_t ft_data_step(struct ft_data *d, uint64_t step, size_t *rows);
/* How many of rows[0..n) make the next micro-batch of at most tokens. */
size_t ft_data_micro(const struct ft_data *d, const size_t *rows, size_t n,
		     size_t tokens);
size_t ft_data_row_tokens(const struct ft_data *d, size_t row);
size_t ft_data_row_supervised(const struct ft_data *d, size_t row);
void ft_data_release(struct ft_data *d);

#endif
