/* SPDX-License-Identifier: MIT */
/*
 * Checkpoints of bitsandbytes (tests/data/golden/nf4, made by
 * tests/golden/gen_nf4.py): every element bit for bit, the same codes from the
 * floats, and files that lie.
 */
#include "libcommon/base/hash.h"
#include "libcommon/io/input.h"
#include "libcommon/nn/model_priv.h"
#include "libcommon/nn/quant.h"
#include "tests/lib/gold.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

#define NF4 GOLDEN "nf4"
#define Q   "model.layers.0.self_attn.q_proj"

/* --- right files --------------------------------------------------------- */

/* In the order of the names of their tensors. */
static const enum ft_slot linears[] = {FT_DOWN, FT_GATE, FT_UP, FT_K,
				       FT_O,    FT_Q,    FT_V};

/* SHA-256 of the linears as float32, without slot `but`. */
static void digest(struct eng *e, int but, char hex[65])
{
	const struct ft_config *c = ft_model_config(e->m);
	struct ft_sha256 s;

	ft_sha256_init(&s);
	for (size_t i = 0; i < sizeof(linears) / sizeof(*linears); i++) {
		size_t n, k;
		float *f;

		if ((int)linears[i] == but)
			continue;
		ft_config_shape(c, linears[i], &n, &k);
		f = ft_xmalloc(n * k * sizeof(*f));
		ft_model_rows(e->m, linears[i], 0, 0, n, NULL, f);
		ft_sha256_add(&s, f, n * k * sizeof(*f));
		free(f);
	}
	ft_sha256_hex(&s, hex);
}

static void elements(const struct gold *g, const char *key, int but)
{
	const struct ft_json *want = ft_json_get(g->meta, key);
	char path[64], hex[65];
	struct eng e;

	snprintf(path, sizeof(path), NF4 "/%s", key);
	eng_backend(&e, "cpu", NULL, 2);
	eng_hold(&e, path, NULL, FT_HOLD_FROZEN);
	digest(&e, but, hex);
	CHECK(want && !strcmp(want->s, hex), "%s: bit for bit", key);
	eng_close(&e);
}

/* What the floats become is what the file holds. */
static void codes(void)
{
	struct eng made, file;
	size_t bad = 0;

	eng_backend(&made, "cpu", NULL, 2);
	eng_backend(&file, "cpu", NULL, 2);
	eng_hold(&made, NF4, NULL, FT_HOLD_NF4);
	eng_hold(&file, NF4 "/nested", NULL, FT_HOLD_FROZEN);
	for (size_t i = 0; i < sizeof(linears) / sizeof(*linears); i++) {
		size_t n, k, blocks;
		struct ftk_nf4 a, b;

		ft_config_shape(ft_model_config(made.m), linears[i], &n, &k);
		blocks = (n * k + 63) / 64;
		if (made.k->weight_nf4(made.k,
				       ft_weight_at(made.m, linears[i], 0)->w,
				       &a) ||
		    file.k->weight_nf4(file.k,
				       ft_weight_at(file.m, linears[i], 0)->w,
				       &b)) {
			bad++;
			continue;
		}
		bad += memcmp(a.code, b.code, n * k / 2) != 0;
		bad += memcmp(a.absmax, b.absmax, blocks) != 0;
		bad += memcmp(a.nested, b.nested, (blocks + 255) / 256 * 4) !=
		       0;
		bad += memcmp(a.map, b.map, 1024) != 0;
		bad += memcmp(a.value, b.value, 64) != 0;
		bad += memcmp(&a.offset, &b.offset, 4) != 0;
	}
	CHECK(!bad, "the same codes, factors and tables from the floats");
	CHECK(made.k->weight_nf4(made.k, ft_weight_at(made.m, FT_EMBED, 0)->w,
				 &(struct ftk_nf4){0}) < 0,
	      "the embedding stays as it is");
	eng_close(&made);
	eng_close(&file);
}

/* --- files that lie ------------------------------------------------------ */

