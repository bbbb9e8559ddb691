/* SPDX-License-Identifier: MIT */
#include "libcommon/nn/generate.h"

#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"
#include "libcommon/base/rng.h"
#include "libcommon/nn/draw.h"

/* A pass has up to PREFILL tokens of prompts, or a longer one alone.  A cache
   that may grow does so by PLACES for each prompt. */
enum { PREFILL = 1024, PLACES = 64, CACHE_BYTES = 1 << 30 };

/* A prompt under way: places [base, base + n) of the cache hold it, behind
   them max_new for each sample. */
struct group {
	struct ft_gen_prompt p;
	size_t prompt, base, size;
	size_t live; /* samples that go on */
	size_t have; /* of its first tokens: they are in the cache already */
	bool fresh;  /* not computed yet */
};

struct seq {
	struct group *g;
	size_t sample, base; /* its own places */
	int32_t *ids;        /* [max_new] */
	float *logps;
	size_t n;
};

struct ft_gen {
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
	void *cache;   /* all of it, one allocation */
	int32_t *held; /* what its first places hold between runs */
	size_t nheld;
	struct group **group; /* by base */
	size_t ngroup;
	struct seq *seq;
	size_t nseq, capseq;
	struct ft_pass pass;
	int32_t *place;
	size_t prefill; /* most prompt tokens a pass */
	size_t longest; /* prompt that there is room for */

