/* SPDX-License-Identifier: MIT */
/* ft-logprob - log-probabilities that a model gives to a stream's tokens. */

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "libcommon/io/manifest.h"
#include "libcommon/nn/open.h"
#include "libcommon/text/tokenizer.h"

struct cmdline {
	const char *model, *adapter, *base, *out, *rows, *map, *memory;
	struct ft_compute compute;
	int64_t tokens;
	bool zstd, columns, plan, json;
	size_t budget;
};

struct scorer {
	const struct cmdline *cmd;
	struct ft_loaded l;
	struct ft_tok *tok; /* or NULL */
	struct ft_pass pass;
	float *logp;
	uint8_t *hit;  /* per prediction, as logp */
	uint8_t *hits; /* per token of the document */
	size_t caplogp;
	struct ft_output *out;
	struct ft_stream_writer *w; /* with --columns */
	struct ft_rows *rows;       /* with --rows */
	struct ft_row row;
	struct ft_str line, piece;
	/* memory: what is there before the first pass, and room for passes and
	   the documents so far; tokens at a time that fit */
	struct ft_plan start;
	struct ft_reserve room;
	size_t ntok, nseg, nrow, tokens;
};

static void check(int rc, struct ft_err *err)
{
	if (rc < 0)
		ft_die_err(err);
}

/* --- memory --- */

static size_t most(size_t a, size_t b)
{
	return a > b ? a : b;
}

static size_t row_tokens(const struct ft_tokens *b, size_t i)
{
	return (size_t)(b->cu_seqlens[b->cu_rows[i + 1]] -
			b->cu_seqlens[b->cu_rows[i]]);
}

static size_t longest(const struct ft_tokens *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->nrow; i++)
		n = most(n, row_tokens(b, i));
	return n;
}

/* Room for passes of so many tokens over a document too. */
static struct ft_reserve room_for(const struct scorer *s,
				  const struct ft_tokens *b, size_t tokens)
{
	struct ft_reserve r = s->room;
	size_t row = longest(b), t = most(row, tokens), segs = 0;

	for (size_t i = 0; i < b->nrow; i++)
		segs = most(segs, (size_t)(b->cu_rows[i + 1] - b->cu_rows[i]));
	t = t < b->ntok ? t : b->ntok;
	r.t = most(r.t, t);
	r.n = r.t;
	r.nseg = most(r.nseg, segs * (t < b->nrow ? t : b->nrow));
	r.positions = most(r.positions, row);
	ft_reserve_adapter(&r, s->l.has_adapter ? &s->l.adapter : NULL);
	return r;
}

static void count(struct scorer *s, const struct ft_reserve *r,
		  struct ft_plan *p)
{
	struct ft_carve c = {.plan = p, .part = FT_PLAN_WORK};

	*p = s->start;
	ft_model_plan_acts(s->l.model, r, false, p);
	ft_pass_plan(r->t, r->nseg, p);
	ft_take(&c, r->n, sizeof(*s->logp) + sizeof(*s->hit));
	c.part = FT_PLAN_DATA;
	/* a document as it lies in the file, as it is in memory, and what is
	   said of its tokens */
	ft_take(&c, s->ntok, 2 * (sizeof(int32_t) + 1) + sizeof(float) + 1);
	ft_take(&c, s->nseg, sizeof(int32_t) + sizeof(int64_t));
	ft_take(&c, s->nrow, sizeof(int32_t) + 3 * sizeof(int64_t));
	p->tokens = r->t;
}

/* The next document: as many tokens at a time as the budget has room for. */
static void make_room(struct scorer *s, const struct ft_tokens *b)
{
	struct ft_reserve r;
	struct ft_err err = {0};
	struct ft_plan p;

	s->ntok = most(s->ntok, b->ntok);
	s->nseg = most(s->nseg, b->nseg);
	s->nrow = most(s->nrow, b->nrow);
	for (;;) {
		r = room_for(s, b, s->tokens);
		count(s, &r, &p);
		if (!s->cmd->budget || ft_plan_total(&p) <= s->cmd->budget)
			break;
		if (s->tokens <= longest(b) || s->tokens == 1)
			check(ft_plan_refuse(s->cmd->budget, ft_plan_total(&p),
					     &err),
			      &err);
		s->tokens /= 2;
	}
	s->room = r;
	if (s->cmd->plan)
		return;
	check(ft_model_reserve(s->l.model, &r, &err), &err);
	if (r.n > s->caplogp) {
		s->caplogp = r.n;
		s->logp = ft_xrealloc(s->logp, s->caplogp, sizeof(*s->logp));
		s->hit = ft_xrealloc(s->hit, s->caplogp, 1);
	}
}

