/* SPDX-License-Identifier: MIT */
/*
 * The hand-written backward of a whole model against finite differences, in
 * double (backend "ref64"): every parameter, LoRA's and the model's own, of
 * the SFT loss and of DPO's.  Nothing is rounded to float on the way but the
 * coefficients of the log-probabilities.
 */
#include "libcommon/nn/model_priv.h"
#include "libcommon/train/dpo.h"
#include "tests/lib/families.h"
#include "tests/lib/model.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

enum { VOCAB = 13, MAX_SEG = 32 };
static const double tol = 1e-6;

static const char plain[] =
	"{\"model_type\":\"llama\",\"vocab_size\":13,\"hidden_size\":8,"
	"\"intermediate_size\":10,\"num_hidden_layers\":2,"
	"\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":6,"
	"\"rms_norm_eps\":0.01,\"attention_bias\":true,\"mlp_bias\":true}";
static const char tied[] =
	"{\"model_type\":\"llama\",\"vocab_size\":13,\"hidden_size\":6,"
	"\"intermediate_size\":9,\"num_hidden_layers\":2,"
	"\"num_attention_heads\":3,\"tie_word_embeddings\":true,"
	"\"hidden_act\":\"gelu_pytorch_tanh\",\"rope_theta\":100}";

/* Log-probs of the pass in double: they fit in one chunk of the head. */
static const double *forward(struct eng *e)
{
	if (ft_model_chunk(e->m) < e->pass.n)
		eng_die("chunk", NULL);
	ft_model_sync(e->m);
	eng_forward(e);
	return e->m->logp;
}

typedef double loss_fn(struct eng *e, bool coef);

/* -1/16 of the sum: a factor that float holds exactly. */
static double sft(struct eng *e, bool coef)
{
	const double *lp = forward(e);
	double sum = 0;

	for (size_t i = 0; i < e->pass.n; i++) {
		sum -= lp[i] / 16;
		if (coef)
			e->coef[i] = -0.0625f;
	}
	return sum;
}

static struct ft_dpo_opts dpo_opts;

static double dpo(struct eng *e, bool coef)
{
	const double *lp = forward(e);
	double sum[MAX_SEG] = {0}, grad[MAX_SEG] = {0}, loss = 0;

	for (size_t i = 0; i < e->pass.n; i++)
		sum[e->pass.of[i]] += lp[i];
	for (size_t s = 0; s + 2 < e->pass.nseg; s += 3) {
		const struct ftk_segment *g = &e->pass.seg[s];

		/* a reference that is somewhere near */
		loss += ft_dpo_loss(&dpo_opts, sum[s + 1] + 2.5 * g[1].nq,
				    sum[s + 2] + 2.7 * g[2].nq, g[1].nq,
				    g[2].nq, &grad[s + 1], &grad[s + 2]);
	}
	for (size_t i = 0; coef && i < e->pass.n; i++)
		e->coef[i] = (float)grad[e->pass.of[i]];
	return loss;
}

static struct worst differences(struct eng *e, loss_fn *loss)
{
	struct ft_block *b = eng_block(e);
	double *p = b->p, *g = b->g, floor = 0;
	struct worst w = {0};
	const double h = 2e-5;

	eng_zero(e);
	loss(e, true);
	eng_backward(e);
	for (size_t i = 0; i < b->n; i++)
		floor = fmax(floor, 1e-6 * fabs(g[i]));
	for (size_t t = 0; t < b->nt; t++) {
		double far = 0, top = floor;

		for (size_t i = b->t[t].off; i < b->t[t].off + b->t[t].n; i++) {
			double was = p[i], up, down;

			p[i] = was + h;
			up = loss(e, false);
			p[i] = was - h;
			down = loss(e, false);
			p[i] = was;
			far = fmax(far, fabs((up - down) / (2 * h) - g[i]));
			top = fmax(top, fabs(g[i]));
		}
		worse(&w, far / top, b->t[t].name);
	}
	return w;
}

