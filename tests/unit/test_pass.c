/* SPDX-License-Identifier: MIT */
/* How rows of prefix + branches are laid out for a forward. */
#include "libcommon/nn/model.h"

#include <string.h>

#include "tests/lib/test.h"

static void add(struct ft_tokens *b, int64_t row, const char *const *seg,
		size_t n, const uint8_t *const *mask)
{
	int32_t ids[4][16];
	const int32_t *p[4];
	size_t len[4];

	for (size_t s = 0; s < n; s++) {
		len[s] = strlen(seg[s]);
		p[s] = ids[s];
		for (size_t i = 0; i < len[s]; i++)
			ids[s][i] = seg[s][i];
	}
	ft_tokens_add(b, row, n, p, len, mask);
}

static bool ints(const int32_t *a, const int32_t *b, size_t n)
{
	return !memcmp(a, b, n * sizeof(*a));
}

/* "abc" and three branches "DE", "F", "GHI" after another row. */
static void branches(void)
{
	static const int32_t pos[] = {0, 1, 2, 3, 4, 3, 3, 4, 5};
	static const int32_t src[] = {6, 6, 6, 7, 10, 11};
	static const char target[] = "DFGEHI";
	static const int32_t at[] = {7, 9, 10, 8, 11, 12};
	static const int32_t of[] = {3, 4, 5, 3, 5, 5};
	struct ft_tokens b = {0};
	struct ft_pass p = {0};
	const struct ftk_segment *s;
	bool same = true;

	add(&b, 8, (const char *const[]){"", "wxyz"}, 2, NULL);
	add(&b, 9, (const char *const[]){"abc", "DE", "F", "GHI"}, 4, NULL);
	ft_pass_add(&p, &b, 0, false);
	CHECK(p.t == 4 && p.nseg == 2 && p.n == 3 && p.maxpos == 4,
	      "an empty prefix: its branch's first token is not predicted");
	CHECK(p.seg[0].nq == 0 && p.seg[1].nq == 4 && p.seg[1].np == 0,
	      "an empty segment stands for it");
	ft_pass_add(&p, &b, 1, false);
	CHECK(p.t == 13 && p.nseg == 6 && p.n == 9 && p.maxpos == 6,
	      "sizes add up");
	CHECK(ints(p.pos + 4, pos, 9),
	      "branches' positions go on from the prefix");
	s = p.seg + 2;
	CHECK(s[0].q0 == 4 && s[0].nq == 3 && s[0].np == 0, "the prefix");
	for (int i = 1, q0 = 7; i < 4; q0 += s[i].nq, i++)
		same &= s[i].q0 == q0 && s[i].k0 == q0 && s[i].nk == s[i].nq &&
			s[i].p0 == 4 && s[i].np == 3;
	CHECK(same, "branches see the prefix and themselves");
	CHECK(ints(p.src + 3, src, 6) && ints(p.at + 3, at, 6) &&
		      ints(p.of + 3, of, 6),
	      "the prefix's last token predicts every branch's first, first");
	for (int i = 0; i < 6; i++)
		same &= p.target[3 + i] == target[i];
	CHECK(same, "targets");
	for (size_t i = 1; i < p.n; i++)
		same &= p.src[i - 1] <= p.src[i];
	CHECK(same, "sources ascend");
	for (size_t i = 0; i < p.t; i++) {
		for (size_t j = 0; j < i; j++)
			same &= p.key[i] != p.key[j];
	}
	CHECK(same && p.key[4] >> 32 == 9,
	      "every token has a key of its own, from its row");
	ft_pass_clear(&p);
	ft_pass_add(&p, &b, 1, false);
	CHECK(p.key[0] >> 32 == 9 && (p.key[3] & 0xffffffff) == (1u << 24 | 3),
	      "whatever is before it");
	ft_pass_release(&p);
	ft_tokens_release(&b);
}

