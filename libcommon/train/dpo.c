/* SPDX-License-Identifier: MIT */
#include "libcommon/train/dpo.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"
#include "libcommon/io/manifest.h"

enum {
	LOSS,
	PAIRS,
	R_CHOSEN,
	R_REJECTED,
	CORRECT,
	L_CHOSEN,
	L_REJECTED,
	TOKENS,
	CHOSEN_TOKENS,
	HITS,
	ENTROPY,
	CHOSEN_NLL,
};

struct dpo {
	struct ft_dpo_opts *o;
	struct ft_adapter copy; /* the reference: the start adapter */
	bool has_copy;
	struct ft_model *model; /* the reference of --full */
	/* per segment of a micro-batch */
	double *policy, *ref, *grad;
	size_t *count;
	size_t cap;
	double chosen; /* answers' tokens of the present step, with rpo_alpha */
};

static double log_sigmoid(double z)
{
	return z > 0 ? -log1p(exp(-z)) : z - log1p(exp(z));
}

static double sigmoid(double z)
{
	return z > 0 ? 1 / (1 + exp(-z)) : exp(z) / (1 + exp(z));
}

double ft_dpo_loss(const struct ft_dpo_opts *o, double a, double b, double nc,
		   double nr, double *da, double *db)
{
	double z = o->beta * (a - b), e = o->label_smoothing, d, loss = 0;

	switch ((enum ft_dpo_loss)o->loss) {
	case FT_DPO_SIGMOID:
		loss = -(1 - e) * log_sigmoid(z) - e * log_sigmoid(-z);
		d = o->beta * (e * sigmoid(z) - (1 - e) * sigmoid(-z));
		*da = d;
		*db = -d;
		break;
	case FT_DPO_HINGE:
		loss = z < 1 ? 1 - z : 0;
		*da = z < 1 ? -o->beta : 0;
		*db = -*da;
		break;
	case FT_DPO_IPO:
		d = a / nc - b / nr - 1 / (2 * o->beta);
		loss = d * d;
		*da = 2 * d / nc;
		*db = -2 * d / nr;
		break;
	}
	return loss;
}

static void room(struct dpo *s, size_t nseg)
{
	if (nseg <= s->cap)
		return;
	s->cap = nseg;
	s->policy = ft_xrealloc(s->policy, s->cap, sizeof(*s->policy));
	s->ref = ft_xrealloc(s->ref, s->cap, sizeof(*s->ref));
	s->grad = ft_xrealloc(s->grad, s->cap, sizeof(*s->grad));
	s->count = ft_xrealloc(s->count, s->cap, sizeof(*s->count));
}

/* What both answers begin with stands in the prefix's place: theirs both. */
static void by_segment(const struct ft_trainer *t, double *sum)
{
	const struct ft_pass *p = &t->pass;

	for (size_t i = 0; i < p->nseg; i++)
		sum[i] = 0;
	for (size_t i = 0; i < p->n; i++)
		sum[p->of[i]] += (double)t->logp[i];
	for (size_t i = 0; i + 2 < p->nseg; i += 3) {
		sum[i + 1] += sum[i];
		sum[i + 2] += sum[i];
	}
}

static void cached(const struct ft_data *d, const size_t *rows, size_t n,
		   double *ref)
{
	const float *col = ft_tokens_find(&d->b, "ref_logps");
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		int64_t s = d->b.cu_rows[rows[i]];

		for (; s < d->b.cu_rows[rows[i] + 1]; s++)
			ref[at++] = (double)col[s];
	}
}

static void reference(struct ft_trainer *t, const struct ft_data *d,
		      const size_t *rows, size_t n)
{
	struct dpo *s = t->method->self;
	struct ft_run run = {.adapter = s->has_copy ? &s->copy : NULL};
	struct ft_model *m = s->model ? s->model : t->l.model;

	if (s->o->ref == FT_DPO_REF_CACHED) {
		cached(d, rows, n, s->ref);
		return;
	}
	ft_model_forward(m, &run, &t->pass);
	ft_model_head(m, &t->pass, NULL, t->logp, NULL, NULL);
	by_segment(t, s->ref);
}

