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

/* Places of a weight in a model; those from FT_ATTN_NORM on once a layer. */
enum ft_slot {
	FT_EMBED,
	FT_NORM,
	FT_HEAD,
	FT_ATTN_NORM,
	FT_Q,
	FT_K,
	FT_V,
	FT_O,
	FT_MLP_NORM,
	FT_GATE,
	FT_UP,
	FT_DOWN,
	FT_NSLOT,
};
#define FT_FIRST_LAYER_SLOT FT_ATTN_NORM

struct ft_arch {
	const char *type; /* model_type */
	const char *cls;  /* architectures[0] */
	int norm;         /* enum ftk_norm_kind */
	int act;          /* enum ftk_act, when config.json says none */
	bool gated;
	const char *eps_key;
	const char *names[FT_NSLOT]; /* module path, %d the layer */
};
extern const struct ft_arch ft_archs[];
extern const size_t ft_narchs;

enum ft_rope { FT_ROPE_PLAIN, FT_ROPE_LINEAR, FT_ROPE_LLAMA3 };

struct ft_config {
	const struct ft_arch *arch;
	size_t vocab, hidden, inter, layers, heads, kv_heads, head_dim;
	size_t max_pos;
	float eps;
	int act; /* enum ftk_act */
	bool tied, attn_bias, mlp_bias;
	bool quantized;      /* weights are bitsandbytes', in NF4 */
	double attn_dropout; /* asked for in training */
	struct {
		enum ft_rope type;
		double theta, factor, low, high, original;
	} rope;
	int32_t bos, eos[8]; /* -1: none */
	int neos;
};

/* From DIR/config.json; the end tokens are those of generation_config.json
   where it names any. */
int ft_config_load(struct ft_config *c, const char *dir, struct ft_err *err);
/* From text (tests, ft-init, fuzzing). */
int ft_config_parse(struct ft_config *c, const char *json, size_t n,
		    struct ft_err *err);

/* Output and input size of a slot's matrix ([n] and 0 for a norm). */
void ft_config_shape(const struct ft_config *c, enum ft_slot s, size_t *n,
		     size_t *k);
bool ft_config_bias(const struct ft_config *c, enum ft_slot s);
bool ft_slot_is_linear(enum ft_slot s); /* q k v o gate up down */
/* "model.layers.3.self_attn.q_proj"; layer is ignored outside layers. */
void ft_config_name(const struct ft_config *c, enum ft_slot s, size_t layer,
		    char *buf, size_t cap);
const char *ft_slot_module(const struct ft_config *c,
			   enum ft_slot s); /* "q_proj" */
bool ft_config_is_eos(const struct ft_config *c, int32_t id);
/* Parameters that are stored: all, and those of the linears and the head. */
size_t ft_config_params(const struct ft_config *c, size_t *matmul);

/* Rotary table float [positions, rot]: rot/2 cosines, rot/2 sines. */
void ft_rope_table(const struct ft_config *c, size_t positions, float *table);

#endif
