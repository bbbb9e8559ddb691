/* SPDX-License-Identifier: MIT */
/*
 * What must not change a result (ft(7), "equal"): a prefix shared or repeated,
 * rows packed or alone, how a step is split, the number of threads; dropout is
 * a function of its key and the token alone.  Each instruction set.
 */
#include "libcommon/nn/model_priv.h"
#include "tests/lib/model.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

#ifdef __SANITIZE_THREAD__
enum { VOCAB = 611, SLOW = 1 };
#else
enum { VOCAB = 611, SLOW = 0 };
#endif
static const double tol = 1e-5;

static const char config[] =
	"{\"model_type\":\"llama\",\"vocab_size\":611,\"hidden_size\":96,"
	"\"intermediate_size\":136,\"num_hidden_layers\":2,"
	"\"num_attention_heads\":6,\"num_key_value_heads\":2,"
	"\"rms_norm_eps\":1e-5,\"attention_bias\":true,"
	"\"tie_word_embeddings\":true}";

static const char wide[] =
	"{\"model_type\":\"llama\",\"vocab_size\":140000,\"hidden_size\":8,"
	"\"intermediate_size\":8,\"num_hidden_layers\":1,"
	"\"num_attention_heads\":2,\"tie_word_embeddings\":true}";

static struct ft_tokens shared, repeated;
static const char *isa, *dir_name = "model";
static bool full;

static void open_eng(struct eng *e, int threads)
{
	eng_backend(e, "cpu", isa, threads);
	eng_model(e, scratch_path(dir_name), NULL, full);
	if (!full)
		eng_adapter(e, 8, 16, false);
}

static const char *what(void)
{
	static char s[64];

	snprintf(s, sizeof(s), "%s, %s", isa, full ? "all weights" : "LoRA");
	return s;
}

/* Rows with a prefix and several branches, and the same with the prefix
   written out before each branch. */
static void make_rows(void)
{
	static const struct {
		size_t np, n[4], nb;
	} t[] = {
		{37, {41}, 1},  {0, {150}, 1},    {64, {1, 33, 7, 16}, 4},
		{1, {5, 9}, 2}, {90, {31, 2}, 2}, {16, {16, 16, 16}, 3},
		{3, {70}, 1},   {0, {2}, 1},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		int64_t s;

		eng_row(&shared, VOCAB, t[i].np, t[i].n, t[i].nb);
		s = shared.cu_rows[i];
		for (size_t j = 1; j <= t[i].nb; j++) {
			const int64_t *cu = shared.cu_seqlens;
			const int32_t *ids[2] = {shared.ids + cu[s],
						 shared.ids +
							 cu[s + (int64_t)j]};
			size_t len[2] = {t[i].np, t[i].n[j - 1]};

			ft_tokens_add(&repeated, (int64_t)repeated.nrow, 2, ids,
				      len, NULL);
		}
	}
}

static size_t targets(const struct ft_tokens *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->ntok; i++)
		n += b->mask[i];
	return n;
}

/* Log-probs by stored token of all rows, `at a time' rows in a pass, and the
   gradients of the mean: what a step computes. */
struct result {
	float *logp, *grad;
};

static struct result compute(struct eng *e, const struct ft_tokens *b,
			     size_t at_a_time)
{
	struct result r = {.logp = ft_xcalloc(b->ntok + 1, sizeof(float))};
	size_t n = targets(b), rows[64];

	eng_zero(e);
	for (size_t i = 0; i < b->nrow; i += at_a_time) {
		size_t base = (size_t)b->cu_seqlens[b->cu_rows[i]], k = 0;

		while (k < at_a_time && i + k < b->nrow) {
			rows[k] = i + k;
			k++;
		}
		eng_rows(e, b, rows, k);
		eng_sft(e, n);
		for (size_t j = 0; j < e->pass.n; j++)
			r.logp[base + (size_t)e->pass.at[j]] = e->logp[j];
	}
	r.grad = eng_grad(e);
	return r;
}

static void let_go(struct result *r)
{
	free(r->logp);
	free(r->grad);
}

static double logps_far(const float *a, const float *b, size_t n)
{
	double far = 0;

	for (size_t i = 0; i < n; i++)
		far = fmax(far, logp_far((double)a[i], (double)b[i]));
	return far;
}