/* Losses of all pairs of the micro-batch, and s->grad by segment. */
static void pairs(struct ft_trainer *t, struct ft_sums *sums)
{
	struct dpo *s = t->method->self;
	const struct ft_pass *p = &t->pass;
	double beta = s->o->beta;

	memset(s->count, 0, p->nseg * sizeof(*s->count));
	for (size_t i = 0; i < p->n; i++)
		s->count[p->of[i]]++;
	for (size_t c = 1; c + 1 < p->nseg; c += 3) {
		size_t both = s->count[c - 1];
		double a = s->policy[c] - s->ref[c];
		double b = s->policy[c + 1] - s->ref[c + 1];
		double nc = (double)(s->count[c] + both);
		double nr = (double)(s->count[c + 1] + both);

		sums->v[LOSS] += ft_dpo_loss(s->o, a, b, nc, nr, &s->grad[c],
					     &s->grad[c + 1]);
		s->grad[c - 1] = s->grad[c] + s->grad[c + 1];
		sums->v[PAIRS] += 1;
		sums->v[R_CHOSEN] += beta * a;
		sums->v[R_REJECTED] += beta * b;
		sums->v[CORRECT] += a > b;
		sums->v[L_CHOSEN] += s->policy[c];
		sums->v[L_REJECTED] += s->policy[c + 1];
	}
}

static void tokens(const struct ft_trainer *t, struct ft_sums *sums)
{
	const struct ft_pass *p = &t->pass;

	for (size_t i = 0; i < p->n; i++) {
		int of = p->of[i] % 3, n = of ? 1 : 2;

		sums->v[ENTROPY] += n * (double)t->entropy[i];
		sums->v[TOKENS] += n;
		if (of == 2)
			continue;
		sums->v[HITS] += t->hit[i];
		sums->v[CHOSEN_NLL] -= (double)t->logp[i];
		sums->v[CHOSEN_TOKENS] += 1;
	}
}

static void micro(struct ft_trainer *t, const struct ft_data *d,
		  const size_t *rows, size_t n, bool train,
		  struct ft_sums *sums)
{
	struct dpo *s = t->method->self;
	struct ft_pass *p = &t->pass;
	struct ft_run run = t->run;

	ft_trainer_pass(t, d, rows, n);
	room(s, p->nseg);
	reference(t, d, rows, n);
	run.save = train;
	ft_model_forward(t->l.model, &run, p);
	if (train)
		ft_model_slopes(t->l.model, p, t->logp, t->entropy, t->hit);
	else
		ft_model_head(t->l.model, p, NULL, t->logp, t->entropy, t->hit);
	by_segment(t, s->policy);
	pairs(t, sums);
	tokens(t, sums);
	if (!train)
		return;
	for (size_t i = 0; i < p->n; i++) {
		double c = s->grad[p->of[i]] / t->weight;

		if (s->o->rpo_alpha > 0 && p->of[i] % 3 != 2)
			c -= s->o->rpo_alpha / s->chosen;
		t->coef[i] = (float)c;
	}
	ft_model_slopes_apply(t->l.model, p, t->coef);
	ft_model_backward(t->l.model, &run, p);
}

/* Tokens of a pair's chosen answer that are trained on. */
static size_t chosen_tokens(const struct ft_data *d, size_t row)
{
	const struct ft_tokens *b = ft_data_row(d, row);
	size_t n = 0;

	for (int64_t i = b->cu_seqlens[1]; i < b->cu_seqlens[2]; i++)
		n += b->mask[i];
	return n;
}

static double weight(const struct ft_trainer *t, const struct ft_data *d,
		     const size_t *rows, size_t n)
{
	struct dpo *s = t->method->self;

	if (s->o->rpo_alpha > 0) {
		s->chosen = 0;
		for (size_t i = 0; i < n; i++)
			s->chosen += (double)chosen_tokens(d, rows[i]);
	}
	return (double)n;
}

