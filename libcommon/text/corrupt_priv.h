/* SPDX-License-Identifier: MIT */
/* Inside of corrupt.h: a way is a few changes to the text. */
#ifndef FT_TEXT_CORRUPT_PRIV_H
#define FT_TEXT_CORRUPT_PRIV_H

#include "libcommon/base/mem.h"
#include "libcommon/text/corrupt.h"
#include "libcommon/text/dart.h"

struct ft_change {
	size_t at, n;  /* bytes of the text that go */
	const char *s; /* what comes in their place: static or in the arena */
	size_t ns;
};

/* The ways of one kind: changes first[i] .. first[i + 1]. */
struct ft_ways {
	struct ft_change *change; /* owned */
	size_t n, cap;
	size_t *first; /* owned */
	size_t nway, capway;
};

struct ft_corruptor {
	struct ft_dart d;
	struct ft_arena arena;
	struct ft_ways ways[FT_NCORRUPT];
	bool known[FT_NCORRUPT];
};

/* Begin a way; changes are added to the one begun last. */
void ft_way(struct ft_ways *w);
void ft_way_change(struct ft_ways *w, size_t at, size_t n, const char *s,
		   size_t ns);
/* Changes over tokens [i, j]: deleted, with their line when alone on it. */
void ft_way_delete(struct ft_corruptor *c, struct ft_ways *w, size_t i,
		   size_t j);

/* Fill in all the ways of a kind. */
void ft_ways_property(struct ft_corruptor *c, struct ft_ways *w);
void ft_ways_api(struct ft_corruptor *c, struct ft_ways *w);
void ft_ways_state(struct ft_corruptor *c, struct ft_ways *w);

#endif
