/* SPDX-License-Identifier: MIT */
/* Results and samples as parts of the page. */
#include "tools/ft-board/board.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "libcommon/io/input.h"
#include "libcommon/io/json.h"

/* --- values -------------------------------------------------------------- */

static const struct ft_json **elements(struct ft_arena *a,
				       const struct ft_json *doc, size_t *n)
{
	const struct ft_json **v;
	const struct ft_json *e = doc;
	size_t i = 0;

	*n = doc->type == FT_JSON_ARRAY ? doc->n : 1;
	v = ft_arena_alloc(a, (*n + 1) * sizeof(const struct ft_json *));
	if (doc->type == FT_JSON_ARRAY)
		e = doc->child;
	for (; i < *n; i++, e = e->next)
		v[i] = e;
	return v;
}

/* Rows, a line each; NULL, with err, when a line is no value of its own. */
static const struct ft_json **lines(struct ft_arena *a, const char *file,
				    const char *text, size_t size, size_t *n,
				    struct ft_err *err)
{
	const char *end = text + size;
	const struct ft_json **v;
	size_t max = 1;

	for (const char *s = text; s < end; s++)
		max += *s == '\n';
	v = ft_arena_alloc(a, max * sizeof(const struct ft_json *));
	*n = 0;
	for (const char *s = text, *nl; s < end; s = nl + 1) {
		struct ft_json *j;

		nl = memchr(s, '\n', (size_t)(end - s));
		if (!nl)
			nl = end;
		if (ft_json_parse(a, s, (size_t)(nl - s), &j, err)) {
			ft_err_at(err, file, *n + 1);
			return NULL;
		}
		v[(*n)++] = j;
	}
	return v;
}

const struct ft_json **read_values(struct ft_arena *a, const char *file,
				   size_t *n)
{
	struct ft_json *doc;
	struct ft_err err, at_line;
	size_t size;
	char *text = ft_read_file(file, (size_t)1 << 28, &size, &err), *kept;
	const struct ft_json **v;

	if (!text)
		ft_die_err(&err);
	kept = ft_arena_strndup(a, text, size);
	free(text);
	if (ft_json_parse(a, kept, size, &doc, &err) == 0)
		return elements(a, doc, n);
	v = lines(a, file, kept, size, n, &at_line);
	if (v)
		return v;
	/* whose first line is a value, is rows */
	if (at_line.line > 1)
		ft_die_err(&at_line);
	ft_err_at(&err, file, 0);
	ft_die_err(&err);
}

/* --- tables -------------------------------------------------------------- */

struct column {
	const char *name; /* borrowed */
	double lo, hi;    /* over its intervals */
};

struct table {
	struct column *v; /* owned */
	size_t n, cap;
	const struct ft_json **rows;
	size_t nrows;
};

static const struct ft_json *member(const struct ft_json *cell, const char *a,
				    const char *b)
{
	const struct ft_json *v = ft_json_get(cell, a);

	if (!v && b)
		v = ft_json_get(cell, b);
	return v && v->type == FT_JSON_NUMBER ? v : NULL;
}

/* A measured value, with n and an interval where it has them: value, n, and
   low and high or ci: [low, high]. */
static bool interval(const struct ft_json *cell, double *lo, double *hi)
{
	const struct ft_json *ci = ft_json_get(cell, "ci"), *l, *h;

	if (!ci)
		ci = ft_json_get(cell, "interval");
	l = ci ? ft_json_at(ci, 0) : member(cell, "low", "lo");
	h = ci ? ft_json_at(ci, 1) : member(cell, "high", "hi");
	if (!l || !h || l->type != FT_JSON_NUMBER || h->type != FT_JSON_NUMBER)
		return false;
	*lo = l->num;
	*hi = h->num;
	return true;
}

static struct column *column_of(struct table *t, const char *name)
{
	for (size_t k = 0; k < t->n; k++) {
		if (!strcmp(t->v[k].name, name))
			return &t->v[k];
	}
	FT_GROW(t->v, t->n, t->cap, 1);
	t->v[t->n] = (struct column){name, INFINITY, -INFINITY};
	return &t->v[t->n++];
}

