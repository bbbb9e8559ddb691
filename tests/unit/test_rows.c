/* SPDX-License-Identifier: MIT */
#include "libcommon/io/rows.h"

#include <stdlib.h>
#include <string.h>

#include "libcommon/io/jqmap.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

static char *file(const char *name, const char *text)
{
	return scratch_file(name, text, strlen(text));
}

/*
 * Read files to their end and return "row:line:text|" of each, or
 * "code where:line: message" of the error.
 */
static const char *all(char **files, int n, const char *map)
{
	static struct ft_str out;
	struct ft_rows *r = NULL;
	struct ft_row row;
	struct ft_err err;
	int k;

	ft_str_clear(&out);
	k = ft_rows_open(&r, files, n, map, &err);
	while (k == 0 && (k = ft_rows_next(r, &row, &err)) > 0) {
		ft_str_addf(&out, "%lld:%llu:%.*s|", (long long)row.row,
			    (unsigned long long)row.line,
			    row.ntext > 1000 ? 1000 : (int)row.ntext, row.text);
		k = 0;
	}
	if (k < 0)
		ft_str_addf(&out, "%d %s:%llu: %s", (int)err.code,
			    err.where[0] ? strrchr(err.where, '/') + 1 : "",
			    (unsigned long long)err.line, err.msg);
	ft_rows_close(r);
	return ft_str_cstr(&out);
}

static const char *one(const char *text, const char *map)
{
	char *f = file("one", text);

	return all(&f, 1, map);
}

static bool says(const char *got, const char *want)
{
	if (!strcmp(got, want))
		return true;
	printf("#   got  %s\n#   want %s\n", got, want);
	return false;
}

static void test_read(void)
{
	char *three[3];

	three[0] = file("a", "{\"a\":1}\n{\"a\":2}\n");
	three[1] = file("b", "");
	three[2] = file("c", " {\"a\": 3}\r\n{\"a\":4}");
	CHECK(says(all(three, 3, NULL),
		   "0:1:{\"a\":1}|1:2:{\"a\":2}|2:1: {\"a\": 3}\r|3:2:{\"a\":4}|"),
	      "three files");
	CHECK(says(one("", NULL), ""), "nothing");
	CHECK(says(one("{\"a\":1}\n{\"a\":", NULL),
		   "0:1:{\"a\":1}|3 one:2: invalid JSON: ends too early at "
		   "byte 6 (the last line is torn)"),
	      "a torn line");
	CHECK(says(one("{}\n\n{}\n", NULL), "0:1:{}|3 one:2: empty line"),
	      "an empty line");
	CHECK(says(one("{}\n \t\r\n{}\n", NULL), "0:1:{}|3 one:2: empty line"),
	      "a blank line");
	CHECK(says(one("[1]\n", NULL), "3 one:1: row is not a JSON object"),
	      "no object");
	CHECK(says(one("\xEF\xBB\xBF{}\n", NULL),
		   "3 one:1: invalid JSON: starts with a byte order mark at "
		   "byte 1"),
	      "a byte order mark");
	CHECK(says(one("{}\n{\"a\":1,\"a\":2}\n", NULL),
		   "0:1:{}|3 one:2: invalid JSON: duplicate key 'a' near byte "
		   "12"),
	      "a name twice");
	CHECK(strstr(one("{\"a\":\"\xFF\"}\n", NULL), "invalid UTF-8"),
	      "not UTF-8");
	three[1] = scratch_path("nothing");
	CHECK(strstr(all(three, 3, NULL), "|4 :0: cannot open '"),
	      "a file that is not there");
}

