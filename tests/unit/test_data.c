/* SPDX-License-Identifier: MIT */
/* Which rows a step takes, how they are laid into micro-batches, and what data
   a trainer refuses. */
#include "libcommon/train/data.h"

#include <malloc.h>

#include "libcommon/io/manifest.h"
#include "tests/lib/model.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

enum { ROWS = 10, VOCAB = 53 };

static const char *stream(int kind, int64_t vocab, const struct ft_tokens *b,
			  const char *tokenizer)
{
	char *path = scratch_path("stream");
	struct ft_stream_info info = {.kind = kind, .vocab_size = vocab};
	struct ft_stream_writer *w;
	struct ft_output *out;
	struct ft_err err = {0};

	snprintf(info.tokenizer, sizeof(info.tokenizer), "%s", tokenizer);
	if (ft_output_open(&out, path, false, &err) < 0 ||
	    ft_stream_begin(&w, out, &info, &err) < 0)
		eng_die(path, &err);
	for (size_t i = 0; i < b->nrow; i++) {
		if (ft_stream_put(w, b, i, &err) < 0)
			eng_die(path, &err);
	}
	if (ft_stream_end(w, NULL, &err) < 0 || ft_output_commit(out, &err) < 0)
		eng_die(path, &err);
	ft_stream_info_release(&info);
	return path;
}

static const struct ft_config no_stop = {.vocab = VOCAB};
static const struct ft_data_want want = {.kinds = 1u << FT_ROW_COMPLETION,
					 .c = &no_stop,
					 .model_dir = "/nowhere",
					 .copy_dir = "/nowhere/either"};

static void make(struct ft_data *d, const struct ft_train_opts *o)
{
	struct ft_tokens b = {0};
	struct ft_err err = {0};
	const char *path;

	for (size_t i = 0; i < ROWS; i++)
		eng_row(&b, VOCAB, i % 3, (size_t[]){i + 2}, 1);
	path = stream(FT_ROW_COMPLETION, VOCAB, &b, "");
	if (ft_data_load(d, path, &want, &err) < 0)
		eng_die(path, &err);
	ft_data_deal(d, o);
	ft_tokens_release(&b);
}

/* All rows of an epoch, in order; false when a step has a wrong size. */
static bool epoch(struct ft_data *d, uint64_t e, size_t *all)
{
	size_t per = ft_data_steps_per_epoch(d), at = 0, rows[ROWS];

	for (size_t s = 0; s < per; s++) {
		size_t n = ft_data_step(d, e * per + s, rows);
		size_t left = ROWS - at;

		if (n != (left < d->per_step ? left : d->per_step))
			return false;
		memcpy(all + at, rows, n * sizeof(*rows));
		at += n;
	}
	return at == ROWS;
}

static bool whole(const size_t *all)
{
	unsigned seen = 0;

	for (size_t i = 0; i < ROWS; i++)
		seen |= 1u << all[i];
	return seen == (1u << ROWS) - 1;
}

static bool same(const size_t *a, const size_t *b)
{
	return !memcmp(a, b, ROWS * sizeof(*a));
}

static void order(void)
{
	struct ft_train_opts o = FT_TRAIN_DEFAULTS;
	size_t a[ROWS], b[ROWS], c[ROWS], rows[ROWS];
	struct ft_data d;
	bool in_order = true;

	o.batch = 2;
	o.accumulation = 2;
	make(&d, &o);
	CHECK(ft_data_steps_per_epoch(&d) == 3,
	      "ten rows by four: three steps");
	CHECK(epoch(&d, 0, a) && whole(a),
	      "an epoch takes each row once, its last step what is left");
	CHECK(epoch(&d, 1, b) && whole(b) && !same(a, b),
	      "another epoch, another order");
	CHECK(epoch(&d, 0, c) && same(a, c), "the order is the epoch's own");
	/* a resumed run begins anywhere */
	ft_data_step(&d, 4, rows);
	CHECK(!memcmp(rows, b + 4, 4 * sizeof(*rows)),
	      "any step can be had alone");
	ft_data_release(&d);

	o.compute.seed++;
	make(&d, &o);
	CHECK(epoch(&d, 0, c) && whole(c) && !same(a, c),
	      "another seed, another order");
	ft_data_release(&d);

	o.compute.seed--;
	o.batch = 1;
	o.accumulation = 4;
	make(&d, &o);
	CHECK(epoch(&d, 0, c) && same(a, c),
	      "another split of the same batch: the same rows");
	ft_data_release(&d);

	o.sampling = FT_SAMPLING_SEQUENTIAL;
	make(&d, &o);
	epoch(&d, 3, c);
	for (size_t i = 0; i < ROWS; i++)
		in_order &= c[i] == i;
	CHECK(in_order, "sequential: in the file's order");
	ft_data_release(&d);

	o.sampling = FT_SAMPLING_RANDOM;
	o.overfit_one_batch = true;
	make(&d, &o);
	CHECK(ft_data_step(&d, 17, rows) == 4 &&
		      !memcmp(rows, a, 4 * sizeof(*rows)),
	      "overfit: the first step's rows again and again");
	ft_data_release(&d);
}

