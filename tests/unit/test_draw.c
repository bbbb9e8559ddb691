/* SPDX-License-Identifier: MIT */
/*
 * Tokens drawn against the distributions of transformers' generate():
 * tests/data/draw.json, made by tests/golden/gen_draw.py.  A number u in the
 * middle of a token's share of [0, 1) draws that token; shares lie in the order
 * of decreasing probability.  Those below 1e-5 are lost in float32's rounding.
 */
#include "libcommon/nn/draw.h"

#include <math.h>

#include "libcommon/io/input.h"
#include "libcommon/io/json.h"
#include "tests/lib/model.h"
#include "tests/lib/test.h"

enum { MOST = 64, COPIES = 3 };

struct share {
	double p;
	int32_t id;
};

static int by_draw(const void *va, const void *vb)
{
	const struct share *a = va, *b = vb;

	if (a->p != b->p)
		return a->p > b->p ? -1 : 1;
	return a->id < b->id ? -1 : 1;
}

static double real(const struct ft_json *o, const char *key, double without)
{
	struct ft_err err;

	if (ft_json_real(o, key, &without, &err) < 0)
		eng_die(key, &err);
	return without;
}

static size_t list(const struct ft_json *o, const char *key, double *v)
{
	size_t n = 0;

	for (const struct ft_json *x = ft_json_get(o, key)->child;
	     x && n < MOST; x = x->next)
		v[n++] = x->num;
	return n;
}

struct golden {
	struct ft_gen_opts o;
	size_t n, nseen, nshare;
	int32_t seen[MOST];
	float logits[MOST];
	struct share share[MOST];
};

static void read_row(const struct ft_json *row, struct golden *g)
{
	const struct ft_json *how = ft_json_get(row, "how");
	double v[MOST];

	*g = (struct golden){.o = FT_GEN_DEFAULTS};
	g->o.temperature = real(how, "temperature", 1);
	g->o.top_p = real(how, "top_p", 1);
	g->o.min_p = real(how, "min_p", 0);
	g->o.repetition_penalty = real(how, "repetition_penalty", 1);
	g->o.top_k = (int64_t)real(how, "top_k", 0);
	g->nseen = list(row, "prompt", v);
	for (size_t i = 0; i < g->nseen; i++)
		g->seen[i] = (int32_t)v[i];
	g->n = list(row, "logits", v);
	for (size_t i = 0; i < g->n; i++)
		g->logits[i] = (float)v[i];
	g->n = list(row, "probs", v);
	for (size_t i = 0; i < g->n; i++) {
		if (v[i] > 0)
			g->share[g->nshare++] =
				(struct share){v[i], (int32_t)i};
	}
	qsort(g->share, g->nshare, sizeof(*g->share), by_draw);
}

/* One draw with u, among others that have other tokens behind them. */
static int32_t draw(struct ft_draws *d, const struct golden *g, double u,
		    void *logits, float *logp)
{
	static const int32_t other[] = {4, 5, 6, 7, 8, 9, 10};
	int32_t id[COPIES];
	float lp[COPIES];

	ft_draws_row(d, 0, 0.5, other, 7, NULL, 0);
	/* the prompt's first part and what was drawn then: as one list */
	ft_draws_row(d, 1, u, g->seen, g->nseen / 2, g->seen + g->nseen / 2,
		     g->nseen - g->nseen / 2);
	ft_draws_row(d, 2, 0.5, other, 3, other + 3, 4);
	ft_draws_run(d, logits, COPIES, id, lp);
	*logp = lp[1];
	return id[1];
}

