/* SPDX-License-Identifier: MIT */
/*
 * Character classes as the tokenizers package sees them.  Regular expressions
 * are of Unicode 16.0, the Digits pre-tokenizer's idea of a number is Rust's,
 * of 17.0, and that of punctuation is older than both.  The tables are
 * generated: tests/golden/gen_unicode.py.
 */
#ifndef FT_TEXT_UNICODE_H
#define FT_TEXT_UNICODE_H

#include <stddef.h>
#include <stdint.h>

enum {
	FT_UC_L = 1,         /* \p{L} */
	FT_UC_N = 2,         /* \p{N} */
	FT_UC_S = 4,         /* \s: White_Space, 25 code points */
	FT_UC_W = 8,         /* \w of added tokens and of Whitespace: Rust's */
	FT_UC_NUM = 16,      /* Digits: \p{N} and 13 more */
	FT_UC_PUNCT = 32,    /* Punctuation */
	FT_UC_NFC = 64,      /* NFC may change it or what stands before it */
	FT_UC_WORD = 128,    /* \w of regular expressions */
	FT_UC_HAN = 256,     /* \p{Han} */
	FT_UC_MARK = 512,    /* StripAccents takes it away */
	FT_UC_CASED = 1024,  /* Lowercase changes it */
	FT_UC_CATEGORY = 11, /* above these bits: enum ft_category */
};

/* General categories, in the order of the table. */
enum ft_category {
	FT_CN,
	FT_LU,
	FT_LL,
	FT_LT,
	FT_LM,
	FT_LO,
	FT_MN,
	FT_MC,
	FT_ME,
	FT_ND,
	FT_NL,
	FT_NO,
	FT_PC,
	FT_PD,
	FT_PS,
	FT_PE,
	FT_PI,
	FT_PF,
	FT_PO,
	FT_SM,
	FT_SC,
	FT_SK,
	FT_SO,
	FT_ZS,
	FT_ZL,
	FT_ZP,
	FT_CC,
	FT_CF,
	FT_CS,
	FT_CO,
};

extern const unsigned char ft_uc_index[0x1100];
extern const uint16_t ft_uc_block[];

/* FT_UC_* and the category of a code point (at most 0x10ffff). */
static inline unsigned ft_uc(uint32_t cp)
{
	return ft_uc_block[ft_uc_index[cp >> 8] << 8 | (cp & 255)];
}

/*
 * The code point that starts at *s, which is moved behind it.  The text is
 * valid UTF-8: ft_tok_encode checks that once, so that this need not.
 */
static inline uint32_t ft_utf8_next(const char **s)
{
	const unsigned char *p = (const unsigned char *)*s;
	uint32_t c = p[0];

	if (c < 0x80) {
		*s += 1;
		return c;
	}
	if (c < 0xe0) {
		*s += 2;
		return (c & 31) << 6 | (p[1] & 63);
	}
	if (c < 0xf0) {
		*s += 3;
		return (c & 15) << 12 | (uint32_t)(p[1] & 63) << 6 |
		       (p[2] & 63);
	}
	*s += 4;
	return (c & 7) << 18 | (uint32_t)(p[1] & 63) << 12 |
	       (uint32_t)(p[2] & 63) << 6 | (p[3] & 63);
}

/* Where the character before p begins; there is one. */
static inline const char *ft_utf8_prev(const char *p)
{
	do
		p--;
	while ((*p & 0xc0) == 0x80);
	return p;
}

/* Write cp as UTF-8; returns its length. */
size_t ft_utf8_put(char out[4], uint32_t cp);
/* Length of the longest valid start of s. */
size_t ft_utf8_valid(const char *s, size_t n);
/*
 * Length of the ill-formed sequence at s (n > 0), which one U+FFFD stands
 * for: a maximal subpart, as in Unicode 16.0, 3.9, "U+FFFD Substitution of
 * Maximal Subparts".
 */
size_t ft_utf8_bad(const char *s, size_t n);

#endif
