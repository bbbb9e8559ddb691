/* SPDX-License-Identifier: MIT */
/* An adapter_model.safetensors beside an adapter_config.json that is right:
   refused, or every module's factors lie in the adapter's block. */
#include <stdint.h>
#include <stdlib.h>

#include "libcommon/io/input.h"
#include "libcommon/nn/adapter.h"
#include "tests/lib/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ft_config config;
static struct ftk *backend;

static void start(void)
{
	static const char dir[] = "tests/data/golden/gqa_tied";
	struct ft_err err;
	const char *why;
	size_t n;
	char *s = ft_read_file(
		"tests/data/golden/gqa_tied/adapter/adapter_config.json",
		1 << 20, &n, &err);

	backend = ftk_open("cpu", &(struct ftk_threads){.nthreads = 1}, &why);
	if (!backend || !s || ft_config_load(&config, dir, &err) < 0)
		abort();
	scratch_file("adapter_config.json", s, n);
	free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ft_adapter a;
	struct ft_err err;

	if (!backend)
		start();
	scratch_file("adapter_model.safetensors", data, size);
	if (ft_adapter_load(&a, backend, &config, scratch(), &err) < 0)
		return 0;
	for (size_t i = 0; i < a.nmod; i++) {
		const struct ft_lora_mod *m = &a.mod[i];

		if (!m->r || m->off_a + m->r * m->k > a.b.n ||
		    m->off_b + m->n * m->r > a.b.n)
			abort();
	}
	ft_adapter_release(&a);
	return 0;
}
