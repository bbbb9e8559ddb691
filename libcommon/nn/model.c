/* SPDX-License-Identifier: MIT */
/* Opening a model: its weights from a directory, its table of parameters. */
#include "libcommon/nn/model_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"
#include "libcommon/nn/quant.h"

static size_t slots(const struct ft_config *c)
{
	return FT_FIRST_LAYER_SLOT + c->layers * FT_NSLOT;
}

/* Walk all weights of a model in their order on disk. */
struct walk {
	enum ft_slot s;
	size_t layer;
	size_t n, k;
	bool weight, bias; /* a tied head has no weight of its own */
	bool turned;       /* its transpose is what stands in files */
	char name[FT_NAME_MAX];
};

static void walk_set(struct walk *w, const struct ft_config *c, int s,
		     size_t layer)
{
	w->s = (enum ft_slot)s;
	w->layer = layer;
	ft_config_shape(c, w->s, &w->n, &w->k);
	w->weight = !(w->s == FT_HEAD && c->tied);
	w->bias = ft_config_bias(c, w->s);
	w->turned = ft_config_turned(c, w->s);
	ft_config_stored(c, w->s, layer, w->name, sizeof(w->name));
}

/* i counts slots of the flat table; false where there is no such weight. */
static bool walk_at(struct walk *w, const struct ft_config *c, size_t i)
{
	size_t s = i, layer = 0;

	if (i >= FT_FIRST_LAYER_SLOT) {
		layer = (i - FT_FIRST_LAYER_SLOT) / FT_NSLOT;
		s = (i - FT_FIRST_LAYER_SLOT) % FT_NSLOT;
		if (s < FT_FIRST_LAYER_SLOT)
			return false;
	}
	if (!ft_config_has(c, (enum ft_slot)s))
		return false;
	walk_set(w, c, (int)s, layer);
	return w->weight || w->bias;
}

static const struct ft_tensor *want(struct ft_model *m, const struct walk *w,
				    const char *what, struct ft_err *err)
{
	char name[FT_NAME_MAX + 16];
	const struct ft_tensor *t;
	bool vec = w->k == 0 || !strcmp(what, "bias");
	size_t n = w->turned && !vec ? w->k : w->n;
	size_t k = w->turned ? w->n : w->k;

	snprintf(name, sizeof(name), "%s.%s", w->name, what);
	t = ft_st_find(&m->st, name);
	if (!t) {
		ft_err_set(err, FT_EXIT_DATA, "tensor '%s' is missing", name);
		return NULL;
	}
	if (t->ndim != (vec ? 1 : 2) || t->shape[0] != n ||
	    (!vec && t->shape[1] != k)) {
		ft_err_set(
			err, FT_EXIT_DATA,
			"tensor '%s' is not of the shape that config.json says, [%zu%s%.0zu]",
			name, n, vec ? "" : ", ", vec ? 0 : k);
		return NULL;
	}
	if (t->dtype != FT_F32 && t->dtype != FT_BF16 && t->dtype != FT_F16) {
		ft_err_set(err, FT_EXIT_DATA,
			   "tensor '%s' is of type %s, which is not supported",
			   name, ft_dtype_name(t->dtype));
		return NULL;
	}
	return t;
}

static unsigned use_of(const struct ft_model *m, enum ft_slot s)
{
	bool both = s == FT_EMBED && m->cfg.tied;

	return ft_slot_use(s) | (both ? ft_slot_use(FT_HEAD) : 0);
}

/* Counting, there is no memory and no handle. */
static int make_handle(struct ft_model *m, struct ft_carve *c,
		       struct ft_weight *w, const struct ftk_matrix *mat,
		       struct ft_err *err)
{
	size_t nbytes = m->k->weight_bytes(m->k, mat);
	void *mem;

	if (nbytes == SIZE_MAX)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"weights of this type are not supported by backend %s",
			m->k->name);
	mem = ft_take(c, nbytes, 1);
	if (mem)
		w->w = m->k->weight_make(m->k, mem, mat);
	return 0;
}

/* As the backend is told of it; q is what it then points to in 4 bits. */
static int frozen_matrix(struct ft_model *m, const struct walk *k,
			 struct ftk_matrix *mat, struct ftk_nf4 *q,
			 struct ft_err *err)
{
	const struct ft_tensor *t;
	int rc = ft_quant_find(&m->st, k->name, k->n, k->k, q, err);

