/* SPDX-License-Identifier: MIT */
/*
 * The kernel interface: everything libcommon/nn may call.  A backend is one
 * struct ftk; each operation takes one struct of arguments, has a query for
 * the scratch memory (ws, 64-byte aligned) that it wants, and is queued in
 * order.  What a query says for larger sizes serves smaller ones.
 *
 * Types.  ACT is what activations are stored in (float, or bfloat16), REAL what
 * parameters under training, their gradients, moments and statistics are
 * stored in (float; in the reference backend "ref64" both are double, for
 * finite differences).  Sums are of floats at least; what is stored in
 * bfloat16 is rounded to nearest even, NaN stays one.  With ACT bfloat16
 * products with matrices, LoRA's among them, take both sides in bfloat16, REAL
 * ones rounded.  Pointers to either are void: they may be a device's, and only
 * operations look behind them.
 * Frozen or trained matrices hide behind struct ftk_weight, whose layout
 * belongs to the backend (plain, packed, bf16, NF4).
 *
 * Shapes are row-major and written [rows, cols]; sizes are element counts.
 * Unless said otherwise outputs do not overlap inputs.  "+=" adds to what is
 * there, "=" overwrites.
 *
 * Operations do not fail, allocate or print; arguments are checked by the
 * caller.  A device that broke says so in sync().  Results are the same bytes
 * for any number of threads: each output element has one owner and one order
 * of summation.
 */
#ifndef FTK_H
#define FTK_H

#include <stddef.h>
#include <stdint.h>

struct ftk;
struct ftk_weight;

enum ftk_type { FTK_F32, FTK_F64, FTK_BF16, FTK_F16, FTK_NF4 };

/*
 * What data of type FTK_NF4 points to: 4-bit codes in blocks of 64 elements of
 * the flattened matrix, as bitsandbytes keeps them.  An element is
 * value[code] * absmax[block], rounded to the type round.  With map absmax are
 * codes too: absmax[b] is map[code] * nested[b / 256] + offset.  Two codes
 * make a byte, the first its high half.  Nothing need be aligned.
 */
struct ftk_nf4 {
	const void *code;   /* [(n k + 1) / 2] bytes */
	const void *absmax; /* float [blocks]; with map bytes */
	const void *map;    /* float [256], or NULL */
	const void *nested; /* float [(blocks + 255) / 256] */
	const void *value;  /* float [16] */
	float offset;
	enum ftk_type round; /* FTK_F32: they are what they are */
};

/*
 * A matrix [n, k] as it lies in a file or in memory (n outputs, k inputs).
 * With FTK_W_NF4 floating-point numbers become NF4 with double quantization;
 * data is then needed no longer.  NF4 serves matmul and matmul_dx alone.
 * With FTK_W_TRAINED it is REAL memory that the optimizer changes: the handle
 * borrows it, and weight_sync() must follow each change.
 */
struct ftk_matrix {
	enum ftk_type type;
	const void *data;
	size_t n, k;
	unsigned use;
};
enum {
	FTK_W_FORWARD = 1,  /* matmul */
	FTK_W_BACKWARD = 2, /* matmul_dx */
	FTK_W_ROWS = 4,     /* embed: single rows are read */
	FTK_W_TRAINED = 8,
	FTK_W_NF4 = 16,
	FTK_W_TURNED = 32, /* data is the transpose, [k, n]; not of NF4 */
};

/* --- operations: each struct is the one argument of the op of its name --- */

/* y [t, c] = scale * table[ids]. */
struct ftk_embed {
	void *y;
	const struct ftk_weight *table; /* [v, c], FTK_W_ROWS */
	const int32_t *ids;             /* [t] */
	size_t t, c;
	float scale;
};
/* dtable REAL [v, c] += scale * dy, rows added in the order of t. */
struct ftk_embed_backward {
	void *dtable;
	const void *dy;
	const int32_t *ids;
	size_t t, c;
	float scale;
};

