/* SPDX-License-Identifier: MIT */
#include "libcommon/io/output.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "libcommon/io/input.h"
#include "tests/lib/child.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

static int entries(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n - 2;
}

static bool holds(const char *path, const char *want)
{
	struct ft_err err;
	size_t n;
	char *s = ft_read_file(path, 1 << 24, &n, &err);
	bool ok = s && n == strlen(want) && !memcmp(s, want, n);

	free(s);
	return ok;
}

static void test_file(void)
{
	char *dir = scratch_path("d"), *path = scratch_path("d/out");
	char *link = scratch_path("d/link");
	struct ft_output *o;
	struct ft_err err;
	struct stat st;

	CHECK(ft_mkdirs(dir, &err) == 0, "a directory");
	umask(022);
	CHECK(ft_output_open(&o, path, false, &err) == 0, "open");
	CHECK(access(path, F_OK) && entries(dir) == 1, "not there yet");
	CHECK(ft_output_write(o, "hello ", 6, &err) == 0 &&
		      ft_output_write(o, "world", 5, &err) == 0 &&
		      ft_output_tell(o) == 11,
	      "write and tell");
	CHECK(ft_output_flush(o, &err) == 0 && access(path, F_OK),
	      "flushed, but not there");
	CHECK(ft_output_commit(o, &err) == 0 && holds(path, "hello world"),
	      "there");
	CHECK(entries(dir) == 1 && stat(path, &st) == 0 &&
		      (st.st_mode & 0777) == 0644,
	      "alone, with the usual mode");
	chmod(path, 0600);
	ft_output_open(&o, path, false, &err);
	ft_output_write(o, "x", 1, &err);
	ft_output_abort(o);
	CHECK(holds(path, "hello world") && entries(dir) == 1,
	      "abort leaves the old one and no other");
	CHECK(ft_write_file(path, "new", 3, &err) == 0 && holds(path, "new") &&
		      stat(path, &st) == 0 && (st.st_mode & 0777) == 0600,
	      "replaced, its mode kept");
	if (symlink("out", link))
		exit(99);
	CHECK(ft_write_file(link, "via", 3, &err) == 0 && holds(path, "via") &&
		      lstat(link, &st) == 0 && S_ISLNK(st.st_mode),
	      "through a symbolic link");
}

static void test_big(void)
{
	enum { N = 3000000 };
	char *path = scratch_path("big"), *data = ft_xmalloc(N + 1);
	struct ft_output *o;
	struct ft_err err;
	struct stat st;

	for (int z = 0; z < 2; z++) {
		for (size_t i = 0; i < N; i++)
			data[i] = (char)('a' + i / 7 % 13);
		data[N] = 0;
		ft_output_open(&o, path, z, &err);
		for (size_t i = 0, k = 1; i < N; i += k, k = k * 3 % 100003) {
			k = k < N - i ? k : N - i;
			ft_output_write(o, data + i, k, &err);
			if (k % 7 == 0)
				ft_output_flush(o, &err);
		}
		CHECK(ft_output_tell(o) == N, "bytes before compression");
		CHECK(ft_output_commit(o, &err) == 0 && holds(path, data),
		      "many pieces%s", z ? ", zstd" : "");
		CHECK(stat(path, &st) == 0 &&
			      (z ? st.st_size < N / 10 : st.st_size == N),
		      "size");
	}
	ft_output_open(&o, path, true, &err);
	CHECK(ft_output_commit(o, &err) == 0 && holds(path, "") &&
		      stat(path, &st) == 0 && st.st_size > 0,
	      "nothing, in zstd");
	free(data);
}

static void test_bad(void)
{
	struct ft_output *o;
	struct ft_err err;
	char block[100000] = {0};

	CHECK(ft_output_open(&o, "/nonexistent/x", false, &err) == -1 && !o &&
		      err.code == FT_EXIT_SYS,
	      "no directory: %s", err.msg);
	CHECK(ft_output_open(&o, scratch(), false, &err) == -1 &&
		      err.code == FT_EXIT_SYS,
	      "a directory: %s", err.msg);
	CHECK(ft_output_open(&o, "/dev/full", false, &err) == 0 &&
		      ft_output_write(o, "x", 1, &err) == 0 &&
		      ft_output_commit(o, &err) == -1 &&
		      err.code == FT_EXIT_SYS,
	      "a full device shows at the end: %s", err.msg);
	CHECK(ft_output_open(&o, "/dev/full", false, &err) == 0 &&
		      ft_output_write(o, block, sizeof(block), &err) == -1 &&
		      ft_output_write(o, "x", 1, &err) == -1 &&
		      ft_output_commit(o, &err) == -1,
	      "a failure stays");
	CHECK(ft_write_file("/dev/null", "x", 1, &err) == 0, "/dev/null");
}

