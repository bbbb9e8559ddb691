/* SPDX-License-Identifier: MIT */
/*
 * Pieces come again and again: what they became is remembered, by thread and
 * in bounded memory.  Words, of at most 15 bytes and 3 ids, are two to a cache
 * line and found by two loads; what is a little longer has a table of its own.
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/text/bpe_priv.h"

/* Bytes of the key, zeros, and the key's length; 0: empty. */
struct ft_word {
	uint64_t key[2];
	int32_t id[3];
	uint8_t end[3]; /* where each id ends in the key */
	uint8_t n;
};

enum { PHRASE_WORDS = 6 };
struct ft_phrase {
	uint64_t key[PHRASE_WORDS];
	int32_t id[15];
	uint8_t end[15];
	uint8_t nkey, n;
};

enum {
	WORD_BITS = 15, /* pairs of words */
	WORD = 15,
	WORD_IDS = 3,
	PHRASE_BITS = 13,
	PHRASE = 8 * PHRASE_WORDS,
	PHRASE_IDS = 15,
};

static void open_cache(struct ft_bpe_ctx *c)
{
	size_t words = ((size_t)2 << WORD_BITS) * sizeof(*c->word);
	size_t phrases = ((size_t)1 << PHRASE_BITS) * sizeof(*c->phrase);
	uintptr_t p;

	c->memory = ft_xcalloc(1, words + phrases + 64);
	p = ((uintptr_t)c->memory + 63) & ~(uintptr_t)63;
	c->word = (void *)p;
	c->phrase = (void *)(p + words);
}

static struct ft_word *word_pair(const struct ft_bpe_ctx *c, uint64_t a,
				 uint64_t b)
{
	uint64_t h = a * 0x9E3779B97F4A7C15u ^ b * 0xC2B2AE3D27D4EB4Fu;

	return c->word +
	       2 * ((h ^ h >> 29) * 0x9FB21C651E98DF25u >> (64 - WORD_BITS));
}

/* Where a word goes that had to leave its pair. */
static struct ft_word *other_pair(const struct ft_bpe_ctx *c, uint64_t a,
				  uint64_t b)
{
	return word_pair(c, b ^ 0x165667B19E3779F9u, a);
}

/* The word of a pair, or NULL; both are looked at without a branch. */
static const struct ft_word *in_pair(const struct ft_word *e, uint64_t a,
				     uint64_t b)
{
	uint64_t first = (e[0].key[0] ^ a) | (e[0].key[1] ^ b);
	uint64_t second = (e[1].key[0] ^ a) | (e[1].key[1] ^ b);

	return first && second ? NULL : e + (first != 0);
}

