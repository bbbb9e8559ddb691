/* SPDX-License-Identifier: MIT */
/*
 * Enough to write TAP from C: one file is one program, run from the top of
 * the repository.  Lines are flushed one by one, so that a program that dies
 * still shows how far it came.
 *
 *	CHECK(n == 3, "three rows");       printf arguments may follow
 *	SKIP("no shared data at %s", dir);
 *	return test_done();
 */
#ifndef FT_TEST_H
#define FT_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int test_n, test_failed;

#define CHECK(cond, ...)                                                      \
	do {                                                                  \
		int ok_ = !!(cond);                                           \
		test_failed += !ok_;                                          \
		printf("%sok %d - ", ok_ ? "" : "not ", ++test_n);            \
		printf(__VA_ARGS__);                                          \
		printf("\n");                                                 \
		if (!ok_)                                                     \
			printf("#   %s:%d: %s\n", __FILE__, __LINE__, #cond); \
		fflush(stdout);                                               \
	} while (0)

/* A check that cannot run here, and why: counted and shown by make check. */
#define SKIP(...)                                  \
	do {                                       \
		printf("ok %d # SKIP ", ++test_n); \
		printf(__VA_ARGS__);               \
		printf("\n");                      \
		fflush(stdout);                    \
	} while (0)

/* The folder of shared test data (FT_SHARED, else ../shared), or NULL. */
static inline const char *test_shared(void)
{
	const char *dir = getenv("FT_SHARED");

	if (!dir || !*dir)
		dir = "../shared";
	return access(dir, R_OK) ? NULL : dir;
}

static inline int test_done(void)
{
	printf("1..%d\n", test_n);
	return fflush(stdout) || test_failed ? 1 : 0;
}

#endif
