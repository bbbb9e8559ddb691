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
	.weight_bytes = ftk_weight_bytes,
	.weight_make = ftk_weight_make,
	.weight_sync = ftk_weight_sync,
	.weight_get = ftk_weight_get,
	.weight_nf4 = ftk_weight_nf4,
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

static int have_avx512bf16(void)
{
	return have_avx512() && __builtin_cpu_supports("avx512bf16");
}

static int have_amx(void)
{
	return have_avx512bf16() && ftk_have_amx();
}
#endif

/* From plainest to best: each overrides what it improves. */
static const struct {
	const char *name;
	int (*have)(void);
	void (*init)(struct ftk *k);      /* activations in float; or NULL */
	void (*init_bf16)(struct ftk *k); /* in bfloat16 */
} isas[] = {
	{"scalar", have_scalar, ftk_init_scalar, ftk_init_scalar_bf16},
#if defined(__x86_64__)
	{"avx2", have_avx2, ftk_init_avx2, ftk_init_avx2_bf16},
	{"avx512", have_avx512, ftk_init_avx512, ftk_init_avx512_bf16},
	{"avx512bf16", have_avx512bf16, NULL, ftk_init_avx512bf16},
	{"amx-plain", have_avx2, NULL, ftk_init_amx_plain},
	{"amx", have_amx, NULL, ftk_init_amx},
#endif
};

struct ftk *ftk_cpu_open(const struct ftk_threads *t, enum ftk_type act,
			 const char **why)
{
	const char *cap = getenv("FT_ISA");
	struct ftk *k = new_host(t, why);
	int found = !cap || !*cap;

	if (!k)
		return NULL;
	k->act = act;
	k->act_size = act == FTK_BF16 ? sizeof(uint16_t) : sizeof(float);
	for (size_t i = 0; i < sizeof(isas) / sizeof(isas[0]); i++) {
		void (*init)(struct ftk *) =
			act == FTK_BF16 ? isas[i].init_bf16 : isas[i].init;

		int named = cap && !strcmp(cap, isas[i].name);

		if (init && (named || !strstr(isas[i].name, "-plain")) &&
		    isas[i].have()) {
			init(k);
			k->isa = isas[i].name;
		}
		if (named) {
			found = 1;
			break;
		}
	}
	if (found)
		return k;
	k->close(k);
	*why = "FT_ISA is none of scalar, avx2, avx512, avx512bf16, "
	       "amx-plain, amx";
	return NULL;
}
