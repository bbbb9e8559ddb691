/* SPDX-License-Identifier: MIT */
#include "libcommon/nn/adapter_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"
#include "libcommon/base/rng.h"

#define PREFIX "base_model.model."

bool ft_slot_adapts(enum ft_slot s)
{
	return ft_slot_is_linear(s) || s == FT_EMBED || s == FT_HEAD;
}

bool ft_place_at(const struct ft_config *c, size_t i, enum ft_slot *s,
		 size_t *layer)
{
	*s = (enum ft_slot)(i % FT_NSLOT);
	*layer = i / FT_NSLOT;
	return ft_config_has(c, *s) && (!*layer || *s >= FT_FIRST_LAYER_SLOT);
}

void ft_adapter_add(struct ft_adapter *a, const struct ft_config *c,
		    enum ft_slot s, size_t layer, size_t r, double alpha)
{
	bool table = s == FT_EMBED;
	const char *first = table ? "lora_embedding_A" : "lora_A.weight";
	const char *second = table ? "lora_embedding_B" : "lora_B.weight";
	char module[128], name[FT_NAME_MAX];
	struct ft_lora_mod *m;
	size_t n, k;

	FT_GROW(a->mod, a->nmod, a->capmod, 1);
	ft_config_shape(c, s, &n, &k);
	if (table) {
		n = c->hidden;
		k = c->vocab;
	}
	ft_config_name(c, s, layer, module, sizeof(module));
	m = &a->mod[a->nmod];
	*m = (struct ft_lora_mod){.slot = s,
				  .layer = layer,
				  .n = n,
				  .k = k,
				  .r = r,
				  .alpha = alpha};
	m->scale = (float)(a->rslora ? alpha / sqrt((double)r)
				     : alpha / (double)r);
	snprintf(name, sizeof(name), PREFIX "%s.%s", module, first);
	m->off_a =
		ft_block_add(&a->b, name, table ? k : r, table ? r : k, true);
	a->b.t[a->b.nt - 1].turned = table;
	snprintf(name, sizeof(name), PREFIX "%s.%s", module, second);
	m->off_b = ft_block_add(&a->b, name, n, r, true);
	if (a->dora) {
		snprintf(name, sizeof(name), PREFIX "%s.lora_magnitude_vector",
			 module);
		m->off_m = ft_block_add(&a->b, name, n, 0, true);
	}
	a->at[layer * FT_NSLOT + (size_t)s] = (int32_t)a->nmod++;
	if (r > a->max_r)
		a->max_r = r;
}

void ft_adapter_add_whole(struct ft_adapter *a, const struct ft_config *c,
			  enum ft_slot s, size_t layer)
{
	char name[FT_NAME_MAX] = PREFIX;
	size_t n = strlen(name);
	struct ft_whole *w;

	FT_GROW(a->whole, a->nwhole, a->capwhole, 1);
	w = &a->whole[a->nwhole];
	*w = (struct ft_whole){.slot = s, .layer = layer};
	ft_config_name(c, s, layer, name + n, sizeof(name) - n);
	ft_weight_add(&w->w, &a->b, c, s, name, true);
	a->whole_at[layer * FT_NSLOT + (size_t)s] = (int32_t)a->nwhole++;
}

void ft_adapter_start(struct ft_adapter *a, const struct ft_config *c)
{
	size_t n = c->layers * FT_NSLOT;

	*a = (struct ft_adapter){0};
	a->at = ft_xmalloc(n * sizeof(*a->at));
	a->whole_at = ft_xmalloc(n * sizeof(*a->whole_at));
	for (size_t i = 0; i < n; i++)
		a->at[i] = a->whole_at[i] = -1;
}

static int unknown_target(const struct ft_config *c, const char *target,
			  struct ft_err *err)
{
	struct ft_str s = {0};

	for (int i = 0; i < FT_NSLOT; i++) {
		if (ft_slot_adapts((enum ft_slot)i) &&
		    ft_config_has(c, (enum ft_slot)i))
			ft_str_addf(&s, "%s%s", s.n ? ", " : "",
				    ft_slot_module(c, (enum ft_slot)i));
	}
	ft_err_set(
		err, FT_EXIT_USAGE,
		"LoRA target '%.100s' names no layer of the model that LoRA is for (there are: all-linear, %s)",
		target, s.s);
	ft_str_release(&s);
	return -1;
}

/* "all-linear" is the linears of the layers; else a name has to be one. */
static bool wanted(enum ft_slot s, const char *module,
		   const struct ft_opt_list *targets, bool *used)
{
	bool hit = targets->n == 0 && ft_slot_is_linear(s);

	for (int i = 0; i < targets->n && ft_slot_adapts(s); i++) {
		if (!strcmp(targets->v[i], "all-linear")
			    ? ft_slot_is_linear(s)
			    : ft_target_names(targets->v[i], module))
			hit = used[i] = true;
	}
	return hit;
}

