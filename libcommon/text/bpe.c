/* SPDX-License-Identifier: MIT */
#include "libcommon/text/bpe.h"

#include <stdlib.h>

#include "libcommon/text/bpe_priv.h"
#include "libcommon/text/unicode.h"

enum { SHORT = 40 /* symbols up to which a scan beats a heap */ };
#define NONE UINT32_MAX /* no rank, no neighbour */

/* --- ids ------------------------------------------------------------------ */

void ft_ids_room(struct ft_ids *v, size_t more)
{
	size_t cap = v->cap;

	if (v->n + more <= cap)
		return;
	FT_GROW(v->id, v->n, v->cap, more);
	v->start = ft_xrealloc(v->start, v->cap, sizeof(*v->start));
	v->end = ft_xrealloc(v->end, v->cap, sizeof(*v->end));
}

void ft_ids_add(struct ft_ids *v, int32_t id, uint32_t start, uint32_t end)
{
	ft_ids_put(v, id, start, end);
}

void ft_ids_clear(struct ft_ids *v)
{
	v->n = 0;
}

void ft_ids_release(struct ft_ids *v)
{
	free(v->id);
	free(v->start);
	free(v->end);
	memset(v, 0, sizeof(*v));
}

/* --- GPT-2's alphabet ----------------------------------------------------- */

/*
 * Printable Latin-1 bytes spell themselves; the others, in order, are spelled
 * by the code points from 256 on.
 */
static bool printable(unsigned c)
{
	return (c >= '!' && c <= '~') || (c >= 0xa1 && c <= 0xff && c != 0xad);
}

uint32_t ft_byte_letter(unsigned char byte)
{
	if (printable(byte))
		return byte;
	if (byte <= ' ')
		return 256u + byte;
	if (byte <= 0xa0)
		return 256u + 33 + (byte - 0x7fu);
	return 256u + 33 + 34; /* 0xad */
}

int ft_letter_byte(uint32_t cp)
{
	if (cp < 256)
		return printable(cp) ? (int)cp : -1;
	if (cp <= 256 + ' ')
		return (int)cp - 256;
	if (cp < 256 + 33 + 34)
		return (int)cp - 256 - 33 + 0x7f;
	return cp == 256 + 33 + 34 ? 0xad : -1;
}

/* --- tables --------------------------------------------------------------- */

static uint64_t pair_of(const struct ft_bpe *b, int32_t left, int32_t right)
{
	return (uint64_t)(uint32_t)left << b->id_bits | (uint32_t)right;
}

/* The slot of a pair, or the empty one where it belongs. */
static uint64_t *merge_slot(const struct ft_bpe *b, uint64_t pair)
{
	size_t i = ft_hash_u64(pair) & b->mask;

	while (b->merge[i] >> b->rank_bits != pair && b->merge[i] != UINT64_MAX)
		i = (i + 1) & b->mask;
	return &b->merge[i];
}

/* The rank of the merge of two ids; NONE: there is none. */
static uint32_t rank_of(const struct ft_bpe *b, int32_t left, int32_t right)
{
	uint64_t e = *merge_slot(b, pair_of(b, left, right));

	return e == UINT64_MAX
		       ? NONE
		       : (uint32_t)(e & ((UINT64_C(1) << b->rank_bits) - 1));
}

static unsigned bits_for(size_t n)
{
	unsigned k = 1;

	while (n >> k)
		k++;
	return k;
}

static void build_merges(struct ft_bpe *b, const struct ft_bpe_rule *rule,
			 size_t n)
{
	size_t size = 16;

	while (size < n + n / 2 + 2)
		size *= 2;
	b->merge = ft_xmalloc(size * sizeof(*b->merge));
	b->made = ft_xcalloc(n + 1, sizeof(*b->made));
	b->mask = size - 1;
	memset(b->merge, 0xff, size * sizeof(*b->merge));
	/* A pair listed twice keeps its last rank. */
	for (size_t i = 0; i < n; i++) {
		uint64_t pair = pair_of(b, rule[i].left, rule[i].right);

		*merge_slot(b, pair) = pair << b->rank_bits | i;
		b->made[i] = rule[i].id;
	}
}

