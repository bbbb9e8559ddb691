/* SPDX-License-Identifier: MIT */
#include "libcommon/text/chat.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/io/input.h"

enum { MAX_CONFIG = 1 << 24, MAX_VARS = 64 };

struct named {
	const char *name;
	struct ft_jinja *t;
};

struct ft_chat {
	struct ft_arena a; /* configuration, names */
	struct named *v;   /* templates */
	size_t n, cap;
	const struct ft_jinja *chosen;         /* by name or file, or NULL */
	struct ft_jinja_var special[MAX_VARS]; /* tokens, by name */
	size_t nspecial;
	struct ft_jinja_out part; /* renderings of parts of a chat */
	struct ft_jinja_out prompt;
};

void ft_chat_free(struct ft_chat *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++)
		ft_jinja_free(c->v[i].t);
	free(c->v);
	ft_jinja_out_release(&c->part);
	ft_jinja_out_release(&c->prompt);
	ft_arena_release(&c->a);
	free(c);
}

/* --- finding the template ------------------------------------------------- */

/* dir/name as text: 1, 0 when there is none, -1. */
static int file_text(struct ft_arena *a, const char *dir, const char *name,
		     const char **s, size_t *n, struct ft_err *err)
{
	struct ft_str path = {0};
	char *text = NULL;
	int rc = 0;

	if (*dir)
		ft_str_addf(&path, "%s/", dir);
	ft_str_adds(&path, name);
	if (!access(path.s, F_OK)) {
		text = ft_read_file(path.s, MAX_CONFIG, n, err);
		rc = text ? 1 : -1;
	}
	if (text)
		*s = ft_arena_strndup(a, text, *n);
	free(text);
	ft_str_release(&path);
	return rc;
}

/* dir/name as JSON; *out NULL when there is none. */
static int config(struct ft_arena *a, const char *dir, const char *name,
		  struct ft_json **out, struct ft_err *err)
{
	const char *s;
	size_t n;
	int rc = file_text(a, dir, name, &s, &n, err);

	*out = NULL;
	if (rc <= 0)
		return rc;
	if (ft_json_parse(a, s, n, out, err))
		return ft_err_at(err, name, 0);
	return 0;
}

static int add(struct ft_chat *c, const char *name, const char *s, size_t n,
	       struct ft_err *err)
{
	struct ft_jinja *t;

	if (ft_jinja_compile(&t, s, n, err))
		return -1;
	FT_GROW(c->v, c->n, c->cap, 1);
	c->v[c->n++] = (struct named){name, t};
	return 0;
}

static const struct ft_jinja *find(const struct ft_chat *c, const char *name)
{
	for (size_t i = 0; i < c->n; i++)
		if (!strcmp(c->v[i].name, name))
			return c->v[i].t;
	return NULL;
}

/* A template of the list that nobody will use is not looked at. */
static bool wanted(const char *name, const char *which)
{
	return which ? !strcmp(name, which)
		     : !strcmp(name, "default") || !strcmp(name, "tool_use");
}

static int add_list(struct ft_chat *c, const struct ft_json *list,
		    const char *which, struct ft_err *err)
{
	const char *name, *s;
	size_t n;

	for (const struct ft_json *e = list->child; e; e = e->next) {
		if (ft_json_str(e, "name", &name, NULL, err) != 1 ||
		    ft_json_str(e, "template", &s, &n, err) != 1)
			return ft_err_set(
				err, FT_EXIT_DATA,
				"tokenizer_config.json: chat_template is no list of {name, template}");
		if (wanted(name, which) && add(c, name, s, n, err))
			return -1;
	}
	return 0;
}

