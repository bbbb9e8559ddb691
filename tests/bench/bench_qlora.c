/* SPDX-License-Identifier: MIT */
/*
 * A step of SFT (forward, backward, no update) of LoRA r 16 on all linears of
 * a 135M Llama shape, one thread, bfloat16 and float32: with the weights in
 * NF4 and as they are, in turns; the ratio is the median of the pairs'.  Time
 * is the process's own.
 *
 * usage: bench_qlora [PAIRS [TOKENS [ROWS [MODEL]]]]
 * TSV: step, tokens, isa, MB of weights and tok/s plain, the same in NF4, ratio.
 */
#include <time.h>

#include "tests/bench/median.h"
#include "tests/lib/model.h"
#include "tests/lib/scratch.h"

static const char config[] =
	"{\"model_type\":\"llama\",\"vocab_size\":49152,\"hidden_size\":576,"
	"\"intermediate_size\":1536,\"num_hidden_layers\":30,"
	"\"num_attention_heads\":9,\"num_key_value_heads\":3,"
	"\"tie_word_embeddings\":true,\"max_position_embeddings\":4096}";

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void make_rows(struct ft_tokens *b, size_t rows, size_t length)
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

static void open_one(struct eng *e, const char *backend, const char *dir,
		     enum ft_hold hold, const struct ft_tokens *b)
{
	const struct ft_lora_opts o = FT_LORA_DEFAULTS;
	struct ft_err err = {0};

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

static double step(struct eng *e)
{
	double start = now();

	eng_zero(e);
	eng_sft(e, 0);
	e->k->sync(e->k);
	return now() - start;
}

static void compare(const char *backend, const char *dir, int pairs,
		    const struct ft_tokens *b, size_t tokens)
{
	double *time[2], *ratio = ft_xcalloc((size_t)pairs, sizeof(*ratio));
	size_t bytes[2];
	struct eng e[2];

	for (int i = 0; i < 2; i++) {
		open_one(&e[i], backend, dir, i ? FT_HOLD_NF4 : FT_HOLD_FROZEN,
			 b);
		bytes[i] = ft_model_bytes(e[i].m);
		time[i] = ft_xcalloc((size_t)pairs, sizeof(double));
		step(&e[i]);
	}
	for (int p = 0; p < pairs; p++) {
		for (int i = 0; i < 2; i++)
			time[i][p] = step(&e[i]);
		ratio[p] = time[0][p] / time[1][p];
	}
	printf("qlora %s\t%zu\t%s\t%zu\t%.0f\t%zu\t%.0f\t%.3f\n", backend,
	       tokens, e[0].k->isa, bytes[0] >> 20,
	       (double)tokens / median(time[0], (size_t)pairs), bytes[1] >> 20,
	       (double)tokens / median(time[1], (size_t)pairs),
	       median(ratio, (size_t)pairs));
	fflush(stdout);
	for (int i = 0; i < 2; i++) {
		free(time[i]);
		eng_close(&e[i]);
	}
	free(ratio);
}

static size_t arg(int argc, char **argv, int i, size_t otherwise)
{
	return argc > i ? strtoul(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
	int pairs = (int)arg(argc, argv, 1, 10);
	size_t length = arg(argc, argv, 2, 512), n = arg(argc, argv, 3, 4);
	const char *dir = argc > 4 ? argv[4] : scratch();
	struct ft_tokens b = {0};

	if (argc <= 4)
		eng_write(dir, config);
	make_rows(&b, n, length);
	printf("step\ttokens\tisa\tMB\ttok/s\tNF4 MB\tNF4 tok/s\tmedian ratio\n");
	compare("cpu-bf16", dir, pairs, &b, n * length);
	compare("cpu", dir, pairs, &b, n * length);
	ft_tokens_release(&b);
	return 0;
}
