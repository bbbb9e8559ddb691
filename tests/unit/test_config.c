/* SPDX-License-Identifier: MIT */
#include "libcommon/nn/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

#define SIZES                                               \
	"\"vocab_size\":100,\"hidden_size\":32,"            \
	"\"intermediate_size\":48,\"num_hidden_layers\":3," \
	"\"num_attention_heads\":4"
#define LLAMA "\"model_type\":\"llama\"," SIZES

static bool parse(struct ft_config *c, const char *json, struct ft_err *err)
{
	memset(err, 0, sizeof(*err));
	return ft_config_parse(c, json, strlen(json), err) == 0;
}

static void good(struct ft_config *c, const char *json)
{
	struct ft_err err;

	CHECK(parse(c, json, &err), "taken: %.60s %s", json, err.msg);
}

/* Refused as bad data, with word in the message. */
static void bad(const char *json, const char *word)
{
	struct ft_config c;
	struct ft_err err;
	bool ok = parse(&c, json, &err);

	CHECK(!ok && err.code == FT_EXIT_DATA && strstr(err.msg, word),
	      "refused, '%s': %s", word, ok ? "it was taken" : err.msg);
}

static void defaults(void)
{
	struct ft_config c;

	good(&c, "{" LLAMA "}");
	CHECK(c.vocab == 100 && c.hidden == 32 && c.inter == 48 &&
		      c.layers == 3 && c.heads == 4,
	      "sizes");
	CHECK(c.kv_heads == 4 && c.head_dim == 8 && c.max_pos == 2048,
	      "kv heads, head size and positions when not said");
	CHECK(c.eps == 1e-6f && c.act == FTK_SILU && !c.tied && !c.attn_bias &&
		      !c.mlp_bias && c.rope.type == FT_ROPE_PLAIN &&
		      c.rope.theta == 10000 && c.bos == -1 && c.neos == 0,
	      "all else when not said");
	good(&c, "{" LLAMA ",\"head_dim\":null,\"num_key_value_heads\":2,"
		 "\"rope_scaling\":null,\"eos_token_id\":null}");
	CHECK(c.head_dim == 8 && c.kv_heads == 2 && c.neos == 0 &&
		      c.attn_dropout == 0,
	      "null is as not said");
	good(&c, "{" LLAMA ",\"head_dim\":6,\"tie_word_embeddings\":true,"
		 "\"attention_bias\":true,\"mlp_bias\":true,"
		 "\"hidden_act\":\"gelu_pytorch_tanh\","
		 "\"rms_norm_eps\":0.125,\"bos_token_id\":1,"
		 "\"eos_token_id\":[2,7,2]}");
	CHECK(c.head_dim == 6 && c.tied && c.attn_bias && c.mlp_bias &&
		      c.act == FTK_GELU_TANH && c.eps == 0.125f && c.bos == 1,
	      "all else as said");
	CHECK(c.neos == 2 && ft_config_is_eos(&c, 2) &&
		      ft_config_is_eos(&c, 7) && !ft_config_is_eos(&c, 1),
	      "several end tokens");
}

/* transformers 4 and 5 say the same in other words. */
static void spellings(void)
{
	static const char *const same[][2] = {
		{"\"rope_theta\":500.5",
		 "\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":500.5}"},
		{"\"rope_theta\":1e6,\"rope_scaling\":{\"type\":\"linear\",\"factor\":4.0}",
		 "\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":4.0,\"rope_theta\":1e6}"},
		{"\"rope_theta\":1e4,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4,\"original_max_position_embeddings\":64}",
		 "\"rope_parameters\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4,\"original_max_position_embeddings\":64,\"rope_theta\":1e4}"},
		/* both there: rope_scaling beats rope_parameters, which beats
		   rope_theta */
		{"\"rope_theta\":5,\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":7}",
		 "\"rope_theta\":7"},
		{"\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":2},\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":3}",
		 "\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}"},
		/* all of it: its rope_theta too */
		{"\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":2},\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":2,\"rope_theta\":7}",
		 "\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}"},
		{"\"rope_theta\":9,\"rope_scaling\":{\"rope_type\":\"default\",\"rope_theta\":7}",
		 "\"rope_theta\":7"},
		/* one that says nothing beats nothing */
		{"\"rope_scaling\":{},\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":3,\"rope_theta\":7}",
		 "\"rope_theta\":7,\"rope_scaling\":{\"type\":\"linear\",\"factor\":3}"},
		/* the original length may stand outside, and wins there */
		{"\"original_max_position_embeddings\":32,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4,\"original_max_position_embeddings\":16}",
		 "\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4,\"original_max_position_embeddings\":32}"},
		/* and is max_position_embeddings where nobody says */
		{"\"max_position_embeddings\":48,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4}",
		 "\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4,\"original_max_position_embeddings\":48}"},
	};

	for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++) {
		struct ft_config c[2];
		float t[2][64];

		for (int j = 0; j < 2; j++) {
			char json[1024];

			memset(&c[j], 0, sizeof(c[j]));
			snprintf(json, sizeof(json), "{" LLAMA ",%s}",
				 same[i][j]);
			good(&c[j], json);
			ft_rope_table(&c[j], &c[j].rope, 8, t[j]);
		}
		CHECK(c[0].rope.type == c[1].rope.type &&
			      !memcmp(t[0], t[1], sizeof(t[0])),
		      "rope %zu: the same in both spellings", i);
	}
}

