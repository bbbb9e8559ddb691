/* SPDX-License-Identifier: MIT */
/* Private to libcommon/nn: what is inside a model. */
#ifndef FT_NN_MODEL_PRIV_H
#define FT_NN_MODEL_PRIV_H

#include <math.h>

#include "libcommon/nn/model.h"

/*
 * What one layer leaves behind for the backward; without save all layers share
 * one.  A layer that is computed again owns its input alone and lends the rest
 * from the last layer, which comes after it in the forward and before it in
 * the backward; one kept in part lends what norms and the gate make.
 */
struct ft_layer_acts {
	void *xa, *xm;       /* ACT [t, c]: its input, and after attention */
	void *stat1, *stat2; /* REAL [t, 2] */
	void *n1, *n2;       /* ACT [t, c] normalised */
	void *q, *k, *v, *o; /* ACT */
	void *lse;           /* REAL [t, hq] */
	void *gate, *up, *h; /* ACT [t, inter] */
	/* of families that have them */
	void *rq, *rk;       /* ACT: q and k before their norms */
	void *statq, *statk; /* REAL [t, heads, 2] */
	void *pa, *pm;       /* ACT [t, c] before norms of what is added */
	void *stat3, *stat4; /* REAL [t, 2] */
	void *u[FT_NSLOT];   /* ACT [t, r] of the adapter */
};

struct ft_model {
	struct ft_config cfg;
	struct ftk *k;
	struct ft_st st;
	bool full, nf4; /* trained; linears become NF4 */
	struct ft_block block;
	struct ft_weight *w; /* [FT_FIRST_LAYER_SLOT + layers * FT_NSLOT] */
	char *dir;
	void *weights; /* frozen ones and handles, one allocation; or NULL */
	size_t weight_bytes;

	size_t t;              /* tokens of the pass under way */
	struct ft_run run;     /* and how it is run */
	struct ft_reserve cap; /* what the buffers below hold */
	size_t chunk;          /* rows of logits at a time */
	void *mem;             /* all of the buffers, one allocation */
	size_t mem_bytes;
	struct ft_layer_acts *act;                  /* [layers] */
	void *x_final, *stat_final, *n_final, *tmp; /* [t, c] */
	void *table, *local;                        /* REAL [positions, rot] */
	void *qkv;       /* ACT [t, 3, q] where they are made together */
	int32_t *thirds; /* [3, t] rows of it that are q, k, v */
	int32_t *ids, *pos, *src, *target, *place;
	uint64_t *key;
	struct ftk_segment *seg;
	void *hrow, *logits, *dhrow, *coef, *logp, *lse, *entropy;
	uint8_t *hit;
	/* of an adapter on the head: keys [chunk] of hrow, what is dropped
	   [chunk, c], u and its gradient [chunk, r]; on the embedding u [t, r];
	   all but keys ACT */
	uint64_t *hkey;
	void *hx, *uh, *duh, *ue;
	void *z, *xd; /* ACT [t, widest] of DoRA: products, dropped inputs */
	void *slope;  /* ACT [predictions, c]: d logp / d hidden */
	float *ones;  /* on the host, [chunk] */
	/* backward */
	void *dx, *dn, *dq, *dk, *dv, *dao, *dh;
	void *drq, *drk, *dpost; /* through norms of q, k, what is added */
	void *ws;
};

static inline struct ft_weight *ft_weight_at(const struct ft_model *m,
					     enum ft_slot s, size_t layer)
{
	if (s < FT_FIRST_LAYER_SLOT)
		return &m->w[s];
	return &m->w[FT_FIRST_LAYER_SLOT + layer * FT_NSLOT + (size_t)s];
}

static inline float ft_attn_scale(const struct ft_config *c, size_t layer)
{
	return c->scale_by_layer ? c->attn_scale / (float)(layer + 1)
				 : c->attn_scale;
}

static inline bool ft_has(const struct ft_model *m, enum ft_slot s)
{
	return ft_config_has(&m->cfg, s);
}

/* The adapter's module at a place, or NULL. */
static inline const struct ft_lora_mod *ft_lora_at(const struct ft_adapter *a,
						   enum ft_slot s, size_t layer)
{
	int32_t i = a ? a->at[layer * FT_NSLOT + (size_t)s] : -1;

	return i < 0 ? NULL : &a->mod[i];
}

/* The weight that the pass under way has there: the adapter's, or the base's. */
static inline const struct ft_weight *
ft_weight_now(const struct ft_model *m, enum ft_slot s, size_t layer)
{
	const struct ft_adapter *a = m->run.adapter;
	int32_t i = a ? a->whole_at[layer * FT_NSLOT + (size_t)s] : -1;

	return i < 0 ? ft_weight_at(m, s, layer) : &a->whole[i].w;
}

/* Dropout of the input of an adapter's module, in the pass under way. */
static inline struct ftk_dropout ft_drop(const struct ft_model *m,
					 const struct ft_lora_mod *l)
{
	return (struct ftk_dropout){
		.p = m->run.dropout,
		.key = m->run.dropout_key,
		.token = l->slot == FT_HEAD ? m->hkey : m->key,
		.salt = (uint32_t)ft_slot_key(l->slot, l->layer)};
}

/* Is it a module that the adapter has whole? */
static inline bool ft_weight_whole(const struct ft_model *m,
				   const struct ft_weight *w)
{
	return w->in && !m->full;
}

/* m->z = drop(x) W', without bias, then with LoRA's part, of a module with
   DoRA; in between y -= m->z, where y is not NULL and there is dropout. */
void ft_model_dora(struct ft_model *m, const struct ft_lora_mod *l,
		   const void *x, void *y);

/* As the backend is told of it, without its data. */
struct ftk_matrix ft_model_matrix(struct ft_model *m, enum ft_slot s,
				  size_t layer);

/* Compute again what layer lends, from what it owns: forward.c. */
void ft_model_again(struct ft_model *m, size_t layer, size_t nseg);

/* Turn x ACT [t, heads, head_dim] by each token's position, or back. */
void ft_model_rope(struct ft_model *m, size_t layer, void *x, size_t heads,
		   int inverse);

/* What embeddings are multiplied by. */
float ft_model_scale(const struct ft_model *m);

/* Part j of three of m->qkv, whose rows are as wide as q's. */
static inline const int32_t *ft_third(const struct ft_model *m, size_t j)
{
	return m->thirds + j * m->cap.t;
}

#endif
