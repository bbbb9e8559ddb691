/* SPDX-License-Identifier: MIT */
/* ft-tokenize - rows of text to a token stream, or to and from rows of ids. */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/base/die.h"
#include "libcommon/base/opt.h"
#include "libcommon/io/output.h"
#include "libcommon/io/tstream.h"
#include "tools/ft-tokenize/tokenize.h"

struct cmdline {
	const char *model, *base, *map, *out, *ledger;
	const char *chat_template;
	bool ids, decode, no_specials, no_eos, zstd;
	bool chat, render, prompt, assistant_only, no_inject;
	bool length_given, long_given;
	int kind; /* enum ft_row_kind + 1; 0: auto */
	int on_long, match;
	int64_t max_length;
	char **files;
	int nfiles;
};

/* Words of --kind: as the rows say, or enum ft_row_kind in its order. */
#define KINDS "auto|pair|completion|chat|text|prompt"

struct run {
	const struct cmdline *cmd;
	struct ft_tok *tok;
	struct rules rules;
	struct ledger ledger;
	struct segments seg;
	struct ft_output *out;
	struct ft_rows *rows;
	struct ft_stream_writer *stream; /* NULL until the kind is known */
	struct ft_tokens one;            /* a row on its way to it */
	struct ft_str provenance, line;
};

static int begin_stream(struct run *r, struct ft_err *err)
{
	struct ft_stream_info info = {
		.kind = r->rules.kind < 0 ? FT_ROW_TEXT : r->rules.kind,
		.vocab_size = r->rules.vocab_size,
		.max_length = r->rules.max_length,
		.provenance = r->provenance,
	};

	if (r->tok)
		memcpy(info.tokenizer, ft_tok_sha256(r->tok),
		       sizeof(info.tokenizer));
	return ft_stream_begin(&r->stream, r->out, &info, err);
}

/* Piece p of n of the (first) branch, or the row as it is. */
static int put_stream(struct run *r, const struct ft_row *row, size_t p,
		      size_t n, struct ft_err *err)
{
	const struct segments *g = &r->seg;
	size_t a = g->nbranch[0] * p / n, z = g->nbranch[0] * (p + 1) / n;
	const int32_t *ids[3] = {g->prefix, g->branch[0], g->branch[1]};
	size_t len[3] = {g->nprefix, g->nbranch[0], g->nbranch[1]};
	const uint8_t *mask[3] = {NULL, g->mask, NULL};

	if (n > 1) {
		ids[1] += a;
		len[1] = z - a;
	}
	if (!r->stream && begin_stream(r, err))
		return -1;
	ft_tokens_clear(&r->one);
	ft_tokens_add(&r->one, row->row, (size_t)g->k + 1, ids, len,
		      g->mask ? mask : NULL);
	return ft_stream_put(r->stream, &r->one, 0, err);
}

static int put_line(struct run *r, struct ft_err *err)
{
	ft_str_addc(&r->line, '\n');
	return ft_output_write(r->out, r->line.s, r->line.n, err);
}

static int encode_row(struct run *r, const struct ft_row *row,
		      struct ft_err *err)
{
	size_t pieces;

	if (row_segments(&r->rules, row, &r->seg, err))
		return -1;
	if (r->cmd->render) {
		ft_str_clear(&r->line);
		render_row(row, &r->seg, r->rules.kind, &r->line);
		return put_line(r, err);
	}
	if (!fit(&r->rules, row, &r->seg, &r->ledger, &pieces))
		return 0;
	if (r->ledger.too_long)
		return 0; /* it will fail: only count on */
	if (r->cmd->ids) {
		ft_str_clear(&r->line);
		ids_row(row, &r->seg, r->rules.kind, &r->line);
		return put_line(r, err);
	}
	for (size_t p = 0; p < pieces; p++)
		if (put_stream(r, row, p, pieces, err))
			return -1;
	return 0;
}

static int decode_one(struct run *r, const struct ft_row *row,
		      struct ft_err *err)
{
	ft_str_clear(&r->line);
	if (decode_row(r->tok, row, r->cmd->no_specials, &r->line, err))
		return -1;
	return put_line(r, err);
}