/* The shared rows' log-probs in the order of the repeated ones. */
static double shared_far(const float *a, const float *b)
{
	double far = 0;
	size_t to = 0;

	for (size_t i = 0; i < shared.nrow; i++) {
		int64_t s0 = shared.cu_rows[i];
		size_t np = (size_t)(shared.cu_seqlens[s0 + 1] -
				     shared.cu_seqlens[s0]);

		for (int64_t s = s0 + 1; s < shared.cu_rows[i + 1]; s++) {
			size_t from = (size_t)shared.cu_seqlens[s];
			size_t n = (size_t)shared.cu_seqlens[s + 1] - from;

			to += np;
			far = fmax(far, logps_far(a + from, b + to, n));
			to += n;
		}
	}
	return far;
}

static void same_numbers(struct eng *e)
{
	struct result all = compute(e, &shared, shared.nrow), r;
	static const size_t split[] = {1, 2, 3};
	const struct ft_block *t = eng_block(e);
	struct worst w;
	double far;

	r = compute(e, &repeated, repeated.nrow);
	far = shared_far(all.logp, r.logp);
	w = block_far(t, r.grad, all.grad);
	CHECK(far <= tol && w.v <= tol,
	      "%s: prefix shared or repeated: log-probs %.1e, gradients %.1e (%s)",
	      what(), far, w.v, w.name);
	let_go(&r);
	for (size_t i = 0; i < 3; i++) {
		r = compute(e, &shared, split[i]);
		far = logps_far(r.logp, all.logp, shared.ntok);
		w = block_far(t, r.grad, all.grad);
		CHECK(far <= tol && w.v <= tol,
		      "%s: %zu rows at a time or all: log-probs %.1e, gradients %.1e (%s)",
		      what(), split[i], far, w.v, w.name);
		let_go(&r);
	}
	let_go(&all);
}

/* --- a pair's gradient --- */

/* Gradient of c[0] logp(chosen) + c[1] logp(rejected), by rows. */
static float *pair_grad(struct eng *e, const struct ft_tokens *b,
			const float *c)
{
	eng_zero(e);
	eng_rows(e, b, NULL, b->nrow);
	for (size_t i = 0; i < e->pass.n; i++) {
		int32_t s = e->pass.of[i];

		/* prefix chosen rejected, or prefix chosen prefix rejected */
		e->coef[i] = c[b->nrow == 1 ? s - 1 : s / 2];
	}
	eng_forward(e);
	eng_backward(e);
	return eng_grad(e);
}

/* Near-equal answers cancel: the measure is the larger of the two branches'
   own gradients. */
static void pair(struct eng *e)
{
	struct ft_tokens one = {0}, two = {0};
	const struct ft_block *t = eng_block(e);
	float c[3][2] = {{0.05f, -0.05f}, {0.05f, 0}, {0, -0.05f}};
	const int32_t *ids[2];
	struct worst w = {0};
	size_t len[2];
	float *a, *b, *g[2];

	eng_row(&one, VOCAB, 40, (size_t[]){30, 30}, 2);
	/* the two differ in their last token */
	memcpy(one.ids + 70, one.ids + 40, 29 * sizeof(*one.ids));
	for (int s = 1; s <= 2; s++) {
		ids[0] = one.ids;
		ids[1] = one.ids + one.cu_seqlens[s];
		len[0] = 40;
		len[1] = 30;
		ft_tokens_add(&two, s, 2, ids, len, NULL);
	}
	a = pair_grad(e, &one, c[0]);
	b = pair_grad(e, &two, c[0]);
	g[0] = pair_grad(e, &one, c[1]);
	g[1] = pair_grad(e, &one, c[2]);
	for (size_t i = 0; i < t->nt; i++) {
		size_t o = t->t[i].off, n = t->t[i].n;
		double top = fmax(max_abs(g[0] + o, n), max_abs(g[1] + o, n));

		worse(&w, tensor_far(a + o, b + o, n, top), t->t[i].name);
	}
	CHECK(w.v <= tol && max_abs(a, t->n) < max_abs(g[0], t->n),
	      "%s: a pair's gradient, prefix shared or repeated: %.1e (%s)",
	      what(), w.v, w.name);
	free(a);
	free(b);
	free(g[0]);
	free(g[1]);
	ft_tokens_release(&one);
	ft_tokens_release(&two);
}