/* --- scores --- */

/* Value k of the pass goes to token at of the document; where it is what a
   row's branches begin with alike (seg: the prefix), to each branch's. */
static void put_value(struct scorer *s, const struct ft_tokens *b, size_t row,
		      size_t seg, size_t k, size_t at, float *by_token)
{
	size_t s0 = (size_t)b->cu_rows[row], s1 = (size_t)b->cu_rows[row + 1];
	size_t j = at - (size_t)b->cu_seqlens[s0 + 1];

	by_token[at] = s->logp[k];
	s->hits[at] = s->hit[k];
	for (size_t g = s0 + 2; g < s1 && seg == s0; g++) {
		by_token[(size_t)b->cu_seqlens[g] + j] = s->logp[k];
		s->hits[(size_t)b->cu_seqlens[g] + j] = s->hit[k];
	}
}

/* Log-probabilities of rows [i, j) of b, by token of the document: NaN where
   nothing was predicted. */
static void score(struct scorer *s, const struct ft_tokens *b, size_t i,
		  size_t j, float *by_token)
{
	struct ft_run run = {.adapter =
				     s->l.has_adapter ? &s->l.adapter : NULL};
	size_t seg0 = (size_t)b->cu_rows[i];
	size_t base = (size_t)b->cu_seqlens[seg0];

	ft_pass_clear(&s->pass);
	for (size_t r = i; r < j; r++)
		ft_pass_add(&s->pass, b, r, false);
	ft_model_forward(s->l.model, &run, &s->pass);
	ft_model_head(s->l.model, &s->pass, NULL, s->logp, NULL, s->hit);
	for (size_t k = 0; k < s->pass.n; k++) {
		size_t seg = seg0 + (size_t)s->pass.of[k];

		while ((size_t)b->cu_rows[i + 1] <= seg)
			i++;
		put_value(s, b, i, seg, k, base + (size_t)s->pass.at[k],
			  by_token);
	}
}

/* Fields of one branch: prefix is "", "chosen_" or "rejected_". */
static void branch(struct scorer *s, const struct ft_tokens *b, size_t seg,
		   const float *lp, const char *prefix, struct ft_str *logps,
		   struct ft_str *rest)
{
	double sum = 0;
	size_t n = 0, hits = 0;

	ft_str_clear(&s->piece);
	ft_str_addc(logps, '[');
	for (int64_t t = b->cu_seqlens[seg]; t < b->cu_seqlens[seg + 1]; t++) {
		if (isnan(lp[t]))
			continue;
		if (n++)
			ft_str_addc(logps, ',');
		ft_str_add_float(logps, lp[t]);
		sum += (double)lp[t];
		hits += s->hits[t];
		if (s->tok && !ft_tok_special(s->tok, b->ids[t]))
			ft_tok_piece(s->tok, b->ids[t], &s->piece);
	}
	ft_str_addc(logps, ']');
	ft_str_addf(rest, ",\"%ssum_logps\":", prefix);
	ft_str_add_double(rest, sum);
	ft_str_addf(rest, ",\"%stokens\":%zu,\"%shits\":%zu", prefix, n, prefix,
		    hits);
	if (s->tok)
		ft_str_addf(rest, ",\"%sbytes\":%zu", prefix, s->piece.n);
}

/* The inside of a row's object, from "row" on. */
static void fields(struct scorer *s, const struct ft_tokens *b, size_t i,
		   const float *lp, bool pair, struct ft_str *out)
{
	static const char *const names[] = {"chosen_", "rejected_"};
	size_t s0 = (size_t)b->cu_rows[i], s1 = (size_t)b->cu_rows[i + 1];

	ft_str_addf(out, "\"row\":%lld", (long long)b->row[i]);
	for (size_t k = s0 + 1; k < s1; k++) {
		const char *prefix =
			pair && k - s0 <= 2 ? names[k - s0 - 1] : "";
		struct ft_str logps = {0}, rest = {0};

		branch(s, b, k, lp, prefix, &logps, &rest);
		ft_str_addf(out, ",\"%slogps\":%s%s", prefix, logps.s, rest.s);
		ft_str_release(&logps);
		ft_str_release(&rest);
	}
}

/* The row of --rows that a scored row came from; rows in between pass as they
   are not scored: they were dropped before, and are left out. */