static int refuse_long(const struct run *r, struct ft_err *err)
{
	const struct ledger *l = &r->ledger;

	*err = l->first;
	return ft_err_set(
		err, FT_EXIT_DATA,
		"%" PRId64 " of %" PRId64
		" rows are longer than --max-length %" PRId64
		" (the longest is %" PRId64 ", the first at %s:%" PRIu64
		"): raise it, or say --on-long drop, truncate or split",
		l->too_long, l->rows_in, r->rules.max_length, l->longest,
		l->first.where, l->first.line);
}

static int all_rows(struct run *r, struct ft_err *err)
{
	const struct cmdline *cmd = r->cmd;
	struct ft_row row;
	int rc;

	while ((rc = ft_rows_next(r->rows, &row, err)) > 0)
		if (cmd->decode ? decode_one(r, &row, err)
				: encode_row(r, &row, err))
			return -1;
	if (rc < 0)
		return -1;
	return r->ledger.too_long ? refuse_long(r, err) : 0;
}

static void say_summary(const struct ledger *l)
{
	int64_t dropped = l->rows_in - l->rows_out;

	ft_info("%" PRId64 " rows: %" PRId64 " kept (%" PRId64 " cut, %" PRId64
		" split), %" PRId64 " dropped (%" PRId64 " too long, %" PRId64
		" with too long a prompt, %" PRId64 " empty); %" PRId64
		" tokens, %" PRId64 " supervised",
		l->rows_in, l->rows_out, l->rows_cut, l->rows_split, dropped,
		l->rows_dropped[DROP_LONG], l->rows_dropped[DROP_PROMPT],
		l->rows_dropped[DROP_EMPTY], l->tokens, l->sup_out);
}

/* The end of the stream, the ledger, and the file's name. */
static int finish(struct run *r, struct ft_err *err)
{
	struct ft_stream_writer *w;
	struct ft_output *out = r->out;
	struct ft_str json = {0};
	int rc = 0;

	ledger_json(&r->ledger, &json);
	if (!r->cmd->ids && !r->cmd->decode && !r->cmd->render) {
		if (!r->stream && begin_stream(r, err))
			rc = -1;
		w = r->stream;
		r->stream = NULL;
		if (!rc)
			rc = ft_stream_end(w, json.s, err);
	}
	if (!rc) {
		r->out = NULL;
		rc = ft_output_commit(out, err);
	}
	if (!rc && r->cmd->ledger) {
		ft_str_addc(&json, '\n');
		rc = ft_write_file(r->cmd->ledger, json.s, json.n, err);
	}
	ft_str_release(&json);
	return rc;
}

/* The folder that the tokenizer is in; the path may be that of its file. */
static const char *chat_dir(const struct ft_str *dir, struct ft_str *mem)
{
	const char *slash = strrchr(ft_str_cstr(dir), '/');
	bool file = ft_ends(ft_str_cstr(dir), ".json");

	ft_str_clear(mem);
	if (!file)
		ft_str_adds(mem, ft_str_cstr(dir));
	else if (slash)
		ft_str_add(mem, dir->s, (size_t)(slash - dir->s));
	else
		ft_str_addc(mem, '.');
	return mem->s;
}

static void load_model(struct run *r, struct ft_err *err)
{
	const struct cmdline *cmd = r->cmd;
	struct ft_str dir = {0}, file = {0};
	int64_t size = 0;

	if (find_model(cmd->model, cmd->base, &dir, &size, err))
		ft_die_err(err);
	ft_str_addf(&file, "%s/tokenizer.json", ft_str_cstr(&dir));
	/* The path may be that of a tokenizer.json; without one, rows of ids
	   can still be put together. */
	if ((!access(file.s, F_OK) || !size || cmd->decode) &&
	    ft_tok_load(&r->tok, ft_str_cstr(&dir), err))
		ft_die_err(err);
	if (cmd->chat && !r->tok)
		ft_die(FT_EXIT_DATA,
		       "%s: --chat wants a tokenizer.json, and there is none",
		       cmd->model);
	if (cmd->chat && ft_chat_load(&r->rules.chat, chat_dir(&dir, &file),
				      cmd->chat_template, err))
		ft_die_err(err);
	r->rules.tok = r->tok;
	r->rules.vocab_size = size;
	if (r->tok && ft_tok_vocab_size(r->tok) > size)
		r->rules.vocab_size = ft_tok_vocab_size(r->tok);
	ft_str_release(&dir);
	ft_str_release(&file);
}

