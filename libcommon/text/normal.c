/* SPDX-License-Identifier: MIT */
#include "libcommon/text/normal.h"

#include <string.h>

/* Hangul syllables are computed: The Unicode Standard, 3.12. */
enum {
	SBASE = 0xac00,
	LBASE = 0x1100,
	VBASE = 0x1161,
	TBASE = 0x11a7,
	LCOUNT = 19,
	VCOUNT = 21,
	TCOUNT = 28,
	SCOUNT = LCOUNT * VCOUNT * TCOUNT,
};

/* The string of cp among n sorted keys: its length, or 0. */
static size_t look_up(uint32_t cp, const uint32_t *key, size_t n,
		      const uint16_t *at, const uint32_t *to,
		      uint32_t out[FT_NORMAL_MAX])
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (key[mid] < cp)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == n || key[lo] != cp)
		return 0;
	n = (size_t)(at[lo + 1] - at[lo]);
	memcpy(out, to + at[lo], n * sizeof(*out));
	return n;
}

static size_t hangul(uint32_t s, uint32_t out[FT_NORMAL_MAX])
{
	out[0] = LBASE + s / (VCOUNT * TCOUNT);
	out[1] = VBASE + s % (VCOUNT * TCOUNT) / TCOUNT;
	out[2] = TBASE + s % TCOUNT;
	return 2 + (s % TCOUNT != 0);
}

size_t ft_normal_decompose(uint32_t cp, bool compat,
			   uint32_t out[FT_NORMAL_MAX])
{
	size_t n = 0;

	out[0] = cp;
	if (cp < 0xa0)
		return 1;
	if (cp - SBASE < SCOUNT)
		return hangul(cp - SBASE, out);
	if (compat)
		n = look_up(cp, ft_nfkd_cp, ft_nfkd_n, ft_nfkd_at, ft_nfkd_to,
			    out);
	if (!n)
		n = look_up(cp, ft_nfd_cp, ft_nfd_n, ft_nfd_at, ft_nfd_to, out);
	return n ? n : 1;
}

unsigned ft_normal_class(uint32_t cp)
{
	size_t lo = 0, hi = ft_ccc_n;

	if (cp < 0x300)
		return 0;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (ft_ccc[3 * mid + 1] < cp)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < ft_ccc_n && ft_ccc[3 * lo] <= cp ? ft_ccc[3 * lo + 2] : 0;
}

uint32_t ft_normal_compose(uint32_t a, uint32_t b)
{
	size_t lo = 0, hi = ft_pair_n;

	if (a - LBASE < LCOUNT && b - VBASE < VCOUNT)
		return SBASE + ((a - LBASE) * VCOUNT + b - VBASE) * TCOUNT;
	if (a - SBASE < SCOUNT && (a - SBASE) % TCOUNT == 0 && b > TBASE &&
	    b < TBASE + TCOUNT)
		return a + b - TBASE;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const uint32_t *p = ft_pair + 3 * mid;

		if (p[0] < a || (p[0] == a && p[1] < b))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < ft_pair_n && ft_pair[3 * lo] == a &&
			       ft_pair[3 * lo + 1] == b
		       ? ft_pair[3 * lo + 2]
		       : 0;
}

size_t ft_normal_lower(uint32_t cp, uint32_t out[FT_NORMAL_MAX])
{
	size_t n = look_up(cp, ft_lower_cp, ft_lower_n, ft_lower_at,
			   ft_lower_to, out);

	if (!n)
		out[n++] = cp;
	return n;
}
