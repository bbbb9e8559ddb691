/* SPDX-License-Identifier: MIT */
/* ft-init - a new model directory: random weights and a BPE of one's own. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "libcommon/base/opt.h"
#include "libcommon/base/rng.h"
#include "libcommon/io/input.h"
#include "libcommon/io/manifest.h"
#include "libcommon/io/rows.h"
#include "libcommon/io/safetensors.h"
#include "libcommon/nn/config.h"
#include "libcommon/text/tokenizer.h"

#define END_TEXT "<|endoftext|>"
enum { CONFIG_MAX = 1 << 20, TOKENIZER_MAX = 1 << 28, CHUNK = 1 << 20 };

struct cmdline {
	const char *config, *tokenizer, *out, *field, *map;
	struct ft_opt_list text, specials;
	int64_t vocab, seed;
	double range;
	int dtype;
};
enum { DTYPE_FLOAT32, DTYPE_BFLOAT16 };

static void check(int rc, struct ft_err *err)
{
	if (rc < 0)
		ft_die_err(err);
}

static void put(const char *dir, const char *name, const struct ft_str *s)
{
	struct ft_str path = {0};
	struct ft_err err = {0};

	ft_str_addf(&path, "%s/%s", dir, name);
	check(ft_write_file(path.s, s->s, s->n, &err), &err);
	ft_str_release(&path);
}

/* --- tokenizer --- */

static void add_rows(struct ft_bpe_trainer *t, const struct cmdline *cmd,
		     const char *path)
{
	char *files[] = {(char *)path};
	struct ft_rows *r;
	struct ft_row row;
	struct ft_err err = {0};
	const char *s;
	size_t n;
	int rc;

	check(ft_rows_open(&r, files, 1, cmd->map, &err), &err);
	while ((rc = ft_rows_next(r, &row, &err)) > 0) {
		rc = ft_json_str(row.obj, cmd->field, &s, &n, &err);
		if (rc < 0)
			ft_err_at(&err, row.file, row.line);
		check(rc, &err);
		if (!rc)
			ft_die(FT_EXIT_DATA, "%s:%llu: field '%s' missing",
			       row.file, (unsigned long long)row.line, cmd->field);
		ft_bpe_trainer_add(t, s, n);
	}
	check(rc, &err);
	ft_rows_close(r);
}

static void add_text(struct ft_bpe_trainer *t, const char *path)
{
	struct ft_str all = {0};
	struct ft_input *in;
	struct ft_err err = {0};
	char *buf = ft_xmalloc(CHUNK);
	ssize_t n;

	check(ft_input_open(&in, path, &err), &err);
	while ((n = ft_input_read(in, buf, CHUNK, &err)) > 0)
		ft_str_add(&all, buf, (size_t)n);
	check((int)n, &err);
	if (ft_utf8_len(ft_str_cstr(&all), all.n) != all.n)
		ft_die(FT_EXIT_DATA, "%s: not valid UTF-8", path);
	ft_bpe_trainer_add(t, ft_str_cstr(&all), all.n);
	ft_input_close(in);
	ft_str_release(&all);
	free(buf);
}

static bool is_rows(const char *path)
{
	return ft_ends(path, ".jsonl") || ft_ends(path, ".jsonl.zst");
}

static void make_tokenizer(const struct cmdline *cmd)
{
	const char **specials = ft_xcalloc((size_t)cmd->specials.n + 1, sizeof(*specials));
	struct ft_bpe_trainer *t;
	struct ft_str json = {0}, conf = {0};
	struct ft_err err = {0};

	specials[0] = END_TEXT;
	for (int i = 0; i < cmd->specials.n; i++)
		specials[i + 1] = cmd->specials.v[i];
	t = ft_bpe_trainer_new((int32_t)cmd->vocab, specials, cmd->specials.n + 1);
	for (int i = 0; i < cmd->text.n; i++) {
		if (is_rows(cmd->text.v[i]))
			add_rows(t, cmd, cmd->text.v[i]);
		else
			add_text(t, cmd->text.v[i]);
	}
	check(ft_bpe_trainer_end(t, &json, &err), &err);
	put(cmd->out, "tokenizer.json", &json);
	ft_str_adds(&conf, "{\n  \"bos_token\": \"" END_TEXT "\",\n  \"clean_up_tokenization_spaces\": false,\n  \"eos_token\": \"" END_TEXT "\",\n  \"model_max_length\": 1000000000,\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n  \"unk_token\": \"" END_TEXT "\"\n}\n");
	put(cmd->out, "tokenizer_config.json", &conf);
	ft_str_release(&json);
	ft_str_release(&conf);
	free(specials);
}

static void copy_tokenizer(const struct cmdline *cmd)
{
	static const char *const names[] = {"tokenizer.json", "tokenizer_config.json"};
	struct ft_str path = {0}, text = {0};
	struct ft_err err = {0};

	for (size_t i = 0; i < 2; i++) {
		size_t n;
		char *s;

		ft_str_clear(&path);
		ft_str_addf(&path, "%s/%s", cmd->tokenizer, names[i]);
		s = ft_read_file(path.s, TOKENIZER_MAX, &n, &err);
		check(s ? 0 : -1, &err);
		ft_str_clear(&text);
		ft_str_add(&text, s, n);
		put(cmd->out, names[i], &text);
		free(s);
	}
	ft_str_release(&path);
	ft_str_release(&text);
}

