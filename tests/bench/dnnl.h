/* SPDX-License-Identifier: MIT */
/*
 * bfloat16 products by oneDNN, with weights packed as it likes them best, for
 * the bench to compare with: opened at run time, where it was there to compile
 * against.
 */
#ifndef TESTS_BENCH_DNNL_H
#define TESTS_BENCH_DNNL_H

#include <stddef.h>
#include <stdint.h>

struct dnnl;

/*
 * y [m, n] = x [m, k] w' with w [n, k], or with back y [m, k] = x [m, n] w;
 * all bfloat16.  NULL where oneDNN cannot be had.
 */
static inline struct dnnl *dnnl_new(int back, size_t m, size_t n, size_t k,
				    const uint16_t *x, const uint16_t *w,
				    uint16_t *y);
static inline void dnnl_run(struct dnnl *d);
static inline void dnnl_free(struct dnnl *d);
static inline void dnnl_threads(int n);

#if !__has_include(<dnnl.h>)

static inline struct dnnl *dnnl_new(int back, size_t m, size_t n, size_t k,
				    const uint16_t *x, const uint16_t *w,
				    uint16_t *y)
{
	(void)back, (void)m, (void)n, (void)k, (void)x, (void)w, (void)y;
	return NULL;
}

static inline void dnnl_run(struct dnnl *d)
{
	(void)d;
}

static inline void dnnl_free(struct dnnl *d)
{
	(void)d;
}

static inline void dnnl_threads(int n)
{
	(void)n;
}

#else

#include <dlfcn.h>
#include <dnnl.h>
#include <stdlib.h>
#include <string.h>

#define CALLS(_)                        \
	_(dnnl_engine_create)           \
	_(dnnl_stream_create)           \
	_(dnnl_stream_wait)             \
	_(dnnl_memory_desc_init_by_tag) \
	_(dnnl_memory_create)           \
	_(dnnl_memory_destroy)          \
	_(dnnl_matmul_desc_init)        \
	_(dnnl_primitive_desc_create)   \
	_(dnnl_primitive_desc_query_md) \
	_(dnnl_primitive_desc_destroy)  \
	_(dnnl_primitive_create)        \
	_(dnnl_primitive_execute)       \
	_(dnnl_primitive_destroy)       \
	_(dnnl_reorder_primitive_desc_create)

#define POINTER(name) __typeof__(&name) name;
static struct {
	CALLS(POINTER)
} call;
#undef POINTER

static dnnl_engine_t dnnl_cpu_engine;
static dnnl_stream_t dnnl_cpu_stream;

struct dnnl {
	dnnl_primitive_t mul;
	dnnl_memory_t x, w, y;
};

