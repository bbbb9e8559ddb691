/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libcommon/base/hash.h"
#include "libcommon/base/philox.h"
#include "libcommon/io/tstream.h"
#include "tests/lib/test.h"

static char dir[] = "/tmp/ft-test-ts-XXXXXX";
static char path[128];

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct ft_stream_info pair_info(void)
{
	struct ft_stream_info i = {
		.kind = FT_ROW_PAIR, .vocab_size = 100, .max_length = 64};

	memcpy(i.tokenizer, SHA, 65);
	ft_str_adds(&i.provenance, "[{\"tool\":\"test\",\"q\":\"\\\"\"}]");
	return i;
}

/* n rows: prefix of i % 4 tokens, 1 + i % 3 branches of 1 + (i + s) % 5. */
static void make_rows(struct ft_tokens *b, size_t n)
{
	int32_t v[8];

	for (size_t i = 0; i < n; i++) {
		const int32_t *ids[4] = {v, v, v, v};
		size_t nseg = 2 + i % 3, len[4] = {i % 4};

		for (size_t s = 1; s < nseg; s++)
			len[s] = 1 + (i + s) % 5;
		for (int k = 0; k < 8; k++)
			v[k] = (int32_t)((i * 7 + (size_t)k) % 100);
		ft_tokens_add(b, (int64_t)(2 * i), nseg, ids, len, NULL);
	}
}

/* All of the stream at path; on error b and info are released. */
static int load(struct ft_tokens *b, struct ft_stream_info *info,
		struct ft_err *err)
{
	struct ft_stream_reader *r = NULL;
	struct ft_input *in = NULL;
	int rc;

	*b = (struct ft_tokens){0};
	*info = (struct ft_stream_info){0};
	ft_tokens_reserve(b, 0, 0, 0);
	rc = ft_input_open(&in, path, err);
	if (rc == 0)
		rc = ft_stream_open(&r, in, info, err);
	while (rc == 0 && (rc = ft_stream_append(r, b, err)) > 0)
		rc = 0;
	if (rc < 0) {
		ft_tokens_release(b);
		ft_stream_info_release(info);
	}
	ft_stream_close(r);
	ft_input_close(in);
	return rc;
}

/* Write b as a stream to path; returns the status of the end. */
static int write_stream(const struct ft_tokens *b, const char *ledger,
			struct ft_err *err)
{
	struct ft_stream_info info = pair_info();
	struct ft_stream_writer *w = NULL;
	struct ft_output *out = NULL;
	int rc;

	memset(err, 0, sizeof(*err));
	rc = ft_output_open(&out, path, false, err);
	if (rc == 0)
		rc = ft_stream_begin(&w, out, &info, err);
	for (size_t i = 0; rc == 0 && i < b->nrow; i++)
		rc = ft_stream_put(w, b, i, err);
	if (rc == 0)
		rc = ft_stream_end(w, ledger, err);
	else
		ft_stream_abandon(w);
	if (rc == 0)
		rc = ft_output_commit(out, err);
	else
		ft_output_abort(out);
	ft_stream_info_release(&info);
	return rc;
}

static bool same_columns(const struct ft_tokens *a, const struct ft_tokens *b)
{
	for (int c = 0; c < a->ncol; c++) {
		const float *v = ft_tokens_find(b, a->col[c].name);
		size_t n = a->col[c].per_token ? a->ntok : a->nseg;

		for (size_t i = 0; i < n; i++)
			if (!v ||
			    (isnan(a->col[c].v[i]) ? !isnan(v[i])
						   : a->col[c].v[i] != v[i]))
				return false;
	}
	return true;
}

static bool same_rows(const struct ft_tokens *a, const struct ft_tokens *b)
{
	return a->nrow == b->nrow && a->nseg == b->nseg && a->ntok == b->ntok &&
	       !memcmp(a->row, b->row, a->nrow * sizeof(*a->row)) &&
	       !memcmp(a->ids, b->ids, a->ntok * sizeof(*a->ids)) &&
	       !memcmp(a->mask, b->mask, a->ntok) &&
	       !memcmp(a->cu_seqlens, b->cu_seqlens, (a->nseg + 1) * 8) &&
	       !memcmp(a->cu_rows, b->cu_rows, (a->nrow + 1) * 8) &&
	       a->ncol == b->ncol && same_columns(a, b);
}

