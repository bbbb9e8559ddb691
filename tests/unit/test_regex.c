/* SPDX-License-Identifier: MIT */
/*
 * Expressions against what Oniguruma made of them (by Split of the tokenizers
 * package 0.23.3), scanners against their expressions, and time.
 */
#include "libcommon/text/regex.h"

#include <string.h>
#include <time.h>

#include "libcommon/base/rng.h"
#include "libcommon/base/str.h"
#include "libcommon/text/tok.h"
#include "libcommon/text/unicode.h"
#include "tests/lib/test.h"

static struct ft_arena arena;

static struct ft_regex *must_compile(const char *s)
{
	struct ft_regex *re = NULL;
	struct ft_err err;

	if (ft_regex_compile(&arena, s, strlen(s), &re, &err))
		CHECK(false, "%s: %s", s, err.msg);
	return re;
}

/* All of s, cut where matches begin and end. */
static void cut(const struct ft_regex *re, const char *s, struct ft_str *out)
{
	const char *p = s, *end = s + strlen(s), *a, *z;
	struct ft_regex_run r = {0};

	ft_regex_begin(&r, re, s, end);
	while (ft_regex_next(&r, p, &a, &z)) {
		if (a > p)
			ft_str_addf(out, "%.*s~", (int)(a - p), p);
		ft_str_addf(out, "%.*s~", (int)(z - a), a);
		p = z;
	}
	ft_str_adds(out, p);
	ft_regex_run_release(&r);
}

static void pieces(const char *regex, const char *s, const char *want)
{
	const struct ft_regex *re = must_compile(regex);
	struct ft_str out = {0};

	if (!re)
		return;
	cut(re, s, &out);
	if (out.n && out.s[out.n - 1] == '~')
		out.s[--out.n] = 0;
	CHECK(!strcmp(ft_str_cstr(&out), want), "%s in '%s': %s", regex, s,
	      ft_str_cstr(&out));
	ft_str_release(&out);
}

static void matches(void)
{
	pieces("(?i:'s|'t)", "a'\xc5\xbf b'S", "a~'\xc5\xbf~ b~'S");
	pieces("'(?i:[sdmt]|ll|ve|re)", "a'LL d'K", "a~'LL~ d'K");
	pieces("(?i:[k])", "aK\xe2\x84\xaa", "a~K~\xe2\x84\xaa");
	pieces("(?i:[^s])", "a\xc5\xbfs", "a~\xc5\xbfs");
	pieces("\\s+$", "a \n b  ", "a~ ~\n b~  ");
	pieces("a{,2}b", "aaab", "a~aab");
	pieces("a{2,}", "aaab", "aaa~b");
	pieces("a++a|b", "aab", "aa~b");
	pieces("a+?", "aab", "a~a~b");
	pieces("(?:ab|a)(?:c|bc)+d", "abcbcd", "abcbcd");
	pieces("\\p{^L}+", "a1b", "a~1~b");
	pieces("[^\\S\\n]+", "a \n b", "a~ ~\n~ ~b");
	pieces("[ab[cd]]+", "xacdbx", "x~acdb~x");
	pieces(".+", "a\nb", "a~\n~b");
	pieces("\\s+(?!\\S)", "a   b", "a~  ~ b");
	pieces("x(?=y)", "xyx", "x~yx");
	pieces("\\w+", "a_1\xe2\x80\x8d\xc2\xbd", "a_1~\xe2\x80\x8d~\xc2\xbd");
}

static void refused(const char *s, const char *why)
{
	struct ft_regex *re;
	struct ft_err err = {0};
	int rc = ft_regex_compile(&arena, s, strlen(s), &re, &err);

	CHECK(rc && err.code == FT_EXIT_DATA && strstr(err.msg, why), "%s: %s",
	      s, rc ? err.msg : "taken");
}

static void refusals(void)
{
	refused("", "matches nothing at all");
	refused("a*", "matches nothing at all");
	refused("a|b?", "matches nothing at all");
	refused("(a*)+b", "a repetition of what may be nothing");
	refused("^a", "'^' here");
	refused("\\bx", "\\b is not supported");
	refused("\\A", "\\A is not supported");
	refused("(a)\\1", "\\1 is not supported");
	refused("\\x41", "\\x is not supported");
	refused("(?<=a)b", "'(?<' is not supported");
	refused("(?>a)", "'(?>' is not supported");
	refused("(?i)a", "'(?i' is not supported");
	refused("(?=ab)a", "a lookahead for more than one character");
	refused("[a&&b]", "&& in a class");
	refused("[a[^b]]", "[^ or [: in a class");
	refused("[[:alpha:]]", "[^ or [: in a class");
	refused("[b-a]", "a range that ends before it begins");
	refused("[a", "[ without ]");
	refused("(a", "( without )");
	refused("a)", "a ) without (");
	refused("a{2}?", "? or + behind a count");
	refused("a{x", "a { that is no count");
	refused("a+*", "a repetition of a repetition");
	refused("(?:ab)?+c", "a possessive repetition");
	refused("\\p{Greek}", "\\p{Greek} is not supported");
	refused("(?i:\xc3\xa9)", "(?i:) around what is not ASCII");
	refused("(?i:ss)", "letters that are one in another case");
	refused("(?i:\\p{Lu})", "a class inside (?i:)");
	refused("a{1000}{1000}", "a repetition of a repetition");
	refused("(?:(?:a{999}b){999}c){999}", "so long an expression");
}

