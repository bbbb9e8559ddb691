/* SPDX-License-Identifier: MIT */
/* Instruction set "avx512".  Compiled with flags of its own (see GNUmakefile). */
#include "kernels/cpu/vec_avx512.h"

#define HALF 0
#include "kernels/cpu/simd.inc"

void ftk_init_avx512(struct ftk *k)
{
	init(k);
}
