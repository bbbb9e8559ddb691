/* SPDX-License-Identifier: MIT */
#include "libcommon/nn/generate.h"

#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"
#include "libcommon/base/rng.h"

enum { PREFILL = 1024, CACHE_BYTES = 1 << 30 };

/* A prompt under way: places [base, base + n) of the cache hold it, behind
   them max_new for each sample. */
struct group {
	struct ft_gen_prompt p;
	size_t prompt, base, size;
	size_t live; /* samples that go on */
	bool fresh;  /* not computed yet */
};

struct seq {
	struct group *g;
	size_t sample, base; /* its own places */
	int32_t *ids;        /* [max_new] */
	float *logps;
	size_t n;
};

struct gen {
	struct ft_model *m;
	const struct ft_adapter *a;
	const struct ft_gen_opts *o;
	const struct ft_gen_io *io;
	struct ft_gen_prompt p; /* the next to admit */
	size_t next;            /* its number */
	bool waits, end;        /* it is there; there are no more */

	struct ft_kv kv;
	struct group **group; /* by base */
	size_t ngroup;
	struct seq *seq;
	size_t nseq, capseq;
	struct ft_pass pass;
	int32_t *place;
	size_t prefill; /* most prompt tokens a pass */
	size_t longest; /* prompt that there is room for */

	/* one row of logits a draw */
	int32_t *src, *id, *top_k;
	float *temperature, *top_p, *logp;
	double *u;
	struct seq **who;
	void *d_id, *d_u, *d_k, *d_t, *d_p, *d_logp, *ws;
	size_t rows; /* of logits at a time */
};

static size_t need(const struct gen *g)
{
	return g->p.n + (size_t)(g->o->samples * g->o->max_new);
}

/* First fit between the groups that are there; SIZE_MAX when none does. */
static size_t find_room(const struct gen *g, size_t size, size_t *at)
{
	size_t from = 0;

	for (*at = 0; *at < g->ngroup; ++*at) {
		if (g->group[*at]->base - from >= size)
			return from;
		from = g->group[*at]->base + g->group[*at]->size;
	}
	return g->kv.cap - from >= size ? from : SIZE_MAX;
}

/* The oldest prompt under way holds up those that are done after it. */
static bool too_far(const struct gen *g)
{
	size_t oldest = g->next;

	for (size_t i = 0; i < g->ngroup; i++) {
		if (g->group[i]->prompt < oldest)
			oldest = g->group[i]->prompt;
	}
	return g->next - oldest >= FT_GEN_AHEAD * (size_t)g->o->batch;
}

static void add_group(struct gen *g, size_t base, size_t at)
{
	size_t samples = (size_t)g->o->samples;
	struct group *n = ft_xcalloc(1, sizeof(*n));

	*n = (struct group){.p = g->p,
			    .prompt = g->next++,
			    .base = base,
			    .size = need(g),
			    .live = samples,
			    .fresh = true};
	memmove(g->group + at + 1, g->group + at,
		(g->ngroup++ - at) * sizeof(struct group *));
	g->group[at] = n;
	for (size_t s = 0; s < samples; s++) {
		struct seq *q = &g->seq[g->nseq++];

		*q = (struct seq){.g = n,
				  .sample = s,
				  .base = base + n->p.n +
					  s * (size_t)g->o->max_new};
		q->ids = ft_xcalloc((size_t)g->o->max_new, sizeof(*q->ids));
		q->logps = ft_xcalloc((size_t)g->o->max_new, sizeof(*q->logps));
	}
	g->waits = false;
}

static void add_token(struct gen *g, int32_t id, size_t pos, size_t place)
{
	struct ft_pass *p = &g->pass;

	p->ids[p->t] = id;
	p->pos[p->t] = (int32_t)pos;
	p->key[p->t] = 0;
	g->place[p->t++] = (int32_t)place;
}

