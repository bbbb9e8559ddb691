/* SPDX-License-Identifier: MIT */
/*
 * Windows against the chains that they stand for, on random texts of what the
 * chains tell apart, whole and in every instruction set.
 */
#include "libcommon/text/window.h"

#include <string.h>

#include "libcommon/base/rng.h"
#include "libcommon/text/tok.h"
#include "tests/lib/test.h"

enum { LONGEST = 400, ROUNDS = 4000 };

static struct ft_arena arena;
static struct ft_regex_run run;

/* A set of places in a text where pieces end. */
struct ends {
	bool at[LONGEST + 1];
};

/* One step of a chain: a scanner, or what an expression matches. */
struct step {
	ft_scan_fn *scan;
	const char *regex;
	struct ft_regex *re;
};

static void cut(const struct step *v, const char *s, size_t a, size_t z,
		struct ends *e)
{
	const char *p = s + a, *end = s + z, *from, *to;

	if (v->scan) {
		for (; p < end; e->at[p - s] = true)
			p = v->scan(p, end);
		return;
	}
	ft_regex_begin(&run, v->re, p, end);
	for (; p < end && ft_regex_next(&run, p, &from, &to); p = to)
		e->at[from - s] = e->at[to - s] = true;
}

/* Each step cuts the pieces of the one before. */
static void by_chain(const struct step *v, int n, const char *s, size_t len,
		     struct ends *e)
{
	memset(e, 0, sizeof(*e));
	e->at[0] = e->at[len] = true;
	for (int i = 0; i < n; i++) {
		struct ends was = *e;
		size_t a = 0;

		for (size_t z = 1; z <= len; z++)
			if (was.at[z]) {
				cut(&v[i], s, a, z, e);
				a = z;
			}
	}
}

static void by_windows(ft_window_fn *f, ft_masks_fn *masks,
		       const struct step *v, int n, const char *s, size_t len,
		       struct ends *e)
{
	const char *p = s, *end = s + len;
	uint32_t stop[100];

	memset(e, 0, sizeof(*e));
	e->at[0] = e->at[len] = true;
	while (p < end) {
		size_t k = ft_window_cut(f, masks, p, end, stop, 100);
		struct ends part;
		const char *q;

		for (size_t i = 0; i < k; i++)
			e->at[p - s + stop[i]] = true;
		if (k) {
			p += stop[k - 1];
			continue;
		}
		q = ft_window_seam(p, end);
		by_chain(v, n, p, (size_t)(q - p), &part);
		for (size_t i = 0; i <= (size_t)(q - p); i++)
			e->at[(size_t)(p - s) + i] |= part.at[i];
		p = q;
	}
}

static size_t a_text(uint64_t seed, char *s)
{
	static const char *const part[] = {
		" ",    " ",   " ",  "  ",   "\n",     "\r\n", "\n\n", "\t",
		"'",    "'s",  "'T", "'re",  "'LL",    "'v",   "a",    "b",
		"word", "Two", "s",  "ve",   ".",      ",",    "!=",   "(",
		"''",   "/",   "0",  "12",   "345",    "6789", "$",    "~",
		"\x01", "\v",  "é",  "中文", "\u00a0", "ſ",    "٣",    "\u3000",
	};
	enum { N = sizeof(part) / sizeof(*part) };
	size_t n = 0,
	       most = 1 + ft_rng_below(seed, FT_RNG_PAIRS, 0, 0, LONGEST - 20);
	/* most texts are ASCII, some all kinds */
	uint64_t kinds = seed % 4 ? N - 6 : N;

	for (uint64_t i = 1; n < most; i++) {
		const char *k =
			part[ft_rng_below(seed, FT_RNG_PAIRS, i, 0, kinds)];

		memcpy(s + n, k, strlen(k));
		n += strlen(k);
	}
	return n;
}

static void compare(const char *name, ft_window_fn *f, struct step *v, int n)
{
	ft_masks_fn *const isa[] = {ft_masks_plain, ft_masks_avx2(),
				    ft_masks_avx512()};
	struct ft_err err;
	char s[LONGEST + 8];
	int bad = 0;

	for (int i = 0; i < n; i++)
		if (v[i].regex &&
		    ft_regex_compile(&arena, v[i].regex, strlen(v[i].regex),
				     &v[i].re, &err))
			CHECK(false, "%s: %s", v[i].regex, err.msg);
	for (uint64_t seed = 0; seed < ROUNDS; seed++) {
		size_t len = a_text(seed, s);
		struct ends want, got;

		by_chain(v, n, s, len, &want);
		for (int i = 0; i < 3; i++) {
			if (!isa[i])
				continue;
			by_windows(f, isa[i], v, n, s, len, &got);
			if (memcmp(&want, &got, sizeof(got)) && !bad++)
				printf("# seed %d: '%.*s'\n", (int)seed,
				       (int)len, s);
		}
	}
	CHECK(!bad, "%s: windows cut as the chain, %d differ", name, bad);
}

int main(void)
{
	struct step gpt2[] = {{.scan = ft_scan_gpt2}};
	struct step qwen[] = {{.scan = ft_scan_qwen}};
	struct step llama3[] = {{.scan = ft_scan_llama3}};
	struct step starcoder[] = {{.scan = ft_scan_digit},
				   {.scan = ft_scan_gpt2}};
	struct step deepseek[] = {
		{.regex = "[\r\n]"},      {.regex = "\\s?\\p{L}+"},
		{.regex = "\\s?\\p{P}+"}, {.regex = "[一-龥ࠀ-一가-퟿]+"},
		{.scan = ft_scan_digit},
	};

	compare("gpt2", ft_window_gpt2, gpt2, 1);
	compare("qwen", ft_window_qwen, qwen, 1);
	compare("llama3", ft_window_llama3, llama3, 1);
	compare("starcoder", ft_window_starcoder, starcoder, 2);
	compare("deepseek", ft_window_deepseek, deepseek, 5);
	ft_regex_run_release(&run);
	ft_arena_release(&arena);
	return test_done();
}
