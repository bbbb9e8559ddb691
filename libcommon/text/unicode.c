/* SPDX-License-Identifier: MIT */
#include "libcommon/text/unicode.h"

#include <string.h>

#include "libcommon/base/str.h"

size_t ft_utf8_put(char out[4], uint32_t cp)
{
	if (cp < 0x80) {
		out[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (char)(0xc0 | cp >> 6);
		out[1] = (char)(0x80 | (cp & 63));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (char)(0xe0 | cp >> 12);
		out[1] = (char)(0x80 | (cp >> 6 & 63));
		out[2] = (char)(0x80 | (cp & 63));
		return 3;
	}
	out[0] = (char)(0xf0 | cp >> 18);
	out[1] = (char)(0x80 | (cp >> 12 & 63));
	out[2] = (char)(0x80 | (cp >> 6 & 63));
	out[3] = (char)(0x80 | (cp & 63));
	return 4;
}

size_t ft_utf8_valid(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n) {
		uint64_t w;
		size_t k;

		while (i + 8 <= n &&
		       (memcpy(&w, s + i, 8), !(w & 0x8080808080808080u)))
			i += 8;
		if (i == n)
			break;
		if (!(s[i] & 0x80)) {
			i++;
			continue;
		}
		k = ft_utf8_len(s + i, n - i);
		if (!k)
			break;
		i += k;
	}
	return i;
}

size_t ft_utf8_bad(const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;
	unsigned lo = 0x80, hi = 0xbf;
	size_t want, k;

	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 1;
	want = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		lo = 0xa0;
	else if (p[0] == 0xed)
		hi = 0x9f;
	else if (p[0] == 0xf0)
		lo = 0x90;
	else if (p[0] == 0xf4)
		hi = 0x8f;
	for (k = 1; k < want && k < n && p[k] >= lo && p[k] <= hi; k++) {
		lo = 0x80;
		hi = 0xbf;
	}
	return k;
}