static int load_templates(struct ft_chat *c, const char *dir, const char *which,
			  const struct ft_json *tokens, struct ft_err *err)
{
	const struct ft_json *t = ft_json_get(tokens, "chat_template");
	struct ft_str name = {0};
	const char *s;
	size_t n;
	int rc;

	if (which) {
		ft_str_addf(&name, "additional_chat_templates/%s.jinja", which);
		rc = strchr(which, '/')
			     ? 0
			     : file_text(&c->a, dir, name.s, &s, &n, err);
		ft_str_release(&name);
		if (rc)
			return rc < 0 ? -1 : add(c, which, s, n, err);
	}
	rc = file_text(&c->a, dir, "chat_template.jinja", &s, &n, err);
	if (rc < 0)
		return -1;
	if (rc)
		return which && strcmp(which, "default")
			       ? 0
			       : add(c, "default", s, n, err);
	if (t && t->type == FT_JSON_STRING)
		return which && strcmp(which, "default")
			       ? 0
			       : add(c, "default", t->s, t->ns, err);
	if (t && t->type == FT_JSON_ARRAY)
		return add_list(c, t, which, err);
	return 0;
}

/* which is no name: then a file. */
static int load_file(struct ft_chat *c, const char *which, struct ft_err *err)
{
	const char *s;
	size_t n;
	int rc = file_text(&c->a, "", which, &s, &n, err);

	if (rc < 0)
		return -1;
	if (!rc)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"no chat template '%.200s', neither by name nor as a file",
			which);
	if (add(c, which, s, n, err))
		return ft_err_at(err, which, 0);
	return 0;
}

/* Members whose names end in _token are variables: a string, or {content}. */
static void special_tokens(struct ft_chat *c, const struct ft_json *o)
{
	for (const struct ft_json *e = o ? o->child : NULL; e; e = e->next) {
		const struct ft_json *s = e;
		bool there = false;

		if (e->type == FT_JSON_OBJECT)
			s = ft_json_get(e, "content");
		if (!s || s->type != FT_JSON_STRING ||
		    !ft_ends(e->key, "_token") || c->nspecial == MAX_VARS)
			continue;
		for (size_t i = 0; i < c->nspecial; i++)
			there = there || !strcmp(c->special[i].name, e->key);
		if (!there)
			c->special[c->nspecial++] =
				(struct ft_jinja_var){.name = e->key,
						      .kind = FT_JINJA_STRING,
						      .s = s->s,
						      .n = s->ns};
	}
}

static int load(struct ft_chat *c, const char *dir, const char *which,
		struct ft_err *err)
{
	struct ft_json *tokens, *map;

	if (config(&c->a, dir, "tokenizer_config.json", &tokens, err) ||
	    config(&c->a, dir, "special_tokens_map.json", &map, err))
		return -1;
	special_tokens(c, tokens);
	special_tokens(c, ft_json_get(tokens, "extra_special_tokens"));
	special_tokens(c, map);
	if (load_templates(c, dir, which, tokens, err) ||
	    (which && !c->n && load_file(c, which, err)))
		return -1;
	if (which)
		c->chosen = c->v[0].t;
	if (!which && !find(c, "default") && !find(c, "tool_use"))
		return ft_err_set(
			err, FT_EXIT_DATA,
			"%.200s has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json); give one with --chat-template",
			dir);
	return 0;
}

int ft_chat_load(struct ft_chat **out, const char *dir, const char *which,
		 struct ft_err *err)
{
	struct ft_chat *c = ft_xcalloc(1, sizeof(*c));

	*out = NULL;
	if (load(c, dir, which, err)) {
		ft_chat_free(c);
		return -1;
	}
	*out = c;
	return 0;
}

/* --- messages ------------------------------------------------------------- */

int ft_chat_add(struct ft_chat_messages *m, const struct ft_json *list,
		const char *field, struct ft_err *err)
{
	if (!list || list->type != FT_JSON_ARRAY)
		return ft_err_set(err, FT_EXIT_DATA,
				  "field '%s' is not a list of messages",
				  field);
	if (!list->n)
		return ft_err_set(err, FT_EXIT_DATA,
				  "field '%s' has no message", field);
	FT_GROW(m->v, m->n, m->cap, list->n);
	for (const struct ft_json *e = list->child; e; e = e->next) {
		if (e->type != FT_JSON_OBJECT)
			return ft_err_set(err, FT_EXIT_DATA,
					  "field '%s' holds what is no message",
					  field);
		m->v[m->n++] = e;
	}
	return 0;
}

