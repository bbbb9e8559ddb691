/* SPDX-License-Identifier: MIT */
/* Schedules as transformers 5.23 has them, AdamW and SGD as torch 2.15: the
   numbers below are theirs (get_..._schedule..., torch.optim in float64). */
#include "libcommon/train/optim.h"

#include <math.h>
#include <string.h>

#include "tests/lib/model.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

static void course(int schedule, double warmup, const double *b,
		   const char *name)
{
	struct ft_train_opts o = FT_TRAIN_DEFAULTS;
	double far = 0;

	o.lr = 1;
	o.schedule = schedule;
	o.warmup_steps = warmup;
	o.warmup_ratio = 0;
	for (int64_t i = 0; i < 11; i++)
		far = fmax(far, fabs(ft_learning_rate(&o, i, 10) - b[i]));
	CHECK(far < 1e-15, "%s: %.1e", name, far);
}

static void schedules(void)
{
	static const double linear[] = {0,
					0.33333333333333331,
					0.66666666666666663,
					1,
					0.8571428571428571,
					0.7142857142857143,
					0.5714285714285714,
					0.42857142857142855,
					0.2857142857142857,
					0.14285714285714285,
					0};
	static const double cold[] = {1,   0.9, 0.8, 0.7, 0.6, 0.5,
				      0.4, 0.3, 0.2, 0.1, 0};
	static const double cosine[] = {0,
					0.33333333333333331,
					0.66666666666666663,
					1,
					0.95048443395120952,
					0.8117449009293668,
					0.61126046697815717,
					0.38873953302184283,
					0.18825509907063326,
					0.049515566048790483,
					0};
	static const double constant[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
	static const double warm[] = {0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1};

	course(FT_SCHED_LINEAR, 3, linear, "linear, 3 steps of warmup");
	course(FT_SCHED_LINEAR, 0, cold, "linear without");
	course(FT_SCHED_COSINE, 3, cosine, "cosine, 3 steps of warmup");
	course(FT_SCHED_CONSTANT, 3, constant, "constant has no warmup");
	course(FT_SCHED_CONSTANT_WARMUP, 4, warm, "constant with warmup");
}

static void warmups(void)
{
	struct ft_train_opts o = FT_TRAIN_DEFAULTS;

	o.warmup_ratio = 0.03;
	CHECK(ft_warmup_steps(&o, 100) == 3 && ft_warmup_steps(&o, 101) == 4 &&
		      ft_warmup_steps(&o, 1) == 1,
	      "a ratio is rounded up");
	o.warmup_steps = 7;
	CHECK(ft_warmup_steps(&o, 100) == 7, "steps beat the ratio");
	o.warmup_steps = 2.9;
	CHECK(ft_warmup_steps(&o, 100) == 2, "of which part of one is none");
	o.warmup_steps = 0.1;
	CHECK(ft_warmup_steps(&o, 95) == 10, "steps below 1 are a ratio");
	o.warmup_steps = o.warmup_ratio = 0;
	CHECK(ft_warmup_steps(&o, 100) == 0, "none");
	o.schedule = FT_SCHED_CONSTANT;
	o.warmup_steps = 7;
	CHECK(ft_warmup_steps(&o, 100) == 0, "constant: none whatever is said");
}

enum { N = 4, STEPS = 3 };
static const float start[N] = {1, -2, 3, 0.5f};
static const float grads[STEPS][N] = {{0.5f, -1, 1e-3f, 0},
				      {0.25f, 3, -2e-3f, 0},
				      {-0.5f, 0.125f, 1e-3f, 1e-9f}};
static const double adamw[STEPS][N] = {
	{0.98900000020000001, -1.9880000001, 2.9870000999989998, 0.4995},
	{0.97868920404754622, -1.9909538984107744, 2.9876741120185595,
	 0.49900050000000001},
	{0.97660268415586182, -1.9930325168452345, 2.9846603455877139,
	 0.49815264689897831}};
static const double adam[STEPS][N] = {
	{0.99000000020000001, -1.9900000001, 2.990000099999, 0.5},
	{0.98067820404774619, -1.9949418984108744, 2.9936611121185588, 0.5},
	{0.97957037336010933, -1.9990114707437454, 2.9936350197997319,
	 0.49965114739897831}};
static const double momentum[STEPS][N] = {
	{0.93999999999999995, -1.8799999999999999, 2.9699, 0.495},
	{0.85159999999999991, -2.0531999999999999, 2.9133109999999998,
	 0.48554999999999998},
	{0.81352399999999991, -2.2010480000000001, 2.8331477899999999,
	 0.47218949989999998}};
static const double sgd[STEPS][N] = {
	{0.94999999999999996, -1.8999999999999999, 2.9998999999999998, 0.5},
	{0.92499999999999993, -2.1999999999999997, 3.0000999999999998, 0.5},
	{0.97499999999999998, -2.2124999999999999, 2.9999999999999996,
	 0.49999999989999999}};

/* A matrix, which decays, and a bias, which does not. */
static void make_block(struct ft_block *b, struct ftk *k)
{
	struct ft_err err = {0};

	*b = (struct ft_block){0};
	ft_block_add(b, "w.weight", 2, 2, true);
	ft_block_add(b, "w.bias", 4, 0, false);
	if (ft_block_alloc(b, k, &err) < 0 || ft_block_grad(b, &err) < 0)
		eng_die("block", &err);
	k->put_real(k, b->p, start, N);
	k->put_real(k, ft_block_at(b, b->p, N), start, N);
}

static void put_grads(struct ft_block *b, int step, float times)
{
	float g[N];

	for (int i = 0; i < N; i++)
		g[i] = grads[step][i] * times;
	b->k->put_real(b->k, b->g, g, N);
	b->k->put_real(b->k, ft_block_at(b, b->g, N), g, N);
}

static double block_far_from(const struct ft_block *b, const double *w,
			     const double *bias)
{
	float p[2 * N];
	double far = 0;

	b->k->get_real(b->k, p, b->p, 2 * N);
	b->k->sync(b->k);
	for (int i = 0; i < N; i++) {
		far = fmax(far, fabs((double)p[i] - w[i]));
		far = fmax(far, fabs((double)p[N + i] - bias[i]));
	}
	return far;
}

static void updates(struct ftk *k, struct ft_train_opts *o, const double *w,
		    const double *bias, const char *name)
{
	struct ft_optimizer opt;
	struct ft_err err = {0};
	struct ft_block b;
	double far = 0;

	make_block(&b, k);
	if (ft_optimizer_init(&opt, &b, o, &err) < 0)
		eng_die("optimizer", &err);
	for (int s = 0; s < STEPS; s++) {
		/* twice the gradient, read at half of it */
		put_grads(&b, s, 2);
		ft_optimizer_step(&opt, o->lr, 0.5);
		far = fmax(far, block_far_from(&b, w + s * N, bias + s * N));
	}
	CHECK(far < 1e-6 && opt.t == STEPS, "%s, %s: %.1e", k->name, name, far);
	ft_optimizer_release(&opt);
	ft_block_release(&b);
}

static void optimizers(struct ftk *k)
{
	struct ft_train_opts o = FT_TRAIN_DEFAULTS;
	double bias[STEPS * N];

	o.lr = 0.01;
	o.decay = 0.1;
	updates(k, &o, *adamw, *adam, "AdamW, decay of the matrix alone");
	o.decay = 0;
	updates(k, &o, *adam, *adam, "AdamW without decay");
	o.optim = FT_OPTIM_SGD;
	o.lr = 0.1;
	updates(k, &o, *sgd, *sgd, "SGD");
	o.momentum = 0.9;
	o.decay = 0.1;
	for (int i = 0; i < N; i++) { /* the bias: momentum, no decay */
		double p = (double)start[i], m = 0;

		for (int t = 0; t < STEPS; t++) {
			m = 0.9 * m + (double)grads[t][i];
			p -= 0.1 * m;
			bias[t * N + i] = p;
		}
	}
	updates(k, &o, *momentum, bias, "SGD with momentum");
}

static void norm_and_zero(struct ftk *k)
{
	struct ft_train_opts o = FT_TRAIN_DEFAULTS;
	struct ft_optimizer opt;
	struct ft_err err = {0};
	struct ft_block b;
	double sum = 0;

	make_block(&b, k);
	ft_optimizer_init(&opt, &b, &o, &err);
	put_grads(&b, 1, 1);
	for (int i = 0; i < N; i++)
		sum += 2 * (double)grads[1][i] * (double)grads[1][i];
	CHECK(fabs(ft_optimizer_norm(&opt) - sqrt(sum)) < 1e-6, "norm");
	ft_optimizer_zero(&opt);
	CHECK(ft_optimizer_norm(&opt) == 0, "zero");
	ft_optimizer_release(&opt);
	ft_block_release(&b);
}

static void moments(const struct ft_optimizer *o, float *out)
{
	struct ftk *k = o->b->k;

	k->get_real(k, out, o->m, 2 * N);
	k->get_real(k, out + 2 * N, o->v, 2 * N);
	k->sync(k);
}

static void saved(struct ftk *k)
{
	struct ft_train_opts o = FT_TRAIN_DEFAULTS;
	struct ft_optimizer opt, back;
	struct ft_err err = {0};
	struct ft_block b;
	char *path = scratch_path("optimizer.safetensors");
	float m[2][4 * N];

	make_block(&b, k);
	ft_optimizer_init(&opt, &b, &o, &err);
	ft_optimizer_init(&back, &b, &o, &err);
	put_grads(&b, 0, 1);
	ft_optimizer_step(&opt, 0.01, 1);
	moments(&opt, m[0]);
	CHECK(!ft_optimizer_save(&opt, path, &err), "saved %s", err.msg);
	CHECK(!ft_optimizer_load(&back, path, &err), "loaded %s", err.msg);
	moments(&back, m[1]);
	CHECK(!memcmp(m[0], m[1], sizeof(m[0])) && max_abs(m[0], 4 * N) > 0,
	      "the same moments");
	ft_optimizer_release(&back);
	o.optim = FT_OPTIM_SGD;
	o.momentum = 0.5;
	ft_optimizer_init(&back, &b, &o, &err);
	CHECK(!ft_optimizer_load(&back, path, &err), "one moment of two");
	ft_optimizer_release(&back);
	CHECK(truncate(path, 100) == 0 &&
		      ft_optimizer_load(&opt, path, &err) < 0 &&
		      err.code == FT_EXIT_DATA && strstr(err.where, path),
	      "a torn file: %s", err.msg);
	ft_optimizer_release(&opt);
	ft_block_release(&b);
}

int main(void)
{
	static const char *const backend[] = {"ref64", "cpu"};

	schedules();
	warmups();
	for (int i = 0; i < 2; i++) {
		const char *why;
		struct ftk *k = ftk_open(
			backend[i], &(struct ftk_threads){.nthreads = 1}, &why);

		optimizers(k);
		norm_and_zero(k);
		if (i)
			saved(k);
		k->close(k);
	}
	return test_done();
}
