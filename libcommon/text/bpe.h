/* SPDX-License-Identifier: MIT */
/*
 * The BPE model: pieces of text to ids by a ranked list of merges, as the
 * tokenizers package's BPE does it (Sennrich, Haddow, Birch, "Neural Machine
 * Translation of Rare Words with Subword Units", ACL 2016).
 *
 * The lowest rank merges first, the leftmost of equals; each merge gives the
 * id of the concatenated string.  Time is O(n log n) for any piece.
 */
#ifndef FT_TEXT_BPE_H
#define FT_TEXT_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/text/tokenizer.h"
#include "libcommon/text/vocab.h"

struct ft_bpe {
	struct ft_vocab vocab;
	/* As the file has them. */
	bool byte_fallback, fuse_unk, ignore_merges;
	int32_t unk; /* id, or -1 */
	/* Text is bytes spelled in GPT-2's alphabet, or characters. */
	bool byte_level;

	/* Made by ft_bpe_ready. */
	/* Open addressing: left, right (id_bits each), rank (rank_bits); all
	   ones: empty. */
	uint64_t *merge;
	size_t mask;
	unsigned id_bits, rank_bits;
	int32_t *made; /* by rank: the id of the whole */
	int32_t one
		[256]; /* the id of a byte alone, where that is plain, or -1 */
	uint32_t *byte_rank; /* [256 * 256] rank of the merge of two of these */
	int32_t fallback[256]; /* ids of <0x00> .. <0xFF>, or -1 */
	int32_t letter[256];   /* byte level: id of a byte's letter, or -1 */
	/*
	 * Character level.  Characters that are tokens are numbered from 1,
	 * the space sign first; two neighbours that no merge brings together
	 * are a place where a text can be cut without changing its ids.
	 */
	uint16_t *near; /* [FT_BPE_NEAR] number of a low code point, or 0 */
	bool cuts;      /* cutting is proved safe for this vocabulary */
	bool blanks;    /* a blank is read as the space sign */
	uint64_t row[128][2]; /* bit: a cut between these two of ASCII */
	bool cut_all;         /* also beside characters that are no token */
	uint64_t met[256][4]; /* bit: numbers x, y < 256 meet in a merge */
	uint64_t *far;        /* open addressing: other pairs that meet */
	size_t far_mask;
};
enum { FT_BPE_NEAR = 0x3000, FT_BPE_MARK = 0x2581 /* the space sign */ };

/* A merge while the file is read: ids of its parts and of the whole. */
struct ft_bpe_rule {
	int32_t left, right, id;
};

/* One thread's memory for encoding. */
struct ft_bpe_ctx {
	struct ft_sym *sym;
	size_t nsym, cap;
	uint32_t *link; /* [2 * caplink] previous, next */
	uint32_t *rank; /* [caplink] */
	size_t caplink;
	uint64_t *heap;
	size_t nheap, capheap;
	void *memory; /* of the two tables behind it */
	struct ft_word *word;
	struct ft_phrase *phrase;
};

/* vocab, flags and byte_level are set: build the rest.  rule[i] has rank i.
   FT_EXIT_DATA when there are too many of them. */
int ft_bpe_ready(struct ft_bpe *b, const struct ft_bpe_rule *rule, size_t n,
		 struct ft_err *err);
void ft_bpe_release(struct ft_bpe *b);
/* From now on text may have blanks for the space sign; false: it cannot. */
bool ft_bpe_read_blanks(struct ft_bpe *b);
void ft_bpe_ctx_release(struct ft_bpe_ctx *c);

/* Append the ids of one piece of n > 0 bytes; offsets count from pos. */
void ft_bpe_encode(const struct ft_bpe *b, struct ft_bpe_ctx *c, const char *s,
		   size_t n, uint32_t pos, struct ft_ids *out);

/* Cut s, not empty, where that changes no ids: where parts end, counted from
   s, at most max of them.  b->cuts. */
size_t ft_bpe_cut(const struct ft_bpe *b, const char *s, const char *end,
		  uint32_t *stop, size_t max);
/* The same of n pieces, one behind the other from s on, piece i up to s +
   stop[i]; bytes up to limit may be read. */
void ft_bpe_encode_run(const struct ft_bpe *b, struct ft_bpe_ctx *c,
		       const char *s, const char *limit, const uint32_t *stop,
		       size_t n, uint32_t pos, struct ft_ids *out);

/* GPT-2's alphabet: the code point that spells a byte, and back (-1: none). */
uint32_t ft_byte_letter(unsigned char byte);
int ft_letter_byte(uint32_t cp);

/* Make room for more ids. */
void ft_ids_room(struct ft_ids *v, size_t more);
static inline void ft_ids_put(struct ft_ids *v, int32_t id, uint32_t start,
			      uint32_t end)
{
	if (v->n == v->cap)
		ft_ids_room(v, 1);
	v->id[v->n] = id;
	v->start[v->n] = start;
	v->end[v->n++] = end;
}

#endif
