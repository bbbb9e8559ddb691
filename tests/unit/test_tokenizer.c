/* SPDX-License-Identifier: MIT */
/*
 * Tokenizers against what the tokenizers package made: tests/data/tok
 * (tests/golden/gen_tokenizers.py) and the shared conformance sets.
 */
#include "libcommon/text/tokenizer.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "libcommon/base/mem.h"
#include "libcommon/base/rng.h"
#include "libcommon/io/input.h"
#include "libcommon/io/rows.h"
#include "libcommon/text/bpe.h"
#include "libcommon/text/unicode.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

static const char *const own[] = {"small", "spm",    "metaspace",
				  "qwen",  "llama3", "deepseek",
				  "o200k", "falcon", "gemma"};
enum { NOWN = sizeof(own) / sizeof(*own) };

static struct ft_tok *must_load(const char *path)
{
	struct ft_tok *t;
	struct ft_err err;

	if (!ft_tok_load(&t, path, &err))
		return t;
	CHECK(false, "%s: %s", path, err.msg);
	exit(test_done());
}

/* Does field key of o hold these ids? */
static bool same_ids(const struct ft_json *o, const char *key,
		     const struct ft_ids *v)
{
	const struct ft_json *a = ft_json_get(o, key);
	size_t i = 0;

	if (!a || a->n != v->n)
		return false;
	for (const struct ft_json *c = a->child; c; c = c->next)
		if (c->i != v->id[i++])
			return false;
	return true;
}

static bool encodes(const struct ft_tok *t, const struct ft_json *o,
		    const char *key, unsigned flags, struct ft_ids *v)
{
	const struct ft_json *text = ft_json_get(o, "text");
	struct ft_err err;

	ft_ids_clear(v);
	return !ft_tok_encode(t, text->s, text->ns, flags, v, &err) &&
	       same_ids(o, key, v);
}

/* Characters that begin before byte n. */
static int64_t chars(const char *s, size_t n)
{
	int64_t k = 0;

	for (size_t i = 0; i < n; i++)
		k += (s[i] & 0xc0) != 0x80;
	return k;
}

/* Byte offsets against the package's, which count characters. */
static bool same_offsets(const struct ft_json *o, const struct ft_ids *v)
{
	const char *s = ft_json_get(o, "text")->s;
	const struct ft_json *c = ft_json_get(o, "offsets")->child;

	for (size_t i = 0; i < v->n; i++, c = c->next) {
		if (!c)
			return false;
		/* a part of a character counts as all of it */
		int64_t a = chars(s, (size_t)v->start[i] + 1) - 1;
		int64_t z = chars(s, v->end[i]);

		if (v->start[i] < v->end[i] &&
		    (c->child->i != a || c->child->next->i != z))
			return false;
	}
	return !c;
}

static bool decodes(const struct ft_tok *t, const struct ft_json *o,
		    const char *key, bool skip)
{
	const struct ft_json *ids = ft_json_get(o, "decode");
	const struct ft_json *want = ft_json_get(o, key);
	int32_t *id = ft_xcalloc(ids->n, sizeof(*id));
	struct ft_str s = {0};
	struct ft_err err;
	size_t n = 0;
	bool ok;

	for (const struct ft_json *c = ids->child; c; c = c->next)
		id[n++] = (int32_t)c->i;
	ok = !ft_tok_decode(t, id, n, skip, &s, &err) && s.n == want->ns &&
	     !memcmp(ft_str_cstr(&s), want->s, s.n);
	free(id);
	ft_str_release(&s);
	return ok;
}

enum { PLAIN, SPECIAL, NO_ADDED, OFFSETS, DECODED, SKIPPED, NCHECK };

static void check_row(const struct ft_tok *t, const struct ft_json *o,
		      struct ft_ids *v, int bad[NCHECK])
{
	bad[SPECIAL] += !encodes(t, o, "special", FT_TOK_SPECIALS, v);
	bad[NO_ADDED] += !encodes(t, o, "no_added", FT_TOK_NO_ADDED, v);
	bad[PLAIN] += !encodes(t, o, "ids", 0, v);
	bad[OFFSETS] += !same_offsets(o, v);
	bad[DECODED] += !decodes(t, o, "decoded", false);
	bad[SKIPPED] += !decodes(t, o, "skipped", true);
}

