/* SPDX-License-Identifier: MIT */
/*
 * Inside of reading a tokenizer.json: what its two halves share.  load.c reads
 * the components around the model, load_model.c the model and the added
 * tokens.  All return -1 with err set.
 */
#ifndef FT_TEXT_LOAD_H
#define FT_TEXT_LOAD_H

#include "libcommon/io/json.h"
#include "libcommon/text/tok.h"

int ft_load_unsupported(struct ft_err *err, const char *part, const char *what);
bool ft_load_absent(const struct ft_json *v);
/* A copy that lives as long as the tokenizer. */
struct ft_bytes ft_load_keep(struct ft_tok *k, const char *s, size_t n);
/* Members that must be there. */
int ft_load_str(struct ft_tok *k, const struct ft_json *o, const char *part,
		const char *key, struct ft_bytes *out, struct ft_err *err);
int ft_load_flag(const struct ft_json *o, const char *part, const char *key,
		 bool *v, struct ft_err *err);
/* A flag that may be absent; v then stays. */
int ft_load_option(const struct ft_json *o, const char *key, bool *v,
		   struct ft_err *err);

/* Model, added tokens, and how ids are decoded; all else of k is read. */
int ft_load_model(struct ft_tok *k, const struct ft_json *root,
		  struct ft_err *err);

#endif
