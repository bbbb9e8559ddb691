/* SPDX-License-Identifier: MIT */
/* str % values, and str.format. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/text/jinja_priv.h"
#include "libcommon/text/unicode.h"

/* What stands between '%' or ':' and the letter. */
struct spec {
	uint32_t fill;
	char align; /* < > ^ =, or 0 */
	char sign;  /* + or space, or 0 */
	bool alt, zero, comma;
	int64_t width, prec; /* prec -1: none */
	char type;
};

enum { MAX_WIDTH = 100000, MAX_PREC = 300 };

/* s to b, padded by sp; with '=' (zeros) behind sign and prefix. */
static int put_padded(struct jx *x, struct jbuf *b, const struct spec *sp,
		      const struct jstr *s, size_t lead)
{
	int64_t n = sp->width - (int64_t)s->chars, left = 0;

	n = n < 0 ? 0 : n;
	if (n > MAX_WIDTH)
		return jx_err(x, "a width of %" PRId64 " is not supported",
			      sp->width);
	if (sp->align == '=')
		jb_part(x, b, s, 0, lead);
	left = sp->align == '>' || sp->align == '=' ? n
	       : sp->align == '^'                   ? n / 2
						    : 0;
	for (int64_t i = 0; i < left; i++)
		jb_char(x, b, sp->fill, FT_JINJA_OWN);
	jb_part(x, b, s, sp->align == '=' ? lead : 0, s->n);
	for (int64_t i = left; i < n; i++)
		jb_char(x, b, sp->fill, FT_JINJA_OWN);
	return 0;
}

/* Digits of |i| in some base, with commas; into buf, from its end. */
static const char *digits(uint64_t u, unsigned base, bool upper, bool comma,
			  char buf[96])
{
	const char *set = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char *p = buf + 95;
	int n = 0;

	*p = 0;
	do {
		if (comma && n && n % 3 == 0)
			*--p = ',';
		*--p = set[u % base];
		u /= base;
		n++;
	} while (u);
	return p;
}

static int put_int(struct jx *x, struct jbuf *b, const struct spec *sp,
		   int64_t i)
{
	uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
	unsigned base = sp->type == 'x' || sp->type == 'X' ? 16
			: sp->type == 'o'                  ? 8
			: sp->type == 'b'                  ? 2
							   : 10;
	struct jbuf t = {0};
	char buf[96];
	const char *d = digits(u, base, sp->type == 'X', sp->comma, buf);
	size_t lead;

	if (i < 0)
		jb_addc(x, &t, '-');
	else if (sp->sign)
		jb_addc(x, &t, sp->sign);
	if (sp->alt && base != 10) {
		jb_addc(x, &t, '0');
		jb_addc(x, &t, sp->type);
	}
	lead = t.n;
	for (int64_t k = (int64_t)strlen(d); k < sp->prec && k < MAX_PREC; k++)
		jb_addc(x, &t, '0');
	jb_adds(x, &t, d);
	return put_padded(x, b, sp, jb_end(x, &t), lead);
}

static int put_float(struct jx *x, struct jbuf *b, const struct spec *sp,
		     double f)
{
	int prec = sp->prec < 0 ? 6 : (int)sp->prec;
	char type = sp->type, fmt[16], buf[800], *p = buf;
	struct jbuf t = {0};
	size_t lead;

	if (sp->prec > MAX_PREC)
		return jx_err(x, "a precision of %" PRId64 " is not supported",
			      sp->prec);
	if (type == '%') {
		f *= 100;
		type = 'f';
	}
	snprintf(fmt, sizeof(fmt), "%%%s.*%c", sp->alt ? "#" : "", type);
	if (isnan(f) || isinf(f))
		snprintf(buf, sizeof(buf), "%s",
			 isnan(f)     ? "nan"
			 : signbit(f) ? "-inf"
				      : "inf");
	else
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(buf, sizeof(buf), fmt, prec, f);
#pragma GCC diagnostic pop
	if (*p == '-')
		jb_addc(x, &t, *p++);
	else if (sp->sign)
		jb_addc(x, &t, sp->sign);
	lead = t.n;
	if (sp->comma) {
		size_t whole = strspn(p, "0123456789");

		for (; whole; whole--) {
			jb_addc(x, &t, *p++);
			if (whole > 1 && (whole - 1) % 3 == 0)
				jb_addc(x, &t, ',');
		}
	}
	jb_adds(x, &t, p);
	if (sp->type == '%')
		jb_addc(x, &t, '%');
	return put_padded(x, b, sp, jb_end(x, &t), lead);
}

static int put_str(struct jx *x, struct jbuf *b, const struct spec *sp,
		   const struct jstr *s)
{
	if (sp->prec >= 0 && (uint64_t)sp->prec < s->chars)
		s = js_part(x, s, 0, js_at(s, (size_t)sp->prec));
	return put_padded(x, b, sp, s, 0);
}

