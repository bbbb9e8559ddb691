/* SPDX-License-Identifier: MIT */
/* What an adapter and a model make together: lengths of rows, whole modules. */
#include <sys/stat.h>

#include "libcommon/nn/model_priv.h"
#include "tests/lib/families.h"
#include "tests/lib/model.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

static struct ft_tokens rows;
static const char *dir;

static void open_eng(struct eng *e, const char *backend, enum ft_hold hold,
		     int threads)
{
	eng_backend(e, backend, NULL, threads);
	eng_hold(e, dir, NULL, hold);
}

static void fresh(struct eng *e, const struct ft_lora_opts *o)
{
	struct ft_err err = {0};

	if (ft_adapter_new(&e->a, e->k, ft_model_config(e->m), o, 3, &err) ||
	    ft_block_grad(&e->a.b, &err) ||
	    ft_adapter_attach(&e->a, e->m, true, &err))
		eng_die("adapter", &err);
	e->lora = true;
}

/* The log-probs of all rows, to be freed. */
static float *scores(struct eng *e)
{
	float *v;

	eng_rows(e, &rows, NULL, rows.nrow);
	eng_forward(e);
	v = ft_xmalloc(e->pass.n * sizeof(float));
	memcpy(v, e->logp, e->pass.n * sizeof(float));
	return v;
}

static double far(const struct eng *e, const float *a, const float *b)
{
	double d = 0;

	for (size_t i = 0; i < e->pass.n; i++)
		d = fmax(d, logp_far((double)a[i], (double)b[i]));
	return d;
}

/* A new one changes nothing, whatever the base is held in. */
static void begins(void)
{
	static const char *const save[] = {"embed_tokens", "lm_head", "norm"};
	static const struct {
		const char *backend;
		enum ft_hold hold;
	} t[] = {{"cpu", FT_HOLD_FROZEN},
		 {"cpu", FT_HOLD_NF4},
		 {"cpu-bf16", FT_HOLD_FROZEN},
		 {"cpu-bf16", FT_HOLD_NF4}};
	struct ft_lora_opts o = {.r = 4, .alpha = 8, .dora = true};

	o.save = (struct ft_opt_list){.v = (const char **)save, .n = 3};
	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		double most = strcmp(t[i].backend, "cpu") ? 0.03 : 1e-6;
		float *with, *without;
		struct eng e;

		open_eng(&e, t[i].backend, t[i].hold, 2);
		fresh(&e, &o);
		with = scores(&e);
		e.lora = false;
		without = scores(&e);
		CHECK(far(&e, with, without) <= most,
		      "%s %s: a new one changes log-probs by %.1e",
		      t[i].backend, t[i].hold ? "NF4" : "",
		      far(&e, with, without));
		free(with);
		free(without);
		eng_close(&e);
	}
}

/* Lengths of rows of W + scale B A, by themselves; and the merged rows are as
   long as their magnitudes. */
static void lengths(enum ft_hold hold)
{
	struct eng e;
	double bad = 0, stretched = 0;

	open_eng(&e, "cpu", hold, 4);
	eng_widest(&e, true);
	for (size_t i = 0; i < e.a.nmod; i++) {
		const struct ft_lora_mod *l = &e.a.mod[i];
		float *w = ft_xcalloc(l->n * l->k, sizeof(*w));
		const float *norm = l->norm, *p = e.a.b.p;

		e.a.dora = false;
		ft_model_rows(e.m, l->slot, l->layer, 0, l->n, &e.a, w);
		for (size_t r = 0; r < l->n; r++) {
			double sum = 0;

			for (size_t j = 0; j < l->k; j++)
				sum += (double)w[r * l->k + j] *
				       w[r * l->k + j];
			bad = fmax(bad, fabs(sqrt(sum) / norm[r] - 1));
		}
		e.a.dora = true;
		ft_model_rows(e.m, l->slot, l->layer, 0, l->n, &e.a, w);
		for (size_t r = 0; r < l->n; r++) {
			double sum = 0;

			for (size_t j = 0; j < l->k; j++)
				sum += (double)w[r * l->k + j] *
				       w[r * l->k + j];
			stretched = fmax(stretched,
					 fabs(sqrt(sum) -
					      fabs((double)p[l->off_m + r])));
		}
		free(w);
	}
	CHECK(bad < 1e-6, "%s: lengths of rows: %.1e", hold ? "NF4" : "float32",
	      bad);
	CHECK(stretched < 1e-6, "merged rows have their magnitudes: %.1e",
	      stretched);
	eng_close(&e);
}

/* Everything of PEFT's: log-probs, gradients and lengths by threads. */
static void threads(bool dora)
{
	float *score[3], *grad[3];
	size_t n = 0, np = 0;

	for (int i = 0; i < 3; i++) {
		struct eng e;

		open_eng(&e, "cpu-bf16", FT_HOLD_NF4, 1 << i);
		eng_widest(&e, dora);
		e.dropout = 0.2f;
		score[i] = scores(&e);
		eng_zero(&e);
		eng_sft(&e, 0);
		grad[i] = eng_grad(&e);
		n = e.a.b.n;
		np = e.pass.n;
		eng_close(&e);
	}
	CHECK(!memcmp(score[0], score[1], np * sizeof(float)) &&
		      !memcmp(score[0], score[2], np * sizeof(float)) &&
		      !memcmp(grad[0], grad[1], n * sizeof(float)) &&
		      !memcmp(grad[0], grad[2], n * sizeof(float)),
	      "%s: the same bytes for 1, 2 and 4 threads",
	      dora ? "DoRA and whole modules" : "LoRA everywhere");
	for (int i = 0; i < 3; i++) {
		free(score[i]);
		free(grad[i]);
	}
}

