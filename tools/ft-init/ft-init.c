/* SPDX-License-Identifier: MIT */
/* ft-init - a new model directory: random weights and a BPE of one's own. */

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "libcommon/base/rng.h"
#include "libcommon/io/input.h"
#include "libcommon/io/manifest.h"
#include "libcommon/io/rows.h"
#include "libcommon/text/tokenizer.h"
#include "libcommon/text/unicode.h"
#include "tools/ft-init/init.h"

#define END_TEXT "<|endoftext|>"
enum { CHUNK = 1 << 20, BLOCK = 1 << 16, DEFAULT_VOCAB = 4096 };

struct cmdline {
	const char *config, *tokenizer, *out, *field, *map;
	struct ft_opt_list text, specials;
	int64_t vocab, seed;
	double range;
	int dtype;
	bool vocab_given, range_given;
	char **files; /* operands: more text */
	int nfiles;
};

static void check(int rc, struct ft_err *err)
{
	if (rc < 0)
		ft_die_err(err);
}

/* From here on DIR is not complete until its manifest is there again. */
static void begin(const char *dir)
{
	struct ft_err err;

	check(ft_mkdirs(dir, &err), &err);
	check(ft_manifest_drop(dir, &err), &err);
}

/* --- tokenizer ------------------------------------------------------------ */

static size_t add_rows(struct ft_bpe_trainer *t, const struct cmdline *cmd,
		       const char *path)
{
	char *file = ft_xstrdup(path);
	struct ft_rows *r;
	struct ft_row row;
	struct ft_err err;
	size_t nbytes = 0;
	int rc;

	check(ft_rows_open(&r, &file, 1, cmd->map, &err), &err);
	while ((rc = ft_rows_next(r, &row, &err)) > 0) {
		const struct ft_json *v = ft_json_get(row.obj, cmd->field);

		if (!v || v->type != FT_JSON_STRING)
			check(ft_row_err(&err, &row,
					 v ? "field '%s' is not a string"
					   : "field '%s' missing",
					 cmd->field),
			      &err);
		ft_bpe_trainer_add(t, v->s, v->ns);
		nbytes += v->ns;
	}
	check(rc, &err);
	ft_rows_close(r);
	free(file);
	return nbytes;
}

static size_t add_text(struct ft_bpe_trainer *t, const char *path)
{
	struct ft_str all = {0};
	struct ft_input *in;
	struct ft_err err;
	char *buf = ft_xmalloc(CHUNK);
	size_t good;
	ssize_t n;

	check(ft_input_open(&in, path, &err), &err);
	while ((n = ft_input_read(in, buf, CHUNK, &err)) > 0)
		ft_str_add(&all, buf, (size_t)n);
	check((int)n, &err);
	good = ft_utf8_valid(ft_str_cstr(&all), all.n);
	if (good != all.n)
		ft_die(FT_EXIT_DATA, "%s: byte %zu is not UTF-8", path, good);
	ft_bpe_trainer_add(t, ft_str_cstr(&all), all.n);
	ft_input_close(in);
	ft_str_release(&all);
	free(buf);
	return good;
}

static size_t add_file(struct ft_bpe_trainer *t, const struct cmdline *cmd,
		       const char *path)
{
	if (ft_ends(path, ".jsonl") || ft_ends(path, ".jsonl.zst"))
		return add_rows(t, cmd, path);
	return add_text(t, path);
}

static void write_tokenizer_config(const struct cmdline *cmd,
				   struct ft_files *f, int64_t positions)
{
	struct ft_str s = {0};
	struct ft_err err;

	ft_str_adds(&s, "{\n  \"add_bos_token\": false,\n"
			"  \"add_prefix_space\": false,\n"
			"  \"bos_token\": \"" END_TEXT "\",\n"
			"  \"clean_up_tokenization_spaces\": false,\n"
			"  \"eos_token\": \"" END_TEXT "\",\n");
	ft_str_addf(&s, "  \"model_max_length\": %" PRId64 ",\n", positions);
	ft_str_adds(&s, "  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n"
			"  \"unk_token\": \"" END_TEXT "\"\n}\n");
	check(ft_files_write(f, cmd->out, "tokenizer_config.json", s.s, s.n,
			     &err),
	      &err);
	ft_str_release(&s);
}