void ft_chat_messages_release(struct ft_chat_messages *m)
{
	free(m->v);
	*m = (struct ft_chat_messages){0};
}

/* --- rendering ------------------------------------------------------------ */

static const struct ft_json *given(const struct ft_json *row, const char *key)
{
	const struct ft_json *v = ft_json_get(row, key);

	return v && v->type != FT_JSON_NULL ? v : NULL;
}

static const struct ft_jinja *template(const struct ft_chat *c,
				       const struct ft_json *row)
{
	const struct ft_jinja *t = NULL;

	if (c->chosen)
		return c->chosen;
	if (given(row, "tools"))
		t = find(c, "tool_use");
	return t ? t : find(c, "default");
}

bool ft_chat_tells(const struct ft_chat *c, const struct ft_json *row)
{
	const struct ft_jinja *t = template(c, row);

	return t && ft_jinja_has_generation(t);
}

/* Tables keep what has many shapes as text. */
static int parsed(struct ft_arena *a, const struct ft_json **v,
		  const char *field, struct ft_err *err)
{
	struct ft_json *j;

	if (!*v || (*v)->type != FT_JSON_STRING)
		return 0;
	if (ft_json_parse(a, (*v)->s, (*v)->ns, &j, err))
		return ft_err_set(err, FT_EXIT_DATA,
				  "field '%s' is a string that is not JSON",
				  field);
	*v = j->type == FT_JSON_NULL ? NULL : j;
	return 0;
}

static int variables(struct ft_chat *c, struct ft_arena *a,
		     const struct ft_json *row, struct ft_jinja_var *vars,
		     size_t *n, struct ft_err *err)
{
	static const char *const lists[] = {"tools", "documents"};
	const struct ft_json *more = given(row, "chat_template_kwargs");

	memcpy(vars, c->special, c->nspecial * sizeof(*vars));
	*n = c->nspecial;
	for (int i = 0; i < 2; i++) {
		const struct ft_json *v = given(row, lists[i]);

		if (parsed(a, &v, lists[i], err))
			return -1;
		if (v && v->type != FT_JSON_ARRAY)
			return ft_err_set(err, FT_EXIT_DATA,
					  "field '%s' is not a list", lists[i]);
		vars[(*n)++] = (struct ft_jinja_var){.name = lists[i],
						     .kind = v ? FT_JINJA_JSON
							       : FT_JINJA_NONE,
						     .json = v};
	}
	if (more && more->type != FT_JSON_OBJECT)
		return ft_err_set(err, FT_EXIT_DATA,
				  "field 'chat_template_kwargs' is no object");
	for (const struct ft_json *e = more ? more->child : NULL; e;
	     e = e->next) {
		if (*n == 2 * MAX_VARS)
			return ft_err_set(
				err, FT_EXIT_DATA,
				"field 'chat_template_kwargs' has too many members");
		vars[(*n)++] = (struct ft_jinja_var){.name = e->key, .json = e};
	}
	return 0;
}

int ft_chat_render(struct ft_chat *c, const struct ft_json *row,
		   const struct ft_chat_messages *m, size_t n, bool prompt,
		   size_t chosen, struct ft_jinja_out *out, struct ft_err *err)
{
	const struct ft_jinja *t = template(c, row);
	struct ft_jinja_var vars[2 * MAX_VARS + 8];
	struct ft_arena a = {0};
	size_t k = 0;
	int rc = -1;

	if (!t) {
		ft_err_set(
			err, FT_EXIT_DATA,
			"the model's chat template is for rows with tools only");
		return -1;
	}
	/* what a row says goes before what is asked for in general */
	vars[k++] = (struct ft_jinja_var){.name = "messages",
					  .kind = FT_JINJA_MESSAGES,
					  .list = m->v,
					  .n = n,
					  .chosen = chosen};
	vars[k++] = (struct ft_jinja_var){.name = "add_generation_prompt",
					  .kind = prompt ? FT_JINJA_TRUE
							 : FT_JINJA_FALSE};
	{
		size_t more;

		if (!variables(c, &a, row, vars + k, &more, err))
			rc = ft_jinja_render(t, vars, k + more, NULL, out, err);
	}
	ft_arena_release(&a);
	return rc;
}

