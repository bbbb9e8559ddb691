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

static unsigned flags(uint32_t cp)
{
	return ft_uc(cp) & ((1u << FT_UC_CATEGORY) - 1);
}

/* \\p{Lu} and so on, counted as the package answers. */
static void categories(void)
{
	static const size_t want[] = {
		[FT_CN] = 819533, [FT_LU] = 1858, [FT_LL] = 2258,
		[FT_LT] = 31,     [FT_LM] = 404,  [FT_LO] = 136477,
		[FT_MN] = 2020,   [FT_MC] = 468,  [FT_ME] = 13,
		[FT_ND] = 760,    [FT_NL] = 236,  [FT_NO] = 915,
		[FT_PC] = 10,     [FT_PD] = 27,   [FT_PS] = 79,
		[FT_PE] = 77,     [FT_PI] = 12,   [FT_PF] = 10,
		[FT_PO] = 640,    [FT_SM] = 950,  [FT_SC] = 63,
		[FT_SK] = 125,    [FT_SO] = 7376, [FT_ZS] = 17,
		[FT_ZL] = 1,      [FT_ZP] = 1,    [FT_CC] = 65,
		[FT_CF] = 170,    [FT_CS] = 2048, [FT_CO] = 137468,
	};
	size_t n[32] = {0};

	for (uint32_t c = 0; c < 0x110000; c++)
		n[ft_uc(c) >> FT_UC_CATEGORY]++;
	for (int i = 0; i <= FT_CO; i++)
		CHECK(n[i] == want[i], "category %d: %zu", i, n[i]);
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
	CHECK(count(FT_UC_PUNCT) == 726, "Punctuation: %zu",
	      count(FT_UC_PUNCT));
	CHECK(count(FT_UC_WORD) == 144671, "\\w in expressions: %zu",
	      count(FT_UC_WORD));
	CHECK(count(FT_UC_HAN) == 99030, "\\p{Han}: %zu", count(FT_UC_HAN));
	CHECK(count(FT_UC_MARK) == 2097, "StripAccents: %zu",
	      count(FT_UC_MARK));
	CHECK(count(FT_UC_CASED) == 1488, "Lowercase: %zu", count(FT_UC_CASED));
	CHECK(!(ft_uc(0x180e) & FT_UC_S), "U+180E is no space");
	CHECK(flags(0x85) == FT_UC_S, "U+0085 is one");
	CHECK(flags(0xbd) == (FT_UC_N | FT_UC_NUM | FT_UC_WORD),
	      "a half is a number");
	CHECK(flags('_') == (FT_UC_W | FT_UC_WORD | FT_UC_PUNCT),
	      "an underscore is of a word");
	CHECK(flags(0x1cccc) == 0 && ft_uc(0x105c0) & FT_UC_L,
	      "letters of Unicode 16");
	categories();
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
