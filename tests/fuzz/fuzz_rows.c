/* SPDX-License-Identifier: MIT */
/*
 * Rows from a file, edited and copied; an edit must leave a row that is still
 * valid.  The first byte chooses a map: mostly none, since jq is slow to start.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libcommon/io/rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const struct ft_row *row)
{
	static const struct ft_edit edits[] = {
		{"completion", NULL, 0, "reference"},
		{"completion", "\"x\"", 3, NULL},
		{"a", NULL, 0, NULL},
		{"b", "{\"a\":1}", 7, NULL},
	};
	struct ft_arena a = {0};
	struct ft_str out = {0};
	struct ft_row copy;
	struct ft_json *v;
	struct ft_err err;
	bool ids;

	ft_row_kind(row->obj, &ids);
	ft_row_id(row, &out);
	ft_str_clear(&out);
	ft_row_edit(row, edits, 4, &out);
	if (ft_json_parse(&a, out.s, out.n, &v, &err) || ft_json_get(v, "a") ||
	    !ft_json_get(v, "b") || ft_row_copy(&a, row, &copy, &err) ||
	    copy.obj->n != row->obj->n)
		abort();
	ft_str_clear(&out);
	ft_row_edit(row, NULL, 0, &out); /* nothing changes nothing */
	if (out.n != row->ntext || memcmp(out.s, row->text, out.n) != 0)
		abort();
	ft_str_release(&out);
	ft_arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const maps[] = {
		NULL,
		NULL,
		".",
		"{a: .}",
		".[]?",
		"error",
		"{b: (.a // 1 | tostring)}",
		".. | objects",
	};
	char path[64], *files[] = {path};
	struct ft_rows *r = NULL;
	struct ft_row row;
	struct ft_err err;
	int fd, k;

	if (!size || (fd = memfd_create("rows", 0)) < 0)
		return 0;
	if (write(fd, data + 1, size - 1) != (ssize_t)size - 1)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (ft_rows_open(&r, files, 1, data[0] < 8 ? maps[data[0]] : NULL,
			 &err))
		abort();
	while ((k = ft_rows_next(r, &row, &err)) > 0)
		look(&row);
	if (k < 0 && (!err.msg[0] || err.code != FT_EXIT_DATA))
		abort();
	ft_rows_close(r);
	close(fd);
	return 0;
}
