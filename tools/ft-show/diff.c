/* SPDX-License-Identifier: MIT */
/* Where two files first differ. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"
#include "libcommon/io/rows.h"
#include "tools/ft-show/show.h"
#include "tools/ft-show/stream.h"

static bool say(struct ft_str *b, const char *what, const char *x,
		const char *y)
{
	ft_str_addf(b, "%s: ", what);
	show_text(b, x, strlen(x), "\\n");
	ft_str_adds(b, " against ");
	show_text(b, y, strlen(y), "\\n");
	ft_str_addc(b, '\n');
	return true;
}

static bool say_int(struct ft_str *b, const char *what, int64_t x, int64_t y)
{
	ft_str_addf(b, "%s: %jd against %jd\n", what, (intmax_t)x, (intmax_t)y);
	return true;
}

/* Token streams: what is trained on, not how it was cut or came about. */

static bool diff_info(struct ft_str *b, const struct ft_stream_info *x,
		      const struct ft_stream_info *y)
{
	if (x->kind != y->kind)
		return say(b, "kind", ft_stream_kinds[x->kind],
			   ft_stream_kinds[y->kind]);
	if (strcmp(x->tokenizer, y->tokenizer) != 0)
		return say(b, "tokenizer", x->tokenizer, y->tokenizer);
	if (x->vocab_size != y->vocab_size)
		return say_int(b, "vocabulary", x->vocab_size, y->vocab_size);
	if (strcmp(x->reference, y->reference) != 0)
		return say(b, "reference", x->reference, y->reference);
	return false;
}

static const struct ft_column *column(const struct ft_tokens *b,
				      const char *name)
{
	for (int c = 0; c < b->ncol; c++)
		if (strcmp(b->col[c].name, name) == 0)
			return &b->col[c];
	return NULL;
}

/* x's columns against y's; a column that is not there is NaN throughout. */
static bool diff_columns(struct ft_str *b, const char *where,
			 const struct stream *x, const struct stream *y,
			 bool back)
{
	for (int c = 0; c < x->b.ncol; c++) {
		const struct ft_column *u = &x->b.col[c];
		const struct ft_column *v = column(&y->b, u->name);
		int64_t s0 = x->b.cu_rows[x->i], s1 = x->b.cu_rows[x->i + 1];
		int64_t t0 = y->b.cu_rows[y->i];
		int64_t n = s1 - s0;

		if (u->per_token) {
			n = x->b.cu_seqlens[s1] - x->b.cu_seqlens[s0];
			s0 = x->b.cu_seqlens[s0];
			t0 = y->b.cu_seqlens[t0];
		}
		if (v && v->per_token != u->per_token) {
			ft_str_addf(b, "%s: column '", where);
			show_text(b, u->name, strlen(u->name), "");
			ft_str_adds(b, "' is by token in only one\n");
			return true;
		}
		for (int64_t k = 0; k < n; k++) {
			float p = u->v[s0 + k], q = v ? v->v[t0 + k] : NAN;

			if (p == q || (isnan(p) && isnan(q)))
				continue;
			ft_str_addf(b, "%s: column '", where);
			show_text(b, u->name, strlen(u->name), "");
			ft_str_addf(b, "', %s %jd: ",
				    u->per_token ? "token" : "segment",
				    (intmax_t)k);
			show_number(b, (double)(back ? q : p));
			ft_str_adds(b, " against ");
			show_number(b, (double)(back ? p : q));
			ft_str_addc(b, '\n');
			return true;
		}
	}
	return false;
}

static bool diff_tokens(struct ft_str *b, const char *where,
			const struct stream *x, int64_t t, int64_t u, int64_t n,
			const struct stream *y)
{
	char what[192];

	for (int64_t k = 0; k < n; k++) {
		bool id = x->b.ids[t + k] != y->b.ids[u + k];

		if (!id && x->b.mask[t + k] == y->b.mask[u + k])
			continue;
		snprintf(what, sizeof(what), "%s, token %jd%s", where,
			 (intmax_t)k, id ? "" : " loss_mask");
		return id ? say_int(b, what, x->b.ids[t + k], y->b.ids[u + k])
			  : say_int(b, what, x->b.mask[t + k],
				    y->b.mask[u + k]);
	}
	return false;
}

static bool diff_row(struct ft_str *b, const struct stream *x,
		     const struct stream *y, int64_t n)
{
	int64_t s = x->b.cu_rows[x->i], u = y->b.cu_rows[y->i];
	int64_t nx = x->b.cu_rows[x->i + 1] - s,
		ny = y->b.cu_rows[y->i + 1] - u;
	char row[64], where[128];

	snprintf(row, sizeof(row), "row %jd", (intmax_t)n);
	snprintf(where, sizeof(where), "%s, source line", row);
	if (x->b.row[x->i] != y->b.row[y->i])
		return say_int(b, where, x->b.row[x->i], y->b.row[y->i]);
	snprintf(where, sizeof(where), "%s, branches", row);
	if (nx != ny)
		return say_int(b, where, nx - 1, ny - 1);
	for (int64_t k = 0; k < nx; k++) {
		int64_t p = x->b.cu_seqlens[s + k], q = y->b.cu_seqlens[u + k];
		int64_t m = x->b.cu_seqlens[s + k + 1] - p;
		int64_t l = y->b.cu_seqlens[u + k + 1] - q;

		if (k)
			snprintf(where, sizeof(where), "%s, branch %jd", row,
				 (intmax_t)k);
		else
			snprintf(where, sizeof(where), "%s, prefix", row);
		if (diff_tokens(b, where, x, p, q, m < l ? m : l, y))
			return true;
		if (m != l) {
			ft_str_addf(b, "%s: %jd against %jd tokens\n", where,
				    (intmax_t)m, (intmax_t)l);
			return true;
		}
	}
	return diff_columns(b, row, x, y, false) ||
	       diff_columns(b, row, y, x, true);
}

