/* SPDX-License-Identifier: MIT */
#include "libcommon/io/manifest.h"

#include <stdlib.h>

#include "libcommon/io/input.h"
#include "libcommon/io/output.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

/* By sha256sum(1): "" and "hello". */
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define HELLO "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

static const char *const files[] = {"b.txt", "config.json", "s/a.txt"};

static void test_write(void)
{
	struct ft_err err;
	char *s, hex[65];
	size_t n;

	ft_mkdirs(scratch_path("d/s"), &err);
	scratch_file("d/b.txt", "hello", 5);
	scratch_file("d/config.json", "", 0);
	scratch_file("d/s/a.txt", "hello", 5);
	CHECK(ft_file_sha256(scratch_path("d/b.txt"), hex, &err) == 0 &&
		      !strcmp(hex, HELLO),
	      "digest of a file");
	CHECK(ft_manifest_check(scratch_path("d"), &err) == 1, "none yet");
	CHECK(ft_manifest_drop(scratch_path("d"), &err) == 0, "drop none");
	CHECK(ft_manifest_write(scratch_path("d"), files, 3,
				"\"provenance\":[{\"tool\":\"ft-x\"}]",
				&err) == 0,
	      "write");
	s = ft_read_file(scratch_path("d/" FT_MANIFEST), 10000, &n, &err);
	CHECK(s && !strcmp(s,
			   "{\n \"files\": {\n"
			   "  \"b.txt\": {\n   \"sha256\": \"" HELLO "\",\n"
			   "   \"size\": 5\n  },\n"
			   "  \"config.json\": {\n   \"sha256\": \"" EMPTY
			   "\",\n   \"size\": 0\n  },\n"
			   "  \"s/a.txt\": {\n   \"sha256\": \"" HELLO "\",\n"
			   "   \"size\": 5\n  }\n },\n"
			   " \"format\": \"1\",\n \"provenance\": [\n  {\n"
			   "   \"tool\": \"ft-x\"\n  }\n ]\n}\n"),
	      "what it says");
	free(s);
	CHECK(ft_manifest_check(scratch_path("d"), &err) == 0, "complete");
}

static void test_damage(void)
{
	static const char *const same[] = {"b.txt", "b.txt"};
	static const char *const outside[] = {"../x"};
	static const char *const deep[] = {"s/t/c"};
	static const char *const absent[] = {"nothing"};
	char *dir = scratch_path("d"), hex[65];
	struct ft_err err;

	scratch_file("d/b.txt", "hellO", 5);
	CHECK(ft_manifest_check(dir, &err) == -1 && err.code == FT_EXIT_DATA &&
		      strstr(err.where, "d/b.txt") && strstr(err.msg, "digest"),
	      "other bytes: %s", err.msg);
	scratch_file("d/b.txt", "hello!", 6);
	CHECK(ft_manifest_check(dir, &err) == -1 && strstr(err.msg, "6 bytes"),
	      "other size: %s", err.msg);
	unlink(scratch_path("d/b.txt"));
	CHECK(ft_manifest_check(dir, &err) == -1 && err.code == FT_EXIT_DATA,
	      "missing: %s", err.msg);
	alarm(10);
	CHECK(mkfifo(scratch_path("d/b.txt"), 0600) == 0 &&
		      ft_manifest_check(dir, &err) == -1 &&
		      err.code == FT_EXIT_DATA &&
		      ft_file_sha256(scratch_path("d/b.txt"), hex, &err) == -1,
	      "a fifo is not waited for: %s", err.msg);
	alarm(0);
	unlink(scratch_path("d/b.txt"));
	CHECK(ft_manifest_drop(dir, &err) == 0 &&
		      access(scratch_path("d/" FT_MANIFEST), F_OK) &&
		      ft_manifest_check(dir, &err) == 1,
	      "dropped");
	scratch_file("d/b.txt", "hello", 5);
	CHECK(ft_manifest_write(dir, same, 2, NULL, &err) == -1,
	      "a name twice: %s", err.msg);
	ft_mkdirs(scratch_path("d/s/t"), &err);
	scratch_file("d/s/t/c", "", 0);
	scratch_file("x", "", 0);
	CHECK(ft_manifest_write(dir, outside, 1, NULL, &err) == -1 &&
		      ft_manifest_write(dir, deep, 1, NULL, &err) == -1,
	      "names that leave: %s", err.msg);
	CHECK(ft_manifest_write(dir, absent, 1, NULL, &err) == -1 &&
		      err.code == FT_EXIT_SYS,
	      "no such file: %s", err.msg);
	CHECK(access(scratch_path("d/" FT_MANIFEST), F_OK),
	      "no manifest was written");
	CHECK(ft_manifest_write(dir, files, 0, NULL, &err) == 0 &&
		      ft_manifest_check(dir, &err) == 0,
	      "an empty one");
}

