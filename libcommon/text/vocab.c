/* SPDX-License-Identifier: MIT */
#include "libcommon/text/vocab.h"

#include <stdlib.h>

static size_t pow2_above(size_t n)
{
	size_t p = 16;

	while (p < n)
		p *= 2;
	return p;
}

void ft_vocab_init(struct ft_vocab *v, size_t n)
{
	size_t size = pow2_above(2 * n + 2);

	memset(v, 0, sizeof(*v));
	v->slot = ft_xcalloc(size, sizeof(*v->slot));
	v->mask = size - 1;
}

void ft_vocab_release(struct ft_vocab *v)
{
	free(v->tok);
	free(v->slot);
	memset(v, 0, sizeof(*v));
}

static size_t find(const struct ft_vocab *v, const char *s, size_t n,
		   uint64_t hash)
{
	size_t i = hash & v->mask;

	for (; v->slot[i]; i = (i + 1) & v->mask) {
		const struct ft_bytes *t;

		if ((v->slot[i] ^ hash) >> 32)
			continue;
		t = &v->tok[(uint32_t)v->slot[i] - 1];
		if (t->n == n && !memcmp(t->s, s, n))
			break;
	}
	return i;
}

static uint64_t slot_of(uint64_t hash, size_t id)
{
	return (hash >> 32) << 32 | (id + 1);
}

static void rehash(struct ft_vocab *v)
{
	size_t size = 2 * (v->mask + 1);

	free(v->slot);
	v->slot = ft_xcalloc(size, sizeof(*v->slot));
	v->mask = size - 1;
	for (size_t id = 0; id < v->n; id++) {
		const struct ft_bytes *t = &v->tok[id];
		uint64_t hash = t->s ? ft_hash_bytes(t->s, t->n) : 0;

		if (t->s)
			v->slot[find(v, t->s, t->n, hash)] = slot_of(hash, id);
	}
}

int ft_vocab_add(struct ft_vocab *v, const char *s, size_t n, int32_t id)
{
	uint64_t hash = ft_hash_bytes(s, n);
	size_t i, at = (size_t)id;

	if (at < v->n && v->tok[at].s)
		return -1;
	if (2 * (v->count + 1) > v->mask)
		rehash(v);
	i = find(v, s, n, hash);
	if (v->slot[i])
		return -2;
	if (at >= v->n) {
		FT_GROW(v->tok, v->n, v->cap, at + 1 - v->n);
		memset(v->tok + v->n, 0, (at + 1 - v->n) * sizeof(*v->tok));
		v->n = at + 1;
	}
	v->tok[at] = (struct ft_bytes){s, n};
	v->slot[i] = slot_of(hash, at);
	v->count++;
	return 0;
}

int32_t ft_vocab_get_hashed(const struct ft_vocab *v, const char *s, size_t n,
			    uint64_t hash)
{
	return (int32_t)(uint32_t)v->slot[find(v, s, n, hash)] - 1;
}

int32_t ft_vocab_get(const struct ft_vocab *v, const char *s, size_t n)
{
	return ft_vocab_get_hashed(v, s, n, ft_hash_bytes(s, n));
}
