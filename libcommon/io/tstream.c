/* SPDX-License-Identifier: MIT */
#include "libcommon/io/tstream.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/hash.h"
#include "libcommon/base/mem.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "streams are read and written as they lie in memory");

enum {
	DOC_TOKENS = 65536, /* a document goes out before it gets longer */
	DOC_ROWS = 65536,   /* or has more rows */
};

#define NO_END "truncated: no end document"
#define TWICE \
	"a second stream begins here; streams are joined by ft-tokenize FILE... or ft-show --join, not by cat"

const char *const ft_stream_kinds[] = {"pair",   "completion", "chat", "text",
				       "prompt", "rollout",    NULL};

void ft_stream_info_release(struct ft_stream_info *i)
{
	ft_str_release(&i->provenance);
	ft_str_release(&i->ledger);
	*i = (struct ft_stream_info){0};
}

/* Checks that are the same for what is read and what is written. */

static int check_json(const char *s, size_t n, enum ft_json_type type,
		      const char *what, struct ft_err *err)
{
	struct ft_arena a = {0};
	struct ft_json *j;
	int rc = 0;

	if (ft_json_parse(&a, s, n, &j, err) < 0 || j->type != type)
		rc = ft_err_set(err, FT_EXIT_DATA, "%s is not a JSON %s", what,
				type == FT_JSON_ARRAY ? "array" : "object");
	ft_arena_release(&a);
	return rc;
}

static bool is_digest(const char *s)
{
	size_t n = strspn(s, "0123456789abcdef");

	return s[n] == 0 && (n == 0 || n == 64);
}

static int check_info(const struct ft_stream_info *i, struct ft_err *err)
{
	if (i->kind < 0 || i->kind > FT_STREAM_ROLLOUT)
		return ft_err_set(err, FT_EXIT_DATA, "stream of no known kind");
	if (i->vocab_size < 1 || i->vocab_size > INT32_MAX)
		return ft_err_set(err, FT_EXIT_DATA,
				  "ft.vocab_size is out of range");
	if (i->max_length < 0)
		return ft_err_set(err, FT_EXIT_DATA,
				  "ft.max_length is negative");
	if (!is_digest(i->tokenizer))
		return ft_err_set(err, FT_EXIT_DATA,
				  "ft.tokenizer is not a SHA-256");
	if (!is_digest(i->reference))
		return ft_err_set(err, FT_EXIT_DATA,
				  "ft.reference is not a SHA-256");
	return check_json(i->provenance.s, i->provenance.n, FT_JSON_ARRAY,
			  "ft.provenance", err);
}

static int check_cu(const int64_t *cu, size_t n, int64_t first, int64_t last,
		    const char *name, struct ft_err *err)
{
	if (cu[0] != first)
		return ft_err_set(err, FT_EXIT_DATA, "%s does not begin at 0",
				  name);
	for (size_t i = 0; i < n; i++)
		if (cu[i + 1] < cu[i])
			return ft_err_set(err, FT_EXIT_DATA,
					  "%s goes down at %zu", name, i + 1);
	if (cu[n] != last)
		return ft_err_set(err, FT_EXIT_DATA, "%s does not end at %jd",
				  name, (intmax_t)(last - first));
	return 0;
}

/* One row whose indices are known to be in order. */
static int check_row(const struct ft_tokens *b, size_t r, struct ft_err *err)
{
	size_t s0 = (size_t)b->cu_rows[r], s1 = (size_t)b->cu_rows[r + 1];
	int64_t p0, p1;
	unsigned bad = 0;

	if (b->row[r] < 0)
		return ft_err_set(err, FT_EXIT_DATA, "negative source line");
	if (s1 - s0 < 2)
		return ft_err_set(err, FT_EXIT_DATA,
				  "row of source line %jd has no branch",
				  (intmax_t)b->row[r]);
	p0 = b->cu_seqlens[s0];
	p1 = b->cu_seqlens[s0 + 1];
	for (int64_t t = p0; t < p1; t++)
		bad |= b->mask[t];
	if (p0 == p1)
		for (size_t s = s0 + 1; s < s1; s++)
			if (b->cu_seqlens[s] < b->cu_seqlens[s + 1])
				bad |= b->mask[b->cu_seqlens[s]];
	if (bad)
		return ft_err_set(err, FT_EXIT_DATA,
				  "row of source line %jd trains on its %s",
				  (intmax_t)b->row[r],
				  p0 == p1 ? "first token" : "prefix");
	for (int c = 0; c < b->ncol; c++)
		if (!b->col[c].per_token && !isnan(b->col[c].v[s0]))
			return ft_err_set(
				err, FT_EXIT_DATA,
				"column '%s' has a number for a prefix",
				b->col[c].name);
	return 0;
}

