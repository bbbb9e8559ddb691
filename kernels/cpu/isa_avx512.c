/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/cpu.h"

void ftk_init_avx512(struct ftk *k)
{
	(void)k;
}
