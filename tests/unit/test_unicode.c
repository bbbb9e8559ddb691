/* SPDX-License-Identifier: MIT */
/* Classes, counted over all code points, and UTF-8 in and out. */
#include "libcommon/text/unicode.h"

#include <string.h>

#include "tests/lib/test.h"

static size_t count(unsigned bit)
{
	size_t n = 0;

	for (uint32_t c = 0; c < 0x110000; c++)
		n += (ft_uc(c) & bit) != 0;
	return n;
}

static void classes(void)
{
	/* What the tokenizers package 0.23.3 answers, code point by code
	   point: Split on the expressions, added tokens' single_word, Digits. */
	CHECK(count(FT_UC_L) == 141028, "\\p{L}: %zu", count(FT_UC_L));
	CHECK(count(FT_UC_N) == 1911, "\\p{N}: %zu", count(FT_UC_N));
	CHECK(count(FT_UC_S) == 25, "\\s: %zu", count(FT_UC_S));
	CHECK(count(FT_UC_W) == 144667, "\\w: %zu", count(FT_UC_W));
	CHECK(count(FT_UC_NUM) == 1924, "Digits: %zu", count(FT_UC_NUM));
	CHECK(!(ft_uc(0x180e) & FT_UC_S), "U+180E is no space");
	CHECK(ft_uc(0x85) == FT_UC_S, "U+0085 is one");
	CHECK(ft_uc(0xbd) == (FT_UC_N | FT_UC_NUM), "a half is a number");
	CHECK(ft_uc('_') == FT_UC_W, "an underscore is of a word");
	CHECK(ft_uc(0x1cccc) == 0 && ft_uc(0x105c0) & FT_UC_L,
	      "letters of Unicode 16");
}

static void round_trip(void)
{
	uint32_t bad = 0;

	for (uint32_t c = 0; c < 0x110000; c++) {
		char u[4];
		size_t n;
		const char *p = u;

		if (c >= 0xd800 && c < 0xe000)
			continue;
		n = ft_utf8_put(u, c);
		bad += ft_utf8_valid(u, n) != n || ft_utf8_next(&p) != c ||
		       p != u + n;
	}
	CHECK(!bad, "every code point out and in");
}

/* Lengths of ill-formed sequences, as the Unicode standard's table 3-8. */
static void ill_formed(void)
{
	static const struct {
		const char *s;
		size_t n;
	} bad[] = {
		{"\x80", 1},         {"\xc0\x80", 1},     {"\xe0\x80\x80", 1},
		{"\xe1\x80\xe2", 2}, {"\xed\xa0\x80", 1}, {"\xf0\x9f\x98", 3},
		{"\xf0\x80\x80", 1}, {"\xf4\x91\x92", 1}, {"\xf5", 1},
		{"\xe2", 1},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		CHECK(ft_utf8_bad(bad[i].s, strlen(bad[i].s)) == bad[i].n,
		      "ill-formed %zu", i);
		CHECK(ft_utf8_valid(bad[i].s, strlen(bad[i].s)) == 0,
		      "and found to be so");
	}
	CHECK(ft_utf8_valid("abcdefgh\xc3\xa9ijklmnop\xff", 19) == 18,
	      "the valid start of a string");
}

int main(void)
{
	classes();
	round_trip();
	ill_formed();
	return test_done();
}
