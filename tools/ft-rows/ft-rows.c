/* SPDX-License-Identifier: MIT */
/* ft-rows - make rows of rows: from JSON documents, joined, mapped, cut. */

#include <stdlib.h>
#include <string.h>

#include "libcommon/base/die.h"
#include "libcommon/base/opt.h"
#include "libcommon/io/input.h"
#include "libcommon/io/jqmap.h"
#include "libcommon/io/output.h"
#include "libcommon/io/rows.h"

struct cmdline {
	const char *map, *raw, *output;
	struct ft_opt_list join;
	int64_t limit;
	bool json, zstd;
};

/* A row to be joined, by key: id, a tab, sample. */
struct partner {
	const char *key, *raw;
	size_t nraw;
};

struct join {
	char *name; /* owned */
	const char *file;
	struct partner *v; /* sorted by key; owned */
	size_t n, cap;
	struct ft_arena arena;
};

struct work {
	const struct cmdline *cmd;
	struct join *joins; /* cmd->join.n of them; owned */
	struct ft_jqmap *map;
	struct ft_output *out;
	struct ft_str key, text, line;
	int64_t written;
};

/* --- joining ------------------------------------------------------------- */

static void key_of(const struct ft_row *row, struct ft_str *key)
{
	ft_str_clear(key);
	ft_row_key(row, true, key);
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct partner *)a)->key,
		      ((const struct partner *)b)->key);
}

static void add_partner(struct join *j, const struct ft_row *row,
			struct ft_str *key)
{
	struct partner *p;

	key_of(row, key);
	FT_GROW(j->v, j->n, j->cap, 1);
	p = &j->v[j->n++];
	p->key = ft_arena_strndup(&j->arena, ft_str_cstr(key), key->n);
	p->raw = ft_arena_strndup(&j->arena, row->text, row->ntext);
	p->nraw = row->ntext;
}

/* Split NAME=FILE; the names of the first n joins are taken. */
static void name_join(struct join *joins, int n, const char *arg)
{
	const char *eq = strchr(arg, '=');
	struct join *j = &joins[n];

	if (!eq || eq == arg || !eq[1])
		ft_die(FT_EXIT_USAGE, "--join wants NAME=FILE, not '%s'", arg);
	j->name = ft_xstrndup(arg, (size_t)(eq - arg));
	j->file = eq + 1;
	for (int i = 0; i < n; i++) {
		if (!strcmp(joins[i].name, j->name))
			ft_die(FT_EXIT_USAGE, "--join names '%s' twice",
			       j->name);
	}
}

static void load_join(struct join *j)
{
	struct ft_str key = {0};
	struct ft_rows *rows;
	struct ft_row row;
	struct ft_err err;
	char *file = ft_xstrdup(j->file);
	int k;

	if (ft_rows_open(&rows, &file, 1, NULL, &err))
		ft_die_err(&err);
	while ((k = ft_rows_next(rows, &row, &err)) > 0)
		add_partner(j, &row, &key);
	if (k < 0)
		ft_die_err(&err);
	ft_rows_close(rows);
	free(file);
	ft_str_release(&key);
	if (j->n)
		qsort(j->v, j->n, sizeof(*j->v), by_key);
	for (size_t i = 1; i < j->n; i++) {
		if (by_key(&j->v[i - 1], &j->v[i]) == 0)
			ft_die(FT_EXIT_DATA,
			       "%s: two rows with id %.*s and the same sample",
			       j->file, (int)strcspn(j->v[i].key, "\t"),
			       j->v[i].key);
	}
}

/* Put the rows' partners into w->text. */
static void join_row(struct work *w, const struct ft_row *row)
{
	struct ft_edit *e = ft_xcalloc((size_t)w->cmd->join.n, sizeof(*e));

	key_of(row, &w->key);
	for (int i = 0; i < w->cmd->join.n; i++) {
		struct join *j = &w->joins[i];
		struct partner want = {.key = w->key.s}, *p = NULL;
		struct ft_err err;

		if (j->n)
			p = bsearch(&want, j->v, j->n, sizeof(want), by_key);
		if (!p) {
			ft_row_err(&err, row, "'%s' has no row of its id",
				   j->file);
			ft_die_err(&err);
		}
		e[i] = (struct ft_edit){j->name, p->raw, p->nraw, NULL};
	}
	ft_str_clear(&w->text);
	ft_row_edit(row, e, (size_t)w->cmd->join.n, &w->text);
	free(e);
}

