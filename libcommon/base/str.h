/* SPDX-License-Identifier: MIT */
/* A growing string of bytes, always followed by a NUL that is not counted. */
#ifndef FT_BASE_STR_H
#define FT_BASE_STR_H

#include <stddef.h>
#include <stdint.h>

#include "libcommon/base/err.h"

struct ft_str {
	char *s; /* owned; NULL when nothing was ever appended */
	size_t n, cap;
};

void ft_str_add(struct ft_str *b, const void *s, size_t n);
void ft_str_adds(struct ft_str *b, const char *s);
void ft_str_addc(struct ft_str *b, char c);
void ft_str_addf(struct ft_str *b, const char *fmt, ...) FT_PRINTF(2, 3);
void ft_str_clear(struct ft_str *b); /* n = 0, memory kept */
void ft_str_release(struct ft_str *b);
const char *ft_str_cstr(const struct ft_str *b); /* "" when empty */

/* Append s as a JSON string with its quotes.  Only what JSON wants escaped is
   escaped (control characters, '"', '\\'); a byte that is not of UTF-8 (a file
   name may have any) becomes U+FFFD, so that it is JSON in any case. */
void ft_str_add_json(struct ft_str *b, const char *s, size_t n);
/* Append the shortest decimal that reads back as the same double (float);
   NaN and infinities become null. */
void ft_str_add_double(struct ft_str *b, double x);
void ft_str_add_float(struct ft_str *b, float x);

/* Small things everybody needs. */
int ft_starts(const char *s, const char *prefix);
int ft_ends(const char *s, const char *suffix);
/* Bytes of the well-formed UTF-8 character at s: 1 to 4, or 0 (also for a
   surrogate, an overlong form, one past U+10FFFF, one cut off at n). */
size_t ft_utf8_len(const char *s, size_t n);
/* Levenshtein's, in bytes. */
size_t ft_edit_distance(const char *a, size_t na, const char *b, size_t nb);

#endif
