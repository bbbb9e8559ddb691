/* SPDX-License-Identifier: MIT */
/*
 * Weights in NF4 (struct ftk_nf4 of ftk.h): making them, and reading them
 * element by element.  What is fast is in simd_nf4.inc and mul_nf4.inc.
 */
#ifndef FTK_CPU_NF4_H
#define FTK_CPU_NF4_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/ftk.h"

enum {
	NF4_BLOCK = 64,  /* elements with one factor */
	NF4_GROUP = 256, /* factors with one factor */
};

/* Of block b: two roundings, never a fused step. */
static inline float nf4_absmax(const struct ftk_nf4 *q, size_t b)
{
	const uint8_t *code = q->absmax;
	float x, y;

	if (!q->map) {
		memcpy(&x, (const char *)q->absmax + 4 * b, 4);
		return x;
	}
	memcpy(&x, (const char *)q->map + 4 * (size_t)code[b], 4);
	memcpy(&y, (const char *)q->nested + b / NF4_GROUP * 4, 4);
	x *= y;
	return x + q->offset;
}

/* Element i. */
float nf4_element(const struct ftk_nf4 *q, size_t i);
/* to [n] = elements from i on. */
void nf4_floats(const struct ftk_nf4 *q, size_t i, size_t n, float *to);
/* The same as bfloat16, to the nearest. */
void nf4_halves(const struct ftk_nf4 *q, size_t i, size_t n, uint16_t *to);

/* Memory of a matrix of numel elements that is made here, a multiple of 64. */
size_t nf4_bytes(size_t numel);
/* Quantises m, of floating-point numbers, into mem; *q will point there. */
void nf4_make(struct ftk *k, struct ftk_nf4 *q, void *mem,
	      const struct ftk_matrix *m);

#endif
