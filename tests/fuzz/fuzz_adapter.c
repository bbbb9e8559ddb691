/* SPDX-License-Identifier: MIT */
/* An adapter_config.json beside PEFT's tensors: refused, or an adapter whose
   modules lie in its block. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/io/input.h"
#include "libcommon/io/output.h"
#include "libcommon/nn/adapter.h"
#include "tests/lib/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ft_config config;
static struct ftk *backend;

static void start(void)
{
	static const char tensors[] =
		"tests/data/golden/gqa_tied/adapter/adapter_model.safetensors";
	struct ft_err err;
	const char *why;
	size_t n;
	char *s;

	backend = ftk_open("cpu", &(struct ftk_threads){.nthreads = 1}, &why);
	s = ft_read_file(tensors, 1 << 20, &n, &err);
	if (!backend || !s ||
	    ft_config_load(&config, "tests/data/golden/gqa_tied", &err) < 0)
		abort();
	scratch_file("adapter_model.safetensors", s, n);
	free(s);
}

static void use(const struct ft_adapter *a)
{
	if (!a->nmod || a->dropout < 0 || a->dropout >= 1)
		abort();
	for (size_t i = 0; i < a->nmod; i++) {
		const struct ft_lora_mod *m = &a->mod[i];

		if (m->off_a + m->r * m->k > a->b.n ||
		    m->off_b + m->n * m->r > a->b.n ||
		    a->at[m->layer * FT_NSLOT + m->slot] != (int32_t)i)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ft_str base = {0};
	struct ft_adapter a;
	struct ft_err err;

	if (!backend)
		start();
	scratch_file("adapter_config.json", data, size);
	if (!ft_adapter_load(&a, backend, &config, scratch(), &err)) {
		use(&a);
		ft_adapter_release(&a);
	}
	ft_adapter_base(scratch(), NULL, &base, &err);
	ft_str_release(&base);
	return 0;
}
