/* SPDX-License-Identifier: MIT */
#include "libcommon/nn/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"
#include "libcommon/io/input.h"
#include "libcommon/io/json.h"
#include "libcommon/nn/quant.h"

#define FT_ARCH(...) {__VA_ARGS__},
const struct ft_arch ft_archs[] = {
#include "libcommon/nn/arch.inc"
};
#undef FT_ARCH
const size_t ft_narchs = sizeof(ft_archs) / sizeof(ft_archs[0]);

enum { CONFIG_MAX = 16 << 20 };

static const struct ft_arch *find_arch(const char *type)
{
	for (size_t i = 0; i < ft_narchs; i++) {
		if (!strcmp(ft_archs[i].type, type))
			return &ft_archs[i];
	}
	return NULL;
}

static int refuse_type(const char *type, struct ft_err *err)
{
	struct ft_str s = {0};

	for (size_t i = 0; i < ft_narchs; i++)
		ft_str_addf(&s, "%s%s", i ? ", " : "", ft_archs[i].type);
	ft_err_set(err, FT_EXIT_DATA,
		   "model_type '%.64s' is not supported (supported: %s)", type,
		   s.s);
	ft_str_release(&s);
	return -1;
}

/* A size in [lo, hi]; absent leaves *v, which is then checked as well. */
static int get_size(const struct ft_json *o, const char *key, size_t *v,
		    size_t lo, size_t hi, struct ft_err *err)
{
	int64_t i;
	int rc = ft_json_int(o, key, &i, err);

	if (rc < 0)
		return -1;
	if (rc > 0) {
		if (i < 0)
			return ft_err_set(err, FT_EXIT_DATA, "%s is negative",
					  key);
		*v = (size_t)i;
	}
	if (*v < lo || *v > hi)
		return ft_err_set(
			err, FT_EXIT_DATA, "%s %s: %zu is not in %zu..%zu", key,
			rc > 0 ? "is out of range" : "is missing", *v, lo, hi);
	return 0;
}

static int get_act(struct ft_config *c, const struct ft_json *o,
		   struct ft_err *err)
{
	static const struct {
		const char *name;
		int act;
	} acts[] = {
		{"silu", FTK_SILU},
		{"swish", FTK_SILU},
		{"gelu", FTK_GELU},
		{"gelu_new", FTK_GELU_TANH},
		{"gelu_pytorch_tanh", FTK_GELU_TANH},
		{"relu", FTK_RELU},
	};
	const char *s;
	size_t n;
	int rc = ft_json_str(o, "hidden_act", &s, &n, err);

	c->act = c->arch->act;
	if (rc <= 0)
		return rc;
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		if (!strcmp(acts[i].name, s)) {
			c->act = acts[i].act;
			return 0;
		}
	}
	return ft_err_set(err, FT_EXIT_DATA,
			  "hidden_act '%.64s' is not supported", s);
}

static int get_positive(const struct ft_json *o, const char *key, double *v,
			struct ft_err *err)
{
	if (ft_json_real(o, key, v, err) < 0)
		return -1;
	if (!(*v > 0 && isfinite(*v)))
		return ft_err_set(err, FT_EXIT_DATA,
				  "rope: %s must be a positive number", key);
	return 0;
}

/* Heads are turned whole here. */
static int check_partial(const struct ft_json *o, struct ft_err *err)
{
	double part = 1;

	if (ft_json_real(o, "partial_rotary_factor", &part, err) < 0)
		return -1;
	if (part != 1)
		return ft_err_set(err, FT_EXIT_DATA,
				  "partial_rotary_factor %g is not supported",
				  part);
	return 0;
}

/* What a kind of scaling cannot do without. */
static int need_numbers(const struct ft_json *sc, const char *type,
			struct ft_err *err)
{
	static const char *const keys[] = {"factor", "low_freq_factor",
					   "high_freq_factor"};
	size_t n = strcmp(type, "llama3") ? 1 : 3;

	for (size_t i = 0; i < n; i++) {
		const struct ft_json *v = ft_json_get(sc, keys[i]);

		if (!v || v->type == FT_JSON_NULL)
			return ft_err_set(err, FT_EXIT_DATA,
					  "rope scaling '%s' without %s", type,
					  keys[i]);
	}
	return 0;
}

/* The numbers of a scaling that is not "default". */
static int get_scaling(struct ft_config *c, const struct ft_json *o,
		       const struct ft_json *sc, const char *type,
		       struct ft_err *err)
{
	static const char original[] = "original_max_position_embeddings";

