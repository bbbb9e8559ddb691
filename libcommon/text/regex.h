/* SPDX-License-Identifier: MIT */
/*
 * Regular expressions of tokenizer.json, as Oniguruma's Ruby syntax reads them
 * and Unicode 16.0 classifies characters.
 *
 * Known: literals; . and classes with ranges and nested unions; \s \d \w and
 * negations; \p{} of general categories and Han; groups; | ? * + {n,m}; lazy
 * and possessive ? * +; a lookahead for one character; $; (?i:) around ASCII.
 * All else, and what can match nothing, is refused: it is never guessed.
 *
 * Leftmost, alternatives in their order (backtracking).  Time is linear in the
 * text: what failed once at a place is not tried there again.
 */
#ifndef FT_TEXT_REGEX_H
#define FT_TEXT_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/base/err.h"
#include "libcommon/base/mem.h"

struct ft_regex;

/* What one search through one text needs; zeroed at first, kept for the next. */
struct ft_regex_run {
	const struct ft_regex *re;
	const char *begin, *end;
	struct ft_regex_memo *memo; /* [cap], by loop */
	size_t capmemo;
	struct ft_regex_branch *stack;
	size_t n, cap;
	uint64_t *tried; /* bits by branch and place, once it takes long */
	size_t steps;
};

/* Compile n bytes of UTF-8 into a; FT_EXIT_DATA names what is not known. */
int ft_regex_compile(struct ft_arena *a, const char *s, size_t n,
		     struct ft_regex **out, struct ft_err *err);
/* Begin with a text, valid UTF-8; it stays where it is. */
void ft_regex_begin(struct ft_regex_run *r, const struct ft_regex *re,
		    const char *begin, const char *end);
/* The first match at or after p: [*a, *z), never empty. */
bool ft_regex_next(struct ft_regex_run *r, const char *p, const char **a,
		   const char **z);
void ft_regex_run_release(struct ft_regex_run *r);

#endif
