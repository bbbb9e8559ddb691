/* SPDX-License-Identifier: MIT */
/*
 * Chat templates: what Jinja2 makes of the same ones, set up as transformers
 * does it.  Expectations beside each template are Jinja2 3.1.6's.
 *
 * With an argument: rows {template, context} in that file, each rendered to a
 * row {out} or {error}, for tests/golden/check_jinja.py.
 */
#include "libcommon/text/jinja.h"

#include <string.h>

#include "libcommon/io/input.h"
#include "libcommon/io/rows.h"
#include "tests/lib/test.h"

enum { MAX_VARS = 64 };

/* Render with the members of an object as variables. */
static int render(const char *t, size_t n, const struct ft_json *context,
		  struct ft_jinja_out *out, struct ft_err *err)
{
	struct ft_jinja_var vars[MAX_VARS];
	struct ft_jinja *j;
	size_t k = 0;
	int rc;

	if (ft_jinja_compile(&j, t, n, err))
		return -1;
	if (context)
		for (const struct ft_json *c = context->child;
		     c && k < MAX_VARS; c = c->next)
			vars[k++] = (struct ft_jinja_var){.name = c->key,
							  .json = c};
	rc = ft_jinja_render(j, vars, k, NULL, out, err);
	ft_jinja_free(j);
	return rc;
}

static int rows_of(char *file)
{
	struct ft_rows *r;
	struct ft_row row;
	struct ft_err err;
	struct ft_jinja_out out = {0};
	struct ft_str s = {0};
	int rc = ft_rows_open(&r, &file, 1, NULL, &err);

	while (!rc && (rc = ft_rows_next(r, &row, &err)) > 0) {
		const struct ft_json *t = ft_json_get(row.obj, "template");

		ft_str_clear(&s);
		if (!t || t->type != FT_JSON_STRING)
			return 1;
		if (render(t->s, t->ns, ft_json_get(row.obj, "context"), &out,
			   &err)) {
			ft_str_adds(&s, "{\"error\":");
			ft_str_add_json(&s, err.msg, strlen(err.msg));
		} else {
			ft_str_adds(&s, "{\"out\":");
			ft_str_add_json(&s, ft_str_cstr(&out.text), out.text.n);
		}
		ft_str_addc(&s, '}');
		puts(ft_str_cstr(&s));

		rc = 0;
	}
	if (rc < 0)
		fprintf(stderr, "%s\n", err.msg);
	ft_rows_close(r);
	ft_str_release(&s);
	ft_jinja_out_release(&out);
	return rc < 0;
}

/* --- the shared set ------------------------------------------------------- */

static void shared(void)
{
	const char *dir = test_shared(), *want;
	struct ft_str path = {0};
	struct ft_jinja_out out = {0};
	struct ft_rows *r;
	struct ft_row row;
	struct ft_err err;
	char *file;
	int n = 0, same = 0;

	if (!dir) {
		SKIP("no shared data: renders.jsonl");
		return;
	}
	/* the day on which the expectations were made */
	setenv("SOURCE_DATE_EPOCH", "1752105600", 1);
	ft_str_addf(&path, "%s/data/chat/renders.jsonl", dir);
	file = path.s;
	if (ft_rows_open(&r, &file, 1, NULL, &err)) {
		CHECK(false, "%s: %s", path.s, err.msg);
		return;
	}
	while (ft_rows_next(r, &row, &err) > 0) {
		const struct ft_json *t = ft_json_get(row.obj, "template");
		const struct ft_json *e = ft_json_get(row.obj, "jinja2");
		bool fails = ft_json_get(row.obj, "jinja2_error") != NULL;
		int rc = render(t->s, t->ns, ft_json_get(row.obj, "context"),
				&out, &err);
		bool ok;

		e = e ? e : ft_json_get(row.obj, "expected");
		want = e->s;
		ok = fails ? rc < 0
			   : !rc && out.text.n == e->ns &&
				     !memcmp(out.text.s, want, e->ns);
		n++;
		same += ok;
		if (!ok)
			printf("# line %d: %s\n", n,
			       rc ? err.msg : ft_str_cstr(&out.text));
	}
	CHECK(n > 200 && same == n, "renders.jsonl: %d of %d as Jinja2", same,
	      n);
	unsetenv("SOURCE_DATE_EPOCH");
	ft_rows_close(r);
	ft_str_release(&path);
	ft_jinja_out_release(&out);
}

/* --- our own -------------------------------------------------------------- */

static void cases(void)
{
	struct ft_jinja_out out = {0};
	struct ft_arena a = {0};
	struct ft_json *context;
	struct ft_rows *r;
	struct ft_row row;
	struct ft_err err;
	char file[] = "tests/data/jinja/cases.jsonl";
	char *files[] = {file}, *s;
	size_t n;
	int seen = 0;

	s = ft_read_file("tests/data/jinja/context.json", 1 << 20, &n, &err);
	if (!s || ft_json_parse(&a, s, n, &context, &err) ||
	    ft_rows_open(&r, files, 1, NULL, &err)) {
		CHECK(false, "tests/data/jinja: %s", err.msg);
		return;
	}
	while (ft_rows_next(r, &row, &err) > 0) {
		const struct ft_json *t = ft_json_get(row.obj, "template");
		const struct ft_json *e = ft_json_get(row.obj, "expect");
		int rc = render(t->s, t->ns, context, &out, &err);
		bool same = !rc && e && out.text.n == e->ns &&
			    !memcmp(out.text.s, e->s, e->ns);

		CHECK(e ? same : rc < 0, "%.*s",
		      (int)(t->nraw < 60 ? t->nraw : 60), t->raw);
		if (e && !same)
			printf("# %s\n# %s\n", e->s,
			       rc ? err.msg : ft_str_cstr(&out.text));
		seen++;
	}
	CHECK(seen > 30, "%d cases", seen);
	ft_rows_close(r);
	ft_jinja_out_release(&out);
	ft_arena_release(&a);
	free(s);
}

