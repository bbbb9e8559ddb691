/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"
#include "libcommon/io/input.h"
#include "libcommon/io/tstream.h"
#include "tools/ft-show/show.h"
#include "tools/ft-show/stream.h"

void stream_open(struct stream *st, const struct source *s)
{
	struct ft_err err;

	*st = (struct stream){.s = s};
	if (s->type != SHOW_STREAM)
		ft_die(FT_EXIT_DATA, "%s: this is %s, not a token stream",
		       s->name, show_types[s->type]);
	if (ft_input_open(&st->in, s->path, &err) < 0 ||
	    ft_stream_open(&st->r, st->in, &st->info, &err) < 0)
		source_die(s, &err);
}

bool stream_next(struct stream *st)
{
	struct ft_err err;
	int rc = ft_stream_next(st->r, &st->b, &err);

	if (rc < 0)
		source_die(st->s, &err);
	return rc > 0;
}

bool stream_row(struct stream *st)
{
	if (st->i + 1 < st->b.nrow) {
		st->i++;
		return true;
	}
	st->i = 0;
	return stream_next(st);
}

void stream_close(struct stream *st)
{
	ft_stream_close(st->r);
	ft_stream_info_release(&st->info);
	ft_tokens_release(&st->b);
	ft_input_close(st->in);
}

enum { BUCKETS = 48 };

/* What a summary says beyond the end document. */
struct sums {
	int64_t prefix, branches, untrained;
	int64_t shortest, longest;
	double total;
	int64_t bucket[BUCKETS]; /* lengths in [2^k, 2^(k+1)), 0 in the first */
	struct {
		char name[32];
		bool per_token;
		int64_t n;
		double min, max, sum;
	} col[2 * FT_MAX_COLUMNS];
	int ncol;
};

/* A row's length is that of its prefix and longest branch. */
static void sum_row(struct sums *u, const struct ft_tokens *b, size_t r)
{
	int64_t s0 = b->cu_rows[r], s1 = b->cu_rows[r + 1];
	int64_t prefix = b->cu_seqlens[s0 + 1] - b->cu_seqlens[s0];
	int64_t len = 0, trained = 0;
	int k = 0;

	for (int64_t s = s0 + 1; s < s1; s++)
		if (b->cu_seqlens[s + 1] - b->cu_seqlens[s] > len)
			len = b->cu_seqlens[s + 1] - b->cu_seqlens[s];
	for (int64_t t = b->cu_seqlens[s0]; t < b->cu_seqlens[s1]; t++)
		trained += b->mask[t];
	len += prefix;
	while (k < BUCKETS - 1 && len >> (k + 1))
		k++;
	u->bucket[k]++;
	u->prefix += prefix;
	u->branches += s1 - s0 - 1;
	u->untrained += trained == 0;
	u->total += (double)len;
	u->shortest = len < u->shortest ? len : u->shortest;
	u->longest = len > u->longest ? len : u->longest;
}

static void sum_column(struct sums *u, const struct ft_column *c, size_t n)
{
	int k = 0;

	while (k < u->ncol && strcmp(u->col[k].name, c->name) != 0)
		k++;
	if (k == 2 * FT_MAX_COLUMNS)
		return;
	if (k == u->ncol) {
		memcpy(u->col[k].name, c->name, sizeof(c->name));
		u->col[k].per_token = c->per_token;
		u->col[k].min = INFINITY;
		u->col[k].max = -INFINITY;
		u->ncol++;
	}
	for (size_t i = 0; i < n; i++)
		if (!isnan(c->v[i])) {
			u->col[k].n++;
			u->col[k].min = fmin(u->col[k].min, (double)c->v[i]);
			u->col[k].max = fmax(u->col[k].max, (double)c->v[i]);
			u->col[k].sum += (double)c->v[i];
		}
}

static void sum_stream(struct stream *st, struct sums *u)
{
	*u = (struct sums){.shortest = INT64_MAX};
	while (stream_next(st)) {
		for (size_t r = 0; r < st->b.nrow; r++)
			sum_row(u, &st->b, r);
		for (int c = 0; c < st->b.ncol; c++)
			sum_column(u, &st->b.col[c],
				   st->b.col[c].per_token ? st->b.ntok
							  : st->b.nseg);
	}
	if (st->info.rows == 0)
		u->shortest = 0;
}

