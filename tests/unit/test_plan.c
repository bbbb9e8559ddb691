/* SPDX-License-Identifier: MIT */
/*
 * The memory plan: what is counted is what is taken, before and after the
 * weights are there; layers that are computed again give the same bytes.
 */
#include "libcommon/nn/plan.h"

#include "libcommon/nn/model_priv.h"
#include "tests/lib/families.h"
#include "tests/lib/model.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

enum { VOCAB = 61, LAYERS = 5 };
static const char config[] =
	"{\"model_type\":\"llama\",\"vocab_size\":61,\"hidden_size\":48,"
	"\"intermediate_size\":80,\"num_hidden_layers\":5,"
	"\"num_attention_heads\":6,\"num_key_value_heads\":2,"
	"\"rms_norm_eps\":0.01,\"attention_bias\":true}";

/* --- sizes and words --- */

static void sizes(void)
{
	static const struct {
		const char *text;
		size_t n;
	} good[] = {
		{"1", 1},
		{"4096", 4096},
		{"1K", 1024},
		{"1.5k", 1536},
		{"500M", (size_t)500 << 20},
		{"8G", (size_t)8 << 30},
		{"8GiB", (size_t)8 << 30},
		{"8gB", (size_t)8 << 30},
		{"0.25T", (size_t)256 << 30},
	};
	static const char *const bad[] = {
		"",    "G",    "-1",    "0",     "0.5", "8 G",   "8GG",
		"8Gi", "1e9",  "0x10G", "nan",   "inf", "8Gib",  "8BG",
		" 8G", "+8G",  "1P",    "8,5G",  "8G ", "9e99T", "99999999999T",
		"8Q",  "8\nG", "1.2.3", "1K\001"};
	struct ft_err err = {0};

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		size_t n = 0;

		CHECK(ft_plan_size(good[i].text, &n) == 0 && n == good[i].n,
		      "'%s' is %zu bytes", good[i].text, good[i].n);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		size_t n = 7;

		CHECK(ft_plan_size(bad[i], &n) < 0 && n == 7,
		      "size %zu of the bad ones is none", i);
	}
	CHECK(ft_plan_refuse((size_t)3 << 20, ((size_t)5 << 20) + 1, &err) <
			      0 &&
		      err.code == FT_EXIT_SYS &&
		      !strcmp(err.msg,
			      "--memory of 3 MB is too little: 6M is the least"),
	      "a refusal names the least in whole megabytes");
}

static void words(void)
{
	struct ft_plan p = {.tokens = 7, .trains = true, .layers = 4};
	struct ft_str s = {0};

	p.part[FT_PLAN_WEIGHTS] = (size_t)3 << 20;
	p.part[FT_PLAN_DATA] = 1 << 19;
	ft_plan_text(&p, &s);
	CHECK(strstr(s.s, "weights                     3.0 MB\n") &&
		      strstr(s.s, "data index                  0.5 MB\n") &&
		      strstr(s.s, "(--memory 4M)") &&
		      strstr(s.s,
			     "7 tokens at a time, all of 4 layers kept\n") &&
		      !strstr(s.s, "cache"),
	      "the table has what there is");
	ft_str_clear(&s);
	p.light = 3;
	p.heavy = 1;
	ft_plan_text(&p, &s);
	CHECK(strstr(s.s, "of 4 layers 1 kept, 2 kept in part, "
			  "1 computed again\n"),
	      "and what is computed again");
	ft_str_clear(&s);
	ft_plan_json(&p, &s);
	CHECK(strstr(s.s, "{\"weights\":3145728,\"adapter\":0,") == s.s &&
		      strstr(s.s, "\"all\":3670016,\"mapped\":0,\"tokens\":7,"
				  "\"layers\":4,\"kept_in_part\":2,"
				  "\"recomputed\":1}\n"),
	      "as JSON");
	ft_str_release(&s);
}