static void masks(void)
{
	static const uint8_t none[4] = {0}, some[] = {1, 0, 1, 1};
	struct ft_tokens b = {0};
	struct ft_pass p = {0};

	add(&b, 0, (const char *const[]){"ab", "CDEF"}, 2,
	    (const uint8_t *const[]){none, some});
	ft_pass_add(&p, &b, 0, false);
	CHECK(p.n == 3 && p.target[0] == 'C' && p.target[1] == 'E' &&
		      p.target[2] == 'F',
	      "only where the mask is set");
	ft_pass_clear(&p);
	ft_pass_add(&p, &b, 0, true);
	CHECK(p.n == 4 && p.target[1] == 'D', "or everywhere, when asked");
	ft_tokens_clear(&b);
	add(&b, 0, (const char *const[]){"ab", "CDEF"}, 2,
	    (const uint8_t *const[]){none, none});
	ft_pass_clear(&p);
	ft_pass_add(&p, &b, 0, false);
	CHECK(p.n == 0 && p.t == 6, "or nowhere");
	ft_pass_release(&p);
	ft_tokens_release(&b);
}

/* The layout of "abc" with "XYD", "XYEF" and "XYZ", after another row, as
   "abcXY" with "D", "EF", "Z". */
static void alike(void)
{
	static const uint8_t none[8] = {0}, all[8] = {1, 1, 1, 1, 1, 1, 1, 1};
	static const uint8_t other[8] = {1, 0, 1, 1};
	static const int32_t pos[] = {0, 1, 2, 3, 4, 5, 5, 6, 5};
	static const int32_t src[] = {4, 5, 6, 6, 6, 8};
	static const int32_t at[] = {5, 6, 7, 10, 14, 11};
	static const int32_t of[] = {2, 2, 3, 4, 5, 4};
	struct ft_tokens b = {0};
	struct ft_pass p = {.share = true};
	bool same = true;

	add(&b, 3, (const char *const[]){"", "uv"}, 2, NULL);
	add(&b, 4, (const char *const[]){"abc", "XYD", "XYEF", "XYZ"}, 4, NULL);
	add(&b, 5, (const char *const[]){"", "GHI", "GH"}, 3, NULL);
	add(&b, 6, (const char *const[]){"a", "XYD", "XYE"}, 3,
	    (const uint8_t *const[]){none, all, other});
	add(&b, 7, (const char *const[]){"a", "", "XYE"}, 3, NULL);
	ft_pass_add(&p, &b, 0, false);
	ft_pass_add(&p, &b, 1, false);
	CHECK(p.t == 11 && p.nseg == 6 && p.n == 7 && p.given == 15,
	      "what branches begin with alike stands once");
	CHECK(ints(p.pos + 2, pos, 9), "positions are those of the branches");
	CHECK(p.seg[2].q0 == 2 && p.seg[2].nq == 5 && p.seg[2].np == 0,
	      "it joins the prefix");
	for (int i = 3, q0 = 7; i < 6; q0 += p.seg[i].nq, i++)
		same &= p.seg[i].q0 == q0 && p.seg[i].p0 == 2 &&
			p.seg[i].np == 5;
	CHECK(same, "which the branches see");
	CHECK(ints(p.src + 1, src, 6) && ints(p.at + 1, at, 6) &&
		      ints(p.of + 1, of, 6),
	      "it is predicted once, as the first branch's, of the prefix");
	ft_pass_clear(&p);
	ft_pass_add(&p, &b, 2, false);
	CHECK(p.t == 4 && p.n == 3 && p.seg[0].nq == 1 && p.src[0] == 0 &&
		      p.src[1] == 0 && p.of[0] == 1 && p.of[1] == 2,
	      "without a prefix, and short of a branch's last token");
	ft_pass_clear(&p);
	ft_pass_add(&p, &b, 3, false);
	CHECK(p.t == 6 && p.seg[0].nq == 2,
	      "only as far as their masks are alike");
	ft_pass_clear(&p);
	ft_pass_add(&p, &b, 4, false);
	CHECK(p.t == 4 && p.seg[0].nq == 1, "an empty branch has nothing");
	ft_pass_clear(&p);
	p.share = false;
	ft_pass_add(&p, &b, 1, false);
	CHECK(p.t == 13, "and not unless asked");
	ft_pass_release(&p);
	ft_tokens_release(&b);
}

int main(void)
{
	branches();
	masks();
	alike();
	return test_done();
}