	*mat = (struct ftk_matrix){
		.n = k->n, .k = k->k, .use = use_of(m, k->s)};
	if (rc < 0)
		return -1;
	if (rc > 0 && mat->use & FTK_W_ROWS)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"the embedding is in 4 bits, which is not supported");
	if (rc > 0) {
		mat->data = q;
		mat->type = FTK_NF4;
		return 0;
	}
	t = want(m, k, "weight", err);
	if (!t)
		return -1;
	mat->data = t->data;
	mat->type = t->dtype == FT_F32    ? FTK_F32
		    : t->dtype == FT_BF16 ? FTK_BF16
					  : FTK_F16;
	if (k->turned)
		mat->use |= FTK_W_TURNED;
	if (m->nf4 && ft_slot_is_linear(k->s))
		mat->use |= FTK_W_NF4;
	return 0;
}

static int load_matrix(struct ft_model *m, struct ft_carve *c,
		       const struct walk *k, struct ft_weight *w,
		       struct ft_err *err)
{
	char name[FT_NAME_MAX + 16];
	const struct ft_tensor *t;
	struct ftk_matrix mat;
	struct ftk_nf4 q;

	if (frozen_matrix(m, k, &mat, &q, err) < 0 ||
	    make_handle(m, c, w, &mat, err) < 0)
		return -1;
	snprintf(name, sizeof(name), "%s.weight", k->name);
	t = ft_st_find(&m->st, name);
	if (c->base && t)
		ft_st_forget(&m->st, t);
	return 0;
}

static int load_vector(struct ft_model *m, struct ft_carve *c,
		       const struct walk *k, const char *what, void **vec,
		       struct ft_err *err)
{
	const struct ft_tensor *t = want(m, k, what, err);

	if (!t)
		return -1;
	*vec = ft_take(c, k->n, m->k->real_size);
	return *vec ? ft_put_tensor(m->k, *vec, t, false, err) : 0;
}

static int load_frozen(struct ft_model *m, struct ft_carve *c,
		       const struct walk *k, struct ft_weight *w,
		       struct ft_err *err)
{
	if (!k->k && load_vector(m, c, k, "weight", &w->vec, err) < 0)
		return -1;
	if (k->k && k->weight && load_matrix(m, c, k, w, err) < 0)
		return -1;
	return k->bias ? load_vector(m, c, k, "bias", k->k ? &w->vec : &w->bias,
				     err)
		       : 0;
}

static struct ftk_matrix trained_matrix(const struct ft_model *m,
					const struct walk *k, const void *data)
{
	return (struct ftk_matrix){.type = m->k->real,
				   .data = data,
				   .n = k->n,
				   .k = k->k,
				   .use = use_of(m, k->s) | FTK_W_TRAINED};
}

/* Trained weights live in the block; handles borrow its memory. */
static int load_trained(struct ft_model *m, struct ft_carve *c,
			const struct walk *k, struct ft_weight *w,
			struct ft_err *err)
{
	void *p = m->block.p ? ft_block_at(&m->block, m->block.p, w->off_w)
			     : NULL;
	struct ftk_matrix mat = trained_matrix(m, k, p);

	ft_weight_bind(w, &m->block, &m->cfg, k->s);
	return k->k && k->weight ? make_handle(m, c, w, &mat, err) : 0;
}

static void add_params(struct ft_model *m)
{
	struct walk k;

	for (size_t i = 0; i < slots(&m->cfg); i++) {
		if (walk_at(&k, &m->cfg, i))
			ft_weight_add(&m->w[i], &m->block, &m->cfg, k.s, k.name,
				      k.weight);
	}
}

/* Gemma 3 once had it elsewhere, too. */
static bool is_head(const char *name)
{
	return !strcmp(name, "lm_head.weight") ||
	       !strcmp(name, "language_model.lm_head.weight");
}

/* Tensors that published checkpoints carry and no forward reads. */
static bool ignored(const struct ft_model *m, const char *name)
{
	return (m->cfg.tied && is_head(name)) || ft_config_stray(&m->cfg, name);
}

static int check_surplus(struct ft_model *m, struct ft_err *err)
{
	size_t want_n = 0, seen = 0;
	struct walk k;

	for (size_t i = 0; i < slots(&m->cfg); i++) {
		if (walk_at(&k, &m->cfg, i))
			want_n += (size_t)k.weight + (size_t)k.bias;
	}
	for (size_t i = 0; i < m->st.n; i++)
		seen += !ignored(m, m->st.t[i].name) &&
			!ft_quant_part(&m->st, m->st.t[i].name);
	if (seen == want_n)
		return 0;
	for (size_t i = 0; i < m->st.n; i++) {
		const char *name = m->st.t[i].name;
		bool known = ignored(m, name) || ft_quant_part(&m->st, name);

		for (size_t j = 0; j < slots(&m->cfg) && !known; j++) {
			size_t n;

			if (!walk_at(&k, &m->cfg, j))
				continue;
			n = strlen(k.name);
			known = !strncmp(name, k.name, n) &&
				((k.weight && !strcmp(name + n, ".weight")) ||
				 (k.bias && !strcmp(name + n, ".bias")));
		}
		if (!known)
			return ft_err_set(
				err, FT_EXIT_DATA,
				"tensor '%.150s' is not part of a %s model with this config.json",
				name, m->cfg.arch->type);
	}
	return 0;
}

