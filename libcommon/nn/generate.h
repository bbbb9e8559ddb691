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
	double temperature, top_p, min_p;
	double repetition_penalty; /* 1: none; of the prompt's tokens, too */
	int64_t seed;
	/* Bytes that all may take, and what is taken already; 0: any. */
	size_t budget, taken;
};
#define FT_GEN_DEFAULTS                                                      \
	{                                                                    \
		.samples = 1, .max_new = 256, .batch = 32, .temperature = 1, \
		.top_p = 1, .repetition_penalty = 1                          \
	}

struct ft_gen_prompt {
	const int32_t *ids; /* at least one; borrowed until its last sample */
	size_t n;
	uint64_t key; /* names the prompt for random numbers: its row */
};

struct ft_gen_out {
	size_t prompt, sample; /* prompts count from 0, as they came */
	const int32_t *ids;    /* [n] with the end token, if it came */
	const float *logps;    /* [n] before penalty, temperature and cuts */
	size_t n;
	bool stopped; /* an end token or the caller; else max_new */
};

/* Where prompts come from and samples go. */
struct ft_gen_io {
	void *self;
	/* The next prompt: 1, 0 at the end, -1 with err filled.  Asked for when
	   nothing is under way, as many as go together; else one as soon as
	   there may be room for it.  So what is computed together depends on
	   the prompts alone. */
	int (*next)(void *self, struct ft_gen_prompt *p, struct ft_err *err);
	/* A token came; true ends its sequence.  May be NULL. */
	bool (*token)(void *self, size_t prompt, size_t sample, int32_t id);
	/* A sequence ended; -1 gives up with err filled. */
	int (*done)(void *self, const struct ft_gen_out *out,
		    struct ft_err *err);
};

/* What generating for prompts that are known takes, beside the model and the
   adapter, into p: no less than it will be, for prompts of one length just
   that.  Within o->budget, or FT_EXIT_SYS and the least that does. */
struct ft_gen_sizes {
	size_t prompts, tokens, longest;
};
int ft_gen_plan(struct ft_model *m, const struct ft_adapter *a,
		const struct ft_gen_opts *o, const struct ft_gen_sizes *all,
		struct ft_plan *p, struct ft_err *err);

/*
 * A generator that is run again and again, as in a conversation: what a run's
 * first prompt begins with and the run before has computed, prompt and answer,
 * is not computed again.  Of o, max_new may differ from run to run.  After -1 it
 * can only be freed.
 */
struct ft_gen;
struct ft_gen *ft_gen_new(struct ft_model *m, const struct ft_adapter *a,
			  const struct ft_gen_opts *o);
int ft_gen_run(struct ft_gen *g, const struct ft_gen_io *io,
	       struct ft_err *err);
void ft_gen_free(struct ft_gen *g);

/* All prompts that io has.  Memory does not grow with their number: none is
   taken while one that came FT_GEN_AHEAD * batch before is not done. */
enum { FT_GEN_AHEAD = 8 };
int ft_generate(struct ft_model *m, const struct ft_adapter *a,
		const struct ft_gen_opts *o, const struct ft_gen_io *io,
		struct ft_err *err);

#endif
