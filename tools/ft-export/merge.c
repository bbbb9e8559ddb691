/* SPDX-License-Identifier: MIT */
/* The merged model, tensor by tensor: W + scale B A in float32, then cast, or
   quantised. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "libcommon/io/input.h"
#include "libcommon/io/rows.h"
#include "libcommon/nn/quant.h"
#include "tools/ft-export/export.h"

enum { CONFIG_MAX = 1 << 24, BLOCK = 1 << 20 };

struct merge {
	struct export *e;
	const struct ft_st *st;
	float *f; /* owned; a block of rows */
	size_t cap;
	struct quantised kept;
};

static bool is_float(enum ft_dtype t)
{
	return t == FT_F32 || t == FT_BF16 || t == FT_F16 || t == FT_F64;
}

/* A tensor that the adapter changes. */
struct changed {
	enum ft_slot slot;
	size_t layer;
	bool turned; /* as files have it */
	size_t off;  /* of a vector in the adapter's block */
	bool vector;
};

static bool changes(const struct export *e, const char *name, struct changed *c)
{
	const struct ft_whole *whole;
	char module[FT_NAME_MAX];
	size_t n, rows, width;

	for (size_t i = 0; e->has_adapter && i < e->cfg.layers * FT_NSLOT;
	     i++) {
		enum ft_slot s = (enum ft_slot)(i % FT_NSLOT);

		if (!ft_adapter_has(&e->adapter, s, i / FT_NSLOT))
			continue;
		ft_config_stored(&e->cfg, s, i / FT_NSLOT, module,
				 sizeof(module));
		n = strlen(module);
		if (strncmp(name, module, n) != 0 ||
		    (strcmp(name + n, ".weight") && strcmp(name + n, ".bias")))
			continue;
		whole = ft_adapter_whole(&e->adapter, s, i / FT_NSLOT);
		ft_config_shape(&e->cfg, s, &rows, &width);
		*c = (struct changed){.slot = s,
				      .layer = i / FT_NSLOT,
				      .vector = name[n + 1] == 'b' || !width};
		c->turned = !c->vector && ft_config_turned(&e->cfg, s);
		if (whole)
			c->off = name[n + 1] == 'b' ? whole->w.off_bias
						    : whole->w.off_vec;
		return whole || !c->vector;
	}
	return false;
}

/* Must the head, which is the embedding, become one of its own? */
static bool unties(const struct export *e, const struct ft_st *st)
{
	return e->has_adapter && e->cfg.tied &&
	       !ft_st_find(st, "lm_head.weight") &&
	       (ft_adapter_has(&e->adapter, FT_EMBED, 0) ||
		ft_adapter_has(&e->adapter, FT_HEAD, 0));
}

/* What a tensor is made from: its own in the base, or the embedding. */
static const struct ft_tensor *source(const struct merge *g, const char *name)
{
	const struct ft_tensor *t = ft_st_find(g->st, name);
	char table[FT_NAME_MAX + 8];

	if (t)
		return t;
	ft_config_stored(&g->e->cfg, FT_EMBED, 0, table, FT_NAME_MAX);
	snprintf(table + strlen(table), 8, ".weight");
	return ft_st_find(g->st, table);
}

static int check_finite(const float *f, size_t n, const char *name,
			struct ft_err *err)
{
	for (size_t i = 0; i < n; i++) {
		if (!isfinite(f[i]))
			return ft_err_set(
				err, FT_EXIT_DATA,
				"tensor '%.150s' holds a value that is not finite",
				name);
	}
	return 0;
}

static int put_floats(struct merge *g, const struct ft_tensor *t, size_t n,
		      struct ft_output *out, struct ft_err *err)
{
	uint16_t *h = (uint16_t *)g->f;

	if (check_finite(g->f, n, t->name, err) < 0)
		return -1;
	/* in place: a half is never ahead of the float it comes from */
	if (t->dtype == FT_BF16) {
		for (size_t i = 0; i < n; i++)
			h[i] = ft_bf16(g->f[i]);
	}
	return ft_output_write(out, g->f, n * ft_dtype_size(t->dtype), err);
}

/* [n, k] becomes its transpose. */
static void turn(float *f, size_t n, size_t k)
{
	float *t = ft_xmalloc(n * k * sizeof(*t) + 1);

	for (size_t i = 0; i < n * k; i++)
		t[i % k * n + i / k] = f[i];
	memcpy(f, t, n * k * sizeof(*t));
	free(t);
}

