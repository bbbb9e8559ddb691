/* SPDX-License-Identifier: MIT */
/* Charts in braille dots, 2 x 4 to a character, and a line of bars a metric. */
#include "tools/ft-board/board.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"

enum { AXIS = 10 }; /* columns left of a chart */

static const int colors[] = {34, 33, 32, 35, 36, 31};
/* With no colour each run has a mark of its own instead of dots. */
static const char marks[] = "ox+*#@%&";

struct canvas {
	int w, h;            /* characters */
	unsigned char *dots; /* [h][w] bits of a braille character */
	unsigned char *who;  /* [h][w] the run drawn last there, from 1 */
};

static void dot(struct canvas *c, int x, int y, size_t run)
{
	static const unsigned char bit[4][2] = {
		{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
	int i = y / 4 * c->w + x / 2;

	if (x < 0 || y < 0 || x >= 2 * c->w || y >= 4 * c->h)
		return;
	c->dots[i] |= bit[y % 4][x % 2];
	c->who[i] = (unsigned char)(run % 255 + 1);
}

static int to_x(const struct canvas *c, const struct chart *ch, double v)
{
	return (int)lround((v - ch->x0) / (ch->x1 - ch->x0) * (2 * c->w - 1));
}

/* Clamped to one dot outside, so that an outlier leaves at the edge. */
static int to_y(const struct canvas *c, const struct chart *ch, double v)
{
	double t = (ch->y1 - v) / (ch->y1 - ch->y0);

	return (int)lround(fmin(fmax(t, -0.01), 1.01) * (4 * c->h - 1));
}

static void draw_line(struct canvas *c, const struct chart *ch,
		      const struct line *l)
{
	struct point *v = ft_xcalloc(2 * (size_t)c->w, sizeof(*v));
	size_t n = thin(l->s, 2 * (size_t)c->w, v);
	int px = 0, py = 0;

	for (size_t i = 0; i < n; i++) {
		int x = to_x(c, ch, v[i].step), y = to_y(c, ch, v[i].value);
		int dx = i ? x - px : 0, dy = i ? y - py : 0;
		int steps = abs(dx) > abs(dy) ? abs(dx) : abs(dy);

		dot(c, x, y, l->run);
		for (int k = 1; k < steps; k++) {
			/* an evaluation's line is dotted */
			if (l->eval && k % 3)
				continue;
			dot(c, px + dx * k / steps, py + dy * k / steps,
			    l->run);
		}
		px = x;
		py = y;
	}
	free(v);
}

static void add_char(struct ft_str *out, unsigned u)
{
	ft_str_addc(out, (char)(0xe0 | u >> 12));
	ft_str_addc(out, (char)(0x80 | (u >> 6 & 0x3f)));
	ft_str_addc(out, (char)(0x80 | (u & 0x3f)));
}

static void spaces(struct ft_str *out, int n)
{
	while (n-- > 0)
		ft_str_addc(out, ' ');
}

static void add_cell(const struct canvas *c, int i, bool color, bool mark,
		     struct ft_str *out)
{
	if (!c->dots[i]) {
		ft_str_addc(out, ' ');
	} else if (mark) {
		ft_str_addc(out, marks[(c->who[i] - 1u) % (sizeof(marks) - 1)]);
	} else {
		if (color)
			ft_str_addf(out, "\033[%dm",
				    colors[(c->who[i] - 1u) % 6]);
		add_char(out, 0x2800u + c->dots[i]);
		if (color)
			ft_str_adds(out, "\033[0m");
	}
}

/* A name from outside, which must not move the cursor. */
static void add_name(struct ft_str *out, const char *s)
{
	for (size_t n = strlen(s), k; n; s += k ? k : 1, n -= k ? k : 1) {
		bool c1;

		k = ft_utf8_len(s, n);
		c1 = k == 2 && (unsigned char)s[0] == 0xc2 &&
		     (unsigned char)s[1] < 0xa0;
		if (!k || c1 || (unsigned char)*s < ' ' || *s == 0x7f)
			ft_str_addc(out, '?');
		else
			ft_str_add(out, s, k);
	}
}

static void add_bold(struct ft_str *out, const char *s, bool color)
{
	ft_str_adds(out, color ? "\033[1m" : "");
	add_name(out, s);
	ft_str_adds(out, color ? "\033[0m" : "");
}

/* A number in the columns left of the axis. */
static void add_label(struct ft_str *out, double x, bool show)
{
	struct ft_str s = {0};

	if (show)
		add_number(&s, x);
	spaces(out, AXIS - 2 - (int)s.n);
	ft_str_adds(out, ft_str_cstr(&s));
	ft_str_adds(out, " ┤");
	ft_str_release(&s);
}

static void add_axis(const struct chart *ch, int w, struct ft_str *out)
{
	struct ft_str l = {0}, r = {0};

	spaces(out, AXIS - 1);
	ft_str_adds(out, "└");
	for (int i = 0; i < w; i++)
		ft_str_adds(out, "─");
	ft_str_addc(out, '\n');
	add_number(&l, ch->x0);
	add_number(&r, ch->x1);
	spaces(out, AXIS);
	ft_str_adds(out, l.s);
	spaces(out, w - (int)l.n - (int)r.n - 5);
	ft_str_addf(out, "step %s\n", r.s);
	ft_str_release(&l);
	ft_str_release(&r);
}

static void add_legend(const struct runs *runs, const struct chart *ch,
		       const struct screen *scr, bool mark, struct ft_str *out)
{
	spaces(out, AXIS);
	for (size_t i = 0; i < ch->n; i++) {
		const struct line *l = &ch->v[i];

		if (mark)
			ft_str_addf(out, "%c ",
				    marks[l->run % (sizeof(marks) - 1)]);
		else if (scr->color)
			ft_str_addf(out, "\033[%dm%s\033[0m ",
				    colors[l->run % 6], l->eval ? "┄" : "━");
		add_name(out, runs->v[l->run].label);
		ft_str_adds(out, l->eval ? " (eval) " : " ");
		add_number(out, l->s->v[l->s->n - 1].value);
		ft_str_adds(out, i + 1 < ch->n ? "   " : "\n");
	}
}

static bool several_runs(const struct chart *ch)
{
	for (size_t i = 1; i < ch->n; i++) {
		if (ch->v[i].run != ch->v[0].run)
			return true;
	}
	return false;
}

static void draw_chart(const struct runs *runs, const struct chart *ch,
		       const struct screen *scr, struct ft_str *out)
{
	struct canvas c = {.w = scr->width - AXIS - 1, .h = scr->height};
	bool mark = !scr->color && several_runs(ch);
	size_t cells = (size_t)c.w * (size_t)c.h;

	c.dots = ft_xcalloc(cells, 1);
	c.who = ft_xcalloc(cells, 1);
	for (size_t i = 0; i < ch->n; i++)
		draw_line(&c, ch, &ch->v[i]);
	add_bold(out, ch->title, scr->color);
	ft_str_addc(out, '\n');
	for (int y = 0; y < c.h; y++) {
		bool label = y == 0 || y == c.h - 1 || y == c.h / 2;
		double at = ch->y1 - (ch->y1 - ch->y0) * (y + 0.5) / c.h;

		add_label(out, at, label);
		for (int x = 0; x < c.w; x++)
			add_cell(&c, y * c.w + x, scr->color, mark, out);
		while (out->n && out->s[out->n - 1] == ' ')
			out->n--;
		ft_str_addc(out, '\n');
	}
	add_axis(ch, c.w, out);
	add_legend(runs, ch, scr, mark, out);
	ft_str_addc(out, '\n');
	free(c.dots);
	free(c.who);
}

/* --- the table ------------------------------------------------------------ */

static void add_bars(const struct series *s, size_t width, struct ft_str *out)
{
	struct point *v = ft_xcalloc(width, sizeof(*v));
	size_t n = thin(s, width, v);
	double lo = INFINITY, hi = -INFINITY;

	for (size_t i = 0; i < n; i++) {
		lo = fmin(lo, v[i].value);
		hi = fmax(hi, v[i].value);
	}
	for (size_t i = 0; i < n; i++) {
		double t = hi > lo ? (v[i].value - lo) / (hi - lo) : 0.5;

		add_char(out, 0x2581u + (unsigned)lround(t * 7));
	}
	spaces(out, (int)(width - n));
	free(v);
}

static void add_value(struct ft_str *out, double x, int width)
{
	struct ft_str s = {0};

	add_number(&s, x);
	spaces(out, width - (int)s.n);
	ft_str_adds(out, s.s);
	ft_str_release(&s);
}

static void add_row(const struct series *s, int width, struct ft_str *out)
{
	size_t best = 0, from = out->n;

	ft_str_adds(out, "  ");
	add_name(out, s->name);
	spaces(out, 30 - (int)(out->n - from));
	if (s->n == 1) {
		spaces(out, 10 + width + 2);
		add_value(out, s->v[0].value, 10);
		ft_str_addc(out, '\n');
		return;
	}
	for (size_t i = 1; i < s->n; i++) {
		if (s->v[i].value < s->v[best].value)
			best = i;
	}
	add_value(out, s->v[0].value, 9);
	ft_str_addc(out, ' ');
	add_bars(s, (size_t)width, out);
	ft_str_adds(out, "  ");
	add_value(out, s->v[s->n - 1].value, 10);
	add_value(out, s->v[best].value, 12);
	ft_str_addc(out, '\n');
}

static void draw_table(const struct run *run, const struct screen *scr,
		       struct ft_str *out)
{
	int width = scr->width - 64;

	width = width < 8 ? 8 : width > 40 ? 40 : width;
	add_bold(out, run->label, scr->color);
	ft_str_adds(out, "  ");
	add_number(out, run->last_step);
	ft_str_addf(out, " steps, %.0f s\n", run->seconds);
	ft_str_addf(out, "  %-28s%9s %*s%12s%12s\n", "", "first", width, "",
		    "last", "least");
	for (size_t i = 0; i < run->n; i++)
		add_row(&run->v[i], width, out);
	ft_str_addc(out, '\n');
}

void draw_terminal(const struct runs *runs, const struct charts *charts,
		   const struct screen *scr, struct ft_str *out)
{
	for (size_t i = 0; i < charts->n; i++)
		draw_chart(runs, &charts->v[i], scr, out);
	for (size_t i = 0; i < runs->n; i++)
		draw_table(&runs->v[i], scr, out);
}