/* Columns in the order in which rows first name them. */
static void find_columns(struct table *t)
{
	for (size_t r = 0; r < t->nrows; r++) {
		const struct ft_json *v = t->rows[r]->child;

		for (; v; v = v->next) {
			struct column *c = column_of(t, v->key);
			double lo, hi;

			if (interval(v, &lo, &hi)) {
				c->lo = fmin(c->lo, lo);
				c->hi = fmax(c->hi, hi);
			}
		}
	}
}

/* A number in a table keeps three places, so that a column lines up. */
static void add_fixed(struct ft_str *out, double x)
{
	if (x == floor(x) && fabs(x) < 1e7)
		ft_str_addf(out, "%.0f", x);
	else if (fabs(x) >= 0.001 && fabs(x) < 1e5)
		ft_str_addf(out, "%.3f", x);
	else
		ft_str_addf(out, "%.3g", x);
}

/* The interval as a bar, on the scale of its column. */
static void add_bar(struct ft_str *out, double at, double lo, double hi,
		    double from, double to)
{
	double room = (to - from) * 0.08 + 1e-12, w = 110;

	from -= room;
	to += room;
	ft_str_addf(
		out,
		"<svg class=\"ci\" viewBox=\"0 0 %.0f 14\" aria-hidden=\"true\"><line x1=\"%.1f\" x2=\"%.1f\" y1=\"7\" y2=\"7\"/><circle cx=\"%.1f\" cy=\"7\" r=\"3.5\"/></svg>",
		w, (lo - from) / (to - from) * w, (hi - from) / (to - from) * w,
		(at - from) / (to - from) * w);
}

static void add_measured(const struct ft_json *cell, double from, double to,
			 struct ft_str *out)
{
	const struct ft_json *v = member(cell, "value", NULL);
	const struct ft_json *n = member(cell, "n", NULL);
	double lo, hi;
	bool ci = interval(cell, &lo, &hi);

	if (!v) {
		ft_str_adds(out, "–");
		return;
	}
	ft_str_adds(out, "<b>");
	if (v->num == floor(v->num) && ci)
		ft_str_addf(out, "%.3f", v->num);
	else
		add_fixed(out, v->num);
	ft_str_adds(out, "</b>");
	if (ci) {
		ft_str_addf(out, " <small>%.3f – %.3f</small>", lo, hi);
		add_bar(out, v->num, lo, hi, from, to);
	}
	if (n)
		ft_str_addf(out, " <small class=\"n\">n %.0f</small>", n->num);
}

static void add_cell(const struct ft_json *v, double from, double to,
		     struct ft_str *out)
{
	if (!v || v->type == FT_JSON_NULL)
		ft_str_adds(out, "–");
	else if (v->type == FT_JSON_NUMBER)
		add_fixed(out, v->num);
	else if (v->type == FT_JSON_STRING)
		add_html(out, v->s, v->ns);
	else if (v->type == FT_JSON_TRUE)
		ft_str_adds(out, "<span class=\"yes\">yes</span>");
	else if (v->type == FT_JSON_FALSE)
		ft_str_adds(out, "<span class=\"no\">no</span>");
	else if (v->type == FT_JSON_OBJECT && ft_json_get(v, "value"))
		add_measured(v, from, to, out);
	else
		add_html(out, v->raw, v->nraw);
}

/* {name: {value ...}, ...} is turned: a row for each name. */
static bool is_summary(const struct ft_json *o)
{
	bool any = false;

	for (const struct ft_json *v = o->child; v; v = v->next)
		any = any ||
		      (v->type == FT_JSON_OBJECT && ft_json_get(v, "value"));
	return any;
}

