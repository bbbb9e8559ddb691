/* SPDX-License-Identifier: MIT */
/*
 * Attention over prefixes and branches: every instruction set against the
 * plain loops; the plain loops against all pairs of tokens with a mask; and
 * decoding against training.
 *
 * Tolerance 4e-6: sums of some hundred floats, after exponentials of scores
 * that are good to 1e-7 of their size.  The backward subtracts two such sums:
 * 5e-5.  In bfloat16 its o is rounded, perhaps to another side: 4e-3.
 */
#include "tests/kernels/check.h"

/* Layouts of segments: {length, prefix length}; the prefix of a branch is the
   end of the segment that has length's sign... of the last one without. */
struct layout {
	const char *name;
	size_t n;
	struct {
		int nq, np;
	} seg[9];
};

static const struct layout layouts[] = {
	{"one", 1, {{1, 0}}},
	{"a row", 1, {{150, 0}}},
	{"two rows", 2, {{70, 0}, {37, 0}}},
	{"a pair", 3, {{90, 0}, {33, 90}, {129, 90}}},
	{"an empty prefix", 3, {{0, 0}, {20, 0}, {30, 0}}},
	{"two trees",
	 7,
	 {{130, 0}, {3, 130}, {8, 130}, {65, 0}, {64, 65}, {1, 65}, {5, 0}}},
	{"part of a prefix", 3, {{120, 0}, {30, 100}, {10, 113}}},
	{"a long row", 1, {{450, 0}}},
};

static size_t lay(struct ctx *c, const struct layout *l,
		  struct ftk_segment **seg)
{
	struct ftk_segment *s = new_buf(c, l->n * sizeof(*s), 0);
	int32_t q = 0, p = 0;

	for (size_t i = 0; i < l->n; i++) {
		int32_t nq = l->seg[i].nq, np = l->seg[i].np;

		p = np ? p : q;
		s[i] = (struct ftk_segment){q, nq, q, nq, np ? p : 0, np};
		q += nq;
	}
	*seg = s;
	return (size_t)q;
}

/* dims: layout, hq, hkv, d, window, softcap in tenths */
static void forward(struct ctx *c, const size_t *d)
{
	const struct layout *l = &layouts[d[0]];
	struct ftk_segment *seg;
	size_t t = lay(c, l, &seg);
	struct ftk_attn a = {.o = act_out(c, t * d[1] * d[3]),
			     .q = act_fill(c, t * d[1] * d[3], 0, 2, 0),
			     .k = act_fill(c, t * d[2] * d[3], 0, 2, 0),
			     .v = act_in(c, t * d[2] * d[3]),
			     .lse = out(c, t * d[1]),
			     .seg = seg,
			     .nseg = l->n,
			     .tq = t,
			     .hq = d[1],
			     .hkv = d[2],
			     .d = d[3],
			     .scale = (float)(1 / sqrt((double)d[3])),
			     .window = (int)d[4],
			     .softcap = (float)d[5] / 10};

	a.ws = scratch(c, c->k->attn_ws(c->k, &a));
	c->k->attn(c->k, &a);
}

/* What does not depend on how probabilities are rounded. */
static void sums(struct ctx *c, const size_t *d)
{
	forward(c, d);
	for (size_t i = 0; i < c->n; i++)
		c->b[i].out &= !c->b[i].act;
}

static void backward(struct ctx *c, const size_t *d)
{
	const struct layout *l = &layouts[d[0]];
	struct ftk_segment *seg;
	size_t t = lay(c, l, &seg), nq = t * d[1] * d[3], nk = t * d[2] * d[3];
	struct ftk_attn_backward b = {.dq = act_out(c, nq),
				      .dk = act_out(c, nk),
				      .dv = act_out(c, nk),
				      .dout = act_in(c, nq),
				      .q = act_fill(c, nq, 0, 2, 0),
				      .k = act_fill(c, nk, 0, 2, 0),
				      .v = act_in(c, nk),
				      .seg = seg,
				      .nseg = l->n,
				      .tq = t,
				      .hq = d[1],
				      .hkv = d[2],
				      .d = d[3],
				      .scale = (float)(1 / sqrt((double)d[3])),
				      .window = (int)d[4],
				      .softcap = (float)d[5] / 10};
	struct ftk_attn a = {.o = act_fill(c, nq, 0, 0, 0),
			     .q = b.q,
			     .k = b.k,
			     .v = b.v,
			     .lse = fill(c, t * d[1], 0, 0, 0),
			     .seg = seg,
			     .nseg = l->n,
			     .tq = t,
			     .hq = d[1],
			     .hkv = d[2],
			     .d = d[3],
			     .scale = b.scale,
			     .window = b.window,
			     .softcap = b.softcap};

	a.ws = scratch(c, c->k->attn_ws(c->k, &a));
	c->k->attn(c->k, &a);
	b.o = a.o;
	b.lse = a.lse;
	b.ws = scratch(c, c->k->attn_backward_ws(c->k, &b));
	c->k->attn_backward(c->k, &b);
}

