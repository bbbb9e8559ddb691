/* SPDX-License-Identifier: MIT */
/*
 * What tests of the engine share: a backend with its threads, a model with an
 * adapter, passes over rows, and comparison as the contract measures it.
 * Whatever fails to open ends the test (a broken fixture is no test).
 */
#ifndef FT_TEST_MODEL_H
#define FT_TEST_MODEL_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"
#include "libcommon/base/rng.h"
#include "libcommon/base/thread.h"
#include "libcommon/nn/model.h"

#define GOLDEN "tests/data/golden/"

static inline _Noreturn void eng_die(const char *what, const struct ft_err *e)
{
	printf("Bail out! %s: %s: %s\n", what, e ? e->where : "",
	       e ? e->msg : "");
	exit(1);
}

/* A backend, a model, perhaps an adapter, and the arrays of a pass. */
struct eng {
	struct ft_pool *pool;
	struct ftk *k;
	struct ft_model *m;
	struct ft_adapter a;
	bool lora, full;
	float dropout;
	uint64_t key;
	struct ft_pass pass;
	float *logp, *coef;
	size_t cap;
};

static inline void eng_run_pool(void *pool, void (*fn)(void *, size_t, int),
				void *arg, size_t n)
{
	ft_pool_run(pool, fn, arg, n);
}

/* isa NULL: the machine's best.  False when this machine lacks it. */
static inline bool eng_backend(struct eng *e, const char *name, const char *isa,
			       int threads)
{
	struct ftk_threads t;
	const char *why = "";

	*e = (struct eng){.pool = ft_pool_new(threads)};
	t = (struct ftk_threads){
		.nthreads = threads, .run = eng_run_pool, .pool = e->pool};
	if (isa)
		setenv("FT_ISA", isa, 1);
	e->k = ftk_open(name, &t, &why);
	if (isa)
		unsetenv("FT_ISA");
	if (!e->k || (isa && strcmp(e->k->isa, isa))) {
		if (e->k)
			e->k->close(e->k);
		ft_pool_free(e->pool);
		*e = (struct eng){0};
		return false;
	}
	return true;
}

/* adapter NULL: none. */
static inline void eng_hold(struct eng *e, const char *dir, const char *adapter,
			    enum ft_hold hold)
{
	struct ft_err err = {0};

	e->full = hold == FT_HOLD_TRAINED;
	if (ft_model_open(&e->m, e->k, dir, hold, &err) < 0)
		eng_die(dir, &err);
	if (e->full && ft_block_grad(ft_model_block(e->m), &err) < 0)
		eng_die(dir, &err);
	if (!adapter)
		return;
	if (ft_adapter_load(&e->a, e->k, ft_model_config(e->m), adapter, &err) <
		    0 ||
	    ft_block_grad(&e->a.b, &err) < 0 ||
	    ft_adapter_attach(&e->a, e->m, false, &err) < 0)
		eng_die(adapter, &err);
	e->lora = true;
}

/* full: the model's own weights are trained. */
static inline void eng_model(struct eng *e, const char *dir,
			     const char *adapter, bool full)
{
	eng_hold(e, dir, adapter, full ? FT_HOLD_TRAINED : FT_HOLD_FROZEN);
}

static inline void eng_close(struct eng *e)
{
	ft_pass_release(&e->pass);
	if (e->a.at)
		ft_adapter_release(&e->a);
	ft_model_close(e->m);
	if (e->k)
		e->k->close(e->k);
	if (e->pool)
		ft_pool_free(e->pool);
	free(e->logp);
	free(e->coef);
	*e = (struct eng){0};
}

/* What is trained. */
static inline struct ft_block *eng_block(struct eng *e)
{
	return e->full ? ft_model_block(e->m) : &e->a.b;
}

static inline void eng_zero(struct eng *e)
{
	struct ft_block *b = eng_block(e);

	e->k->zero(e->k, b->g, b->n * e->k->real_size);
}

/* Rows rows[0..n) (NULL: the first n) of b into e->pass, with room for it. */
static inline void eng_rows(struct eng *e, const struct ft_tokens *b,
			    const size_t *rows, size_t n)
{
	struct ft_reserve r = {.save = true, .slopes = true};
	struct ft_err err = {0};

	ft_pass_clear(&e->pass);
	for (size_t i = 0; i < n; i++)
		ft_pass_add(&e->pass, b, rows ? rows[i] : i, false);
	r.t = e->pass.t;
	r.nseg = e->pass.nseg;
	r.n = e->pass.n;
	r.positions = e->pass.maxpos;
	ft_reserve_adapter(&r, e->lora ? &e->a : NULL);
	if (ft_model_reserve(e->m, &r, &err) < 0)
		eng_die("reserve", &err);
	if (e->cap < r.n + 1) {
		e->cap = r.n + 1;
		e->logp = ft_xrealloc(e->logp, e->cap, sizeof(float));
		e->coef = ft_xrealloc(e->coef, e->cap, sizeof(float));
	}
}