static void build_bytes(struct ft_bpe *b)
{
	for (unsigned i = 0; i < 256; i++) {
		static const char hex[] = "0123456789ABCDEF";
		char name[6] = {'<', '0', 'x', hex[i >> 4], hex[i & 15], '>'};
		char u[4];
		size_t n = ft_utf8_put(u, ft_byte_letter((unsigned char)i));

		b->fallback[i] = ft_vocab_get(&b->vocab, name, sizeof(name));
		b->letter[i] = ft_vocab_get(&b->vocab, u, n);
	}
}

/* The id of a byte that is a character, or that stands for one alone. */
static int32_t one_byte(const struct ft_bpe *b, unsigned char c)
{
	const char s[] = {(char)c};
	int32_t id;

	if (b->byte_level)
		return b->letter[c];
	if (c >= 0x80)
		return -1;
	id = c == ' ' && b->blanks ? ft_vocab_get(&b->vocab, "▁", 3)
				   : ft_vocab_get(&b->vocab, s, 1);
	return id < 0 && b->byte_fallback ? b->fallback[c] : id;
}

void ft_bpe_build_bytes(struct ft_bpe *b)
{
	unsigned n = b->byte_level ? 256 : 128;

	for (unsigned i = 0; i < 256; i++)
		b->one[i] = one_byte(b, (unsigned char)i);
	if (!b->byte_rank)
		b->byte_rank = ft_xcalloc(1 << 16, sizeof(*b->byte_rank));
	for (unsigned i = 0; i < n; i++)
		for (unsigned j = 0; j < n; j++)
			b->byte_rank[i << 8 | j] =
				b->one[i] < 0 || b->one[j] < 0
					? NONE
					: rank_of(b, b->one[i], b->one[j]);
}

int ft_bpe_ready(struct ft_bpe *b, const struct ft_bpe_rule *rule, size_t n,
		 struct ft_err *err)
{
	b->id_bits = bits_for(b->vocab.n);
	b->rank_bits = bits_for(n);
	if (2 * b->id_bits + b->rank_bits > 64)
		return ft_err_set(err, FT_EXIT_DATA, "model: too many merges");
	build_merges(b, rule, n);
	build_bytes(b);
	ft_bpe_build_bytes(b);
	if (!b->byte_level)
		ft_bpe_build_cuts(b, rule, n);
	return 0;
}

void ft_bpe_release(struct ft_bpe *b)
{
	ft_vocab_release(&b->vocab);
	free(b->merge);
	free(b->made);
	free(b->byte_rank);
	free(b->near);
	free(b->far);
}

void ft_bpe_ctx_release(struct ft_bpe_ctx *c)
{
	free(c->sym);
	free(c->link);
	free(c->rank);
	free(c->heap);
	free(c->memory);
}

/* --- symbols -------------------------------------------------------------- */

static void add_sym(struct ft_bpe_ctx *c, int32_t id, size_t len)
{
	FT_GROW(c->sym, c->nsym, c->cap, 1);
	c->sym[c->nsym++] = (struct ft_sym){id, (uint32_t)len};
}

/* The unknown token that waits for the next known character. */
struct unknown {
	bool waits;
	size_t len;
};

static void flush_unknown(const struct ft_bpe *b, struct ft_bpe_ctx *c,
			  struct unknown *u)
{
	if (u->waits)
		add_sym(c, b->unk, u->len);
	u->waits = false;
}

/*
 * A character, spelled s in the vocabulary, that is no token.  Bytes stand for
 * it only when each has one; they do not push out an unknown that waits.
 */
