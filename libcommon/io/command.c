/* SPDX-License-Identifier: MIT */
#include "libcommon/io/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct child {
	pid_t pid;
	int to, from; /* pipes, or -1 when closed */
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int spawn(struct child *c, const char *cmd, int in, int out)
{
	char sh[] = "sh", flag[] = "-c";
	char *argv[] = {sh, flag, NULL, NULL};
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t def;
	int rc;

	argv[2] = strdup(cmd);
	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&at);
	posix_spawn_file_actions_adddup2(&fa, in, 0);
	posix_spawn_file_actions_adddup2(&fa, out, 1);
	/* a group of its own, so that all of a pipeline can be killed */
	sigemptyset(&def);
	sigaddset(&def, SIGPIPE);
	posix_spawnattr_setsigdefault(&at, &def);
	posix_spawnattr_setpgroup(&at, 0);
	posix_spawnattr_setflags(&at,
				 POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	rc = argv[2] ? posix_spawnp(&c->pid, "sh", &fa, &at, argv, environ)
		     : ENOMEM;
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&at);
	free(argv[2]);
	return rc;
}

static int start(struct child *c, const char *cmd, struct ft_err *err)
{
	int in[2] = {-1, -1}, out[2] = {-1, -1}, rc;

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) {
		ft_err_sys(err, "cannot make a pipe");
		close_fd(&in[0]);
		close_fd(&in[1]);
		return -1;
	}
	rc = spawn(c, cmd, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	c->to = in[1];
	c->from = out[0];
	if (rc) {
		errno = rc;
		ft_err_sys(err, "cannot start '%.200s'", cmd);
		close_fd(&c->to);
		close_fd(&c->from);
		return -1;
	}
	fcntl(c->to, F_SETFL, O_NONBLOCK);
	return 0;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Write some: what is left is *s, *n; the pipe is closed when none is. */
static void feed(struct child *c, const char **s, size_t *n)
{
	ssize_t k = *n ? write(c->to, *s, *n) : 0;

	if (k > 0) {
		*s += k;
		*n -= (size_t)k;
	}
	/* a command may have read enough: what it says decides */
	if (!*n || (k < 0 && errno != EAGAIN && errno != EINTR))
		close_fd(&c->to);
}

static int take(struct child *c, size_t max, struct ft_str *out,
		struct ft_err *err)
{
	char buf[65536];
	ssize_t k = read(c->from, buf, sizeof(buf));

	if (k < 0 && errno == EINTR)
		return 0;
	if (k < 0)
		return ft_err_sys(err, "cannot read what a command writes");
	if (k == 0)
		close_fd(&c->from);
	if (out->n + (size_t)k > max)
		return ft_err_set(err, FT_EXIT_SYS, "wrote more than %zu bytes",
				  max);
	ft_str_add(out, buf, (size_t)k);
	return 0;
}

static int converse(struct child *c, const char *in, size_t n, double deadline,
		    size_t max, struct ft_str *out, struct ft_err *err)
{
	if (!n)
		close_fd(&c->to);
	while (c->from >= 0) {
		struct pollfd p[2] = {{.fd = c->from, .events = POLLIN},
				      {.fd = c->to, .events = POLLOUT}};
		double left = deadline - now();
		int k;

		if (deadline > 0 && left <= 0)
			return ft_err_set(err, FT_EXIT_SYS,
					  "took too long and was killed");
		k = poll(p, c->to >= 0 ? 2 : 1,
			 deadline > 0 ? (int)(left < 1e6 ? left * 1e3 + 1 : 1e9)
				      : -1);
		if (k < 0 && errno != EINTR)
			return ft_err_sys(err, "cannot poll");
		if (k <= 0)
			continue;
		if (c->to >= 0 && p[1].revents)
			feed(c, &in, &n);
		if (p[0].revents && take(c, max, out, err) < 0)
			return -1;
	}
	return 0;
}

static int reap(struct child *c, double deadline, struct ft_err *err)
{
	struct timespec nap = {.tv_nsec = 1000000};
	int status;
	pid_t k;

	/* its output is closed, but it may go on for a while */
	while ((k = waitpid(c->pid, &status, deadline > 0 ? WNOHANG : 0)) !=
	       c->pid) {
		if (k < 0 && errno != EINTR)
			return ft_err_sys(err, "cannot wait for a command");
		if (k == 0 && now() > deadline)
			return ft_err_set(err, FT_EXIT_SYS,
					  "took too long and was killed");
		if (k == 0)
			nanosleep(&nap, NULL);
	}
	c->pid = -1;
	if (WIFSIGNALED(status))
		return ft_err_set(err, FT_EXIT_SYS, "died of signal %d (%s)",
				  WTERMSIG(status),
				  strsignal(WTERMSIG(status)));
	if (WEXITSTATUS(status))
		return ft_err_set(err, FT_EXIT_SYS, "ended with status %d",
				  WEXITSTATUS(status));
	return 0;
}

int ft_command_run(const char *cmd, const char *in, size_t n, double timeout_s,
		   size_t max, struct ft_str *out, struct ft_err *err)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN}, old;
	struct child c = {.pid = -1, .to = -1, .from = -1};
	double deadline = timeout_s > 0 ? now() + timeout_s : 0;
	int rc, status;

	/* one that does not read to the end is not our death */
	sigaction(SIGPIPE, &ignore, &old);
	rc = start(&c, cmd, err);
	if (!rc)
		rc = converse(&c, in, n, deadline, max, out, err);
	close_fd(&c.to);
	close_fd(&c.from);
	if (!rc)
		rc = reap(&c, deadline, err);
	if (rc && c.pid > 0) {
		kill(-c.pid, SIGKILL);
		while (waitpid(c.pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	sigaction(SIGPIPE, &old, NULL);
	return rc ? ft_err_at(err, cmd, 0) : 0;
}