/* Tokens to compute now: whole new prompts, the last token of the others. */
static void lay_out(struct gen *g, size_t *nrow)
{
	struct ft_pass *p = &g->pass;

	ft_pass_clear(p);
	*nrow = 0;
	for (size_t i = 0; i < g->nseq; i++) {
		struct seq *q = &g->seq[i];
		const struct ft_gen_prompt *pr = &q->g->p;
		int32_t n = (int32_t)pr->n, own = (int32_t)q->n;

		if (q->g->fresh && q->sample == 0) {
			p->seg[p->nseg++] =
				(struct ftk_segment){.q0 = (int32_t)p->t,
						     .nq = n,
						     .k0 = (int32_t)q->g->base,
						     .nk = n};
			for (size_t j = 0; j < pr->n; j++)
				add_token(g, pr->ids[j], j, q->g->base + j);
		} else if (!q->g->fresh) {
			p->seg[p->nseg++] =
				(struct ftk_segment){.q0 = (int32_t)p->t,
						     .nq = 1,
						     .k0 = (int32_t)q->base,
						     .nk = own,
						     .p0 = (int32_t)q->g->base,
						     .np = n};
			add_token(g, q->ids[q->n - 1], pr->n + q->n - 1,
				  q->base + q->n - 1);
		}
		/* samples of a fresh prompt follow its first: same row */
		g->src[*nrow] = (int32_t)p->t - 1;
		g->who[(*nrow)++] = q;
	}
}

static void draw(struct gen *g, size_t from, size_t n)
{
	struct ftk *k = ft_model_backend(g->m);
	const struct ft_config *c = ft_model_config(g->m);
	void *logits = ft_model_logits(g->m, g->src + from, n);

	for (size_t i = 0; i < n; i++) {
		const struct seq *q = g->who[from + i];
		uint64_t at = (uint64_t)q->sample << 32 | q->n;

		g->u[i] = ft_rng_unit((uint64_t)g->o->seed, FT_RNG_SAMPLE,
				      q->g->p.key, at);
	}
	k->put(k, g->d_u, g->u, n * sizeof(*g->u));
	k->sample(k, &(struct ftk_sample){.id = g->d_id,
					  .logp = g->d_logp,
					  .logits = logits,
					  .u = g->d_u,
					  .temperature = g->d_t,
					  .top_k = g->d_k,
					  .top_p = g->d_p,
					  .n = n,
					  .v = c->vocab,
					  .ws = g->ws});
	k->get(k, g->id + from, g->d_id, n * sizeof(*g->id));
	k->get_real(k, g->logp + from, g->d_logp, n);
	k->sync(k);
}

static int finish(struct gen *g, struct seq *q, bool stopped,
		  struct ft_err *err)
{
	struct ft_gen_out out = {.prompt = q->g->prompt,
				 .sample = q->sample,
				 .ids = q->ids,
				 .logps = q->logps,
				 .n = q->n,
				 .stopped = stopped};
	int rc = g->io->done(g->io->self, &out, err);
	struct group *old = q->g;

	free(q->ids);
	free(q->logps);
	q->ids = NULL;
	q->logps = NULL;
	q->g = NULL;
	if (--old->live)
		return rc;
	for (size_t i = 0; i < g->ngroup; i++) {
		if (g->group[i] != old)
			continue;
		memmove(g->group + i, g->group + i + 1,
			(--g->ngroup - i) * sizeof(struct group *));
		break;
	}
	free(old);
	return rc;
}

static int take(struct gen *g, size_t nrow, struct ft_err *err)
{
	const struct ft_config *c = ft_model_config(g->m);
	size_t kept = 0;
	int rc = 0;

	for (size_t i = 0; i < nrow; i++)
		g->who[i]->g->fresh = false;
	for (size_t i = 0; i < nrow && !rc; i++) {
		struct seq *q = g->who[i];
		int32_t id = g->id[i];
		bool stop = ft_config_is_eos(c, id);

		q->ids[q->n] = id;
		q->logps[q->n++] = g->logp[i];
		if (!stop && g->io->token)
			stop = g->io->token(g->io->self, q->g->prompt,
					    q->sample, id);
		if (stop || q->n == (size_t)g->o->max_new)
			rc = finish(g, q, stop, err);
	}
	for (size_t i = 0; i < g->nseq; i++) {
		if (g->seq[i].g)
			g->seq[kept++] = g->seq[i];
	}
	g->nseq = kept;
	return rc;
}

/* --- memory --- */

static void *dev(struct gen *g, size_t n, size_t size, struct ft_err *err)
{
	struct ftk *k = ft_model_backend(g->m);
	void *p = k->alloc(k, n * size + 1);

	if (!p)
		ft_err_set(err, FT_EXIT_SYS,
			   "no memory for generation (%zu MB)", n * size >> 20);
	return p;
}