/* --- scanners ------------------------------------------------------------- */

static uint64_t random_to(uint64_t *state, uint64_t n)
{
	*state = ft_mix64(*state + 1);
	return *state % n;
}

/* What expressions tell apart, and now and then any character. */
static void random_text(uint64_t *state, struct ft_str *s)
{
	static const char *const part[] = {
		" ",
		"  ",
		"\n",
		"\r\n",
		"\t",
		"'s",
		"'S",
		"'ll",
		"'\xc5\xbf",
		"'",
		"a",
		"Zb",
		"\xc3\xa9",
		"\xe6\x97\xa5",
		"1",
		"23",
		"\xc2\xbd",
		"\xef\xbc\x91",
		".",
		"!?",
		"\xe2\x80\x99",
		"\xc2\xa0",
		"\xe3\x80\x80",
		"\xcc\x81",
		"_",
	};
	size_t n = random_to(state, 30);

	ft_str_clear(s);
	while (n--) {
		uint32_t cp = 1 + (uint32_t)random_to(state, 0xd7ff);
		char u[4];

		if (random_to(state, 10))
			ft_str_adds(
				s,
				part[random_to(state,
					       sizeof(part) / sizeof(*part))]);
		else
			ft_str_add(s, u, ft_utf8_put(u, cp));
	}
}

static void scanner(const char *regex)
{
	const struct ft_regex *re = must_compile(regex);
	ft_scan_fn *scan = ft_scan_known(regex, strlen(regex));
	struct ft_str text = {0}, want = {0}, got = {0};
	uint64_t state = 7;
	int bad = 0;

	CHECK(scan != NULL, "a scanner for %s", regex);
	for (int i = 0; re && scan && i < 20000; i++) {
		const char *p, *end;

		random_text(&state, &text);
		ft_str_clear(&want);
		ft_str_clear(&got);
		cut(re, ft_str_cstr(&text), &want);
		end = text.s + text.n;
		for (p = text.s; p < end;) {
			const char *q = scan(p, end);

			ft_str_addf(&got, "%.*s~", (int)(q - p), p);
			p = q;
		}
		bad += got.n != want.n ||
		       memcmp(ft_str_cstr(&got), ft_str_cstr(&want), got.n);
	}
	CHECK(!bad, "%d of 20000 texts differ: %s", bad, regex);
	ft_str_release(&text);
	ft_str_release(&want);
	ft_str_release(&got);
}

static void scanners(void)
{
	scanner("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|"
		" ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+");
	scanner("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
		"\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
		"\\s+(?!\\S)|\\s+");
	scanner("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
		"\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
		"\\s+(?!\\S)|\\s+");
	CHECK(!ft_scan_known("\\p{L}+", 6), "and none for others");
}

/* --- time ----------------------------------------------------------------- */

/* A megabyte on which plain backtracking takes quadratic time or worse. */
static void linear(const char *regex, const char *unit)
{
	enum { N = 1 << 20 };
	const struct ft_regex *re = must_compile(regex);
	struct ft_regex_run r = {0};
	size_t k = strlen(unit);
	char *s = ft_xmalloc(N + k);
	const char *p = s, *a, *z, *end;
	clock_t begun = clock();
	double took;

	for (size_t i = 0; i < N; i += k)
		memcpy(s + i, unit, k);
	end = s + N / k * k;
	ft_regex_begin(&r, re, s, end);
	while (re && ft_regex_next(&r, p, &a, &z))
		p = z;
	took = (double)(clock() - begun) / CLOCKS_PER_SEC;
	CHECK(took < 20, "%s on a megabyte of '%s': %.2f s", regex, unit, took);
	ft_regex_run_release(&r);
	free(s);
}

int main(void)
{
	matches();
	refusals();
	scanners();
	linear("\\s+x", " ");
	linear("a+b", "a");
	linear("(?:a+b?)+c", "a");
	linear("(?:a|aa)+c", "a");
	linear("(?:a+?a+?)+c|[ab]+?d", "a");
	linear("\\s*[\\r\\n]+", " ");
	linear("[a-z]+[0-9]+[a-z]+!|\\p{L}+\\p{N}?x", "ab1");
	linear("a*b*c*d*e", "abcd");
	ft_arena_release(&arena);
	return test_done();
}
