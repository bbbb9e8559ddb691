/* SPDX-License-Identifier: MIT */
/* Instruction set "avx512bf16" but for products with matrices: "avx512" with
   rounding and attention's products by instructions of bfloat16.  Compiled with
   flags of its own (see GNUmakefile). */
#include "kernels/cpu/vec_avx512.h"

#define HALF  1
#define PAIRS 1
#include "kernels/cpu/simd.inc"

void ftk_init_avx512bf16_simd(struct ftk *k)
{
	init(k);
}