static void free_cache(struct gen *g)
{
	struct ftk *k = ft_model_backend(g->m);

	for (size_t l = 0; l < ft_model_config(g->m)->layers; l++) {
		if (g->kv.k && g->kv.k[l])
			k->free(k, g->kv.k[l]);
		if (g->kv.v && g->kv.v[l])
			k->free(k, g->kv.v[l]);
	}
	free(g->kv.k);
	free(g->kv.v);
	g->kv = (struct ft_kv){0};
}

/* Places for a batch of prompts like the present one, rounded up, or as many as
   CACHE_BYTES hold; but at least for this one. */
static size_t wanted_cap(const struct gen *g)
{
	const struct ft_config *c = ft_model_config(g->m);
	size_t act = ft_model_backend(g->m)->act_size;
	size_t width = c->kv_heads * c->head_dim * act;
	size_t most = CACHE_BYTES / (2 * c->layers * width);
	size_t groups = (size_t)(g->o->batch / g->o->samples);
	size_t cap = (need(g) + PREFILL - 1) / PREFILL * PREFILL;

	cap *= groups ? groups : 1;
	if (cap > most)
		cap = most;
	return cap < need(g) ? need(g) : cap;
}

/* A larger cache, while there is nothing in it. */
static int cache(struct gen *g, struct ft_err *err)
{
	const struct ft_config *c = ft_model_config(g->m);
	size_t act = ft_model_backend(g->m)->act_size;
	size_t width = c->kv_heads * c->head_dim * act, cap = wanted_cap(g);

	if (g->nseq || cap <= g->kv.cap)
		return 0;
	free_cache(g);
	g->kv.cap = cap;
	g->kv.k = ft_xcalloc(c->layers, sizeof(*g->kv.k));
	g->kv.v = ft_xcalloc(c->layers, sizeof(*g->kv.v));
	for (size_t l = 0; l < c->layers; l++) {
		g->kv.k[l] = dev(g, g->kv.cap, width, err);
		g->kv.v[l] = dev(g, g->kv.cap, width, err);
		if (!g->kv.k[l] || !g->kv.v[l])
			return -1;
	}
	return 0;
}

/* Room for passes with the present prompt; what is kept between passes, the
   cache, is not touched. */
static int reserve(struct gen *g, struct ft_err *err)
{
	struct ft_reserve r = {
		.r = g->a ? g->a->max_r : 0, .nseg = g->capseq, .n = g->capseq};
	struct ft_pass *p = &g->pass;

	if (g->p.n <= g->longest)
		return 0;
	g->longest = (g->p.n + PREFILL - 1) / PREFILL * PREFILL;
	g->prefill = g->longest;
	r.t = g->prefill + g->capseq;
	r.positions = g->longest + (size_t)g->o->max_new;
	p->ids = ft_xrealloc(p->ids, r.t, sizeof(*p->ids));
	p->pos = ft_xrealloc(p->pos, r.t, sizeof(*p->pos));
	p->key = ft_xrealloc(p->key, r.t, sizeof(*p->key));
	g->place = ft_xrealloc(g->place, r.t, sizeof(*g->place));
	return ft_model_reserve(g->m, &r, err);
}

static void arrays(struct gen *g)
{
	g->capseq = (size_t)(g->o->batch > g->o->samples ? g->o->batch
							 : g->o->samples);
	g->pass.seg = ft_xcalloc(g->capseq, sizeof(*g->pass.seg));
	g->seq = ft_xcalloc(g->capseq, sizeof(*g->seq));
	g->group = ft_xcalloc(g->capseq + 1, sizeof(struct group *));
}

