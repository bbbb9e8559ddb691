/* SPDX-License-Identifier: MIT */
#include "tools/ft-show/show.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"

enum { BLOCK = 1024 };

/* The 8-bit formats: eb exponent bits; E4M3 has no infinities. */
static double from_f8(unsigned char u, int eb)
{
	int mb = 7 - eb, bias = (1 << (eb - 1)) - 1;
	int e = u >> mb & ((1 << eb) - 1), m = u & ((1 << mb) - 1);
	double v;

	if (eb == 5 && e == 31)
		v = m ? NAN : INFINITY;
	else if (eb == 4 && (u & 127) == 127)
		v = NAN;
	else if (e == 0)
		v = ldexp(m, 1 - bias - mb);
	else
		v = ldexp(m + (1 << mb), e - bias - mb);
	return u & 128 ? -v : v;
}

static bool is_signed(enum ft_dtype t)
{
	return t == FT_I8 || t == FT_I16 || t == FT_I32 || t == FT_I64;
}

/* Integers of 1, 2, 4 or 8 bytes, and booleans. */
static void from_ints(double *dst, const unsigned char *p, enum ft_dtype t,
		      size_t n)
{
	size_t width = ft_dtype_size(t);
	int room = 64 - 8 * (int)width;

	for (size_t i = 0; i < n; i++) {
		uint64_t v = 0;

		memcpy(&v, p + i * width, width);
		dst[i] = is_signed(t) ? (double)((int64_t)(v << room) >> room)
				      : (double)v;
	}
}

static void to_double(double *dst, const unsigned char *p, enum ft_dtype t,
		      size_t n)
{
	float f[BLOCK];

	switch (t) {
	case FT_F16:
	case FT_BF16:
	case FT_F32:
		ft_to_f32(f, p, t, n);
		for (size_t i = 0; i < n; i++)
			dst[i] = (double)f[i];
		break;
	case FT_F8_E5M2:
	case FT_F8_E4M3:
		for (size_t i = 0; i < n; i++)
			dst[i] = from_f8(p[i], t == FT_F8_E5M2 ? 5 : 4);
		break;
	case FT_F64:
		memcpy(dst, p, n * sizeof(*dst));
		break;
	default:
		from_ints(dst, p, t, n);
		break;
	}
}

void tensor_value(struct ft_str *b, const struct ft_tensor *t, uint64_t i)
{
	const unsigned char *p =
		(const unsigned char *)t->data + i * ft_dtype_size(t->dtype);
	double x;
	int64_t v;

	if (t->dtype == FT_I64 || t->dtype == FT_U64) {
		memcpy(&v, p, sizeof(v));
		if (t->dtype == FT_I64)
			ft_str_addf(b, "%" PRId64, v);
		else
			ft_str_addf(b, "%" PRIu64, (uint64_t)v);
		return;
	}
	to_double(&x, p, t->dtype, 1);
	if (t->dtype == FT_F64 || !isfinite(x))
		show_number(b, x);
	else
		ft_str_add_float(b, (float)x);
}

struct stats {
	double min, max, sum, sumsq;
	uint64_t n, odd;
};

static struct stats measure(const struct ft_tensor *t)
{
	struct stats s = {INFINITY, -INFINITY, 0, 0, 0, 0};
	size_t width = ft_dtype_size(t->dtype);
	double v[BLOCK];

	for (uint64_t i = 0; i < t->numel; i += BLOCK) {
		size_t n =
			t->numel - i < BLOCK ? (size_t)(t->numel - i) : BLOCK;

		to_double(v, (const unsigned char *)t->data + i * width,
			  t->dtype, n);
		for (size_t k = 0; k < n; k++) {
			if (!isfinite(v[k])) {
				s.odd++;
				continue;
			}
			s.min = fmin(s.min, v[k]);
			s.max = fmax(s.max, v[k]);
			s.sum += v[k];
			s.sumsq += v[k] * v[k];
			s.n++;
		}
	}
	return s;
}

void tensors_open(struct ft_st *st, const struct source *s)
{
	struct ft_str path = {0};
	struct ft_err err;
	int rc;

	if (s->type != SHOW_DIR) {
		rc = ft_st_open(st, s->path, &err);
	} else {
		rc = ft_st_open_dir(st, s->path, &err);
		ft_str_addf(&path, "%s/adapter_model.safetensors", s->path);
		/* No model there: an adapter? */
		if (rc < 0 && err.code == FT_EXIT_SYS)
			rc = ft_st_open(st, path.s, &err);
		ft_str_release(&path);
	}
	if (rc < 0)
		source_die(s, &err);
}

static void add_shape(struct ft_str *b, const struct ft_tensor *t)
{
	ft_str_addc(b, '[');
	for (int d = 0; d < t->ndim; d++)
		ft_str_addf(b, "%s%ju", d ? "," : "", (uintmax_t)t->shape[d]);
	ft_str_addc(b, ']');
}

