/* SPDX-License-Identifier: MIT */
/* Normalizers, and texts that remember where their bytes came from. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/text/tok.h"
#include "libcommon/text/unicode.h"

void ft_textbuf_release(struct ft_textbuf *b)
{
	free(b->s);
	free(b->from);
	free(b->to);
	memset(b, 0, sizeof(*b));
}

static void room(struct ft_textbuf *b, size_t more)
{
	size_t cap = b->cap;

	FT_GROW(b->s, b->n, b->cap, more);
	if (cap == b->cap)
		return;
	b->from = ft_xrealloc(b->from, b->cap, sizeof(*b->from));
	b->to = ft_xrealloc(b->to, b->cap, sizeof(*b->to));
}

void ft_textbuf_copy(struct ft_textbuf *b, const struct ft_text *t, size_t a,
		     size_t z)
{
	size_t n = z - a;

	if (!n)
		return;
	room(b, n);
	memcpy(b->s + b->n, t->s + a, n);
	if (t->from) {
		memcpy(b->from + b->n, t->from + a, n * sizeof(*t->from));
		memcpy(b->to + b->n, t->to + a, n * sizeof(*t->to));
	} else {
		for (size_t i = 0; i < n; i++) {
			b->from[b->n + i] = t->base + (uint32_t)(a + i);
			b->to[b->n + i] = t->base + (uint32_t)(a + i) + 1;
		}
	}
	b->n += n;
}

void ft_textbuf_put(struct ft_textbuf *b, const struct ft_bytes *s,
		    uint32_t from, uint32_t to)
{
	if (!s->n)
		return;
	room(b, s->n);
	memcpy(b->s + b->n, s->s, s->n);
	for (size_t i = 0; i < s->n; i++) {
		b->from[b->n + i] = from;
		b->to[b->n + i] = to;
	}
	b->n += s->n;
}

struct ft_text ft_textbuf_text(const struct ft_textbuf *b)
{
	return (struct ft_text){b->s, b->n, b->from, b->to, 0};
}

/* What is put before a text counts as made from its first character. */
static void prepend(const struct ft_norm *v, const struct ft_text *t,
		    struct ft_textbuf *b)
{
	const char *s = t->s;

	ft_utf8_next(&s);
	ft_textbuf_put(b, &v->content, ft_text_from(t, 0),
		       ft_text_to(t, (size_t)(s - t->s) - 1));
	ft_textbuf_copy(b, t, 0, t->n);
}

/* What replaces a string counts as made from its last character. */
static void replace(const struct ft_norm *v, const struct ft_text *t,
		    struct ft_textbuf *b)
{
	size_t at = 0, k = v->pattern.n, last = k - 1;
	const char *p;

	while (last && (v->pattern.s[last] & 0xc0) == 0x80)
		last--;
	while ((p = memmem(t->s + at, t->n - at, v->pattern.s, k))) {
		size_t i = (size_t)(p - t->s);

		ft_textbuf_copy(b, t, at, i);
		ft_textbuf_put(b, &v->content, ft_text_from(t, i + last),
			       ft_text_to(t, i + k - 1));
		at = i + k;
	}
	ft_textbuf_copy(b, t, at, t->n);
}

void ft_norm_run(const struct ft_norm *v, size_t n, struct ft_tok_ctx *c,
		 struct ft_text *t)
{
	for (size_t i = 0; i < n && t->n; i++) {
		struct ft_textbuf *b = &c->norm[i & 1];

		b->n = 0;
		if (v[i].kind == FT_NORM_PREPEND)
			prepend(&v[i], t, b);
		else
			replace(&v[i], t, b);
		*t = ft_textbuf_text(b);
	}
}
