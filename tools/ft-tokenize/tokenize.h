/* SPDX-License-Identifier: MIT */
/* Inside of ft-tokenize: rows to segments of ids, and what became of them. */
#ifndef FT_TOKENIZE_H
#define FT_TOKENIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/base/str.h"
#include "libcommon/io/rows.h"
#include "libcommon/text/chat.h"
#include "libcommon/text/tokenizer.h"

enum on_long { LONG_ERROR, LONG_DROP, LONG_TRUNCATE, LONG_SPLIT };
enum reason { DROP_LONG, DROP_PROMPT, DROP_EMPTY, NREASON };

/* How rows become ids. */
struct rules {
	const struct ft_tok *tok; /* NULL: only tokenised rows */
	int64_t vocab_size;
	int64_t max_length; /* 0: none */
	enum on_long on_long;
	bool specials;   /* the template's ids */
	unsigned match;  /* added tokens that text forms: flags of encode */
	bool append_eos; /* to what a model learns to write */
	bool keep_empty; /* rows with nothing to learn from stay */
	int kind;        /* enum ft_row_kind; -1 until a row says */
	bool forced;     /* kind is not the rows' to say */
	/* rows of messages */
	struct ft_chat *chat;   /* NULL: they are refused */
	bool generation_prompt; /* whole chats end with the start of an answer */
	bool assistant_only;    /* trained on */
	bool no_inject;         /* input forms no special tokens */
	bool render;            /* texts, no ids */
};

/* A row as the stream has it: a shared prefix and k branches. */
struct segments {
	const int32_t *prefix, *branch[2];
	size_t nprefix, nbranch[2];
	int k;
	bool eos;    /* its text was appended somewhere */
	bool merged; /* the prompt's last tokens are others with its completion */
	/* [nbranch[0]] what of a chat is trained on, or NULL: all */
	const uint8_t *mask;
	/* rendered: the branches, then the prompt alone */
	struct ft_jinja_out out[3];
	/* memory */
	struct ft_ids ids[3];
	struct ft_str text;
	struct ft_chat_messages messages;
	uint8_t *mask_memory;
	size_t capmask;
};
void segments_release(struct segments *g);

/* What came in, went out, was cut and was left out, in rows and in tokens that
   are trained on. */
struct ledger {
	int64_t rows_in, rows_out, rows_cut, rows_split, pieces;
	int64_t sup_in, sup_out, sup_cut;
	int64_t rows_dropped[NREASON], sup_dropped[NREASON];
	int64_t tokens, eos, merged;
	/* with LONG_ERROR: rows that are too long, and the longest */
	int64_t too_long, longest;
	struct ft_err first; /* file and line of the first of them */
};
void ledger_json(const struct ledger *l, struct ft_str *out);

/* Segments of a row; refuses one of another kind than the rows before it. */
int row_segments(struct rules *r, const struct ft_row *row, struct segments *g,
		 struct ft_err *err);
/* The same of a row of messages, through the chat template. */
int chat_segments(const struct rules *r, const struct ft_row *row,
		  struct segments *g, struct ft_err *err);
/* What the ids of the prompt (ids[2]) and of all branches begin with alike
   becomes the prefix. */
void cut_prefix(struct segments *g);
size_t supervised(const struct segments *g);
/*
 * Keep max_length: true when the row, maybe cut, is to be written; if it is to
 * be split, *pieces is in how many (else 1).  The ledger is told all of it.
 */
bool fit(const struct rules *r, const struct ft_row *row, struct segments *g,
	 struct ledger *l, size_t *pieces);

/* The row with its ids as fields. */
void ids_row(const struct ft_row *row, const struct segments *g, int kind,
	     struct ft_str *out);
/* The row with its texts as fields. */
void render_row(const struct ft_row *row, struct segments *g, int kind,
		struct ft_str *out);
/* The row with fields of ids decoded to text. */
int decode_row(const struct ft_tok *t, const struct ft_row *row, bool skip,
	       struct ft_str *out, struct ft_err *err);

/* Where DIR's tokenizer is: DIR, or the base of an adapter.  vocab_size is
   that of config.json there, or 0. */
int find_model(const char *dir, const char *base, struct ft_str *out,
	       int64_t *vocab_size, struct ft_err *err);

#endif
