/* SPDX-License-Identifier: MIT */
#include "libcommon/nn/combine.h"

#include <math.h>
#include <string.h>

#include "libcommon/base/mem.h"
#include "libcommon/nn/open.h"
#include "tests/lib/test.h"

static struct ft_loaded l;
static struct ft_config cfg;

static const char config[] =
	"{\"model_type\":\"llama\",\"vocab_size\":11,\"hidden_size\":8,"
	"\"intermediate_size\":12,\"num_hidden_layers\":2,"
	"\"num_attention_heads\":2,\"num_key_value_heads\":1}";

/* An adapter whose A and B are both drawn. */
static int make(struct ft_adapter *a, int64_t r, bool rslora,
		const char *target, uint64_t seed, struct ft_err *err)
{
	struct ft_lora_opts o = {.r = r, .alpha = 5, .rslora = rslora};
	float *v;

	if (target) {
		o.targets.v = &target;
		o.targets.n = 1;
	}
	if (ft_adapter_new(a, l.k, &cfg, &o, seed, err))
		return -1;
	v = ft_xcalloc(a->b.n, sizeof(*v));
	for (size_t i = 0; i < a->b.n; i++)
		v[i] = (float)sin((double)(i * 7 + seed));
	l.k->put_real(l.k, a->b.p, v, a->b.n);
	l.k->sync(l.k);
	free(v);
	return 0;
}

/* What an adapter adds to a matrix. */
static void delta(const struct ft_adapter *a, enum ft_slot s, size_t layer,
		  float w[144])
{
	size_t n, k;

	ft_config_shape(&cfg, s, &n, &k);
	memset(w, 0, 144 * sizeof(*w));
	ft_adapter_merge(a, s, layer, 0, n, w);
}

static void test_combine(void)
{
	struct ft_adapter from[2], sum;
	double weight[] = {0.5, -2};
	struct ft_err err = {0};
	int bad = 0;

	CHECK(make(&from[0], 3, false, NULL, 1, &err) == 0 &&
		      make(&from[1], 2, true, "q_proj", 2, &err) == 0,
	      "two adapters: %s", err.msg);
	CHECK(ft_adapter_combine(&sum, from, weight, 2, &cfg, &err) == 0,
	      "their sum");
	CHECK(sum.r == 5 && sum.alpha == 5 && sum.max_r == 5 &&
		      sum.nmod == from[0].nmod && sum.mod[0].scale == 1,
	      "rank and alpha are the sum of the ranks");
	for (size_t i = 0; i < sum.nmod; i++) {
		float a[144], b[144], c[144];
		enum ft_slot s = sum.mod[i].slot;
		size_t layer = sum.mod[i].layer;

		delta(&from[0], s, layer, a);
		delta(&from[1], s, layer, b);
		delta(&sum, s, layer, c);
		for (int k = 0; k < 144; k++)
			bad += fabsf(c[k] - (0.5f * a[k] - 2 * b[k])) > 1e-4f;
	}
	CHECK(bad == 0, "it adds what they add, times their weights");
	ft_adapter_release(&sum);
	ft_adapter_release(&from[1]);
	ft_adapter_release(&from[0]);
}

static void test_scale(void)
{
	struct ft_adapter a;
	struct ft_err err = {0};
	float x[144], y[144];
	int bad = 0;

	CHECK(make(&a, 4, true, NULL, 3, &err) == 0, "an adapter");
	delta(&a, FT_Q, 1, x);
	CHECK(ft_adapter_scale(&a, -0.5, &err) == 0, "scaled");
	delta(&a, FT_Q, 1, y);
	for (int k = 0; k < 144; k++)
		bad += fabsf(y[k] + 0.5f * x[k]) > 1e-5f;
	CHECK(bad == 0 && a.alpha == -2.5, "times a weight");
	ft_adapter_release(&a);
}

int main(void)
{
	struct ft_compute c = {.dtype = FT_DTYPE_FLOAT32, .threads = 1};
	struct ft_err err = {0};

	CHECK(ft_compute_open(&l, &c, &err) == 0 &&
		      ft_config_parse(&cfg, config, sizeof(config) - 1, &err) ==
			      0,
	      "a backend and a configuration");
	test_combine();
	test_scale();
	ft_unload(&l);
	return test_done();
}
