/* SPDX-License-Identifier: MIT */
#include "libcommon/io/input.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <zstd.h>

#include "libcommon/base/mem.h"
#include "tests/lib/child.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

enum { BIG = 1000000 };

static unsigned char *big; /* text of BIG bytes that compresses a little */

static size_t compress(void *dst, size_t cap, const void *p, size_t n)
{
	ZSTD_CCtx *c = ZSTD_createCCtx();
	size_t r;

	ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
	r = ZSTD_compress2(c, dst, cap, p, n);
	ZSTD_freeCCtx(c);
	return r;
}

/* All bytes of an input in pieces of step; -1 on error. */
static ssize_t drain(struct ft_input *in, unsigned char *buf, size_t cap,
		     size_t step, struct ft_err *err)
{
	size_t n = 0;
	ssize_t r;

	do {
		r = ft_input_read(in, buf + n, step < cap - n ? step : cap - n,
				  err);
		n += r > 0 ? (size_t)r : 0;
	} while (r > 0 && n < cap);
	return r < 0 ? -1 : (ssize_t)n;
}

static ssize_t drain_mem(const void *p, size_t n, unsigned char *buf,
			 size_t cap, struct ft_err *err)
{
	struct ft_input *in;
	ssize_t r;

	ft_input_mem(&in, p, n, err);
	r = drain(in, buf, cap, 777, err);
	ft_input_close(in);
	return r;
}

static void test_plain(void)
{
	static const size_t steps[] = {1, 777, 1 << 16, 1 << 20};
	unsigned char *buf = ft_xmalloc(2 * BIG);
	char *path = scratch_file("plain", big, BIG);
	struct ft_input *in;
	struct ft_err err;

	for (size_t i = 0; i < 4; i++) {
		CHECK(ft_input_open(&in, path, &err) == 0, "open");
		CHECK(drain(in, buf, 2 * BIG, steps[i], &err) == BIG &&
			      !memcmp(buf, big, BIG),
		      "a file by %zu bytes", steps[i]);
		CHECK(ft_input_read(in, buf, 1, &err) == 0, "and its end");
		CHECK(!strcmp(ft_input_name(in), path), "its name");
		ft_input_close(in);
	}
	CHECK(drain_mem("", 0, buf, 10, &err) == 0, "nothing");
	CHECK(drain_mem("(\xB5", 2, buf, 10, &err) == 2 && buf[0] == '(',
	      "half of a magic number");
	CHECK(drain_mem("{}", 2, buf, 10, &err) == 2, "two bytes");
	free(buf);
}

static void test_zstd(void)
{
	/* magic, descriptor, window 2^(10+17), one raw block of one byte */
	unsigned char wide[] = {0x28,    0xB5, 0x2F, 0xFD, 0,
				17 << 3, 9,    0,    0,    'x'};
	size_t cap = ZSTD_compressBound(BIG) * 2;
	unsigned char *z = ft_xmalloc(cap), *buf = ft_xmalloc(2 * BIG + 1);
	unsigned char *skip = ft_xmalloc(cap + 13);
	size_t n = compress(z, cap, big, BIG), m;
	struct ft_input *in;
	struct ft_err err;
	bool ok = true;

	memcpy(skip, "\x5f\x2a\x4d\x18\x05\0\0\0", 8);
	CHECK(drain_mem(z, n, buf, 2 * BIG, &err) == BIG &&
		      !memcmp(buf, big, BIG),
	      "a frame");
	m = n + compress(z + n, cap - n, "", 0);
	m += compress(z + m, cap - m, big, 1000);
	CHECK(drain_mem(z, m, buf, 2 * BIG, &err) == BIG + 1000,
	      "three frames, one of them empty");
	CHECK(ft_input_open(&in, scratch_file("z", z, m), &err) == 0 &&
		      drain(in, buf, 2 * BIG, 100000, &err) == BIG + 1000 &&
		      !memcmp(buf + BIG, big, 1000),
	      "the same in a file");
	ft_input_close(in);
	memcpy(skip + 8, "table", 5);
	memcpy(skip + 13, z, n);
	CHECK(drain_mem(skip, n + 13, buf, 2 * BIG, &err) == BIG &&
		      !memcmp(buf, big, BIG),
	      "behind a frame to be skipped %s", err.msg);
	CHECK(drain_mem(skip, 12, buf, 2 * BIG, &err) < 0 &&
		      drain_mem("P*x", 3, buf, 10, &err) == 3,
	      "half of one, and text that begins so");
	free(skip);
	for (size_t cut = 4; cut < n; cut += cut < 40 ? 1 : 1009) {
		ok = ok && drain_mem(z, cut, buf, 2 * BIG, &err) < 0 &&
		     err.code == FT_EXIT_DATA;
	}
	CHECK(ok, "cut anywhere: %s", err.msg);
	CHECK(drain_mem(z, n - 1, buf, 2 * BIG, &err) < 0 &&
		      !strcmp(err.msg, "truncated zstd data") &&
		      !strcmp(err.where, "memory"),
	      "the last byte is missing");
	z[n] = 'x';
	CHECK(drain_mem(z, n + 1, buf, 2 * BIG, &err) < 0 &&
		      err.code == FT_EXIT_DATA,
	      "one byte of garbage behind: %s", err.msg);
	memset(z + n, 'x', 20);
	CHECK(drain_mem(z, n + 20, buf, 2 * BIG, &err) < 0 &&
		      err.code == FT_EXIT_DATA,
	      "garbage behind: %s", err.msg);
	z[n - 1] ^= 1;
	CHECK(drain_mem(z, n, buf, 2 * BIG, &err) < 0 &&
		      err.code == FT_EXIT_DATA,
	      "a wrong checksum: %s", err.msg);
	CHECK(drain_mem(wide, sizeof(wide), buf, 2 * BIG, &err) == 1 &&
		      buf[0] == 'x',
	      "a window of 2^27");
	wide[5] = 18 << 3;
	CHECK(drain_mem(wide, sizeof(wide), buf, 2 * BIG, &err) < 0 &&
		      err.code == FT_EXIT_DATA,
	      "too wide a window: %s", err.msg);
	free(z);
	free(buf);
}