static int dnnl_open(void)
{
	static int state; /* 1 open, -1 not to be had */
	void *lib, *f;

	if (state)
		return state > 0;
	state = -1;
	/* else its threads go on spinning into our turn */
	setenv("OMP_WAIT_POLICY", "passive", 0);
	lib = dlopen("libdnnl.so.2", RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		return 0;
#define FIND(name)             \
	f = dlsym(lib, #name); \
	if (!f)                \
		return 0;      \
	memcpy(&call.name, &f, sizeof(f));
	CALLS(FIND)
#undef FIND
	if (call.dnnl_engine_create(&dnnl_cpu_engine, dnnl_cpu, 0) ||
	    call.dnnl_stream_create(&dnnl_cpu_stream, dnnl_cpu_engine,
				    dnnl_stream_default_flags))
		return 0;
	state = 1;
	return 1;
}

/* The weights, moved to where the product wants them. */
static void dnnl_weights(struct dnnl *d, const_dnnl_primitive_desc_t want,
			 const dnnl_memory_desc_t *from, const uint16_t *w)
{
	const dnnl_memory_desc_t *to = call.dnnl_primitive_desc_query_md(
		want, dnnl_query_weights_md, 0);
	dnnl_primitive_desc_t pd;
	dnnl_primitive_t move;
	dnnl_memory_t plain;
	dnnl_exec_arg_t args[2];

	call.dnnl_memory_create(&plain, from, dnnl_cpu_engine, (void *)w);
	call.dnnl_memory_create(&d->w, to, dnnl_cpu_engine,
				DNNL_MEMORY_ALLOCATE);
	call.dnnl_reorder_primitive_desc_create(&pd, from, dnnl_cpu_engine, to,
						dnnl_cpu_engine, NULL);
	call.dnnl_primitive_create(&move, pd);
	args[0] = (dnnl_exec_arg_t){DNNL_ARG_FROM, plain};
	args[1] = (dnnl_exec_arg_t){DNNL_ARG_TO, d->w};
	call.dnnl_primitive_execute(move, dnnl_cpu_stream, 2, args);
	call.dnnl_stream_wait(dnnl_cpu_stream);
	call.dnnl_primitive_destroy(move);
	call.dnnl_primitive_desc_destroy(pd);
	call.dnnl_memory_destroy(plain);
}

static inline struct dnnl *dnnl_new(int back, size_t m, size_t n, size_t k,
				    const uint16_t *x, const uint16_t *w,
				    uint16_t *y)
{
	dnnl_dim_t depth = (dnnl_dim_t)(back ? n : k);
	dnnl_dim_t cols = (dnnl_dim_t)(back ? k : n), rows = (dnnl_dim_t)m;
	dnnl_memory_desc_t xd, wd, wany, yd;
	dnnl_matmul_desc_t desc;
	dnnl_primitive_desc_t pd;
	struct dnnl *d;

	if (!dnnl_open())
		return NULL;
	call.dnnl_memory_desc_init_by_tag(&xd, 2, (dnnl_dims_t){rows, depth},
					  dnnl_bf16, dnnl_ab);
	call.dnnl_memory_desc_init_by_tag(&wd, 2, (dnnl_dims_t){depth, cols},
					  dnnl_bf16, back ? dnnl_ab : dnnl_ba);
	call.dnnl_memory_desc_init_by_tag(&wany, 2, (dnnl_dims_t){depth, cols},
					  dnnl_bf16, dnnl_format_tag_any);
	call.dnnl_memory_desc_init_by_tag(&yd, 2, (dnnl_dims_t){rows, cols},
					  dnnl_bf16, dnnl_ab);
	call.dnnl_matmul_desc_init(&desc, &xd, &wany, NULL, &yd);
	if (call.dnnl_primitive_desc_create(&pd, &desc, NULL, dnnl_cpu_engine,
					    NULL))
		return NULL;
	d = calloc(1, sizeof(*d));
	if (!d)
		exit(4);
	call.dnnl_primitive_create(&d->mul, pd);
	call.dnnl_memory_create(&d->x, &xd, dnnl_cpu_engine, (void *)x);
	call.dnnl_memory_create(&d->y, &yd, dnnl_cpu_engine, y);
	dnnl_weights(d, pd, &wd, w);
	call.dnnl_primitive_desc_destroy(pd);
	return d;
}

static inline void dnnl_run(struct dnnl *d)
{
	dnnl_exec_arg_t args[3] = {{DNNL_ARG_SRC, d->x},
				   {DNNL_ARG_WEIGHTS, d->w},
				   {DNNL_ARG_DST, d->y}};

	call.dnnl_primitive_execute(d->mul, dnnl_cpu_stream, 3, args);
	call.dnnl_stream_wait(dnnl_cpu_stream);
}

static inline void dnnl_free(struct dnnl *d)
{
	if (!d)
		return;
	call.dnnl_primitive_destroy(d->mul);
	call.dnnl_memory_destroy(d->x);
	call.dnnl_memory_destroy(d->w);
	call.dnnl_memory_destroy(d->y);
	free(d);
}

/* Debian's runs on OpenMP, whose threads are set for the whole process. */
static inline void dnnl_threads(int n)
{
	void *lib = dlopen("libgomp.so.1", RTLD_NOW | RTLD_LOCAL);
	void *f = lib ? dlsym(lib, "omp_set_num_threads") : NULL;
	void (*set)(int);

	if (!f)
		return;
	memcpy(&set, &f, sizeof(f));
	set(n);
}

#endif

#endif
