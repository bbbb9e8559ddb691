/* SPDX-License-Identifier: MIT */
/*
 * Inside of reading a tokenizer.json: what its parts share.  load.c reads the
 * components before the model, load_post.c those behind it, load_model.c the
 * model and the added tokens.  All return -1 with err set.
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
/* A string of exactly one character. */
int ft_load_char(struct ft_tok *k, const struct ft_json *o, const char *part,
		 const char *key, struct ft_bytes *out, struct ft_err *err);
int ft_load_flag(const struct ft_json *o, const char *part, const char *key,
		 bool *v, struct ft_err *err);
/* 'pattern' of o, {"String": ...} or {"Regex": ...}, not empty. */
int ft_load_pattern(struct ft_tok *k, const struct ft_json *o, const char *part,
		    struct ft_pattern *out, struct ft_err *err);
/* A flag that may be absent; v then stays. */
int ft_load_option(const struct ft_json *o, const char *key, bool *v,
		   struct ft_err *err);

/* ByteLevel and Metaspace, which have the same members as pre-tokenizers, as
   post-processors and as decoders. */
int ft_load_bytelevel(const struct ft_json *v, const char *part,
		      struct ft_pretok *p, struct ft_err *err);
int ft_load_metaspace(struct ft_tok *k, const struct ft_json *v,
		      struct ft_pretok *p, struct ft_err *err);

/* Call one() for v, or for each member of the Sequences in it, whose members
   are in list; v NULL: none. */
typedef int ft_load_part_fn(struct ft_tok *k, const struct ft_json *v,
			    const char *type, struct ft_err *err);
int ft_load_parts(struct ft_tok *k, const struct ft_json *v, const char *part,
		  const char *list, ft_load_part_fn *one, struct ft_err *err);

int ft_load_post(struct ft_tok *k, const struct ft_json *v, struct ft_err *err);
int ft_load_decoder(struct ft_tok *k, const struct ft_json *v,
		    struct ft_err *err);
/* Model, added tokens, and how ids are decoded; all else of k is read. */
int ft_load_model(struct ft_tok *k, const struct ft_json *root,
		  struct ft_err *err);

#endif
