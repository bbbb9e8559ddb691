/* SPDX-License-Identifier: MIT */
/* A token stream being read row by row; every error ends the program. */
#ifndef FT_SHOW_STREAM_H
#define FT_SHOW_STREAM_H

#include "libcommon/io/tstream.h"
#include "tools/ft-show/show.h"

struct stream {
	const struct source *s; /* borrowed */
	struct ft_input *in;
	struct ft_stream_reader *r;
	struct ft_stream_info info;
	struct ft_tokens b; /* the present document */
	size_t i;           /* and row of it */
};
void stream_open(struct stream *st, const struct source *s);
/* The next document; false after the last, when all is checked. */
bool stream_next(struct stream *st);
/* The next row; false after the last. */
bool stream_row(struct stream *st);
void stream_close(struct stream *st);

#endif
