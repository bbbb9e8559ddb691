/* SPDX-License-Identifier: MIT */
/* Private to libcommon/nn: what adapter.c lends to peft.c. */
#ifndef FT_NN_ADAPTER_PRIV_H
#define FT_NN_ADAPTER_PRIV_H

#include "libcommon/nn/adapter.h"

/* An adapter without modules; then one more module, before ft_block_alloc. */
void ft_adapter_start(struct ft_adapter *a, const struct ft_config *c);
void ft_adapter_add(struct ft_adapter *a, const struct ft_config *c,
		    enum ft_slot s, size_t layer, size_t r, double alpha);
/* Does target (a name, a dotted suffix, a whole path) mean this module? */
bool ft_target_names(const char *target, const char *module);

#endif