/* --- dropout --- */

static void dropout(struct eng *e)
{
	struct result plain = compute(e, &shared, shared.nrow), a, b;
	struct worst w;
	double far;

	e->dropout = 0.2f;
	e->key = 77;
	a = compute(e, &shared, shared.nrow);
	b = compute(e, &shared, shared.nrow);
	CHECK(!memcmp(a.logp, b.logp, shared.ntok * sizeof(float)) &&
		      !memcmp(a.grad, b.grad, eng_block(e)->n * sizeof(float)),
	      "%s: dropout again with one key: same bytes", what());
	let_go(&b);
	CHECK(logps_far(a.logp, plain.logp, shared.ntok) > 0.01,
	      "%s: dropout does something", what());
	b = compute(e, &shared, 1);
	far = logps_far(a.logp, b.logp, shared.ntok);
	w = block_far(eng_block(e), b.grad, a.grad);
	CHECK(far <= tol && w.v <= tol,
	      "%s: dropout, packed or alone: log-probs %.1e, gradients %.1e (%s)",
	      what(), far, w.v, w.name);
	let_go(&b);
	e->key = 78;
	b = compute(e, &shared, shared.nrow);
	CHECK(logps_far(a.logp, b.logp, shared.ntok) > 0.01,
	      "%s: another key drops others", what());
	let_go(&b);
	let_go(&a);
	let_go(&plain);
	e->dropout = 0;
}

/* --- threads --- */

static void threads(void)
{
	static const int n[] = {1, 2, 4};
	struct result r[3];
	size_t size = 0;

	for (size_t i = 0; i < 3; i++) {
		struct eng e;

		open_eng(&e, n[i]);
		e.dropout = full ? 0 : 0.1f;
		r[i] = compute(&e, &shared, 3);
		size = eng_block(&e)->n * sizeof(float);
		eng_close(&e);
	}
	for (size_t i = 1; i < 3; i++)
		CHECK(!memcmp(r[0].logp, r[i].logp,
			      shared.ntok * sizeof(float)) &&
			      !memcmp(r[0].grad, r[i].grad, size),
		      "%s: %d threads: the bytes of one", what(), n[i]);
	for (size_t i = 0; i < 3; i++)
		let_go(&r[i]);
}

/* Rows before it do not show in a row: another first row changes none of the
   others by a bit. */
static void isolation(struct eng *e)
{
	struct result a = compute(e, &shared, shared.nrow), b;
	size_t from = (size_t)shared.cu_seqlens[shared.cu_rows[1]];
	int32_t was = shared.ids[2];

	shared.ids[2] = (was + 1) % VOCAB;
	b = compute(e, &shared, shared.nrow);
	shared.ids[2] = was;
	CHECK(memcmp(a.logp, b.logp, from * sizeof(float)) &&
		      !memcmp(a.logp + from, b.logp + from,
			      (shared.ntok - from) * sizeof(float)),
	      "%s: a row shows in no other", what());
	let_go(&a);
	let_go(&b);
}

/* Scratch is reserved for the largest pass: a smaller one may be cut into
   larger blocks (the sanitizers see what does not fit). */
static void smaller(void)
{
	static const size_t n[] = {1030, 513, 512, 500, 33, 32, 16, 3};
	struct ft_tokens b = {0};
	bool finite = true;
	struct eng e;

	open_eng(&e, 2);
	e.dropout = full ? 0 : 0.1f;
	for (size_t i = 0; i < sizeof(n) / sizeof(*n); i++) {
		ft_tokens_clear(&b);
		eng_row(&b, VOCAB, 0, &n[i], 1);
		eng_rows(&e, &b, NULL, 1);
		finite &= isfinite(eng_sft(&e, 0));
	}
	CHECK(finite, "%s: smaller passes in the room of a large one", what());
	eng_close(&e);
	ft_tokens_release(&b);
}

/* Entropies and hits of rows i.., n of them in a pass, from at on; returns how
   many. */
static size_t values(struct eng *e, const struct ft_tokens *b, size_t i,
		     size_t n, float *entropy, uint8_t *hit)
{
	size_t rows[3] = {i, i + 1, i + 2};
	struct ft_run run = eng_run(e);

	eng_rows(e, b, rows, n);
	ft_model_forward(e->m, &run, &e->pass);
	ft_model_head(e->m, &e->pass, NULL, e->logp, entropy, hit);
	return e->pass.n;
}

