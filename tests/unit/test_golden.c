/* SPDX-License-Identifier: MIT */
/*
 * The engine against transformers, PEFT and TRL: tests/data/golden, made by
 * tests/golden/gen_llama.py, gen_families.py, gen_trl.py and gen_nf4.py.  Log-probs, losses, every LoRA and
 * full gradient, 20 AdamW steps, greedy text; each instruction set of this
 * machine.
 *
 *	test_golden [CASE|all|FOLDER [ref64|scalar|avx2|avx512]]
 */
#include "libcommon/nn/generate.h"
#include "libcommon/train/dpo.h"
#include "libcommon/train/optim.h"
#include "tests/lib/gold.h"
#include "tests/lib/test.h"

static const double tol = 1e-4;

/* --- comparisons with a case --- */

static void logps(struct eng *e, const struct gold *g, const char *name)
{
	const float *b = floats(g, name);
	struct worst w = {0};
	char at[32];

	for (size_t i = 0; i < e->pass.n; i++) {
		snprintf(at, sizeof(at), "token %d", (int)e->pass.at[i]);
		worse(&w,
		      logp_far((double)e->logp[i], (double)b[e->pass.at[i]]),
		      at);
	}
	CHECK(w.v <= tol, "%s %s: %s: worst %.1e (%s)", e->k->name, e->k->isa,
	      name, w.v, w.name);
}

static void close_to(const struct eng *e, double a, double b, double limit,
		     const char *name)
{
	double d = fabs(a - b) / fmax(1, fabs(b));

	CHECK(d <= limit, "%s %s: %s: %.7g for %.7g, %.1e", e->k->name,
	      e->k->isa, name, a, b, d);
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(const struct ft_param *const *)a)->name,
		      (*(const struct ft_param *const *)b)->name);
}

/* An oracle's gradients stand by sorted name; a case that keeps only some of
   them says which. */
static bool kept(const struct gold *g, const struct ft_param *p, bool full)
{
	const struct ft_json *list = ft_json_get(g->meta, "full"), *x;

	if (!full || !list)
		return true;
	for (x = list->child; x; x = x->next) {
		if (!strcmp(x->s, p->name))
			return true;
	}
	return false;
}

/* [n, k] becomes its transpose. */
static void turn(float *v, size_t n, size_t k)
{
	float *t = ft_xmalloc(n * k * sizeof(*t));

	for (size_t i = 0; i < n * k; i++)
		t[i % k * n + i / k] = v[i];
	memcpy(v, t, n * k * sizeof(*t));
	free(t);
}

static void gradients(struct eng *e, const struct gold *g, const char *name)
{
	const struct ft_block *t = eng_block(e);
	const struct ft_param **p = ft_xcalloc(t->nt, sizeof(*p));
	const struct ft_tensor *x = want(g, name);
	const float *b = x->data;
	double floor = 1e-6 * max_abs(b, x->numel);
	float *a = eng_grad(e);
	struct worst w = {0};
	size_t at = 0, n = 0;

	for (size_t i = 0; i < t->nt; i++) {
		if (kept(g, &t->t[i], e->full))
			p[n++] = &t->t[i];
	}
	qsort(p, n, sizeof(*p), by_name);
	for (size_t i = 0; i < n; i++, at += p[i - 1]->n) {
		if (at + p[i]->n > x->numel) {
			at = 0;
			break;
		}
		if (p[i]->turned)
			turn(a + p[i]->off, p[i]->shape[0], p[i]->shape[1]);
		worse(&w, tensor_far(a + p[i]->off, b + at, p[i]->n, floor),
		      p[i]->name);
	}
	CHECK(at == x->numel && w.v <= tol,
	      "%s %s: %s, %zu tensors: worst %.1e (%s)", e->k->name, e->k->isa,
	      name, n, w.v, w.name);
	free(a);
	free(p);
}

/* --- one kind of training at a time --- */

