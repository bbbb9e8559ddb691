/* SPDX-License-Identifier: MIT */
/* What the pieces of ft-generate share. */
#ifndef FT_TOOLS_GENERATE_H
#define FT_TOOLS_GENERATE_H

#include "libcommon/io/output.h"
#include "libcommon/nn/generate.h"
#include "libcommon/nn/open.h"
#include "libcommon/text/chat.h"
#include "libcommon/text/tokenizer.h"

struct cmdline {
	const char *model, *adapter, *base, *out, *map, *prompt, *memory;
	const char *chat_template;
	bool plan, json, chat, interactive;
	struct ft_compute compute;
	struct ft_gen_opts gen;
	struct ft_opt_list stop;
	bool zstd, ids, logps, no_specials, max_given;
	int64_t max_prompt;
};

/* Where the first stop string in s begins, looking at what the last added
   bytes may have completed; SIZE_MAX when there is none. */
size_t find_stop(const struct cmdline *cmd, const char *s, size_t n,
		 size_t added);

/* Converse with whoever is at standard input, until it ends; answers go to
   out. */
void talk(const struct cmdline *cmd, struct ft_loaded *l, struct ft_tok *tok,
	  struct ft_chat *chat, struct ft_output *out);

#endif