static void test_long(void)
{
	struct ft_str s = {0};
	char *f;

	for (int i = 0; i < 3; i++) {
		ft_str_adds(&s, "{\"x\":\"");
		for (int k = 0; k < 70000 + i * 65536; k++)
			ft_str_addc(&s, (char)('a' + i));
		ft_str_adds(&s, "\"}\n");
	}
	f = scratch_file("long", s.s, s.n);
	CHECK(strstr(all(&f, 1, NULL), "2:3:{\"x\":\"ccc") &&
		      !strstr(all(&f, 1, NULL), "long:"),
	      "lines longer than the buffer");
	ft_str_clear(&s);
	ft_str_adds(&s, "{\"x\":\"");
	for (int k = 0; k < (64 << 20) + 100; k++)
		ft_str_addc(&s, 'a');
	f = scratch_file("long", s.s, s.n);
	CHECK(says(all(&f, 1, NULL), "3 long:1: line longer than 64 MiB"),
	      "a line that is too long");
	ft_str_release(&s);
}

static void test_map(void)
{
	static const char rows[] = "{\"q\":\"a\",\"l\":[1,2.50,1e2]}\n"
				   "{\"q\":\"\xC3\xA9\\n\",\"l\":[]}\n";
	char text[3000];

	CHECK(says(one(rows, "{prompt: .q, n: (.l|length)}"),
		   "0:1:{\"prompt\":\"a\",\"n\":3}|"
		   "1:2:{\"prompt\":\"\xC3\xA9\\n\",\"n\":0}|"),
	      "a map");
	CHECK(says(one(rows, ".l[] | {x: .}"),
		   "0:1:{\"x\":1}|0:1:{\"x\":2.5}|0:1:{\"x\":100}|"),
	      "many of one, none of another");
	CHECK(says(one("[1]\n3\n", "{x: .}"), "0:1:{\"x\":[1]}|1:2:{\"x\":3}|"),
	      "from what is no object");
	CHECK(says(one(rows, "empty"), ""), "nothing");
	CHECK(says(one(rows, ".q"), "3 one:1: jq: output is not an object but "
				    "string"),
	      "an output that is no object");
	CHECK(says(one("{\"a\":1}\n{\"a\":\"x\"}\n", "{b: (.a + 1)}"),
		   "0:1:{\"b\":2}|3 one:2: jq: string (\"x\") and number (1) "
		   "cannot be added"),
	      "an error of the program");
	CHECK(strstr(one(rows, "{a: "), "2 :0: invalid jq program: syntax "
					"error"),
	      "one that does not compile: %s", one(rows, "{a: "));
	CHECK(strstr(one(rows, "nothing(1)"), "2 :0: invalid jq program: "
					      "nothing/1 is not defined"),
	      "an unknown function");
	CHECK(strstr(one(rows, "import \"x\" as x; ."), "2 :0: invalid jq"),
	      "a module: %s", one(rows, "import \"x\" as x; ."));
	CHECK(strstr(one(rows, "{a: input}"), "3 one:1: jq: there is no "),
	      "input: %s", one(rows, "{a: input}"));
	CHECK(strstr(one(rows, "halt"), "3 one:1: jq: program halted"), "halt");
	CHECK(strstr(one(rows, "halt_error"), "3 one:1: jq: "), "halt_error");
	snprintf(text, sizeof(text), "{\"a\":\"%02000d\"}\n", 7);
	CHECK(strstr(one(text, "error"), "3 one:1: jq: {\"a\":\"000") &&
		      strlen(one(text, "error")) < 250,
	      "an error that throws the row: %s", one(text, "error"));
	CHECK(says(one("{\"a\":1,\"a\":2}\n", "."),
		   "3 one:1: invalid JSON: duplicate key 'a' near byte 12"),
	      "our parser reads first");
	CHECK(says(one("{\"a\":1}\n{\"a\":", "."),
		   "0:1:{\"a\":1}|3 one:2: invalid JSON: ends too early at "
		   "byte 6 (the last line is torn)"),
	      "a torn line before a map");
}

/* ~/.jq may not change what a program means. */
static void test_home(void)
{
	char *home = scratch_path("home");

	mkdir(home, 0777);
	file("home/.jq", "def map(f): 7; def mine: 8;");
	setenv("HOME", home, 1);
	CHECK(says(one("{\"a\":[1]}\n", "{a: .a | map(.)}"),
		   "0:1:{\"a\":[1]}|"),
	      "~/.jq is not read");
	CHECK(getenv("HOME") && !strcmp(getenv("HOME"), home), "HOME is back");
}

