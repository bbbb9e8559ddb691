/* SPDX-License-Identifier: MIT */
/* Pairs of answers that a model gave. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "tools/ft-pairgen/pairgen.h"

struct sample {
	struct ft_row row;
	const char *key;
	size_t order; /* among all */
	double score;
};

struct samples {
	struct ft_arena arena;
	struct sample *v; /* sorted by key, then order; owned */
	size_t n, cap;
	size_t *fit; /* of samples_find; owned */
	size_t nfit, capfit;
};

static int by_key(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;
	int c = strcmp(x->key, y->key);

	return c ? c : (x->order > y->order) - (x->order < y->order);
}

static struct sample *add(struct samples *s, const struct ft_row *row,
			  const struct ft_str *key)
{
	struct ft_err err;
	struct sample *p;

	FT_GROW(s->v, s->n, s->cap, 1);
	p = &s->v[s->n];
	*p = (struct sample){.order = s->n};
	if (ft_row_copy(&s->arena, row, &p->row, &err))
		ft_die_err(&err);
	p->key = ft_arena_strndup(&s->arena, ft_str_cstr(key), key->n);
	s->n++;
	return p;
}

/* --- own samples ---------------------------------------------------------- */

struct samples *samples_load(struct pairgen *g)
{
	struct samples *s = ft_xcalloc(1, sizeof(*s));
	char *file = ft_xstrdup(g->rejected_from);
	struct ft_str key = {0};
	struct ft_rows *rows;
	struct ft_row row;
	struct ft_err err;
	double score = 0;
	int k;

	if (ft_rows_open(&rows, &file, 1, NULL, &err))
		ft_die_err(&err);
	while ((k = ft_rows_next(rows, &row, &err)) > 0) {
		need_text(&row, "completion");
		if (g->max_reward_given && !get_score(g, &row, true, &score)) {
			g->unscored++;
			continue;
		}
		ft_str_clear(&key);
		ft_row_key(&row, false, &key);
		add(s, &row, &key)->score = score;
	}
	if (k < 0)
		ft_die_err(&err);
	if (s->n)
		qsort(s->v, s->n, sizeof(*s->v), by_key);
	ft_rows_close(rows);
	ft_str_release(&key);
	free(file);
	return s;
}

void samples_free(struct samples *s)
{
	if (!s)
		return;
	ft_arena_release(&s->arena);
	free(s->v);
	free(s->fit);
	free(s);
}

static const struct ft_json *answer(const struct sample *p)
{
	return ft_json_get(p->row.obj, "completion");
}

size_t samples_find(struct samples *s, const struct pairgen *g,
		    const struct ft_row *row, const struct ft_json *chosen)
{
	struct ft_str key = {0};
	size_t lo = 0, hi = s->n;

	ft_row_key(row, false, &key);
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(s->v[mid].key, ft_str_cstr(&key)) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	s->nfit = 0;
	for (; lo < s->n && !strcmp(s->v[lo].key, ft_str_cstr(&key)); lo++) {
		const struct ft_json *a = answer(&s->v[lo]);

		if (same_text(a->s, a->ns, chosen->s, chosen->ns) ||
		    (g->max_reward_given && s->v[lo].score > g->max_reward))
			continue;
		FT_GROW(s->fit, s->nfit, s->capfit, 1);
		s->fit[s->nfit++] = lo;
	}
	ft_str_release(&key);
	return s->nfit;
}

const struct ft_json *samples_at(const struct samples *s, size_t i)
{
	return answer(&s->v[s->fit[i]]);
}

/* --- scored --------------------------------------------------------------- */

static int by_score(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;

	if (x->score != y->score)
		return x->score < y->score ? 1 : -1;
	return (x->order > y->order) - (x->order < y->order);
}

struct group {
	size_t at, n;
	size_t order; /* of its first row */
};

static int by_order(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	return (x->order > y->order) - (x->order < y->order);
}

/* The samples of a prompt, best first: best against worst, then those next to
   them. */
static void pair_group(struct pairgen *g, struct sample *v, size_t n)
{
	struct ft_row first = v[0].row; /* sorted away in a moment */
	int64_t made = 0;

	g->nmade = 0;
	qsort(v, n, sizeof(*v), by_score);
	for (size_t i = 0; i < n / 2 && made < g->per_row; i++) {
		const struct ft_json *a = answer(&v[i]);
		const struct ft_json *b = answer(&v[n - 1 - i]);
		double gap = v[i].score - v[n - 1 - i].score;

		if (!(gap > 0) || gap < g->min_gap)
			break;
		if (!same_text(a->s, a->ns, b->s, b->ns))
			made += put_pair(g, &v[i].row, &first, KIND_SCORED, a,
					 b->s, b->ns);
	}
	if (!made)
		no_pair(g, &first, "its answers do not differ enough");
}

/* A row without id belongs to its prompt. */
static void key_of(const struct ft_row *row, struct ft_str *key)
{
	const struct ft_json *prompt = need_text(row, "prompt");
	const struct ft_json *id = ft_json_get(row->obj, "id");

	ft_str_clear(key);
	if (id && id->type != FT_JSON_NULL)
		ft_row_key(row, false, key);
	else
		ft_str_addf(key, "\t%.*s", (int)prompt->nraw, prompt->raw);
}

/* Groups in the order in which their first rows came. */
static void pair_groups(struct pairgen *g, struct samples *s)
{
	struct group *v = NULL;
	size_t n = 0, cap = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (i && !strcmp(s->v[i].key, s->v[i - 1].key)) {
			v[n - 1].n++;
			continue;
		}
		FT_GROW(v, n, cap, 1);
		v[n++] =
			(struct group){.at = i, .n = 1, .order = s->v[i].order};
	}
	qsort(v, n, sizeof(*v), by_order);
	for (size_t i = 0; i < n; i++)
		pair_group(g, s->v + v[i].at, v[i].n);
	free(v);
}

void pair_scored(struct pairgen *g, struct ft_rows *rows)
{
	struct samples s = {0};
	struct ft_str key = {0};
	struct ft_row row;
	struct ft_err err;
	double score;
	int k;

	while ((k = ft_rows_next(rows, &row, &err)) > 0) {
		g->rows++;
		need_text(&row, "completion");
		if (!get_score(g, &row, true, &score)) {
			g->unscored++;
			continue;
		}
		key_of(&row, &key);
		add(&s, &row, &key)->score = score;
	}
	if (k < 0)
		ft_die_err(&err);
	if (s.n) {
		qsort(s.v, s.n, sizeof(*s.v), by_key);
		pair_groups(g, &s);
	}
	ft_arena_release(&s.arena);
	free(s.v);
	ft_str_release(&key);
}
