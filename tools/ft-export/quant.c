/* SPDX-License-Identifier: MIT */
/*
 * Weights in 4 bits: reading a base that bitsandbytes quantised, and writing
 * its form.  A matrix becomes NF4 whole, since the mean of all its factors is
 * taken; its parts, which stand apart in a file, are made when they are asked
 * for, and the last matrix is kept.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "libcommon/nn/quant.h"
#include "tools/ft-export/export.h"

enum { STATE_BYTES = 320 }; /* spaces at its end: its size is known before */

/* Which linear's weight is this? */
bool quant_linear(const struct export *e, const char *name, struct linear *l)
{
	char module[FT_NAME_MAX];

	for (size_t i = 0; i < e->cfg.layers * FT_NSLOT; i++) {
		enum ft_slot s = (enum ft_slot)(i % FT_NSLOT);
		size_t n;

		if (!ft_slot_is_linear(s) || !ft_config_has(&e->cfg, s))
			continue;
		ft_config_stored(&e->cfg, s, i / FT_NSLOT, module,
				 sizeof(module));
		n = strlen(module);
		if (strncmp(module, name, n) != 0 ||
		    strcmp(name + n, ".weight") != 0)
			continue;
		*l = (struct linear){.slot = s, .layer = i / FT_NSLOT};
		snprintf(l->module, sizeof(l->module), "%s", module);
		ft_config_shape(&e->cfg, s, &l->n, &l->k);
		return true;
	}
	return false;
}

/* --- reading ------------------------------------------------------------- */

int quant_rows(struct export *e, const struct ft_st *st, const struct linear *l,
	       size_t r0, size_t n, float *out, struct ft_err *err)
{
	struct ftk *k = e->l.k;
	struct ftk_nf4 q;
	struct ftk_matrix m = {FTK_NF4, &q, l->n, l->k,
			       FTK_W_FORWARD | FTK_W_BACKWARD};
	int rc = ft_quant_find(st, l->module, l->n, l->k, &q, err);
	void *mem;

	if (rc <= 0)
		return rc < 0 ? -1
			      : ft_err_set(err, FT_EXIT_DATA,
					   "'%.150s' is not in 4 bits",
					   l->module);
	mem = k->alloc(k, k->weight_bytes(k, &m));
	if (!mem)
		return ft_err_set(err, FT_EXIT_SYS, "no memory for weights");
	k->weight_get(k, k->weight_make(k, mem, &m), r0, n, out);
	k->sync(k);
	k->free(k, mem);
	return 0;
}

/* --- comparing ----------------------------------------------------------- */

static float max_abs(const float *f, size_t n)
{
	float most = 0;

	for (size_t i = 0; i < n; i++)
		most = fmaxf(most, fabsf(f[i]));
	return most;
}

static size_t blocks(const struct linear *l)
{
	return (l->n * l->k + FT_NF4_BLOCK - 1) / FT_NF4_BLOCK;
}

double quant_error(const struct linear *l, const float *f, const float *x)
{
	/* half of the widest gaps between 4-bit and 8-bit numbers, and what
	   bfloat16 rounds */
	const double code = 0.1520, factor = 0.0071, half = 1.0 / 256;
	size_t n = blocks(l), numel = l->n * l->k;
	float *absmax = ft_xcalloc(n + 1, sizeof(*absmax));
	double mean = 0, worst = 0;

	for (size_t b = 0; b < n; b++) {
		size_t i = b * FT_NF4_BLOCK, left = numel - i;

		absmax[b] = max_abs(f + i,
				    left < FT_NF4_BLOCK ? left : FT_NF4_BLOCK);
		mean += (double)absmax[b] / (double)n;
	}
	for (size_t g = 0; g < n; g += FT_NF4_GROUP) {
		double most = 0;

		for (size_t b = g; b < g + FT_NF4_GROUP && b < n; b++)
			most = fmax(most, fabs((double)absmax[b] - mean));
		for (size_t i = g * FT_NF4_BLOCK;
		     i < (g + FT_NF4_GROUP) * FT_NF4_BLOCK && i < numel; i++) {
			double far = fabs((double)x[i] - (double)f[i]);

			far /= (code + half) *
				       (double)absmax[i / FT_NF4_BLOCK] +
			       factor * most + 1e-6 * mean + DBL_MIN;
			worst = far <= worst ? worst : far; /* NaN stays */
		}
	}
	free(absmax);
	return worst;
}