/*
 * Rows from r0 (whose segments begin at s0, tokens at t0) to the end of b.
 * Returns the number of supervised tokens, or -1.
 */
static int64_t check_rows(const struct ft_tokens *b, size_t r0, size_t s0,
			  size_t t0, int64_t vocab, struct ft_err *err)
{
	int64_t supervised = 0;
	uint32_t top = 0;
	unsigned odd = 0;

	if (check_cu(b->cu_rows + r0, b->nrow - r0, (int64_t)s0,
		     (int64_t)b->nseg, "cu_rows", err) < 0 ||
	    check_cu(b->cu_seqlens + s0, b->nseg - s0, (int64_t)t0,
		     (int64_t)b->ntok, "cu_seqlens", err) < 0)
		return -1;
	for (size_t t = t0; t < b->ntok; t++) {
		uint32_t id = (uint32_t)b->ids[t];

		top = id > top ? id : top;
	}
	if (b->ntok > t0 && top >= vocab)
		return ft_err_set(err, FT_EXIT_DATA,
				  "token id %" PRId32 " is not in [0, %jd)",
				  (int32_t)top, (intmax_t)vocab);
	for (size_t t = t0; t < b->ntok; t++) {
		odd |= b->mask[t];
		supervised += b->mask[t];
	}
	if (odd > 1)
		return ft_err_set(err, FT_EXIT_DATA,
				  "loss_mask holds other than 0 and 1");
	for (size_t r = r0; r < b->nrow; r++)
		if (check_row(b, r, err) < 0)
			return -1;
	return supervised;
}

/* Writing. */

struct ft_stream_writer {
	struct ft_output *out; /* borrowed */
	struct ft_tokens buf;
	struct ft_xxh64 hash;
	struct ft_str hdr;
	uint64_t pos;
	int64_t vocab, documents, rows, tokens, supervised;
};

static int emit(struct ft_stream_writer *w, const void *p, size_t n,
		struct ft_err *err)
{
	if (n == 0)
		return 0;
	ft_xxh64_add(&w->hash, p, n);
	w->pos += n;
	return ft_output_write(w->out, p, n, err);
}

