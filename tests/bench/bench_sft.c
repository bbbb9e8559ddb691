/* SPDX-License-Identifier: MIT */
/*
 * A step of full fine-tuning (forward, backward, AdamW) of a 15M Llama shape
 * with one thread and with two, in turns: the ratio is the median of the
 * pairs'.
 *
 * usage: bench_sft [PAIRS]
 * TSV: step, tokens, isa, tok/s with 1 thread, with 2, median ratio.
 */
#include <time.h>

#include "tests/bench/median.h"
#include "tests/lib/model.h"
#include "tests/lib/scratch.h"

static const char config[] =
	"{\"model_type\":\"llama\",\"vocab_size\":32000,\"hidden_size\":288,"
	"\"intermediate_size\":768,\"num_hidden_layers\":6,"
	"\"num_attention_heads\":6,\"num_key_value_heads\":6,"
	"\"tie_word_embeddings\":true,\"max_position_embeddings\":2048}";

enum { ROWS = 4, LENGTH = 512 };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void rows(struct ft_tokens *b)
{
	int32_t ids[LENGTH];
	const int32_t *seg[2] = {ids, ids};
	size_t len[2] = {0, LENGTH};

	for (int64_t r = 0; r < ROWS; r++) {
		for (uint64_t i = 0; i < LENGTH; i++)
			ids[i] = (int32_t)ft_rng_below(3, FT_RNG_INIT,
						       (uint64_t)r, i, 32000);
		ft_tokens_add(b, r, 2, seg, len, NULL);
	}
}

/* Seconds of a step. */
static double step(struct eng *e, void *m, void *v, int64_t t)
{
	struct ft_block *b = eng_block(e);
	double start = now();

	eng_zero(e);
	for (size_t i = 0; i < e->pass.n; i++)
		e->coef[i] = (float)(-1 / (double)e->pass.n);
	struct ft_run run = eng_run(e);

	ft_model_forward(e->m, &run, &e->pass);
	ft_model_head(e->m, &e->pass, e->coef, e->logp, NULL, NULL);
	ft_model_backward(e->m, &run, &e->pass);
	e->k->adamw(e->k, &(struct ftk_adamw){.p = b->p,
					      .m = m,
					      .v = v,
					      .g = b->g,
					      .n = b->n,
					      .lr = 1e-5f,
					      .beta1 = 0.9f,
					      .beta2 = 0.999f,
					      .eps = 1e-8f,
					      .gscale = 1,
					      .t = t});
	ft_model_sync(e->m);
	e->k->sync(e->k);
	return now() - start;
}

int main(int argc, char **argv)
{
	int pairs = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 10;
	double *time[2], *ratio = ft_xcalloc((size_t)pairs, sizeof(*ratio));
	struct ft_tokens b = {0};
	struct eng e[2];
	void *m[2], *v[2];

	eng_write(scratch(), config);
	rows(&b);
	for (int i = 0; i < 2; i++) {
		struct ft_block *blk;

		eng_backend(&e[i], "cpu", NULL, i + 1);
		eng_model(&e[i], scratch(), NULL, true);
		eng_rows(&e[i], &b, NULL, ROWS);
		blk = eng_block(&e[i]);
		m[i] = ft_xcalloc(blk->n, sizeof(float));
		v[i] = ft_xcalloc(blk->n, sizeof(float));
		time[i] = ft_xcalloc((size_t)pairs, sizeof(double));
		step(&e[i], m[i], v[i], 1);
	}
	for (int p = 0; p < pairs; p++) {
		for (int i = 0; i < 2; i++)
			time[i][p] = step(&e[i], m[i], v[i], p + 2);
		ratio[p] = time[0][p] / time[1][p];
	}
	printf("step\ttokens\tisa\ttok/s 1 thread\ttok/s 2 threads\tmedian ratio\n");
	printf("sft.full.15M\t%d\t%s\t%.0f\t%.0f\t%.2f\n", ROWS * LENGTH,
	       e[0].k->isa, ROWS * LENGTH / median(time[0], (size_t)pairs),
	       ROWS * LENGTH / median(time[1], (size_t)pairs),
	       median(ratio, (size_t)pairs));
	for (int i = 0; i < 2; i++) {
		free(m[i]);
		free(v[i]);
		free(time[i]);
		eng_close(&e[i]);
	}
	free(ratio);
	ft_tokens_release(&b);
	return 0;
}