#define FAMILY(type, more)                    \
	"{\"model_type\":\"" type "\"," SIZES \
	",\"num_key_value_heads\":2" more "}"

/* What stands in no config.json is what transformers' classes have. */
static void families(void)
{
	struct ft_config c;
	char name[FT_CONFIG_NAME];

	good(&c, FAMILY("mistral", ""));
	CHECK(c.window == 4096 && ft_config_window(&c, 0) == 4096 &&
		      ft_config_window(&c, 2) == 4096 && !c.tied &&
		      c.max_pos == 131072 && c.neos == 1 && c.eos[0] == 2 &&
		      c.head_dim == 8,
	      "mistral");
	good(&c, FAMILY("mistral", ",\"sliding_window\":null"));
	CHECK(!ft_config_window(&c, 0), "mistral without a window");
	good(&c, FAMILY("qwen2", ""));
	CHECK(!ft_config_window(&c, 2) && ft_config_bias(&c, FT_Q) &&
		      ft_config_bias(&c, FT_V) && !ft_config_bias(&c, FT_O) &&
		      !ft_config_has(&c, FT_Q_NORM),
	      "qwen2");
	good(&c, FAMILY("qwen2", ",\"use_sliding_window\":true,"
				 "\"sliding_window\":7,"
				 "\"max_window_layers\":1"));
	CHECK(!ft_config_window(&c, 0) && ft_config_window(&c, 1) == 7 &&
		      ft_config_window(&c, 2) == 7,
	      "qwen2 with windows in late layers");
	good(&c, FAMILY("qwen3", ",\"use_sliding_window\":true,"
				 "\"layer_types\":[\"sliding_attention\","
				 "\"full_attention\",\"full_attention\"]"));
	CHECK(ft_config_window(&c, 0) == 4096 && !ft_config_window(&c, 1) &&
		      c.head_dim == 128 && ft_config_has(&c, FT_K_NORM) &&
		      !ft_config_bias(&c, FT_Q),
	      "qwen3 with kinds of layers");
	good(&c, FAMILY("phi", ""));
	CHECK(c.head_dim == 8 && c.rot == 4 && ft_config_bias(&c, FT_HEAD) &&
		      ft_config_bias(&c, FT_NORM) &&
		      !ft_config_has(&c, FT_Q_NORM) && c.eps == 1e-5f &&
		      c.act == FTK_GELU_TANH,
	      "phi");
	good(&c, FAMILY("starcoder2", ""));
	CHECK(c.tied && ft_config_bias(&c, FT_DOWN) &&
		      !ft_config_has(&c, FT_UP) && !c.window,
	      "starcoder2");
	good(&c, "{\"model_type\":\"gpt2\",\"n_embd\":24,\"n_head\":3,"
		 "\"n_inner\":null,\"head_dim\":5}");
	CHECK(c.inter == 96 && c.layers == 12 && c.head_dim == 8 && !c.rot &&
		      c.tied && ft_config_positions(&c) == 1024 &&
		      ft_config_turned(&c, FT_QKV) &&
		      !ft_config_turned(&c, FT_EMBED),
	      "gpt2");
	CHECK(!strcmp(ft_slot_module(&c, FT_O), "attn.c_proj") &&
		      !strcmp(ft_slot_module(&c, FT_QKV), "c_attn"),
	      "what tells a module from others");
	good(&c, FAMILY("gemma2", ""));
	CHECK(ft_config_window(&c, 0) == 4096 && !ft_config_window(&c, 1) &&
		      c.attn_cap == 50 && c.logit_cap == 30 &&
		      c.attn_scale == 0.0625f && c.head_dim == 256,
	      "gemma2");
	good(&c, "{\"model_type\":\"gemma3\",\"eos_token_id\":[1,106],"
		 "\"text_config\":{\"hidden_size\":2560,"
		 "\"num_hidden_layers\":34,\"sliding_window\":1024,"
		 "\"rope_scaling\":{\"factor\":8,\"rope_type\":\"linear\"}}}");
	CHECK(c.vocab == 262208 && c.heads == 8 && c.kv_heads == 4 && c.tied &&
		      c.neos == 2 && c.rope.theta == 1e6 &&
		      c.rope.type == FT_ROPE_LINEAR && c.local.theta == 1e4 &&
		      c.local.type == FT_ROPE_PLAIN &&
		      ft_config_window(&c, 4) == 1024 &&
		      !ft_config_window(&c, 5) && c.logit_cap == 0,
	      "gemma3 as its hub says it");
	ft_config_name(&c, FT_Q, 3, name, sizeof(name));
	CHECK(!strcmp(name, "model.language_model.layers.3.self_attn.q_proj"),
	      "%s", name);
	c.other_names = true;
	ft_config_stored(&c, FT_Q, 3, name, sizeof(name));
	CHECK(!strcmp(name, "language_model.model.layers.3.self_attn.q_proj"),
	      "%s", name);
	CHECK(ft_config_stray(&c, "vision_tower.x.weight") &&
		      !ft_config_stray(&c, "model.x.weight"),
	      "what sees is not missed");
}