static void row(struct ftk *k, const struct golden *g, size_t at)
{
	void *logits = k->alloc(k, COPIES * g->n * k->real_size);
	float *host = ft_xcalloc(COPIES * g->n, sizeof(*host)), logp;
	double sum = 0, from = 0, worst = 0;
	struct ft_draws d;
	struct ft_err err;
	size_t wrong = 0;

	for (size_t i = 0; i < COPIES * g->n; i++)
		host[i] = g->logits[i % g->n];
	for (size_t i = 0; i < g->n; i++)
		sum += exp((double)host[i]);
	k->put_real(k, logits, host, COPIES * g->n);
	if (ft_draws_open(&d, k, &g->o, COPIES, g->n, MOST, &err) < 0)
		eng_die("draws", &err);
	for (size_t i = 0; i < g->nshare && g->share[i].p > 1e-5; i++) {
		const struct share *s = &g->share[i];
		double at_end[] = {0.5, s->p > 1e-3 ? 0.001 : 0.5,
				   s->p > 1e-3 ? 0.999 : 0.5};

		for (int j = 0; j < 3; j++) {
			int32_t id = draw(&d, g, from + at_end[j] * s->p,
					  logits, &logp);

			wrong += id != s->id;
			worst = fmax(worst, fabs((double)logp + log(sum) -
						 (double)g->logits[id]));
		}
		from += s->p;
	}
	CHECK(!wrong, "%s %s: row %zu: %zu tokens are drawn by their shares",
	      k->name, k->isa, at, g->nshare);
	CHECK(worst < 1e-5, "%s %s: row %zu: log-probs of all tokens: %.1e",
	      k->name, k->isa, at, worst);
	ft_draws_release(&d);
	k->free(k, logits);
	free(host);
}

/* --- greedy text with a penalty ------------------------------------------- */

struct text {
	int32_t prompt[MOST], ids[MOST], want[MOST];
	size_t nprompt, n, nwant;
	bool given;
};

static int next(void *self, struct ft_gen_prompt *p, struct ft_err *err)
{
	struct text *t = self;

	(void)err;
	*p = (struct ft_gen_prompt){.ids = t->prompt, .n = t->nprompt};
	t->given = !t->given;
	return t->given;
}

static int done(void *self, const struct ft_gen_out *o, struct ft_err *err)
{
	struct text *t = self;

	(void)err;
	t->n = o->n;
	memcpy(t->ids, o->ids, o->n * sizeof(*o->ids));
	return 0;
}

static void greedy(struct eng *e, const struct ft_json *g)
{
	struct ft_gen_opts o = FT_GEN_DEFAULTS;
	struct text t = {0};
	const struct ft_gen_io io = {.self = &t, .next = next, .done = done};
	struct ft_err err = {0};
	double v[MOST];

	t.nprompt = list(g, "prompt", v);
	for (size_t i = 0; i < t.nprompt; i++)
		t.prompt[i] = (int32_t)v[i];
	t.nwant = list(g, "ids", v);
	for (size_t i = 0; i < t.nwant; i++)
		t.want[i] = (int32_t)v[i];
	o.temperature = 0;
	o.max_new = (int64_t)t.nwant;
	o.repetition_penalty = real(g, "penalty", 1);
	if (ft_generate(e->m, NULL, &o, &io, &err) < 0)
		eng_die("generate", &err);
	CHECK(t.n == t.nwant && !memcmp(t.ids, t.want, t.n * sizeof(*t.ids)),
	      "%s %s: greedy text of %zu tokens with penalty %g", e->k->name,
	      e->k->isa, t.n, o.repetition_penalty);
	if (t.n != t.nwant)
		return;
	o.repetition_penalty = 1;
	ft_generate(e->m, NULL, &o, &io, &err);
	CHECK(t.n != t.nwant ||
		      memcmp(t.ids, t.want, t.n * sizeof(*t.ids)) != 0,
	      "and another without");
}

static void with(struct eng *e, const struct ft_json *all)
{
	struct golden g;
	size_t i = 0;

	for (const struct ft_json *r = ft_json_get(all, "rows")->child; r;
	     r = r->next) {
		read_row(r, &g);
		row(e->k, &g, i++);
	}
	CHECK(i == 12, "all rows");
	eng_model(e, GOLDEN "mha", NULL, false);
	for (const struct ft_json *r = ft_json_get(all, "greedy")->child; r;
	     r = r->next)
		greedy(e, r);
	eng_close(e);
}

int main(void)
{
	static const char *const isas[] = {"scalar", "avx2", "avx512"};
	struct ft_arena a = {0};
	struct ft_err err;
	struct ft_json *all;
	struct eng e;
	size_t n;
	char *s = ft_read_file("tests/data/draw.json", 1 << 20, &n, &err);

	if (!s || ft_json_parse(&a, s, n, &all, &err) < 0)
		eng_die("tests/data/draw.json", &err);
	if (eng_backend(&e, "ref64", NULL, 1))
		with(&e, all);
	for (int i = 0; i < 3; i++) {
		if (eng_backend(&e, "cpu", isas[i], 2))
			with(&e, all);
	}
	ft_arena_release(&a);
	free(s);
	return test_done();
}