static void set_rules(struct run *r)
{
	static const unsigned match[] = {0, FT_TOK_NO_ADDED, FT_TOK_PLAIN};
	const struct cmdline *cmd = r->cmd;

	r->rules.max_length = cmd->max_length;
	/* Rows of ids are whole unless a length is asked for. */
	if (cmd->ids && !cmd->length_given)
		r->rules.max_length = 0;
	r->rules.on_long = (enum on_long)cmd->on_long;
	r->rules.specials = !cmd->no_specials;
	r->rules.match = match[cmd->match];
	r->rules.append_eos = !cmd->no_specials && !cmd->no_eos;
	r->rules.keep_empty = cmd->ids;
	r->rules.generation_prompt = cmd->prompt;
	r->rules.assistant_only = cmd->assistant_only;
	r->rules.no_inject = cmd->no_inject;
	r->rules.render = cmd->render;
	r->rules.forced = cmd->kind > 0;
	r->rules.kind = cmd->kind - 1;
}

static void check_chat(const struct cmdline *cmd)
{
	if (cmd->kind == FT_ROW_CHAT + 1 && !cmd->chat)
		ft_die(FT_EXIT_USAGE, "rows of messages want --chat");
	if (!cmd->chat && (cmd->render || cmd->prompt || cmd->assistant_only ||
			   cmd->no_inject || cmd->chat_template))
		ft_die(FT_EXIT_USAGE,
		       "--render, --add-generation-prompt, --assistant-only-loss, --no-inject and --chat-template belong to --chat");
	if (cmd->chat && cmd->decode)
		ft_die(FT_EXIT_USAGE, "--chat and --decode exclude each other");
	if (cmd->chat && (cmd->kind == FT_ROW_TEXT + 1))
		ft_die(FT_EXIT_USAGE, "--chat is for messages, not for text");
	if (cmd->chat && (cmd->no_eos || cmd->no_specials))
		ft_die(FT_EXIT_USAGE,
		       "a chat's special tokens are its template's: no --no-append-eos, no --no-special-tokens");
	if (cmd->render &&
	    (cmd->ids || cmd->ledger || cmd->length_given || cmd->long_given))
		ft_die(FT_EXIT_USAGE,
		       "--render takes no --ids, --max-length, --on-long or --ledger");
	if (cmd->assistant_only && cmd->kind && cmd->kind != FT_ROW_CHAT + 1)
		ft_die(FT_EXIT_USAGE,
		       "--assistant-only-loss is for rows of messages");
}

static void check_cmdline(const struct cmdline *cmd)
{
	if (!cmd->model)
		ft_die(FT_EXIT_USAGE, "no model (-m DIR)");
	if (cmd->ids && cmd->decode)
		ft_die(FT_EXIT_USAGE, "--ids and --decode exclude each other");
	check_chat(cmd);
	if (cmd->decode && (cmd->kind || cmd->length_given || cmd->long_given ||
			    cmd->ledger || cmd->no_eos))
		ft_die(FT_EXIT_USAGE,
		       "--decode takes no --kind, --max-length, --on-long, --ledger or --no-append-eos");
	if (cmd->on_long == LONG_SPLIT) {
		if (cmd->ids)
			ft_die(FT_EXIT_USAGE,
			       "--on-long split is for streams, not for --ids");
		if (cmd->kind && cmd->kind != FT_ROW_TEXT + 1)
			ft_die(FT_EXIT_USAGE,
			       "--on-long split is for text rows");
		if (cmd->max_length == 1)
			ft_die(FT_EXIT_USAGE,
			       "--on-long split wants a --max-length of 2 or more");
	}
}