static void train_tokenizer(const struct cmdline *cmd, const struct draft *d,
			    struct ft_files *f)
{
	int64_t vocab = cmd->vocab_given
				? cmd->vocab
				: draft_int(d, "vocab_size", DEFAULT_VOCAB);
	int nspecial = cmd->specials.n + 1;
	const char **special = ft_xcalloc((size_t)nspecial, sizeof(*special));
	struct ft_bpe_trainer *t;
	struct ft_str json = {0};
	size_t nbytes = 0;
	struct ft_err err;

	special[0] = END_TEXT;
	for (int i = 1; i < nspecial; i++) {
		special[i] = cmd->specials.v[i - 1];
		for (int k = 0; k < i; k++) {
			if (!*special[i] || !strcmp(special[i], special[k]))
				ft_die(FT_EXIT_USAGE,
				       "special token '%s' is empty or there already",
				       special[i]);
		}
	}
	if (vocab < nspecial + 256 || vocab > INT32_MAX)
		ft_die(FT_EXIT_USAGE,
		       "a vocabulary of %" PRId64
		       " has no room for 256 bytes and %d special tokens",
		       vocab, nspecial);
	t = ft_bpe_trainer_new((int32_t)vocab, special, nspecial);
	for (int i = 0; i < cmd->text.n; i++)
		nbytes += add_file(t, cmd, cmd->text.v[i]);
	for (int i = 0; i < cmd->nfiles; i++)
		nbytes += add_file(t, cmd, cmd->files[i]);
	if (!nbytes)
		ft_die(FT_EXIT_DATA, "no text to train a tokenizer on");
	check(ft_bpe_trainer_end(t, &json, &err), &err);
	begin(cmd->out);
	check(ft_files_write(f, cmd->out, "tokenizer.json", json.s, json.n,
			     &err),
	      &err);
	write_tokenizer_config(
		cmd, f,
		draft_int(d, "n_positions",
			  draft_int(d, "max_position_embeddings", 2048)));
	ft_str_release(&json);
	free(special);
}

static void take_tokenizer(const struct cmdline *cmd, struct ft_files *f)
{
	struct ft_err err;

	begin(cmd->out);
	check(ft_files_tokenizer(f, cmd->out, &cmd->tokenizer, 1, &err), &err);
	for (size_t i = 0; i < f->n; i++) {
		if (!strcmp(f->v[i], "tokenizer.json"))
			return;
	}
	ft_die(FT_EXIT_SYS, "no tokenizer.json in '%s'", cmd->tokenizer);
}

/* --- configuration -------------------------------------------------------- */

static void write_configs(const struct cmdline *cmd, const struct draft *d,
			  struct ft_files *f, struct ft_config *c)
{
	struct ft_str s = {0};
	struct facts facts = {.dtype = cmd->dtype};
	struct ft_tok *tok;
	struct ft_err err;

	check(ft_tok_load(&tok, cmd->out, &err), &err);
	facts.vocab = ft_tok_vocab_size(tok);
	facts.bos = ft_tok_bos(tok);
	facts.eos = ft_tok_eos(tok);
	facts.range = cmd->range_given
			      ? cmd->range
			      : draft_real(d, "initializer_range", cmd->range);
	/* a tokenizer that is taken may have fewer than the model is to have */
	if (cmd->tokenizer && draft_int(d, "vocab_size", 0) > facts.vocab)
		facts.vocab = draft_int(d, "vocab_size", 0);
	draft_finish(d, &facts, &s, c);
	check(ft_files_write(f, cmd->out, "config.json", s.s, s.n, &err), &err);
	ft_str_clear(&s);
	ft_str_adds(&s, "{\n  \"_from_model_config\": true");
	if (facts.bos >= 0)
		ft_str_addf(&s, ",\n  \"bos_token_id\": %" PRId32, facts.bos);
	if (facts.eos >= 0)
		ft_str_addf(&s, ",\n  \"eos_token_id\": %" PRId32, facts.eos);
	ft_str_adds(&s, "\n}\n");
	check(ft_files_write(f, cmd->out, "generation_config.json", s.s, s.n,
			     &err),
	      &err);
	ft_str_release(&s);
	ft_tok_free(tok);
}

/* --- weights -------------------------------------------------------------- */

/* The weights of a model; index i is of tensor name i. */
struct weights {
	const struct cmdline *cmd;
	double range;
	float shift;         /* of norms: their weights are 1 less this */
	struct ft_tensor *t; /* names owned */
	size_t n, cap;
	float *f; /* [BLOCK]; owned */
	uint16_t *h;
};

