/* SPDX-License-Identifier: MIT */
/* What Split, Replace and their kind look for, found. */
#include <string.h>

#include "libcommon/text/tok.h"
#include "libcommon/text/unicode.h"

void ft_pattern_begin(const struct ft_pattern *v, struct ft_regex_run *r,
		      const char *begin, const char *end)
{
	if (v->kind == FT_PAT_REGEX)
		ft_regex_begin(r, v->re, begin, end);
}

static bool next_string(const struct ft_bytes *s, const char *p,
			const char *end, const char **a, const char **z)
{
	*a = memmem(p, (size_t)(end - p), s->s, s->n);
	if (!*a)
		return false;
	*z = *a + s->n;
	return true;
}

static bool next_class(unsigned class, const char *p, const char *end,
		       const char **a, const char **z)
{
	while (p < end) {
		*a = p;
		if (ft_uc(ft_utf8_next(&p)) & class) {
			*z = p;
			return true;
		}
	}
	return false;
}

static bool next_word(const char *p, const char *end, const char **a,
		      const char **z)
{
	enum { CLASS = FT_UC_S | FT_UC_W };
	const char *q;
	unsigned kind = FT_UC_S;

	for (q = p; q < end && kind & FT_UC_S; p = q, q = p) {
		*a = p;
		kind = ft_uc(ft_utf8_next(&q)) & CLASS;
	}
	if (kind & FT_UC_S)
		return false;
	while (q < end) {
		p = q;
		if ((ft_uc(ft_utf8_next(&p)) & CLASS) != kind)
			break;
		q = p;
	}
	*z = q;
	return true;
}

bool ft_pattern_next(const struct ft_pattern *v, struct ft_regex_run *r,
		     const char *p, const char *end, const char **a,
		     const char **z)
{
	switch (v->kind) {
	case FT_PAT_STRING:
		return next_string(&v->string, p, end, a, z);
	case FT_PAT_REGEX:
		return ft_regex_next(r, p, a, z);
	case FT_PAT_CLASS:
		return next_class(v->class, p, end, a, z);
	case FT_PAT_WORDS:
		break;
	}
	return next_word(p, end, a, z);
}
