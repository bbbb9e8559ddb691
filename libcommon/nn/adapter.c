/* SPDX-License-Identifier: MIT */
#include "libcommon/nn/adapter_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"
#include "libcommon/base/rng.h"

#define PREFIX "base_model.model."

void ft_adapter_add(struct ft_adapter *a, const struct ft_config *c,
		    enum ft_slot s, size_t layer, size_t r, double alpha)
{
	char module[128], name[FT_NAME_MAX];
	struct ft_lora_mod *m;
	size_t n, k;

	FT_GROW(a->mod, a->nmod, a->capmod, 1);
	ft_config_shape(c, s, &n, &k);
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
	snprintf(name, sizeof(name), PREFIX "%s.lora_A.weight", module);
	m->off_a = ft_block_add(&a->b, name, r, k, true);
	snprintf(name, sizeof(name), PREFIX "%s.lora_B.weight", module);
	m->off_b = ft_block_add(&a->b, name, n, r, true);
	a->at[layer * FT_NSLOT + (size_t)s] = (int32_t)a->nmod++;
	if (r > a->max_r)
		a->max_r = r;
}

void ft_adapter_start(struct ft_adapter *a, const struct ft_config *c)
{
	*a = (struct ft_adapter){0};
	a->at = ft_xmalloc(c->layers * FT_NSLOT * sizeof(*a->at));
	for (size_t i = 0; i < c->layers * FT_NSLOT; i++)
		a->at[i] = -1;
}

/* Does a target (a name, a dotted suffix, or a whole path) mean this module?
   PEFT: the module's path ends with it at a dot. */
bool ft_target_names(const char *target, const char *module)
{
	size_t nt = strlen(target), nm = strlen(module);

	if (nt > nm || strcmp(module + nm - nt, target))
		return false;
	return nt == nm || module[nm - nt - 1] == '.';
}

static int unknown_target(const struct ft_config *c, const char *target,
			  struct ft_err *err)
{
	struct ft_str s = {0};

	for (int i = 0; i < FT_NSLOT; i++) {
		if (ft_slot_is_linear((enum ft_slot)i) &&
		    ft_config_has(c, (enum ft_slot)i))
			ft_str_addf(&s, "%s%s", s.n ? ", " : "",
				    ft_slot_module(c, (enum ft_slot)i));
	}
	ft_err_set(
		err, FT_EXIT_USAGE,
		"LoRA target '%.100s' names no linear layer of the model (there are: all-linear, %s)",
		target, s.s);
	ft_str_release(&s);
	return -1;
}