/*
 * normal(0, range) for matrices, 1 (or what means it) for norms, 0 for biases,
 * as transformers has it.  What is drawn depends on the tensor's name, not on its place.
 */
static int fill(void *arg, const struct ft_tensor *t, struct ft_output *out,
		struct ft_err *err)
{
	struct weights *w = arg;
	bool bf16 = t->dtype == FT_BF16;
	float fixed = ft_ends(t->name, ".bias") ? 0 : 1 - w->shift;
	uint64_t key = 0xcbf29ce484222325u;

	for (const char *s = t->name; *s; s++)
		key = (key ^ (unsigned char)*s) * 0x100000001b3u;
	for (uint64_t i = 0; i < t->numel; i += BLOCK) {
		size_t n =
			t->numel - i < BLOCK ? (size_t)(t->numel - i) : BLOCK;

		for (size_t k = 0; k < n; k++) {
			w->f[k] = fixed;
			if (t->ndim == 2)
				w->f[k] =
					(float)(w->range *
						ft_rng_normal(
							(uint64_t)w->cmd->seed,
							FT_RNG_INIT, key,
							i + k));
			if (bf16)
				w->h[k] = ft_bf16(w->f[k]);
		}
		if (ft_output_write(out, bf16 ? (void *)w->h : (void *)w->f,
				    n * ft_dtype_size(t->dtype), err))
			return -1;
	}
	return 0;
}

static void add(struct weights *w, const char *module, const char *what,
		size_t n, size_t k)
{
	struct ft_str name = {0};

	ft_str_addf(&name, "%s.%s", module, what);
	FT_GROW(w->t, w->n, w->cap, 1);
	w->t[w->n++] = (struct ft_tensor){
		.name = name.s,
		.dtype = w->cmd->dtype == DTYPE_BFLOAT16 ? FT_BF16 : FT_F32,
		.ndim = k ? 2 : 1,
		.shape = {n, k}};
}

static void write_weights(const struct cmdline *cmd, const struct ft_config *c,
			  double range, struct ft_files *f)
{
	struct weights w = {
		.cmd = cmd, .range = range, .shift = c->arch->shift};
	struct ft_err err;
	char name[192];

	for (size_t l = 0; l < c->layers; l++) {
		for (int i = l ? FT_FIRST_LAYER_SLOT : 0; i < FT_NSLOT; i++) {
			enum ft_slot s = (enum ft_slot)i;
			size_t n, k;

			if (!ft_config_has(c, s))
				continue;
			ft_config_shape(c, s, &n, &k);
			ft_config_name(c, s, l, name, sizeof(name));
			if (s != FT_HEAD || !c->tied)
				add(&w, name, "weight",
				    ft_config_turned(c, s) ? k : n,
				    ft_config_turned(c, s) ? n : k);
			if (ft_config_bias(c, s))
				add(&w, name, "bias", n, 0);
		}
	}
	w.f = ft_xcalloc(BLOCK, sizeof(*w.f));
	w.h = ft_xcalloc(BLOCK, sizeof(*w.h));
	check(ft_shards_write(f, cmd->out, w.t, w.n, FT_SHARD_BYTES, fill, &w,
			      &err),
	      &err);
	for (size_t i = 0; i < w.n; i++)
		free((void *)(uintptr_t)w.t[i].name);
	free(w.t);
	free(w.f);
	free(w.h);
}

/* --- the whole ------------------------------------------------------------ */

/* Of what can be read twice. */
static void digest(struct ft_str *s, const char *path)
{
	struct ft_err err;
	struct stat st;
	char hex[65];

	if (!strcmp(path, "-") || (!stat(path, &st) && !S_ISREG(st.st_mode)))
		return;
	check(ft_file_sha256(path, hex, &err), &err);
	ft_str_addf(s, "%s\"%s\"", s->s[s->n - 1] == '[' ? "" : ",", hex);
}

