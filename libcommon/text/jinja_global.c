/* SPDX-License-Identifier: MIT */
/* Functions that every template sees, and tojson. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "libcommon/text/jinja_priv.h"
#include "libcommon/text/unicode.h"

enum { MAX_RANGE = 100000 }; /* of Jinja2's sandbox */
static const int64_t MAX_END = INT64_MAX / 4;

JX_FN(g_range)
{
	struct jrange *r = jx_alloc(x, sizeof(*r));
	int64_t a, z, step, n;

	JX_UNUSED;
	if (jp_int(x, v[1] ? v[0] : NULL, 0, &a) ||
	    jp_int(x, v[1] ? v[1] : v[0], 0, &z) || jp_int(x, v[2], 1, &step))
		return -1;
	if (!step)
		return jx_err(x, "range: the step is zero");
	if (llabs(a) > MAX_END || llabs(z) > MAX_END || llabs(step) > MAX_END)
		return jx_err(x, "range: such a large number is not supported");
	n = step > 0 ? (z - a + step - 1) / step : (a - z - step - 1) / -step;
	if (n > MAX_RANGE)
		return jx_err(x, "range of more than %d items", MAX_RANGE);
	*r = (struct jrange){a, z, step, n < 0 ? 0 : n};
	*out = (struct jval){.t = V_RANGE, .u.r = r};
	return 0;
}

/* dict(...): of a mapping, of pairs, of keywords. */
static int make_dict(struct jx *x, const struct jargs *all, struct jval *out)
{
	struct jval item, k;
	struct jiter *it;
	struct jlist *l;
	int rc;

	*out = jv_dict(x);
	if (all->n > 1)
		return jx_err(x, "dict takes at most 1 argument");
	if (all->n && all->v[0].t == V_UNDEF)
		return jx_undefined(x, &all->v[0]);
	if (all->n && all->v[0].t == V_NS)
		return jx_err(x, "dict of a namespace is not supported");
	if (all->n && (all->v[0].t == V_DICT)) {
		const struct jdict *d = all->v[0].u.d;

		for (size_t i = 0; i < d->n; i++)
			if (jd_set(x, out->u.d, &d->k[i], &d->v[i]))
				return -1;
	} else if (all->n) {
		if (jx_iter(x, &all->v[0], &it))
			return -1;
		while ((rc = ji_next(x, it, &item)) > 0) {
			if (jx_to_list(x, &item, &l))
				return -1;
			if (l->n != 2)
				return jx_err(x, "dict wants pairs");
			if (jd_set(x, out->u.d, &l->v[0], &l->v[1]) ||
			    jx_step(x))
				return -1;
		}
		if (rc < 0)
			return -1;
	}
	for (size_t i = 0; i < all->nk; i++) {
		k = jv_str(all->key[i]);
		if (jd_set(x, out->u.d, &k, &all->kv[i]))
			return -1;
	}
	return 0;
}

JX_FN(g_dict)
{
	JX_UNUSED;
	return make_dict(x, all, out);
}

JX_FN(g_namespace)
{
	JX_UNUSED;
	if (make_dict(x, all, out))
		return -1;
	for (size_t i = 0; i < out->u.d->n; i++) {
		const struct jval *k = &out->u.d->k[i];

		if (k->t == V_STR && k->u.s->s[0] == '_')
			return jx_err(
				x,
				"namespace attribute '%.100s' begins with '_'",
				k->u.s->s);
	}
	out->t = V_NS;
	return 0;
}

JX_FN(g_cycler)
{
	struct jcycle *c = jx_alloc(x, sizeof(*c));
	struct jval l = jv_list(x, all->n);

	JX_UNUSED;
	if (!all->n || all->nk)
		return jx_err(x,
			      "cycler: at least one item has to be provided");
	for (size_t i = 0; i < all->n; i++)
		jl_push(x, l.u.l, all->v[i]);
	*c = (struct jcycle){.items = l.u.l};
	*out = (struct jval){.t = V_CYCLER, .u.c = c};
	return 0;
}

JX_FN(g_joiner)
{
	struct jcycle *c = jx_alloc(x, sizeof(*c));

	JX_UNUSED;
	*c = (struct jcycle){.sep = js_lit(x, ", ")};
	if (v[0] && jv_to_str(x, v[0], &c->sep))
		return -1;
	*out = (struct jval){.t = V_JOINER, .u.c = c};
	return 0;
}

JX_FN(g_raise)
{
	const struct jstr *s;

	JX_UNUSED;
	*out = jv_none();
	if (jv_to_str(x, v[0], &s))
		return -1;
	return jx_err(x, "the template raises: %.400s", s->s);
}

