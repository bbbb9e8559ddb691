/* SPDX-License-Identifier: MIT */
/*
 * Chat templates: the part of Jinja2 that language models' templates use, as
 * transformers sets it up (Jinja2 3.1's immutable sandbox, trim_blocks,
 * lstrip_blocks, loop controls, {% generation %}, and its tojson,
 * raise_exception, strftime_now).  What a template renders to here is what it
 * renders to there, byte for byte; a construct, filter, test or method that is
 * not known is refused when the template is compiled, by name and line.
 *
 * Templates are not trusted: steps, memory and nesting are bounded, and nothing
 * outside the given variables can be reached but the date.
 */
#ifndef FT_TEXT_JINJA_H
#define FT_TEXT_JINJA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/base/err.h"
#include "libcommon/base/str.h"
#include "libcommon/io/json.h"

struct ft_jinja;

/* s is copied.  Errors are FT_EXIT_DATA and say "line N: ...". */
int ft_jinja_compile(struct ft_jinja **t, const char *s, size_t n,
		     struct ft_err *err);
void ft_jinja_free(struct ft_jinja *t);
/* Is there a {% generation %} in it? */
bool ft_jinja_has_generation(const struct ft_jinja *t);

/* Whose text a byte is. */
enum {
	FT_JINJA_OWN = 0,    /* the template's */
	FT_JINJA_INPUT = 1,  /* a variable's */
	FT_JINJA_CHOSEN = 2, /* of the message that the caller chose */
};

/* A variable that the template sees. */
struct ft_jinja_var {
	const char *name;
	enum {
		FT_JINJA_JSON,   /* json; its strings are input */
		FT_JINJA_STRING, /* s, as if the template had it */
		FT_JINJA_TRUE,
		FT_JINJA_FALSE,
		FT_JINJA_NONE,
		FT_JINJA_MESSAGES, /* list[0, n) of objects, see below */
	} kind;
	const struct ft_json *json;
	const char *s;
	const struct ft_json *const *list;
	size_t n;
	size_t chosen; /* index of the message whose text is FT_JINJA_CHOSEN */
};
/*
 * Messages are seen as transformers' apply_chat_template shows them: members
 * that are null are not there, and `reasoning_content`, `thinking` and
 * `reasoning` stand for one another.  A `role` of letters, digits, '_', '-' and
 * '.' counts as the template's own text, since templates build special tokens
 * of it.
 */

struct ft_jinja_span {
	size_t a, z; /* bytes [a, z) of the text */
};
struct ft_jinja_out {
	struct ft_str text;
	unsigned char *mark;       /* [text.n] whose text a byte is */
	struct ft_jinja_span *gen; /* what {% generation %} enclosed */
	size_t *cut; /* where a {{ }} or a piece of the template's text ended */
	size_t ngen, capgen, capmark, ncut, capcut;
};
void ft_jinja_out_release(struct ft_jinja_out *o);

/* What a rendering may take; 0 is the default. */
struct ft_jinja_limits {
	uint64_t steps;
	size_t memory; /* bytes */
};

/*
 * Render into out (cleared first).  Of two variables with one name the last
 * counts.  strftime_now is local time, or SOURCE_DATE_EPOCH in UTC when the
 * environment has that.  A template that raises, or that does what Jinja2
 * would not do, is FT_EXIT_DATA.
 */
int ft_jinja_render(const struct ft_jinja *t, const struct ft_jinja_var *vars,
		    size_t nvars, const struct ft_jinja_limits *limits,
		    struct ft_jinja_out *out, struct ft_err *err);

#endif
