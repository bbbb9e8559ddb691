/* SPDX-License-Identifier: MIT */
/*
 * Bytes from a file, a pipe or memory.  zstd is recognised by its magic number
 * and unwrapped: a truncated frame, a bad checksum, trailing garbage or a
 * window over 2^27 is an FT_EXIT_DATA error.  Interrupted and short reads are
 * dealt with here.
 */
#ifndef FT_IO_INPUT_H
#define FT_IO_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "libcommon/base/err.h"

struct ft_input;

/* path NULL or "-" is standard input, named "-" in messages. */
int ft_input_open(struct ft_input **in, const char *path, struct ft_err *err);
/* Over memory that outlives the input (tests, fuzzers). */
int ft_input_mem(struct ft_input **in, const void *p, size_t n,
		 struct ft_err *err);
/* Up to n bytes; 0 at the end, -1 on error (err names the input). */
ssize_t ft_input_read(struct ft_input *in, void *buf, size_t n,
		      struct ft_err *err);
/* Exactly n bytes: 1; 0 at the end before the first byte; -1 on error, of which
   a short read is one (FT_EXIT_DATA "truncated"). */
int ft_input_exact(struct ft_input *in, void *buf, size_t n,
		   struct ft_err *err);
const char *ft_input_name(const struct ft_input *in);
void ft_input_close(struct ft_input *in);

/*
 * What an input gives, to be read once more at any place: a regular file that
 * is not compressed as it is, of anything else a copy without a name, which is
 * gone when the process is, however it ends.  The copy is in dir, or where dir
 * is not there yet in the nearest directory above it.
 */
struct ft_kept {
	int fd;
	char *name; /* owned */
	bool copy;  /* nobody else can change it */
	struct stat was;
};
/* Before the first read; what is read from then on is in k. */
int ft_input_keep(struct ft_input *in, struct ft_kept *k, const char *dir,
		  struct ft_err *err);
/* n bytes from at on.  Fewer there is an error. */
int ft_kept_read(const struct ft_kept *k, void *buf, size_t n, uint64_t at,
		 struct ft_err *err);
/* -1 when someone wrote to the file since. */
int ft_kept_check(const struct ft_kept *k, struct ft_err *err);
void ft_kept_release(struct ft_kept *k);

/* A whole small file (a configuration), NUL-terminated, malloced, at most
   max bytes (else FT_EXIT_DATA). */
char *ft_read_file(const char *path, size_t max, size_t *n, struct ft_err *err);

#endif