static void micro(void)
{
	struct ft_train_opts o = FT_TRAIN_DEFAULTS;
	size_t rows[ROWS], n;
	struct ft_data d;

	make(&d, &o);
	for (size_t i = 0; i < ROWS; i++)
		rows[i] = i;
	CHECK(ft_data_row_tokens(&d, 4) == 1 + 6 && d.supervised[4] == 6 &&
		      d.supervised[3] == 4,
	      "tokens of a row, and those trained on");
	/* 2 4 6 5 7 9 ... */
	n = ft_data_micro(&d, rows, ROWS, 12);
	CHECK(n == 3, "as many rows as fit");
	CHECK(ft_data_micro(&d, rows, ROWS, 11) == 2, "and no more");
	CHECK(ft_data_micro(&d, rows + 5, 5, 3) == 1,
	      "a row too long goes alone");
	CHECK(ft_data_micro(&d, rows, 2, 1000) == 2, "not more than there are");
	ft_data_release(&d);
}

/* --- what is taken --- */

static void refuse(const char *path, const struct ft_data_want *w,
		   const char *word)
{
	struct ft_err err = {0};
	struct ft_data d;
	int rc = ft_data_load(&d, path, w, &err);

	CHECK(rc < 0 && err.code == FT_EXIT_DATA && strstr(err.msg, word),
	      "%s: %s", word, rc < 0 ? err.msg : "it was taken");
	ft_data_release(&d);
}

static void loading(void)
{
	struct ft_tokens b = {0}, none = {0};
	struct ft_config c;
	struct ft_err err = {0};
	struct ft_data d;
	char *dir = scratch_path("model"), hex[65];
	struct ft_data_want w = want, may;
	const char *path;
	int32_t *stop;

	if (ft_config_load(&c, GOLDEN "mha", &err) < 0)
		eng_die("mha", &err);
	w.c = &c;
	w.model_dir = dir;
	may = w;
	may.allow_no_stop = true;
	for (size_t i = 0; i < ROWS; i++)
		eng_row(&b, VOCAB, 2, (size_t[]){3}, 1);
	for (size_t i = 0; i < b.ntok; i++)
		b.ids[i] = b.ids[i] == 2 ? 3 : b.ids[i];
	stop = &b.ids[9]; /* of a branch, trained on */

	path = stream(FT_ROW_COMPLETION, VOCAB, &b, "");
	refuse(path, &w, "no row trains an end token");
	CHECK(!ft_data_load(&d, path, &may, &err), "unless it may: %s",
	      err.msg);
	ft_data_release(&d);
	c.neos = 0;
	CHECK(!ft_data_load(&d, path, &w, &err),
	      "nor where the model has none %s", err.msg);
	ft_data_release(&d);
	c.neos = 1;
	*stop = 2;
	path = stream(FT_ROW_COMPLETION, VOCAB, &b, "");
	CHECK(!ft_data_load(&d, path, &w, &err) && d.b.nrow == ROWS &&
		      d.longest == 5,
	      "one that has it %s", err.msg);
	ft_data_release(&d);
	b.ids[8] = 2; /* only in a place that is not trained on */
	b.mask[8] = 0;
	*stop = 3;
	path = stream(FT_ROW_COMPLETION, VOCAB, &b, "");
	refuse(path, &w, "no row trains an end token");
	*stop = 2;

	b.ids[0] = VOCAB;
	path = stream(FT_ROW_COMPLETION, VOCAB + 1, &b, "");
	refuse(path, &w, "token id 53, but the model's vocabulary has 53");
	b.ids[0] = 3;
	path = stream(FT_ROW_PAIR, VOCAB, &b, "");
	refuse(path, &w, "kind 'pair'");
	ft_tokens_reserve(&none, 1, 1, 1);
	path = stream(FT_ROW_COMPLETION, VOCAB, &none, "");
	refuse(path, &w, "no rows");

	mkdir(dir, 0777);
	scratch_file("model/tokenizer.json", "{}", 2);
	memset(hex, 'a', 64);
	hex[64] = '\0';
	path = stream(FT_ROW_COMPLETION, VOCAB, &b, hex);
	refuse(path, &w, "another tokenizer");
	if (ft_file_sha256(scratch_path("model/tokenizer.json"), hex, &err) < 0)
		eng_die("sha256", &err);
	path = stream(FT_ROW_COMPLETION, VOCAB, &b, hex);
	CHECK(!ft_data_load(&d, path, &w, &err), "the model's own tokenizer %s",
	      err.msg);
	ft_data_release(&d);
	ft_tokens_release(&b);
	ft_tokens_release(&none);
}