static void source_row(struct scorer *s, int64_t row)
{
	struct ft_err err = {0};
	int rc;

	while (!s->row.obj || s->row.row < row) {
		rc = ft_rows_next(s->rows, &s->row, &err);
		check(rc, &err);
		if (!rc)
			ft_die(FT_EXIT_DATA,
			       "%s: no row %lld, which the stream has",
			       s->cmd->rows, (long long)row);
	}
	if (s->row.row != row)
		ft_die(FT_EXIT_DATA,
		       "the stream's rows are not in the order of %s",
		       s->cmd->rows);
}

/* Append the fields of an object to the source row's. */
static void merge(struct scorer *s, const struct ft_str *obj)
{
	struct ft_edit edits[16];
	struct ft_arena a = {0};
	struct ft_err err = {0};
	struct ft_json *o;
	size_t n = 0;

	check(ft_json_parse(&a, obj->s, obj->n, &o, &err), &err);
	for (struct ft_json *f = o->child; f && n < 16; f = f->next)
		edits[n++] = (struct ft_edit){
			.key = f->key, .json = f->raw, .n = f->nraw};
	ft_str_clear(&s->line);
	ft_row_edit(&s->row, edits, n, &s->line);
	ft_arena_release(&a);
}

static void put_row(struct scorer *s, const struct ft_tokens *b, size_t i,
		    const float *lp, bool pair)
{
	struct ft_str obj = {0};
	struct ft_err err = {0};

	ft_str_addc(&obj, '{');
	fields(s, b, i, lp, pair, &obj);
	ft_str_addc(&obj, '}');
	if (s->rows) {
		source_row(s, b->row[i]);
		merge(s, &obj);
	} else {
		ft_str_clear(&s->line);
		ft_str_add(&s->line, obj.s, obj.n);
	}
	ft_str_addc(&s->line, '\n');
	check(ft_output_write(s->out, s->line.s, s->line.n, &err), &err);
	ft_str_release(&obj);
}

/* ref_logps: sums by segment, NaN for prefixes. */
static void put_column(struct scorer *s, struct ft_tokens *b, const float *lp)
{
	float *col = ft_tokens_column(b, "ref_logps", false);
	struct ft_err err = {0};

	for (size_t i = 0; i < b->nrow; i++) {
		for (int64_t g = b->cu_rows[i]; g < b->cu_rows[i + 1]; g++) {
			double sum = 0;

			col[g] = NAN;
			if (g == b->cu_rows[i])
				continue;
			for (int64_t t = b->cu_seqlens[g];
			     t < b->cu_seqlens[g + 1]; t++)
				sum += isnan(lp[t]) ? 0 : (double)lp[t];
			col[g] = (float)sum;
		}
		check(ft_stream_put(s->w, b, i, &err), &err);
	}
}

static size_t row_end(const struct ft_tokens *b, size_t i, size_t tokens)
{
	int64_t from = b->cu_seqlens[b->cu_rows[i]];
	size_t j = i + 1;

	while (j < b->nrow &&
	       (size_t)(b->cu_seqlens[b->cu_rows[j + 1]] - from) <= tokens)
		j++;
	return j;
}

static void document(struct scorer *s, struct ft_tokens *b, bool pair)
{
	size_t vocab = ft_model_config(s->l.model)->vocab;
	float *lp;

	make_room(s, b);
	if (s->cmd->plan)
		return;
	lp = ft_xrealloc(NULL, b->ntok + 1, sizeof(*lp));
	s->hits = ft_xrealloc(s->hits, b->ntok + 1, 1);

	for (size_t t = 0; t < b->ntok; t++) {
		lp[t] = NAN;
		if ((size_t)b->ids[t] >= vocab)
			ft_die(FT_EXIT_DATA,
			       "token id %d, but the model's vocabulary has %zu",
			       (int)b->ids[t], vocab);
	}
	for (size_t i = 0, j; i < b->nrow; i = j) {
		j = row_end(b, i, s->tokens);
		score(s, b, i, j, lp);
	}
	if (s->w) {
		put_column(s, b, lp);
	} else {
		for (size_t i = 0; i < b->nrow; i++)
			put_row(s, b, i, lp, pair);
	}
	free(lp);
}

static void open_tokenizer(struct scorer *s, const struct ft_stream_info *info)
{
	struct ft_str path = {0};
	struct ft_err err = {0};
	struct stat sb;

	ft_str_addf(&path, "%s/tokenizer.json", s->l.dir);
	if (stat(path.s, &sb) == 0) {
		check(ft_tok_load(&s->tok, s->l.dir, &err), &err);
		if (info->tokenizer[0] &&
		    strcmp(ft_tok_sha256(s->tok), info->tokenizer))
			ft_die(FT_EXIT_DATA,
			       "the stream's tokens are of another tokenizer than %s",
			       path.s);
	}
	ft_str_release(&path);
}

