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
	bool peft;
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