static int emit_doc(struct ft_stream_writer *w, struct ft_tensor *t, size_t n,
		    const struct ft_meta *meta, size_t nmeta,
		    struct ft_err *err)
{
	ft_str_clear(&w->hdr);
	if (ft_st_header(t, n, meta, nmeta, w->pos, 8, &w->hdr, err) < 0)
		return -1;
	if (w->hdr.n - 8 > FT_DOC_MAXHEADER)
		return ft_err_set(err, FT_EXIT_DATA,
				  "more than %d bytes in a document's header",
				  FT_DOC_MAXHEADER);
	if (n && t[n - 1].offset + t[n - 1].nbytes > FT_DOC_MAXDATA)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"more than %d bytes in a document: one row is too long",
			FT_DOC_MAXDATA);
	if (emit(w, w->hdr.s, w->hdr.n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (emit(w, t[i].data, t[i].nbytes, err) < 0)
			return -1;
	return 0;
}

int ft_stream_begin(struct ft_stream_writer **pw, struct ft_output *out,
		    const struct ft_stream_info *info, struct ft_err *err)
{
	struct ft_stream_info i = *info;
	struct ft_stream_writer *w;
	struct ft_str empty = {0};
	char vocab[24], length[24];
	struct ft_meta meta[7];
	size_t n = 0;
	int rc;

	*pw = NULL;
	ft_str_adds(&empty, "[]");
	if (i.provenance.n == 0)
		i.provenance = empty;
	rc = check_info(&i, err);
	if (rc < 0)
		goto out;
	snprintf(vocab, sizeof(vocab), "%jd", (intmax_t)i.vocab_size);
	snprintf(length, sizeof(length), "%jd", (intmax_t)i.max_length);
	meta[n++] = (struct ft_meta){"ft.format", "1"};
	meta[n++] = (struct ft_meta){"ft.kind", ft_stream_kinds[i.kind]};
	meta[n++] = (struct ft_meta){"ft.tokenizer", i.tokenizer};
	meta[n++] = (struct ft_meta){"ft.vocab_size", vocab};
	meta[n++] = (struct ft_meta){"ft.max_length", length};
	if (i.reference[0])
		meta[n++] = (struct ft_meta){"ft.reference", i.reference};
	meta[n++] = (struct ft_meta){"ft.provenance", i.provenance.s};
	w = ft_xcalloc(1, sizeof(*w));
	w->out = out;
	w->vocab = i.vocab_size;
	ft_xxh64_init(&w->hash);
	rc = emit_doc(w, NULL, 0, meta, n, err);
	if (rc == 0)
		*pw = w;
	else
		ft_stream_abandon(w);
out:
	ft_str_release(&empty);
	return rc;
}

void ft_stream_abandon(struct ft_stream_writer *w)
{
	if (!w)
		return;
	ft_tokens_release(&w->buf);
	ft_str_release(&w->hdr);
	free(w);
}

static int32_t *narrow(const int64_t *v, size_t n)
{
	int32_t *p = ft_xcalloc(n, sizeof(*p));

	for (size_t i = 0; i < n; i++)
		p[i] = (int32_t)v[i];
	return p;
}

static struct ft_tensor vec(const char *name, enum ft_dtype dtype, size_t n,
			    const void *data)
{
	return (struct ft_tensor){.name = name,
				  .dtype = dtype,
				  .ndim = 1,
				  .shape = {n},
				  .data = data};
}

/* Where segments and tokens are equally many, the shape of a column does not
   say of which it is. */
static size_t name_columns(const struct ft_tokens *b, struct ft_str *names)
{
	if (b->nseg == b->ntok)
		for (int c = 0; c < b->ncol; c++)
			if (b->col[c].per_token)
				ft_str_addf(names, "%s%s", names->n ? " " : "",
					    b->col[c].name);
	return names->n ? 1 : 0;
}

/* Write the buffered rows as a document. */
static int flush(struct ft_stream_writer *w, struct ft_err *err)
{
	struct ft_tokens *b = &w->buf;
	struct ft_tensor t[5 + FT_MAX_COLUMNS];
	int32_t *cu_seqlens = NULL, *cu_rows = NULL;
	struct ft_str names = {0};
	struct ft_meta meta;
	int64_t supervised;
	size_t n = 0, nmeta;
	int rc = -1;

	if (b->nrow == 0)
		return 0;
	if (b->ntok > INT32_MAX || b->nseg > INT32_MAX)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"row of %zu tokens in %zu segments is too long",
			b->ntok, b->nseg);
	for (int c = 0; c < b->ncol; c++)
		for (size_t r = 0; !b->col[c].per_token && r < b->nrow; r++)
			b->col[c].v[b->cu_rows[r]] = NAN;
	supervised = check_rows(b, 0, 0, 0, w->vocab, err);
	if (supervised < 0)
		return -1;
	cu_seqlens = narrow(b->cu_seqlens, b->nseg + 1);
	cu_rows = narrow(b->cu_rows, b->nrow + 1);
	t[n++] = vec("row", FT_I64, b->nrow, b->row);
	t[n++] = vec("input_ids", FT_I32, b->ntok, b->ids);
	t[n++] = vec("cu_seqlens", FT_I32, b->nseg + 1, cu_seqlens);
	t[n++] = vec("cu_rows", FT_I32, b->nrow + 1, cu_rows);
	for (int c = 0; c < b->ncol; c++)
		t[n++] = vec(b->col[c].name, FT_F32,
			     b->col[c].per_token ? b->ntok : b->nseg,
			     b->col[c].v);
	t[n++] = vec("loss_mask", FT_U8, b->ntok, b->mask);
	nmeta = name_columns(b, &names);
	meta = (struct ft_meta){"ft.per_token", names.s};
	if (emit_doc(w, t, n, &meta, nmeta, err) < 0)
		goto out;
	w->documents++;
	w->rows += (int64_t)b->nrow;
	w->tokens += (int64_t)b->ntok;
	w->supervised += supervised;
	ft_tokens_clear(b);
	rc = 0;
out:
	ft_str_release(&names);
	free(cu_seqlens);
	free(cu_rows);
	return rc;
}

