/* SPDX-License-Identifier: MIT */
/*
 * What a model is: its family's row of arch.inc and the numbers of its
 * config.json (transformers 4 and 5 spellings).
 */
#ifndef FT_NN_CONFIG_H
#define FT_NN_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/ftk.h"
#include "libcommon/base/err.h"
#include "libcommon/base/str.h"
#include "libcommon/io/safetensors.h"

/* Places of a weight in a model; those from FT_ATTN_NORM on once a layer.  A
   family has some of them. */
enum ft_slot {
	FT_EMBED,
	FT_POS, /* learned positions */
	FT_NORM,
	FT_HEAD,
	FT_ATTN_NORM,
	FT_QKV, /* all three in one, or */
	FT_Q,
	FT_K,
	FT_V,
	FT_Q_NORM, /* of each head */
	FT_K_NORM,
	FT_O,
	FT_ATTN_POST, /* norm of what attention adds */
	FT_MLP_NORM,
	FT_GATE, /* what goes through the activation */
	FT_UP,   /* what it is multiplied by */
	FT_DOWN,
	FT_MLP_POST, /* norm of what the MLP adds */
	FT_NSLOT,
};
#define FT_FIRST_LAYER_SLOT FT_ATTN_NORM

/* Sizes of a config.json. */
enum ft_size {
	FT_VOCAB,
	FT_HIDDEN,
	FT_INTER,
	FT_LAYERS,
	FT_HEADS,
	FT_KV_HEADS,
	FT_HEAD_DIM,
	FT_POSITIONS,
	FT_NSIZE,
};

/* Which layers see a window only. */
enum ft_windows {
	FT_WINDOW_NONE,
	FT_WINDOW_ALL,
	FT_WINDOW_LATE,   /* from max_window_layers on, if asked for */
	FT_WINDOW_PATTERN /* all but every sliding_window_pattern-th */
};

struct ft_arch {
	const char *type; /* model_type */
	const char *cls;  /* architectures[0] */
	int norm;         /* enum ftk_norm_kind */
	float shift;      /* of norms' weights: Gemma's are stored less one */
	bool parallel;    /* attention and MLP side by side, of one norm */
	bool scaled;      /* embeddings times sqrt(hidden) */
	bool turned; /* linears of layers are stored as [inputs, outputs] */
	bool tied;   /* when config.json says nothing */
	bool capped; /* final_logit_softcapping is read */
	bool drops;  /* dropout that its config.json asks for is let be */

	/* biases of linears: always, or by a key of config.json */
	uint32_t bias; /* bit of a slot */
	const char *attn_bias_key, *mlp_bias_key;
	bool bias_default;

	/* positions: rotary where theta is not 0 */
	double theta, local_theta; /* local: of layers with a window, or 0 */
	double partial;            /* of a head, when config.json says none */
	enum ft_windows windows;
	size_t window, pattern; /* when config.json says nothing */
	double pre_attn;        /* query_pre_attn_scalar; 0: head_dim counts */
	double attn_cap, logit_cap;

	const char *qk_norm_key; /* there are q and k norms if it is true */
	const char *eps_key;
	double eps;
	const char *act_key;            /* NULL: hidden_act */
	int act;                        /* enum ftk_act */
	const char *size_key[FT_NSIZE]; /* NULL: Llama's */
	size_t size[FT_NSIZE]; /* when absent; 0: must be there, or follows */
	int32_t bos, eos;      /* when absent; 0: none */

	const char *nested;          /* the object of config.json, or NULL */
	const char *prefix, *stored; /* what names may begin with in files */
	const char *names[FT_NSLOT]; /* module path, %d the layer; or NULL */
};
extern const struct ft_arch ft_archs[];
extern const size_t ft_narchs;

enum ft_rope_type {
	FT_ROPE_PLAIN,
	FT_ROPE_LINEAR,
	FT_ROPE_LLAMA3,
	FT_ROPE_YARN,
};
struct ft_rope {
	enum ft_rope_type type;
	double theta, factor, low, high, original;
	/* yarn (Peng et al. 2023) */
	double fast, slow, attention; /* attention: of cosines and sines */
	bool truncate;
};

enum { FT_MAX_LAYERS = 4096, FT_CONFIG_NAME = 128 };

struct ft_config {
	const struct ft_arch *arch;
	size_t vocab, hidden, inter, layers, heads, kv_heads, head_dim;
	size_t max_pos;
	float eps;
	int act; /* enum ftk_act */
	bool tied, attn_bias, mlp_bias, qk_norm;
	bool other_names;    /* files name tensors by arch->stored */
	bool quantized;      /* weights are bitsandbytes', in NF4 */
	double attn_dropout; /* asked for in training */
	double let_be;       /* the same of a family that drops */
	size_t rot;          /* elements of a head that are turned; or 0 */
	struct ft_rope rope, local; /* local: of layers with a window */
	size_t window;
	uint64_t windowed[FT_MAX_LAYERS / 64]; /* bit of a layer */
	float attn_scale, attn_cap, logit_cap; /* caps: 0 none */
	bool scale_by_layer; /* attn_scale is divided by 1, 2, ... */
	int32_t bos, eos[8]; /* -1: none */
	int neos;
};

/* From DIR/config.json; the end tokens are those of generation_config.json
   where it names any. */
int ft_config_load(struct ft_config *c, const char *dir, struct ft_err *err);
/* From text (tests, ft-init, fuzzing). */
int ft_config_parse(struct ft_config *c, const char *json, size_t n,
		    struct ft_err *err);

/* Is there such a weight?  A tied head is one. */
bool ft_config_has(const struct ft_config *c, enum ft_slot s);
/* Output and input size of a slot's matrix ([n] and 0 for a norm). */
void ft_config_shape(const struct ft_config *c, enum ft_slot s, size_t *n,
		     size_t *k);
bool ft_config_bias(const struct ft_config *c, enum ft_slot s);
/* Is the slot a linear of a layer, which adapters and NF4 are for? */
bool ft_slot_is_linear(enum ft_slot s);
/* Do files hold the matrix as [k, n]? */
bool ft_config_turned(const struct ft_config *c, enum ft_slot s);
/* A number for random draws at a place: the same in all versions. */
uint64_t ft_slot_key(enum ft_slot s, size_t layer);
/* "model.layers.3.self_attn.q_proj"; layer is ignored outside layers. */
void ft_config_name(const struct ft_config *c, enum ft_slot s, size_t layer,
		    char *buf, size_t cap);
/* The same as files have it. */
void ft_config_stored(const struct ft_config *c, enum ft_slot s, size_t layer,
		      char *buf, size_t cap);
/* Learn from a file's names how it has them. */
void ft_config_see(struct ft_config *c, const struct ft_st *st);
/* Is the tensor of no use for text: a mask, or a part for images? */
bool ft_config_stray(const struct ft_config *c, const char *tensor);
/* "q_proj"; as much of the path as tells the slot from others. */
const char *ft_slot_module(const struct ft_config *c, enum ft_slot s);
/* How far the layer sees: 0 all. */
size_t ft_config_window(const struct ft_config *c, size_t layer);
/* Positions that there are. */
size_t ft_config_positions(const struct ft_config *c);
bool ft_config_is_eos(const struct ft_config *c, int32_t id);
/* Parameters that are stored: all, and those of the linears and the head. */
size_t ft_config_params(const struct ft_config *c, size_t *matmul);

/* Rotary table float [positions, c->rot]: rot/2 cosines, rot/2 sines. */
void ft_rope_table(const struct ft_config *c, const struct ft_rope *r,
		   size_t positions, float *table);

#endif
