/* SPDX-License-Identifier: MIT */
/*
 * The main() of a fuzz target where no fuzzer is: feeds it each FILE, the
 * file cut short at many places, and the file with bytes changed, always the
 * same ones.  Built with sanitizers, which end the program at the first fault.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/philox.h"
#include "tests/lib/test.h"

enum { CUTS = 24, FLIPS = 64, MAX_SEED = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In a block of exactly n bytes, so that reading past the end is seen. */
static void feed(const uint8_t *data, size_t n)
{
	uint8_t *copy = calloc(n ? n : 1, 1);

	if (!copy)
		abort();
	memcpy(copy, data, n);
	LLVMFuzzerTestOneInput(copy, n);
	free(copy);
}

static void vary(uint8_t *data, size_t n)
{
	for (size_t i = 0; i < CUTS && i < n; i++)
		feed(data, n * i / CUTS);
	for (uint32_t i = 0; n && i < FLIPS; i++) {
		uint32_t r[4] = {i, (uint32_t)n, 0, 0};
		size_t at;
		uint8_t was;

		ft_philox(r, 1, 2);
		at = r[0] % n;
		was = data[at];
		data[at] = (uint8_t)(i % 2 ? r[1] : was ^ (1u << (r[1] % 8)));
		feed(data, n);
		data[at] = was;
	}
}

int main(int argc, char **argv)
{
	static uint8_t buf[MAX_SEED];

	feed(buf, 0);
	CHECK(1, "empty input");
	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");
		size_t n = f ? fread(buf, 1, sizeof(buf), f) : 0;

		CHECK(f && !ferror(f), "read %s", argv[i]);
		if (!f)
			continue;
		fclose(f);
		feed(buf, n);
		vary(buf, n);
		CHECK(1, "%s, cut and changed", argv[i]);
	}
	return test_done();
}