static void committed(const char *name)
{
	static const char *const what[] = {"ids",     "template", "no specials",
					   "offsets", "decode",   "skip"};
	char dir[128], file[160], *files[] = {file};
	int bad[NCHECK] = {0}, n = 0;
	struct ft_ids v = {0};
	struct ft_rows *rows;
	struct ft_row row;
	struct ft_tok *t;
	struct ft_err err;

	snprintf(dir, sizeof(dir), "tests/data/tok/%s", name);
	snprintf(file, sizeof(file), "%s/expect.jsonl", dir);
	t = must_load(dir);
	CHECK(ft_tok_bos(t) == ft_tok_id(t, "<s>") && ft_tok_bos(t) >= 0,
	      "%s: BOS", name);
	CHECK(!strcmp(ft_tok_eos_text(t), "</s>") &&
		      ft_tok_special(t, ft_tok_eos(t)),
	      "%s: EOS", name);
	CHECK(!ft_rows_open(&rows, files, 1, NULL, &err), "%s: rows", name);
	for (; ft_rows_next(rows, &row, &err) > 0; n++)
		check_row(t, row.obj, &v, bad);
	CHECK(n == 160, "%s: %d texts", name, n);
	for (int i = 0; i < NCHECK; i++)
		CHECK(!bad[i], "%s: %s, %d of %d differ", name, what[i], bad[i],
		      n);
	ft_rows_close(rows);
	ft_ids_release(&v);
	ft_tok_free(t);
}

static void conformance(const char *tok, const char *set)
{
	char dir[512], file[512], *files[] = {file};
	int bad = 0, n = 0;
	struct ft_ids v = {0};
	struct ft_rows *rows;
	struct ft_row row;
	struct ft_tok *t;
	struct ft_err err;

	if (!test_shared()) {
		SKIP("%s: no shared data (FT_SHARED)", set);
		return;
	}
	snprintf(dir, sizeof(dir), "%s/data/tokenizers/%s", test_shared(), tok);
	snprintf(file, sizeof(file), "%s/data/conformance/%s.jsonl",
		 test_shared(), set);
	if (access(dir, R_OK) || access(file, R_OK)) {
		SKIP("%s: not in the shared data", set);
		return;
	}
	t = must_load(dir);
	CHECK(!ft_rows_open(&rows, files, 1, NULL, &err), "%s: rows", set);
	for (; ft_rows_next(rows, &row, &err) > 0; n++)
		bad += !encodes(t, row.obj, "ids", 0, &v);
	CHECK(n > 40 && !bad, "%s: %d of %d differ", set, bad, n);
	ft_rows_close(rows);
	ft_ids_release(&v);
	ft_tok_free(t);
}

/* --- refusals ------------------------------------------------------------- */

#define MODEL                                                     \
	"\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1," \
	"\"ab\":2},\"merges\":[\"a b\"]}"

#define LEVEL                                                 \
	"{\"type\":\"ByteLevel\",\"add_prefix_space\":false," \
	"\"trim_offsets\":false}"
#define TOKEN                                      \
	"\"content\":\"x\",\"single_word\":false," \
	"\"lstrip\":false,\"rstrip\":false,"       \
	"\"normalized\":false,\"special\":true"

static void refused(const char *json, const char *why)
{
	struct ft_tok *t;
	struct ft_err err;
	int rc = ft_tok_from_json(&t, json, strlen(json), &err);

	CHECK(rc && err.code == FT_EXIT_DATA && strstr(err.msg, why),
	      "refused: %s", rc ? err.msg : json);
	if (!rc)
		ft_tok_free(t);
}