/*
 * Residual add and normalisation in one pass.  With add != NULL first
 * sum = x + add, and x below means that sum; it goes to sum, or with sum NULL
 * back into x.  Then y = (x - mean) * rstd * (w + shift) + b, where
 * mean is 0 and rstd = 1/sqrt(mean(x^2) + eps) for FTK_RMS (Zhang & Sennrich
 * 2019), and LayerNorm's for FTK_LAYER.
 */
enum ftk_norm_kind { FTK_RMS, FTK_LAYER };
struct ftk_norm {
	void *y;         /* ACT [t, c] */
	void *x;         /* ACT [t, c] */
	const void *add; /* ACT [t, c] or NULL */
	void *sum;       /* ACT [t, c] or NULL; unused without add */
	const void *w;   /* REAL [c] */
	const void *b;   /* REAL [c] or NULL */
	void *stat;      /* REAL [t, 2]: mean, rstd; or NULL */
	size_t t, c;
	float eps;
	float shift; /* 1 where weights are stored less one (Gemma) */
	int kind;
};
/* dx += ..., dw += ..., db += ... (dw, db may be NULL). */
struct ftk_norm_backward {
	void *dx;
	const void *dy, *x, *w, *stat;
	void *dw, *db; /* REAL [c] or NULL */
	size_t t, c;
	float shift;
	int kind;
	void *ws;
};

/* y [m, n] = x [m, k] * W' (+ bias) (+ y with accumulate).  With real y is
   REAL, not ACT: logits. */
struct ftk_matmul {
	void *y;
	const void *x;
	const struct ftk_weight *w;
	const void *bias; /* REAL [n] or NULL */
	size_t m;
	int accumulate;
	int real;
	void *ws;
};
/* dx [m, k] = dy [m, n] * W (+ dx with accumulate).  With real dy is REAL. */
struct ftk_matmul_dx {
	void *dx;
	const void *dy;
	const struct ftk_weight *w;
	size_t m;
	int accumulate;
	int real;
	void *ws;
};
/* dw REAL [n, k] += dy' [n, m] * x [m, k]; dbias REAL [n] += column sums of
   dy (either may be NULL).  With real dy is REAL. */
struct ftk_matmul_dw {
	void *dw, *dbias;
	const void *dy, *x;
	size_t m, n, k;
	int real;
	void *ws;
};

/*
 * Dropout by counter: element i of a token is kept when its 16 random bits
 * are >= round(p * 65536), and scaled by 1/(1-p).  The bits are Philox4x32-10
 * of counter (i / 8, salt, token key low, high) under key, 8 elements a call:
 * element i has word i % 8 / 2, its low half where i is even, its high half
 * where i is odd.  p = 0: no dropout, the rest unused.
 */
struct ftk_dropout {
	float p;
	uint64_t key;          /* seed, purpose and epoch */
	uint32_t salt;         /* layer and module */
	const uint64_t *token; /* [m] row, branch and position of each token */
};

/*
 * LoRA (Hu et al. 2021): u [m, r] = drop(x) [m, k] * A', then
 * y [m, n] += scale * u * B'.  u is kept for the backward.  What is dropped,
 * and du = scale * dy * B, are of ACT as well.
 */
struct ftk_lora {
	void *y;       /* ACT [m, n] */
	void *u;       /* ACT [m, r] */
	const void *x; /* ACT [m, k] */
	const void *a; /* REAL [r, k] */
	const void *b; /* REAL [n, r] */
	size_t m, n, k, r;
	float scale;
	struct ftk_dropout drop;
	void *ws;
};
/* dx += drop'(scale * dy * B * A), da += ..., db += ... (dx may be NULL). */
struct ftk_lora_backward {
	void *dx;
	void *da, *db; /* REAL */
	const void *dy, *x, *u, *a, *b;
	size_t m, n, k, r;
	float scale;
	struct ftk_dropout drop;
	void *ws;
};

/* Lengths of the rows of W [n, k] + scale * B [n, r] * A [r, k]: norm REAL
   [n]. */
