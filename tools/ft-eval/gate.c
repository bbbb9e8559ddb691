/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "tools/ft-eval/eval.h"

struct gate {
	const char *text;           /* borrowed */
	char *name, *field, *group; /* owned; the last two may be NULL */
	int which;                  /* value, low, high, n */
	bool greater, equal;
	double bound;
};

static const char *const parts[] = {"value", "low", "high", "n"};

static _Noreturn void bad(const char *text, const char *why)
{
	ft_die(FT_EXIT_USAGE,
	       "gate '%s': %s; it wants NAME[/FIELD=VALUE][.low|.high|.n]>=NUMBER",
	       text, why);
}

/* The operator is the last one: a group's name may hold such bytes. */
static const char *find_operator(const char *text)
{
	const char *op = NULL;

	for (const char *p = text; *p; p++) {
		if (*p == '>' || *p == '<')
			op = p;
	}
	return op;
}

static void split_name(struct gate *g, const char *s, size_t n)
{
	const char *slash = memchr(s, '/', n), *eq;

	for (int k = 0; k < 4; k++) {
		size_t m = strlen(parts[k]);

		if (n > m + 1 && s[n - m - 1] == '.' &&
		    !memcmp(s + n - m, parts[k], m)) {
			g->which = k;
			n -= m + 1;
			break;
		}
	}
	if (!slash) {
		g->name = ft_xstrndup(s, n);
		return;
	}
	g->name = ft_xstrndup(s, (size_t)(slash - s));
	eq = memchr(slash, '=', n - (size_t)(slash - s));
	if (!eq)
		bad(g->text, "no '=' after the field");
	g->field = ft_xstrndup(slash + 1, (size_t)(eq - slash - 1));
	g->group = ft_xstrndup(eq + 1, (size_t)(s + n - eq - 1));
}

static bool grouped(const struct ft_opt_list *by, const char *field)
{
	for (int i = 0; i < by->n; i++) {
		if (!strcmp(by->v[i], field))
			return true;
	}
	return false;
}

struct gate *gate_parse(const char *text, const struct tally *t,
			const struct ft_opt_list *by)
{
	struct gate *g = ft_xcalloc(1, sizeof(*g));
	const char *op = find_operator(text);
	char *end;

	g->text = text;
	if (!op || op == text)
		bad(text, "no comparison");
	g->greater = *op == '>';
	g->equal = op[1] == '=';
	split_name(g, text, (size_t)(op - text));
	op += g->equal ? 2 : 1;
	g->bound = strtod(op, &end);
	if (end == op || *end || g->bound - g->bound != 0)
		bad(text, "no number to compare with");
	if (!tally_has(t, g->name, strlen(g->name)))
		bad(text, "this metric has no such value");
	if (g->field && by && !grouped(by, g->field))
		bad(text, "its field is not one of --by");
	return g;
}

bool gate_met(const struct gate *g, const struct tally *t)
{
	double v;

	if (!tally_value(t, g->name, g->field, g->group, g->which, &v)) {
		ft_warn("gate '%s' not met: there is no such value", g->text);
		return false;
	}
	if ((g->equal && v == g->bound) ||
	    (g->greater ? v > g->bound : v < g->bound))
		return true;
	ft_warn("gate '%s' not met: it is %.6g", g->text, v);
	return false;
}

void gate_free(struct gate *g)
{
	free(g->name);
	free(g->field);
	free(g->group);
	free(g);
}
