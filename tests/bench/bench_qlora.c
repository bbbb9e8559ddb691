/* SPDX-License-Identifier: MIT */
/*
 * A 135M Llama shape, bfloat16 and float32, with the weights in NF4 and as they
 * are: the ratio is the median of the pairs'.
 *
 * usage: bench_qlora [PAIRS [TOKENS [ROWS [MODEL]]]]
 * TSV: step, tokens, isa, MB of weights and tok/s plain, the same in NF4, ratio.
 */
#include "tests/bench/lora.h"

static const char config[] =
	"{\"model_type\":\"llama\",\"vocab_size\":49152,\"hidden_size\":576,"
	"\"intermediate_size\":1536,\"num_hidden_layers\":30,"
	"\"num_attention_heads\":9,\"num_key_value_heads\":3,"
	"\"tie_word_embeddings\":true,\"max_position_embeddings\":4096}";

static void compare(const char *backend, const char *dir, size_t pairs,
		    const struct ft_tokens *b, size_t tokens)
{
	struct side s[2];
	double ratio;

	side_open(&s[0], backend, dir, FT_HOLD_FROZEN, b);
	side_open(&s[1], backend, dir, FT_HOLD_NF4, b);
	ratio = sides_run(s, pairs);
	printf("qlora %s\t%zu\t%s\t%zu\t%.0f\t%zu\t%.0f\t%.3f\n", backend,
	       tokens, s[0].e.k->isa, ft_model_bytes(s[0].e.m) >> 20,
	       (double)tokens / median(s[0].time, pairs),
	       ft_model_bytes(s[1].e.m) >> 20,
	       (double)tokens / median(s[1].time, pairs), ratio);
	fflush(stdout);
	sides_close(s);
}

int main(int argc, char **argv)
{
	size_t pairs = number_arg(argc, argv, 1, 10);
	size_t length = number_arg(argc, argv, 2, 512);
	size_t n = number_arg(argc, argv, 3, 4);
	const char *dir = argc > 4 ? argv[4] : scratch();
	struct ft_tokens b = {0};

	if (argc <= 4)
		eng_write(dir, config);
	side_rows(&b, n, length);
	printf("step\ttokens\tisa\tMB\ttok/s\tNF4 MB\tNF4 tok/s\tmedian ratio\n");
	compare("cpu-bf16", dir, pairs, &b, n * length);
	compare("cpu", dir, pairs, &b, n * length);
	ft_tokens_release(&b);
	return 0;
}