static void family_refusals(void)
{
	bad(FAMILY("qwen2", ",\"layer_types\":[\"full_attention\"]"),
	    "layer_types is no list of 3");
	bad(FAMILY("qwen2", ",\"layer_types\":[\"full_attention\","
			    "\"chunked_attention\",\"full_attention\"]"),
	    "'chunked_attention' is not supported");
	bad(FAMILY("qwen2", ",\"layer_types\":[\"full_attention\","
			    "\"sliding_attention\",\"full_attention\"]"),
	    "sliding_window is not there");
	bad(FAMILY("mistral", ",\"sliding_window\":0"), "sliding_window");
	bad(FAMILY("gemma3_text", ",\"sliding_window_pattern\":0"),
	    "sliding_window_pattern");
	bad(FAMILY("gemma2", ",\"query_pre_attn_scalar\":0"),
	    "query_pre_attn_scalar");
	bad(FAMILY("gemma2", ",\"attn_logit_softcapping\":-1"),
	    "attn_logit_softcapping");
	bad(FAMILY("gemma3_text", ",\"use_bidirectional_attention\":true"),
	    "use_bidirectional_attention");
	bad("{\"model_type\":\"gemma3\"}", "text_config is missing");
	bad("{\"model_type\":\"gpt2\",\"add_cross_attention\":true}",
	    "add_cross_attention");
	bad("{\"model_type\":\"gpt2\",\"n_embd\":100}", "no multiple");
	bad(FAMILY("phi", ",\"partial_rotary_factor\":0.4"), "no even number");
	bad(FAMILY("mistral", ",\"partial_rotary_factor\":0.5"),
	    "not supported in this family");
	bad(FAMILY("qwen2", ",\"rope_scaling\":{\"type\":\"yarn\"}"),
	    "'yarn' without factor");
	bad(FAMILY("gemma3_text", ",\"rope_parameters\":{\"full_attention\":"
				  "{\"rope_type\":\"dynamic\"}}"),
	    "'dynamic'");
}

