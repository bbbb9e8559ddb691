/* SPDX-License-Identifier: MIT */
/* The parser, and that what is printed from a tree is read as the same tree. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/io/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int same(const struct ft_json *a, const struct ft_json *b)
{
	if (a->type != b->type || a->n != b->n || a->nkey != b->nkey ||
	    (a->nkey && memcmp(a->key, b->key, a->nkey) != 0) ||
	    a->ns != b->ns || (a->ns && memcmp(a->s, b->s, a->ns) != 0) ||
	    memcmp(&a->num, &b->num, sizeof(a->num)) != 0)
		return 0;
	a = a->child;
	b = b->child;
	for (; a && b; a = a->next, b = b->next) {
		if (!same(a, b))
			return 0;
	}
	return !a && !b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ft_arena a = {0};
	struct ft_str out = {0};
	struct ft_json *v, *w;
	struct ft_err err;

	if (ft_json_parse(&a, (const char *)data, size, &v, &err) == 0) {
		ft_json_print(v, false, size % 3 ? -1 : 1, &out);
		if (ft_json_parse(&a, out.s, out.n, &w, &err) || !same(v, w))
			abort();
	}
	ft_str_release(&out);
	ft_arena_release(&a);
	return 0;
}
