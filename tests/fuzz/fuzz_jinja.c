/* SPDX-License-Identifier: MIT */
/*
 * A template, and what it renders to within small limits: the text before a
 * line "---" is the template, what follows it, if it is a JSON object, its
 * variables.  Whatever renders has a mark for every byte and is UTF-8.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"
#include "libcommon/text/jinja.h"
#include "libcommon/text/unicode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_VARS = 16 };

static const char usual[] =
	"{\"messages\":[{\"role\":\"user\",\"content\":\"Hi <s>\"},"
	"{\"role\":\"assistant\",\"content\":\"\\u00e9 {{ 1 }}\",\"tool_calls\":"
	"[{\"function\":{\"name\":\"f\",\"arguments\":{\"x\":[1,2.5,null]}}}]}],"
	"\"tools\":[{\"name\":\"f\"}],\"n\":3,\"s\":\" a,b \\u00df\",\"l\":[3,1,2],"
	"\"d\":{\"b\":1,\"a\":\"x\"}}";

static void render(const struct ft_jinja *t, const char *s, size_t n)
{
	const struct ft_jinja_limits limits = {.steps = 20000,
					       .memory = 8 << 20};
	struct ft_jinja_var vars[MAX_VARS];
	struct ft_jinja_out out = {0};
	struct ft_arena a = {0};
	struct ft_json *o;
	struct ft_err err;
	size_t k = 0;

	if (ft_json_parse(&a, s, n, &o, &err) || o->type != FT_JSON_OBJECT) {
		ft_arena_clear(&a);
		if (ft_json_parse(&a, usual, strlen(usual), &o, &err))
			abort();
	}
	for (const struct ft_json *c = o->child; c && k < MAX_VARS; c = c->next)
		vars[k++] = (struct ft_jinja_var){.name = c->key, .json = c};
	if (!ft_jinja_render(t, vars, k, &limits, &out, &err)) {
		if (ft_utf8_valid(ft_str_cstr(&out.text), out.text.n) !=
		    out.text.n)
			abort();
		for (size_t i = 0; i < out.text.n; i++)
			if (out.mark[i] > FT_JINJA_CHOSEN)
				abort();
	}
	ft_jinja_out_release(&out);
	ft_arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *s = (const char *)data;
	const char *cut = size ? memmem(s, size, "\n---\n", 5) : NULL;
	size_t n = cut ? (size_t)(cut - s) : size;
	struct ft_jinja *t;
	struct ft_err err;

	if (ft_jinja_compile(&t, s, n, &err))
		return 0;
	render(t, cut ? cut + 5 : "", cut ? size - n - 5 : 0);
	ft_jinja_free(t);
	return 0;
}
