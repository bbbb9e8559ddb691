/* SPDX-License-Identifier: MIT */
#include "libcommon/nn/generate.h"

#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"
#include "libcommon/base/rng.h"

/* A pass has up to PREFILL tokens of prompts, or a longer one alone.  A cache
   that may grow does so by PLACES for each prompt. */
enum { PREFILL = 1024, PLACES = 64, CACHE_BYTES = 1 << 30 };

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
	struct ft_gen_prompt *queue; /* [capseq] to admit, the next first */
	size_t nqueue;
	size_t next; /* the number of the next */
	bool end;    /* there are no more to ask for */
	bool drain;  /* nothing is admitted before all is done */

	struct ft_kv kv;
	void *cache;          /* all of it, one allocation */
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

/* Places for a prompt of n tokens and its samples. */
static size_t need(const struct ft_gen_opts *o, size_t n)
{
	return n + (size_t)o->samples * (size_t)o->max_new;
}

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

/* Prompts that go together. */
static size_t together(const struct ft_gen_opts *o)
{
	return o->batch > o->samples ? (size_t)(o->batch / o->samples) : 1;
}

static size_t sequences(const struct ft_gen_opts *o)
{
	return (size_t)(o->batch > o->samples ? o->batch : o->samples);
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

	*n = (struct group){.p = g->queue[0],
			    .prompt = g->next++,
			    .base = base,
			    .size = need(g->o, g->queue[0].n),
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
	memmove(g->queue, g->queue + 1, --g->nqueue * sizeof(*g->queue));
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

	if (g->cache)
		k->free(k, g->cache);
	g->cache = NULL;
	free(g->kv.k);
	free(g->kv.v);
	g->kv = (struct ft_kv){0};
}

static void carve_cache(const struct ft_model *m, struct ft_kv *kv,
			struct ft_carve *c)
{
	const struct ft_config *cfg = ft_model_config(m);
	size_t act = ft_model_backend(m)->act_size;
	size_t width = cfg->kv_heads * cfg->head_dim * act;

	c->part = FT_PLAN_CACHE;
	for (size_t l = 0; l < cfg->layers; l++) {
		void *k = ft_take(c, kv->cap, width);
		void *v = ft_take(c, kv->cap, width);

		if (c->base) {
			kv->k[l] = k;
			kv->v[l] = v;
		}
	}
}

static size_t cache_bytes(const struct ft_model *m, size_t places)
{
	struct ft_kv kv = {.cap = places};
	struct ft_carve c = {0};

	carve_cache(m, &kv, &c);
	return c.n;
}

/* What decides how much is taken. */
struct sizes {
	size_t prompts, tokens, longest;
	bool all; /* there are no other prompts */
};

/* Prompts' tokens of a pass. */
static size_t pass_tokens(const struct sizes *s)
{
	size_t n = round_up(s->longest, PREFILL);

	if (s->all && s->tokens < n)
		n = s->tokens;
	return n < s->longest ? s->longest : n;
}

/* Places for as many as go together, or as CACHE_BYTES hold; but at least for
   the longest. */
static size_t wanted_places(const struct ft_model *m,
			    const struct ft_gen_opts *o, const struct sizes *s)
{
	size_t most = CACHE_BYTES / cache_bytes(m, 1);
	size_t n = together(o) * round_up(need(o, s->longest), PLACES);
	size_t least = need(o, s->longest);

	if (s->all && s->prompts <= together(o))
		n = s->tokens + s->prompts * need(o, 0);
	if (n > most)
		n = most;
	return n < least ? least : n;
}

static struct ft_reserve room_for(const struct ft_model *m,
				  const struct ft_gen_opts *o,
				  const struct ft_adapter *a, size_t tokens,
				  size_t longest)
{
	size_t n = sequences(o), most = ft_config_positions(ft_model_config(m));
	size_t positions = longest + (size_t)o->max_new;

	struct ft_reserve r = {.t = tokens + n, .nseg = n, .n = n};

	r.positions = positions < most ? positions : most;
	ft_reserve_adapter(&r, a);
	return r;
}

/* All but the cache, whatever is in it. */
static void count_rest(struct ft_model *m, const struct ft_adapter *a,
		       const struct ft_gen_opts *o, size_t tokens,
		       size_t longest, struct ft_plan *p)
{
	struct ft_reserve r = room_for(m, o, a, tokens, longest);
	struct ft_carve c = {.plan = p, .part = FT_PLAN_WORK};

	ft_model_plan_acts(m, &r, false, p);
	ft_pass_plan(r.t, r.nseg, p);
	ft_take(&c, FT_GEN_AHEAD * r.n,
		(size_t)o->max_new * (sizeof(int32_t) + sizeof(float)));
}

/* Places and prompts' tokens of a pass as of s, within the budget: 0 and what
   is the least when there is no such. */
static size_t choose(struct ft_model *m, const struct ft_adapter *a,
		     const struct ft_gen_opts *o, const struct sizes *s,
		     size_t *tokens, size_t *least)
{
	size_t n = wanted_places(m, o, s), one = need(o, s->longest);
	size_t each = cache_bytes(m, 64), rest;

	*tokens = pass_tokens(s);
	if (!o->budget)
		return n;
	for (;;) {
		struct ft_plan p = {0};

		count_rest(m, a, o, *tokens, s->longest, &p);
		rest = o->taken + ft_plan_total(&p);
		if (rest + cache_bytes(m, n) <= o->budget)
			return n;
		if (*tokens == s->longest)
			break;
		*tokens = *tokens / 2 > s->longest ? *tokens / 2 : s->longest;
	}
	*least = rest + cache_bytes(m, one);
	if (*least > o->budget)
		return 0;
	/* whole lines of memory, whatever the width of a place */
	n = (o->budget - rest) / each * 64;
	return n > one ? n : one;
}

int ft_gen_plan(struct ft_model *m, const struct ft_adapter *a,
		const struct ft_gen_opts *o, const struct ft_gen_sizes *all,
		struct ft_plan *p, struct ft_err *err)
{
	struct sizes s = {all->prompts, all->tokens, all->longest, true};
	struct ft_carve c = {.plan = p};
	size_t tokens, least = 0;
	struct ft_kv kv = {.cap = choose(m, a, o, &s, &tokens, &least)};

	if (!kv.cap)
		return ft_plan_refuse(o->budget, least, err);
	count_rest(m, a, o, tokens, s.longest, p);
	carve_cache(m, &kv, &c);
	p->tokens = tokens + sequences(o);
	p->places = kv.cap;
	return 0;
}

static struct sizes sizes_of(const struct gen *g)
{
	struct sizes s = {.longest = g->longest, .all = g->end && !g->next};

	for (size_t i = 0; i < g->nqueue; i++) {
		size_t n = g->queue[i].n;

		s.prompts++;
		s.tokens += n;
		s.longest = n > s.longest ? n : s.longest;
	}
	return s;
}

/* A larger cache, while there is nothing in it. */
static int make_cache(struct gen *g, size_t places, struct ft_err *err)
{
	const struct ft_config *cfg = ft_model_config(g->m);
	struct ft_carve c = {0};

	if (places <= g->kv.cap)
		return 0;
	free_cache(g);
	g->cache = dev(g, cache_bytes(g->m, places), 1, err);
	if (!g->cache)
		return -1;
	g->kv.k = ft_xcalloc(cfg->layers, sizeof(*g->kv.k));
	g->kv.v = ft_xcalloc(cfg->layers, sizeof(*g->kv.v));
	g->kv.cap = places;
	c.base = g->cache;
	carve_cache(g->m, &g->kv, &c);
	return 0;
}

/* Room for passes with prompts of so many tokens; what is kept between passes,
   the cache, is not touched. */
static int reserve(struct gen *g, size_t tokens, size_t longest,
		   struct ft_err *err)
{
	struct ft_reserve r = room_for(g->m, g->o, g->a, tokens, longest);
	struct ft_pass *p = &g->pass;

	if (tokens <= g->prefill && longest <= g->longest)
		return 0;
	g->prefill = tokens;
	g->longest = longest;
	p->ids = ft_xrealloc(p->ids, r.t, sizeof(*p->ids));
	p->pos = ft_xrealloc(p->pos, r.t, sizeof(*p->pos));
	p->key = ft_xrealloc(p->key, r.t, sizeof(*p->key));
	g->place = ft_xrealloc(g->place, r.t, sizeof(*g->place));
	return ft_model_reserve(g->m, &r, err);
}

/* Nothing is under way: room for what waits. */
static int size_up(struct gen *g, struct ft_err *err)
{
	struct sizes s = sizes_of(g);
	size_t tokens, least = 0;
	size_t places = choose(g->m, g->a, g->o, &s, &tokens, &least);

	if (!places)
		return ft_plan_refuse(g->o->budget, least, err);
	/* within a budget a cache that is too large may have to go first */
	if (g->o->budget && tokens > g->prefill && places < g->kv.cap)
		free_cache(g);
	if (tokens < g->prefill)
		tokens = g->prefill;
	if (reserve(g, tokens, s.longest, err) < 0)
		return -1;
	return make_cache(g, places, err);
}

static void arrays(struct gen *g)
{
	g->capseq = sequences(g->o);
	g->pass.seg = ft_xcalloc(g->capseq, sizeof(*g->pass.seg));
	g->seq = ft_xcalloc(g->capseq, sizeof(*g->seq));
	g->group = ft_xcalloc(g->capseq + 1, sizeof(struct group *));
	g->queue = ft_xcalloc(g->capseq + 1, sizeof(*g->queue));
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
	free(g->queue);
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

/* Have so many prompts wait, if there are as many. */
static int fetch(struct gen *g, size_t n, struct ft_err *err)
{
	size_t most = ft_config_positions(ft_model_config(g->m));

	while (g->nqueue < n && !g->end) {
		struct ft_gen_prompt *p = &g->queue[g->nqueue];
		int rc = g->io->next(g->io->self, p, err);

		if (rc < 0)
			return -1;
		g->end = !rc;
		g->nqueue += rc > 0;
		if (rc && p->n + (size_t)g->o->max_new > most)
			return ft_err_set(
				err, FT_EXIT_DATA,
				"a prompt of %zu tokens and %lld more: the model has %zu positions",
				p->n, (long long)g->o->max_new, most);
		if (rc && need(g->o, p->n) > INT32_MAX)
			return ft_err_set(
				err, FT_EXIT_SYS,
				"no memory for generation (%zu places)",
				need(g->o, p->n));
	}
	return 0;
}

/* Nothing is under way: what goes next is known before memory is taken. */
static int begin(struct gen *g, struct ft_err *err)
{
	g->drain = false;
	if (fetch(g, together(g->o), err) < 0)
		return -1;
	if (!g->nqueue)
		return 0;
	if (size_up(g, err) < 0)
		return -1;
	return g->d_id ? 0 : draws(g, err);
}

/* A prompt that has come does not fit: memory may grow once nothing is under
   way; else it waits for others to be done. */
static int grows(struct gen *g, bool *fits, struct ft_err *err)
{
	struct sizes s = {.longest = g->queue[0].n};

	*fits = false;
	if (s.longest > g->longest && !g->o->budget) {
		*fits = true;
		return reserve(g, pass_tokens(&s), round_up(s.longest, PREFILL),
			       err);
	}
	g->drain = true;
	return 0;
}

/* Take in what fits. */
static int admit(struct gen *g, struct ft_err *err)
{
	size_t fresh = 0, samples = (size_t)g->o->samples, at, base;
	bool fits;

	if (!g->nseq && begin(g, err) < 0)
		return -1;
	while (!g->drain &&
	       (!g->nseq || g->nseq + samples <= (size_t)g->o->batch)) {
		const struct ft_gen_prompt *p = g->queue;

		if (too_far(g))
			return 0;
		if (fetch(g, 1, err) < 0)
			return -1;
		if (!g->nqueue || (fresh && fresh + p->n > g->prefill))
			return 0;
		if (p->n > g->longest) {
			if (grows(g, &fits, err) < 0)
				return -1;
			if (!fits)
				return 0;
		}
		base = find_room(g, need(g->o, p->n), &at);
		if (base == SIZE_MAX) {
			struct sizes s = {.longest = p->n};
			size_t n = wanted_places(g->m, g->o, &s);

			g->drain = !g->o->budget && n > g->kv.cap / 4 * 5;
			return 0;
		}
		fresh += p->n;
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
	while (!rc && (g.nseq || g.nqueue || !g.end));
	release(&g);
	return rc;
}
