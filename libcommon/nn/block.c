/* SPDX-License-Identifier: MIT */
#include "libcommon/nn/block.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"

/* Numbers that pass through the host at a time: what a run takes does not
   depend on how it is loaded and saved. */
enum { SOME = 16384 };

size_t ft_block_add(struct ft_block *b, const char *name, size_t n, size_t k,
		    bool decay)
{
	struct ft_param *t;

	FT_GROW(b->t, b->nt, b->cap, 1);
	t = &b->t[b->nt++];
	*t = (struct ft_param){.off = b->n, .n = k ? n * k : n, .decay = decay};
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->shape[0] = n;
	t->shape[1] = k;
	t->ndim = k ? 2 : 1;
	b->n += t->n;
	return t->off;
}

int ft_block_alloc(struct ft_block *b, struct ftk *k, struct ft_err *err)
{
	b->k = k;
	b->p = k->alloc(k, b->n * k->real_size);
	if (!b->p)
		return ft_err_set(err, FT_EXIT_SYS,
				  "no memory for %zu parameters", b->n);
	k->zero(k, b->p, b->n * k->real_size);
	return 0;
}

int ft_block_grad(struct ft_block *b, struct ft_err *err)
{
	if (b->g)
		return 0;
	b->g = b->k->alloc(b->k, b->n * b->k->real_size);
	if (!b->g)
		return ft_err_set(err, FT_EXIT_SYS,
				  "no memory for %zu gradients", b->n);
	b->k->zero(b->k, b->g, b->n * b->k->real_size);
	return 0;
}

void ft_block_release(struct ft_block *b)
{
	if (b->p)
		b->k->free(b->k, b->p);
	if (b->g)
		b->k->free(b->k, b->g);
	free(b->t);
	*b = (struct ft_block){0};
}

void *ft_block_at(const struct ft_block *b, const void *base, size_t off)
{
	return (char *)base + off * b->k->real_size;
}

struct saving {
	const struct ft_block *b;
	const void *const *base;
	int nbase;
};

/* The parameter whose tensor's data is at p, in one of the arrays; NULL: it is
   the host's. */
static const struct ft_param *param_at(const struct saving *s, const char *p)
{
	for (int j = 0; j < s->nbase; j++) {
		const char *base = s->base[j];
		const struct ft_param *t = s->b->t;

		if (p < base || p >= base + s->b->n * s->b->k->real_size)
			continue;
		while (ft_block_at(s->b, base, t->off) != (const void *)p)
			t++;
		return t;
	}
	return NULL;
}

/* Elements at.. of a tensor as it stands on disk. */
static void get_some(const struct saving *s, const struct ft_tensor *t,
		     size_t at, size_t n, float *f)
{
	const struct ft_param *p = param_at(s, t->data);
	struct ftk *k = s->b->k;

	if (!p->turned)
		k->get_real(k, f, ft_block_at(s->b, t->data, at), n);
	for (size_t i = at; p->turned && i < at + n; i++)
		k->get_real(k, f++,
			    ft_block_at(s->b, t->data,
					i % p->shape[0] * p->shape[1] +
						i / p->shape[0]),
			    1);
	k->sync(k);
}

/* Tensors' data are places in the backend's memory. */
static void fill(void *saving, const struct ft_tensor *t, size_t at, size_t n,
		 void *to)
{
	const struct saving *s = saving;

	if (!param_at(s, t->data)) {
		memcpy(to, (const char *)t->data + at, n);
		return;
	}
	if (t->dtype == FT_F32) {
		get_some(s, t, at / 4, n / 4, to);
		return;
	}
	for (size_t i = 0, m; i < n / 2; i += m) {
		float v[SOME];

		m = n / 2 - i < SOME ? n / 2 - i : SOME;
		get_some(s, t, at / 2 + i, m, v);
		for (size_t j = 0; j < m; j++)
			((uint16_t *)to)[i + j] = ft_bf16(v[j]);
	}
}

static int save(const struct ft_block *b, const void *const *base,
		const char *const *prefix, int nbase,
		const struct ft_tensor *more, size_t nmore, const char *path,
		enum ft_dtype dtype, struct ft_err *err)
{
	static const struct ft_meta meta[] = {{"format", "pt"}};
	size_t n = b->nt * (size_t)nbase, es = ft_dtype_size(dtype);
	struct ft_tensor *t = ft_xcalloc(n + nmore + 1, sizeof(*t));
	struct saving s = {b, base, nbase};
	struct ft_arena names = {0};
	int rc;

	for (int j = 0; j < nbase; j++) {
		for (size_t i = 0; i < b->nt; i++) {
			const struct ft_param *p = &b->t[i];
			size_t len = strlen(prefix[j]) + sizeof(p->name);
			char *name = ft_arena_alloc(&names, len);

			snprintf(name, len, "%s%s", prefix[j], p->name);
			t[(size_t)j * b->nt + i] = (struct ft_tensor){
				.name = name,
				.dtype = dtype,
				.ndim = p->ndim,
				.numel = p->n,
				.shape = {p->shape[p->turned],
					  p->shape[!p->turned]},
				.nbytes = p->n * es,
				.data = ft_block_at(b, base[j], p->off)};
		}
	}
	if (nmore)
		memcpy(t + n, more, nmore * sizeof(*t));
	rc = ft_st_write_from(path, t, n + nmore, meta, 1, fill, &s, err);
	ft_arena_release(&names);
	free(t);
	return rc;
}