/* --- whose text is it ----------------------------------------------------- */

static size_t common(const struct ft_str *a, const struct ft_str *b)
{
	size_t n = a->n < b->n ? a->n : b->n, i = 0;

	while (i < n && a->s[i] == b->s[i])
		i++;
	while (i && i < b->n && (b->s[i] & 0xc0) == 0x80)
		i--;
	return i;
}

static bool begins(const struct ft_str *whole, const struct ft_str *part)
{
	return part->n <= whole->n &&
	       (!part->n || !memcmp(whole->s, part->s, part->n));
}

/* Behind the last byte of the chosen message, and its first: 0 of none. */
static size_t last_chosen(const struct ft_jinja_out *o, size_t *first)
{
	size_t z = o->text.n;

	*first = 0;
	while (*first < o->text.n && o->mark[*first] != FT_JINJA_CHOSEN)
		++*first;
	while (z && o->mark[z - 1] != FT_JINJA_CHOSEN)
		z--;
	return z;
}

static bool assistant(const struct ft_json *m)
{
	const struct ft_json *r = ft_json_get(m, "role");

	return r && r->type == FT_JSON_STRING && !strcmp(r->s, "assistant");
}

/*
 * A template may close a chat with more than it puts between messages.  The end
 * of a message is then the last place in [from, to] where a piece of both texts
 * ends; 0 when there is none.
 */
static size_t common_cut(const struct ft_jinja_out *a,
			 const struct ft_jinja_out *b, size_t from, size_t to)
{
	size_t i = a->ncut, k = b->ncut;

	while (i && k) {
		size_t x = a->cut[i - 1], y = b->cut[k - 1];

		if (x == y && x <= to)
			return x >= from ? x : 0;
		i -= x >= y;
		k -= y >= x;
	}
	return 0;
}

/* It is written otherwise in the whole: its own text there, by the marks, and
   behind it what is behind it in q. */
static bool marked_span(const struct ft_jinja_out *whole,
			const struct ft_jinja_out *q, size_t end,
			struct ft_jinja_span *span)
{
	size_t z = last_chosen(whole, &span->a), tail = q->text.n - end;

	if (!z || !end || whole->text.n - z < tail ||
	    (tail && memcmp(whole->text.s + z, q->text.s + end, tail) != 0))
		return false;
	span->z = z + tail;
	return true;
}

int ft_chat_span(struct ft_chat *c, const struct ft_json *row,
		 const struct ft_chat_messages *m, size_t i,
		 const struct ft_jinja_out *whole, struct ft_jinja_span *span,
		 struct ft_err *err)
{
	struct ft_jinja_out *q = &c->part, *p = &c->prompt, again = {0};
	struct ft_err ignored;
	size_t first, end;
	bool have_p, ok;

	/* A template may refuse what is before the first message. */
	have_p = !ft_chat_render(c, row, m, i, assistant(m->v[i]), SIZE_MAX, p,
				 &ignored);
	if (ft_chat_render(c, row, m, i + 1, false, i, q, err))
		return -1;
	end = last_chosen(q, &first);
	span->a = have_p ? common(&p->text, &q->text) : first;
	span->z = q->text.n;
	if (begins(&whole->text, &q->text))
		return 0;
	span->z = common_cut(q, whole, end ? end : span->a,
			     common(&q->text, &whole->text));
	if (span->z)
		return 0;
	if (ft_chat_render(c, row, m, m->n, false, i, &again, err))
		return -1;
	ok = marked_span(&again, q, end, span);
	ft_jinja_out_release(&again);
	if (ok && have_p && begins(&whole->text, &p->text) &&
	    p->text.n <= span->a)
		span->a = p->text.n;
	if (ok)
		return 0;
	return ft_err_set(
		err, FT_EXIT_DATA,
		"the chat template writes message %zu otherwise when others follow: which text is its own cannot be told (train on its last turn, or give a template with {%% generation %%})",
		i);
}
