/* SPDX-License-Identifier: MIT */
#include "libcommon/base/die.h"

#include <errno.h>
#include <string.h>

#include "libcommon/base/str.h"
#include "tests/lib/child.h"
#include "tests/lib/test.h"

static void by_text(void *arg)
{
	ft_start("/usr/bin/ft-x");
	ft_die(FT_EXIT_USAGE, "bad '%s'", (const char *)arg);
}

static void by_json(void *arg)
{
	ft_json_errors = true;
	by_text(arg);
}

static void by_errno(void *arg)
{
	(void)arg;
	ft_start(NULL);
	errno = ENOENT;
	ft_die_errno("cannot open '%s'", "x");
}

static void by_err(void *arg)
{
	struct ft_err err;

	ft_start("ft-x");
	ft_json_errors = arg != NULL;
	ft_err_set(&err, FT_EXIT_DATA, "field 'a' is missing");
	ft_err_at(&err, "a \"b\".jsonl", 12);
	ft_die_err(&err);
}

static void loudness(void *arg)
{
	ft_start("ft-x");
	ft_verbosity = *(const int *)arg;
	ft_info("info");
	ft_verbose("verbose");
	ft_warn("warning");
}

static void test_messages(void)
{
	struct child c;
	char long_text[5000], esc[] = "a\nb\x1b[31m\x7f\t\xC3\xA9\xFF\xC2\x9B.";

	child_run(&c, by_text, esc);
	CHECK(c.status == 2 && !c.out[0] &&
		      !strcmp(c.err, "ft-x: bad 'a?b?[31m? \xC3\xA9??.'\n"),
	      "one line, nothing in it moves the cursor: %s", c.err);
	child_run(&c, by_json, esc);
	CHECK(!strcmp(c.err, "{\"tool\":\"ft-x\",\"file\":null,\"line\":null,"
			     "\"message\":\"bad 'a?b?[31m? \xC3\xA9??.'\","
			     "\"status\":2}\n"),
	      "as JSON: %s", c.err);
	child_run(&c, by_errno, NULL);
	CHECK(c.status == 4 && !strcmp(c.err, "ft: cannot open 'x': No such "
					      "file or directory\n"),
	      "with errno: %s", c.err);
	child_run(&c, by_err, NULL);
	CHECK(c.status == 3 && !strcmp(c.err, "ft-x: a \"b\".jsonl:12: field "
					      "'a' is missing\n"),
	      "where it was: %s", c.err);
	child_run(&c, by_err, esc);
	CHECK(!strcmp(c.err, "{\"tool\":\"ft-x\",\"file\":\"a \\\"b\\\".jsonl\""
			     ",\"line\":12,\"message\":\"field 'a' is missing\""
			     ",\"status\":3}\n"),
	      "the same as JSON: %s", c.err);
	memset(long_text, '"', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = 0;
	child_run(&c, by_text, long_text);
	CHECK(strlen(c.err) > 1000 && strlen(c.err) < 4096 &&
		      ft_ends(c.err, "\"\n"),
	      "a long one is cut");
	child_run(&c, by_json, long_text);
	CHECK(strlen(c.err) < 4097 && ft_ends(c.err, "\\\"\",\"status\":2}\n"),
	      "also as JSON, which stays whole");
}

static void test_loudness(void)
{
	static const char *const want[] = {
		"ft-x: warning\n",
		"ft-x: info\nft-x: warning\n",
		"ft-x: info\nft-x: verbose\nft-x: warning\n",
	};
	struct child c;

	for (int v = -1; v <= 1; v++) {
		child_run(&c, loudness, &v);
		CHECK(c.status == 0 && !strcmp(c.err, want[v + 1]),
		      "verbosity %d", v);
	}
}

int main(void)
{
	test_messages();
	test_loudness();
	return test_done();
}