static void refusals(void)
{
	bad("", "");
	bad("[]", "not a JSON object");
	bad("{}", "model_type is missing");
	bad("{\"model_type\":7}", "model_type");
	bad("{\"model_type\":\"mamba\"}",
	    "'mamba' is not supported (supported: llama");
	bad("{" LLAMA ",\"quantization_config\":{\"quant_method\":\"awq\"}}",
	    "quantised by 'awq'");
	bad("{" LLAMA ",\"quantization_config\":[]}", "quantization_config");
	bad("{" LLAMA ",\"hidden_act\":\"relu2\"}", "hidden_act 'relu2'");
	bad("{" LLAMA
	    ",\"rope_scaling\":{\"rope_type\":\"longrope\",\"factor\":2}}",
	    "rope scaling 'longrope'");
	bad("{" LLAMA
	    ",\"rope_parameters\":{\"rope_type\":\"dynamic\",\"factor\":2}}",
	    "'dynamic'");
	bad("{" LLAMA ",\"rope_scaling\":{\"type\":\"linear\"}}",
	    "without factor");
	bad("{" LLAMA
	    ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1}}",
	    "'llama3' without high_freq_factor");
	bad("{" LLAMA
	    ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2,\"partial_rotary_factor\":0.5}}",
	    "partial_rotary_factor");
	bad("{" LLAMA ",\"rope_parameters\":7}",
	    "rope_parameters is not an object");
	bad("{\"model_type\":\"llama\",\"vocab_size\":9,\"hidden_size\":20,\"intermediate_size\":8,\"num_hidden_layers\":1,\"num_attention_heads\":3}",
	    "hidden_size 20 is no multiple of num_attention_heads 3");
	bad("{" LLAMA ",\"rope_scaling\":[]}", "not an object");
	bad("{" LLAMA ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":0}}",
	    "factor must be a positive");
	bad("{" LLAMA ",\"rope_theta\":-1}", "rope_theta must be a positive");
	bad("{" LLAMA
	    ",\"rope_scaling\":{\"type\":\"llama3\",\"factor\":2,\"low_freq_factor\":4,\"high_freq_factor\":4}}",
	    "high_freq_factor must exceed");
	bad("{" LLAMA ",\"partial_rotary_factor\":0.5}",
	    "partial_rotary_factor");
	bad("{" LLAMA
	    ",\"rope_parameters\":{\"rope_type\":\"default\",\"partial_rotary_factor\":0.5}}",
	    "partial_rotary_factor");
	bad("{" LLAMA ",\"num_key_value_heads\":3}",
	    "no multiple of num_key_value_heads");
	bad("{" LLAMA ",\"num_key_value_heads\":8}", "num_key_value_heads");
	bad("{" LLAMA ",\"head_dim\":7}", "head_dim 7 is odd");
	bad("{" LLAMA ",\"head_dim\":0}", "head_dim");
	bad("{" LLAMA ",\"rms_norm_eps\":-1}", "rms_norm_eps is out of range");
	bad("{" LLAMA ",\"rms_norm_eps\":\"small\"}", "rms_norm_eps");
	bad("{" LLAMA ",\"tie_word_embeddings\":1}", "tie_word_embeddings");
	bad("{" LLAMA ",\"eos_token_id\":\"</s>\"}",
	    "eos_token_id is not a token id");
	bad("{" LLAMA ",\"eos_token_id\":[1,2,3,4,5,6,7,8,9]}",
	    "more than 8 end tokens");
	bad("{\"model_type\":\"llama\"}", "vocab_size is missing");
	bad("{\"model_type\":\"llama\",\"vocab_size\":-1}",
	    "vocab_size is negative");
	bad("{\"model_type\":\"llama\",\"vocab_size\":99999999999}",
	    "vocab_size is out of range");
	bad("{" LLAMA "}x", "");
	bad("{" LLAMA ",\"model_type\":\"llama\"}", "");
}

static void names(void)
{
	struct ft_config c;
	char buf[64];
	size_t n, k, mm, params;

	good(&c,
	     "{" LLAMA ",\"num_key_value_heads\":2,\"attention_bias\":true}");
	ft_config_name(&c, FT_Q, 2, buf, sizeof(buf));
	CHECK(!strcmp(buf, "model.layers.2.self_attn.q_proj"), "%s", buf);
	ft_config_name(&c, FT_HEAD, 2, buf, sizeof(buf));
	CHECK(!strcmp(buf, "lm_head"), "%s", buf);
	CHECK(!strcmp(ft_slot_module(&c, FT_DOWN), "down_proj"), "module name");
	ft_config_shape(&c, FT_K, &n, &k);
	CHECK(n == 16 && k == 32, "k_proj is [16, 32]");
	ft_config_shape(&c, FT_DOWN, &n, &k);
	CHECK(n == 32 && k == 48, "down_proj is [32, 48]");
	ft_config_shape(&c, FT_NORM, &n, &k);
	CHECK(n == 32 && k == 0, "a norm is a vector");
	CHECK(ft_config_bias(&c, FT_O) && !ft_config_bias(&c, FT_UP) &&
		      !ft_config_bias(&c, FT_HEAD),
	      "which have biases");
	params = ft_config_params(&c, &mm);
	/* q, o 32x32; k, v 16x32; three of 48x32; their biases; two norms */
	CHECK(params == 3 * (2 * 1024 + 2 * 512 + 3 * 1536 + 96 + 64) + 32 +
				      2 * 3200 &&
		      mm == 3 * (2 * 1024 + 2 * 512 + 3 * 1536) + 3200,
	      "%zu parameters, %zu in products", params, mm);
}

