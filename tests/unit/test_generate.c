/* SPDX-License-Identifier: MIT */
/* Generation as a stream: when prompts are asked for, and that a sample does
   not depend on what came before it. */
#include "libcommon/nn/generate.h"

#include "tests/lib/model.h"
#include "tests/lib/test.h"

enum { MOST = 200, NEW = 6, LONG = 1500 };

struct flow {
	const size_t *len; /* of prompt i: lengths repeat */
	size_t nlen, n;
	size_t given, ended, first_end; /* prompts given when one first ended */
	size_t ahead;                   /* most given and not ended */
	size_t oldest, behind; /* the oldest not ended; most given since it */
	bool over[MOST];
	bool stop_first, fail;
	int32_t ids[LONG];
	int32_t out[MOST][NEW];
	size_t nout[MOST];
};

static int next(void *self, struct ft_gen_prompt *p, struct ft_err *err)
{
	struct flow *f = self;

	if (f->fail && f->given == 3)
		return ft_err_set(err, FT_EXIT_DATA, "no more of this");
	if (f->given == f->n)
		return 0;
	*p = (struct ft_gen_prompt){.ids = f->ids,
				    .n = f->len[f->given % f->nlen],
				    .key = f->given};
	f->given++;
	if (f->given - f->ended > f->ahead)
		f->ahead = f->given - f->ended;
	if (f->given - f->oldest > f->behind)
		f->behind = f->given - f->oldest;
	return 1;
}

/* All but the first prompt end with their first token. */
static bool token(void *self, size_t prompt, size_t sample, int32_t id)
{
	struct flow *f = self;

	(void)sample;
	(void)id;
	return f->stop_first && prompt > 0;
}

static int done(void *self, const struct ft_gen_out *o, struct ft_err *err)
{
	struct flow *f = self;

	(void)err;
	if (!f->ended++)
		f->first_end = f->given;
	f->over[o->prompt] = true;
	while (f->oldest < MOST && f->over[f->oldest])
		f->oldest++;
	if (o->sample == 0 && o->n <= NEW) {
		memcpy(f->out[o->prompt], o->ids, o->n * sizeof(*o->ids));
		f->nout[o->prompt] = o->n;
	}
	return 0;
}

static int run(struct eng *e, struct flow *f, int64_t batch, int64_t max_new)
{
	struct ft_gen_opts o = FT_GEN_DEFAULTS;
	const struct ft_gen_io io = {
		.self = f, .next = next, .token = token, .done = done};
	struct ft_err err = {0};

	for (size_t i = 0; i < LONG; i++)
		f->ids[i] = (int32_t)(3 + i * 7 % 20);
	f->given = f->ended = f->first_end = f->ahead = 0;
	f->oldest = f->behind = 0;
	memset(f->over, 0, sizeof(f->over));
	o.temperature = 0;
	o.batch = batch;
	o.max_new = max_new;
	return ft_generate(e->m, NULL, &o, &io, &err) < 0 ? err.code : 0;
}

static void flows(struct eng *e)
{
	static const size_t len[] = {3, 1, 7};
	static struct flow f = {.len = len, .nlen = 3, .n = MOST};

	CHECK(!run(e, &f, 4, NEW) && f.ended == MOST, "all prompts end");
	CHECK(f.first_end == 4 && f.ahead == 4,
	      "work starts with a full batch: %zu were asked for, %zu at most",
	      f.first_end, f.ahead);
	f.stop_first = true;
	CHECK(!run(e, &f, 4, NEW * 40), "one long, the others short");
	CHECK(f.first_end == 4 && f.given == MOST && f.ended == MOST,
	      "all end here too");
	f.n = 3;
	CHECK(!run(e, &f, 4, NEW) && f.ended == 3, "fewer than a batch");
	f.n = 0;
	CHECK(!run(e, &f, 4, NEW) && !f.ended, "none");
	f.n = 9;
	f.fail = true;
	CHECK(run(e, &f, 4, NEW) == FT_EXIT_DATA,
	      "a prompt that cannot be read ends it");
}

/* Samples that are done wait for those of earlier prompts: not without end. */
static void bounds(struct eng *e)
{
	static const size_t len[] = {2};
	static struct flow f = {
		.len = len, .nlen = 1, .n = MOST, .stop_first = true};

	/* the first goes on for 500 steps, in which 500 others could end */
	CHECK(!run(e, &f, 2, 500) && f.ended == MOST, "a slow first prompt");
	CHECK(f.behind == FT_GEN_AHEAD * 2,
	      "no more than %d are taken meanwhile: %zu", FT_GEN_AHEAD * 2,
	      f.behind);
}

