/* SPDX-License-Identifier: MIT */
#include "libcommon/train/data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libcommon/base/mem.h"
#include "libcommon/base/rng.h"
#include "libcommon/io/manifest.h"

/* A document of the stream: where its tokens lie. */
struct doc {
	size_t row, tok; /* first of it */
	uint64_t ids, mask;
};

struct ft_data_file {
	struct ft_kept kept;
	struct doc *doc;
	size_t n, cap;
	size_t ntok;           /* in documents so far */
	size_t vocab;          /* of the model */
	struct ft_tokens row;  /* what ft_data_row gave last */
	struct ft_err err;     /* of ft_data_row, once failed */
	bool failed, has_stop; /* some row trains an end token */
};

/* --- what is taken --- */

static int check_tokenizer(const struct ft_data *d, const char *dir,
			   struct ft_err *err)
{
	struct ft_str path = {0};
	struct stat sb;
	char hex[65];
	int rc = 0;

	ft_str_addf(&path, "%s/tokenizer.json", dir);
	if (d->info.tokenizer[0] && stat(path.s, &sb) == 0) {
		rc = ft_file_sha256(path.s, hex, err);
		if (!rc && strcmp(hex, d->info.tokenizer))
			rc = ft_err_set(
				err, FT_EXIT_DATA,
				"its tokens are of another tokenizer (%.12s) than %s (%.12s)",
				d->info.tokenizer, path.s, hex);
	}
	ft_str_release(&path);
	return rc;
}

static int check_info(const struct ft_data *d, const struct ft_data_want *w,
		      struct ft_err *err)
{
	if (!(w->kinds >> d->info.kind & 1))
		return ft_err_set(
			err, FT_EXIT_DATA,
			"a stream of kind '%s' is not what this tool trains on",
			ft_stream_kinds[d->info.kind]);
	return check_tokenizer(d, w->model_dir, err);
}

static int check_ids(struct ft_data *d, const struct ft_config *c,
		     const struct ft_tokens *b, struct ft_err *err)
{
	for (size_t i = 0; i < b->ntok; i++) {
		if ((size_t)b->ids[i] >= c->vocab)
			return ft_err_set(
				err, FT_EXIT_DATA,
				"token id %d, but the model's vocabulary has %zu",
				(int)b->ids[i], c->vocab);
		if (b->mask[i] && ft_config_is_eos(c, b->ids[i]))
			d->file->has_stop = true;
	}
	return 0;
}

/* A model that never sees an end token trained never stops. */
static int check_all(const struct ft_data *d, const struct ft_data_want *w,
		     struct ft_err *err)
{
	if (!d->b.nrow)
		return ft_err_set(err, FT_EXIT_DATA, "no rows");
	if (!w->allow_no_stop && w->c->neos && !d->file->has_stop)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"no row trains an end token, so the model would never stop; see --allow-no-stop");
	return 0;
}

/* --- reading --- */

static int add_columns(struct ft_tokens *b, const struct ft_tokens *from,
		       struct ft_err *err)
{
	for (int c = 0; c < from->ncol; c++) {
		if (!from->col[c].per_token &&
		    !ft_tokens_column(b, from->col[c].name, false))
			return ft_err_set(err, FT_EXIT_DATA,
					  "column '%s' is one too many",
					  from->col[c].name);
	}
	return 0;
}

/* All of a document but its tokens to the end of d->b, whose ntok stays 0
   meanwhile: there is to be no room for them. */
static int add_document(struct ft_data *d, const struct ft_tokens *from,
			struct ft_err *err)
{
	struct ft_tokens *b = &d->b;
	size_t r0 = b->nrow, s0 = b->nseg, t0 = d->file->ntok;

	if (add_columns(b, from, err) < 0)
		return -1;
	ft_tokens_reserve(b, from->nrow, from->nseg, 0);
	memcpy(b->row + r0, from->row, from->nrow * sizeof(*b->row));
	for (size_t i = 1; i <= from->nrow; i++)
		b->cu_rows[r0 + i] = (int64_t)s0 + from->cu_rows[i];
	for (size_t i = 1; i <= from->nseg; i++)
		b->cu_seqlens[s0 + i] = (int64_t)t0 + from->cu_seqlens[i];
	for (int c = 0; c < b->ncol; c++) {
		const float *v = ft_tokens_find(from, b->col[c].name);

		for (size_t i = 0; i < from->nseg; i++)
			b->col[c].v[s0 + i] = v ? v[i] : NAN;
	}
	b->nrow += from->nrow;
	b->nseg += from->nseg;
	d->file->ntok += from->ntok;
	return 0;
}