/* One change to the nested checkpoint; what NULL: the tensor is left out. */
struct change {
	const char *tensor; /* after the module's name */
	const char *as;     /* its new name, after the module's; or NULL */
	const char *json;   /* its new bytes, or NULL */
	size_t cut;         /* elements less */
	bool gone;
	const char *says;
};

static const struct ft_st *source(void)
{
	static struct ft_st st;
	struct ft_err err;

	if (!st.n && ft_st_open(&st, NF4 "/nested/model.safetensors", &err) < 0)
		eng_die("nested", &err);
	return &st;
}

static void copy(const char *from, const char *name)
{
	struct ft_err err;
	size_t n;
	char *s = ft_read_file(from, 1 << 20, &n, &err);

	if (!s)
		eng_die(from, &err);
	scratch_file(name, s, n);
	free(s);
}

static void write_changed(const struct change *c)
{
	struct ft_tensor *t = ft_xcalloc(source()->n, sizeof(*t));
	char name[256], as[256];
	struct ft_err err;
	size_t n = 0;

	snprintf(name, sizeof(name), "%s%s", Q, c->tensor);
	snprintf(as, sizeof(as), "%s%s", Q, c->as ? c->as : "");
	for (size_t i = 0; i < source()->n; i++) {
		struct ft_tensor *x = &t[n++];

		*x = source()->t[i];
		if (strcmp(x->name, name) != 0)
			continue;
		if (c->gone)
			n--;
		if (c->as)
			x->name = as;
		if (c->json) {
			x->data = c->json;
			x->shape[0] = strlen(c->json);
		}
		x->shape[0] -= c->cut;
	}
	if (ft_st_write(scratch_path("model.safetensors"), t, n, NULL, 0,
			&err) < 0)
		eng_die("write", &err);
	free(t);
}

static void refused(struct ftk *k, const char *what, const char *says)
{
	struct ft_model *m;
	struct ft_err err = {0};
	int rc = ft_model_open(&m, k, scratch(), FT_HOLD_FROZEN, &err);

	CHECK(rc < 0 && err.code == FT_EXIT_DATA && strstr(err.msg, says),
	      "%s: %s", what, rc < 0 ? err.msg : "it opens");
	if (!rc)
		ft_model_close(m);
}

#define STATE ".weight.quant_state.bitsandbytes__nf4"
#define JSON(a, b, c, d, e, f, g)                                         \
	"{\"quant_type\":" a ",\"blocksize\":" b ",\"dtype\":" c          \
	",\"shape\":" d ",\"nested_blocksize\":" e ",\"nested_dtype\":" f \
	",\"nested_offset\":" g "}"
#define NFOUR "\"nf4\""
#define F32   "\"float32\""
#define SHAPE "[72,72]"