static void growth(struct eng *e)
{
	static const size_t mixed[] = {2, 5, LONG, 3, 40};
	static struct flow all = {.len = mixed, .nlen = 5, .n = 10};
	static struct flow one = {.nlen = 1, .n = 1};
	bool same = true;

	CHECK(!run(e, &all, 2, NEW) && all.ended == 10,
	      "long prompts among short ones");
	for (size_t i = 0; i < 10; i++) {
		one.len = &mixed[i % 5];
		if (run(e, &one, 1, NEW) || one.nout[0] != all.nout[i] ||
		    memcmp(one.out[0], all.out[i], one.nout[0] * 4) != 0)
			same = false;
	}
	CHECK(same, "each as if it were alone");
}

/* --- a conversation -------------------------------------------------------- */

enum { TALK = 400 };

struct talk {
	int32_t ids[TALK], out[TALK];
	float logps[TALK];
	size_t n, nout;
	bool given;
};

static int talk_next(void *self, struct ft_gen_prompt *p, struct ft_err *err)
{
	struct talk *t = self;

	(void)err;
	*p = (struct ft_gen_prompt){.ids = t->ids, .n = t->n, .key = t->n};
	t->given = !t->given;
	return t->given;
}

static int talk_done(void *self, const struct ft_gen_out *o, struct ft_err *err)
{
	struct talk *t = self;

	(void)err;
	t->nout = o->n;
	memcpy(t->out, o->ids, o->n * sizeof(*o->ids));
	memcpy(t->logps, o->logps, o->n * sizeof(*o->logps));
	return 0;
}

/* Tokens that went through attention, in all layers. */
static size_t computed;
static void (*attend)(struct ftk *k, const struct ftk_attn *a);

static void count(struct ftk *k, const struct ftk_attn *a)
{
	computed += a->tq;
	attend(k, a);
}

/* Turns of one generator, each as if it were the only one.  Of each turn a few
   tokens of the answer are forgotten, and others added. */
static void conversation(struct eng *e, const char *config, size_t budget)
{
	static const size_t add[] = {5, 1, 40, 2, 70, 3},
			    drop[] = {0, 0, 3, 1, 60, 0};
	struct ft_gen_opts o = FT_GEN_DEFAULTS;
	static struct talk t, alone;
	const struct ft_gen_io io = {
		.self = &t, .next = talk_next, .done = talk_done};
	const struct ft_gen_io io1 = {
		.self = &alone, .next = talk_next, .done = talk_done};
	struct ft_err err = {0};
	struct ft_gen *g;
	size_t layers = ft_model_config(e->m)->layers;
	bool same = true, saved = true;
	double far = 0;

	o.batch = 1;
	o.repetition_penalty = 1.1;
	o.budget = budget;
	g = ft_gen_new(e->m, NULL, &o);
	t = (struct talk){0};
	for (size_t i = 0; i < 6; i++) {
		t.n -= drop[i];
		for (size_t j = 0; j < add[i]; j++, t.n++)
			t.ids[t.n] = (int32_t)((t.n * 5 + j) % 11 + 1);
		/* what there is room for may shrink and grow again */
		o.max_new = i == 2 ? 9 : 20;
		alone = t;
		computed = 0;
		if (ft_gen_run(g, &io, &err) < 0)
			eng_die("talk", &err);
		/* what is new, the last token drawn, those that are drawn */
		if (computed > layers * (add[i] + 1 + t.nout - 1))
			saved = false;
		if (ft_generate(e->m, NULL, &o, &io1, &err) < 0)
			eng_die("talk", &err);
		for (size_t j = 0; j < t.nout; j++)
			far = fmax(far, fabs((double)t.logps[j] -
					     (double)alone.logps[j]));
		if (!t.nout || t.nout != alone.nout ||
		    memcmp(t.out, alone.out, t.nout * sizeof(*t.out)) != 0)
			same = false;
		memcpy(t.ids + t.n, t.out, t.nout * sizeof(*t.out));
		t.n += t.nout;
	}
	CHECK(same && far < 1e-5,
	      "a conversation of %zu tokens, %s%s: each turn as if alone, %.1g",
	      t.n, config, budget ? ", in little memory" : "", far);
	CHECK(saved || budget, "what was computed is not computed again");
	ft_gen_free(g);
}

static void conversations(void)
{
	static const char *const dirs[] = {GOLDEN "mha", GOLDEN "gemma3_text",
					   GOLDEN "qwen3"};
	struct eng e;

	for (size_t i = 0; i < 3; i++) {
		if (!eng_backend(&e, "cpu", NULL, 2))
			eng_die("cpu", NULL);
		eng_model(&e, dirs[i], NULL, false);
		attend = e.k->attn;
		e.k->attn = count;
		conversation(&e, dirs[i], 0);
		conversation(&e, dirs[i], 64 << 20);
		eng_close(&e);
	}
}

int main(void)
{
	struct eng e;

	if (!eng_backend(&e, "cpu", NULL, 1))
		eng_die("cpu", NULL);
	eng_model(&e, GOLDEN "mha", NULL, false);
	flows(&e);
	bounds(&e);
	growth(&e);
	eng_close(&e);
	conversations();
	return test_done();
}
