/* SPDX-License-Identifier: MIT */
/*
 * Trainers' memory: what is chosen for a budget, and that after the first step
 * nothing more is taken.  The program's own malloc counts.
 */
#include "libcommon/train/fit.h"

#include <malloc.h>
#include <stdatomic.h>

#include "libcommon/base/die.h"
#include "libcommon/train/dpo.h"
#include "libcommon/train/sft.h"
#include "tests/lib/model.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && \
	!defined(__SANITIZE_THREAD__)
#define COUNTS 1

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);
void __libc_free(void *p);

static _Atomic size_t calls, live, high;

static void *took(void *p)
{
	size_t now = live += malloc_usable_size(p);

	calls++;
	if (now > high)
		high = now;
	return p;
}

void *malloc(size_t n)
{
	return took(__libc_malloc(n));
}

void *calloc(size_t n, size_t size)
{
	return took(__libc_calloc(n, size));
}

void *realloc(void *p, size_t n)
{
	live -= malloc_usable_size(p);
	return took(__libc_realloc(p, n));
}

void *aligned_alloc(size_t align, size_t n)
{
	return took(__libc_memalign(align, n));
}

void free(void *p)
{
	live -= malloc_usable_size(p);
	__libc_free(p);
}
#else
#define COUNTS 0
static size_t calls, live, high;
#endif

enum { ROWS = 12, VOCAB = 61 };
static const char config[] =
	"{\"model_type\":\"llama\",\"vocab_size\":61,\"hidden_size\":96,"
	"\"intermediate_size\":160,\"num_hidden_layers\":5,"
	"\"num_attention_heads\":6,\"num_key_value_heads\":2}";

/* A stream of rows of one shape. */
static const char *stream(const char *name, int kind, size_t prefix,
			  const size_t *n, size_t nb)
{
	char *path = scratch_path(name);
	struct ft_stream_info info = {.kind = kind, .vocab_size = VOCAB};
	struct ft_tokens b = {0};
	struct ft_stream_writer *w;
	struct ft_output *out;
	struct ft_err err = {0};

	for (size_t i = 0; i < ROWS; i++)
		eng_row(&b, VOCAB, prefix, n, nb);
	if (ft_output_open(&out, path, false, &err) < 0 ||
	    ft_stream_begin(&w, out, &info, &err) < 0)
		eng_die(path, &err);
	for (size_t i = 0; i < b.nrow; i++) {
		if (ft_stream_put(w, &b, i, &err) < 0)
			eng_die(path, &err);
	}
	if (ft_stream_end(w, NULL, &err) < 0 || ft_output_commit(out, &err) < 0)
		eng_die(path, &err);
	ft_tokens_release(&b);
	return path;
}

/* What a run is told, beside the defaults. */
struct told {
	bool full, dpo, bf16, checkpointing, plan;
	size_t budget;
	int64_t threads, micro, logging, save;
	const char *eval;
};

/* --- a spy on the steps --- */

static struct ft_method real, spy;
static struct {
	size_t calls, live, high; /* as of the second step's beginning */
	size_t in_steps, more;
	int64_t step;
} seen;

static void micro(struct ft_trainer *t, const struct ft_data *d,
		  const size_t *rows, size_t n, bool train,
		  struct ft_sums *sums)
{
	if (t->step == 1 && !seen.live) {
		seen.calls = calls;
		seen.live = high = live;
	}
	real.micro(t, d, rows, n, train, sums);
	if (t->step > 0) {
		seen.in_steps = calls - seen.calls;
		seen.more = high > seen.live ? high - seen.live : 0;
	}
	seen.step = t->step;
}

static int go(const char *data, const struct told *w, struct ft_plan *plan,
	      int64_t *tokens, struct ft_err *err)
{
	struct ft_train_opts o = FT_TRAIN_DEFAULTS;
	struct ft_dpo_opts dpo = FT_DPO_DEFAULTS;
	const struct ft_opt *table = ft_train_table(&o);
	struct ft_trainer t = {.o = &o, .method = &spy, .table = table};
	int rc, sig;

	o.model = scratch();
	o.out = scratch_path("out");
	o.full = w->full;
	o.overwrite = o.allow_no_stop = true;
	o.compute.threads = w->threads ? w->threads : 2;
	o.compute.dtype = w->bf16 ? FT_DTYPE_BFLOAT16 : FT_DTYPE_FLOAT32;
	o.batch = 2;
	o.max_steps = 5;
	o.lr = 1e-4;
	o.logging_steps = w->logging ? w->logging : 1000;
	o.save_steps = w->save;
	o.micro_tokens = w->micro ? w->micro : 2048;
	o.budget = w->budget;
	o.plan = w->plan;
	o.checkpointing = w->checkpointing;
	o.eval_file = w->eval;
	o.eval_steps = w->eval ? 2 : 0;
	real = w->dpo ? ft_dpo_method(&dpo) : ft_sft_method;
	spy = real;
	spy.micro = micro;
	memset(&seen, 0, sizeof(seen));
	rc = ft_train(&t, data, &sig, err);
	if (plan)
		*plan = t.plan;
	if (tokens)
		*tokens = o.micro_tokens;
	ft_trainer_release(&t);
	free((void *)table);
	return rc;
}

/* --- nothing is taken after the first step --- */

