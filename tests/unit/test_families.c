/* SPDX-License-Identifier: MIT */
/*
 * What holds for Llama holds for every family: layout changes no number,
 * decoding gives what the forward gives, and what is stored comes back.
 */
#include <sys/stat.h>

#include "libcommon/nn/generate.h"
#include "libcommon/nn/model_priv.h"
#include "tests/lib/families.h"
#include "tests/lib/model.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

enum { PROMPTS = 3, SAMPLES = 2, NEW = 12 };

static struct ft_tokens shared, repeated;

static void make_rows(void)
{
	static const size_t np[] = {7, 0, 11};
	static const size_t len[][2] = {{9, 4}, {12, 0}, {1, 6}};

	for (size_t r = 0; r < 3; r++) {
		size_t nb = len[r][1] ? 2 : 1;
		const int32_t *ids[2];
		size_t n[2];

		eng_row(&shared, FAMILY_VOCAB, np[r], len[r], nb);
		for (size_t b = 0; b < nb; b++) {
			size_t s = (size_t)shared.cu_rows[r];
			const int64_t *cu = shared.cu_seqlens;

			ids[0] = shared.ids + cu[s];
			ids[1] = shared.ids + cu[s + 1 + b];
			n[0] = np[r];
			n[1] = len[r][b];
			ft_tokens_add(&repeated, (int64_t)(2 * r + b), 2, ids,
				      n, NULL);
		}
	}
}

/* Gradients of all rows, some at a time; the sum of log-probs in *sum. */
static float *gradients(struct eng *e, const struct ft_tokens *b, size_t step,
			double *sum)
{
	eng_zero(e);
	*sum = 0;
	for (size_t i = 0; i < b->nrow; i += step) {
		size_t rows[8], n = 0;

		while (n < step && i + n < b->nrow) {
			rows[n] = i + n;
			n++;
		}
		eng_rows(e, b, rows, n);
		*sum += eng_sft(e, 20) * 20;
	}
	return eng_grad(e);
}

static void layout(struct eng *e, const char *what)
{
	const struct ft_block *t = eng_block(e);
	double sum[3];
	float *g[] = {gradients(e, &shared, 3, &sum[0]),
		      gradients(e, &repeated, 6, &sum[1]),
		      gradients(e, &shared, 1, &sum[2])};

	for (int i = 1; i < 3; i++) {
		struct worst w = block_far(t, g[i], g[0]);

		CHECK(w.v <= 1e-5 && fabs(sum[i] / sum[0] - 1) < 1e-6,
		      "%s: %s: loss %.1e, gradients %.1e (%s)", what,
		      i == 1 ? "prefixes written out" : "rows alone",
		      fabs(sum[i] / sum[0] - 1), w.v, w.name);
		free(g[i]);
	}
	free(g[0]);
}

/* --- decoding --- */

struct flow {
	size_t given;
	struct ft_tokens rows; /* prompt and completion */
	float logp[PROMPTS * SAMPLES][NEW];
};

static int next(void *self, struct ft_gen_prompt *p, struct ft_err *err)
{
	struct flow *f = self;

	(void)err;
	if (f->given == PROMPTS)
		return 0;
	*p = (struct ft_gen_prompt){
		.ids = shared.ids, .n = 3 + 2 * f->given, .key = f->given};
	f->given++;
	return 1;
}

static int done(void *self, const struct ft_gen_out *o, struct ft_err *err)
{
	struct flow *f = self;
	const int32_t *ids[] = {shared.ids, o->ids};
	size_t n[] = {3 + 2 * o->prompt, o->n};

	(void)err;
	memcpy(f->logp[f->rows.nrow], o->logps, o->n * sizeof(float));
	ft_tokens_add(&f->rows, (int64_t)f->rows.nrow, 2, ids, n, NULL);
	return 0;
}

static void decoding(struct eng *e, const char *what)
{
	struct ft_gen_opts o = FT_GEN_DEFAULTS;
	struct flow f = {0};
	struct ft_gen_io io = {.self = &f, .next = next, .done = done};
	struct ft_err err = {0};
	double far = 0;
	size_t n = 0;

	o.samples = SAMPLES;
	o.max_new = NEW;
	o.batch = PROMPTS * SAMPLES;
	if (ft_generate(e->m, e->lora ? &e->a : NULL, &o, &io, &err) < 0)
		eng_die("generate", &err);
	for (size_t i = 0; i < f.rows.nrow; i++) {
		eng_rows(e, &f.rows, &i, 1);
		eng_forward(e);
		for (size_t j = 0; j < e->pass.n; j++, n++)
			far = fmax(far, logp_far((double)f.logp[i][j],
						 (double)e->logp[j]));
	}
	CHECK(n && far < 1e-4,
	      "%s: %zu tokens decoded as the forward has them: %.1e", what, n,
	      far);
	ft_tokens_release(&f.rows);
}

/* --- files --- */

/* All weights, written and opened again. */
static void stored(struct eng *e, const char *what)
{
	char *dir = scratch_path("again");
	struct ft_str path = {0};
	struct ft_block *b = ft_model_block(e->m);
	struct ft_err err = {0};
	struct ft_st st;

	mkdir(dir, 0777);
	ft_str_addf(&path, "%s/model.safetensors", dir);
	if (ft_model_save(e->m, path.s, &err) < 0 ||
	    ft_st_open(&st, path.s, &err) < 0)
		eng_die(path.s, &err);
	e->k->zero(e->k, b->g, b->n * e->k->real_size);
	CHECK(ft_block_load(b, b->g, &st, "", &err) == 0 &&
		      !memcmp(b->p, b->g, b->n * e->k->real_size),
	      "%s: what is saved comes back %s", what, err.msg);
	ft_st_release(&st);
	ft_str_release(&path);
}

static void positions(struct eng *e)
{
	struct ft_reserve r = {.t = 1, .nseg = 1, .n = 1, .positions = 65};
	struct ft_err err = {0};

	CHECK(ft_model_reserve(e->m, &r, &err) < 0 &&
		      err.code == FT_EXIT_DATA && strstr(err.msg, "has 64"),
	      "more positions than were learned: %s", err.msg);
}

static void family(const char *name, const char *json)
{
	char *dir = scratch_path(name), what[64];
	struct eng e;

	mkdir(dir, 0777);
	eng_write(dir, json);
	for (int full = 0; full < 2; full++) {
		snprintf(what, sizeof(what), "%s%s", name,
			 full ? ", all weights" : ", LoRA");
		eng_backend(&e, "cpu", NULL, 2);
		eng_model(&e, dir, NULL, full);
		if (!full)
			eng_adapter(&e, 3, 6, false);
		decoding(&e, what);
		layout(&e, what);
		if (full)
			stored(&e, what);
		if (!strcmp(name, "gpt2"))
			positions(&e);
		eng_close(&e);
	}
}

int main(void)
{
	make_rows();
	for (size_t i = 0; i < NFAMILIES; i++)
		family(families[i].name, families[i].json);
	ft_tokens_release(&shared);
	ft_tokens_release(&repeated);
	return test_done();
}
