/* SPDX-License-Identifier: MIT */
/* Which rows a step takes, how they are laid into micro-batches, and what data
   a trainer refuses. */
#include "libcommon/train/data.h"

#include "libcommon/io/manifest.h"
#include "tests/lib/model.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

enum { ROWS = 10, VOCAB = 53 };

static void make(struct ft_data *d, const struct ft_train_opts *o)
{
	*d = (struct ft_data){.epoch = -1};
	for (size_t i = 0; i < ROWS; i++)
		eng_row(&d->b, VOCAB, i % 3, (size_t[]){i + 2}, 1);
	ft_data_deal(d, o);
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
	CHECK(ft_data_row_tokens(&d, 4) == 1 + 6 &&
		      ft_data_row_supervised(&d, 4) == 6 &&
		      ft_data_row_supervised(&d, 3) == 4,
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

/* --- a stream on disk --- */

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

static const unsigned completions = 1u << FT_ROW_COMPLETION;

static void refuse(const char *path, const struct ft_config *c, const char *dir,
		   const char *word)
{
	struct ft_err err = {0};
	struct ft_data d;
	int rc = ft_data_load(&d, path, completions, c, dir, false, &err);

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
	const char *path;
	int32_t *stop;

	if (ft_config_load(&c, GOLDEN "mha", &err) < 0)
		eng_die("mha", &err);
	for (size_t i = 0; i < ROWS; i++)
		eng_row(&b, VOCAB, 2, (size_t[]){3}, 1);
	for (size_t i = 0; i < b.ntok; i++)
		b.ids[i] = b.ids[i] == 2 ? 3 : b.ids[i];
	stop = &b.ids[9]; /* of a branch, trained on */

	path = stream(FT_ROW_COMPLETION, VOCAB, &b, "");
	refuse(path, &c, dir, "no row trains an end token");
	CHECK(!ft_data_load(&d, path, completions, &c, dir, true, &err),
	      "unless it may: %s", err.msg);
	ft_data_release(&d);
	c.neos = 0;
	CHECK(!ft_data_load(&d, path, completions, &c, dir, false, &err),
	      "nor where the model has none %s", err.msg);
	ft_data_release(&d);
	c.neos = 1;
	*stop = 2;
	path = stream(FT_ROW_COMPLETION, VOCAB, &b, "");
	CHECK(!ft_data_load(&d, path, completions, &c, dir, false, &err) &&
		      d.b.nrow == ROWS && d.longest == 5,
	      "one that has it %s", err.msg);
	ft_data_release(&d);
	b.ids[8] = 2; /* only in a place that is not trained on */
	b.mask[8] = 0;
	*stop = 3;
	path = stream(FT_ROW_COMPLETION, VOCAB, &b, "");
	refuse(path, &c, dir, "no row trains an end token");
	*stop = 2;

	b.ids[0] = VOCAB;
	path = stream(FT_ROW_COMPLETION, VOCAB + 1, &b, "");
	refuse(path, &c, dir, "token id 53, but the model's vocabulary has 53");
	b.ids[0] = 3;
	path = stream(FT_ROW_PAIR, VOCAB, &b, "");
	refuse(path, &c, dir, "kind 'pair'");
	ft_tokens_reserve(&none, 1, 1, 1);
	path = stream(FT_ROW_COMPLETION, VOCAB, &none, "");
	refuse(path, &c, dir, "no rows");

	mkdir(dir, 0777);
	scratch_file("model/tokenizer.json", "{}", 2);
	memset(hex, 'a', 64);
	hex[64] = '\0';
	path = stream(FT_ROW_COMPLETION, VOCAB, &b, hex);
	refuse(path, &c, dir, "another tokenizer");
	if (ft_file_sha256(scratch_path("model/tokenizer.json"), hex, &err) < 0)
		eng_die("sha256", &err);
	path = stream(FT_ROW_COMPLETION, VOCAB, &b, hex);
	CHECK(!ft_data_load(&d, path, completions, &c, dir, false, &err),
	      "the model's own tokenizer %s", err.msg);
	ft_data_release(&d);
	ft_tokens_release(&b);
	ft_tokens_release(&none);
}

int main(void)
{
	order();
	micro();
	loading();
	return test_done();
}
