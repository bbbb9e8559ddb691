/* SPDX-License-Identifier: MIT */
/* Ids to text: the chain of decoders, over a list of strings. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/text/tok.h"
#include "libcommon/text/unicode.h"

static const char bad_char[] = "\xef\xbf\xbd"; /* U+FFFD */

/* A list of strings: string i is s[end[i - 1] .. end[i]). */
struct list {
	struct ft_str s;
	size_t *end;
	size_t n, cap;
};

static void end_string(struct list *v)
{
	FT_GROW(v->end, v->n, v->cap, 1);
	v->end[v->n++] = v->s.n;
}

static struct ft_bytes string(const struct list *v, size_t i)
{
	size_t a = i ? v->end[i - 1] : 0;

	return (struct ft_bytes){ft_str_cstr(&v->s) + a, v->end[i] - a};
}

static void list_clear(struct list *v)
{
	ft_str_clear(&v->s);
	v->n = 0;
}

static void list_release(struct list *v)
{
	ft_str_release(&v->s);
	free(v->end);
}

/* --- bytes ---------------------------------------------------------------- */

/* Bytes that a string of GPT-2's letters spells; false if it is none. */
static bool spelled(const struct ft_bytes *w, struct ft_str *out)
{
	const char *p = w->s, *end = p + w->n;
	size_t n = out->n;

	while (p < end) {
		int byte = ft_letter_byte(ft_utf8_next(&p));

		if (byte < 0) {
			out->n = n;
			return false;
		}
		ft_str_addc(out, (char)byte);
	}
	return true;
}

static void add_valid(struct ft_str *out, const char *s, size_t n)
{
	while (n) {
		size_t k = ft_utf8_valid(s, n);

		ft_str_add(out, s, k);
		s += k;
		n -= k;
		if (!n)
			break;
		ft_str_add(out, bad_char, 3);
		k = ft_utf8_bad(s, n);
		s += k;
		n -= k;
	}
}

