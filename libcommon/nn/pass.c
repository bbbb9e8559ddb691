/* SPDX-License-Identifier: MIT */
/* From rows of prefix + branches to what a forward reads. */
#include <stdlib.h>

#include "libcommon/base/mem.h"
#include "libcommon/nn/model.h"

void ft_pass_clear(struct ft_pass *p)
{
	p->t = p->nseg = p->n = p->maxpos = p->given = 0;
}

void ft_pass_release(struct ft_pass *p)
{
	free(p->ids);
	free(p->pos);
	free(p->key);
	free(p->seg);
	free(p->src);
	free(p->target);
	free(p->at);
	free(p->of);
	*p = (struct ft_pass){0};
}

static void grow(struct ft_pass *p, size_t t, size_t nseg)
{
	size_t cap;

	cap = p->capt;
	p->ids = ft_grow(p->ids, p->t, &cap, t, sizeof(*p->ids));
	cap = p->capt;
	p->pos = ft_grow(p->pos, p->t, &cap, t, sizeof(*p->pos));
	cap = p->capt;
	p->key = ft_grow(p->key, p->t, &cap, t, sizeof(*p->key));
	p->capt = cap;
	cap = p->capn;
	p->src = ft_grow(p->src, p->n, &cap, t, sizeof(*p->src));
	cap = p->capn;
	p->target = ft_grow(p->target, p->n, &cap, t, sizeof(*p->target));
	cap = p->capn;
	p->at = ft_grow(p->at, p->n, &cap, t, sizeof(*p->at));
	cap = p->capn;
	p->of = ft_grow(p->of, p->n, &cap, t, sizeof(*p->of));
	p->capn = cap;
	p->seg = ft_grow(p->seg, p->nseg, &p->capseg, nseg, sizeof(*p->seg));
}

void ft_pass_reserve(struct ft_pass *p, size_t t, size_t nseg)
{
	grow(p, t, nseg);
}

void ft_pass_plan(size_t t, size_t nseg, struct ft_plan *plan)
{
	const struct ft_pass *p = NULL;
	struct ft_carve c = {.plan = plan, .part = FT_PLAN_WORK};

	ft_take(&c, t,
		sizeof(*p->ids) + sizeof(*p->pos) + sizeof(*p->key) +
			sizeof(*p->src) + sizeof(*p->target) + sizeof(*p->at) +
			sizeof(*p->of));
	ft_take(&c, nseg, sizeof(*p->seg));
}

/* Token t of the pass, from src. */
static void predict(struct ft_pass *p, size_t src, size_t t, size_t at,
		    size_t of)
{
	p->src[p->n] = (int32_t)src;
	p->at[p->n] = (int32_t)at;
	p->of[p->n] = (int32_t)of;
	p->target[p->n++] = p->ids[t];
}

/* A row that is laid out: tokens [0, common) of its branches stand once. */
struct row {
	const struct ft_tokens *b;
	size_t i, s0, s1; /* its number, its segments */
	size_t common;
	bool all;
	size_t given; /* tokens of the rows before it */
};

static size_t start(const struct row *r, size_t s)
{
	return (size_t)r->b->cu_seqlens[s];
}

static size_t length(const struct row *r, size_t s)
{
	return start(r, s + 1) - start(r, s);
}

static size_t at_of(const struct row *r, size_t s, size_t j)
{
	return r->given + start(r, s) + j - start(r, r->s0);
}

/* How much all branches have in common, short of a branch's last token. */
static size_t common(const struct row *r)
{
	size_t first = start(r, r->s0 + 1), n = length(r, r->s0 + 1);

	for (size_t s = r->s0 + 2; s < r->s1; s++)
		n = length(r, s) < n ? length(r, s) : n;
	if (!n--)
		return 0;
	for (size_t s = r->s0 + 2; s < r->s1; s++) {
		size_t at = start(r, s), j = 0;

		while (j < n && r->b->ids[first + j] == r->b->ids[at + j] &&
		       r->b->mask[first + j] == r->b->mask[at + j])
			j++;
		n = j;
	}
	return n;
}