static const char *number(const char *p, int64_t *out)
{
	*out = 0;
	for (; *p >= '0' && *p <= '9'; p++)
		if (*out <= MAX_WIDTH)
			*out = *out * 10 + (*p - '0');
	return p;
}

/* --- % -------------------------------------------------------------------- */

struct percent {
	const struct jval *arg;
	size_t used;
	bool mapped; /* a key was asked for */
};

static int next_arg(struct jx *x, struct percent *a, struct jval *out)
{
	bool tuple = a->arg->t == V_TUPLE;

	if (a->used >= (tuple ? a->arg->u.l->n : 1))
		return jx_err(x, "not enough arguments for a format");
	*out = tuple ? a->arg->u.l->v[a->used] : *a->arg;
	a->used++;
	return 0;
}

static int percent_star(struct jx *x, struct percent *a, int64_t *out)
{
	struct jval v;

	if (next_arg(x, a, &v))
		return -1;
	if (!jv_is_int(&v))
		return jx_err(x, "* wants an integer");
	*out = jv_i(&v);
	return 0;
}

/* Behind '%': flags, width, precision. */
static int percent_spec(struct jx *x, const char **p, struct percent *a,
			struct spec *sp)
{
	bool left = false;

	*sp = (struct spec){.fill = ' ', .prec = -1, .align = '>'};
	for (;; (*p)++) {
		if (**p == '-')
			left = true;
		else if (**p == '+')
			sp->sign = '+';
		else if (**p == ' ')
			sp->sign = sp->sign ? sp->sign : ' ';
		else if (**p == '#')
			sp->alt = true;
		else if (**p == '0')
			sp->zero = true;
		else
			break;
	}
	if (**p == '*') {
		(*p)++;
		if (percent_star(x, a, &sp->width))
			return -1;
		left = left || sp->width < 0;
		sp->width = sp->width < 0 ? -sp->width : sp->width;
	} else {
		*p = number(*p, &sp->width);
	}
	if (**p == '.') {
		(*p)++;
		if (**p == '*') {
			(*p)++;
			if (percent_star(x, a, &sp->prec))
				return -1;
			sp->prec = sp->prec < 0 ? 0 : sp->prec;
		} else {
			*p = number(*p, &sp->prec);
		}
	}
	while (**p == 'l' || **p == 'h' || **p == 'L')
		(*p)++;
	if (left)
		sp->align = '<';
	sp->type = **p;
	if (sp->zero && !left && sp->type && strchr("diuoxXeEfFgG", sp->type)) {
		sp->align = '=';
		sp->fill = '0';
	}
	return 0;
}

static int percent_number(struct jx *x, struct jbuf *b, struct spec *sp,
			  const struct jval *v)
{
	if (v->t == V_UNDEF)
		return jx_undefined(x, v);
	if (!jv_is_num(v))
		return jx_err(x, "%%%c wants a number, not '%s'", sp->type,
			      jv_type(v));
	if (strchr("eEfFgG", sp->type))
		return put_float(x, b, sp, jv_f(v));
	if (v->t == V_FLOAT) {
		if (!strchr("diu", sp->type))
			return jx_err(x, "%%%c wants an integer", sp->type);
		if (!(fabs(v->u.f) < 0x1p63))
			return jx_err(
				x, "integers beyond 64 bits are not supported");
		return put_int(x, b, sp, (int64_t)v->u.f);
	}
	return put_int(x, b, sp, jv_i(v));
}

static int percent_char(struct jx *x, struct jbuf *b, const struct spec *sp,
			const struct jval *v)
{
	char buf[4];

	if (v->t == V_STR && v->u.s->chars == 1)
		return put_padded(x, b, sp, v->u.s, 0);
	if (!jv_is_int(v) || jv_i(v) < 0 || jv_i(v) > 0x10ffff ||
	    (jv_i(v) >= 0xd800 && jv_i(v) < 0xe000))
		return jx_err(x, "%%c wants a character");
	return put_padded(x, b, sp,
			  js_new(x, buf, ft_utf8_put(buf, (uint32_t)jv_i(v)),
				 FT_JINJA_OWN),
			  0);
}

static int percent_one(struct jx *x, struct jbuf *b, struct spec *sp,
		       const struct jval *v)
{
	const struct jstr *s;
	struct jbuf t = {0};

	switch (sp->type) {
	case 's':
		return jv_to_str(x, v, &s) || put_str(x, b, sp, s) ? -1 : 0;
	case 'r':
		if (jv_repr(x, &t, v))
			return -1;
		return put_str(x, b, sp, jb_end(x, &t));
	case 'c':
		return percent_char(x, b, sp, v);
	default:
		if (sp->type && strchr("diuoxXeEfFgG", sp->type))
			return percent_number(x, b, sp, v);
		return jx_err(x, "format character '%c' is not supported",
			      sp->type >= ' ' && sp->type < 127 ? sp->type
								: '?');
	}
}