/* --- config.json --- */

static void set(struct ft_str *s, const char *key, struct ft_edit *e, size_t *n,
		struct ft_str *value)
{
	(void)s;
	e[(*n)++] = (struct ft_edit){.key = key, .json = value->s, .n = value->n};
}

/*
 * The user's config with what follows from the tokenizer and the family, in
 * both of transformers' spellings.  Fills c from the result.
 */
static void make_config(const struct cmdline *cmd, const struct ft_tok *tok,
			struct ft_config *c)
{
	struct ft_str out = {0}, gen = {0}, v[8] = {{0}};
	struct ft_edit e[8];
	struct ft_arena a = {0};
	struct ft_row row = {0};
	struct ft_err err = {0};
	double theta = 10000;
	size_t n = 0;
	char *text = ft_read_file(cmd->config, CONFIG_MAX, &row.ntext, &err);

	check(text ? 0 : -1, &err);
	row.text = text;
	if (ft_json_parse(&a, text, row.ntext, &row.obj, &err) < 0 ||
	    row.obj->type != FT_JSON_OBJECT)
		ft_die(FT_EXIT_DATA, "%s: not a JSON object", cmd->config);
	ft_str_addf(&v[0], "%d", (int)ft_tok_vocab_size(tok));
	set(&out, "vocab_size", e, &n, &v[0]);
	ft_str_addf(&v[1], "%d", (int)ft_tok_bos(tok));
	set(&out, "bos_token_id", e, &n, &v[1]);
	ft_str_addf(&v[2], "%d", (int)ft_tok_eos(tok));
	set(&out, "eos_token_id", e, &n, &v[2]);
	ft_str_addf(&v[3], "\"%s\"", cmd->dtype == DTYPE_BFLOAT16 ? "bfloat16" : "float32");
	set(&out, "dtype", e, &n, &v[3]);
	set(&out, "torch_dtype", e, &n, &v[3]);
	if (!ft_json_get(row.obj, "rope_parameters")) {
		check(ft_json_real(row.obj, "rope_theta", &theta, &err), &err);
		ft_str_adds(&v[4], "{\"rope_theta\": ");
		ft_str_add_double(&v[4], theta);
		ft_str_adds(&v[4], ", \"rope_type\": \"default\"}");
		if (!ft_json_get(row.obj, "rope_scaling") ||
		    ft_json_get(row.obj, "rope_scaling")->type == FT_JSON_NULL)
			set(&out, "rope_parameters", e, &n, &v[4]);
		ft_str_add_double(&v[5], theta);
		set(&out, "rope_theta", e, &n, &v[5]);
	}
	ft_row_edit(&row, e, n, &out);
	if (ft_config_parse(c, out.s, out.n, &err) < 0) {
		ft_err_at(&err, cmd->config, 0);
		ft_die_err(&err);
	}
	put(cmd->out, "config.json", &out);
	ft_str_addf(&gen, "{\n  \"_from_model_config\": true,\n  \"bos_token_id\": %d,\n  \"eos_token_id\": %d\n}\n",
		    (int)ft_tok_bos(tok), (int)ft_tok_eos(tok));
	put(cmd->out, "generation_config.json", &gen);
	for (size_t i = 0; i < 8; i++)
		ft_str_release(&v[i]);
	ft_str_release(&out);
	ft_str_release(&gen);
	ft_arena_release(&a);
	free(text);
}

/* --- weights --- */

struct weights {
	struct ft_tensor *t;
	size_t n, cap;
	const struct cmdline *cmd;
};

/* normal(0, range) for matrices, 1 for norms, 0 for biases. */
static void *values(const struct weights *w, size_t numel, bool matrix,
		    bool bias)
{
	float *f = ft_xmalloc(numel * sizeof(*f) + 1);
	uint16_t *h = (uint16_t *)f;

	for (size_t i = 0; i < numel; i++) {
		f[i] = bias ? 0 : 1;
		if (matrix)
			f[i] = (float)(w->cmd->range * ft_rng_normal((uint64_t)w->cmd->seed, FT_RNG_INIT, w->n, i));
	}
	if (w->cmd->dtype == DTYPE_BFLOAT16) {
		for (size_t i = 0; i < numel; i++)
			h[i] = ft_bf16(f[i]);
	}
	return f;
}

