/* SPDX-License-Identifier: MIT */
/*
 * Any text through the tokenizers of tests/data/tok: offsets stay in the
 * text, ids in the vocabulary, and the byte-level one gives the text back.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try(const struct ft_tok *t, const char *s, size_t n, unsigned flags,
		bool round_trip)
{
	struct ft_ids v = {0};
	struct ft_str out = {0};
	struct ft_err err;

	if (!ft_tok_encode(t, s, n, flags, &v, &err)) {
		for (size_t i = 0; i < v.n; i++)
			if (v.start[i] > v.end[i] || v.end[i] > n ||
			    v.id[i] < 0 || v.id[i] >= ft_tok_vocab_size(t))
				abort();
		if (ft_tok_decode(t, v.id, v.n, false, &out, &err))
			abort();
		/* [x] and two tabs eat the space beside them */
		if (round_trip && !memmem(s, n, "[x]", 3) &&
		    !memmem(s, n, "\t\t", 2) &&
		    (out.n != n || memcmp(ft_str_cstr(&out), s, n) != 0))
			abort();
	}
	ft_ids_release(&v);
	ft_str_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const dir[] = {
		"tests/data/tok/small",     "tests/data/tok/spm",
		"tests/data/tok/metaspace", "tests/data/tok/qwen",
		"tests/data/tok/deepseek",  "tests/data/tok/o200k",
		"tests/data/tok/falcon",    "tests/data/tok/gemma"};
	enum { N = sizeof(dir) / sizeof(*dir) };
	static struct ft_tok *tok[N];
	struct ft_err err;

	if (!size)
		return 0;
	for (int i = 0; i < N; i++) {
		if (!tok[i] && ft_tok_load(&tok[i], dir[i], &err))
			abort();
		try(tok[i], (const char *)data + 1, size - 1, data[0] & 2,
		    i == 0);
	}
	return 0;
}
