/* SPDX-License-Identifier: MIT */
/* ft-generate - sample completions of prompts from a model. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "libcommon/io/rows.h"
#include "libcommon/nn/generate.h"
#include "libcommon/nn/open.h"
#include "libcommon/text/chat.h"
#include "libcommon/text/tokenizer.h"

struct cmdline {
	const char *model, *adapter, *base, *out, *map, *prompt, *memory;
	const char *chat_template;
	bool plan, json, chat;
	struct ft_compute compute;
	struct ft_gen_opts gen;
	struct ft_opt_list stop;
	bool zstd, ids, logps, no_specials;
	int64_t max_prompt;
};

/* A sample that ended and waits for those before it. */
struct sample {
	char *line; /* owned */
	size_t n;
	struct ft_str text; /* so far, for stop strings */
};

/* A prompt that was read, until its last sample is written. */
struct ask {
	struct ft_arena arena; /* its row and ids */
	struct ft_row row;
	struct ft_gen_prompt p;
	struct sample *samples; /* owned */
	size_t written;
};

struct job {
	const struct cmdline *cmd;
	struct ft_loaded l;
	struct ft_tok *tok;
	struct ft_chat *chat; /* or NULL: prompts are texts */
	struct ft_rows *rows; /* NULL with --prompt */
	bool asked;           /* --prompt was taken */
	struct ask **ask;     /* those under way, in order */
	size_t first, n, cap; /* number of ask[0], how many */
	struct ft_output *out;
	struct ft_plan plan;
};

static void check(int rc, struct ft_err *err)
{
	if (rc < 0)
		ft_die_err(err);
}

/* --- prompts --- */

static int ids_of(struct job *j, struct ask *a, const struct ft_json *list,
		  struct ft_err *err)
{
	const struct ft_row *row = &a->row;
	struct ft_gen_prompt *p = &a->p;
	int64_t vocab = (int64_t)ft_model_config(j->l.model)->vocab;
	int32_t *ids;

	if (list->type != FT_JSON_ARRAY)
		return ft_row_err(err, row,
				  "field 'prompt_ids' is not an array");
	ids = ft_arena_alloc(&a->arena, (list->n + 1) * sizeof(*ids));
	for (const struct ft_json *v = list->child; v; v = v->next) {
		if (v->type != FT_JSON_NUMBER || !v->is_int || v->i < 0 ||
		    v->i >= vocab)
			return ft_row_err(
				err, row,
				"field 'prompt_ids' holds something that is no token id of the model");
		ids[p->n++] = (int32_t)v->i;
	}
	p->ids = ids;
	return 0;
}

/* The ids of a chat, up to where an answer begins. */
static int encode_chat(struct job *j, const struct ft_row *row,
		       struct ft_ids *v, struct ft_err *err)
{
	const struct ft_json *list = ft_json_get(row->obj, "messages");
	struct ft_chat_messages m = {0};
	struct ft_jinja_out text = {0};
	int rc = ft_chat_add(&m, list ? list : ft_json_get(row->obj, "prompt"),
			     list ? "messages" : "prompt", err);

	if (!rc)
		rc = ft_chat_render(j->chat, row->obj, &m, m.n, true, SIZE_MAX,
				    &text, err);
	if (!rc)
		rc = ft_tok_encode_marked(j->tok, ft_str_cstr(&text.text),
					  text.text.n, NULL, v, err);
	ft_chat_messages_release(&m);
	ft_jinja_out_release(&text);
	return rc;
}

static int encode_text(struct job *j, const struct ft_row *row,
		       struct ft_ids *v, struct ft_err *err)
{
	const char *s;
	size_t n;
	int rc = ft_json_str(row->obj, "prompt", &s, &n, err);

	if (!rc)
		return ft_row_err(err, row, "field 'prompt' missing");
	if (rc < 0)
		return ft_row_err(err, row, "field 'prompt' is not a string");
	if (!j->tok)
		return ft_row_err(
			err, row,
			"a prompt in text, but the model has no tokenizer.json");
	return ft_tok_encode(j->tok, s, n,
			     j->cmd->no_specials ? 0 : FT_TOK_SPECIALS, v, err);
}

