/* SPDX-License-Identifier: MIT */
/* Any bytes as Dart: tokens lie inside the text and pair up, every way to
   spoil it gives another text. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/text/corrupt.h"
#include "libcommon/text/dart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tokens(const struct ft_dart *d)
{
	size_t at = 0;

	for (size_t i = 0; i < d->n; i++) {
		const struct ft_dart_tok *t = &d->t[i];

		if (t->at < at || !t->n || t->n > d->ns - t->at)
			abort();
		if (t->match != FT_DART_NONE &&
		    (t->match >= d->n || d->t[t->match].match != i))
			abort();
		at = t->at + t->n;
	}
}

static void check_members(const struct ft_dart *d)
{
	struct ft_dart_walk w = {0};
	struct ft_dart_member m;
	size_t last = 0;

	while (d->balanced && ft_dart_member(d, &w, &m)) {
		if (m.first <= last || m.last < m.first || m.last >= d->n ||
		    m.name < m.first || m.name > m.last)
			abort();
		last = m.last;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *s = (const char *)data;
	struct ft_corruptor *c = ft_corruptor_new();
	struct ft_dart d = {0};
	struct ft_str out = {0};

	ft_dart_lex(&d, s, size);
	check_tokens(&d);
	check_members(&d);
	ft_corruptor_set(c, s, size);
	for (int k = 0; k < FT_NCORRUPT; k++) {
		size_t n = ft_corruptor_ways(c, (enum ft_corruption)k);

		for (size_t i = 0; i < n && i < 64; i++) {
			ft_str_clear(&out);
			ft_corruptor_make(c, (enum ft_corruption)k, i, &out);
			if (out.n == size && size && !memcmp(out.s, s, size))
				abort();
		}
	}
	ft_corruptor_free(c);
	ft_dart_release(&d);
	ft_str_release(&out);
	return 0;
}