/* --- rows out ------------------------------------------------------------ */

static bool enough(const struct work *w)
{
	return w->cmd->limit && w->written >= w->cmd->limit;
}

/* s is one JSON object on one line. */
static void write_row(struct work *w, const struct ft_row *row, const char *s,
		      size_t n)
{
	struct ft_arena a = {0};
	struct ft_json *obj;
	struct ft_err err;
	const char *text;
	size_t ntext;
	int k;

	ft_str_clear(&w->line);
	if (w->cmd->raw) {
		if (ft_json_parse(&a, s, n, &obj, &err) ||
		    (k = ft_json_str(obj, w->cmd->raw, &text, &ntext, &err)) <
			    0) {
			ft_err_at(&err, row->file, row->line);
			ft_die_err(&err);
		}
		if (k == 0) {
			ft_row_err(&err, row, "field '%s' is missing",
				   w->cmd->raw);
			ft_die_err(&err);
		}
		ft_str_add(&w->line, text, ntext);
		ft_arena_release(&a);
	} else {
		ft_str_add(&w->line, s, n);
	}
	ft_str_addc(&w->line, '\n');
	if (ft_output_write(w->out, w->line.s, w->line.n, &err))
		ft_die_err(&err);
	w->written++;
}

static void map_row(struct work *w, const struct ft_row *row, const char *s,
		    size_t n)
{
	struct ft_str made = {0};
	struct ft_err err;
	int k = ft_jqmap_start(w->map, s, n, &err) ? -1 : 1;

	while (k > 0 && !enough(w)) {
		k = ft_jqmap_next(w->map, &made, &err);
		if (k > 0)
			write_row(w, row, made.s, made.n);
	}
	ft_str_release(&made);
	if (k < 0) {
		ft_jqmap_free(w->map);
		ft_err_at(&err, row->file, row->line);
		ft_die_err(&err);
	}
}

/* row->obj may be any value when there is a map. */
static void take_row(struct work *w, const struct ft_row *row)
{
	const char *s = row->text;
	size_t n = row->ntext;
	struct ft_err err;

	if (row->obj->type != FT_JSON_OBJECT && (!w->map || w->cmd->join.n)) {
		ft_row_err(&err, row, "row is not a JSON object");
		ft_die_err(&err);
	}
	if (w->cmd->join.n) {
		join_row(w, row);
		s = w->text.s;
		n = w->text.n;
	}
	if (w->map)
		map_row(w, row, s, n);
	else
		write_row(w, row, s, n);
}

/* --- rows in ------------------------------------------------------------- */

static void take_lines(struct work *w, char **files, int nfiles)
{
	/* the reader's map is this one: a row may then be any value */
	bool early = w->map && !w->cmd->join.n;
	struct ft_rows *rows;
	struct ft_row row;
	struct ft_err err;
	int k = 1;

	if (ft_rows_open(&rows, files, nfiles, early ? w->cmd->map : NULL,
			 &err))
		ft_die_err(&err);
	while (!enough(w) && (k = ft_rows_next(rows, &row, &err)) > 0) {
		if (early)
			write_row(w, &row, row.text, row.ntext);
		else
			take_row(w, &row);
	}
	ft_rows_close(rows);
	if (k < 0)
		ft_die_err(&err);
}

static void read_all(const char *path, struct ft_str *text)
{
	static char buf[1 << 16];
	struct ft_input *in;
	struct ft_err err;
	ssize_t n;

	ft_str_clear(text);
	if (ft_input_open(&in, path, &err))
		ft_die_err(&err);
	while ((n = ft_input_read(in, buf, sizeof(buf), &err)) > 0)
		ft_str_add(text, buf, (size_t)n);
	if (n < 0)
		ft_die_err(&err);
	ft_input_close(in);
}