struct ftk_row_norms {
	void *norm;
	const struct ftk_weight *w;
	const void *a, *b; /* REAL */
	size_t n, k, r;
	float scale;
	void *ws;
};
/* y [m, n] = (num / den + shift) * x + bias, column by column (+ y with
   accumulate); without num shift stands alone.  y may be x's own memory. */
struct ftk_columns {
	void *y;
	const void *x;
	const void *num, *den; /* REAL [n]; or num NULL */
	const void *bias;      /* REAL [n] or NULL */
	float shift;
	size_t m, n;
	int accumulate;
};
/* Where shift is 0: dx = num / den * dy, which may be x's own memory, and
   dnum REAL [n] += column sums of dy * x / den: den is a constant. */
struct ftk_columns_backward {
	void *dx, *dnum;
	const void *dy, *x, *num, *den;
	size_t m, n;
};
/* y [m, n] = drop(x), which may be the same memory. */
struct ftk_drop {
	void *y;
	const void *x;
	size_t m, n;
	struct ftk_dropout drop;
};

/*
 * Linear layers that read the same x (q, k and v; gate and up): first base[i],
 * then lora[i] to the same y, where it is wanted: lora is NULL, or its r 0, where
 * it is not.  All have the same x, m and k (and real is 0); their ws are
 * not read.  A backend may sum an output before it rounds it.
 */
enum { FTK_LINEAR_MAX = 3 };
struct ftk_linear {
	const struct ftk_matmul *base; /* [n] */
	const struct ftk_lora *lora;   /* [n], or NULL */
	size_t n;
	void *ws;
};
/* dx (+)= of all of them together, as the first one's accumulate says; with dx
   NULL (in all) only LoRA's gradients.  dx overlaps nothing else. */
struct ftk_linear_backward {
	const struct ftk_matmul_dx *base;
	const struct ftk_lora_backward *lora;
	size_t n;
	void *ws;
};

/*
 * Rotary embedding in place (Su et al. 2021), halves paired as Hugging Face
 * does: element j goes with j + rot/2 of the first rot elements of each head.
 * table REAL [positions, rot] holds rot/2 cosines, then rot/2 sines.
 * inverse turns back, which is the backward.
 */
struct ftk_rope {
	void *x; /* ACT [t, heads, d], rows ld apart */
	const int32_t *pos;
	const void *table;
	size_t t, heads, d, rot, ld;
	int inverse;
};

/*
 * Attention over rows of prefix + branches.  A segment's queries q0..q0+nq-1
 * see np prefix keys from p0 and own keys from k0: query i the first
 * nk - nq + i + 1 of its nk own keys.  In training a segment's keys are its
 * queries' own tokens (k0 = q0, nk = nq); a branch's prefix is the segment
 * before; in decoding k0 is a place in the cache and nq is small.
 * window > 0: keys at a distance of window or more are not seen (positions
 * count prefix, then own keys).  softcap > 0: s = softcap * tanh(s / softcap).
 */
struct ftk_segment {
	int32_t q0, nq, k0, nk, p0, np;
};
struct ftk_attn {
	void *o;           /* ACT [tq, hq * d] */
	const void *q;     /* ACT [tq, hq * d] */
	const void *k, *v; /* ACT [keys, hkv * d] */
	void *lse; /* REAL [tq, hq] log-sum-exp of the scores, or NULL */
	const struct ftk_segment *seg; /* [nseg]; they cover [0, tq) in order */
	size_t nseg, tq, hq, hkv, d;
	float scale;
	int window;
	float softcap;
	void *ws;
};
/* dq, dk, dv = (all three overwritten; training segments only: k0 = q0). */
struct ftk_attn_backward {
	void *dq, *dk, *dv;
	const void *dout; /* ACT [tq, hq * d] */
	const void *o, *q, *k, *v, *lse;
	const struct ftk_segment *seg;
	size_t nseg, tq, hq, hkv, d;
	float scale;
	int window;
	float softcap;
	void *ws;
};

