/* SPDX-License-Identifier: MIT */
/* Rows of messages to segments, through the model's chat template. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"
#include "tools/ft-tokenize/tokenize.h"

static int at_row(const struct ft_row *row, struct ft_err *err)
{
	return ft_err_at(err, row->file, row->line);
}

static int add(const struct ft_row *row, struct ft_chat_messages *m,
	       const char *field, struct ft_err *err)
{
	return ft_chat_add(m, ft_json_get(row->obj, field), field, err)
		       ? at_row(row, err)
		       : 0;
}

static int render(const struct rules *r, const struct ft_row *row,
		  const struct ft_chat_messages *m, bool prompt,
		  struct ft_jinja_out *out, struct ft_err *err)
{
	return ft_chat_render(r->chat, row->obj, m, m->n, prompt, SIZE_MAX, out,
			      err)
		       ? at_row(row, err)
		       : 0;
}

/* The template writes special tokens itself: nothing is added. */
static int encode(const struct rules *r, const struct ft_row *row,
		  const struct ft_jinja_out *o, struct ft_ids *ids,
		  struct ft_err *err)
{
	ft_ids_clear(ids);
	return ft_tok_encode_marked(r->tok, ft_str_cstr(&o->text), o->text.n,
				    r->no_inject ? o->mark : NULL, ids, err)
		       ? at_row(row, err)
		       : 0;
}

/* --- what is trained on --------------------------------------------------- */

/* What a message says of itself: `train`, or OpenAI's `weight`; -1 nothing. */
static int wish(const struct ft_row *row, const struct ft_json *m,
		struct ft_err *err)
{
	const struct ft_json *t = ft_json_get(m, "train");
	const struct ft_json *w = ft_json_get(m, "weight");

	if (t && (t->type == FT_JSON_TRUE || t->type == FT_JSON_FALSE))
		return t->type == FT_JSON_TRUE;
	if (t && t->type != FT_JSON_NULL) {
		ft_row_err(err, row, "'train' of a message is true or false");
		return -2;
	}
	if (w && w->type != FT_JSON_NULL) {
		if (w->is_int && (w->i == 0 || w->i == 1))
			return (int)w->i;
		ft_row_err(err, row, "'weight' of a message is 0 or 1");
		return -2;
	}
	return -1;
}

/*
 * Tokens that have text of the span.  White space that the template writes
 * behind the special token that ends a turn is not the message's: no model
 * gets to write it.
 */
static void set_span(const struct rules *r, const struct ft_jinja_out *o,
		     const struct ft_ids *ids, struct ft_jinja_span s,
		     uint8_t on, uint8_t *mask)
{
	size_t w = s.z;

	while (w > s.a && o->mark[w - 1] == FT_JINJA_OWN &&
	       strchr(" \n\r\t", o->text.s[w - 1]))
		w--;
	for (size_t i = 0; i < ids->n && w < s.z; i++)
		if (ids->end[i] == w && ids->start[i] >= s.a &&
		    ft_tok_special(r->tok, ids->id[i]))
			s.z = w;
	for (size_t i = 0; i < ids->n; i++)
		if (ids->start[i] < s.z && ids->end[i] > s.a)
			mask[i] = on;
}

static bool is_assistant(const struct ft_json *m)
{
	const struct ft_json *role = ft_json_get(m, "role");

	return role && role->type == FT_JSON_STRING &&
	       !strcmp(role->s, "assistant");
}

/* Of a chat whose ids are g->ids[0]. */
static int set_mask(const struct rules *r, const struct ft_row *row,
		    const struct ft_chat_messages *m, struct segments *g,
		    struct ft_err *err)
{
	const struct ft_jinja_out *o = &g->out[0];
	bool tags = r->assistant_only && ft_chat_tells(r->chat, row->obj);
	bool any = r->assistant_only;
	struct ft_jinja_span s;

	for (size_t i = 0; i < m->n; i++) {
		int w = wish(row, m->v[i], err);

		if (w == -2)
			return -1;
		any = any || w >= 0;
	}
	if (!any)
		return 0;
	FT_GROW(g->mask_memory, 0, g->capmask, g->ids[0].n + 1);
	g->mask = g->mask_memory;
	memset(g->mask_memory, !r->assistant_only, g->ids[0].n);
	for (size_t i = 0; tags && i < o->ngen; i++)
		for (size_t k = 0; k < g->ids[0].n; k++)
			if (g->ids[0].start[k] < o->gen[i].z &&
			    g->ids[0].end[k] > o->gen[i].a)
				g->mask_memory[k] = 1;
	for (size_t i = 0; i < m->n; i++) {
		int w = wish(row, m->v[i], err);

		if (w < 0 &&
		    (tags || !r->assistant_only || !is_assistant(m->v[i])))
			continue;
		if (ft_chat_span(r->chat, row->obj, m, i, o, &s, err))
			return at_row(row, err);
		set_span(r, o, &g->ids[0], s, w != 0, g->mask_memory);
	}
	return 0;
}

/* --- rows ----------------------------------------------------------------- */

static int chat_row(const struct rules *r, const struct ft_row *row,
		    struct ft_chat_messages *m, struct segments *g,
		    struct ft_err *err)
{
	g->k = 1;
	if (add(row, m, "messages", err) ||
	    render(r, row, m, r->generation_prompt, &g->out[0], err))
		return -1;
	if (r->render)
		return 0;
	if (encode(r, row, &g->out[0], &g->ids[0], err) ||
	    set_mask(r, row, m, g, err))
		return -1;
	g->branch[0] = g->ids[0].id;
	g->nbranch[0] = g->ids[0].n;
	return 0;
}

