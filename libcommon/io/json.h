/* SPDX-License-Identifier: MIT */
/*
 * Strict JSON (RFC 8259) into nodes that remember their exact source bytes, so
 * that what a tool does not touch passes through it byte for byte.
 *
 * UTF-8 is validated, depth is at most 256, duplicate keys and lone surrogates
 * are errors, so is a number beyond the range of a double; numbers keep their
 * text.  Memory is a node a value: about 50 times the input at worst, which is
 * one-digit numbers.  Messages never quote the input at length.
 */
#ifndef FT_IO_JSON_H
#define FT_IO_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/base/err.h"
#include "libcommon/base/mem.h"
#include "libcommon/base/str.h"

enum ft_json_type {
	FT_JSON_NULL,
	FT_JSON_FALSE,
	FT_JSON_TRUE,
	FT_JSON_NUMBER,
	FT_JSON_STRING,
	FT_JSON_ARRAY,
	FT_JSON_OBJECT,
};

struct ft_json {
	enum ft_json_type type;
	const char *raw; /* the value's bytes in the source; borrowed */
	size_t nraw;
	const char *key; /* decoded name, if a member; NUL-terminated */
	size_t nkey;
	const char *
		s; /* FT_JSON_STRING: decoded, NUL-terminated (may hold NULs); in the source or the arena */
	size_t ns;
	double num; /* FT_JSON_NUMBER */
	int64_t i;  /* its exact value if is_int */
	bool is_int;
	size_t n; /* children */
	struct ft_json *child, *next;
};

/* Parse one value that fills s (white space around it allowed).  Nodes live
   in a; s must outlive them. */
int ft_json_parse(struct ft_arena *a, const char *s, size_t n,
		  struct ft_json **out, struct ft_err *err);

/* Member of an object, or NULL (also when o is NULL or no object). */
const struct ft_json *ft_json_get(const struct ft_json *o, const char *key);
const struct ft_json *ft_json_at(const struct ft_json *array, size_t i);
/* Typed members: 1 found, 0 absent or null, -1 of another type or out of
   range (err says "field 'key' is not a ..."). */
int ft_json_str(const struct ft_json *o, const char *key, const char **s,
		size_t *n, struct ft_err *err);
int ft_json_int(const struct ft_json *o, const char *key, int64_t *v,
		struct ft_err *err);
int ft_json_real(const struct ft_json *o, const char *key, double *v,
		 struct ft_err *err);
int ft_json_bool(const struct ft_json *o, const char *key, bool *v,
		 struct ft_err *err);

/* Re-serialise a tree: sort = keys sorted; indent = spaces per level, or -1
   for one line.  Strings and numbers keep their source bytes. */
void ft_json_print(const struct ft_json *v, bool sort, int indent,
		   struct ft_str *out);

#endif