/* --- all pairs, with a mask ---------------------------------------------- */

/* May token i of the layout see token j? */
static int visible(const struct layout *l, size_t i, size_t j, int window)
{
	size_t q = 0, p = 0;

	for (size_t s = 0; s < l->n; s++) {
		size_t nq = (size_t)l->seg[s].nq, np = (size_t)l->seg[s].np;

		p = np ? p : q;
		if (i < q + nq) {
			size_t at = np + i - q, key;

			if (j < p + np && j >= p)
				key = j - p;
			else if (j >= q && j <= i)
				key = np + j - q;
			else
				return 0;
			return !window || at - key < (size_t)window;
		}
		q += nq;
	}
	return 0;
}

static void naive(struct ctx *c, const size_t *d)
{
	const struct layout *l = &layouts[d[0]];
	struct ftk_segment *seg;
	size_t t = lay(c, l, &seg), hd = d[3], ldq = d[1] * hd, ldk = d[2] * hd;
	float *o = out(c, t * ldq);
	const float *q = fill(c, t * ldq, 0, 2, 0);
	const float *k = fill(c, t * ldk, 0, 2, 0), *v = in(c, t * ldk);
	float *lse = out(c, t * d[1]);
	double cap = (double)d[5] / 10;

	for (size_t i = 0; i < t * d[1]; i++) {
		size_t row = i / d[1], g = i % d[1] / (d[1] / d[2]);
		double sum = 0, acc[512] = {0};

		for (size_t j = 0; j < t; j++) {
			double s = 0;

			if (!visible(l, row, j, (int)d[4]))
				continue;
			for (size_t x = 0; x < hd; x++)
				s += (double)q[i * hd + x] *
				     (double)k[j * ldk + g * hd + x];
			s /= sqrt((double)hd);
			s = exp(cap > 0 ? cap * tanh(s / cap) : s);
			sum += s;
			for (size_t x = 0; x < hd; x++)
				acc[x] += s * (double)v[j * ldk + g * hd + x];
		}
		lse[i] = (float)log(sum);
		for (size_t x = 0; x < hd; x++)
			o[i * hd + x] = (float)(acc[x] / sum);
	}
}

static void check_naive(const size_t *d)
{
	struct backend b = open_backend("cpu", "scalar", 1);
	struct ctx want, got;

	run_case(&want, b.k, naive, d);
	run_case(&got, b.k, forward, d);
	CHECK(worst(&got, &want) < 1e-6, "plain loops, all pairs: %.2g",
	      worst(&got, &want));
	release(&want);
	release(&got);
	close_backend(&b);
}

/* --- decoding ------------------------------------------------------------ */

/*
 * A prompt of 40 and two samples of 50 in a cache, each in a place of its own
 * with the first 43, 12 tokens filled: what `step` new queries of each see
 * must be what they see in training.
 */
