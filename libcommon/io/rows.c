/* SPDX-License-Identifier: MIT */
#include "libcommon/io/rows.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/io/input.h"
#include "libcommon/io/jqmap.h"

enum { FIRST_BUFFER = 1 << 16, MAX_ROW = 64 << 20 };

struct ft_rows {
	char **files; /* borrowed */
	int nfiles, next_file;
	struct ft_input *in; /* NULL between files */
	char *buf;
	size_t at, end, cap; /* buf[at, end) is unread */
	bool eof;            /* of in */
	bool torn;           /* the present line had no newline */
	uint64_t line;
	int64_t row;
	struct ft_arena arena;
	struct ft_jqmap *map;
	bool mapping;         /* map may emit more of the present row */
	struct ft_str mapped; /* what it emitted last */
};

int ft_rows_open(struct ft_rows **out, char **files, int nfiles,
		 const char *map, struct ft_err *err)
{
	static char dash[] = "-";
	static char *std[] = {dash};
	struct ft_rows *r = ft_xcalloc(1, sizeof(*r));

	*out = NULL;
	r->files = files && nfiles > 0 ? files : std;
	r->nfiles = files && nfiles > 0 ? nfiles : 1;
	r->row = -1;
	if (map && ft_jqmap_new(&r->map, map, err)) {
		ft_rows_close(r);
		return -1;
	}
	*out = r;
	return 0;
}

void ft_rows_close(struct ft_rows *r)
{
	if (!r)
		return;
	ft_input_close(r->in);
	ft_jqmap_free(r->map);
	ft_str_release(&r->mapped);
	ft_arena_release(&r->arena);
	free(r->buf);
	free(r);
}

/* --- lines --------------------------------------------------------------- */

/* Make room behind the unread bytes and read on. */
static int read_more(struct ft_rows *r, struct ft_err *err)
{
	ssize_t n;

	if (r->at) {
		memmove(r->buf, r->buf + r->at, r->end - r->at);
		r->end -= r->at;
		r->at = 0;
	}
	if (r->end > MAX_ROW)
		return ft_err_set(err, FT_EXIT_DATA, "line longer than %d MiB",
				  MAX_ROW >> 20);
	if (r->end == r->cap)
		FT_GROW(r->buf, r->end, r->cap, FIRST_BUFFER);
	n = ft_input_read(r->in, r->buf + r->end, r->cap - r->end, err);
	if (n < 0)
		return -1;
	r->eof = n == 0;
	r->end += (size_t)n;
	return 0;
}

/* The next line of the present file: 1, 0 at its end. */
static int next_line(struct ft_rows *r, const char **s, size_t *n,
		     struct ft_err *err)
{
	size_t seen = 0;
	char *nl = NULL;

	for (;;) {
		size_t left = r->end - r->at - seen;

		if (left)
			nl = memchr(r->buf + r->at + seen, '\n', left);
		if (nl || r->eof)
			break;
		seen = r->end - r->at;
		if (read_more(r, err))
			return ft_err_at(err, ft_input_name(r->in),
					 r->line + 1);
	}
	if (!nl && r->at == r->end)
		return 0;
	r->torn = !nl;
	*s = r->buf + r->at;
	*n = nl ? (size_t)(nl - *s) : r->end - r->at;
	r->at += *n + !!nl;
	r->line++;
	return 1;
}

static int next_input(struct ft_rows *r, struct ft_err *err)
{
	ft_input_close(r->in);
	r->in = NULL;
	if (r->next_file == r->nfiles)
		return 0;
	if (ft_input_open(&r->in, r->files[r->next_file++], err))
		return -1;
	r->at = r->end = 0;
	r->eof = false;
	r->line = 0;
	return 1;
}

/* --- rows ---------------------------------------------------------------- */

static bool blank(const char *s, size_t n)
{
	while (n && (*s == ' ' || *s == '\t' || *s == '\r')) {
		s++;
		n--;
	}
	return !n;
}

/* row->text to row->obj.  With a map a row may be any value. */
static int parse(struct ft_rows *r, struct ft_row *row, bool any,
		 struct ft_err *err)
{
	struct ft_err why;

	ft_arena_clear(&r->arena);
	if (blank(row->text, row->ntext))
		return ft_row_err(err, row, "empty line");
	if (ft_json_parse(&r->arena, row->text, row->ntext, &row->obj, &why))
		return ft_row_err(err, row, "%s%s", why.msg,
				  r->torn ? " (the last line is torn)" : "");
	if (!any && row->obj->type != FT_JSON_OBJECT)
		return ft_row_err(err, row, "row is not a JSON object");
	return 0;
}

