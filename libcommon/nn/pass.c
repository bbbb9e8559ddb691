/* SPDX-License-Identifier: MIT */
/* From rows of prefix + branches to what a forward reads. */
#include <stdlib.h>

#include "libcommon/base/mem.h"
#include "libcommon/nn/model.h"

void ft_pass_clear(struct ft_pass *p)
{
	p->t = p->nseg = p->n = p->maxpos = 0;
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

static void predict(struct ft_pass *p, size_t src, size_t at, size_t of)
{
	p->src[p->n] = (int32_t)src;
	p->at[p->n] = (int32_t)at;
	p->of[p->n] = (int32_t)of;
	p->target[p->n++] = p->ids[at];
}

/*
 * A branch's first token is predicted by the prefix's last one; those come
 * first, so that src ascends and equal ones stand together.
 */
static void predictions(struct ft_pass *p, const struct ft_tokens *b, size_t i,
			size_t seg0, bool all)
{
	size_t s0 = (size_t)b->cu_rows[i], s1 = (size_t)b->cu_rows[i + 1];
	size_t base = (size_t)b->cu_seqlens[s0];
	size_t t0 = (size_t)p->seg[seg0].q0;
	size_t np = (size_t)p->seg[seg0].nq;

	for (size_t s = s0 + 1; s < s1; s++) {
		size_t j = (size_t)b->cu_seqlens[s];

		if (np && j < (size_t)b->cu_seqlens[s + 1] &&
		    (all || b->mask[j]))
			predict(p, t0 + np - 1, t0 + j - base, seg0 + s - s0);
	}
	for (size_t s = s0 + 1; s < s1; s++) {
		size_t j = (size_t)b->cu_seqlens[s] + 1;

		for (; j < (size_t)b->cu_seqlens[s + 1]; j++) {
			if (all || b->mask[j])
				predict(p, t0 + j - base - 1, t0 + j - base,
					seg0 + s - s0);
		}
	}
}

void ft_pass_add(struct ft_pass *p, const struct ft_tokens *b, size_t i,
		 bool all)
{
	size_t s0 = (size_t)b->cu_rows[i], s1 = (size_t)b->cu_rows[i + 1];
	size_t t0 = p->t, seg0 = p->nseg, np = 0;

	grow(p, (size_t)(b->cu_seqlens[s1] - b->cu_seqlens[s0]), s1 - s0);
	for (size_t s = s0; s < s1; s++) {
		size_t from = (size_t)b->cu_seqlens[s];
		size_t n = (size_t)b->cu_seqlens[s + 1] - from;
		bool branch = s > s0;
		int32_t q0 = (int32_t)p->t;

		p->seg[p->nseg++] =
			(struct ftk_segment){.q0 = q0,
					     .nq = (int32_t)n,
					     .k0 = q0,
					     .nk = (int32_t)n,
					     .p0 = (int32_t)t0,
					     .np = branch ? (int32_t)np : 0};
		for (size_t j = 0; j < n; j++, p->t++) {
			size_t pos = j + (branch ? np : 0);

			p->ids[p->t] = b->ids[from + j];
			p->pos[p->t] = (int32_t)pos;
			p->key[p->t] = (uint64_t)b->row[i] << 32 |
				       (uint64_t)((s - s0) & 0xff) << 24 |
				       (pos & 0xffffff);
			if (pos + 1 > p->maxpos)
				p->maxpos = pos + 1;
		}
		if (!branch)
			np = n;
	}
	predictions(p, b, i, seg0, all);
}
