/* SPDX-License-Identifier: MIT */
/* Supervised fine-tuning: the mean negative log-likelihood of a step's
   supervised tokens. */
#ifndef FT_TRAIN_SFT_H
#define FT_TRAIN_SFT_H

#include "libcommon/train/loop.h"

extern const struct ft_method ft_sft_method;

#endif
