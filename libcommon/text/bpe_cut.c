/* SPDX-License-Identifier: MIT */
/* Where a piece of characters can be cut without changing its ids. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/text/bpe_priv.h"
#include "libcommon/text/unicode.h"

static size_t far_slot(const struct ft_bpe *b, uint64_t pair)
{
	size_t i = ft_hash_u64(pair) & b->far_mask;

	while (b->far[i] && b->far[i] != pair)
		i = (i + 1) & b->far_mask;
	return i;
}

static uint32_t number_of(const struct ft_bpe *b, uint32_t cp)
{
	return cp < FT_BPE_NEAR ? b->near[cp] : 0;
}

static uint64_t far_pair(uint32_t x, uint32_t y)
{
	return (uint64_t)x << 32 | y | 1ull << 63; /* never 0 */
}

static void note_meeting(struct ft_bpe *b, uint32_t x, uint32_t y)
{
	uint32_t i = number_of(b, x), j = number_of(b, y);

	if (i && j && i < 256 && j < 256)
		b->met[i][j >> 6] |= 1ull << (j & 63);
	else
		b->far[far_slot(b, far_pair(x, y))] = far_pair(x, y);
}

static bool meet(const struct ft_bpe *b, uint32_t x, uint32_t y, uint32_t i,
		 uint32_t j)
{
	if (i && j && i < 256 && j < 256)
		return b->met[i][j >> 6] >> (j & 63) & 1;
	return b->far[far_slot(b, far_pair(x, y))] != 0;
}

static uint32_t first_char(const struct ft_bytes *t)
{
	const char *s = t->s;

	return ft_utf8_next(&s);
}

static uint32_t last_char(const struct ft_bytes *t)
{
	const char *s = t->s + t->n - 1;

	while (s > t->s && (*s & 0xc0) == 0x80)
		s--;
	return ft_utf8_next(&s);
}

static bool stands_for_byte(const struct ft_bpe *b, int32_t id)
{
	const struct ft_bytes *t = &b->vocab.tok[id];

	return t->n == 6 && !memcmp(t->s, "<0x", 3) && t->s[5] == '>';
}

static void number_chars(struct ft_bpe *b)
{
	uint16_t next = 2;

	b->near = ft_xcalloc(FT_BPE_NEAR, sizeof(*b->near));
	for (uint32_t cp = 0; cp < FT_BPE_NEAR; cp++) {
		char u[4];
		size_t n = ft_utf8_put(u, cp);

		if (ft_vocab_get(&b->vocab, u, n) >= 0)
			b->near[cp] = cp == 0x2581 ? 1 : next++;
	}
}

/*
 * Any two characters that stand side by side inside a token that was merged
 * were brought together by some merge, as the last of its left part and the
 * first of its right one.  So no merge crosses a place whose two characters
 * are no such pair, and what is left and right of it can be encoded apart.
 * That reads symbols as their strings: a merge of <0xHH> or of the unknown
 * token, which stand for other text, would break it.
 */
void ft_bpe_build_cuts(struct ft_bpe *b, const struct ft_bpe_rule *rule,
		       size_t n)
{
	size_t size = 16, known = 0;

	number_chars(b);
	while (size < 2 * n + 2)
		size *= 2;
	b->far = ft_xcalloc(size, sizeof(*b->far));
	b->far_mask = size - 1;
	b->cuts = !b->ignore_merges;
	for (int i = 0; i < 256; i++)
		known += b->fallback[i] >= 0;
	b->cut_all = b->byte_fallback && known == 256;
	for (size_t i = 0; i < n; i++) {
		const struct ft_bytes *l = &b->vocab.tok[rule[i].left];
		const struct ft_bytes *r = &b->vocab.tok[rule[i].right];

		if (rule[i].left == b->unk || rule[i].right == b->unk)
			b->cuts = false;
		if (stands_for_byte(b, rule[i].left) ||
		    stands_for_byte(b, rule[i].right))
			b->cuts = false;
		if (l->n && r->n)
			note_meeting(b, last_char(l), first_char(r));
	}
}

/*
 * Beside a character that is no token nothing is cut, unless bytes stand for
 * it: it may vanish, or wait to be joined with another one like it.
 */
static bool known(const struct ft_bpe *b, uint32_t cp, uint32_t number,
		  const char *s, size_t n)
{
	return cp < FT_BPE_NEAR ? number != 0
				: ft_vocab_get(&b->vocab, s, n) >= 0;
}

/* Cut wherever it is safe, and encode what is between. */
static void encode_cut(const struct ft_bpe *b, struct ft_bpe_ctx *c,
		       const char *s, size_t n, uint32_t pos,
		       struct ft_ids *out)
{
	const char *from = s, *p = s, *end = s + n;
	uint32_t x = ft_utf8_next(&p), i = number_of(b, x);
	bool was = b->cut_all || known(b, x, i, s, (size_t)(p - s));

	while (p < end) {
		const char *q = p;
		uint32_t y = ft_utf8_next(&p), j = number_of(b, y);
		bool is = b->cut_all || known(b, y, j, q, (size_t)(p - q));

		if (was && is && !meet(b, x, y, i, j)) {
			ft_bpe_piece(b, c, from, (size_t)(q - from),
				     pos + (uint32_t)(from - s), out);
			from = q;
		}
		x = y;
		i = j;
		was = is;
	}
	ft_bpe_piece(b, c, from, (size_t)(end - from),
		     pos + (uint32_t)(from - s), out);
}

void ft_bpe_encode(const struct ft_bpe *b, struct ft_bpe_ctx *c, const char *s,
		   size_t n, uint32_t pos, struct ft_ids *out)
{
	if (b->cuts)
		encode_cut(b, c, s, n, pos, out);
	else
		ft_bpe_piece(b, c, s, n, pos, out);
}