static void sft(struct eng *e, const struct gold *g, const char *what)
{
	char name[64];
	double loss;

	eng_zero(e);
	eng_rows(e, &g->rows, NULL, g->rows.nrow);
	loss = eng_sft(e, 0);
	snprintf(name, sizeof(name), "sft%s.logps", e->full ? "" : ".lora");
	logps(e, g, name);
	snprintf(name, sizeof(name), "sft%s.loss", e->full ? "" : ".lora");
	close_to(e, loss, (double)floats(g, name)[0], tol, name);
	snprintf(name, sizeof(name), "sft.%s.grad", what);
	gradients(e, g, name);
}

/* Loss and gradients of n pairs, rows[0..n) (NULL: the first).  ref: sums by
   branch of all of the case's pairs, [pairs, 2]. */
static double dpo(struct eng *e, const struct gold *g,
		  const struct ft_dpo_opts *o, const float *ref,
		  const size_t *rows, size_t n)
{
	double sum[MAX_SEG], grad[MAX_SEG] = {0}, loss = 0;

	eng_zero(e);
	eng_rows(e, &g->pairs, rows, n);
	eng_slopes(e);
	eng_sums(e, sum);
	for (size_t i = 0; i < n; i++) {
		const struct ftk_segment *s = &e->pass.seg[3 * i];
		const float *r = ref + 2 * (rows ? rows[i] : i);

		loss += ft_dpo_loss(o, sum[3 * i + 1] - (double)r[0],
				    sum[3 * i + 2] - (double)r[1], s[1].nq,
				    s[2].nq, &grad[3 * i + 1],
				    &grad[3 * i + 2]);
	}
	for (size_t i = 0; i < e->pass.n; i++)
		e->coef[i] = (float)(grad[e->pass.of[i]] / (double)n);
	eng_apply(e);
	return loss / (double)n;
}

static void dpo_lora(struct eng *e, const struct gold *g)
{
	static const struct {
		const char *name;
		struct ft_dpo_opts o;
	} t[] = {
		{"sigmoid", {.beta = 0.1, .loss = FT_DPO_SIGMOID}},
		{"cdpo",
		 {.beta = 0.1, .loss = FT_DPO_SIGMOID, .label_smoothing = 0.2}},
		{"hinge", {.beta = 0.1, .loss = FT_DPO_HINGE}},
		{"ipo", {.beta = 0.1, .loss = FT_DPO_IPO}},
	};
	char name[64];
	double loss;

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		loss = dpo(e, g, &t[i].o, floats(g, "pair.base.sums"), NULL,
			   g->pairs.nrow);
		snprintf(name, sizeof(name), "dpo.%s.loss", t[i].name);
		close_to(e, loss, (double)floats(g, name)[0], tol, name);
		snprintf(name, sizeof(name), "dpo.%s.lora.grad", t[i].name);
		if (ft_st_find(&g->st, name))
			gradients(e, g, name);
	}
}

static void dpo_full(struct eng *e, const struct gold *g)
{
	struct ft_dpo_opts o = {.beta = 0.1};
	double loss;

	if (!ft_st_find(&g->st, "dpo.sigmoid.full.grad"))
		return;
	loss = dpo(e, g, &o, floats(g, "pair.lora.sums"), NULL, g->pairs.nrow);
	close_to(e, loss, (double)floats(g, "dpo.sigmoid.full.loss")[0], tol,
		 "dpo.sigmoid.full.loss");
	gradients(e, g, "dpo.sigmoid.full.grad");
}

/* --- steps as the trainers take them; each leaves other weights behind --- */

/* Rows from, from + 1, ... of `of', wrapping; loss and gradients of them. */
struct course {
	const struct gold *g;
	const size_t *of; /* [nof] */
	size_t nof;
	const struct ft_dpo_opts *dpo; /* NULL: SFT */
	const float *ref;
};

static double one_step(struct eng *e, const struct course *c, size_t from,
		       size_t n)
{
	size_t rows[16];

	for (size_t i = 0; i < n; i++)
		rows[i] = c->of[(from + i) % c->nof];
	if (c->dpo)
		return dpo(e, c->g, c->dpo, c->ref, rows, n);
	eng_zero(e);
	eng_rows(e, &c->g->rows, rows, n);
	return eng_sft(e, 0);
}