static void refusals(void)
{
	refused("{\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}," MODEL "}",
		"pre_tokenizer 'UnicodeScripts' is not supported");
	refused("{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":"
		"[{\"type\":\"Nmt\"}]}," MODEL "}",
		"normalizer 'Nmt' is not supported");
	refused("{\"post_processor\":{\"type\":\"BertProcessing\"}," MODEL "}",
		"post_processor 'BertProcessing' is not supported");
	refused("{\"decoder\":{\"type\":\"WordPiece\"}," MODEL "}",
		"decoder 'WordPiece' is not supported");
	refused("{\"model\":{\"type\":\"Unigram\",\"vocab\":[]}}",
		"model 'Unigram' is not supported");
	refused("{\"model\":{\"type\":\"BPE\",\"dropout\":0.1,\"vocab\":{},"
		"\"merges\":[]}}",
		"'dropout' is not supported");
	refused("{\"model\":{\"end_of_word_suffix\":\"</w>\",\"vocab\":{},"
		"\"merges\":[]}}",
		"'end_of_word_suffix' is not supported");
	refused("{\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}",
		"not in the vocabulary");
	refused("{\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"a\"]}}",
		"not two tokens");
	refused("{\"model\":{\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}",
		"two tokens have the id 0");
	refused("{\"model\":{\"vocab\":{\"a\":-1},\"merges\":[]}}",
		"out of range");
	refused("{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":"
		"\"(?<!x)y\"},\"content\":\"\"}," MODEL "}",
		"regular expression '(?<!x)y': '(?<' is not supported");
	refused("{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":"
		"\"a*\"},\"behavior\":\"Isolated\",\"invert\":false}," MODEL
		"}",
		"matches nothing at all");
	refused("{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":"
		"\"a\"},\"behavior\":\"Apart\",\"invert\":false}," MODEL "}",
		"behavior 'Apart' is not supported");
	refused("{\"post_processor\":{\"type\":\"TemplateProcessing\","
		"\"single\":[],\"pair\":[],\"special_tokens\":{}}," MODEL "}",
		"without '$A'");
	refused("[]", "not a tokenizer");
	refused("{\"model\":", "invalid JSON");
}

/* Files that the package does not read either. */
static void damaged(void)
{
	refused("{\"version\":\"2.0\"," MODEL "}",
		"version '2.0' is not supported");
	refused("{\"version\":1," MODEL "}", "version is not a string");
	refused("{\"padding\":5," MODEL "}", "padding is not an object");
	refused("{\"added_tokens\":null," MODEL "}", "is not an array");
	refused("{\"added_tokens\":[{\"id\":3,\"content\":\"x\","
		"\"special\":true}]," MODEL "}",
		"added_tokens: no 'single_word'");
	refused("{\"added_tokens\":[{" TOKEN "}]," MODEL "}",
		"id of 'x' is out of range");
	refused("{\"added_tokens\":[{\"id\":4294967296," TOKEN "}]," MODEL "}",
		"id of 'x' is out of range");
	refused("{\"pre_tokenizer\":{\"type\":\"ByteLevel\","
		"\"add_prefix_space\":false}," MODEL "}",
		"pre_tokenizer: no 'trim_offsets'");
	refused("{\"pre_tokenizer\":{\"type\":\"Digits\"}," MODEL "}",
		"no 'individual_digits'");
	refused("{\"decoder\":{\"type\":\"ByteLevel\"}," MODEL "}",
		"decoder: no 'add_prefix_space'");
	refused("{\"decoder\":{\"type\":\"Sequence\",\"decoders\":[null]}," MODEL
		"}",
		"decoder has no type");
	refused("{\"post_processor\":{\"type\":\"TemplateProcessing\","
		"\"single\":[{\"Sequence\":{\"id\":\"A\"}}],\"pair\":[],"
		"\"special_tokens\":{}}," MODEL "}",
		"a piece of the template has no id");
	refused("{\"post_processor\":{\"type\":\"RobertaProcessing\","
		"\"sep\":[\"a\",1],\"cls\":\"a\",\"trim_offsets\":true,"
		"\"add_prefix_space\":true}," MODEL "}",
		"'cls' or 'sep' is not a token and its id");
	refused("{\"model\":{\"type\":null,\"vocab\":{},\"merges\":[]}}",
		"model '?' is not supported");
	refused("{\"model\":{\"vocab\":{},\"merges\":[],\"x\":1}}",
		"model 'x' is not supported");
	refused("{\"model\":{\"vocab\":{\"a\":0,\"aa\":1},"
		"\"merges\":[\"a a\",[\"a\",\"a\"]]}}",
		"partly strings, partly arrays");
	refused("{\"model\":{\"unk_token\":\"?\",\"vocab\":{\"a\":0},"
		"\"merges\":[]}}",
		"unk_token '?' is not in the vocabulary");
}

