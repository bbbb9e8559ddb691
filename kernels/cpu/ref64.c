/* SPDX-License-Identifier: MIT */
/* The plain loops in double: backend "ref64", for finite differences. */
#define R      double
#define A      R
#define GET(a) (a)
#define PUT(x) ((R)(x))
#include "kernels/cpu/ref.inc"

void ftk_init_ref64(struct ftk *k)
{
	init(k);
}
