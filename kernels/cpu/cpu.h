/* SPDX-License-Identifier: MIT */
/*
 * Private to kernels/: what the CPU backends share.  A backend is a table of
 * plain loops (ref.inc, compiled for float and for double), of which each
 * better instruction set overrides the operations that it improves.
 */
#ifndef FTK_CPU_CPU_H
#define FTK_CPU_CPU_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/cpu/nf4.h"
#include "kernels/ftk.h"

/* y ACT [m, n] = drop(x ACT), or with add y ACT += drop(x REAL).  Which ones are
   kept goes to kept, if there is that, and with add comes from there. */
struct cpu_drop {
	const struct ftk_dropout *d;
	void *y;
	const void *x;
	size_t m, n;
	int add;
	uint8_t *kept; /* cpu_kept_bytes(m, n), or NULL */
};

static inline size_t cpu_kept_row(size_t n)
{
	return (n + 15) / 16 * 2;
}

/* struct ftk comes first, so that a pointer to it is one to the whole. */
struct cpu {
	struct ftk ftk;
	struct ftk_threads t;
	int packs;         /* products take bfloat16 weights in panels */
	struct ftk lesser; /* of tiles: the table before, for few rows */
	/* lesser instruction sets': dbias, dropout */
	void (*matmul_dbias)(struct ftk *k, const struct ftk_matmul_dw *a);
	void (*drop)(struct ftk *k, const struct cpu_drop *d);
	/* linear layers one after another */
	void (*apart)(struct ftk *k, const struct ftk_linear *a);
	size_t (*apart_ws)(const struct ftk *k, const struct ftk_linear *a);
};

/*
 * data is [n, k], of REAL or (where only rows are read) bfloat16, and perhaps
 * unaligned where it is borrowed; NULL where panels or nf4 serve all uses.
 *
 * Panels hold bfloat16 as vdpbf16ps and tdpbf16ps want it: panel j has rows
 * 32 j .. 32 j + 31, step p of it the elements 2 p and 2 p + 1 of each row in
 * turn (128 bytes); missing rows and elements are 0, and steps a multiple of
 * 16, so that a panel is a row of squares of 32 by 32 elements.  The forward
 * reads panels as they lie.  The data gradient wants squares transposed: which
 * costs four shuffles for 64 bytes that are then used once for every row, so
 * that a second copy of the weights would gain a hundredth at 512 rows.
 */
enum { PANEL = 32 };

struct ftk_weight {
	const void *data;
	size_t n, k;
	unsigned use;
	enum ftk_type type;        /* of data */
	uint16_t *panels;          /* or NULL */
	size_t steps;              /* of a panel */
	const struct ftk_nf4 *nf4; /* or NULL */
};

/* Of a matrix [n, k] in panels, filled up with zeros: its steps, its size. */
static inline size_t cpu_panel_steps(size_t k)
{
	return (k + PANEL - 1) / PANEL * PANEL / 2;
}

static inline size_t cpu_panel_bytes(size_t n, size_t k)
{
	return (n + PANEL - 1) / PANEL * cpu_panel_steps(k) * 2 * PANEL *
	       sizeof(uint16_t);
}

/* The panel of row n, from step p on. */
static inline uint16_t *cpu_panel(const struct ftk_weight *w, size_t n,
				  size_t p)
{
	return w->panels + (n / PANEL * w->steps + p) * 2 * PANEL;
}

/* From plainest to best; a test walks FT_ISA through their names. */
struct ftk *ftk_cpu_open(const struct ftk_threads *t, enum ftk_type act,
			 const char **why);
struct ftk *ftk_ref64_open(const struct ftk_threads *t, const char **why);

void ftk_init_scalar(struct ftk *k);
void ftk_init_ref64(struct ftk *k);
void ftk_init_avx2(struct ftk *k);
void ftk_init_avx512(struct ftk *k);

/* ACT bfloat16, REAL float */
void ftk_init_scalar_bf16(struct ftk *k);
void ftk_init_avx2_bf16(struct ftk *k);
void ftk_init_avx512_bf16(struct ftk *k);
void ftk_init_avx512bf16_simd(struct ftk *k);
void ftk_init_avx512bf16(struct ftk *k);
void ftk_init_amx_plain(struct ftk *k);
void ftk_init_amx(struct ftk *k);
int ftk_have_amx(void);