int ft_stream_put(struct ft_stream_writer *w, const struct ft_tokens *src,
		  size_t i, struct ft_err *err)
{
	size_t n = (size_t)(src->cu_seqlens[src->cu_rows[i + 1]] -
			    src->cu_seqlens[src->cu_rows[i]]);

	if ((w->buf.ntok + n > DOC_TOKENS || w->buf.nrow >= DOC_ROWS) &&
	    flush(w, err) < 0)
		return -1;
	if (ft_tokens_copy(&w->buf, src, i) < 0)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"columns of source line %jd do not fit those before it",
			(intmax_t)src->row[i]);
	return 0;
}

int ft_stream_end(struct ft_stream_writer *w, const char *ledger,
		  struct ft_err *err)
{
	char num[4][24], digest[17];
	struct ft_meta meta[7];
	int rc = -1;

	if (!ledger)
		ledger = "{}";
	if (flush(w, err) < 0 ||
	    check_json(ledger, strlen(ledger), FT_JSON_OBJECT, "ft.ledger",
		       err) < 0)
		goto out;
	snprintf(digest, sizeof(digest), "%016" PRIx64, ft_xxh64_end(&w->hash));
	snprintf(num[0], sizeof(num[0]), "%jd", (intmax_t)w->documents);
	snprintf(num[1], sizeof(num[1]), "%jd", (intmax_t)w->rows);
	snprintf(num[2], sizeof(num[2]), "%jd", (intmax_t)w->tokens);
	snprintf(num[3], sizeof(num[3]), "%jd", (intmax_t)w->supervised);
	meta[0] = (struct ft_meta){"ft.end", "1"};
	meta[1] = (struct ft_meta){"ft.documents", num[0]};
	meta[2] = (struct ft_meta){"ft.rows", num[1]};
	meta[3] = (struct ft_meta){"ft.tokens", num[2]};
	meta[4] = (struct ft_meta){"ft.supervised_tokens", num[3]};
	meta[5] = (struct ft_meta){"ft.ledger", ledger};
	meta[6] = (struct ft_meta){"ft.digest", digest};
	rc = emit_doc(w, NULL, 0, meta, 7, err);
out:
	ft_stream_abandon(w);
	return rc;
}

/* Reading. */

struct ft_stream_reader {
	struct ft_input *in;         /* borrowed */
	struct ft_stream_info *info; /* borrowed */
	struct ft_doc doc;
	struct ft_xxh64 hash;
	int64_t documents, rows, tokens, supervised;
	bool ended;
};

static int meta_text(const struct ft_st *st, const char *key, char *dst,
		     size_t size, struct ft_err *err)
{
	const char *s = ft_st_meta(st, key);

	if (!s)
		return ft_err_set(err, FT_EXIT_DATA, "%s is missing", key);
	if (strlen(s) >= size)
		return ft_err_set(err, FT_EXIT_DATA, "%s is too long", key);
	memcpy(dst, s, strlen(s) + 1);
	return 0;
}

static int meta_int(const struct ft_st *st, const char *key, int64_t *v,
		    struct ft_err *err)
{
	const char *s = ft_st_meta(st, key);
	int64_t x = 0;

	if (!s)
		return ft_err_set(err, FT_EXIT_DATA, "%s is missing", key);
	if (!s[0] || strspn(s, "0123456789") != strlen(s) || strlen(s) > 18)
		return ft_err_set(err, FT_EXIT_DATA, "%s is no number", key);
	for (; *s; s++)
		x = x * 10 + (*s - '0');
	*v = x;
	return 0;
}

static int meta_str(const struct ft_st *st, const char *key, struct ft_str *dst,
		    struct ft_err *err)
{
	const char *s = ft_st_meta(st, key);