static void add_missing(const struct ft_bpe *b, struct ft_bpe_ctx *c,
			const char *s, size_t n, size_t len, struct unknown *u)
{
	bool bytes = b->byte_fallback;

	for (size_t i = 0; i < n && bytes; i++)
		bytes = b->fallback[(unsigned char)s[i]] >= 0;
	if (bytes) {
		for (size_t i = 0; i < n; i++) {
			size_t k = i + 1 == n ? len : len > 1;

			add_sym(c, b->fallback[(unsigned char)s[i]], k);
			len -= k;
		}
	} else if (b->unk >= 0) {
		if (!b->fuse_unk)
			flush_unknown(b, c, u);
		u->len = u->waits ? u->len + len : len;
		u->waits = true;
	}
}

static void add_symbols(const struct ft_bpe *b, struct ft_bpe_ctx *c,
			const char *s, size_t n)
{
	const char *p = s, *end = s + n;
	struct unknown u = {0};

	while (p < end) {
		const char *from = p;
		int32_t id;
		char letter[4];
		size_t k;

		if (b->byte_level) {
			unsigned char byte = (unsigned char)*p++;

			id = b->letter[byte];
			if (id < 0) {
				k = ft_utf8_put(letter, ft_byte_letter(byte));
				add_missing(b, c, letter, k, 1, &u);
				continue;
			}
		} else if (*p == ' ' && b->blanks) {
			id = ft_vocab_get(&b->vocab, "▁", 3);
			p++;
		} else {
			ft_utf8_next(&p);
			k = (size_t)(p - from);
			id = ft_vocab_get(&b->vocab, from, k);
			if (id < 0) {
				add_missing(b, c, from, k, k, &u);
				continue;
			}
		}
		flush_unknown(b, c, &u);
		add_sym(c, id, (size_t)(p - from));
	}
	flush_unknown(b, c, &u);
}

/* The same where every byte is a symbol; false: it is not so simple. */
static bool add_bytes(const struct ft_bpe *b, struct ft_bpe_ctx *c,
		      const unsigned char *s, size_t n)
{
	FT_GROW(c->sym, 0, c->cap, n);
	for (size_t i = 0; i < n; i++) {
		c->sym[i] = (struct ft_sym){b->one[s[i]], 1};
		if (b->one[s[i]] < 0)
			return false;
	}
	c->nsym = n;
	return true;
}

/* --- merging -------------------------------------------------------------- */

/* The rank of the merge of two symbols. */
static uint32_t rank_at(const struct ft_bpe *b, const struct ft_sym *s,
			size_t left, size_t right)
{
	return rank_of(b, s[left].id, s[right].id);
}

/* bytes: where each symbol is one byte, these; else NULL. */
static void merge_short(const struct ft_bpe *b, struct ft_bpe_ctx *c,
			const unsigned char *bytes)
{
	struct ft_sym *s = c->sym;
	uint32_t rank[SHORT];
	size_t n = c->nsym;

	for (size_t i = 0; i + 1 < n; i++)
		rank[i] = bytes ? b->byte_rank[bytes[i] << 8 | bytes[i + 1]]
				: rank_at(b, s, i, i + 1);
	while (n > 1) {
		uint32_t best = NONE;
		size_t at = 0;

		for (size_t i = 0; i + 1 < n; i++)
			if (rank[i] < best) {
				best = rank[i];
				at = i;
			}
		if (best == NONE)
			break;
		s[at].id = b->made[best];
		s[at].len += s[at + 1].len;
		n--;
		memmove(s + at + 1, s + at + 2, (n - at - 1) * sizeof(*s));
		memmove(rank + at, rank + at + 1, (n - at - 1) * sizeof(*rank));
		if (at + 1 < n)
			rank[at] = rank_at(b, s, at, at + 1);
		if (at)
			rank[at - 1] = rank_at(b, s, at - 1, at);
	}
	c->nsym = n;
}

static void heap_push(struct ft_bpe_ctx *c, uint64_t x)
{
	size_t i;

	FT_GROW(c->heap, c->nheap, c->capheap, 1);
	for (i = c->nheap++; i && c->heap[(i - 1) / 2] > x; i = (i - 1) / 2)
		c->heap[i] = c->heap[(i - 1) / 2];
	c->heap[i] = x;
}

