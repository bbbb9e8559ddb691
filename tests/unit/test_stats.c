/* SPDX-License-Identifier: MIT */
#include "libcommon/base/stats.h"

#include <math.h>
#include <stdbool.h>

#include "tests/lib/test.h"

static bool near(double a, double b, double tol)
{
	return fabs(a - b) <= tol;
}

/* The score interval solved for p with Python (8 of 10 also in textbooks). */
static void test_wilson(void)
{
	static const struct {
		double k, n, low, high;
	} t[] = {
		{8, 10, 0.4901624715, 0.9433178485},
		{50, 100, 0.4038315304, 0.5961684696},
		{0, 20, 0, 0.1611251581},
		{20, 20, 0.8388748419, 1},
		{1, 1, 0.2065493144, 1},
		{701, 1000, 0.6718992775, 0.7285623656},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		double low, high;

		ft_wilson(t[i].k, t[i].n, &low, &high);
		CHECK(near(low, t[i].low, 1e-9) && near(high, t[i].high, 1e-9),
		      "wilson %g of %g: %.10f %.10f", t[i].k, t[i].n, low,
		      high);
	}
}

static void test_bootstrap(void)
{
	enum { N = 400, R = 4000 };
	static double num[N], den[N];
	double low, high, low2, high2, half = 1.96 * 0.5 / sqrt(N);
	size_t n;

	for (int i = 0; i < N; i++) {
		num[i] = i % 2;
		den[i] = 1;
	}
	n = ft_bootstrap(num, den, N, R, 1, &low, &high);
	CHECK(n == R, "all resamples count");
	CHECK(near(low, 0.5 - half, 0.006) && near(high, 0.5 + half, 0.006),
	      "as the normal approximation has it: %.4f %.4f", low, high);
	ft_bootstrap(num, den, N, R, 1, &low2, &high2);
	CHECK(low == low2 && high == high2, "the same seed, the same interval");
	ft_bootstrap(num, den, N, R, 2, &low2, &high2);
	CHECK(low != low2 || high != high2, "another seed, another one");
	/* rows that say the same in clusters of 4: as a quarter of them */
	for (int i = 0; i < N; i++)
		num[i] *= 4, den[i] = 4;
	ft_bootstrap(num, den, N / 4, R, 1, &low, &high);
	CHECK(near(high - low, 4 * half, 0.02),
	      "clusters count, not rows: %.4f", high - low);
}

static void test_edges(void)
{
	double num[] = {1, 0, 3}, den[] = {2, 0, 4}, low, high;

	CHECK(ft_bootstrap(num, den, 1, 100, 1, &low, &high) == 0 &&
		      isnan(low) && isnan(high),
	      "one cluster has no interval");
	CHECK(ft_bootstrap(num, den, 0, 100, 1, &low, &high) == 0 && isnan(low),
	      "nor has none");
	CHECK(ft_bootstrap(num, den, 3, 1000, 1, &low, &high) < 1000,
	      "resamples of nothing do not count");
	CHECK(low == 0.5 && high == 0.75, "a ratio of sums: %g %g", low, high);
	den[0] = den[2] = 0;
	CHECK(ft_bootstrap(num, den, 3, 1000, 1, &low, &high) == 0 &&
		      isnan(low),
	      "nothing to divide by");
}

int main(void)
{
	test_wilson();
	test_bootstrap();
	test_edges();
	return test_done();
}