/* Gradients with the first heavy layers computed again. */
static float *gradients(bool dora, size_t light, size_t heavy, size_t *n)
{
	struct ft_reserve r = {.t = 64,
			       .nseg = 8,
			       .n = 64,
			       .positions = 32,
			       .save = true,
			       .light = light,
			       .heavy = heavy};
	struct ft_err err = {0};
	struct eng e;
	float *g;

	open_eng(&e, "cpu-bf16", FT_HOLD_NF4, 2);
	eng_widest(&e, dora);
	e.dropout = 0.2f;
	ft_reserve_adapter(&r, &e.a);
	if (ft_model_reserve(e.m, &r, &err) < 0)
		eng_die("reserve", &err);
	for (size_t i = 0; i < rows.nrow; i++)
		ft_pass_add(&e.pass, &rows, i, false);
	e.logp = ft_xcalloc(r.n, sizeof(float));
	e.coef = ft_xcalloc(r.n, sizeof(float));
	eng_zero(&e);
	eng_sft(&e, 0);
	*n = e.a.b.n;
	g = eng_grad(&e);
	eng_close(&e);
	return g;
}

static void again(bool dora)
{
	size_t n;
	float *all = gradients(dora, 0, 0, &n);
	float *part = gradients(dora, 2, 0, &n);
	float *none = gradients(dora, 2, 2, &n);

	CHECK(!memcmp(all, part, n * sizeof(float)) &&
		      !memcmp(all, none, n * sizeof(float)),
	      "%s: the same bytes where layers are computed again",
	      dora ? "DoRA and whole modules" : "LoRA everywhere");
	free(all);
	free(part);
	free(none);
}

/* With dropout: magnitudes of twice the length, and B 0, add drop(x) W', which
   LoRA with A the unit matrix and B = W adds as well. */
static void dropped(void)
{
	static const char *const target = "q_proj";
	struct ft_lora_opts o = {.r = 8, .alpha = 8};
	float *got[2];
	struct eng e;

	o.targets = (struct ft_opt_list){.v = (const char **)&target, .n = 1};
	for (int i = 0; i < 2; i++) {
		float *p;

		open_eng(&e, "cpu", FT_HOLD_FROZEN, 1);
		o.dora = i;
		fresh(&e, &o);
		e.dropout = 0.3f;
		e.key = 99;
		p = e.a.b.p;
		for (size_t m = 0; m < e.a.nmod; m++) {
			const struct ft_lora_mod *l = &e.a.mod[m];

			for (size_t j = 0; j < l->r * l->k; j++)
				p[l->off_a + j] = j / l->k == j % l->k;
			if (!i)
				ft_model_rows(e.m, l->slot, l->layer, 0, l->n,
					      NULL, p + l->off_b);
			for (size_t j = 0; i && j < l->n; j++)
				p[l->off_m + j] *= 2;
		}
		ft_adapter_sync(&e.a, e.m);
		got[i] = scores(&e);
		CHECK(i || e.a.mod[0].k == 8, "A is the unit matrix");
		if (i)
			CHECK(far(&e, got[0], got[1]) < 1e-6,
			      "dropout drops what DoRA adds: %.1e",
			      far(&e, got[0], got[1]));
		eng_close(&e);
	}
	free(got[0]);
	free(got[1]);
}

/* A copy of the base's embedding beside an adapter's factors: taken if it is
   one. */
static void copies_of_base(void)
{
	static const char file[] =
		GOLDEN "adapters/ends_tied/adapter/adapter_model.safetensors";
	struct ft_st base, st;
	struct ft_config c;
	struct ft_err err;
	struct ft_tensor *t;
	float *v;
	int rc;

	if (ft_config_load(&c, GOLDEN "gqa_tied", &err) ||
	    ft_st_open_dir(&base, GOLDEN "gqa_tied", &err) ||
	    ft_st_open(&st, file, &err))
		eng_die(file, &err);
	CHECK(!ft_adapter_check(GOLDEN "adapters/ends_tied/adapter", &c, &base,
				&err),
	      "the base's embedding in an adapter's file");
	t = (struct ft_tensor *)ft_st_find(
		&st, "base_model.model.model.embed_tokens.base_layer.weight");
	v = ft_xmalloc(t->nbytes);
	memcpy(v, t->data, t->nbytes);
	v[7] += 1;
	t->data = v;
	rc = ft_st_write(scratch_path("adapter_model.safetensors"), st.t, st.n,
			 NULL, 0, &err);
	CHECK(!rc && ft_adapter_check(scratch(), &c, &base, &err) < 0 &&
		      err.code == FT_EXIT_DATA &&
		      strstr(err.msg, "is not what the base model has"),
	      "another one: %s", err.msg);
	free(v);
	ft_st_release(&base);
	ft_st_release(&st);
}

int main(void)
{
	eng_row(&rows, FAMILY_VOCAB, 3, (size_t[]){9, 4}, 2);
	eng_row(&rows, FAMILY_VOCAB, 0, (size_t[]){12}, 1);
	dir = scratch_path("model");
	mkdir(dir, 0777);
	eng_write(dir, families[0].json);
	begins();
	lengths(FT_HOLD_FROZEN);
	lengths(FT_HOLD_NF4);
	threads(false);
	threads(true);
	again(false);
	again(true);
	dropped();
	copies_of_base();
	ft_tokens_release(&rows);
	return test_done();
}