static struct ft_phrase *phrase_at(const struct ft_bpe_ctx *c,
				   const uint64_t key[PHRASE_WORDS], size_t n)
{
	uint64_t h = n;

	for (size_t i = 0; 8 * i < n; i++) {
		h = (h ^ key[i]) * 0x9E3779B97F4A7C15u;
		h ^= h >> 29;
	}
	return c->phrase + (h * 0x9FB21C651E98DF25u >> (64 - PHRASE_BITS));
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

static void put_known(const int32_t *id, const uint8_t *to, size_t n,
		      uint32_t pos, struct ft_ids *out)
{
	uint32_t at = pos;

	ft_ids_room(out, n);
	for (size_t i = 0; i < n; i++) {
		out->id[out->n] = id[i];
		out->start[out->n] = at;
		at = pos + to[i];
		out->end[out->n++] = at;
	}
}

/* What was merged, as an entry of one of the tables. */
static uint8_t note(const struct ft_bpe_ctx *c, int32_t *id, uint8_t *end)
{
	uint32_t at = 0;

	for (size_t i = 0; i < c->nsym; i++) {
		at += c->sym[i].len;
		id[i] = c->sym[i].id;
		end[i] = (uint8_t)at;
	}
	return (uint8_t)c->nsym;
}

/* A word pushes out the older one of its pair, and that the older one of the
   other pair that it may be in. */
static void push_word(const struct ft_bpe_ctx *c, const struct ft_word *w)
{
	struct ft_word *e = word_pair(c, w->key[0], w->key[1]);

	if (e[1].key[1]) {
		struct ft_word *o = other_pair(c, e[1].key[0], e[1].key[1]);

		o[1] = o[0];
		o[0] = e[1];
	}
	e[1] = e[0];
	e[0] = *w;
}

static void encode_phrase(const struct ft_bpe *b, struct ft_bpe_ctx *c,
			  const char *s, const uint64_t key[PHRASE_WORDS],
			  size_t n, uint32_t pos, struct ft_ids *out)
{
	struct ft_phrase *e = phrase_at(c, key, n);

	if (e->nkey == n && !memcmp(e->key, key, sizeof(e->key))) {
		put_known(e->id, e->end, e->n, pos, out);
		return;
	}
	ft_bpe_merge(b, c, s, n);
	put_symbols(c, pos, out);
	if (c->nsym <= WORD_IDS && n <= WORD) {
		struct ft_word w = {
			.key = {key[0], key[1] | (uint64_t)n << 56}};

		w.n = note(c, w.id, w.end);
		push_word(c, &w);
	} else if (c->nsym <= PHRASE_IDS) {
		memcpy(e->key, key, sizeof(e->key));
		e->nkey = (uint8_t)n;
		e->n = note(c, e->id, e->end);
	}
}

void ft_bpe_piece(const struct ft_bpe *b, struct ft_bpe_ctx *c, const char *s,
		  size_t n, uint32_t pos, struct ft_ids *out)
{
	uint64_t key[PHRASE_WORDS] = {0};

	if (n > PHRASE) {
		ft_bpe_merge(b, c, s, n);
		put_symbols(c, pos, out);
		return;
	}
	if (!c->memory)
		open_cache(c);
	memcpy(key, s, n);
	if (n <= WORD) {
		uint64_t last = key[1] | (uint64_t)n << 56;
		const struct ft_word *e =
			in_pair(word_pair(c, key[0], last), key[0], last);

		if (!e &&
		    (e = in_pair(other_pair(c, key[0], last), key[0], last))) {
			struct ft_word w = *e;

			push_word(c, &w); /* it is in use again */
			put_known(w.id, w.end, w.n, pos, out);
			return;
		}
		if (e) {
			put_known(e->id, e->end, e->n, pos, out);
			return;
		}
	}
	encode_phrase(b, c, s, key, n, pos, out);
}

/* The first n < 16 of 16 bytes, with n in the last. */
static void load_key(const char *s, size_t n, uint64_t key[2])
{
	static const uint8_t mask[32] = {
		255, 255, 255, 255, 255, 255, 255, 255,
		255, 255, 255, 255, 255, 255, 255, 255,
	};
	uint64_t keep[2];

	memcpy(key, s, 16);
	memcpy(keep, mask + 16 - n, 16);
	key[0] &= keep[0];
	key[1] = (key[1] & keep[1]) | (uint64_t)n << 56;
}

/* Pieces whose words are looked for together, so that what is not at hand
   is fetched while others are. */
struct ahead {
	uint64_t key[2];
	const struct ft_word *pair; /* NULL: too long for one */
};
enum { AHEAD = 32 };

static void look_ahead(const struct ft_bpe_ctx *c, const char *s,
		       const char *limit, uint32_t at, const uint32_t *stop,
		       size_t n, struct ahead *v)
{
	for (size_t i = 0; i < n; at = stop[i++]) {
		size_t len = stop[i] - at;

		v[i].pair = NULL;
		if (len > WORD || limit - (s + at) < 16)
			continue;
		load_key(s + at, len, v[i].key);
		v[i].pair = word_pair(c, v[i].key[0], v[i].key[1]);
		__builtin_prefetch(v[i].pair);
	}
}

void ft_bpe_encode_run(const struct ft_bpe *b, struct ft_bpe_ctx *c,
		       const char *s, const char *limit, const uint32_t *stop,
		       size_t n, uint32_t pos, struct ft_ids *out)
{
	struct ahead v[AHEAD];
	uint32_t at = 0;

	if (!c->memory)
		open_cache(c);
	ft_ids_room(out, WORD_IDS * n);
	for (size_t i = 0; i < n; at = stop[i++]) {
		const struct ft_word *e;
		size_t k = out->n;

		if (i % AHEAD == 0)
			look_ahead(c, s, limit, at, stop + i,
				   n - i < AHEAD ? n - i : AHEAD, v);
		e = v[i % AHEAD].pair;
		if (e)
			e = in_pair(e, v[i % AHEAD].key[0],
				    v[i % AHEAD].key[1]);
		if (!e) {
			ft_bpe_piece(b, c, s + at, stop[i] - at, pos + at, out);
			ft_ids_room(out, WORD_IDS * (n - i));
			continue;
		}
		/* all three, however many there are: no branch to mispredict */
		for (int j = 0; j < WORD_IDS; j++) {
			out->id[k + j] = e->id[j];
			out->start[k + j] = pos + at + (j ? e->end[j - 1] : 0);
			out->end[k + j] = pos + at + e->end[j];
		}
		out->n = k + e->n;
	}
}