/* A writer that gives one byte at a time, on stdin. */
static void test_pipe(void)
{
	unsigned char z[4096], buf[4096];
	size_t n = compress(z, sizeof(z), big, 2000);
	struct ft_input *in;
	struct ft_err err;
	int fd[2], saved = dup(STDIN_FILENO);
	pid_t pid;

	if (pipe(fd))
		exit(99);
	pid = fork();
	if (pid == 0) {
		close(fd[0]);
		for (size_t i = 0; i < n; i++) {
			if (write(fd[1], z + i, 1) != 1)
				_exit(1);
			if (i < 10)
				usleep(1000);
		}
		_exit(0);
	}
	close(fd[1]);
	dup2(fd[0], STDIN_FILENO);
	close(fd[0]);
	CHECK(ft_input_open(&in, NULL, &err) == 0 &&
		      !strcmp(ft_input_name(in), "-"),
	      "stdin is -");
	CHECK(drain(in, buf, sizeof(buf), 100, &err) == 2000 &&
		      !memcmp(buf, big, 2000),
	      "zstd from a slow pipe");
	ft_input_close(in);
	waitpid(pid, NULL, 0);
	dup2(saved, STDIN_FILENO);
	close(saved);
}

static void test_exact(void)
{
	struct ft_input *in;
	struct ft_err err;
	char buf[16];

	ft_input_mem(&in, "abcdefgh", 8, &err);
	CHECK(ft_input_exact(in, buf, 5, &err) == 1 && !memcmp(buf, "abcde", 5),
	      "five bytes");
	CHECK(ft_input_exact(in, buf, 5, &err) == -1 &&
		      err.code == FT_EXIT_DATA &&
		      !strcmp(err.msg, "truncated: 3 of 5 bytes"),
	      "five more: %s", err.msg);
	CHECK(ft_input_exact(in, buf, 1, &err) == -1, "no way on");
	ft_input_close(in);
	ft_input_mem(&in, "abc", 3, &err);
	CHECK(ft_input_exact(in, buf, 3, &err) == 1 &&
		      ft_input_exact(in, buf, 1, &err) == 0,
	      "the end is no error");
	ft_input_close(in);
}

static void test_errors(void)
{
	struct ft_input *in;
	struct ft_err err;
	char c, *s;
	size_t n;

	CHECK(ft_input_open(&in, "/nonexistent/x", &err) == -1 &&
		      err.code == FT_EXIT_SYS && !in &&
		      strstr(err.msg, "'/nonexistent/x'"),
	      "no such file: %s", err.msg);
	CHECK(ft_input_open(&in, scratch(), &err) == 0 &&
		      ft_input_read(in, &c, 1, &err) == -1 &&
		      err.code == FT_EXIT_SYS && !strcmp(err.where, scratch()),
	      "a directory: %s", err.msg);
	CHECK(ft_input_read(in, &c, 1, &err) == -1, "an error stays");
	ft_input_close(in);
	ft_input_close(NULL);
	s = ft_read_file(scratch_file("small", "hello", 5), 5, &n, &err);
	CHECK(s && n == 5 && !strcmp(s, "hello"), "a whole file");
	free(s);
	CHECK(!ft_read_file(scratch_path("small"), 4, &n, &err) &&
		      err.code == FT_EXIT_DATA,
	      "one that is too large: %s", err.msg);
	s = ft_read_file(scratch_file("large", big, BIG), BIG, &n, &err);
	CHECK(s && n == BIG && !memcmp(s, big, BIG), "a large one");
	free(s);
	s = ft_read_file(scratch_file("empty", "", 0), 0, &n, &err);
	CHECK(s && n == 0 && !s[0], "an empty one");
	free(s);
}

