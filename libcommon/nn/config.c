/* SPDX-License-Identifier: MIT */
#include "libcommon/nn/config_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"
#include "libcommon/io/input.h"
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
	int rc = o ? ft_json_int(o, key, &i, err) : 0;

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
		{"gelu_python", FTK_GELU},
		{"gelu_new", FTK_GELU_TANH},
		{"gelu_fast", FTK_GELU_TANH},
		{"gelu_accurate", FTK_GELU_TANH},
		{"gelu_pytorch_tanh", FTK_GELU_TANH},
		{"relu", FTK_RELU},
	};
	const char *key = c->arch->act_key ? c->arch->act_key : "hidden_act";
	const char *s;
	size_t n;
	int rc = ft_json_str(o, key, &s, &n, err);

	c->act = c->arch->act;
	if (rc <= 0)
		return rc;
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		if (!strcmp(acts[i].name, s)) {
			c->act = acts[i].act;
			return 0;
		}
	}
	return ft_err_set(err, FT_EXIT_DATA, "%s '%.64s' is not supported", key,
			  s);
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
	bool fused = ft_config_has(c, FT_QKV);

	c->head_dim = v ? 0 : c->arch->size[FT_HEAD_DIM];
	if (!c->head_dim)
		c->head_dim = c->hidden / c->heads;
	if (v && v->type != FT_JSON_NULL && !fused)
		return get_size(o, "head_dim", &c->head_dim, 2, 4096, err);
	if ((fused || !c->arch->size[FT_HEAD_DIM]) && c->hidden % c->heads)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"hidden_size %zu is no multiple of num_attention_heads %zu, and there is no head_dim",
			c->hidden, c->heads);
	return get_size(NULL, "head_dim", &c->head_dim, 2, 4096, err);
}

/* null is no head of its own for each, which absent is not in all families. */
static int get_kv_heads(struct ft_config *c, const struct ft_json *o,
			struct ft_err *err)
{
	const struct ft_json *v = ft_json_get(o, "num_key_value_heads");

	c->kv_heads = v ? 0 : c->arch->size[FT_KV_HEADS];
	if (!c->kv_heads)
		c->kv_heads = c->heads;
	if (ft_config_has(c, FT_QKV))
		return 0;
	return get_size(o, "num_key_value_heads", &c->kv_heads, 1, c->heads,
			err);
}

/* By the family's own name for it or by Llama's. */
static int get_named(const struct ft_config *c, const struct ft_json *o,
		     enum ft_size s, size_t *v, size_t hi, struct ft_err *err)
{
	static const char *const keys[FT_NSIZE] = {
		[FT_VOCAB] = "vocab_size",
		[FT_HIDDEN] = "hidden_size",
		[FT_INTER] = "intermediate_size",
		[FT_LAYERS] = "num_hidden_layers",
		[FT_HEADS] = "num_attention_heads",
		[FT_POSITIONS] = "max_position_embeddings",
	};
	const char *key = c->arch->size_key[s];

	if (c->arch->size[s])
		*v = c->arch->size[s];
	return get_size(o, key && ft_json_get(o, key) ? key : keys[s], v, 1, hi,
			err);
}

static int get_sizes(struct ft_config *c, const struct ft_json *o,
		     struct ft_err *err)
{
	const size_t big = 1 << 24, wide = 1 << 20;

	if (get_named(c, o, FT_VOCAB, &c->vocab, big, err) < 0 ||
	    get_named(c, o, FT_HIDDEN, &c->hidden, wide, err) < 0)
		return -1;
	if (ft_config_has(c, FT_QKV))
		c->inter = 4 * c->hidden;
	if (get_named(c, o, FT_INTER, &c->inter, wide, err) < 0 ||
	    get_named(c, o, FT_LAYERS, &c->layers, FT_MAX_LAYERS, err) < 0 ||
	    get_named(c, o, FT_HEADS, &c->heads, 65536, err) < 0 ||
	    get_kv_heads(c, o, err) < 0 || get_head_dim(c, o, err) < 0 ||
	    get_named(c, o, FT_POSITIONS, &c->max_pos, 1 << 28, err) < 0)
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

/* --- attention ----------------------------------------------------------- */

/* What each layer is, as transformers 5 says it. */
static int get_layer_types(struct ft_config *c, const struct ft_json *v,
			   struct ft_err *err)
{
	const struct ft_json *e = v->child;

