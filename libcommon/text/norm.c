/* SPDX-License-Identifier: MIT */
/* Normalizers, and texts that remember where their bytes came from. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/text/normal.h"
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

/* --- by character --------------------------------------------------------- */

/* Where a changed text is read and written, as the package keeps count. */
struct edit {
	const struct ft_text *t;
	size_t at;
	struct ft_textbuf *b;
};

static size_t char_at(const struct ft_text *t, size_t i, uint32_t *cp)
{
	const char *p = t->s + i;

	*cp = ft_utf8_next(&p);
	return (size_t)(p - t->s) - i;
}

/*
 * Write cp.  change 1: it is new and counts as made from the character before;
 * 0: it stands for the next one; -n: for that one, and n more go away.
 */
static void put(struct edit *e, uint32_t cp, int32_t change)
{
	const struct ft_text *t = e->t;
	size_t from = e->at, to, skip;
	char u[4];
	struct ft_bytes s = {u, ft_utf8_put(u, cp)};
	uint32_t old;

	if (change > 0 && from) {
		to = from;
		from = (size_t)(ft_utf8_prev(t->s + from) - t->s);
	} else {
		to = from + char_at(t, from, &old);
	}
	ft_textbuf_put(e->b, &s, ft_text_from(t, from), ft_text_to(t, to - 1));
	if (change > 0)
		return;
	for (e->at = to; change; change++) {
		skip = char_at(t, e->at, &old);
		e->at += skip;
	}
}

/* --- normalization forms -------------------------------------------------- */

struct ft_nf_char {
	uint32_t cp;
	int32_t change;
	unsigned class;
};

/* Sort by class; those of one class stay in their order. */
static void sort_marks(struct ft_nf_char *v, size_t n)
{
	enum { FEW = 32 };
	struct ft_nf_char *w;
	size_t at[257] = {0};

	if (n <= FEW) {
		for (size_t i = 1; i < n; i++) {
			struct ft_nf_char x = v[i];
			size_t k = i;

			for (; k && v[k - 1].class > x.class; k--)
				v[k] = v[k - 1];
			v[k] = x;
		}
		return;
	}
	w = ft_xmalloc(n * sizeof(*w));
	memcpy(w, v, n * sizeof(*w));
	for (size_t i = 0; i < n; i++)
		at[w[i].class + 1]++;
	for (size_t i = 0; i < 256; i++)
		at[i + 1] += at[i];
	for (size_t i = 0; i < n; i++)
		v[at[w[i].class]++] = w[i];
	free(w);
}

/* Decompose [a, z) of t into c->nf, in canonical order. */
static size_t decompose(struct ft_tok_ctx *c, const struct ft_text *t, size_t a,
			size_t z, bool compat)
{
	size_t n = 0, starter = 0;

	while (a < z) {
		uint32_t cp, to[FT_NORMAL_MAX];
		size_t m;

		a += char_at(t, a, &cp);
		m = ft_normal_decompose(cp, compat, to);
		FT_GROW(c->nf, n, c->capnf, m);
		for (size_t i = 0; i < m; i++, n++) {
			unsigned class = ft_normal_class(to[i]);

			c->nf[n] = (struct ft_nf_char){to[i], i > 0, class};
			if (class)
				continue;
			sort_marks(c->nf + starter, n - starter);
			starter = n;
		}
	}
	sort_marks(c->nf + starter, n - starter);
	return n;
}

/* Compose n characters where they are; how many are left. */
static size_t compose(struct ft_nf_char *v, size_t n)
{
	size_t m = 0, starter = SIZE_MAX;
	unsigned last = 0; /* class of what stands between, 0: nothing does */

	for (size_t i = 0; i < n; i++) {
		struct ft_nf_char x = v[i];
		uint32_t cp = 0;

		if (starter != SIZE_MAX && (!last || last < x.class))
			cp = ft_normal_compose(v[starter].cp, x.cp);
		if (cp) {
			v[starter].cp = cp;
			v[starter].change += x.change - 1;
			continue;
		}
		if (!x.class)
			starter = m;
		last = starter == SIZE_MAX ? 0 : x.class;
		v[m++] = x;
	}
	return m;
}

/* Does the character stay as it is, whatever stands before it? */
static bool stable(uint32_t cp, int kind)
{
	if (kind == FT_NORM_NFC)
		return !(ft_uc(cp) & FT_UC_NFC);
	return cp < 0xa0;
}

/* The first character from i on that may change. */
static size_t next_unstable(const struct ft_text *t, size_t i, int kind)
{
	/* lead bytes of what is below U+0300, U+0080 */
	unsigned low = kind == FT_NORM_NFC ? 0xcc : 0x80;

	while (i < t->n) {
		uint32_t cp;
		size_t k;

		if ((unsigned char)t->s[i] < low) {
			i++;
			continue;
		}
		k = char_at(t, i, &cp);
		if (!stable(cp, kind))
			break;
		i += k;
	}
	return i;
}

/* NFC, NFD, NFKC or NFKD; false when nothing changes. */
static bool normal_form(struct ft_tok_ctx *c, int kind, const struct ft_text *t,
			struct ft_textbuf *b)
{
	bool compat = kind == FT_NORM_NFKC || kind == FT_NORM_NFKD;
	struct edit e = {t, 0, b};
	size_t z = next_unstable(t, 0, kind);