/* h [n] = act(gate) * up; without up h = act(gate).  h may be gate or up. */
enum ftk_act { FTK_SILU, FTK_GELU, FTK_GELU_TANH, FTK_RELU };
struct ftk_glu {
	void *h;
	const void *gate, *up; /* up may be NULL */
	size_t n;
	int act;
};
/* dgate = ..., dup = ...; they may be gate's and up's own memory, or dh's. */
struct ftk_glu_backward {
	void *dgate, *dup;
	const void *dh, *gate, *up;
	size_t n;
	int act;
};

/*
 * Log-softmax of rows of logits REAL [n, v] at one target each:
 * logp [n], lse [n]; and where not NULL entropy [n] (nats) and hit [n] (1
 * where the target is the first largest).
 */
struct ftk_xent {
	const void *logits;
	const int32_t *target;
	void *logp, *lse; /* REAL */
	void *entropy;    /* REAL or NULL */
	uint8_t *hit;     /* or NULL */
	size_t n, v;
};
/* x = cap * tanh(x / cap), REAL [n]. */
struct ftk_softcap {
	void *x;
	size_t n;
	float cap;
};
/* logits become d logits = coef[row] * (onehot(target) - softmax): the
   gradient of sum coef * logp.  With softcap > 0 they came from that op, and
   the gradient is that of what went into it. */
struct ftk_xent_backward {
	void *logits;
	const int32_t *target;
	const void *lse;  /* REAL [n] */
	const void *coef; /* REAL [n] */
	size_t n, v;
	float softcap;
};

/* y [n, c] = x[idx]; rows of ACT. */
struct ftk_gather {
	void *y;
	const void *x;
	const int32_t *idx; /* [n] */
	size_t n, c;
};
/* y[idx] = x. idx has no doubles. */
struct ftk_scatter {
	void *y;
	const void *x;
	const int32_t *idx;
	size_t n, c;
};
/* y[idx] += x, or with coef += coef * x, row by row; equal idx stand together
   and are added in order. */
struct ftk_scatter_add {
	void *y;
	const void *x;
	const int32_t *idx;
	const void *coef; /* REAL [n] or NULL */
	size_t n, c;
};
/* y += x, ACT [n]. */
struct ftk_accum {
	void *y;
	const void *x;
	size_t n;
};
/* y *= a, REAL [n] (a = 0 clears, NaN or not). */
struct ftk_scale {
	void *y;
	float a;
	size_t n;
};

/* *out (double, on the host's side after sync) = sum of squares of REAL x
   [n], in an order fixed by n alone. */
struct ftk_sumsq {
	double *out;
	const void *x;
	size_t n;
	void *ws;
};
/* AdamW (Loshchilov & Hutter 2019) as torch does it: decay first, then the
   step with bias corrections for the t-th update (t from 1); g is multiplied
   by gscale (clipping) as it is read. */
struct ftk_adamw {
	void *p, *m, *v; /* REAL [n] */
	const void *g;
	size_t n;
	float lr, beta1, beta2, eps, decay, gscale;
	int64_t t;
};
/* SGD with momentum as torch: m = mu * m + g (m = g at t = 1); p -= lr * m. */
struct ftk_sgd {
	void *p, *m; /* m NULL without momentum */
	const void *g;
	size_t n;
	float lr, momentum, decay, gscale;
	int64_t t;
};

/*
 * One token for each row of logits REAL [n, v]: temperature 0 takes the first
 * largest; else softmax(logits / temperature) cut to the top_k most probable
 * (0 = all), then to the smallest set of them with top_p of their mass or more
 * (the token that crosses it stays), then to those that are at least min_p
 * times as probable as the first, drawn by inverse distribution in the order of
 * decreasing probability, ties by lower id, with u in [0, 1).  A penalty comes
 * before all that: it divides what is above 0 of the logits of tokens in seen
 * and multiplies the others of them (Keskar et al. 2019), each once however
 * often it is there.  logp is of the distribution without penalty and cuts, at
 * temperature 1.
 */
