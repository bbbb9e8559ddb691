/* SPDX-License-Identifier: MIT */
/* A chart as inline SVG: axes, grid, a line a run, its points named. */
#include "tools/ft-board/board.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"

/* The drawing's own units; the page scales it. */
static const double W = 560, H = 270, LEFT = 56, RIGHT = 14, TOP = 10,
		    BOTTOM = 34;
enum { POINTS = 240, COLORS = 8, MAX_TICKS = 16 };

static double to_x(const struct chart *c, double v)
{
	return LEFT + (v - c->x0) / (c->x1 - c->x0) * (W - LEFT - RIGHT);
}

static double to_y(const struct chart *c, double v)
{
	double t = (c->y1 - v) / (c->y1 - c->y0);

	return TOP + fmin(fmax(t, 0), 1) * (H - TOP - BOTTOM);
}

static void add_y_axis(const struct chart *c, struct ft_str *out)
{
	double step = tick_step(c->y1 - c->y0, 5);
	double first = ceil(c->y0 / step);

	/* counted: at the end of a double's digits v + step may be v */
	for (int i = 0; i < MAX_TICKS; i++) {
		double v = (first + i) * step, y;

		if (!(v <= c->y1 + step * 1e-9))
			break;
		if (fabs(v) < step * 1e-9)
			v = 0;
		y = to_y(c, v);
		ft_str_addf(
			out,
			"<line class=\"grid\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>",
			LEFT, W - RIGHT, y, y);
		ft_str_addf(out,
			    "<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">",
			    LEFT - 7, y + 4);
		add_number(out, round(v / step * 1e6) / 1e6 * step);
		ft_str_adds(out, "</text>");
	}
}

static void add_x_axis(const struct chart *c, struct ft_str *out)
{
	double step = fmax(tick_step(c->x1 - c->x0, 6), 1);
	double base = H - BOTTOM, first = ceil(c->x0 / step);

	ft_str_addf(
		out,
		"<line class=\"axis\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>",
		LEFT, W - RIGHT, base, base);
	for (int i = 0; i < MAX_TICKS; i++) {
		double v = (first + i) * step;

		if (!(v <= c->x1))
			break;
		ft_str_addf(
			out,
			"<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">",
			to_x(c, v), base + 16);
		add_number(out, v);
		ft_str_adds(out, "</text>");
	}
	ft_str_addf(
		out,
		"<text class=\"unit\" x=\"%.0f\" y=\"%.0f\" text-anchor=\"end\">step</text>",
		W - RIGHT, H - 4);
}

static void add_path(const struct chart *c, const struct line *l,
		     const struct point *v, size_t n, struct ft_str *out)
{
	ft_str_addf(out, "<polyline class=\"s%zu%s\" points=\"",
		    l->run % COLORS, l->eval ? " eval" : "");
	for (size_t i = 0; i < n; i++)
		ft_str_addf(out, "%s%.1f,%.1f", i ? " " : "",
			    to_x(c, v[i].step), to_y(c, v[i].value));
	ft_str_adds(out, "\"/>");
}

/* A small dot for each evaluation, a large unseen one to be pointed at. */
static void add_points(const struct chart *c, const struct line *l,
		       const char *label, const struct point *v, size_t n,
		       struct ft_str *out)
{
	for (size_t i = 0; i < n; i++) {
		double x = to_x(c, v[i].step), y = to_y(c, v[i].value);

		if (l->eval || n == 1)
			ft_str_addf(
				out,
				"<circle class=\"s%zu dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.6\"/>",
				l->run % COLORS, x, y);
		ft_str_addf(
			out,
			"<circle class=\"s%zu at\" cx=\"%.1f\" cy=\"%.1f\" r=\"5\"><title>",
			l->run % COLORS, x, y);
		add_html(out, label, strlen(label));
		ft_str_adds(out, l->eval ? " (eval), step " : ", step ");
		add_number(out, v[i].step);
		ft_str_adds(out, ": ");
		add_number(out, v[i].value);
		ft_str_adds(out, "</title></circle>");
	}
}

void add_svg(const struct chart *c, const struct runs *runs, struct ft_str *out)
{
	struct point *v = ft_xcalloc(POINTS, sizeof(*v));

	ft_str_addf(out,
		    "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"",
		    W, H);
	add_html(out, c->title, strlen(c->title));
	ft_str_adds(out, " by step\">");
	add_y_axis(c, out);
	add_x_axis(c, out);
	for (size_t i = 0; i < c->n; i++) {
		size_t n = thin(c->v[i].s, POINTS, v);

		add_path(c, &c->v[i], v, n, out);
	}
	for (size_t i = 0; i < c->n; i++) {
		size_t n = thin(c->v[i].s, POINTS, v);

		add_points(c, &c->v[i], runs->v[c->v[i].run].label, v, n, out);
	}
	ft_str_adds(out, "</svg>\n");
	free(v);
}
