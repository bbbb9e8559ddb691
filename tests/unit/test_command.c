/* SPDX-License-Identifier: MIT */
#include "libcommon/io/command.h"

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "libcommon/base/mem.h"
#include "tests/lib/test.h"

static struct ft_str out;
static struct ft_err err;

static int run(const char *cmd, const char *in, double timeout)
{
	ft_str_clear(&out);
	memset(&err, 0, sizeof(err));
	return ft_command_run(cmd, in, strlen(in), timeout, 1 << 20, &out,
			      &err);
}

static bool failed(int rc, const char *msg)
{
	return rc == -1 && err.code == FT_EXIT_SYS && strstr(err.msg, msg);
}

static void test_filters(void)
{
	CHECK(run("cat", "a\nb\n", 0) == 0 && !strcmp(out.s, "a\nb\n"), "cat");
	CHECK(run("tr a b | sort -r", "a\nz\n", 60) == 0 &&
		      !strcmp(out.s, "z\nb\n"),
	      "a pipeline");
	CHECK(run("cat", "", 0) == 0 && out.n == 0, "nothing");
	CHECK(run("printf x; sleep 0.05; printf y", "unread", 60) == 0 &&
		      !strcmp(out.s, "xy"),
	      "one that reads nothing");
}

/* Far more than a pipe holds, both ways at once. */
static void test_large(void)
{
	size_t n = 900000;
	char *s = ft_xmalloc(n + 1);

	memset(s, 'x', n);
	s[n] = 0;
	CHECK(run("cat", s, 60) == 0 && out.n == n && !memcmp(out.s, s, n),
	      "more than a pipe holds");
	CHECK(run("head -c 3", s, 60) == 0 && out.n == 3,
	      "one that stops reading");
	CHECK(failed(run("cat; cat /dev/zero", s, 60), "more than 1048576"),
	      "too much output");
	free(s);
}

static void test_failures(void)
{
	time_t t = time(NULL);

	CHECK(failed(run("cat; exit 3", "a", 60), "status 3"), "a status");
	CHECK(!strcmp(err.where, "cat; exit 3"), "the command is named");
	CHECK(failed(run("kill -9 $$", "a", 60), "signal 9"), "a death");
	CHECK(failed(run("no-such-command-here 2>/dev/null", "a", 60),
		     "status 127"),
	      "no such command");
	CHECK(failed(run("sleep 100 | cat", "", 0.2), "too long"), "a timeout");
	CHECK(failed(run("exec >&-; sleep 100", "", 0.2), "too long"),
	      "a timeout after its output ended");
	CHECK(time(NULL) - t < 20, "none of them was waited for");
}

static void test_sigpipe(void)
{
	struct sigaction sa;

	signal(SIGPIPE, SIG_DFL);
	run("exec <&-; sleep 0.05", "abc", 60);
	sigaction(SIGPIPE, NULL, &sa);
	CHECK(sa.sa_handler == SIG_DFL, "SIGPIPE is as it was");
	signal(SIGPIPE, SIG_IGN);
	CHECK(failed(run("kill -PIPE $$; echo here", "", 60), "signal 13"),
	      "the command has the default");
}

int main(void)
{
	test_filters();
	test_large();
	test_failures();
	test_sigpipe();
	ft_str_release(&out);
	return test_done();
}
