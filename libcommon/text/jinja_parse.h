/* SPDX-License-Identifier: MIT */
/* The parser's two halves: expressions (jinja_expr.c), tags (jinja_parse.c).
   Functions that return a pointer or a truth say NULL or false on error. */
#ifndef FT_TEXT_JINJA_PARSE_H
#define FT_TEXT_JINJA_PARSE_H

#include "libcommon/text/jinja_priv.h"

/* Depths of the recursion of the parser, and of a tree. */
enum { JP_MAX_DEPTH = 300, JP_MAX_TREE = 600 };

struct parser {
	struct ft_jinja *t;
	const struct jtoken *p;
	struct ft_err *err;
	int depth; /* of the recursion */
	int loops; /* around, in this function */
	int fors;  /* around, in all */
};

/* At the current token's line.  Returns NULL. */
void *jp_fail(struct parser *ps, const char *fmt, ...) FT_PRINTF(2, 3);
void *jp_expected(struct parser *ps, const char *what);
bool jp_is(const struct parser *ps, enum jtok k);
bool jp_word(const struct parser *ps, const char *w);
bool jp_skip(struct parser *ps, enum jtok k);
bool jp_skip_word(struct parser *ps, const char *w);
bool jp_want(struct parser *ps, enum jtok k, const char *what);
bool jp_deeper(struct parser *ps); /* depth++; the caller takes it back */

struct jnode *jp_node(struct parser *ps, enum jkind k);
/* n gets child below it. */
bool jp_over(struct parser *ps, struct jnode *n, const struct jnode *child);
/* Append child to a list of n's; false when there is none. */
bool jp_append(struct parser *ps, struct jnode *n, struct jnode **list,
	       struct jnode *child);
const struct jstr *jp_literal(struct ft_jinja *t, const char *s, size_t n);

struct jnode *jp_expression(struct parser *ps, bool cond);
struct jnode *jp_primary(struct parser *ps, bool nsref);
/* One expression, or several with commas; targets: names to assign to. */
struct jnode *jp_tuple(struct parser *ps, bool targets, bool nsref, bool cond,
		       bool parens, const char *end);
/* At the name of a filter of what (NULL: of a block). */
struct jnode *jp_filter(struct parser *ps, struct jnode *what);

#endif