/* The next object that the map makes of the present row: 1, 0 none. */
static int next_mapped(struct ft_rows *r, struct ft_row *row,
		       struct ft_err *err)
{
	int k = ft_jqmap_next(r->map, &r->mapped, err);

	row->file = ft_input_name(r->in);
	row->line = r->line;
	row->row = r->row;
	if (k < 0)
		return ft_err_at(err, row->file, row->line);
	if (k == 0) {
		r->mapping = false;
		return 0;
	}
	row->text = r->mapped.s;
	row->ntext = r->mapped.n;
	return parse(r, row, false, err) ? -1 : 1;
}

static int next_row(struct ft_rows *r, struct ft_row *row, struct ft_err *err)
{
	int k = 0;

	while (k == 0) {
		if (r->in)
			k = next_line(r, &row->text, &row->ntext, err);
		if (k == 0) {
			int opened = next_input(r, err);

			if (opened <= 0)
				return opened;
		}
	}
	if (k < 0)
		return -1;
	row->row = ++r->row;
	row->file = ft_input_name(r->in);
	row->line = r->line;
	return parse(r, row, r->map != NULL, err) ? -1 : 1;
}

int ft_rows_next(struct ft_rows *r, struct ft_row *row, struct ft_err *err)
{
	int k;

	for (;;) {
		if (r->mapping) {
			k = next_mapped(r, row, err);
			if (k)
				return k;
		}
		k = next_row(r, row, err);
		if (k <= 0 || !r->map)
			return k;
		if (ft_jqmap_start(r->map, row->text, row->ntext, err))
			return ft_err_at(err, row->file, row->line);
		r->mapping = true;
	}
}

int ft_row_copy(struct ft_arena *a, const struct ft_row *row,
		struct ft_row *copy, struct ft_err *err)
{
	char *text = ft_arena_strndup(a, row->text, row->ntext);

	*copy = *row;
	copy->text = text;
	copy->file = ft_arena_strndup(a, row->file, strlen(row->file));
	if (ft_json_parse(a, text, row->ntext, &copy->obj, err))
		return ft_err_at(err, row->file, row->line);
	return 0;
}

