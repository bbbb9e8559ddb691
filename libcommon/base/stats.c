/* SPDX-License-Identifier: MIT */
#include "libcommon/base/stats.h"

#include <math.h>
#include <stdlib.h>

#include "libcommon/base/mem.h"
#include "libcommon/base/rng.h"

#define Z95 1.959963984540054 /* 97.5 % of a normal distribution lie below */

void ft_wilson(double wins, double n, double *low, double *high)
{
	double p = wins / n, z2 = Z95 * Z95;
	double mid = (p + z2 / (2 * n)) / (1 + z2 / n);
	double half =
		Z95 * sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n);

	/* at the ends rounding would leave some 1e-17 */
	*low = wins <= 0 ? 0 : fmax(0, mid - half);
	*high = wins >= n ? 1 : fmin(1, mid + half);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double quantile(const double *sorted, size_t n, double q)
{
	double at = q * (double)(n - 1);
	size_t i = (size_t)at;

	if (i + 1 >= n)
		return sorted[n - 1];
	return sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]);
}

size_t ft_bootstrap(const double *num, const double *den, size_t n,
		    size_t resamples, uint64_t seed, double *low, double *high)
{
	double *v;
	size_t kept = 0;

	*low = *high = NAN;
	if (n < 2)
		return 0;
	v = ft_xcalloc(resamples, sizeof(*v));
	for (size_t b = 0; b < resamples; b++) {
		double x = 0, y = 0;

		for (size_t i = 0; i < n; i++) {
			size_t k = (size_t)ft_rng_below(seed, FT_RNG_BOOT, b, i,
							n);

			x += num[k];
			y += den[k];
		}
		if (y > 0)
			v[kept++] = x / y;
	}
	if (kept) {
		qsort(v, kept, sizeof(*v), by_value);
		*low = quantile(v, kept, 0.025);
		*high = quantile(v, kept, 0.975);
	}
	free(v);
	return kept;
}
