/* SPDX-License-Identifier: MIT */
/*
 * Scanners of plain text: where pieces begin among 64 bytes of ASCII, by
 * arithmetic on bits.  Each stands for a whole chain of pre-tokenizers; the
 * chain itself does what is not ASCII.
 */
#ifndef FT_TEXT_WINDOW_H
#define FT_TEXT_WINDOW_H

#include <stddef.h>
#include <stdint.h>

#include "libcommon/text/masks.h"

/*
 * Bits at which pieces begin in the n (1 to 64) bytes of s, which are ASCII and
 * begin with a piece: as far as that is certain whatever comes behind them.
 * s is 64 bytes long.
 */
typedef uint64_t ft_window_fn(const struct ft_masks *m, const char *s,
			      unsigned n);

ft_window_fn ft_window_gpt2;
ft_window_fn ft_window_qwen;      /* numbers one by one */
ft_window_fn ft_window_llama3;    /* by threes */
ft_window_fn ft_window_starcoder; /* digits, then GPT-2's */
ft_window_fn ft_window_deepseek;  /* the five steps of DeepSeek-Coder */

/*
 * Cut from p on, as far as windows can tell and up to max - 64 pieces: where
 * they end, counted from p, into stop.  Returns how many; 0 where p does not
 * begin with a piece that ends in sight.
 */
size_t ft_window_cut(ft_window_fn *f, ft_masks_fn *masks, const char *p,
		     const char *end, uint32_t *stop, size_t max);
/*
 * A place behind p where every one of these chains cuts, whatever stands left
 * and right of it, or end: before a blank between two letters.
 */
const char *ft_window_seam(const char *p, const char *end);

#endif