	if (v->type != FT_JSON_ARRAY || v->n != c->layers)
		return ft_err_set(err, FT_EXIT_DATA,
				  "layer_types is no list of %zu", c->layers);
	for (size_t i = 0; e; e = e->next, i++) {
		const char *s = e->type == FT_JSON_STRING ? e->s : "";

		if (!strcmp(s, "sliding_attention"))
			c->windowed[i / 64] |= (uint64_t)1 << i % 64;
		else if (strcmp(s, "full_attention") != 0)
			return ft_err_set(
				err, FT_EXIT_DATA,
				"layer_types: '%.64s' is not supported (supported: full_attention, sliding_attention)",
				s);
	}
	return 0;
}

/* Which layers have a window, by the family's rule. */
static int apply_rule(struct ft_config *c, const struct ft_json *o,
		      struct ft_err *err)
{
	size_t n = c->arch->pattern;
	bool late = c->arch->windows == FT_WINDOW_LATE;

	if (c->arch->windows != FT_WINDOW_ALL &&
	    get_size(o, late ? "max_window_layers" : "sliding_window_pattern",
		     &n, late ? 0 : 1, 1 << 20, err) < 0)
		return -1;
	for (size_t i = 0; i < c->layers; i++) {
		if (c->arch->windows == FT_WINDOW_ALL ||
		    (late ? c->window && i >= n : (i + 1) % n != 0))
			c->windowed[i / 64] |= (uint64_t)1 << i % 64;
	}
	return 0;
}

static int get_windows(struct ft_config *c, const struct ft_json *o,
		       struct ft_err *err)
{
	enum ft_windows rule = c->arch->windows;
	const struct ft_json *v = ft_json_get(o, "sliding_window");
	const struct ft_json *types = ft_json_get(o, "layer_types");
	bool use = rule != FT_WINDOW_LATE, any = false;

	if (rule == FT_WINDOW_NONE)
		return 0;
	if (ft_json_bool(o, "use_sliding_window", &use, err) < 0)
		return -1;
	c->window = v ? 0 : c->arch->window;
	if (v && v->type != FT_JSON_NULL &&
	    get_size(o, "sliding_window", &c->window, 1, 1 << 30, err) < 0)
		return -1;
	if (rule == FT_WINDOW_LATE && !use)
		c->window = 0;
	if (rule == FT_WINDOW_ALL && !c->window)
		return 0;
	if (types && types->type != FT_JSON_NULL && rule != FT_WINDOW_ALL) {
		if (get_layer_types(c, types, err) < 0)
			return -1;
	} else if (apply_rule(c, o, err) < 0) {
		return -1;
	}
	for (size_t i = 0; i < FT_MAX_LAYERS / 64; i++)
		any |= c->windowed[i] != 0;
	if (any && !c->window)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"layers have a window, but sliding_window is not there");
	return 0;
}

static int get_cap(const struct ft_json *o, const char *key, double without,
		   float *cap, struct ft_err *err)
{
	const struct ft_json *v = ft_json_get(o, key);
	double x = v ? 0 : without;

	if (ft_json_real(o, key, &x, err) < 0)
		return -1;
	if (!(x >= 0 && isfinite(x)))
		return ft_err_set(err, FT_EXIT_DATA, "%s is out of range", key);
	*cap = (float)x;
	return 0;
}

/* Scale and caps of scores. */
static int get_scale(struct ft_config *c, const struct ft_json *o,
		     struct ft_err *err)
{
	const struct ft_arch *a = c->arch;
	double d = a->pre_attn != 0 ? a->pre_attn : (double)c->head_dim;
	bool both = false, scaled = true;

	if ((a->pre_attn != 0 &&
	     ft_json_real(o, "query_pre_attn_scalar", &d, err) < 0) ||
	    (a->attn_cap != 0 && get_cap(o, "attn_logit_softcapping",
					 a->attn_cap, &c->attn_cap, err) < 0) ||
	    (a->capped && get_cap(o, "final_logit_softcapping", a->logit_cap,
				  &c->logit_cap, err) < 0) ||
	    ft_json_bool(o, "use_bidirectional_attention", &both, err) < 0)
		return -1;
	if (!(d > 0 && isfinite(d)))
		return ft_err_set(err, FT_EXIT_DATA,
				  "query_pre_attn_scalar is out of range");
	if (both && a->pre_attn != 0)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"use_bidirectional_attention is not supported");
	c->attn_scale = (float)(1 / sqrt(d));
	if (!ft_config_has(c, FT_QKV))
		return 0;
	if (ft_json_bool(o, "scale_attn_weights", &scaled, err) < 0 ||
	    ft_json_bool(o, "scale_attn_by_inverse_layer_idx",
			 &c->scale_by_layer, err) < 0 ||
	    ft_json_bool(o, "add_cross_attention", &both, err) < 0)
		return -1;
	if (both)
		return ft_err_set(err, FT_EXIT_DATA,
				  "add_cross_attention is not supported");
	if (!scaled)
		c->attn_scale = 1;
	return 0;
}

/* --- all else ------------------------------------------------------------ */

