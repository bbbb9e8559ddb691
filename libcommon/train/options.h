/* SPDX-License-Identifier: MIT */
/* The options that all trainers share: TRL's names, the contract's defaults. */
#ifndef FT_TRAIN_OPTIONS_H
#define FT_TRAIN_OPTIONS_H

#include "libcommon/nn/open.h"

enum ft_optim { FT_OPTIM_ADAMW, FT_OPTIM_SGD };
enum ft_schedule {
	FT_SCHED_LINEAR,
	FT_SCHED_COSINE,
	FT_SCHED_CONSTANT,
	FT_SCHED_CONSTANT_WARMUP
};
enum ft_sampling { FT_SAMPLING_RANDOM, FT_SAMPLING_SEQUENTIAL };

struct ft_train_opts {
	const char *model, *base, *adapter, *out, *metrics, *eval_file, *resume;
	bool full, overfit_one_batch, allow_no_stop, overwrite;
	struct ft_lora_opts lora;
	bool lora_given; /* an option of a new adapter */
	bool dropout_given;
	struct ft_compute compute;
	const char *memory;
	size_t budget; /* bytes of --memory; 0: as much as it takes */
	bool plan, json, checkpointing;
	int64_t batch, accumulation, max_steps, save_steps, save_total_limit;
	int64_t eval_steps, logging_steps, max_bad_steps, micro_tokens;
	double epochs, lr, warmup_ratio, warmup_steps, decay, beta1, beta2, eps;
	double momentum, max_grad_norm;
	int optim, schedule, sampling;
	bool lr_given;
};
#define FT_TRAIN_DEFAULTS                                                   \
	{                                                                   \
		.lora = FT_LORA_DEFAULTS, .compute = FT_COMPUTE_DEFAULTS,   \
		.batch = 8, .accumulation = 1, .max_steps = -1,             \
		.save_steps = 500, .logging_steps = 10, .max_bad_steps = 5, \
		.micro_tokens = 1024, .epochs = 3, .warmup_ratio = 0.03,    \
		.lr = -1, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8,        \
		.max_grad_norm = 1                                          \
	}

/* The table over o; lives as long as the program. */
const struct ft_opt *ft_train_table(struct ft_train_opts *o);
/* Combinations that make no sense: FT_EXIT_USAGE. */
int ft_train_check(struct ft_train_opts *o, struct ft_err *err);

#endif
