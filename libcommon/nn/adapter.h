/* SPDX-License-Identifier: MIT */
/*
 * LoRA adapters, on disk as PEFT has them: adapter_config.json and
 * adapter_model.safetensors.
 */
#ifndef FT_NN_ADAPTER_H
#define FT_NN_ADAPTER_H

#include "libcommon/base/opt.h"
#include "libcommon/nn/block.h"
#include "libcommon/nn/config.h"

/* What --lora-* say (TRL's names and defaults). */
struct ft_lora_opts {
	int64_t r;
	double alpha, dropout;
	bool rslora;
	struct ft_opt_list
		targets; /* module names or "all-linear"; none given = all-linear */
};
#define FT_LORA_DEFAULTS                              \
	{                                             \
		.r = 16, .alpha = 32, .dropout = 0.05 \
	}

struct ft_lora_mod {
	enum ft_slot slot;
	size_t layer, n, k, r;
	float scale; /* alpha / r, or alpha / sqrt(r) */
	double alpha;
	size_t off_a, off_b; /* in the block */
};

struct ft_adapter {
	struct ft_block b;
	struct ft_lora_mod *mod;
	size_t nmod, capmod, max_r;
	int32_t *at; /* [layers * FT_NSLOT] index in mod, or -1 */
	float dropout;
	int64_t r;
	double alpha;
	bool rslora;
	char *base; /* base_model_name_or_path, as it was given */
};

/* A new adapter: A uniform in +-1/sqrt(k) (kaiming_uniform, a = sqrt 5), B 0.
   k NULL: a table without values, for plans.  An unknown target is
   FT_EXIT_USAGE and names the modules there are. */
int ft_adapter_new(struct ft_adapter *a, struct ftk *k,
		   const struct ft_config *c, const struct ft_lora_opts *o,
		   uint64_t seed, struct ft_err *err);
/* From DIR: every field that is not understood and not at its default is
   refused by name, as are missing and surplus tensors. */
int ft_adapter_load(struct ft_adapter *a, struct ftk *k,
		    const struct ft_config *c, const char *dir,
		    struct ft_err *err);
/* Another one with the same parameters (DPO's frozen reference). */
int ft_adapter_copy(struct ft_adapter *to, const struct ft_adapter *from,
		    const struct ft_config *c, struct ft_err *err);
/* Files adapter_config.json and adapter_model.safetensors in DIR; base is
   written as base_model_name_or_path. */
int ft_adapter_save(const struct ft_adapter *a, const struct ft_config *c,
		    const char *dir, const char *base, struct ft_err *err);
void ft_adapter_release(struct ft_adapter *a);
/* W[rows n, k] (float, rows from r0) += scale * B A of the module at (layer,
   slot), if there is one. */
void ft_adapter_merge(const struct ft_adapter *a, enum ft_slot s, size_t layer,
		      size_t r0, size_t n, float *w);
/* The same to rows of its transpose: w [rows n, outputs]. */
void ft_adapter_merge_turned(const struct ft_adapter *a, enum ft_slot s,
			     size_t layer, size_t r0, size_t n, float *w);

/* Is DIR an adapter (adapter_config.json)?  Its base directory: --base if
   given, else the path it names as it stands, then relative to DIR. */
bool ft_adapter_is(const char *dir);
int ft_adapter_base(const char *dir, const char *given, struct ft_str *base,
		    struct ft_err *err);

#endif
