/* SPDX-License-Identifier: MIT */
/*
 * How far a rate or a mean may be off: 95 % intervals.
 *
 * Wilson: E. B. Wilson, "Probable inference, the law of succession, and
 * statistical inference", JASA 22 (1927).  Bootstrap: percentile intervals over
 * clusters (B. Efron, R. Tibshirani, "An introduction to the bootstrap", 13.3),
 * quantiles with linear interpolation.
 */
#ifndef FT_BASE_STATS_H
#define FT_BASE_STATS_H

#include <stddef.h>
#include <stdint.h>

/* Of wins (ties may count a half) in n > 0 independent trials. */
void ft_wilson(double wins, double n, double *low, double *high);

/*
 * Of sum(num) / sum(den) over n clusters, resampled with replacement so many
 * times; what is drawn is a function of seed and n.  Resamples whose sum of
 * den is 0 do not count.  Returns how many did; with none, or fewer than two
 * clusters, *low and *high are NaN.
 */
size_t ft_bootstrap(const double *num, const double *den, size_t n,
		    size_t resamples, uint64_t seed, double *low, double *high);

#endif
