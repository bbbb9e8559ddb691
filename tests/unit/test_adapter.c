/* SPDX-License-Identifier: MIT */
/* Adapters as PEFT has them; the ones of PEFT itself are in tests/data/golden,
   made by tests/golden/gen_llama.py. */
#include "libcommon/nn/adapter.h"

#include <sys/stat.h>

#include "libcommon/io/input.h"
#include "libcommon/io/json.h"
#include "tests/lib/model.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

static struct ftk *k;
static struct ft_config c;
static struct ft_err err;

static float *values(const struct ft_adapter *a)
{
	float *v = ft_xmalloc(a->b.n * sizeof(float));

	k->get_real(k, v, a->b.p, a->b.n);
	k->sync(k);
	return v;
}

static bool make(struct ft_adapter *a, uint64_t seed,
		 const char *const *targets, int n)
{
	struct ft_lora_opts o = FT_LORA_DEFAULTS;

	o.r = 4;
	o.targets.v = (const char **)targets;
	o.targets.n = n;
	memset(&err, 0, sizeof(err));
	return ft_adapter_new(a, k, &c, &o, seed, &err) == 0;
}

/* --- new ones --- */

static void init(void)
{
	struct ft_adapter a, b, d;
	float *v, *w, *x;
	bool inside = true, zero = true;
	double sum = 0, edge = 0;
	size_t n = 0;

	CHECK(make(&a, 5, NULL, 0) && make(&b, 5, NULL, 0) &&
		      make(&d, 6, NULL, 0),
	      "new adapters");
	CHECK(a.nmod == 7 * c.layers && a.max_r == 4 && a.mod[0].scale == 8,
	      "all-linear is seven modules a layer, scale alpha / r");
	v = values(&a);
	w = values(&b);
	x = values(&d);
	for (size_t i = 0; i < a.nmod; i++) {
		const struct ft_lora_mod *m = &a.mod[i];
		double bound = 1 / sqrt((double)m->k);

		for (size_t j = 0; j < m->r * m->k; j++, n++) {
			double t = (double)v[m->off_a + j] / bound;

			inside &= fabs(t) <= 1;
			edge = fmax(edge, fabs(t));
			sum += t;
		}
		for (size_t j = 0; j < m->n * m->r; j++)
			zero &= v[m->off_b + j] == 0;
	}
	CHECK(inside && edge > 0.99 && fabs(sum / (double)n) < 0.05,
	      "A fills +-1/sqrt(k) evenly: up to %.4f, mean %.3f", edge,
	      sum / (double)n);
	CHECK(zero, "B is 0");
	CHECK(!memcmp(v, w, a.b.n * sizeof(float)) &&
		      memcmp(v, x, a.b.n * sizeof(float)),
	      "the seed alone decides");
	free(v);
	free(w);
	free(x);
	ft_adapter_release(&a);
	ft_adapter_release(&b);
	ft_adapter_release(&d);
}

static void targets(void)
{
	static const struct {
		const char *t[2];
		int n;
		size_t modules;
	} good[] = {
		{{"all-linear", NULL}, 1, 14},
		{{"q_proj,v_proj", NULL}, 1, 4},
		{{"q_proj, v_proj", "down_proj"}, 2, 6},
		{{"self_attn.q_proj", NULL}, 1, 2},
		{{"model.layers.1.mlp.up_proj", NULL}, 1, 1},
		{{"layers.0.mlp.up_proj", "o_proj"}, 2, 3},
		{{"all-linear", "lm_head,embed_tokens"}, 2, 16},
	};
	static const char *const bad[] = {"proj", "norm", "q_proj,c_attn",
					  "attn.q_proj",
					  "model.layers.9.mlp.up_proj"};
	struct ft_adapter a;

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		bool ok = make(&a, 1, good[i].t, good[i].n);

		CHECK(ok && a.nmod == good[i].modules,
		      "target %s: %zu modules %s", good[i].t[0], a.nmod,
		      err.msg);
		if (ok)
			ft_adapter_release(&a);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK(!make(&a, 1, &bad[i], 1) && err.code == FT_EXIT_USAGE &&
			      strstr(err.msg, "down_proj"),
		      "target %s: %s", bad[i], err.msg);
}

/* --- files --- */

static bool load(struct ft_adapter *a, const char *dir)
{
	memset(&err, 0, sizeof(err));
	return ft_adapter_load(a, k, &c, dir, &err) == 0;
}

