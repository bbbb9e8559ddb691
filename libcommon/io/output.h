/* SPDX-License-Identifier: MIT */
/*
 * Bytes to stdout or to a file that appears only when it is complete: written
 * as ".NAME.tmp.PID" beside it, then fsync, rename, fsync of the directory.
 * An unfinished one is removed by ft_output_abort, by exit and on SIGINT,
 * SIGTERM and SIGHUP (which then end the process as they would have).
 */
#ifndef FT_IO_OUTPUT_H
#define FT_IO_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/base/err.h"

struct ft_output;

/* path NULL or "-" is stdout.  zstd compresses (level 3, with checksum). */
int ft_output_open(struct ft_output **out, const char *path, bool zstd,
		   struct ft_err *err);
int ft_output_write(struct ft_output *out, const void *p, size_t n,
		    struct ft_err *err);
/* Send on what is buffered (a reader may be waiting); no durability. */
int ft_output_flush(struct ft_output *out, struct ft_err *err);
/* Bytes written so far, before compression. */
uint64_t ft_output_tell(const struct ft_output *out);
/* Make it complete and visible; frees out in any case. */
int ft_output_commit(struct ft_output *out, struct ft_err *err);
void ft_output_abort(struct ft_output *out);

/* A whole small file at once, in the same way. */
int ft_write_file(const char *path, const void *p, size_t n,
		  struct ft_err *err);
/* mkdir -p. */
int ft_mkdirs(const char *path, struct ft_err *err);
/* rm -r of a directory of ours (files and one level of directories). */
int ft_remove_dir(const char *path, struct ft_err *err);
/* A file without a name, to write and read: its fd, or -1.  It is in dir, or
   where dir is not there yet in the nearest directory above it, which is where
   dir would come to lie. */
int ft_temp_open(const char *dir, struct ft_err *err);
int ft_sync_dir(const char *path, struct ft_err *err);
/* All n bytes to fd, however many calls it takes: 0, or -1 with errno. */
int ft_write_fd(int fd, const void *p, size_t n);

#endif
