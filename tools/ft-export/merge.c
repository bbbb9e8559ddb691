/* SPDX-License-Identifier: MIT */
/* The merged model, tensor by tensor: W + scale B A in float32, then cast. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "libcommon/io/input.h"
#include "libcommon/io/rows.h"
#include "tools/ft-export/export.h"

enum { CONFIG_MAX = 1 << 24, BLOCK = 1 << 20 };

struct merge {
	struct export *e;
	const struct ft_st *st;
	float *f; /* owned; a block of rows */
	size_t cap;
};

static bool is_float(enum ft_dtype t)
{
	return t == FT_F32 || t == FT_BF16 || t == FT_F16 || t == FT_F64;
}

/* Which module's matrix is this?  False for all else. */
static bool find_module(const struct export *e, const char *name,
			const struct ft_lora_mod **mod)
{
	size_t n = strlen(name);
	char module[FT_NAME_MAX];

	if (!e->has_adapter || n < 7 || strcmp(name + n - 7, ".weight") != 0)
		return false;
	for (size_t i = 0; i < e->adapter.nmod; i++) {
		const struct ft_lora_mod *m = &e->adapter.mod[i];

		ft_config_name(&e->cfg, m->slot, m->layer, module,
			       sizeof(module));
		if (strlen(module) == n - 7 && !memcmp(module, name, n - 7)) {
			*mod = m;
			return true;
		}
	}
	return false;
}

static int put_floats(struct merge *g, const struct ft_tensor *t, size_t n,
		      struct ft_output *out, struct ft_err *err)
{
	uint16_t *h = (uint16_t *)g->f;

	for (size_t i = 0; i < n; i++) {
		if (!isfinite(g->f[i]))
			return ft_err_set(
				err, FT_EXIT_DATA,
				"tensor '%.150s' holds a value that is not finite",
				t->name);
	}
	/* in place: a half is never ahead of the float it comes from */
	if (t->dtype == FT_BF16) {
		for (size_t i = 0; i < n; i++)
			h[i] = ft_bf16(g->f[i]);
	}
	return ft_output_write(out, g->f, n * ft_dtype_size(t->dtype), err);
}

/* Rows of a matrix at a time; a vector, or what has more dimensions, in
   pieces of one row each. */
static int fill(void *arg, const struct ft_tensor *t, struct ft_output *out,
		struct ft_err *err)
{
	struct merge *g = arg;
	const struct ft_tensor *from = ft_st_find(g->st, t->name);
	const struct ft_lora_mod *mod = NULL;
	size_t width, rows, step, es = ft_dtype_size(from->dtype);
	bool merged = find_module(g->e, t->name, &mod);

	if (!merged && t->dtype == from->dtype)
		return ft_output_write(out, from->data, from->nbytes, err);
	width = t->ndim == 2 ? (size_t)t->shape[1] : 1;
	rows = width ? (size_t)t->numel / width : 0;
	if (merged && (t->ndim != 2 || rows != mod->n || width != mod->k))
		return ft_err_set(
			err, FT_EXIT_DATA,
			"tensor '%.150s' has another shape than its adapter",
			t->name);
	step = width < BLOCK && width ? BLOCK / width : 1;
	FT_GROW(g->f, 0, g->cap, step * width);
	for (size_t r = 0; r < rows; r += step) {
		size_t n = rows - r < step ? rows - r : step;

		if (ft_to_f32(g->f, (const char *)from->data + r * width * es,
			      from->dtype, n * width))
			return ft_err_set(err, FT_EXIT_DATA,
					  "tensor '%.150s' is of type %s",
					  t->name, ft_dtype_name(from->dtype));
		if (merged)
			ft_adapter_merge(&g->e->adapter, mod->slot, mod->layer,
					 r, n, g->f);
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
		if (is_float(st->t[i].dtype))
			all += st->t[i].numel;
		if (st->t[i].dtype == FT_BF16)
			bf16 += st->t[i].numel;
	}
	return 2 * bf16 > all ? FT_BF16 : FT_F32;
}

/* The base's config.json with its type: the rest byte for byte. */
static void write_config(struct export *e)
{
	const char *type =
		e->stored == FT_BF16 ? "\"bfloat16\"" : "\"float32\"";
	const struct ft_edit edit[] = {
		{.key = "dtype", .json = type, .n = strlen(type)},
		{.key = "torch_dtype", .json = type, .n = strlen(type)},
	};
	struct ft_str path = {0}, text = {0};
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
	ft_row_edit(&row, edit, 2, &text);
	if (ft_files_write(&e->files, e->out, "config.json", text.s, text.n,
			   &err))
		ft_die_err(&err);
	ft_arena_release(&arena);
	ft_str_release(&path);
	ft_str_release(&text);
	free(s);
}

void export_weights(struct export *e)
{
	struct ft_st st;
	struct merge g = {.e = e, .st = &st};
	struct ft_tensor *t;
	struct ft_err err;

	if (ft_st_open_dir(&st, e->dir, &err))
		ft_die_err(&err);
	e->stored = choose_dtype(e, &st);
	t = ft_xcalloc(st.n + 1, sizeof(*t));
	for (size_t i = 0; i < st.n; i++) {
		t[i] = st.t[i];
		t[i].data = NULL;
		if (is_float(t[i].dtype))
			t[i].dtype = e->stored;
	}
	if (ft_shards_write(&e->files, e->out, t, st.n,
			    (uint64_t)e->shard_bytes, fill, &g, &err))
		ft_die_err(&err);
	write_config(e);
	ft_st_release(&st);
	free(g.f);
	free(t);
}