	if (z == t->n)
		return false;
	while (z < t->n) {
		size_t a = z, n;
		uint32_t cp;

		/* what stands before it may be composed with it */
		if (a > e.at)
			a = (size_t)(ft_utf8_prev(t->s + a) - t->s);
		ft_textbuf_copy(b, t, e.at, a);
		e.at = a;
		for (a = z; z < t->n; z += n) {
			n = char_at(t, z, &cp);
			if (stable(cp, kind))
				break;
		}
		n = decompose(c, t, e.at, z, compat);
		if (kind == FT_NORM_NFC || kind == FT_NORM_NFKC)
			n = compose(c->nf, n);
		for (size_t i = 0; i < n; i++)
			put(&e, c->nf[i].cp, c->nf[i].change);
		e.at = z;
		z = next_unstable(t, z, kind);
	}
	ft_textbuf_copy(b, t, e.at, t->n);
	return true;
}

/* --- the others ----------------------------------------------------------- */

/* What is put before a text counts as made from its first character. */
static bool prepend(const struct ft_norm *v, const struct ft_text *t,
		    struct ft_textbuf *b)
{
	uint32_t cp;

	ft_textbuf_put(b, &v->content, ft_text_from(t, 0),
		       ft_text_to(t, char_at(t, 0, &cp) - 1));
	ft_textbuf_copy(b, t, 0, t->n);
	return true;
}

/* What replaces a string counts as made from its last character. */
static bool replace(const struct ft_norm *v, struct ft_tok_ctx *c,
		    const struct ft_text *t, struct ft_textbuf *b)
{
	const char *end = t->s + t->n, *p = t->s, *a, *z;

	ft_pattern_begin(&v->pattern, &c->run, t->s, end);
	if (!ft_pattern_next(&v->pattern, &c->run, p, end, &a, &z))
		return false;
	do {
		size_t last = (size_t)(ft_utf8_prev(z) - t->s);

		ft_textbuf_copy(b, t, (size_t)(p - t->s), (size_t)(a - t->s));
		ft_textbuf_put(b, &v->content, ft_text_from(t, last),
			       ft_text_to(t, (size_t)(z - t->s) - 1));
		p = z;
	} while (ft_pattern_next(&v->pattern, &c->run, p, end, &a, &z));
	ft_textbuf_copy(b, t, (size_t)(p - t->s), t->n);
	return true;
}

static void strip(const struct ft_norm *v, struct ft_text *t)
{
	size_t a = 0, z = t->n;
	uint32_t cp;

	while (v->left && a < z) {
		size_t k = char_at(t, a, &cp);

		if (!(ft_uc(cp) & FT_UC_S))
			break;
		a += k;
	}
	while (v->right && z > a) {
		size_t i = (size_t)(ft_utf8_prev(t->s + z) - t->s);

		char_at(t, i, &cp);
		if (!(ft_uc(cp) & FT_UC_S))
			break;
		z = i;
	}
	t->s += a;
	t->n = z - a;
	if (t->from) {
		t->from += a;
		t->to += a;
	} else {
		t->base += (uint32_t)a;
	}
}

static bool strip_accents(const struct ft_text *t, struct ft_textbuf *b)
{
	size_t from = 0;

	for (size_t i = 0, k; i < t->n; i += k) {
		uint32_t cp;

		k = char_at(t, i, &cp);
		if (!(ft_uc(cp) & FT_UC_MARK))
			continue;
		ft_textbuf_copy(b, t, from, i);
		from = i + k;
	}
	ft_textbuf_copy(b, t, from, t->n);
	return true;
}

static bool lower_case(const struct ft_text *t, struct ft_textbuf *b)
{
	struct edit e = {t, 0, b};

	while (e.at < t->n) {
		uint32_t cp, to[FT_NORMAL_MAX];
		size_t k = char_at(t, e.at, &cp), n;

		if (!(ft_uc(cp) & FT_UC_CASED)) {
			ft_textbuf_copy(b, t, e.at, e.at + k);
			e.at += k;
			continue;
		}
		n = ft_normal_lower(cp, to);
		for (size_t i = 0; i < n; i++)
			put(&e, to[i], i > 0);
	}
	return true;
}

void ft_norm_letters(const struct ft_text *t, size_t a, size_t z,
		     struct ft_textbuf *b)
{
	while (a < z) {
		uint32_t cp;
		size_t k = char_at(t, a, &cp);

		for (size_t i = 0; i < k; i++) {
			unsigned char byte = (unsigned char)t->s[a + i];
			char u[4];
			struct ft_bytes s = {
				u, ft_utf8_put(u, ft_byte_letter(byte))};

			ft_textbuf_put(b, &s, ft_text_from(t, a),
				       ft_text_to(t, a + k - 1));
		}
		a += k;
	}
}

/* --- the chain ------------------------------------------------------------ */

/* Into b; false when t stays what it is, or was made it in place. */
static bool run(const struct ft_norm *v, struct ft_tok_ctx *c,
		struct ft_text *t, struct ft_textbuf *b)
{
	switch (v->kind) {
	case FT_NORM_PREPEND:
		return prepend(v, t, b);
	case FT_NORM_REPLACE:
		return replace(v, c, t, b);
	case FT_NORM_NFC:
	case FT_NORM_NFD:
	case FT_NORM_NFKC:
	case FT_NORM_NFKD:
		return normal_form(c, (int)v->kind, t, b);
	case FT_NORM_STRIP:
		strip(v, t);
		return false;
	case FT_NORM_STRIP_ACCENTS:
		return strip_accents(t, b);
	case FT_NORM_LOWERCASE:
		return lower_case(t, b);
	case FT_NORM_LETTERS:
		ft_norm_letters(t, 0, t->n, b);
		return true;
	}
	return false;
}

void ft_norm_run(const struct ft_norm *v, size_t n, struct ft_tok_ctx *c,
		 struct ft_text *t)
{
	struct ft_textbuf *b = c->norm;

	for (size_t i = 0; i < n && t->n; i++) {
		b->n = 0;
		if (!run(&v[i], c, t, b))
			continue;
		*t = ft_textbuf_text(b);
		b = b == c->norm ? c->norm + 1 : c->norm;
	}
}
