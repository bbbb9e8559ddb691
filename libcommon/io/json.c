/* SPDX-License-Identifier: MIT */
#include "libcommon/io/json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/hash.h"

enum { MAX_DEPTH = 256, FEW_MEMBERS = 16 };

struct parser {
	const char *start, *p, *end;
	struct ft_arena *a;
	struct ft_err *err;
	/* keys of the objects being read, innermost last */
	struct {
		const struct ft_json **v;
		size_t n, cap;
	} members;
	/* scratch hash table: index into members + 1, by key */
	struct {
		uint32_t *v;
		size_t cap;
	} seen;
};

static int parse_value(struct parser *ps, int depth, struct ft_json *v);

static int bad(struct parser *ps, const char *what)
{
	return ft_err_set(ps->err, FT_EXIT_DATA, "invalid JSON: %s at byte %zu",
			  what, (size_t)(ps->p - ps->start) + 1);
}

static void skip_space(struct parser *ps)
{
	while (ps->p < ps->end && (*ps->p == ' ' || *ps->p == '\t' ||
				   *ps->p == '\n' || *ps->p == '\r'))
		ps->p++;
}

/* --- strings ------------------------------------------------------------- */

static int hex4(const char *p, const char *end)
{
	int x = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int c = (unsigned char)p[i], lower = c | 0x20;

		if (c >= '0' && c <= '9')
			x = x << 4 | (c - '0');
		else if (lower >= 'a' && lower <= 'f')
			x = x << 4 | (lower - 'a' + 10);
		else
			return -1;
	}
	return x;
}