static void encodes_as(const char *json, const char *text, unsigned flags,
		       const int32_t *id, size_t n, const char *name)
{
	struct ft_ids v = {0};
	struct ft_tok *t;
	struct ft_err err;

	if (ft_tok_from_json(&t, json, strlen(json), &err)) {
		CHECK(false, "%s: %s", name, err.msg);
		return;
	}
	CHECK(!ft_tok_encode(t, text, strlen(text), flags, &v, &err) &&
		      v.n == n && !memcmp(v.id, id, n * sizeof(*id)),
	      "%s", name);
	ft_ids_release(&v);
	ft_tok_free(t);
}

/* What real files have, and what expects no fixture of its own. */
static void small_files(void)
{
	static const int32_t roberta[] = {0, 2, 1}, letter[] = {'b'},
			     same[] = {2};
	struct ft_str s = {0};

	encodes_as("{\"post_processor\":{\"type\":\"RobertaProcessing\","
		   "\"sep\":[\"b\",1],\"cls\":[\"a\",0],\"trim_offsets\":"
		   "true,\"add_prefix_space\":true}," MODEL "}",
		   "ab", FT_TOK_SPECIALS, roberta, 3,
		   "RobertaProcessing puts cls before, sep behind");
	encodes_as(
		"{\"normalizer\":{\"type\":\"Prepend\",\"prepend\":\"\"}," MODEL
		"}",
		"ab", 0, same, 1, "Prepend of nothing");
	ft_str_adds(&s, "{\"pre_tokenizer\":" LEVEL
			",\"model\":{\"unk_token\":\"none\",\"vocab\":{");
	for (unsigned i = 0; i < 256; i++) {
		char u[5] = {0};

		ft_utf8_put(u, ft_byte_letter((unsigned char)i));
		ft_str_addc(&s, i ? ',' : ' ');
		ft_str_add_json(&s, u, strlen(u));
		ft_str_addf(&s, ":%u", i);
	}
	ft_str_adds(&s, "},\"merges\":[]}}");
	encodes_as(s.s, "b", 0, letter, 1,
		   "an unknown token that is not there, and not wanted");
	ft_str_release(&s);
}

static void last_rank(void)
{
	static const char json[] =
		"{\"model\":{\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"ab\":3,"
		"\"bc\":4},\"merges\":[\"a b\",\"b c\",\"a b\"]}}";
	struct ft_ids v = {0};
	struct ft_tok *t;
	struct ft_err err;

	CHECK(!ft_tok_from_json(&t, json, strlen(json), &err), "loads");
	CHECK(!ft_tok_encode(t, "abc", 3, 0, &v, &err) && v.n == 2 &&
		      v.id[0] == 0 && v.id[1] == 4,
	      "a pair listed twice keeps its last rank");
	ft_ids_release(&v);
	ft_tok_free(t);
}

/* Characters that are no token: nothing may be cut beside them. */
static void unknown_characters(void)
{
	static const char gone[] =
		"{\"model\":{\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},"
		"\"merges\":[\"a b\"]}}";
	static const char fused[] =
		"{\"model\":{\"unk_token\":\"?\",\"fuse_unk\":true,"
		"\"vocab\":{\"a\":0,\"?\":1},\"merges\":[]}}";
	struct ft_ids v = {0};
	struct ft_tok *t;
	struct ft_err err;

	CHECK(!ft_tok_from_json(&t, gone, strlen(gone), &err), "loads");
	CHECK(!ft_tok_encode(t, "axb", 3, 0, &v, &err) && v.n == 1 &&
		      v.id[0] == 2,
	      "without an unknown token it vanishes");
	ft_tok_free(t);
	ft_ids_clear(&v);
	CHECK(!ft_tok_from_json(&t, fused, strlen(fused), &err), "loads");
	CHECK(!ft_tok_encode(t, "axya", 4, 0, &v, &err) && v.n == 3 &&
		      v.id[1] == 1 && v.start[1] == 1 && v.end[1] == 3,
	      "two in a row are one unknown token");
	ft_tok_free(t);
	ft_ids_release(&v);
}

