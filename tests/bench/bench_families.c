/* SPDX-License-Identifier: MIT */
/*
 * Each family's shape of about 135 million parameters beside Llama's, in
 * bfloat16: the model's own operations a second, of products, attention (no
 * more of it than windows leave) and LoRA, over Llama's; the median of the
 * pairs' ratios.
 *
 * usage: bench_families [PAIRS [TOKENS [ROWS [FAMILY...]]]]
 * TSV: family, tokens, isa, tok/s, GF/s, GF/s of the Llama beside it, ratio.
 */
#include "tests/bench/lora.h"

#define SIZES                                                                \
	"\"vocab_size\":49152,\"hidden_size\":576,\"num_hidden_layers\":30," \
	"\"num_attention_heads\":9,\"head_dim\":64,"                         \
	"\"max_position_embeddings\":4096,"
#define GATED                                                         \
	SIZES "\"num_key_value_heads\":3,\"intermediate_size\":1536," \
	      "\"tie_word_embeddings\":true,"
#define PLAIN SIZES "\"intermediate_size\":2304,\"tie_word_embeddings\":true,"

static const struct family {
	const char *name, *config;
} families[] = {
	{"llama", "{" GATED "\"model_type\":\"llama\"}"},
	{"mistral", "{" GATED "\"sliding_window\":256,"
		    "\"model_type\":\"mistral\"}"},
	{"qwen2", "{" GATED "\"model_type\":\"qwen2\"}"},
	{"qwen3", "{" GATED "\"model_type\":\"qwen3\"}"},
	{"phi", "{" PLAIN "\"num_key_value_heads\":9,"
		"\"partial_rotary_factor\":0.5,\"model_type\":\"phi\"}"},
	{"starcoder2", "{" PLAIN "\"num_key_value_heads\":3,"
		       "\"sliding_window\":256,"
		       "\"model_type\":\"starcoder2\"}"},
	{"gpt2", "{\"vocab_size\":49152,\"n_embd\":576,\"n_layer\":30,"
		 "\"n_head\":9,\"n_inner\":2304,\"n_positions\":4096,"
		 "\"model_type\":\"gpt2\"}"},
	{"gemma2", "{" GATED "\"sliding_window\":256,"
		   "\"query_pre_attn_scalar\":64,"
		   "\"attn_logit_softcapping\":50,"
		   "\"final_logit_softcapping\":30,"
		   "\"model_type\":\"gemma2\"}"},
	{"gemma3_text", "{" GATED "\"sliding_window\":256,"
			"\"query_pre_attn_scalar\":64,"
			"\"model_type\":\"gemma3_text\"}"},
};
enum { NFAMILIES = sizeof(families) / sizeof(*families) };

/* Pairs of a query and a key of a row in a layer. */
static double seen(const struct ft_config *c, size_t layer, size_t length)
{
	size_t w = ft_config_window(c, layer);
	double n = 0;

	for (size_t i = 0; i < length; i++)
		n += (double)(w && i + 1 > w ? w : i + 1);
	return n;
}

/* Operations of a step: a frozen product forward and for its input, a trained
   one for its weights too, attention's two forward and four backward. */
static double work(struct eng *e, size_t rows, size_t length)
{
	const struct ft_config *c = ft_model_config(e->m);
	double tokens = (double)(rows * length), attn = 0;
	size_t products;

	ft_config_params(c, &products);
	for (size_t l = 0; l < c->layers; l++)
		attn += 12 * (double)(rows * c->heads * c->head_dim) *
			seen(c, l, length);
	return tokens * (4 * (double)products + 6 * (double)e->a.b.n) + attn;
}

static void compare(const struct family *f, size_t pairs,
		    const struct ft_tokens *b, size_t rows, size_t length)
{
	double ratio, flops[2], time;
	struct side s[2];

	for (int i = 0; i < 2; i++) {
		eng_write(scratch(), i ? f->config : families[0].config);
		side_open(&s[i], "cpu-bf16", scratch(), FT_HOLD_FROZEN, b);
		flops[i] = work(&s[i].e, rows, length);
	}
	ratio = sides_run(s, pairs) * flops[1] / flops[0];
	time = median(s[1].time, pairs);
	printf("%s\t%zu\t%s\t%.0f\t%.1f\t%.1f\t%.3f\n", f->name, rows * length,
	       s[1].e.k->isa, (double)(rows * length) / time,
	       1e-9 * flops[1] / time,
	       1e-9 * flops[0] / median(s[0].time, pairs), ratio);
	fflush(stdout);
	sides_close(s);
}

static bool named(const struct family *f, int argc, char **argv)
{
	for (int i = 4; i < argc; i++) {
		if (!strcmp(f->name, argv[i]))
			return true;
	}
	return argc <= 4 && f != families;
}

int main(int argc, char **argv)
{
	size_t pairs = number_arg(argc, argv, 1, 5);
	size_t length = number_arg(argc, argv, 2, 512);
	size_t rows = number_arg(argc, argv, 3, 1);
	struct ft_tokens b = {0};

	side_rows(&b, rows, length);
	printf("family\ttokens\tisa\ttok/s\tGF/s\tLlama's\tmedian ratio\n");
	for (int i = 0; i < NFAMILIES; i++) {
		if (named(&families[i], argc, argv))
			compare(&families[i], pairs, &b, rows, length);
	}
	ft_tokens_release(&b);
	return 0;
}
