/* SPDX-License-Identifier: MIT */
/*
 * JSONL rows: ft-rows(5).  One strict JSON object a line, from one or more
 * files; lines are numbered on over all of them.  A last line without a
 * newline is accepted when it is a whole value; a torn one is FT_EXIT_DATA.
 */
#ifndef FT_IO_ROWS_H
#define FT_IO_ROWS_H

#include "libcommon/io/json.h"
#include "libcommon/io/output.h"

struct ft_rows;

struct ft_row {
	int64_t row;      /* 0-based over all files; its default id */
	const char *file; /* "-" for stdin */
	uint64_t line;    /* 1-based in that file: for messages */
	const char *text; /* the line without its newline */
	size_t ntext;
	struct ft_json *obj;
};

/* files NULL or nfiles 0 is stdin.  map is a jq program or NULL: with one,
   each input row, which may then be any JSON value, becomes the objects that
   it emits (row, file and line stay those of the input row); a program that
   does not compile is FT_EXIT_USAGE.  Empty lines are errors, so are lines
   over 64 MiB.  files is borrowed. */
int ft_rows_open(struct ft_rows **r, char **files, int nfiles, const char *map,
		 struct ft_err *err);
/* 1, 0 at the end, -1 (err says file and line).  The row lives until the next
   call. */
int ft_rows_next(struct ft_rows *r, struct ft_row *row, struct ft_err *err);
void ft_rows_close(struct ft_rows *r);
/* For rows that are to be kept: a row whose text and nodes live in a. */
int ft_row_copy(struct ft_arena *a, const struct ft_row *row,
		struct ft_row *copy, struct ft_err *err);

/* "file:line" errors: fills where and line, returns -1. */
int ft_row_err(struct ft_err *err, const struct ft_row *row, const char *fmt,
	       ...) FT_PRINTF(3, 4);

enum ft_row_kind {
	FT_ROW_PAIR,
	FT_ROW_COMPLETION,
	FT_ROW_CHAT,
	FT_ROW_TEXT,
	FT_ROW_PROMPT,
	FT_ROW_NONE
};
/* The first kind that fits (contract: pair, completion, messages, text,
   prompt; a field that is null is absent); *ids true when it is in already
   tokenised form (input_ids: text). */
enum ft_row_kind ft_row_kind(const struct ft_json *obj, bool *ids);
extern const char
	*const ft_row_kind_names[]; /* pair completion chat text prompt */

/* id as JSON text: the row's own `id` bytes, or its number. */
void ft_row_id(const struct ft_row *row, struct ft_str *out);
/* What names a row when rows are matched: its id, and with sample also that (0
   where there is none), in one spelling for all that mean the same (1.0 and 1,
   an escape in a string). */
void ft_row_key(const struct ft_row *row, bool sample, struct ft_str *out);

/*
 * A row with some of its fields set: value bytes NULL = field dropped; an
 * existing field is replaced where it stands, a new one appended in the order
 * of edits; rename != NULL gives an existing field another name in place.
 * All else passes byte for byte.  A field whose name a rename takes is
 * dropped; an edit of the old name appends then.
 */
struct ft_edit {
	const char *key;
	const char *json; /* the value's JSON, or NULL to drop the field */
	size_t n;
	const char *rename;
};
void ft_row_edit(const struct ft_row *row, const struct ft_edit *e, size_t n,
		 struct ft_str *out);

#endif