static size_t put_utf8(char *d, uint32_t c)
{
	if (c < 0x80) {
		d[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		d[0] = (char)(0xC0 | c >> 6);
		d[1] = (char)(0x80 | (c & 0x3F));
		return 2;
	}
	if (c < 0x10000) {
		d[0] = (char)(0xE0 | c >> 12);
		d[1] = (char)(0x80 | (c >> 6 & 0x3F));
		d[2] = (char)(0x80 | (c & 0x3F));
		return 3;
	}
	d[0] = (char)(0xF0 | c >> 18);
	d[1] = (char)(0x80 | (c >> 12 & 0x3F));
	d[2] = (char)(0x80 | (c >> 6 & 0x3F));
	d[3] = (char)(0x80 | (c & 0x3F));
	return 4;
}

/* At 'u' of an escape; leaves p behind it, and behind the pair's second. */
static int read_unicode(struct parser *ps, uint32_t *out)
{
	int c = hex4(ps->p + 1, ps->end), low;

	if (c < 0)
		return bad(ps, "bad \\u escape");
	ps->p += 5;
	*out = (uint32_t)c;
	if (c < 0xD800 || c > 0xDFFF)
		return 0;
	if (c > 0xDBFF || ps->end - ps->p < 6 || ps->p[0] != '\\' ||
	    ps->p[1] != 'u')
		return bad(ps, "lone surrogate");
	low = hex4(ps->p + 2, ps->end);
	if (low < 0xDC00 || low > 0xDFFF)
		return bad(ps, "lone surrogate");
	*out = 0x10000 + ((uint32_t)(c - 0xD800) << 10) +
	       (uint32_t)(low - 0xDC00);
	ps->p += 6;
	return 0;
}

static int read_escape(struct parser *ps, char **d)
{
	static const char means[128] = {
		['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
		['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t',
	};
	uint32_t c = 0;

	ps->p++;
	if (ps->p == ps->end)
		return bad(ps, "unterminated string");
	if (*ps->p == 'u') {
		if (read_unicode(ps, &c))
			return -1;
		*d += put_utf8(*d, c);
		return 0;
	}
	c = (unsigned char)*ps->p;
	if (c >= sizeof(means) || !means[c])
		return bad(ps, "bad escape");
	*(*d)++ = means[c];
	ps->p++;
	return 0;
}

/* Are these eight bytes ASCII from the blank on, no quote, no backslash? */
static bool plain8(const char *p)
{
	const uint64_t one = 0x0101010101010101u, top = one << 7;
	uint64_t w, quote, slash;

	memcpy(&w, p, 8);
	quote = w ^ one * '"';
	slash = w ^ one * '\\';
	/* a byte below n borrows; one that is zero does from the last term */
	return !((w | (w - one * ' ') | (quote - one) | (slash - one)) & top);
}

/* Go to the next byte that needs a look: a quote, an escape, the end. */
static int skip_plain(struct parser *ps)
{
	while (ps->p < ps->end) {
		unsigned char c = (unsigned char)*ps->p;
		size_t n;

		if (ps->end - ps->p >= 8 && plain8(ps->p)) {
			ps->p += 8;
			continue;
		}
		if (c == '"' || c == '\\')
			return 0;
		if (c < ' ')
			return bad(ps, "control character in a string");
		n = c < 0x80 ? 1
			     : ft_utf8_len(ps->p, (size_t)(ps->end - ps->p));
		if (!n)
			return bad(ps, "invalid UTF-8");
		ps->p += n;
	}
	return bad(ps, "unterminated string");
}

/* The quote behind p that no backslash escapes, or the end; p is at an escape
   or at plain text. */
static const char *closing_quote(const struct parser *ps)
{
	const char *p = ps->p, *q, *k;

	while ((q = memchr(p, '"', (size_t)(ps->end - p)))) {
		for (k = q; k > p && k[-1] == '\\'; k--)
			;
		if ((q - k) % 2 == 0)
			return q;
		p = q + 1;
	}
	return ps->end;
}

/* At the first escape of a string that began at start: decode it.  Nothing is
   longer decoded than encoded, so the way to the closing quote bounds it. */
static int decode_string(struct parser *ps, const char *start, const char **s,
			 size_t *n)
{
	const char *q = closing_quote(ps), *from = start;
	char *d;

	*s = d = ft_arena_alloc(ps->a, (size_t)(q - start) + 1);
	for (;;) {
		memcpy(d, from, (size_t)(ps->p - from));
		d += ps->p - from;
		if (*ps->p == '"')
			break;
		if (read_escape(ps, &d))
			return -1;
		from = ps->p;
		if (skip_plain(ps))
			return -1;
	}
	*d = 0;
	*n = (size_t)(d - *s);
	return 0;
}

static int parse_string(struct parser *ps, const char **s, size_t *n)
{
	const char *start = ++ps->p;

	if (skip_plain(ps))
		return -1;
	if (*ps->p == '"') {
		*n = (size_t)(ps->p - start);
		*s = ft_arena_strndup(ps->a, start, *n);
	} else if (decode_string(ps, start, s, n)) {
		return -1;
	}
	ps->p++;
	return 0;
}

/* --- numbers ------------------------------------------------------------- */

static bool digit(const struct parser *ps)
{
	return ps->p < ps->end && *ps->p >= '0' && *ps->p <= '9';
}

static int skip_digits(struct parser *ps)
{
	if (!digit(ps))
		return bad(ps, "bad number");
	while (digit(ps))
		ps->p++;
	return 0;
}

static void read_integer(struct ft_json *v)
{
	const char *p = v->raw, *end = p + v->nraw;
	bool neg = *p == '-';
	uint64_t x = 0, limit = (uint64_t)INT64_MAX + neg;

	for (p += neg; p < end; p++) {
		unsigned int d = (unsigned int)(*p - '0');

		if (x > (limit - d) / 10)
			return;
		x = x * 10 + d;
	}
	v->is_int = true;
	v->i = neg ? (int64_t)(0 - x) : (int64_t)x;
}

/* strtod wants an end; the source may have none. */
static int read_real(struct parser *ps, struct ft_json *v)
{
	char small[64], *s = small;

	if (v->nraw >= sizeof(small))
		s = ft_xmalloc(v->nraw + 1);
	memcpy(s, v->raw, v->nraw);
	s[v->nraw] = 0;
	v->num = strtod(s, NULL);
	if (s != small)
		free(s);
	if (isfinite(v->num))
		return 0;
	ps->p = v->raw;
	return bad(ps, "number too large");
}

static int parse_number(struct parser *ps, struct ft_json *v)
{
	const char *start = ps->p;
	bool whole = true;

	v->type = FT_JSON_NUMBER;
	ps->p += *ps->p == '-';
	if (ps->p < ps->end && *ps->p == '0')
		ps->p++;
	else if (skip_digits(ps))
		return -1;
	if (ps->p < ps->end && *ps->p == '.') {
		whole = false;
		ps->p++;
		if (skip_digits(ps))
			return -1;
	}
	if (ps->p < ps->end && (*ps->p == 'e' || *ps->p == 'E')) {
		whole = false;
		ps->p++;
		if (ps->p < ps->end && (*ps->p == '+' || *ps->p == '-'))
			ps->p++;
		if (skip_digits(ps))
			return -1;
	}
	v->raw = start;
	v->nraw = (size_t)(ps->p - start);
	if (whole)
		read_integer(v);
	if (v->is_int && v->i > -(INT64_C(1) << 53) &&
	    v->i < INT64_C(1) << 53) {
		v->num = v->i || *start != '-' ? (double)v->i : -0.0;
		return 0;
	}
	return read_real(ps, v);
}

/* --- arrays and objects -------------------------------------------------- */

static bool same_key(const struct ft_json *a, const struct ft_json *b)
{
	return a->nkey == b->nkey && memcmp(a->key, b->key, a->nkey) == 0;
}

static int duplicate(struct parser *ps, const struct ft_json *v)
{
	ps->p = v->raw;
	return ft_err_set(ps->err, FT_EXIT_DATA,
			  "invalid JSON: duplicate key '%.40s' near byte %zu",
			  v->key, (size_t)(ps->p - ps->start) + 1);
}

static uint64_t hash_key(const struct ft_json *v)
{
	struct ft_xxh64 h;

	ft_xxh64_init(&h);
	ft_xxh64_add(&h, v->key, v->nkey);
	return ft_xxh64_end(&h);
}

/* Linear time on any input that was not made to collide under XXH64, which
   costs its maker more than it costs us. */
static int check_many(struct parser *ps, const struct ft_json **v, size_t n)
{
	size_t size = 64;

	while (size < 2 * n)
		size *= 2;
	if (size > ps->seen.cap) {
		ps->seen.v = ft_xrealloc(ps->seen.v, size, sizeof(*ps->seen.v));
		ps->seen.cap = size;
	}
	memset(ps->seen.v, 0, size * sizeof(*ps->seen.v));
	for (size_t i = 0; i < n; i++) {
		size_t k = hash_key(v[i]) & (size - 1);

		for (; ps->seen.v[k]; k = (k + 1) & (size - 1)) {
			if (same_key(v[ps->seen.v[k] - 1], v[i]))
				return duplicate(ps, v[i]);
		}
		ps->seen.v[k] = (uint32_t)i + 1;
	}
	return 0;
}

static int check_keys(struct parser *ps, size_t first)
{
	const struct ft_json **v = ps->members.v + first;
	size_t n = ps->members.n - first;

	if (n > UINT32_MAX - 1)
		return bad(ps, "too many members");
	if (n > FEW_MEMBERS)
		return check_many(ps, v, n);
	for (size_t i = 1; i < n; i++) {
		for (size_t j = 0; j < i; j++) {
			if (same_key(v[i], v[j]))
				return duplicate(ps, v[i]);
		}
	}
	return 0;
}

static int parse_key(struct parser *ps, struct ft_json *v)
{
	skip_space(ps);
	if (ps->p == ps->end || *ps->p != '"')
		return bad(ps, "member name wanted");
	if (parse_string(ps, &v->key, &v->nkey))
		return -1;
	skip_space(ps);
	if (ps->p == ps->end || *ps->p != ':')
		return bad(ps, "':' wanted");
	ps->p++;
	return 0;
}

/* After an element: 1 another follows, 0 the end, -1. */
static int more(struct parser *ps, char close)
{
	skip_space(ps);
	if (ps->p < ps->end && *ps->p == ',') {
		ps->p++;
		return 1;
	}
	if (ps->p < ps->end && *ps->p == close) {
		ps->p++;
		return 0;
	}
	return bad(ps,
		   close == ']' ? "',' or ']' wanted" : "',' or '}' wanted");
}

static int parse_children(struct parser *ps, int depth, struct ft_json *v,
			  bool object)
{
	struct ft_json **tail = &v->child;
	size_t first = ps->members.n;
	char close = object ? '}' : ']';
	int r = 1;

	if (depth >= MAX_DEPTH)
		return bad(ps, "nested too deeply");
	ps->p++;
	skip_space(ps);
	if (ps->p < ps->end && *ps->p == close) {
		ps->p++;
		return 0;
	}
	while (r > 0) {
		struct ft_json *c = ft_arena_zalloc(ps->a, sizeof(*c));

		if (object && parse_key(ps, c))
			return -1;
		if (parse_value(ps, depth + 1, c))
			return -1;
		if (object) {
			FT_GROW(ps->members.v, ps->members.n, ps->members.cap,
				1);
			ps->members.v[ps->members.n++] = c;
		}
		*tail = c;
		tail = &c->next;
		v->n++;
		r = more(ps, close);
	}
	if (r == 0 && object)
		r = check_keys(ps, first);
	ps->members.n = first;
	return r;
}

static int parse_word(struct parser *ps, struct ft_json *v, const char *word,
		      enum ft_json_type type)
{
	size_t n = strlen(word);

	if ((size_t)(ps->end - ps->p) < n || memcmp(ps->p, word, n) != 0)
		return bad(ps, "unknown word");
	ps->p += n;
	v->type = type;
	return 0;
}

static int parse_value(struct parser *ps, int depth, struct ft_json *v)
{
	int r;

	skip_space(ps);
	if (ps->p == ps->end)
		return bad(ps, "ends too early");
	v->raw = ps->p;
	switch (*ps->p) {
	case '{':
		v->type = FT_JSON_OBJECT;
		r = parse_children(ps, depth, v, true);
		break;
	case '[':
		v->type = FT_JSON_ARRAY;
		r = parse_children(ps, depth, v, false);
		break;
	case '"':
		v->type = FT_JSON_STRING;
		r = parse_string(ps, &v->s, &v->ns);
		break;
	case 't':
		r = parse_word(ps, v, "true", FT_JSON_TRUE);
		break;
	case 'f':
		r = parse_word(ps, v, "false", FT_JSON_FALSE);
		break;
	case 'n':
		r = parse_word(ps, v, "null", FT_JSON_NULL);
		break;
	default:
		if (*ps->p != '-' && !digit(ps))
			return bad(ps, "value wanted");
		r = parse_number(ps, v);
	}
	v->nraw = (size_t)(ps->p - v->raw);
	return r;
}

int ft_json_parse(struct ft_arena *a, const char *s, size_t n,
		  struct ft_json **out, struct ft_err *err)
{
	struct parser ps = {
		.start = s, .p = s, .end = s + n, .a = a, .err = err};
	struct ft_json *v = ft_arena_zalloc(a, sizeof(*v));
	int r = -1;

	*out = NULL;
	if (n >= 3 && memcmp(s, "\xEF\xBB\xBF", 3) == 0) {
		bad(&ps, "starts with a byte order mark");
		goto out;
	}
	if (parse_value(&ps, 0, v))
		goto out;
	skip_space(&ps);
	if (ps.p < ps.end) {
		bad(&ps, "something after the value");
		goto out;
	}
	*out = v;
	r = 0;
out:
	free(ps.members.v);
	free(ps.seen.v);
	return r;
}

/* --- members ------------------------------------------------------------- */

const struct ft_json *ft_json_get(const struct ft_json *o, const char *key)
{
	size_t n = strlen(key);

	if (!o || o->type != FT_JSON_OBJECT)
		return NULL;
	for (const struct ft_json *c = o->child; c; c = c->next) {
		if (c->nkey == n && memcmp(c->key, key, n) == 0)
			return c;
	}
	return NULL;
}

const struct ft_json *ft_json_at(const struct ft_json *array, size_t i)
{
	const struct ft_json *c;

	if (!array || array->type != FT_JSON_ARRAY || i >= array->n)
		return NULL;
	for (c = array->child; i; i--)
		c = c->next;
	return c;
}

/* The member unless absent or null. */
static const struct ft_json *present(const struct ft_json *o, const char *key)
{
	const struct ft_json *v = ft_json_get(o, key);

	return v && v->type != FT_JSON_NULL ? v : NULL;
}

static int not_a(struct ft_err *err, const char *key, const char *what)
{
	return ft_err_set(err, FT_EXIT_DATA, "field '%s' is not %s", key, what);
}

int ft_json_str(const struct ft_json *o, const char *key, const char **s,
		size_t *n, struct ft_err *err)
{
	const struct ft_json *v = present(o, key);

	if (!v)
		return 0;
	if (v->type != FT_JSON_STRING)
		return not_a(err, key, "a string");
	*s = v->s;
	if (n)
		*n = v->ns;
	return 1;
}

int ft_json_int(const struct ft_json *o, const char *key, int64_t *x,
		struct ft_err *err)
{
	const struct ft_json *v = present(o, key);

	if (!v)
		return 0;
	if (v->type != FT_JSON_NUMBER)
		return not_a(err, key, "an integer");
	if (v->is_int) {
		*x = v->i;
		return 1;
	}
	/* 1e6 and 2.0 are integers too, where a double holds them exactly */
	if (v->num != floor(v->num) || fabs(v->num) >= 0x1p53)
		return not_a(err, key, "an integer in range");
	*x = (int64_t)v->num;
	return 1;
}

int ft_json_real(const struct ft_json *o, const char *key, double *x,
		 struct ft_err *err)
{
	const struct ft_json *v = present(o, key);

	if (!v)
		return 0;
	if (v->type != FT_JSON_NUMBER)
		return not_a(err, key, "a number");
	*x = v->num;
	return 1;
}

int ft_json_bool(const struct ft_json *o, const char *key, bool *x,
		 struct ft_err *err)
{
	const struct ft_json *v = present(o, key);

	if (!v)
		return 0;
	if (v->type != FT_JSON_TRUE && v->type != FT_JSON_FALSE)
		return not_a(err, key, "true or false");
	*x = v->type == FT_JSON_TRUE;
	return 1;
}

/* --- printing ------------------------------------------------------------ */

static int by_key(const void *pa, const void *pb)
{
	const struct ft_json *a = *(const struct ft_json *const *)pa;
	const struct ft_json *b = *(const struct ft_json *const *)pb;
	size_t n = a->nkey < b->nkey ? a->nkey : b->nkey;
	int c = n ? memcmp(a->key, b->key, n) : 0;

	return c ? c : (a->nkey > b->nkey) - (a->nkey < b->nkey);
}

static void new_line(struct ft_str *out, int indent, int depth)
{
	if (indent >= 0)
		ft_str_addf(out, "\n%*s", indent * depth, "");
}

static void print_value(const struct ft_json *v, bool sort, int indent,
			int depth, struct ft_str *out)
{
	bool object = v->type == FT_JSON_OBJECT;
	const struct ft_json **c;
	size_t n = 0;

	if ((!object && v->type != FT_JSON_ARRAY) || !v->n) {
		if (object || v->type == FT_JSON_ARRAY)
			ft_str_adds(out, object ? "{}" : "[]");
		else
			ft_str_add(out, v->raw, v->nraw);
		return;
	}
	c = ft_xcalloc(v->n, sizeof(*c));
	for (const struct ft_json *k = v->child; k; k = k->next)
		c[n++] = k;
	if (object && sort)
		qsort(c, n, sizeof(*c), by_key);
	ft_str_addc(out, object ? '{' : '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			ft_str_adds(out, indent < 0 ? ", " : ",");
		new_line(out, indent, depth + 1);
		if (object) {
			ft_str_add_json(out, c[i]->key, c[i]->nkey);
			ft_str_adds(out, ": ");
		}
		print_value(c[i], sort, indent, depth + 1, out);
	}
	new_line(out, indent, depth);
	ft_str_addc(out, object ? '}' : ']');
	free(c);
}

void ft_json_print(const struct ft_json *v, bool sort, int indent,
		   struct ft_str *out)
{
	print_value(v, sort, indent, 0, out);
}
