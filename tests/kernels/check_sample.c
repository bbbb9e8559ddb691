/* SPDX-License-Identifier: MIT */
/*
 * Drawing tokens, against a full sort in double; and the exponential, through
 * the softmax's gradient.
 *
 * A token owns an interval of u; one drawn with a u within 1e-5 of the
 * interval's ends is right too, since masses are summed from floats.  Where
 * the mass at top_p's cut is within 1e-6 of it either cut is right, and the
 * draw is not judged; so at min_p's.
 */
#include "tests/kernels/check.h"

struct tok {
	float logit;
	int32_t id;
	double p;
};

static int by_draw(const void *a, const void *b)
{
	const struct tok *x = a, *y = b;

	if (x->logit != y->logit)
		return x->logit > y->logit ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* How a row is drawn. */
struct by {
	double temp, top_p, min_p, u;
	size_t k;
};

/* Is id right for u?  t is scratch. */
static int right(const float *x, size_t v, const struct by *by, int32_t id,
		 struct tok *t)
{
	double temp = by->temp, p = by->top_p, u = by->u;
	double sum = 0, part = 0, end = 0, max = -INFINITY;
	size_t n = by->k && by->k < v ? by->k : v;

	if (id < 0 || (size_t)id >= v)
		return 0;
	for (size_t i = 0; i < v; i++) {
		t[i] = (struct tok){x[i], (int32_t)i, 0};
		max = fmax(max, (double)x[i]);
	}
	qsort(t, v, sizeof(*t), by_draw);
	if (temp == 0)
		return id == t[0].id;
	for (size_t i = 0; i < n; i++)
		sum += t[i].p = exp(((double)t[i].logit - max) / temp);
	for (size_t i = 0; i < n && p < 1; i++) {
		if (fabs((part += t[i].p) / sum - p) < 1e-6)
			return 1;
		if (part >= p * sum)
			n = i + 1;
	}
	for (size_t i = sum = 0; i < n; i++) {
		if (by->min_p > 0 && fabs(t[i].p / by->min_p - 1) < 1e-6)
			return 1;
		if (t[i].p < by->min_p)
			n = i;
		else
			sum += t[i].p;
	}
	for (size_t i = 0; i < n; i++) {
		double begin = end;

		end += t[i].p / sum;
		if (t[i].id == id)
			return u > begin - 1e-5 && u < end + 1e-5;
	}
	return 0;
}

struct how {
	size_t v;
	float spread; /* of the logits; 0: all equal */
	int coarse;   /* whole numbers, so many ties */
	float penalty;
};

enum { ROWS = 60, SEEN = 40 };

struct drawn {
	struct ctx c;
	float *x, *temp, *top_p, *min_p, *logp;
	double *u;
	int32_t *k, *id, *seen, *seen_at;
};

static void draw(struct drawn *d, struct ftk *k, const struct how *h)
{
	static const float temps[] = {0, 1, 0.7f, 2.5f, 0.05f};
	static const int32_t ks[] = {0, 1, 5, 50, 1000000};
	static const float ps[] = {1, 0.9f, 0.5f, 0.05f};
	static const float mins[] = {0, 0.1f, 0.6f, 1e-9f, 1};
	struct ctx *c = &d->c;
	struct ftk_sample a = {.n = ROWS, .v = h->v, .penalty = h->penalty};

	d->c = (struct ctx){.k = k, .seed = 5};
	a.logits = d->x = fill(c, ROWS * h->v, 0, h->spread, 0);
	a.u = d->u = new_buf(c, ROWS * sizeof(double), 0);
	a.temperature = d->temp = new_buf(c, ROWS * sizeof(float), 0);
	a.top_p = d->top_p = new_buf(c, ROWS * sizeof(float), 0);
	a.min_p = d->min_p = new_buf(c, ROWS * sizeof(float), 0);
	a.top_k = d->k = new_buf(c, ROWS * sizeof(int32_t), 0);
	a.seen = d->seen = indexes(c, ROWS * SEEN, h->v);
	a.seen_at = d->seen_at = new_buf(c, (ROWS + 1) * sizeof(int32_t), 0);
	a.id = d->id = new_buf(c, ROWS * sizeof(int32_t), 1);
	a.logp = d->logp = out(c, ROWS);
	for (size_t i = 0; h->coarse && i < ROWS * h->v; i++)
		d->x[i] = roundf(d->x[i]);
	d->seen_at[0] = 0;
	for (size_t i = 0; i < ROWS; i++) {
		d->temp[i] = temps[i % 5];
		d->k[i] = ks[i / 2 % 5];
		d->top_p[i] = ps[i / 3 % 4];
		d->min_p[i] = mins[i / 4 % 5];
		d->seen_at[i + 1] = d->seen_at[i] + (int32_t)(i % SEEN);
		d->u[i] = i % 7 ? (double)number(c) * 0.5 + 0.5
				: (double)(i % 2) * 0.999999999;
	}
	a.ws = scratch(c, k->sample_ws(k, &a));
	k->sample(k, &a);
}

/* Row i's logits as they are drawn from: y. */
static void penalise(const struct drawn *d, const struct how *h, size_t i,
		     float *y)
{
	const float *x = d->x + i * h->v;

	memcpy(y, x, h->v * sizeof(*y));
	for (int32_t j = d->seen_at[i]; h->penalty > 0 && j < d->seen_at[i + 1];
	     j++) {
		int32_t id = d->seen[j];

		y[id] = x[id] > 0 ? x[id] / h->penalty : x[id] * h->penalty;
	}
}

static void check_draws(struct ftk *k, const struct how *h)
{
	struct drawn d;
	struct tok *t = malloc(h->v * sizeof(*t));
	float *y = malloc(h->v * sizeof(*y));
	size_t wrong = 0;
	double err = 0;

	draw(&d, k, h);
	for (size_t i = 0; i < ROWS; i++) {
		const float *x = d.x + i * h->v;
		const struct by by = {(double)d.temp[i], (double)d.top_p[i],
				      (double)d.min_p[i], d.u[i],
				      (size_t)d.k[i]};
		double sum = 0, want;
		int ok;

		penalise(&d, h, i, y);
		ok = right(y, h->v, &by, d.id[i], t);
		if (!ok)
			printf("# row %zu: T %g k %d p %g min %g u %g: %d\n", i,
			       by.temp, d.k[i], by.top_p, by.min_p, by.u,
			       d.id[i]);
		wrong += !ok;
		for (size_t j = 0; ok && j < h->v; j++)
			sum += exp((double)x[j]);
		want = ok ? (double)x[d.id[i]] - log(sum) : 0;
		err = fmax(err, ok ? fabs(want - (double)d.logp[i]) : 0);
	}
	CHECK(!wrong, "%s: %zu logits about %g, penalty %g: tokens", k->isa,
	      h->v, (double)h->spread, (double)h->penalty);
	CHECK(err < 2e-6 * fmax(1, 3 * (double)h->spread),
	      "%s: their log-probabilities: %.2g", k->isa, err);
	CHECK(guards_whole(&d.c), "%s: guards", k->isa);
	release(&d.c);
	free(t);
	free(y);
}

/* Logits of -inf are never drawn. */
static void check_banned(struct ftk *k)
{
	enum { V = 700, N = 64 };
	struct ctx c = {.k = k, .seed = 3};
	float *x = fill(&c, N * V, 0, 2, 0), *temp = out(&c, N);
	float *top_p = out(&c, N);
	double *u = new_buf(&c, N * sizeof(*u), 0);
	int32_t *top_k = indexes(&c, N, 1), *id = indexes(&c, N, 1);
	struct ftk_sample a = {.id = id,
			       .logits = x,
			       .u = u,
			       .temperature = temp,
			       .top_k = top_k,
			       .top_p = top_p,
			       .n = N,
			       .v = V};
	int fine = 1;

	for (size_t i = 0; i < N; i++) {
		temp[i] = 1;
		top_p[i] = i % 2 ? 1 : 0.99f;
		u[i] = ((double)i + 0.5) / N;
		for (size_t j = 0; j < V; j++)
			x[i * V + j] =
				j % 10 == i % 10 ? x[i * V + j] : -INFINITY;
	}
	a.ws = scratch(&c, k->sample_ws(k, &a));
	k->sample(k, &a);
	for (size_t i = 0; i < N; i++)
		fine &= (size_t)id[i] % 10 == i % 10;
	CHECK(fine, "%s: -inf is never drawn", k->isa);
	release(&c);
}

/* The gradient with coef -1 and lse 0 is the exponential of the logit. */
static void check_exp(struct ftk *k)
{
	enum { V = 20001 };
	struct ctx c = {.k = k, .seed = 1};
	float *x = fill(&c, V, 0, 0, 0), zero[1] = {0}, coef[1] = {-1};
	int32_t target[1] = {0};
	struct ftk_xent_backward a = {x, target, zero, coef, 1, V, 0};
	double err = 0;

	for (size_t i = 0; i < V; i++)
		x[i] = -87 + (float)i * 0.0087f;
	k->xent_backward(k, &a);
	for (size_t i = 1; i < V; i++) {
		double want = exp((double)(-87 + (float)i * 0.0087f));

		err = fmax(err, fabs((double)x[i] - want) / want);
	}
	CHECK(err < 1.2e-7, "%s: exp to %.2g (2 ulp is 1.2e-7 to 2.4e-7)",
	      k->isa, err);
	release(&c);
}

int main(void)
{
	static const struct how hows[] = {
		{1, 3, 0, 0},     {2, 1, 0, 0},         {37, 5, 0, 0},
		{500, 3, 1, 0},   {1000, 0, 0, 0},      {3001, 8, 0, 0},
		{3001, 1, 0, 0},  {20000, 12, 1, 0},    {2000, 300, 0, 0},
		{37, 5, 0, 1.3f}, {3001, 8, 0, 1.2f},   {500, 3, 1, 0.5f},
		{1, 3, 0, 2},     {20000, 12, 1, 1.5f},
	};
	static const char *const isas[] = {"scalar", "avx2", "avx512"};

	for (size_t i = 0; i < 3; i++) {
		struct backend b = open_backend("cpu", isas[i], 2);
		int here = b.k && !strcmp(b.k->isa, isas[i]);

		for (size_t j = 0; here && j < sizeof(hows) / sizeof(hows[0]);
		     j++)
			check_draws(b.k, &hows[j]);
		if (here) {
			check_banned(b.k);
			check_exp(b.k);
		}
		close_backend(&b);
	}
	return test_done();
}
