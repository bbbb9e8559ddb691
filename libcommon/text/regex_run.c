/* SPDX-License-Identifier: MIT */
/* Regular expressions: a program over a text, by backtracking. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/text/regex_priv.h"

/*
 * A way that was not taken: go on with pc at p.  Of a RUN also at every
 * character before it, down to low (NULL: just p); from hi down it failed.
 */
struct ft_regex_branch {
	uint32_t pc;
	const char *p, *low, *hi;
};

/* Of a RUN: the characters of its set in one go, and the ends of it with which
   the rest of the expression is known to fail. */
struct ft_regex_memo {
	const char *from, *to;
	const char *fail_from, *fail_to; /* both inclusive; NULL: none */
};

/* Steps beyond which branches are remembered, by byte of the text. */
enum { PATIENCE = 64 };

void ft_regex_begin(struct ft_regex_run *r, const struct ft_regex *re,
		    const char *begin, const char *end)
{
	r->re = re;
	r->begin = begin;
	r->end = end;
	r->n = 0;
	r->steps = 0;
	free(r->tried);
	r->tried = NULL;
	if (r->capmemo < re->nrun) {
		r->memo = ft_xrealloc(r->memo, re->nrun, sizeof(*r->memo));
		r->capmemo = re->nrun;
	}
	if (re->nrun)
		memset(r->memo, 0, re->nrun * sizeof(*r->memo));
}

void ft_regex_run_release(struct ft_regex_run *r)
{
	free(r->memo);
	free(r->stack);
	free(r->tried);
	memset(r, 0, sizeof(*r));
}

static bool in_set(const struct ft_regex_run *r, uint32_t set, const char **p)
{
	return ft_rx_in(&r->re->set[set], ft_utf8_next(p));
}

static void push(struct ft_regex_run *r, uint32_t pc, const char *p,
		 const char *low)
{
	FT_GROW(r->stack, r->n, r->cap, 1);
	r->stack[r->n++] = (struct ft_regex_branch){pc, p, low, p};
}

/* Where the characters of the set end, from p on; at most max of them. */
static const char *run_end(struct ft_regex_run *r, const struct ft_rx_insn *i,
			   const char *p)
{
	struct ft_regex_memo *m = &r->memo[i->memo];
	bool any = i->max == UINT32_MAX;
	const char *from = p;
	uint32_t n = 0;

	if (any && m->from && p >= m->from && p < m->to)
		return m->to;
	while (p < r->end && n < i->max) {
		const char *q = p;

		if (any && p == m->from) {
			p = m->to;
			break;
		}
		if (!in_set(r, i->set, &q))
			break;
		p = q;
		n++;
	}
	r->steps += n;
	if (any && p > from) {
		m->from = from;
		m->to = p;
	}
	return p;
}

/* An end at p has failed already: the one below those that did. */
static const char *below_failed(const struct ft_regex_memo *m, const char *p,
				const char *low)
{
	if (!m->fail_from || p < m->fail_from || p > m->fail_to)
		return p;
	return m->fail_from > low ? ft_utf8_prev(m->fail_from) : NULL;
}

/* As many as there are; NULL when that is less than min. */
static const char *take_run(struct ft_regex_run *r, uint32_t pc, const char *p)
{
	const struct ft_rx_insn *i = &r->re->insn[pc];
	const char *hi = run_end(r, i, p), *low = p;

	for (uint32_t n = 0; n < i->min; n++) {
		if (low == hi)
			return NULL;
		ft_utf8_next(&low);
	}
	if (i->possessive || (hi == low && i->max != UINT32_MAX))
		return hi;
	/* pushed even if there is nothing to give back: that it failed is
	   noted when it is popped */
	hi = below_failed(&r->memo[i->memo], hi, low);
	if (hi)
		push(r, pc + 1, hi, low);
	return hi;
}