static int prompt_row(const struct rules *r, const struct ft_row *row,
		      struct ft_chat_messages *m, struct segments *g,
		      struct ft_err *err)
{
	g->k = 1;
	if (add(row, m, "prompt", err) ||
	    render(r, row, m, true, &g->out[2], err))
		return -1;
	if (r->render)
		return 0;
	if (encode(r, row, &g->out[2], &g->ids[0], err))
		return -1;
	g->prefix = g->ids[0].id;
	g->nprefix = g->ids[0].n;
	return 0;
}

static bool same(const struct ft_json *a, const struct ft_json *b)
{
	struct ft_str s = {0}, t = {0};
	bool yes;

	ft_json_print(a, true, -1, &s);
	ft_json_print(b, true, -1, &t);
	yes = s.n == t.n && (!s.n || !memcmp(s.s, t.s, s.n));
	ft_str_release(&s);
	ft_str_release(&t);
	return yes;
}

/* Without a prompt, it is the messages that both answers begin with. */
static int implicit_prompt(const struct ft_row *row, struct ft_chat_messages *m,
			   size_t *n, struct ft_err *err)
{
	const struct ft_json *a = ft_json_get(row->obj, "chosen");
	const struct ft_json *b = ft_json_get(row->obj, "rejected");

	*n = 0;
	if (!a || !b || a->type != FT_JSON_ARRAY || b->type != FT_JSON_ARRAY)
		return ft_row_err(
			err, row,
			"chosen and rejected without a prompt are lists of messages");
	a = a->child;
	b = b->child;
	for (; a && b && a->next && b->next && same(a, b);
	     a = a->next, b = b->next)
		++*n;
	if (!*n)
		return ft_row_err(
			err, row,
			"chosen and rejected begin with no message in common, and there is no prompt");
	if (add(row, m, "chosen", err))
		return -1;
	m->n = *n;
	return 0;
}

/* A prompt and what follows it, rendered as one chat each. */
static int joined_row(const struct rules *r, const struct ft_row *row,
		      const char *const *key, int k, struct ft_chat_messages *m,
		      struct segments *g, struct ft_err *err)
{
	size_t n = 0, skip = 0;
	const struct ft_json *p = ft_json_get(row->obj, "prompt");

	g->k = k;
	if (!p || p->type == FT_JSON_NULL) {
		if (implicit_prompt(row, m, &skip, err))
			return -1;
	} else if (add(row, m, "prompt", err)) {
		return -1;
	}
	n = m->n;
	if (render(r, row, m, true, &g->out[2], err) ||
	    (!r->render && encode(r, row, &g->out[2], &g->ids[2], err)))
		return -1;
	for (int i = 0; i < k; i++) {
		m->n = skip ? 0 : n;
		if (add(row, m, key[i], err) ||
		    render(r, row, m, r->generation_prompt, &g->out[i], err) ||
		    (!r->render && encode(r, row, &g->out[i], &g->ids[i], err)))
			return -1;
	}
	return 0;
}

int chat_segments(const struct rules *r, const struct ft_row *row,
		  struct segments *g, struct ft_err *err)
{
	static const char *const completion[] = {"completion"};
	static const char *const pair[] = {"chosen", "rejected"};
	struct ft_chat_messages *m = &g->messages;
	int rc;

	m->n = 0;
	switch (r->kind) {
	case FT_ROW_CHAT:
		return chat_row(r, row, m, g, err);
	case FT_ROW_PROMPT:
		return prompt_row(r, row, m, g, err);
	case FT_ROW_COMPLETION:
		rc = joined_row(r, row, completion, 1, m, g, err);
		break;
	case FT_ROW_PAIR:
		rc = joined_row(r, row, pair, 2, m, g, err);
		break;
	default:
		return ft_row_err(
			err, row,
			"--chat takes messages, and lists of messages as prompt, completion, chosen and rejected");
	}
	if (!rc && !r->render)
		cut_prefix(g);
	return rc;
}

/* --- as text -------------------------------------------------------------- */

static void add_field(const struct ft_str *s, size_t from, const char *key,
		      struct ft_str *json, struct ft_edit *e)
{
	ft_str_add_json(json, ft_str_cstr(s) + from, s->n - from);
	*e = (struct ft_edit){key, json->s, json->n, NULL};
}

static size_t common_text(const struct ft_str *a, const struct ft_str *b,
			  size_t n)
{
	size_t i = 0;

	while (i < n && i < a->n && i < b->n && a->s[i] == b->s[i])
		i++;
	while (i && i < b->n && (b->s[i] & 0xc0) == 0x80)
		i--;
	return i;
}

void render_row(const struct ft_row *row, struct segments *g, int kind,
		struct ft_str *out)
{
	struct ft_str json[3] = {0};
	struct ft_edit e[3] = {0};
	size_t n = 1, at = g->out[2].text.n;

	if (kind == FT_ROW_CHAT) {
		add_field(&g->out[0].text, 0, "text", &json[0], &e[0]);
	} else {
		/* the prompt is what all begin with */
		for (int i = 0; i < g->k && kind != FT_ROW_PROMPT; i++)
			at = common_text(&g->out[2].text, &g->out[i].text, at);
		g->out[2].text.n = at;
		add_field(&g->out[2].text, 0, "prompt", &json[0], &e[0]);
	}
	if (kind == FT_ROW_COMPLETION)
		add_field(&g->out[0].text, at, "completion", &json[n], &e[n]),
			n++;
	if (kind == FT_ROW_PAIR) {
		add_field(&g->out[0].text, at, "chosen", &json[1], &e[1]);
		add_field(&g->out[1].text, at, "rejected", &json[2], &e[2]);
		n = 3;
	}
	ft_row_edit(row, e, n, out);
	for (size_t i = 0; i < n; i++)
		ft_str_release(&json[i]);
}