/* Tokens [j, end) of segment s, of which pass token t is number j; each is
   predicted by the one before it. */
static void predict_run(struct ft_pass *p, const struct row *r, size_t s,
			size_t j, size_t end, size_t t, size_t of)
{
	for (; j < end; j++, t++) {
		if (r->all || r->b->mask[start(r, s) + j])
			predict(p, t - 1, t, at_of(r, s, j), of);
	}
}

/*
 * A branch's first token is predicted by the prefix's last one; those come
 * before the rest of the branches, so that src ascends and equal ones stand
 * together.
 */
static void predictions(struct ft_pass *p, const struct row *r, size_t seg0)
{
	const struct ftk_segment *seg = p->seg + seg0;
	size_t t0 = (size_t)seg->q0, np = length(r, r->s0), n = r->common;
	size_t last = t0 + (size_t)seg->nq - 1;

	predict_run(p, r, r->s0 + 1, np ? 0 : 1, n, t0 + np + !np, seg0);
	for (size_t s = r->s0 + 1; s < r->s1 && np + n; s++) {
		size_t at = start(r, s) + n;

		if (length(r, s) > n && (r->all || r->b->mask[at]))
			predict(p, last, (size_t)seg[s - r->s0].q0,
				at_of(r, s, n), seg0 + s - r->s0);
	}
	for (size_t s = r->s0 + 1; s < r->s1; s++)
		predict_run(p, r, s, n + 1, length(r, s),
			    (size_t)seg[s - r->s0].q0 + 1, seg0 + s - r->s0);
}

/* Tokens [j, end) of segment s, as number `branch' of its row. */
static void add_tokens(struct ft_pass *p, const struct row *r, size_t s,
		       size_t j, size_t end, size_t branch)
{
	size_t np = s > r->s0 ? length(r, r->s0) : 0;

	for (; j < end; j++, p->t++) {
		size_t pos = np + j;

		p->ids[p->t] = r->b->ids[start(r, s) + j];
		p->pos[p->t] = (int32_t)pos;
		p->key[p->t] = (uint64_t)r->b->row[r->i] << 32 |
			       (uint64_t)(branch & 0xff) << 24 |
			       (pos & 0xffffff);
		if (pos + 1 > p->maxpos)
			p->maxpos = pos + 1;
	}
}

static void add_segment(struct ft_pass *p, size_t q0, size_t p0, size_t np)
{
	p->seg[p->nseg++] = (struct ftk_segment){.q0 = (int32_t)q0,
						 .nq = (int32_t)(p->t - q0),
						 .k0 = (int32_t)q0,
						 .nk = (int32_t)(p->t - q0),
						 .p0 = (int32_t)p0,
						 .np = (int32_t)np};
}

void ft_pass_add(struct ft_pass *p, const struct ft_tokens *b, size_t i,
		 bool all)
{
	struct row r = {.b = b,
			.i = i,
			.s0 = (size_t)b->cu_rows[i],
			.s1 = (size_t)b->cu_rows[i + 1],
			.all = all,
			.given = p->given};
	size_t t0 = p->t, seg0 = p->nseg, n = start(&r, r.s1) - start(&r, r.s0);

	grow(p, n, r.s1 - r.s0);
	p->given += n;
	if (p->share && r.s1 - r.s0 > 2)
		r.common = common(&r);
	add_tokens(p, &r, r.s0, 0, length(&r, r.s0), 0);
	if (r.common)
		add_tokens(p, &r, r.s0 + 1, 0, r.common, 0);
	add_segment(p, t0, t0, 0);
	for (size_t s = r.s0 + 1; s < r.s1; s++) {
		size_t q0 = p->t;

		add_tokens(p, &r, s, r.common, length(&r, s), s - r.s0);
		add_segment(p, q0, t0, (size_t)p->seg[seg0].nq);
	}
	predictions(p, &r, seg0);
}
