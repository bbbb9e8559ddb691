/* SPDX-License-Identifier: MIT */
/* Inputs that may be compressed: the step must not change what is read. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/hash.h"
#include "libcommon/io/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 1 << 24 }; /* of what a bomb may unfold here */

/* -1 on error, else the bytes read; their hash in h. */
static long drain(const uint8_t *data, size_t size, size_t step, uint64_t *h)
{
	static unsigned char buf[1 << 16];
	struct ft_xxh64 x;
	struct ft_input *in;
	struct ft_err err;
	size_t n = 0;
	ssize_t r;

	ft_xxh64_init(&x);
	ft_input_mem(&in, data, size, &err);
	do {
		r = ft_input_read(in, buf, step, &err);
		if (r > 0)
			ft_xxh64_add(&x, buf, (size_t)r);
		n += r > 0 ? (size_t)r : 0;
	} while (r > 0 && n < MOST);
	if (r < 0 && (!err.msg[0] || !err.where[0]))
		abort();
	ft_input_close(in);
	*h = ft_xxh64_end(&x);
	return r < 0 ? -1 : (long)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t a, b;
	long n = drain(data, size, 1 << 16, &a);

	if (n < 100000 && (n != drain(data, size, 7, &b) || (n >= 0 && a != b)))
		abort();
	return 0;
}
