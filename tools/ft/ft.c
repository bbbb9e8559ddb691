/* SPDX-License-Identifier: MIT */
/* ft - run a tool of the suite by its short name. */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/base/die.h"
#include "libcommon/base/opt.h"
#include "libcommon/base/str.h"
#include "tools/ft/ft.h"

static const char synopsis[] = "NAME [ARGUMENT...]";
static const char about[] =
	"Run the tool ft-NAME.  Also: ft list (the tools there are), ft help [NAME],\n"
	"ft doctor (what this machine can do).";

static const struct tool *find(const struct tool_list *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++) {
		if (!strcmp(l->v[i].name, name))
			return &l->v[i];
	}
	return NULL;
}

static _Noreturn void unknown(const struct tool_list *l, const char *name)
{
	static const char *const own[] = {"doctor", "help", "list"};
	size_t n = strnlen(name, 64), least = n / 2 + 1;
	const char *near = NULL;

	for (size_t i = 0; i < l->n + 3; i++) {
		const char *s = i < 3 ? own[i] : l->v[i - 3].name;
		size_t d = ft_edit_distance(name, n, s, strlen(s));

		if (d < least) {
			least = d;
			near = s;
		}
	}
	if (near)
		ft_die(FT_EXIT_USAGE, "unknown tool '%s'; did you mean '%s'?",
		       name, near);
	ft_die(FT_EXIT_USAGE, "unknown tool '%s'; try 'ft list'", name);
}

/* Become the tool: its status is ours. */
static _Noreturn void run(const char *name, char **args)
{
	struct tool_list l = {0};
	const struct tool *t;

	tools_find(&l);
	t = find(&l, name);
	if (!t)
		unknown(&l, name);
	args[0] = t->path;
	execv(t->path, args);
	ft_die_errno("cannot run '%s'", t->path);
}

static int list(void)
{
	struct tool_list l = {0};

	tools_find(&l);
	for (size_t i = 0; i < l.n; i++)
		printf("%s\t%s\n", l.v[i].name, l.v[i].path);
	tools_release(&l);
	return FT_EXIT_OK;
}

static int usage(void)
{
	struct tool_list l = {0};

	tools_find(&l);
	printf("usage: %s %s\n\n%s\n\ntools:", ft_progname(), synopsis, about);
	for (size_t i = 0; i < l.n; i++)
		printf(" %s", l.v[i].name);
	printf("\n\nSee ft(1) and ft(7).\n");
	tools_release(&l);
	return FT_EXIT_OK;
}

static int help(char **args)
{
	char *argv[] = {args[0], (char[]){"--help"}, NULL};

	if (!args[1])
		return usage();
	run(args[1], argv);
}

static void no_more(char **args)
{
	if (args[1])
		ft_die(FT_EXIT_USAGE, "'%s' takes no argument: '%s'", args[0],
		       args[1]);
}

int main(int argc, char **argv)
{
	const struct ft_opt opts[] = {FT_END};

	ft_start(argv[0]);
	/* Options after a tool's name are the tool's. */
	if (argc < 2 || argv[1][0] == '-') {
		int i = ft_opt_parse(argc, argv, opts, synopsis, about);

		if (i >= argc)
			ft_die(FT_EXIT_USAGE, "no tool named; try 'ft list'");
		argv += i - 1;
	}
	argv++;
	if (!strcmp(argv[0], "help"))
		return help(argv);
	if (!strcmp(argv[0], "list")) {
		no_more(argv);
		return list();
	}
	if (!strcmp(argv[0], "doctor")) {
		no_more(argv);
		return doctor();
	}
	run(argv[0], argv);
}