static void count_tokens(struct ft_data *d, const struct ft_tokens *from,
			 size_t r0)
{
	d->supervised =
		ft_xrealloc(d->supervised, d->b.caprow, sizeof(*d->supervised));
	for (size_t i = 0; i < from->nrow; i++) {
		int64_t t = from->cu_seqlens[from->cu_rows[i]];
		int64_t end = from->cu_seqlens[from->cu_rows[i + 1]];

		if ((size_t)(end - t) > d->longest)
			d->longest = (size_t)(end - t);
		d->supervised[r0 + i] = 0;
		for (; t < end; t++)
			d->supervised[r0 + i] += from->mask[t];
	}
}

static int read_all(struct ft_data *d, struct ft_stream_reader *r,
		    const struct ft_data_want *w, struct ft_err *err)
{
	struct ft_data_file *f = d->file;
	struct ft_tokens b = {0};
	int rc;

	while ((rc = ft_stream_next(r, &b, err)) > 0) {
		FT_GROW(f->doc, f->n, f->cap, 1);
		f->doc[f->n++] =
			(struct doc){.row = d->b.nrow,
				     .tok = f->ntok,
				     .ids = ft_stream_where(r, "input_ids"),
				     .mask = ft_stream_where(r, "loss_mask")};
		rc = check_ids(d, w->c, &b, err);
		if (!rc)
			rc = add_document(d, &b, err);
		if (rc)
			break;
		count_tokens(d, &b, d->b.nrow - b.nrow);
	}
	free(d->b.ids);
	free(d->b.mask);
	d->b.ids = NULL;
	d->b.mask = NULL;
	d->b.ntok = f->ntok;
	ft_tokens_release(&b);
	return rc;
}

int ft_data_load(struct ft_data *d, const char *path,
		 const struct ft_data_want *w, struct ft_err *err)
{
	struct ft_stream_reader *r = NULL;
	struct ft_input *in = NULL;
	int rc = -1;

	*d = (struct ft_data){.epoch = -1};
	if (ft_input_open(&in, path, err) < 0)
		return -1;
	d->file = ft_xcalloc(1, sizeof(*d->file));
	d->file->vocab = w->c->vocab;
	if (ft_input_keep(in, &d->file->kept, w->copy_dir, err) < 0 ||
	    ft_stream_open(&r, in, &d->info, err) < 0 ||
	    check_info(d, w, err) < 0 || read_all(d, r, w, err) < 0)
		goto out;
	rc = check_all(d, w, err);
	ft_tokens_reserve(&d->file->row, 1, ft_data_segments(d), d->longest);
out:
	if (rc < 0)
		ft_err_at(err, ft_input_name(in), 0);
	ft_stream_close(r);
	ft_input_close(in);
	return rc;
}

void ft_data_imagine(struct ft_data *d, size_t nrow, size_t length)
{
	int32_t *ids = ft_xcalloc(length + 1, sizeof(*ids));
	const int32_t *seg[2] = {ids, ids};
	size_t len[2] = {0, length};

	*d = (struct ft_data){.longest = length, .epoch = -1};
	d->file = ft_xcalloc(1, sizeof(*d->file));
	d->file->n = 1;
	for (size_t i = 0; i < nrow; i++)
		ft_tokens_add(&d->b, (int64_t)i, 2, seg, len, NULL);
	free(ids);
}

void ft_data_release(struct ft_data *d)
{
	if (d->file) {
		ft_kept_release(&d->file->kept);
		ft_tokens_release(&d->file->row);
		free(d->file->doc);
	}
	free(d->file);
	ft_tokens_release(&d->b);
	ft_stream_info_release(&d->info);
	free(d->supervised);
	free(d->perm);
	*d = (struct ft_data){0};
}

/* --- what it takes --- */

size_t ft_data_segments(const struct ft_data *d)
{
	size_t most = 0;

	for (size_t i = 0; i < d->b.nrow; i++) {
		size_t n = (size_t)(d->b.cu_rows[i + 1] - d->b.cu_rows[i]);

		most = n > most ? n : most;
	}
	return most;
}

void ft_data_plan(const struct ft_data *d, struct ft_plan *p)
{
	struct ft_carve c = {.plan = p, .part = FT_PLAN_DATA};
	const struct ft_tokens *b = &d->b;

	ft_take(&c, b->nrow,
		sizeof(*b->row) + sizeof(*b->cu_rows) + sizeof(*d->supervised));
	ft_take(&c, d->perm ? b->nrow : 0, sizeof(*d->perm));
	ft_take(&c, b->nseg, sizeof(*b->cu_seqlens));
	for (int i = 0; i < b->ncol; i++)
		ft_take(&c, b->nseg, sizeof(*b->col[i].v));
	ft_take(&c, d->file->n, sizeof(*d->file->doc));
	ft_take(&c, d->longest, sizeof(*b->ids) + sizeof(*b->mask));
}