static void add_summary(const struct ft_json *o, struct ft_str *out)
{
	ft_str_adds(out, "<div class=\"scroll\"><table><tbody>\n");
	for (const struct ft_json *v = o->child; v; v = v->next) {
		double lo = 0, hi = 1;

		interval(v, &lo, &hi);
		ft_str_adds(out, "<tr><th scope=\"row\">");
		add_html(out, v->key, v->nkey);
		ft_str_adds(out, "</th><td>");
		add_cell(v, fmin(lo, 0), fmax(hi, 1), out);
		ft_str_adds(out, "</td></tr>\n");
	}
	ft_str_adds(out, "</tbody></table></div>\n");
}

static void add_rows(struct table *t, struct ft_str *out)
{
	find_columns(t);
	ft_str_adds(out, "<div class=\"scroll\"><table><thead><tr>");
	for (size_t k = 0; k < t->n; k++) {
		ft_str_adds(out, "<th scope=\"col\">");
		add_html(out, t->v[k].name, strlen(t->v[k].name));
		ft_str_adds(out, "</th>");
	}
	ft_str_adds(out, "</tr></thead><tbody>\n");
	for (size_t r = 0; r < t->nrows; r++) {
		ft_str_adds(out, "<tr>");
		for (size_t k = 0; k < t->n; k++) {
			const struct column *c = &t->v[k];
			const struct ft_json *v =
				ft_json_get(t->rows[r], c->name);

			ft_str_adds(out, k ? "<td>" : "<th scope=\"row\">");
			add_cell(v, c->lo, c->hi, out);
			ft_str_adds(out, k ? "</td>" : "</th>");
		}
		ft_str_adds(out, "</tr>\n");
	}
	ft_str_adds(out, "</tbody></table></div>\n");
}

void add_table(const char *file, struct ft_str *out)
{
	struct ft_arena a = {0};
	struct table t = {0};

	t.rows = read_values(&a, file, &t.nrows);
	for (size_t i = 0; i < t.nrows; i++) {
		if (t.rows[i]->type != FT_JSON_OBJECT)
			ft_die(FT_EXIT_DATA, "%s: a table's rows are objects",
			       file);
	}
	if (t.nrows == 1 && is_summary(t.rows[0]))
		add_summary(t.rows[0], out);
	else
		add_rows(&t, out);
	free(t.v);
	ft_arena_release(&a);
}

/* --- samples ------------------------------------------------------------- */

static void add_sample(const struct ft_json *o, bool open, struct ft_str *out)
{
	const struct ft_json *id = ft_json_get(o, "id");
	const struct ft_json *prompt = ft_json_get(o, "prompt");

	ft_str_adds(out,
		    open ? "<details open><summary>" : "<details><summary>");
	if (id && id->type == FT_JSON_STRING)
		add_html(out, id->s, id->ns);
	else if (id)
		add_html(out, id->raw, id->nraw);
	ft_str_adds(out, "</summary>\n");
	if (prompt && prompt->type == FT_JSON_STRING) {
		ft_str_adds(out, "<pre class=\"prompt\">");
		add_html(out, prompt->s, prompt->ns);
		ft_str_adds(out, "</pre>\n");
	}
	ft_str_adds(out, "<div class=\"side\">\n");
	for (const struct ft_json *v = o->child; v; v = v->next) {
		if (v == id || v == prompt || v->type != FT_JSON_STRING)
			continue;
		ft_str_adds(out, "<figure><figcaption>");
		add_html(out, v->key, v->nkey);
		ft_str_adds(out, "</figcaption><pre>");
		add_html(out, v->s, v->ns);
		ft_str_adds(out, "</pre></figure>\n");
	}
	ft_str_adds(out, "</div></details>\n");
}

void add_samples(const char *file, struct ft_str *out)
{
	struct ft_arena a = {0};
	const struct ft_json **v;
	size_t n;

	v = read_values(&a, file, &n);
	for (size_t i = 0; i < n; i++) {
		if (v[i]->type != FT_JSON_OBJECT)
			ft_die(FT_EXIT_DATA, "%s: a sample is an object", file);
		add_sample(v[i], i == 0, out);
	}
	ft_arena_release(&a);
}
