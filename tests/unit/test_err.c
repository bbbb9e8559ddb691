/* SPDX-License-Identifier: MIT */
#include "libcommon/base/err.h"

#include <errno.h>
#include <string.h>

#include "tests/lib/test.h"

int main(void)
{
	struct ft_err err;
	char big[2000];

	memset(&err, 'x', sizeof(err));
	CHECK(ft_err_set(&err, FT_EXIT_DATA, "bad %s %d", "row", 7) == -1 &&
		      err.code == FT_EXIT_DATA && !err.where[0] && !err.line &&
		      !strcmp(err.msg, "bad row 7"),
	      "a message");
	CHECK(ft_err_at(&err, "near", 3) == -1 && !strcmp(err.where, "near") &&
		      err.line == 3,
	      "where");
	ft_err_at(&err, "far", 9);
	CHECK(!strcmp(err.where, "near") && err.line == 3,
	      "the nearest place stays");
	ft_err_set(&err, FT_EXIT_NO, "outer: %s", err.msg);
	CHECK(!strcmp(err.msg, "outer: bad row 7") && !err.where[0],
	      "a message made from itself");
	errno = ENOSPC;
	CHECK(ft_err_sys(&err, "cannot write '%s'", "x") == -1 &&
		      err.code == FT_EXIT_SYS &&
		      !strcmp(err.msg, "cannot write 'x': No space left on "
				       "device") &&
		      errno == ENOSPC,
	      "errno's words, and errno is left alone");
	memset(big, 'y', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	ft_err_set(&err, FT_EXIT_DATA, "%s", big);
	CHECK(strlen(err.msg) == sizeof(err.msg) - 1, "a long one is cut");
	ft_err_at(&err, big, 1);
	CHECK(strlen(err.where) == sizeof(err.where) - 1, "so is a long name");
	CHECK(ft_err_set(NULL, FT_EXIT_DATA, "x") == -1 &&
		      ft_err_sys(NULL, "x") == -1 &&
		      ft_err_at(NULL, "x", 1) == -1,
	      "nobody wants to know");
	return test_done();
}
