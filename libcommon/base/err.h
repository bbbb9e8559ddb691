/* SPDX-License-Identifier: MIT */
/*
 * Errors as values.  A library function that can fail returns 0 or -1 (an
 * iterator 1, 0 or -1) and takes a struct ft_err last; the tool that called it
 * ends with ft_die_err().
 *
 * The statuses are those of ft(7); a shell and make see them.
 */
#ifndef FT_BASE_ERR_H
#define FT_BASE_ERR_H

#include <stdint.h>

#define FT_PRINTF(a, b) __attribute__((format(printf, a, b)))

enum ft_exit {
	FT_EXIT_OK = 0,
	FT_EXIT_NO = 1,    /* ran, and the answer is no (like cmp, grep) */
	FT_EXIT_USAGE = 2, /* bad command line; nothing was read or written */
	FT_EXIT_DATA = 3,  /* malformed, truncated, of another tokenizer */
	FT_EXIT_SYS = 4, /* cannot open, cannot write, no memory, no library */
};

struct ft_err {
	enum ft_exit code;
	char where[256]; /* file, or "" */
	uint64_t line;   /* 1-based line of where, or 0 */
	char msg[768];
};

/* Fill err and return -1, so that a caller can `return ft_err_set(...)`. */
int ft_err_set(struct ft_err *err, enum ft_exit code, const char *fmt, ...)
	FT_PRINTF(3, 4);
/* The same, with strerror(errno) after the message and code FT_EXIT_SYS. */
int ft_err_sys(struct ft_err *err, const char *fmt, ...) FT_PRINTF(2, 3);
/* Say where it happened, unless something nearer to it already did. */
int ft_err_at(struct ft_err *err, const char *where, uint64_t line);

#endif
