/* SPDX-License-Identifier: MIT */
/*
 * Chats as a model's own template writes them, and which of that text is a
 * message's.  The template is found as transformers finds it: DIR's
 * chat_template.jinja, else chat_template in its tokenizer_config.json, a
 * string or a list of named ones.
 */
#ifndef FT_TEXT_CHAT_H
#define FT_TEXT_CHAT_H

#include "libcommon/base/mem.h"
#include "libcommon/text/jinja.h"

struct ft_chat;

/* which names one of several templates, or a file; NULL: `tool_use` for rows
   with tools where there is one, else `default`. */
int ft_chat_load(struct ft_chat **c, const char *dir, const char *which,
		 struct ft_err *err);
void ft_chat_free(struct ft_chat *c);

/* Messages of a chat, borrowed from rows. */
struct ft_chat_messages {
	const struct ft_json **v; /* malloc'ed */
	size_t n, cap;
};
/* Append those of a list; one that is no list of objects, or is empty, is
   FT_EXIT_DATA. */
int ft_chat_add(struct ft_chat_messages *m, const struct ft_json *list,
		const char *field, struct ft_err *err);
void ft_chat_messages_release(struct ft_chat_messages *m);

/*
 * Render messages [0, n).  The row gives `tools` (a list, or its JSON text),
 * `documents`, and with `chat_template_kwargs` any other variable.  prompt asks
 * for the start of an answer (add_generation_prompt).  The text of message
 * `chosen` is marked FT_JINJA_CHOSEN (SIZE_MAX: of none).
 */
int ft_chat_render(struct ft_chat *c, const struct ft_json *row,
		   const struct ft_chat_messages *m, size_t n, bool prompt,
		   size_t chosen, struct ft_jinja_out *out, struct ft_err *err);

/* Does the row's template say itself what an assistant wrote? */
bool ft_chat_tells(const struct ft_chat *c, const struct ft_json *row);

/*
 * What in the rendered whole of a chat belongs to message i: of an assistant's
 * what it was to write, from behind the prompt for it to the end of its turn.
 * It is what the whole has beyond the rendering of the messages before i.  A
 * template that writes a message otherwise once others follow (and leaves out
 * its reasoning, say) is followed through the marks of the message's own text;
 * where that does not tell either, the error says so.
 */
int ft_chat_span(struct ft_chat *c, const struct ft_json *row,
		 const struct ft_chat_messages *m, size_t i,
		 const struct ft_jinja_out *whole, struct ft_jinja_span *span,
		 struct ft_err *err);

#endif
