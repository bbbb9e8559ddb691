/* SPDX-License-Identifier: MIT */
/* Pre-tokenizers: a text, maybe changed, cut into the pieces that BPE sees. */
#include <string.h>

#include "libcommon/text/tok.h"
#include "libcommon/text/unicode.h"

/* Where the piece that starts at p ends; p < end. */
typedef const char *scan_fn(const struct ft_pretok *v, const char *p,
			    const char *end);

/* --- scanners ------------------------------------------------------------- */

static const char *contraction(const char *p, const char *end)
{
	if (end - p < 2)
		return NULL;
	if (p[1] == 's' || p[1] == 't' || p[1] == 'm' || p[1] == 'd')
		return p + 2;
	if (end - p < 3)
		return NULL;
	if ((p[1] == 'r' && p[2] == 'e') || (p[1] == 'v' && p[2] == 'e') ||
	    (p[1] == 'l' && p[2] == 'l'))
		return p + 3;
	return NULL;
}

/*
 * 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *
 * White space before something else keeps its last character for it.
 */
const char *ft_scan_gpt2(const char *p, const char *end)
{
	enum { CLASS = FT_UC_L | FT_UC_N | FT_UC_S };
	const char *q = p, *last = p;
	unsigned kind;

	if (*p == '\'' && (q = contraction(p, end)))
		return q;
	q = p + (*p == ' ');
	if (q < end) {
		const char *r = q;

		kind = ft_uc(ft_utf8_next(&r)) & CLASS;
		if (!(kind & FT_UC_S)) {
			do
				q = r;
			while (r < end &&
			       (ft_uc(ft_utf8_next(&r)) & CLASS) == kind);
			return q;
		}
	}
	while (q < end) {
		const char *r = q;

		if (!(ft_uc(ft_utf8_next(&r)) & FT_UC_S))
			return last > p ? last : q;
		last = q;
		q = r;
	}
	return end;
}

static const char *scan_gpt2(const struct ft_pretok *v, const char *p,
			     const char *end)
{
	(void)v;
	return ft_scan_gpt2(p, end);
}

static const char *scan_digits(const struct ft_pretok *v, const char *p,
			       const char *end)
{
	unsigned kind = ft_uc(ft_utf8_next(&p)) & FT_UC_NUM;

	while (p < end && !(kind && v->each)) {
		const char *r = p;

		if ((ft_uc(ft_utf8_next(&r)) & FT_UC_NUM) != kind)
			break;
		p = r;
	}
	return p;
}

/* A piece begins at each mark. */
static const char *scan_metaspace(const struct ft_pretok *v, const char *p,
				  const char *end)
{
	const char *q;

	if (!v->split)
		return end;
	ft_utf8_next(&p);
	q = memmem(p, (size_t)(end - p), v->mark.s, v->mark.n);
	return q ? q : end;
}

static const char *scan_all(const struct ft_pretok *v, const char *p,
			    const char *end)
{
	(void)v;
	(void)p;
	return end;
}

static scan_fn *scanner(const struct ft_pretok *v)
{
	switch (v->kind) {
	case FT_PRE_GPT2:
		return scan_gpt2;
	case FT_PRE_DIGITS:
		return scan_digits;
	case FT_PRE_METASPACE:
		return scan_metaspace;
	case FT_PRE_BYTELEVEL:
		break;
	}
	return scan_all;
}

/* --- changes of the text -------------------------------------------------- */

static bool changes(const struct ft_pretok *v)
{
	return v->kind == FT_PRE_METASPACE || v->prefix_space;
}

static void put_first(struct ft_textbuf *b, const struct ft_text *t,
		      const struct ft_bytes *mark, size_t a)
{
	const char *s = t->s + a;

	ft_utf8_next(&s);
	ft_textbuf_put(b, mark, ft_text_from(t, a),
		       ft_text_to(t, (size_t)(s - t->s) - 1));
}

static void metaspace(const struct ft_pretok *v, const struct ft_text *t,
		      struct ft_span s, struct ft_textbuf *b)
{
	bool marked =
		t->s[s.a] == ' ' || (s.z - s.a >= v->mark.n &&
				     !memcmp(t->s + s.a, v->mark.s, v->mark.n));
	size_t at = s.a;
	const char *p;

