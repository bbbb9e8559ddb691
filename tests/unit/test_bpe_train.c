/* SPDX-License-Identifier: MIT */
/*
 * Training against the tokenizers package's trainer, which made
 * tests/data/tok/small from tests/data/tok/text.txt.
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"
#include "libcommon/io/input.h"
#include "libcommon/io/json.h"
#include "libcommon/text/tokenizer.h"
#include "tests/lib/test.h"

static const char *const specials[] = {"<s>", "</s>"};

static char *read_data(const char *name, size_t *n)
{
	struct ft_err err;
	char *s = ft_read_file(name, 1 << 20, n, &err);

	if (s)
		return s;
	CHECK(false, "%s: %s", name, err.msg);
	exit(test_done());
}

static const struct ft_json *model(struct ft_arena *a, const char *s, size_t n)
{
	struct ft_json *root;
	struct ft_err err;

	if (ft_json_parse(a, s, n, &root, &err))
		return NULL;
	return ft_json_get(root, "model");
}

/* The same members, in the same order. */
static bool same(const struct ft_json *a, const struct ft_json *b)
{
	if (!a || !b || a->type != b->type || a->n != b->n ||
	    a->nkey != b->nkey || (a->nkey && memcmp(a->key, b->key, a->nkey)))
		return false;
	if (a->type == FT_JSON_STRING)
		return a->ns == b->ns && !memcmp(a->s, b->s, a->ns);
	if (a->type == FT_JSON_NUMBER)
		return a->i == b->i;
	a = a->child;
	b = b->child;
	for (; a && b; a = a->next, b = b->next)
		if (!same(a, b))
			return false;
	return !a && !b;
}

static void train(int32_t size, const char *s, size_t n, struct ft_str *out)
{
	struct ft_bpe_trainer *t = ft_bpe_trainer_new(size, specials, 2);
	struct ft_err err = {0};

	ft_bpe_trainer_add(t, s, n);
	CHECK(!ft_bpe_trainer_end(t, out, &err), "trains: %s", err.msg);
}

static void against_package(const char *s, size_t n)
{
	struct ft_arena a = {0};
	struct ft_str mine = {0};
	size_t npkg;
	char *pkg = read_data("tests/data/tok/small/tokenizer.json", &npkg);
	const struct ft_json *x, *y;

	train(512, s, n, &mine);
	x = model(&a, mine.s, mine.n);
	y = model(&a, pkg, npkg);
	CHECK(same(ft_json_get(x, "vocab"), ft_json_get(y, "vocab")),
	      "the package's vocabulary, in its order");
	CHECK(same(ft_json_get(x, "merges"), ft_json_get(y, "merges")),
	      "the package's merges, in their order");
	CHECK(ft_json_get(x, "merges")->n > 100, "and there are some");
	free(pkg);
	ft_str_release(&mine);
	ft_arena_release(&a);
}

static void round_trip(const char *s, size_t n)
{
	struct ft_str json = {0}, again = {0}, text = {0};
	struct ft_ids v = {0};
	struct ft_tok *t = NULL;
	struct ft_err err = {0};

	train(300, s, n, &json);
	train(300, s, n, &again);
	CHECK(json.n == again.n && !memcmp(json.s, again.s, json.n),
	      "the same bytes from the same text");
	CHECK(!ft_tok_from_json(&t, json.s, json.n, &err), "loads: %s",
	      err.msg);
	CHECK(ft_tok_vocab_size(t) == 300, "as large as asked for");
	CHECK(ft_tok_id(t, "</s>") == 1 && ft_tok_special(t, 1),
	      "special tokens come first");
	CHECK(!ft_tok_encode(t, s, n, 0, &v, &err) && v.n < n, "encodes");
	CHECK(!ft_tok_decode(t, v.id, v.n, false, &text, &err) && text.n == n &&
		      !memcmp(text.s, s, n),
	      "and decodes to the text");
	ft_str_release(&json);
	ft_str_release(&again);
	ft_str_release(&text);
	ft_ids_release(&v);
	ft_tok_free(t);
}

static void errors(void)
{
	struct ft_str out = {0};
	struct ft_err err = {0};
	struct ft_bpe_trainer *t = ft_bpe_trainer_new(257, specials, 2);

	CHECK(ft_bpe_trainer_end(t, &out, &err) && err.code == FT_EXIT_USAGE &&
		      strstr(err.msg, "258"),
	      "too small a vocabulary: %s", err.msg);
	t = ft_bpe_trainer_new(300, specials, 2);
	ft_bpe_trainer_add(t, "a\xff", 2);
	CHECK(ft_bpe_trainer_end(t, &out, &err) && err.code == FT_EXIT_DATA,
	      "text that is not UTF-8: %s", err.msg);
	t = ft_bpe_trainer_new(300, specials, 2);
	CHECK(!ft_bpe_trainer_end(t, &out, &err), "no text at all");
	ft_str_release(&out);
}

int main(void)
{
	size_t n;
	char *s = read_data("tests/data/tok/text.txt", &n);

	against_package(s, n);
	round_trip(s, n);
	errors();
	free(s);
	return test_done();
}