/* (name) of a mapping. */
static int percent_key(struct jx *x, const char **p, const char *end,
		       struct percent *a, struct jval *out)
{
	const char *z = *p;
	int depth = 1;
	struct jval k;
	size_t at;
	int rc;

	for (; z < end && depth; z++)
		depth += (*z == '(') - (*z == ')');
	if (depth)
		return jx_err(x, "incomplete format key");
	if (a->arg->t != V_DICT)
		return jx_err(x, "format wants a mapping");
	k = jv_str(js_new(x, *p, (size_t)(z - 1 - *p), FT_JINJA_OWN));
	rc = jd_find(x, a->arg->u.d, &k, &at);
	if (rc <= 0)
		return rc ? -1 : jx_err(x, "format: no key '%.100s'", k.u.s->s);
	*out = a->arg->u.d->v[at];
	*p = z;
	a->mapped = true;
	return 0;
}

int jx_percent(struct jx *x, const struct jstr *fmt, const struct jval *arg,
	       struct jval *out)
{
	const char *p = fmt->s, *end = p + fmt->n;
	struct percent a = {.arg = arg};
	struct jbuf b = {0};
	struct spec sp;
	struct jval v;

	while (p < end) {
		const char *q = memchr(p, '%', (size_t)(end - p));
		bool keyed = false;

		q = q ? q : end;
		jb_part(x, &b, fmt, (size_t)(p - fmt->s), (size_t)(q - fmt->s));
		if (q == end)
			break;
		p = q + 1;
		if (p < end && *p == '(') {
			p++;
			if (percent_key(x, &p, end, &a, &v))
				return -1;
			keyed = true;
		}
		if (percent_spec(x, &p, &a, &sp))
			return -1;
		if (p >= end)
			return jx_err(x, "incomplete format");
		p++;
		if (sp.type == '%') {
			jb_addc(x, &b, '%');
			continue;
		}
		if (jx_step(x) || (!keyed && next_arg(x, &a, &v)) ||
		    percent_one(x, &b, &sp, &v))
			return -1;
	}
	if (arg->t == V_TUPLE ? a.used < arg->u.l->n
			      : !a.used && !a.mapped && arg->t != V_DICT &&
					arg->t != V_UNDEF && arg->t != V_LIST &&
					arg->t != V_RANGE)
		return jx_err(x, "not all arguments of a format are used");
	*out = jv_str(jb_end(x, &b));
	return 0;
}

/* --- str.format ----------------------------------------------------------- */

/* Behind ':' of a field. */
static int format_spec(struct jx *x, const struct jstr *s, struct spec *sp)
{
	const char *p = s->s, *q = p;
	uint32_t c;

	*sp = (struct spec){.fill = ' ', .prec = -1};
	if (s->n) {
		c = ft_utf8_next(&q);
		if (*q && strchr("<>^=", *q)) {
			sp->fill = c;
			sp->align = *q;
			p = q + 1;
		} else if (strchr("<>^=", *p)) {
			sp->align = *p++;
		}
	}
	if (*p == '+' || *p == '-' || *p == ' ') {
		sp->sign = *p == '-' ? 0 : *p;
		p++;
	}
	if (*p == '#') {
		sp->alt = true;
		p++;
	}
	if (*p == '0') {
		sp->zero = true;
		if (!sp->align) {
			sp->align = '=';
			sp->fill = '0';
		}
		p++;
	}
	p = number(p, &sp->width);
	if (*p == ',') {
		sp->comma = true;
		p++;
	}
	if (*p == '.') {
		if (p[1] < '0' || p[1] > '9')
			return jx_err(x, "format specification '%.50s'", s->s);
		p = number(p + 1, &sp->prec);
	}
	sp->type = *p;
	if (*p)
		p++;
	if (p != s->s + s->n)
		return jx_err(x,
			      "format specification '%.50s' is not supported",
			      s->s);
	return 0;
}

static int format_value(struct jx *x, struct jbuf *b, const struct jval *v,
			const struct jstr *spec)
{
	struct spec sp;
	const struct jstr *s;

	if (!spec->n)
		return jv_put(x, b, v);
	if (format_spec(x, spec, &sp))
		return -1;
	if (v->t == V_STR && (!sp.type || sp.type == 's') && !sp.comma &&
	    !sp.alt && !sp.sign && sp.align != '=')
		return put_str(x, b, &sp, v->u.s);
	if (jv_is_num(v) && v->t != V_BOOL) {
		sp.align = sp.align ? sp.align : '>';
		if (v->t == V_INT && (!sp.type || strchr("dxXob", sp.type)) &&
		    sp.prec < 0)
			return put_int(x, b, &sp, v->u.i);
		if (sp.type && strchr("eEfFgG%", sp.type))
			return put_float(x, b, &sp, jv_f(v));
		if (v->t == V_FLOAT && !sp.type && sp.prec < 0 && !sp.sign &&
		    !sp.comma && sp.align != '=') {
			if (jv_to_str(x, v, &s))
				return -1;
			return put_padded(x, b, &sp, s, 0);
		}
	}
	return jx_err(x,
		      "format specification '%.50s' of '%s' is not supported",
		      spec->s, jv_type(v));
}

