/* SPDX-License-Identifier: MIT */
/* What the parts of ft-init share. */
#ifndef FT_INIT_H
#define FT_INIT_H

#include "libcommon/base/opt.h"
#include "libcommon/io/json.h"
#include "libcommon/io/shards.h"
#include "libcommon/nn/config.h"

enum { DTYPE_FLOAT32, DTYPE_BFLOAT16 };

/* The user's config.json. */
struct draft {
	const char *path; /* borrowed */
	char *text;       /* owned */
	size_t n;
	struct ft_arena arena;
	struct ft_json *o;
};
/* The program ends when it is not there, or no object. */
void draft_read(struct draft *d, const char *path);
void draft_release(struct draft *d);
/* An integer of it, or what there is without it. */
int64_t draft_int(const struct draft *d, const char *key, int64_t without);
double draft_real(const struct draft *d, const char *key, double without);

/* What follows from the tokenizer and the command line. */
struct facts {
	int64_t vocab;
	int32_t bos, eos; /* -1: none */
	int dtype;
	double range;
};
/*
 * The whole config.json, with all that transformers 4 and 5 look for, in both
 * spellings, sorted; c is what it says.
 */
void draft_finish(const struct draft *d, const struct facts *f,
		  struct ft_str *out, struct ft_config *c);

#endif
