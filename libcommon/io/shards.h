/* SPDX-License-Identifier: MIT */
/*
 * Building a model directory: weights tensor by tensor, in one file or in
 * shards, and files that are copied as they are.  What is in memory is never
 * more than the caller puts there.
 */
#ifndef FT_IO_SHARDS_H
#define FT_IO_SHARDS_H

#include <stddef.h>
#include <stdint.h>

#include "libcommon/base/err.h"
#include "libcommon/io/output.h"
#include "libcommon/io/safetensors.h"

/* Names of the files of a directory, for its manifest. */
struct ft_files {
	char **v; /* owned */
	size_t n, cap;
};
void ft_files_add(struct ft_files *f, const char *name);
void ft_files_release(struct ft_files *f);

/* DIR/NAME with n bytes, complete or not at all. */
int ft_files_write(struct ft_files *f, const char *dir, const char *name,
		   const void *p, size_t n, struct ft_err *err);
/* NAME of directory from, byte for byte: 1 done, 0 it is not there, -1. */
int ft_files_copy(struct ft_files *f, const char *dir, const char *from,
		  const char *name, struct ft_err *err);
/*
 * The tokenizer's files, chat templates among them: each from the first of the
 * directories that has it (entries may be NULL).
 */
int ft_files_tokenizer(struct ft_files *f, const char *dir,
		       const char *const *from, size_t nfrom,
		       struct ft_err *err);

/* Write tensor t's bytes, exactly t->nbytes, to out. */
typedef int ft_shards_fn(void *arg, const struct ft_tensor *t,
			 struct ft_output *out, struct ft_err *err);

/* Shards are at most so large (a larger tensor gets one of its own). */
#define FT_SHARD_BYTES 5000000000u

/*
 * DIR/model.safetensors of tensors whose name, dtype, ndim and shape are set;
 * when it would be larger than max, model-00001-of-0000N.safetensors and
 * model.safetensors.index.json.  Shards are filled in the order given; within
 * one, wider dtypes come first, then names.  Weights in DIR from before, of
 * another number of shards, are removed.  Leaves t in the order written.
 */
int ft_shards_write(struct ft_files *f, const char *dir, struct ft_tensor *t,
		    size_t n, uint64_t max, ft_shards_fn *fn, void *arg,
		    struct ft_err *err);

#endif