/* --- in child processes -------------------------------------------------- */

struct plan {
	const char *path;
	int how;
};

static void writer(void *arg)
{
	struct plan *p = arg;
	struct ft_output *o;
	struct ft_err err;
	char block[1000] = {0};

	ft_start("ft-x");
	if (ft_output_open(&o, p->path, false, &err) ||
	    ft_output_write(o, "x", 1, &err) || ft_output_flush(o, &err))
		ft_die_err(&err);
	if (p->how == 0)
		ft_die(FT_EXIT_DATA, "no good");
	if (p->how > 0)
		raise(p->how);
	if (p->how == -2)
		signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < 1000; i++) {
		if (ft_output_write(o, block, sizeof(block), &err))
			ft_die_err(&err);
	}
	if (ft_output_commit(o, &err))
		ft_die_err(&err);
}

static void test_ends(void)
{
	static const int sigs[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
	char *dir = scratch_path("e"), *path = scratch_path("e/out");
	struct plan p = {path, 0};
	struct child c;
	struct ft_err err;

	ft_mkdirs(dir, &err);
	child_run(&c, writer, &p);
	CHECK(c.status == 3 && entries(dir) == 0, "exit removes it");
	for (size_t i = 0; i < 4; i++) {
		p.how = sigs[i];
		child_run(&c, writer, &p);
		CHECK(c.status == 128 + sigs[i] && entries(dir) == 0,
		      "signal %d removes it and ends the process", sigs[i]);
	}
	signal(SIGHUP, SIG_IGN);
	p.how = SIGHUP;
	child_run(&c, writer, &p);
	CHECK(c.status == 0 && entries(dir) == 1, "an ignored one stays so");
	signal(SIGHUP, SIG_DFL);
}

static void broken_pipe(void *arg)
{
	int fd[2];

	if (pipe(fd) || dup2(fd[1], STDOUT_FILENO) < 0)
		_exit(99);
	close(fd[0]);
	close(fd[1]);
	writer(arg);
}

static void full_stdout(void *arg)
{
	int fd = open("/dev/full", O_WRONLY);

	(void)arg;
	dup2(fd, STDOUT_FILENO);
	ft_start("ft-x");
	printf("hello\n");
}

static void closed_stdout(void *arg)
{
	(void)arg;
	close(STDOUT_FILENO);
	close(STDIN_FILENO);
	ft_start("ft-x");
	printf("hello\n");
}

static void idle(void *arg)
{
	(void)arg;
	close(STDOUT_FILENO);
	ft_start("ft-x");
}

static void test_stdout(void)
{
	struct plan p = {NULL, -1};
	struct child c;

	child_run(&c, broken_pipe, &p);
	CHECK(c.status == 128 + SIGPIPE && !c.err[0],
	      "an early reader: SIGPIPE and no noise");
	p.how = -2;
	child_run(&c, broken_pipe, &p);
	CHECK(c.status == 4 || c.status == 128 + SIGPIPE, "SIGPIPE ignored: %d",
	      c.status);
	child_run(&c, full_stdout, NULL);
	CHECK(c.status == 4 && strstr(c.err, "cannot write standard output"),
	      "a full disk behind stdio: %s", c.err);
	child_run(&c, closed_stdout, NULL);
	CHECK(c.status == 4, "a closed stdout");
	child_run(&c, idle, NULL);
	CHECK(c.status == 0, "a closed stdout that nobody needs");
}

static void test_dirs(void)
{
	char *deep = scratch_path("m/a//b/c/"), *top = scratch_path("m");
	struct ft_err err;

	CHECK(ft_mkdirs(deep, &err) == 0 && ft_mkdirs(deep, &err) == 0 &&
		      access(scratch_path("m/a/b/c"), F_OK) == 0,
	      "directories, twice");
	scratch_file("m/f", "", 0);
	CHECK(ft_mkdirs(scratch_path("m/f/x"), &err) == -1 &&
		      err.code == FT_EXIT_SYS,
	      "below a file: %s", err.msg);
	CHECK(ft_remove_dir(top, &err) == -1 && err.code == FT_EXIT_SYS,
	      "what is deeper than ours is not removed: %s", err.msg);
	CHECK(ft_remove_dir(scratch_path("m/a/b"), &err) == 0 &&
		      ft_remove_dir(top, &err) == 0 && access(top, F_OK),
	      "a directory of ours");
	CHECK(ft_remove_dir(top, &err) == 0, "one that is not there");
	CHECK(ft_sync_dir(scratch(), &err) == 0 &&
		      ft_sync_dir("/nonexistent", &err) == -1,
	      "sync");
}

int main(void)
{
	test_ends(); /* first: its children must not inherit our handlers */
	test_file();
	test_big();
	test_bad();
	test_stdout();
	test_dirs();
	return test_done();
}
