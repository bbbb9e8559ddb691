/* SPDX-License-Identifier: MIT */
/* The plain loops with activations in bfloat16. */
#define R      float
#define A      uint16_t
#define GET(a) cpu_widen(a)
#define PUT(x) cpu_round((float)(x))
#include "kernels/cpu/ref.inc"

void ftk_init_scalar_bf16(struct ftk *k)
{
	init(k);
}
