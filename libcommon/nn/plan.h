/* SPDX-License-Identifier: MIT */
/*
 * The memory of a run, by what it is for.  Whatever carves memory does so
 * with ft_take, which without memory only counts: what is planned is what is
 * then taken.
 *
 * Counted is anonymous memory.  Files that are mapped are not: their pages are
 * the page cache's, which gives them up when others want memory.
 */
#ifndef FT_NN_PLAN_H
#define FT_NN_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/base/err.h"
#include "libcommon/base/opt.h"
#include "libcommon/base/str.h"

enum ft_plan_part {
	FT_PLAN_WEIGHTS,
	FT_PLAN_ADAPTER,
	FT_PLAN_GRADIENTS,
	FT_PLAN_MOMENTS,
	FT_PLAN_REFERENCE, /* what DPO compares with */
	FT_PLAN_KEPT,      /* activations kept for the backward */
	FT_PLAN_WORK,      /* all else that a pass goes through */
	FT_PLAN_LOGITS,
	FT_PLAN_CACHE, /* keys and values */
	FT_PLAN_DATA,  /* what is known of each row */
	FT_PLAN_PROGRAM,
	FT_PLAN_PARTS
};

struct ft_plan {
	size_t part[FT_PLAN_PARTS]; /* bytes */
	size_t mapped;              /* of the model's files */
	/* what was chosen */
	size_t tokens;               /* of a pass; 0: not chosen */
	size_t places;               /* of the cache; 0: there is none */
	size_t layers, light, heavy; /* as of struct ft_reserve; in training */
	bool trains;
};

size_t ft_plan_total(const struct ft_plan *p);

/* A table for people, or one JSON object; ends with a newline. */
void ft_plan_text(const struct ft_plan *p, struct ft_str *out);
void ft_plan_json(const struct ft_plan *p, struct ft_str *out);

/* "8G", "1.5GiB", "500M", "4096": bytes, K M G T times 1024 each.  -1 for
   what is no size, 0, or more than memory can be. */
int ft_plan_size(const char *text, size_t *n);
/* What --memory was given as against the least that does: FT_EXIT_SYS and the
   least, in whole megabytes. */
int ft_plan_refuse(size_t budget, size_t least, struct ft_err *err);

/* What a program takes that does nothing: its libraries' data, stacks, tables
   of names. */
enum { FT_PLAN_LEAST = 3 << 20 };

/* To standard output. */
int ft_plan_write(const struct ft_plan *p, bool json, struct ft_err *err);

/* Rows for an option table, and what they mean: *budget is 0 without
   --memory.  FT_EXIT_USAGE. */
#define FT_PLAN_OPTS(memory, plan, json)                                  \
	FT_STR_FREE(0, "memory", memory, "SIZE",                          \
		    "take no more memory than this, as 8G or 500M"),      \
		FT_FLAG_FREE(0, "plan", plan,                             \
			     "print what memory it would take, and end"), \
		FT_FLAG_FREE(0, "json", json, "with --plan, print it as JSON")
int ft_plan_check(const char *memory, bool plan, bool json, size_t *budget,
		  struct ft_err *err);

/* --- carving --- */

struct ft_carve {
	char *base;           /* 64-byte aligned; NULL: count only */
	size_t n;             /* taken so far */
	struct ft_plan *plan; /* counts too, under part; or NULL */
	enum ft_plan_part part;
};
/* Room for count of size, 64-byte aligned; NULL when counting.  What does not
   fit into size_t counts as the most that does. */
void *ft_take(struct ft_carve *c, size_t count, size_t size);

#endif