/* weight.c, for struct ftk */
size_t ftk_weight_bytes(const struct ftk *k, const struct ftk_matrix *m);
struct ftk_weight *ftk_weight_make(struct ftk *k, void *mem,
				   const struct ftk_matrix *m);
void ftk_weight_sync(struct ftk *k, struct ftk_weight *w);
void ftk_weight_get(struct ftk *k, const struct ftk_weight *w, size_t r0,
		    size_t n, float *out);
int ftk_weight_nf4(const struct ftk *k, const struct ftk_weight *w,
		   struct ftk_nf4 *out);
/* to [n] = elements i.. of floating-point data that may lie anywhere. */
void cpu_floats(enum ftk_type t, const void *data, size_t i, size_t n,
		float *to);
/* The same of a matrix as it is, whichever way its data lies. */
void cpu_matrix_floats(const struct ftk_matrix *m, size_t i, size_t n,
		       float *to);

/* --- bfloat16 ------------------------------------------------------------ */

static inline float cpu_widen(uint16_t h)
{
	uint32_t bits = (uint32_t)h << 16;
	float f;

	memcpy(&f, &bits, 4);
	return f;
}

/* To the nearest, ties to even; NaN stays one. */
static inline uint16_t cpu_round(float f)
{
	uint32_t u;

	memcpy(&u, &f, 4);
	if ((u & 0x7fffffff) > 0x7f800000)
		return (uint16_t)(u >> 16 | 0x40);
	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* --- work in pieces ------------------------------------------------------ */

typedef void cpu_fn(void *arg, size_t piece, int worker);

/* Indexes 0..n-1, cut into pieces of step. */
struct cpu_job {
	struct ftk *k;
	const void *a; /* the operation's argument */
	size_t n, step;
};

static inline int cpu_threads(const struct ftk *k)
{
	const struct cpu *c = (const struct cpu *)k;

	return c->t.run && c->t.nthreads > 1 ? c->t.nthreads : 1;
}

static inline void cpu_run(struct ftk *k, cpu_fn *fn, void *arg, size_t n)
{
	const struct cpu *c = (const struct cpu *)k;

	if (n > 1 && cpu_threads(k) > 1) {
		c->t.run(c->t.pool, fn, arg, n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		fn(arg, i, 0);
}

static inline void cpu_for(struct ftk *k, cpu_fn *fn, const void *a, size_t n,
			   size_t step)
{
	struct cpu_job j = {k, a, n, step};

	cpu_run(k, fn, &j, (n + step - 1) / step);
}

static inline size_t cpu_begin(const struct cpu_job *j, size_t piece)
{
	return piece * j->step;
}

static inline size_t cpu_end(const struct cpu_job *j, size_t piece)
{
	size_t left = j->n - piece * j->step;

	return piece * j->step + (left < j->step ? left : j->step);
}

/* How many units of so much work (in cheap operations) make a piece that is
   worth handing to another thread. */
static inline size_t cpu_step(size_t work)
{
	return work >= 16384 ? 1 : 16384 / (work ? work : 1);
}

/* Scratch memory is carved in pieces of whole cache lines. */
static inline size_t cpu_pad(size_t nbytes)
{
	return (nbytes + 63) & ~(size_t)63;
}

static inline size_t cpu_kept_bytes(size_t m, size_t n)
{
	return cpu_pad(m * cpu_kept_row(n));
}

/* The query of an operation that wants no scratch. */
#define NO_WS(name)                                         \
	static size_t name##_ws(const struct ftk *k,        \
				const struct ftk_##name *a) \
	{                                                   \
		(void)k, (void)a;                           \
		return 0;                                   \
	}

/* --- attention ----------------------------------------------------------- */

/* The first of a query's keys (prefix, then own, counted together) that its
   window shows; at is the query's own place among them. */
static inline size_t cpu_window(size_t at, int window)
{
	size_t w = window > 0 ? (size_t)window : at + 1;

	return at + 1 > w ? at + 1 - w : 0;
}

#endif
