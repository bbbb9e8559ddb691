/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "libcommon/base/stats.h"
#include "tools/ft-eval/eval.h"

struct observation {
	size_t cluster;
	double num, den;
};

/* One metric over all rows, or over those of a group. */
struct cell {
	size_t name;       /* declared */
	const char *field; /* of --by, or NULL for all rows */
	const char *group;
	struct observation *v; /* owned */
	size_t n, cap;
	double value, low, high;
	size_t nclusters;
	const char *interval;
};

/* Strings numbered in the order in which they came. */
struct names {
	const char **v; /* owned; in the arena */
	size_t n, cap;
	size_t *slot; /* [nslot] index + 1, or 0; owned */
	size_t nslot;
};

struct declared {
	const char *name;
	enum value_kind kind;
};

struct tally {
	struct ft_arena arena;
	struct declared name[16];
	size_t nname;
	struct names clusters;
	size_t cluster; /* of the present row */
	const char *field[16], *group[16];
	int ngroup;
	struct cell *cell; /* owned */
	size_t ncell, capcell;
};

struct tally *tally_new(void)
{
	return ft_xcalloc(1, sizeof(struct tally));
}

void tally_free(struct tally *t)
{
	for (size_t i = 0; i < t->ncell; i++)
		free(t->cell[i].v);
	free(t->cell);
	free(t->clusters.v);
	free(t->clusters.slot);
	ft_arena_release(&t->arena);
	free(t);
}

void tally_declare(struct tally *t, const char *name, enum value_kind kind)
{
	t->name[t->nname++] = (struct declared){name, kind};
}

bool tally_has(const struct tally *t, const char *name, size_t n)
{
	for (size_t i = 0; i < t->nname; i++) {
		if (strlen(t->name[i].name) == n &&
		    !memcmp(t->name[i].name, name, n))
			return true;
	}
	return false;
}

/* --- what a row belongs to ------------------------------------------------ */

static size_t hash(const char *s)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3u;
	return (size_t)(h ^ h >> 32);
}

static void rehash(struct names *x)
{
	x->nslot = x->nslot ? x->nslot * 2 : 64;
	free(x->slot);
	x->slot = ft_xcalloc(x->nslot, sizeof(*x->slot));
	for (size_t i = 0; i < x->n; i++) {
		size_t k = hash(x->v[i]) & (x->nslot - 1);

		while (x->slot[k])
			k = (k + 1) & (x->nslot - 1);
		x->slot[k] = i + 1;
	}
}

static size_t number_of(struct names *x, struct ft_arena *a, const char *s)
{
	size_t k;

	if (2 * (x->n + 1) > x->nslot)
		rehash(x);
	k = hash(s) & (x->nslot - 1);
	for (; x->slot[k]; k = (k + 1) & (x->nslot - 1)) {
		if (!strcmp(x->v[x->slot[k] - 1], s))
			return x->slot[k] - 1;
	}
	FT_GROW(x->v, x->n, x->cap, 1);
	x->v[x->n] = ft_arena_strndup(a, s, strlen(s));
	x->slot[k] = ++x->n;
	return x->n - 1;
}

/* A group's name: a string's text, else the value as JSON. */
static const char *group_name(struct tally *t, const struct ft_json *v)
{
	if (v->type == FT_JSON_STRING)
		return ft_arena_strndup(&t->arena, v->s, strlen(v->s));
	return ft_arena_strndup(&t->arena, v->raw, v->nraw);
}

void tally_row(struct tally *t, const struct ft_row *row, const char *group_by,
	       const struct ft_opt_list *by)
{
	const struct ft_json *v = ft_json_get(row->obj, group_by);
	struct ft_str id = {0};

	if (v && v->type != FT_JSON_NULL)
		ft_str_add(&id, v->raw, v->nraw);
	else if (!strcmp(group_by, "id"))
		ft_row_id(row, &id);
	else
		eval_die(row, "field '%s' missing", group_by);
	t->cluster = number_of(&t->clusters, &t->arena, ft_str_cstr(&id));
	ft_str_release(&id);
	t->ngroup = 0;
	for (int i = 0; i < by->n; i++) {
		v = ft_json_get(row->obj, by->v[i]);
		if (!v)
			eval_die(row, "field '%s' missing", by->v[i]);
		t->field[t->ngroup] = by->v[i];
		t->group[t->ngroup++] = group_name(t, v);
	}
}

