/* SPDX-License-Identifier: MIT */
/*
 * Ways to spoil a piece of Dart (Flutter) code, each a mistake that programs
 * and people make: the rejected side of preference pairs.
 *
 * A kind of corruption knows all the ways in which it can be done to a text;
 * the caller chooses one.  The result differs from the text, and outside of
 * the spoilt place it is the same bytes.
 */
#ifndef FT_TEXT_CORRUPT_H
#define FT_TEXT_CORRUPT_H

#include <stddef.h>

#include "libcommon/base/str.h"

/* Never renumber: the choice of a way is keyed by it. */
enum ft_corruption {
	FT_CORRUPT_IMPORT,   /* an import is gone */
	FT_CORRUPT_PROPERTY, /* a widget is given an argument by a wrong name */
	FT_CORRUPT_BRACKET,  /* a closing bracket is gone or stands twice */
	FT_CORRUPT_API,      /* a deprecated API instead of the current one */
	FT_CORRUPT_MEMBER,   /* a field or method that is needed is gone */
	FT_CORRUPT_STATE,    /* state changes that nobody is told of */
	FT_NCORRUPT,
};
/* missing-import wrong-widget-property unbalanced-bracket deprecated-api
   dropped-member stale-state */
extern const char *const ft_corruption_names[FT_NCORRUPT];

struct ft_corruptor;
struct ft_corruptor *ft_corruptor_new(void);
void ft_corruptor_free(struct ft_corruptor *c);
/* The text to work on; it must outlive the next calls. */
void ft_corruptor_set(struct ft_corruptor *c, const char *s, size_t n);
/* How many ways there are: 0 when the kind does not apply. */
size_t ft_corruptor_ways(struct ft_corruptor *c, enum ft_corruption kind);
/* Append the text spoilt in that way, 0 <= way < ways. */
void ft_corruptor_make(struct ft_corruptor *c, enum ft_corruption kind,
		       size_t way, struct ft_str *out);

#endif
