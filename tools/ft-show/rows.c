/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"
#include "libcommon/io/input.h"
#include "libcommon/io/rows.h"
#include "tools/ft-show/show.h"

enum { MAX_JSON = 256 << 20 };

static const char *const types[] = {"null",   "boolean", "boolean", "number",
				    "string", "array",   "object"};

/* A name that rows have, and how often with which types. */
struct field {
	char *name; /* owned */
	int64_t n;
	int64_t of[7]; /* by enum ft_json_type */
};

struct fields {
	struct field *v; /* sorted by name */
	size_t n, cap;
};

static struct field *field_of(struct fields *f, const char *name)
{
	size_t lo = 0, hi = f->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(f->v[mid].name, name);

		if (c == 0)
			return &f->v[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	FT_GROW(f->v, f->n, f->cap, 1);
	memmove(f->v + lo + 1, f->v + lo, (f->n - lo) * sizeof(*f->v));
	f->n++;
	f->v[lo] = (struct field){.name = ft_xstrdup(name)};
	return &f->v[lo];
}

/* "string", or "null|string" where rows differ. */
static void add_types(struct ft_str *b, const struct field *f)
{
	const char *last = NULL;

	for (int t = 0; t < 7; t++)
		if (f->of[t] && (!last || strcmp(last, types[t]) != 0)) {
			ft_str_addf(b, "%s%s", last ? "|" : "", types[t]);
			last = types[t];
		}
}

static void text_rows(struct ft_str *b, const int64_t *kinds, int64_t n,
		      const struct fields *f)
{
	ft_str_addf(b, "rows         %jd\n", (intmax_t)n);
	for (int k = 0; k <= FT_ROW_NONE; k++)
		if (kinds[k])
			ft_str_addf(b, "kind         %-12s %jd\n",
				    k < FT_ROW_NONE ? ft_row_kind_names[k]
						    : "none",
				    (intmax_t)kinds[k]);
	for (size_t i = 0; i < f->n; i++) {
		ft_str_addf(b, "field        %10jd  ", (intmax_t)f->v[i].n);
		show_text(b, f->v[i].name, strlen(f->v[i].name), "\\n");
		ft_str_adds(b, ": ");
		add_types(b, &f->v[i]);
		ft_str_addc(b, '\n');
	}
}

static void json_rows(struct ft_str *b, const char *name, const int64_t *kinds,
		      int64_t n, const struct fields *f)
{
	bool first = true;

	ft_str_adds(b, "{\"file\":");
	ft_str_add_json(b, name, strlen(name));
	ft_str_addf(b, ",\"type\":\"rows\",\"rows\":%jd,\"kinds\":{",
		    (intmax_t)n);
	for (int k = 0; k <= FT_ROW_NONE; k++)
		if (kinds[k]) {
			ft_str_addf(b, "%s\"%s\":%jd", first ? "" : ",",
				    k < FT_ROW_NONE ? ft_row_kind_names[k]
						    : "none",
				    (intmax_t)kinds[k]);
			first = false;
		}
	ft_str_adds(b, "},\"fields\":{");
	for (size_t i = 0; i < f->n; i++) {
		ft_str_adds(b, i ? "," : "");
		ft_str_add_json(b, f->v[i].name, strlen(f->v[i].name));
		ft_str_addf(b, ":{\"rows\":%jd,\"types\":\"",
			    (intmax_t)f->v[i].n);
		add_types(b, &f->v[i]);
		ft_str_adds(b, "\"}");
	}
	ft_str_adds(b, "}}\n");
}

void rows_summary(struct show *sh, const struct source *s)
{
	int64_t kinds[FT_ROW_NONE + 1] = {0}, n = 0;
	struct fields f = {0};
	char *files[] = {s->path};
	struct ft_rows *r;
	struct ft_row row;
	struct ft_err err;
	bool ids;
	int rc;

	if (ft_rows_open(&r, files, 1, NULL, &err) < 0)
		source_die(s, &err);
	while ((rc = ft_rows_next(r, &row, &err)) > 0) {
		n++;
		kinds[ft_row_kind(row.obj, &ids)]++;
		for (const struct ft_json *c = row.obj->child; c; c = c->next) {
			struct field *x = field_of(&f, c->key);

			x->n++;
			x->of[c->type]++;
		}
	}
	if (rc < 0)
		source_die(s, &err);
	ft_rows_close(r);
	if (sh->json)
		json_rows(&sh->buf, s->name, kinds, n, &f);
	else
		text_rows(&sh->buf, kinds, n, &f);
	for (size_t i = 0; i < f.n; i++)
		free(f.v[i].name);
	free(f.v);
}

/* Strict JSON has no control characters but these, in strings. */
static void add_escaped(struct ft_str *b, const struct ft_str *json)
{
	for (size_t i = 0; i < json->n; i++) {
		unsigned char c = (unsigned char)json->s[i];
		unsigned char d =
			i + 1 < json->n ? (unsigned char)json->s[i + 1] : 0;

		if (c == 0x7f)
			ft_str_adds(b, "\\u007f");
		else if (c == 0xc2 && d < 0xa0)
			ft_str_addf(b, "\\u%04x", d);
		else
			ft_str_addc(b, (char)c);
		i += c == 0xc2 && d < 0xa0;
	}
}

void json_pretty(struct show *sh, const struct source *s)
{
	struct ft_arena a = {0};
	struct ft_json *j;
	struct ft_err err;
	size_t n;
	char *bytes = ft_read_file(s->path, MAX_JSON, &n, &err);

	if (!bytes || ft_json_parse(&a, bytes, n, &j, &err) < 0)
		source_die(s, &err);
	if (sh->json) {
		ft_str_adds(&sh->buf, "{\"file\":");
		ft_str_add_json(&sh->buf, s->name, strlen(s->name));
		ft_str_adds(&sh->buf, ",\"type\":\"json\",\"value\":");
		ft_json_print(j, false, -1, &sh->buf);
		ft_str_addc(&sh->buf, '}');
	} else {
		struct ft_str text = {0};

		ft_json_print(j, false, 2, &text);
		add_escaped(&sh->buf, &text);
		ft_str_release(&text);
	}
	ft_str_addc(&sh->buf, '\n');
	ft_arena_release(&a);
	free(bytes);
}