/* inv_freq of transformers 5.23 for tests/data/golden/rope_llama3. */
static void table(void)
{
	static const float inv[4] = {0x1.e513f4p-1f, 0x1.6c310ep-6f,
				     0x1.030dc6p-8f, 0x1.708938p-11f};
	struct ft_config c, old;
	struct ft_err err = {0};
	float t[40 * 8], far = 0;
	FILE *f = fopen("tests/data/golden/rope_llama3/config_v4.json", "r");
	char json[4096];
	size_t n = f ? fread(json, 1, sizeof(json) - 1, f) : 0;

	json[n] = '\0';
	if (f)
		fclose(f);
	CHECK(ft_config_load(&c, "tests/data/golden/rope_llama3", &err) == 0 &&
		      c.rope.type == FT_ROPE_LLAMA3,
	      "config.json of transformers 5 %s", err.msg);
	CHECK(parse(&old, json, &err) && old.rope.type == c.rope.type &&
		      old.rope.theta == c.rope.theta &&
		      old.rope.factor == c.rope.factor &&
		      old.rope.low == c.rope.low &&
		      old.rope.high == c.rope.high &&
		      old.rope.original == c.rope.original,
	      "and of transformers 4 %s", err.msg);
	ft_rope_table(&c, &c.rope, 40, t);
	for (size_t p = 0; p < 40; p++) {
		for (size_t i = 0; i < 4; i++) {
			float a = (float)p * inv[i];

			far = fmaxf(far, fabsf(t[p * 8 + i] - cosf(a)));
			far = fmaxf(far, fabsf(t[p * 8 + 4 + i] - sinf(a)));
		}
	}
	CHECK(far < 2e-7f, "angles as transformers has them: %.1e",
	      (double)far);
}

static void files(void)
{
	static const char config[] = "{" LLAMA ",\"eos_token_id\":2}";
	static const char gen[] = "{\"eos_token_id\":[7,5]}";
	static const char none[] = "{\"eos_token_id\":null}";
	struct ft_config c;
	struct ft_err err = {0};

	CHECK(ft_config_load(&c, scratch(), &err) < 0 &&
		      err.code == FT_EXIT_SYS && strstr(err.msg, "config.json"),
	      "no config.json: %s", err.msg);
	scratch_file("config.json", config, sizeof(config) - 1);
	CHECK(!ft_config_load(&c, scratch(), &err) && c.neos == 1,
	      "without generation_config.json");
	scratch_file("generation_config.json", gen, sizeof(gen) - 1);
	CHECK(!ft_config_load(&c, scratch(), &err) && c.neos == 2 &&
		      ft_config_is_eos(&c, 5) && ft_config_is_eos(&c, 7),
	      "generation_config.json has other end tokens");
	scratch_file("generation_config.json", none, sizeof(none) - 1);
	CHECK(!ft_config_load(&c, scratch(), &err) && c.neos == 1 &&
		      ft_config_is_eos(&c, 2),
	      "generation_config.json has none");
	scratch_file("generation_config.json", gen, sizeof(gen) - 3);
	CHECK(ft_config_load(&c, scratch(), &err) < 0 &&
		      strstr(err.where, "generation_config.json"),
	      "a torn one is an error: %s", err.msg);
	scratch_file("generation_config.json", "[7]", 3);
	CHECK(ft_config_load(&c, scratch(), &err) < 0 &&
		      err.code == FT_EXIT_DATA &&
		      strstr(err.msg, "not a JSON object"),
	      "one that is no object: %s", err.msg);
	scratch_file("generation_config.json", "{\"eos_token_id\":[-7]}", 21);
	CHECK(ft_config_load(&c, scratch(), &err) < 0 &&
		      strstr(err.msg, "eos_token_id is not a token id"),
	      "one with an id that is none: %s", err.msg);
	remove(scratch_path("generation_config.json"));
	mkdir(scratch_path("generation_config.json"), 0777);
	CHECK(ft_config_load(&c, scratch(), &err) < 0 &&
		      err.code == FT_EXIT_SYS,
	      "one that cannot be read: %s", err.msg);
	scratch_file("config.json", config, sizeof(config) - 4);
	CHECK(ft_config_load(&c, scratch(), &err) < 0 &&
		      err.code == FT_EXIT_DATA,
	      "a torn config.json: %s", err.msg);
}

int main(void)
{
	defaults();
	spellings();
	refusals();
	families();
	family_refusals();
	names();
	table();
	files();
	return test_done();
}