/* A head of its own that is not the embedding is one, whatever config.json
   says: so transformers 5 reads it. */
static void check_tied(struct ft_model *m)
{
	char name[FT_NAME_MAX];
	const struct ft_tensor *e, *h;
	size_t n;

	ft_config_stored(&m->cfg, FT_EMBED, 0, name, sizeof(name));
	n = strlen(name);
	snprintf(name + n, sizeof(name) - n, ".weight");
	e = ft_st_find(&m->st, name);
	h = ft_st_find(&m->st, "lm_head.weight");
	if (e && h && !ft_tensor_equal(e, h))
		m->cfg.tied = false;
}

/* All weights in the order on disk: counted, or with memory made. */
static int lay_weights(struct ft_model *m, struct ft_carve *c,
		       struct ft_err *err)
{
	struct walk k;

	for (size_t i = 0; i < slots(&m->cfg); i++) {
		if (walk_at(&k, &m->cfg, i) &&
		    (m->full ? load_trained : load_frozen)(m, c, &k, &m->w[i],
							   err) < 0)
			return -1;
	}
	if (m->cfg.tied) {
		m->w[FT_HEAD].w = m->w[FT_EMBED].w;
		m->w[FT_HEAD].off_w = m->w[FT_EMBED].off_w;
		m->w[FT_HEAD].in = m->w[FT_EMBED].in;
	}
	return 0;
}

static int check_tensors(struct ft_model *m, struct ft_err *err)
{
	struct walk k;

	for (size_t i = 0; i < slots(&m->cfg); i++) {
		if (walk_at(&k, &m->cfg, i) &&
		    ((k.weight && !want(m, &k, "weight", err)) ||
		     (k.bias && !want(m, &k, "bias", err))))
			return -1;
	}
	return 0;
}

/* Do the files hold what config.json says of them? */
static int check_quantized(struct ft_model *m, struct ft_err *err)
{
	int any = ft_quant_any(&m->st, err);

	if (any < 0)
		return -1;
	if (m->full && (m->cfg.quantized || any))
		return ft_err_set(
			err, FT_EXIT_USAGE,
			"weights in 4 bits cannot be trained: tune an adapter, or the model that they were made from");
	if (m->cfg.quantized && !any)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"config.json says that weights are quantised, but none is");
	m->nf4 = m->nf4 && !any;
	return 0;
}

int ft_model_begin(struct ft_model **out, struct ftk *k, const char *dir,
		   enum ft_hold hold, struct ft_err *err)
{
	struct ft_model *m = ft_xcalloc(1, sizeof(*m));
	struct ft_carve c = {0};

	m->k = k;
	m->full = hold == FT_HOLD_TRAINED;
	m->nf4 = hold == FT_HOLD_NF4;
	m->dir = ft_xstrdup(dir);
	if (ft_config_load(&m->cfg, dir, err) < 0)
		goto fail;
	m->w = ft_xcalloc(slots(&m->cfg), sizeof(*m->w));
	m->act = ft_xcalloc(m->cfg.layers, sizeof(*m->act));
	if (ft_st_open_dir(&m->st, dir, err) < 0)
		goto fail;
	ft_config_see(&m->cfg, &m->st);
	if (m->cfg.tied)
		check_tied(m);
	if (m->full)
		add_params(m);
	m->block.others = m->cfg.arch->nested != NULL;
	if (check_quantized(m, err) < 0 || check_surplus(m, err) < 0 ||
	    (m->full && check_tensors(m, err) < 0) ||
	    lay_weights(m, &c, err) < 0) {
		ft_err_at(err, dir, 0);
		goto fail;
	}
	m->weight_bytes = c.n;
	*out = m;
	return 0;
fail:
	ft_model_close(m);
	return -1;
}

static int load_block(struct ft_model *m, struct ft_err *err)
{
	if (ft_block_alloc(&m->block, m->k, err) < 0)
		return -1;
	for (size_t i = 0; i < m->block.nt; i++) {
		const struct ft_param *p = &m->block.t[i];
		const struct ft_tensor *t = ft_st_find(&m->st, p->name);

		if (ft_put_tensor(m->k,
				  ft_block_at(&m->block, m->block.p, p->off), t,
				  p->turned, err) < 0)
			return -1;
		ft_st_forget(&m->st, t);
	}
	return 0;
}

