/* SPDX-License-Identifier: MIT */
/*
 * LoRA adapters, on disk as PEFT has them: adapter_config.json and
 * adapter_model.safetensors.
 */
#ifndef FT_NN_ADAPTER_H
#define FT_NN_ADAPTER_H

#include "libcommon/base/opt.h"
#include "libcommon/nn/weight.h"

/* What --lora-* say (TRL's names and defaults). */
struct ft_lora_opts {
	int64_t r;
	double alpha, dropout;
	bool rslora, dora;
	struct ft_opt_list
		targets; /* module names or "all-linear"; none given = all-linear */
	struct ft_opt_list save; /* modules trained whole, by ends of names */
};
#define FT_LORA_DEFAULTS                              \
	{                                             \
		.r = 16, .alpha = 32, .dropout = 0.05 \
	}

/*
 * A module's pair of factors.  Of a linear W [n, k] they add scale * B A to it,
 * A [r, k], B [n, r].  Of the embedding [vocab, hidden] they are A [vocab, r]
 * and B [hidden, r], which add scale * A B' (k is vocab, n hidden).
 *
 * With DoRA (Liu et al. 2024) the rows of W + scale B A are then stretched to
 * the lengths of the magnitude vector [n].
 */
struct ft_lora_mod {
	enum ft_slot slot;
	size_t layer, n, k, r;
	float scale; /* alpha / r, or alpha / sqrt(r) */
	double alpha;
	size_t off_a, off_b, off_m; /* in the block */
	/* from ft_adapter_attach on */
	void *norm;               /* REAL [n] lengths of the rows; DoRA */
	struct ftk_weight *a, *b; /* of the embedding, the head */
};

/* A module that the adapter has whole, in place of the base's. */
struct ft_whole {
	enum ft_slot slot;
	size_t layer;
	struct ft_weight w;
};

struct ft_adapter {
	struct ft_block b;
	struct ft_lora_mod *mod;
	size_t nmod, capmod, max_r;
	struct ft_whole *whole;
	size_t nwhole, capwhole;
	/* [layers * FT_NSLOT] index in mod and in whole, or -1; what is of no
	   layer counts as the first's */
	int32_t *at, *whole_at;
	float dropout;
	int64_t r;
	double alpha;
	bool rslora, dora;
	char *base; /* base_model_name_or_path, as it was given */
	void *mem;  /* of ft_adapter_attach */
	void *ws;   /* in it */
};

/* A new adapter: A uniform in +-1/sqrt(k) (kaiming_uniform, a = sqrt 5), B 0;
   of the embedding A 0, B normal.  What begins as the base's is so after
   ft_adapter_attach.  k NULL: a table without values, for plans.  An unknown
   target is FT_EXIT_USAGE and names the modules there are. */
int ft_adapter_new(struct ft_adapter *a, struct ftk *k,
		   const struct ft_config *c, const struct ft_lora_opts *o,
		   uint64_t seed, struct ft_err *err);
/* From DIR: every field that is not understood and not at its default is
   refused by name, as are missing and surplus tensors.  ft_adapter_check looks
   at what is left: copies of the base's matrices. */
int ft_adapter_load(struct ft_adapter *a, struct ftk *k,
		    const struct ft_config *c, const char *dir,
		    struct ft_err *err);
/* What DIR holds of the base's own matrices is what base has. */
int ft_adapter_check(const char *dir, const struct ft_config *c,
		     const struct ft_st *base, struct ft_err *err);
/* Another one with the same parameters (DPO's frozen reference). */
int ft_adapter_copy(struct ft_adapter *to, const struct ft_adapter *from,
		    const struct ft_config *c, struct ft_err *err);
/* Files adapter_config.json and adapter_model.safetensors in DIR; base is
   written as base_model_name_or_path. */
int ft_adapter_save(const struct ft_adapter *a, const struct ft_config *c,
		    const char *dir, const char *base, struct ft_err *err);
void ft_adapter_release(struct ft_adapter *a);
/* w, rows r0.. of the matrix at (layer, slot) as float [n, inputs], becomes
   what the adapter makes of it: whatever it was, if it has that whole. */
void ft_adapter_merge(const struct ft_adapter *a, enum ft_slot s, size_t layer,
		      size_t r0, size_t n, float *w);
/* The module it has whole at (layer, slot), or NULL. */
const struct ft_whole *ft_adapter_whole(const struct ft_adapter *a,
					enum ft_slot s, size_t layer);
/* Has it anything there? */
bool ft_adapter_has(const struct ft_adapter *a, enum ft_slot s, size_t layer);

/* Is DIR an adapter (adapter_config.json)?  Its base directory: --base if
   given, else the path it names as it stands, then relative to DIR. */
bool ft_adapter_is(const char *dir);
int ft_adapter_base(const char *dir, const char *given, struct ft_str *base,
		    struct ft_err *err);

#endif
