/* SPDX-License-Identifier: MIT */
/*
 * Instruction set "amx-plain": the source of "amx" with its tiles in plain C,
 * so that it is checked on machines without them.  Used only where FT_ISA
 * names it.
 *
 * tdpbf16ps sums products of even elements and of odd ones apart, each by
 * fused steps rounded to nearest even, adds both, and that to what was there;
 * numbers below the least normal one count as 0 throughout.
 */
#include <math.h>

#define MR   32
#define WIDE 1
#include "kernels/cpu/mul.inc"

static _Thread_local unsigned char tiles[8][16][64];

static void tile_load(int t, const void *p, size_t ld)
{
	for (size_t i = 0; i < 16; i++)
		memcpy(tiles[t][i], (const char *)p + i * ld, 64);
}

static void tile_store(int t, void *p, size_t ld)
{
	for (size_t i = 0; i < 16; i++)
		memcpy((char *)p + i * ld, tiles[t][i], 64);
}

static float flush(float x)
{
	return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}

static void tile_dot(int c, int a, int b)
{
	for (size_t i = 0; i < 16; i++)
		for (size_t j = 0; j < 16; j++) {
			float sum, s[2] = {0, 0};

			for (size_t l = 0; l < 32; l++) {
				uint16_t x, y;

				memcpy(&x, tiles[a][i] + 2 * l, 2);
				memcpy(&y, tiles[b][l / 2] + 4 * j + l % 2 * 2,
				       2);
				s[l % 2] = flush(fmaf(flush(cpu_widen(x)),
						      flush(cpu_widen(y)),
						      s[l % 2]));
			}
			memcpy(&sum, tiles[c][i] + 4 * j, 4);
			sum = flush(flush(sum) + flush(s[0] + s[1]));
			memcpy(tiles[c][i] + 4 * j, &sum, 4);
		}
}

#define TILE_ZERO(t)         memset(tiles[t], 0, sizeof(tiles[t]))
#define TILE_LOAD(t, p, ld)  tile_load(t, p, ld)
#define TILE_STORE(t, p, ld) tile_store(t, p, ld)
#define TILE_DOT(c, a, b)    tile_dot(c, a, b)

#include "kernels/cpu/amx.inc"

static void mul_begin(void)
{
}

static void mul_end(void)
{
}

void ftk_init_amx_plain(struct ftk *k)
{
	init_tiles(k);
}
