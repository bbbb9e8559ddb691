/* SPDX-License-Identifier: MIT */
/*
 * What the kernel checks share.  A case builds its arguments in guarded
 * memory and runs one operation; the harness runs it on every instruction set
 * and number of threads and compares what it left in its outputs:
 *
 * - with the plain loops (scalar), each output within tol of the output's
 *   largest value, since sums run in another order and exp is another one;
 *   of bfloat16, within one unit in its last place and that;
 * - with one thread, byte for byte;
 * - and every guard before and after every buffer, scratch included (which is
 *   as long as the query said, and poisoned), byte for byte.
 */
#ifndef TESTS_KERNELS_CHECK_H
#define TESTS_KERNELS_CHECK_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/ftk.h"
#include "libcommon/base/thread.h"
#include "tests/lib/test.h"

enum { GUARD = 128, MAX_BUFS = 32 };

struct buf {
	unsigned char *mem; /* guard, data, guard */
	size_t nbytes;
	int out, real, act, exact; /* compared; as REAL, ACT; by bytes */
};

struct ctx {
	struct ftk *k;
	struct buf b[MAX_BUFS];
	size_t n;
	uint32_t seed;
};

/* --- memory -------------------------------------------------------------- */

static inline void *new_buf(struct ctx *c, size_t nbytes, int out)
{
	struct buf *b = &c->b[c->n++];
	size_t len = (nbytes + 2 * GUARD + 63) / 64 * 64;

	if (c->n > MAX_BUFS)
		abort();
	b->mem = aligned_alloc(64, len);
	if (!b->mem)
		abort();
	b->nbytes = nbytes;
	b->out = out;
	b->real = b->act = b->exact = 0;
	memset(b->mem, 0xA5, len);
	return b->mem + GUARD;
}

/* In (-1, 1), from a counter of the context: each buffer has its own. */
static inline float number(struct ctx *c)
{
	c->seed = c->seed * 1664525u + 1013904223u;
	return (float)((int32_t)c->seed >> 8) * 0x1p-23f;
}

/* n REALs about mid, of size by. */
static inline void *fill(struct ctx *c, size_t n, float mid, float by, int out)
{
	void *p = new_buf(c, n * c->k->real_size, out);
	float *host = malloc(n * sizeof(float) + 1);

	c->b[c->n - 1].real = 1;
	for (size_t i = 0; i < n; i++)
		host[i] = mid + by * number(c);
	c->k->put_real(c->k, p, host, n);
	free(host);
	return p;
}

