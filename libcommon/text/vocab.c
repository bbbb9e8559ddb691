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

static size_t find(const struct ft_vocab *v, const char *s, size_t n)
{
	size_t i = ft_hash_bytes(s, n) & v->mask;

	while (v->slot[i]) {
		const struct ft_bytes *t = &v->tok[v->slot[i] - 1];

		if (t->n == n && !memcmp(t->s, s, n))
			break;
		i = (i + 1) & v->mask;
	}
	return i;
}

static void rehash(struct ft_vocab *v)
{
	size_t size = 2 * (v->mask + 1);

	free(v->slot);
	v->slot = ft_xcalloc(size, sizeof(*v->slot));
	v->mask = size - 1;
	for (size_t id = 0; id < v->n; id++)
		if (v->tok[id].s)
			v->slot[find(v, v->tok[id].s, v->tok[id].n)] =
				(uint32_t)id + 1;
}

int ft_vocab_add(struct ft_vocab *v, const char *s, size_t n, int32_t id)
{
	size_t i, at = (size_t)id;

	if (at < v->n && v->tok[at].s)
		return -1;
	if (2 * (v->count + 1) > v->mask)
		rehash(v);
	i = find(v, s, n);
	if (v->slot[i])
		return -2;
	if (at >= v->n) {
		FT_GROW(v->tok, v->n, v->cap, at + 1 - v->n);
		memset(v->tok + v->n, 0, (at + 1 - v->n) * sizeof(*v->tok));
		v->n = at + 1;
	}
	v->tok[at] = (struct ft_bytes){s, n};
	v->slot[i] = (uint32_t)id + 1;
	v->count++;
	return 0;
}

int32_t ft_vocab_get(const struct ft_vocab *v, const char *s, size_t n)
{
	return (int32_t)v->slot[find(v, s, n)] - 1;
}