static uint64_t heap_pop(struct ft_bpe_ctx *c)
{
	uint64_t top = c->heap[0], x = c->heap[--c->nheap];
	size_t i = 0;

	for (;;) {
		size_t k = 2 * i + 1;

		if (k >= c->nheap)
			break;
		if (k + 1 < c->nheap && c->heap[k + 1] < c->heap[k])
			k++;
		if (c->heap[k] >= x)
			break;
		c->heap[i] = c->heap[k];
		i = k;
	}
	c->heap[i] = x;
	return top;
}

/* Rank of the pair that starts at i, noted and queued. */
static void queue_pair(const struct ft_bpe *b, struct ft_bpe_ctx *c, size_t i,
		       size_t right)
{
	c->rank[i] = right == NONE ? NONE : rank_at(b, c->sym, i, right);
	if (c->rank[i] != NONE)
		heap_push(c, (uint64_t)c->rank[i] << 32 | i);
}

/*
 * An entry of the queue is (rank, place).  The string that a pair at a place
 * makes only ever grows, so one whose rank is still that of its place is
 * current, and all others are stale.
 */
static void merge_long(const struct ft_bpe *b, struct ft_bpe_ctx *c)
{
	struct ft_sym *s = c->sym;
	size_t n = c->nsym, m = 0;
	uint32_t *prev, *next;

	if (c->caplink < n) {
		c->caplink = n;
		c->link = ft_xrealloc(c->link, n, 2 * sizeof(*c->link));
		c->rank = ft_xrealloc(c->rank, n, sizeof(*c->rank));
	}
	prev = c->link;
	next = c->link + n;
	c->nheap = 0;
	for (size_t i = 0; i < n; i++) {
		prev[i] = i ? (uint32_t)i - 1 : NONE;
		next[i] = i + 1 < n ? (uint32_t)i + 1 : NONE;
		queue_pair(b, c, i, next[i]);
	}
	while (c->nheap) {
		uint64_t e = heap_pop(c);
		uint32_t i = (uint32_t)e, j;

		if (c->rank[i] != e >> 32)
			continue;
		j = next[i];
		s[i].id = b->made[c->rank[i]];
		s[i].len += s[j].len;
		c->rank[j] = NONE;
		s[j].id = -1;
		next[i] = next[j];
		if (next[i] != NONE)
			prev[next[i]] = i;
		queue_pair(b, c, i, next[i]);
		if (prev[i] != NONE)
			queue_pair(b, c, prev[i], i);
	}
	for (size_t i = 0; i < n; i++)
		if (s[i].id >= 0)
			s[m++] = s[i];
	c->nsym = m;
}

/* --- pieces --------------------------------------------------------------- */

/* The id of a piece that is a token as it stands (ignore_merges), or -1. */
static int32_t whole(const struct ft_bpe *b, const char *s, size_t n)
{
	char *u;
	size_t k = 0;
	int32_t id;

	if (!b->byte_level)
		return ft_vocab_get(&b->vocab, s, n);
	u = ft_xmalloc(2 * n);
	for (size_t i = 0; i < n; i++)
		k += ft_utf8_put(u + k, ft_byte_letter((unsigned char)s[i]));
	id = ft_vocab_get(&b->vocab, u, k);
	free(u);
	return id;
}

void ft_bpe_merge(const struct ft_bpe *b, struct ft_bpe_ctx *c, const char *s,
		  size_t n)
{
	c->nsym = 0;
	if (b->ignore_merges) {
		int32_t id = whole(b, s, n);

		if (id >= 0) {
			add_sym(c, id, n);
			return;
		}
	}
	if (n <= SHORT && add_bytes(b, c, (const unsigned char *)s, n)) {
		merge_short(b, c, (const unsigned char *)s);
		return;
	}
	add_symbols(b, c, s, n);
	if (c->nsym <= SHORT)
		merge_short(b, c, NULL);
	else
		merge_long(b, c);
}
