/* SPDX-License-Identifier: MIT */
/*
 * A block of trained parameters: one array of REAL, carved by a table.
 * Loading, saving, the optimizer, gradient norms and checkpoints are loops
 * over the table or over the whole array.
 */
#ifndef FT_NN_BLOCK_H
#define FT_NN_BLOCK_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/ftk.h"
#include "libcommon/base/err.h"
#include "libcommon/io/safetensors.h"

enum { FT_NAME_MAX = 192 };

struct ft_param {
	char name[FT_NAME_MAX]; /* its tensor name on disk */
	size_t off, n;          /* elements of the block */
	uint64_t shape[2];
	int ndim;
	bool decay;  /* takes part in weight decay: matrices do */
	bool turned; /* its transpose is what stands on disk */
};

struct ft_block {
	struct ft_param *t; /* owned */
	size_t nt, cap;
	size_t n;    /* elements in all */
	void *p, *g; /* REAL [n] of the backend; g NULL until ft_block_grad */
	bool others; /* its files hold tensors of other parts, too */
	struct ftk *k;
};

/* Append a row to the table; returns its offset.  Before ft_block_alloc. */
size_t ft_block_add(struct ft_block *b, const char *name, size_t n, size_t k,
		    bool decay);
int ft_block_alloc(struct ft_block *b, struct ftk *k, struct ft_err *err);
int ft_block_grad(struct ft_block *b, struct ft_err *err); /* zeroed */
void ft_block_release(struct ft_block *b);
/* p of another block with the same table. */
void ft_block_copy(struct ft_block *to, const struct ft_block *from);
/* All of a tensor, as REAL, to dst of the backend; turned: the transpose of a
   matrix.  FT_EXIT_DATA for what ft_to_f32 does not take. */
int ft_put_tensor(struct ftk *k, void *dst, const struct ft_tensor *t,
		  bool turned, struct ft_err *err);
/* Are their numbers the same, as float32? */
bool ft_tensor_equal(const struct ft_tensor *a, const struct ft_tensor *b);
/* Address of element off of array base (p, g, or a moment's). */
void *ft_block_at(const struct ft_block *b, const void *base, size_t off);

/*
 * Write array base as safetensors, each tensor under prefix + its name, in
 * float32 or bfloat16; load fills base from st.  Every tensor must be there
 * with its shape; surplus tensors that begin with prefix are an error.
 */
int ft_block_save(const struct ft_block *b, const void *base, const char *path,
		  enum ft_dtype dtype, struct ft_err *err);
int ft_block_load(struct ft_block *b, void *base, const struct ft_st *st,
		  const char *prefix, struct ft_err *err);
/* p in float32, and tensors of the host beside it. */
int ft_block_save_with(const struct ft_block *b, const struct ft_tensor *more,
		       size_t nmore, const char *path, struct ft_err *err);
/* Two arrays in one file, under prefixes (the optimizer's moments). */
int ft_block_save2(const struct ft_block *b, const void *const *base,
		   const char *const *prefix, int nbase, const char *path,
		   enum ft_dtype dtype, struct ft_err *err);

#endif
