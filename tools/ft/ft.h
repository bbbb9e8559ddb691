/* SPDX-License-Identifier: MIT */
/* What the pieces of ft share. */
#ifndef FT_TOOLS_FT_H
#define FT_TOOLS_FT_H

#include <stddef.h>

/* A list of the tools that `ft NAME` can run, by name, each once: first those
   beside this program, then those in PATH. */
struct tool_list {
	struct tool {
		char *name; /* without "ft-"; owned */
		char *path; /* owned */
	} * v;
	size_t n, cap;
};
void tools_find(struct tool_list *l);
void tools_release(struct tool_list *l);

/* Print what this machine offers; returns an exit status. */
int doctor(void);

#endif