static inline uint16_t to_half(float f)
{
	uint32_t u;

	memcpy(&u, &f, 4);
	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static inline float from_half(uint16_t h)
{
	uint32_t u = (uint32_t)h << 16;
	float f;

	memcpy(&f, &u, 4);
	return f;
}

/* The same of ACT. */
static inline void *act_fill(struct ctx *c, size_t n, float mid, float by,
			     int out)
{
	uint16_t *p;

	if (c->k->act != FTK_BF16)
		return fill(c, n, mid, by, out);
	p = new_buf(c, n * sizeof(*p), out);
	c->b[c->n - 1].act = 1;
	for (size_t i = 0; i < n; i++)
		p[i] = to_half(mid + by * number(c));
	return p;
}

static inline const void *act_in(struct ctx *c, size_t n)
{
	return act_fill(c, n, 0, 1, 0);
}

static inline void *act_inout(struct ctx *c, size_t n)
{
	return act_fill(c, n, 0, 1, 1);
}

static inline const void *in(struct ctx *c, size_t n)
{
	return fill(c, n, 0, 1, 0);
}

static inline void *inout(struct ctx *c, size_t n)
{
	return fill(c, n, 0, 1, 1);
}

/* An output that is only written: NaN before. */
static inline void *out(struct ctx *c, size_t n)
{
	void *p = new_buf(c, n * c->k->real_size, 1);

	c->b[c->n - 1].real = 1;
	memset(p, 0xFF, n * c->k->real_size);
	return p;
}

static inline void *act_out(struct ctx *c, size_t n)
{
	void *p;

	if (c->k->act != FTK_BF16)
		return out(c, n);
	p = new_buf(c, n * 2, 1);
	c->b[c->n - 1].act = 1;
	memset(p, 0xFF, n * 2);
	return p;
}

/* Bytes that must be equal on every instruction set. */
static inline void *exact(struct ctx *c, size_t nbytes)
{
	void *p = new_buf(c, nbytes, 1);

	c->b[c->n - 1].exact = 1;
	return p;
}

static inline void *scratch(struct ctx *c, size_t nbytes)
{
	void *p = new_buf(c, nbytes, 0);

	memset(p, 0xFF, nbytes);
	return p;
}

/* n numbers in [0, below). */
static inline int32_t *indexes(struct ctx *c, size_t n, size_t below)
{
	int32_t *p = new_buf(c, n * sizeof(*p), 0);

	for (size_t i = 0; i < n; i++)
		p[i] = (int32_t)((number(c) * 0.5f + 0.5f) * (float)below) %
		       (int32_t)below;
	return p;
}

static inline const struct ftk_weight *weight(struct ctx *c, size_t n, size_t k,
					      unsigned use)
{
	struct ftk_matrix m = {c->k->real, in(c, n * k), n, k, use};
	void *mem = new_buf(c, c->k->weight_bytes(c->k, &m), 0);

	return c->k->weight_make(c->k, mem, &m);
}

static inline int guards_whole(const struct ctx *c)
{
	for (size_t i = 0; i < c->n; i++)
		for (size_t j = 0; j < GUARD; j++)
			if (c->b[i].mem[j] != 0xA5 ||
			    c->b[i].mem[GUARD + c->b[i].nbytes + j] != 0xA5)
				return 0;
	return 1;
}

static inline void release(struct ctx *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->b[i].mem);
	c->n = 0;
}

/* --- backends ------------------------------------------------------------ */

struct backend {
	struct ftk *k;
	struct ft_pool *pool;
};

static inline struct backend open_backend(const char *name, const char *isa,
					  int threads)
{
	struct backend b = {.pool = ft_pool_new(threads)};
	struct ftk_threads t = {threads,
				(void (*)(void *, void (*)(void *, size_t, int),
					  void *, size_t))ft_pool_run,
				b.pool};
	const char *why = "";

	if (isa)
		setenv("FT_ISA", isa, 1);
	b.k = ftk_open(name, &t, &why);
	unsetenv("FT_ISA");
	if (!b.k)
		printf("# %s %s: %s\n", name, isa ? isa : "", why);
	return b;
}

static inline void close_backend(struct backend *b)
{
	if (b->k)
		b->k->close(b->k);
	ft_pool_free(b->pool);
}

static inline double value(const struct ftk *k, const void *p, int act,
			   size_t i)
{
	if (act)
		return (double)from_half(((const uint16_t *)p)[i]);
	return k->real == FTK_F64 ? ((const double *)p)[i]
				  : (double)((const float *)p)[i];
}

/* --- comparisons --------------------------------------------------------- */

static inline int same_bytes(const struct ctx *a, const struct ctx *b)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->b[i].out && memcmp(a->b[i].mem + GUARD,
					  b->b[i].mem + GUARD, a->b[i].nbytes))
			return 0;
	return 1;
}

/* Results that are equal but for rounding to bfloat16 differ by this much. */
static inline double half_unit(double v)
{
	return v == 0 ? 0 : ldexp(1, ilogb(v) - 7);
}

/* The greatest error of any output, relative to its largest value or 0.01;
   infinite where a NaN or bytes differ. */
