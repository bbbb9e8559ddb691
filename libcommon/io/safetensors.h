/* SPDX-License-Identifier: MIT */
/*
 * safetensors: reading with every check that the format asks for (no holes,
 * no overlap, no duplicate names, sizes by checked arithmetic), single files
 * and sharded models; writing.
 * https://github.com/huggingface/safetensors, "Format".
 */
#ifndef FT_IO_SAFETENSORS_H
#define FT_IO_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/base/err.h"
#include "libcommon/base/mem.h"
#include "libcommon/base/str.h"
#include "libcommon/io/output.h"

enum ft_dtype {
	FT_BOOL,
	FT_U8,
	FT_I8,
	FT_F8_E5M2,
	FT_F8_E4M3,
	FT_I16,
	FT_U16,
	FT_F16,
	FT_BF16,
	FT_I32,
	FT_U32,
	FT_F32,
	FT_F64,
	FT_I64,
	FT_U64,
	FT_NDTYPE
};
size_t ft_dtype_size(enum ft_dtype t);
const char *ft_dtype_name(enum ft_dtype t); /* "F32", as in the header */

enum { FT_ST_MAXDIM = 8 };

struct ft_tensor {
	const char *name;
	enum ft_dtype dtype;
	int ndim;
	uint64_t shape[FT_ST_MAXDIM];
	uint64_t numel;
	size_t nbytes;
	uint64_t offset;  /* in its data section */
	const void *data; /* mapped or given memory; NULL after ft_st_parse */
};

struct ft_meta {
	const char *key, *value;
};

struct ft_st_map {
	void *p;
	size_t n;
};

struct ft_st {
	struct ft_tensor *t; /* sorted by name; after ft_st_parse by offset */
	size_t n;
	struct ft_meta *meta; /* of the first shard, in the file's order */
	size_t nmeta;
	uint64_t ndata; /* bytes of the data section (of all shards') */
	/* private */
	struct ft_arena arena;
	struct ft_st_map *map;
	size_t nmap;
	bool by_name;
};

/* Limits on what a header may ask for. */
#define FT_ST_MAXHEADER  100000000u /* bytes, the format's own limit */
#define FT_ST_MAXTENSORS 1000000u
#define FT_ST_MAXSHARDS  10000u

/*
 * Parse a header alone: hdr is n bytes of JSON, ndata the size of the data
 * section, which must be exactly filled (UINT64_MAX: as the header says; it is
 * then found in st->ndata).  Sets offset, not data.  hdr need not outlive it.
 * On error there is nothing to release.
 */
int ft_st_parse(struct ft_st *st, const char *hdr, size_t n, uint64_t ndata,
		struct ft_err *err);
/* One .safetensors file, mapped read-only; every tensor's data points into it
   (as aligned as the file has it).  The file must not be cut shorter while it
   is open: that is SIGBUS. */
int ft_st_open(struct ft_st *st, const char *path, struct ft_err *err);
/* DIR/model.safetensors, or the shards of DIR/model.safetensors.index.json
   (plain base names only; every tensor where the index says). */
int ft_st_open_dir(struct ft_st *st, const char *dir, struct ft_err *err);
const struct ft_tensor *ft_st_find(const struct ft_st *st, const char *name);
const char *ft_st_meta(const struct ft_st *st, const char *key); /* or NULL */
/* Let go of the pages of a mapped tensor; whoever looks again reads them
   again. */
void ft_st_forget(const struct ft_st *st, const struct ft_tensor *t);
void ft_st_release(struct ft_st *st);

/*
 * The 8 length bytes and the JSON header for tensors in the order given
 * (wider dtypes first keeps them aligned), padded with spaces so that
 * start + length is a multiple of align (start: where in the stream this
 * document begins).
 * numel, nbytes and offset are set in t.  A name twice, "__metadata__" as a
 * name and a size that overflows are errors.
 */
int ft_st_header(struct ft_tensor *t, size_t n, const struct ft_meta *meta,
		 size_t nmeta, uint64_t start, size_t align, struct ft_str *out,
		 struct ft_err *err);
/* A whole file (path NULL or "-": stdout) from tensors whose data is in
   memory, atomic, the data section at a multiple of 64.  t is sorted in place,
   wider dtypes first, then by name; metadata stays as given. */
int ft_st_write(const char *path, struct ft_tensor *t, size_t n,
		const struct ft_meta *meta, size_t nmeta, struct ft_err *err);
/* The same, the bytes made as they are written: fill gives n of them, of t's
   from at on, both whole elements.  t[i].data is its own. */
typedef void ft_st_fill(void *self, const struct ft_tensor *t, size_t at,
			size_t n, void *to);
int ft_st_write_from(const char *path, struct ft_tensor *t, size_t n,
		     const struct ft_meta *meta, size_t nmeta, ft_st_fill *fill,
		     void *self, struct ft_err *err);

/* n values to float32, whatever the storage (F16, BF16, F32, F64) and its
   alignment; -1 for another dtype. */
int ft_to_f32(float *dst, const void *src, enum ft_dtype dtype, size_t n);
uint16_t ft_bf16(float x); /* round to nearest even; NaN stays NaN */

#endif
