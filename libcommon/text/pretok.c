/* SPDX-License-Identifier: MIT */
/* Pre-tokenizers: a text, maybe changed, cut into the pieces that BPE sees. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/text/tok.h"
#include "libcommon/text/unicode.h"

/* Who gets the pieces of a text, [a, z) of it. */
struct sink {
	const struct ft_tok *k;
	struct ft_tok_ctx *c;
	const struct ft_text *t;
	struct ft_spans *spans; /* the next in the chain, or NULL */
	struct ft_ids *out;     /* then this gets the ids of the pieces */
};

static void add_span(struct ft_spans *v, size_t a, size_t z)
{
	FT_GROW(v->v, v->n, v->cap, 1);
	v->v[v->n++] = (struct ft_span){a, z};
}

static void piece(const struct sink *k, const char *a, const char *z)
{
	size_t at = (size_t)(a - k->t->s);

	if (a == z)
		return;
	if (k->spans)
		add_span(k->spans, at, at + (size_t)(z - a));
	else
		ft_bpe_encode(&k->k->bpe, &k->c->bpe, a, (size_t)(z - a),
			      k->t->base + (uint32_t)at, k->out);
}

/* --- Split ---------------------------------------------------------------- */

/* A stretch of text that the pattern matches, or one that it does not. */
struct stretch {
	const char *a, *z;
	bool match;
};

/*
 * Behaviours that join a match to what stands beside it: last is what came
 * before and is not yet a piece (a NULL: nothing).
 */
static void join(const struct sink *k, const struct ft_pretok *v,
		 struct stretch s, struct stretch *last, bool *before)
{
	bool same = s.match == *before, glue = false;

	switch (v->behaviour) {
	case FT_SPLIT_CONTIGUOUS:
		glue = same;
		break;
	case FT_SPLIT_PREVIOUS:
		glue = s.match && !*before;
		break;
	case FT_SPLIT_NEXT:
		glue = !s.match && *before;
		break;
	case FT_SPLIT_REMOVED:
	case FT_SPLIT_ISOLATED:
		break;
	}
	*before = s.match;
	if (glue && last->a) {
		last->z = s.z;
		return;
	}
	if (last->a)
		piece(k, last->a, last->z);
	*last = s;
}

static void split(const struct sink *k, const struct ft_pretok *v,
		  const char *p, const char *end)
{
	struct ft_regex_run *r = &k->c->run;
	struct stretch last = {0};
	bool before = false, more;

	ft_pattern_begin(&v->pattern, r, p, end);
	while (p < end) {
		struct stretch s[2] = {{p, end, v->invert},
				       {end, end, !v->invert}};

		more = ft_pattern_next(&v->pattern, r, p, end, &s[1].a,
				       &s[1].z);
		s[0].z = more ? s[1].a : end;
		for (int i = 0; i < 1 + more; i++) {
			if (s[i].a == s[i].z)
				continue;
			if (v->behaviour > FT_SPLIT_ISOLATED)
				join(k, v, s[i], &last, &before);
			else if (v->behaviour == FT_SPLIT_ISOLATED ||
				 !s[i].match)
				piece(k, s[i].a, s[i].z);
		}
		p = more ? s[1].z : end;
	}
	if (last.a)
		piece(k, last.a, last.z);
}

/* --- cutting -------------------------------------------------------------- */

/* A piece begins at each mark. */
static void cut_marks(const struct sink *k, const struct ft_bytes *mark,
		      const char *p, const char *end)
{
	while (p < end) {
		const char *q = p;

		ft_utf8_next(&q);
		q = memmem(q, (size_t)(end - q), mark->s, mark->n);
		q = q ? q : end;
		piece(k, p, q);
		p = q;
	}
}

static void cut_fixed(const struct sink *k, size_t count, const char *p,
		      const char *end)
{
	while (p < end) {
		const char *q = p;

		for (size_t i = 0; i < count && q < end; i++)
			ft_utf8_next(&q);
		piece(k, p, q);
		p = q;
	}
}

static void cut(const struct sink *k, const struct ft_pretok *v, size_t a,
		size_t z)
{
	const char *p = k->t->s + a, *end = k->t->s + z;

	switch (v->kind) {
	case FT_PRE_SCAN:
		while (p < end) {
			const char *q = v->scan(p, end);

			piece(k, p, q);
			p = q;
		}
		break;
	case FT_PRE_SPLIT:
		split(k, v, p, end);
		break;
	case FT_PRE_FIXED:
		cut_fixed(k, v->count, p, end);
		break;
	case FT_PRE_METASPACE:
		if (v->split) {
			cut_marks(k, &v->mark, p, end);
			break;
		}
		/* fall through */
	case FT_PRE_BYTELEVEL:
	case FT_PRE_LETTERS:
		piece(k, p, end);
		break;
	}
}

/* --- changes of the text -------------------------------------------------- */

static bool changes(const struct ft_pretok *v)
{
	return v->kind == FT_PRE_METASPACE || v->kind == FT_PRE_LETTERS ||
	       v->prefix_space;
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
		} else if (v->kind == FT_PRE_LETTERS) {
			ft_norm_letters(t, s.a, s.z, b);
		} else {
			if (t->s[s.a] != ' ')
				put_first(b, t, &space, s.a);
			ft_textbuf_copy(b, t, s.a, s.z);
		}
		spans->v[i] = (struct ft_span){a, b->n};
	}
}

/* --- the chain ------------------------------------------------------------ */

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

/* Without a pre-tokenizer the text is one piece. */
static const struct ft_pretok whole = {.kind = FT_PRE_BYTELEVEL};

