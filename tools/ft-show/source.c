/* SPDX-License-Identifier: MIT */
/* What a file is, by what is in it. */
#include "tools/ft-show/show.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/base/mem.h"
#include "libcommon/io/input.h"
#include "libcommon/io/rows.h"

enum { HEAD = 1 << 17 };

const char *const show_types[] = {"a token stream", "a safetensors file",
				  "a directory", "a JSON document",
				  "a file of rows"};

_Noreturn void source_die(const struct source *s, struct ft_err *err)
{
	/* Bytes of a pipe are read under another name. */
	if (!err->where[0] || strcmp(err->where, s->path) == 0)
		snprintf(err->where, sizeof(err->where), "%s", s->name);
	ft_die_err(err);
}

/* Copy the (unpacked) bytes of path to a file that has no name. */
static void spool(struct source *s, const char *path)
{
	const char *dir = getenv("TMPDIR");
	struct ft_str name = {0};
	char buf[1 << 16];
	struct ft_input *in;
	struct ft_err err;
	ssize_t n;

	if (ft_input_open(&in, path, &err) < 0)
		ft_die_err(&err);
	ft_str_addf(&name, "%s/ft-show-XXXXXX", dir && *dir ? dir : "/tmp");
	s->fd = mkostemp(name.s, O_CLOEXEC);
	if (s->fd < 0)
		ft_die_errno("cannot create '%s'", name.s);
	unlink(name.s);
	ft_str_release(&name);
	while ((n = ft_input_read(in, buf, sizeof(buf), &err)) > 0)
		for (ssize_t k = 0, w; k < n; k += w) {
			w = write(s->fd, buf + k, (size_t)(n - k));
			if (w < 0)
				ft_die_errno("cannot write a temporary file");
		}
	if (n < 0)
		ft_die_err(&err);
	ft_input_close(in);
	free(s->path);
	s->path = ft_xmalloc(32);
	snprintf(s->path, 32, "/proc/self/fd/%d", s->fd);
}

/* Up to HEAD unpacked bytes from the start. */
static size_t read_head(const struct source *s, char *buf)
{
	struct ft_input *in;
	struct ft_err err;
	size_t have = 0;
	ssize_t n;

	if (ft_input_open(&in, s->path, &err) < 0)
		ft_die_err(&err);
	do {
		n = ft_input_read(in, buf + have, HEAD - have, &err);
		if (n < 0)
			source_die(s, &err);
		have += (size_t)n;
	} while (n > 0 && have < HEAD);
	ft_input_close(in);
	return have;
}

/* A first line that is a whole value makes rows, unless it is all there is
   and no row. */
static enum show_type rows_or_json(const struct source *s, const char *h,
				   size_t n)
{
	const char *nl = memchr(h, '\n', n);
	size_t line = nl ? (size_t)(nl - h) : n;
	enum show_type type = SHOW_JSON;
	struct ft_arena a = {0};
	struct ft_json *j;
	struct ft_err err;
	bool ids;

	if (!nl && n == HEAD)
		return ft_ends(s->name, ".json") ? SHOW_JSON : SHOW_ROWS;
	if (ft_json_parse(&a, h, line, &j, &err) == 0 &&
	    j->type == FT_JSON_OBJECT &&
	    (line + 1 < n || (!ft_ends(s->name, ".json") &&
			      ft_row_kind(j, &ids) != FT_ROW_NONE)))
		type = SHOW_ROWS;
	ft_arena_release(&a);
	return type;
}

static enum show_type recognise(const struct source *s, const char *h, size_t n)
{
	size_t blank = 0;

	if (n == 0)
		ft_die(FT_EXIT_DATA, "%s: empty", s->name);
	/* A header of less than 2^32 bytes, then its JSON. */
	if (n > 8 && memcmp(h + 4, "\0\0\0\0", 4) == 0 && h[8] == '{')
		return memmem(h, n, "\"ft.format\"", 11) ? SHOW_STREAM
							 : SHOW_TENSORS;
	while (blank < n && h[blank] && strchr(" \t\r\n", h[blank]))
		blank++;
	if (blank < n && (h[blank] == '{' || h[blank] == '['))
		return rows_or_json(s, h, n);
	ft_die(FT_EXIT_DATA,
	       "%s: neither a token stream nor safetensors, JSON or rows",
	       s->name);
}

static bool packed(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char b[4] = {0};
	bool yes = fd >= 0 && read(fd, b, 4) == 4 &&
		   memcmp(b, "\x28\xb5\x2f\xfd", 4) == 0;

	if (fd >= 0)
		close(fd);
	return yes;
}

void source_open(struct source *s, const char *name)
{
	static char head[HEAD];
	bool std = strcmp(name, "-") == 0;
	struct stat sb;

	*s = (struct source){.name = name, .fd = -1};
	s->path = ft_xstrdup(std ? "/proc/self/fd/0" : name);
	if ((std ? fstat(0, &sb) : stat(name, &sb)) < 0)
		ft_die_errno("cannot open '%s'", name);
	if (S_ISDIR(sb.st_mode)) {
		s->type = SHOW_DIR;
		return;
	}
	if (!S_ISREG(sb.st_mode))
		spool(s, name);
	s->type = recognise(s, head, read_head(s, head));
	/* Tensors are mapped. */
	if (s->type == SHOW_TENSORS && packed(s->path))
		spool(s, s->path);
}

void source_close(struct source *s)
{
	if (s->fd >= 0)
		close(s->fd);
	free(s->path);
}