static int text_of(struct job *j, struct ask *a, struct ft_err *err)
{
	const struct ft_row *row = &a->row;
	struct ft_ids v = {0};
	int rc = j->chat ? encode_chat(j, row, &v, err)
			 : encode_text(j, row, &v, err);

	if (rc < 0) {
		ft_ids_release(&v);
		return ft_err_at(err, row->file, row->line);
	}
	a->p.n = v.n;
	if (v.n) {
		int32_t *ids = ft_arena_alloc(&a->arena, v.n * sizeof(*ids));

		memcpy(ids, v.id, v.n * sizeof(*ids));
		a->p.ids = ids;
	}
	ft_ids_release(&v);
	return 0;
}

static int fill(struct job *j, struct ask *a, const struct ft_row *row,
		struct ft_err *err)
{
	const struct ft_json *ids;
	int64_t max = j->cmd->max_prompt;

	if (ft_row_copy(&a->arena, row, &a->row, err) < 0)
		return -1;
	a->p.key = (uint64_t)row->row;
	ids = ft_json_get(a->row.obj, "prompt_ids");
	if ((ids ? ids_of(j, a, ids, err) : text_of(j, a, err)) < 0)
		return -1;
	if (!a->p.n)
		return ft_row_err(err, row, "the prompt has no tokens");
	if (max && a->p.n > (size_t)max)
		return ft_row_err(
			err, row,
			"the prompt has %zu tokens, more than --max-prompt-length %lld",
			a->p.n, (long long)max);
	return 0;
}

/* --prompt TEXT: one row of it. */
static int only_row(struct job *j, struct ft_arena *arena, struct ft_row *row,
		    struct ft_err *err)
{
	struct ft_str s = {0};

	if (j->asked)
		return 0;
	j->asked = true;
	ft_str_adds(&s,
		    j->chat ? "{\"messages\":[{\"role\":\"user\",\"content\":"
			    : "{\"prompt\":");
	ft_str_add_json(&s, j->cmd->prompt, strlen(j->cmd->prompt));
	ft_str_adds(&s, j->chat ? "}]}" : "}");
	*row = (struct ft_row){.file = "--prompt", .line = 1, .ntext = s.n};
	row->text = ft_arena_strndup(arena, s.s, s.n);
	ft_str_release(&s);
	return ft_json_parse(arena, row->text, row->ntext, &row->obj, err) < 0
		       ? -1
		       : 1;
}

static void free_ask(struct job *j, struct ask *a)
{
	for (int64_t i = 0; i < j->cmd->gen.samples; i++) {
		free(a->samples[i].line);
		ft_str_release(&a->samples[i].text);
	}
	free(a->samples);
	ft_arena_release(&a->arena);
	free(a);
}

static int on_next(void *self, struct ft_gen_prompt *p, struct ft_err *err)
{
	struct job *j = self;
	struct ask *a = ft_xcalloc(1, sizeof(*a));
	struct ft_row row;
	int rc;

	a->samples =
		ft_xcalloc((size_t)j->cmd->gen.samples, sizeof(*a->samples));
	rc = j->rows ? ft_rows_next(j->rows, &row, err)
		     : only_row(j, &a->arena, &row, err);
	if (rc > 0 && fill(j, a, &row, err) < 0)
		rc = -1;
	if (rc <= 0) {
		free_ask(j, a);
		return rc;
	}
	FT_GROW(j->ask, j->n, j->cap, 1);
	j->ask[j->n++] = a;
	*p = a->p;
	return 1;
}

/* --- samples --- */

/* Where the first stop string in s begins, looking at what the last added
   bytes may have completed; SIZE_MAX when there is none. */
static size_t find_stop(const struct cmdline *cmd, const char *s, size_t n,
			size_t added)
{
	size_t best = SIZE_MAX;

	for (int i = 0; i < cmd->stop.n; i++) {
		size_t m = strlen(cmd->stop.v[i]);
		size_t from = n > added + m ? n - added - m : 0;
		const char *hit =
			m && n ? memmem(s + from, n - from, cmd->stop.v[i], m)
			       : NULL;

		if (hit && (size_t)(hit - s) < best)
			best = (size_t)(hit - s);
	}
	return best;
}

