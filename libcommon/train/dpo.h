/* SPDX-License-Identifier: MIT */
/*
 * Direct preference optimisation (Rafailov et al. 2023), hinge (SLiC, Zhao et
 * al. 2023) and IPO (Azar et al. 2023), as TRL computes them; with rpo_alpha
 * the chosen answers' negative log-likelihood beside it (RPO, Pang et al. 2024,
 * TRL's loss type "sft").
 *
 * a, b: the log-ratio of policy to reference summed over the chosen and the
 * rejected answer's tokens; z = beta * (a - b).
 */
#ifndef FT_TRAIN_DPO_H
#define FT_TRAIN_DPO_H

#include "libcommon/train/loop.h"

enum ft_dpo_loss { FT_DPO_SIGMOID, FT_DPO_HINGE, FT_DPO_IPO };
enum ft_dpo_ref { FT_DPO_REF_START, FT_DPO_REF_BASE, FT_DPO_REF_CACHED };

struct ft_dpo_opts {
	double beta, label_smoothing, rpo_alpha;
	int loss, ref;
};
#define FT_DPO_DEFAULTS     \
	{                   \
		.beta = 0.1 \
	}

/*
 * Loss of a pair and its derivatives by the two sums of log-probabilities.
 * nc, nr: tokens of the answers (IPO divides by them).  Label smoothing is
 * cDPO's: (1 - e) loss(z) + e loss(-z), for sigmoid alone.
 */
double ft_dpo_loss(const struct ft_dpo_opts *o, double a, double b, double nc,
		   double nr, double *da, double *db);

/* The method; o has to outlive it. */
struct ft_method ft_dpo_method(struct ft_dpo_opts *o);
/* Combinations that make no sense: FT_EXIT_USAGE. */
int ft_dpo_check(const struct ft_dpo_opts *o, const struct ft_train_opts *t,
		 struct ft_err *err);

#endif