static int draws(struct gen *g, struct ft_err *err)
{
	struct ftk *k = ft_model_backend(g->m);
	size_t n = g->capseq, v = ft_model_config(g->m)->vocab, ws;

	g->rows = ft_model_chunk(g->m);
	ws = k->sample_ws(k, &(struct ftk_sample){.n = g->rows, .v = v});
	g->src = ft_xcalloc(n, sizeof(*g->src));
	g->id = ft_xcalloc(n, sizeof(*g->id));
	g->logp = ft_xcalloc(n, sizeof(*g->logp));
	g->who = ft_xcalloc(n, sizeof(struct seq *));
	g->u = ft_xcalloc(g->rows, sizeof(*g->u));
	g->top_k = ft_xcalloc(g->rows, sizeof(*g->top_k));
	g->temperature = ft_xcalloc(g->rows, sizeof(float));
	g->top_p = ft_xcalloc(g->rows, sizeof(float));
	for (size_t i = 0; i < g->rows; i++) {
		g->temperature[i] = (float)g->o->temperature;
		g->top_p[i] = (float)g->o->top_p;
		g->top_k[i] = (int32_t)g->o->top_k;
	}
	if (!(g->d_id = dev(g, g->rows, sizeof(int32_t), err)) ||
	    !(g->d_u = dev(g, g->rows, sizeof(double), err)) ||
	    !(g->d_k = dev(g, g->rows, sizeof(int32_t), err)) ||
	    !(g->d_t = dev(g, g->rows, sizeof(float), err)) ||
	    !(g->d_p = dev(g, g->rows, sizeof(float), err)) ||
	    !(g->d_logp = dev(g, g->rows, k->real_size, err)) ||
	    !(g->ws = dev(g, ws, 1, err)))
		return -1;
	k->put(k, g->d_k, g->top_k, g->rows * sizeof(int32_t));
	k->put(k, g->d_t, g->temperature, g->rows * sizeof(float));
	k->put(k, g->d_p, g->top_p, g->rows * sizeof(float));
	return 0;
}

static void release(struct gen *g)
{
	struct ftk *k = ft_model_backend(g->m);
	void *devs[] = {g->d_id, g->d_u,    g->d_k, g->d_t,
			g->d_p,  g->d_logp, g->ws};

	for (size_t i = 0; i < sizeof(devs) / sizeof(devs[0]); i++) {
		if (devs[i])
			k->free(k, devs[i]);
	}
	free_cache(g);
	for (size_t i = 0; i < g->nseq; i++) {
		free(g->seq[i].ids);
		free(g->seq[i].logps);
	}
	for (size_t i = 0; i < g->ngroup; i++)
		free(g->group[i]);
	ft_pass_release(&g->pass);
	free(g->place);
	free(g->seq);
	free(g->group);
	free(g->src);
	free(g->id);
	free(g->logp);
	free(g->who);
	free(g->u);
	free(g->top_k);
	free(g->temperature);
	free(g->top_p);
}

/* --- a step --- */

/* Have the next prompt wait, and room for it to be computed. */
static int fetch(struct gen *g, struct ft_err *err)
{
	int rc;

	if (g->waits || g->end)
		return 0;
	rc = g->io->next(g->io->self, &g->p, err);
	if (rc < 0)
		return -1;
	g->waits = rc > 0;
	g->end = !rc;
	if (!rc)
		return 0;
	if (need(g) > INT32_MAX)
		return ft_err_set(err, FT_EXIT_SYS,
				  "no memory for generation (%zu places)",
				  need(g));
	if (reserve(g, err) < 0)
		return -1;
	return g->d_id ? 0 : draws(g, err);
}

/* Take in what fits. */
static int admit(struct gen *g, struct ft_err *err)
{
	size_t fresh = 0, samples = (size_t)g->o->samples, at, base;

	while (!g->nseq || g->nseq + samples <= (size_t)g->o->batch) {
		if (too_far(g))
			return 0;
		if (fetch(g, err) < 0)
			return -1;
		if (!g->waits || (fresh && fresh + g->p.n > g->prefill))
			return 0;
		if (cache(g, err) < 0)
			return -1;
		base = find_room(g, need(g), &at);
		if (base == SIZE_MAX)
			return 0;
		fresh += g->p.n;
		add_group(g, base, at);
	}
	return 0;
}

static int step(struct gen *g, struct ft_err *err)
{
	struct ft_run run = {.adapter = g->a, .kv = &g->kv};
	size_t nrow;

	if (admit(g, err) < 0)
		return -1;
	if (!g->nseq)
		return 0;
	run.place = g->place;
	lay_out(g, &nrow);
	ft_model_forward(g->m, &run, &g->pass);
	for (size_t i = 0; i < nrow; i += g->rows)
		draw(g, i, nrow - i < g->rows ? nrow - i : g->rows);
	return take(g, nrow, err);
}

int ft_generate(struct ft_model *m, const struct ft_adapter *a,
		const struct ft_gen_opts *o, const struct ft_gen_io *io,
		struct ft_err *err)
{
	struct gen g = {.m = m, .a = a, .o = o, .io = io};
	int rc = 0;

	arrays(&g);
	do
		rc = step(&g, err);
	while (!rc && (g.nseq || !g.end));
	release(&g);
	return rc;
}