static inline struct ft_run eng_run(const struct eng *e)
{
	return (struct ft_run){.adapter = e->lora ? &e->a : NULL,
			       .save = true,
			       .dropout = e->dropout,
			       .dropout_key = e->key};
}

/* Log-probs of the pass into e->logp. */
static inline void eng_forward(struct eng *e)
{
	struct ft_run run = eng_run(e);

	ft_model_forward(e->m, &run, &e->pass);
	ft_model_head(e->m, &e->pass, NULL, e->logp, NULL, NULL);
}

/* After eng_forward: add the gradient of sum coef * logp. */
static inline void eng_backward(struct eng *e)
{
	struct ft_run run = eng_run(e);

	ft_model_head(e->m, &e->pass, e->coef, e->logp, NULL, NULL);
	ft_model_backward(e->m, &run, &e->pass);
}

/* The two where coef comes of the log-probs: eng_slopes for eng_forward. */
static inline void eng_slopes(struct eng *e)
{
	struct ft_run run = eng_run(e);

	ft_model_forward(e->m, &run, &e->pass);
	ft_model_slopes(e->m, &e->pass, e->logp, NULL, NULL);
}

static inline void eng_apply(struct eng *e)
{
	struct ft_run run = eng_run(e);

	ft_model_slopes_apply(e->m, &e->pass, e->coef);
	ft_model_backward(e->m, &run, &e->pass);
}

/* Mean negative log-likelihood of the pass, and its gradient (added, as if
   divided by n; n 0: the pass's own number). */
static inline double eng_sft(struct eng *e, size_t n)
{
	double sum = 0;

	n = n ? n : e->pass.n;
	for (size_t i = 0; i < e->pass.n; i++)
		e->coef[i] = (float)(-1 / (double)n);
	eng_forward(e);
	eng_backward(e);
	for (size_t i = 0; i < e->pass.n; i++)
		sum -= (double)e->logp[i];
	return sum / (double)n;
}

/* Sums of log-probs by segment of the pass; sum [nseg]. */
static inline void eng_sums(const struct eng *e, double *sum)
{
	for (size_t i = 0; i < e->pass.nseg; i++)
		sum[i] = 0;
	for (size_t i = 0; i < e->pass.n; i++)
		sum[e->pass.of[i]] += (double)e->logp[i];
}

/* The gradients on the host, to be freed. */
static inline float *eng_grad(struct eng *e)
{
	struct ft_block *b = eng_block(e);
	float *g = ft_xmalloc(b->n * sizeof(float));

	e->k->get_real(e->k, g, b->g, b->n);
	e->k->sync(e->k);
	return g;
}

/* --- a model of any shape, written to a folder --- */

static inline void eng_random(struct ft_tensor *t, const char *name, size_t n,
			      size_t k, double mean, double sd)
{
	static uint64_t stream;
	size_t all = k ? n * k : n;
	float *v = ft_xmalloc(all * sizeof(float));

	for (size_t i = 0; i < all; i++)
		v[i] = (float)(mean +
			       sd * ft_rng_normal(7, FT_RNG_INIT, stream, i));
	stream++;
	*t = (struct ft_tensor){.name = ft_xstrdup(name),
				.dtype = FT_F32,
				.ndim = k ? 2 : 1,
				.shape = {n, k},
				.numel = all,
				.nbytes = all * sizeof(float),
				.data = v};
}

/* config.json and model.safetensors in dir, which is there. */
static inline void eng_write(const char *dir, const char *config)
{
	struct ft_tensor *t;
	struct ft_config c;
	struct ft_err err = {0};
	struct ft_str path = {0};
	char name[FT_NAME_MAX + 16];
	size_t n, k, nt = 0;

	if (ft_config_parse(&c, config, strlen(config), &err) < 0)
		eng_die(config, &err);
	t = ft_xcalloc((c.layers + 1) * FT_NSLOT * 2, sizeof(*t));
	for (size_t i = 0; i < c.layers * FT_NSLOT; i++) {
		enum ft_slot s = (enum ft_slot)(i % FT_NSLOT);
		size_t l = i / FT_NSLOT, at;

		if ((s < FT_FIRST_LAYER_SLOT && l) || !ft_config_has(&c, s))
			continue;
		ft_config_stored(&c, s, l, name, sizeof(name) - 16);
		ft_config_shape(&c, s, &n, &k);
		at = strlen(name);
		snprintf(name + at, 16, ".weight");
		if (s != FT_HEAD || !c.tied)
			eng_random(&t[nt++], name,
				   ft_config_turned(&c, s) ? k : n,
				   ft_config_turned(&c, s) ? n : k,
				   k ? 0 : 1 - (double)c.arch->shift,
				   !k              ? 0.2
				   : s == FT_EMBED ? 1
						   : 1.2 / sqrt((double)k));
		snprintf(name + at, 16, ".bias");
		if (ft_config_bias(&c, s))
			eng_random(&t[nt++], name, n, 0, 0, 0.3);
	}
	ft_str_addf(&path, "%s/model.safetensors", dir);
	if (ft_st_write(path.s, t, nt, NULL, 0, &err) < 0)
		eng_die(path.s, &err);
	ft_str_clear(&path);
	ft_str_addf(&path, "%s/config.json", dir);
	if (ft_write_file(path.s, config, strlen(config), &err) < 0)
		eng_die(path.s, &err);
	ft_str_release(&path);
	for (size_t i = 0; i < nt; i++) {
		free((void *)t[i].name);
		free((void *)t[i].data);
	}
	free(t);
}