static void round_trip(void)
{
	struct ft_adapter a, b;
	char *dir = scratch_path("saved");
	float *v, *w;
	char *s;
	size_t n;

	mkdir(dir, 0777);
	make(&a, 3, (const char *const[]){"v_proj,q_proj"}, 1);
	a.dropout = 0.05f;
	CHECK(!ft_adapter_save(&a, &c, dir, "/some/\"base\"", &err), "saved %s",
	      err.msg);
	CHECK(ft_adapter_is(dir) && !ft_adapter_is(scratch()),
	      "a folder is known as an adapter");
	CHECK(load(&b, dir), "loaded %s", err.msg);
	v = values(&a);
	w = values(&b);
	CHECK(a.b.n == b.b.n && !memcmp(v, w, a.b.n * sizeof(float)),
	      "the same values");
	CHECK(b.r == 4 && b.alpha == 32 && b.dropout == 0.05f && !b.rslora &&
		      b.nmod == 4 && !strcmp(b.base, "/some/\"base\""),
	      "the same settings");
	s = ft_read_file(scratch_path("saved/adapter_config.json"), 1 << 20, &n,
			 &err);
	CHECK(s && strstr(s, "\"target_modules\": [\n    \"q_proj\",\n    \"v_proj\"\n  ]") &&
		      strstr(s, "\"lora_alpha\": 32,") &&
		      strstr(s, "\"lora_dropout\": 0.05,") &&
		      strstr(s, "\"task_type\": \"CAUSAL_LM\"") &&
		      s[n - 1] == '}',
	      "adapter_config.json in PEFT's form");
	free(s);
	free(v);
	free(w);
	ft_adapter_release(&a);
	ft_adapter_release(&b);
}

/* Every field that PEFT's own file has is in ours, and sorted. */
static void fields(void)
{
	static const char *const skip[] = {
		"alora_invocation_tokens",
		"arrow_config",
		"corda_config",
		"ensure_weight_tying",
		"eva_config",
		"kasa_config",
		"lora_ga_config",
		"monteclora_config",
		"qalora_group_size",
		"target_parameters",
		"trainable_token_indices",
		"use_bdlora",
		"use_qalora",
		"velora_config",
	};
	struct ft_arena arena = {0};
	struct ft_json *ours = NULL, *theirs = NULL;
	const struct ft_json *f;
	const char *last = "";
	char *a, *b;
	size_t na, nb, missing = 0;
	bool sorted = true;

	a = ft_read_file(scratch_path("saved/adapter_config.json"), 1 << 20,
			 &na, &err);
	b = ft_read_file(GOLDEN "mha/adapter/adapter_config.json", 1 << 20, &nb,
			 &err);
	if (!a || !b || ft_json_parse(&arena, a, na, &ours, &err) < 0 ||
	    ft_json_parse(&arena, b, nb, &theirs, &err) < 0)
		eng_die("adapter_config.json", &err);
	for (f = theirs->child; f; f = f->next) {
		bool may = false;

		for (size_t i = 0; i < sizeof(skip) / sizeof(*skip); i++)
			may |= !strcmp(skip[i], f->key);
		if (!may && !ft_json_get(ours, f->key)) {
			printf("# missing: %s\n", f->key);
			missing++;
		}
	}
	for (f = ours->child; f; last = f->key, f = f->next)
		sorted &= strcmp(last, f->key) < 0;
	CHECK(!missing && sorted, "the fields of PEFT, sorted");
	ft_arena_release(&arena);
	free(a);
	free(b);
}

static void of_peft(void)
{
	struct ft_config other;
	struct ft_adapter a;

	CHECK(load(&a, GOLDEN "mha/adapter") && a.r == 4 && a.alpha == 8 &&
		      a.nmod == 14 && a.mod[0].scale == 2 && a.dropout == 0,
	      "PEFT's, all-linear %s", err.msg);
	ft_adapter_release(&a);
	if (ft_config_load(&other, GOLDEN "gqa_tied", &err) < 0)
		eng_die("gqa_tied", &err);
	memset(&err, 0, sizeof(err));
	CHECK(!ft_adapter_load(&a, k, &other, GOLDEN "gqa_tied/adapter",
			       &err) &&
		      a.rslora && a.mod[0].scale == 3 && a.nmod == 6,
	      "PEFT's, rsLoRA: alpha / sqrt(r) %s", err.msg);
	ft_adapter_release(&a);
	CHECK(!load(&a, GOLDEN "gqa_tied/adapter") &&
		      err.code == FT_EXIT_DATA && strstr(err.msg, "shape"),
	      "an adapter of another model: %s", err.msg);
}