static void test_tokens(void)
{
	const int32_t p[] = {1, 2}, q[] = {3, 4, 5};
	const int32_t *ids[] = {p, q, q};
	const uint8_t ones[] = {1, 1, 1}, odd[] = {0, 1, 0};
	const uint8_t *mask[] = {ones, odd, ones};
	size_t len[] = {2, 3, 1}, bare[] = {0, 3, 2};
	struct ft_tokens b = {0}, c = {0};
	float *v;

	ft_tokens_add(&b, 5, 3, ids, len, NULL);
	CHECK(b.nrow == 1 && b.nseg == 3 && b.ntok == 6 && b.row[0] == 5,
	      "a row");
	CHECK(!memcmp(b.mask, "\0\0\1\1\1\1", 6), "mask of a row with prefix");
	ft_tokens_add(&b, 6, 3, ids, bare, NULL);
	CHECK(!memcmp(b.mask + 6, "\0\1\1\0\1", 5), "and of one without");
	ft_tokens_add(&b, 7, 3, ids, len, mask);
	CHECK(!memcmp(b.mask + 11, "\0\0\0\1\0\1", 6), "and as given");
	CHECK(b.cu_rows[3] == 9 && b.cu_seqlens[9] == 17 &&
		      b.cu_seqlens[4] == 6,
	      "boundaries");
	v = ft_tokens_column(&b, "rewards", false);
	CHECK(v && isnan(v[0]) && isnan(v[8]), "a column begins as NaN");
	v[1] = 2.5f;
	CHECK(!ft_tokens_column(&b, "rewards", true),
	      "it is not per token at once");
	ft_tokens_add(&b, 8, 3, ids, len, NULL);
	CHECK(ft_tokens_find(&b, "rewards")[1] == 2.5f &&
		      isnan(ft_tokens_find(&b, "rewards")[11]),
	      "and grows with NaN");
	ft_tokens_copy(&c, &b, 3);
	ft_tokens_copy(&c, &b, 0);
	CHECK(c.nrow == 2 && c.row[1] == 5 && c.ntok == 12 &&
		      ft_tokens_find(&c, "rewards")[4] == 2.5f &&
		      c.cu_seqlens[4] == 8,
	      "copies of rows");
	for (int i = 0; i < FT_MAX_COLUMNS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "c%d", i);
		v = ft_tokens_column(&c, name, true);
	}
	CHECK(!v, "no more than %d columns", FT_MAX_COLUMNS);
	CHECK(!ft_tokens_column(&b, "", true) &&
		      !ft_tokens_column(&b, "a-name-of-thirty-two-characters-",
					true),
	      "names that are none");
	ft_tokens_clear(&b);
	CHECK(b.nrow == 0 && b.ncol == 0 && !ft_tokens_find(&b, "rewards"),
	      "cleared");
	ft_tokens_column(&b, "early", true);
	ft_tokens_add(&b, 8, 3, ids, len, NULL);
	CHECK(isnan(ft_tokens_find(&b, "early")[5]), "a column before rows");
	ft_tokens_release(&b);
	ft_tokens_release(&c);
}