/* --- one row --- */

/* The document that row i is in. */
static const struct doc *doc_of(const struct ft_data_file *f, size_t i)
{
	size_t lo = 0, hi = f->n;

	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (f->doc[mid].row <= i)
			lo = mid;
		else
			hi = mid;
	}
	return &f->doc[lo];
}

/* The ids were checked when they were read first; the file may have been
   written to since, and what indexes memory is not to depend on that. */
static void read_tokens(struct ft_data_file *f, const struct doc *doc,
			size_t tok)
{
	struct ft_tokens *b = &f->row;
	size_t n = b->ntok, at = tok - doc->tok;

	if (ft_kept_read(&f->kept, b->ids, n * sizeof(*b->ids),
			 doc->ids + at * sizeof(*b->ids), &f->err) < 0 ||
	    ft_kept_read(&f->kept, b->mask, n, doc->mask + at, &f->err) < 0) {
		f->failed = true;
		memset(b->ids, 0, n * sizeof(*b->ids));
		memset(b->mask, 0, n);
	}
	for (size_t i = 0; i < n; i++)
		b->ids[i] = (size_t)b->ids[i] < f->vocab ? b->ids[i] : 0;
}

const struct ft_tokens *ft_data_row(const struct ft_data *d, size_t i)
{
	const struct ft_tokens *all = &d->b;
	struct ft_tokens *b = &d->file->row;
	size_t s0 = (size_t)all->cu_rows[i];
	size_t nseg = (size_t)all->cu_rows[i + 1] - s0;
	int64_t tok = all->cu_seqlens[s0];

	ft_tokens_clear(b);
	ft_tokens_reserve(b, 1, nseg, ft_data_row_tokens(d, i));
	b->nrow = 1;
	b->nseg = nseg;
	b->ntok = ft_data_row_tokens(d, i);
	b->row[0] = all->row[i];
	b->cu_rows[1] = (int64_t)nseg;
	for (size_t s = 1; s <= nseg; s++)
		b->cu_seqlens[s] = all->cu_seqlens[s0 + s] - tok;
	read_tokens(d->file, doc_of(d->file, i), (size_t)tok);
	return b;
}

int ft_data_check(const struct ft_data *d, struct ft_err *err)
{
	if (d->file->failed) {
		*err = d->file->err;
		return -1;
	}
	return ft_kept_check(&d->file->kept, err);
}

/* --- order --- */

void ft_data_deal(struct ft_data *d, const struct ft_train_opts *o)
{
	d->seed = o->compute.seed;
	d->sequential = o->sampling == FT_SAMPLING_SEQUENTIAL;
	d->overfit = o->overfit_one_batch;
	d->per_step = (size_t)(o->batch * o->accumulation);
	d->perm = ft_xcalloc(d->b.nrow, sizeof(*d->perm));
}

size_t ft_data_steps_per_epoch(const struct ft_data *d)
{
	return (d->b.nrow + d->per_step - 1) / d->per_step;
}

static void order(struct ft_data *d, int64_t epoch)
{
	if (d->epoch == epoch)
		return;
	d->epoch = epoch;
	for (size_t i = 0; i < d->b.nrow; i++)
		d->perm[i] = i;
	if (!d->sequential)
		ft_rng_permute((uint64_t)d->seed, FT_RNG_SHUFFLE,
			       (uint64_t)epoch, d->perm, d->b.nrow);
}

size_t ft_data_step(struct ft_data *d, uint64_t step, size_t *rows)
{
	size_t per = ft_data_steps_per_epoch(d), at, n;

	if (d->overfit)
		step = 0;
	order(d, (int64_t)(step / per));
	at = (size_t)(step % per) * d->per_step;
	n = d->b.nrow - at < d->per_step ? d->b.nrow - at : d->per_step;
	for (size_t i = 0; i < n; i++)
		rows[i] = (size_t)d->perm[at + i];
	return n;
}

size_t ft_data_row_tokens(const struct ft_data *d, size_t row)
{
	const int64_t *r = d->b.cu_rows, *s = d->b.cu_seqlens;

	return (size_t)(s[r[row + 1]] - s[r[row]]);
}

size_t ft_data_micro(const struct ft_data *d, const size_t *rows, size_t n,
		     size_t tokens)
{
	size_t sum = 0, i;

	for (i = 0; i < n; i++) {
		sum += ft_data_row_tokens(d, rows[i]);
		if (i && sum > tokens)
			break;
	}
	return i;
}
