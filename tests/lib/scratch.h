/* SPDX-License-Identifier: MIT */
/* A folder of the test's own under TMPDIR, removed when the test ends. */
#ifndef FT_TEST_SCRATCH_H
#define FT_TEST_SCRATCH_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch_dir[256];
static pid_t scratch_owner;

static int scratch_remove(const char *path, const struct stat *st, int type,
			  struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void scratch_end(void)
{
	if (getpid() == scratch_owner)
		nftw(scratch_dir, scratch_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static inline const char *scratch(void)
{
	const char *tmp = getenv("TMPDIR");

	if (scratch_dir[0])
		return scratch_dir;
	snprintf(scratch_dir, sizeof(scratch_dir), "%s/ft-test.XXXXXX",
		 tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(scratch_dir))
		exit(99);
	scratch_owner = getpid();
	atexit(scratch_end);
	return scratch_dir;
}

/* Path of a name in it; good until 64 more were asked for. */
static inline char *scratch_path(const char *name)
{
	static char path[64][512];
	static int k;

	k = (k + 1) % 64;
	snprintf(path[k], sizeof(path[k]), "%s/%s", scratch(), name);
	return path[k];
}

static inline char *scratch_file(const char *name, const void *p, size_t n)
{
	char *path = scratch_path(name);
	FILE *f = fopen(path, "w");

	if (!f || fwrite(p, 1, n, f) != n || fclose(f))
		exit(99);
	return path;
}

#endif