	if (!strcmp(type, "linear"))
		c->rope.type = FT_ROPE_LINEAR;
	else if (!strcmp(type, "llama3"))
		c->rope.type = FT_ROPE_LLAMA3;
	else
		return ft_err_set(
			err, FT_EXIT_DATA,
			"rope scaling '%.64s' is not supported (supported: default, linear, llama3)",
			type);
	/* one that stands outside of the scaling has the last word */
	if (need_numbers(sc, type, err) < 0 ||
	    get_positive(sc, "factor", &c->rope.factor, err) < 0 ||
	    get_positive(sc, "low_freq_factor", &c->rope.low, err) < 0 ||
	    get_positive(sc, "high_freq_factor", &c->rope.high, err) < 0 ||
	    get_positive(sc, original, &c->rope.original, err) < 0 ||
	    get_positive(o, original, &c->rope.original, err) < 0)
		return -1;
	if (c->rope.type == FT_ROPE_LLAMA3 && c->rope.high <= c->rope.low)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"rope scaling: high_freq_factor must exceed low_freq_factor");
	return 0;
}

/* An object that says something, or NULL. */
static int get_object(const struct ft_json *o, const char *key,
		      const struct ft_json **v, struct ft_err *err)
{
	*v = ft_json_get(o, key);
	if (*v && (*v)->type == FT_JSON_NULL)
		*v = NULL;
	if (*v && (*v)->type != FT_JSON_OBJECT)
		return ft_err_set(err, FT_EXIT_DATA, "%s is not an object",
				  key);
	if (*v && (*v)->n == 0)
		*v = NULL;
	return 0;
}

/*
 * transformers takes both spellings together: where rope_scaling says
 * anything, rope_parameters is not read; a rope_theta in what is read beats
 * the one beside it.
 */
static int get_rope(struct ft_config *c, const struct ft_json *o,
		    struct ft_err *err)
{
	const struct ft_json *sc, *par;
	const char *type = "default";
	size_t n;
	int rc;

	c->rope.theta = 10000;
	c->rope.factor = c->rope.low = 1;
	c->rope.high = 4;
	c->rope.original = (double)c->max_pos;
	if (get_object(o, "rope_scaling", &sc, err) < 0 ||
	    get_object(o, "rope_parameters", &par, err) < 0)
		return -1;
	if (!sc)
		sc = par;
	if (get_positive(o, "rope_theta", &c->rope.theta, err) < 0 ||
	    check_partial(o, err) < 0)
		return -1;
	if (!sc)
		return 0;
	rc = ft_json_str(sc, "rope_type", &type, &n, err);
	if (!rc)
		rc = ft_json_str(sc, "type", &type, &n, err);
	if (rc < 0 || check_partial(sc, err) < 0 ||
	    get_positive(sc, "rope_theta", &c->rope.theta, err) < 0)
		return -1;
	return strcmp(type, "default") ? get_scaling(c, o, sc, type, err) : 0;
}

/* An id or a list of ids; adds what is not there yet. */
static int get_eos(struct ft_config *c, const struct ft_json *v,
		   struct ft_err *err)
{
	const struct ft_json *e = v;

	if (!v || v->type == FT_JSON_NULL)
		return 0;
	if (v->type == FT_JSON_ARRAY)
		e = v->child;
	for (; e; e = v->type == FT_JSON_ARRAY ? e->next : NULL) {
		if (e->type != FT_JSON_NUMBER || !e->is_int || e->i < 0 ||
		    e->i > INT32_MAX)
			return ft_err_set(err, FT_EXIT_DATA,
					  "eos_token_id is not a token id");
		if (ft_config_is_eos(c, (int32_t)e->i))
			continue;
		if (c->neos == (int)(sizeof(c->eos) / sizeof(c->eos[0])))
			return ft_err_set(err, FT_EXIT_DATA,
					  "more than %d end tokens", c->neos);
		c->eos[c->neos++] = (int32_t)e->i;
	}
	return 0;
}

/* Of hidden_size, where config.json does not say. */
static int get_head_dim(struct ft_config *c, const struct ft_json *o,
			struct ft_err *err)
{
	const struct ft_json *v = ft_json_get(o, "head_dim");

	if ((!v || v->type == FT_JSON_NULL) && c->hidden % c->heads)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"hidden_size %zu is no multiple of num_attention_heads %zu, and there is no head_dim",
			c->hidden, c->heads);
	c->head_dim = c->hidden / c->heads;
	return get_size(o, "head_dim", &c->head_dim, 2, 4096, err);
}

static int get_sizes(struct ft_config *c, const struct ft_json *o,
		     struct ft_err *err)
{
	const size_t big = 1 << 24;

