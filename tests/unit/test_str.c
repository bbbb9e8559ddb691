/* SPDX-License-Identifier: MIT */
#include "libcommon/base/str.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/rng.h"
#include "tests/lib/test.h"

static const char *dbl(double x)
{
	static struct ft_str s;

	ft_str_clear(&s);
	ft_str_add_double(&s, x);
	return s.s;
}

static const char *flt(float x)
{
	static struct ft_str s;

	ft_str_clear(&s);
	ft_str_add_float(&s, x);
	return s.s;
}

static void test_string(void)
{
	struct ft_str s = {0};
	char big[500];

	CHECK(!strcmp(ft_str_cstr(&s), ""), "an empty one");
	ft_str_add(&s, NULL, 0);
	CHECK(s.s && s.n == 0 && s.s[0] == 0, "nothing appended");
	ft_str_adds(&s, "ab");
	ft_str_addc(&s, 'c');
	ft_str_addf(&s, "%d-%s", 42, "x");
	CHECK(!strcmp(s.s, "abc42-x") && s.n == 7, "pieces");
	memset(big, 'y', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	ft_str_addf(&s, "%s!", big);
	CHECK(s.n == 7 + 500 && s.s[506] == '!' && s.s[507] == 0,
	      "a long formatted piece");
	for (int i = 0; i < 100000; i++)
		ft_str_addc(&s, (char)('a' + i % 26));
	CHECK(s.n == 100507 && strlen(s.s) == s.n, "many bytes");
	ft_str_clear(&s);
	CHECK(s.n == 0 && !strcmp(s.s, ""), "cleared");
	ft_str_add_json(&s, "a\"\\\n\t\r\b\f\x01\x1f\x7f/\xC3\xA9\0z", 16);
	CHECK(!strcmp(s.s, "\"a\\\"\\\\\\n\\t\\r\\b\\f\\u0001\\u001f\x7f/"
			   "\xC3\xA9\\u0000z\""),
	      "a JSON string: %s", s.s);
	ft_str_clear(&s);
	ft_str_add_json(&s, "a\xe9l\xc3\xa9\xe2\x82", 7);
	CHECK(!strcmp(s.s,
		      "\"a\xEF\xBF\xBDl\xC3\xA9\xEF\xBF\xBD\xEF\xBF\xBD\""),
	      "JSON of what is not UTF-8: %s", s.s);
	ft_str_clear(&s);
	ft_str_add_json(&s, "", 0);
	CHECK(!strcmp(s.s, "\"\""), "an empty JSON string");
	ft_str_release(&s);
	CHECK(!s.s && !s.cap, "released");
}

static void test_numbers(void)
{
	bool ok = true;

	CHECK(!strcmp(dbl(0.1), "0.1") && !strcmp(dbl(1), "1"), "0.1 and 1");
	CHECK(!strcmp(dbl(1.0 / 3), "0.3333333333333333"), "1/3");
	CHECK(!strcmp(dbl(0.1 + 0.2), "0.30000000000000004"), "0.1 + 0.2");
	CHECK(!strcmp(dbl(5e-324), "5e-324"), "the smallest subnormal");
	CHECK(!strcmp(dbl(DBL_MAX), "1.7976931348623157e+308"), "the largest");
	CHECK(!strcmp(dbl(-0.0), "-0"), "minus zero");
	CHECK(!strcmp(dbl(NAN), "null") && !strcmp(dbl(-INFINITY), "null"),
	      "no number is null");
	CHECK(!strcmp(flt(0.1f), "0.1") && !strcmp(flt(16777216), "16777216"),
	      "floats");
	CHECK(!strcmp(flt(1e-45f), "1e-45"), "the smallest float");
	CHECK(!strcmp(flt(INFINITY), "null"), "an infinite float");
	for (uint64_t i = 0; i < 20000; i++) {
		uint32_t r[4];
		uint64_t bits;
		double x;
		float f;

		ft_rng_bits(1, FT_RNG_BOOT, 0, i, r);
		bits = (uint64_t)r[0] << 32 | r[1];
		memcpy(&x, &bits, 8);
		memcpy(&f, &r[2], 4);
		ok = ok && (!isfinite(x) || strtod(dbl(x), NULL) == x);
		ok = ok && (!isfinite(f) || strtof(flt(f), NULL) == f);
	}
	CHECK(ok, "20000 random doubles and floats read back");
}

static void test_small(void)
{
	CHECK(ft_starts("abc", "ab") && !ft_starts("a", "ab") &&
		      ft_starts("", ""),
	      "ft_starts");
	CHECK(ft_ends("abc", "bc") && !ft_ends("c", "bc") && ft_ends("a", ""),
	      "ft_ends");
	CHECK(ft_edit_distance("kitten", 6, "sitting", 7) == 3, "kitten");
	CHECK(ft_edit_distance("", 0, "abc", 3) == 3 &&
		      ft_edit_distance("abc", 3, "", 0) == 3 &&
		      ft_edit_distance("same", 4, "same", 4) == 0,
	      "edges of the edit distance");
}

/* The table of Wagner & Fischer 1974, a row at a time. */
static size_t plain_distance(const char *a, size_t na, const char *b, size_t nb)
{
	size_t row[400];

	for (size_t j = 0; j <= nb; j++)
		row[j] = j;
	for (size_t i = 0; i < na; i++) {
		size_t diag = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < nb; j++) {
			size_t best = diag + (a[i] != b[j]);

			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j + 1] + 1 < best)
				best = row[j + 1] + 1;
			diag = row[j + 1];
			row[j + 1] = best;
		}
	}
	return row[nb];
}

