/* SPDX-License-Identifier: MIT */
/* What the parts of ft-pairgen share. */
#ifndef FT_PAIRGEN_H
#define FT_PAIRGEN_H

#include "libcommon/base/opt.h"
#include "libcommon/io/output.h"
#include "libcommon/io/rows.h"
#include "libcommon/text/corrupt.h"

/* Kinds of pairs: the corruptions and these. */
enum { KIND_OWN = FT_NCORRUPT, KIND_SCORED, NKIND };

struct pairgen {
	/* the command line */
	const char *kind_names, *rejected_from, *chosen_field, *score_field;
	const char *map, *output;
	int64_t seed, per_row;
	double min_gap, max_reward;
	bool max_reward_given, min_gap_given, score_field_given, zstd;
	int on_none;
	/* what it says */
	int kind[NKIND], nkind; /* in the order asked for */
	bool scored;
	/* the work */
	struct ft_output *out;
	struct ft_str line;
	uint64_t *made; /* digests of the present row's pairs; owned */
	size_t nmade, capmade;
	int64_t rows, none, unscored, pairs[NKIND];
};

const char *kind_name(int kind);
/* A string field; ends the program when it is not there. */
const struct ft_json *need_text(const struct ft_row *row, const char *key);
/* The number of --score-field: 1, or 0 for null and (unless must) none. */
int get_score(const struct pairgen *g, const struct ft_row *row, bool must,
	      double *score);
/* Same text, but for white space at the ends? */
bool same_text(const char *a, size_t na, const char *b, size_t nb);
/*
 * Write row as a pair, unless the same two texts are one of the row's already
 * (false; set g->nmade to 0 to begin a row).  first is the row whose number is
 * the id where there is none.
 */
bool put_pair(struct pairgen *g, const struct ft_row *row,
	      const struct ft_row *first, int kind,
	      const struct ft_json *chosen, const char *rejected,
	      size_t nrejected);
/* A row that nothing could be made of. */
void no_pair(struct pairgen *g, const struct ft_row *row, const char *why);

/* --- samples.c: answers that a model gave --- */
struct samples;
struct samples *samples_load(struct pairgen *g);
void samples_free(struct samples *s);
/* Those that may stand against row's chosen text: how many, and one. */
size_t samples_find(struct samples *s, const struct pairgen *g,
		    const struct ft_row *row, const struct ft_json *chosen);
const struct ft_json *samples_at(const struct samples *s, size_t i);
/* --kind-of-pair scored: all of the input. */
void pair_scored(struct pairgen *g, struct ft_rows *rows);

#endif
