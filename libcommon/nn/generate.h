/* SPDX-License-Identifier: MIT */
/*
 * Sampling from a model: continuous batches over a cache of keys and values,
 * a prompt computed once for all of its samples.
 *
 * The draw of a token is keyed by (seed, prompt's key, sample, position), so
 * that it does not depend on what else is in the batch.
 */
#ifndef FT_NN_GENERATE_H
#define FT_NN_GENERATE_H

#include "libcommon/nn/model.h"

struct ft_gen_opts {
	int64_t samples, max_new, top_k, batch; /* batch: sequences at a time */
	double temperature, top_p;
	int64_t seed;
};
#define FT_GEN_DEFAULTS                                                      \
	{                                                                    \
		.samples = 1, .max_new = 256, .batch = 32, .temperature = 1, \
		.top_p = 1                                                   \
	}

struct ft_gen_prompt {
	const int32_t *ids; /* at least one; borrowed */
	size_t n;
	uint64_t key; /* names the prompt for random numbers: its row */
};

struct ft_gen_out {
	size_t prompt, sample;
	const int32_t *ids; /* [n] with the end token, if it came */
	const float *logps; /* [n] before temperature and cuts */
	size_t n;
	bool stopped; /* an end token or the caller; else max_new */
};

struct ft_gen_sink {
	void *self;
	/* A token came; true ends its sequence.  May be NULL. */
	bool (*token)(void *self, size_t prompt, size_t sample, int32_t id);
	/* A sequence ended; -1 gives up with err filled. */
	int (*done)(void *self, const struct ft_gen_out *out,
		    struct ft_err *err);
};

int ft_generate(struct ft_model *m, const struct ft_adapter *a,
		const struct ft_gen_opts *o, const struct ft_gen_prompt *p,
		size_t n, const struct ft_gen_sink *sink, struct ft_err *err);

#endif
