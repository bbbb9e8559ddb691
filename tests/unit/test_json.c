/* SPDX-License-Identifier: MIT */
#include "libcommon/io/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/lib/test.h"

/* Every case was also given to Python's json (with strict UTF-8, and with
   duplicate names, lone surrogates, NaN and infinities refused). */
struct text {
	const char *s;
	size_t n;
};
#define T(s)                     \
	{                        \
		s, sizeof(s) - 1 \
	}

static const struct text good[] = {
#include "tests/data/json_accept.inc"
};
static const struct text bad[] = {
#include "tests/data/json_reject.inc"
};

static struct ft_json *parse(struct ft_arena *a, const char *s,
			     struct ft_err *err)
{
	struct ft_json *v;

	return ft_json_parse(a, s, strlen(s), &v, err) ? NULL : v;
}

/* From memory that ends where the text does, so that ASan sees an overrun. */
static int parse_tight(struct ft_arena *a, struct text t, struct ft_err *err)
{
	char *p = malloc(t.n ? t.n : 1);
	struct ft_json *v;
	int r;

	if (!p)
		exit(99);
	memcpy(p, t.s, t.n);
	r = ft_json_parse(a, p, t.n, &v, err);
	free(p);
	return r;
}

static void test_lists(void)
{
	struct ft_arena a = {0};
	struct ft_err err;

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		int r = parse_tight(&a, good[i], &err);

		CHECK(r == 0, "accepts %zu: %.40s%s", i,
		      strpbrk(good[i].s, "\n\r") ? "" : good[i].s,
		      r ? err.msg : "");
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK(parse_tight(&a, bad[i], &err) == -1 &&
			      err.code == FT_EXIT_DATA && strlen(err.msg) < 160,
		      "refuses %zu: %s", i, err.msg);
	ft_arena_release(&a);
}

static void test_depth(void)
{
	struct ft_arena a = {0};
	struct ft_err err;
	char s[100001];

	for (int object = 0; object < 2; object++) {
		struct ft_str b = {0};

		for (int depth = 256; depth <= 257; depth++) {
			ft_str_clear(&b);
			for (int i = 0; i < depth; i++)
				ft_str_adds(&b, object ? "{\"a\":" : "[");
			ft_str_addc(&b, '1');
			for (int i = 0; i < depth; i++)
				ft_str_addc(&b, object ? '}' : ']');
			CHECK(!parse(&a, b.s, &err) == (depth > 256),
			      "depth %d", depth);
		}
		ft_str_release(&b);
	}
	memset(s, '[', sizeof(s) - 1);
	s[sizeof(s) - 1] = 0;
	CHECK(!parse(&a, s, &err) && strstr(err.msg, "deep"), "%s", err.msg);
	ft_arena_release(&a);
}

static void test_values(void)
{
	static const char doc[] =
		" {\"s\": \"a\\u00e9\\ud83d\\ude00\\n\\u0000z\", \"i\": "
		"9223372036854775807,\"m\":-9223372036854775808, \"big\": "
		"9223372036854775808, \"r\": 1.50, \"e\": 1E3, \"t\":true,"
		"\"f\":false,\"n\":null,\"a\":[1,[2],{}],\"k\\u0065y\":0,"
		"\"z\":-0,\"h\":0.5} ";
	struct ft_arena a = {0};
	struct ft_err err;
	struct ft_json *o = parse(&a, doc, &err);
	const struct ft_json *v;
	const char *s = NULL;
	int64_t i = 0;
	double x = 0;
	size_t n = 0;
	bool b = false;

	CHECK(o && o->type == FT_JSON_OBJECT && o->n == 13, "an object");
	CHECK(o->raw == doc + 1 && o->nraw == strlen(doc) - 2, "its bytes");
	CHECK(ft_json_str(o, "s", &s, &n, &err) == 1 && n == 10 &&
		      !memcmp(s, "a\xC3\xA9\xF0\x9F\x98\x80\n\0z", 11),
	      "a string, decoded");
	CHECK(ft_json_int(o, "i", &i, &err) == 1 && i == INT64_MAX, "largest");
	CHECK(ft_json_int(o, "m", &i, &err) == 1 && i == INT64_MIN, "smallest");
	CHECK(ft_json_int(o, "big", &i, &err) == -1 &&
		      ft_json_real(o, "big", &x, &err) == 1 && x == 0x1p63,
	      "beyond: %s", err.msg);
	CHECK(ft_json_int(o, "e", &i, &err) == 1 && i == 1000, "1E3 is 1000");
	CHECK(ft_json_int(o, "r", &i, &err) == -1, "1.5 is no integer");
	v = ft_json_get(o, "r");
	CHECK(v->num == 1.5 && !v->is_int && v->nraw == 4 &&
		      !memcmp(v->raw, "1.50", 4),
	      "a number keeps its text");
	CHECK(ft_json_bool(o, "t", &b, &err) == 1 && b &&
		      ft_json_bool(o, "f", &b, &err) == 1 && !b,
	      "booleans");
	CHECK(ft_json_bool(o, "n", &b, &err) == 0 &&
		      ft_json_str(o, "nothing", &s, &n, &err) == 0,
	      "null and absent are alike");
	CHECK(ft_json_str(o, "i", &s, &n, &err) == -1 &&
		      !strcmp(err.msg, "field 'i' is not a string") &&
		      ft_json_real(o, "s", &x, &err) == -1 &&
		      ft_json_bool(o, "i", &b, &err) == -1,
	      "other types");
	v = ft_json_get(o, "a");
	CHECK(v->n == 3 && ft_json_at(v, 0)->i == 1 &&
		      ft_json_at(v, 2)->type == FT_JSON_OBJECT &&
		      !ft_json_at(v, 3) && !ft_json_at(o, 0),
	      "an array");
	CHECK(ft_json_get(o, "key") && !ft_json_get(NULL, "x") &&
		      !ft_json_get(v, "x"),
	      "an escaped name");
	v = ft_json_get(o, "z");
	CHECK(v->is_int && v->i == 0 && signbit(v->num), "minus zero");
	ft_arena_release(&a);
}