/* Rows r.. of what was quantised, as files have it in floats. */
static int get_quantised(struct merge *g, const struct linear *l, size_t r,
			 size_t n, float *f, struct ft_err *err)
{
	float *all;
	int rc;

	if (!ft_config_turned(&g->e->cfg, l->slot))
		return quant_rows(g->e, g->st, l, r, n, f, err);
	all = ft_xmalloc(l->n * l->k * sizeof(*all));
	rc = quant_rows(g->e, g->st, l, 0, l->n, all, err);
	if (!rc) {
		turn(all, l->n, l->k);
		memcpy(f, all + r * l->n, n * l->n * sizeof(*f));
	}
	free(all);
	return rc;
}

/* Rows r.. of tensor `name`, which is there in floats, with what the adapter
   makes of it; all rows of what is turned. */
static void tune(const struct export *e, const struct changed *c, size_t width,
		 size_t r, size_t n, float *f)
{
	const struct ft_block *b = &e->adapter.b;

	if (c->vector) {
		b->k->get_real(b->k, f, ft_block_at(b, b->p, c->off + r), n);
		b->k->sync(b->k);
		return;
	}
	if (c->turned)
		turn(f, n, width);
	ft_adapter_merge(&e->adapter, c->slot, c->layer, r,
			 c->turned ? width : n, f);
	if (c->turned)
		turn(f, width, n);
}

static int get_rows(struct merge *g, const char *name, size_t width, size_t r,
		    size_t n, float *f, struct ft_err *err)
{
	const struct ft_tensor *from = source(g, name);
	struct changed c;
	struct linear l;

	if (quant_linear(g->e, name, &l) && ft_quant_is(g->st, l.module)) {
		if (get_quantised(g, &l, r, n, f, err) < 0)
			return -1;
	} else if (ft_to_f32(f,
			     (const char *)from->data +
				     r * width * ft_dtype_size(from->dtype),
			     from->dtype, n * width)) {
		return ft_err_set(err, FT_EXIT_DATA,
				  "tensor '%.150s' is of type %s", name,
				  ft_dtype_name(from->dtype));
	}
	if (changes(g->e, name, &c))
		tune(g->e, &c, width, r, n, f);
	return 0;
}

/* All of a linear's weight, [outputs, inputs]. */
static int get_linear(struct merge *g, const char *name, const struct linear *l,
		      float *f, struct ft_err *err)
{
	bool turned = ft_config_turned(&g->e->cfg, l->slot);
	size_t rows = turned ? l->k : l->n, width = turned ? l->n : l->k;

	if (get_rows(g, name, width, 0, rows, f, err) < 0)
		return -1;
	if (turned)
		turn(f, l->k, l->n);
	return 0;
}

/* A part of the weight `name`, quantised: its tensor's name goes on with
   suffix. */
static int fill_part(struct merge *g, const struct ft_tensor *t,
		     const struct linear *l, const char *name,
		     const char *suffix, struct ft_output *out,
		     struct ft_err *err)
{
	size_t n = l->n * l->k;

	if (!quant_kept(&g->kept, l)) {
		FT_GROW(g->f, 0, g->cap, n);
		if (get_linear(g, name, l, g->f, err) < 0 ||
		    check_finite(g->f, n, name, err) < 0)
			return -1;
		for (size_t i = 0; g->e->stored == FT_BF16 && i < n; i++) {
			uint16_t h = ft_bf16(g->f[i]);

			ft_to_f32(&g->f[i], &h, FT_BF16, 1);
		}
		if (quant_keep(g->e, &g->kept, l, g->f, err) < 0)
			return -1;
	}
	return quant_write(g->e, &g->kept, t, suffix, out, err);
}

/* Does the weight become NF4 here?  Of a base that is quantised already only
   what an adapter changes, and never what its config.json left out. */
static bool becomes_nf4(const struct merge *g, const char *name,
			struct linear *l)
{
	struct changed c;

	if (!g->e->bnb || !quant_linear(g->e, name, l))
		return false;
	return g->e->cfg.quantized ? ft_quant_is(g->st, l->module) &&
					     changes(g->e, name, &c)
				   : true;
}

/* Has the base's tensor the shape that the adapter is for? */
static int check_shape(const struct export *e, const struct ft_tensor *t,
		       const struct changed *c, struct ft_err *err)
{
	size_t n, k;

	ft_config_shape(&e->cfg, c->slot, &n, &k);
	if (c->vector ? t->ndim == 1 && t->numel == n
		      : t->ndim == 2 && t->shape[c->turned] == n &&
				t->shape[!c->turned] == k)
		return 0;
	return ft_err_set(err, FT_EXIT_DATA,
			  "tensor '%.150s' has another shape than its adapter",
			  t->name);
}