static void walk(struct eng *e, const struct course *c, const float *loss,
		 const float *norms, const char *name)
{
	const struct gold *g = c->g;
	struct ft_train_opts o = FT_TRAIN_DEFAULTS;
	size_t batch = (size_t)hyper(g, "batch");
	double clip = hyper(g, "clip"), far = 0, nfar = 0;
	int64_t total = (int64_t)hyper(g, "steps");
	struct ft_optimizer opt;
	struct ft_err err = {0};

	o.lr = hyper(g, e->full ? "lr_full" : "lr_lora");
	o.decay = hyper(g, "decay");
	o.warmup_steps = hyper(g, "warmup");
	o.max_grad_norm = clip;
	if (ft_optimizer_init(&opt, eng_block(e), &o, &err) < 0)
		eng_die("optimizer", &err);
	for (int64_t s = 0; s < total; s++) {
		double got = one_step(e, c, (size_t)s * batch, batch);
		double norm = ft_optimizer_norm(&opt);

		far = fmax(far, logp_far(got, (double)loss[s]));
		if (norms)
			nfar = fmax(nfar, fabs(norm / (double)norms[s] - 1));
		ft_optimizer_step(&opt, ft_learning_rate(&o, s, total),
				  norm > clip ? clip / (norm + 1e-6) : 1);
		ft_model_sync(e->m);
		if (e->lora)
			ft_adapter_sync(&e->a, e->m);
	}
	CHECK(far <= tol, "%s %s: %s: %d steps, worst loss %.1e, norm %.1e",
	      e->k->name, e->k->isa, name, (int)total, far, nfar);
	ft_optimizer_release(&opt);
}

static void steps(struct eng *e, const struct gold *g, const char *what)
{
	static const size_t all[] = {0, 1, 2, 3, 4, 5, 6, 7};
	struct course c = {.g = g, .of = all, .nof = g->rows.nrow};
	char name[2][64];

	snprintf(name[0], sizeof(name[0]), "steps.%s.loss", what);
	snprintf(name[1], sizeof(name[1]), "steps.%s.norm", what);
	if (!ft_st_find(&g->st, name[0]))
		return;
	walk(e, &c, floats(g, name[0]), floats(g, name[1]), name[0]);
}

/* --- TRL's own trainers: tests/golden/gen_trl.py --- */

static const char trl_file[] = GOLDEN "bias/trl.safetensors";

static void trl_sft(const struct gold *g, const struct ft_st *st,
		    const char *backend, const char *isa)
{
	const struct ft_tensor *r = ft_st_find(st, "rows");
	size_t rows[8], n = 0;
	struct course c = {.g = g, .of = rows};
	struct eng e;

	for (; n < r->numel && n < 8; n++)
		rows[n] = (size_t)((const int32_t *)r->data)[n];
	c.nof = n;
	eng_backend(&e, backend, isa, 1);
	eng_model(&e, g->model, NULL, true);
	walk(&e, &c, ft_st_find(st, "sft.loss")->data, NULL,
	     "TRL's SFTTrainer");
	eng_close(&e);
}

/* The reference is the adapter as it stood at the start. */
static void trl_dpo(const struct gold *g, const struct ft_st *st,
		    const char *backend, const char *isa)
{
	static const char *const names[] = {"sigmoid", "hinge", "ipo"};
	static const size_t all[] = {0, 1, 2, 3};
	const float *want_loss;
	double sum[MAX_SEG];
	float ref[MAX_SEG];
	char name[64];

	for (int i = 0; i < 3; i++) {
		struct ft_dpo_opts o = {.beta = 0.1, .loss = i};
		struct course c = {
			.g = g, .of = all, .nof = 4, .dpo = &o, .ref = ref};
		struct eng e;

		eng_backend(&e, backend, isa, 1);
		eng_model(&e, g->model, g->adapter, false);
		eng_rows(&e, &g->pairs, NULL, g->pairs.nrow);
		eng_forward(&e);
		eng_sums(&e, sum);
		for (size_t p = 0; p < g->pairs.nrow; p++) {
			ref[2 * p] = (float)sum[3 * p + 1];
			ref[2 * p + 1] = (float)sum[3 * p + 2];
		}
		snprintf(name, sizeof(name), "dpo.%s.loss", names[i]);
		want_loss = ft_st_find(st, name)->data;
		snprintf(name, sizeof(name), "TRL's DPOTrainer, %s", names[i]);
		walk(&e, &c, want_loss, NULL, name);
		eng_close(&e);
	}
}