/* Which added tokens a text can form. */
static void modes(void)
{
#define TWO                                                               \
	"{\"added_tokens\":[{\"id\":3," TOKEN                             \
	"},{\"id\":4,\"content\":\"ab\","                                 \
	"\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"        \
	"\"normalized\":true,\"special\":false},{\"id\":4,\"content\":"   \
	"\"aa\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false," \
	"\"normalized\":true,\"special\":false}]," MODEL "}"
	static const int32_t all[] = {3, 4, 1}, special[] = {4, 1},
			     none[] = {0, 2};

	encodes_as(TWO, "xaab", 0, all, 3, "all added tokens");
	encodes_as(TWO, "xaab", FT_TOK_NO_ADDED, special, 2,
		   "those that are not special");
	encodes_as(TWO, "xaab", FT_TOK_PLAIN, none, 2, "none");
#undef TWO
}

/* tokenizer_config.json beside a tokenizer.json whose template adds <s>. */
static void with_config(const char *config, bool before, bool after)
{
	struct ft_ids v = {0};
	struct ft_tok *t = NULL;
	struct ft_err err = {0};
	size_t n;
	char *s = ft_read_file("tests/data/tok/spm/tokenizer.json", 1 << 20, &n,
			       &err);

	scratch_file("tokenizer.json", s, n);
	scratch_file("tokenizer_config.json", config, strlen(config));
	CHECK(!ft_tok_load(&t, scratch(), &err) &&
		      !ft_tok_encode(t, "a", 1, FT_TOK_SPECIALS, &v, &err),
	      "%s %s", config, err.msg);
	CHECK(v.n && (v.id[0] == 1) == before && (v.id[v.n - 1] == 2) == after,
	      "puts %d before and %d behind", before, after);
	free(s);
	ft_ids_release(&v);
	ft_tok_free(t);
}

#define ENDS "\"bos_token\":\"<s>\",\"eos_token\":\"</s>\""

static void around_a_text(void)
{
	with_config("{" ENDS "}", true, false);
	with_config("{" ENDS ",\"tokenizer_class\":\"LlamaTokenizerFast\"}",
		    true, false);
	with_config("{" ENDS ",\"tokenizer_class\":\"LlamaTokenizer\","
		    "\"add_bos_token\":false,\"add_eos_token\":true}",
		    false, true);
	with_config("{" ENDS ",\"tokenizer_class\":\"GemmaTokenizer\","
		    "\"add_eos_token\":true}",
		    true, true);
	with_config("{" ENDS ",\"tokenizer_class\":\"GPT2Tokenizer\","
		    "\"add_bos_token\":false,\"add_eos_token\":true}",
		    true, false);
	with_config("{\"tokenizer_class\":\"LlamaTokenizer\","
		    "\"add_eos_token\":true}",
		    true, false);
}

/* --- merging against a plain way of doing it ------------------------------- */

enum { WORD = 5, MAXRULE = 200 };

struct plain {
	char left[MAXRULE][WORD + 1], right[MAXRULE][WORD + 1];
	size_t n;
};

static uint64_t random_to(uint64_t *state, uint64_t n)
{
	*state = ft_mix64(*state + 1);
	return *state % n;
}

/* Every way to put together every word over {a, b}, in a random order. */
static void make_rules(struct plain *p, uint64_t *state, struct ft_str *json)
{
	p->n = 0;
	ft_str_adds(json, "{\"model\":{\"vocab\":{\"a\":0,\"b\":1");
	for (unsigned len = 2, id = 2; len <= WORD; len++)
		for (unsigned bits = 0; bits < 1u << len; bits++, id++) {
			char w[WORD + 1] = {0};

			for (unsigned i = 0; i < len; i++)
				w[i] = bits >> i & 1 ? 'b' : 'a';
			ft_str_addf(json, ",\"%s\":%u", w, id);
			for (unsigned cut = 1; cut < len; cut++, p->n++) {
				size_t at = random_to(state, p->n + 1);

				memcpy(p->left[p->n], p->left[at], WORD + 1);
				memcpy(p->right[p->n], p->right[at], WORD + 1);
				snprintf(p->left[at], WORD + 1, "%.*s",
					 (int)cut, w);
				snprintf(p->right[at], WORD + 1, "%s", w + cut);
			}
		}
	ft_str_adds(json, "},\"merges\":[");
	for (size_t i = 0; i < p->n; i++)
		ft_str_addf(json, "%s\"%s %s\"", i ? "," : "", p->left[i],
			    p->right[i]);
	ft_str_adds(json, "]}}");
}