static bool on_token(void *self, size_t prompt, size_t sample, int32_t id)
{
	struct job *j = self;
	struct sample *s = &j->ask[prompt - j->first]->samples[sample];
	size_t before = s->text.n;

	ft_tok_piece(j->tok, id, &s->text);
	return find_stop(j->cmd, s->text.s, s->text.n, s->text.n - before) !=
	       SIZE_MAX;
}

static void add_list(struct ft_str *s, const struct ft_gen_out *o, bool ids)
{
	ft_str_addc(s, '[');
	for (size_t i = 0; i < o->n; i++) {
		if (i)
			ft_str_addc(s, ',');
		if (ids)
			ft_str_addf(s, "%d", (int)o->ids[i]);
		else
			ft_str_add_float(s, o->logps[i]);
	}
	ft_str_addc(s, ']');
}

/* The text without its end token, cut at the first stop string. */
static int completion(struct job *j, const struct ft_gen_out *o,
		      struct ft_str *json, struct ft_err *err)
{
	const struct ft_config *c = ft_model_config(j->l.model);
	struct ft_str text = {0};
	size_t n = o->n, cut;
	int rc = 0;

	if (n && ft_config_is_eos(c, o->ids[n - 1]))
		n--;
	if (j->tok)
		rc = ft_tok_decode(j->tok, o->ids, n, true, &text, err);
	cut = find_stop(j->cmd, ft_str_cstr(&text), text.n, text.n);
	ft_str_add_json(json, ft_str_cstr(&text), cut < text.n ? cut : text.n);
	ft_str_release(&text);
	return rc;
}

/* A former completion is the reference now. */
static void add_edit(struct ft_edit *e, size_t *n, const char *key,
		     const struct ft_str *v, size_t from)
{
	e[(*n)++] = (struct ft_edit){
		.key = key, .json = v->s + from, .n = v->n - from};
}

static int make_line(struct job *j, const struct ft_gen_out *o,
		     struct ft_str *line, struct ft_err *err)
{
	const struct ft_row *row = &j->ask[o->prompt - j->first]->row;
	struct ft_str num = {0}, text = {0}, why = {0}, ids = {0}, lps = {0},
		      sum = {0};
	struct ft_str renamed = {0};
	struct ft_edit e[8];
	struct ft_row again = *row;
	struct ft_arena a = {0};
	double total = 0;
	size_t n = 0;
	int rc;

	if (ft_json_get(row->obj, "completion")) {
		struct ft_edit as = {.key = "completion",
				     .rename = "reference"};
		struct ft_edit drop[2] = {{.key = "reference"}, as};
		size_t skip = ft_json_get(row->obj, "reference") ? 0 : 1;

		ft_row_edit(row, drop + skip, 2 - skip, &renamed);
		again.text = renamed.s;
		again.ntext = renamed.n;
		if (ft_json_parse(&a, renamed.s, renamed.n, &again.obj, err) <
		    0)
			return -1;
	}
	ft_str_addf(&num, "%zu", o->sample);
	rc = completion(j, o, &text, err);
	ft_str_adds(&why, o->stopped ? "\"stop\"" : "\"length\"");
	add_edit(e, &n, "sample", &num, 0);
	add_edit(e, &n, "completion", &text, 0);
	add_edit(e, &n, "finish_reason", &why, 0);
	if (j->cmd->ids) {
		add_list(&ids, o, true);
		add_edit(e, &n, "completion_ids", &ids, 0);
	}
	if (j->cmd->logps) {
		for (size_t i = 0; i < o->n; i++)
			total += (double)o->logps[i];
		add_list(&lps, o, false);
		ft_str_add_double(&sum, total);
		add_edit(e, &n, "logps", &lps, 0);
		add_edit(e, &n, "sum_logps", &sum, 0);
	}
	ft_row_edit(&again, e, n, line);
	ft_str_addc(line, '\n');
	ft_str_release(&num);
	ft_str_release(&text);
	ft_str_release(&why);
	ft_str_release(&ids);
	ft_str_release(&lps);
	ft_str_release(&sum);
	ft_str_release(&renamed);
	ft_arena_release(&a);
	return rc;
}

