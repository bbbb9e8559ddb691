/* SPDX-License-Identifier: MIT */
/* Run a function in a child process and keep its status and what it said. */
#ifndef FT_TEST_CHILD_H
#define FT_TEST_CHILD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct child {
	int status;     /* exit status, or 128 + signal */
	char out[8192]; /* its stdout and stderr, NUL-terminated */
	char err[8192];
};

static inline void child_slurp(FILE *f, char *buf, size_t cap)
{
	size_t n;

	rewind(f);
	n = fread(buf, 1, cap - 1, f);
	buf[n] = 0;
	fclose(f);
}

/* fn may return (status 0 by exit) or end the process in its own way. */
static inline void child_run(struct child *c, void (*fn)(void *), void *arg)
{
	FILE *out = tmpfile(), *err = tmpfile();
	int status = 0;
	pid_t pid;

	fflush(stdout);
	if (!out || !err)
		exit(99);
	pid = fork();
	if (pid == 0) {
		dup2(fileno(out), STDOUT_FILENO);
		dup2(fileno(err), STDERR_FILENO);
		fn(arg);
		exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		exit(99);
	c->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status)
					: WEXITSTATUS(status);
	child_slurp(out, c->out, sizeof(c->out));
	child_slurp(err, c->err, sizeof(c->err));
}

#endif
