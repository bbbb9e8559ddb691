/* SPDX-License-Identifier: MIT */
#include "libcommon/io/jqmap.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* jv.h defines a static function that not every file uses. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <jq.h>
#include <jv.h>
#pragma GCC diagnostic pop

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"

enum { SHOWN = 160 }; /* bytes of an error that may quote the data */

struct ft_jqmap {
	jq_state *jq;
	struct ft_str errors; /* of the compiler */
};

static void keep_error(void *arg, jv msg)
{
	struct ft_str *b = arg;

	if (jv_get_kind(msg) == JV_KIND_STRING && !b->n)
		ft_str_add(b, jv_string_value(msg),
			   (size_t)jv_string_length_bytes(jv_copy(msg)));
	jv_free(msg);
}

static void no_memory(void *arg)
{
	(void)arg;
	ft_no_memory(0);
}

/* jq_init() leaves this one unset: `input` would call what lies there. */
static jv no_input(jq_state *jq, void *arg)
{
	(void)jq;
	(void)arg;
	return jv_invalid_with_msg(jv_string("there is no input to read"));
}

static void show_debug(void *arg, jv msg)
{
	(void)arg;
	msg = jv_dump_string(msg, 0);
	ft_info("jq: %s", jv_string_value(msg));
	jv_free(msg);
}

/* Without HOME, or else libjq puts ~/.jq before every program. */
static int compile(jq_state *jq, const char *program)
{
	const char *home = getenv("HOME");
	char *saved = home ? ft_xstrdup(home) : NULL;
	int ok;

	unsetenv("HOME");
	ok = jq_compile(jq, program);
	if (saved)
		setenv("HOME", saved, 1);
	free(saved);
	return ok;
}

/* "jq: error: what, at <top-level>, line 1:" is said in our way. */
static int bad_program(struct ft_jqmap *m, struct ft_err *err)
{
	const char *s = m->errors.n ? m->errors.s : "does not compile";
	size_t n;

	if (ft_starts(s, "jq: error: "))
		s += strlen("jq: error: ");
	n = strcspn(s, "\n");
	while (n && (s[n - 1] == ':' || s[n - 1] == ' '))
		n--;
	return ft_err_set(err, FT_EXIT_USAGE, "invalid jq program: %.*s",
			  n > 300 ? 300 : (int)n, s);
}

int ft_jqmap_new(struct ft_jqmap **out, const char *program, struct ft_err *err)
{
	struct ft_jqmap *m = ft_xcalloc(1, sizeof(*m));

	*out = NULL;
	m->jq = jq_init();
	if (!m->jq)
		ft_no_memory(0);
	jq_set_nomem_handler(m->jq, no_memory, NULL);
	jq_set_error_cb(m->jq, keep_error, &m->errors);
	jq_set_input_cb(m->jq, no_input, NULL);
	jq_set_debug_cb(m->jq, show_debug, NULL);
	jq_set_attr(m->jq, jv_string("JQ_LIBRARY_PATH"), jv_array());
	jq_set_attr(m->jq, jv_string("JQ_ORIGIN"), jv_string("/nonexistent"));
	jq_set_attr(m->jq, jv_string("PROGRAM_ORIGIN"),
		    jv_string("/nonexistent"));
	if (!compile(m->jq, program)) {
		bad_program(m, err);
		ft_jqmap_free(m);
		return -1;
	}
	*out = m;
	return 0;
}

void ft_jqmap_free(struct ft_jqmap *m)
{
	if (!m)
		return;
	jq_teardown(&m->jq);
	ft_str_release(&m->errors);
	free(m);
}

int ft_jqmap_start(struct ft_jqmap *m, const char *s, size_t n,
		   struct ft_err *err)
{
	jv v;

	if (n > INT_MAX)
		return ft_err_set(err, FT_EXIT_DATA, "too long for jq");
	v = jv_parse_sized(s, (int)n);
	if (!jv_is_valid(v)) {
		jv_free(v);
		return ft_err_set(err, FT_EXIT_DATA, "jq cannot read it");
	}
	jq_start(m->jq, v, 0);
	return 0;
}

/* Takes msg.  A value that the program threw may be the whole row. */
static int failed(jv msg, struct ft_err *err)
{
	const char *s;
	size_t n, k, len;

	if (jv_get_kind(msg) != JV_KIND_STRING)
		msg = jv_dump_string(msg, 0);
	s = jv_string_value(msg);
	len = strlen(s);
	for (n = 0; n < len; n += k) {
		k = ft_utf8_len(s + n, len - n);
		if (!k || n + k > SHOWN)
			break;
	}
	ft_err_set(err, FT_EXIT_DATA, "jq: %.*s%s", (int)n, s,
		   n < len ? "..." : "");
	jv_free(msg);
	return -1;
}

static int ended(struct ft_jqmap *m, jv v, struct ft_err *err)
{
	if (jv_invalid_has_msg(jv_copy(v)))
		return failed(jv_invalid_get_msg(v), err);
	jv_free(v);
	if (jq_halted(m->jq))
		return ft_err_set(err, FT_EXIT_DATA, "jq: program halted");
	return 0;
}

int ft_jqmap_next(struct ft_jqmap *m, struct ft_str *out, struct ft_err *err)
{
	jv v = jq_next(m->jq);
	jv_kind kind;

	if (!jv_is_valid(v))
		return ended(m, v, err);
	kind = jv_get_kind(v);
	if (kind != JV_KIND_OBJECT) {
		jv_free(v);
		return ft_err_set(err, FT_EXIT_DATA,
				  "jq: output is not an object but %s",
				  jv_kind_name(kind));
	}
	v = jv_dump_string(v, 0);
	ft_str_clear(out);
	ft_str_add(out, jv_string_value(v),
		   (size_t)jv_string_length_bytes(jv_copy(v)));
	jv_free(v);
	return 1;
}
