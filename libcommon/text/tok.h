/* SPDX-License-Identifier: MIT */
/*
 * Inside of a tokenizer: the parts of tokenizer.json as small typed
 * components, in the order in which a text goes through them.
 *
 *	text -> added tokens that are not normalized (added.c)
 *	gaps -> normalizers (norm.c) -> added tokens that are (added.c)
 *	gaps -> pre-tokenizers (pretok.c) -> pieces -> ids (bpe.c)
 *	ids  -> the template's ids around them
 *
 * A new component is a kind in one of these enums, a case where it is read
 * (load.c) and a function where it works.
 */
#ifndef FT_TEXT_TOK_H
#define FT_TEXT_TOK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/base/mem.h"
#include "libcommon/base/str.h"
#include "libcommon/text/bpe.h"
#include "libcommon/text/regex.h"
#include "libcommon/text/tokenizer.h"
#include "libcommon/text/vocab.h"
#include "libcommon/text/window.h"

/* --- text with where it came from ----------------------------------------- */

/*
 * Byte i of s was made from bytes [from[i], to[i]) of the text given; without
 * from, it is byte base + i of it.
 */
struct ft_text {
	const char *s;
	size_t n;
	const uint32_t *from, *to;
	uint32_t base;
};
static inline uint32_t ft_text_from(const struct ft_text *t, size_t i)
{
	return t->from ? t->from[i] : t->base + (uint32_t)i;
}
static inline uint32_t ft_text_to(const struct ft_text *t, size_t i)
{
	return t->from ? t->to[i] : t->base + (uint32_t)i + 1;
}

/* Memory for a changed text. */
struct ft_textbuf {
	char *s;
	uint32_t *from, *to;
	size_t n, cap;
};
void ft_textbuf_release(struct ft_textbuf *b);
/* Append bytes [a, z) of t as they are, or other bytes in their place. */
void ft_textbuf_copy(struct ft_textbuf *b, const struct ft_text *t, size_t a,
		     size_t z);
void ft_textbuf_put(struct ft_textbuf *b, const struct ft_bytes *s,
		    uint32_t from, uint32_t to);
struct ft_text ft_textbuf_text(const struct ft_textbuf *b);

struct ft_span {
	size_t a, z;
};
struct ft_spans {
	struct ft_span *v;
	size_t n, cap;
};

/* --- components ----------------------------------------------------------- */

/* What Split, Replace and their kind look for. */
struct ft_pattern {
	enum {
		FT_PAT_STRING, /* never empty */
		FT_PAT_REGEX,
		FT_PAT_CLASS, /* one character of class */
		FT_PAT_WORDS, /* Whitespace's \w+|[^\w\s]+ */
	} kind;
	struct ft_bytes string;
	struct ft_regex *re;
	unsigned class; /* FT_UC_* */
};

struct ft_norm {
	enum {
		FT_NORM_PREPEND,
		FT_NORM_REPLACE,
		FT_NORM_NFC,
		FT_NORM_NFD,
		FT_NORM_NFKC,
		FT_NORM_NFKD,
		FT_NORM_STRIP,
		FT_NORM_STRIP_ACCENTS,
		FT_NORM_LOWERCASE,
		FT_NORM_LETTERS, /* ByteLevel */
	} kind;
	struct ft_pattern pattern;
	struct ft_bytes content;
	bool left, right; /* Strip */
};

/* Where the piece that starts at p ends; p < end. */
typedef const char *ft_scan_fn(const char *p, const char *end);

struct ft_pretok {
	enum {
		FT_PRE_SCAN,      /* scan says where each piece ends */
		FT_PRE_BYTELEVEL, /* use_regex false: cuts nothing */
		FT_PRE_LETTERS, /* spell bytes as ByteLevel does, cut nothing */
		FT_PRE_METASPACE,
		FT_PRE_SPLIT, /* by pattern and behaviour */
		FT_PRE_FIXED, /* FixedLength: count characters each */
	} kind;
	ft_scan_fn *scan;
	struct ft_pattern pattern;
	enum {
		FT_SPLIT_REMOVED,
		FT_SPLIT_ISOLATED,
		FT_SPLIT_PREVIOUS, /* MergedWithPrevious */
		FT_SPLIT_NEXT,     /* MergedWithNext */
		FT_SPLIT_CONTIGUOUS,
	} behaviour;
	bool invert;
	size_t count;
	bool prefix_space; /* ByteLevel */
	bool split;        /* Metaspace */
	enum { FT_PREPEND_NEVER, FT_PREPEND_FIRST, FT_PREPEND_ALWAYS } scheme;
	struct ft_bytes mark; /* Metaspace's replacement */
};

struct ft_decoder {
	enum {
		FT_DEC_BYTELEVEL,
		FT_DEC_REPLACE,
		FT_DEC_BYTEFALLBACK,
		FT_DEC_FUSE,
		FT_DEC_STRIP,
		FT_DEC_METASPACE,
	} kind;
	struct ft_pattern pattern; /* Metaspace: the mark */
	struct ft_bytes content;
	size_t start, stop;
	bool keep_first; /* Metaspace that prepends nothing */
};

