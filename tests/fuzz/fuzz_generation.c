/* SPDX-License-Identifier: MIT */
/* A generation_config.json beside a config.json that is right: refused, or its
   end tokens are ids of the model. */
#include <stdint.h>
#include <stdlib.h>

#include "libcommon/nn/config.h"
#include "tests/lib/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char config[] =
	"{\"model_type\":\"llama\",\"vocab_size\":53,\"hidden_size\":24,"
	"\"intermediate_size\":24,\"num_hidden_layers\":2,"
	"\"num_attention_heads\":6,\"eos_token_id\":[2,3]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	struct ft_config c;
	struct ft_err err;

	if (!ready)
		scratch_file("config.json", config, sizeof(config) - 1);
	ready = true;
	scratch_file("generation_config.json", data, size);
	if (ft_config_load(&c, scratch(), &err) < 0)
		return 0;
	if (c.neos < 0 || c.neos > 8)
		abort();
	for (int i = 0; i < c.neos; i++) {
		if (c.eos[i] < 0 || !ft_config_is_eos(&c, c.eos[i]))
			abort();
	}
	return 0;
}