static void json_stats(struct ft_str *b, const struct ft_tensor *t)
{
	struct stats s = measure(t);
	double n = (double)s.n;

	if (s.n) {
		ft_str_adds(b, ",\"min\":");
		ft_str_add_double(b, s.min);
		ft_str_adds(b, ",\"max\":");
		ft_str_add_double(b, s.max);
		ft_str_adds(b, ",\"mean\":");
		ft_str_add_double(b, s.sum / n);
		ft_str_adds(b, ",\"rms\":");
		ft_str_add_double(b, sqrt(s.sumsq / n));
	}
	ft_str_addf(b, ",\"non_finite\":%ju", (uintmax_t)s.odd);
}

static void json_table(struct show *sh, const struct ft_st *st,
		       const struct source *src)
{
	struct ft_str *b = &sh->buf;
	uint64_t numel = 0;

	ft_str_adds(b, "{\"file\":");
	ft_str_add_json(b, src->name, strlen(src->name));
	ft_str_adds(b, ",\"type\":\"safetensors\",\"metadata\":{");
	for (size_t i = 0; i < st->nmeta; i++) {
		ft_str_adds(b, i ? "," : "");
		ft_str_add_json(b, st->meta[i].key, strlen(st->meta[i].key));
		ft_str_addc(b, ':');
		ft_str_add_json(b, st->meta[i].value,
				strlen(st->meta[i].value));
	}
	ft_str_adds(b, "},\"tensors\":[");
	for (size_t i = 0; i < st->n; i++) {
		const struct ft_tensor *t = &st->t[i];

		ft_str_adds(b, i ? ",{\"name\":" : "{\"name\":");
		ft_str_add_json(b, t->name, strlen(t->name));
		ft_str_addf(b, ",\"dtype\":\"%s\",\"shape\":",
			    ft_dtype_name(t->dtype));
		add_shape(b, t);
		ft_str_addf(b, ",\"bytes\":%zu", t->nbytes);
		if (sh->stats)
			json_stats(b, t);
		ft_str_addc(b, '}');
		show_flush(sh);
		numel += t->numel;
	}
	ft_str_addf(b, "],\"elements\":%ju,\"bytes\":%ju}\n", (uintmax_t)numel,
		    (uintmax_t)st->ndata);
}

static void text_stats(struct ft_str *b, const struct ft_tensor *t)
{
	struct stats s = measure(t);
	double n = (double)s.n;

	if (s.n)
		ft_str_addf(b, "  %11.4g %11.4g %11.4g %11.4g %6ju", s.min,
			    s.max, s.sum / n, sqrt(s.sumsq / n),
			    (uintmax_t)s.odd);
	else
		ft_str_addf(b, "  %11s %11s %11s %11s %6ju", "-", "-", "-", "-",
			    (uintmax_t)s.odd);
}

static void text_table(struct show *sh, const struct ft_st *st)
{
	struct ft_str *b = &sh->buf, shape = {0};
	uint64_t numel = 0;
	int wide = 4;

	for (size_t i = 0; i < st->nmeta; i++) {
		ft_str_adds(b, "metadata ");
		show_text(b, st->meta[i].key, strlen(st->meta[i].key), "\\n");
		ft_str_adds(b, ": ");
		show_text(b, st->meta[i].value, strlen(st->meta[i].value),
			  "\\n");
		ft_str_addc(b, '\n');
	}
	for (size_t i = 0; i < st->n; i++)
		if (strlen(st->t[i].name) > (size_t)wide)
			wide = strlen(st->t[i].name) < 100
				       ? (int)strlen(st->t[i].name)
				       : 100;
	ft_str_addf(b, "%-*s  %-7s %-16s %12s", wide, "name", "dtype", "shape",
		    "bytes");
	if (sh->stats)
		ft_str_addf(b, "  %11s %11s %11s %11s %6s", "min", "max",
			    "mean", "rms", "nonfin");
	ft_str_addc(b, '\n');
	for (size_t i = 0; i < st->n; i++) {
		const struct ft_tensor *t = &st->t[i];
		size_t at;

		ft_str_clear(&shape);
		add_shape(&shape, t);
		at = b->n;
		show_text(b, t->name, strlen(t->name), "\\n");
		at = b->n - at;
		ft_str_addf(b, "%*s  %-7s %-16s %12zu",
			    at < (size_t)wide ? wide - (int)at : 0, "",
			    ft_dtype_name(t->dtype), shape.s, t->nbytes);
		if (sh->stats)
			text_stats(b, t);
		ft_str_addc(b, '\n');
		show_flush(sh);
		numel += t->numel;
	}
	ft_str_addf(b, "%zu tensors, %ju elements, %ju bytes\n", st->n,
		    (uintmax_t)numel, (uintmax_t)st->ndata);
	ft_str_release(&shape);
}

void tensors_table(struct show *sh, const struct source *s)
{
	struct ft_st st;

	tensors_open(&st, s);
	if (sh->json)
		json_table(sh, &st, s);
	else
		text_table(sh, &st);
	ft_st_release(&st);
}