struct ftk_sample {
	int32_t *id; /* [n] */
	void *logp;  /* REAL [n] or NULL */
	const void *logits;
	const double *u;          /* [n] */
	const float *temperature; /* [n] */
	const int32_t *top_k;     /* [n] */
	const float *top_p;       /* [n] */
	const float *min_p;       /* [n], 0: all; or NULL */
	float penalty;            /* 0: none, and seen is not read */
	const int32_t *seen;      /* of row r: [seen_at[r], seen_at[r + 1]) */
	const int32_t *seen_at;   /* [n + 1] */
	size_t n, v;
	void *ws;
};

#define FTK_OP(name)                                              \
	void (*name)(struct ftk * k, const struct ftk_##name *a); \
	size_t (*name##_ws)(const struct ftk *k, const struct ftk_##name *a);

struct ftk {
	const char *name; /* "cpu", "cuda", "ref64" */
	const char *isa;  /* "scalar", "avx2", "avx512", "sm_90" */
	enum ftk_type act, real;
	size_t act_size, real_size;

	void *(*alloc)(struct ftk *k,
		       size_t nbytes); /* 64-byte aligned; NULL if none left */
	void (*free)(struct ftk *k, void *p);
	void (*put)(struct ftk *k, void *dst, const void *host, size_t nbytes);
	void (*get)(struct ftk *k, void *host, const void *src, size_t nbytes);
	void (*zero)(struct ftk *k, void *dst, size_t nbytes);
	/* n floats of the host to or from REAL. */
	void (*put_real)(struct ftk *k, void *dst, const float *host, size_t n);
	void (*get_real)(struct ftk *k, float *host, const void *src, size_t n);
	int (*sync)(struct ftk *k); /* 0, or -1 if any queued work failed */
	void (*close)(struct ftk *k);

	/*
	 * A weight lives in memory that the caller carves: weight_bytes() of
	 * it, at mem (64-byte aligned).  Where the backend can use m->data as
	 * it is, it borrows it, and it must stay.  With m->data NULL the
	 * handle has no contents and serves queries for scratch memory.
	 */
	size_t (*weight_bytes)(const struct ftk *k, const struct ftk_matrix *m);
	struct ftk_weight *(*weight_make)(struct ftk *k, void *mem,
					  const struct ftk_matrix *m);
	void (*weight_sync)(struct ftk *k, struct ftk_weight *w);
	/* rows [r0, r0 + n) as float32, on the host. */
	void (*weight_get)(struct ftk *k, const struct ftk_weight *w, size_t r0,
			   size_t n, float *out);
	/* Of a weight in NF4 *out is what it is made of, on the host: 0; else
	   -1. */
	int (*weight_nf4)(const struct ftk *k, const struct ftk_weight *w,
			  struct ftk_nf4 *out);

#include "kernels/ops.inc" /* one pair of members an op */
};
#undef FTK_OP

/*
 * Threads for the CPU backend, given by the caller: run() calls
 * fn(arg, piece, worker) once for each piece in [0, n), worker in
 * [0, nthreads).  run NULL = the calling thread alone.
 */
struct ftk_threads {
	int nthreads;
	void (*run)(void *pool, void (*fn)(void *arg, size_t piece, int worker),
		    void *arg, size_t n);
	void *pool;
};

/*
 * Open the backend called name: "cpu" (the best instruction set of this
 * machine, capped by FT_ISA=scalar|avx2|avx512), "cpu-bf16" (the same with ACT
 * bfloat16, and further avx512bf16|amx-plain|amx), "ref64", "cuda" (from
 * libftk-cuda.so, beside the program or where the loader looks: its function
 * struct ftk *ftk_cuda_open(const char **why)).  Returns NULL with *why
 * pointing at a static string that says why it cannot be had.
 */
struct ftk *ftk_open(const char *name, const struct ftk_threads *t,
		     const char **why);

#endif
