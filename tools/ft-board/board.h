/* SPDX-License-Identifier: MIT */
/*
 * ft-board's parts: runs are loaded (load.c), grouped into charts (chart.c) and
 * drawn on a terminal (term.c) or as a page (html.c, table.c, svg.c).
 */
#ifndef FT_BOARD_H
#define FT_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/base/str.h"

struct point {
	double step, value;
};

/* One metric of one run, steps ascending. */
struct series {
	char *name;      /* owned */
	struct point *v; /* owned */
	size_t n, cap;
};

struct run {
	char *label;      /* owned */
	struct series *v; /* owned */
	size_t n, cap;
	double last_step, seconds; /* from its first record to its last */
};

struct runs {
	struct run *v; /* owned */
	size_t n;
};

/* arg is PATH or LABEL=PATH; PATH a metrics file or a directory of them.
   Exits on errors. */
void load_run(struct run *run, const char *arg);
void free_run(struct run *run);
const struct series *find_series(const struct run *run, const char *name);
/* Preference runs: their loss is of another kind than a language model's. */
bool is_preference(const struct run *run);

/* A line of a chart: a metric of a run; eval: its eval_ twin, drawn dashed. */
struct line {
	size_t run;
	const struct series *s;
	bool eval;
};

struct chart {
	char *title;    /* owned */
	struct line *v; /* owned */
	size_t n, cap;
	double x0, x1, y0, y1; /* what is to be seen, y with some room */
};

struct charts {
	struct chart *v; /* owned */
	size_t n, cap;
};

/* The charts that runs make, the telling ones first; only NAMES (by comma)
   when it is not NULL. */
void make_charts(const struct runs *runs, const char *names,
		 struct charts *out);
void free_charts(struct charts *c);
/* A round distance between ticks, for about n of them over span. */
double tick_step(double span, int n);
/* A number as people write it: few digits, no exponent unless it is needed. */
void add_number(struct ft_str *out, double x);
/* A series of at most max points: each the mean of as many neighbours.
   Returns how many were put into v. */
size_t thin(const struct series *s, size_t max, struct point *v);

/* --- terminal ------------------------------------------------------------- */

struct screen {
	int width, height; /* of a chart, in characters */
	bool color;
};
void draw_terminal(const struct runs *runs, const struct charts *charts,
		   const struct screen *scr, struct ft_str *out);

/* --- page ------------------------------------------------------------------ */

struct page {
	const char *title, *lead;
	const char **tables, **samples, **texts; /* TITLE=FILE */
	int ntables, nsamples, ntexts;
};
void write_page(const struct page *page, const struct runs *runs,
		const struct charts *charts, struct ft_str *out);
void add_svg(const struct chart *c, const struct runs *runs,
	     struct ft_str *out);
void add_table(const char *file, struct ft_str *out);
void add_samples(const char *file, struct ft_str *out);
/* s as text of the page. */
void add_html(struct ft_str *out, const char *s, size_t n);
/* The rows of a file: lines of JSON, or a JSON document. */
struct ft_arena;
struct ft_json;
const struct ft_json **read_values(struct ft_arena *a, const char *file,
				   size_t *n);

#endif