static bool diff_streams(struct ft_str *b, const struct source *sx,
			 const struct source *sy)
{
	struct stream x, y;
	bool more, differ;
	int64_t n = 0;

	stream_open(&x, sx);
	stream_open(&y, sy);
	differ = diff_info(b, &x.info, &y.info);
	while (!differ) {
		more = stream_row(&x);
		if (more != stream_row(&y)) {
			ft_str_addf(b, "%s ends after %jd rows\n",
				    more ? sy->name : sx->name, (intmax_t)n);
			differ = true;
		} else if (!more) {
			break;
		} else {
			differ = diff_row(b, &x, &y, n);
		}
		n++;
	}
	stream_close(&x);
	stream_close(&y);
	return differ;
}

/* Tensors: names, dtypes, shapes and every bit of the elements. */

static void add_index(struct ft_str *b, const struct ft_tensor *t, uint64_t i)
{
	uint64_t at[FT_ST_MAXDIM];

	for (int d = t->ndim - 1; d >= 0; d--) {
		at[d] = i % t->shape[d];
		i /= t->shape[d];
	}
	ft_str_addc(b, '[');
	for (int d = 0; d < t->ndim; d++)
		ft_str_addf(b, "%s%ju", d ? "," : "", (uintmax_t)at[d]);
	ft_str_addc(b, ']');
}

static bool diff_tensor(struct ft_str *b, const struct ft_tensor *x,
			const struct ft_tensor *y)
{
	size_t width = ft_dtype_size(x->dtype);
	const char *p = x->data, *q = y->data;
	uint64_t i = 0;

	if (x->dtype == y->dtype && x->ndim == y->ndim &&
	    memcmp(x->shape, y->shape, sizeof(x->shape)) == 0 &&
	    (x->nbytes == 0 || memcmp(p, q, x->nbytes) == 0))
		return false;
	ft_str_adds(b, "tensor '");
	show_text(b, x->name, strlen(x->name), "\\n");
	ft_str_addc(b, '\'');
	if (x->dtype != y->dtype)
		return say(b, ", dtype", ft_dtype_name(x->dtype),
			   ft_dtype_name(y->dtype));
	if (x->ndim != y->ndim)
		return say_int(b, ", dimensions", x->ndim, y->ndim);
	for (int d = 0; d < x->ndim; d++)
		if (x->shape[d] != y->shape[d]) {
			ft_str_addf(b, ", shape[%d]", d);
			return say_int(b, "", (int64_t)x->shape[d],
				       (int64_t)y->shape[d]);
		}
	while (memcmp(p + i * width, q + i * width, width) == 0)
		i++;
	ft_str_addc(b, ' ');
	add_index(b, x, i);
	ft_str_adds(b, ": ");
	tensor_value(b, x, i);
	ft_str_adds(b, " against ");
	tensor_value(b, y, i);
	ft_str_addc(b, '\n');
	return true;
}

static bool diff_tensors(struct ft_str *b, const struct source *sx,
			 const struct source *sy)
{
	struct ft_st x, y;
	bool differ = false;
	size_t i = 0;

	tensors_open(&x, sx);
	tensors_open(&y, sy);
	for (; !differ && (i < x.n || i < y.n); i++) {
		int c = i == x.n   ? 1
			: i == y.n ? -1
				   : strcmp(x.t[i].name, y.t[i].name);

		if (c == 0) {
			differ = diff_tensor(b, &x.t[i], &y.t[i]);
			continue;
		}
		ft_str_adds(b, "tensor '");
		show_text(b, c < 0 ? x.t[i].name : y.t[i].name,
			  strlen(c < 0 ? x.t[i].name : y.t[i].name), "\\n");
		ft_str_addf(b, "' is in %s only\n",
			    c < 0 ? sx->name : sy->name);
		differ = true;
	}
	ft_st_release(&x);
	ft_st_release(&y);
	return differ;
}

/* Rows and JSON: values; order of members and white space do not count. */

static bool same_value(const struct ft_json *x, const struct ft_json *y);

/* Integers exactly, all else as doubles. */
static bool same_number(const struct ft_json *x, const struct ft_json *y)
{
	if (x->is_int && y->is_int)
		return x->i == y->i;
	return x->num == y->num;
}