	if (!s)
		return ft_err_set(err, FT_EXIT_DATA, "%s is missing", key);
	ft_str_clear(dst);
	ft_str_adds(dst, s);
	return 0;
}

static int read_info(const struct ft_st *st, struct ft_stream_info *i,
		     struct ft_err *err)
{
	const char *format = ft_st_meta(st, "ft.format");
	const char *kind = ft_st_meta(st, "ft.kind");

	if (strcmp(format, "1") != 0)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"stream format '%.20s' is newer than this program",
			format);
	for (i->kind = 0; ft_stream_kinds[i->kind]; i->kind++)
		if (kind && strcmp(kind, ft_stream_kinds[i->kind]) == 0)
			break;
	if (!ft_stream_kinds[i->kind])
		return ft_err_set(err, FT_EXIT_DATA, "ft.kind is '%.20s'",
				  kind ? kind : "");
	if (meta_text(st, "ft.tokenizer", i->tokenizer, sizeof(i->tokenizer),
		      err) < 0 ||
	    meta_int(st, "ft.vocab_size", &i->vocab_size, err) < 0 ||
	    meta_int(st, "ft.max_length", &i->max_length, err) < 0 ||
	    meta_str(st, "ft.provenance", &i->provenance, err) < 0)
		return -1;
	if (ft_st_meta(st, "ft.reference") &&
	    meta_text(st, "ft.reference", i->reference, sizeof(i->reference),
		      err) < 0)
		return -1;
	return check_info(i, err);
}

static void hash_doc(struct ft_stream_reader *r)
{
	unsigned char b[8];

	for (int i = 0; i < 8; i++)
		b[i] = (unsigned char)((uint64_t)r->doc.hdr.n >> (8 * i));
	ft_xxh64_add(&r->hash, b, sizeof(b));
	ft_xxh64_add(&r->hash, r->doc.hdr.s, r->doc.hdr.n);
	if (r->doc.ndata)
		ft_xxh64_add(&r->hash, r->doc.data, r->doc.ndata);
}

int ft_stream_open(struct ft_stream_reader **pr, struct ft_input *in,
		   struct ft_stream_info *info, struct ft_err *err)
{
	struct ft_stream_reader *r = ft_xcalloc(1, sizeof(*r));
	int rc;

	*info = (struct ft_stream_info){0};
	*pr = NULL;
	r->in = in;
	r->info = info;
	ft_xxh64_init(&r->hash);
	rc = ft_doc_read(&r->doc, in, err);
	if (rc == 0)
		rc = ft_err_set(err, FT_EXIT_DATA, NO_END ", it is empty");
	else if (rc > 0)
		rc = read_info(&r->doc.st, info, err);
	if (rc < 0) {
		ft_err_at(err, ft_input_name(in), 0);
		ft_stream_info_release(info);
		ft_stream_close(r);
		return -1;
	}
	hash_doc(r);
	*pr = r;
	return 0;
}

void ft_stream_close(struct ft_stream_reader *r)
{
	if (!r)
		return;
	ft_doc_release(&r->doc);
	free(r);
}

uint64_t ft_stream_where(const struct ft_stream_reader *r, const char *name)
{
	const struct ft_tensor *t = ft_st_find(&r->doc.st, name);

	return r->doc.end - r->doc.ndata + (t ? t->offset : 0);
}

/* Bytes after the end document are an error; a second stream is named. */
static int check_after(struct ft_stream_reader *r, struct ft_err *err)
{
	char buf[4096];
	size_t n = 0;
	ssize_t k;

	do {
		k = ft_input_read(r->in, buf + n, sizeof(buf) - n, err);
		if (k < 0)
			return -1;
		n += (size_t)k;
	} while (k > 0 && n < sizeof(buf));
	if (n == 0)
		return 0;
	return ft_err_set(err, FT_EXIT_DATA,
			  memmem(buf, n, "\"ft.format\"", 11)
				  ? TWICE
				  : "bytes after the end document");
}

