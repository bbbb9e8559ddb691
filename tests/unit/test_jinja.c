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

int main(int argc, char **argv)
{
	if (argc > 1)
		return rows_of(argv[1]);
	shared();
	return test_done();
}