static void tokenize(const struct cmdline *cmd, const struct ft_opt *opts)
{
	struct run r = {.cmd = cmd};
	struct ft_err err = {0};

	set_rules(&r);
	load_model(&r, &err);
	ft_str_adds(&r.provenance, "[{\"tool\":\"ft-tokenize\",\"version\":");
	ft_str_add_json(&r.provenance, FT_VERSION, strlen(FT_VERSION));
	ft_str_adds(&r.provenance, ",\"options\":");
	ft_opt_json(opts, &r.provenance);
	ft_str_adds(&r.provenance, "}]");
	if (ft_rows_open(&r.rows, cmd->files, cmd->nfiles, cmd->map, &err) ||
	    ft_output_open(&r.out, cmd->out, cmd->zstd, &err))
		ft_die_err(&err);
	if (all_rows(&r, &err) || finish(&r, &err)) {
		if (r.stream)
			ft_stream_abandon(r.stream);
		if (r.out)
			ft_output_abort(r.out);
		ft_die_err(&err);
	}
	if (!cmd->decode && !cmd->render)
		say_summary(&r.ledger);
	ft_rows_close(r.rows);
	ft_tokens_release(&r.one);
	segments_release(&r.seg);
	ft_str_release(&r.provenance);
	ft_str_release(&r.line);
	ft_chat_free(r.rules.chat);
	ft_tok_free(r.tok);
}

int main(int argc, char **argv)
{
	struct cmdline cmd = {.max_length = 2048};
	struct ft_opt opts[] = {
		FT_STR_FREE('m', "model", &cmd.model, "DIR",
			    "the model whose tokenizer it is, or an adapter"),
		FT_STR_FREE(
			0, "base", &cmd.base, "DIR",
			"an adapter's base model, instead of the one it names"),
		FT_ENUM(0, "kind", &cmd.kind, KINDS,
			"take every row as of this kind (auto: the first that fits)"),
		FT_INT(0, "max-length", &cmd.max_length, 0, 1 << 30, "N",
		       "tokens of a row, prefix and longest branch; 0: any (2048)"),
		FT_ENUM(0, "on-long", &cmd.on_long, "error|drop|truncate|split",
			"what to do with longer rows (error)"),
		FT_FLAG(0, "no-append-eos", &cmd.no_eos,
			"do not put the end-of-sequence text behind what is learnt"),
		FT_FLAG(0, "no-special-tokens", &cmd.no_specials,
			"add no special tokens at all; --decode: leave them out"),
		FT_ENUM(0, "added-tokens", &cmd.match, "all|plain|none",
			"those that text can form: all, not special ones, none (all)"),
		FT_FLAG(0, "ids", &cmd.ids, "write rows with input_ids"),
		FT_FLAG(0, "decode", &cmd.decode,
			"write rows with the text of their ids"),
		FT_FLAG(0, "chat", &cmd.chat,
			"rows of messages, through the model's chat template"),
		FT_STR(0, "chat-template", &cmd.chat_template, "NAME|FILE",
		       "the template of that name, or in that file"),
		FT_FLAG(0, "add-generation-prompt", &cmd.prompt,
			"end a chat with the start of an answer"),
		FT_FLAG(0, "assistant-only-loss", &cmd.assistant_only,
			"train on what assistants say alone"),
		FT_FLAG(0, "no-inject", &cmd.no_inject,
			"text of messages forms no special tokens"),
		FT_FLAG(0, "render", &cmd.render,
			"write rows with the text of their chats"),
		FT_STR(0, "map", &cmd.map, "JQ", "reshape each row first"),
		FT_STR_FREE(0, "ledger", &cmd.ledger, "FILE",
			    "write what was kept, cut and dropped, as JSON"),
		FT_STR_FREE('o', "output", &cmd.out, "FILE",
			    "write to FILE, which appears when complete"),
		FT_FLAG_FREE('z', "zstd", &cmd.zstd, "compress the output"),
		FT_END,
	};
	int i;

	opts[3].given = &cmd.length_given;
	opts[4].given = &cmd.long_given;
	ft_start(argv[0]);
	i = ft_opt_parse(
		argc, argv, opts, "-m DIR [OPTIONS] [FILE...]",
		"Rows of text to a token stream, or to rows of ids and back.");
	check_cmdline(&cmd);
	cmd.files = argv + i;
	cmd.nfiles = argc - i;
	tokenize(&cmd, opts);
	return FT_EXIT_OK;
}