static int read_end(struct ft_stream_reader *r, struct ft_err *err)
{
	const struct ft_st *st = &r->doc.st;
	struct ft_stream_info *i = r->info;
	char digest[17];

	if (meta_int(st, "ft.documents", &i->documents, err) < 0 ||
	    meta_int(st, "ft.rows", &i->rows, err) < 0 ||
	    meta_int(st, "ft.tokens", &i->tokens, err) < 0 ||
	    meta_int(st, "ft.supervised_tokens", &i->supervised, err) < 0 ||
	    meta_str(st, "ft.ledger", &i->ledger, err) < 0 ||
	    meta_text(st, "ft.digest", i->digest, sizeof(i->digest), err) < 0 ||
	    check_json(i->ledger.s, i->ledger.n, FT_JSON_OBJECT, "ft.ledger",
		       err) < 0)
		return -1;
	snprintf(digest, sizeof(digest), "%016" PRIx64, ft_xxh64_end(&r->hash));
	if (strcmp(digest, i->digest) != 0)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"damaged: digest %s, the end document says '%s'",
			digest, i->digest);
	if (i->documents != r->documents || i->rows != r->rows ||
	    i->tokens != r->tokens || i->supervised != r->supervised)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"counts differ from those in the end document");
	r->ended = true;
	return check_after(r, err);
}

/* A tensor that every document has: [n] of dtype, n given unless it is 0. */
static const struct ft_tensor *need(const struct ft_st *st, const char *name,
				    enum ft_dtype dtype, struct ft_err *err)
{
	const struct ft_tensor *t = ft_st_find(st, name);

	if (!t)
		ft_err_set(err, FT_EXIT_DATA, "tensor '%s' is missing", name);
	else if (t->dtype != dtype || t->ndim != 1)
		ft_err_set(err, FT_EXIT_DATA, "tensor '%s' is not %s [n]", name,
			   ft_dtype_name(dtype));
	else if (t->numel > INT32_MAX)
		ft_err_set(err, FT_EXIT_DATA, "tensor '%s' is too long", name);
	else
		return t;
	return NULL;
}