/* A row of random ids: a prefix of np, branches of n[0..nb). */
static inline void eng_row(struct ft_tokens *b, size_t vocab, size_t np,
			   const size_t *n, size_t nb)
{
	static uint64_t at;
	const int32_t *ids[16];
	size_t len[16];

	for (size_t s = 0; s <= nb; s++) {
		int32_t *p;

		len[s] = s ? n[s - 1] : np;
		p = ft_xcalloc(len[s] + 1, sizeof(*p));
		for (size_t i = 0; i < len[s]; i++)
			p[i] = (int32_t)ft_rng_below(3, FT_RNG_INIT, 1, at++,
						     vocab);
		ids[s] = p;
	}
	ft_tokens_add(b, (int64_t)b->nrow, nb + 1, ids, len, NULL);
	for (size_t s = 0; s <= nb; s++)
		free((void *)ids[s]);
}

/* A new adapter whose every number is far from zero. */
static inline void eng_tune(struct eng *e, const struct ft_lora_opts *o)
{
	struct ft_err err = {0};
	float *v;

	if (ft_adapter_new(&e->a, e->k, ft_model_config(e->m), o, 1, &err) <
		    0 ||
	    ft_block_grad(&e->a.b, &err) < 0)
		eng_die("adapter", &err);
	v = ft_xmalloc(e->a.b.n * sizeof(float));
	for (size_t i = 0; i < e->a.b.n; i++)
		v[i] = (float)(0.3 * ft_rng_normal(9, FT_RNG_INIT, 0, i));
	for (size_t i = 0; e->a.dora && i < e->a.nmod; i++) {
		for (size_t j = 0; j < e->a.mod[i].n; j++)
			v[e->a.mod[i].off_m + j] += 1;
	}
	e->k->put_real(e->k, e->a.b.p, v, e->a.b.n);
	e->k->sync(e->k);
	free(v);
	if (ft_adapter_attach(&e->a, e->m, false, &err) < 0)
		eng_die("adapter", &err);
	e->lora = true;
}

/* One on all linears. */
static inline void eng_adapter(struct eng *e, int64_t r, double alpha,
			       bool rslora)
{
	eng_tune(e, &(struct ft_lora_opts){
			    .r = r, .alpha = alpha, .rslora = rslora});
}

/* One of LoRA on all linears, embedding and head; or with DoRA, and these two
   and the last norm whole. */
static inline void eng_widest(struct eng *e, bool dora)
{
	const struct ft_config *c = ft_model_config(e->m);
	const char *all[] = {"all-linear", ft_slot_module(c, FT_EMBED),
			     ft_slot_module(c, FT_HEAD),
			     ft_slot_module(c, FT_NORM)};
	struct ft_lora_opts o = {.r = 2, .alpha = 3, .dora = dora};

	o.targets = (struct ft_opt_list){.v = all, .n = dora ? 1 : 3};
	o.save = (struct ft_opt_list){.v = all + 1, .n = dora ? 3 : 0};
	eng_tune(e, &o);
}

/* --- comparison --- */

struct worst {
	double v;
	char name[FT_NAME_MAX];
};

static inline void worse(struct worst *w, double v, const char *name)
{
	if (!(v <= w->v)) {
		w->v = v;
		snprintf(w->name, sizeof(w->name), "%s", name);
	}
}

static inline double max_abs(const float *v, size_t n)
{
	double m = 0;

	for (size_t i = 0; i < n; i++)
		m = fmax(m, fabs((double)v[i]));
	return m;
}

/* max|a-b| / max|b|, max|b| at least floor; NaN is infinitely far. */
static inline double tensor_far(const float *a, const float *b, size_t n,
				double floor)
{
	double d = 0, top = fmax(max_abs(b, n), floor);

	for (size_t i = 0; i < n; i++) {
		double x = fabs((double)a[i] - (double)b[i]);

		if (!(x <= d))
			d = isfinite(x) ? x : INFINITY;
	}
	return d == 0 ? 0 : d / top;
}

/* Every tensor of a block's gradients, the floor 1e-6 of the largest. */
static inline struct worst block_far(const struct ft_block *t, const float *a,
				     const float *b)
{
	double floor = 1e-6 * max_abs(b, t->n);
	struct worst w = {0};

	for (size_t i = 0; i < t->nt; i++)
		worse(&w,
		      tensor_far(a + t->t[i].off, b + t->t[i].off, t->t[i].n,
				 floor),
		      t->t[i].name);
	return w;
}

static inline double logp_far(double a, double b)
{
	double d = fabs(a - b) / fmax(1, fabs(b));

	return isfinite(d) ? d : INFINITY;
}

#endif
