/* SPDX-License-Identifier: MIT */
#include "libcommon/train/data.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libcommon/base/mem.h"
#include "libcommon/base/rng.h"
#include "libcommon/io/manifest.h"

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

/* Does any row train an end token?  A model that never sees one never
   stops. */
static bool trains_a_stop(const struct ft_data *d, const struct ft_config *c)
{
	for (size_t i = 0; i < d->b.ntok; i++) {
		if (d->b.mask[i] && ft_config_is_eos(c, d->b.ids[i]))
			return true;
	}
	return false;
}

static int check_rows(struct ft_data *d, unsigned kind_mask,
		      const struct ft_config *c, bool allow_no_stop,
		      struct ft_err *err)
{
	if (!(kind_mask >> d->info.kind & 1))
		return ft_err_set(
			err, FT_EXIT_DATA,
			"a stream of kind '%s' is not what this tool trains on",
			ft_stream_kinds[d->info.kind]);
	if (!d->b.nrow)
		return ft_err_set(err, FT_EXIT_DATA, "no rows");
	for (size_t i = 0; i < d->b.ntok; i++) {
		if ((size_t)d->b.ids[i] >= c->vocab)
			return ft_err_set(
				err, FT_EXIT_DATA,
				"token id %d, but the model's vocabulary has %zu",
				(int)d->b.ids[i], c->vocab);
	}
	for (size_t i = 0; i < d->b.nrow; i++) {
		size_t n = ft_data_row_tokens(d, i);

		if (n > d->longest)
			d->longest = n;
	}
	if (!allow_no_stop && c->neos && !trains_a_stop(d, c))
		return ft_err_set(
			err, FT_EXIT_DATA,
			"no row trains an end token, so the model would never stop; see --allow-no-stop");
	return 0;
}

int ft_data_load(struct ft_data *d, const char *path, unsigned kind_mask,
		 const struct ft_config *c, const char *model_dir,
		 bool allow_no_stop, struct ft_err *err)
{
	*d = (struct ft_data){.epoch = -1};
	if (ft_stream_load(path, &d->b, &d->info, err) < 0)
		return -1;
	if (check_rows(d, kind_mask, c, allow_no_stop, err) < 0 ||
	    check_tokenizer(d, model_dir, err) < 0)
		return ft_err_at(err, path ? path : "-", 0);
	return 0;
}

void ft_data_release(struct ft_data *d)
{
	ft_tokens_release(&d->b);
	ft_stream_info_release(&d->info);
	free(d->perm);
	*d = (struct ft_data){0};
}

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
	uint64_t *p;

	if (d->epoch == epoch)
		return;
	d->epoch = epoch;
	p = ft_xcalloc(d->b.nrow, sizeof(*p));
	for (size_t i = 0; i < d->b.nrow; i++)
		p[i] = i;
	if (!d->sequential)
		ft_rng_permute((uint64_t)d->seed, FT_RNG_SHUFFLE,
			       (uint64_t)epoch, p, d->b.nrow);
	for (size_t i = 0; i < d->b.nrow; i++)
		d->perm[i] = (size_t)p[i];
	free(p);
}

size_t ft_data_step(struct ft_data *d, uint64_t step, size_t *rows)
{
	size_t per = ft_data_steps_per_epoch(d), at, n;

	if (d->overfit)
		step = 0;
	order(d, (int64_t)(step / per));
	at = (size_t)(step % per) * d->per_step;
	n = d->b.nrow - at < d->per_step ? d->b.nrow - at : d->per_step;
	memcpy(rows, d->perm + at, n * sizeof(*rows));
	return n;
}

size_t ft_data_row_tokens(const struct ft_data *d, size_t row)
{
	const int64_t *r = d->b.cu_rows, *s = d->b.cu_seqlens;

	return (size_t)(s[r[row + 1]] - s[r[row]]);
}

size_t ft_data_row_supervised(const struct ft_data *d, size_t row)
{
	const int64_t *r = d->b.cu_rows, *s = d->b.cu_seqlens;
	size_t n = 0;

	for (int64_t i = s[r[row]]; i < s[r[row + 1]]; i++)
		n += d->b.mask[i];
	return n;
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
