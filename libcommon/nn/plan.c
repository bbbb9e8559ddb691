/* SPDX-License-Identifier: MIT */
#include "libcommon/nn/plan.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"
#include "libcommon/io/output.h"

static const struct {
	const char *key, *what;
} parts[FT_PLAN_PARTS] = {
	[FT_PLAN_WEIGHTS] = {"weights", "weights"},
	[FT_PLAN_ADAPTER] = {"adapter", "adapter"},
	[FT_PLAN_GRADIENTS] = {"gradients", "gradients"},
	[FT_PLAN_MOMENTS] = {"moments", "optimizer's moments"},
	[FT_PLAN_REFERENCE] = {"reference", "reference"},
	[FT_PLAN_KEPT] = {"activations", "kept activations"},
	[FT_PLAN_WORK] = {"workspaces", "workspaces"},
	[FT_PLAN_LOGITS] = {"logits", "logits"},
	[FT_PLAN_CACHE] = {"cache", "keys and values"},
	[FT_PLAN_DATA] = {"data", "data index"},
	[FT_PLAN_PROGRAM] = {"program", "program"},
};

static size_t sum(size_t a, size_t b)
{
	size_t n;

	return ft_add(a, b, &n) ? SIZE_MAX : n;
}

size_t ft_plan_total(const struct ft_plan *p)
{
	size_t n = 0;

	for (int i = 0; i < FT_PLAN_PARTS; i++)
		n = sum(n, p->part[i]);
	return n;
}

void *ft_take(struct ft_carve *c, size_t count, size_t size)
{
	void *p = c->base ? c->base + c->n : NULL;
	size_t n;

	if (ft_mul(count, size, &n) || n > SIZE_MAX - 63)
		n = SIZE_MAX;
	else
		n = (n + 63) / 64 * 64;
	c->n = sum(c->n, n);
	if (c->plan)
		c->plan->part[c->part] = sum(c->plan->part[c->part], n);
	return p;
}

/* --- telling --- */

static double mega(size_t n)
{
	return (double)n / (1 << 20);
}

static size_t whole(size_t n)
{
	return n / (1 << 20) + (n % (1 << 20) != 0);
}

static void layers_text(const struct ft_plan *p, struct ft_str *out)
{
	size_t light = p->light - p->heavy;

	if (!p->light) {
		ft_str_addf(out, ", all of %zu layers kept", p->layers);
		return;
	}
	ft_str_addf(out, ", of %zu layers %zu kept", p->layers,
		    p->layers - p->light);
	if (light)
		ft_str_addf(out, ", %zu kept in part", light);
	if (p->heavy)
		ft_str_addf(out, ", %zu computed again", p->heavy);
}

void ft_plan_text(const struct ft_plan *p, struct ft_str *out)
{
	for (int i = 0; i < FT_PLAN_PARTS; i++) {
		if (p->part[i])
			ft_str_addf(out, "%-20s %10.1f MB\n", parts[i].what,
				    mega(p->part[i]));
	}
	ft_str_addf(out, "%-20s %10.1f MB  (--memory %zuM)\n", "all",
		    mega(ft_plan_total(p)), whole(ft_plan_total(p)));
	if (p->mapped)
		ft_str_addf(
			out,
			"%-20s %10.1f MB  read where they are mapped, not counted\n",
			"the model's files", mega(p->mapped));
	if (p->tokens) {
		ft_str_addf(out, "%zu tokens at a time", p->tokens);
		if (p->trains)
			layers_text(p, out);
		if (p->places)
			ft_str_addf(out, ", %zu in the cache", p->places);
		ft_str_addc(out, '\n');
	}
}

void ft_plan_json(const struct ft_plan *p, struct ft_str *out)
{
	ft_str_addc(out, '{');
	for (int i = 0; i < FT_PLAN_PARTS; i++)
		ft_str_addf(out, "\"%s\":%zu,", parts[i].key, p->part[i]);
	ft_str_addf(out, "\"all\":%zu,\"mapped\":%zu", ft_plan_total(p),
		    p->mapped);
	if (p->tokens)
		ft_str_addf(out, ",\"tokens\":%zu", p->tokens);
	if (p->places)
		ft_str_addf(out, ",\"places\":%zu", p->places);
	if (p->trains)
		ft_str_addf(
			out,
			",\"layers\":%zu,\"kept_in_part\":%zu,\"recomputed\":%zu",
			p->layers, p->light - p->heavy, p->heavy);
	ft_str_adds(out, "}\n");
}

int ft_plan_size(const char *text, size_t *n)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;
	double v;

	if (*text < '0' || *text > '9')
		return -1;
	v = strtod(text, &end);
	unit = memchr(units, toupper((unsigned char)*end), 4);
	if (unit) {
		v = ldexp(v, 10 * (int)(unit - units + 1));
		end++;
		if (!strcmp(end, "iB") || !strcmp(end, "B"))
			end += strlen(end);
	}
	if (*end || strpbrk(text, "eExXpP") || !(v >= 1) ||
	    v >= (double)(SIZE_MAX / 2))
		return -1;
	*n = (size_t)v;
	return 0;
}

int ft_plan_refuse(size_t budget, size_t least, struct ft_err *err)
{
	return ft_err_set(err, FT_EXIT_SYS,
			  "--memory of %zu MB is too little: %zuM is the least",
			  budget >> 20, whole(least));
}

int ft_plan_write(const struct ft_plan *p, bool json, struct ft_err *err)
{
	struct ft_str s = {0};
	struct ft_output *out;
	int rc;

	(json ? ft_plan_json : ft_plan_text)(p, &s);
	rc = ft_output_open(&out, NULL, false, err);
	if (!rc && ft_output_write(out, s.s, s.n, err) < 0) {
		ft_output_abort(out);
		rc = -1;
	} else if (!rc) {
		rc = ft_output_commit(out, err);
	}
	ft_str_release(&s);
	return rc;
}

int ft_plan_check(const char *memory, bool plan, bool json, size_t *budget,
		  struct ft_err *err)
{
	*budget = 0;
	if (json && !plan)
		return ft_err_set(err, FT_EXIT_USAGE, "--json without --plan");
	if (memory && ft_plan_size(memory, budget) < 0)
		return ft_err_set(
			err, FT_EXIT_USAGE,
			"--memory '%.100s' is no size (as 8G, 500M or bytes)",
			memory);
	return 0;
}
