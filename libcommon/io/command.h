/* SPDX-License-Identifier: MIT */
/*
 * A user's command as a filter: rewards, judges, teachers (ft-rows(5), "Any
 * executable").  The command line is the user's own and goes to sh -c; data
 * goes to its standard input only, never into a command line.
 */
#ifndef FT_IO_COMMAND_H
#define FT_IO_COMMAND_H

#include "libcommon/base/err.h"
#include "libcommon/base/str.h"

/*
 * Run cmd, give it n bytes and end of file, append what it writes to out
 * (stderr is the caller's).  It may stop reading early.  A status other than
 * 0, a death, more than max bytes of output or timeout_s seconds gone
 * (0: no limit) is FT_EXIT_SYS; it and what it started is then killed.
 */
int ft_command_run(const char *cmd, const char *in, size_t n, double timeout_s,
		   size_t max, struct ft_str *out, struct ft_err *err);

#endif
