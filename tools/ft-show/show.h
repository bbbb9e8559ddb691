/* SPDX-License-Identifier: MIT */
/* ft-show: what its parts share.  They end the program on errors. */
#ifndef FT_SHOW_H
#define FT_SHOW_H

#include <stdbool.h>
#include <stdint.h>

#include "libcommon/base/die.h"
#include "libcommon/base/str.h"
#include "libcommon/io/output.h"
#include "libcommon/io/safetensors.h"
#include "libcommon/text/tokenizer.h"

enum show_type { SHOW_STREAM, SHOW_TENSORS, SHOW_DIR, SHOW_JSON, SHOW_ROWS };
extern const char *const show_types[];

/* Something to look at.  path can be opened again and again, also where name
   is a pipe: its bytes then lie in an unlinked file. */
struct source {
	const char *name; /* as given, for messages and headings; borrowed */
	char *path;       /* owned */
	int fd;           /* of the unlinked file, or -1 */
	enum show_type type;
};

struct show {
	struct ft_output *out;
	struct ft_str buf;  /* text on its way to out */
	struct ft_tok *tok; /* of --model, or NULL */
	int64_t row0, row1; /* --rows */
	bool color, stats, json;
};

/* Send on what is in buf. */
void show_flush(struct show *sh);

void source_open(struct source *s, const char *name);
void source_close(struct source *s);
/* End with err, which speaks of s. */
_Noreturn void source_die(const struct source *s, struct ft_err *err);

/* Append a number as text: integers exactly, reals as short as they are. */
void show_number(struct ft_str *b, double x);

/* Append text of others: bad UTF-8 as U+FFFD, control characters as \xNN, and
   each newline as the string nl. */
void show_text(struct ft_str *b, const char *s, size_t n, const char *nl);

void stream_summary(struct show *sh, const struct source *s);
void stream_rows(struct show *sh, const struct source *s);
void stream_ledger(struct show *sh, const struct source *s);
void stream_document(struct show *sh, const struct source *s, int64_t n);
void stream_join(struct show *sh, char **files, int n);

void tensors_open(struct ft_st *st, const struct source *s);
void tensors_table(struct show *sh, const struct source *s);
/* Append element i of t. */
void tensor_value(struct ft_str *b, const struct ft_tensor *t, uint64_t i);

void json_pretty(struct show *sh, const struct source *s);
void rows_summary(struct show *sh, const struct source *s);

/* Appends where a and b first differ, and returns true; false when they are
   the same. */
bool show_diff(struct ft_str *b, const struct source *x,
	       const struct source *y);

#endif
