/* SPDX-License-Identifier: MIT */
#include "libcommon/train/options.h"

#include <string.h>

#include "libcommon/base/mem.h"

const struct ft_opt *ft_train_table(struct ft_train_opts *o)
{
	const double big = 9007199254740992.0;
	const struct ft_opt rows[] = {
		FT_STR_FREE('m', "model", &o->model, "DIR",
			    "model directory, or an adapter's to go on from"),
		FT_STR_FREE(0, "base", &o->base, "DIR",
			    "the base model, if not where the adapter says"),
		FT_STR_FREE(0, "adapter", &o->adapter, "DIR",
			    "LoRA adapter to go on from"),
		FT_FLAG(0, "full", &o->full,
			"train all weights instead of a LoRA adapter"),
		FT_STR_FREE('o', "output-dir", &o->out, "DIR",
			    "where the result and checkpoints go"),
		FT_FLAG_FREE(0, "overwrite-output-dir", &o->overwrite,
			     "remove an earlier run's checkpoints there"),
		FT_STR_FREE(
			0, "metrics", &o->metrics, "FILE",
			"metrics JSONL (default: train.metrics.jsonl in the output directory)"),
		FT_STR_FREE(0, "eval-file", &o->eval_file, "STREAM",
			    "evaluate on this token stream"),
		FT_INT_FREE(0, "eval-steps", &o->eval_steps, 0, big, "N",
			    "evaluate every N steps (0: at the end only)"),
		{0,
		 "lora-r",
		 FT_KIND_INT,
		 {.i = &o->lora.r},
		 1,
		 4096,
		 "N",
		 "rank of a new adapter",
		 0,
		 &o->lora_given},
		{0,
		 "lora-alpha",
		 FT_KIND_REAL,
		 {.r = &o->lora.alpha},
		 1e-6,
		 1e6,
		 "X",
		 "its scale is alpha / r",
		 0,
		 &o->lora_given},
		{0,
		 "lora-dropout",
		 FT_KIND_REAL,
		 {.r = &o->lora.dropout},
		 0,
		 0.99,
		 "P",
		 "dropout on the input of LoRA layers",
		 0,
		 &o->dropout_given},
		{0,
		 "lora-target-modules",
		 FT_KIND_LIST,
		 {.list = &o->lora.targets},
		 0,
		 0,
		 "NAMES",
		 "linear layers to adapt, by comma, or all-linear",
		 0,
		 &o->lora_given},
		{0,
		 "use-rslora",
		 FT_KIND_FLAG,
		 {.flag = &o->lora.rslora},
		 0,
		 0,
		 0,
		 "scale by alpha / sqrt(r)",
		 0,
		 &o->lora_given},
		{0,
		 "use-dora",
		 FT_KIND_FLAG,
		 {.flag = &o->lora.dora},
		 0,
		 0,
		 0,
		 "train the lengths of the weights' rows as well (DoRA)",
		 0,
		 &o->lora_given},
		{0,
		 "lora-modules-to-save",
		 FT_KIND_LIST,
		 {.list = &o->lora.save},
		 0,
		 0,
		 "NAMES",
		 "modules to train whole and keep with the adapter, by comma",
		 0,
		 &o->lora_given},
		FT_INT(0, "per-device-train-batch-size", &o->batch, 1, 1 << 20,
		       "N", "rows in a step's part"),
		FT_INT(0, "gradient-accumulation-steps", &o->accumulation, 1,
		       1 << 20, "N", "parts in a step"),
		FT_INT(0, "micro-batch-tokens", &o->micro_tokens, 1, 1 << 24,
		       "N",
		       "tokens computed at a time (a longer row still goes whole)"),
		FT_PLAN_OPTS(&o->memory, &o->plan, &o->json),
		FT_FLAG_FREE(
			0, "gradient-checkpointing", &o->checkpointing,
			"keep no activations of a layer but its input, and compute the others again"),
		FT_REAL(0, "num-train-epochs", &o->epochs, 0, 1e6, "X",
			"passes over the data"),
		FT_INT(0, "max-steps", &o->max_steps, -1, big, "N",
		       "steps in all, whatever the epochs (-1: by epochs)"),
		{0,
		 "learning-rate",
		 FT_KIND_REAL,
		 {.r = &o->lr},
		 0,
		 1e3,
		 "X",
		 "peak learning rate (default: by tool, and less with --full)",
		 0,
		 &o->lr_given},
		FT_ENUM(0, "lr-scheduler-type", &o->schedule,
			"linear|cosine|constant|constant_with_warmup",
			"course of the learning rate"),
		FT_REAL(0, "warmup-ratio", &o->warmup_ratio, 0, 1, "X",
			"part of all steps to warm up over"),
		FT_REAL(0, "warmup-steps", &o->warmup_steps, 0, big, "X",
			"steps to warm up over; below 1 a part of all (0: by warmup-ratio)"),
		FT_ENUM(0, "optim", &o->optim, "adamw_torch|sgd", "optimizer"),
		FT_REAL(0, "weight-decay", &o->decay, 0, 10, "X",
			"decay of matrices"),
		FT_REAL(0, "adam-beta1", &o->beta1, 0, 0.9999999, "X",
			"first moment's decay"),
		FT_REAL(0, "adam-beta2", &o->beta2, 0, 0.9999999, "X",
			"second moment's decay"),
		FT_REAL(0, "adam-epsilon", &o->eps, 0, 1, "X",
			"added to the denominator"),
		FT_REAL(0, "sgd-momentum", &o->momentum, 0, 0.9999999, "X",
			"momentum of --optim sgd"),
		FT_REAL(0, "max-grad-norm", &o->max_grad_norm, 0, 1e9, "X",
			"clip gradients to this norm (0: never)"),
		FT_ENUM(0, "train-sampling-strategy", &o->sampling,
			"random|sequential", "order of rows in an epoch"),
		FT_INT_FREE(0, "logging-steps", &o->logging_steps, 1, big, "N",
			    "log every N steps"),
		FT_INT_FREE(0, "save-steps", &o->save_steps, 0, big, "N",
			    "checkpoint every N steps (0: never)"),
		FT_INT_FREE(0, "save-total-limit", &o->save_total_limit, 0, big,
			    "N", "keep the newest N checkpoints (0: all)"),
		FT_STR_FREE(
			0, "resume-from-checkpoint", &o->resume, "DIR|auto",
			"go on from a checkpoint; auto: the newest complete one, else from the start"),
		FT_INT_FREE(
			0, "max-bad-steps", &o->max_bad_steps, 1, big, "N",
			"end when more than N steps in a row are not finite"),
		FT_FLAG(0, "overfit-one-batch", &o->overfit_one_batch,
			"train on the first step's rows again and again"),
		FT_FLAG(0, "allow-no-stop", &o->allow_no_stop,
			"take data in which no row trains an end token"),
		FT_COMPUTE_OPTS(&o->compute),
		FT_END,
	};
	struct ft_opt *t = ft_xmalloc(sizeof(rows));

	memcpy(t, rows, sizeof(rows));
	return t;
}

