/* SPDX-License-Identifier: MIT */
/* A weight of a model: the base's, or a whole one of an adapter. */
#ifndef FT_NN_WEIGHT_H
#define FT_NN_WEIGHT_H

#include "libcommon/nn/block.h"
#include "libcommon/nn/config.h"

/* A matrix behind a handle, or a norm's vector. */
struct ft_weight {
	struct ftk_weight *w;
	void *vec;  /* REAL: bias of a matrix, or the norm's weight */
	void *bias; /* REAL: of a norm, or NULL */
	/* when trained: the block of its parameters, borrowed; else NULL */
	const struct ft_block *in;
	size_t off_w, off_vec, off_bias; /* in the block */
};

/* Append to b the parameters name.weight (if it has one of its own) and
   name.bias (if there is any) of slot s. */
void ft_weight_add(struct ft_weight *w, struct ft_block *b,
		   const struct ft_config *c, enum ft_slot s, const char *name,
		   bool own);
/* It is trained in b: vec and bias are in its memory, if there is that. */
void ft_weight_bind(struct ft_weight *w, const struct ft_block *b,
		    const struct ft_config *c, enum ft_slot s);

/* What the matrix of a slot is there for. */
static inline unsigned ft_slot_use(enum ft_slot s)
{
	return s == FT_EMBED || s == FT_POS ? FTK_W_ROWS
					    : FTK_W_FORWARD | FTK_W_BACKWARD;
}

/* Of a trained one the gradient at off; else NULL. */
static inline void *ft_weight_grad(const struct ft_weight *w, size_t off)
{
	return w->in ? ft_block_at(w->in, w->in->g, off) : NULL;
}

#endif
