/* SPDX-License-Identifier: MIT */
/*
 * The user's jq program (--map), by libjq: compiled once, run on each row.
 * jq's numbers are doubles, so what passes through it is re-serialised.  A
 * program sees its row and the environment: ~/.jq is not read, no folder is
 * searched for modules, and `input` has nothing to give.
 */
#ifndef FT_IO_JQMAP_H
#define FT_IO_JQMAP_H

#include <stddef.h>

#include "libcommon/base/err.h"
#include "libcommon/base/str.h"

struct ft_jqmap;

/* A program that does not compile is FT_EXIT_USAGE. */
int ft_jqmap_new(struct ft_jqmap **m, const char *program, struct ft_err *err);
void ft_jqmap_free(struct ft_jqmap *m);
/* Give it a row: n bytes of JSON that our own parser has accepted. */
int ft_jqmap_start(struct ft_jqmap *m, const char *s, size_t n,
		   struct ft_err *err);
/* out = the next object that it emits: 1, 0 after the last, -1 (FT_EXIT_DATA)
   for an error of the program or an output that is no object. */
int ft_jqmap_next(struct ft_jqmap *m, struct ft_str *out, struct ft_err *err);

#endif