/* What stands at the front and is there goes out. */
static int write_out(struct job *j, struct ft_err *err)
{
	size_t samples = (size_t)j->cmd->gen.samples;

	while (j->n) {
		struct ask *a = j->ask[0];

		for (; a->written < samples; a->written++) {
			struct sample *s = &a->samples[a->written];

			if (!s->line)
				return ft_output_flush(j->out, err);
			if (ft_output_write(j->out, s->line, s->n, err) < 0)
				return -1;
			free(s->line);
			s->line = NULL;
		}
		free_ask(j, a);
		j->first++;
		memmove(j->ask, j->ask + 1, --j->n * sizeof(struct ask *));
	}
	return ft_output_flush(j->out, err);
}

/* Rows go out in the order of prompts and samples. */
static int on_done(void *self, const struct ft_gen_out *o, struct ft_err *err)
{
	struct job *j = self;
	struct sample *s = &j->ask[o->prompt - j->first]->samples[o->sample];
	struct ft_str line = {0};

	if (make_line(j, o, &line, err) < 0) {
		ft_str_release(&line);
		return -1;
	}
	s->line = line.s;
	s->n = line.n;
	ft_str_release(&s->text);
	return write_out(j, err);
}

/* What generating for all prompts would take. */
static void plan(struct job *j)
{
	const struct ft_adapter *a = j->l.has_adapter ? &j->l.adapter : NULL;
	struct ft_gen_sizes s = {0};
	struct ft_gen_prompt p;
	struct ft_err err = {0};
	int rc;

	while ((rc = on_next(j, &p, &err)) > 0) {
		s.prompts++;
		s.tokens += p.n;
		s.longest = p.n > s.longest ? p.n : s.longest;
		free_ask(j, j->ask[--j->n]);
	}
	check(rc, &err);
	if (s.prompts)
		check(ft_gen_plan(j->l.model, a, &j->cmd->gen, &s, &j->plan,
				  &err),
		      &err);
	check(ft_plan_write(&j->plan, j->cmd->json, &err), &err);
}

static void run(struct job *j, char **files, int nfiles)
{
	const struct ft_gen_io io = {.self = j,
				     .next = on_next,
				     .done = on_done,
				     .token = j->cmd->stop.n ? on_token : NULL};
	struct ft_err err = {0};

	if (!j->cmd->prompt)
		check(ft_rows_open(&j->rows, files, nfiles, j->cmd->map, &err),
		      &err);
	if (j->cmd->plan)
		plan(j);
	else
		check(ft_generate(j->l.model,
				  j->l.has_adapter ? &j->l.adapter : NULL,
				  &j->cmd->gen, &io, &err),
		      &err);
	if (j->rows)
		ft_rows_close(j->rows);
	free(j->ask);
}

static void load(struct job *j)
{
	const struct cmdline *cmd = j->cmd;
	struct ft_str path = {0};
	struct ft_err err = {0};
	FILE *f;

	check(ft_load_begin(&j->l, &cmd->compute, cmd->model, cmd->adapter,
			    cmd->base, false, &err),
	      &err);
	ft_str_addf(&path, "%s/tokenizer.json", j->l.dir);
	f = fopen(path.s, "r");
	if (f) {
		fclose(f);
		check(ft_tok_load(&j->tok, j->l.dir, &err), &err);
	} else if (cmd->stop.n) {
		ft_die(FT_EXIT_USAGE,
		       "--stop needs the model's tokenizer.json");
	}
	if (cmd->chat && !j->tok)
		ft_die(FT_EXIT_DATA,
		       "%s: --chat wants a tokenizer.json, and there is none",
		       j->l.dir);
	if (cmd->chat)
		check(ft_chat_load(&j->chat, j->l.dir, cmd->chat_template,
				   &err),
		      &err);
	ft_str_release(&path);
	ft_load_plan(&j->l, &j->plan);
	if (!cmd->plan)
		check(ft_load_weights(&j->l, &err), &err);
}

