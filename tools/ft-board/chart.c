/* SPDX-License-Identifier: MIT */
/* Which metrics of which runs share a chart, and over what range. */
#include "tools/ft-board/board.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"

static const double LARGEST = 1e300;

/* In this order; others follow as they come. */
static const char *const telling[] = {
	"loss",           "rewards/accuracies", "rewards/margins",
	"rewards/chosen", "rewards/rejected",   "mean_token_accuracy",
	"entropy",        "logps/chosen",       "logps/rejected",
	"grad_norm",      "learning_rate",
};
/* Counters and totals make no curve that tells anything. */
static const char *const dull[] = {
	"num_tokens",    "num_input_tokens_seen",    "total_flos",
	"train_runtime", "train_samples_per_second", "train_steps_per_second",
	"train_loss",
};

static const char *base_name(const char *name)
{
	return ft_starts(name, "eval_") ? name + 5 : name;
}

static bool listed(const char *names, const char *name)
{
	size_t n = strlen(name);

	for (const char *s = names; *s; s += strcspn(s, ","), s += *s == ',') {
		if (strcspn(s, ",") == n && memcmp(s, name, n) == 0)
			return true;
	}
	return false;
}

static bool is_dull(const char *name)
{
	for (size_t i = 0; i < sizeof(dull) / sizeof(*dull); i++) {
		if (strcmp(dull[i], name) == 0)
			return true;
	}
	return ft_ends(name, "_runtime") || ft_ends(name, "_per_second");
}

static bool has_chart(const struct charts *out, const char *title)
{
	for (size_t i = 0; i < out->n; i++) {
		if (strcmp(out->v[i].title, title) == 0)
			return true;
	}
	return false;
}

static void add_line(struct chart *c, size_t run, const struct series *s,
		     bool eval)
{
	if (!s || !s->n)
		return;
	FT_GROW(c->v, c->n, c->cap, 1);
	c->v[c->n++] = (struct line){run, s, eval};
}

/* Outliers (a first step, a bad one) must not press the rest flat: the upper
   bound is at most a little over the 98th percentile's distance. */
static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void set_range(struct chart *c)
{
	size_t n = 0, k = 0;
	double *y, room;

	for (size_t i = 0; i < c->n; i++)
		n += c->v[i].s->n;
	y = ft_xcalloc(n, sizeof(*y));
	c->x0 = INFINITY;
	c->x1 = -INFINITY;
	for (size_t i = 0; i < c->n; i++) {
		const struct series *s = c->v[i].s;

		c->x0 = fmin(c->x0, s->v[0].step);
		c->x1 = fmax(c->x1, s->v[s->n - 1].step);
		for (size_t p = 0; p < s->n; p++)
			y[k++] = s->v[p].value;
	}
	qsort(y, n, sizeof(*y), by_value);
	/* so that a difference is a number, too */
	c->y0 = fmin(fmax(y[0], -LARGEST), LARGEST);
	c->y1 = fmin(fmax(y[n - 1], -LARGEST), LARGEST);
	if (n >= 50) {
		double high = y[n * 98 / 100], low = y[n * 2 / 100];

		c->y1 = fmin(c->y1, high + (high - low));
		c->y0 = fmax(c->y0, low - (high - low));
	}
	free(y);
	room = (c->y1 - c->y0) * 0.05;
	/* rounding alone is flat: ticks would have no numbers of their own */
	if (room <= fabs(c->y1) * 1e-9 || room < DBL_MIN)
		room = fabs(c->y1) >= DBL_MIN ? fabs(c->y1) * 0.1 : 1;
	/* zero is a fair floor when it is near */
	if (c->y0 >= 0 && c->y0 - room < (c->y1 - c->y0) * 0.15)
		c->y0 = 0;
	else
		c->y0 -= room;
	c->y1 += room;
	if (c->x1 <= c->x0)
		c->x1 = c->x0 + 1;
}

static bool worth_drawing(const struct chart *c)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->v[i].s->n > 1)
			return true;
	}
	return false;
}

/* One chart of NAME over the runs that are (are not) preference runs. */
static void add_chart(const struct runs *runs, const char *name, bool pref,
		      const char *title, struct charts *out)
{
	struct ft_str eval = {0};
	struct chart c = {0};

	if (has_chart(out, title))
		return;
	ft_str_addf(&eval, "eval_%s", name);
	for (size_t r = 0; r < runs->n; r++) {
		if (is_preference(&runs->v[r]) != pref)
			continue;
		add_line(&c, r, find_series(&runs->v[r], name), false);
		add_line(&c, r, find_series(&runs->v[r], eval.s), true);
	}
	ft_str_release(&eval);
	if (!worth_drawing(&c)) {
		free(c.v);
		return;
	}
	set_range(&c);
	c.title = ft_xstrdup(title);
	FT_GROW(out->v, out->n, out->cap, 1);
	out->v[out->n++] = c;
}

/* A preference loss and a language model's are not on one scale. */
static void add_both(const struct runs *runs, const char *name,
		     struct charts *out)
{
	bool plain = false, pref = false;
	struct ft_str title = {0};

	for (size_t r = 0; r < runs->n; r++) {
		if (is_preference(&runs->v[r]))
			pref = true;
		else
			plain = true;
	}
	if (plain)
		add_chart(runs, name, false, name, out);
	ft_str_addf(&title, plain ? "%s (preference)" : "%s", name);
	if (pref)
		add_chart(runs, name, true, title.s, out);
	ft_str_release(&title);
}

void make_charts(const struct runs *runs, const char *names, struct charts *out)
{
	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < sizeof(telling) / sizeof(*telling); i++) {
		if (!names || listed(names, telling[i]))
			add_both(runs, telling[i], out);
	}
	for (size_t r = 0; r < runs->n; r++) {
		for (size_t i = 0; i < runs->v[r].n; i++) {
			const char *name = base_name(runs->v[r].v[i].name);

			if (names ? listed(names, name) ||
					    listed(names, runs->v[r].v[i].name)
				  : !is_dull(name))
				add_both(runs, name, out);
		}
	}
}

void free_charts(struct charts *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->v[i].title);
		free(c->v[i].v);
	}
	free(c->v);
}

double tick_step(double span, int n)
{
	double raw = span / n, p = pow(10, floor(log10(raw))), m = raw / p;

	return p * (m < 1.5 ? 1 : m < 3.5 ? 2 : m < 7.5 ? 5 : 10);
}

void add_number(struct ft_str *out, double x)
{
	double a = fabs(x);

	if (x == 0)
		ft_str_adds(out, "0");
	else if (a >= 1e6 || a < 1e-3)
		ft_str_addf(out, "%.3g", x);
	else if (x == floor(x))
		ft_str_addf(out, "%.0f", x);
	else
		ft_str_addf(out, "%.*f",
			    a >= 100    ? 1
			    : a >= 10   ? 2
			    : a >= 0.01 ? 3
					: 5,
			    x);
}

size_t thin(const struct series *s, size_t max, struct point *v)
{
	size_t n = s->n < max ? s->n : max;

	for (size_t i = 0; i < n; i++) {
		size_t from = i * s->n / n, to = (i + 1) * s->n / n;
		double step = 0, value = 0;

		for (size_t k = from; k < to; k++) {
			step += s->v[k].step;
			value += s->v[k].value;
		}
		v[i].step = step / (double)(to - from);
		v[i].value = value / (double)(to - from);
	}
	return n;
}