	c->kv_heads = c->head_dim = 0;
	if (get_size(o, "vocab_size", &c->vocab, 1, big, err) < 0 ||
	    get_size(o, "hidden_size", &c->hidden, 1, 1 << 20, err) < 0 ||
	    get_size(o, "intermediate_size", &c->inter, 1, 1 << 20, err) < 0 ||
	    get_size(o, "num_hidden_layers", &c->layers, 1, 4096, err) < 0 ||
	    get_size(o, "num_attention_heads", &c->heads, 1, 65536, err) < 0)
		return -1;
	c->kv_heads = c->heads;
	c->max_pos = 2048;
	if (get_size(o, "num_key_value_heads", &c->kv_heads, 1, c->heads, err) <
		    0 ||
	    get_head_dim(c, o, err) < 0 ||
	    get_size(o, "max_position_embeddings", &c->max_pos, 1, 1 << 28,
		     err) < 0)
		return -1;
	if (c->heads % c->kv_heads)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"num_attention_heads %zu is no multiple of num_key_value_heads %zu",
			c->heads, c->kv_heads);
	if (c->head_dim % 2)
		return ft_err_set(err, FT_EXIT_DATA, "head_dim %zu is odd",
				  c->head_dim);
	if (c->heads * c->head_dim > (size_t)1 << 20)
		return ft_err_set(err, FT_EXIT_DATA,
				  "heads of %zu in all are too wide",
				  c->heads * c->head_dim);
	return 0;
}

static int parse(struct ft_config *c, const struct ft_json *o,
		 struct ft_err *err)
{
	const struct ft_json *quant = ft_json_get(o, "quantization_config");
	const char *type;
	double eps = 1e-6;
	int64_t bos = -1;
	size_t n;
	int rc;

	*c = (struct ft_config){.bos = -1};
	if (o->type != FT_JSON_OBJECT)
		return ft_err_set(err, FT_EXIT_DATA, "not a JSON object");
	rc = ft_json_str(o, "model_type", &type, &n, err);
	if (rc < 0)
		return -1;
	if (!rc)
		return ft_err_set(err, FT_EXIT_DATA, "model_type is missing");
	c->arch = find_arch(type);
	if (!c->arch)
		return refuse_type(type, err);
	c->quantized = quant && quant->type != FT_JSON_NULL;
	if (c->quantized && ft_quant_config(quant, err) < 0)
		return -1;
	if (get_sizes(c, o, err) < 0 || get_act(c, o, err) < 0 ||
	    get_rope(c, o, err) < 0)
		return -1;
	if (ft_json_real(o, c->arch->eps_key, &eps, err) < 0 ||
	    ft_json_bool(o, "tie_word_embeddings", &c->tied, err) < 0 ||
	    ft_json_bool(o, "attention_bias", &c->attn_bias, err) < 0 ||
	    ft_json_bool(o, "mlp_bias", &c->mlp_bias, err) < 0 ||
	    ft_json_real(o, "attention_dropout", &c->attn_dropout, err) < 0 ||
	    ft_json_int(o, "bos_token_id", &bos, err) < 0)
		return -1;
	if (!(eps >= 0 && eps < 1))
		return ft_err_set(err, FT_EXIT_DATA, "%s is out of range",
				  c->arch->eps_key);
	c->eps = (float)eps;
	c->bos = bos >= 0 && bos <= INT32_MAX ? (int32_t)bos : -1;
	return get_eos(c, ft_json_get(o, "eos_token_id"), err);
}

int ft_config_parse(struct ft_config *c, const char *json, size_t n,
		    struct ft_err *err)
{
	struct ft_arena a = {0};
	struct ft_json *o;
	int rc = ft_json_parse(&a, json, n, &o, err);

	if (!rc)
		rc = parse(c, o, err);
	ft_arena_release(&a);
	return rc;
}

/* The end tokens of generation_config.json, which may be absent, replace those
   of config.json: what transformers generates with. */
static int other_eos(struct ft_config *c, const char *path, struct ft_err *err)
{
	const struct ft_json *v;
	struct ft_err ignored;
	struct ft_arena a = {0};
	struct ft_json *o;
	size_t n;
	char *s = ft_read_file(path, CONFIG_MAX, &n, &ignored);
	int rc;

	if (!s)
		return 0;
	rc = ft_json_parse(&a, s, n, &o, err);
	v = rc ? NULL : ft_json_get(o, "eos_token_id");
	if (v && v->type != FT_JSON_NULL) {
		c->neos = 0;
		rc = get_eos(c, v, err);
	}
	if (rc < 0)
		ft_err_at(err, path, 0);
	ft_arena_release(&a);
	free(s);
	return rc;
}

