/* SPDX-License-Identifier: MIT */
/* The plain loops in float: instruction set "scalar", which all CPUs have. */
#define R      float
#define A      R
#define GET(a) (a)
#define PUT(x) ((R)(x))
#include "kernels/cpu/ref.inc"

void ftk_init_scalar(struct ftk *k)
{
	init(k);
}
