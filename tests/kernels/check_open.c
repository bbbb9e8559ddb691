/* SPDX-License-Identifier: MIT */
/* Opening backends: names, the cap on instruction sets, what is missing. */
#include "tests/kernels/check.h"

static struct ftk *cpu(const char *isa, const char **why)
{
	struct ftk *k;

	*why = NULL;
	setenv("FT_ISA", isa, 1);
	k = ftk_open("cpu", NULL, why);
	unsetenv("FT_ISA");
	return k;
}

static void check_memory(struct ftk *k)
{
	size_t big = (size_t)9 << 20; /* asks for huge pages */
	float in[3] = {1, -2.5f, 3}, got[3] = {0};
	char *p = k->alloc(k, 0), *q = k->alloc(k, 100), *r = k->alloc(k, big);

	CHECK(p && q && r, "%s: memory", k->name);
	CHECK(((uintptr_t)p | (uintptr_t)q | (uintptr_t)r) % 64 == 0,
	      "%s: aligned to 64", k->name);
	CHECK(!k->alloc(k, SIZE_MAX - 5), "%s: not without end", k->name);
	k->put_real(k, q, in, 3);
	k->get_real(k, got, q, 3);
	CHECK(!memcmp(in, got, sizeof(in)), "%s: put and get", k->name);
	k->put(k, r + big - 4, in, 4);
	k->get(k, got + 1, r + big - 4, 4);
	CHECK(got[1] == in[0], "%s: to the end", k->name);
	k->zero(k, r, big);
	CHECK(!r[0] && !r[big - 1] && k->sync(k) == 0, "%s: cleared", k->name);
	k->free(k, p);
	k->free(k, q);
	k->free(k, r);
	k->free(k, NULL);
}

int main(void)
{
	const char *why;
	struct ftk *k = cpu("scalar", &why);

	CHECK(k && !strcmp(k->isa, "scalar") && !strcmp(k->name, "cpu"),
	      "FT_ISA caps the choice");
	if (k) {
		check_memory(k);
		k->close(k);
	}
	CHECK(!cpu("sse9", &why) && why && strstr(why, "FT_ISA"),
	      "an unknown FT_ISA is refused");
	k = cpu("", &why);
	CHECK(k && k->act == FTK_F32 && k->real_size == 4,
	      "an empty FT_ISA is none: %s", k ? k->isa : "");
	if (k)
		k->close(k);
	k = ftk_open("ref64", NULL, &why);
	CHECK(k && k->real == FTK_F64 && k->act_size == 8, "ref64");
	if (k) {
		check_memory(k);
		k->close(k);
	}
	why = NULL;
	CHECK(!ftk_open("abacus", NULL, &why) && why, "no such backend");
	why = NULL;
	k = ftk_open("cuda", NULL, &why);
	CHECK(k || why, "cuda, or why not: %s", k ? k->isa : why);
	if (k)
		k->close(k);
	return test_done();
}