static void test_malformed(void)
{
	static const char *const bad[] = {
		"",
		"{",
		"[]",
		"{}",
		"{\"format\":1,\"files\":{}}",
		"{\"format\":\"2\",\"files\":{}}",
		"{\"format\":\"1\"}",
		"{\"format\":\"1\",\"files\":{\"b.txt\":{}}}",
		"{\"format\":\"1\",\"files\":{\"b.txt\":1}}",
		"{\"format\":\"1\",\"files\":{\"../d/b.txt\":{\"sha256\":\"" HELLO
		"\",\"size\":5}}}",
		"{\"format\":\"1\",\"files\":{\"/b.txt\":{\"sha256\":\"" HELLO
		"\",\"size\":5}}}",
		"{\"format\":\"1\",\"files\":{\"b.txt\":{\"sha256\":\"" HELLO
		"\",\"size\":-5}}}",
		"{\"format\":\"1\",\"files\":{\"b.txt\":{\"sha256\":\"\",\"size\":5}}}",
	};
	struct ft_err err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		scratch_file("d/" FT_MANIFEST, bad[i], strlen(bad[i]));
		CHECK(ft_manifest_check(scratch_path("d"), &err) == -1 &&
			      err.code == FT_EXIT_DATA && err.where[0],
		      "malformed %zu: %s", i, err.msg);
	}
}

static void test_identity(void)
{
	static const char *const two[] = {"config.json", "model.safetensors"};
	/* printf '%s  config.json\n%s  model.safetensors\n' | sha256sum */
	static const char want[] =
		"cb8d3faf5345ce6c3e26da059777c381fc12f657af67c81c080f46d499c2c74a";
	char a[65], b[65], *dir = scratch_path("d");
	struct ft_err err;

	unlink(scratch_path("d/" FT_MANIFEST));
	CHECK(ft_model_digest(dir, a, &err) == -1 && err.code == FT_EXIT_DATA,
	      "no weights: %s", err.msg);
	scratch_file("d/model.safetensors", "hello", 5);
	CHECK(ft_model_digest(dir, a, &err) == 0 && !strcmp(a, want),
	      "identity: %s", a);
	scratch_file("d/optimizer.safetensors", "x", 1);
	CHECK(ft_model_digest(dir, b, &err) == 0 && !strcmp(a, b),
	      "an optimizer is no part of it");
	ft_manifest_write(dir, two, 2, NULL, &err);
	CHECK(ft_model_digest(dir, b, &err) == 0 && !strcmp(a, b),
	      "the same from a manifest");
	scratch_file("d/model.safetensors", "other size", 10);
	CHECK(ft_model_digest(dir, b, &err) == 0 && strcmp(a, b) != 0,
	      "a manifest that does not fit is not believed");
	scratch_file("d/" FT_MANIFEST, "{", 1);
	scratch_file("d/model.safetensors", "hello", 5);
	CHECK(ft_model_digest(dir, b, &err) == 0 && !strcmp(a, b),
	      "nor a broken one");
	CHECK(ft_model_digest("/nonexistent", a, &err) == -1 &&
		      err.code == FT_EXIT_SYS,
	      "no directory");
}

int main(void)
{
	test_write();
	test_damage();
	test_malformed();
	test_identity();
	return test_done();
}