static bool saved(const char *module, const struct ft_opt_list *save,
		  bool *used)
{
	bool hit = false;

	for (int i = 0; i < save->n; i++) {
		if (ft_target_saves(save->v[i], module))
			hit = used[i] = true;
	}
	return hit;
}

/* "q_proj,v_proj" or several options: one list. */
static void split_targets(const struct ft_opt_list *in, struct ft_opt_list *out,
			  struct ft_arena *a)
{
	size_t cap = 0;

	*out = (struct ft_opt_list){0};
	for (int i = 0; i < in->n; i++) {
		const char *s = in->v[i];

		while (*s) {
			size_t n = strcspn(s, ", ");

			if (n) {
				out->v = ft_grow(out->v, (size_t)out->n, &cap,
						 1, sizeof(*out->v));
				out->v[out->n++] = ft_arena_strndup(a, s, n);
			}
			s += n + (s[n] != 0);
		}
	}
}

/* A; but of the embedding B. */
static double first_value(const struct ft_lora_mod *m, uint64_t seed, size_t i)
{
	uint64_t id = ft_slot_key(m->slot, m->layer);

	if (m->slot == FT_EMBED)
		return ft_rng_normal(seed, FT_RNG_INIT, id, i);
	return (2 * ft_rng_unit(seed, FT_RNG_INIT, id, i) - 1) *
	       (1 / sqrt((double)m->k));
}

static void init_values(struct ft_adapter *a, uint64_t seed)
{
	struct ftk *k = a->b.k;

	for (size_t i = 0; i < a->nmod; i++) {
		const struct ft_lora_mod *m = &a->mod[i];
		bool table = m->slot == FT_EMBED;
		size_t n = m->r * (table ? m->n : m->k);
		float *v = ft_xmalloc(n * sizeof(float));

		for (size_t j = 0; j < n; j++)
			v[j] = (float)first_value(m, seed, j);
		k->put_real(
			k,
			ft_block_at(&a->b, a->b.p, table ? m->off_b : m->off_a),
			v, n);
		k->sync(k);
		free(v);
	}
}

static int add_all(struct ft_adapter *a, const struct ft_config *c,
		   const struct ft_lora_opts *o,
		   const struct ft_opt_list *targets,
		   const struct ft_opt_list *save, bool *used,
		   struct ft_err *err)
{
	char module[128];
	enum ft_slot s;
	size_t layer;

	for (size_t i = 0; i < c->layers * FT_NSLOT; i++) {
		bool whole, lora;

		if (!ft_place_at(c, i, &s, &layer))
			continue;
		ft_config_name(c, s, layer, module, sizeof(module));
		whole = saved(module, save, used + targets->n);
		lora = wanted(s, module, targets, used);
		if (lora && !whole && a->dora && !ft_slot_is_linear(s))
			return ft_err_set(err, FT_EXIT_USAGE,
					  "--use-dora on '%s' is not supported",
					  module);
		if (whole)
			ft_adapter_add_whole(a, c, s, layer);
		else if (lora)
			ft_adapter_add(a, c, s, layer, (size_t)o->r, o->alpha);
	}
	for (int i = 0; i < targets->n; i++) {
		if (!used[i])
			return unknown_target(c, targets->v[i], err);
	}
	for (int i = 0; i < save->n; i++) {
		if (!used[targets->n + i])
			return ft_err_set(
				err, FT_EXIT_USAGE,
				"--lora-modules-to-save: the model has no module '%.100s'",
				save->v[i]);
	}
	return 0;
}

int ft_adapter_new(struct ft_adapter *a, struct ftk *k,
		   const struct ft_config *c, const struct ft_lora_opts *o,
		   uint64_t seed, struct ft_err *err)
{
	struct ft_arena arena = {0};
	struct ft_opt_list targets, save;
	bool *used;
	int rc = -1;

	ft_adapter_start(a, c);
	a->r = o->r;
	a->alpha = o->alpha;
	a->dropout = (float)o->dropout;
	a->rslora = o->rslora;
	a->dora = o->dora;
	split_targets(&o->targets, &targets, &arena);
	split_targets(&o->save, &save, &arena);
	used = ft_xcalloc((size_t)targets.n + (size_t)save.n + 1,
			  sizeof(*used));
	if (add_all(a, c, o, &targets, &save, used, err) == 0 &&
	    ft_block_alloc(&a->b, k, err) == 0) {
		init_values(a, seed);
		rc = 0;
	}
	free(used);
	free(targets.v);
	free(save.v);
	ft_arena_release(&arena);
	if (rc < 0)
		ft_adapter_release(a);
	return rc;
}