static void test_round_trip(size_t n, bool columns)
{
	struct ft_tokens b = {0}, c;
	struct ft_stream_info info;
	struct ft_err err;
	int64_t supervised = 0;

	ft_tokens_reserve(&b, 0, 0, 0);
	make_rows(&b, n);
	if (columns) {
		float *v = ft_tokens_column(&b, "ref_logps", false);
		float *u = ft_tokens_column(&b, "old_logps", true);

		for (size_t r = 0; r < b.nrow; r++)
			for (int64_t s = b.cu_rows[r] + 1; s < b.cu_rows[r + 1];
			     s++)
				v[s] = -(float)s;
		for (size_t t = 0; t < b.ntok; t++)
			u[t] = (float)t / 8;
	}
	for (size_t t = 0; t < b.ntok; t++)
		supervised += b.mask[t];
	CHECK(write_stream(&b, "{\"in\":3}", &err) == 0, "write %zu rows %s", n,
	      err.msg);
	CHECK(load(&c, &info, &err) == 0, "read %zu rows %s", n, err.msg);
	CHECK(same_rows(&b, &c), "the same rows");
	CHECK(info.kind == FT_ROW_PAIR && info.vocab_size == 100 &&
		      info.max_length == 64 && !strcmp(info.tokenizer, SHA) &&
		      !strcmp(info.provenance.s,
			      "[{\"tool\":\"test\",\"q\":\"\\\"\"}]"),
	      "what the first document says");
	CHECK(info.rows == (int64_t)n && info.tokens == (int64_t)b.ntok &&
		      info.supervised == supervised &&
		      !strcmp(info.ledger.s, "{\"in\":3}"),
	      "what the last document says");
	CHECK(info.documents ==
		      (n == 0 ? 0 : ((int64_t)b.ntok + 65535) / 65536),
	      "%jd documents", (intmax_t)info.documents);
	ft_tokens_release(&b);
	ft_tokens_release(&c);
	ft_stream_info_release(&info);
}

/* As many segments as tokens: the shape of a column says nothing. */
static void test_ambiguous(void)
{
	const int32_t v[] = {7};
	const int32_t *ids[] = {v, v};
	size_t len[] = {1, 1};
	struct ft_tokens b = {0}, c;
	struct ft_stream_info info;
	struct ft_err err;

	ft_tokens_add(&b, 0, 2, ids, len, NULL);
	ft_tokens_column(&b, "seg", false)[1] = 1;
	ft_tokens_column(&b, "tok", true)[0] = 2;
	ft_tokens_column(&b, "also", true)[1] = 3;
	CHECK(write_stream(&b, NULL, &err) == 0 && load(&c, &info, &err) == 0,
	      "segments = tokens %s", err.msg);
	CHECK(same_rows(&b, &c), "the columns stay what they were");
	for (int i = 0; i < c.ncol; i++)
		if (c.col[i].per_token != (c.col[i].name[0] != 's'))
			CHECK(0, "column %s", c.col[i].name);
	ft_tokens_release(&b);
	ft_tokens_release(&c);
	ft_stream_info_release(&info);
}

static char *slurp(size_t *n)
{
	struct ft_err err;
	char *p = ft_read_file(path, 1 << 30, n, &err);

	if (!p)
		exit(1);
	return p;
}

static int load_mem(const void *p, size_t n, struct ft_err *err)
{
	struct ft_stream_reader *r = NULL;
	struct ft_input *in = NULL;
	struct ft_stream_info info = {0};
	struct ft_tokens b = {0};
	int rc;

	memset(err, 0, sizeof(*err));
	if (ft_input_mem(&in, p, n, err) < 0)
		return -1;
	rc = ft_stream_open(&r, in, &info, err);
	if (rc == 0)
		while ((rc = ft_stream_next(r, &b, err)) > 0)
			;
	if (rc == 0)
		rc = ft_stream_next(r, &b, err);
	ft_stream_close(r);
	ft_stream_info_release(&info);
	ft_tokens_release(&b);
	ft_input_close(in);
	return rc;
}