static inline double worst(const struct ctx *a, const struct ctx *b)
{
	double bad = 0;

	for (size_t i = 0; i < a->n; i++) {
		const unsigned char *x = a->b[i].mem + GUARD;
		const unsigned char *y = b->b[i].mem + GUARD;
		int act = a->b[i].act;
		size_t n = a->b[i].nbytes / (act ? 2 : a->k->real_size);
		double big = 0, err = 0;

		if (a->b[i].exact && memcmp(x, y, a->b[i].nbytes))
			return INFINITY;
		if (!a->b[i].out || (!a->b[i].real && !act))
			continue;
		for (size_t j = 0; j < n; j++) {
			double u = value(a->k, x, act, j);
			double v = value(b->k, y, act, j), diff;

			if (isnan(u) || isnan(v))
				return INFINITY;
			big = fmax(big, fabs(v));
			diff = fabs(u - v) - (act ? half_unit(v) : 0);
			err = fmax(err, diff);
		}
		bad = fmax(bad, err / fmax(big, 0.01));
	}
	return bad;
}

typedef void case_fn(struct ctx *c, const size_t *dim);

static inline void run_case(struct ctx *c, struct ftk *k, case_fn *fn,
			    const size_t *dim)
{
	*c = (struct ctx){.k = k, .seed = 1};
	fn(c, dim);
	k->sync(k);
}

/* ThreadSanitizer makes arithmetic some fifty times slower and looks for
   races only, which another size does not change: under it the instruction
   sets take turns, one a case. */
#ifdef __SANITIZE_THREAD__
enum { TAKE_TURNS = 1 };
#else
enum { TAKE_TURNS = 0 };
#endif

/* Run a case on all instruction sets of a backend; tol is relative (see
   worst()), pair_tol where what lies between two products is rounded too. */
static inline void check_pairs(const char *backend, const char *name,
			       case_fn *fn, const size_t *dim, double tol,
			       double pair_tol)
{
	static const char *const isas[] = {"scalar",     "avx2",      "avx512",
					   "avx512bf16", "amx-plain", "amx"};
	static const int threads[] = {1, 2, 4};
	static size_t turn;
	struct backend plain = open_backend(backend, "scalar", 1);
	const char *act = plain.k->act == FTK_BF16 ? " bf16" : "";
	struct ctx want, one, got;

	run_case(&want, plain.k, fn, dim);
	turn++;
	for (size_t i = 0; i < sizeof(isas) / sizeof(isas[0]); i++) {
		int whole = 1, same = 1, here = 1;
		double err = 0, most = i < 3 ? tol : pair_tol;

		if (TAKE_TURNS && turn % 6 != i)
			continue;
		for (size_t t = 0; t < 3 && here; t++) {
			struct backend b =
				open_backend(backend, isas[i], threads[t]);
			struct ctx *c = t ? &got : &one;

			here = b.k && !strcmp(b.k->isa, isas[i]);
			if (here) {
				run_case(c, b.k, fn, dim);
				whole &= guards_whole(c);
				same &= !t || same_bytes(c, &one);
				err = fmax(err, worst(c, &want));
				if (t)
					release(c);
			}
			close_backend(&b);
		}
		if (here) {
			CHECK(whole, "%s %s%s: guards", name, isas[i], act);
			CHECK(same, "%s %s%s: any number of threads", name,
			      isas[i], act);
			CHECK(err <= most, "%s %s%s: error %.2g <= %.2g", name,
			      isas[i], act, err, most);
			release(&one);
		}
	}
	release(&want);
	close_backend(&plain);
}

static inline void check_backend(const char *backend, const char *name,
				 case_fn *fn, const size_t *dim, double tol)
{
	check_pairs(backend, name, fn, dim, tol, tol);
}

/* Run a case on everything; half_tol where ACT is bfloat16. */
static inline void check_both(const char *name, case_fn *fn, const size_t *dim,
			      double tol, double half_tol)
{
	check_backend("cpu", name, fn, dim, tol);
	check_backend("cpu-bf16", name, fn, dim, half_tol);
}

static inline void check_case(const char *name, case_fn *fn, const size_t *dim,
			      double tol)
{
	check_both(name, fn, dim, tol, tol);
}

#define DIMS(...) ((const size_t[]){__VA_ARGS__})

#endif