int ft_adapter_copy(struct ft_adapter *to, const struct ft_adapter *from,
		    const struct ft_config *c, struct ft_err *err)
{
	ft_adapter_start(to, c);
	to->r = from->r;
	to->alpha = from->alpha;
	to->rslora = from->rslora;
	to->dora = from->dora;
	for (size_t i = 0; i < c->layers * FT_NSLOT; i++) {
		const struct ft_lora_mod *m = NULL;
		enum ft_slot s = (enum ft_slot)(i % FT_NSLOT);

		if (from->at[i] >= 0)
			m = &from->mod[from->at[i]];
		if (m)
			ft_adapter_add(to, c, s, i / FT_NSLOT, m->r, m->alpha);
		else if (from->whole_at[i] >= 0)
			ft_adapter_add_whole(to, c, s, i / FT_NSLOT);
	}
	if (ft_block_alloc(&to->b, from->b.k, err) < 0) {
		ft_adapter_release(to);
		return -1;
	}
	ft_block_copy(&to->b, &from->b);
	return 0;
}

void ft_adapter_release(struct ft_adapter *a)
{
	if (a->mem)
		a->b.k->free(a->b.k, a->mem);
	ft_block_release(&a->b);
	free(a->mod);
	free(a->whole);
	free(a->at);
	free(a->whole_at);
	free(a->base);
	*a = (struct ft_adapter){0};
}

const struct ft_whole *ft_adapter_whole(const struct ft_adapter *a,
					enum ft_slot s, size_t layer)
{
	int32_t i = a->whole_at[layer * FT_NSLOT + (size_t)s];

	return i < 0 ? NULL : &a->whole[i];
}

bool ft_adapter_has(const struct ft_adapter *a, enum ft_slot s, size_t layer)
{
	return ft_adapter_whole(a, s, layer) ||
	       a->at[layer * FT_NSLOT + (size_t)s] >= 0;
}

static float *get(const struct ft_adapter *a, size_t off, size_t n)
{
	float *f = ft_xmalloc(n * sizeof(*f));

	a->b.k->get_real(a->b.k, f, ft_block_at(&a->b, a->b.p, off), n);
	a->b.k->sync(a->b.k);
	return f;
}

/* Rows of the embedding. */
static void merge_table(const struct ft_adapter *a, const struct ft_lora_mod *m,
			size_t r0, size_t n, float *w)
{
	float *fa = get(a, m->off_a + r0 * m->r, n * m->r);
	float *fb = get(a, m->off_b, m->n * m->r);

	for (size_t i = 0; i < n * m->n; i++) {
		for (size_t q = 0; q < m->r; q++)
			w[i] += m->scale * fa[i / m->n * m->r + q] *
				fb[i % m->n * m->r + q];
	}
	free(fa);
	free(fb);
}

/* Its rows as long as the magnitudes say. */
static void stretch(const struct ft_adapter *a, const struct ft_lora_mod *m,
		    size_t r0, size_t n, float *w)
{
	float *to = get(a, m->off_m + r0, n);

	for (size_t i = 0; i < n; i++) {
		double sum = 0;

		for (size_t j = 0; j < m->k; j++)
			sum += (double)w[i * m->k + j] * w[i * m->k + j];
		for (size_t j = 0; j < m->k; j++)
			w[i * m->k + j] *= (float)(to[i] / sqrt(sum));
	}
	free(to);
}

static void merge_linear(const struct ft_adapter *a,
			 const struct ft_lora_mod *m, size_t r0, size_t n,
			 float *w)
{
	float *fa = get(a, m->off_a, m->r * m->k);
	float *fb = get(a, m->off_b + r0 * m->r, n * m->r);

	for (size_t i = 0; i < n; i++) {
		for (size_t q = 0; q < m->r; q++) {
			float f = m->scale * fb[i * m->r + q];

			for (size_t j = 0; j < m->k; j++)
				w[i * m->k + j] += f * fa[q * m->k + j];
		}
	}
	free(fa);
	free(fb);
	if (a->dora)
		stretch(a, m, r0, n, w);
}

void ft_adapter_merge(const struct ft_adapter *a, enum ft_slot s, size_t layer,
		      size_t r0, size_t n, float *w)
{
	const struct ft_whole *whole = ft_adapter_whole(a, s, layer);
	int32_t i = a->at[layer * FT_NSLOT + (size_t)s];
	struct ftk *k = a->b.k;

	if (whole) {
		const struct ft_param *p = a->b.t;

		while (p->off != whole->w.off_w)
			p++;
		k->get_real(
			k, w,
			ft_block_at(&a->b, a->b.p, p->off + r0 * p->shape[1]),
			n * p->shape[1]);
		k->sync(k);
	} else if (i >= 0) {
		(s == FT_EMBED ? merge_table : merge_linear)(a, &a->mod[i], r0,
							     n, w);
	}
}