int main(int argc, char **argv)
{
	struct cmdline cmd = {.compute = FT_COMPUTE_DEFAULTS,
			      .gen = FT_GEN_DEFAULTS};
	const struct ft_opt table[] = {
		FT_STR_FREE('m', "model", &cmd.model, "DIR",
			    "model directory, or an adapter's"),
		FT_STR_FREE(0, "adapter", &cmd.adapter, "DIR",
			    "LoRA adapter on the model"),
		FT_STR_FREE(0, "base", &cmd.base, "DIR",
			    "the base model, if not where the adapter says"),
		FT_STR_FREE('o', "output", &cmd.out, "FILE",
			    "write here, complete or not at all"),
		FT_FLAG_FREE('z', "zstd", &cmd.zstd, "compress the output"),
		FT_STR(0, "map", &cmd.map, "JQ", "reshape each row"),
		FT_STR('p', "prompt", &cmd.prompt, "TEXT",
		       "one prompt instead of rows"),
		FT_FLAG(0, "chat", &cmd.chat,
			"rows of messages, through the model's chat template"),
		FT_STR(0, "chat-template", &cmd.chat_template, "NAME|FILE",
		       "the template of that name, or in that file"),
		FT_INT('n', "num-samples", &cmd.gen.samples, 1, 65536, "N",
		       "samples of each prompt"),
		FT_INT(0, "max-new-tokens", &cmd.gen.max_new, 1, 1 << 20, "N",
		       "longest completion"),
		FT_INT(0, "max-prompt-length", &cmd.max_prompt, 0, 1 << 24, "N",
		       "refuse longer prompts (0: take all)"),
		FT_REAL(0, "temperature", &cmd.gen.temperature, 0, 100, "X",
			"0 takes the most probable token"),
		FT_INT(0, "top-k", &cmd.gen.top_k, 0, 1 << 24, "N",
		       "draw among the N most probable (0: all)"),
		FT_REAL(0, "top-p", &cmd.gen.top_p, 1e-9, 1, "X",
			"draw among the most probable that make up X"),
		FT_LIST(0, "stop", &cmd.stop, "TEXT",
			"end where this text comes; may be repeated"),
		FT_FLAG(0, "completion-ids", &cmd.ids, "write token ids too"),
		FT_FLAG(0, "logps", &cmd.logps, "write log-probabilities too"),
		FT_FLAG(0, "no-special-tokens", &cmd.no_specials,
			"no BOS before the prompt"),
		FT_INT(0, "batch-size", &cmd.gen.batch, 1, 65536, "N",
		       "sequences at a time"),
		FT_PLAN_OPTS(&cmd.memory, &cmd.plan, &cmd.json),
		FT_COMPUTE_OPTS(&cmd.compute),
		FT_END,
	};
	struct job j = {.cmd = &cmd};
	struct ft_err err = {0};
	int i;

	ft_start(argv[0]);
	i = ft_opt_parse(
		argc, argv, table, "-m DIR [--adapter DIR] [OPTIONS] [ROWS...]",
		"Sample completions of prompts; a row for each sample.");
	if (!cmd.model)
		ft_die(FT_EXIT_USAGE, "no model: give -m DIR");
	if (cmd.chat && cmd.no_specials)
		ft_die(FT_EXIT_USAGE,
		       "a chat's special tokens are its template's: no --no-special-tokens");
	if (cmd.chat_template && !cmd.chat)
		ft_die(FT_EXIT_USAGE, "--chat-template belongs to --chat");
	if (cmd.prompt && i < argc)
		ft_die(FT_EXIT_USAGE, "--prompt or rows, not both");
	check(ft_plan_check(cmd.memory, cmd.plan, cmd.json, &cmd.gen.budget,
			    &err),
	      &err);
	cmd.gen.seed = cmd.compute.seed;
	load(&j);
	cmd.gen.taken = ft_plan_total(&j.plan);
	if (!cmd.plan)
		check(ft_output_open(&j.out, cmd.out, cmd.zstd, &err), &err);
	run(&j, argv + i, argc - i);
	if (j.out)
		check(ft_output_commit(j.out, &err), &err);
	ft_chat_free(j.chat);
	ft_tok_free(j.tok);
	free(cmd.stop.v);
	ft_unload(&j.l);
	return FT_EXIT_OK;
}
