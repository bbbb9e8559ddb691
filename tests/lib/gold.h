/* SPDX-License-Identifier: MIT */
/*
 * A case of tests/data/golden: a model's folder, an adapter, token rows, and
 * what the oracle computed with them (tests/golden/gen_llama.py).
 */
#ifndef FT_TEST_GOLD_H
#define FT_TEST_GOLD_H

#include "libcommon/io/json.h"
#include "tests/lib/model.h"

enum { MAX_SEG = 64 };

struct gold {
	char name[64], dir[512], model[512], adapter[512];
	struct ft_st st;
	struct ft_tokens rows, pairs;
	struct ft_arena arena;
	const struct ft_json *meta;
};

static inline const struct ft_tensor *want(const struct gold *g,
					   const char *name)
{
	const struct ft_tensor *t = ft_st_find(&g->st, name);
	struct ft_err err = {0};

	if (!t) {
		snprintf(err.msg, sizeof(err.msg), "no tensor %s", name);
		eng_die(g->dir, &err);
	}
	return t;
}

static inline const float *floats(const struct gold *g, const char *name)
{
	return want(g, name)->data;
}

static inline double hyper(const struct gold *g, const char *key)
{
	struct ft_err err = {0};
	double v = 0;

	if (ft_json_real(ft_json_get(g->meta, "hyper"), key, &v, &err) <= 0)
		eng_die(key, &err);
	return v;
}

static inline void load_rows(const struct gold *g, const char *prefix,
			     struct ft_tokens *b)
{
	const int32_t *ids, *seg, *row;
	const uint8_t *mask;
	char name[64];
	size_t nrow;

	snprintf(name, sizeof(name), "%scu_rows", prefix);
	nrow = (size_t)want(g, name)->numel - 1;
	row = want(g, name)->data;
	snprintf(name, sizeof(name), "%scu_seqlens", prefix);
	seg = want(g, name)->data;
	snprintf(name, sizeof(name), "%sinput_ids", prefix);
	ids = want(g, name)->data;
	snprintf(name, sizeof(name), "%sloss_mask", prefix);
	mask = want(g, name)->data;
	for (size_t i = 0; i < nrow; i++) {
		const int32_t *p[MAX_SEG];
		const uint8_t *m[MAX_SEG];
		size_t len[MAX_SEG], n = 0;

		for (int32_t s = row[i]; s < row[i + 1]; s++, n++) {
			p[n] = ids + seg[s];
			m[n] = mask + seg[s];
			len[n] = (size_t)(seg[s + 1] - seg[s]);
		}
		ft_tokens_add(b, (int64_t)i, n, p, len, m);
	}
}

static inline void gold_open(struct gold *g, const char *name,
			     const char *model)
{
	struct ft_err err = {0};
	char path[600];
	const char *h;
	struct ft_json *o;

	*g = (struct gold){0};
	snprintf(g->name, sizeof(g->name), "%s", name);
	snprintf(g->dir, sizeof(g->dir), "%s%s",
		 strchr(name, '/') ? "" : GOLDEN, name);
	snprintf(g->model, sizeof(g->model), "%s", model ? model : g->dir);
	snprintf(g->adapter, sizeof(g->adapter), "%.490s/adapter", g->dir);
	snprintf(path, sizeof(path), "%s/expect.safetensors", g->dir);
	if (ft_st_open(&g->st, path, &err) < 0)
		eng_die(path, &err);
	h = ft_st_meta(&g->st, "ft");
	if (!h || ft_json_parse(&g->arena, h, strlen(h), &o, &err) < 0)
		eng_die(path, &err);
	g->meta = o;
	load_rows(g, "sft.", &g->rows);
	load_rows(g, "pair.", &g->pairs);
}

static inline void gold_close(struct gold *g)
{
	ft_tokens_release(&g->rows);
	ft_tokens_release(&g->pairs);
	ft_st_release(&g->st);
	ft_arena_release(&g->arena);
}

#endif