int ft_row_err(struct ft_err *err, const struct ft_row *row, const char *fmt,
	       ...)
{
	char msg[sizeof(err->msg)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	ft_err_set(err, FT_EXIT_DATA, "%s", msg);
	return ft_err_at(err, row->file, row->line);
}

/* --- what a row is ------------------------------------------------------- */

const char *const ft_row_kind_names[] = {
	"pair", "completion", "chat", "text", "prompt", NULL,
};

/* A null is as good as nothing: table formats fill in nulls. */
static bool has(const struct ft_json *o, const char *key)
{
	const struct ft_json *v = ft_json_get(o, key);

	return v && v->type != FT_JSON_NULL;
}

enum ft_row_kind ft_row_kind(const struct ft_json *o, bool *ids)
{
	static const struct {
		enum ft_row_kind kind;
		bool ids;
		const char *key[3];
	} forms[] = {
		{FT_ROW_PAIR, false, {"prompt", "chosen", "rejected"}},
		{FT_ROW_PAIR,
		 true,
		 {"prompt_ids", "chosen_ids", "rejected_ids"}},
		{FT_ROW_COMPLETION, false, {"prompt", "completion", NULL}},
		{FT_ROW_COMPLETION,
		 true,
		 {"prompt_ids", "completion_ids", NULL}},
		{FT_ROW_CHAT, false, {"messages", NULL, NULL}},
		{FT_ROW_TEXT, false, {"text", NULL, NULL}},
		{FT_ROW_TEXT, true, {"input_ids", NULL, NULL}},
		{FT_ROW_PROMPT, false, {"prompt", NULL, NULL}},
		{FT_ROW_PROMPT, true, {"prompt_ids", NULL, NULL}},
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		bool fits = true;

		for (int k = 0; k < 3 && forms[i].key[k]; k++)
			fits = fits && has(o, forms[i].key[k]);
		if (!fits)
			continue;
		if (ids)
			*ids = forms[i].ids;
		return forms[i].kind;
	}
	if (ids)
		*ids = false;
	return FT_ROW_NONE;
}

static bool is_scalar(const struct ft_json *v)
{
	return v && (v->type == FT_JSON_STRING || v->type == FT_JSON_NUMBER);
}

void ft_row_id(const struct ft_row *row, struct ft_str *out)
{
	const struct ft_json *v = ft_json_get(row->obj, "id");

	if (is_scalar(v))
		ft_str_add(out, v->raw, v->nraw);
	else
		ft_str_addf(out, "%" PRId64, row->row);
}

static void add_key(struct ft_str *out, const struct ft_json *v)
{
	if (v->type == FT_JSON_STRING)
		ft_str_add_json(out, v->s, v->ns);
	else if (v->is_int)
		ft_str_addf(out, "%" PRId64, v->i);
	else
		ft_str_add_double(out, v->num);
}

void ft_row_key(const struct ft_row *row, bool sample, struct ft_str *out)
{
	const struct ft_json *id = ft_json_get(row->obj, "id");
	const struct ft_json *s = ft_json_get(row->obj, "sample");

	if (is_scalar(id))
		add_key(out, id);
	else
		ft_str_addf(out, "%" PRId64, row->row);
	if (!sample)
		return;
	ft_str_addc(out, '\t');
	if (is_scalar(s))
		add_key(out, s);
	else
		ft_str_addc(out, '0');
}

/* --- changing a row ------------------------------------------------------ */

static bool key_is(const struct ft_json *v, const char *key)
{
	return v->nkey == strlen(key) && memcmp(v->key, key, v->nkey) == 0;
}

static const struct ft_edit *find_edit(const struct ft_edit *e, size_t n,
				       const struct ft_json *v, bool rename)
{
	for (size_t i = 0; i < n; i++) {
		if (!e[i].rename == !rename && key_is(v, e[i].key))
			return &e[i];
	}
	return NULL;
}

/* A field whose name another one is about to take. */
static bool displaced(const struct ft_row *row, const struct ft_edit *e,
		      size_t n, const struct ft_json *v)
{
	for (size_t i = 0; i < n; i++) {
		if (e[i].rename && key_is(v, e[i].rename) &&
		    strcmp(e[i].rename, e[i].key) != 0 &&
		    ft_json_get(row->obj, e[i].key))
			return true;
	}
	return false;
}

/* Has an edit that sets a field found its field in the row? */
static bool replaced(const struct ft_row *row, const struct ft_edit *e,
		     size_t n, const struct ft_edit *set)
{
	const struct ft_json *v = ft_json_get(row->obj, set->key);

	return v && !find_edit(e, n, v, true) && !displaced(row, e, n, v);
}

static void separate(struct ft_str *out, bool *first)
{
	if (!*first)
		ft_str_addc(out, ',');
	*first = false;
}

/* Write member v, whose source (name to value) begins at from; false when it
   is dropped. */
static bool edit_member(const struct ft_row *row, const struct ft_edit *e,
			size_t n, const struct ft_json *v, const char *from,
			bool *first, struct ft_str *out)
{
	const struct ft_edit *ren = find_edit(e, n, v, true);
	const struct ft_edit *set = ren ? ren : find_edit(e, n, v, false);

	if (displaced(row, e, n, v) || (set && !ren && !set->json))
		return false;
	separate(out, first);
	if (ren) {
		ft_str_add_json(out, ren->rename, strlen(ren->rename));
		ft_str_addc(out, ':');
	} else {
		ft_str_add(out, from, (size_t)(v->raw - from));
	}
	if (set && set->json)
		ft_str_add(out, set->json, set->n);
	else
		ft_str_add(out, v->raw, v->nraw);
	return true;
}

void ft_row_edit(const struct ft_row *row, const struct ft_edit *e, size_t n,
		 struct ft_str *out)
{
	const struct ft_json *o = row->obj;
	const char *end = o->raw + o->nraw - 1; /* the closing brace */
	const char *from = o->raw + 1, *stop = from;
	bool first = true;

	ft_str_add(out, row->text, (size_t)(from - row->text));
	for (const struct ft_json *v = o->child; v; v = v->next) {
		bool written = edit_member(row, e, n, v, from, &first, out);

		stop = v->raw + v->nraw;
		if (!v->next)
			break;
		/* only space and a comma lie between two members */
		from = memchr(stop, ',', (size_t)(v->next->raw - stop));
		if (written)
			ft_str_add(out, stop, (size_t)(from - stop));
		from++;
	}
	for (size_t i = 0; i < n; i++) {
		if (e[i].rename || !e[i].json || replaced(row, e, n, &e[i]))
			continue;
		separate(out, &first);
		ft_str_add_json(out, e[i].key, strlen(e[i].key));
		ft_str_addc(out, ':');
		ft_str_add(out, e[i].json, e[i].n);
	}
	/* the space before the brace, the brace, what follows it */
	ft_str_add(out, stop, (size_t)(end - stop));
	ft_str_add(out, end, (size_t)(row->text + row->ntext - end));
}