static void test_distance(void)
{
	uint32_t x = 1;
	int bad = 0;

	for (int t = 0; t < 2000; t++) {
		char a[300], b[300];
		size_t na, nb;

		x = x * 1664525 + 1013904223;
		na = x >> 8 & 255;
		nb = (x >> 16 & 255) + (t % 3 == 0 ? 44 : 0);
		for (size_t i = 0; i < 300; i++) {
			x = x * 1664525 + 1013904223;
			a[i] = (char)(x >> 24 & (t & 1 ? 1 : 255));
			b[i] = x >> 20 & 7 ? a[i] : (char)(x >> 12 & 3);
		}
		bad += ft_edit_distance(a, na, b, nb) !=
		       plain_distance(a, na, b, nb);
	}
	CHECK(!bad, "edit distances of random texts, over words of 64");
}

static void test_utf8(void)
{
	static const struct {
		const char *s;
		size_t n, want;
	} t[] = {
		{"a", 1, 1},
		{"\x7f", 1, 1},
		{"", 0, 0},
		{"\x80", 1, 0},
		{"\xC2\x80", 2, 2},
		{"\xC1\xBF", 2, 0},
		{"\xC2", 1, 0},
		{"\xDF\xBF", 2, 2},
		{"\xC2\x41", 2, 0},
		{"\xE0\xA0\x80", 3, 3},
		{"\xE0\x9F\xBF", 3, 0},
		{"\xED\x9F\xBF", 3, 3},
		{"\xED\xA0\x80", 3, 0},
		{"\xEF\xBF\xBF", 3, 3},
		{"\xE2\x82", 2, 0},
		{"\xE2\x82\x41", 3, 0},
		{"\xF0\x90\x80\x80", 4, 4},
		{"\xF0\x8F\xBF\xBF", 4, 0},
		{"\xF4\x8F\xBF\xBF", 4, 4},
		{"\xF4\x90\x80\x80", 4, 0},
		{"\xF5\x80\x80\x80", 4, 0},
		{"\xF0\x90\x80", 3, 0},
		{"\xFF", 1, 0},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++)
		CHECK(ft_utf8_len(t[i].s, t[i].n) == t[i].want,
		      "UTF-8 case %zu", i);
}

int main(void)
{
	test_string();
	test_numbers();
	test_small();
	test_distance();
	test_utf8();
	return test_done();
}
