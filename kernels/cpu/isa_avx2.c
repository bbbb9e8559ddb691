/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/cpu.h"

void ftk_init_avx2(struct ftk *k)
{
	(void)k;
}