static void test_damage(void)
{
	struct ft_tokens b = {0};
	struct ft_err err;
	size_t n, wrong = 0, accepted = 0;
	char *p, *q;

	make_rows(&b, 5);
	write_stream(&b, "{\"dropped\":0}", &err);
	p = slurp(&n);
	CHECK(load_mem(p, n, &err) == 0, "%zu bytes are a stream %s", n,
	      err.msg);
	for (size_t k = 0; k < n; k++)
		wrong += load_mem(p, k, &err) != -1 ||
			 err.code != FT_EXIT_DATA ||
			 !strstr(err.msg, "truncated: no end document");
	CHECK(wrong == 0, "cut at any byte it is truncated (%zu not)", wrong);
	for (size_t k = 0; k < n; k++)
		for (int bit = 0; bit < 8; bit++) {
			p[k] = (char)(p[k] ^ (1 << bit));
			accepted += load_mem(p, n, &err) == 0;
			wrong += err.msg[0] && err.code != FT_EXIT_DATA;
			p[k] = (char)(p[k] ^ (1 << bit));
		}
	/* Only a change to the ledger's text cannot be seen. */
	CHECK(accepted < 40 * 8 && wrong == 0,
	      "a changed bit is seen or harmless (%zu harmless)", accepted);
	q = calloc(1, 2 * n);
	memcpy(q, p, n);
	CHECK(load_mem(q, n + 1, &err) < 0 &&
		      strstr(err.msg, "after the end document"),
	      "a byte after it: %s", err.msg);
	memcpy(q + n, p, n);
	CHECK(load_mem(q, 2 * n, &err) < 0 && strstr(err.msg, "--join"),
	      "two by cat: %s", err.msg);
	free(p);
	free(q);
	ft_tokens_release(&b);
}

/*
 * Documents by hand, with a right digest and end, to see that what a document
 * holds is looked at.
 */
struct doc {
	struct ft_tensor t[14];
	size_t n;
	struct ft_meta meta[8];
	size_t nmeta;
};

static void add_doc(struct ft_str *s, struct doc *d)
{
	struct ft_err err;

	if (ft_st_header(d->t, d->n, d->meta, d->nmeta, s->n, 8, s, &err) < 0)
		CHECK(0, "header: %s", err.msg);
	for (size_t i = 0; i < d->n; i++)
		ft_str_add(s, d->t[i].data, d->t[i].nbytes);
}

static struct ft_tensor vec(const char *name, enum ft_dtype dtype, size_t n,
			    const void *data)
{
	return (struct ft_tensor){name, dtype, 1, {n}, 0, 0, 0, data};
}

static void first_doc(struct doc *d)
{
	*d = (struct doc){.meta = {{"ft.format", "1"},
				   {"ft.kind", "chat"},
				   {"ft.tokenizer", SHA},
				   {"ft.vocab_size", "10"},
				   {"ft.max_length", "0"},
				   {"ft.provenance", "[]"}},
			  .nmeta = 6};
}

static void add_end(struct ft_str *s, const char *documents, const char *rows)
{
	struct ft_xxh64 h;
	char digest[17];
	struct doc d = {.meta = {{"ft.end", "1"},
				 {"ft.documents", documents},
				 {"ft.rows", rows},
				 {"ft.tokens", "5"},
				 {"ft.supervised_tokens", "2"},
				 {"ft.ledger", "{}"},
				 {"ft.digest", digest}},
			.nmeta = 7};

	ft_xxh64_init(&h);
	ft_xxh64_add(&h, s->s, s->n);
	snprintf(digest, sizeof(digest), "%016jx", (uintmax_t)ft_xxh64_end(&h));
	add_doc(s, &d);
}

/* A few compressed bytes may unfold to any number: more than a document may
   have is refused before it is read. */
static void test_huge(void)
{
	static const char json[] =
		"{\"row\":{\"dtype\":\"I64\",\"shape\":[134217729],\"data_offsets\":[0,1073741832]}}";
	struct ft_str s = {0};
	struct ft_err err;
	struct doc f;

	first_doc(&f);
	add_doc(&s, &f);
	ft_str_addc(&s, (char)(sizeof(json) - 1));
	ft_str_add(&s, "\0\0\0\0\0\0", 7);
	ft_str_adds(&s, json);
	CHECK(load_mem(s.s, s.n, &err) < 0 && err.code == FT_EXIT_DATA &&
		      strstr(err.msg, "1073741832 bytes"),
	      "a document too large: %s", err.msg);
	ft_str_release(&s);
}

struct parts {
	int64_t row[2];
	int32_t ids[5], cu[5], cur[3];
	uint8_t mask[5];
	float col[5];
};