/* --- refusals --- */

/* A copy of the golden adapter with one text replaced in its config. */
static const char *edited(const char *from, const char *to)
{
	static const char dir_name[] = "edited";
	char *dir = scratch_path(dir_name), *s, *at;
	struct ft_str out = {0};
	size_t n;

	mkdir(dir, 0777);
	s = ft_read_file(GOLDEN "mha/adapter/adapter_config.json", 1 << 20, &n,
			 &err);
	at = s ? strstr(s, from) : NULL;
	if (!at)
		eng_die(from, &err);
	ft_str_addf(&out, "%.*s%s%s", (int)(at - s), s, to, at + strlen(from));
	scratch_file("edited/adapter_config.json", out.s, out.n);
	ft_str_release(&out);
	free(s);
	s = ft_read_file(GOLDEN "mha/adapter/adapter_model.safetensors",
			 1 << 20, &n, &err);
	scratch_file("edited/adapter_model.safetensors", s, n);
	free(s);
	return dir;
}

static void refuse(const char *from, const char *to, const char *word)
{
	struct ft_adapter a;
	bool ok = load(&a, edited(from, to));

	CHECK(!ok && err.code == FT_EXIT_DATA && strstr(err.msg, word),
	      "%s: %s", to, ok ? "it was taken" : err.msg);
	if (ok)
		ft_adapter_release(&a);
}

static void refused_fields(void)
{
	struct ft_adapter a;

	refuse("\"use_dora\": false", "\"use_dora\": true",
	       "self_attn.q_proj.lora_magnitude_vector' is missing");
	refuse("\"use_dora\": false", "\"use_dora\": 1", "'use_dora'");
	refuse("\"init_lora_weights\": true",
	       "\"init_lora_weights\": \"pissa_niter_4\"",
	       "init_lora_weights 'pissa_niter_4'");
	CHECK(load(&a, edited("\"init_lora_weights\": true",
			      "\"init_lora_weights\": \"gaussian\"")),
	      "an init that leaves the base alone: %s", err.msg);
	ft_adapter_release(&a);
	refuse("\"lora_bias\": false", "\"lora_bias\": true", "'lora_bias'");
	refuse("\"bias\": \"none\"", "\"bias\": \"all\"", "'bias'");
	refuse("\"fan_in_fan_out\": false", "\"fan_in_fan_out\": true",
	       "'fan_in_fan_out'");
	refuse("\"modules_to_save\": null",
	       "\"modules_to_save\": [\"lm_head\"]",
	       "'base_model.model.lm_head.weight' is missing");
	refuse("\"modules_to_save\": null", "\"modules_to_save\": [\"score\"]",
	       "modules_to_save names 'score'");
	refuse("\"modules_to_save\": null", "\"modules_to_save\": \"lm_head\"",
	       "'modules_to_save' is not a list");
	refuse("\"modules_to_save\": null", "\"modules_to_save\": [\"mlp\"]",
	       "mlp.gate_proj.weight' is missing");
	refuse("\"rank_pattern\": {}", "\"rank_pattern\": {\"q_proj\": 2}",
	       "q_proj.lora_A.weight' has another shape");
	refuse("\"rank_pattern\": {}", "\"rank_pattern\": {\"q_proj\": 0}",
	       "rank of 'model.layers.0.self_attn.q_proj' is not in");
	refuse("\"rank_pattern\": {}", "\"rank_pattern\": {\"q_proj\": 4.5}",
	       "rank_pattern");
	refuse("\"rank_pattern\": {}", "\"rank_pattern\": {\"(?<=q)_proj\": 4}",
	       "regular expression '(?<=q)_proj'");
	refuse("\"rank_pattern\": {}", "\"rank_pattern\": [4]",
	       "'rank_pattern' is not an object");
	refuse("\"alpha_pattern\": {}",
	       "\"alpha_pattern\": {\"q_proj\": \"2\"}", "alpha_pattern");
	refuse("\"exclude_modules\": null", "\"exclude_modules\": [\"q_proj\"]",
	       "tensors of 'model.layers.0.self_attn.q_proj'");
	refuse("\"exclude_modules\": null",
	       "\"exclude_modules\": \".*\\\\.1\\\\..*\"",
	       "tensors of 'model.layers.1.self_attn.q_proj'");
	refuse("\"layer_replication\": null", "\"layer_replication\": [[0, 1]]",
	       "'layer_replication'");
	refuse("\"trainable_token_indices\": null",
	       "\"trainable_token_indices\": [1]", "'trainable_token_indices'");
	refuse("\"target_parameters\": null", "\"target_parameters\": [\"x\"]",
	       "'target_parameters'");
	refuse("{", "{\"use_newest_thing\": 1,",
	       "unknown field 'use_newest_thing'");
	refuse("\"LORA\"", "\"IA3\"", "peft_type 'IA3'");
	refuse("\"r\": 4", "\"r\": 0", "r is not in");
	refuse("\"r\": 4", "\"r\": 8", "shape");
	refuse("\"r\": 4", "\"r\": \"four\"", "'r'");
	refuse("\"lora_dropout\": 0.0", "\"lora_dropout\": 1.0",
	       "lora_dropout");
	refuse("\"model.layers.0.mlp.up_proj\"", "7", "no string");
	refuse("{", "[", "");
	CHECK(load(&a, edited("{", "{\"use_newest_thing\": null,")),
	      "an unknown field that is null is taken %s", err.msg);
	ft_adapter_release(&a);
	CHECK(load(&a, edited("\"lora_alpha\": 8,", "")) && a.alpha == 8,
	      "lora_alpha when not said: 8");
	ft_adapter_release(&a);
}

