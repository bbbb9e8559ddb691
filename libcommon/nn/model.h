/* SPDX-License-Identifier: MIT */
/*
 * A model in memory, and the one forward and the one backward.
 *
 * What goes through a model is a pass: segments laid one after another, each
 * seeing its prefix and itself (struct ftk_segment), with the list of places
 * where a token is predicted.
 */
#ifndef FT_NN_MODEL_H
#define FT_NN_MODEL_H

#include "libcommon/io/tstream.h"
#include "libcommon/nn/adapter.h"
#include "libcommon/nn/block.h"
#include "libcommon/nn/config.h"
#include "libcommon/nn/plan.h"

struct ft_model;

/* --- what goes through --- */
struct ft_pass {
	size_t t, nseg, n;  /* tokens, segments, predictions */
	int32_t *ids, *pos; /* [t] */
	uint64_t *key;      /* [t] row, branch, position: dropout's counter */
	struct ftk_segment *seg; /* [nseg] */
	/* predictions, by ascending src: hidden row src predicts target */
	int32_t *src, *target; /* [n] */
	int32_t *at; /* [n] which token of the rows laid end to end it is */
	int32_t *of; /* [n] its segment */
	/*
	 * Lay out once what a row's branches begin with alike: it joins the
	 * prefix.  What is predicted there is every branch's (of: the prefix;
	 * at: as if it were the first branch's).
	 */
	bool share;
	size_t given; /* tokens of the rows, laid end to end */
	size_t capt, capseg, capn, maxpos;
};
void ft_pass_clear(struct ft_pass *p);
void ft_pass_release(struct ft_pass *p);
/* Room for so much in an empty one, and its count. */
void ft_pass_reserve(struct ft_pass *p, size_t t, size_t nseg);
void ft_pass_plan(size_t t, size_t nseg, struct ft_plan *plan);
/* Append row i of b.  all: predict every token of a branch, whatever the mask
   says. */
void ft_pass_add(struct ft_pass *p, const struct ft_tokens *b, size_t i,
		 bool all);

/* A cache of keys and values for decoding: cap places, for each layer. */
struct ft_kv {
	void **k, **v;
	size_t cap;
};

/* How a forward is to be run. */
struct ft_run {
	const struct ft_adapter *adapter; /* NULL: the model alone */
	bool save;                        /* keep what the backward needs */
	float dropout;
	uint64_t dropout_key;
	const struct ft_kv *kv; /* decoding: seg's k0, p0 are places of it */
	const int32_t *place;   /* [t] where each token's key goes */
};

/*
 * Room for passes of at most so much; grows what there is.  Of the layers
 * before the last the first heavy ones keep their input alone and are computed
 * again in the backward; further ones below light keep all but what norms and
 * the gate make.  No number depends on it.
 */
struct ft_reserve {
	size_t t, nseg, n, positions;
	/* of an adapter: its modules' greatest rank; has it DoRA, LoRA on
	   embedding or head, modules whole? */
	size_t r;
	bool dora, ends, whole;
	size_t light, heavy;
	bool save;
	bool slopes; /* for ft_model_slopes */
};

/* Room for it, too; NULL: for none. */
void ft_reserve_adapter(struct ft_reserve *r, const struct ft_adapter *a);

/* --- the model --- */
/*
 * How its weights are to be held: as they are; to be trained, in a block of
 * float32 masters; or with the linears of the layers in NF4 (those of a
 * directory that is quantised already stay as they are).
 */
enum ft_hold { FT_HOLD_FROZEN, FT_HOLD_TRAINED, FT_HOLD_NF4 };
int ft_model_open(struct ft_model **m, struct ftk *k, const char *dir,
		  enum ft_hold hold, struct ft_err *err);
/* The same in two: files are opened and checked, and memory is counted; then
   it is taken and the weights are read. */
int ft_model_begin(struct ft_model **m, struct ftk *k, const char *dir,
		   enum ft_hold hold, struct ft_err *err);
