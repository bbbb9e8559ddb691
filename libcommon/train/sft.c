/* SPDX-License-Identifier: MIT */
#include "libcommon/train/sft.h"

#include <stddef.h>

enum { NLL, TOKENS, HITS, ENTROPY };

static double weight(const struct ft_trainer *t, const struct ft_data *d,
		     const size_t *rows, size_t n)
{
	double sum = 0;

	(void)t;
	for (size_t i = 0; i < n; i++)
		sum += (double)d->supervised[rows[i]];
	return sum;
}

static void micro(struct ft_trainer *t, const struct ft_data *d,
		  const size_t *rows, size_t n, bool train,
		  struct ft_sums *sums)
{
	struct ft_pass *p = &t->pass;
	struct ft_run run = t->run;

	ft_trainer_pass(t, d, rows, n);
	run.save = train;
	for (size_t i = 0; i < p->n; i++)
		t->coef[i] = (float)(-1 / t->weight);
	ft_model_forward(t->l.model, &run, p);
	ft_model_head(t->l.model, p, train ? t->coef : NULL, t->logp,
		      t->entropy, t->hit);
	if (train)
		ft_model_backward(t->l.model, &run, p);
	for (size_t i = 0; i < p->n; i++) {
		sums->v[NLL] -= (double)t->logp[i];
		sums->v[ENTROPY] += (double)t->entropy[i];
		sums->v[HITS] += t->hit[i];
	}
	sums->v[TOKENS] += (double)p->n;
}

static double report(const struct ft_trainer *t, const struct ft_sums *s,
		     const char *prefix, struct ft_str *fields)
{
	double n = s->v[TOKENS] > 0 ? s->v[TOKENS] : 1;

	(void)t;
	ft_metric(fields, prefix, "loss", s->v[NLL] / n);
	ft_metric(fields, prefix, "entropy", s->v[ENTROPY] / n);
	ft_metric(fields, prefix, "mean_token_accuracy", s->v[HITS] / n);
	return s->v[NLL] / n;
}

const struct ft_method ft_sft_method = {
	.name = "sft",
	.kinds =
		1u << FT_ROW_COMPLETION | 1u << FT_ROW_CHAT | 1u << FT_ROW_TEXT,
	.weight = weight,
	.micro = micro,
	.report = report,
};