static void says(const char *template, const char *want)
{
	struct ft_jinja_out out = {0};
	struct ft_err err = {0};
	int rc = render(template, strlen(template), NULL, &out, &err);

	CHECK(rc < 0 && strstr(err.msg, want), "refused: %s", want);
	if (rc >= 0 || !strstr(err.msg, want))
		printf("# %s\n", rc < 0 ? err.msg : ft_str_cstr(&out.text));
	ft_jinja_out_release(&out);
}

/* What is not known is refused when it is read, though never reached. */
static void refused(void)
{
	struct ft_jinja *t;
	struct ft_err err;
	const char *s = "a\n{% if false %}\n{{ 1 | nosuch }}{% endif %}";

	CHECK(ft_jinja_compile(&t, s, strlen(s), &err) &&
		      strstr(err.msg, "line 3: filter 'nosuch' is not known"),
	      "an unknown filter: by name and line, at load");
	says("{% if x is nosuch %}{% endif %}", "test 'nosuch' is not known");
	says("{{ x.nosuch() }}", "method 'nosuch' is not known");
	says("{{ x.casefold() }}", "method 'casefold' is not known");
	says("{% include 'x' %}", "tag 'include' is not known");
	says("{{ x | map('nosuch') }}", "filter 'nosuch' is not known");
	says("{{ x | select('nosuch') }}", "test 'nosuch' is not known");
	says("{{ lipsum() }}", "'lipsum' is not supported");
	says("{% break %}", "'break' outside of a loop");
	says("{% for x in y %}", "'endfor' is missing");
	says("{% for x in y %}{% endif %}", "tag 'endif' is not known");
	says("{{ x", "'}}' expected");
	says("{# x", "comment without an end");
	says("{{ 'x", "unterminated string");
	says("{{ (1] }}", "unexpected ']'");
	says("\n{{ raise_exception('why') }}",
	     "line 2: the template raises: why");
	says("{{ x.y }}", "'x' is undefined");
}

/* Nothing that a template does takes more than it may. */
static void budgets(void)
{
	struct ft_str s = {0};

	says("{{ 'x' * 10 ** 12 }}", "more memory");
	says("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
	     " than it may");
	says("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
	     "nested too deep");
	says("{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
	     "more memory");
	says("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}",
	     "nested too deep");
	says("{{ range(10 ** 6) }}", "range of more than");
	ft_str_adds(&s, "{{ ");
	for (int i = 0; i < 250; i++)
		ft_str_addc(&s, '(');
	says(s.s, "nested too deep");
	ft_str_clear(&s);
	for (int i = 0; i < 2000; i++)
		ft_str_adds(&s, "{% if x %}");
	says(s.s, "nested too deep");
	ft_str_clear(&s);
	ft_str_adds(&s, "{{ 1");
	for (int i = 0; i < 2000; i++)
		ft_str_adds(&s, " + 1");
	ft_str_adds(&s, " }}");
	says(s.s, "nested too deep");
	ft_str_release(&s);
}

/* Bytes that came in are marked through what is done to them. */
static void marks(void)
{
	static const char json[] =
		"[{\"role\":\"user\",\"content\":\" Ab<s> \"},{\"role\":\"a b\",\"content\":\"\u00e9\"}]";
	static const char template[] =
		"<{{ messages[0].role }}>{{ messages[0].content.strip().upper() }}|{{ messages[1] | tojson }}";
	struct ft_jinja_out out = {0};
	const struct ft_json *list[2];
	struct ft_arena a = {0};
	struct ft_json *j;
	struct ft_jinja *t;
	struct ft_err err;
	struct ft_jinja_var v = {.name = "messages",
				 .kind = FT_JINJA_MESSAGES,
				 .list = list,
				 .n = 2,
				 .chosen = 1};
	char got[128] = "";

	if (ft_json_parse(&a, json, strlen(json), &j, &err) ||
	    ft_jinja_compile(&t, template, strlen(template), &err)) {
		CHECK(false, "%s", err.msg);
		return;
	}
	list[0] = j->child;
	list[1] = j->child->next;
	CHECK(!ft_jinja_render(t, &v, 1, NULL, &out, &err), "marks: renders");
	for (size_t i = 0; i < out.text.n && i < sizeof(got) - 1; i++)
		got[i] = ".12"[out.mark[i]];
	CHECK(!strcmp(got, "......11111...2222....222....2222222....22.."),
	      "marks follow the text: %s", got);
	ft_jinja_out_release(&out);
	ft_jinja_free(t);
	ft_arena_release(&a);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return rows_of(argv[1]);
	cases();
	refused();
	budgets();
	marks();
	shared();
	return test_done();
}
