/* SPDX-License-Identifier: MIT */
/* Several adapters as one: their weighted sum, exactly. */
#ifndef FT_NN_COMBINE_H
#define FT_NN_COMBINE_H

#include "libcommon/nn/adapter.h"

/*
 * to = sum of weight[i] from[i], i < n: the A of a module are stacked, so are
 * its B, scaled, so that rank and alpha are the sum of all ranks and the scale
 * is 1.  A module that an adapter does not have gets zeros for it.  Dropout is
 * 0.  Of DoRA or whole modules there is none: FT_EXIT_USAGE.  On error there is
 * nothing to release.
 */
int ft_adapter_combine(struct ft_adapter *to, const struct ft_adapter *from,
		       const double *weight, size_t n,
		       const struct ft_config *c, struct ft_err *err);

/* One adapter times weight: its alpha and scales. */
int ft_adapter_scale(struct ft_adapter *a, double weight, struct ft_err *err);

#endif