static int get_biases(struct ft_config *c, const struct ft_json *o,
		      struct ft_err *err)
{
	const struct ft_arch *a = c->arch;

	c->attn_bias = a->attn_bias_key && a->bias_default;
	c->mlp_bias = a->mlp_bias_key && a->bias_default;
	if ((a->attn_bias_key &&
	     ft_json_bool(o, a->attn_bias_key, &c->attn_bias, err) < 0) ||
	    (a->mlp_bias_key &&
	     ft_json_bool(o, a->mlp_bias_key, &c->mlp_bias, err) < 0))
		return -1;
	return a->qk_norm_key
		       ? ft_json_bool(o, a->qk_norm_key, &c->qk_norm, err)
		       : 0;
}

/* Dropout in training. */
static int get_dropout(struct ft_config *c, const struct ft_json *o,
		       struct ft_err *err)
{
	static const char *const keys[] = {
		"attention_dropout", "attn_pdrop",       "resid_pdrop",
		"embd_pdrop",        "residual_dropout", "embedding_dropout",
	};

	if (!c->arch->drops)
		return ft_json_real(o, keys[0], &c->attn_dropout, err) < 0 ? -1
									   : 0;
	if (ft_config_has(c, FT_QKV))
		c->let_be = 0.1; /* GPT-2's, where it does not say */
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		double p = 0;

		if (ft_json_real(o, keys[i], &p, err) < 0)
			return -1;
		c->let_be = p > c->let_be ? p : c->let_be;
	}
	return 0;
}

static int get_tokens(struct ft_config *c, const struct ft_json *o,
		      struct ft_err *err)
{
	const struct ft_json *eos = ft_json_get(o, "eos_token_id");
	int32_t end = c->arch->eos;
	int64_t bos = ft_json_get(o, "bos_token_id") ? -1 : c->arch->bos;

	if (ft_json_int(o, "bos_token_id", &bos, err) < 0)
		return -1;
	c->bos = bos > 0 || (bos == 0 && ft_json_get(o, "bos_token_id"))
			 ? (int32_t)(bos <= INT32_MAX ? bos : -1)
			 : -1;
	if (!eos && end && (size_t)end < c->vocab)
		c->eos[c->neos++] = end;
	return get_eos(c, eos, err);
}

/* o is what speaks of text, all the whole of config.json. */
static int parse_text(struct ft_config *c, const struct ft_json *all,
		      const struct ft_json *o, struct ft_err *err)
{
	double eps = c->arch->eps;

	if (get_sizes(c, o, err) < 0 || get_act(c, o, err) < 0 ||
	    ft_rope_read(c, o, err) < 0 || get_windows(c, o, err) < 0 ||
	    get_biases(c, o, err) < 0 || get_scale(c, o, err) < 0 ||
	    get_dropout(c, o, err) < 0 ||
	    ft_json_real(o, c->arch->eps_key, &eps, err) < 0)
		return -1;
	c->tied = c->arch->tied;
	if (ft_json_bool(o, "tie_word_embeddings", &c->tied, err) < 0 ||
	    ft_json_bool(all, "tie_word_embeddings", &c->tied, err) < 0)
		return -1;
	if (!(eps >= 0 && eps < 1))
		return ft_err_set(err, FT_EXIT_DATA, "%s is out of range",
				  c->arch->eps_key);
	c->eps = (float)eps;
	return get_tokens(c, ft_json_get(all, "eos_token_id") ? all : o, err);
}

