/* SPDX-License-Identifier: MIT */
/*
 * Inside of the BPE model: bpe.c merges, bpe_cut.c finds where a piece can be
 * cut, bpe_piece.c remembers what pieces became.
 */
#ifndef FT_TEXT_BPE_PRIV_H
#define FT_TEXT_BPE_PRIV_H

#include "libcommon/text/bpe.h"

/* A symbol of a piece: an id and how many bytes of the piece it covers. */
struct ft_sym {
	int32_t id;
	uint32_t len;
};

/* c->sym becomes the symbols of n > 0 bytes, merged. */
void ft_bpe_merge(const struct ft_bpe *b, struct ft_bpe_ctx *c, const char *s,
		  size_t n);
/* The ids of a piece that is not cut. */
void ft_bpe_piece(const struct ft_bpe *b, struct ft_bpe_ctx *c, const char *s,
		  size_t n, uint32_t pos, struct ft_ids *out);

/* What single bytes are and merge to. */
void ft_bpe_build_bytes(struct ft_bpe *b);
void ft_bpe_build_cuts(struct ft_bpe *b, const struct ft_bpe_rule *rule,
		       size_t n);

#endif