struct fields {
	const struct jargs *args;
	int64_t next; /* automatic numbering; -1: by hand */
};

static int field_start(struct jx *x, struct fields *f, const char *p, size_t n,
		       struct jval *out)
{
	bool num = n > 0;
	int64_t i = 0;

	for (size_t k = 0; k < n; k++)
		num = num && p[k] >= '0' && p[k] <= '9' && n < 10;
	if (num) {
		if (f->next > 0)
			return jx_err(x, "format: numbered fields and others");
		f->next = -1;
		number(p, &i);
	} else if (!n) {
		if (f->next < 0)
			return jx_err(x, "format: numbered fields and others");
		i = f->next++;
	} else {
		for (size_t k = 0; k < f->args->nk; k++) {
			if (f->args->key[k]->n == n &&
			    !memcmp(f->args->key[k]->s, p, n)) {
				*out = f->args->kv[k];
				return 0;
			}
		}
		return jx_err(x, "format: no key '%.*s'", (int)n, p);
	}
	if ((uint64_t)i >= f->args->n)
		return jx_err(x, "format: not enough arguments");
	*out = f->args->v[i];
	return 0;
}

/* a.b[c]!r:spec in [p, z). */
static int format_field(struct jx *x, struct jbuf *b, struct fields *f,
			const char *p, const char *z)
{
	const char *spec = memchr(p, ':', (size_t)(z - p));
	const char *name_end = spec ? spec : z;
	const char *bang = memchr(p, '!', (size_t)(name_end - p));
	const struct jstr *s;
	struct jbuf t = {0};
	struct jval v, k;
	size_t n;

	if (bang)
		name_end = bang;
	n = 0;
	while (p + n < name_end && p[n] != '.' && p[n] != '[')
		n++;
	if (field_start(x, f, p, n, &v))
		return -1;
	for (p += n; p < name_end; p += n) {
		bool item = *p++ == '[';
		int64_t i;

		n = 0;
		while (p + n < name_end &&
		       (item ? p[n] != ']' : p[n] != '.' && p[n] != '['))
			n++;
		k = jv_str(js_new(x, p, n, FT_JINJA_OWN));
		if (item && n && n < 10 && strspn(p, "0123456789") >= n) {
			number(p, &i);
			k = jv_int(i);
		}
		if (item ? jx_item(x, &v, &k, &v) : jx_attr(x, &v, k.u.s, &v))
			return -1;
		n += item;
	}
	if (bang) {
		if (bang[1] != 'r' && bang[1] != 's')
			return jx_err(x, "format conversion is not supported");
		if (bang[1] == 'r' ? jv_repr(x, &t, &v) : jv_put(x, &t, &v))
			return -1;
		v = jv_str(jb_end(x, &t));
	}
	s = spec ? js_new(x, spec + 1, (size_t)(z - spec - 1), FT_JINJA_OWN)
		 : js_lit(x, "");
	if (memchr(s->s, '{', s->n))
		return jx_err(x, "nested format fields are not supported");
	return format_value(x, b, &v, s);
}

int jx_format(struct jx *x, const struct jstr *fmt, const struct jargs *args,
	      struct jval *out)
{
	const char *p = fmt->s, *end = p + fmt->n;
	struct fields f = {.args = args};
	struct jbuf b = {0};

	while (p < end) {
		const char *q = p, *z;
		int depth = 1;

		while (q < end && *q != '{' && *q != '}')
			q++;
		jb_part(x, &b, fmt, (size_t)(p - fmt->s), (size_t)(q - fmt->s));
		if (q == end)
			break;
		if (q + 1 < end && q[1] == *q) {
			jb_part(x, &b, fmt, (size_t)(q - fmt->s),
				(size_t)(q + 1 - fmt->s));
			p = q + 2;
			continue;
		}
		if (*q == '}')
			return jx_err(x, "format: single '}'");
		for (z = q + 1; z < end; z++) {
			depth += (*z == '{') - (*z == '}');
			if (!depth)
				break;
		}
		if (z == end)
			return jx_err(x, "format: '}' is missing");
		if (jx_step(x) || format_field(x, &b, &f, q + 1, z))
			return -1;
		p = z + 1;
	}
	*out = jv_str(jb_end(x, &b));
	return 0;
}
