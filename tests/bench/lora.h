/* SPDX-License-Identifier: MIT */
/*
 * Steps of SFT (forward, backward, no update) of LoRA r 16 on all linears, one
 * thread, of two models in turns.  Time is the process's own.
 */
#ifndef FT_BENCH_LORA_H
#define FT_BENCH_LORA_H

#include <time.h>

#include "tests/bench/median.h"
#include "tests/lib/model.h"
#include "tests/lib/scratch.h"

struct side {
	struct eng e;
	double *time; /* [pairs] seconds, sorted after sides_run */
};

static inline double side_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Rows of random ids, all of one length. */
static inline void side_rows(struct ft_tokens *b, size_t rows, size_t length)
{
	int32_t *ids = ft_xcalloc(length, sizeof(*ids));
	const int32_t *seg[2] = {ids, ids};
	size_t len[2] = {0, length};

	for (size_t r = 0; r < rows; r++) {
		for (size_t i = 0; i < length; i++)
			ids[i] = (int32_t)ft_rng_below(3, FT_RNG_INIT, r, i,
						       30000);
		ft_tokens_add(b, (int64_t)r, 2, seg, len, NULL);
	}
	free(ids);
}

static inline void side_open(struct side *s, const char *backend,
			     const char *dir, enum ft_hold hold,
			     const struct ft_tokens *b)
{
	const struct ft_lora_opts o = FT_LORA_DEFAULTS;
	struct ft_err err = {0};
	struct eng *e = &s->e;

	eng_backend(e, backend, NULL, 1);
	eng_hold(e, dir, NULL, hold);
	if (ft_adapter_new(&e->a, e->k, ft_model_config(e->m), &o, 1, &err) <
		    0 ||
	    ft_block_grad(&e->a.b, &err) < 0)
		eng_die("adapter", &err);
	e->lora = true;
	e->dropout = 0.05f;
	eng_rows(e, b, NULL, b->nrow);
}

static inline double side_step(struct eng *e)
{
	double start = side_now();

	eng_zero(e);
	eng_sft(e, 0);
	e->k->sync(e->k);
	return side_now() - start;
}

/* The median of the pairs' ratios, the first's time over the second's. */
static inline double sides_run(struct side s[2], size_t pairs)
{
	double *ratio = ft_xcalloc(pairs, sizeof(*ratio)), m;

	for (int i = 0; i < 2; i++) {
		s[i].time = ft_xcalloc(pairs, sizeof(double));
		side_step(&s[i].e);
	}
	for (size_t p = 0; p < pairs; p++) {
		for (int i = 0; i < 2; i++)
			s[i].time[p] = side_step(&s[i].e);
		ratio[p] = s[0].time[p] / s[1].time[p];
	}
	m = median(ratio, pairs);
	free(ratio);
	return m;
}

static inline void sides_close(struct side s[2])
{
	for (int i = 0; i < 2; i++) {
		free(s[i].time);
		eng_close(&s[i].e);
	}
}

static inline size_t number_arg(int argc, char **argv, int i, size_t otherwise)
{
	return argc > i ? strtoul(argv[i], NULL, 10) : otherwise;
}

#endif
