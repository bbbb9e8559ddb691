/* SPDX-License-Identifier: MIT */
/* The CPU backends: memory, weights, and which instruction set serves. */
#include "kernels/cpu/cpu.h"

#include <stdlib.h>
#include <sys/mman.h>

/* Large blocks ask for huge pages: they are read a quarter faster. */
static void *host_alloc(struct ftk *k, size_t nbytes)
{
	size_t huge = (size_t)1 << 21, align = nbytes < 4 * huge ? 64 : huge;
	void *p;

	(void)k;
	if (nbytes > SIZE_MAX - huge)
		return NULL;
	nbytes = (nbytes + align - 1) / align * align;
	p = aligned_alloc(align, nbytes ? nbytes : align);
#ifdef MADV_HUGEPAGE
	if (p && align == huge)
		(void)madvise(p, nbytes, MADV_HUGEPAGE); /* only advice */
#endif
	return p;
}

static void host_free(struct ftk *k, void *p)
{
	(void)k;
	free(p);
}

static void host_put(struct ftk *k, void *dst, const void *src, size_t nbytes)
{
	(void)k;
	if (nbytes)
		memcpy(dst, src, nbytes);
}

static void host_zero(struct ftk *k, void *dst, size_t nbytes)
{
	(void)k;
	if (nbytes)
		memset(dst, 0, nbytes);
}

static void put_real(struct ftk *k, void *dst, const float *host, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (k->real == FTK_F64)
			((double *)dst)[i] = host[i];
		else
			((float *)dst)[i] = host[i];
}

static void get_real(struct ftk *k, float *host, const void *src, size_t n)
{
	for (size_t i = 0; i < n; i++)
		host[i] = k->real == FTK_F64 ? (float)((const double *)src)[i]
					     : ((const float *)src)[i];
}

static int host_sync(struct ftk *k)
{
	(void)k;
	return 0;
}

static void host_close(struct ftk *k)
{
	free(k);
}

/* --- weights ------------------------------------------------------------- */

static float from_half(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = h >> 10 & 31;
	uint32_t man = h & 0x3ff, bits;
	float f;

	if (exp == 0) { /* zero or subnormal: man units of 2^-24 */
		f = (float)man / 16777216.0f;
		return sign ? -f : f;
	}
	bits = sign | (exp == 31 ? 0x7f800000 : (exp + 112) << 23) | man << 13;
	memcpy(&f, &bits, 4);
	return f;
}

static size_t type_size(enum ftk_type t)
{
	switch (t) {
	case FTK_F32:
		return 4;
	case FTK_F64:
		return 8;
	case FTK_BF16:
	case FTK_F16:
		return 2;
	default:
		return 0;
	}
}

/* Element i of data that may lie at any address. */
static double element(enum ftk_type t, const void *data, size_t i)
{
	const char *p = (const char *)data + i * type_size(t);
	double d;
	float f;
	uint32_t bits;
	uint16_t h;

	switch (t) {
	case FTK_F64:
		memcpy(&d, p, 8);
		return d;
	case FTK_F32:
		memcpy(&f, p, 4);
		return f;
	case FTK_F16:
		memcpy(&h, p, 2);
		return from_half(h);
	default:
		memcpy(&h, p, 2);
		bits = (uint32_t)h << 16;
		memcpy(&f, &bits, 4);
		return f;
	}
}

static size_t weight_bytes(const struct ftk *k, const struct ftk_matrix *m)
{
	size_t head = cpu_pad(sizeof(struct ftk_weight));

	if (m->type == k->real)
		return head;
	if (!type_size(m->type) || m->use & FTK_W_TRAINED)
		return SIZE_MAX;
	if (m->k && m->n > (SIZE_MAX - head - 64) / m->k / k->real_size)
		return SIZE_MAX;
	return head + cpu_pad(m->n * m->k * k->real_size);
}

struct convert {
	const struct ftk_matrix *m;
	void *to;
};

