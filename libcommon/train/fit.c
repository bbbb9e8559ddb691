/* SPDX-License-Identifier: MIT */
#include "libcommon/train/fit.h"

#include <stdlib.h>

#include "libcommon/base/mem.h"

/* Fewer tokens at a time make products slow. */
enum { ENOUGH = 512 };

struct choice {
	size_t tokens, light, heavy;
};

/* The largest micro-batch of a data set, whichever of its rows, at most so
   many, come together. */
static void most(const struct ft_data *d, size_t rows, size_t micro,
		 struct ft_reserve *r)
{
	size_t t = d->longest > micro ? d->longest : micro, segs;

	if (rows > d->b.nrow)
		rows = d->b.nrow;
	if (d->longest && t / d->longest >= rows)
		t = rows * d->longest;
	if (t > d->b.ntok)
		t = d->b.ntok;
	/* every row but the first adds at least one token */
	segs = (t < rows ? t : rows) * ft_data_segments(d);
	if (t > r->t)
		r->t = t;
	if (segs > r->nseg)
		r->nseg = segs;
	r->n = r->t;
	if (d->longest > r->positions)
		r->positions = d->longest;
}

static struct ft_reserve room(const struct ft_trainer *t,
			      const struct choice *c)
{
	struct ft_reserve r = {.save = true,
			       .slopes = t->method->slopes,
			       .light = c->light,
			       .heavy = c->heavy};

	ft_reserve_adapter(&r, t->run.adapter);
	most(&t->data, t->data.per_step, c->tokens, &r);
	if (t->has_eval)
		most(&t->eval, t->eval.b.nrow, c->tokens, &r);
	return r;
}

static void lay_rows(struct ft_trainer *t, size_t n, struct ft_carve *c)
{
	c->part = FT_PLAN_WORK;
	t->logp = ft_take(c, n, sizeof(*t->logp));
	t->coef = ft_take(c, n, sizeof(*t->coef));
	t->entropy = ft_take(c, n, sizeof(*t->entropy));
	t->hit = ft_take(c, n, sizeof(*t->hit));
}

static int count(struct ft_trainer *t, const struct choice *how, bool more,
		 struct ft_plan *p, struct ft_err *err)
{
	struct ft_reserve r = room(t, how);
	struct ft_carve c = {.plan = p};

	*p = (struct ft_plan){.tokens = r.t,
			      .layers = ft_model_config(t->l.model)->layers,
			      .light = r.light,
			      .heavy = r.heavy,
			      .trains = true};
	p->part[FT_PLAN_PROGRAM] = FT_PLAN_LEAST;
	ft_model_plan_weights(t->l.model, p);
	if (t->run.adapter)
		ft_adapter_plan(&t->l.adapter, t->l.model, FT_PLAN_ADAPTER, p);
	ft_optimizer_plan(t->block, t->l.k, t->o, p);
	ft_model_plan_acts(t->l.model, &r, more, p);
	ft_pass_plan(r.t, r.nseg, p);
	lay_rows(t, r.n, &c);
	ft_data_plan(&t->data, p);
	if (t->has_eval) {
		ft_data_plan(&t->eval, p);
		c.part = FT_PLAN_DATA;
		ft_take(&c, t->eval.b.nrow, sizeof(*t->eval_rows));
	}
	return t->method->plan ? t->method->plan(t, &r, more, p, err) : 0;
}

/* 1: it fits; 0: it takes *total. */
static int fits(struct ft_trainer *t, const struct choice *c, size_t *total,
		struct ft_err *err)
{
	struct ft_plan p;

	if (count(t, c, false, &p, err) < 0)
		return -1;
	*total = ft_plan_total(&p);
	return *total <= t->o->budget;
}

/* Halve the micro-batch while that helps, but not below least. */
static int halve(struct ft_trainer *t, struct choice *c, size_t least,
		 size_t *total, struct ft_err *err)
{
	size_t row = t->data.longest;
	int rc;

	if (t->has_eval && t->eval.longest > row)
		row = t->eval.longest;
	while (!(rc = fits(t, c, total, err)) && c->tokens / 2 >= least &&
	       c->tokens > row)
		c->tokens /= 2;
	return rc;
}

/* The fewest layers that do, by steps: first each in part, then whole ones. */
static int fewest(struct ft_trainer *t, struct choice *c, size_t last,
		  struct ft_err *err)
{
	size_t lo = 0, hi = 2 * last, total;
	int rc;

	while (lo <= hi) {
		size_t mid = lo + (hi - lo) / 2;

		c->light = mid < last ? mid : last;
		c->heavy = mid - c->light;
		rc = fits(t, c, &total, err);
		if (rc < 0)
			return -1;
		if (rc && !mid)
			return 1;
		if (rc)
			hi = mid - 1;
		else
			lo = mid + 1;
	}
	c->light = lo < last ? lo : last;
	c->heavy = lo - c->light < last ? lo - c->light : last;
	return lo <= 2 * last;
}

static int choose(struct ft_trainer *t, struct choice *c, struct ft_err *err)
{
	size_t last = ft_model_config(t->l.model)->layers - 1, total;
	bool free = !t->o->checkpointing && last;
	int rc = halve(t, c, ENOUGH, &total, err);

	if (!rc && free)
		rc = fewest(t, c, last, err);
	if (!rc) {
		c->light = c->heavy = last;
		rc = halve(t, c, 1, &total, err);
		if (rc > 0 && free)
			rc = fewest(t, c, last, err);
	}
	return rc ? rc : ft_plan_refuse(t->o->budget, total, err);
}

int ft_fit(struct ft_trainer *t, struct ft_err *err)
{
	struct ft_train_opts *o = t->o;
	struct choice c = {.tokens = (size_t)o->micro_tokens};

	if (o->checkpointing)
		c.light = c.heavy = ft_model_config(t->l.model)->layers - 1;
	if (o->budget && choose(t, &c, err) < 0)
		return -1;
	o->micro_tokens = (int64_t)c.tokens;
	t->room = room(t, &c);
	if (count(t, &c, true, &t->plan, err) < 0)
		return -1;
	/* more threads than plans have room for */
	if (o->budget && ft_plan_total(&t->plan) > o->budget)
		return ft_plan_refuse(o->budget, ft_plan_total(&t->plan), err);
	return 0;
}

int ft_fit_take(struct ft_trainer *t, struct ft_err *err)
{
	struct ft_carve c = {0};

	lay_rows(t, t->room.n, &c);
	t->rows = ft_xmalloc(c.n);
	c = (struct ft_carve){.base = t->rows};
	lay_rows(t, t->room.n, &c);
	ft_pass_reserve(&t->pass, t->room.t, t->room.nseg);
	return ft_model_reserve(t->l.model, &t->room, err);
}