/* --- where the tokens are --- */

enum { MANY = 3000, LONG = 150, TOKENS = MANY * (LONG + 1) };

/* Rows in several documents, with columns that not all of them have. */
static void many(struct ft_tokens *b)
{
	for (size_t i = 0; i < MANY; i++)
		eng_row(b, VOCAB, 1, (size_t[]){LONG - 30, 30}, 2);
}

static bool same_row(const struct ft_data *d, const struct ft_tokens *b,
		     size_t i)
{
	const struct ft_tokens *x = ft_data_row(d, i);
	size_t s = (size_t)b->cu_rows[i], t = (size_t)b->cu_seqlens[s];
	bool same = x->nrow == 1 && x->nseg == 3 && x->ntok == LONG + 1 &&
		    x->row[0] == b->row[i] && x->cu_rows[1] == 3;

	for (size_t k = 0; same && k <= 3; k++)
		same = x->cu_seqlens[k] ==
		       b->cu_seqlens[s + k] - b->cu_seqlens[s];
	return same && !memcmp(x->ids, b->ids + t, x->ntok * sizeof(*x->ids)) &&
	       !memcmp(x->mask, b->mask + t, x->ntok);
}

static void all_rows(const struct ft_data *d, const struct ft_tokens *b,
		     const char *what)
{
	size_t same = 0;

	for (size_t k = 0; k < MANY; k++)
		same += same_row(d, b, k * 1009 % MANY);
	CHECK(d->b.nrow == MANY && d->b.ntok == TOKENS && same == MANY,
	      "%s: %zu of %zu rows", what, same, (size_t)MANY);
}

/* Bytes in use, or 0 where an allocator of its own does not say. */
static size_t in_use(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static void tokens(void)
{
	struct ft_data_want w = want;
	struct ft_tokens b = {0};
	struct ft_err err = {0};
	struct ft_data d;
	const char *path;
	size_t before;
	FILE *f;

	many(&b);
	path = stream(FT_ROW_COMPLETION, VOCAB, &b, "");
	before = in_use();
	CHECK(!ft_data_load(&d, path, &w, &err), "many rows %s", err.msg);
	CHECK(in_use() - before < TOKENS * sizeof(int32_t) / 4,
	      "their tokens are not in memory: %zu bytes of %d tokens",
	      in_use() - before, TOKENS);
	all_rows(&d, &b, "from the file itself");
	CHECK(d.b.ids == NULL && d.supervised[7] == LONG, "only counted");
	CHECK(!ft_data_check(&d, &err), "as it should be %s", err.msg);

	f = fopen(path, "r+");
	fseek(f, -TOKENS, SEEK_END); /* into the last document's tokens */
	for (int i = 0; i < 4000; i++)
		fputc(255, f);
	fclose(f);
	for (size_t i = 0, bad = 0; i < MANY; i++) {
		const struct ft_tokens *x = ft_data_row(&d, i);

		for (size_t k = 0; k < x->ntok; k++)
			bad += (size_t)x->ids[k] >= VOCAB;
		if (bad || i + 1 == MANY)
			CHECK(!bad, "what is written into it is never an id");
	}
	CHECK(ft_data_check(&d, &err) < 0 && err.code == FT_EXIT_DATA &&
		      strstr(err.msg, "changed") && !strcmp(err.where, path),
	      "a file that changes: %s", err.msg);
	if (truncate(path, 1000))
		exit(99);
	ft_data_row(&d, MANY - 1);
	CHECK(ft_data_check(&d, &err) < 0 && err.code == FT_EXIT_DATA &&
		      strstr(err.msg, "shorter"),
	      "a file that is cut: %s", err.msg);
	ft_data_release(&d);
	ft_tokens_release(&b);
}

int main(void)
{
	order();
	micro();
	loading();
	tokens();
	return test_done();
}
