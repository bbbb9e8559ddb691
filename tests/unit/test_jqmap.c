/* SPDX-License-Identifier: MIT */
/* What rows see of a map is in test_rows.c; this is its interface. */
#include "libcommon/io/jqmap.h"

#include <string.h>

#include "tests/lib/test.h"

static int run(struct ft_jqmap *m, const char *row, struct ft_str *out,
	       struct ft_err *err)
{
	if (ft_jqmap_start(m, row, strlen(row), err))
		return -1;
	return ft_jqmap_next(m, out, err);
}

int main(void)
{
	struct ft_jqmap *m;
	struct ft_str out = {0};
	struct ft_err err;

	CHECK(ft_jqmap_new(&m, "1 +", &err) == -1 && !m &&
		      err.code == FT_EXIT_USAGE,
	      "does not compile: %s", err.msg);
	CHECK(ft_jqmap_new(&m, ".a[] | {x: .}", &err) == 0, "compiles");
	CHECK(run(m, "{\"a\":[1,\"\xC3\xA9\"]}", &out, &err) == 1 &&
		      !strcmp(out.s, "{\"x\":1}"),
	      "first");
	CHECK(ft_jqmap_next(m, &out, &err) == 1 &&
		      !strcmp(out.s, "{\"x\":\"\xC3\xA9\"}"),
	      "second");
	CHECK(ft_jqmap_next(m, &out, &err) == 0, "end");
	CHECK(run(m, "{\"a\":3}", &out, &err) == -1 &&
		      err.code == FT_EXIT_DATA &&
		      !strcmp(err.msg, "jq: Cannot iterate over number (3)"),
	      "an error: %s", err.msg);
	CHECK(run(m, "{\"a\":[2,3]}", &out, &err) == 1 &&
		      run(m, "{\"a\":[4]}", &out, &err) == 1 &&
		      !strcmp(out.s, "{\"x\":4}") &&
		      ft_jqmap_next(m, &out, &err) == 0,
	      "a row may be left half-way, also after an error");
	ft_jqmap_free(m);
	ft_jqmap_free(NULL);
	ft_str_release(&out);
	return test_done();
}
