/* SPDX-License-Identifier: MIT */
/*
 * tokens TOKENIZER: what a tokenizer makes of texts, for diff_tokenizers.py.
 *
 * stdin is requests {u32 kind, u32 nbytes, bytes}.  kind below 16 is flags of
 * ft_tok_encode: bytes are a text, the answer is {i32 n, i32 id[n], u32
 * start[n], u32 end[n]}, or {-1} when it is refused.  kind 16 and 17 decode
 * (17 without special tokens): bytes are i32 ids, the answer {i32 nbytes, bytes}.
 */
#include <stdio.h>
#include <stdlib.h>

#include "libcommon/base/mem.h"
#include "libcommon/text/tokenizer.h"

struct request {
	uint32_t kind, n;
};

static void put(const void *p, size_t n)
{
	if (fwrite(p, 1, n, stdout) != n)
		exit(4);
}

static void encode(const struct ft_tok *t, uint32_t kind, const char *s,
		   uint32_t n, struct ft_ids *v)
{
	struct ft_err err;
	int32_t count;

	ft_ids_clear(v);
	count = ft_tok_encode(t, s, n, kind, v, &err) ? -1 : (int32_t)v->n;
	put(&count, sizeof(count));
	if (count <= 0)
		return;
	put(v->id, v->n * sizeof(*v->id));
	put(v->start, v->n * sizeof(*v->start));
	put(v->end, v->n * sizeof(*v->end));
}

static void decode(const struct ft_tok *t, bool skip, const void *p, uint32_t n,
		   struct ft_str *s)
{
	struct ft_err err;
	int32_t count;

	ft_str_clear(s);
	count = ft_tok_decode(t, p, n / sizeof(int32_t), skip, s, &err)
			? -1
			: (int32_t)s->n;
	put(&count, sizeof(count));
	if (count > 0)
		put(s->s, s->n);
}

int main(int argc, char **argv)
{
	struct request r;
	struct ft_ids v = {0};
	struct ft_str s = {0};
	struct ft_tok *t;
	struct ft_err err;

	if (argc != 2 || ft_tok_load(&t, argv[1], &err)) {
		fprintf(stderr, "%s\n", argc == 2 ? err.msg : "tokens FILE");
		return argc == 2 ? 3 : 2;
	}
	while (fread(&r, sizeof(r), 1, stdin) == 1) {
		char *p = ft_xmalloc((size_t)r.n + 1);

		if (fread(p, 1, r.n, stdin) != r.n)
			return 3;
		if (r.kind < 16)
			encode(t, r.kind, p, r.n, &v);
		else
			decode(t, r.kind == 17, p, r.n, &s);
		free(p);
	}
	ft_ids_release(&v);
	ft_str_release(&s);
	ft_tok_free(t);
	return 0;
}
