/* SPDX-License-Identifier: MIT */
/* What the parts of ft-export share. */
#ifndef FT_EXPORT_H
#define FT_EXPORT_H

#include "libcommon/io/shards.h"
#include "libcommon/nn/open.h"

enum { AS_BASE = -1, DTYPE_FLOAT32, DTYPE_BFLOAT16 };

struct export
{
	/* the command line */
	const char *model, *base, *to, *out, *base_name;
	struct ft_opt_list adapters;
	int dtype;
	int64_t threads, shard_bytes;
	double tolerance;
	bool verify;
	/* what it says */
	bool peft, bnb;           /* else hf */
	const char *dir;          /* the base model's directory */
	const char **adapter_dir; /* owned */
	double *weight;
	size_t nadapters;
	struct ft_str given_dir; /* owns dir when -m is an adapter */
	/* the work */
	struct ft_loaded l; /* the backend; while probing a model too */
	struct ft_config cfg;
	struct ft_adapter adapter; /* all of them as one */
	bool has_adapter;
	enum ft_dtype stored; /* of what is written */
	struct ft_files files;
};

/* --- merge.c: OUT's weights and config.json --- */
void export_weights(struct export *e);
/* OUT's matrices in 4 bits against the merged ones: the largest error of an
   element, of what it may be at most. */
double export_nf4_error(struct export *e);

/* --- quant.c: weights in 4 bits --- */
struct linear {
	char module[FT_NAME_MAX];
	enum ft_slot slot;
	size_t layer, n, k;
};
/* Is the tensor the weight of a layer's linear? */
bool quant_linear(const struct export *e, const char *name, struct linear *l);
/* Rows of the base's weight, which is in NF4, as float32. */
int quant_rows(struct export *e, const struct ft_st *st, const struct linear *l,
	       size_t r0, size_t n, float *out, struct ft_err *err);
/* The largest error of elements x of matrix f, of what NF4 with double
   quantization may make of them. */
double quant_error(const struct linear *l, const float *f, const float *x);
/* The last matrix that became NF4. */
struct quantised {
	struct linear of;
	struct ftk_nf4 q;
	void *mem; /* owned */
};
/* The tensors that weight `name` becomes: names owned by the caller. */
enum { QUANT_PARTS = 6 };
size_t quant_parts(const struct linear *l, const char *name,
		   struct ft_tensor *t, char **names);
int quant_keep(struct export *e, struct quantised *k, const struct linear *l,
	       const float *f, struct ft_err *err);
bool quant_kept(const struct quantised *k, const struct linear *l);
void quant_drop(struct export *e, struct quantised *k);
/* The tensor of that suffix after ".weight". */
int quant_write(const struct export *e, const struct quantised *k,
		const struct ft_tensor *t, const char *suffix,
		struct ft_output *out, struct ft_err *err);

/* --- probe.c: what a model says of a text --- */
struct probe {
	float *logp; /* [n] owned */
	size_t n;
};
/* Log-probabilities of the probe text: the base with the adapter (or, if
   without, alone), or what stands in OUT. */
enum probe_what { PROBE_BASE, PROBE_TUNED, PROBE_OUT };
void probe_run(struct export *e, struct probe *p, enum probe_what what);
/* max |a - b| / max(1, |b|) */
double probe_differ(const struct probe *a, const struct probe *b);
void probe_release(struct probe *p);

#endif