/* Local time, or what the environment says for builds that are to repeat. */
static int now(struct tm *tm, long *us)
{
	const char *fixed = getenv("SOURCE_DATE_EPOCH");
	struct timeval tv;
	time_t t;

	if (fixed && *fixed) {
		t = (time_t)strtoll(fixed, NULL, 10);
		*us = 0;
		return gmtime_r(&t, tm) ? 0 : -1;
	}
	gettimeofday(&tv, NULL);
	t = tv.tv_sec;
	*us = (long)tv.tv_usec;
	return localtime_r(&t, tm) ? 0 : -1;
}

JX_FN(g_strftime)
{
	const struct jstr *s;
	struct jbuf b = {0};
	char buf[256], one[4] = "%";
	struct tm tm;
	long us;

	JX_UNUSED;
	if (jp_str(x, v[0], "a date's format", &s))
		return -1;
	if (now(&tm, &us))
		return jx_err(x, "the date is out of range");
	for (size_t i = 0; i < s->n; i++) {
		char c = i + 1 < s->n ? s->s[i + 1] : 0;

		if (s->s[i] != '%' || !c) {
			jb_part(x, &b, s, i, i + 1);
			continue;
		}
		i++;
		if (c == 'f') {
			jb_addf(x, &b, "%06ld", us);
			continue;
		}
		if (c == 'z' || c == 'Z')
			continue; /* a time without a zone */
		if (!strchr("aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyY%", c) &&
		    c != '-')
			return jx_err(
				x, "strftime_now: '%%%c' is not supported", c);
		one[1] = c;
		one[2] = 0;
		if (c == '-') {
			one[2] = i + 1 < s->n ? s->s[++i] : 'd';
			if (!strchr("dmHIMSjyeU", one[2]))
				return jx_err(
					x,
					"strftime_now: '%%-%c' is not supported",
					one[2]);
		}
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		buf[strftime(buf, sizeof(buf), one, &tm)] = 0;
#pragma GCC diagnostic pop
		jb_adds(x, &b, buf);
	}
	*out = jv_str(jb_end(x, &b));
	return 0;
}

static const struct jbuiltin globals[] = {
	{"cycler", "*", g_cycler},
	{"dict", "*", g_dict},
	{"joiner", "sep?", g_joiner},
	{"namespace", "*", g_namespace},
	{"raise_exception", "message", g_raise},
	{"range", "/start,stop?,step?", g_range},
	{"strftime_now", "format", g_strftime},
};

const struct jbuiltin *jinja_global(const char *name)
{
	return JINJA_AMONG(globals, name);
}

/* --- tojson --------------------------------------------------------------- */

struct dumper {
	const struct jstr *indent; /* or NULL: one line */
	const struct jstr *comma, *colon;
	bool ascii, sort;
	int depth;
};

static int dump(struct jx *x, struct jbuf *b, const struct dumper *d,
		const struct jval *v, int depth);

static void dump_str(struct jx *x, struct jbuf *b, const struct dumper *d,
		     const struct jstr *s)
{
	static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
	const char *p = s->s, *end = p + s->n;

	jb_addc(x, b, '"');
	while (p < end) {
		const char *q = p, *k;
		uint32_t c = ft_utf8_next(&p);
		unsigned char mark = js_mark(s, (size_t)(q - s->s));
		char buf[16];

		k = c && c < 128 ? strchr(from, (int)c) : NULL;
		if (k)
			snprintf(buf, sizeof(buf), "\\%c", to[k - from]);
		else if (c < 0x20 || (d->ascii && c >= 0x7f && c < 0x10000))
			snprintf(buf, sizeof(buf), "\\u%04x", c);
		else if (c >= 0x10000 && d->ascii)
			snprintf(buf, sizeof(buf), "\\u%04x\\u%04x",
				 0xd800 + ((c - 0x10000) >> 10),
				 0xdc00 + ((c - 0x10000) & 0x3ff));
		else
			buf[ft_utf8_put(buf, c)] = 0;
		jb_add(x, b, buf, strlen(buf), mark);
	}
	jb_addc(x, b, '"');
}

static void line(struct jx *x, struct jbuf *b, const struct dumper *d,
		 int depth)
{
	if (!d->indent)
		return;
	jb_addc(x, b, '\n');
	while (depth--)
		jb_str(x, b, d->indent);
}

static int dump_float(struct jx *x, struct jbuf *b, double f)
{
	if (isnan(f))
		jb_adds(x, b, "NaN");
	else if (isinf(f))
		jb_adds(x, b, f < 0 ? "-Infinity" : "Infinity");
	else
		jx_float_repr(x, b, f);
	return 0;
}

