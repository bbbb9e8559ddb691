/* SPDX-License-Identifier: MIT */
/*
 * shape CONFIG DIR: in DIR, which is there, a model of the config.json with
 * random weights in bfloat16, in shards as they are published.  Draws are
 * cheap: what is asked of it is its size.
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "libcommon/io/input.h"
#include "libcommon/io/shards.h"
#include "libcommon/nn/open.h"

enum { PIECE = 1 << 20 };

/* Uniform about 0 with the deviation of published linears; norms about 1. */
static int fill(void *arg, const struct ft_tensor *t, struct ft_output *out,
		struct ft_err *err)
{
	static uint16_t v[PIECE];
	uint64_t *x = arg;
	float mid = t->ndim == 1 ? 1 : 0, by = t->ndim == 1 ? 0.1f : 0.035f;

	for (size_t at = 0, n; at < t->numel; at += n) {
		n = t->numel - at < PIECE ? t->numel - at : PIECE;
		for (size_t i = 0; i < n; i++) {
			*x ^= *x << 13;
			*x ^= *x >> 7;
			*x ^= *x << 17;
			v[i] = ft_bf16(mid +
				       by * ((float)(int32_t)*x * 0x1p-31f));
		}
		if (ft_output_write(out, v, n * sizeof(*v), err) < 0)
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct ft_loaded l;
	struct ft_config c;
	struct ft_files files = {0};
	struct ft_err err;
	const struct ft_st *st;
	const char *why;
	uint64_t seed = 88172645463325252u;
	size_t n;
	char *s;

	ft_start(argv[0]);
	if (argc != 3)
		ft_die(FT_EXIT_USAGE, "usage: shape CONFIG DIR");
	s = ft_read_file(argv[1], 1 << 20, &n, &err);
	l = (struct ft_loaded){0};
	l.k = ftk_open("cpu", &(struct ftk_threads){.nthreads = 1}, &why);
	if (!s || ft_config_parse(&c, s, n, &err) < 0 ||
	    ft_model_imagine(&l.model, l.k, &c, FT_HOLD_FROZEN, &err) < 0 ||
	    ft_files_write(&files, argv[2], "config.json", s, n, &err) < 0)
		ft_die_err(&err);
	st = ft_model_file(l.model);
	if (ft_shards_write(&files, argv[2], st->t, st->n, FT_SHARD_BYTES, fill,
			    &seed, &err) < 0)
		ft_die_err(&err);
	ft_files_release(&files);
	ft_unload(&l);
	free(s);
	return 0;
}