static void trl(const struct gold *g, const char *backend, const char *isa)
{
	struct ft_err err = {0};
	struct ft_st st;

	if (ft_st_open(&st, trl_file, &err) < 0)
		eng_die(trl_file, &err);
	trl_sft(g, &st, backend, isa);
	trl_dpo(g, &st, backend, isa);
	ft_st_release(&st);
}

struct text {
	struct ft_gen_prompt prompt;
	bool given;
	int32_t ids[256];
	size_t n;
};

static int give_prompt(void *self, struct ft_gen_prompt *p, struct ft_err *err)
{
	struct text *t = self;

	(void)err;
	if (t->given)
		return 0;
	t->given = true;
	*p = t->prompt;
	return 1;
}

static int take_text(void *self, const struct ft_gen_out *o, struct ft_err *err)
{
	struct text *t = self;

	(void)err;
	t->n = o->n < 256 ? o->n : 256;
	memcpy(t->ids, o->ids, t->n * sizeof(*t->ids));
	return 0;
}

static void greedy(struct eng *e, const struct gold *g,
		   const struct ft_adapter *a)
{
	const struct ft_tensor *p = want(g, "greedy.prompt");
	const struct ft_tensor *b = want(g, "greedy.ids");
	struct ft_gen_opts o = FT_GEN_DEFAULTS;
	struct text t = {.prompt = {.ids = p->data, .n = p->numel}};
	struct ft_gen_io io = {
		.self = &t, .next = give_prompt, .done = take_text};
	struct ft_err err = {0};

	o.temperature = 0;
	o.max_new = (int64_t)b->numel;
	if (ft_generate(e->m, a, &o, &io, &err) < 0)
		eng_die("generate", &err);
	CHECK(t.n == b->numel && !memcmp(t.ids, b->data, t.n * sizeof(*t.ids)),
	      "%s %s: greedy text of %zu tokens", e->k->name, e->k->isa, t.n);
}

static void one_case(const struct gold *g, const char *backend, const char *isa)
{
	struct eng e;

	if (!eng_backend(&e, backend, isa, 1)) {
		SKIP("%s: this machine has no %s", g->name, isa);
		return;
	}
	printf("# %s\n", g->name);
	eng_model(&e, g->model, g->adapter, false);
	if (ft_st_find(&g->st, "greedy.ids"))
		greedy(&e, g, NULL);
	sft(&e, g, "lora");
	dpo_lora(&e, g);
	steps(&e, g, "lora");
	eng_close(&e);
	eng_backend(&e, backend, isa, 1);
	eng_model(&e, g->model, NULL, true);
	sft(&e, g, "full");
	dpo_full(&e, g);
	steps(&e, g, "full");
	eng_close(&e);
	if (!strcmp(g->name, "bias"))
		trl(g, backend, isa);
}

/* --- adapters of every kind: tests/golden/gen_adapters.py ----------------- */

static void adapter_case(const struct gold *g, const char *backend,
			 const char *isa)
{
	struct eng e;

	if (!eng_backend(&e, backend, isa, 1)) {
		SKIP("%s: this machine has no %s", g->name, isa);
		return;
	}
	printf("# %s\n", g->name);
	eng_model(&e, g->model, g->adapter, false);
	greedy(&e, g, &e.a);
	sft(&e, g, "lora");
	dpo_lora(&e, g);
	steps(&e, g, "lora");
	eng_close(&e);
}

