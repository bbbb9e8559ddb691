/* SPDX-License-Identifier: MIT */
/*
 * Messages and exits for programs.  Only tools/ calls the ones that exit;
 * library code returns a struct ft_err.
 *
 * A message is one line and one write(2) to stderr: "tool: where: what", or
 * with --json-errors an object {tool, file, line, message, status}.  Control
 * characters in it are replaced; user text is quoted by the caller.
 */
#ifndef FT_BASE_DIE_H
#define FT_BASE_DIE_H

#include <stdbool.h>

#include "libcommon/base/err.h"

#define FT_VERSION "0.1.0"

/*
 * Call first in main().  Takes the program name from argv0, puts SIGPIPE back
 * to its default, makes sure that fds 0-2 are open, and arranges for stdout to
 * be flushed and checked at exit (a full disk is status 4, an early reader
 * SIGPIPE).
 */
void ft_start(const char *argv0);
const char *ft_progname(void);

/* Set by the options every tool has (-q, -v, --json-errors). */
extern int ft_verbosity; /* -1 quiet, 0, 1 verbose */
extern bool ft_json_errors;

void ft_info(const char *fmt, ...) FT_PRINTF(1, 2);    /* not with -q */
void ft_verbose(const char *fmt, ...) FT_PRINTF(1, 2); /* only with -v */
void ft_warn(const char *fmt, ...) FT_PRINTF(1, 2);
_Noreturn void ft_die(enum ft_exit code, const char *fmt, ...) FT_PRINTF(2, 3);
_Noreturn void ft_die_errno(const char *fmt, ...) FT_PRINTF(1, 2);
_Noreturn void ft_die_err(const struct ft_err *err);

#endif