static void lies(void)
{
	static const struct change t[] = {
		{.tensor = ".weight.absmax", .gone = true, .says = "missing"},
		{.tensor = ".weight.absmax", .cut = 1, .says = "is not 81"},
		{.tensor = ".weight.quant_map", .cut = 1, .says = "is not 16"},
		{.tensor = ".weight.nested_quant_map",
		 .cut = 1,
		 .says = "is not 256"},
		{.tensor = ".weight.nested_absmax",
		 .cut = 1,
		 .says = "is not 1 "},
		{.tensor = ".weight", .cut = 1, .says = "is not 2592 bytes"},
		{.tensor = ".weight", .gone = true, .says = ""},
		{.tensor = STATE, .gone = true, .says = ""},
		{.tensor = STATE,
		 .as = ".weight.quant_state.bitsandbytes__fp4",
		 .says = "__fp4'"},
		{.tensor = STATE, .as = ".other.absmax", .says = ""},
		{.tensor = STATE, .json = "[1]", .says = "quant_type"},
		{.tensor = STATE, .json = "{", .says = ""},
		{.tensor = STATE,
		 .json = JSON("\"fp4\"", "64", F32, SHAPE, "256", F32, "0.1"),
		 .says = "quant_type 'fp4'"},
		{.tensor = STATE,
		 .json = JSON(NFOUR, "128", F32, SHAPE, "256", F32, "0.1"),
		 .says = "blocksize 128"},
		{.tensor = STATE,
		 .json = JSON(NFOUR, "64", "\"int8\"", SHAPE, "256", F32,
			      "0.1"),
		 .says = "dtype 'int8'"},
		{.tensor = STATE,
		 .json = JSON(NFOUR, "64", F32, "[72,71]", "256", F32, "0.1"),
		 .says = "shape"},
		{.tensor = STATE,
		 .json = JSON(NFOUR, "64", F32, "[5184]", "256", F32, "0.1"),
		 .says = "shape"},
		{.tensor = STATE,
		 .json = JSON(NFOUR, "64", F32, "[\"72\",72]", "256", F32,
			      "0.1"),
		 .says = "shape"},
		{.tensor = STATE,
		 .json = JSON(NFOUR, "64", F32, SHAPE, "64", F32, "0.1"),
		 .says = "nested_blocksize 64"},
		{.tensor = STATE,
		 .json = JSON(NFOUR, "64", F32, SHAPE, "256", "\"int8\"",
			      "0.1"),
		 .says = "nested_dtype"},
		{.tensor = STATE,
		 .json = JSON(NFOUR, "64", F32, SHAPE, "256", F32, "null"),
		 .says = "nested_offset"},
		{.tensor = STATE,
		 .json = JSON(NFOUR, "64", F32, SHAPE, "256", F32, "1e300"),
		 .says = "nested_offset"},
	};
	struct eng e;

	eng_backend(&e, "cpu", NULL, 1);
	copy(NF4 "/nested/config.json", "config.json");
	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		write_changed(&t[i]);
		refused(e.k, t[i].tensor, t[i].says);
	}
	copy(NF4 "/model.safetensors", "model.safetensors");
	refused(e.k, "floats with such a config.json", "none is");
	ft_st_release((struct ft_st *)(uintptr_t)source());
	eng_close(&e);
}

static void not_trained(void)
{
	struct ft_model *m;
	struct ft_err err = {0};
	struct eng e;

	eng_backend(&e, "cpu", NULL, 1);
	CHECK(ft_model_open(&m, e.k, NF4 "/nested", FT_HOLD_TRAINED, &err) <
			      0 &&
		      err.code == FT_EXIT_USAGE,
	      "not to be trained: %s", err.msg);
	eng_close(&e);
}

static void configs(void)
{
	static const struct {
		const char *json, *says;
	} t[] = {
		{"{\"quant_method\":\"bitsandbytes\",\"load_in_4bit\":true}",
		 NULL},
		{"{\"load_in_4bit\":true,\"bnb_4bit_quant_type\":\"nf4\"}",
		 NULL},
		{"[]", "not an object"},
		{"{\"quant_method\":\"gptq\",\"bits\":4}", "'gptq'"},
		{"{\"quant_method\":\"bitsandbytes\",\"load_in_8bit\":true}",
		 "8 bits"},
		{"{\"load_in_4bit\":true,\"bnb_4bit_quant_type\":\"fp4\"}",
		 "'fp4'"},
		{"{\"load_in_4bit\":1}", "load_in_4bit"},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		struct ft_arena a = {0};
		struct ft_err err = {0};
		struct ft_json *o;
		int rc = -2;

		if (!ft_json_parse(&a, t[i].json, strlen(t[i].json), &o, &err))
			rc = ft_quant_config(o, &err);
		CHECK(t[i].says ? rc == -1 && strstr(err.msg, t[i].says)
				: rc == 0,
		      "%s: %s", t[i].json, err.msg);
		ft_arena_release(&a);
	}
}

int main(void)
{
	struct gold g;

	gold_open(&g, "nf4", NULL);
	elements(&g, "nested", -1);
	elements(&g, "plain", FT_K);
	codes();
	gold_close(&g);
	lies();
	not_trained();
	configs();
	return test_done();
}
