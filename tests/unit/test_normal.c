/* SPDX-License-Identifier: MIT */
/*
 * Normalization, character by character: digests of what the tokenizers
 * package 0.23.3 answers (make check-tokenizers compares whole texts), and
 * what the tables must be among themselves.
 */
#include "libcommon/text/normal.h"

#include <string.h>

#include "libcommon/base/hash.h"
#include "libcommon/text/unicode.h"
#include "tests/lib/test.h"

static bool surrogate(uint32_t cp)
{
	return cp >= 0xd800 && cp < 0xe000;
}

typedef size_t map_fn(uint32_t cp, uint32_t *to);

static size_t canonical(uint32_t cp, uint32_t *to)
{
	return ft_normal_decompose(cp, false, to);
}

static size_t compatible(uint32_t cp, uint32_t *to)
{
	return ft_normal_decompose(cp, true, to);
}

/* sha256 of what all characters become, in UTF-8, a line each. */
static void mapping(const char *name, map_fn *fn, const char *want)
{
	struct ft_sha256 h;
	char hex[65];

	ft_sha256_init(&h);
	for (uint32_t cp = 0; cp < 0x110000; cp++) {
		uint32_t to[FT_NORMAL_MAX];
		char u[4];
		size_t n;

		if (surrogate(cp))
			continue;
		n = fn(cp, to);
		for (size_t i = 0; i < n; i++)
			ft_sha256_add(&h, u, ft_utf8_put(u, to[i]));
		ft_sha256_add(&h, "\n", 1);
	}
	ft_sha256_hex(&h, hex);
	CHECK(!strcmp(hex, want), "%s: %s", name, hex);
}

/* What a pair makes comes apart into it; a mark that is alone is stable. */
static void compositions(void)
{
	uint32_t bad = 0, pairs = 0, classes = 0;

	for (uint32_t cp = 0; cp < 0x110000; cp++) {
		uint32_t to[FT_NORMAL_MAX], cc = ft_normal_class(cp);
		size_t n = ft_normal_decompose(cp, false, to);
		uint32_t at = to[0];

		classes += cc != 0;
		bad += cc && !(ft_uc(cp) & FT_UC_NFC);
		for (size_t i = 1; at && i < n; i++)
			at = ft_normal_compose(at, to[i]);
		if (n < 2 || at != cp)
			continue;
		pairs++;
		bad += ft_uc(cp) & FT_UC_NFC &&
		       !ft_normal_class(cp); /* composed is as it should be */
	}
	CHECK(pairs == 940 + 11172, "%u compose", pairs);
	CHECK(classes == 814, "%u have a class", classes);
	CHECK(!bad, "%u are not what they should be", bad);
	CHECK(ft_normal_class(0x334) == 1 && ft_normal_class(0x301) == 230 &&
		      ft_normal_class('a') == 0,
	      "classes");
	CHECK(ft_normal_compose(0x1100, 0x1161) == 0xac00 &&
		      ft_normal_compose(0xac00, 0x11a8) == 0xac01 &&
		      !ft_normal_compose(0xac01, 0x11a8) &&
		      !ft_normal_compose(0xac00, 0x11a7),
	      "Hangul");
	CHECK(!ft_normal_compose(0x915, 0x93c), "one that is excluded");
}

int main(void)
{
	mapping("canonical decompositions", canonical,
		"34c986f61cb6f6d682995fecf92e27dccdcd867a8eb8358cb155ab1047757fa1");
	mapping("compatible decompositions", compatible,
		"b13d7cf200216bf8a1994ee254dd770e4263e5ec5bbc2cc056a58baa4b647b3e");
	mapping("lower case", ft_normal_lower,
		"62a955092f4341ca841e803dc5d73e6df6210c1d7a8046780af533dc63ec2bd1");
	compositions();
	return test_done();
}