/* Lengths of the pieces of s; the lowest rule first, leftmost. */
static size_t merge_plainly(const struct plain *p, const char *s, size_t n,
			    size_t *len)
{
	for (size_t i = 0; i < n; i++)
		len[i] = 1;
	for (size_t r = 0; r < p->n; r++) {
		size_t a = strlen(p->left[r]), b = strlen(p->right[r]), at = 0;

		for (size_t i = 0; i + 1 < n; at += len[i++]) {
			if (len[i] != a || len[i + 1] != b ||
			    memcmp(s + at, p->left[r], a) ||
			    memcmp(s + at + a, p->right[r], b))
				continue;
			len[i] += b;
			memmove(len + i + 1, len + i + 2,
				(n - i - 2) * sizeof(*len));
			n--;
			r = SIZE_MAX; /* begin again with the lowest */
			break;
		}
	}
	return n;
}

static void plain_merging(void)
{
	enum { N = 160 };
	static struct plain p;
	uint64_t state = 1;
	int bad = 0, total = 0;

	for (int k = 0; k < 20; k++) {
		struct ft_str json = {0};
		struct ft_ids v = {0};
		struct ft_tok *t = NULL;
		struct ft_err err;

		make_rules(&p, &state, &json);
		bad += ft_tok_from_json(&t, json.s, json.n, &err) != 0;
		for (int i = 0; t && i < 20; i++, total++) {
			char s[N];
			size_t len[N], n = 1 + random_to(&state, N), m, at = 0;
			bool same;

			for (size_t j = 0; j < n; j++)
				s[j] = (char)('a' + random_to(&state, 2));
			m = merge_plainly(&p, s, n, len);
			ft_ids_clear(&v);
			same = !ft_tok_encode(t, s, n, 0, &v, &err) && v.n == m;
			for (size_t j = 0; same && j < m; at += len[j++])
				same = v.start[j] == at &&
				       v.end[j] == at + len[j];
			bad += !same;
		}
		ft_ids_release(&v);
		ft_tok_free(t);
		ft_str_release(&json);
	}
	CHECK(total == 400 && !bad, "random merges: %d of %d differ", bad,
	      total);
}

/* --- the rest ------------------------------------------------------------- */

static void edges(void)
{
	struct ft_tok *t = must_load("tests/data/tok/spm");
	struct ft_str s = {0};
	struct ft_ids v = {0};
	struct ft_err err = {0};
	int32_t minus = -1, gone = 1 << 20;

	CHECK(ft_tok_encode(t, "ab\xff", 3, 0, &v, &err) &&
		      err.code == FT_EXIT_DATA && strstr(err.msg, "byte 3"),
	      "text that is not UTF-8 is an error");
	CHECK(ft_tok_decode(t, &minus, 1, false, &s, &err) &&
		      err.code == FT_EXIT_DATA,
	      "a negative id is an error");
	CHECK(!ft_tok_decode(t, &gone, 1, false, &s, &err) && !s.n,
	      "an id that no token has is left out");
	ft_tok_piece(t, ft_tok_id(t, "<0x41>"), &s);
	CHECK(!strcmp(ft_str_cstr(&s), "A"), "a byte token's piece");
	ft_str_clear(&s);
	ft_tok_piece(t, ft_tok_id(t, "▁"), &s);
	CHECK(!strcmp(ft_str_cstr(&s), " "), "a space sign's piece");
	CHECK(ft_tok_id(t, "no such token") == -1, "a token there is not");
	CHECK(strlen(ft_tok_sha256(t)) == 64, "a digest");
	ft_str_release(&s);
	ft_ids_release(&v);
	ft_tok_free(t);
	CHECK(ft_tok_load(&t, "tests/data/tok/nothing", &err) &&
		      err.code == FT_EXIT_SYS && !t,
	      "no such directory: %s", err.msg);
}

