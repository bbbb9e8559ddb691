/* SPDX-License-Identifier: MIT */
/* A small model of every family, with all that it can switch on. */
#ifndef FT_TEST_FAMILIES_H
#define FT_TEST_FAMILIES_H

enum { FAMILY_VOCAB = 13 };

#define FAMILY_SIZES                                                    \
	"\"vocab_size\":13,\"hidden_size\":8,\"intermediate_size\":10," \
	"\"num_hidden_layers\":3,\"num_attention_heads\":4,"            \
	"\"num_key_value_heads\":2,\"head_dim\":6,"
#define FAMILY_GEMMA                                         \
	"\"sliding_window\":3,\"sliding_window_pattern\":2," \
	"\"query_pre_attn_scalar\":5,\"rms_norm_eps\":0.01," \
	"\"attention_bias\":true,"

static const struct {
	const char *name, *json;
} families[] = {
	{"mistral", "{" FAMILY_SIZES "\"sliding_window\":3,"
		    "\"rms_norm_eps\":0.01,\"model_type\":\"mistral\"}"},
	{"qwen2", "{" FAMILY_SIZES "\"use_sliding_window\":true,"
		  "\"sliding_window\":3,\"max_window_layers\":1,"
		  "\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4,"
		  "\"original_max_position_embeddings\":8},"
		  "\"tie_word_embeddings\":true,\"model_type\":\"qwen2\"}"},
	{"qwen3", "{" FAMILY_SIZES "\"attention_bias\":true,"
		  "\"rms_norm_eps\":0.01,\"model_type\":\"qwen3\"}"},
	{"phi", "{" FAMILY_SIZES "\"qk_layernorm\":true,"
		"\"partial_rotary_factor\":0.7,\"layer_norm_eps\":0.01,"
		"\"model_type\":\"phi\"}"},
	{"starcoder2", "{" FAMILY_SIZES "\"sliding_window\":2,"
		       "\"norm_epsilon\":0.01,"
		       "\"model_type\":\"starcoder2\"}"},
	{"gpt2", "{\"vocab_size\":13,\"n_embd\":8,\"n_head\":2,\"n_layer\":3,"
		 "\"n_inner\":10,\"n_positions\":64,"
		 "\"layer_norm_epsilon\":0.01,"
		 "\"scale_attn_by_inverse_layer_idx\":true,"
		 "\"model_type\":\"gpt2\"}"},
	{"gemma2", "{" FAMILY_SIZES FAMILY_GEMMA "\"attn_logit_softcapping\":2,"
		   "\"final_logit_softcapping\":3,"
		   "\"model_type\":\"gemma2\"}"},
	{"gemma3_text", "{" FAMILY_SIZES FAMILY_GEMMA "\"rope_theta\":500,"
			"\"rope_local_base_freq\":20,"
			"\"final_logit_softcapping\":3,"
			"\"model_type\":\"gemma3_text\"}"},
	{"gemma3", "{\"model_type\":\"gemma3\",\"text_config\":{" FAMILY_SIZES
			   FAMILY_GEMMA "\"rope_theta\":500}}"},
};
enum { NFAMILIES = sizeof(families) / sizeof(*families) };

#endif
