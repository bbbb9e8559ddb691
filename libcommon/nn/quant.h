/* SPDX-License-Identifier: MIT */
/*
 * Weights that bitsandbytes has quantised to NF4, as its checkpoints hold
 * them: beside NAME.weight (codes) NAME.weight.absmax, .quant_map, with double
 * quantization .nested_absmax and .nested_quant_map, and the sizes as JSON in
 * the bytes of .quant_state.bitsandbytes__nf4.  Files are not trusted.
 */
#ifndef FT_NN_QUANT_H
#define FT_NN_QUANT_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/ftk.h"
#include "libcommon/io/json.h"
#include "libcommon/io/safetensors.h"

enum { FT_NF4_BLOCK = 64, FT_NF4_GROUP = 256 };

/* quantization_config of a config.json: 0 if its weights can be read. */
int ft_quant_config(const struct ft_json *o, struct ft_err *err);

/*
 * The weight [n, k] of module NAME: 1 if it is in NF4, *q then says how and
 * points into st; 0 if it is not quantised; -1 on error.
 */
int ft_quant_find(const struct ft_st *st, const char *name, size_t n, size_t k,
		  struct ftk_nf4 *q, struct ft_err *err);

/* Does NAME.weight stand beside such a description? */
bool ft_quant_is(const struct ft_st *st, const char *name);
/* Is the tensor one of those beside a quantised weight of the file? */
bool ft_quant_part(const struct ft_st *st, const char *tensor);
/* Has the file any quantised weight?  1 or 0; -1: of another type than NF4. */
int ft_quant_any(const struct ft_st *st, struct ft_err *err);

/* The JSON of the description, nested, for a weight [n, k] of dtype ("float32",
   "bfloat16"). */
void ft_quant_state(struct ft_str *out, size_t n, size_t k, const char *dtype,
		    float offset);

#endif