/* The golden adapter's tensors with those named drop left out, and add given
   beside them. */
static void tensors(const char *drop, const char *add, const char *word)
{
	struct ft_tensor t[64];
	struct ft_adapter a;
	struct ft_st st;
	float one[4] = {1, 2, 3, 4};
	size_t n = 0;
	bool ok;

	edited("{", "{");
	if (ft_st_open(&st, GOLDEN "mha/adapter/adapter_model.safetensors",
		       &err) < 0)
		eng_die("mha", &err);
	for (size_t i = 0; i < st.n; i++) {
		if (!drop || !strstr(st.t[i].name, drop))
			t[n++] = st.t[i];
	}
	if (add)
		t[n++] = (struct ft_tensor){.name = add,
					    .dtype = FT_F32,
					    .ndim = 2,
					    .shape = {2, 2},
					    .numel = 4,
					    .nbytes = 16,
					    .data = one};
	if (ft_st_write(scratch_path("edited/adapter_model.safetensors"), t, n,
			NULL, 0, &err) < 0)
		eng_die("write", &err);
	ok = load(&a, scratch_path("edited"));
	CHECK(!ok && err.code == FT_EXIT_DATA && strstr(err.msg, word) &&
		      strstr(err.where, "adapter"),
	      "without '%s', with '%s': %s", drop ? drop : "", add ? add : "",
	      ok ? "it was taken" : err.msg);
	if (ok)
		ft_adapter_release(&a);
	ft_st_release(&st);
}

static void refused_tensors(void)
{
	struct ft_adapter a;
	char *path;

	tensors("layers.1.self_attn.q_proj.lora_B", NULL, "is missing");
	tensors("layers.1.self_attn.q_proj.lora_A", NULL,
		"layers.1.self_attn.q_proj");
	tensors("layers.1.self_attn.q_proj", NULL,
		"target_modules names 'model.layers.1.self_attn.q_proj'");
	tensors(NULL,
		"base_model.model.model.layers.1.mlp.up_proj.lora_A.default.weight",
		"'base_model.model.model.layers.1.mlp.up_proj.lora_A.weight' is there twice");
	tensors(NULL, "base_model.model.lm_head.lora_A.weight",
		"tensors of 'lm_head', which target_modules does not name");
	tensors(NULL, "base_model.model.lm_head.weight",
		"surplus tensor 'base_model.model.lm_head.weight'");
	tensors(NULL,
		"base_model.model.model.layers.7.self_attn.q_proj.lora_A.weight",
		"surplus tensor");
	tensors("lora", NULL, "which has no tensors");
	edited("{", "{");
	path = scratch_path("edited/adapter_model.safetensors");
	CHECK(!truncate(path, 3000) && !load(&a, scratch_path("edited")) &&
		      err.code == FT_EXIT_DATA,
	      "a torn file: %s", err.msg);
	CHECK(!unlink(path) && !load(&a, scratch_path("edited")) &&
		      err.code == FT_EXIT_SYS,
	      "no file: %s", err.msg);
}

