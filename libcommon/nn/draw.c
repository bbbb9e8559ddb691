/* SPDX-License-Identifier: MIT */
#include "libcommon/nn/draw.h"

#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"

/* The same in the backend's memory and, to be put there, on the host. */
static void lay(const struct ft_draws *d, struct ft_draw_rows *r,
		struct ft_carve *c)
{
	c->part = FT_PLAN_WORK;
	r->u = ft_take(c, d->rows, sizeof(*r->u));
	r->temperature = ft_take(c, d->rows, sizeof(*r->temperature));
	r->top_p = ft_take(c, d->rows, sizeof(*r->top_p));
	r->min_p = ft_take(c, d->rows, sizeof(*r->min_p));
	r->top_k = ft_take(c, d->rows, sizeof(*r->top_k));
	r->id = ft_take(c, d->rows, sizeof(*r->id));
	r->logp = ft_take(c, d->rows, d->k->real_size);
	if (!(d->penalty > 0))
		return;
	r->seen = ft_take(c, d->rows * d->behind, sizeof(*r->seen));
	r->seen_at = ft_take(c, d->rows + 1, sizeof(*r->seen_at));
}

static struct ftk_sample op_of(const struct ft_draws *d, size_t n)
{
	const struct ft_draw_rows *r = &d->dev;

	return (struct ftk_sample){.id = r->id,
				   .logp = r->logp,
				   .u = r->u,
				   .temperature = r->temperature,
				   .top_k = r->top_k,
				   .top_p = r->top_p,
				   .min_p = r->min_p,
				   .penalty = d->penalty,
				   .seen = r->seen,
				   .seen_at = r->seen_at,
				   .n = n,
				   .v = d->vocab,
				   .ws = d->ws};
}

static struct ft_draws sized(struct ftk *k, const struct ft_gen_opts *o,
			     size_t rows, size_t vocab, size_t behind)
{
	bool none = o->repetition_penalty == 1;

	return (struct ft_draws){.k = k,
				 .penalty = none ? 0
						 : (float)o->repetition_penalty,
				 .rows = rows,
				 .vocab = vocab,
				 .behind = behind};
}

/* What is the same for all rows. */
static void put_options(struct ft_draws *d, const struct ft_gen_opts *o)
{
	struct ft_draw_rows *h = &d->host;
	struct ftk *k = d->k;

	for (size_t i = 0; i < d->rows; i++) {
		h->temperature[i] = (float)o->temperature;
		h->top_p[i] = (float)o->top_p;
		h->min_p[i] = (float)o->min_p;
		h->top_k[i] = (int32_t)o->top_k;
	}
	k->put(k, d->dev.temperature, h->temperature, d->rows * sizeof(float));
	k->put(k, d->dev.top_p, h->top_p, d->rows * sizeof(float));
	k->put(k, d->dev.min_p, h->min_p, d->rows * sizeof(float));
	k->put(k, d->dev.top_k, h->top_k, d->rows * sizeof(int32_t));
}

int ft_draws_open(struct ft_draws *d, struct ftk *k,
		  const struct ft_gen_opts *o, size_t rows, size_t vocab,
		  size_t behind, struct ft_err *err)
{
	struct ft_carve c = {0};
	struct ftk_sample op;
	size_t ws;

	*d = sized(k, o, rows, vocab, behind);
	op = op_of(d, rows);
	ws = k->sample_ws(k, &op);
	lay(d, &d->host, &c);
	d->host_mem = ft_xmalloc(c.n + 1);
	ft_take(&c, ws, 1);
	d->dev_mem = k->alloc(k, c.n + 1);
	if (!d->dev_mem) {
		ft_draws_release(d);
		return ft_err_set(err, FT_EXIT_SYS,
				  "no memory for drawing (%zu MB)", c.n >> 20);
	}
	c = (struct ft_carve){.base = d->host_mem};
	lay(d, &d->host, &c);
	c = (struct ft_carve){.base = d->dev_mem};
	lay(d, &d->dev, &c);
	d->ws = ft_take(&c, ws, 1);
	put_options(d, o);
	return 0;
}

void ft_draws_plan(struct ftk *k, const struct ft_gen_opts *o, size_t rows,
		   size_t vocab, size_t behind, struct ft_plan *p)
{
	struct ft_draws d = sized(k, o, rows, vocab, behind);
	struct ft_carve c = {.plan = p};

	lay(&d, &d.host, &c);
	lay(&d, &d.dev, &c);
}

void ft_draws_row(struct ft_draws *d, size_t i, double u, const int32_t *prompt,
		  size_t nprompt, const int32_t *drawn, size_t ndrawn)
{
	struct ft_draw_rows *h = &d->host;
	size_t at;

	h->u[i] = u;
	if (!h->seen)
		return;
	if (!i)
		h->seen_at[0] = 0;
	at = (size_t)h->seen_at[i];
	memcpy(h->seen + at, prompt, nprompt * sizeof(*prompt));
	if (ndrawn)
		memcpy(h->seen + at + nprompt, drawn, ndrawn * sizeof(*drawn));
	h->seen_at[i + 1] = (int32_t)(at + nprompt + ndrawn);
}

void ft_draws_run(struct ft_draws *d, const void *logits, size_t n, int32_t *id,
		  float *logp)
{
	struct ft_draw_rows *h = &d->host, *dev = &d->dev;
	struct ftk_sample op = op_of(d, n);
	struct ftk *k = d->k;

	op.logits = logits;
	k->put(k, dev->u, h->u, n * sizeof(*h->u));
	if (h->seen) {
		size_t all = (size_t)h->seen_at[n];

		k->put(k, dev->seen, h->seen, all * sizeof(*h->seen));
		k->put(k, dev->seen_at, h->seen_at,
		       (n + 1) * sizeof(*h->seen_at));
	}
	k->sample(k, &op);
	k->get(k, id, dev->id, n * sizeof(*id));
	k->get_real(k, logp, dev->logp, n);
	k->sync(k);
}

void ft_draws_release(struct ft_draws *d)
{
	if (d->dev_mem)
		d->k->free(d->k, d->dev_mem);
	free(d->host_mem);
	*d = (struct ft_draws){0};
}