static double report(const struct ft_trainer *t, const struct ft_sums *s,
		     const char *prefix, struct ft_str *f)
{
	double n = s->v[PAIRS] > 0 ? s->v[PAIRS] : 1;
	double nt = s->v[TOKENS] > 0 ? s->v[TOKENS] : 1;
	double nc = s->v[CHOSEN_TOKENS] > 0 ? s->v[CHOSEN_TOKENS] : 1;
	const struct dpo *dpo = t->method->self;
	double pair = s->v[LOSS] / n, nll = s->v[CHOSEN_NLL] / nc;
	double loss = pair;

	if (dpo->o->rpo_alpha > 0)
		loss += dpo->o->rpo_alpha * nll;
	ft_metric(f, prefix, "loss", loss);
	if (dpo->o->rpo_alpha > 0) {
		ft_metric(f, prefix, "dpo_loss", pair);
		ft_metric(f, prefix, "nll_loss", nll);
	}
	ft_metric(f, prefix, "rewards/chosen", s->v[R_CHOSEN] / n);
	ft_metric(f, prefix, "rewards/rejected", s->v[R_REJECTED] / n);
	ft_metric(f, prefix, "rewards/accuracies", s->v[CORRECT] / n);
	ft_metric(f, prefix, "rewards/margins",
		  (s->v[R_CHOSEN] - s->v[R_REJECTED]) / n);
	ft_metric(f, prefix, "logps/chosen", s->v[L_CHOSEN] / n);
	ft_metric(f, prefix, "logps/rejected", s->v[L_REJECTED] / n);
	ft_metric(f, prefix, "entropy", s->v[ENTROPY] / nt);
	ft_metric(f, prefix, "mean_token_accuracy", s->v[HITS] / nc);
	return loss;
}

/* The stream's column has to be there, whole, and of the start model. */
static int check_cached(struct ft_trainer *t, struct ft_data *d,
			struct ft_err *err)
{
	const float *col = ft_tokens_find(&d->b, "ref_logps");

	if (!col)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"--ref cached, but the stream has no ref_logps column (ft-logprob --columns makes it)");
	for (size_t i = 0; i < d->b.nrow; i++) {
		for (int64_t s = d->b.cu_rows[i] + 1; s < d->b.cu_rows[i + 1];
		     s++) {
			if (!isfinite(col[s]))
				return ft_err_set(err, FT_EXIT_DATA,
						  "row %lld has no ref_logps",
						  (long long)d->b.row[i]);
		}
	}
	if (d->info.reference[0] && strcmp(d->info.reference, t->start_digest))
		return ft_err_set(
			err, FT_EXIT_DATA,
			"its ref_logps were made by another model (%.12s) than training starts from (%.12s)",
			d->info.reference, t->start_digest);
	return 0;
}

static int check_pairs(const struct ft_data *d, struct ft_err *err)
{
	for (size_t i = 0; i < d->b.nrow; i++) {
		int64_t s = d->b.cu_rows[i];

		if (d->b.cu_rows[i + 1] - s != 3)
			return ft_err_set(err, FT_EXIT_DATA,
					  "row %lld is not a pair",
					  (long long)d->b.row[i]);
		if (d->b.cu_seqlens[s + 1] == d->b.cu_seqlens[s + 2] ||
		    d->b.cu_seqlens[s + 2] == d->b.cu_seqlens[s + 3])
			return ft_err_set(err, FT_EXIT_DATA,
					  "row %lld has an empty answer",
					  (long long)d->b.row[i]);
	}
	return 0;
}

/* Does an adapter that training goes on from stand beside a frozen copy? */
static bool copies(const struct ft_trainer *t)
{
	const struct dpo *s = t->method->self;

	/* a new adapter starts at zero: the reference is the model alone */
	return s->o->ref == FT_DPO_REF_START && !t->o->full && t->l.adapter_dir;
}

static bool copies_model(const struct ft_trainer *t)
{
	const struct dpo *s = t->method->self;

	return s->o->ref != FT_DPO_REF_CACHED && t->o->full;
}