static void text_histogram(struct ft_str *b, const struct sums *u)
{
	int64_t most = 1;
	int last = 0;

	for (int k = 0; k < BUCKETS; k++) {
		most = u->bucket[k] > most ? u->bucket[k] : most;
		last = u->bucket[k] ? k : last;
	}
	for (int k = 0; k <= last; k++) {
		double bar = 40.0 * (double)u->bucket[k] / (double)most;

		ft_str_addf(
			b, "  %8jd to %-8jd %10jd ", k ? (intmax_t)1 << k : 0,
			((intmax_t)1 << (k + 1)) - 1, (intmax_t)u->bucket[k]);
		for (double x = 0; x < bar; x++)
			ft_str_addc(b, '#');
		ft_str_addc(b, '\n');
	}
}

static void text_columns(struct ft_str *b, const struct sums *u)
{
	for (int k = 0; k < u->ncol; k++) {
		ft_str_adds(b, "column       ");
		show_text(b, u->col[k].name, strlen(u->col[k].name), "\\n");
		ft_str_addf(b, ", by %s, %jd numbers",
			    u->col[k].per_token ? "token" : "segment",
			    (intmax_t)u->col[k].n);
		if (u->col[k].n)
			ft_str_addf(b, ", %.6g to %.6g, mean %.6g",
				    u->col[k].min, u->col[k].max,
				    u->col[k].sum / (double)u->col[k].n);
		ft_str_addc(b, '\n');
	}
}

/* A JSON text printed anew: on one line, or indented. */
static void add_json(struct ft_str *b, const struct ft_str *json, int indent)
{
	struct ft_arena a = {0};
	struct ft_json *j;
	struct ft_err err;

	if (ft_json_parse(&a, json->s, json->n, &j, &err) < 0)
		ft_die_err(&err);
	ft_json_print(j, false, indent, b);
	ft_arena_release(&a);
}

static void text_summary(struct ft_str *b, const struct ft_stream_info *i,
			 const struct sums *u)
{
	ft_str_addf(b, "kind         %s\n", ft_stream_kinds[i->kind]);
	ft_str_addf(b, "tokenizer    %s\n",
		    i->tokenizer[0] ? i->tokenizer : "none");
	ft_str_addf(b, "vocabulary   %jd\n", (intmax_t)i->vocab_size);
	if (i->max_length)
		ft_str_addf(b, "max length   %jd\n", (intmax_t)i->max_length);
	if (i->reference[0])
		ft_str_addf(b, "reference    %s\n", i->reference);
	ft_str_addf(b, "documents    %jd\n", (intmax_t)i->documents);
	ft_str_addf(b, "rows         %jd, of %jd branches\n", (intmax_t)i->rows,
		    (intmax_t)u->branches);
	ft_str_addf(b, "tokens       %jd, of which %jd in prefixes\n",
		    (intmax_t)i->tokens, (intmax_t)u->prefix);
	ft_str_addf(b, "supervised   %jd", (intmax_t)i->supervised);
	if (u->untrained)
		ft_str_addf(b, "; %jd rows have none", (intmax_t)u->untrained);
	ft_str_addc(b, '\n');
	text_columns(b, u);
	if (i->rows) {
		ft_str_addf(b, "length       %jd to %jd, mean %.1f\n",
			    (intmax_t)u->shortest, (intmax_t)u->longest,
			    u->total / (double)i->rows);
		text_histogram(b, u);
	}
	ft_str_addf(b, "digest       %s\n", i->digest);
	ft_str_adds(b, "ledger\n");
	add_json(b, &i->ledger, 2);
	ft_str_adds(b, "\nprovenance\n");
	add_json(b, &i->provenance, 2);
	ft_str_addc(b, '\n');
}