static const char *printed(const char *text, bool sort, int indent)
{
	static struct ft_str out;
	struct ft_arena a = {0};
	struct ft_err err;
	struct ft_json *v = parse(&a, text, &err);

	ft_str_clear(&out);
	if (v)
		ft_json_print(v, sort, indent, &out);
	ft_arena_release(&a);
	return ft_str_cstr(&out);
}

static void test_print(void)
{
	static const char doc[] =
		"{\"b\":[1.0,{}, [ ]],\"a\":\"\\u00e9\",\"ab\":null}";

	CHECK(!strcmp(printed(doc, false, -1),
		      "{\"b\": [1.0, {}, []], \"a\": \"\\u00e9\", \"ab\": "
		      "null}"),
	      "one line, as Python writes it");
	CHECK(!strcmp(printed(doc, true, 2),
		      "{\n  \"a\": \"\\u00e9\",\n  \"ab\": null,\n  \"b\": [\n"
		      "    1.0,\n    {},\n    []\n  ]\n}"),
	      "sorted and indented");
	CHECK(!strcmp(printed(" 12e1 ", true, 1), "12e1"), "a number");
}

/* Duplicate names among many, and time that grows no faster than the text. */
static double seconds(size_t n, bool twice)
{
	struct ft_arena a = {0};
	struct ft_err err;
	struct ft_str b = {0};
	struct timespec t0, t1;
	struct ft_json *v;
	int r;

	ft_str_addc(&b, '{');
	for (size_t i = 0; i < n; i++)
		ft_str_addf(&b, "%s\"token%zu\": %zu", i ? ",\n" : "", i, i);
	if (twice)
		ft_str_addf(&b, ",\"token%zu\":0", n / 2);
	ft_str_addc(&b, '}');
	clock_gettime(CLOCK_MONOTONIC, &t0);
	r = ft_json_parse(&a, b.s, b.n, &v, &err);
	clock_gettime(CLOCK_MONOTONIC, &t1);
	CHECK(twice ? r == -1 && strstr(err.msg, "duplicate key") != NULL
		    : r == 0 && v->n == n,
	      "%zu members%s", n, twice ? ", one of them twice" : "");
	ft_str_release(&b);
	ft_arena_release(&a);
	return (double)(t1.tv_sec - t0.tv_sec) +
	       (double)(t1.tv_nsec - t0.tv_nsec) * 1e-9;
}

int main(void)
{
	test_lists();
	test_depth();
	test_values();
	test_print();
	for (size_t n = 2; n < 100; n = n * 3 / 2 + 1)
		seconds(n, true);
	/* quadratic would be minutes; the bound is loose for slow machines */
	CHECK(seconds(400000, false) < 10 && seconds(400000, true) < 10,
	      "a large object takes no quadratic time");
	return test_done();
}
