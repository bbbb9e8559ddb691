/* SPDX-License-Identifier: MIT */
/*
 * A library to preload that makes things go wrong at a chosen moment: for
 * tests of what is left after a crash, a full disk, a failing disk.
 *
 *	KILLER_UNDER	what happens to paths that begin so is counted, from 1:
 *			creating, writing, syncing, renaming, removing
 *	KILLER_DO	N:WHAT[,N:WHAT]...  at the Nth operation
 *	  kill		die of SIGKILL, of a write half done
 *	  SIGNUMBER	raise that signal, then do it
 *	  full		from here on no byte can be written or file made
 *	  eio		this fsync, or the next one, fails
 *	KILLER_LOG	a line for each operation: number, what, path
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static long count;
static bool full, eio;

/* The functions replaced here, as the system declares them. */
int open64(const char *path, int flags, ...);
int mkdir(const char *path, mode_t mode);
int rename(const char *from, const char *to);

static bool watched(const char *path)
{
	const char *under = getenv("KILLER_UNDER");

	return under && path && !strncmp(path, under, strlen(under));
}

static void note(const char *what, const char *path)
{
	const char *log = getenv("KILLER_LOG");
	char line[5000];
	int fd, n;

	if (!log)
		return;
	n = snprintf(line, sizeof(line), "%ld %s %s\n", count, what, path);
	fd = (int)syscall(SYS_openat, AT_FDCWD, log,
			  O_WRONLY | O_CREAT | O_APPEND, 0666);
	if (fd < 0 || syscall(SYS_write, fd, line, n) != n)
		abort();
	syscall(SYS_close, fd);
}

/* Count an operation; true when the process is to die in it. */
static bool happens(const char *what, const char *path)
{
	const char *s = getenv("KILLER_DO");
	bool die = false;

	count++;
	note(what, path);
	while (s && *s) {
		char *end;
		long at = strtol(s, &end, 10);
		const char *verb = *end == ':' ? end + 1 : end;

		if (at == count) {
			full = full || !strncmp(verb, "full", 4);
			eio = eio || !strncmp(verb, "eio", 3);
			die = die || !strncmp(verb, "kill", 4);
			if (*verb >= '0' && *verb <= '9')
				raise((int)strtol(verb, NULL, 10));
		}
		s = strchr(s, ',');
		s = s ? s + 1 : NULL;
	}
	return die;
}

static void die(void)
{
	syscall(SYS_kill, getpid(), SIGKILL);
}

static const char *fd_path(int fd, char buf[4096])
{
	char name[64];
	ssize_t n;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	n = readlink(name, buf, 4095);
	buf[n > 0 ? n : 0] = 0;
	return buf;
}

static int no_space(void)
{
	errno = ENOSPC;
	return -1;
}

static int do_open(const char *path, int flags, mode_t mode)
{
	if ((flags & O_CREAT) && watched(path)) {
		if (happens("create", path))
			die();
		if (full && access(path, F_OK) < 0)
			return no_space();
	}
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode = 0;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	return do_open(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode = 0;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	return do_open(path, flags, mode);
}

ssize_t write(int fd, const void *p, size_t n)
{
	char path[4096];
	size_t half = n / 2;

	if (!watched(fd_path(fd, path)))
		return syscall(SYS_write, fd, p, n);
	if (happens("write", path)) {
		syscall(SYS_write, fd, p, half);
		die();
	}
	if (!full)
		return syscall(SYS_write, fd, p, n);
	/* a disk fills up in the middle of a write, then takes nothing */
	return half ? syscall(SYS_write, fd, p, half) : no_space();
}

int fsync(int fd)
{
	char path[4096];

	if (watched(fd_path(fd, path))) {
		if (happens("fsync", path))
			die();
		if (eio) {
			eio = false;
			errno = EIO;
			return -1;
		}
	}
	return (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
	if (watched(to) && happens("rename", to))
		die();
	return (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

int mkdir(const char *path, mode_t mode)
{
	if (watched(path)) {
		if (happens("mkdir", path))
			die();
		if (full && access(path, F_OK) < 0)
			return no_space();
	}
	return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

int unlink(const char *path)
{
	if (watched(path) && happens("unlink", path))
		die();
	return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
	if (watched(path) && happens("rmdir", path))
		die();
	return (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
}