static void chain(const struct ft_tok *k, struct ft_tok_ctx *c,
		  const struct ft_text *text, size_t a, size_t z,
		  struct ft_ids *out)
{
	const struct ft_pretok *v = k->npre ? k->pre : &whole;
	struct ft_text t = *text;
	struct sink sink = {k, c, &t, NULL, out};
	size_t from = out->n, n = k->npre ? k->npre : 1, cur = 0, nbuf = 0;

	if (n == 1 && !changes(v)) {
		cut(&sink, v, a, z);
		map_offsets(&t, out, from);
		return;
	}
	c->spans[0].n = 0;
	add_span(&c->spans[0], a, z);
	for (size_t i = 0; i < n; i++, v++) {
		struct ft_spans *in = &c->spans[cur];

		if (changes(v)) {
			struct ft_textbuf *b = &c->pre[nbuf++ & 1];

			change(v, &t, in, b);
			t = ft_textbuf_text(b);
		}
		cur = !cur;
		c->spans[cur].n = 0;
		sink.spans = i + 1 < n ? &c->spans[cur] : NULL;
		for (size_t j = 0; j < in->n; j++)
			cut(&sink, v, in->v[j].a, in->v[j].z);
	}
	map_offsets(&t, out, from);
}

/* --- plain text ----------------------------------------------------------- */

static bool is_split(const struct ft_pretok *v, const char *regex)
{
	return v->kind == FT_PRE_SPLIT && v->pattern.kind == FT_PAT_REGEX &&
	       v->behaviour == FT_SPLIT_ISOLATED && !v->invert &&
	       v->pattern.string.n == strlen(regex) &&
	       !memcmp(v->pattern.string.s, regex, v->pattern.string.n);
}

static bool is_scan(const struct ft_pretok *v, ft_scan_fn *scan)
{
	return v->kind == FT_PRE_SCAN && v->scan == scan && !changes(v);
}

static bool is_deepseek(const struct ft_pretok *v)
{
	return is_split(v, "[\r\n]") && is_split(v + 1, "\\s?\\p{L}+") &&
	       is_split(v + 2, "\\s?\\p{P}+") &&
	       is_split(v + 3, "[一-龥ࠀ-一가-퟿]+") &&
	       is_scan(v + 4, ft_scan_digit);
}

static bool is_string(const struct ft_bytes *v, const char *s)
{
	return v->n == strlen(s) && !memcmp(v->s, s, v->n);
}

static bool is_blank_pattern(const struct ft_pattern *v)
{
	return v->kind == FT_PAT_STRING && is_string(&v->string, " ");
}

/*
 * Llama's normalizers (maybe Prepend, then Replace), Gemma's Replace with a
 * Split that no longer finds a blank, or Mistral's Metaspace.
 */
static bool only_blanks(const struct ft_tok *k)
{
	const struct ft_norm *v = k->norm;
	size_t n = k->nnorm;

	if (!n)
		return k->npre == 1 && k->pre->kind == FT_PRE_METASPACE &&
		       !k->pre->split && is_string(&k->pre->mark, "▁");
	if (n == 2 && v->kind == FT_NORM_PREPEND) {
		v++;
		n--;
	}
	if (n != 1 || v->kind != FT_NORM_REPLACE ||
	    !is_blank_pattern(&v->pattern) || !is_string(&v->content, "▁"))
		return false;
	return !k->npre ||
	       (k->npre == 1 && k->pre->kind == FT_PRE_SPLIT &&
		is_blank_pattern(&k->pre->pattern) && !k->pre->invert);
}

void ft_pretok_ready(struct ft_tok *k)
{
	const struct ft_pretok *v = k->pre;
	size_t n = 0;

	for (size_t i = 0; i < k->npre; i++)
		if (k->pre[i].kind != FT_PRE_BYTELEVEL || changes(&k->pre[i]))
			k->pre[n++] = k->pre[i];
	k->npre = n;
	k->blanks = !k->bpe.byte_level && !k->added.normalized.any &&
		    only_blanks(k) && ft_bpe_read_blanks(&k->bpe);
	k->masks = ft_masks_best();
	if (n == 1 && is_scan(v, ft_scan_gpt2))
		k->window = ft_window_gpt2;
	else if (n == 1 && is_scan(v, ft_scan_qwen))
		k->window = ft_window_qwen;
	else if (n == 1 && is_scan(v, ft_scan_llama3))
		k->window = ft_window_llama3;
	else if (n == 2 && is_scan(v, ft_scan_digit) &&
		 is_scan(v + 1, ft_scan_gpt2))
		k->window = ft_window_starcoder;
	else if (n == 5 && is_deepseek(v))
		k->window = ft_window_deepseek;
}

void ft_pretok_run(const struct ft_tok *k, struct ft_tok_ctx *c,
		   const struct ft_text *t, size_t a, size_t z,
		   struct ft_ids *out)
{
	enum { BATCH = 512 };
	const char *p = t->s + a, *end = t->s + z;
	uint32_t stop[BATCH];

	if (!k->window) {
		chain(k, c, t, a, z, out);
		return;
	}
	while (p < end) {
		size_t from = out->n, at = (size_t)(p - t->s), n;
		const char *q;

		n = ft_window_cut(k->window, k->masks, p, end, stop, BATCH);
		if (!n) {
			q = ft_window_seam(p, end);
			chain(k, c, t, at, (size_t)(q - t->s), out);
			p = q;
			continue;
		}
		ft_bpe_encode_run(&k->bpe, &c->bpe, p, t->s + t->n, stop, n,
				  t->base + (uint32_t)at, out);
		map_offsets(t, out, from);
		p += stop[n - 1];
	}
}
