/* SPDX-License-Identifier: MIT */
/* Which modules names mean: what PEFT 0.21's own functions say of the same. */
#include <stdio.h>
#include <string.h>

#include "libcommon/nn/adapter_priv.h"
#include "tests/lib/test.h"

#define Q0 "model.layers.0.self_attn.q_proj"
#define Q1 "model.layers.1.self_attn.q_proj"

/* check_target_module_exists */
static void wants(void)
{
	static const struct {
		const char *config, *module;
		size_t layer;
		int want;
	} t[] = {
		{"\"target_modules\":[\"q_proj\"]", Q0, 0, 1},
		{"\"target_modules\":[\"proj\"]", Q0, 0, 0},
		{"\"target_modules\":[\"self_attn.q_proj\"]", Q1, 1, 1},
		{"\"target_modules\":[\"" Q1 "\"]", Q0, 0, 0},
		{"\"target_modules\":\".*q_proj\"", Q0, 0, 1},
		{"\"target_modules\":\"q_proj\"", Q0, 0, 0},
		{"\"target_modules\":\"q_proj|.*layers\\\\.1.*\"", Q1, 1, 1},
		{"\"target_modules\":\".*layers\\\\.\\\\d+\\\\..*(q|k)_proj$\"",
		 Q1, 1, 1},
		{"\"target_modules\":\".*layers.*(?:k|v)_proj\"", Q1, 1, 0},
		{"\"target_modules\":null", Q0, 0, 2},
		{"\"r\":8", Q0, 0, 2},
		{"\"target_modules\":\"all-linear\"", Q0, 0, 2},
		{"\"target_modules\":[\"q_proj\"],\"layers_to_transform\":[1]",
		 Q0, 0, 0},
		{"\"target_modules\":[\"q_proj\"],\"layers_to_transform\":[1]",
		 Q1, 1, 1},
		{"\"target_modules\":[\"q_proj\"],\"layers_to_transform\":1",
		 Q1, 1, 1},
		{"\"target_modules\":[\"q_proj\"],\"layers_to_transform\":[]",
		 Q1, 1, 1},
		{"\"target_modules\":[\"q_proj\",\"" Q0
		 "\"],\"layers_to_transform\":[1]",
		 Q0, 0, 1},
		{"\"target_modules\":[\"q_proj\"],\"layers_to_transform\":[1],"
		 "\"layers_pattern\":\"layers\"",
		 Q1, 1, 1},
		{"\"target_modules\":[\"q_proj\"],\"layers_to_transform\":[1],"
		 "\"layers_pattern\":[\"h\",\"blocks\"]",
		 Q1, 1, 0},
		{"\"target_modules\":[\"q_proj\"],\"layers_to_transform\":[1],"
		 "\"layers_pattern\":[\"ayers\"]",
		 Q1, 1, 0},
		{"\"target_modules\":[\"lm_head\"],\"layers_to_transform\":[0]",
		 "model.lm_head", 0, 0},
		{"\"target_modules\":[\"q_proj\"],\"exclude_modules\":"
		 "[\"q_proj\"]",
		 Q0, 0, 0},
		{"\"target_modules\":[\"q_proj\"],\"exclude_modules\":"
		 "\".*\\\\.1\\\\..*\"",
		 Q1, 1, 0},
		{"\"target_modules\":[\"q_proj\"],\"exclude_modules\":"
		 "\".*\\\\.1\\\\..*\"",
		 Q0, 0, 1},
		{"\"target_modules\":[\"q_proj\"],\"modules_to_save\":"
		 "[\"self_attn\"]",
		 Q0, 0, 0},
	};
	static const char *const bad[] = {
		"\"target_modules\":\"(?<!x)q_proj\"",
		"\"target_modules\":\"(q_proj\"",
		"\"target_modules\":[1]",
		"\"exclude_modules\":[[]]",
	};
	struct ft_arena a = {0};
	struct ft_json *o;
	struct ft_err err;
	char text[256];

	for (size_t i = 0; i < sizeof(t) / sizeof(*t) + 4; i++) {
		size_t n = sizeof(t) / sizeof(*t);
		const char *c = i < n ? t[i].config : bad[i - n];
		int rc = -1;

		snprintf(text, sizeof(text), "{%s}", c);
		if (!ft_json_parse(&a, text, strlen(text), &o, &err))
			rc = ft_target_wants(o, i < n ? t[i].module : Q0,
					     i < n ? t[i].layer : 0, &err);
		CHECK(rc == (i < n ? t[i].want : -1) &&
			      (rc >= 0 || err.code == FT_EXIT_DATA),
		      "%s of %s: %d", c, i < n ? t[i].module : Q0, rc);
	}
	ft_arena_release(&a);
}

/* get_pattern_key */
static void patterns(void)
{
	static const struct {
		const char *pattern, *module;
		double want;
	} t[] = {
		{"{}", Q0, 9},
		{"{\"q_proj\":2}", Q0, 2},
		{"{\"proj\":2}", Q0, 9},
		{"{\"k_proj\":2,\"q_proj\":3}", Q0, 3},
		{"{\".*_proj\":2,\"q_proj\":3}", Q0, 2},
		{"{\"" Q0 "\":4}", Q0, 4},
		{"{\"" Q0 "\":4}", Q1, 9},
		{"{\"^model.layers.1.self_attn.q_proj\":5}", Q1, 5},
		{"{\"^self_attn.q_proj\":5}", Q1, 9},
		{"{\"layers\\\\.[0-9]+\\\\.self_attn\\\\.(q|k)_proj\":1.5}", Q1,
		 1.5},
		{"{\"lm_head\":7}", "lm_head", 7},
		{"{\"head\":7}", "lm_head", 9},
	};
	struct ft_arena a = {0};
	struct ft_json *o;
	struct ft_err err;
	char text[256];

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		double v = 9;

		snprintf(text, sizeof(text), "{\"rank_pattern\":%s}",
			 t[i].pattern);
		CHECK(!ft_json_parse(&a, text, strlen(text), &o, &err) &&
			      !ft_target_pattern(o, "rank_pattern", t[i].module,
						 &v, &err) &&
			      v == t[i].want,
		      "%s of %s: %g", t[i].pattern, t[i].module, v);
	}
	ft_arena_release(&a);
}

/* _set_trainable: the end of a path, at a dot or not */
static void saves(void)
{
	CHECK(ft_target_saves("lm_head", "lm_head") &&
		      ft_target_saves("head", "lm_head") &&
		      !ft_target_saves("lm_head", "model.lm_head2") &&
		      !ft_target_saves("", "lm_head"),
	      "the head, by its end");
	CHECK(ft_target_saves("norm", "model.layers.0.input_layernorm") &&
		      ft_target_saves("norm", "model.norm") &&
		      !ft_target_saves("model.norm", "model.layers.0.q_norm"),
	      "norms, by the end of a word");
	CHECK(ft_target_saves("mlp", "model.layers.0.mlp.up_proj") &&
		      ft_target_saves("layers.0", Q0) &&
		      !ft_target_saves("layers.0", Q1) &&
		      !ft_target_saves("self", Q0),
	      "what a module is in");
}

int main(void)
{
	wants();
	patterns();
	saves();
	return test_done();
}
