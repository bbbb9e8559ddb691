/* SPDX-License-Identifier: MIT */
/* Added tokens: found in a text before anything else looks at it. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/text/tok.h"
#include "libcommon/text/unicode.h"

static uint32_t new_node(struct ft_trie *t, unsigned char byte)
{
	if (!t->n)
		t->n = 1;
	FT_GROW(t->node, t->n, t->cap, 1);
	t->node[t->n] = (struct ft_trie_node){0, 0, -1, byte};
	return (uint32_t)t->n++;
}

static uint32_t child(struct ft_trie *t, uint32_t parent, unsigned char byte)
{
	uint32_t i = parent ? t->node[parent].child : t->root[byte];

	while (i && t->node[i].byte != byte)
		i = t->node[i].next;
	if (i)
		return i;
	i = new_node(t, byte);
	if (parent) {
		t->node[i].next = t->node[parent].child;
		t->node[parent].child = i;
	} else {
		t->root[byte] = i;
	}
	return i;
}

static void note_start(struct ft_trie *t, const struct ft_bytes *s)
{
	unsigned a = (unsigned char)s->s[0];

	t->first = !t->any || t->first == (int)a ? (int)a : -1;
	if (s->n == 1)
		memset(t->two + 4 * a, 0xff, 4 * sizeof(*t->two));
	else
		t->two[4 * a + ((unsigned char)s->s[1] >> 6)] |=
			UINT64_C(1) << (s->s[1] & 63);
}

int ft_trie_add(struct ft_trie *t, const struct ft_bytes *s, int32_t token)
{
	uint32_t at = 0;

	for (size_t i = 0; i < s->n; i++)
		at = child(t, at, (unsigned char)s->s[i]);
	if (!at || t->node[at].token >= 0)
		return -1;
	t->node[at].token = token;
	note_start(t, s);
	t->any = true;
	return 0;
}

void ft_added_release(struct ft_added *v)
{
	free(v->tok);
	free(v->raw.node);
	free(v->normalized.node);
}

/* The longest pattern at s[at]: its token, or -1. */
static int32_t longest(const struct ft_trie *t, const char *s, size_t n,
		       size_t at, size_t *end)
{
	uint32_t i = t->root[(unsigned char)s[at]];
	int32_t best = -1;

	while (i) {
		if (t->node[i].token >= 0) {
			best = t->node[i].token;
			*end = at + 1;
		}
		if (++at == n)
			break;
		i = t->node[i].child;
		while (i && t->node[i].byte != (unsigned char)s[at])
			i = t->node[i].next;
	}
	return best;
}

static size_t char_before(const char *s, size_t i)
{
	do
		i--;
	while (i && (s[i] & 0xc0) == 0x80);
	return i;
}

static unsigned class_at(const char *s, size_t i)
{
	s += i;
	return ft_uc(ft_utf8_next(&s));
}

static bool is_word(const struct ft_added_token *k, const char *s, size_t n,
		    size_t a, size_t z)
{
	if (!k->single_word)
		return true;
	return !(a && class_at(s, char_before(s, a)) & FT_UC_W) &&
	       !(z < n && class_at(s, z) & FT_UC_W);
}

static size_t space_before(const char *s, size_t from, size_t a)
{
	while (a > from) {
		size_t i = char_before(s, a);

		if (!(class_at(s, i) & FT_UC_S))
			break;
		a = i;
	}
	return a;
}

static size_t space_after(const char *s, size_t n, size_t z)
{
	while (z < n && class_at(s, z) & FT_UC_S) {
		const char *p = s + z;

		ft_utf8_next(&p);
		z = (size_t)(p - s);
	}
	return z;
}

/* Where a pattern may begin at the earliest. */
static size_t next_start(const struct ft_trie *t, const char *s, size_t n,
			 size_t at)
{
	if (t->first >= 0) {
		const char *p = memchr(s + at, t->first, n - at);

		return p ? (size_t)(p - s) : n;
	}
	for (; at + 1 < n; at++) {
		unsigned a = (unsigned char)s[at], b = (unsigned char)s[at + 1];

		if (t->two[4 * a + (b >> 6)] >> (b & 63) & 1)
			break;
	}
	return at;
}

bool ft_added_next(const struct ft_added *v, const struct ft_trie *t,
		   const char *s, size_t n, size_t at, size_t done,
		   bool no_special, struct ft_found *f)
{
	if (!t->any)
		return false;
	while ((at = next_start(t, s, n, at)) < n) {
		const struct ft_added_token *k;
		size_t a, z;
		int32_t i = longest(t, s, n, at, &z);

		if (i < 0) {
			at++;
			continue;
		}
		a = at;
		at = z; /* a match that does not count is passed over whole */
		k = &v->tok[i];
		if ((no_special && k->special) || !is_word(k, s, n, a, z))
			continue;
		if (k->lstrip)
			a = a < done ? done : space_before(s, done, a);
		/* White space is gone through once, so that a run of tokens
		   that are white space takes linear time. */
		if (k->rstrip && z >= f->space)
			f->space = space_after(s, n, z);
		if (k->rstrip)
			z = f->space;
		*f = (struct ft_found){a, z, at, f->space, k};
		if (f->a < f->z)
			return true;
	}
	return false;
}