/* Rows of a matrix at a time; a vector, or what has more dimensions, in
   pieces of one row each; all at once what an adapter changes turned. */
static int fill(void *arg, const struct ft_tensor *t, struct ft_output *out,
		struct ft_err *err)
{
	struct merge *g = arg;
	const struct ft_tensor *from = source(g, t->name);
	const char *side = strstr(t->name, ".weight.");
	char name[FT_NAME_MAX + 16];
	size_t width, rows, step;
	struct changed c = {0};
	struct linear l;
	bool merged = changes(g->e, t->name, &c);

	snprintf(name, sizeof(name), "%.*s",
		 side ? (int)(side - t->name) + 7 : (int)sizeof(name), t->name);
	if (becomes_nf4(g, name, &l))
		return fill_part(g, t, &l, name, t->name + strlen(name), out,
				 err);
	if (!merged && t->dtype == from->dtype)
		return ft_output_write(out, from->data, from->nbytes, err);
	width = t->ndim == 2 ? (size_t)t->shape[1] : 1;
	rows = width ? (size_t)t->numel / width : 0;
	if (merged && check_shape(g->e, t, &c, err) < 0)
		return -1;
	step = width < BLOCK && width ? BLOCK / width : 1;
	if (merged && c.turned)
		step = rows;
	FT_GROW(g->f, 0, g->cap, step * width);
	for (size_t r = 0; r < rows; r += step) {
		size_t n = rows - r < step ? rows - r : step;

		if (get_rows(g, t->name, width, r, n, g->f, err))
			return -1;
		if (put_floats(g, t, n * width, out, err))
			return -1;
	}
	return 0;
}

/* The type most weights have; float16 becomes float32, which holds it. */
static enum ft_dtype choose_dtype(const struct export *e,
				  const struct ft_st *st)
{
	uint64_t bf16 = 0, all = 0;

	if (e->dtype != AS_BASE)
		return e->dtype == DTYPE_BFLOAT16 ? FT_BF16 : FT_F32;
	for (size_t i = 0; i < st->n; i++) {
		if (ft_quant_part(st, st->t[i].name))
			continue;
		if (is_float(st->t[i].dtype))
			all += st->t[i].numel;
		if (st->t[i].dtype == FT_BF16)
			bf16 += st->t[i].numel;
	}
	return 2 * bf16 > all ? FT_BF16 : FT_F32;
}

/* What transformers writes of NF4 with double quantization. */
static void add_quantization(const struct export *e, struct ft_str *s)
{
	const char *type = e->stored == FT_BF16 ? "bfloat16" : "float32";

	ft_str_addf(
		s,
		"{\"quant_method\": \"bitsandbytes\", \"load_in_4bit\": true, \"load_in_8bit\": false, \"bnb_4bit_quant_type\": \"nf4\", \"bnb_4bit_use_double_quant\": true, \"bnb_4bit_compute_dtype\": \"%s\", \"bnb_4bit_quant_storage\": \"uint8\", \"llm_int8_skip_modules\": %s}",
		type,
		e->cfg.arch->nested
			? "[\"lm_head\", \"vision_tower\", \"multi_modal_projector\"]"
			: "null");
}

/* The base's config.json with its type, how it is quantised, and whether the
   head is the embedding: the rest byte for byte. */
static void write_config(struct export *e, bool untied)
{
	const char *type =
		e->stored == FT_BF16 ? "\"bfloat16\"" : "\"float32\"";
	struct ft_edit edit[] = {
		{.key = "dtype", .json = type, .n = strlen(type)},
		{.key = "torch_dtype", .json = type, .n = strlen(type)},
		{.key = "quantization_config"},
		{.key = "tie_word_embeddings", .json = "false", .n = 5},
	};
	const struct ft_json *was;
	struct ft_str path = {0}, text = {0}, quant = {0};
	struct ft_arena arena = {0};
	struct ft_row row = {0};
	struct ft_err err;
	char *s;

	ft_str_addf(&path, "%s/config.json", e->dir);
	s = ft_read_file(path.s, CONFIG_MAX, &row.ntext, &err);
	if (!s)
		ft_die_err(&err);
	row.text = s;
	if (ft_json_parse(&arena, s, row.ntext, &row.obj, &err)) {
		ft_err_at(&err, path.s, 0);
		ft_die_err(&err);
	}
	was = ft_json_get(row.obj, "quantization_config");
	if (e->bnb && e->cfg.quantized && was)
		ft_str_add(&quant, was->raw, was->nraw);
	else if (e->bnb && !e->cfg.quantized)
		add_quantization(e, &quant);
	edit[2].json = quant.s;
	edit[2].n = quant.n;
	ft_row_edit(&row, edit, untied ? 4 : 3, &text);
	if (ft_files_write(&e->files, e->out, "config.json", text.s, text.n,
			   &err))
		ft_die_err(&err);
	ft_arena_release(&arena);
	ft_str_release(&path);
	ft_str_release(&text);
	ft_str_release(&quant);
	free(s);
}

