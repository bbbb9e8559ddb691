/* SPDX-License-Identifier: MIT */
#include "libcommon/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Formatted aside first: an argument may be err's own text. */
static void FT_PRINTF(3, 0)
	fill(struct ft_err *err, enum ft_exit code, const char *fmt, va_list ap,
	     const char *reason)
{
	char msg[sizeof(err->msg)];
	size_t n;
	int r = vsnprintf(msg, sizeof(msg), fmt, ap);

	n = r < 0 ? 0 : (size_t)r;
	if (n > sizeof(msg) - 1)
		n = sizeof(msg) - 1;
	msg[n] = 0;
	if (reason)
		snprintf(msg + n, sizeof(msg) - n, ": %s", reason);
	if (!err)
		return;
	err->code = code;
	err->where[0] = 0;
	err->line = 0;
	memcpy(err->msg, msg, sizeof(msg));
}

int ft_err_set(struct ft_err *err, enum ft_exit code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(err, code, fmt, ap, NULL);
	va_end(ap);
	return -1;
}

int ft_err_sys(struct ft_err *err, const char *fmt, ...)
{
	int saved = errno;
	char buf[128];
	va_list ap;

	va_start(ap, fmt);
	fill(err, FT_EXIT_SYS, fmt, ap, strerror_r(saved, buf, sizeof(buf)));
	va_end(ap);
	errno = saved;
	return -1;
}

int ft_err_at(struct ft_err *err, const char *where, uint64_t line)
{
	if (err && !err->where[0]) {
		snprintf(err->where, sizeof(err->where), "%s", where);
		err->line = line;
	}
	return -1;
}