struct ft_added_token {
	struct ft_bytes content;
	struct ft_bytes match; /* what is looked for: normalized, if it is */
	struct ft_bytes spell; /* how it is decoded */
	int32_t id;
	bool single_word, lstrip, rstrip, normalized, special;
};

struct ft_trie_node {
	uint32_t child, next; /* 0: none */
	int32_t token; /* index of an added token that ends here, or -1 */
	unsigned char byte;
};

/* Added tokens of one pass, found leftmost-longest. */
struct ft_trie {
	struct ft_trie_node *node; /* [0] is no node */
	size_t n, cap;
	uint32_t root[256];
	uint64_t two[1 << 10]; /* bits: the first two bytes of a pattern */
	int first;             /* the first byte of all, or -1 */
	bool any;
};

struct ft_added {
	struct ft_added_token *tok;
	size_t n, cap;
	struct ft_trie raw, normalized;
};

/* --- the whole ------------------------------------------------------------ */

/* What one call of encode needs; kept for the next one. */
struct ft_tok_ctx {
	struct ft_tok_ctx *next;
	const unsigned char *mark; /* bytes that form no special tokens */
	struct ft_bpe_ctx bpe;
	struct ft_regex_run run;
	struct ft_nf_char *nf; /* [capnf] a stretch being normalized */
	size_t capnf;
	struct ft_textbuf norm[2], pre[2];
	struct ft_spans spans[2];
};
void ft_tok_ctx_release(struct ft_tok_ctx *c);

struct ft_tok {
	struct ft_arena arena; /* all strings */
	struct ft_bpe bpe;
	struct ft_norm *norm;
	size_t nnorm;
	struct ft_pretok *pre;
	size_t npre;
	ft_window_fn *window; /* stands for all of pre on ASCII, or NULL */
	ft_masks_fn *masks;
	bool blanks; /* all that norm and pre do is blanks to space signs, and
			something to the start of a text */
	struct ft_added added;
	int32_t *before, *after; /* ids that the template puts around a text */
	size_t nbefore, nafter;
	bool templated; /* a template was read */
	struct ft_decoder *dec;
	size_t ndec;
	bool has_decoder;

	struct ft_bytes *word; /* [nword] how an id is spelled for decoding */
	bool *special;         /* [nword] left out when skipping */
	size_t nword;

	int32_t bos, eos;
	char *eos_text; /* owned, or NULL */
	char sha256[65];

	pthread_mutex_t lock;
	struct ft_tok_ctx *idle; /* under lock */
};

/* norm.c */
/* Run the normalizers; t points into c when it was changed. */
void ft_norm_run(const struct ft_norm *v, size_t n, struct ft_tok_ctx *c,
		 struct ft_text *t);
/* Spell [a, z) of t in GPT-2's letters; each counts as its whole character. */
void ft_norm_letters(const struct ft_text *t, size_t a, size_t z,
		     struct ft_textbuf *b);

/* pattern.c */
void ft_pattern_begin(const struct ft_pattern *v, struct ft_regex_run *r,
		      const char *begin, const char *end);
/* The first match at or after p: [*a, *z), never empty. */
bool ft_pattern_next(const struct ft_pattern *v, struct ft_regex_run *r,
		     const char *p, const char *end, const char **a,
		     const char **z);

/* pretok.c */
/* All is read: take out what does nothing, find what stands for it. */
void ft_pretok_ready(struct ft_tok *k);
/* Cut [a, z) of text into pieces and append their ids. */
void ft_pretok_run(const struct ft_tok *k, struct ft_tok_ctx *c,
		   const struct ft_text *text, size_t a, size_t z,
		   struct ft_ids *out);

/* scan.c */
ft_scan_fn ft_scan_gpt2;
ft_scan_fn ft_scan_qwen;
ft_scan_fn ft_scan_llama3;
ft_scan_fn ft_scan_digits; /* Digits: runs of them, runs of others */
ft_scan_fn ft_scan_digit;  /* one by one */
/* The scanner written for an expression that always matches, or NULL. */
ft_scan_fn *ft_scan_known(const char *regex, size_t n);

/* added.c */
struct ft_found {
	size_t a, z;  /* of the token and the white space that it eats */
	size_t after; /* where to look for the next one */
	size_t space; /* end of the white space that was looked at last */
	const struct ft_added_token *tok;
};
/* Index in out of a pattern; -1 if another token has the same. */
int ft_trie_add(struct ft_trie *t, const struct ft_bytes *s, int32_t token);
/*
 * The next token of s at or after at; done is where text begins that no token
 * has used yet; f is that of the last call, or zero.  False when there is none.
 */
bool ft_added_next(const struct ft_added *v, const struct ft_trie *t,
		   const char *s, size_t n, size_t at, size_t done,
		   bool no_special, struct ft_found *f);
void ft_added_release(struct ft_added *v);

/* load.c */
int ft_tok_parse(struct ft_tok *k, const char *s, size_t n, struct ft_err *err);

#endif
