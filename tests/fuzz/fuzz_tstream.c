/* SPDX-License-Identifier: MIT */
/* A stream: what the reader lets through keeps every promise of tstream.h. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "libcommon/io/tstream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
	if (!ok)
		abort();
}

static void look(const struct ft_tokens *b, int64_t vocab)
{
	check(b->cu_rows[0] == 0 && b->cu_seqlens[0] == 0);
	check(b->cu_rows[b->nrow] == (int64_t)b->nseg);
	check(b->cu_seqlens[b->nseg] == (int64_t)b->ntok);
	for (size_t r = 0; r < b->nrow; r++) {
		int64_t s = b->cu_rows[r];

		check(b->row[r] >= 0 && b->cu_rows[r + 1] - s >= 2);
		for (int64_t t = b->cu_seqlens[s]; t < b->cu_seqlens[s + 1];
		     t++)
			check(b->mask[t] == 0);
		for (int c = 0; c < b->ncol; c++)
			check(b->col[c].per_token || isnan(b->col[c].v[s]));
	}
	for (size_t s = 0; s < b->nseg; s++)
		check(b->cu_seqlens[s] <= b->cu_seqlens[s + 1]);
	for (size_t t = 0; t < b->ntok; t++)
		check(b->ids[t] >= 0 && b->ids[t] < vocab && b->mask[t] <= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ft_stream_reader *r = NULL;
	struct ft_stream_info info = {0};
	struct ft_tokens b = {0}, all = {0};
	struct ft_input *in = NULL;
	struct ft_err err;

	if (ft_input_mem(&in, data, size, &err) < 0)
		return 0;
	if (ft_stream_open(&r, in, &info, &err) == 0)
		while (ft_stream_next(r, &b, &err) > 0) {
			look(&b, info.vocab_size);
			for (size_t i = 0; i < b.nrow; i++)
				ft_tokens_copy(&all, &b, i);
		}
	ft_stream_close(r);
	ft_stream_info_release(&info);
	ft_tokens_release(&b);
	ft_tokens_release(&all);
	ft_input_close(in);
	return 0;
}