static int dump_key(struct jx *x, struct jbuf *b, const struct dumper *d,
		    const struct jval *k)
{
	if (k->t == V_STR) {
		dump_str(x, b, d, k->u.s);
		return 0;
	}
	if (k->t != V_NONE && k->t != V_BIG && !jv_is_num(k))
		return jx_err(x, "tojson: keys cannot be '%s'", jv_type(k));
	jb_addc(x, b, '"');
	if (dump(x, b, d, k, 0))
		return -1;
	jb_addc(x, b, '"');
	return 0;
}

static int dump_dict(struct jx *x, struct jbuf *b, const struct dumper *d,
		     const struct jdict *o, int depth)
{
	struct jlist *order = NULL;
	struct jval keys = {.t = V_DICT, .u.d = (struct jdict *)o};
	struct jargs none = {0};
	size_t at;

	if (d->sort && o->n) {
		const struct jval yes = jv_bool(true);

		ja_push_key(x, &none, js_lit(x, "case_sensitive"), yes);
		if (jx_builtin(x, jinja_filter("sort"), &keys, &none, &keys))
			return -1;
		order = keys.u.l;
	}
	jb_addc(x, b, '{');
	for (size_t i = 0; i < o->n; i++) {
		at = i;
		if (order && jd_find(x, o, &order->v[i], &at) <= 0)
			return -1;
		if (i)
			jb_str(x, b, d->comma);
		line(x, b, d, depth + 1);
		if (dump_key(x, b, d, &o->k[at]))
			return -1;
		jb_str(x, b, d->colon);
		if (dump(x, b, d, &o->v[at], depth + 1))
			return -1;
	}
	if (o->n)
		line(x, b, d, depth);
	jb_addc(x, b, '}');
	return 0;
}

static int dump_list(struct jx *x, struct jbuf *b, const struct dumper *d,
		     const struct jlist *l, int depth)
{
	jb_addc(x, b, '[');
	for (size_t i = 0; i < l->n; i++) {
		if (i)
			jb_str(x, b, d->comma);
		line(x, b, d, depth + 1);
		if (dump(x, b, d, &l->v[i], depth + 1))
			return -1;
	}
	if (l->n)
		line(x, b, d, depth);
	jb_addc(x, b, ']');
	return 0;
}

static int dump(struct jx *x, struct jbuf *b, const struct dumper *d,
		const struct jval *v, int depth)
{
	int rc;

	if (jx_step(x))
		return -1;
	switch (v->t) {
	case V_NONE:
		jb_adds(x, b, "null");
		return 0;
	case V_BOOL:
		jb_adds(x, b, v->u.b ? "true" : "false");
		return 0;
	case V_INT:
	case V_BIG:
		return jv_put(x, b, v);
	case V_FLOAT:
		return dump_float(x, b, v->u.f);
	case V_STR:
		dump_str(x, b, d, v->u.s);
		return 0;
	case V_LIST:
	case V_TUPLE:
	case V_DICT:
		break;
	default:
		return jx_err(x,
			      "tojson: object of type '%s' is not serializable",
			      jv_type(v));
	}
	if (++x->depth > JX_DEPTH)
		return jx_err(x, "nested too deep");
	rc = v->t == V_DICT ? dump_dict(x, b, d, v->u.d, depth)
			    : dump_list(x, b, d, v->u.l, depth);
	x->depth--;
	return rc;
}

/* An integer is so many spaces, a string itself. */
static int dump_indent(struct jx *x, const struct jval *v,
		       const struct jstr **out)
{
	struct jbuf b = {0};
	int64_t n;

	if (v->t == V_STR) {
		*out = v->u.s;
		return 0;
	}
	if (jp_int(x, v, 0, &n) || jx_room(x, n > 0 ? (size_t)n : 0, 2))
		return -1;
	for (; n > 0; n--)
		jb_addc(x, &b, ' ');
	*out = jb_end(x, &b);
	return 0;
}

int jx_tojson(struct jx *x, const struct jval *v, const struct jval *const p[],
	      struct jval *out)
{
	struct dumper d = {.colon = js_lit(x, ": ")};
	struct jbuf b = {0};
	struct jlist *l;

	if (jp_bool(x, p[0], false, &d.ascii) ||
	    jp_bool(x, p[3], false, &d.sort) ||
	    (jp_given(p[1]) && dump_indent(x, p[1], &d.indent)))
		return -1;
	d.comma = js_lit(x, d.indent ? "," : ", ");
	if (jp_given(p[2])) {
		if (jx_to_list(x, p[2], &l))
			return -1;
		if (l->n != 2 || jp_str(x, &l->v[0], "a separator", &d.comma) ||
		    jp_str(x, &l->v[1], "a separator", &d.colon))
			return l->n == 2 ? -1 : jx_err(x, "separators are two");
	}
	if (dump(x, &b, &d, v, 0))
		return -1;
	*out = jv_str(jb_end(x, &b));
	return 0;
}