/* --- reading again ------------------------------------------------------- */

/* How many files are in the scratch folder. */
static int count(void)
{
	DIR *d = opendir(scratch());
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

/* in read through and then again, which is big whatever it came from. */
static void keep(struct ft_input *in, const char *what, bool copy)
{
	unsigned char *buf = ft_xmalloc(BIG + 1), *again = ft_xmalloc(BIG);
	struct ft_err err = {0};
	struct ft_kept k;
	int files = count();

	CHECK(!ft_input_keep(in, &k, scratch_path("not/yet"), &err) &&
		      k.copy == copy && count() == files,
	      "%s: %s, no new name %s", what, copy ? "a copy" : "itself",
	      err.msg);
	CHECK(drain(in, buf, BIG + 1, 70001, &err) == BIG &&
		      !memcmp(buf, big, BIG),
	      "%s: read %s", what, err.msg);
	ft_input_close(in);
	CHECK(!ft_kept_read(&k, again, BIG, 0, &err) &&
		      !memcmp(again, big, BIG) &&
		      !ft_kept_read(&k, again, 1000, BIG - 1000, &err) &&
		      !memcmp(again, big + BIG - 1000, 1000),
	      "%s: and again %s", what, err.msg);
	CHECK(ft_kept_read(&k, again, 2, BIG - 1, &err) < 0 &&
		      err.code == FT_EXIT_DATA,
	      "%s: not beyond its end: %s", what, err.msg);
	CHECK(!ft_kept_check(&k, &err), "%s: unchanged", what);
	ft_kept_release(&k);
	ft_kept_release(&k);
	free(again);
	free(buf);
}

static struct ft_input *opened(const char *path)
{
	struct ft_input *in;
	struct ft_err err;

	if (ft_input_open(&in, path, &err) < 0)
		exit(99);
	return in;
}

static void test_keep(void)
{
	size_t cap = ZSTD_compressBound(BIG), n;
	void *z = ft_xmalloc(cap);
	char *plain = scratch_file("plain", big, BIG), *packed;
	struct ft_err err = {0};
	struct ft_input *in;
	struct ft_kept k;
	int pipe_fd[2], status;
	pid_t child;

	n = compress(z, cap, big, BIG);
	packed = scratch_file("packed", z, n);
	free(z);
	keep(opened(plain), "a file", false);
	keep(opened(packed), "a compressed file", true);
	ft_input_mem(&in, big, BIG, &err);
	keep(in, "memory", true);

	if (pipe(pipe_fd) || (child = fork()) < 0)
		exit(99);
	if (child == 0) {
		for (size_t at = 0; at < BIG; at += 1000)
			if (write(pipe_fd[1], big + at, 1000) != 1000)
				_exit(1);
		_exit(0);
	}
	close(pipe_fd[1]);
	dup2(pipe_fd[0], 0);
	close(pipe_fd[0]);
	keep(opened("-"), "a pipe", true);
	waitpid(child, &status, 0);
	CHECK(status == 0, "the writer wrote it all");

	/* standard input that someone has read from does not begin at 0 */
	if (!freopen(plain, "r", stdin) || lseek(0, 10, SEEK_SET) != 10)
		exit(99);
	CHECK(!ft_input_keep(in = opened("-"), &k, scratch(), &err) && k.copy,
	      "a file begun already is copied %s", err.msg);
	ft_input_close(in);
	ft_kept_release(&k);

	CHECK(ft_input_keep(in = opened(packed), &k, plain, &err) < 0 &&
		      err.code == FT_EXIT_SYS,
	      "a file is no folder for a copy: %s", err.msg);
	ft_input_close(in);
	ft_kept_release(&k);
	CHECK(!ft_input_keep(in = opened(plain), &k, scratch(), &err),
	      "a file %s", err.msg);
	ft_input_close(in);
	if (truncate(plain, 100))
		exit(99);
	CHECK(ft_kept_check(&k, &err) < 0 && err.code == FT_EXIT_DATA &&
		      !strcmp(err.where, plain),
	      "one that changes is found out: %s", err.msg);
	ft_kept_release(&k);
}

int main(void)
{
	uint32_t x = 1;

	big = ft_xmalloc(BIG);
	for (size_t i = 0; i < BIG; i++) {
		x = x * 1664525 + 1013904223;
		big[i] = (unsigned char)('a' + (x >> 28));
	}
	test_plain();
	test_zstd();
	test_pipe();
	test_exact();
	test_errors();
	test_keep();
	free(big);
	return test_done();
}
