/* SPDX-License-Identifier: MIT */
#include "libcommon/train/optim.h"

#include <math.h>
#include <string.h>

static void carve(struct ft_optimizer *p, struct ft_carve *c)
{
	const struct ft_train_opts *o = p->o;
	struct ftk *k = p->b->k;
	bool adam = o->optim == FT_OPTIM_ADAMW;
	size_t n = p->b->n;

	c->part = FT_PLAN_MOMENTS;
	if (adam || o->momentum > 0)
		p->m = ft_take(c, n, k->real_size);
	if (adam)
		p->v = ft_take(c, n, k->real_size);
	p->nmem = c->n;
	c->part = FT_PLAN_WORK;
	p->ws = ft_take(c, k->sumsq_ws(k, &(struct ftk_sumsq){.n = n}), 1);
}

void ft_optimizer_plan(struct ft_block *b, struct ftk *k,
		       const struct ft_train_opts *o, struct ft_plan *plan)
{
	struct ft_block of = {.n = b->n, .k = k};
	struct ft_optimizer p = {.b = &of, .o = o};
	struct ft_carve c = {.plan = plan};

	carve(&p, &c);
	c.part = FT_PLAN_GRADIENTS;
	ft_take(&c, b->n, k->real_size);
}

int ft_optimizer_init(struct ft_optimizer *p, struct ft_block *b,
		      const struct ft_train_opts *o, struct ft_err *err)
{
	struct ftk *k = b->k;
	struct ft_carve c = {0};

	*p = (struct ft_optimizer){.b = b, .o = o};
	if (ft_block_grad(b, err) < 0)
		return -1;
	carve(p, &c);
	p->mem = k->alloc(k, c.n + 1);
	if (!p->mem)
		return ft_err_set(err, FT_EXIT_SYS,
				  "no memory for the optimizer");
	c = (struct ft_carve){.base = p->mem};
	carve(p, &c);
	k->zero(k, p->mem, p->nmem);
	return 0;
}

void ft_optimizer_release(struct ft_optimizer *p)
{
	if (p->mem)
		p->b->k->free(p->b->k, p->mem);
	*p = (struct ft_optimizer){0};
}

double ft_optimizer_norm(struct ft_optimizer *p)
{
	struct ftk *k = p->b->k;
	double sum = 0;

	k->sumsq(k,
		 &(struct ftk_sumsq){
			 .out = &sum, .x = p->b->g, .n = p->b->n, .ws = p->ws});
	k->sync(k);
	return sqrt(sum);
}

static void update(struct ft_optimizer *p, size_t off, size_t n, double decay,
		   double lr, double gscale)
{
	const struct ft_train_opts *o = p->o;
	struct ft_block *b = p->b;
	struct ftk *k = b->k;

	if (o->optim == FT_OPTIM_ADAMW)
		k->adamw(k, &(struct ftk_adamw){.p = ft_block_at(b, b->p, off),
						.m = ft_block_at(b, p->m, off),
						.v = ft_block_at(b, p->v, off),
						.g = ft_block_at(b, b->g, off),
						.n = n,
						.lr = (float)lr,
						.beta1 = (float)o->beta1,
						.beta2 = (float)o->beta2,
						.eps = (float)o->eps,
						.decay = (float)decay,
						.gscale = (float)gscale,
						.t = p->t});
	else
		k->sgd(k, &(struct ftk_sgd){
				  .p = ft_block_at(b, b->p, off),
				  .m = p->m ? ft_block_at(b, p->m, off) : NULL,
				  .g = ft_block_at(b, b->g, off),
				  .n = n,
				  .lr = (float)lr,
				  .momentum = (float)o->momentum,
				  .decay = (float)decay,
				  .gscale = (float)gscale,
				  .t = p->t});
}

void ft_optimizer_step(struct ft_optimizer *p, double lr, double gscale)
{
	const struct ft_block *b = p->b;
	size_t i = 0, j;

	p->t++;
	/* neighbours that decay alike go together */
	for (; i < b->nt; i = j) {
		bool decay = b->t[i].decay;
		size_t end;

		for (j = i + 1; j < b->nt; j++) {
			if (p->o->decay > 0 && b->t[j].decay != decay)
				break;
		}
		end = j < b->nt ? b->t[j].off : b->n;
		update(p, b->t[i].off, end - b->t[i].off,
		       decay ? p->o->decay : 0, lr, gscale);
	}
}

void ft_optimizer_zero(struct ft_optimizer *p)
{
	p->b->k->zero(p->b->k, p->b->g, p->b->n * p->b->k->real_size);
}

static int arrays(const struct ft_optimizer *p, const void **base,
		  const char **prefix)
{
	int n = 0;

	if (p->m) {
		base[n] = p->m;
		prefix[n++] = "exp_avg.";
	}
	if (p->v) {
		base[n] = p->v;
		prefix[n++] = "exp_avg_sq.";
	}
	return n;
}

int ft_optimizer_save(const struct ft_optimizer *p, const char *path,
		      struct ft_err *err)
{
	const void *base[2];
	const char *prefix[2];
	int n = arrays(p, base, prefix);

	return ft_block_save2(p->b, base, prefix, n, path, FT_F32, err);
}

int ft_optimizer_load(struct ft_optimizer *p, const char *path,
		      struct ft_err *err)
{
	const void *base[2];
	const char *prefix[2];
	int n = arrays(p, base, prefix), rc;
	struct ft_st st = {0};

	rc = ft_st_open(&st, path, err);
	for (int i = 0; i < n && !rc; i++)
		rc = ft_block_load(p->b, (void *)base[i], &st, prefix[i], err);
	ft_st_release(&st);
	return rc < 0 ? ft_err_at(err, path, 0) : 0;
}

int64_t ft_warmup_steps(const struct ft_train_opts *o, int64_t total)
{
	if (o->schedule == FT_SCHED_CONSTANT)
		return 0;
	if (o->warmup_steps >= 1)
		return (int64_t)o->warmup_steps;
	return (int64_t)ceil((double)total * (o->warmup_steps > 0
						      ? o->warmup_steps
						      : o->warmup_ratio));
}

double ft_learning_rate(const struct ft_train_opts *o, int64_t step,
			int64_t total)
{
	int64_t warm = ft_warmup_steps(o, total);
	int64_t rest = total - warm > 1 ? total - warm : 1;
	double p = (double)(step - warm) / (double)rest;

	if (step < warm)
		return o->lr * (double)step / (double)(warm > 1 ? warm : 1);
	switch ((enum ft_schedule)o->schedule) {
	case FT_SCHED_LINEAR:
		return p < 1 ? o->lr * (1 - p) : 0;
	case FT_SCHED_COSINE:
		return p < 1 ? o->lr * 0.5 * (1 + cos(M_PI * p)) : 0;
	case FT_SCHED_CONSTANT:
	case FT_SCHED_CONSTANT_WARMUP:
		break;
	}
	return o->lr;
}