static enum ft_row_kind kind(const char *text, bool *ids)
{
	struct ft_arena a = {0};
	struct ft_err err;
	struct ft_json *v;
	enum ft_row_kind k = FT_ROW_NONE;

	if (ft_json_parse(&a, text, strlen(text), &v, &err) == 0)
		k = ft_row_kind(v, ids);
	ft_arena_release(&a);
	return k;
}

static void test_kind(void)
{
	static const struct {
		const char *text;
		enum ft_row_kind kind;
		bool ids;
	} t[] = {
		{"{\"text\":1,\"prompt\":1,\"chosen\":1,\"rejected\":1}",
		 FT_ROW_PAIR, false},
		{"{\"prompt_ids\":1,\"chosen_ids\":1,\"rejected_ids\":1}",
		 FT_ROW_PAIR, true},
		{"{\"prompt\":1,\"completion\":1,\"messages\":1}",
		 FT_ROW_COMPLETION, false},
		{"{\"prompt\":1,\"completion\":1,\"completion_ids\":1,\"prompt_ids\":1}",
		 FT_ROW_COMPLETION, false},
		{"{\"prompt_ids\":1,\"completion_ids\":1}", FT_ROW_COMPLETION,
		 true},
		{"{\"messages\":[],\"text\":1}", FT_ROW_CHAT, false},
		{"{\"text\":\"\",\"prompt\":1,\"input_ids\":1}", FT_ROW_TEXT,
		 false},
		{"{\"input_ids\":[]}", FT_ROW_TEXT, true},
		{"{\"prompt\":\"\"}", FT_ROW_PROMPT, false},
		{"{\"prompt_ids\":[]}", FT_ROW_PROMPT, true},
		{"{\"prompt\":1,\"chosen\":1}", FT_ROW_PROMPT, false},
		{"{\"prompt\":1,\"completion\":null}", FT_ROW_PROMPT, false},
		{"{\"chosen\":1}", FT_ROW_NONE, false},
		{"{}", FT_ROW_NONE, false},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		bool ids = !t[i].ids;

		CHECK(kind(t[i].text, &ids) == t[i].kind && ids == t[i].ids,
		      "kind of %s", t[i].text);
	}
	CHECK(!strcmp(ft_row_kind_names[FT_ROW_CHAT], "chat") &&
		      !strcmp(ft_row_kind_names[FT_ROW_PROMPT], "prompt"),
	      "names of kinds");
}

static const char *edited(const char *text, const struct ft_edit *e, size_t n)
{
	static struct ft_str out;
	struct ft_arena a = {0};
	struct ft_err err;
	struct ft_row row = {.text = text, .ntext = strlen(text)};
	struct ft_json *again;

	ft_str_clear(&out);
	if (ft_json_parse(&a, text, row.ntext, &row.obj, &err) == 0)
		ft_row_edit(&row, e, n, &out);
	if (ft_json_parse(&a, ft_str_cstr(&out), out.n, &again, &err))
		ft_str_addf(&out, " <- %s", err.msg);
	ft_arena_release(&a);
	return ft_str_cstr(&out);
}