/* The tensors that are written of number i of the base's. */
static size_t add_tensors(const struct merge *g, size_t i, struct ft_tensor *t,
			  char **names)
{
	const char *name = g->st->t[i].name;
	char weight[FT_NAME_MAX + 16];
	struct linear l;

	*t = g->st->t[i];
	t->data = NULL;
	if (ft_quant_part(g->st, name)) {
		snprintf(weight, sizeof(weight), "%.*s",
			 (int)(strstr(name, ".weight.") - name) + 7, name);
		return g->e->bnb && !becomes_nf4(g, weight, &l);
	}
	if (becomes_nf4(g, name, &l))
		return quant_parts(&l, name, t, names);
	if (!g->e->bnb && quant_linear(g->e, name, &l) &&
	    ft_quant_is(g->st, l.module)) {
		t->dtype = g->e->stored;
		t->ndim = 2;
		t->shape[0] = ft_config_turned(&g->e->cfg, l.slot) ? l.k : l.n;
		t->shape[1] = t->shape[0] == l.n ? l.k : l.n;
	} else if (is_float(t->dtype)) {
		t->dtype = g->e->stored;
	}
	return 1;
}

void export_weights(struct export *e)
{
	struct ft_st st;
	struct merge g = {.e = e, .st = &st};
	struct ft_tensor *t;
	struct ft_err err;
	char **names;
	size_t n = 0;
	bool untied;

	if (ft_st_open_dir(&st, e->dir, &err))
		ft_die_err(&err);
	ft_config_see(&e->cfg, &st);
	e->stored = choose_dtype(e, &st);
	t = ft_xcalloc(st.n * QUANT_PARTS + 2, sizeof(*t));
	names = ft_xcalloc(st.n * QUANT_PARTS + 2, sizeof(*names));
	for (size_t i = 0; i < st.n; i++)
		n += add_tensors(&g, i, t + n, names + n);
	untied = unties(e, &st);
	if (untied && e->cfg.arch->nested)
		ft_die(FT_EXIT_DATA,
		       "merging an adapter on the embedding or head of a %s model, which are one, is not supported",
		       e->cfg.arch->type);
	if (untied) {
		t[n] = *source(&g, "lm_head.weight");
		t[n].name = "lm_head.weight";
		t[n].dtype = e->stored;
		t[n++].data = NULL;
	}
	if (ft_shards_write(&e->files, e->out, t, n, (uint64_t)e->shard_bytes,
			    fill, &g, &err))
		ft_die_err(&err);
	write_config(e, untied);
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	quant_drop(e, &g.kept);
	ft_st_release(&st);
	free((void *)names);
	free(g.f);
	free(t);
}

double export_nf4_error(struct export *e)
{
	struct ft_st base, made;
	struct merge g = {.e = e, .st = &base};
	float *f = NULL, *x = NULL;
	size_t capf = 0, capx = 0;
	double worst = 0, far;
	struct ft_err err;

	if (ft_st_open_dir(&base, e->dir, &err) ||
	    ft_st_open_dir(&made, e->out, &err))
		ft_die_err(&err);
	for (size_t i = 0; i < base.n; i++) {
		const char *name = base.t[i].name;
		struct linear l;

		if (!becomes_nf4(&g, name, &l))
			continue;
		FT_GROW(f, 0, capf, l.n * l.k);
		FT_GROW(x, 0, capx, l.n * l.k);
		if (get_linear(&g, name, &l, f, &err) ||
		    quant_rows(e, &made, &l, 0, l.n, x, &err))
			ft_die_err(&err);
		far = quant_error(&l, f, x);
		worst = far <= worst ? worst : far;
	}
	free(f);
	free(x);
	ft_st_release(&base);
	ft_st_release(&made);
	return worst;
}