static void json_summary(struct ft_str *b, const struct source *s,
			 const struct ft_stream_info *i, const struct sums *u)
{
	bool first = true;

	ft_str_adds(b, "{\"file\":");
	ft_str_add_json(b, s->name, strlen(s->name));
	ft_str_addf(
		b,
		",\"type\":\"stream\",\"kind\":\"%s\",\"tokenizer\":\"%s\",\"vocab_size\":%jd,\"max_length\":%jd,\"reference\":\"%s\",",
		ft_stream_kinds[i->kind], i->tokenizer, (intmax_t)i->vocab_size,
		(intmax_t)i->max_length, i->reference);
	ft_str_addf(
		b,
		"\"documents\":%jd,\"rows\":%jd,\"branches\":%jd,\"tokens\":%jd,\"prefix_tokens\":%jd,\"supervised_tokens\":%jd,\"rows_without_supervised\":%jd,",
		(intmax_t)i->documents, (intmax_t)i->rows,
		(intmax_t)u->branches, (intmax_t)i->tokens, (intmax_t)u->prefix,
		(intmax_t)i->supervised, (intmax_t)u->untrained);
	ft_str_addf(b, "\"length\":{\"min\":%jd,\"max\":%jd,\"mean\":",
		    (intmax_t)u->shortest, (intmax_t)u->longest);
	ft_str_add_double(b, i->rows ? u->total / (double)i->rows : 0);
	ft_str_adds(b, ",\"from\":{");
	for (int k = 0; k < BUCKETS; k++)
		if (u->bucket[k]) {
			ft_str_addf(b, "%s\"%jd\":%jd", first ? "" : ",",
				    k ? (intmax_t)1 << k : 0,
				    (intmax_t)u->bucket[k]);
			first = false;
		}
	ft_str_adds(b, "}},\"columns\":{");
	for (int k = 0; k < u->ncol; k++) {
		ft_str_adds(b, k ? "," : "");
		ft_str_add_json(b, u->col[k].name, strlen(u->col[k].name));
		ft_str_addf(b, ":{\"by\":\"%s\",\"numbers\":%jd",
			    u->col[k].per_token ? "token" : "segment",
			    (intmax_t)u->col[k].n);
		if (u->col[k].n) {
			ft_str_adds(b, ",\"mean\":");
			ft_str_add_double(b,
					  u->col[k].sum / (double)u->col[k].n);
		}
		ft_str_addc(b, '}');
	}
	ft_str_addf(b, "},\"digest\":\"%s\",\"ledger\":", i->digest);
	add_json(b, &i->ledger, -1);
	ft_str_adds(b, ",\"provenance\":");
	add_json(b, &i->provenance, -1);
	ft_str_adds(b, "}\n");
}

void stream_summary(struct show *sh, const struct source *s)
{
	struct stream st;
	struct sums u;

	stream_open(&st, s);
	sum_stream(&st, &u);
	if (sh->json)
		json_summary(&sh->buf, s, &st.info, &u);
	else
		text_summary(&sh->buf, &st.info, &u);
	stream_close(&st);
}

void stream_ledger(struct show *sh, const struct source *s)
{
	struct stream st;

	stream_open(&st, s);
	while (stream_next(&st))
		;
	add_json(&sh->buf, &st.info.ledger, -1);
	ft_str_addc(&sh->buf, '\n');
	stream_close(&st);
}

#define NEWLINE "\u21b5\n             " /* under the text of a segment */

/* Tokens t0 to t1, which are all trained on or all not. */
static void add_run(struct show *sh, const struct ft_tokens *b, int64_t t0,
		    int64_t t1)
{
	bool trained = b->mask[t0];
	struct ft_str piece = {0};

	ft_str_adds(&sh->buf, sh->color ? (trained ? "\033[32m" : "\033[2m")
			      : trained ? "\u27e6"
					: "");
	for (int64_t t = t0; t < t1; t++)
		if (sh->tok)
			ft_tok_piece(sh->tok, b->ids[t], &piece);
		else
			ft_str_addf(&piece, "%s%d", t > t0 ? " " : "",
				    b->ids[t]);
	show_text(&sh->buf, ft_str_cstr(&piece), piece.n, NEWLINE);
	ft_str_adds(&sh->buf, sh->color ? "\033[0m" : trained ? "\u27e7" : "");
	ft_str_release(&piece);
}