static void finish(const struct cmdline *cmd, const struct ft_opt *table,
		   const struct ft_files *f)
{
	struct ft_str s = {0};
	struct ft_err err;

	ft_str_addf(&s,
		    "\"provenance\":[{\"tool\":\"ft-init\",\"version\":\"%s\","
		    "\"options\":",
		    FT_VERSION);
	ft_opt_json(table, &s);
	ft_str_adds(&s, ",\"config_sha256\":[");
	digest(&s, cmd->config);
	ft_str_adds(&s, "],\"text_sha256\":[");
	for (int i = 0; i < cmd->text.n; i++)
		digest(&s, cmd->text.v[i]);
	for (int i = 0; i < cmd->nfiles; i++)
		digest(&s, cmd->files[i]);
	ft_str_adds(&s, "]}]");
	check(ft_manifest_write(cmd->out, (const char *const *)f->v, (int)f->n,
				s.s, &err),
	      &err);
	ft_str_release(&s);
}

static void make(const struct cmdline *cmd, const struct ft_opt *table)
{
	struct ft_files f = {0};
	struct ft_config c;
	struct draft d;
	double range;

	draft_read(&d, cmd->config);
	if (cmd->tokenizer)
		take_tokenizer(cmd, &f);
	else
		train_tokenizer(cmd, &d, &f);
	write_configs(cmd, &d, &f, &c);
	range = cmd->range_given
			? cmd->range
			: draft_real(&d, "initializer_range", cmd->range);
	write_weights(cmd, &c, range, &f);
	finish(cmd, table, &f);
	ft_info("%zu parameters, %zu tokens, in '%s'",
		ft_config_params(&c, NULL), c.vocab, cmd->out);
	ft_files_release(&f);
	draft_release(&d);
}

int main(int argc, char **argv)
{
	struct cmdline cmd = {
		.vocab = -1, .seed = 42, .range = 0.02, .field = "text"};
	const struct ft_opt table[] = {
		FT_STR_FREE('c', "config", &cmd.config, "JSON",
			    "the model's config.json, or a sketch of it"),
		FT_LIST_FREE(
			't', "text", &cmd.text, "FILE",
			"text, or rows (.jsonl, .jsonl.zst), to train the tokenizer on; may be repeated"),
		FT_STR(0, "text-field", &cmd.field, "NAME",
		       "the field of rows with the text"),
		FT_STR(0, "map", &cmd.map, "JQ",
		       "reshape each row by a jq program"),
		FT_STR_FREE(
			0, "tokenizer", &cmd.tokenizer, "DIR",
			"take this directory's tokenizer instead of training one"),
		{0,
		 "vocab-size",
		 FT_KIND_INT,
		 {.i = &cmd.vocab},
		 257,
		 1 << 24,
		 "N",
		 "tokens of the trained tokenizer (as config.json says, else 4096)",
		 0,
		 &cmd.vocab_given},
		FT_LIST(0, "special", &cmd.specials, "TEXT",
			"one more special token; may be repeated"),
		{0,
		 "initializer-range",
		 FT_KIND_REAL,
		 {.r = &cmd.range},
		 0,
		 10,
		 "X",
		 "standard deviation of the weights",
		 0,
		 &cmd.range_given},
		FT_ENUM(0, "dtype", &cmd.dtype, "float32|bfloat16",
			"how weights are stored"),
		FT_INT(0, "seed", &cmd.seed, 0, INT64_MAX, "N", "random seed"),
		FT_STR_FREE('o', "output-dir", &cmd.out, "DIR",
			    "the new model directory"),
		FT_END,
	};
	int i;

	ft_start(argv[0]);
	i = ft_opt_parse(
		argc, argv, table,
		"--config JSON --text FILE [OPTIONS] -o DIR [FILE...]",
		"Make a new model directory: random weights, and a byte-level BPE trained on text.");
	cmd.files = argv + i;
	cmd.nfiles = argc - i;
	if (!cmd.config || !cmd.out)
		ft_die(FT_EXIT_USAGE, "%s is missing",
		       cmd.config ? "-o DIR" : "--config JSON");
	if (!(cmd.text.n + cmd.nfiles) == !cmd.tokenizer)
		ft_die(FT_EXIT_USAGE, "give either --text or --tokenizer");
	if (cmd.tokenizer && (cmd.vocab_given || cmd.specials.n))
		ft_die(FT_EXIT_USAGE,
		       "--%s belongs to a tokenizer that is trained, not taken",
		       cmd.vocab_given ? "vocab-size" : "special");
	signal(SIGPIPE, SIG_IGN);
	make(&cmd, table);
	free((void *)cmd.text.v);
	free((void *)cmd.specials.v);
	return FT_EXIT_OK;
}