/* A megabyte that is one piece, one of words never seen before, and one of
   added tokens that eat white space and are it. */
static void long_pieces(const char *name)
{
	enum { N = 1000000 };
	char dir[128], *s = ft_xmalloc(N);
	struct timespec a, b;
	struct ft_ids v = {0};
	struct ft_tok *t;
	struct ft_err err;
	double took;

	snprintf(dir, sizeof(dir), "tests/data/tok/%s", name);
	t = must_load(dir);
	for (int kind = 0; kind < 3; kind++) {
		for (size_t i = 0; i < N; i++)
			s[i] = kind == 2 ? '\t'
			       : kind    ? (char)('a' + i * i % 23)
					 : 'a';
		ft_ids_clear(&v);
		clock_gettime(CLOCK_MONOTONIC, &a);
		CHECK(!ft_tok_encode(t, s, N, 0, &v, &err) &&
			      v.end[v.n - 1] == N,
		      "%s: a megabyte without a space", name);
		clock_gettime(CLOCK_MONOTONIC, &b);
		took = (double)(b.tv_sec - a.tv_sec) +
		       1e-9 * (double)(b.tv_nsec - a.tv_nsec);
		CHECK(took < 20, "%s, %d: in %.2f s", name, kind, took);
	}
	free(s);
	ft_ids_release(&v);
	ft_tok_free(t);
}

struct job {
	const struct ft_tok *t;
	const char *s;
	size_t n;
	struct ft_ids v;
};

static void *encode_often(void *arg)
{
	struct job *j = arg;
	struct ft_err err;

	for (int i = 0; i < 50; i++) {
		ft_ids_clear(&j->v);
		ft_tok_encode(j->t, j->s, j->n, 0, &j->v, &err);
	}
	return NULL;
}

static void threads(void)
{
	struct ft_tok *t = must_load("tests/data/tok/small");
	struct job job[4] = {0};
	pthread_t id[4];
	struct ft_err err;
	bool same = true;
	size_t n;
	char *s = ft_read_file("tests/data/tok/text.txt", 1 << 20, &n, &err);

	for (int i = 0; i < 4; i++) {
		job[i] = (struct job){.t = t, .s = s, .n = n};
		pthread_create(&id[i], NULL, encode_often, &job[i]);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(id[i], NULL);
	for (int i = 1; i < 4; i++)
		same = same && job[i].v.n == job[0].v.n &&
		       !memcmp(job[i].v.id, job[0].v.id,
			       job[0].v.n * sizeof(int32_t));
	CHECK(same && job[0].v.n, "four threads, one tokenizer, the same ids");
	for (int i = 0; i < 4; i++)
		ft_ids_release(&job[i].v);
	free(s);
	ft_tok_free(t);
}

int main(void)
{
	for (int i = 0; i < NOWN; i++) {
		committed(own[i]);
		long_pieces(own[i]);
	}
	refusals();
	damaged();
	small_files();
	last_rank();
	unknown_characters();
	modes();
	around_a_text();
	plain_merging();
	edges();
	threads();
	conformance("gpt2", "oracle-gpt2");
	conformance("gpt2", "llamacpp-gpt-2");
	conformance("tinyllama", "oracle-tinyllama");
	conformance("tinyllama", "llamacpp-llama-spm");
	conformance("mistral-v0.1", "oracle-mistral-v0.1");
	conformance("phi-2", "oracle-phi-2");
	conformance("phi-3-mini", "oracle-phi-3-mini");
	conformance("phi-3-mini", "llamacpp-phi-3");
	conformance("codellama-python", "oracle-codellama-python");
	conformance("starcoder2", "oracle-starcoder2");
	conformance("starcoder2", "llamacpp-starcoder");
	conformance("qwen2.5", "oracle-qwen2.5");
	conformance("qwen2.5", "llamacpp-qwen2");
	conformance("deepseek-coder", "oracle-deepseek-coder");
	conformance("deepseek-coder", "llamacpp-deepseek-coder");
	return test_done();
}