static struct ft_reserve reference_room(const struct ft_reserve *r)
{
	return (struct ft_reserve){.t = r->t,
				   .nseg = r->nseg,
				   .n = r->n,
				   .positions = r->positions};
}

static int plan(struct ft_trainer *t, const struct ft_reserve *r, bool more,
		struct ft_plan *p, struct ft_err *err)
{
	struct ft_carve c = {.plan = p, .part = FT_PLAN_WORK};
	struct dpo *s = t->method->self;
	struct ft_reserve own = reference_room(r);
	struct ft_plan model = {0};

	ft_take(&c, r->nseg,
		sizeof(*s->policy) + sizeof(*s->ref) + sizeof(*s->grad) +
			sizeof(*s->count));
	c.part = FT_PLAN_REFERENCE;
	if (copies(t))
		ft_adapter_plan(&t->l.adapter, t->l.model, FT_PLAN_REFERENCE,
				p);
	if (!copies_model(t))
		return 0;
	if (!s->model && ft_model_begin(&s->model, t->l.k, t->l.dir,
					FT_HOLD_FROZEN, err) < 0)
		return -1;
	ft_model_plan_weights(s->model, &model);
	ft_model_plan_acts(s->model, &own, more, &model);
	ft_take(&c, ft_plan_total(&model), 1);
	return 0;
}

static int open_reference(struct ft_trainer *t, struct ft_err *err)
{
	struct dpo *s = t->method->self;
	struct ft_reserve own = reference_room(&t->room);

	if (copies_model(t)) {
		if (ft_model_load(s->model, err) < 0)
			return -1;
		return ft_model_reserve(s->model, &own, err);
	}
	if (!copies(t))
		return 0;
	if (ft_adapter_copy(&s->copy, &t->l.adapter,
			    ft_model_config(t->l.model), err) < 0)
		return -1;
	s->has_copy = true;
	if (ft_adapter_attach(&s->copy, t->l.model, false, err) < 0)
		return -1;
	t->reference = &s->copy;
	return 0;
}

static int start(struct ft_trainer *t, struct ft_err *err)
{
	struct dpo *s = t->method->self;

	/* dropout is of a branch: then answers have nothing in common */
	t->pass.share = t->o->full || t->l.adapter.dropout <= 0;
	if (check_pairs(&t->data, err) < 0 ||
	    (t->has_eval && check_pairs(&t->eval, err) < 0))
		return -1;
	room(s, t->room.nseg);
	if (s->o->ref != FT_DPO_REF_CACHED)
		return open_reference(t, err);
	if (check_cached(t, &t->data, err) < 0)
		return -1;
	return t->has_eval ? check_cached(t, &t->eval, err) : 0;
}

static void end(struct ft_trainer *t)
{
	struct dpo *s = t->method->self;

	if (s->has_copy)
		ft_adapter_release(&s->copy);
	ft_model_close(s->model);
	free(s->policy);
	free(s->ref);
	free(s->grad);
	free(s->count);
	free(s);
}

struct ft_method ft_dpo_method(struct ft_dpo_opts *o)
{
	struct dpo *s = ft_xcalloc(1, sizeof(*s));

	s->o = o;
	return (struct ft_method){.name = "dpo",
				  .slopes = true,
				  .kinds = 1u << FT_ROW_PAIR,
				  .plan = plan,
				  .start = start,
				  .end = end,
				  .weight = weight,
				  .micro = micro,
				  .report = report,
				  .self = s};
}

int ft_dpo_check(const struct ft_dpo_opts *o, const struct ft_train_opts *t,
		 struct ft_err *err)
{
	if (t->full && o->ref == FT_DPO_REF_BASE)
		return ft_err_set(
			err, FT_EXIT_USAGE,
			"--ref base with --full: there is no adapter to switch off");
	if (o->label_smoothing > 0 && o->loss != FT_DPO_SIGMOID)
		return ft_err_set(
			err, FT_EXIT_USAGE,
			"--label-smoothing is for --loss-type sigmoid");
	return 0;
}