/* Two rows: prefix of 2 and branch of 1; no prefix and branch of 2. */
static const struct parts fine = {
	{0, 1},    {1, 2, 3, 4, 9}, {0, 2, 3, 3, 5},
	{0, 2, 4}, {0, 0, 1, 0, 1}, {NAN, 1, NAN, 2, 3},
};

static void rows_doc(struct doc *d, const struct parts *p)
{
	*d = (struct doc){.t = {vec("row", FT_I64, 2, p->row),
				vec("input_ids", FT_I32, 5, p->ids),
				vec("cu_seqlens", FT_I32, 5, p->cu),
				vec("cu_rows", FT_I32, 3, p->cur),
				vec("loss_mask", FT_U8, 5, p->mask)},
			  .n = 5};
}

static void stream_of(struct doc *first, struct doc *rows, const char *word,
		      const char *what)
{
	struct ft_str s = {0};
	struct ft_err err;
	int rc;

	add_doc(&s, first);
	add_doc(&s, rows);
	add_end(&s, "1", "2");
	rc = load_mem(s.s, s.n, &err);
	if (word)
		CHECK(rc < 0 && err.code == FT_EXIT_DATA &&
			      strstr(err.msg, word),
		      "%s: %s", what, err.msg);
	else
		CHECK(rc == 0, "%s %s", what, err.msg);
	ft_str_release(&s);
}

static void check_parts(const struct parts *p, const char *word,
			const char *what)
{
	struct doc f, d;

	first_doc(&f);
	rows_doc(&d, p);
	stream_of(&f, &d, word, what);
}

#define BREAK(change, word, what)            \
	do {                                 \
		struct parts p = fine;       \
		change;                      \
		check_parts(&p, word, what); \
	} while (0)

static void test_contents(void)
{
	check_parts(&fine, NULL, "a stream by hand");
	BREAK(p.row[1] = -1, "negative", "a negative row");
	BREAK(p.ids[0] = -1, "token id -1", "a negative id");
	BREAK(p.ids[4] = 10, "token id 10", "an id that is too large");
	BREAK(p.cu[0] = 1, "cu_seqlens does not begin", "cu_seqlens from 1");
	BREAK(p.cu[1] = 4, "cu_seqlens goes down", "cu_seqlens that falls");
	BREAK(p.cu[1] = -4, "cu_seqlens goes down", "cu_seqlens below 0");
	BREAK(p.cu[4] = 4, "cu_seqlens does not end", "cu_seqlens ends early");
	BREAK(p.cu[4] = 6, "cu_seqlens does not end", "cu_seqlens ends late");
	BREAK(p.cu[4] = INT32_MAX, "cu_seqlens does not end", "or very late");
	BREAK(p.cur[0] = 1, "cu_rows does not begin", "cu_rows from 1");
	BREAK(p.cur[1] = 5, "cu_rows goes down", "cu_rows that falls");
	BREAK(p.cur[2] = 5, "cu_rows does not end", "cu_rows ends late");
	BREAK(p.cur[1] = 1, "no branch", "a row of a prefix alone");
	BREAK(p.cur[1] = 0, "no branch", "a row of nothing");
	BREAK(p.cur[1] = 4, "no branch", "a last row of nothing");
	BREAK(p.mask[1] = 1, "prefix", "a mask in the prefix");
	BREAK(p.mask[3] = 1, "first token", "a mask on what nothing precedes");
	BREAK(p.mask[2] = 2, "other than 0 and 1", "a mask of 2");
	BREAK(p.mask[2] = 0, "counts", "a mask that the end does not count");
}

