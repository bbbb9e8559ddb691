/* SPDX-License-Identifier: MIT */
#include "libcommon/text/bpe.h"

#include <stdlib.h>

#include "libcommon/text/unicode.h"

/* A symbol of a piece: an id and how many bytes of the piece it covers. */
struct ft_sym {
	int32_t id;
	uint32_t len;
};

/* A short piece whose ids are known.  nkey 0: empty. */
struct ft_piece {
	uint64_t key[3];
	int32_t id[7];
	uint8_t len[7];
	uint8_t nkey, nid;
};

enum {
	CACHE = 1 << 15, /* pieces */
	KEY = 24,        /* longest piece that is kept, in bytes */
	SHORT = 40,      /* symbols up to which a scan beats a heap */
};
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

static uint64_t pair_of(int32_t left, int32_t right)
{
	return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static struct ft_merge *merge_slot(const struct ft_bpe *b, uint64_t pair)
{
	size_t i = ft_hash_u64(pair) & b->mask;

	while (b->merge[i].pair != pair && b->merge[i].pair != UINT64_MAX)
		i = (i + 1) & b->mask;
	return &b->merge[i];
}

static const struct ft_merge *find_merge(const struct ft_bpe *b, int32_t left,
					 int32_t right)
{
	const struct ft_merge *m = merge_slot(b, pair_of(left, right));

	return m->pair == UINT64_MAX ? NULL : m;
}

static void build_merges(struct ft_bpe *b, const struct ft_bpe_rule *rule,
			 size_t n)
{
	size_t size = 16;

	while (size < 2 * n + 2)
		size *= 2;
	b->merge = ft_xmalloc(size * sizeof(*b->merge));
	b->mask = size - 1;
	memset(b->merge, 0xff, size * sizeof(*b->merge));
	/* A pair listed twice keeps its last rank. */
	for (size_t i = 0; i < n; i++) {
		uint64_t pair = pair_of(rule[i].left, rule[i].right);

		*merge_slot(b, pair) =
			(struct ft_merge){pair, (uint32_t)i, rule[i].id};
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

/* --- where a text may be cut ---------------------------------------------- */

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
static void build_cuts(struct ft_bpe *b, const struct ft_bpe_rule *rule,
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

void ft_bpe_ready(struct ft_bpe *b, const struct ft_bpe_rule *rule, size_t n)
{
	build_merges(b, rule, n);
	build_bytes(b);
	if (!b->byte_level)
		build_cuts(b, rule, n);
}

void ft_bpe_release(struct ft_bpe *b)
{
	ft_vocab_release(&b->vocab);
	free(b->merge);
	free(b->near);
	free(b->far);
}

void ft_bpe_ctx_release(struct ft_bpe_ctx *c)
{
	free(c->sym);
	free(c->link);
	free(c->rank);
	free(c->heap);
	free(c->cache);
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

/* --- merging -------------------------------------------------------------- */

static uint32_t rank_at(const struct ft_bpe *b, const struct ft_sym *s,
			size_t left, size_t right)
{
	const struct ft_merge *m = find_merge(b, s[left].id, s[right].id);

	return m ? m->rank : NONE;
}

static void merge_short(const struct ft_bpe *b, struct ft_bpe_ctx *c)
{
	struct ft_sym *s = c->sym;
	uint32_t rank[SHORT];
	size_t n = c->nsym;

	for (size_t i = 0; i + 1 < n; i++)
		rank[i] = rank_at(b, s, i, i + 1);
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
		s[at].id = find_merge(b, s[at].id, s[at + 1].id)->id;
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
		s[i].id = find_merge(b, s[i].id, s[j].id)->id;
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

static void encode_piece(const struct ft_bpe *b, struct ft_bpe_ctx *c,
			 const char *s, size_t n)
{
	c->nsym = 0;
	if (b->ignore_merges) {
		int32_t id = whole(b, s, n);

		if (id >= 0) {
			add_sym(c, id, n);
			return;
		}
	}
	add_symbols(b, c, s, n);
	if (c->nsym <= SHORT)
		merge_short(b, c);
	else
		merge_long(b, c);
}

static void put_piece(const struct ft_piece *e, uint32_t pos,
		      struct ft_ids *out)
{
	ft_ids_room(out, 8);
	for (int i = 0; i < e->nid; i++) {
		out->id[out->n] = e->id[i];
		out->start[out->n] = pos;
		pos += e->len[i];
		out->end[out->n++] = pos;
	}
}

static void put_symbols(const struct ft_bpe_ctx *c, uint32_t pos,
			struct ft_ids *out)
{
	ft_ids_room(out, c->nsym);
	for (size_t i = 0; i < c->nsym; i++) {
		out->id[out->n] = c->sym[i].id;
		out->start[out->n] = pos;
		pos += c->sym[i].len;
		out->end[out->n++] = pos;
	}
}

/* Short pieces come again and again: remember what they became. */
static void encode_short(const struct ft_bpe *b, struct ft_bpe_ctx *c,
			 const char *s, size_t n, uint32_t pos,
			 struct ft_ids *out)
{
	struct ft_piece *e;
	uint64_t key[3] = {0}, h;

	memcpy(key, s, n);
	h = (key[0] * 0x9E3779B97F4A7C15u) ^ (key[1] * 0xC2B2AE3D27D4EB4Fu) ^
	    ((key[2] + n) * 0x165667B19E3779F9u);
	h ^= h >> 29;
	h *= 0x9FB21C651E98DF25u;
	e = &c->cache[h >> 49];
	if (e->nkey == n && e->key[0] == key[0] && e->key[1] == key[1] &&
	    e->key[2] == key[2]) {
		put_piece(e, pos, out);
		return;
	}
	encode_piece(b, c, s, n);
	put_symbols(c, pos, out);
	if (c->nsym > sizeof(e->len))
		return;
	memcpy(e->key, key, sizeof(key));
	e->nkey = (uint8_t)n;
	e->nid = (uint8_t)c->nsym;
	for (size_t i = 0; i < c->nsym; i++) {
		e->id[i] = c->sym[i].id;
		e->len[i] = (uint8_t)c->sym[i].len;
	}
}

static void encode_uncut(const struct ft_bpe *b, struct ft_bpe_ctx *c,
			 const char *s, size_t n, uint32_t pos,
			 struct ft_ids *out)
{
	if (n <= KEY) {
		encode_short(b, c, s, n, pos, out);
		return;
	}
	encode_piece(b, c, s, n);
	put_symbols(c, pos, out);
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
			encode_uncut(b, c, from, (size_t)(q - from),
				     pos + (uint32_t)(from - s), out);
			from = q;
		}
		x = y;
		i = j;
		was = is;
	}
	encode_uncut(b, c, from, (size_t)(end - from),
		     pos + (uint32_t)(from - s), out);
}

void ft_bpe_encode(const struct ft_bpe *b, struct ft_bpe_ctx *c, const char *s,
		   size_t n, uint32_t pos, struct ft_ids *out)
{
	if (!c->cache)
		c->cache = ft_xcalloc(CACHE, sizeof(*c->cache));
	if (b->cuts)
		encode_cut(b, c, s, n, pos, out);
	else
		encode_uncut(b, c, s, n, pos, out);
}