/* Has this branch been gone before?  Only asked once it takes long. */
static bool tried(struct ft_regex_run *r, uint32_t split, const char *p)
{
	size_t n = (size_t)(r->end - r->begin) + 1;
	size_t bit = (size_t)(p - r->begin) * r->re->nsplit + split;

	if (!r->tried) {
		if (r->steps < PATIENCE * n)
			return false;
		r->tried = ft_xcalloc(n * r->re->nsplit / 64 + 1, 8);
	}
	if (r->tried[bit >> 6] >> (bit & 63) & 1)
		return true;
	r->tried[bit >> 6] |= 1ull << (bit & 63);
	return false;
}

/* Ends from p up to hi have failed: joined with those known, if they touch. */
static void note_failed(const struct ft_regex_run *r, struct ft_regex_memo *m,
			const char *p, const char *hi)
{
	const char *from = m->fail_from, *below = from;

	if (from && from > r->begin)
		below = ft_utf8_prev(from);
	if (!from || below > hi || m->fail_to < p) {
		m->fail_from = p;
		m->fail_to = hi;
		return;
	}
	m->fail_from = p < from ? p : from;
	m->fail_to = hi > m->fail_to ? hi : m->fail_to;
}

/* The next shorter end of a RUN: false when all have failed. */
static bool shorten(struct ft_regex_run *r, struct ft_regex_branch *b,
		    uint32_t *pc, const char **p)
{
	struct ft_regex_memo *m = &r->memo[r->re->insn[b->pc - 1].memo];
	const char *q;

	note_failed(r, m, b->p, b->hi);
	if (b->p <= b->low)
		return false;
	q = below_failed(m, ft_utf8_prev(b->p), b->low);
	if (!q || q < b->low)
		return false;
	b->p = q;
	*pc = b->pc;
	*p = q;
	return true;
}

static bool go_back(struct ft_regex_run *r, uint32_t *pc, const char **p)
{
	while (r->n) {
		struct ft_regex_branch *b = &r->stack[r->n - 1];

		r->steps++;
		if (b->low) {
			if (shorten(r, b, pc, p))
				return true;
			r->n--;
			continue;
		}
		r->n--;
		*pc = b->pc;
		*p = b->p;
		return true;
	}
	return false;
}

/* One instruction; false when it fails. */
static bool step(struct ft_regex_run *r, uint32_t *pc, const char **p)
{
	const struct ft_rx_insn *i = &r->re->insn[*pc];
	const char *q = *p;

	switch (i->op) {
	case FT_RX_SET:
		if (q == r->end || !in_set(r, i->set, p))
			return false;
		break;
	case FT_RX_RUN:
		q = take_run(r, *pc, q);
		if (!q)
			return false;
		*p = q;
		break;
	case FT_RX_SPLIT:
		if (tried(r, i->memo, q))
			return false;
		push(r, i->y, q, NULL);
		*pc = i->x;
		return true;
	case FT_RX_JUMP:
		*pc = i->x;
		return true;
	case FT_RX_AHEAD:
		if (q == r->end || !in_set(r, i->set, &q))
			return false;
		break;
	case FT_RX_BEHIND:
		if (q < r->end && in_set(r, i->set, &q))
			return false;
		break;
	case FT_RX_EOL:
		if (q < r->end && *q != '\n')
			return false;
		break;
	case FT_RX_MATCH:
		break;
	}
	++*pc;
	return true;
}

/* The end of the match that begins at p, or NULL. */
static const char *match_at(struct ft_regex_run *r, const char *p)
{
	uint32_t pc = 0;

	r->n = 0;
	while (r->re->insn[pc].op != FT_RX_MATCH) {
		r->steps++;
		if (!step(r, &pc, &p) && !go_back(r, &pc, &p))
			return NULL;
	}
	return p;
}

bool ft_regex_next(struct ft_regex_run *r, const char *p, const char **a,
		   const char **z)
{
	const bool *first = r->re->first;

	for (; p < r->end; p++) {
		const char *end;

		if (!first[(unsigned char)*p])
			continue;
		end = match_at(r, p);
		if (end) {
			*a = p;
			*z = end;
			return true;
		}
	}
	return false;
}