int ft_block_save2(const struct ft_block *b, const void *const *base,
		   const char *const *prefix, int nbase, const char *path,
		   enum ft_dtype dtype, struct ft_err *err)
{
	return save(b, base, prefix, nbase, NULL, 0, path, dtype, err);
}

int ft_block_save_with(const struct ft_block *b, const struct ft_tensor *more,
		       size_t nmore, const char *path, struct ft_err *err)
{
	const void *const base = b->p;
	const char *none = "";

	return save(b, &base, &none, 1, more, nmore, path, FT_F32, err);
}

int ft_block_save(const struct ft_block *b, const void *base, const char *path,
		  enum ft_dtype dtype, struct ft_err *err)
{
	const char *none = "";

	return ft_block_save2(b, &base, &none, 1, path, dtype, err);
}

/* Elements at.. of the transpose of t, as they are. */
static const void *turn(const struct ft_tensor *t, size_t at, size_t n,
			char *to)
{
	size_t es = ft_dtype_size(t->dtype), rows = t->shape[0];
	size_t cols = t->shape[1];

	for (size_t i = 0; i < n; i++)
		memcpy(to + i * es,
		       (const char *)t->data +
			       ((at + i) % rows * cols + (at + i) / rows) * es,
		       es);
	return to;
}

int ft_put_tensor(struct ftk *k, void *dst, const struct ft_tensor *t,
		  bool turned, struct ft_err *err)
{
	size_t es = ft_dtype_size(t->dtype);
	char some[SOME * sizeof(double)];
	float f[SOME];

	for (size_t i = 0, n; i < t->numel; i += n) {
		const void *from = (const char *)t->data + i * es;

		n = t->numel - i < SOME ? t->numel - i : SOME;
		if (turned)
			from = turn(t, i, n, some);
		if (ft_to_f32(f, from, t->dtype, n) < 0)
			return ft_err_set(err, FT_EXIT_DATA,
					  "tensor '%.150s' is of type %s",
					  t->name, ft_dtype_name(t->dtype));
		k->put_real(k, (char *)dst + i * k->real_size, f, n);
		k->sync(k);
	}
	return 0;
}

bool ft_tensor_equal(const struct ft_tensor *a, const struct ft_tensor *b)
{
	size_t sa = ft_dtype_size(a->dtype), sb = ft_dtype_size(b->dtype);
	float x[SOME], y[SOME];

	if (a->numel != b->numel)
		return false;
	if (a->dtype == b->dtype)
		return !memcmp(a->data, b->data, a->nbytes);
	for (size_t i = 0, n; i < a->numel; i += n) {
		n = a->numel - i < SOME ? a->numel - i : SOME;
		if (ft_to_f32(x, (const char *)a->data + i * sa, a->dtype, n) ||
		    ft_to_f32(y, (const char *)b->data + i * sb, b->dtype, n) ||
		    memcmp(x, y, n * sizeof(*x)) != 0)
			return false;
	}
	return true;
}

void ft_block_copy(struct ft_block *to, const struct ft_block *from)
{
	struct ftk *k = to->k;
	size_t all = to->n * k->real_size;
	char some[SOME * sizeof(float)];

	for (size_t i = 0, n; i < all; i += n) {
		n = all - i < sizeof(some) ? all - i : sizeof(some);
		k->get(k, some, (const char *)from->p + i, n);
		k->sync(k);
		k->put(k, (char *)to->p + i, some, n);
		k->sync(k);
	}
}

static int load_one(struct ft_block *b, void *base, const struct ft_param *p,
		    const struct ft_tensor *t, struct ft_err *err)
{
	if (t->ndim != p->ndim || t->shape[0] != p->shape[p->turned] ||
	    (p->ndim == 2 && t->shape[1] != p->shape[!p->turned]))
		return ft_err_set(
			err, FT_EXIT_DATA,
			"tensor '%.150s' has another shape than the model wants",
			t->name);
	return ft_put_tensor(b->k, ft_block_at(b, base, p->off), t, p->turned,
			     err);
}

int ft_block_load(struct ft_block *b, void *base, const struct ft_st *st,
		  const char *prefix, struct ft_err *err)
{
	char name[FT_NAME_MAX + 32];
	size_t found = 0, np = strlen(prefix);

	for (size_t i = 0; i < b->nt; i++) {
		const struct ft_tensor *t;

		snprintf(name, sizeof(name), "%s%s", prefix, b->t[i].name);
		t = ft_st_find(st, name);
		if (!t)
			return ft_err_set(err, FT_EXIT_DATA,
					  "tensor '%.200s' is missing", name);
		if (load_one(b, base, &b->t[i], t, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < st->n; i++)
		found += !strncmp(st->t[i].name, prefix, np);
	if (found == b->nt || b->others)
		return 0;
	for (size_t i = 0; i < st->n; i++) {
		size_t j;

		if (strncmp(st->t[i].name, prefix, np))
			continue;
		for (j = 0; j < b->nt; j++) {
			if (!strcmp(st->t[i].name + np, b->t[j].name))
				break;
		}
		if (j == b->nt)
			return ft_err_set(err, FT_EXIT_DATA,
					  "surplus tensor '%.150s'",
					  st->t[i].name);
	}
	return 0;
}