static void quiet(const char *data, const struct told *w, const char *what)
{
	struct ft_err err = {0};

	if (!COUNTS) {
		SKIP("malloc is the sanitizer's");
		return;
	}
	if (go(data, w, NULL, NULL, &err) < 0)
		eng_die(what, &err);
	if (w->logging || w->save) {
		CHECK(seen.step == 5 && seen.more < 2 << 20,
		      "%s: logs and checkpoints took no more than %zu bytes",
		      what, seen.more);
		return;
	}
	CHECK(seen.step == 4 && !seen.in_steps,
	      "%s: %zu allocations after the first step", what, seen.in_steps);
}

static void steps(const char *sft, const char *pairs)
{
	quiet(sft, &(struct told){0}, "SFT, LoRA");
	quiet(sft, &(struct told){.bf16 = true, .micro = 40}, "in bfloat16");
	quiet(sft, &(struct told){.full = true}, "SFT, full");
	quiet(sft, &(struct told){.checkpointing = true}, "computed again");
	quiet(pairs, &(struct told){.dpo = true}, "DPO, LoRA");
	quiet(pairs, &(struct told){.dpo = true, .full = true}, "DPO, full");
	quiet(sft,
	      &(struct told){
		      .full = true, .logging = 1, .save = 1, .eval = sft},
	      "SFT, full, all written");
}

/* --- what is chosen --- */

static size_t all(const char *data, struct told w, struct ft_plan *p,
		  int64_t *tokens)
{
	struct ft_err err = {0};

	w.plan = true;
	return go(data, &w, p, tokens, &err) < 0 ? 0 : ft_plan_total(p);
}

static void chosen(const char *data, struct told w, const char *what)
{
	struct ft_plan p, q;
	size_t top = all(data, w, &p, NULL), least, bad = 0, differ = 0;
	int64_t tokens, other;
	struct ft_err err = {0};
	unsigned long mb;

	CHECK(top && !p.light && !p.heavy, "%s: all is kept if it may", what);
	w.budget = 1;
	w.plan = true;
	CHECK(go(data, &w, NULL, NULL, &err) < 0 && err.code == FT_EXIT_SYS &&
		      sscanf(err.msg, "--memory of 0 MB is too little: %luM is",
			     &mb),
	      "%s: too little is refused: %s", what, err.msg);
	w.budget = (size_t)mb << 20;
	least = all(data, w, &p, &tokens);
	CHECK(least && least <= w.budget && least > w.budget - (1 << 20),
	      "%s: the least that was named does, with %zu", what, least);
	for (size_t i = 0; i < 40; i++) {
		w.budget = least + i * (top - least) / 40;
		w.threads = 1;
		top = all(data, w, &p, &tokens) > w.budget ? 0 : top;
		bad += ft_plan_total(&p) > w.budget;
		w.threads = 3;
		all(data, w, &q, &other);
		differ += tokens != other || p.light != q.light ||
			  p.heavy != q.heavy ||
			  ft_plan_total(&p) != ft_plan_total(&q);
	}
	CHECK(!bad, "%s: what is chosen is within the budget", what);
	CHECK(!differ, "%s: whatever the number of threads", what);
	w.budget = ((size_t)mb - 1) << 20;
	CHECK(!all(data, w, &p, NULL), "%s: a megabyte less is refused", what);
}

/* --- the same run, whatever is kept --- */

static char *result(size_t *n)
{
	struct ft_err err = {0};
	char *s = ft_read_file(scratch_path("out/adapter_model.safetensors"),
			       1 << 24, n, &err);

	if (!s)
		eng_die("result", &err);
	return s;
}

static void same(const char *data, bool bf16)
{
	struct told w = {.bf16 = bf16, .micro = 40};
	size_t n, m, top, least;
	struct ft_err err = {0};
	struct ft_plan p;
	char *a, *b;

	top = all(data, w, &p, NULL);
	if (go(data, &w, NULL, NULL, &err) < 0)
		eng_die("run", &err);
	a = result(&n);
	w.checkpointing = true;
	least = all(data, w, &p, NULL);
	CHECK(p.light == 4 && p.heavy == 4 && least < top,
	      "all layers are computed again when it is asked for");
	for (int i = 0; i < 4; i++) {
		if (i)
			w = (struct told){.bf16 = bf16, .micro = 40};
		w.budget = i ? least + (size_t)i * (top - least) / 4 : 0;
		if (go(data, &w, &p, NULL, &err) < 0)
			eng_die("run", &err);
		b = result(&m);
		CHECK(p.light && m == n && !memcmp(a, b, n),
		      "%s: %zu layers in part, %zu again: the same bytes",
		      bf16 ? "bfloat16" : "float32", p.light - p.heavy,
		      p.heavy);
		free(b);
	}
	free(a);
}

int main(void)
{
	const char *sft, *pairs;

	ft_verbosity = -1;
	eng_write(scratch(), config);
	sft = stream("sft.ft", FT_ROW_COMPLETION, 3, (const size_t[]){29}, 1);
	sft = ft_xstrdup(sft);
	pairs = stream("pair.ft", FT_ROW_PAIR, 7, (const size_t[]){9, 12}, 2);
	pairs = ft_xstrdup(pairs);
	steps(sft, pairs);
	chosen(sft, (struct told){0}, "SFT");
	chosen(pairs, (struct told){.dpo = true, .full = true}, "DPO, full");
	same(sft, false);
	same(sft, true);
	free((void *)sft);
	free((void *)pairs);
	return test_done();
}