/* --- what is done with one --- */

static void copies(void)
{
	struct ft_adapter a, b;
	float *v, *w;

	if (!load(&a, GOLDEN "mha/adapter"))
		eng_die("mha", &err);
	CHECK(!ft_adapter_copy(&b, &a, &c, &err), "a copy %s", err.msg);
	v = values(&a);
	w = values(&b);
	CHECK(a.b.n == b.b.n && !memcmp(v, w, a.b.n * sizeof(float)) &&
		      a.mod[3].scale == b.mod[3].scale,
	      "with the same values");
	free(w);
	k->zero(k, a.b.p, a.b.n * k->real_size);
	w = values(&b);
	CHECK(!memcmp(v, w, a.b.n * sizeof(float)), "and memory of its own");
	free(v);
	free(w);
	ft_adapter_release(&a);
	ft_adapter_release(&b);
}

static void merges(void)
{
	struct ft_adapter a;
	const struct ft_lora_mod *m;
	float *v, w[8 * 24] = {0};
	double far = 0;

	if (!load(&a, GOLDEN "mha/adapter"))
		eng_die("mha", &err);
	m = &a.mod[a.at[1 * FT_NSLOT + FT_DOWN]];
	v = values(&a);
	ft_adapter_merge(&a, FT_DOWN, 1, 3, 8, w);
	for (size_t i = 0; i < 8; i++) {
		for (size_t j = 0; j < m->k; j++) {
			double x = 0;

			for (size_t q = 0; q < m->r; q++)
				x += 2 *
				     (double)v[m->off_b + (i + 3) * m->r + q] *
				     (double)v[m->off_a + q * m->k + j];
			far = fmax(far, fabs(x - (double)w[i * m->k + j]));
		}
	}
	CHECK(m->k == 24 && far < 1e-6, "rows 3..10 of scale B A: %.1e", far);
	free(v);
	ft_adapter_release(&a);
}

/* Modules of some layers only are named so that PEFT, and we, find those. */
static void some_layers(void)
{
	static const char *const t[] = {"layers.1.mlp.up_proj", "q_proj"};
	const char *dir = scratch_path("some");
	struct ft_adapter a, b;
	char *s;
	size_t n;

	CHECK(make(&a, 3, t, 2) && !mkdir(dir, 0777) &&
		      !ft_adapter_save(&a, &c, dir, "x", &err),
	      "saved %s", err.msg);
	s = ft_read_file(scratch_path("some/adapter_config.json"), 1 << 20, &n,
			 &err);
	CHECK(s && strstr(s, "[\n    \"model.layers.1.mlp.up_proj\",\n"
			     "    \"q_proj\"\n  ]"),
	      "one of a layer is named whole");
	CHECK(load(&b, dir) && b.nmod == 3, "and loads again: %s", err.msg);
	free(s);
	ft_adapter_release(&a);
	ft_adapter_release(&b);
}

static void bases(void)
{
	struct ft_str s = {0};

	CHECK(!ft_adapter_base(GOLDEN "mha/adapter", NULL, &s, &err) &&
		      strstr(s.s, "mha"),
	      "the base, from the adapter's folder: %s", s.s);
	ft_str_clear(&s);
	CHECK(!ft_adapter_base(GOLDEN "mha/adapter", "else", &s, &err) &&
		      !strcmp(s.s, "else"),
	      "or as given");
	ft_str_clear(&s);
	CHECK(ft_adapter_base(edited("\"..\"", "\"org/model\""), NULL, &s,
			      &err) < 0 &&
		      err.code == FT_EXIT_SYS && strstr(err.msg, "org/model"),
	      "not here: %s", err.msg);
	ft_str_clear(&s);
	CHECK(ft_adapter_base(edited("\"..\"", "null"), NULL, &s, &err) < 0 &&
		      strstr(err.msg, "base_model_name_or_path is missing"),
	      "not said: %s", err.msg);
	ft_str_release(&s);
}

int main(void)
{
	const char *why;

	k = ftk_open("cpu", &(struct ftk_threads){.nthreads = 1}, &why);
	if (!k || ft_config_load(&c, GOLDEN "mha", &err) < 0)
		eng_die("mha", &err);
	init();
	targets();
	round_trip();
	fields();
	of_peft();
	refused_fields();
	refused_tensors();
	copies();
	merges();
	some_layers();
	bases();
	k->close(k);
	return test_done();
}