static void taking(void)
{
	struct ft_plan p = {0};
	struct ft_carve count = {.plan = &p, .part = FT_PLAN_CACHE};
	static _Alignas(64) char mem[256];
	struct ft_carve c = {.base = mem};
	char *a, *b;

	CHECK(!ft_take(&count, 3, 5) && count.n == 64 &&
		      p.part[FT_PLAN_CACHE] == 64,
	      "counting takes nothing and rounds up");
	a = ft_take(&c, 65, 1);
	b = ft_take(&c, 1, 1);
	CHECK(a == mem && b == mem + 128 && c.n == 192,
	      "carving does the same");
	ft_take(&count, SIZE_MAX / 2, 3);
	ft_take(&count, 1, 1);
	CHECK(count.n == SIZE_MAX && ft_plan_total(&p) == SIZE_MAX,
	      "too much is the most there is, and stays it");
}

/* --- what is counted is what is taken --- */

static const char *const holds[] = {"", " full", " NF4"};
static const char *dir;

static void counts(const char *backend, enum ft_hold hold)
{
	struct ft_reserve r = {.t = 70, .nseg = 9, .n = 33, .positions = 40};
	struct ft_err err = {0};
	static const size_t how[][2] = {{0, 0}, {9, 9}, {9, 9}, {9, 2},
					{4, 0}, {2, 0}, {0, 0}};
	struct eng e;
	size_t taken;

	if (!eng_backend(&e, backend, NULL, 2)) {
		SKIP("no backend %s", backend);
		return;
	}
	if (ft_model_begin(&e.m, e.k, dir, hold, &err) < 0)
		eng_die("begin", &err);
	for (int i = 0; i < 7; i++) {
		struct ft_plan before = {0}, after = {0};

		r.save = i > 0;
		r.r = i > 1 ? 4 : 0;
		r.light = how[i][0];
		r.heavy = how[i][1];
		ft_model_plan_weights(e.m, &before);
		ft_model_plan_acts(e.m, &r, true, &before);
		if (i == 0 && ft_model_load(e.m, &err) < 0)
			eng_die("load", &err);
		ft_model_plan_weights(e.m, &after);
		ft_model_plan_acts(e.m, &r, true, &after);
		if (ft_model_reserve(e.m, &r, &err) < 0)
			eng_die("reserve", &err);
		taken = ft_model_bytes(e.m);
		CHECK(ft_plan_total(&after) == taken &&
			      ft_plan_total(&before) == taken,
		      "%s%s, %d: %zu bytes counted, %zu taken", backend,
		      holds[hold], i, ft_plan_total(&before), taken);
	}
	eng_close(&e);
}

/* --- computed again --- */

static struct ft_tokens rows;

static float *gradients(const char *backend, const char *isa, enum ft_hold hold,
			size_t light, size_t heavy, size_t *n)
{
	struct ft_reserve r = {.t = 60,
			       .nseg = 9,
			       .n = 50,
			       .positions = 20,
			       .save = true,
			       .light = light,
			       .heavy = heavy};
	struct ft_err err = {0};
	struct eng e;
	float *g = NULL;

	if (!eng_backend(&e, backend, isa, 2))
		return NULL;
	eng_model(&e, dir, NULL, hold);
	if (!e.full)
		eng_adapter(&e, 4, 8, false);
	e.dropout = e.full ? 0 : 0.25f;
	e.key = 11;
	ft_reserve_adapter(&r, e.lora ? &e.a : NULL);
	if (ft_model_reserve(e.m, &r, &err) < 0)
		eng_die("reserve", &err);
	for (size_t i = 0; i < rows.nrow; i++)
		ft_pass_add(&e.pass, &rows, i, false);
	e.logp = ft_xcalloc(r.n, sizeof(float));
	e.coef = ft_xcalloc(r.n, sizeof(float));
	eng_zero(&e);
	for (int i = 0; i < 2; i++)
		eng_sft(&e, 0);
	*n = eng_block(&e)->n;
	g = eng_grad(&e);
	eng_close(&e);
	return g;
}