	if (!marked &&
	    (v->scheme == FT_PREPEND_ALWAYS ||
	     (v->scheme == FT_PREPEND_FIRST && ft_text_from(t, s.a) == 0)))
		put_first(b, t, &v->mark, s.a);
	while ((p = memchr(t->s + at, ' ', s.z - at))) {
		size_t i = (size_t)(p - t->s);

		ft_textbuf_copy(b, t, at, i);
		ft_textbuf_put(b, &v->mark, ft_text_from(t, i),
			       ft_text_to(t, i));
		at = i + 1;
	}
	ft_textbuf_copy(b, t, at, s.z);
}

/* Each span of t is changed and put into b; the spans then are b's. */
static void change(const struct ft_pretok *v, const struct ft_text *t,
		   struct ft_spans *spans, struct ft_textbuf *b)
{
	static const struct ft_bytes space = {" ", 1};

	b->n = 0;
	for (size_t i = 0; i < spans->n; i++) {
		struct ft_span s = spans->v[i];
		size_t a = b->n;

		if (v->kind == FT_PRE_METASPACE) {
			metaspace(v, t, s, b);
		} else {
			if (t->s[s.a] != ' ')
				put_first(b, t, &space, s.a);
			ft_textbuf_copy(b, t, s.a, s.z);
		}
		spans->v[i] = (struct ft_span){a, b->n};
	}
}

/* --- the chain ------------------------------------------------------------ */

static void add_span(struct ft_spans *v, size_t a, size_t z)
{
	FT_GROW(v->v, v->n, v->cap, 1);
	v->v[v->n++] = (struct ft_span){a, z};
}

static void cut(const struct ft_pretok *v, const struct ft_text *t,
		const struct ft_spans *in, struct ft_spans *out)
{
	scan_fn *scan = scanner(v);

	out->n = 0;
	for (size_t i = 0; i < in->n; i++) {
		const char *p = t->s + in->v[i].a, *end = t->s + in->v[i].z;

		while (p < end) {
			const char *q = scan(v, p, end);

			add_span(out, (size_t)(p - t->s), (size_t)(q - t->s));
			p = q;
		}
	}
}

/* Pieces of [a, z) to ids; v NULL: it is one piece. */
static void encode(const struct ft_tok *k, struct ft_tok_ctx *c,
		   const struct ft_pretok *v, const struct ft_text *t, size_t a,
		   size_t z, struct ft_ids *out)
{
	scan_fn *scan = v ? scanner(v) : scan_all;
	const char *p = t->s + a, *end = t->s + z;

	while (p < end) {
		const char *q = scan(v, p, end);

		ft_bpe_encode(&k->bpe, &c->bpe, p, (size_t)(q - p),
			      t->base + (uint32_t)(p - t->s), out);
		p = q;
	}
}

/* Offsets in a changed text to those in the text given. */
static void map_offsets(const struct ft_text *t, struct ft_ids *out, size_t i)
{
	if (!t->from)
		return;
	for (; i < out->n; i++) {
		uint32_t a = out->start[i], z = out->end[i];

		out->end[i] = z > a ? t->to[z - 1] : z ? t->to[z - 1] : 0;
		out->start[i] = z > a ? t->from[a] : out->end[i];
	}
}

void ft_pretok_run(const struct ft_tok *k, struct ft_tok_ctx *c,
		   const struct ft_text *text, size_t a, size_t z,
		   struct ft_ids *out)
{
	const struct ft_pretok *v = k->pre;
	struct ft_text t = *text;
	size_t from = out->n, n = k->npre, cur = 0, nbuf = 0;

	if (!n || (n == 1 && !changes(v))) {
		encode(k, c, n ? v : NULL, &t, a, z, out);
		map_offsets(&t, out, from);
		return;
	}
	c->spans[0].n = 0;
	add_span(&c->spans[0], a, z);
	for (size_t i = 0; i < n; i++, v++) {
		if (changes(v)) {
			struct ft_textbuf *b = &c->pre[nbuf++ & 1];

			change(v, &t, &c->spans[cur], b);
			t = ft_textbuf_text(b);
		}
		if (i + 1 == n)
			break;
		cut(v, &t, &c->spans[cur], &c->spans[!cur]);
		cur = !cur;
	}
	for (size_t i = 0; i < c->spans[cur].n; i++)
		encode(k, c, v, &t, c->spans[cur].v[i].a, c->spans[cur].v[i].z,
		       out);
	map_offsets(&t, out, from);
}