int ft_model_load(struct ft_model *m, struct ft_err *err)
{
	struct ft_carve c = {0};

	ft_trim(); /* what led here is not in the plan */
	if (m->full && load_block(m, err) < 0)
		return ft_err_at(err, m->dir, 0);
	m->weights = m->k->alloc(m->k, m->weight_bytes);
	if (!m->weights)
		return ft_err_set(err, FT_EXIT_SYS,
				  "no memory for weights (%zu MB)",
				  m->weight_bytes >> 20);
	c.base = m->weights;
	if (lay_weights(m, &c, err) < 0)
		return ft_err_at(err, m->dir, 0);
	return 0;
}

int ft_model_open(struct ft_model **out, struct ftk *k, const char *dir,
		  enum ft_hold hold, struct ft_err *err)
{
	if (ft_model_begin(out, k, dir, hold, err) < 0)
		return -1;
	if (ft_model_load(*out, err) == 0)
		return 0;
	ft_model_close(*out);
	*out = NULL;
	return -1;
}

void ft_model_close(struct ft_model *m)
{
	if (!m)
		return;
	if (m->weights)
		m->k->free(m->k, m->weights);
	if (m->mem)
		m->k->free(m->k, m->mem);
	ft_block_release(&m->block);
	ft_st_release(&m->st);
	free(m->ones);
	free(m->dir);
	free(m->w);
	free(m->act);
	free(m);
}

void ft_model_plan_weights(const struct ft_model *m, struct ft_plan *p)
{
	struct ft_carve c = {.plan = p, .part = FT_PLAN_WEIGHTS};

	ft_take(&c, m->weight_bytes, 1);
	ft_take(&c, m->block.n, m->k->real_size);
	p->mapped += m->st.ndata;
}

struct ftk_matrix ft_model_matrix(struct ft_model *m, enum ft_slot s,
				  size_t layer)
{
	struct ft_err ignored;
	struct ftk_matrix mat;
	struct ftk_nf4 q;
	struct walk k;

	walk_set(&k, &m->cfg, s == FT_HEAD && m->cfg.tied ? FT_EMBED : s,
		 layer);
	if (m->full)
		return trained_matrix(m, &k, NULL);
	/* it was there when the model was begun */
	(void)frozen_matrix(m, &k, &mat, &q, &ignored);
	mat.data = NULL;
	return mat;
}

const struct ft_config *ft_model_config(const struct ft_model *m)
{
	return &m->cfg;
}

struct ftk *ft_model_backend(const struct ft_model *m)
{
	return m->k;
}

struct ft_block *ft_model_block(struct ft_model *m)
{
	return m->full ? &m->block : NULL;
}

int ft_model_save(const struct ft_model *m, const char *path,
		  struct ft_err *err)
{
	struct ft_tensor *more = ft_xcalloc(m->st.n + 1, sizeof(*more));
	size_t n = 0;
	int rc;

	for (size_t i = 0; m->block.others && i < m->st.n; i++) {
		if (ft_config_stray(&m->cfg, m->st.t[i].name))
			more[n++] = m->st.t[i];
	}
	rc = ft_block_save_with(&m->block, more, n, path, err);
	free(more);
	return rc;
}

const struct ft_st *ft_model_file(const struct ft_model *m)
{
	return &m->st;
}

size_t ft_model_bytes(const struct ft_model *m)
{
	struct ft_carve c = {.n = m->weight_bytes + m->mem_bytes};

	ft_take(&c, m->block.n, m->k->real_size);
	if (m->block.g)
		ft_take(&c, m->block.n, m->k->real_size);
	return c.n;
}

void ft_model_sync(struct ft_model *m)
{
	for (size_t i = 0; m->full && i < slots(&m->cfg); i++) {
		if (m->w[i].w && !(i == FT_HEAD && m->cfg.tied))
			m->k->weight_sync(m->k, m->w[i].w);
	}
}

void ft_model_rows(struct ft_model *m, enum ft_slot s, size_t layer, size_t r0,
		   size_t n, const struct ft_adapter *a, float *out)
{
	m->k->weight_get(m->k, ft_weight_at(m, s, layer)->w, r0, n, out);
	if (a)
		ft_adapter_merge(a, s, layer, r0, n, out);
}

int ft_model_vector(struct ft_model *m, enum ft_slot s, size_t layer,
		    float *out)
{
	const struct ft_weight *w = ft_weight_at(m, s, layer);
	size_t n, k;

	if (!w->vec)
		return 0;
	ft_config_shape(&m->cfg, s, &n, &k);
	m->k->get_real(m->k, out, w->vec, n);
	m->k->sync(m->k);
	return 1;
}
