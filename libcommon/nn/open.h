/* SPDX-License-Identifier: MIT */
/*
 * What every tool that computes does first: the options --dtype --seed
 * --threads, a backend with a pool of threads, and a model that -m, --adapter
 * and --base name.
 */
#ifndef FT_NN_OPEN_H
#define FT_NN_OPEN_H

#include "libcommon/base/opt.h"
#include "libcommon/base/thread.h"
#include "libcommon/nn/model.h"

struct ft_compute {
	int dtype;
	int64_t seed, threads;
	bool in_4bit;
};
enum { FT_DTYPE_BFLOAT16, FT_DTYPE_FLOAT32 };
#define FT_COMPUTE_DEFAULTS                            \
	{                                              \
		.dtype = FT_DTYPE_BFLOAT16, .seed = 42 \
	}

/* Rows for an option table. */
#define FT_COMPUTE_OPTS(p)                                                     \
	FT_ENUM(0, "dtype", &(p)->dtype, "bfloat16|float32",                   \
		"what weights and activations are computed in"),               \
		FT_INT(0, "seed", &(p)->seed, 0, INT64_MAX, "N",               \
		       "random seed"),                                         \
		FT_INT_FREE(0, "threads", &(p)->threads, 0, 1024, "N",         \
			    "threads (0: all processors); changes no result"), \
		FT_FLAG(0, "load-in-4bit", &(p)->in_4bit,                      \
			"hold the frozen linears in 4 bits (NF4)")

struct ft_loaded {
	struct ft_pool *pool;
	struct ftk *k;
	struct ft_model *model;
	struct ft_adapter adapter; /* with has_adapter */
	bool has_adapter;
	char *dir; /* the model's directory: -m, or the adapter's base */
	char *adapter_dir; /* or NULL */
};

/* Backend and threads alone. FT_EXIT_USAGE for what this build cannot do. */
int ft_compute_open(struct ft_loaded *l, const struct ft_compute *c,
		    struct ft_err *err);
/*
 * model is a model's or an adapter's directory; adapter and base may be NULL.
 * full: its weights will be trained.
 */
int ft_load(struct ft_loaded *l, const struct ft_compute *c, const char *model,
	    const char *adapter, const char *base, bool full,
	    struct ft_err *err);
/* The same in two: what comes before the weights; then these, and the adapter
   is made ready on them. */
int ft_load_weights(struct ft_loaded *l, struct ft_err *err);
int ft_load_begin(struct ft_loaded *l, const struct ft_compute *c,
		  const char *model, const char *adapter, const char *base,
		  bool full, struct ft_err *err);
/* Count into p, from ft_load_begin on: model, adapter, and the program with
   the model's tokenizer. */
void ft_load_plan(struct ft_loaded *l, struct ft_plan *p);
void ft_unload(struct ft_loaded *l);

#endif