static void convert_rows(void *arg, size_t piece, int worker)
{
	const struct cpu_job *j = arg;
	const struct convert *c = j->a;
	size_t i = cpu_begin(j, piece) * c->m->k;
	size_t end = cpu_end(j, piece) * c->m->k;

	(void)worker;
	if (j->k->real == FTK_F64) {
		for (; i < end; i++)
			((double *)c->to)[i] =
				element(c->m->type, c->m->data, i);
	} else if (c->m->type == FTK_BF16) {
		for (; i < end; i++) {
			uint16_t h;
			uint32_t bits;

			memcpy(&h, (const char *)c->m->data + 2 * i, 2);
			bits = (uint32_t)h << 16;
			memcpy((float *)c->to + i, &bits, 4);
		}
	} else {
		for (; i < end; i++)
			((float *)c->to)[i] =
				(float)element(c->m->type, c->m->data, i);
	}
}

static struct ftk_weight *weight_make(struct ftk *k, void *mem,
				      const struct ftk_matrix *m)
{
	struct ftk_weight *w = mem;
	struct convert c = {m, (char *)mem + cpu_pad(sizeof(*w))};

	*w = (struct ftk_weight){m->data, m->n, m->k, m->use, 1};
	if (m->type != k->real) {
		w->data = c.to;
		w->borrowed = 0;
		cpu_for(k, convert_rows, &c, m->n, cpu_step(m->k));
	}
	return w;
}

static void weight_sync(struct ftk *k, struct ftk_weight *w)
{
	(void)k, (void)w;
}

static void weight_get(struct ftk *k, const struct ftk_weight *w, size_t r0,
		       size_t n, float *out)
{
	for (size_t i = 0; i < n * w->k; i++)
		out[i] = (float)element(k->real, w->data, r0 * w->k + i);
}

/* --- opening ------------------------------------------------------------- */

static const struct ftk host = {
	.name = "cpu",
	.isa = "scalar",
	.act = FTK_F32,
	.real = FTK_F32,
	.act_size = sizeof(float),
	.real_size = sizeof(float),
	.alloc = host_alloc,
	.free = host_free,
	.put = host_put,
	.get = host_put,
	.zero = host_zero,
	.put_real = put_real,
	.get_real = get_real,
	.sync = host_sync,
	.close = host_close,
	.weight_bytes = weight_bytes,
	.weight_make = weight_make,
	.weight_sync = weight_sync,
	.weight_get = weight_get,
};

static struct ftk *new_host(const struct ftk_threads *t, const char **why)
{
	struct cpu *c = calloc(1, sizeof(*c));

	if (!c) {
		*why = "no memory";
		return NULL;
	}
	c->ftk = host;
	if (t)
		c->t = *t;
	return &c->ftk;
}

struct ftk *ftk_ref64_open(const struct ftk_threads *t, const char **why)
{
	struct ftk *k = new_host(t, why);

	if (!k)
		return NULL;
	k->name = "ref64";
	k->act = k->real = FTK_F64;
	k->act_size = k->real_size = sizeof(double);
	ftk_init_ref64(k);
	return k;
}

static int have_scalar(void)
{
	return 1;
}

#if defined(__x86_64__)
static int have_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int have_avx512(void)
{
	return have_avx2() && __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512vl");
}
#endif

/* From plainest to best: each overrides what it improves. */
static const struct {
	const char *name;
	int (*have)(void);
	void (*init)(struct ftk *k);
} isas[] = {
	{"scalar", have_scalar, ftk_init_scalar},
#if defined(__x86_64__)
	{"avx2", have_avx2, ftk_init_avx2},
	{"avx512", have_avx512, ftk_init_avx512},
#endif
};

struct ftk *ftk_cpu_open(const struct ftk_threads *t, const char **why)
{
	const char *cap = getenv("FT_ISA");
	struct ftk *k = new_host(t, why);
	int found = !cap || !*cap;

	if (!k)
		return NULL;
	for (size_t i = 0; i < sizeof(isas) / sizeof(isas[0]); i++) {
		if (isas[i].have()) {
			isas[i].init(k);
			k->isa = isas[i].name;
		}
		if (!found && !strcmp(cap, isas[i].name)) {
			found = 1;
			break;
		}
	}
	if (found)
		return k;
	k->close(k);
	*why = "FT_ISA is none of scalar, avx2, avx512";
	return NULL;
}