static bool wanted(const struct ft_config *c, enum ft_slot s, size_t layer,
		   const struct ft_opt_list *targets, bool *used)
{
	char module[128];
	bool hit = targets->n == 0;

	if (!ft_slot_is_linear(s) || !ft_config_has(c, s))
		return false;
	ft_config_name(c, s, layer, module, sizeof(module));
	for (int i = 0; i < targets->n; i++) {
		if (!strcmp(targets->v[i], "all-linear") ||
		    ft_target_names(targets->v[i], module))
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

static void init_values(struct ft_adapter *a, uint64_t seed)
{
	struct ftk *k = a->b.k;

	for (size_t i = 0; i < a->nmod; i++) {
		const struct ft_lora_mod *m = &a->mod[i];
		size_t n = m->r * m->k;
		float *v = ft_xmalloc(n * sizeof(float));
		double bound = 1 / sqrt((double)m->k);
		uint64_t id = ft_slot_key(m->slot, m->layer);

		for (size_t j = 0; j < n; j++)
			v[j] = (float)((2 * ft_rng_unit(seed, FT_RNG_INIT, id,
							j) -
					1) *
				       bound);
		k->put_real(k, ft_block_at(&a->b, a->b.p, m->off_a), v, n);
		k->sync(k);
		free(v);
	}
}

int ft_adapter_new(struct ft_adapter *a, struct ftk *k,
		   const struct ft_config *c, const struct ft_lora_opts *o,
		   uint64_t seed, struct ft_err *err)
{
	struct ft_arena arena = {0};
	struct ft_opt_list targets;
	bool *used;
	int rc = -1;

	ft_adapter_start(a, c);
	a->r = o->r;
	a->alpha = o->alpha;
	a->dropout = (float)o->dropout;
	a->rslora = o->rslora;
	split_targets(&o->targets, &targets, &arena);
	used = ft_xcalloc((size_t)targets.n + 1, sizeof(*used));
	for (size_t l = 0; l < c->layers; l++) {
		for (int s = FT_FIRST_LAYER_SLOT; s < FT_NSLOT; s++) {
			if (wanted(c, (enum ft_slot)s, l, &targets, used))
				ft_adapter_add(a, c, (enum ft_slot)s, l,
					       (size_t)o->r, o->alpha);
		}
	}
	for (int i = 0; i < targets.n; i++) {
		if (!used[i]) {
			unknown_target(c, targets.v[i], err);
			goto out;
		}
	}
	if (k && ft_block_alloc(&a->b, k, err) < 0)
		goto out;
	if (k)
		init_values(a, seed);
	rc = 0;
out:
	free(used);
	free(targets.v);
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
	for (size_t i = 0; i < from->nmod; i++)
		ft_adapter_add(to, c, from->mod[i].slot, from->mod[i].layer,
			       from->mod[i].r, from->mod[i].alpha);
	if (ft_block_alloc(&to->b, from->b.k, err) < 0) {
		ft_adapter_release(to);
		return -1;
	}
	ft_block_copy(&to->b, &from->b);
	return 0;
}

void ft_adapter_release(struct ft_adapter *a)
{
	ft_block_release(&a->b);
	free(a->mod);
	free(a->at);
	free(a->base);
	*a = (struct ft_adapter){0};
}

static const struct ft_lora_mod *mod_at(const struct ft_adapter *a,
					enum ft_slot s, size_t layer)
{
	int32_t i = a->at[layer * FT_NSLOT + (size_t)s];

	return s < FT_FIRST_LAYER_SLOT || i < 0 ? NULL : &a->mod[i];
}

/* Factors as float32: A, and n rows of B from r0 on; to be freed. */
static void get_factors(const struct ft_adapter *a, const struct ft_lora_mod *m,
			size_t r0, size_t n, float **fa, float **fb)
{
	struct ftk *k = a->b.k;

	*fa = ft_xmalloc(m->r * m->k * sizeof(float));
	*fb = ft_xmalloc(n * m->r * sizeof(float));
	k->get_real(k, *fa, ft_block_at(&a->b, a->b.p, m->off_a), m->r * m->k);
	k->get_real(k, *fb, ft_block_at(&a->b, a->b.p, m->off_b + r0 * m->r),
		    n * m->r);
	k->sync(k);
}

void ft_adapter_merge_turned(const struct ft_adapter *a, enum ft_slot s,
			     size_t layer, size_t r0, size_t n, float *w)
{
	const struct ft_lora_mod *m = mod_at(a, s, layer);
	float *fa, *fb;

	if (!m)
		return;
	get_factors(a, m, 0, m->n, &fa, &fb);
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < m->n; j++) {
			for (size_t q = 0; q < m->r; q++)
				w[i * m->n + j] += m->scale * fb[j * m->r + q] *
						   fa[q * m->k + r0 + i];
		}
	}
	free(fa);
	free(fb);
}

void ft_adapter_merge(const struct ft_adapter *a, enum ft_slot s, size_t layer,
		      size_t r0, size_t n, float *w)
{
	const struct ft_lora_mod *m = mod_at(a, s, layer);
	float *fa, *fb;

	if (!m)
		return;
	get_factors(a, m, r0, n, &fa, &fb);
	for (size_t i = 0; i < n; i++) {
		for (size_t q = 0; q < m->r; q++) {
			float f = m->scale * fb[i * m->r + q];

			for (size_t j = 0; j < m->k; j++)
				w[i * m->k + j] += f * fa[q * m->k + j];
		}
	}
	free(fa);
	free(fb);
}