static void check_decode(const char *isa, size_t step)
{
	enum { P = 40, HQ = 4, HKV = 2, D = 24, ROOM = 60 };
	static const size_t len[2] = {43, 12};
	struct backend b = open_backend("cpu", isa, 1);
	struct ctx c = {.k = b.k, .seed = 1};
	size_t t = P + 55, rows = P + 2 * ROOM;
	float *q = inout(&c, t * HQ * D), *k = inout(&c, t * HKV * D);
	float *v = inout(&c, t * HKV * D), *o = out(&c, t * HQ * D);
	float *ck = out(&c, rows * HKV * D), *cv = out(&c, rows * HKV * D);
	float *cq = out(&c, 2 * step * HQ * D),
	      *co = out(&c, 2 * step * HQ * D);
	struct ftk_segment train[3] = {{0, P, 0, P, 0, 0},
				       {P, 43, P, 43, 0, P},
				       {P + 43, 12, P + 43, 12, 0, P}},
			   now[2];
	struct ftk_attn a = {.o = o,
			     .q = q,
			     .k = k,
			     .v = v,
			     .seg = train,
			     .nseg = 3,
			     .tq = t,
			     .hq = HQ,
			     .hkv = HKV,
			     .d = D,
			     .scale = 0.3f};
	double err = 0, big = 0;

	a.ws = scratch(&c, b.k->attn_ws(b.k, &a));
	b.k->attn(b.k, &a);
	memcpy(ck, k, P * HKV * D * sizeof(float));
	memcpy(cv, v, P * HKV * D * sizeof(float));
	for (size_t i = 0, from = P; i < 2; from += len[i++]) {
		size_t at = P + i * ROOM, n = len[i] * HKV * D * sizeof(float);

		memcpy(ck + at * HKV * D, k + from * HKV * D, n);
		memcpy(cv + at * HKV * D, v + from * HKV * D, n);
		memcpy(cq + i * step * HQ * D,
		       q + (from + len[i] - step) * HQ * D,
		       step * HQ * D * sizeof(float));
		now[i] = (struct ftk_segment){(int32_t)(i * step),
					      (int32_t)step,
					      (int32_t)at,
					      (int32_t)len[i],
					      0,
					      P};
	}
	a = (struct ftk_attn){.o = co,
			      .q = cq,
			      .k = ck,
			      .v = cv,
			      .seg = now,
			      .nseg = 2,
			      .tq = 2 * step,
			      .hq = HQ,
			      .hkv = HKV,
			      .d = D,
			      .scale = 0.3f};
	a.ws = scratch(&c, b.k->attn_ws(b.k, &a));
	b.k->attn(b.k, &a);
	for (size_t i = 0, from = P; i < 2; from += len[i++])
		for (size_t j = 0; j < step * HQ * D; j++) {
			double x =
				(double)o[(from + len[i] - step) * HQ * D + j];

			big = fmax(big, fabs(x));
			err = fmax(err,
				   fabs(x - (double)co[i * step * HQ * D + j]));
		}
	CHECK(err < 2e-6 * big && guards_whole(&c),
	      "%s: %zu decoded as trained: %.2g", b.k->isa, step, err / big);
	release(&c);
	close_backend(&b);
}

int main(void)
{
	static const size_t shapes[][5] = {
		/* hq, hkv, d, window, softcap */
		{1, 1, 8, 0, 0},   {2, 2, 48, 0, 0},  {6, 2, 64, 0, 0},
		{4, 1, 20, 0, 0},  {3, 3, 37, 40, 0}, {2, 1, 128, 0, 15},
		{4, 2, 16, 7, 20}, {2, 2, 33, 70, 0},
	};
	static const char *const isas[] = {"scalar", "avx2", "avx512"};

	for (size_t l = 0; l < sizeof(layouts) / sizeof(layouts[0]); l++)
		for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]);
		     i++) {
			const size_t *s = shapes[i];
			const size_t *d = DIMS(l, s[0], s[1], s[2], s[3], s[4]);

			printf("# %s, %zu/%zu heads of %zu, window %zu, "
			       "softcap %zu\n",
			       layouts[l].name, s[0], s[1], s[2], s[3], s[4]);
			check_naive(d);
			check_backend("cpu", "attn", forward, d, 4e-6);
			check_pairs("cpu-bf16", "attn", forward, d, 4e-6, 3e-3);
			check_backend("cpu-bf16", "attn, lse", sums, d, 4e-6);
			check_backend("cpu", "attn_backward", backward, d,
				      5e-5);
			check_pairs("cpu-bf16", "attn_backward", backward, d,
				    1e-3, 6e-3);
		}
	for (size_t i = 0; i < 3; i++) {
		struct backend b = open_backend("cpu", isas[i], 1);
		int here = b.k && !strcmp(b.k->isa, isas[i]);

		close_backend(&b);
		for (size_t n = 1; here && n < 13; n += 5 - (n > 5) * 2)
			check_decode(isas[i], n);
	}
	return test_done();
}
