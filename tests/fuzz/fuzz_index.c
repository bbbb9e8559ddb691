/* SPDX-License-Identifier: MIT */
/* A model.safetensors.index.json beside two shards: refused, or every tensor
   is there and its bytes are those of its shard. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/io/safetensors.h"
#include "tests/lib/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void shard(const char *file, const char *a, const char *b)
{
	static const float x[4] = {1, 2, 3, 4};
	struct ft_tensor t[2] = {
		{.name = a, .dtype = FT_F32, .ndim = 1, .shape = {4}},
		{.name = b, .dtype = FT_F32, .ndim = 2, .shape = {2, 2}}};
	struct ft_err err;

	t[0].data = t[1].data = x;
	if (ft_st_write(scratch_path(file), t, 2, NULL, 0, &err) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	struct ft_st st;
	struct ft_err err;
	float x[4];

	if (!ready) {
		shard("m-1.safetensors", "a.weight", "a.bias");
		shard("m-2.safetensors", "b.weight", "b.bias");
		ready = true;
	}
	scratch_file("model.safetensors.index.json", data, size);
	if (ft_st_open_dir(&st, scratch(), &err) < 0)
		return 0;
	for (size_t i = 0; i < st.n; i++) {
		const struct ft_tensor *t = &st.t[i];

		if (t->nbytes != sizeof(x) || ft_st_find(&st, t->name) != t ||
		    ft_to_f32(x, t->data, t->dtype, t->numel) < 0 || x[3] != 4)
			abort();
	}
	/* a shard that is named is there whole */
	if (st.n % 2)
		abort();
	ft_st_release(&st);
	return 0;
}
