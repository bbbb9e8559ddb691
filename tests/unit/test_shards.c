/* SPDX-License-Identifier: MIT */
#include "libcommon/io/shards.h"

#include <stdbool.h>
#include <string.h>

#include "tests/lib/test.h"

static char dir[] = "/tmp/ft-shards.XXXXXX";
static struct ft_err err;

static bool there(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

/* Every byte of a tensor is the last letter of its name. */
static int fill(void *arg, const struct ft_tensor *t, struct ft_output *out,
		struct ft_err *e)
{
	size_t short_by = arg ? 1 : 0;

	for (size_t i = short_by; i < t->nbytes; i++) {
		if (ft_output_write(out, t->name + strlen(t->name) - 1, 1, e))
			return -1;
	}
	return 0;
}

static size_t tensors(struct ft_tensor *t)
{
	static const struct ft_tensor v[] = {
		{.name = "e", .dtype = FT_BF16, .ndim = 2, .shape = {5, 10}},
		{.name = "a", .dtype = FT_F32, .ndim = 1, .shape = {10}},
		{.name = "z", .dtype = FT_F32, .ndim = 2, .shape = {10, 10}},
		{.name = "b", .dtype = FT_F32, .ndim = 1, .shape = {7}},
		{.name = "n", .dtype = FT_F32, .ndim = 1, .shape = {0}},
	};

	memcpy(t, v, sizeof(v));
	return sizeof(v) / sizeof(*v);
}

static bool all_there(void)
{
	struct ft_st st;
	struct ft_tensor t[8];
	size_t n = tensors(t), good = 0;

	if (ft_st_open_dir(&st, dir, &err) < 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct ft_tensor *x = ft_st_find(&st, t[i].name);
		const char *p = x ? x->data : NULL;

		good += x && x->dtype == t[i].dtype && x->ndim == t[i].ndim &&
			x->shape[0] == t[i].shape[0] &&
			(!x->nbytes || (p[0] == *t[i].name &&
					p[x->nbytes - 1] == *t[i].name));
	}
	ft_st_release(&st);
	return good == n;
}

static void test_one(void)
{
	struct ft_files f = {0};
	struct ft_tensor t[8];
	size_t n = tensors(t);

	CHECK(ft_shards_write(&f, dir, t, n, 1000, fill, NULL, &err) == 0,
	      "one file: %s", err.msg);
	CHECK(f.n == 1 && !strcmp(f.v[0], "model.safetensors"), "its name");
	CHECK(all_there(), "every tensor is in it");
	CHECK(!strcmp(t[0].name, "a") && !strcmp(t[n - 1].name, "e"),
	      "wider dtypes first, then names");
	ft_files_release(&f);
}

static void test_shards(void)
{
	struct ft_files f = {0};
	struct ft_tensor t[8];
	size_t n = tensors(t);

	CHECK(ft_shards_write(&f, dir, t, n, 140, fill, NULL, &err) == 0,
	      "shards: %s", err.msg);
	CHECK(f.n == 4 && there("model-00001-of-00003.safetensors") &&
		      there("model-00003-of-00003.safetensors") &&
		      there("model.safetensors.index.json"),
	      "a tensor that is too large has its own");
	CHECK(!there("model.safetensors"), "the file from before is gone");
	CHECK(all_there(), "every tensor is where the index says");
	ft_files_release(&f);
	n = tensors(t);
	CHECK(ft_shards_write(&f, dir, t, n, 428, fill, NULL, &err) == 0 &&
		      there("model-00002-of-00002.safetensors") &&
		      !there("model-00001-of-00003.safetensors") && all_there(),
	      "another number of shards");
	ft_files_release(&f);
	n = tensors(t);
	CHECK(ft_shards_write(&f, dir, t, n, 1000, fill, NULL, &err) == 0 &&
		      !there("model.safetensors.index.json") &&
		      !there("model-00001-of-00002.safetensors") && all_there(),
	      "and one file again");
	ft_files_release(&f);
}

static void test_errors(void)
{
	struct ft_files f = {0};
	struct ft_tensor t[8];
	size_t n = tensors(t);

	CHECK(ft_shards_write(&f, dir, t, n, 1000, fill, dir, &err) == -1 &&
		      strstr(err.msg, "not written whole") && f.n == 0,
	      "a tensor that is too short");
	CHECK(all_there(), "what was there is still there");
	t[0] = (struct ft_tensor){.name = "x",
				  .dtype = FT_F32,
				  .ndim = 2,
				  .shape = {1ull << 40, 1ull << 40}};
	CHECK(ft_shards_write(&f, dir, t, 1, 1000, fill, NULL, &err) == -1,
	      "a size that overflows");
	CHECK(ft_shards_write(&f, "/nonexistent", t, 0, 1, fill, NULL, &err) ==
			      -1 &&
		      err.code == FT_EXIT_SYS,
	      "no directory");
	ft_files_release(&f);
}

static void test_files(void)
{
	struct ft_files f = {0};
	char to[128];
	const char *from[] = {NULL, to, dir};

	snprintf(to, sizeof(to), "%s/sub", dir);
	CHECK(ft_mkdirs(to, &err) == 0 &&
		      ft_files_write(&f, dir, "vocab.json", "{}", 2, &err) ==
			      0 &&
		      ft_files_write(&f, dir, "merges.txt", "a", 1, &err) ==
			      0 &&
		      ft_files_write(&f, to, "merges.txt", "bb", 2, &err) == 0,
	      "files");
	ft_files_release(&f);
	CHECK(ft_files_copy(&f, dir, to, "nothing", &err) == 0 && f.n == 0,
	      "what is not there");
	CHECK(ft_files_tokenizer(&f, to, from + 1, 2, &err) == 0 && f.n == 2,
	      "each from the first directory that has it");
	ft_files_release(&f);
	ft_remove_dir(to, &err);
}

int main(void)
{
	if (!mkdtemp(dir))
		return 99;
	test_one();
	test_shards();
	test_errors();
	test_files();
	ft_remove_dir(dir, &err);
	return test_done();
}