int ft_config_load(struct ft_config *c, const char *dir, struct ft_err *err)
{
	struct ft_str path = {0};
	size_t n;
	char *s;
	int rc = -1;

	ft_str_addf(&path, "%s/config.json", dir);
	s = ft_read_file(path.s, CONFIG_MAX, &n, err);
	if (s) {
		rc = ft_config_parse(c, s, n, err);
		if (rc < 0)
			ft_err_at(err, path.s, 0);
	}
	free(s);
	if (!rc) {
		ft_str_clear(&path);
		ft_str_addf(&path, "%s/generation_config.json", dir);
		rc = other_eos(c, path.s, err);
	}
	ft_str_release(&path);
	return rc;
}

void ft_config_shape(const struct ft_config *c, enum ft_slot s, size_t *n,
		     size_t *k)
{
	size_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;

	*n = *k = c->hidden;
	switch (s) {
	case FT_EMBED:
	case FT_HEAD:
		*n = c->vocab;
		break;
	case FT_NORM:
	case FT_ATTN_NORM:
	case FT_MLP_NORM:
		*k = 0;
		break;
	case FT_Q:
		*n = q;
		break;
	case FT_K:
	case FT_V:
		*n = kv;
		break;
	case FT_O:
		*k = q;
		break;
	case FT_GATE:
	case FT_UP:
		*n = c->inter;
		break;
	case FT_DOWN:
		*k = c->inter;
		break;
	case FT_NSLOT:
		break;
	}
}

bool ft_config_bias(const struct ft_config *c, enum ft_slot s)
{
	if (s == FT_Q || s == FT_K || s == FT_V || s == FT_O)
		return c->attn_bias;
	if (s == FT_GATE || s == FT_UP || s == FT_DOWN)
		return c->mlp_bias;
	return false;
}

bool ft_slot_is_linear(enum ft_slot s)
{
	return s >= FT_Q && s <= FT_DOWN && s != FT_MLP_NORM;
}

void ft_config_name(const struct ft_config *c, enum ft_slot s, size_t layer,
		    char *buf, size_t cap)
{
	const char *f = c->arch->names[s], *d = strstr(f, "%d");

	if (d)
		snprintf(buf, cap, "%.*s%zu%s", (int)(d - f), f, layer, d + 2);
	else
		snprintf(buf, cap, "%s", f);
}

const char *ft_slot_module(const struct ft_config *c, enum ft_slot s)
{
	const char *f = c->arch->names[s], *dot = strrchr(f, '.');

	return dot ? dot + 1 : f;
}

bool ft_config_is_eos(const struct ft_config *c, int32_t id)
{
	for (int i = 0; i < c->neos; i++) {
		if (c->eos[i] == id)
			return true;
	}
	return false;
}

size_t ft_config_params(const struct ft_config *c, size_t *matmul)
{
	size_t all = 0, mm = 0, n, k, size;

	for (int s = 0; s < FT_NSLOT; s++) {
		ft_config_shape(c, s, &n, &k);
		size = k ? n * k : n;
		if (s >= FT_FIRST_LAYER_SLOT)
			size *= c->layers;
		if (ft_slot_is_linear(s) || s == FT_HEAD)
			mm += size;
		if (s != FT_HEAD || !c->tied)
			all += size;
		if (ft_config_bias(c, s))
			all += n * c->layers;
	}
	if (matmul)
		*matmul = mm;
	return all;
}

/* Llama 3's piecewise scaling of frequencies: long waves are slowed by
   factor, short ones kept, those between blended.  In float, by reciprocals,
   as transformers does. */
static float llama3(const struct ft_config *c, float inv)
{
	float factor = (float)c->rope.factor, low = (float)c->rope.low;
	float wave = 1 / inv * (float)(2 * M_PI);
	float blend;

	if ((double)wave < c->rope.original / c->rope.high)
		return inv;
	if ((double)wave > c->rope.original / c->rope.low)
		return inv / factor;
	blend = 1 / wave * (float)c->rope.original - low;
	blend /= (float)(c->rope.high - c->rope.low);
	return (1 - blend) * inv / factor + blend * inv;
}

/* Frequencies and angles are rounded to float as transformers does: at
   position 2000 the rounding shows in the fourth digit of the angle. */
void ft_rope_table(const struct ft_config *c, size_t positions, float *table)
{
	size_t d = c->head_dim, half = d / 2;

	for (size_t i = 0; i < half; i++) {
		double e = (double)((float)(2 * i) / (float)d);
		float inv = 1.0f / (float)pow(c->rope.theta, e);

		if (c->rope.type == FT_ROPE_LINEAR)
			inv = inv / (float)c->rope.factor;
		else if (c->rope.type == FT_ROPE_LLAMA3)
			inv = llama3(c, inv);
		for (size_t p = 0; p < positions; p++) {
			float angle = (float)p * inv;

			table[p * d + i] = (float)cos((double)angle);
			table[p * d + half + i] = (float)sin((double)angle);
		}
	}
}
