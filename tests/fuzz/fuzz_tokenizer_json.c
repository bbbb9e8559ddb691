/* SPDX-License-Identifier: MIT */
/* Any bytes as tokenizer.json; what loads must encode and decode. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char text[] = " ab  a\n\xe2\x96\x81<s> it's 12\xc2\xbd "
				   "\xe6\x97\xa5\xf0\x9f\x98\x80 x";
	struct ft_ids v = {0};
	struct ft_str s = {0};
	struct ft_tok *t;
	struct ft_err err;

	if (ft_tok_from_json(&t, (const char *)data, size, &err))
		return 0;
	for (unsigned flags = 0; flags < 4; flags++)
		if (ft_tok_encode(t, text, sizeof(text) - 1, flags, &v, &err))
			abort();
	if (ft_tok_decode(t, v.id, v.n, size & 1, &s, &err))
		abort();
	for (size_t i = 0; i < v.n; i++) {
		if (v.start[i] > v.end[i] || v.end[i] > sizeof(text) - 1)
			abort();
		ft_tok_piece(t, v.id[i], &s);
	}
	ft_ids_release(&v);
	ft_str_release(&s);
	ft_tok_free(t);
	return 0;
}