/* --- weights in NF4 ------------------------------------------------------ */

/* dir is a folder of the case, or the case itself, of floats. */
static void nf4_model(const struct gold *g, const char *backend,
		      const char *isa, const char *dir, const char *logp)
{
	char path[600];
	struct eng e;

	snprintf(path, sizeof(path), "%s%s", g->model, dir);
	if (!eng_backend(&e, backend, isa, 1)) {
		SKIP("nf4%s: this machine has no %s", dir, isa);
		return;
	}
	printf("# nf4%s\n", dir);
	eng_hold(&e, path, g->adapter, FT_HOLD_NF4);
	if (!strcmp(logp, "sft.logps"))
		sft(&e, g, "lora");
	e.lora = false;
	eng_rows(&e, &g->rows, NULL, g->rows.nrow);
	eng_forward(&e);
	logps(&e, g, logp);
	eng_close(&e);
}

static void nf4_case(const struct gold *g, const char *backend, const char *isa)
{
	nf4_model(g, backend, isa, "", "sft.logps");
	nf4_model(g, backend, isa, "/nested", "sft.logps");
	nf4_model(g, backend, isa, "/plain", "plain.logps");
}

typedef void case_fn(const struct gold *g, const char *backend,
		     const char *isa);

static void case_on_all(case_fn *fn, const char *name, const char *model,
			const char *only)
{
	static const char *const isa[] = {"scalar", "avx2", "avx512"};
	struct ft_err err;
	const char *base;
	struct gold g;
	size_t n;

	gold_open(&g, name, model);
	if (ft_json_str(g.meta, "base", &base, &n, &err) > 0)
		snprintf(g.model, sizeof(g.model), GOLDEN "%s", base);
	if (!only || !strcmp(only, "ref64"))
		fn(&g, "ref64", NULL);
	for (size_t i = 0; i < sizeof(isa) / sizeof(*isa); i++) {
		if (!only || !strcmp(only, isa[i]))
			fn(&g, "cpu", isa[i]);
	}
	gold_close(&g);
}

int main(int argc, char **argv)
{
	static const char *const cases[] = {
		"mha",         "gqa_tied",    "bias",       "head_dim",
		"rope_linear", "rope_llama3", "bf16",       "odd",
		"mistral",     "qwen2",       "qwen2_yarn", "qwen3",
		"phi",         "starcoder2",  "gpt2",       "gpt2_bare",
		"gemma2",      "gemma3_text", "gemma3",     "stories260K",
	};
	static const char *const adapters[] = {
		"patterns",   "layers",    "regex",      "dora",
		"dora_phi",   "dora_gpt2", "dora_gemma", "save",
		"save_tied",  "save_gpt2", "ends",       "ends_tied",
		"ends_gemma", "head_phi",
	};
	const char *name = argc > 1 ? argv[1] : "all";
	const char *only = argc > 2 ? argv[2] : NULL;
	const char *shared = test_shared();
	size_t n = sizeof(cases) / sizeof(*cases);
	char model[512];

	if (strchr(name, '/'))
		case_on_all(one_case, name, name, only);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(name, "all") && strcmp(name, cases[i]))
			continue;
		snprintf(model, sizeof(model), "%s/data/models/stories260K",
			 shared ? shared : "");
		if (i < n - 1)
			case_on_all(one_case, cases[i], NULL, only);
		else if (shared)
			case_on_all(one_case, cases[i], model, only);
		else
			SKIP("%s: no shared data (FT_SHARED)", cases[i]);
	}
	for (size_t i = 0; i < sizeof(adapters) / sizeof(*adapters); i++) {
		if (strcmp(name, "all") && strcmp(name, adapters[i]))
			continue;
		snprintf(model, sizeof(model), GOLDEN "adapters/%s",
			 adapters[i]);
		case_on_all(adapter_case, model, NULL, only);
	}
	if (!strcmp(name, "all") || !strcmp(name, "nf4"))
		case_on_all(nf4_case, "nf4", NULL, only);
	return test_done();
}