	/* one row of logits a draw */
	int32_t *src, *id;
	float *logp;
	struct seq **who;
	struct ft_draws draws;
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
static size_t find_room(const struct ft_gen *g, size_t size, size_t *at)
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
static bool too_far(const struct ft_gen *g)
{
	size_t oldest = g->next;

	for (size_t i = 0; i < g->ngroup; i++) {
		if (g->group[i]->prompt < oldest)
			oldest = g->group[i]->prompt;
	}
	return g->next - oldest >= FT_GEN_AHEAD * (size_t)g->o->batch;
}

/* How much of a run's first prompt the run before has left; its last token is
   computed in any case. */
static size_t common(const struct ft_gen *g, size_t base)
{
	const struct ft_gen_prompt *p = &g->queue[0];
	size_t n = 0;

	if (g->next || base)
		return 0;
	while (n < g->nheld && n + 1 < p->n && g->held[n] == p->ids[n])
		n++;
	return n;
}

static void add_group(struct ft_gen *g, size_t base, size_t at)
{
	size_t samples = (size_t)g->o->samples, have = common(g, base);
	struct group *n = ft_xcalloc(1, sizeof(*n));

	g->nheld = 0;
	*n = (struct group){.p = g->queue[0],
			    .prompt = g->next++,
			    .have = have,
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

static void add_token(struct ft_gen *g, int32_t id, size_t pos, size_t place)
{
	struct ft_pass *p = &g->pass;

	p->ids[p->t] = id;
	p->pos[p->t] = (int32_t)pos;
	p->key[p->t] = 0;
	g->place[p->t++] = (int32_t)place;
}

/* Tokens to compute now: whole new prompts, the last token of the others. */
static void lay_out(struct ft_gen *g, size_t *nrow)
{
	struct ft_pass *p = &g->pass;

	ft_pass_clear(p);
	*nrow = 0;
	for (size_t i = 0; i < g->nseq; i++) {
		struct seq *q = &g->seq[i];
		const struct ft_gen_prompt *pr = &q->g->p;
		int32_t n = (int32_t)pr->n, own = (int32_t)q->n;

		if (q->g->fresh && q->sample == 0) {
			p->seg[p->nseg++] = (struct ftk_segment){
				.q0 = (int32_t)p->t,
				.nq = n - (int32_t)q->g->have,
				.k0 = (int32_t)q->g->base,
				.nk = n};
			for (size_t j = q->g->have; j < pr->n; j++)
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

static void draw(struct ft_gen *g, size_t from, size_t n)
{
	const void *logits = ft_model_logits(g->m, g->src + from, n);

	for (size_t i = 0; i < n; i++) {
		const struct seq *q = g->who[from + i];
		const struct ft_gen_prompt *p = &q->g->p;
		uint64_t at = (uint64_t)q->sample << 32 | q->n;

		ft_draws_row(&g->draws, i,
			     ft_rng_unit((uint64_t)g->o->seed, FT_RNG_SAMPLE,
					 p->key, at),
			     p->ids, p->n, q->ids, q->n);
	}
	ft_draws_run(&g->draws, logits, n, g->id + from, g->logp + from);
}

/* The last token drawn was not computed. */
static void hold(struct ft_gen *g, const struct seq *q)
{
	const struct ft_gen_prompt *p = &q->g->p;

	g->nheld = p->n + q->n - 1;
	g->held = ft_xrealloc(g->held, g->nheld, sizeof(*g->held));
	memcpy(g->held, p->ids, p->n * sizeof(*g->held));
	memcpy(g->held + p->n, q->ids, (q->n - 1) * sizeof(*g->held));
}

static int finish(struct ft_gen *g, struct seq *q, bool stopped,
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

	if (!old->base && !q->sample)
		hold(g, q);
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

static int take(struct ft_gen *g, size_t nrow, struct ft_err *err)
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

static void free_cache(struct ft_gen *g)
{
	struct ftk *k = ft_model_backend(g->m);

	if (g->cache)
		k->free(k, g->cache);
	g->cache = NULL;
	free(g->kv.k);
	free(g->kv.v);
	g->kv = (struct ft_kv){0};
	g->nheld = 0;
}

/* Of a place, in a layer. */
static size_t key_bytes(const struct ft_model *m)
{
	const struct ft_config *cfg = ft_model_config(m);

	return cfg->kv_heads * cfg->head_dim * ft_model_backend(m)->act_size;
}

static void carve_cache(const struct ft_model *m, struct ft_kv *kv,
			struct ft_carve *c)
{
	size_t layers = ft_model_config(m)->layers, width = key_bytes(m);

	c->part = FT_PLAN_CACHE;
	for (size_t l = 0; l < layers; l++) {
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
	ft_draws_plan(ft_model_backend(m), o, r.n, ft_model_config(m)->vocab,
		      longest + (size_t)o->max_new, p);
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

static struct sizes sizes_of(const struct ft_gen *g)
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

/* The first n places of a cache, into another. */
static void move_places(struct ft_gen *g, const struct ft_kv *from, size_t n)
{
	size_t nbytes = n * key_bytes(g->m);
	struct ftk *k = ft_model_backend(g->m);
	void *buf = ft_xmalloc(nbytes);

	for (size_t l = 0; l < ft_model_config(g->m)->layers; l++) {
		k->get(k, buf, from->k[l], nbytes);
		k->sync(k);
		k->put(k, g->kv.k[l], buf, nbytes);
		k->get(k, buf, from->v[l], nbytes);
		k->sync(k);
		k->put(k, g->kv.v[l], buf, nbytes);
		k->sync(k);
	}
	free(buf);
}

/* A larger cache, while there is nothing under way; what is held of the run
   before moves, where memory is not short. */
static int make_cache(struct ft_gen *g, size_t places, struct ft_err *err)
{
	size_t nbytes = cache_bytes(g->m, places), held;
	size_t layers = ft_model_config(g->m)->layers;
	struct ftk *k = ft_model_backend(g->m);
	struct ft_carve c = {0};
	struct ft_kv old;
	void *old_cache;

	if (places <= g->kv.cap)
		return 0;
	if (g->next || g->o->budget)
		free_cache(g);
	old = g->kv;
	old_cache = g->cache;
	held = g->nheld;
	g->cache = k->alloc(k, nbytes + 1);
	g->kv = (struct ft_kv){
		.k = ft_xcalloc(layers, sizeof(*g->kv.k)),
		.v = ft_xcalloc(layers, sizeof(*g->kv.v)),
		.cap = g->cache ? places : 0,
	};
	c.base = g->cache;
	if (g->cache)
		carve_cache(g->m, &g->kv, &c);
	if (g->cache && held)
		move_places(g, &old, held);
	if (old_cache)
		k->free(k, old_cache);
	free(old.k);
	free(old.v);
	return g->cache ? 0
			: ft_err_set(err, FT_EXIT_SYS,
				     "no memory for generation (%zu MB)",
				     nbytes >> 20);
}

/* Room for passes with prompts of so many tokens; what is kept between passes,
   the cache, is not touched. */
static int reserve(struct ft_gen *g, size_t tokens, size_t longest,
		   struct ft_err *err)
{
	size_t rows, most = longest + (size_t)g->o->max_new;
	struct ft_pass *p = &g->pass;
	struct ft_reserve r;

	if (tokens <= g->prefill && longest <= g->longest &&
	    most <= g->draws.behind)
		return 0;
	g->prefill = tokens > g->prefill ? tokens : g->prefill;
	g->longest = longest > g->longest ? longest : g->longest;
	r = room_for(g->m, g->o, g->a, g->prefill, g->longest);
	p->ids = ft_xrealloc(p->ids, r.t, sizeof(*p->ids));
	p->pos = ft_xrealloc(p->pos, r.t, sizeof(*p->pos));
	p->key = ft_xrealloc(p->key, r.t, sizeof(*p->key));
	g->place = ft_xrealloc(g->place, r.t, sizeof(*g->place));
	if (ft_model_reserve(g->m, &r, err) < 0)
		return -1;
	rows = ft_model_chunk(g->m);
	ft_draws_release(&g->draws);
	return ft_draws_open(&g->draws, ft_model_backend(g->m), g->o,
			     rows < g->capseq ? rows : g->capseq,
			     ft_model_config(g->m)->vocab,
			     g->longest + (size_t)g->o->max_new, err);
}

/* Nothing is under way: room for what waits. */
static int size_up(struct ft_gen *g, struct ft_err *err)
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

static void arrays(struct ft_gen *g)
{
	g->capseq = sequences(g->o);
	g->pass.seg = ft_xcalloc(g->capseq, sizeof(*g->pass.seg));
	g->seq = ft_xcalloc(g->capseq, sizeof(*g->seq));
	g->group = ft_xcalloc(g->capseq + 1, sizeof(struct group *));
	g->queue = ft_xcalloc(g->capseq + 1, sizeof(*g->queue));
	g->src = ft_xcalloc(g->capseq, sizeof(*g->src));
	g->id = ft_xcalloc(g->capseq, sizeof(*g->id));
	g->logp = ft_xcalloc(g->capseq, sizeof(*g->logp));
	g->who = ft_xcalloc(g->capseq, sizeof(struct seq *));
}

static void release(struct ft_gen *g)
{
	ft_draws_release(&g->draws);
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
}

/* --- a step --- */

/* Have so many prompts wait, if there are as many. */
static int fetch(struct ft_gen *g, size_t n, struct ft_err *err)
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
static int begin(struct ft_gen *g, struct ft_err *err)
{
	g->drain = false;
	if (fetch(g, together(g->o), err) < 0)
		return -1;
	if (!g->nqueue)
		return 0;
	if (size_up(g, err) < 0)
		return -1;
	return 0;
}

/* A prompt that has come does not fit: memory may grow once nothing is under
   way; else it waits for others to be done. */
static int grows(struct ft_gen *g, bool *fits, struct ft_err *err)
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
static int admit(struct ft_gen *g, struct ft_err *err)
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

static int step(struct ft_gen *g, struct ft_err *err)
{
	struct ft_run run = {.adapter = g->a, .kv = &g->kv};
	size_t nrow, rows;

	if (admit(g, err) < 0)
		return -1;
	if (!g->nseq)
		return 0;
	run.place = g->place;
	lay_out(g, &nrow);
	ft_model_forward(g->m, &run, &g->pass);
	rows = g->draws.rows;
	for (size_t i = 0; i < nrow; i += rows)
		draw(g, i, nrow - i < rows ? nrow - i : rows);
	return take(g, nrow, err);
}

struct ft_gen *ft_gen_new(struct ft_model *m, const struct ft_adapter *a,
			  const struct ft_gen_opts *o)
{
	struct ft_gen *g = ft_xcalloc(1, sizeof(*g));

	g->m = m;
	g->a = a;
	g->o = o;
	arrays(g);
	return g;
}

int ft_gen_run(struct ft_gen *g, const struct ft_gen_io *io, struct ft_err *err)
{
	int rc;

	g->io = io;
	g->next = 0;
	g->end = false;
	do
		rc = step(g, err);
	while (!rc && (g->nseq || g->nqueue || !g->end));
	return rc;
}

void ft_gen_free(struct ft_gen *g)
{
	release(g);
	free(g->held);
	free(g);
}

int ft_generate(struct ft_model *m, const struct ft_adapter *a,
		const struct ft_gen_opts *o, const struct ft_gen_io *io,
		struct ft_err *err)
{
	struct ft_gen *g = ft_gen_new(m, a, o);
	int rc = ft_gen_run(g, io, err);

	ft_gen_free(g);
	return rc;
}
