/* SPDX-License-Identifier: MIT */
/* Instruction set "avx512", activations in bfloat16.  Compiled with flags of its own (see GNUmakefile). */
#include "kernels/cpu/vec_avx512.h"

#define HALF 1
#include "kernels/cpu/simd.inc"

void ftk_init_avx512_bf16(struct ftk *k)
{
	init(k);
}
