/* SPDX-License-Identifier: MIT */
/* Private to config.c and rope.c. */
#ifndef FT_NN_CONFIG_PRIV_H
#define FT_NN_CONFIG_PRIV_H

#include "libcommon/io/json.h"
#include "libcommon/nn/config.h"

/* What config.json o says of positions; c has its sizes. */
int ft_rope_read(struct ft_config *c, const struct ft_json *o,
		 struct ft_err *err);

/* An object that says something, or NULL. */
int ft_json_object(const struct ft_json *o, const char *key,
		   const struct ft_json **v, struct ft_err *err);

#endif
