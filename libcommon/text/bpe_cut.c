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
			b->near[cp] = cp == FT_BPE_MARK ? 1 : next++;
	}
}

/* --- cutting -------------------------------------------------------------- */

/* A character beside a place that may be a cut. */
struct side {
	uint32_t cp, number;
	bool known;
};

/*
 * Beside a character that is no token nothing is cut, unless bytes stand for
 * it: it may vanish, or wait to be joined with another one like it.
 */
static struct side next_side(const struct ft_bpe *b, const char **p)
{
	const char *s = *p;
	struct side v = {ft_utf8_next(p), 0, true};

	if (v.cp == ' ' && b->blanks)
		v.cp = FT_BPE_MARK;
	v.number = number_of(b, v.cp);
	if (!b->cut_all)
		v.known = v.cp < FT_BPE_NEAR
				  ? v.number != 0
				  : ft_vocab_get(&b->vocab, s,
						 (size_t)(*p - s)) >= 0;
	return v;
}

static bool is_cut(const struct ft_bpe *b, const struct side *x,
		   const struct side *y)
{
	return x->known && y->known &&
	       !meet(b, x->cp, y->cp, x->number, y->number);
}

static void build_rows(struct ft_bpe *b)
{
	memset(b->row, 0, sizeof(b->row));
	for (unsigned i = 0; i < 1 << 14; i++) {
		char s[2] = {(char)(i >> 7), (char)(i & 127)};
		const char *p = s;
		struct side x = next_side(b, &p), y = next_side(b, &p);

		if (is_cut(b, &x, &y))
			b->row[i >> 7][i >> 6 & 1] |= UINT64_C(1) << (i & 63);
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
	build_rows(b);
}

bool ft_bpe_read_blanks(struct ft_bpe *b)
{
	if (!b->cuts || !b->near[FT_BPE_MARK])
		return false;
	b->blanks = true;
	ft_bpe_build_bytes(b);
	build_rows(b);
	return true;
}

size_t ft_bpe_cut(const struct ft_bpe *b, const char *s, const char *end,
		  uint32_t *stop, size_t max)
{
	const char *p = s, *q;
	struct side x = {0}, y;
	size_t n = 0;

	if (!(*p & 0x80))
		p++;
	else
		x = next_side(b, &p);
	while (p < end && n < max) {
		/* ASCII before and behind */
		for (; p < end && n < max && !((p[-1] | p[0]) & 0x80); p++) {
			const uint64_t *row = b->row[(int)p[-1]];

			stop[n] = (uint32_t)(p - s);
			n += row[*p >> 6] >> (*p & 63) & 1;
		}
		if (p == end || n == max)
			break;
		if (!(p[-1] & 0x80)) {
			q = p - 1;
			x = next_side(b, &q);
		}
		q = p;
		y = next_side(b, &q);
		if (is_cut(b, &x, &y))
			stop[n++] = (uint32_t)(p - s);
		x = y;
		p = q;
	}
	if (n < max)
		stop[n++] = (uint32_t)(end - s);
	return n;
}

void ft_bpe_encode(const struct ft_bpe *b, struct ft_bpe_ctx *c, const char *s,
		   size_t n, uint32_t pos, struct ft_ids *out)
{
	enum { BATCH = 512 };
	const char *p = s, *end = s + n;
	uint32_t stop[BATCH];

	if (!b->cuts) {
		ft_bpe_piece(b, c, s, n, pos, out);
		return;
	}
	while (p < end) {
		n = ft_bpe_cut(b, p, end, stop, BATCH);
		ft_bpe_encode_run(b, c, p, end, stop, n,
				  pos + (uint32_t)(p - s), out);
		p += stop[n - 1];
	}
}