static void again(const char *backend, const char *isa, enum ft_hold hold)
{
	static const size_t how[][2] = {{1, 0}, {4, 0}, {4, 1},
					{4, 4}, {3, 3}, {99, 99}};
	size_t n = 0;
	float *want = gradients(backend, isa, hold, 0, 0, &n);

	if (!want) {
		SKIP("no %s %s here", backend, isa);
		return;
	}
	for (size_t i = 0; i < sizeof(how) / sizeof(*how); i++) {
		float *g =
			gradients(backend, isa, hold, how[i][0], how[i][1], &n);

		CHECK(!memcmp(g, want, n * sizeof(*g)),
		      "%s %s%s: %zu layers in part, %zu again: same gradients",
		      backend, isa, holds[hold], how[i][0], how[i][1]);
		free(g);
	}
	free(want);
}

/* Less is kept; where there is room it is used. */
static void less(void)
{
	struct ft_reserve r = {.t = 64,
			       .nseg = 4,
			       .n = 64,
			       .positions = 64,
			       .r = 4,
			       .save = true};
	size_t last = SIZE_MAX, n = 0;
	struct eng e;

	eng_backend(&e, "cpu", NULL, 1);
	eng_model(&e, scratch(), NULL, false);
	for (int i = 0; i < 2 * LAYERS - 1; i++) {
		struct ft_plan p = {0};

		r.light = i < LAYERS ? (size_t)i : LAYERS - 1;
		r.heavy = i < LAYERS ? 0 : (size_t)i - LAYERS + 1;
		ft_model_plan_acts(e.m, &r, true, &p);
		n += p.part[FT_PLAN_KEPT] < last;
		last = p.part[FT_PLAN_KEPT];
	}
	CHECK(n == 2 * LAYERS - 1, "each further layer keeps less");
	eng_close(&e);
}

/* The same of any family. */
static void family(const char *name, const char *json)
{
	dir = scratch_path(name);
	mkdir(dir, 0777);
	eng_write(dir, json);
	ft_tokens_clear(&rows);
	eng_row(&rows, FAMILY_VOCAB, 4, (const size_t[]){9, 3}, 2);
	eng_row(&rows, FAMILY_VOCAB, 0, (const size_t[]){17}, 1);
	printf("# %s\n", name);
	for (int hold = 0; hold < 3; hold++) {
		counts("cpu", (enum ft_hold)hold);
		counts("cpu-bf16", (enum ft_hold)hold);
		again("cpu", "avx2", (enum ft_hold)hold);
		again("cpu-bf16", "avx2", (enum ft_hold)hold);
	}
}

int main(void)
{
	static const char *const isas[] = {"scalar", "avx2", "avx512"};

	sizes();
	words();
	taking();
	dir = scratch();
	eng_write(dir, config);
	eng_row(&rows, VOCAB, 4, (const size_t[]){9, 3}, 2);
	eng_row(&rows, VOCAB, 0, (const size_t[]){17}, 1);
	eng_row(&rows, VOCAB, 11, (const size_t[]){1}, 1);
	for (int hold = 0; hold < 3; hold++) {
		counts("cpu", (enum ft_hold)hold);
		counts("cpu-bf16", (enum ft_hold)hold);
		for (size_t i = 0; i < 3; i++) {
			again("cpu", isas[i], (enum ft_hold)hold);
			again("cpu-bf16", isas[i], (enum ft_hold)hold);
		}
		again("cpu-bf16", "avx512bf16", (enum ft_hold)hold);
		again("cpu-bf16", "amx-plain", (enum ft_hold)hold);
	}
	less();
	for (size_t i = 0; i < NFAMILIES; i++)
		family(families[i].name, families[i].json);
	ft_tokens_release(&rows);
	return test_done();
}