static void chunk_values(struct eng *e, const struct ft_tokens *b)
{
	float all[256], alone[256];
	uint8_t hit[2][256] = {{0}};
	size_t n = values(e, b, 0, 3, all, hit[0]), at = 0, most = 0;
	double far = 0;

	for (size_t i = 0; i < 3; i++)
		at += values(e, b, i, 1, alone + at, hit[1] + at);
	for (size_t i = 0; i < n; i++) {
		far = fmax(far, logp_far((double)all[i], (double)alone[i]));
		most += all[i] > 1 && all[i] < 11.85f; /* ln 140000 */
	}
	CHECK(at == n && far <= tol && most == n && !memcmp(hit[0], hit[1], n),
	      "%s: entropies and hits in chunks: %.1e", what(), far);
}

/* Coefficients that come after the log-probs give the same gradient. */
static void slopes(struct eng *e, const struct ft_tokens *b)
{
	const struct ft_block *k = eng_block(e);
	float *want, *got;
	struct worst w;

	eng_zero(e);
	eng_rows(e, b, NULL, b->nrow);
	for (size_t i = 0; i < e->pass.n; i++)
		e->coef[i] = (float)(i % 5) - 1.7f;
	eng_forward(e);
	eng_backward(e);
	want = eng_grad(e);
	eng_zero(e);
	eng_slopes(e);
	eng_apply(e);
	got = eng_grad(e);
	w = block_far(k, got, want);
	CHECK(w.v <= tol, "%s: coefficients afterwards: %.1e (%s)", what(), w.v,
	      w.name);
	free(want);
	free(got);
}

/* A vocabulary so large that the head takes its rows 64 at a time: the second
   row's four predictions from one place lie in two of its chunks. */
static void chunks(void)
{
	struct ft_tokens b = {0};
	struct result all, alone;
	struct worst w;
	struct eng e;
	double far;

	dir_name = "wide";
	eng_row(&b, 140000, 5, (size_t[]){62}, 1);
	eng_row(&b, 140000, 7, (size_t[]){4, 5, 6, 3}, 4);
	eng_row(&b, 140000, 0, (size_t[]){50}, 1);
	open_eng(&e, 2);
	all = compute(&e, &b, 3);
	CHECK(ft_model_chunk(e.m) == 64 && e.pass.n > 2 * 64,
	      "%s: %zu rows of logits at a time for %zu", what(),
	      ft_model_chunk(e.m), e.pass.n);
	alone = compute(&e, &b, 1);
	far = logps_far(all.logp, alone.logp, b.ntok);
	w = block_far(eng_block(&e), all.grad, alone.grad);
	CHECK(far <= tol && w.v <= tol,
	      "%s: a head in chunks: log-probs %.1e, gradients %.1e (%s)",
	      what(), far, w.v, w.name);
	let_go(&all);
	let_go(&alone);
	chunk_values(&e, &b);
	slopes(&e, &b);
	eng_close(&e);
	ft_tokens_release(&b);
	dir_name = "model";
}

static void all(void)
{
	struct eng e;

	open_eng(&e, 2);
	same_numbers(&e);
	pair(&e);
	isolation(&e);
	if (!full)
		dropout(&e);
	eng_close(&e);
	threads();
	smaller();
	chunks();
}

int main(void)
{
	static const char *const isas[] = {"scalar", "avx2", "avx512"};
	struct eng e;

	make_rows();
	mkdir(scratch_path("model"), 0777);
	eng_write(scratch_path("model"), config);
	mkdir(scratch_path("wide"), 0777);
	eng_write(scratch_path("wide"), wide);
	for (size_t i = 0; i < 3; i++) {
		isa = isas[i];
		if (SLOW && i != 1) {
			SKIP("%s under ThreadSanitizer: too slow", isa);
			continue;
		}
		if (!eng_backend(&e, "cpu", isa, 1)) {
			SKIP("this machine has no %s", isa);
			continue;
		}
		eng_close(&e);
		full = false;
		all();
		full = true;
		all();
	}
	ft_tokens_release(&shared);
	ft_tokens_release(&repeated);
	return test_done();
}