static void test_tensors(void)
{
	struct doc f, d;

	first_doc(&f);
	for (size_t i = 0; i < 5; i++) {
		rows_doc(&d, &fine);
		d.t[i] = d.t[--d.n];
		stream_of(&f, &d, "missing", "a tensor is missing");
		rows_doc(&d, &fine);
		d.t[i].dtype = d.t[i].dtype == FT_U8 ? FT_I8 : FT_U32;
		stream_of(&f, &d, " is not ", "a tensor of another dtype");
		rows_doc(&d, &fine);
		d.t[i].shape[0]--;
		stream_of(&f, &d, "", "a tensor too short");
		rows_doc(&d, &fine);
		d.t[i].ndim = 2;
		d.t[i].shape[1] = 1;
		stream_of(&f, &d, " is not ", "a tensor of two dimensions");
	}
	rows_doc(&d, &fine);
	d.t[d.n++] = vec("rewards", FT_F32, 4, fine.col);
	stream_of(&f, &d, NULL, "a column by segment");
	d.t[5].data = fine.col + 1;
	stream_of(&f, &d, "number for a prefix", "a number for a prefix");
	d.t[5] = vec("rewards", FT_F32, 5, fine.col);
	stream_of(&f, &d, NULL, "a column by token");
	d.t[5].shape[0] = 3;
	stream_of(&f, &d, "'rewards'", "a column by nothing");
	d.t[5] = vec("rewards", FT_I32, 4, fine.cu);
	stream_of(&f, &d, "'rewards'", "a column of integers");
	d.t[5] = vec("image_at", FT_I32, 4, fine.cu);
	stream_of(&f, &d, "'image_at' is not supported", "images");
	d.t[5] = vec("image_features", FT_F32, 4, fine.col);
	stream_of(&f, &d, "'image_features' is not supported", "images");
	d.t[5] = vec("a name of more than thirty-one bytes", FT_F32, 4,
		     fine.col);
	stream_of(&f, &d, "column name", "a long name");
	rows_doc(&d, &fine);
	for (size_t i = 0; i < 9; i++) {
		static char names[9][24];

		snprintf(names[i], sizeof(names[i]), "c%zu", i);
		d.t[d.n++] = vec(names[i], FT_F32, 4, fine.col);
	}
	stream_of(&f, &d, "one too many", "nine columns");
	d = (struct doc){0};
	stream_of(&f, &d, "without rows", "an empty document");
}

static void first_is(size_t i, const char *value, const char *word,
		     const char *what)
{
	struct doc f, d;

	first_doc(&f);
	rows_doc(&d, &fine);
	if (value)
		f.meta[i].value = value;
	else
		f.meta[i] = f.meta[--f.nmeta];
	stream_of(&f, &d, word, what);
}

static void test_first(void)
{
	struct doc f, d;

	first_is(0, NULL, "not a token stream", "no format");
	first_is(0, "2", "newer", "format 2");
	first_is(1, NULL, "ft.kind", "no kind");
	first_is(1, "song", "ft.kind", "an unknown kind");
	first_is(2, NULL, "ft.tokenizer", "no tokenizer");
	first_is(2, "", NULL, "a tokenizer without a name");
	first_is(2, "xyz", "SHA-256", "a tokenizer by another name");
	first_is(2, SHA "0", "too long", "a longer name");
	first_is(3, NULL, "ft.vocab_size", "no vocabulary");
	first_is(3, "0", "out of range", "an empty vocabulary");
	first_is(3, "-1", "no number", "a negative vocabulary");
	first_is(3, "9999999999", "out of range", "a large vocabulary");
	first_is(3, "99999999999999999999", "no number", "a larger one");
	first_is(3, "9", "token id 9", "a vocabulary that is too small");
	first_is(4, NULL, "ft.max_length", "no length");
	first_is(4, "", "no number", "an empty length");
	first_is(5, NULL, "ft.provenance", "no provenance");
	first_is(5, "{}", "not a JSON array", "provenance that is no array");
	first_is(5, "[", "not a JSON array", "torn provenance");
	first_doc(&f);
	f.t[f.n++] = vec("x", FT_U8, 1, fine.mask);
	rows_doc(&d, &fine);
	stream_of(&f, &d, "not a token stream", "a tensor file");
	first_doc(&d);
	first_doc(&f);
	stream_of(&f, &d, "--join", "a stream after one without its end");
}