int ft_train_check(struct ft_train_opts *o, struct ft_err *err)
{
	if (!o->model)
		return ft_err_set(err, FT_EXIT_USAGE, "no model: give -m DIR");
	if (ft_plan_check(o->memory, o->plan, o->json, &o->budget, err) < 0)
		return -1;
	if (!o->out && !o->plan)
		return ft_err_set(err, FT_EXIT_USAGE,
				  "no output directory: give -o DIR");
	if (o->full && (o->adapter || ft_adapter_is(o->model)))
		return ft_err_set(
			err, FT_EXIT_USAGE,
			"--full trains a model, not an adapter; merge it first (ft-export --to hf)");
	if (o->lora_given && (o->adapter || ft_adapter_is(o->model)))
		return ft_err_set(
			err, FT_EXIT_USAGE,
			"--lora-* shape a new adapter, but this run goes on from one");
	if (o->full && o->compute.in_4bit)
		return ft_err_set(
			err, FT_EXIT_USAGE,
			"--full with --load-in-4bit: weights in 4 bits are not trained");
	if (o->full && (o->lora_given || o->dropout_given))
		return ft_err_set(err, FT_EXIT_USAGE,
				  "--lora-* with --full: there is no adapter");
	if (o->eval_steps && !o->eval_file)
		return ft_err_set(err, FT_EXIT_USAGE,
				  "--eval-steps without --eval-file");
	if (o->overwrite && o->resume)
		return ft_err_set(
			err, FT_EXIT_USAGE,
			"--overwrite-output-dir with --resume-from-checkpoint");
	if (o->momentum > 0 && o->optim != FT_OPTIM_SGD)
		return ft_err_set(err, FT_EXIT_USAGE,
				  "--sgd-momentum is for --optim sgd");
	return 0;
}
