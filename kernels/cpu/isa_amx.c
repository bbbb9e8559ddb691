/* SPDX-License-Identifier: MIT */
/*
 * Instruction set "amx": AMX-BF16.  Compiled with flags of its own (see
 * GNUmakefile).  The kernel of the system must have allowed the tiles: see
 * ftk_have_amx().
 */
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MR   32
#define WIDE 1
#include "kernels/cpu/mul.inc"

/* gcc 12's intrinsics do not say that they read memory. */
#define READS_MEMORY() __asm__ volatile("" ::: "memory")

#define TILE_ZERO(t) _tile_zero(t)
#define TILE_LOAD(t, p, ld)            \
	do {                           \
		READS_MEMORY();        \
		_tile_loadd(t, p, ld); \
	} while (0)
#define TILE_STORE(t, p, ld) _tile_stored(t, p, ld)
#define TILE_DOT(c, a, b)    _tile_dpbf16ps(c, a, b)

#include "kernels/cpu/amx.inc"

/* All eight tiles whole: palette 1, 16 rows of 64 bytes. */
static void mul_begin(void)
{
	struct {
		uint8_t palette, row, none[14];
		uint16_t bytes[16];
		uint8_t rows[16];
	} cfg = {.palette = 1};

	for (int i = 0; i < 8; i++) {
		cfg.bytes[i] = 64;
		cfg.rows[i] = 16;
	}
	READS_MEMORY();
	__asm__ volatile("ldtilecfg %0" : : "m"(cfg));
}

/* Else every switch of threads would save tiles. */
static void mul_end(void)
{
	_tile_release();
}

/* The CPU has them (leaf 7: AMX-BF16, AMX-TILE), the system saves them (XCR0)
   and lets this process use them (Linux: ARCH_REQ_XCOMP_PERM, XTILEDATA). */
int ftk_have_amx(void)
{
	unsigned a, b, c, d, lo, hi;

	if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) ||
	    (d & (1u << 22 | 1u << 24)) != (1u << 22 | 1u << 24))
		return 0;
	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 27))
		return 0;
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	(void)hi;
	return (lo & 3u << 17) == 3u << 17 &&
	       syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}

void ftk_init_amx(struct ftk *k)
{
	init_tiles(k);
}
