/* SPDX-License-Identifier: MIT */
/*
 * Token strings and their ids, both ways.  Strings are borrowed: whoever fills
 * a vocabulary keeps them.
 */
#ifndef FT_TEXT_VOCAB_H
#define FT_TEXT_VOCAB_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "libcommon/base/mem.h"

/* Ids are below this: what a file says must not decide how much is allocated. */
enum { FT_VOCAB_MAX = 1 << 22 };

struct ft_bytes {
	const char *s; /* NULL: nothing there; may hold NULs */
	size_t n;
};

struct ft_vocab {
	struct ft_bytes *tok; /* [n] by id; owned */
	size_t n;             /* highest id + 1 */
	size_t count;         /* tokens */
	size_t cap;
	/* hash << 32 | id + 1, or 0; open addressing; owned */
	uint64_t *slot;
	size_t mask;
};

/* Make room for the hash of n tokens. */
void ft_vocab_init(struct ft_vocab *v, size_t n);
void ft_vocab_release(struct ft_vocab *v);
/* id in [0, FT_VOCAB_MAX).  0; -1 when id is taken; -2 when the string is. */
int ft_vocab_add(struct ft_vocab *v, const char *s, size_t n, int32_t id);
int32_t ft_vocab_get(const struct ft_vocab *v, const char *s, size_t n);
/* Fetch what a get of a string of this hash (ft_hash_bytes) will look at. */
static inline void ft_vocab_fetch(const struct ft_vocab *v, uint64_t hash)
{
	__builtin_prefetch(&v->slot[hash & v->mask]);
}
int32_t ft_vocab_get_hashed(const struct ft_vocab *v, const char *s, size_t n,
			    uint64_t hash);

/* Mixes n bytes; not for adversaries, a bad hash costs time only. */
static inline uint64_t ft_hash_bytes(const char *s, size_t n)
{
	uint64_t h = n * 0x9E3779B97F4A7C15u, w;

	for (; n >= 8; s += 8, n -= 8) {
		memcpy(&w, s, 8);
		h = (h ^ w) * 0x9FB21C651E98DF25u;
		h ^= h >> 35;
	}
	w = 0;
	memcpy(&w, s, n);
	h = (h ^ w) * 0x9FB21C651E98DF25u;
	return h ^ h >> 32;
}

static inline uint64_t ft_hash_u64(uint64_t x)
{
	x *= 0x9E3779B97F4A7C15u;
	return x ^ x >> 32;
}

#endif