static void add_segment(struct show *sh, const struct ft_tokens *b, int64_t s,
			const char *name)
{
	int64_t t = b->cu_seqlens[s], end = b->cu_seqlens[s + 1], to;

	ft_str_addf(&sh->buf, "  %-9s  ", name);
	for (; t < end; t = to) {
		for (to = t + 1; to < end && b->mask[to] == b->mask[t]; to++)
			;
		add_run(sh, b, t, to);
		if (to < end && !sh->tok)
			ft_str_addc(&sh->buf, ' ');
	}
	ft_str_addc(&sh->buf, '\n');
	for (int c = 0; c < b->ncol; c++) {
		int64_t from = b->col[c].per_token ? b->cu_seqlens[s] : s;
		int64_t last = b->col[c].per_token ? end : s + 1;

		if (b->col[c].per_token ? from == last : isnan(b->col[c].v[s]))
			continue;
		ft_str_adds(&sh->buf, "    ");
		show_text(&sh->buf, b->col[c].name, strlen(b->col[c].name), "");
		for (; from < last; from++) {
			ft_str_addc(&sh->buf, ' ');
			if (isfinite(b->col[c].v[from]))
				ft_str_add_float(&sh->buf, b->col[c].v[from]);
			else
				show_number(&sh->buf,
					    (double)b->col[c].v[from]);
		}
		ft_str_addc(&sh->buf, '\n');
	}
}

static void add_row(struct show *sh, const struct ft_tokens *b, size_t r,
		    int64_t number)
{
	int64_t s0 = b->cu_rows[r], s1 = b->cu_rows[r + 1];
	char name[32];

	ft_str_addf(&sh->buf, "row %jd (source line %jd):", (intmax_t)number,
		    (intmax_t)b->row[r]);
	for (int64_t s = s0; s < s1; s++)
		ft_str_addf(
			&sh->buf, "%s%jd",
			s == s0       ? " "
			: s == s0 + 1 ? " + "
				      : ", ",
			(intmax_t)(b->cu_seqlens[s + 1] - b->cu_seqlens[s]));
	ft_str_adds(&sh->buf, " tokens\n");
	for (int64_t s = s0; s < s1; s++) {
		snprintf(name, sizeof(name), "branch %jd", (intmax_t)(s - s0));
		add_segment(sh, b, s, s == s0 ? "prefix" : name);
	}
	show_flush(sh);
}

/* The whole stream is read and checked, whatever part is shown. */
void stream_rows(struct show *sh, const struct source *s)
{
	struct stream st;
	int64_t n = 0;

	stream_open(&st, s);
	if (sh->tok && st.info.tokenizer[0] &&
	    strcmp(st.info.tokenizer, ft_tok_sha256(sh->tok)) != 0)
		ft_die(FT_EXIT_DATA,
		       "%s: made with another tokenizer than that of --model",
		       s->name);
	while (stream_next(&st))
		for (size_t r = 0; r < st.b.nrow; r++, n++)
			if (n >= sh->row0 && n < sh->row1)
				add_row(sh, &st.b, r, n);
	if (sh->row0 >= n)
		ft_die(FT_EXIT_DATA, "%s: there are %jd rows; row %jd is not",
		       s->name, (intmax_t)n, (intmax_t)sh->row0);
	stream_close(&st);
}

void stream_document(struct show *sh, const struct source *s, int64_t n)
{
	struct ft_input *in;
	struct ft_doc d = {0};
	struct ft_err err;
	unsigned char len[8];
	size_t k;
	int rc = 0;

	if (ft_input_open(&in, s->path, &err) < 0)
		source_die(s, &err);
	for (int64_t i = 0; i <= n; i++) {
		rc = ft_doc_read(&d, in, &err);
		if (rc < 0)
			source_die(s, &err);
		if (rc == 0)
			ft_die(FT_EXIT_DATA, "%s: there are %jd documents",
			       s->name, (intmax_t)i);
	}
	/* Padded anew: the data was aligned in the stream, and is now in a
	   file. */
	for (k = d.hdr.n; k && d.hdr.s[k - 1] == ' '; k--)
		;
	ft_str_clear(&sh->buf);
	ft_str_add(&sh->buf, d.hdr.s, k);
	while ((8 + sh->buf.n) % 8)
		ft_str_addc(&sh->buf, ' ');
	for (int i = 0; i < 8; i++)
		len[i] = (unsigned char)((uint64_t)sh->buf.n >> (8 * i));
	if (ft_output_write(sh->out, len, 8, &err) < 0)
		ft_die_err(&err);
	show_flush(sh);
	if (d.ndata && ft_output_write(sh->out, d.data, d.ndata, &err) < 0)
		ft_die_err(&err);
	ft_doc_release(&d);
	ft_input_close(in);
}
