/* SPDX-License-Identifier: MIT */
/*
 * A trainer's rows: read whole and checked before the first step, dealt out in
 * the seeded order of each epoch, laid into micro-batches by tokens.
 *
 * In memory is what a row is; its tokens are read where they are needed, from
 * the stream's file or, of a pipe or a compressed one, from a copy.
 */
#ifndef FT_TRAIN_DATA_H
#define FT_TRAIN_DATA_H

#include "libcommon/io/tstream.h"
#include "libcommon/nn/config.h"
#include "libcommon/nn/plan.h"
#include "libcommon/train/options.h"

struct ft_data {
	/* all rows, but: ids and mask are NULL, columns per token left out */
	struct ft_tokens b;
	struct ft_stream_info info;
	size_t longest;     /* tokens of the longest row, all branches */
	size_t *supervised; /* [b.nrow] */
	uint64_t *perm;     /* order of epoch `epoch` */
	int64_t epoch;      /* -1: none yet */
	int64_t seed;
	bool sequential, overfit;
	size_t per_step; /* rows of a full step */
	struct ft_data_file *file;
};

/* What a trainer takes. */
struct ft_data_want {
	unsigned kinds;            /* bit (1 << kind) of stream kinds */
	const struct ft_config *c; /* token ids are of its vocabulary */
	const char
		*model_dir; /* its tokenizer.json, if there, is the stream's */
	bool allow_no_stop; /* else some row has to train an end token */
	const char *copy_dir; /* for a copy, as of ft_input_keep */
};
int ft_data_load(struct ft_data *d, const char *path,
		 const struct ft_data_want *w, struct ft_err *err);
/* nrow rows of one branch and so many tokens each, as if they had been loaded:
   for plans. */
void ft_data_imagine(struct ft_data *d, size_t nrow, size_t length);
/* Row i with its tokens, as row 0 of what is returned: until the next call.
   What cannot be read is zeros, and ft_data_check has the reason. */
const struct ft_tokens *ft_data_row(const struct ft_data *d, size_t i);
/* -1 when rows could not be read, or the file has changed. */
int ft_data_check(const struct ft_data *d, struct ft_err *err);
/* Set how it is dealt out; per_step = batch * accumulation. */
void ft_data_deal(struct ft_data *d, const struct ft_train_opts *o);
size_t ft_data_steps_per_epoch(const struct ft_data *d);
/* Rows of step (from 0) into rows [per_step]; returns how many. */
size_t ft_data_step(struct ft_data *d, uint64_t step, size_t *rows);
/* How many of rows[0..n) make the next micro-batch of at most tokens. */
size_t ft_data_micro(const struct ft_data *d, const size_t *rows, size_t n,
		     size_t tokens);
size_t ft_data_segments(const struct ft_data *d); /* most of a row */
/* Count what is kept of the rows. */
void ft_data_plan(const struct ft_data *d, struct ft_plan *p);
size_t ft_data_row_tokens(const struct ft_data *d, size_t row);
void ft_data_release(struct ft_data *d);

#endif