/* The elements of an array, or the one value that there is. */
static void take_document(struct work *w, const char *path, int64_t *nrow)
{
	struct ft_str text = {0}, line = {0};
	struct ft_arena a = {0};
	const struct ft_json *v;
	struct ft_json *doc;
	struct ft_err err;
	const char *from;
	uint64_t nl = 1;

	read_all(path, &text);
	if (ft_json_parse(&a, ft_str_cstr(&text), text.n, &doc, &err)) {
		ft_err_at(&err, path, 0);
		ft_die_err(&err);
	}
	from = text.s;
	v = doc->type == FT_JSON_ARRAY ? doc->child : doc;
	for (; v && !enough(w); v = v == doc ? NULL : v->next) {
		struct ft_row row = {.row = (*nrow)++, .file = path};

		for (; from < v->raw; from++)
			nl += *from == '\n';
		row.line = nl;
		ft_str_clear(&line);
		ft_json_print(v, false, -1, &line);
		row.text = line.s;
		row.ntext = line.n;
		if (ft_json_parse(&a, line.s, line.n, &row.obj, &err))
			ft_die_err(&err);
		take_row(w, &row);
	}
	ft_arena_release(&a);
	ft_str_release(&line);
	ft_str_release(&text);
}

/* Standard input can be read once. */
static void check_stdin(const struct work *w, char **files, int n)
{
	int times = 0;

	for (int k = 0; k < n; k++)
		times += !strcmp(files[k], "-");
	for (int k = 0; k < w->cmd->join.n; k++)
		times += !strcmp(w->joins[k].file, "-");
	if (times > 1)
		ft_die(FT_EXIT_USAGE, "standard input is named %d times",
		       times);
}

int main(int argc, char **argv)
{
	static char dash[] = "-";
	char *std[] = {dash}, **files;
	struct cmdline cmd = {0};
	const struct ft_opt opts[] = {
		FT_STR(0, "map", &cmd.map, "JQ",
		       "reshape each row with this jq program"),
		FT_FLAG(0, "json", &cmd.json,
			"FILEs are JSON documents; an array's elements are the rows"),
		FT_LIST(0, "join", &cmd.join, "NAME=FILE",
			"put the row of FILE with the same id and sample into member NAME"),
		FT_INT(0, "limit", &cmd.limit, 0, 9e15, "N",
		       "stop after N rows (0: never)"),
		FT_STR(0, "raw", &cmd.raw, "FIELD",
		       "write this field's text instead of the row"),
		FT_STR_FREE('o', "output", &cmd.output, "FILE",
			    "write there instead of to stdout"),
		FT_FLAG_FREE('z', "zstd", &cmd.zstd, "compress the output"),
		FT_END,
	};
	struct work w = {.cmd = &cmd};
	struct ft_err err;
	int64_t nrow = 0;
	int i, n;

	ft_start(argv[0]);
	i = ft_opt_parse(argc, argv, opts, "[OPTIONS] [FILE...]",
			 "Write rows made of rows.");
	files = i < argc ? argv + i : std;
	n = i < argc ? argc - i : 1;
	w.joins = ft_xcalloc((size_t)cmd.join.n + 1, sizeof(*w.joins));
	for (int k = 0; k < cmd.join.n; k++)
		name_join(w.joins, k, cmd.join.v[k]);
	check_stdin(&w, files, n);
	if (cmd.map && ft_jqmap_new(&w.map, cmd.map, &err))
		ft_die_err(&err);
	for (int k = 0; k < cmd.join.n; k++)
		load_join(&w.joins[k]);
	if (ft_output_open(&w.out, cmd.output, cmd.zstd, &err))
		ft_die_err(&err);

	if (cmd.json) {
		for (int k = 0; k < n; k++)
			take_document(&w, files[k], &nrow);
	} else {
		take_lines(&w, files, n);
	}
	if (ft_output_commit(w.out, &err))
		ft_die_err(&err);
	ft_verbose("%lld rows", (long long)w.written);

	for (int k = 0; k < cmd.join.n; k++) {
		free(w.joins[k].name);
		free(w.joins[k].v);
		ft_arena_release(&w.joins[k].arena);
	}
	free(w.joins);
	free(cmd.join.v);
	ft_jqmap_free(w.map);
	ft_str_release(&w.key);
	ft_str_release(&w.text);
	ft_str_release(&w.line);
	return 0;
}