static void test_end(void)
{
	static const char *const counts[][3] = {{"1", "2", NULL},
						{"2", "2", "counts"},
						{"1", "3", "counts"},
						{"1", "", "no number"},
						{"1", "x", "no number"}};
	struct doc f, d;
	struct ft_err err;

	for (size_t i = 0; i < 5; i++) {
		struct ft_str s = {0};
		int rc;

		first_doc(&f);
		rows_doc(&d, &fine);
		add_doc(&s, &f);
		add_doc(&s, &d);
		add_end(&s, counts[i][0], counts[i][1]);
		rc = load_mem(s.s, s.n, &err);
		CHECK(counts[i][2] ? rc < 0 && strstr(err.msg, counts[i][2])
				   : rc == 0,
		      "%s documents, %s rows: %s", counts[i][0], counts[i][1],
		      err.msg);
		ft_str_release(&s);
	}
}

static void test_writer(void)
{
	const int32_t v[] = {1, 100};
	const int32_t *ids[] = {v, v};
	size_t len[] = {1, 2};
	struct ft_tokens b = {0};
	struct ft_err err;

	ft_tokens_add(&b, 0, 2, ids, len, NULL);
	CHECK(write_stream(&b, NULL, &err) < 0 && strstr(err.msg, "id 100"),
	      "a wrong id is not written: %s", err.msg);
	ft_tokens_clear(&b);
	ft_tokens_add(&b, 3, 1, ids, len, NULL);
	CHECK(write_stream(&b, NULL, &err) < 0 && strstr(err.msg, "no branch"),
	      "nor a row without a branch: %s", err.msg);
	ft_tokens_clear(&b);
	CHECK(write_stream(&b, "[]", &err) < 0 && strstr(err.msg, "ft.ledger"),
	      "nor a ledger that is no object: %s", err.msg);
	CHECK(access(path, F_OK) < 0, "and no file appears");
	ft_tokens_release(&b);
}

/* Every data section is at a multiple of 8, wider dtypes come first. */
static void test_layout(void)
{
	struct ft_input *in;
	struct ft_doc d = {0};
	struct ft_err err;
	int n = 0, rc, wrong = 0;

	if (ft_input_open(&in, path, &err) < 0)
		return;
	for (; (rc = ft_doc_read(&d, in, &err)) > 0; n++) {
		wrong += (d.pos + 8 + d.hdr.n) % 8 != 0;
		for (size_t i = 0; i < d.st.n; i++)
			wrong += d.st.t[i].offset %
					 ft_dtype_size(d.st.t[i].dtype) !=
				 0;
	}
	CHECK(rc == 0 && n > 3 && wrong == 0, "%d documents are aligned", n);
	ft_doc_release(&d);
	ft_input_close(in);
}

static void test_speed(void)
{
	struct ft_tokens b = {0}, c;
	struct ft_stream_info info;
	struct ft_err err;
	struct timespec t[3];
	double s[2];

	for (int i = 0; i < 200; i++)
		make_rows(&b, 1000);
	clock_gettime(CLOCK_MONOTONIC, &t[0]);
	write_stream(&b, NULL, &err);
	clock_gettime(CLOCK_MONOTONIC, &t[1]);
	CHECK(load(&c, &info, &err) == 0, "a larger stream");
	clock_gettime(CLOCK_MONOTONIC, &t[2]);
	for (int i = 0; i < 2; i++)
		s[i] = (double)(t[i + 1].tv_sec - t[i].tv_sec) +
		       (double)(t[i + 1].tv_nsec - t[i].tv_nsec) * 1e-9;
	printf("# %zu tokens, %zu rows: written in %.1f ms, read in %.1f ms\n",
	       b.ntok, b.nrow, s[0] * 1e3, s[1] * 1e3);
	CHECK(same_rows(&b, &c), "its rows");
	ft_tokens_release(&b);
	ft_tokens_release(&c);
	ft_stream_info_release(&info);
}

int main(void)
{
	char cmd[64];

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/s", dir);
	test_tokens();
	test_writer();
	test_round_trip(0, false);
	test_round_trip(1, false);
	test_round_trip(7, true);
	test_round_trip(100, false);
	test_round_trip(30000, true);
	test_layout();
	test_ambiguous();
	test_damage();
	test_huge();
	test_contents();
	test_tensors();
	test_first();
	test_end();
	test_speed();
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	CHECK(system(cmd) == 0, "clean up");
	return test_done();
}
