/* SPDX-License-Identifier: MIT */
/* Private to libcommon/nn: what adapter.c and target.c lend to peft.c. */
#ifndef FT_NN_ADAPTER_PRIV_H
#define FT_NN_ADAPTER_PRIV_H

#include "libcommon/io/json.h"
#include "libcommon/nn/adapter.h"

/* An adapter without modules; then one more module, before ft_block_alloc. */
void ft_adapter_start(struct ft_adapter *a, const struct ft_config *c);
void ft_adapter_add(struct ft_adapter *a, const struct ft_config *c,
		    enum ft_slot s, size_t layer, size_t r, double alpha);
void ft_adapter_add_whole(struct ft_adapter *a, const struct ft_config *c,
			  enum ft_slot s, size_t layer);
/* Of n places [layers * FT_NSLOT] the i-th: false where there is none. */
bool ft_place_at(const struct ft_config *c, size_t i, enum ft_slot *s,
		 size_t *layer);
/* What LoRA can be on. */
bool ft_slot_adapts(enum ft_slot s);

/* --- target.c: which modules names mean --- */

/* Does target (a name, a dotted suffix, a whole path) mean this module? */
bool ft_target_names(const char *target, const char *module);
/* Does name, the end of its path or of one about it, save this module? */
bool ft_target_saves(const char *name, const char *module);
/* Does adapter_config.json o want LoRA on this module?  1, 0, or 2: it does
   not say.  A regular expression that is not understood is FT_EXIT_DATA. */
int ft_target_wants(const struct ft_json *o, const char *module, size_t layer,
		    struct ft_err *err);
/* *v = the value of the first key of a pattern's object (rank_pattern,
   alpha_pattern) that matches the module; else it stays. */
int ft_target_pattern(const struct ft_json *o, const char *field,
		      const char *module, double *v, struct ft_err *err);

#endif
