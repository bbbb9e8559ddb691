/* SPDX-License-Identifier: MIT */
/* Every instruction set sees what the plain loop sees, in every byte. */
#include "libcommon/text/masks.h"

#include <stddef.h>
#include <string.h>

#include "libcommon/base/rng.h"
#include "tests/lib/test.h"

static void check(const char *name, ft_masks_fn *f)
{
	struct ft_masks want, got;
	char s[64];
	int bad = 0;

	if (!f) {
		SKIP("this machine has no %s", name);
		return;
	}
	for (unsigned i = 0; i < 4096; i++) {
		for (unsigned j = 0; j < 64; j++)
			s[j] = (char)(i < 256 ? (i + j) * (1 + i % 3)
					      : ft_rng_below(1, FT_RNG_PAIRS, i,
							     j, 256));
		memset(&got, 0x55, sizeof(got));
		ft_masks_plain(s, &want);
		f(s, &got);
		bad += memcmp(&want, &got, sizeof(got)) != 0;
	}
	CHECK(!bad, "%s as the plain loop", name);
}

int main(void)
{
	static const char s[65] =
		"aZ09 \t\n'$\x7f\x80!@[`{^~/:\r\v\f\x01\xff_______________"
		"________________________";
	struct ft_masks m;

	ft_masks_plain(s, &m);
	CHECK((m.letter & 0xfffff) == 3 && (m.upper & 0xfffff) == 2 &&
		      (m.digit & 0xfffff) == 0xc,
	      "letters and digits");
	CHECK(m.blank == 0x10 && m.newline == (0x40 | 1 << 20) &&
		      m.space == (0x70 | 7 << 20),
	      "white space");
	CHECK(m.quote == 0x80 && m.high == (0x400 | 1 << 24), "quote, high");
	CHECK(m.symbol == (0x100 | 1 << 14 | 1 << 16 | 1 << 17) &&
		      m.control == (0x260 | 15 << 20),
	      "symbols and controls: %llx %llx", (unsigned long long)m.symbol,
	      (unsigned long long)m.control);
	check("avx2", ft_masks_avx2());
	check("avx512", ft_masks_avx512());
	setenv("FT_ISA", "scalar", 1);
	CHECK(ft_masks_best() == ft_masks_plain, "FT_ISA=scalar is heeded");
	return test_done();
}
