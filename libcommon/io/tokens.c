/* SPDX-License-Identifier: MIT */
/* Rows in memory, for tstream.h. */
#include "libcommon/io/tstream.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"

/* A capacity of at least used + more; what does not fit in a size_t is left to
   ft_xrealloc, which ends the program. */
static size_t room(size_t cap, size_t used, size_t more)
{
	size_t need;

	if (ft_add(used, more, &need) < 0 || need > SIZE_MAX / 2)
		return SIZE_MAX - 1;
	if (need <= cap)
		return cap;
	return need < cap * 2 ? cap * 2 : need < 16 ? 16 : need;
}

static void nan_fill(float *v, size_t from, size_t to)
{
	while (from < to)
		v[from++] = NAN;
}

/* Make room; the arrays exist afterwards even if nothing is ever added. */
static void reserve(struct ft_tokens *b, size_t nrow, size_t nseg, size_t ntok)
{
	size_t row = room(b->caprow, b->nrow, nrow);
	size_t seg = room(b->capseg, b->nseg, nseg);
	size_t tok = room(b->captok, b->ntok, ntok);

	if (row > b->caprow || !b->row) {
		b->row = ft_xrealloc(b->row, row, sizeof(*b->row));
		b->cu_rows =
			ft_xrealloc(b->cu_rows, row + 1, sizeof(*b->cu_rows));
		b->caprow = row;
	}
	if (seg > b->capseg || !b->cu_seqlens)
		b->cu_seqlens = ft_xrealloc(b->cu_seqlens, seg + 1,
					    sizeof(*b->cu_seqlens));
	if (tok > b->captok || !b->ids) {
		b->ids = ft_xrealloc(b->ids, tok, sizeof(*b->ids));
		b->mask = ft_xrealloc(b->mask, tok, sizeof(*b->mask));
	}
	for (int i = 0; i < b->ncol; i++)
		if (b->col[i].per_token ? tok > b->captok : seg > b->capseg)
			b->col[i].v = ft_xrealloc(
				b->col[i].v, b->col[i].per_token ? tok : seg,
				sizeof(float));
	b->capseg = seg;
	b->captok = tok;
	if (b->nrow == 0) {
		b->cu_rows[0] = 0;
		b->cu_seqlens[0] = 0;
	}
}

void ft_tokens_reserve(struct ft_tokens *b, size_t nrow, size_t nseg,
		       size_t ntok)
{
	reserve(b, nrow, nseg, ntok);
}

void ft_tokens_clear(struct ft_tokens *b)
{
	for (int i = 0; i < b->ncol; i++)
		free(b->col[i].v);
	b->ncol = 0;
	b->nrow = b->nseg = b->ntok = 0;
	if (b->row)
		b->cu_rows[0] = b->cu_seqlens[0] = 0;
}

void ft_tokens_release(struct ft_tokens *b)
{
	ft_tokens_clear(b);
	free(b->row);
	free(b->ids);
	free(b->cu_seqlens);
	free(b->cu_rows);
	free(b->mask);
	*b = (struct ft_tokens){0};
}

void ft_tokens_add(struct ft_tokens *b, int64_t row, size_t nseg,
		   const int32_t *const *ids, const size_t *len,
		   const uint8_t *const *mask)
{
	size_t ntok = 0, seg0 = b->nseg, tok0 = b->ntok;

	for (size_t s = 0; s < nseg; s++)
		if (ft_add(ntok, len[s], &ntok) < 0)
			ntok = SIZE_MAX;
	reserve(b, 1, nseg, ntok);
	for (size_t s = 0; s < nseg; s++) {
		uint8_t *m = b->mask + b->ntok;

		if (len[s]) {
			memcpy(b->ids + b->ntok, ids[s],
			       len[s] * sizeof(*b->ids));
			if (s == 0)
				memset(m, 0, len[s]);
			else if (mask && mask[s])
				memcpy(m, mask[s], len[s]);
			else
				memset(m, 1, len[s]);
			if (len[0] == 0)
				m[0] = 0;
		}
		b->ntok += len[s];
		b->cu_seqlens[++b->nseg] = (int64_t)b->ntok;
	}
	for (int i = 0; i < b->ncol; i++)
		if (b->col[i].per_token)
			nan_fill(b->col[i].v, tok0, b->ntok);
		else
			nan_fill(b->col[i].v, seg0, b->nseg);
	b->row[b->nrow++] = row;
	b->cu_rows[b->nrow] = (int64_t)b->nseg;
}

static struct ft_column *find(const struct ft_tokens *b, const char *name)
{
	for (int i = 0; i < b->ncol; i++)
		if (strcmp(b->col[i].name, name) == 0)
			return (struct ft_column *)(uintptr_t)&b->col[i];
	return NULL;
}

float *ft_tokens_column(struct ft_tokens *b, const char *name, bool per_token)
{
	struct ft_column *c = find(b, name);
	size_t n = strlen(name);

	if (c)
		return c->per_token == per_token ? c->v : NULL;
	if (b->ncol == FT_MAX_COLUMNS || n == 0 || n >= sizeof(c->name))
		return NULL;
	reserve(b, 0, 0, 0);
	c = &b->col[b->ncol++];
	memcpy(c->name, name, n + 1);
	c->per_token = per_token;
	c->v = ft_xcalloc((per_token ? b->captok : b->capseg) + 1,
			  sizeof(*c->v));
	nan_fill(c->v, 0, per_token ? b->ntok : b->nseg);
	return c->v;
}

const float *ft_tokens_find(const struct ft_tokens *b, const char *name)
{
	const struct ft_column *c = find(b, name);

	return c ? c->v : NULL;
}

int ft_tokens_copy(struct ft_tokens *b, const struct ft_tokens *src, size_t i)
{
	size_t s0 = (size_t)src->cu_rows[i], s1 = (size_t)src->cu_rows[i + 1];
	size_t t0 = (size_t)src->cu_seqlens[s0];
	size_t t1 = (size_t)src->cu_seqlens[s1];
	size_t seg = b->nseg, tok = b->ntok;

	for (int c = 0; c < src->ncol; c++)
		if (!ft_tokens_column(b, src->col[c].name,
				      src->col[c].per_token))
			return -1;
	reserve(b, 1, s1 - s0, t1 - t0);
	memcpy(b->ids + tok, src->ids + t0, (t1 - t0) * sizeof(*b->ids));
	memcpy(b->mask + tok, src->mask + t0, t1 - t0);
	for (size_t s = s0; s < s1; s++)
		b->cu_seqlens[++b->nseg] =
			(int64_t)tok + src->cu_seqlens[s + 1] - (int64_t)t0;
	b->ntok += t1 - t0;
	b->row[b->nrow++] = src->row[i];
	b->cu_rows[b->nrow] = (int64_t)b->nseg;
	for (int c = 0; c < b->ncol; c++) {
		const struct ft_column *d = &b->col[c];
		const float *v = ft_tokens_find(src, d->name);
		size_t at = d->per_token ? tok : seg;
		size_t n = d->per_token ? t1 - t0 : s1 - s0;

		if (v)
			memcpy(d->v + at, v + (d->per_token ? t0 : s0),
			       n * sizeof(*v));
		else
			nan_fill(d->v, at, at + n);
	}
	return 0;
}
