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
	const struct ft_gen_prompt *p;
	size_t np, next; /* prompts in all, the next to admit */
	const struct ft_gen_sink *sink;

	struct ft_kv kv;
	struct group **group; /* by base */
	size_t ngroup;
	struct seq *seq;
	size_t nseq, capseq;
	struct ft_pass pass;
	int32_t *place;
	size_t prefill; /* most prompt tokens a pass */

	/* one row of logits a draw */
	int32_t *src, *id, *top_k;
	float *temperature, *top_p, *logp;
	double *u;
	struct seq **who;
	void *d_id, *d_u, *d_k, *d_t, *d_p, *d_logp, *ws;
	size_t rows; /* of logits at a time */
};

static size_t need(const struct gen *g, size_t prompt)
{
	return g->p[prompt].n + (size_t)(g->o->samples * g->o->max_new);
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

static bool admit(struct gen *g)
{
	size_t samples = (size_t)g->o->samples, at, base;
	struct group *n;

	if (g->next == g->np ||
	    (g->nseq && g->nseq + samples > (size_t)g->o->batch))
		return false;
	base = find_room(g, need(g, g->next), &at);
	if (base == SIZE_MAX)
		return false;
	n = ft_xcalloc(1, sizeof(*n));
	*n = (struct group){.prompt = g->next,
			    .base = base,
			    .size = need(g, g->next),
			    .live = samples,
			    .fresh = true};
	memmove(g->group + at + 1, g->group + at,
		(g->ngroup++ - at) * sizeof(struct group *));
	g->group[at] = n;
	for (size_t s = 0; s < samples; s++) {
		struct seq *q = &g->seq[g->nseq++];

		*q = (struct seq){.g = n,
				  .sample = s,
				  .base = base + g->p[g->next].n +
					  s * (size_t)g->o->max_new};
		q->ids = ft_xcalloc((size_t)g->o->max_new, sizeof(*q->ids));
		q->logps = ft_xcalloc((size_t)g->o->max_new, sizeof(*q->logps));
	}
	g->next++;
	return true;
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
		const struct ft_gen_prompt *pr = &g->p[q->g->prompt];
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
				      g->p[q->g->prompt].key, at);
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
	int rc = g->sink->done(g->sink->self, &out, err);
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
		if (!stop && g->sink->token)
			stop = g->sink->token(g->sink->self, q->g->prompt,
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

static int step(struct gen *g, struct ft_err *err)
{
	struct ft_run run = {.adapter = g->a, .kv = &g->kv, .place = g->place};
	size_t fresh = 0, nrow;

	while (g->next < g->np &&
	       (!fresh || fresh + g->p[g->next].n <= g->prefill)) {
		size_t n = g->p[g->next].n;

		if (!admit(g))
			break;
		fresh += n;
	}
	lay_out(g, &nrow);
	ft_model_forward(g->m, &run, &g->pass);
	for (size_t i = 0; i < nrow; i += g->rows)
		draw(g, i, nrow - i < g->rows ? nrow - i : g->rows);
	return take(g, nrow, err);
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

static int cache(struct gen *g, struct ft_err *err)
{
	const struct ft_config *c = ft_model_config(g->m);
	struct ftk *k = ft_model_backend(g->m);
	size_t width = c->kv_heads * c->head_dim * k->act_size, most = 0;
	size_t sum = 0, most_tokens = CACHE_BYTES / (2 * c->layers * width);
	size_t groups;

	for (size_t i = 0; i < g->np; i++) {
		if (need(g, i) > most)
			most = need(g, i);
		sum += need(g, i);
	}
	groups = (size_t)(g->o->batch / g->o->samples);
	g->kv.cap = most * (groups ? groups : 1);
	if (g->kv.cap > most_tokens)
		g->kv.cap = most_tokens;
	if (g->kv.cap > sum)
		g->kv.cap = sum;
	if (g->kv.cap < most)
		g->kv.cap = most;
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

static int reserve(struct gen *g, struct ft_err *err)
{
	struct ft_reserve r = {.r = g->a ? g->a->max_r : 0};
	size_t longest = 0;

	for (size_t i = 0; i < g->np; i++) {
		if (g->p[i].n > longest)
			longest = g->p[i].n;
	}
	g->capseq = (size_t)(g->o->batch > g->o->samples ? g->o->batch
							 : g->o->samples);
	g->prefill = longest > PREFILL ? longest : PREFILL;
	r.t = g->prefill + g->capseq;
	r.nseg = g->capseq + g->prefill;
	if (r.nseg > g->capseq + g->np)
		r.nseg = g->capseq + g->np;
	r.n = g->capseq;
	r.positions = longest + (size_t)g->o->max_new;
	g->pass.ids = ft_xcalloc(r.t, sizeof(*g->pass.ids));
	g->pass.pos = ft_xcalloc(r.t, sizeof(*g->pass.pos));
	g->pass.key = ft_xcalloc(r.t, sizeof(*g->pass.key));
	g->pass.seg = ft_xcalloc(r.nseg, sizeof(*g->pass.seg));
	g->place = ft_xcalloc(r.t, sizeof(*g->place));
	g->seq = ft_xcalloc(g->capseq, sizeof(*g->seq));
	g->group = ft_xcalloc(g->capseq + 1, sizeof(*g->group));
	return ft_model_reserve(g->m, &r, err);
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
	for (size_t l = 0;
	     g->kv.k && g->kv.v && l < ft_model_config(g->m)->layers; l++) {
		if (g->kv.k[l])
			k->free(k, g->kv.k[l]);
		if (g->kv.v[l])
			k->free(k, g->kv.v[l]);
	}
	for (size_t i = 0; i < g->nseq; i++) {
		free(g->seq[i].ids);
		free(g->seq[i].logps);
	}
	for (size_t i = 0; i < g->ngroup; i++)
		free(g->group[i]);
	free(g->kv.k);
	free(g->kv.v);
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

int ft_generate(struct ft_model *m, const struct ft_adapter *a,
		const struct ft_gen_opts *o, const struct ft_gen_prompt *p,
		size_t n, const struct ft_gen_sink *sink, struct ft_err *err)
{
	struct gen g = {.m = m, .a = a, .o = o, .p = p, .np = n, .sink = sink};
	int rc = 0;

	if (!n)
		return 0;
	rc = reserve(&g, err);
	if (!rc)
		rc = cache(&g, err);
	if (!rc)
		rc = draws(&g, err);
	while (!rc && (g.nseq || g.next < g.np))
		rc = step(&g, err);
	release(&g);
	return rc;
}