static int parse(struct ft_config *c, const struct ft_json *o,
		 struct ft_err *err)
{
	const struct ft_json *quant = ft_json_get(o, "quantization_config");
	const struct ft_json *text = o;
	const char *type;
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
	if (c->arch->nested &&
	    ft_json_object(o, c->arch->nested, &text, err) < 0)
		return -1;
	if (!text)
		return ft_err_set(err, FT_EXIT_DATA, "%s is missing",
				  c->arch->nested);
	return parse_text(c, o, text, err);
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

bool ft_config_has(const struct ft_config *c, enum ft_slot s)
{
	bool asked = !c->arch->qk_norm_key || c->qk_norm;

	return c->arch->names[s] &&
	       (asked || (s != FT_Q_NORM && s != FT_K_NORM));
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
	case FT_POS:
		*n = c->max_pos;
		break;
	case FT_NORM:
	case FT_ATTN_NORM:
	case FT_ATTN_POST:
	case FT_MLP_NORM:
	case FT_MLP_POST:
		*k = 0;
		break;
	case FT_Q_NORM:
	case FT_K_NORM:
		*n = c->head_dim;
		*k = 0;
		break;
	case FT_QKV:
		*n = q + 2 * kv;
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
	if (!ft_config_has(c, s))
		return false;
	if (c->arch->bias >> s & 1)
		return true;
	switch (s) {
	case FT_EMBED:
	case FT_POS:
	case FT_HEAD:
		return false;
	case FT_QKV:
	case FT_Q:
	case FT_K:
	case FT_V:
	case FT_O:
		return c->attn_bias;
	case FT_GATE:
	case FT_UP:
	case FT_DOWN:
		return c->mlp_bias;
	default: /* norms */
		return c->arch->norm == FTK_LAYER;
	}
}

bool ft_slot_is_linear(enum ft_slot s)
{
	return (s >= FT_QKV && s <= FT_V) || s == FT_O ||
	       (s >= FT_GATE && s <= FT_DOWN);
}

bool ft_config_turned(const struct ft_config *c, enum ft_slot s)
{
	return c->arch->turned && ft_slot_is_linear(s);
}

/* What was counted before there were others. */
uint64_t ft_slot_key(enum ft_slot s, size_t layer)
{
	static const unsigned char place[FT_NSLOT] = {
		[FT_QKV] = 4, [FT_Q] = 4,     [FT_K] = 5,
		[FT_V] = 6,   [FT_O] = 7,     [FT_GATE] = 9,
		[FT_UP] = 10, [FT_DOWN] = 11, [FT_HEAD] = 1,
	};

	return (uint64_t)layer * 12 + place[s];
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

void ft_config_stored(const struct ft_config *c, enum ft_slot s, size_t layer,
		      char *buf, size_t cap)
{
	char name[FT_CONFIG_NAME];
	size_t n = c->other_names ? strlen(c->arch->prefix) : 0;

	ft_config_name(c, s, layer, name, sizeof(name));
	if (n && !strncmp(name, c->arch->prefix, n))
		snprintf(buf, cap, "%s%s", c->arch->stored, name + n);
	else
		snprintf(buf, cap, "%s", name);
}

void ft_config_see(struct ft_config *c, const struct ft_st *st)
{
	char name[FT_CONFIG_NAME + 8];
	size_t n;

	if (!c->arch->stored)
		return;
	c->other_names = true;
	ft_config_stored(c, FT_EMBED, 0, name, FT_CONFIG_NAME);
	n = strlen(name);
	snprintf(name + n, sizeof(name) - n, ".weight");
	c->other_names = ft_st_find(st, name) != NULL;
}

bool ft_config_stray(const struct ft_config *c, const char *tensor)
{
	/* masks that GPT-2 once saved; what Gemma 3 sees with */
	static const char *const ends[] = {".inv_freq", ".attn.bias",
					   ".attn.masked_bias"};
	static const char *const parts[] = {
		"vision_tower.", "multi_modal_projector.",
		"model.vision_tower.", "model.multi_modal_projector."};
	size_t n = strlen(tensor);

	for (size_t i = 0; i < (c->arch->turned ? 3 : 1); i++) {
		size_t len = strlen(ends[i]);

		if (n > len && !strcmp(tensor + n - len, ends[i]))
			return true;
	}
	for (size_t i = 0; c->arch->nested && i < 4; i++) {
		if (!strncmp(tensor, parts[i], strlen(parts[i])))
			return true;
	}
	return false;
}

const char *ft_slot_module(const struct ft_config *c, enum ft_slot s)
{
	const char *f = c->arch->names[s], *dot = strrchr(f, '.');

	for (int i = 0; dot && i < FT_NSLOT; i++) {
		const char *g = c->arch->names[i];
		const char *other = g ? strrchr(g, '.') : NULL;

		if (i == (int)s || !other || strcmp(dot, other) != 0)
			continue;
		/* another's last word too: one word more */
		while (dot > f && dot[-1] != '.')
			dot--;
		return dot;
	}
	return dot ? dot + 1 : f;
}

size_t ft_config_window(const struct ft_config *c, size_t layer)
{
	return c->windowed[layer / 64] >> layer % 64 & 1 ? c->window : 0;
}

size_t ft_config_positions(const struct ft_config *c)
{
	return ft_config_has(c, FT_POS) ? c->max_pos : SIZE_MAX;
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

	for (int i = 0; i < FT_NSLOT; i++) {
		enum ft_slot s = (enum ft_slot)i;
		size_t times = s >= FT_FIRST_LAYER_SLOT ? c->layers : 1;

		if (!ft_config_has(c, s))
			continue;
		ft_config_shape(c, s, &n, &k);
		size = times * (k ? n * k : n);
		if (ft_slot_is_linear(s) || s == FT_HEAD)
			mm += size;
		if (s != FT_HEAD || !c->tied)
			all += size;
		if (ft_config_bias(c, s))
			all += n * times;
	}
	if (matmul)
		*matmul = mm;
	return all;
}
