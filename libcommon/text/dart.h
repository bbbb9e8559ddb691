/* SPDX-License-Identifier: MIT */
/*
 * A light lexer for Dart: enough to tell code from strings and comments, to
 * pair brackets and to find the members of a class.  It accepts any bytes;
 * what is torn or unbalanced is said, never fatal.
 *
 * Literals as in the language's specification, section "Strings": raw, in
 * three quotes, with ${...} that holds code again.
 */
#ifndef FT_TEXT_DART_H
#define FT_TEXT_DART_H

#include <stdbool.h>
#include <stddef.h>

enum ft_dart_kind {
	FT_DART_IDENT, /* keywords too */
	FT_DART_NUMBER,
	FT_DART_STRING, /* a whole literal, what it interpolates included */
	FT_DART_PUNCT,  /* one byte */
};

#define FT_DART_NONE ((size_t)-1)

struct ft_dart_tok {
	enum ft_dart_kind kind;
	size_t at, n; /* bytes of the source */
	size_t match; /* the bracket's partner, else FT_DART_NONE */
	size_t up;    /* the innermost bracket around it, or FT_DART_NONE */
};

/* Tokens without comments.  Zeroed = empty; used again by the next lex. */
struct ft_dart {
	const char *s; /* borrowed */
	size_t ns;
	struct ft_dart_tok *t; /* owned */
	size_t n, cap;
	bool balanced; /* every bracket has its partner */
	bool whole;    /* no string or comment lacks its end */
};

void ft_dart_lex(struct ft_dart *d, const char *s, size_t n);
void ft_dart_release(struct ft_dart *d);
/* Does token i exist and read so? */
bool ft_dart_is(const struct ft_dart *d, size_t i, const char *text);

/* A field, method, getter or setter of a class, mixin, extension or enum. */
struct ft_dart_member {
	size_t first, last; /* its tokens, annotations and the `;` included */
	size_t name;        /* token */
	size_t owner;       /* token: the name of the class */
	bool is_override;
	bool is_constructor;
};

/*
 * The next member (true), or false when there are no more.  w is zeroed before
 * the first.  Only of balanced text.
 */
struct ft_dart_walk {
	/* private */
	size_t i;   /* next token to look at */
	size_t end; /* closing brace of the body it is in; 0 outside */
	size_t owner;
};
bool ft_dart_member(const struct ft_dart *d, struct ft_dart_walk *w,
		    struct ft_dart_member *m);

#endif
