/* SPDX-License-Identifier: MIT */
#include "libcommon/nn/block.h"

#include "tests/lib/model.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

enum { N = 2 * 3 + 4 + 1 };
static struct ftk *k;
static struct ft_err err;
static const float start[N] = {1,      -2,    3.5f, 4,        0, -0.0f,
			       1e-30f, 1e30f, 0.1f, 1.0f / 3, -7};

static void make(struct ft_block *b)
{
	*b = (struct ft_block){0};
	ft_block_add(b, "a.weight", 2, 3, true);
	ft_block_add(b, "a.bias", 4, 0, false);
	ft_block_add(b, "c", 1, 1, true);
	if (ft_block_alloc(b, k, &err) < 0)
		eng_die("block", &err);
}

static bool holds(const struct ft_block *b, const float *want)
{
	float v[N];

	k->get_real(k, v, b->p, N);
	k->sync(k);
	return !memcmp(v, want, sizeof(v));
}

static void table(void)
{
	static const float zero[N];
	struct ft_block b;

	make(&b);
	CHECK(b.n == N && b.nt == 3 && b.t[1].off == 6 && b.t[1].ndim == 1 &&
		      b.t[2].off == 10 && b.t[2].ndim == 2,
	      "offsets and shapes");
	CHECK(holds(&b, zero), "it begins as zeros");
	CHECK(!b.g && !ft_block_grad(&b, &err) && b.g &&
		      !ft_block_grad(&b, &err),
	      "gradients when asked for");
	CHECK((char *)ft_block_at(&b, b.g, 6) - (char *)b.g ==
		      (ptrdiff_t)(6 * k->real_size),
	      "addresses");
	ft_block_release(&b);
}

static int load(struct ft_block *b, const char *path, const char *prefix)
{
	struct ft_st st;
	int rc;

	memset(&err, 0, sizeof(err));
	if (ft_st_open(&st, path, &err) < 0)
		return -1;
	rc = ft_block_load(b, b->p, &st, prefix, &err);
	ft_st_release(&st);
	return rc;
}

static void files(void)
{
	char *path = scratch_path("block.safetensors");
	const char *prefix[2] = {"x.", "y."};
	struct ft_block b, c;
	float half[N];
	const void *two[2];

	make(&b);
	make(&c);
	k->put_real(k, b.p, start, N);
	CHECK(!ft_block_save(&b, b.p, path, FT_F32, &err) &&
		      !load(&c, path, "") && holds(&c, start),
	      "float32 there and back %s", err.msg);
	CHECK(!ft_block_save(&b, b.p, path, FT_BF16, &err) &&
		      !load(&c, path, ""),
	      "bfloat16 %s", err.msg);
	for (int i = 0; i < N; i++) {
		uint16_t h = ft_bf16(start[i]);

		ft_to_f32(&half[i], &h, FT_BF16, 1);
	}
	CHECK(holds(&c, half), "rounded to nearest");
	two[0] = b.p;
	two[1] = c.p;
	CHECK(!ft_block_save2(&b, two, prefix, 2, path, FT_F32, &err) &&
		      !load(&c, path, "x.") && holds(&c, start) &&
		      !load(&c, path, "y.") && holds(&c, half),
	      "two arrays in a file %s", err.msg);
	CHECK(load(&c, path, "") < 0 && strstr(err.msg, "is missing"),
	      "without their prefix: %s", err.msg);
	ft_block_release(&b);
	ft_block_release(&c);
}

/* What a file of tensors t[0..n) is told. */
static void refuse(struct ft_tensor *t, size_t n, const char *word)
{
	char *path = scratch_path("other.safetensors");
	struct ft_block b;

	make(&b);
	if (ft_st_write(path, t, n, NULL, 0, &err) < 0)
		eng_die(path, &err);
	CHECK(load(&b, path, "") < 0 && err.code == FT_EXIT_DATA &&
		      strstr(err.msg, word),
	      "%s: %s", word, err.msg);
	ft_block_release(&b);
}

#define TENSOR(tname, type, size, nd, ...)                                   \
	(struct ft_tensor)                                                   \
	{                                                                    \
		.name = tname, .dtype = type, .ndim = nd,                    \
		.shape = {__VA_ARGS__}, .numel = (size) / 4, .nbytes = size, \
		.data = start                                                \
	}

static void refusals(void)
{
	struct ft_tensor all[4] = {
		TENSOR("a.weight", FT_F32, 24, 2, 2, 3),
		TENSOR("a.bias", FT_F32, 16, 1, 4),
		TENSOR("c", FT_F32, 4, 2, 1, 1),
		TENSOR("d", FT_F32, 4, 1, 1),
	};
	struct ft_tensor t[4];

	memcpy(t, all, sizeof(t));
	refuse(t, 4, "surplus tensor 'd'");
	memcpy(t, all, sizeof(t));
	refuse(t, 2, "'c' is missing");
	memcpy(t, all, sizeof(t));
	t[0].shape[0] = 3;
	t[0].shape[1] = 2;
	refuse(t, 3, "'a.weight' has another shape");
	memcpy(t, all, sizeof(t));
	t[1].dtype = FT_I32;
	refuse(t, 3, "'a.bias' is of type I32");
}

/* More than passes through the host at a time, and through the file. */
static void large(enum ft_dtype dtype)
{
	size_t n = 3 * 150001;
	const char *path = scratch_path("large.safetensors");
	float *v = ft_xmalloc(n * sizeof(*v)), *g = ft_xmalloc(n * sizeof(*g));
	struct ft_block a = {0}, b = {0}, c = {0};
	size_t wrong = 0;

	for (size_t i = 0; i < n; i++)
		v[i] = (float)i * 1.37f - 1000;
	ft_block_add(&a, "w", 3, 150001, true);
	ft_block_add(&b, "w", 3, 150001, true);
	ft_block_add(&c, "w", 3, 150001, true);
	if (ft_block_alloc(&a, k, &err) < 0 ||
	    ft_block_alloc(&b, k, &err) < 0 || ft_block_alloc(&c, k, &err) < 0)
		eng_die("block", &err);
	k->put_real(k, a.p, v, n);
	CHECK(ft_block_save(&a, a.p, path, dtype, &err) == 0 &&
		      load(&b, path, "") == 0,
	      "a large %s tensor goes to a file and back",
	      ft_dtype_name(dtype));
	k->get_real(k, g, b.p, n);
	for (size_t i = 0; i < n; i++) {
		uint32_t u = (uint32_t)ft_bf16(v[i]) << 16;
		float half;

		memcpy(&half, &u, sizeof(half));
		wrong += g[i] != (dtype == FT_F32 ? v[i] : half);
	}
	CHECK(!wrong, "every element of it");
	ft_block_copy(&c, &a);
	CHECK(!memcmp(c.p, a.p, n * k->real_size), "and is copied");
	ft_block_release(&a);
	ft_block_release(&b);
	ft_block_release(&c);
	free(v);
	free(g);
}

int main(void)
{
	const char *why;

	k = ftk_open("cpu", &(struct ftk_threads){.nthreads = 1}, &why);
	table();
	files();
	large(FT_F32);
	large(FT_BF16);
	refusals();
	k->close(k);
	return test_done();
}