int ft_model_load(struct ft_model *m, struct ft_err *err);
/*
 * Count, from ft_model_begin on, into p: the weights; what ft_model_reserve
 * takes.  The last is the same for any number of threads up to 16; more of
 * them may take more, which is counted if asked for.
 */
void ft_model_plan_weights(const struct ft_model *m, struct ft_plan *p);
void ft_model_plan_acts(struct ft_model *m, const struct ft_reserve *r,
			bool more, struct ft_plan *p);
void ft_model_close(struct ft_model *m);
const struct ft_config *ft_model_config(const struct ft_model *m);
struct ftk *ft_model_backend(const struct ft_model *m);
struct ft_block *ft_model_block(struct ft_model *m); /* NULL unless full */
/* The block's parameters, and the parts of its files that no forward reads, as
   a file in float32. */
int ft_model_save(const struct ft_model *m, const char *path,
		  struct ft_err *err);
/* After the block's parameters changed. */
void ft_model_sync(struct ft_model *m);
int ft_model_reserve(struct ft_model *m, const struct ft_reserve *r,
		     struct ft_err *err);
size_t
ft_model_bytes(const struct ft_model *m); /* memory of weights and buffers */

/* Hidden states of the pass, ready for ft_model_head. */
void ft_model_forward(struct ft_model *m, const struct ft_run *run,
		      const struct ft_pass *p);
/*
 * Log-probabilities of the pass's targets into logp [n] (host), and where not
 * NULL entropy [n] and hit [n].  With coef [n] (host) also the gradient of
 * sum coef * logp at the hidden states, and at the head if it is trained: the
 * start of ft_model_backward.
 */
void ft_model_head(struct ft_model *m, const struct ft_pass *p,
		   const float *coef, float *logp, float *entropy,
		   uint8_t *hit);
/*
 * As ft_model_head, where coef is known only afterwards: what backward needs
 * of each prediction is kept until ft_model_slopes_apply, so that the logits
 * are not computed again (but where the head is trained they are).
 */
void ft_model_slopes(struct ft_model *m, const struct ft_pass *p, float *logp,
		     float *entropy, uint8_t *hit);
void ft_model_slopes_apply(struct ft_model *m, const struct ft_pass *p,
			   const float *coef);
/* Adds to the gradients of run->adapter's block, or of the model's. */
void ft_model_backward(struct ft_model *m, const struct ft_run *run,
		       const struct ft_pass *p);

/* REAL logits [n, vocab] of hidden rows src (host array): in the model's own
   buffer until the next call.  n <= the head's chunk (ft_model_chunk). */
void *ft_model_logits(struct ft_model *m, const int32_t *src, size_t n);
size_t ft_model_chunk(const struct ft_model *m);

/* --- an adapter on it --- */
/*
 * Take what memory it needs beside its parameters, and make it ready on a
 * model whose weights are there.  fresh: what begins as the base's (magnitudes,
 * whole modules) is set so.  It must not be copied or moved from here on.
 */
int ft_adapter_attach(struct ft_adapter *a, const struct ft_model *m,
		      bool fresh, struct ft_err *err);
/* After its parameters changed. */
void ft_adapter_sync(struct ft_adapter *a, const struct ft_model *m);
/* Count it, before that: its parameters, and what attaching takes. */
void ft_adapter_plan(struct ft_adapter *a, const struct ft_model *m,
		     enum ft_plan_part part, struct ft_plan *p);

/* One matrix as float32, rows [r0, r0+n), the adapter merged if given.  Norms
   and biases: ft_model_vector. */
void ft_model_rows(struct ft_model *m, enum ft_slot s, size_t layer, size_t r0,
		   size_t n, const struct ft_adapter *a, float *out);
/* NULL if there is none; bias of a matrix, or a norm's weight. */
int ft_model_vector(struct ft_model *m, enum ft_slot s, size_t layer,
		    float *out);
const struct ft_st *ft_model_file(const struct ft_model *m);

#endif