static void check(struct eng *e, const struct ft_tokens *rows, loss_fn *loss,
		  const char *what)
{
	struct worst w;

	eng_rows(e, rows, NULL, rows->nrow);
	w = differences(e, loss);
	CHECK(w.v <= tol, "%s, %zu parameters: worst %.1e (%s)", what,
	      eng_block(e)->n, w.v, w.name);
}

static void all_dpo(struct eng *e, const struct ft_tokens *pairs,
		    const char *what)
{
	static const struct {
		const char *name;
		struct ft_dpo_opts o;
	} t[] = {
		{"sigmoid", {.beta = 0.1}},
		{"sigmoid, label smoothing",
		 {.beta = 0.1, .label_smoothing = 0.2}},
		{"hinge", {.beta = 0.1, .loss = FT_DPO_HINGE}},
		{"ipo", {.beta = 0.1, .loss = FT_DPO_IPO}},
	};
	char name[96];

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		dpo_opts = t[i].o;
		snprintf(name, sizeof(name), "%s, DPO %s", what, t[i].name);
		check(e, pairs, dpo, name);
	}
}

static void model(const char *name, const char *config,
		  const struct ft_tokens *rows, const struct ft_tokens *pairs)
{
	char *dir = scratch_path(name);
	char what[64];
	struct eng e;

	mkdir(dir, 0777);
	eng_write(dir, config);
	eng_backend(&e, "ref64", NULL, 1);
	eng_model(&e, dir, NULL, true);
	snprintf(what, sizeof(what), "%s, all weights", name);
	check(&e, rows, sft, what);
	all_dpo(&e, pairs, what);
	eng_close(&e);

	eng_backend(&e, "ref64", NULL, 1);
	eng_model(&e, dir, NULL, false);
	eng_adapter(&e, 3, 4, !strcmp(name, "tied"));
	snprintf(what, sizeof(what), "%s, LoRA", name);
	check(&e, rows, sft, what);
	all_dpo(&e, pairs, what);
	e.dropout = 0.25f;
	e.key = 1234567;
	snprintf(what, sizeof(what), "%s, LoRA with dropout", name);
	check(&e, rows, sft, what);
	eng_close(&e);
}

/* The same of any family, of one loss. */
static void family(const char *name, const char *config,
		   const struct ft_tokens *rows)
{
	char *dir = scratch_path(name);
	char what[64];
	struct eng e;

	mkdir(dir, 0777);
	eng_write(dir, config);
	for (int i = 0; i < 4; i++) {
		static const char *const kind[] = {
			"LoRA", "all weights", "LoRA everywhere, dropout",
			"DoRA, whole modules, dropout"};

		eng_backend(&e, "ref64", NULL, 1);
		eng_model(&e, dir, NULL, i == 1);
		if (!i)
			eng_adapter(&e, 2, 4, false);
		if (i > 1)
			eng_widest(&e, i == 3);
		e.dropout = i > 1 ? 0.25f : 0;
		e.key = 1234567;
		snprintf(what, sizeof(what), "%s, %s", name, kind[i]);
		check(&e, rows, sft, what);
		eng_close(&e);
	}
}

int main(void)
{
	struct ft_tokens rows = {0}, pairs = {0};

	eng_row(&rows, VOCAB, 3, (size_t[]){4}, 1);
	eng_row(&rows, VOCAB, 0, (size_t[]){5}, 1);
	eng_row(&rows, VOCAB, 2, (size_t[]){1, 3, 2}, 3);
	eng_row(&pairs, VOCAB, 2, (size_t[]){3, 2}, 2);
	eng_row(&pairs, VOCAB, 1, (size_t[]){1, 4}, 2);
	model("plain", plain, &rows, &pairs);
	model("tied", tied, &rows, &pairs);
	for (size_t i = 0; i < NFAMILIES; i++)
		family(families[i].name, families[i].json, &rows);
	ft_tokens_release(&rows);
	ft_tokens_release(&pairs);
	return test_done();
}