static void test_edit(void)
{
	static const struct ft_edit set[] = {{"b", "[9]", 3, NULL},
					     {"n\"", "null", 4, NULL}};
	static const struct ft_edit drop[] = {{"a", NULL, 0, NULL}};
	static const struct ft_edit none[] = {{"x", NULL, 0, NULL},
					      {"y", NULL, 0, "z"}};
	static const struct ft_edit move[] = {
		{"completion", NULL, 0, "reference"},
		{"completion", "\"new\"", 5, NULL},
	};
	static const struct ft_edit both[] = {{"a", "0", 1, "c"}};
	static const struct ft_edit same[] = {{"a", NULL, 0, "a"}};

	CHECK(says(edited(" { \"a\" : 1.50 ,\t\"b\": {\"b\":1,\"c\":\"},{\"} , "
			  "\"c\":3e0 }\r",
			  set, 2),
		   " { \"a\" : 1.50 ,\t\"b\": [9] , \"c\":3e0,\"n\\\"\":null "
		   "}\r"),
	      "one replaced where it stands, one appended");
	CHECK(says(edited("{}", set, 2), "{\"b\":[9],\"n\\\"\":null}"),
	      "to an empty row");
	CHECK(says(edited("{ }", set, 1), "{\"b\":[9] }"), "to { }");
	CHECK(says(edited("{\"a\":1,\"b\":2}", drop, 1), "{\"b\":2}") &&
		      says(edited("{\"b\":2,\"a\":1}", drop, 1), "{\"b\":2}") &&
		      says(edited("{\"a\":{\"a\":1}}", drop, 1), "{}") &&
		      says(edited("{\"b\":{\"a\":1}}", drop, 1),
			   "{\"b\":{\"a\":1}}"),
	      "dropped: first, last, only, none");
	CHECK(says(edited("{\"a\":1,\"b\":\"\\u00e9\"}", none, 2),
		   "{\"a\":1,\"b\":\"\\u00e9\"}"),
	      "nothing to do");
	CHECK(says(edited("{\"completion\":\"old\",\"k\":1}", move, 2),
		   "{\"reference\":\"old\",\"k\":1,\"completion\":\"new\"}"),
	      "a former completion becomes the reference");
	CHECK(says(edited("{\"k\":1}", move, 2),
		   "{\"k\":1,\"completion\":\"new\"}"),
	      "no former one");
	CHECK(says(edited("{\"reference\":0,\"completion\":\"old\"}", move, 2),
		   "{\"reference\":\"old\",\"completion\":\"new\"}"),
	      "its place is taken");
	CHECK(says(edited("{\"reference\":0}", move, 2),
		   "{\"reference\":0,\"completion\":\"new\"}"),
	      "only what is renamed takes a place");
	CHECK(says(edited("{\"a\":1,\"\\u0061b\":2}", both, 1),
		   "{\"c\":0,\"\\u0061b\":2}"),
	      "renamed and set");
	CHECK(says(edited("{\"a\":1}", same, 1), "{\"a\":1}"),
	      "renamed to itself");
}

static void test_copy(void)
{
	char *f = file("ids", "{\"id\":\"x\\u00e9\",\"v\":1}\n{\"id\":7.0}\n"
			      "{\"id\":null}\n{}\n");
	struct ft_arena a = {0};
	struct ft_row row, copy[4];
	struct ft_rows *r;
	struct ft_err err;
	struct ft_str s = {0};
	int n = 0;

	ft_rows_open(&r, &f, 1, NULL, &err);
	while (n < 4 && ft_rows_next(r, &row, &err) > 0)
		ft_row_copy(&a, &row, &copy[n++], &err);
	ft_rows_close(r);
	for (int i = 0; i < n; i++) {
		ft_row_id(&copy[i], &s);
		ft_str_addc(&s, ' ');
	}
	CHECK(says(ft_str_cstr(&s), "\"x\\u00e9\" 7.0 2 3 "),
	      "rows that are kept, and their names");
	ft_str_clear(&s);
	for (int i = 0; i < n; i++) {
		ft_row_key(&copy[i], i % 2, &s);
		ft_str_addc(&s, ' ');
	}
	CHECK(says(ft_str_cstr(&s), "\"x\xC3\xA9\" 7\t0 2 3\t0 "),
	      "their keys are in one spelling");
	CHECK(ft_row_err(&err, &copy[1], "bad %d", 5) == -1 && err.line == 2 &&
		      !strcmp(err.where, copy[1].file) &&
		      !strcmp(err.msg, "bad 5") && err.code == FT_EXIT_DATA,
	      "an error says where");
	ft_str_release(&s);
	ft_arena_release(&a);
}

int main(void)
{
	test_read();
	test_long();
	test_map();
	test_home();
	test_kind();
	test_edit();
	test_copy();
	return test_done();
}
