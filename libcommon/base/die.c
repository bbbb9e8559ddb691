/* SPDX-License-Identifier: MIT */
#include "libcommon/base/die.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/base/str.h"

int ft_verbosity;
bool ft_json_errors;

static const char *progname = "ft";

/* A message being put together, without malloc: there may be no memory. */
struct line {
	char s[4096];
	size_t n;
};

static void put(struct line *l, const char *s, size_t n)
{
	if (n > sizeof(l->s) - 8 - l->n)
		n = sizeof(l->s) - 8 - l->n;
	memcpy(l->s + l->n, s, n);
	l->n += n;
}

static void puts_to(struct line *l, const char *s)
{
	put(l, s, strlen(s));
}

/*
 * Text from outside: nothing in it may move the cursor, end the line or make
 * the JSON invalid.
 */
static void put_text(struct line *l, const char *s)
{
	for (size_t n = strlen(s), k; n; s += k, n -= k) {
		bool c1;

		k = ft_utf8_len(s, n);
		if (l->n + 8 > sizeof(l->s) - 64)
			return; /* what closes the object still fits */
		c1 = k == 2 && (unsigned char)s[0] == 0xC2 &&
		     (unsigned char)s[1] < 0xA0;
		if (k == 0 || c1 || (unsigned char)*s < ' ' || *s == 0x7F) {
			put(l, *s == '\t' ? " " : "?", 1);
			k = k ? k : 1;
			continue;
		}
		if (ft_json_errors && (*s == '"' || *s == '\\'))
			put(l, "\\", 1);
		put(l, s, k);
	}
}

static void report(int status, const char *where, uint64_t line,
		   const char *msg)
{
	char num[32];
	struct line l;
	size_t done = 0;

	l.n = 0;
	snprintf(num, sizeof(num), "%llu", (unsigned long long)line);
	puts_to(&l, ft_json_errors ? "{\"tool\":\"" : "");
	put_text(&l, progname);
	puts_to(&l, ft_json_errors ? "\",\"file\":" : ": ");
	if (ft_json_errors) {
		puts_to(&l, where[0] ? "\"" : "null");
		put_text(&l, where);
		puts_to(&l, where[0] ? "\",\"line\":" : ",\"line\":");
		puts_to(&l, line ? num : "null");
		puts_to(&l, ",\"message\":\"");
	} else if (where[0]) {
		put_text(&l, where);
		if (line) {
			puts_to(&l, ":");
			puts_to(&l, num);
		}
		puts_to(&l, ": ");
	}
	put_text(&l, msg);
	if (ft_json_errors) {
		snprintf(num, sizeof(num), "\",\"status\":%d}", status);
		puts_to(&l, num);
	}
	l.s[l.n++] = '\n';
	while (done < l.n) {
		ssize_t r = write(STDERR_FILENO, l.s + done, l.n - done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return; /* there is nowhere left to complain */
		done += (size_t)r;
	}
}

static void FT_PRINTF(2, 0)
	vreport(int status, const char *fmt, va_list ap, const char *reason)
{
	char msg[2048];
	int r = vsnprintf(msg, sizeof(msg), fmt, ap);
	size_t n = r < 0 ? 0 : (size_t)r;

	if (n > sizeof(msg) - 1)
		n = sizeof(msg) - 1;
	msg[n] = 0;
	if (reason)
		snprintf(msg + n, sizeof(msg) - n, ": %s", reason);
	report(status, "", 0, msg);
}

void ft_info(const char *fmt, ...)
{
	va_list ap;

	if (ft_verbosity < 0)
		return;
	va_start(ap, fmt);
	vreport(0, fmt, ap, NULL);
	va_end(ap);
}

void ft_verbose(const char *fmt, ...)
{
	va_list ap;

	if (ft_verbosity < 1)
		return;
	va_start(ap, fmt);
	vreport(0, fmt, ap, NULL);
	va_end(ap);
}

void ft_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vreport(0, fmt, ap, NULL);
	va_end(ap);
}

_Noreturn void ft_die(enum ft_exit code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vreport((int)code, fmt, ap, NULL);
	va_end(ap);
	exit((int)code);
}

_Noreturn void ft_die_errno(const char *fmt, ...)
{
	const char *reason = strerror(errno);
	va_list ap;

	va_start(ap, fmt);
	vreport(FT_EXIT_SYS, fmt, ap, reason);
	va_end(ap);
	exit(FT_EXIT_SYS);
}

_Noreturn void ft_die_err(const struct ft_err *err)
{
	report((int)err->code, err->where, err->line, err->msg);
	exit((int)err->code);
}

static void die_of_sigpipe(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(SIGPIPE);
}

/*
 * A short write to a full disk shows only when stdio flushes.  Without this,
 * the tool would report success for output that was lost.
 */
static void close_stdout(void)
{
	bool pending = __fpending(stdout) > 0, failed = ferror(stdout);
	const char *reason;

	errno = 0;
	if (fclose(stdout) == 0 && !failed)
		return;
	/* Never written to, and closed by whoever started us. */
	if (errno == EBADF && !pending && !failed)
		return;
	if (errno == EPIPE)
		die_of_sigpipe();
	reason = errno ? strerror(errno) : "an earlier write failed";
	ft_warn("cannot write standard output: %s", reason);
	_exit(FT_EXIT_SYS);
}

/*
 * A file opened later must not become fd 0, 1 or 2.  A closed stdin is opened
 * for writing and a closed stdout for reading, so that using them still fails.
 */
static void open_std(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		int mode = fd == 0 ? O_WRONLY : fd == 1 ? O_RDONLY : O_RDWR;

		if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
			continue;
		if (open("/dev/null", mode) != fd)
			_exit(FT_EXIT_SYS);
	}
}

void ft_start(const char *argv0)
{
	const char *slash = argv0 ? strrchr(argv0, '/') : NULL;
	sigset_t set;

	open_std();
	if (argv0)
		progname = slash ? slash + 1 : argv0;
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	signal(SIGPIPE, SIG_DFL);
	atexit(close_stdout);
}

const char *ft_progname(void)
{
	return progname;
}
