/* SPDX-License-Identifier: MIT */
#include "libcommon/base/mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "tests/lib/child.h"
#include "tests/lib/test.h"

/* The sanitizers' malloc says no by ending the program, unless told. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static void too_much(void *arg)
{
	(void)arg;
	ft_xcalloc(SIZE_MAX / 2, 4);
}

static void never_fits(void *arg)
{
	void *volatile p;

	(void)arg;
	p = ft_xmalloc(PTRDIFF_MAX / 2);
	free(p);
}

static void grow_over(void *arg)
{
	size_t cap = 4;

	(void)arg;
	ft_grow(NULL, SIZE_MAX - 2, &cap, 5, 1);
}

static void test_checked(void)
{
	struct child c;
	size_t r = 7;

	CHECK(ft_mul(SIZE_MAX, 2, &r) == -1 && r == 7, "mul overflows");
	CHECK(ft_mul(1 << 20, 1 << 20, &r) == 0 && r == (size_t)1 << 40, "mul");
	CHECK(ft_add(SIZE_MAX, 1, &r) == -1 && r == (size_t)1 << 40,
	      "add overflows");
	CHECK(ft_add(SIZE_MAX, 0, &r) == 0 && r == SIZE_MAX, "add");
	child_run(&c, too_much, NULL);
	CHECK(c.status == 4 && strstr(c.err, "out of memory"),
	      "a size that overflows is status 4");
	child_run(&c, never_fits, NULL);
	CHECK(c.status == 4 && strstr(c.err, "out of memory"),
	      "no memory is status 4");
	child_run(&c, grow_over, NULL);
	CHECK(c.status == 4, "an array past all memory is status 4");
}

static void test_plain(void)
{
	char *s = ft_xstrndup("hello", 3), *t = ft_xstrdup("x");
	int *v = NULL;
	size_t n = 0, cap = 0;
	bool ok = true;

	CHECK(!strcmp(s, "hel") && !strcmp(t, "x"), "copies");
	free(s);
	free(t);
	s = ft_xmalloc(0);
	CHECK(s, "no bytes are not NULL");
	free(s);
	for (int i = 0; i < 1000; i++) {
		FT_GROW(v, n, cap, 1);
		v[n++] = i;
	}
	for (int i = 0; i < 1000; i++)
		ok = ok && v[i] == i;
	CHECK(ok && cap >= 1000 && cap <= 4096, "a growing array");
	free(v);
	cap = 0;
	v = ft_grow(NULL, 0, &cap, 1000, sizeof(*v));
	CHECK(cap >= 1000, "by more than doubling");
	v[999] = 1;
	free(v);
}

static void test_arena(void)
{
	struct ft_arena a = {0};
	unsigned char *p[500];
	bool ok = true, aligned = true;

	for (size_t round = 0; round < 3; round++) {
		for (size_t i = 0; i < 500; i++) {
			size_t n = i % 7 == 0 ? 20000 : i;

			p[i] = ft_arena_zalloc(&a, n);
			aligned = aligned && (uintptr_t)p[i] % 16 == 0;
			for (size_t k = 0; k < n; k++)
				ok = ok && p[i][k] == 0;
			memset(p[i], (int)(i & 255), n);
		}
		for (size_t i = 0; i < 500; i++) {
			size_t n = i % 7 == 0 ? 20000 : i;

			for (size_t k = 0; k < n; k++)
				ok = ok && p[i][k] == (i & 255);
		}
		CHECK(a.total >= 500, "bytes are counted");
		ft_arena_clear(&a);
		CHECK(a.total == 0, "cleared");
	}
	CHECK(aligned, "pieces are aligned");
	CHECK(ok, "pieces do not overlap");
	CHECK(!strcmp(ft_arena_strndup(&a, "abc", 2), "ab"), "a copy");
	ft_arena_release(&a);
	CHECK(!a.block && !a.used, "released");
	ft_arena_clear(&a);
	ft_arena_release(&a);
}

int main(void)
{
	test_checked();
	test_plain();
	test_arena();
	return test_done();
}
