/* SPDX-License-Identifier: MIT */
/* The tools there are: programs called ft-NAME, beside this one and in PATH. */
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/base/mem.h"
#include "libcommon/base/str.h"
#include "tools/ft/ft.h"

static int have(const struct tool_list *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++) {
		if (!strcmp(l->v[i].name, name))
			return 1;
	}
	return 0;
}

static int is_program(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

static void scan(struct tool_list *l, const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d))) {
		struct ft_str path = {0};

		if (!ft_starts(e->d_name, "ft-") || !e->d_name[3] ||
		    strchr(e->d_name, '.') || have(l, e->d_name + 3))
			continue;
		ft_str_addf(&path, "%s/%s", dir, e->d_name);
		if (is_program(path.s)) {
			FT_GROW(l->v, l->n, l->cap, 1);
			l->v[l->n].name = ft_xstrdup(e->d_name + 3);
			l->v[l->n++].path = ft_xstrdup(path.s);
		}
		ft_str_release(&path);
	}
	closedir(d);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct tool *)a)->name,
		      ((const struct tool *)b)->name);
}

void tools_find(struct tool_list *l)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *path = getenv("PATH");

	if (n > 0) {
		char *slash;

		self[n] = '\0';
		slash = strrchr(self, '/');
		if (slash) {
			*slash = '\0';
			scan(l, self);
		}
	}
	while (path && *path) {
		size_t len = strcspn(path, ":");
		char *dir = ft_xstrndup(path, len);

		/* an empty entry would mean the current folder: not ours */
		if (len)
			scan(l, dir);
		free(dir);
		path += len + (path[len] == ':');
	}
	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), by_name);
}

void tools_release(struct tool_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].name);
		free(l->v[i].path);
	}
	free(l->v);
	*l = (struct tool_list){0};
}
