/* SPDX-License-Identifier: MIT */
/* Losses of a pair: constants, formulas, derivatives.  (Against TRL's own
   numbers: test_golden.) */
#include "libcommon/train/dpo.h"

#include <math.h>
#include <string.h>

#include "tests/lib/test.h"

static double value(const struct ft_dpo_opts *o, double a, double b)
{
	double da, db;

	return ft_dpo_loss(o, a, b, 5, 3, &da, &db);
}

static bool near(double a, double b)
{
	return fabs(a - b) <= 1e-12 * fmax(1, fabs(b));
}

static double log_sigmoid(double z)
{
	return -log1p(exp(-z));
}

/* Before the first step policy and reference are one. */
static void constants(void)
{
	struct ft_dpo_opts o = FT_DPO_DEFAULTS;

	CHECK(near(value(&o, 0, 0), log(2)), "sigmoid starts at ln 2");
	o.label_smoothing = 0.3;
	CHECK(near(value(&o, 0, 0), log(2)), "so it does smoothed");
	o = (struct ft_dpo_opts){.beta = 0.1, .loss = FT_DPO_HINGE};
	CHECK(near(value(&o, 0, 0), 1), "hinge at 1");
	o.loss = FT_DPO_IPO;
	CHECK(near(value(&o, 0, 0), 25), "ipo at 1/(4 beta^2)");
	o.beta = 0.5;
	CHECK(near(value(&o, 0, 0), 1), "for another beta too");
}

static void formulas(void)
{
	struct ft_dpo_opts o = {.beta = 0.2};
	const double a = 1.5, b = -2, z = 0.2 * 3.5;
	double d;

	CHECK(near(value(&o, a, b), -log_sigmoid(z)), "sigmoid");
	o.label_smoothing = 0.1;
	CHECK(near(value(&o, a, b),
		   -0.9 * log_sigmoid(z) - 0.1 * log_sigmoid(-z)),
	      "cDPO");
	o = (struct ft_dpo_opts){.beta = 0.2, .loss = FT_DPO_HINGE};
	CHECK(near(value(&o, a, b), 1 - z), "hinge");
	CHECK(value(&o, 20, -20) == 0, "hinge past the margin");
	o.loss = FT_DPO_IPO;
	d = a / 5 - b / 3 - 1 / 0.4;
	CHECK(near(value(&o, a, b), d * d), "ipo averages by tokens");
}

static void derivatives(void)
{
	static const struct ft_dpo_opts o[] = {
		{.beta = 0.1},
		{.beta = 0.3, .label_smoothing = 0.2},
		{.beta = 0.1, .loss = FT_DPO_HINGE},
		{.beta = 0.2, .loss = FT_DPO_IPO},
	};
	static const char *const name[] = {"sigmoid", "cDPO", "hinge", "ipo"};
	const double h = 1e-5;

	for (size_t i = 0; i < 4; i++) {
		double far = 0, da, db, na, nb;

		for (double a = -30; a <= 30; a += 3.7) {
			for (double b = -30; b <= 30; b += 4.3) {
				/* hinge has a corner */
				if (fabs(0.1 * (a - b) - 1) < 1e-3)
					continue;
				ft_dpo_loss(&o[i], a, b, 5, 3, &da, &db);
				na = (value(&o[i], a + h, b) -
				      value(&o[i], a - h, b)) /
				     (2 * h);
				nb = (value(&o[i], a, b + h) -
				      value(&o[i], a, b - h)) /
				     (2 * h);
				far = fmax(far,
					   fmax(fabs(na - da), fabs(nb - db)));
			}
		}
		CHECK(far < 1e-7, "%s: derivatives: %.1e", name[i], far);
	}
}

static void extremes(void)
{
	struct ft_dpo_opts o = {.beta = 1};
	double da, db, l;

	l = ft_dpo_loss(&o, 1e4, -1e4, 5, 3, &da, &db);
	CHECK(l == 0 && da == 0 && db == 0, "a pair won by far");
	l = ft_dpo_loss(&o, -1e4, 1e4, 5, 3, &da, &db);
	CHECK(near(l, 2e4) && da == -1 && db == 1, "and one lost by far");
	o.label_smoothing = 0.25;
	l = ft_dpo_loss(&o, 1e4, -1e4, 5, 3, &da, &db);
	CHECK(near(l, 5e3) && da == 0.25 && db == -0.25,
	      "won by far, smoothed");
}

static void combinations(void)
{
	struct ft_train_opts t = FT_TRAIN_DEFAULTS;
	struct ft_dpo_opts o = FT_DPO_DEFAULTS;
	struct ft_err err = {0};

	CHECK(!ft_dpo_check(&o, &t, &err), "defaults are taken");
	o.ref = FT_DPO_REF_BASE;
	CHECK(!ft_dpo_check(&o, &t, &err), "--ref base with LoRA");
	t.full = true;
	CHECK(ft_dpo_check(&o, &t, &err) < 0 && err.code == FT_EXIT_USAGE &&
		      strstr(err.msg, "--ref base"),
	      "--ref base with --full: %s", err.msg);
	o = (struct ft_dpo_opts){
		.beta = 0.1, .loss = FT_DPO_IPO, .label_smoothing = 0.1};
	CHECK(ft_dpo_check(&o, &t, &err) < 0 && err.code == FT_EXIT_USAGE &&
		      strstr(err.msg, "--label-smoothing"),
	      "label smoothing of ipo: %s", err.msg);
}

int main(void)
{
	constants();
	formulas();
	derivatives();
	extremes();
	combinations();
	return test_done();
}
