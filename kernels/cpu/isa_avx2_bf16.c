/* SPDX-License-Identifier: MIT */
/* Instruction set "avx2", activations in bfloat16.  Compiled with flags of its own (see GNUmakefile). */
#include "kernels/cpu/vec_avx2.h"

#define HALF 1
#include "kernels/cpu/simd.inc"

void ftk_init_avx2_bf16(struct ftk *k)
{
	init(k);
}
