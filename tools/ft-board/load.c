/* SPDX-License-Identifier: MIT */
/* Metrics files to series; see ft-metrics(5). */
#include "tools/ft-board/board.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "libcommon/io/input.h"
#include "libcommon/io/json.h"

static struct series *get_series(struct run *run, const char *name)
{
	for (size_t i = 0; i < run->n; i++) {
		if (strcmp(run->v[i].name, name) == 0)
			return &run->v[i];
	}
	FT_GROW(run->v, run->n, run->cap, 1);
	memset(&run->v[run->n], 0, sizeof(*run->v));
	run->v[run->n].name = ft_xstrdup(name);
	return &run->v[run->n++];
}

const struct series *find_series(const struct run *run, const char *name)
{
	for (size_t i = 0; i < run->n; i++) {
		if (strcmp(run->v[i].name, name) == 0)
			return &run->v[i];
	}
	return NULL;
}

bool is_preference(const struct run *run)
{
	for (size_t i = 0; i < run->n; i++) {
		if (ft_starts(run->v[i].name, "rewards/"))
			return true;
	}
	return false;
}

/* A run that was resumed may have written a step twice: the later counts. */
static void add_point(struct series *s, double step, double value)
{
	while (s->n && s->v[s->n - 1].step >= step)
		s->n--;
	FT_GROW(s->v, s->n, s->cap, 1);
	s->v[s->n++] = (struct point){step, value};
}

struct clock {
	double first, last;
	bool any;
};

/* Returns -1 for a step that is none. */
static int take_record(struct run *run, const struct ft_json *o,
		       struct clock *clock, struct ft_err *err)
{
	const struct ft_json *step = ft_json_get(o, "step");
	const struct ft_json *time = ft_json_get(o, "time");

	if (time && time->type == FT_JSON_NUMBER) {
		if (!clock->any)
			clock->first = time->num;
		clock->any = true;
		clock->last = time->num;
	}
	if (!step || step->type != FT_JSON_NUMBER)
		return 0;
	if (step->num < 0 || step->num > 0x1p53)
		return ft_err_set(err, FT_EXIT_DATA,
				  "field 'step' is out of range");
	if (step->num > run->last_step)
		run->last_step = step->num;
	for (const struct ft_json *v = o->child; v; v = v->next) {
		if (v->type != FT_JSON_NUMBER || v == step || v == time ||
		    strcmp(v->key, "epoch") == 0)
			continue;
		add_point(get_series(run, v->key), step->num, v->num);
	}
	return 0;
}

/* The last line may be in the making: it is left alone when it has no end. */
static void load_file(struct run *run, const char *path)
{
	struct ft_arena a = {0};
	struct clock clock = {0};
	struct ft_json *o;
	struct ft_err err;
	uint64_t line = 0;
	size_t n;
	char *text = ft_read_file(path, (size_t)1 << 30, &n, &err);

	if (!text)
		ft_die_err(&err);
	for (char *s = text, *nl;
	     (nl = memchr(s, '\n', n - (size_t)(s - text))); s = nl + 1) {
		line++;
		ft_arena_clear(&a);
		if (ft_json_parse(&a, s, (size_t)(nl - s), &o, &err) == 0) {
			if (o->type != FT_JSON_OBJECT)
				ft_err_set(&err, FT_EXIT_DATA,
					   "record is not a JSON object");
			else if (take_record(run, o, &clock, &err) == 0)
				continue;
		}
		ft_err_at(&err, path, line);
		ft_die_err(&err);
	}
	if (clock.last - clock.first > run->seconds)
		run->seconds = clock.last - clock.first;
	ft_arena_release(&a);
	free(text);
}

static int is_metrics(const struct dirent *e)
{
	return ft_ends(e->d_name, ".metrics.jsonl");
}

static void load_dir(struct run *run, const char *dir)
{
	struct dirent **names;
	int n = scandir(dir, &names, is_metrics, alphasort);

	if (n < 0)
		ft_die_errno("cannot read '%s'", dir);
	if (n == 0)
		ft_die(FT_EXIT_DATA, "'%s' has no *.metrics.jsonl", dir);
	for (int i = 0; i < n; i++) {
		struct ft_str path = {0};

		ft_str_addf(&path, "%s/%s", dir, names[i]->d_name);
		load_file(run, path.s);
		ft_str_release(&path);
		free(names[i]);
	}
	free(names);
}

/* The last part of a path; for train.metrics.jsonl that of its folder. */
static char *label_of(const char *path)
{
	size_t n = strlen(path), from;

	while (n > 1 && path[n - 1] == '/')
		n--;
	for (from = n; from && path[from - 1] != '/'; from--)
		;
	if (ft_ends(path, "/train.metrics.jsonl") && from > 1) {
		n = from - 1;
		for (from = n; from && path[from - 1] != '/'; from--)
			;
	}
	return ft_xstrndup(path + from, n - from);
}

void load_run(struct run *run, const char *arg)
{
	const char *eq = strchr(arg, '='), *path = arg;
	struct stat st;

	memset(run, 0, sizeof(*run));
	if (stat(arg, &st) && eq && eq > arg && eq[1]) {
		path = eq + 1;
		run->label = ft_xstrndup(arg, (size_t)(eq - arg));
	} else {
		run->label = label_of(arg);
	}
	if (stat(path, &st))
		ft_die_errno("cannot open '%s'", path);
	if (S_ISDIR(st.st_mode))
		load_dir(run, path);
	else
		load_file(run, path);
}

void free_run(struct run *run)
{
	for (size_t i = 0; i < run->n; i++) {
		free(run->v[i].name);
		free(run->v[i].v);
	}
	free(run->v);
	free(run->label);
}