/* --- sums ----------------------------------------------------------------- */

static bool same(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static struct cell *find_cell(const struct tally *t, const char *name,
			      const char *field, const char *group)
{
	for (size_t i = 0; i < t->ncell; i++) {
		struct cell *c = &t->cell[i];

		if (!strcmp(t->name[c->name].name, name) &&
		    same(c->field, field) && same(c->group, group))
			return c;
	}
	return NULL;
}

static void add_to(struct tally *t, const char *name, const char *field,
		   const char *group, const struct observation *o)
{
	struct cell *c = find_cell(t, name, field, group);

	if (!c) {
		FT_GROW(t->cell, t->ncell, t->capcell, 1);
		c = &t->cell[t->ncell++];
		*c = (struct cell){.field = field, .group = group};
		while (strcmp(t->name[c->name].name, name) != 0)
			c->name++;
	}
	FT_GROW(c->v, c->n, c->cap, 1);
	c->v[c->n++] = *o;
}

void tally_add(struct tally *t, const char *name, double num, double den)
{
	struct observation o = {t->cluster, num, den};

	add_to(t, name, NULL, NULL, &o);
	for (int i = 0; i < t->ngroup; i++)
		add_to(t, name, t->field[i], t->group[i], &o);
}

static int by_cluster(const void *a, const void *b)
{
	const struct observation *x = a, *y = b;

	return (x->cluster > y->cluster) - (x->cluster < y->cluster);
}

/* Sums by cluster: num and den are [c->n], returns how many there are. */
static size_t sum_clusters(struct cell *c, double *num, double *den)
{
	size_t n = 0;

	qsort(c->v, c->n, sizeof(*c->v), by_cluster);
	for (size_t i = 0; i < c->n; i++) {
		if (i == 0 || c->v[i].cluster != c->v[i - 1].cluster) {
			num[n] = den[n] = 0;
			n++;
		}
		num[n - 1] += c->v[i].num;
		den[n - 1] += c->v[i].den;
	}
	return n;
}

/*
 * A bootstrap of rows that all say the same, or of one, knows no doubt:
 * Wilson's interval with as many trials as there are clusters takes its place.
 */
static void compute(struct cell *c, enum value_kind kind, enum interval how,
		    uint64_t seed, size_t resamples)
{
	double *num = ft_xcalloc(c->n, sizeof(*num)), x = 0;
	double *den = ft_xcalloc(c->n, sizeof(*den)), y = 0;
	size_t n = sum_clusters(c, num, den);
	bool wilson = kind == RATE && (how == INTERVAL_WILSON ||
				       (how == INTERVAL_AUTO && n == c->n));

	for (size_t i = 0; i < n; i++) {
		x += num[i];
		y += den[i];
	}
	c->nclusters = n;
	c->value = x / y;
	c->interval = wilson ? "wilson" : "bootstrap";
	if (wilson) {
		ft_wilson(x, y, &c->low, &c->high);
	} else {
		ft_bootstrap(num, den, n, resamples, seed, &c->low, &c->high);
		if (kind != MEAN && !(c->low < c->high)) {
			ft_wilson(c->value * (double)n, (double)n, &c->low,
				  &c->high);
			c->interval = "wilson";
		}
	}
	free(num);
	free(den);
}

void tally_end(struct tally *t, enum interval how, uint64_t seed,
	       size_t resamples)
{
	if (!t->ncell)
		ft_die(FT_EXIT_DATA, "no rows: there is nothing to measure");
	for (size_t i = 0; i < t->ncell; i++) {
		struct cell *c = &t->cell[i];

		compute(c, t->name[c->name].kind, how, seed, resamples);
		if (c->value - c->value != 0)
			ft_die(FT_EXIT_DATA,
			       "metric '%s' has nothing to divide by (%zu rows)",
			       t->name[c->name].name, c->n);
	}
}

/* --- showing -------------------------------------------------------------- */

bool tally_value(const struct tally *t, const char *name, const char *field,
		 const char *group, int which, double *v)
{
	const struct cell *c = find_cell(t, name, field, group);

	if (!c)
		return false;
	*v = which == 0   ? c->value
	     : which == 1 ? c->low
	     : which == 2 ? c->high
			  : (double)c->n;
	return *v - *v == 0;
}

void tally_show(const struct tally *t)
{
	for (size_t i = 0; i < t->ncell; i++) {
		const struct cell *c = &t->cell[i];
		char range[64] = "no interval: one group alone";

		if (c->low - c->low == 0)
			snprintf(range, sizeof(range), "[%.4f, %.4f]", c->low,
				 c->high);
		ft_info("%s%s%s%s%s %.4f %s n=%zu", t->name[c->name].name,
			c->field ? "/" : "", c->field ? c->field : "",
			c->field ? "=" : "", c->field ? c->group : "", c->value,
			range, c->n);
	}
}

static void cell_json(const struct tally *t, const struct cell *c,
		      struct ft_str *out)
{
	const char *name = t->name[c->name].name;

	ft_str_add_json(out, name, strlen(name));
	ft_str_adds(out, ":{\"value\":");
	ft_str_add_double(out, c->value);
	ft_str_addf(out, ",\"n\":%zu,\"low\":", c->n);
	ft_str_add_double(out, c->low);
	ft_str_adds(out, ",\"high\":");
	ft_str_add_double(out, c->high);
	ft_str_addf(out, ",\"groups\":%zu,\"interval\":\"%s\"}", c->nclusters,
		    c->interval);
}

/* All metrics of one group as members. */
static void group_json(const struct tally *t, const char *field,
		       const char *group, struct ft_str *out)
{
	bool first = true;

	for (size_t k = 0; k < t->nname; k++) {
		const struct cell *c =
			find_cell(t, t->name[k].name, field, group);

		if (!c)
			continue;
		if (!first)
			ft_str_addc(out, ',');
		first = false;
		cell_json(t, c, out);
	}
}

/* Has the group of cell i been seen in an earlier one? */
static bool seen(const struct tally *t, size_t i)
{
	for (size_t j = 0; j < i; j++) {
		if (same(t->cell[j].field, t->cell[i].field) &&
		    same(t->cell[j].group, t->cell[i].group))
			return true;
	}
	return false;
}

static void field_json(const struct tally *t, const char *field,
		       struct ft_str *out)
{
	bool first = true;

	ft_str_add_json(out, field, strlen(field));
	ft_str_adds(out, ":{");
	for (size_t i = 0; i < t->ncell; i++) {
		const struct cell *c = &t->cell[i];

		if (!c->field || strcmp(c->field, field) != 0 || seen(t, i))
			continue;
		if (!first)
			ft_str_addc(out, ',');
		first = false;
		ft_str_add_json(out, c->group, strlen(c->group));
		ft_str_adds(out, ":{");
		group_json(t, field, c->group, out);
		ft_str_addc(out, '}');
	}
	ft_str_addc(out, '}');
}

void tally_json(const struct tally *t, struct ft_str *out)
{
	ft_str_addc(out, '{');
	group_json(t, NULL, NULL, out);
	if (t->ngroup) {
		ft_str_adds(out, ",\"by\":{");
		for (int i = 0; i < t->ngroup; i++) {
			if (i)
				ft_str_addc(out, ',');
			field_json(t, t->field[i], out);
		}
		ft_str_addc(out, '}');
	}
	ft_str_adds(out, "}\n");
}