static void add(struct weights *w, const char *module, const char *what,
		size_t n, size_t k)
{
	struct ft_str name = {0};
	size_t numel = k ? n * k : n;
	bool bf16 = w->cmd->dtype == DTYPE_BFLOAT16;
	void *data = values(w, numel, k != 0, !strcmp(what, "bias"));

	ft_str_addf(&name, "%s.%s", module, what);
	FT_GROW(w->t, w->n, w->cap, 1);
	w->t[w->n++] = (struct ft_tensor){
		.name = name.s, .dtype = bf16 ? FT_BF16 : FT_F32,
		.ndim = k ? 2 : 1, .shape = {n, k}, .numel = numel,
		.nbytes = numel * (bf16 ? 2 : 4), .data = data};
}

static void make_weights(const struct cmdline *cmd, const struct ft_config *c)
{
	static const struct ft_meta meta[] = {{"format", "pt"}};
	struct weights w = {.cmd = cmd};
	struct ft_str path = {0};
	struct ft_err err = {0};
	char name[192];

	for (size_t l = 0; l < c->layers; l++) {
		for (int s = l ? FT_FIRST_LAYER_SLOT : 0; s < FT_NSLOT; s++) {
			size_t n, k;

			if (!c->arch->names[s] || (s == FT_HEAD && c->tied))
				continue;
			ft_config_shape(c, (enum ft_slot)s, &n, &k);
			ft_config_name(c, (enum ft_slot)s, l, name, sizeof(name));
			add(&w, name, "weight", n, k);
			if (ft_config_bias(c, (enum ft_slot)s))
				add(&w, name, "bias", n, 0);
		}
	}
	ft_str_addf(&path, "%s/model.safetensors", cmd->out);
	check(ft_st_write(path.s, w.t, w.n, meta, 1, &err), &err);
	for (size_t i = 0; i < w.n; i++) {
		free((void *)w.t[i].name);
		free((void *)w.t[i].data);
	}
	free(w.t);
	ft_str_release(&path);
}

static void finish(const struct cmdline *cmd, const struct ft_opt *table)
{
	static const char *const files[] = {
		"config.json", "generation_config.json", "model.safetensors",
		"tokenizer.json", "tokenizer_config.json",
	};
	struct ft_str extra = {0};
	struct ft_err err = {0};

	ft_str_addf(&extra, "\"provenance\":[{\"tool\":\"ft-init\",\"version\":\"%s\",\"options\":", FT_VERSION);
	ft_opt_json(table, &extra);
	ft_str_adds(&extra, "}]");
	check(ft_manifest_write(cmd->out, files, 5, extra.s, &err), &err);
	ft_str_release(&extra);
}

int main(int argc, char **argv)
{
	struct cmdline cmd = {.vocab = 4096, .seed = 42, .range = 0.02, .field = "text"};
	const struct ft_opt table[] = {
		FT_STR_FREE('c', "config", &cmd.config, "JSON", "config.json of the model to be"),
		FT_LIST_FREE('t', "text", &cmd.text, "FILE", "text, or rows (.jsonl, .jsonl.zst), to train the tokenizer on; may be repeated"),
		FT_STR(0, "text-field", &cmd.field, "NAME", "field of rows that holds the text"),
		FT_STR(0, "map", &cmd.map, "JQ", "reshape each row"),
		FT_STR_FREE(0, "tokenizer", &cmd.tokenizer, "DIR", "take this directory's tokenizer instead of training one"),
		FT_INT(0, "vocab-size", &cmd.vocab, 258, 1 << 21, "N", "tokens of the trained tokenizer"),
		FT_LIST(0, "special", &cmd.specials, "TEXT", "one more special token; may be repeated"),
		FT_REAL(0, "initializer-range", &cmd.range, 0, 10, "X", "standard deviation of the weights"),
		FT_ENUM(0, "dtype", &cmd.dtype, "float32|bfloat16", "how weights are stored"),
		FT_INT(0, "seed", &cmd.seed, 0, INT64_MAX, "N", "random seed"),
		FT_STR_FREE('o', "output-dir", &cmd.out, "DIR", "the new model directory"),
		FT_END,
	};
	struct ft_tok *tok;
	struct ft_config c;
	struct ft_err err = {0};
	int i;

	ft_start(argv[0]);
	i = ft_opt_parse(argc, argv, table, "-c JSON -t FILE [OPTIONS] -o DIR",
			 "Make a new model directory: random weights, and a byte-level BPE trained on text.");
	if (!cmd.config || !cmd.out)
		ft_die(FT_EXIT_USAGE, "%s is missing", cmd.config ? "-o DIR" : "-c JSON");
	if (!cmd.text.n == !cmd.tokenizer)
		ft_die(FT_EXIT_USAGE, "give either --text or --tokenizer");
	if (i < argc)
		ft_die(FT_EXIT_USAGE, "'%s' is an operand too many", argv[i]);
	check(ft_mkdirs(cmd.out, &err), &err);
	check(ft_manifest_drop(cmd.out, &err), &err);
	if (cmd.tokenizer)
		copy_tokenizer(&cmd);
	else
		make_tokenizer(&cmd);
	check(ft_tok_load(&tok, cmd.out, &err), &err);
	make_config(&cmd, tok, &c);
	make_weights(&cmd, &c);
	finish(&cmd, table);
	ft_tok_free(tok);
	return FT_EXIT_OK;
}