/* --- writing ------------------------------------------------------------- */

static const struct part {
	const char *suffix;
	enum ft_dtype dtype;
} parts[] = {
	{"", FT_U8},
	{".absmax", FT_U8},
	{".quant_map", FT_F32},
	{".nested_absmax", FT_F32},
	{".nested_quant_map", FT_F32},
	{".quant_state.bitsandbytes__nf4", FT_U8},
};
enum { NPARTS = sizeof(parts) / sizeof(*parts) };

size_t quant_parts(const struct linear *l, const char *name,
		   struct ft_tensor *t, char **names)
{
	const size_t numel[NPARTS] = {
		(l->n * l->k + 1) / 2,
		blocks(l),
		16,
		(blocks(l) + FT_NF4_GROUP - 1) / FT_NF4_GROUP,
		256,
		STATE_BYTES,
	};

	for (size_t i = 0; i < NPARTS; i++) {
		size_t len = strlen(name) + strlen(parts[i].suffix) + 1;

		names[i] = ft_xmalloc(len);
		snprintf(names[i], len, "%s%s", name, parts[i].suffix);
		t[i] = (struct ft_tensor){.name = names[i],
					  .dtype = parts[i].dtype,
					  .ndim = i ? 1 : 2,
					  .shape = {numel[i], 1}};
	}
	return NPARTS;
}

int quant_keep(struct export *e, struct quantised *k, const struct linear *l,
	       const float *f, struct ft_err *err)
{
	struct ftk_matrix m = {FTK_F32, f, l->n, l->k,
			       FTK_W_FORWARD | FTK_W_NF4};
	size_t nbytes = e->l.k->weight_bytes(e->l.k, &m);

	quant_drop(e, k);
	if (nbytes != SIZE_MAX)
		k->mem = e->l.k->alloc(e->l.k, nbytes);
	if (!k->mem)
		return ft_err_set(err, FT_EXIT_SYS, "no memory for weights");
	e->l.k->weight_nf4(e->l.k, e->l.k->weight_make(e->l.k, k->mem, &m),
			   &k->q);
	k->of = *l;
	return 0;
}

bool quant_kept(const struct quantised *k, const struct linear *l)
{
	return k->mem && k->of.slot == l->slot && k->of.layer == l->layer;
}

void quant_drop(struct export *e, struct quantised *k)
{
	if (k->mem)
		e->l.k->free(e->l.k, k->mem);
	k->mem = NULL;
}

int quant_write(const struct export *e, const struct quantised *k,
		const struct ft_tensor *t, const char *suffix,
		struct ft_output *out, struct ft_err *err)
{
	const void *data[NPARTS] = {k->q.code, k->q.absmax, k->q.value,
				    k->q.nested, k->q.map};
	struct ft_str state = {0};
	int rc = -1;

	for (size_t i = 0; i < NPARTS; i++) {
		if (strcmp(suffix, parts[i].suffix) != 0)
			continue;
		if (data[i])
			return ft_output_write(out, data[i], t->nbytes, err);
		ft_quant_state(&state, k->of.n, k->of.k,
			       e->stored == FT_BF16 ? "bfloat16" : "float32",
			       k->q.offset);
		while (state.n < STATE_BYTES)
			ft_str_addc(&state, ' ');
		rc = ft_output_write(out, state.s, t->nbytes, err);
		ft_str_release(&state);
		return rc;
	}
	return ft_err_set(err, FT_EXIT_DATA, "tensor '%.150s' is unknown",
			  t->name);
}
