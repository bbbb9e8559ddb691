/* SPDX-License-Identifier: MIT */
/* A template's text to tokens, with Jinja2's rules of white space. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/text/jinja_priv.h"
#include "libcommon/text/unicode.h"

struct lexer {
	struct ft_arena *a;
	const char *p, *end; /* the text, with '\n' only */
	uint32_t line;
	bool line_start; /* what was read last ended a line */
	struct jtokens *out;
	struct ft_err *err;
};

int jinja_bad(struct ft_err *err, uint32_t line, const char *fmt, ...)
{
	char msg[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	return ft_err_set(err, FT_EXIT_DATA,
			  "chat template, line %" PRIu32 ": %s", line, msg);
}

static const struct {
	char s[3];
	enum jtok kind;
} operators[] = {
	/* longest first */
	{"**", T_POW},     {"//", T_FLOORDIV}, {"==", T_EQ},    {"!=", T_NE},
	{">=", T_GE},      {"<=", T_LE},       {"+", T_ADD},    {"-", T_SUB},
	{"/", T_DIV},      {"*", T_MUL},       {"%", T_MOD},    {"~", T_TILDE},
	{"[", T_LBRACKET}, {"]", T_RBRACKET},  {"(", T_LPAREN}, {")", T_RPAREN},
	{"{", T_LBRACE},   {"}", T_RBRACE},    {">", T_GT},     {"<", T_LT},
	{"=", T_ASSIGN},   {".", T_DOT},       {":", T_COLON},  {"|", T_PIPE},
	{",", T_COMMA},    {";", T_SEMICOLON},
};

const char *jinja_token_name(const struct jtoken *t, char buf[48])
{
	for (size_t i = 0; i < sizeof(operators) / sizeof(*operators); i++)
		if (operators[i].kind == t->kind)
			return operators[i].s;
	switch (t->kind) {
	case T_NAME:
		snprintf(buf, 48, "%.40s", t->s);
		return buf;
	case T_STRING:
		return "string";
	case T_INT:
		return "integer";
	case T_FLOAT:
		return "float";
	case T_PRINT_END:
		return "}}";
	case T_TAG_END:
		return "%}";
	case T_EOF:
		return "end of template";
	default:
		return "text";
	}
}

static struct jtoken *add(struct lexer *l, enum jtok kind, const char *s,
			  size_t n)
{
	struct jtokens *o = l->out;

	FT_GROW(o->v, o->n, o->cap, 1);
	o->v[o->n] =
		(struct jtoken){.kind = kind, .line = l->line, .s = s, .n = n};
	return &o->v[o->n++];
}

static bool at(const struct lexer *l, const char *p, const char *s)
{
	size_t n = strlen(s);

	return (size_t)(l->end - p) >= n && !memcmp(p, s, n);
}

/* Go on to p, counting lines. */
static void go(struct lexer *l, const char *p)
{
	if (p == l->p)
		return;
	for (const char *q = l->p; q < p; q++)
		l->line += *q == '\n';
	l->line_start = p[-1] == '\n';
	l->p = p;
}

static const char *skip_space(const struct lexer *l, const char *p)
{
	const char *q = p;

	while (q < l->end && jc_space(ft_utf8_next(&q)))
		p = q;
	return p;
}

/* Where trailing white space of [s, z) begins. */
static const char *strip_end(const char *s, const char *z)
{
	while (z > s) {
		const char *q = z - 1, *r;

		while (q > s && (*q & 0xc0) == 0x80)
			q--;
		r = q;
		if (!jc_space(ft_utf8_next(&r)))
			break;
		z = q;
	}
	return z;
}

/* Text before a tag: what '-' or lstrip_blocks leave of [s, z). */
static const char *trim_before(const struct lexer *l, const char *s,
			       const char *z, char sign, bool print)
{
	const char *nl = z, *keep;

	if (sign == '-')
		return strip_end(s, z);
	if (sign == '+' || print)
		return z;
	while (nl > s && nl[-1] != '\n')
		nl--;
	if (nl == s && !l->line_start)
		return z;
	keep = strip_end(nl, z);
	return keep == nl ? nl : z;
}

static void put_data(struct lexer *l, const char *s, const char *z)
{
	if (z > s)
		add(l, T_DATA, s, (size_t)(z - s));
}

/* --- inside of tags ------------------------------------------------------- */

static bool digit(const char *p, const char *end)
{
	return p < end && *p >= '0' && *p <= '9';
}

/* Digits that may have single underscores between them. */
static const char *digits(const char *p, const char *end)
{
	while (digit(p, end) || (*p == '_' && digit(p + 1, end) && p < end))
		p++;
	return p;
}

static const char *exponent(const char *p, const char *end)
{
	const char *q = p;

	if (q < end && (*q == 'e' || *q == 'E')) {
		q++;
		if (q < end && (*q == '+' || *q == '-'))
			q++;
		if (digit(q, end))
			return digits(q, end);
	}
	return p;
}

static int number_text(const char *s, const char *z, char *buf, size_t cap)
{
	size_t n = 0;

	for (; s < z; s++) {
		if (*s == '_')
			continue;
		if (n + 1 == cap)
			return -1;
		buf[n++] = *s;
	}
	buf[n] = 0;
	return 0;
}

/* 0x1f, 0o17, 0b11: end of it, or NULL. */
static const char *based(const char *p, const char *end, int *base)
{
	static const char set[] = "0123456789abcdef";
	const char *q;
	int c;

	if (end - p < 3 || *p != '0')
		return NULL;
	c = p[1] | 0x20;
	*base = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
	if (!*base)
		return NULL;
	for (q = p + 2; q < end; q++) {
		const char *r = q + (*q == '_' && q + 1 < end);
		int d = *r >= 'A' && *r <= 'F' ? *r | 0x20 : *r;
		const char *k = d > 0 ? strchr(set, d) : NULL;

		if (!k || k - set >= *base)
			break;
		q = r;
	}
	return q > p + 2 ? q : NULL;
}

static int lex_number(struct lexer *l)
{
	const char *p = l->p, *z, *f;
	struct jtoken *t;
	char buf[512];
	int base = 10;
	size_t skip = 0;

	z = digits(p, l->end);
	f = z;
	if (p[-1] != '.') { /* a tag's start is before it */
		if (f + 1 < l->end && *f == '.' && digit(f + 1, l->end))
			f = exponent(digits(f + 1, l->end), l->end);
		else
			f = exponent(f, l->end);
	}
	if (f > z) {
		if (number_text(p, f, buf, sizeof(buf)))
			return jinja_bad(l->err, l->line, "number too long");
		t = add(l, T_FLOAT, p, (size_t)(f - p));
		t->f = strtod(buf, NULL);
		go(l, f);
		return 0;
	}
	f = based(p, l->end, &base);
	if (f) {
		z = f;
		skip = 2;
	} else {
		base = 10;
		if (*p == '0')
			for (z = p + 1;
			     z < l->end &&
			     (*z == '0' ||
			      (*z == '_' && z + 1 < l->end && z[1] == '0'));
			     z++)
				;
	}
	errno = 0;
	if (number_text(p + skip, z, buf, sizeof(buf)))
		return jinja_bad(l->err, l->line, "number too long");
	t = add(l, T_INT, p, (size_t)(z - p));
	t->i = strtoll(buf, NULL, base);
	if (errno)
		return jinja_bad(l->err, l->line,
				 "integers beyond 64 bits are not supported");
	go(l, z);
	return 0;
}

/* The hexadecimal number of n digits at p, or -1. */
static int64_t hex(const char *p, const char *end, int n)
{
	int64_t x = 0;

	if (end - p < n)
		return -1;
	for (int i = 0; i < n; i++) {
		int c = (unsigned char)p[i], d = c | 0x20;

		if (c >= '0' && c <= '9')
			x = x << 4 | (c - '0');
		else if (d >= 'a' && d <= 'f')
			x = x << 4 | (d - 'a' + 10);
		else
			return -1;
	}
	return x;
}

/* An escape behind its backslash; *p is moved behind it. */
static int unescape(struct lexer *l, const char **p, const char *end, char **d)
{
	static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
	char c = **p;
	const char *k = c ? strchr(from, c) : NULL;
	int64_t x = 0;
	int n = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;

	if (c == '\n') {
		(*p)++;
	} else if (k) {
		*(*d)++ = to[k - from];
		(*p)++;
	} else if (n) {
		x = hex(*p + 1, end, n);
		if (x < 0 || x > 0x10ffff || (x >= 0xd800 && x < 0xe000))
			return jinja_bad(l->err, l->line,
					 "bad \\%c escape in a string", c);
		*p += n + 1;
		*d += ft_utf8_put(*d, (uint32_t)x);
	} else if (c >= '0' && c <= '7') {
		for (n = 0; n < 3 && *p < end && **p >= '0' && **p <= '7';
		     n++, (*p)++)
			x = x * 8 + (**p - '0');
		*d += ft_utf8_put(*d, (uint32_t)x);
	} else if (c == 'N' || (c & 0x80)) {
		return jinja_bad(l->err, l->line,
				 "this escape in a string is not supported");
	} else {
		*(*d)++ = '\\';
	}
	return 0;
}

static int lex_string(struct lexer *l)
{
	char quote = *l->p, *s, *d;
	const char *p = l->p + 1, *z = p;

	while (z < l->end && *z != quote)
		z += *z == '\\' && z + 1 < l->end ? 2 : 1;
	if (z >= l->end)
		return jinja_bad(l->err, l->line, "unterminated string");
	s = d = ft_arena_alloc(l->a, 2 * (size_t)(z - p) + 1);
	while (p < z) {
		if (*p != '\\') {
			*d++ = *p++;
			continue;
		}
		p++;
		if (unescape(l, &p, z, &d))
			return -1;
	}
	*d = 0;
	add(l, T_STRING, s, (size_t)(d - s));
	go(l, z + 1);
	return 0;
}

static bool name_byte(unsigned char c)
{
	return c == '_' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
	       (c >= 'a' && c <= 'z') || c >= 0x80;
}

static int lex_name(struct lexer *l)
{
	const char *z = l->p;

	while (z < l->end && name_byte((unsigned char)*z)) {
		const char *q = z;
		uint32_t c = ft_utf8_next(&q);

		if (c >= 0x80 && !(ft_uc(c) & FT_UC_W))
			break;
		z = q;
	}
	if (z == l->p)
		return jinja_bad(l->err, l->line, "unexpected character");
	add(l, T_NAME, ft_arena_strndup(l->a, l->p, (size_t)(z - l->p)),
	    (size_t)(z - l->p));
	go(l, z);
	return 0;
}

enum { MAX_NEST = 256 };

struct brackets {
	char v[MAX_NEST];
	int n;
};

static int lex_operator(struct lexer *l, struct brackets *b)
{
	static const char open[] = "{([", close[] = "})]";
	const char *k;

	for (size_t i = 0; i < sizeof(operators) / sizeof(*operators); i++) {
		size_t n = strlen(operators[i].s);

		if (!at(l, l->p, operators[i].s))
			continue;
		k = strchr(open, *l->p);
		if (k) {
			if (b->n == MAX_NEST)
				return jinja_bad(l->err, l->line,
						 "nested too deep");
			b->v[b->n++] = close[k - open];
		} else if (strchr(close, *l->p) &&
			   (!b->n || b->v[--b->n] != *l->p)) {
			return jinja_bad(l->err, l->line, "unexpected '%c'",
					 *l->p);
		}
		add(l, operators[i].kind, l->p, n);
		go(l, l->p + n);
		return 0;
	}
	return lex_name(l);
}

/* Behind "%}" or "}}", with a sign or without. */
static const char *tag_end(const struct lexer *l, bool print)
{
	const char *mark = print ? "}}" : "%}", *p = l->p;

	if (*p == '-' && at(l, p + 1, mark))
		return skip_space(l, p + 3);
	if (*p == '+' && !print && at(l, p + 1, mark))
		return p + 3;
	if (!at(l, p, mark))
		return NULL;
	p += 2;
	return !print && p < l->end && *p == '\n' ? p + 1 : p;
}

static int lex_tag(struct lexer *l, bool print)
{
	struct brackets b = {.n = 0};

	while (l->p < l->end) {
		const char *z = b.n ? NULL : tag_end(l, print);
		int rc = 0;

		if (z) {
			add(l, print ? T_PRINT_END : T_TAG_END, l->p, 0);
			go(l, z);
			return 0;
		}
		z = skip_space(l, l->p);
		if (z > l->p)
			go(l, z);
		else if (digit(l->p, l->end))
			rc = lex_number(l);
		else if (*l->p == '"' || *l->p == '\'')
			rc = lex_string(l);
		else
			rc = lex_operator(l, &b);
		if (rc)
			return -1;
	}
	return 0; /* the parser says what is missing */
}

/* --- outside of tags ------------------------------------------------------ */

static int lex_comment(struct lexer *l)
{
	const char *p = l->p;

	for (; p < l->end; p++) {
		if (*p == '-' && at(l, p + 1, "#}")) {
			go(l, skip_space(l, p + 3));
			return 0;
		}
		if (*p == '+' && at(l, p + 1, "#}")) {
			go(l, p + 3);
			return 0;
		}
		if (at(l, p, "#}")) {
			p += 2;
			go(l, p < l->end && *p == '\n' ? p + 1 : p);
			return 0;
		}
	}
	return jinja_bad(l->err, l->line, "comment without an end");
}

/* A word in a tag of its own: {%- raw %}.  Behind the word, or NULL. */
static const char *tag_word(const struct lexer *l, const char *p, char *sign,
			    const char *word)
{
	*sign = 0;
	p += 2;
	if (p < l->end && (*p == '-' || *p == '+'))
		*sign = *p++;
	p = skip_space(l, p);
	if (!at(l, p, word))
		return NULL;
	return skip_space(l, p + strlen(word));
}

/* Is a {% raw %} at p?  Behind it then. */
static const char *raw_begin(const struct lexer *l, const char *p, char *sign)
{
	p = tag_word(l, p, sign, "raw");
	if (p && at(l, p, "-%}"))
		return skip_space(l, p + 3);
	return p && at(l, p, "%}") ? p + 2 : NULL;
}

static int lex_raw(struct lexer *l)
{
	const char *s = l->p, *p = s, *z;
	struct lexer here;
	char sign;

	for (; p < l->end; p++) {
		if (!at(l, p, "{%"))
			continue;
		z = tag_word(l, p, &sign, "endraw");
		if (!z)
			continue;
		here = *l;
		here.p = z;
		z = z < l->end ? tag_end(&here, false) : NULL;
		if (!z)
			continue;
		put_data(l, s, trim_before(l, s, p, sign, false));
		go(l, z);
		return 0;
	}
	return jinja_bad(l->err, l->line, "{%% raw %%} without an end");
}

/* From a '{' that begins a tag. */
static int lex_begin(struct lexer *l, const char *data)
{
	const char *p = l->p, *raw = NULL;
	char sign = p + 2 < l->end && (p[2] == '-' || p[2] == '+') ? p[2] : 0;
	bool print = p[1] == '{', comment = p[1] == '#';

	if (!print && !comment)
		raw = raw_begin(l, p, &sign);
	put_data(l, data, trim_before(l, data, p, sign, print));
	if (raw) {
		go(l, raw);
		return lex_raw(l);
	}
	if (!comment)
		add(l, print ? T_PRINT_BEGIN : T_TAG_BEGIN, p, 2);
	go(l, p + 2 + !!sign);
	l->line_start = false;
	return comment ? lex_comment(l) : lex_tag(l, print);
}

/* One kind of newline, and not the last one. */
static char *newlines(struct ft_arena *a, const char *s, size_t n, size_t *out)
{
	char *d = ft_arena_alloc(a, n + 1);
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		d[k++] = s[i] == '\r' ? '\n' : s[i];
		i += s[i] == '\r' && i + 1 < n && s[i + 1] == '\n';
	}
	if (k && d[k - 1] == '\n')
		k--;
	d[k] = 0;
	*out = k;
	return d;
}

int jinja_lex(struct ft_arena *a, const char *s, size_t n, struct jtokens *out,
	      struct ft_err *err)
{
	struct lexer l = {.a = a, .line = 1, .out = out, .err = err};
	const char *data, *q;

	l.line_start = true;
	l.p = newlines(a, s, n, &n);
	l.end = l.p + n;
	while (l.p < l.end) {
		uint32_t line = l.line;

		data = l.p;
		for (q = data; q + 1 < l.end; q++)
			if (*q == '{' &&
			    (q[1] == '{' || q[1] == '%' || q[1] == '#'))
				break;
		if (q + 1 >= l.end) {
			put_data(&l, data, l.end);
			break;
		}
		for (const char *c = data; c < q; c++)
			line += *c == '\n';
		l.p = q;
		l.line = line;
		if (lex_begin(&l, data))
			return -1;
	}
	add(&l, T_EOF, l.end, 0);
	return 0;
}
