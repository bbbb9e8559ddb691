/* SPDX-License-Identifier: MIT */
/*
 * The token stream: ft-stream(5).  safetensors documents one after another;
 * the first says what the stream is, the last vouches for all before it.
 *
 * One layout for all training: a row is a shared prefix segment followed by
 * k >= 1 branch segments.  A branch sees the prefix and itself.
 */
#ifndef FT_IO_TSTREAM_H
#define FT_IO_TSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/base/str.h"
#include "libcommon/io/input.h"
#include "libcommon/io/output.h"
#include "libcommon/io/rows.h"
#include "libcommon/io/safetensors.h"

/* A column of numbers beside the tokens: per segment (NaN for prefixes) or
   per token. */
struct ft_column {
	char name[32];
	bool per_token;
	float *v; /* owned by the rows it belongs to */
};
enum { FT_MAX_COLUMNS = 8 };

/* Rows in memory: a document, or a whole stream. */
struct ft_tokens {
	size_t nrow, nseg, ntok;
	int64_t *row;        /* [nrow] source line */
	int32_t *ids;        /* [ntok] */
	int64_t *cu_seqlens; /* [nseg + 1] into ids (I32 on disk) */
	int64_t *cu_rows;    /* [nrow + 1] into segments */
	uint8_t *mask;       /* [ntok] 1 where predicted and trained on */
	struct ft_column col[FT_MAX_COLUMNS];
	int ncol;
	size_t caprow, capseg, captok; /* private */
};
void ft_tokens_clear(struct ft_tokens *b);
void ft_tokens_release(struct ft_tokens *b);
/* Room for so many more; the arrays exist afterwards. */
void ft_tokens_reserve(struct ft_tokens *b, size_t nrow, size_t nseg,
		       size_t ntok);
/* Append a row: nseg segments (the first is the prefix, maybe empty) of
   len[s] ids.  mask, and any mask[s], may be NULL: 1 in branches.  In the
   prefix, and for a first token that nothing precedes, the mask is 0 whatever
   is given. */
void ft_tokens_add(struct ft_tokens *b, int64_t row, size_t nseg,
		   const int32_t *const *ids, const size_t *len,
		   const uint8_t *const *mask);
/* Copy row i of src to the end of b, columns and all (NaN where one of the
   two has no such column).  -1, and nothing is copied, when b would get more
   than FT_MAX_COLUMNS columns. */
int ft_tokens_copy(struct ft_tokens *b, const struct ft_tokens *src, size_t i);
/* Find or add a column (filled with NaN).  Its memory moves when rows are
   added.  NULL when there are FT_MAX_COLUMNS already, when the name is empty
   or too long, or when it is there with the other length. */
float *ft_tokens_column(struct ft_tokens *b, const char *name, bool per_token);
/* NULL if there is none. */
const float *ft_tokens_find(const struct ft_tokens *b, const char *name);

/* What the first and last documents say. */
struct ft_stream_info {
	int kind;           /* enum ft_row_kind, or FT_STREAM_ROLLOUT */
	char tokenizer[65]; /* sha256 of tokenizer.json, or "" */
	int64_t vocab_size;
	int64_t max_length;       /* 0 = none */
	char reference[65];       /* model that made ref_logps, or "" */
	struct ft_str provenance; /* JSON array, one object a stage */
	/* from the end document: */
	int64_t documents, rows, tokens, supervised;
	struct ft_str ledger; /* JSON object */
	char digest[17];
};
enum { FT_STREAM_ROLLOUT = 5 };
/* pair completion chat text prompt rollout, and NULL */
extern const char *const ft_stream_kinds[];
void ft_stream_info_release(struct ft_stream_info *i);

struct ft_stream_writer;
/* Writes the first document to out (borrowed; the caller commits it).  Of info
   it reads what the first document says; an empty provenance is "[]". */
int ft_stream_begin(struct ft_stream_writer **w, struct ft_output *out,
		    const struct ft_stream_info *info, struct ft_err *err);
/* Buffer row i of src; documents go out when about 64 Ki tokens are together.
   A column's values for prefixes are written as NaN, whatever they are. */
int ft_stream_put(struct ft_stream_writer *w, const struct ft_tokens *src,
		  size_t i, struct ft_err *err);
/* The end document with the ledger (JSON object, NULL = "{}"); frees w in any
   case. */
int ft_stream_end(struct ft_stream_writer *w, const char *ledger,
		  struct ft_err *err);
/* Frees w and ends nothing: for error paths. */
void ft_stream_abandon(struct ft_stream_writer *w);

struct ft_stream_reader;
/* Reads the first document into info, which the reader goes on using: it must
   outlive it.  in is borrowed.  On error *r is NULL and info is released. */
int ft_stream_open(struct ft_stream_reader **r, struct ft_input *in,
		   struct ft_stream_info *info, struct ft_err *err);
/* The next document's rows into b (cleared first); every index checked
   against every bound.  1, 0 when the end document was read and agrees with
   counts and digest (info is completed), -1: also for a stream without its
   end, or with bytes after it. */
int ft_stream_next(struct ft_stream_reader *r, struct ft_tokens *b,
		   struct ft_err *err);
/* The same, appended to b. */
int ft_stream_append(struct ft_stream_reader *r, struct ft_tokens *b,
		     struct ft_err *err);
/* Where in the stream that tensor of the document just read begins. */
uint64_t ft_stream_where(const struct ft_stream_reader *r, const char *name);
void ft_stream_close(struct ft_stream_reader *r);

/* Bytes of a document's header, of which provenance is the longest thing, and
   of its data: it is read whole, and a few compressed bytes unfold to any
   number. */
enum { FT_DOC_MAXHEADER = 16 << 20, FT_DOC_MAXDATA = 1 << 30 };

/* One document as it stands in the stream, for tools that cut it out. */
struct ft_doc {
	struct ft_st st;   /* by offset; data points into data */
	struct ft_str hdr; /* the JSON with its padding */
	unsigned char *data;
	size_t ndata, cap;
	uint64_t pos; /* bytes of the stream before it; kept by ft_doc_read */
	uint64_t end; /* and to its end */
};
/* The next document of in (d zeroed before the first): 1, 0 at the end of the
   input, -1.  Rows and digest are not looked at. */
int ft_doc_read(struct ft_doc *d, struct ft_input *in, struct ft_err *err);
void ft_doc_release(struct ft_doc *d);

#endif