static void run(struct scorer *s, const char *path)
{
	struct ft_stream_reader *r;
	struct ft_stream_info info = {0};
	struct ft_tokens b = {0};
	struct ft_input *in;
	struct ft_err err = {0};
	struct ft_plan p;
	int rc;

	check(ft_input_open(&in, path, &err), &err);
	check(ft_stream_open(&r, in, &info, &err), &err);
	open_tokenizer(s, &info);
	ft_load_plan(&s->l, &s->start);
	if (!s->cmd->plan)
		check(ft_load_weights(&s->l, &err), &err);
	if (s->cmd->columns && !s->cmd->plan) {
		struct ft_stream_info to = info;

		check(ft_model_digest(s->l.adapter_dir ? s->l.adapter_dir
						       : s->l.dir,
				      to.reference, &err),
		      &err);
		check(ft_stream_begin(&s->w, s->out, &to, &err), &err);
	}
	while ((rc = ft_stream_next(r, &b, &err)) > 0)
		document(s, &b, info.kind == FT_ROW_PAIR);
	check(rc, &err);
	if (s->cmd->plan) {
		count(s, &s->room, &p);
		check(ft_plan_write(&p, s->cmd->json, &err), &err);
	}
	if (s->w)
		check(ft_stream_end(s->w, ft_str_cstr(&info.ledger), &err),
		      &err);
	ft_tokens_release(&b);
	ft_stream_close(r);
	ft_stream_info_release(&info);
	ft_input_close(in);
}

int main(int argc, char **argv)
{
	struct cmdline cmd = {.compute = FT_COMPUTE_DEFAULTS, .tokens = 1024};
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
		FT_STR_FREE(
			0, "rows", &cmd.rows, "FILE",
			"append to these rows, which the stream was made from"),
		FT_STR_FREE(0, "map", &cmd.map, "JQ",
			    "reshape the rows of --rows"),
		FT_FLAG(0, "columns", &cmd.columns,
			"write the stream again, with a ref_logps column"),
		FT_INT(0, "micro-batch-tokens", &cmd.tokens, 1, 1 << 24, "N",
		       "tokens computed at a time"),
		FT_PLAN_OPTS(&cmd.memory, &cmd.plan, &cmd.json),
		FT_COMPUTE_OPTS(&cmd.compute),
		FT_END,
	};
	struct scorer s = {.cmd = &cmd, .pass.share = true};
	struct ft_err err = {0};
	int i;

	ft_start(argv[0]);
	i = ft_opt_parse(
		argc, argv, table, "-m DIR [--adapter DIR] [OPTIONS] [STREAM]",
		"Score the supervised tokens of a token stream with a model.");
	if (!cmd.model)
		ft_die(FT_EXIT_USAGE, "no model: give -m DIR");
	if (argc - i > 1)
		ft_die(FT_EXIT_USAGE, "one stream at a time");
	if (cmd.columns && cmd.rows)
		ft_die(FT_EXIT_USAGE,
		       "--columns writes a stream, --rows rows: choose one");
	if (cmd.map && !cmd.rows)
		ft_die(FT_EXIT_USAGE, "--map is for the rows of --rows");
	check(ft_plan_check(cmd.memory, cmd.plan, cmd.json, &cmd.budget, &err),
	      &err);
	s.tokens = (size_t)cmd.tokens;
	check(ft_load_begin(&s.l, &cmd.compute, cmd.model, cmd.adapter,
			    cmd.base, false, &err),
	      &err);
	if (!cmd.plan)
		check(ft_output_open(&s.out, cmd.out, cmd.zstd, &err), &err);
	if (cmd.rows) {
		static char *files[1]; /* the rows borrow it */

		files[0] = (char *)cmd.rows;
		check(ft_rows_open(&s.rows, files, 1, cmd.map, &err), &err);
	}
	run(&s, i < argc ? argv[i] : NULL);
	if (s.out)
		check(ft_output_commit(s.out, &err), &err);
	if (s.rows)
		ft_rows_close(s.rows);
	ft_tok_free(s.tok);
	ft_pass_release(&s.pass);
	free(s.logp);
	free(s.hit);
	free(s.hits);
	ft_str_release(&s.line);
	ft_str_release(&s.piece);
	ft_unload(&s.l);
	return FT_EXIT_OK;
}