static bool is_standard(const char *name)
{
	static const char *const names[] = {"row", "input_ids", "cu_seqlens",
					    "cu_rows", "loss_mask"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static bool has_word(const char *words, const char *w)
{
	size_t n = strlen(w);

	for (const char *p = words; p && *p;
	     p += strcspn(p, " "), p += *p == ' ')
		if (strcspn(p, " ") == n && memcmp(p, w, n) == 0)
			return true;
	return false;
}

/* Find or make the column for a tensor beside the standard ones. */
static int add_column(const struct ft_st *st, const struct ft_tensor *t,
		      struct ft_tokens *b, uint64_t nseg, uint64_t ntok,
		      struct ft_err *err)
{
	bool per_token = t->numel == ntok;

	if (strcmp(t->name, "image_features") == 0 ||
	    strcmp(t->name, "image_at") == 0)
		return ft_err_set(err, FT_EXIT_DATA,
				  "tensor '%s' is not supported by this build",
				  t->name);
	if (t->dtype != FT_F32 || t->ndim != 1 ||
	    (t->numel != nseg && t->numel != ntok))
		return ft_err_set(
			err, FT_EXIT_DATA,
			"tensor '%.60s' is not F32 for each segment or token",
			t->name);
	if (nseg == ntok)
		per_token = has_word(ft_st_meta(st, "ft.per_token"), t->name);
	if (strlen(t->name) >= sizeof(b->col[0].name) || !t->name[0] ||
	    strchr(t->name, ' '))
		return ft_err_set(
			err, FT_EXIT_DATA,
			"column name '%.60s' is empty, too long or has a space",
			t->name);
	if (!ft_tokens_column(b, t->name, per_token))
		return ft_err_set(
			err, FT_EXIT_DATA,
			"column '%s' is of another length than before, or one too many",
			t->name);
	return 0;
}

/* I32 offsets to I64 ones that go on from base. */
static void widen(int64_t *dst, const struct ft_tensor *t, int64_t base)
{
	const char *p = t->data;

	for (uint64_t i = 0; i < t->numel; i++) {
		int32_t x;

		memcpy(&x, p + i * sizeof(x), sizeof(x));
		dst[i] = base + x;
	}
}

static void copy(void *dst, const struct ft_tensor *t)
{
	if (t->nbytes)
		memcpy(dst, t->data, t->nbytes);
}

/* Columns' values for the rows from segment s0, token t0 on; NaN where this
   document lacks one. */
static void copy_columns(const struct ft_st *st, struct ft_tokens *b, size_t s0,
			 size_t t0, size_t nseg, size_t ntok)
{
	for (int c = 0; c < b->ncol; c++) {
		const struct ft_column *k = &b->col[c];
		const struct ft_tensor *t = ft_st_find(st, k->name);
		float *v = k->v + (k->per_token ? t0 : s0);
		size_t n = k->per_token ? ntok : nseg;

		if (t)
			copy(v, t);
		for (size_t i = 0; !t && i < n; i++)
			v[i] = NAN;
	}
}

/* The document's rows to the end of b.  b keeps its former rows on error. */
static int read_rows(struct ft_stream_reader *r, struct ft_tokens *b,
		     struct ft_err *err)
{
	const struct ft_st *st = &r->doc.st;
	const struct ft_tensor *row = need(st, "row", FT_I64, err);
	const struct ft_tensor *ids = need(st, "input_ids", FT_I32, err);
	const struct ft_tensor *seg = need(st, "cu_seqlens", FT_I32, err);
	const struct ft_tensor *cur = need(st, "cu_rows", FT_I32, err);
	const struct ft_tensor *mask = need(st, "loss_mask", FT_U8, err);
	size_t r0 = b->nrow, s0 = b->nseg, t0 = b->ntok, nrow, nseg, ntok;
	int64_t supervised;

	if (!row || !ids || !seg || !cur || !mask)
		return -1;
	if (row->numel == 0 || cur->numel != row->numel + 1 ||
	    seg->numel == 0 || mask->numel != ids->numel)
		return ft_err_set(err, FT_EXIT_DATA,
				  "shapes of a document's tensors disagree");
	nrow = row->numel;
	nseg = seg->numel - 1;
	ntok = ids->numel;
	for (size_t i = 0; i < st->n; i++)
		if (!is_standard(st->t[i].name) &&
		    add_column(st, &st->t[i], b, nseg, ntok, err) < 0)
			return -1;
	ft_tokens_reserve(b, nrow, nseg, ntok);
	copy(b->row + r0, row);
	copy(b->ids + t0, ids);
	copy(b->mask + t0, mask);
	widen(b->cu_seqlens + s0, seg, (int64_t)t0);
	widen(b->cu_rows + r0, cur, (int64_t)s0);
	copy_columns(st, b, s0, t0, nseg, ntok);
	b->nrow += nrow;
	b->nseg += nseg;
	b->ntok += ntok;
	supervised = check_rows(b, r0, s0, t0, r->info->vocab_size, err);
	if (supervised < 0) {
		b->nrow = r0;
		b->nseg = s0;
		b->ntok = t0;
		b->cu_rows[r0] = (int64_t)s0;
		b->cu_seqlens[s0] = (int64_t)t0;
		return -1;
	}
	r->documents++;
	r->rows += (int64_t)nrow;
	r->tokens += (int64_t)ntok;
	r->supervised += supervised;
	return 0;
}

int ft_stream_append(struct ft_stream_reader *r, struct ft_tokens *b,
		     struct ft_err *err)
{
	int rc;

	if (r->ended)
		return 0;
	rc = ft_doc_read(&r->doc, r->in, err);
	if (rc < 0)
		return -1;
	if (rc == 0) {
		ft_err_set(err, FT_EXIT_DATA, NO_END);
	} else if (r->doc.st.n) {
		if (read_rows(r, b, err) == 0) {
			hash_doc(r);
			return 1;
		}
	} else if (ft_st_meta(&r->doc.st, "ft.end")) {
		if (read_end(r, err) == 0)
			return 0;
	} else {
		ft_err_set(err, FT_EXIT_DATA,
			   ft_st_meta(&r->doc.st, "ft.format")
				   ? TWICE
				   : "document without rows");
	}
	return ft_err_at(err, ft_input_name(r->in), 0);
}

int ft_stream_next(struct ft_stream_reader *r, struct ft_tokens *b,
		   struct ft_err *err)
{
	ft_tokens_clear(b);
	return ft_stream_append(r, b, err);
}