static void byte_level(const struct list *in, struct list *out)
{
	struct ft_str bytes = {0};

	for (size_t i = 0; i < in->n; i++) {
		struct ft_bytes w = string(in, i);

		if (!spelled(&w, &bytes))
			ft_str_add(&bytes, w.s, w.n);
	}
	add_valid(&out->s, ft_str_cstr(&bytes), bytes.n);
	end_string(out);
	ft_str_release(&bytes);
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte of "<0x41>" (or, as Rust reads numbers, "<0x+1>"), or -1. */
static int byte_of(const struct ft_bytes *w)
{
	int hi, lo;

	if (w->n != 6 || memcmp(w->s, "<0x", 3) || w->s[5] != '>')
		return -1;
	hi = w->s[3] == '+' ? 0 : hex(w->s[3]);
	lo = hex(w->s[4]);
	return hi < 0 || lo < 0 ? -1 : hi << 4 | lo;
}

/* A run of bytes is a string as a whole, or as many U+FFFD. */
static void flush_bytes(struct ft_str *bytes, struct list *out)
{
	if (!bytes->n)
		return;
	if (ft_utf8_valid(bytes->s, bytes->n) == bytes->n) {
		ft_str_add(&out->s, bytes->s, bytes->n);
		end_string(out);
	} else {
		for (size_t i = 0; i < bytes->n; i++) {
			ft_str_add(&out->s, bad_char, 3);
			end_string(out);
		}
	}
	ft_str_clear(bytes);
}

static void byte_fallback(const struct list *in, struct list *out)
{
	struct ft_str bytes = {0};

	for (size_t i = 0; i < in->n; i++) {
		struct ft_bytes w = string(in, i);
		int byte = byte_of(&w);

		if (byte >= 0) {
			ft_str_addc(&bytes, (char)byte);
			continue;
		}
		flush_bytes(&bytes, out);
		ft_str_add(&out->s, w.s, w.n);
		end_string(out);
	}
	flush_bytes(&bytes, out);
	ft_str_release(&bytes);
}

/* --- strings -------------------------------------------------------------- */

static void replace(const struct ft_bytes *w, const struct ft_pattern *pattern,
		    const struct ft_bytes *content, struct ft_str *out)
{
	const char *p = w->s, *end = p + w->n, *a, *z;
	struct ft_regex_run run = {0};

	ft_pattern_begin(pattern, &run, p, end);
	while (ft_pattern_next(pattern, &run, p, end, &a, &z)) {
		ft_str_add(out, p, (size_t)(a - p));
		ft_str_add(out, content->s, content->n);
		p = z;
	}
	ft_str_add(out, p, (size_t)(end - p));
	ft_regex_run_release(&run);
}

static void strip(const struct ft_decoder *d, struct ft_bytes w,
		  struct ft_str *out)
{
	const struct ft_bytes *c = &d->content;

	for (size_t i = 0; i < d->start && w.n >= c->n; i++) {
		if (memcmp(w.s, c->s, c->n))
			break;
		w.s += c->n;
		w.n -= c->n;
	}
	for (size_t i = 0; i < d->stop && w.n >= c->n; i++) {
		if (memcmp(w.s + w.n - c->n, c->s, c->n))
			break;
		w.n -= c->n;
	}
	ft_str_add(out, w.s, w.n);
}

static void each_string(const struct ft_decoder *d, const struct list *in,
			struct list *out)
{
	static const struct ft_bytes nothing = {"", 0};

	for (size_t i = 0; i < in->n; i++) {
		struct ft_bytes w = string(in, i);

		if (d->kind == FT_DEC_STRIP)
			strip(d, w, &out->s);
		else if (d->kind == FT_DEC_METASPACE && !i && !d->keep_first)
			replace(&w, &d->pattern, &nothing, &out->s);
		else
			replace(&w, &d->pattern, &d->content, &out->s);
		end_string(out);
	}
}

static void decode_step(const struct ft_decoder *d, const struct list *in,
			struct list *out)
{
	switch (d->kind) {
	case FT_DEC_BYTELEVEL:
		byte_level(in, out);
		break;
	case FT_DEC_BYTEFALLBACK:
		byte_fallback(in, out);
		break;
	case FT_DEC_FUSE:
		ft_str_add(&out->s, ft_str_cstr(&in->s), in->s.n);
		end_string(out);
		break;
	case FT_DEC_REPLACE:
	case FT_DEC_STRIP:
	case FT_DEC_METASPACE:
		each_string(d, in, out);
		break;
	}
}

/* --- the interface -------------------------------------------------------- */

int ft_tok_decode(const struct ft_tok *k, const int32_t *id, size_t n,
		  bool skip, struct ft_str *out, struct ft_err *err)
{
	struct list v[2] = {0};
	size_t cur = 0;
	int rc = 0;

	for (size_t i = 0; i < n && !rc; i++) {
		size_t at = (size_t)id[i];

		if (id[i] < 0)
			rc = ft_err_set(err, FT_EXIT_DATA, "id %d is negative",
					(int)id[i]);
		else if (at < k->nword && k->word[at].s &&
			 !(skip && k->special[at])) {
			if (!k->has_decoder && v[0].n)
				ft_str_addc(&v[0].s, ' ');
			ft_str_add(&v[0].s, k->word[at].s, k->word[at].n);
			end_string(&v[0]);
		}
	}
	for (size_t i = 0; i < k->ndec && !rc; i++) {
		list_clear(&v[!cur]);
		decode_step(&k->dec[i], &v[cur], &v[!cur]);
		cur = !cur;
	}
	if (!rc)
		ft_str_add(out, ft_str_cstr(&v[cur].s), v[cur].s.n);
	list_release(&v[0]);
	list_release(&v[1]);
	return rc;
}

/* One token through one decoder; false when it leaves it as it is. */
static bool piece_step(const struct ft_decoder *d, const struct ft_bytes *w,
		       struct ft_str *out)
{
	int byte;

	switch (d->kind) {
	case FT_DEC_BYTELEVEL:
		return spelled(w, out);
	case FT_DEC_BYTEFALLBACK:
		byte = byte_of(w);
		if (byte >= 0)
			ft_str_addc(out, (char)byte);
		return byte >= 0;
	case FT_DEC_REPLACE:
	case FT_DEC_METASPACE:
		replace(w, &d->pattern, &d->content, out);
		return true;
	case FT_DEC_FUSE:
	case FT_DEC_STRIP:
		break;
	}
	return false;
}

void ft_tok_piece(const struct ft_tok *k, int32_t id, struct ft_str *out)
{
	struct ft_str s[2] = {0};
	struct ft_bytes w;
	size_t cur = 0;

	if (id < 0 || (size_t)id >= k->nword || !k->word[id].s)
		return;
	w = k->word[id];
	for (size_t i = 0; i < k->ndec; i++) {
		ft_str_clear(&s[cur]);
		if (!piece_step(&k->dec[i], &w, &s[cur]))
			continue;
		w = (struct ft_bytes){ft_str_cstr(&s[cur]), s[cur].n};
		cur = !cur;
	}
	ft_str_add(out, w.s, w.n);
	ft_str_release(&s[0]);
	ft_str_release(&s[1]);
}