static bool same_members(const struct ft_json *x, const struct ft_json *y)
{
	const struct ft_json *q = y->child;
	bool named = x->type == FT_JSON_OBJECT;

	if (x->n != y->n)
		return false;
	for (const struct ft_json *p = x->child; p; p = p->next) {
		/* mostly they come in the same order */
		if (named && !(q && !strcmp(p->key, q->key)))
			q = ft_json_get(y, p->key);
		if (!same_value(p, q))
			return false;
		q = q->next;
	}
	return true;
}

static bool same_value(const struct ft_json *x, const struct ft_json *y)
{
	if (!x || !y)
		return x == y;
	if (x->type != y->type)
		return false;
	switch (x->type) {
	case FT_JSON_NUMBER:
		return same_number(x, y);
	case FT_JSON_STRING:
		return x->ns == y->ns && !memcmp(x->s, y->s, x->ns);
	case FT_JSON_ARRAY:
	case FT_JSON_OBJECT:
		return same_members(x, y);
	default:
		return true;
	}
}

static void add_value(struct ft_str *b, const struct ft_json *j)
{
	size_t n = j ? j->nraw : 0;

	if (!j)
		ft_str_adds(b, "nothing");
	else
		show_text(b, j->raw, n < 100 ? n : 100, "\\n");
	if (n > 100)
		ft_str_adds(b, "...");
}

static bool diff_objects(struct ft_str *b, const char *where,
			 const struct ft_json *x, const struct ft_json *y)
{
	for (int side = 0; side < 2; side++)
		for (const struct ft_json *c = side ? y->child : x->child; c;
		     c = c->next) {
			const struct ft_json *p = ft_json_get(x, c->key);
			const struct ft_json *q = ft_json_get(y, c->key);

			if (same_value(p, q))
				continue;
			ft_str_addf(b, "%sfield '", where);
			show_text(b, c->key, strlen(c->key), "\\n");
			ft_str_adds(b, "': ");
			add_value(b, p);
			ft_str_adds(b, " against ");
			add_value(b, q);
			ft_str_addc(b, '\n');
			return true;
		}
	return false;
}

static int next_row(struct ft_rows *r, struct ft_row *row,
		    const struct source *s)
{
	struct ft_err err;
	int rc = ft_rows_next(r, row, &err);

	if (rc < 0)
		source_die(s, &err);
	return rc;
}

static bool diff_rows(struct ft_str *b, const struct source *sx,
		      const struct source *sy)
{
	char *fx[] = {sx->path}, *fy[] = {sy->path}, where[64];
	struct ft_rows *x, *y;
	struct ft_row p, q;
	struct ft_err err;
	bool differ = false;
	int64_t n = 0;

	if (ft_rows_open(&x, fx, 1, NULL, &err) < 0)
		source_die(sx, &err);
	if (ft_rows_open(&y, fy, 1, NULL, &err) < 0)
		source_die(sy, &err);
	for (; !differ; n++) {
		int more = next_row(x, &p, sx), also = next_row(y, &q, sy);

		if (more != also) {
			ft_str_addf(b, "%s ends after %jd rows\n",
				    more ? sy->name : sx->name, (intmax_t)n);
			differ = true;
		} else if (!more) {
			break;
		} else if (p.ntext != q.ntext ||
			   memcmp(p.text, q.text, p.ntext) != 0) {
			snprintf(where, sizeof(where), "row %jd, ",
				 (intmax_t)n);
			differ = diff_objects(b, where, p.obj, q.obj);
		}
	}
	ft_rows_close(x);
	ft_rows_close(y);
	return differ;
}

static bool diff_json(struct ft_str *b, const struct source *sx,
		      const struct source *sy)
{
	struct show x = {.json = false}, y = {.json = false};
	struct ft_arena a = {0};
	struct ft_json *p = NULL, *q = NULL;
	struct ft_err err;
	bool differ;

	json_pretty(&x, sx);
	json_pretty(&y, sy);
	if (ft_json_parse(&a, x.buf.s, x.buf.n, &p, &err) < 0 ||
	    ft_json_parse(&a, y.buf.s, y.buf.n, &q, &err) < 0)
		source_die(sx, &err);
	differ = !same_value(p, q);
	if (differ && !(p->type == FT_JSON_OBJECT &&
			q->type == FT_JSON_OBJECT && diff_objects(b, "", p, q)))
		ft_str_adds(b, "the values differ\n");
	ft_arena_release(&a);
	ft_str_release(&x.buf);
	ft_str_release(&y.buf);
	return differ;
}

bool show_diff(struct ft_str *b, const struct source *x, const struct source *y)
{
	bool tensors = (x->type == SHOW_TENSORS || x->type == SHOW_DIR) &&
		       (y->type == SHOW_TENSORS || y->type == SHOW_DIR);

	if (tensors)
		return diff_tensors(b, x, y);
	if (x->type != y->type)
		return say(b, "files", show_types[x->type],
			   show_types[y->type]);
	if (x->type == SHOW_STREAM)
		return diff_streams(b, x, y);
	if (x->type == SHOW_ROWS)
		return diff_rows(b, x, y);
	return diff_json(b, x, y);
}
