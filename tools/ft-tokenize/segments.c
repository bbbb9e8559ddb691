/* SPDX-License-Identifier: MIT */
/* A row to a prefix and branches. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"
#include "tools/ft-tokenize/tokenize.h"

void segments_release(struct segments *g)
{
	for (int i = 0; i < 3; i++) {
		ft_ids_release(&g->ids[i]);
		ft_jinja_out_release(&g->out[i]);
	}
	ft_chat_messages_release(&g->messages);
	free(g->mask_memory);
	ft_str_release(&g->text);
}

/* --- texts ---------------------------------------------------------------- */

static int field(const struct ft_row *row, const char *key, const char **s,
		 size_t *n, struct ft_err *err)
{
	const struct ft_json *v = ft_json_get(row->obj, key);

	*s = "";
	*n = 0;
	if (!v || v->type == FT_JSON_NULL)
		return ft_row_err(err, row, "no field '%s'", key);
	if (v->type != FT_JSON_STRING)
		return ft_row_err(err, row, "field '%s' is not a string", key);
	*s = v->s;
	*n = v->ns;
	return 0;
}

static bool ends_with(const char *s, size_t n, const char *end)
{
	size_t k = strlen(end);

	return n >= k && !memcmp(s + n - k, end, k);
}

static int encode(const struct rules *r, const struct ft_row *row,
		  const char *s, size_t n, struct ft_ids *out,
		  struct ft_err *err)
{
	unsigned flags = r->match | (r->specials ? FT_TOK_SPECIALS : 0);

	ft_ids_clear(out);
	if (ft_tok_encode(r->tok, s, n, flags, out, err))
		return ft_err_at(err, row->file, row->line);
	return 0;
}

/* The ids of lead followed by a field and, where it does not end so, EOS. */
static int encode_field(const struct rules *r, const struct ft_row *row,
			const char *lead, size_t nlead, const char *key,
			struct segments *g, struct ft_ids *out,
			struct ft_err *err)
{
	const char *s, *eos = r->append_eos ? ft_tok_eos_text(r->tok) : NULL;
	size_t n;

	if (field(row, key, &s, &n, err))
		return -1;
	ft_str_clear(&g->text);
	ft_str_add(&g->text, lead, nlead);
	ft_str_add(&g->text, s, n);
	if (eos && !ends_with(s, n, eos)) {
		ft_str_adds(&g->text, eos);
		g->eos = true;
	}
	return encode(r, row, ft_str_cstr(&g->text), g->text.n, out, err);
}

static int text_row(const struct rules *r, const struct ft_row *row,
		    struct segments *g, struct ft_err *err)
{
	if (encode_field(r, row, "", 0, "text", g, &g->ids[0], err))
		return -1;
	g->k = 1;
	g->branch[0] = g->ids[0].id;
	g->nbranch[0] = g->ids[0].n;
	return 0;
}

static int prompt_row(const struct rules *r, const struct ft_row *row,
		      struct segments *g, struct ft_err *err)
{
	const char *s;
	size_t n;

	if (field(row, "prompt", &s, &n, err) ||
	    encode(r, row, s, n, &g->ids[0], err))
		return -1;
	g->k = 1;
	g->prefix = g->ids[0].id;
	g->nprefix = g->ids[0].n;
	return 0;
}

static size_t common_start(const struct ft_ids *a, const struct ft_ids *b)
{
	size_t n = 0;

	while (n < a->n && n < b->n && a->id[n] == b->id[n])
		n++;
	return n;
}

void cut_prefix(struct segments *g)
{
	size_t start = g->ids[2].n;

	for (int i = 0; i < g->k; i++) {
		size_t same = common_start(&g->ids[2], &g->ids[i]);

		start = same < start ? same : start;
	}
	g->merged = start < g->ids[2].n;
	g->prefix = g->ids[0].id;
	g->nprefix = start;
	for (int i = 0; i < g->k; i++) {
		g->branch[i] = g->ids[i].id + start;
		g->nbranch[i] = g->ids[i].n - start;
	}
}

/* Prompt and what follows it are one text; what the ids of both begin with
   alike, and of all branches, is the prefix. */
static int joined_row(const struct rules *r, const struct ft_row *row,
		      const char *const *key, int k, struct segments *g,
		      struct ft_err *err)
{
	const char *s;
	size_t n;

	g->k = k;
	if (field(row, "prompt", &s, &n, err) ||
	    encode(r, row, s, n, &g->ids[2], err))
		return -1;
	for (int i = 0; i < k; i++)
		if (encode_field(r, row, s, n, key[i], g, &g->ids[i], err))
			return -1;
	cut_prefix(g);
	return 0;
}

/* --- ids ------------------------------------------------------------------ */

static int read_ids(const struct rules *r, const struct ft_row *row,
		    const char *key, struct ft_ids *out, struct ft_err *err)
{
	const struct ft_json *v = ft_json_get(row->obj, key);

	ft_ids_clear(out);
	if (!v || v->type == FT_JSON_NULL)
		return ft_row_err(err, row, "no field '%s'", key);
	if (v->type != FT_JSON_ARRAY)
		return ft_row_err(err, row, "field '%s' is not an array", key);
	for (const struct ft_json *c = v->child; c; c = c->next) {
		if (!c->is_int || c->i < 0 || c->i >= r->vocab_size)
			return ft_row_err(
				err, row,
				"field '%s' has an id that is not in [0, %jd)",
				key, (intmax_t)r->vocab_size);
		ft_ids_add(out, (int32_t)c->i, 0, 0);
	}
	return 0;
}

static int tokenised_row(const struct rules *r, const struct ft_row *row,
			 enum ft_row_kind kind, struct segments *g,
			 struct ft_err *err)
{
	const char *key[2] = {"completion_ids", "rejected_ids"};

	g->k = kind == FT_ROW_PAIR ? 2 : 1;
	if (kind == FT_ROW_PAIR)
		key[0] = "chosen_ids";
	else if (kind == FT_ROW_TEXT)
		key[0] = "input_ids";
	if (kind != FT_ROW_TEXT) {
		if (read_ids(r, row, "prompt_ids", &g->ids[2], err))
			return -1;
		g->prefix = g->ids[2].id;
		g->nprefix = g->ids[2].n;
	}
	for (int i = 0; i < (kind == FT_ROW_PAIR) + (kind != FT_ROW_PROMPT);
	     i++) {
		if (read_ids(r, row, key[i], &g->ids[i], err))
			return -1;
		g->branch[i] = g->ids[i].id;
		g->nbranch[i] = g->ids[i].n;
	}
	return 0;
}

/* --- rows ----------------------------------------------------------------- */

static bool has(const struct ft_row *row, const char *key)
{
	const struct ft_json *v = ft_json_get(row->obj, key);

	return v && v->type != FT_JSON_NULL;
}

/* Of a forced kind, is the row in its tokenised form? */
static bool tokenised(const struct ft_row *row, enum ft_row_kind kind)
{
	switch (kind) {
	case FT_ROW_PAIR:
		return !has(row, "chosen") && has(row, "chosen_ids");
	case FT_ROW_COMPLETION:
		return !has(row, "completion") && has(row, "completion_ids");
	case FT_ROW_TEXT:
		return !has(row, "text") && has(row, "input_ids");
	case FT_ROW_PROMPT:
		return !has(row, "prompt") && has(row, "prompt_ids");
	case FT_ROW_CHAT:
	case FT_ROW_NONE:
		break;
	}
	return false;
}

static int choose_kind(struct rules *r, const struct ft_row *row, bool *ids,
		       struct ft_err *err)
{
	enum ft_row_kind kind;

	if (r->forced) {
		*ids = tokenised(row, (enum ft_row_kind)r->kind);
		return 0;
	}
	kind = ft_row_kind(row->obj, ids);
	/* two whole chats, the prompt being what they have in common */
	if (r->chat && kind == FT_ROW_NONE && has(row, "chosen") &&
	    has(row, "rejected"))
		kind = FT_ROW_PAIR;
	if (kind == FT_ROW_NONE)
		return ft_row_err(
			err, row,
			"no field to encode (text, prompt, completion, chosen, rejected, messages or their _ids)");
	if (kind == FT_ROW_CHAT && !r->chat)
		return ft_row_err(err, row, "rows of messages want --chat");
	if (r->kind < 0)
		r->kind = (int)kind;
	if (r->kind != (int)kind)
		return ft_row_err(
			err, row,
			"row of kind '%s' in a stream of kind '%s' (--kind forces one)",
			ft_row_kind_names[kind], ft_row_kind_names[r->kind]);
	return 0;
}

int row_segments(struct rules *r, const struct ft_row *row, struct segments *g,
		 struct ft_err *err)
{
	static const char *const completion[] = {"completion"};
	static const char *const pair[] = {"chosen", "rejected"};
	bool ids = false;

	g->prefix = g->branch[0] = g->branch[1] = NULL;
	g->nprefix = g->nbranch[0] = g->nbranch[1] = 0;
	g->eos = g->merged = false;
	g->mask = NULL;
	if (choose_kind(r, row, &ids, err))
		return -1;
	if (r->on_long == LONG_SPLIT && r->kind != FT_ROW_TEXT)
		return ft_row_err(
			err, row,
			"--on-long split is for text rows, not for kind '%s'",
			ft_row_kind_names[r->kind]);
	if (ids && r->render)
		return ft_row_err(err, row,
				  "row is tokenised, and has no text");
	if (ids)
		return tokenised_row(r, row, (enum ft_row_kind)r->kind, g, err);
	if (!r->tok)
		return ft_row_err(
			err, row,
			"row is text, and the model has no tokenizer.json");
	if (r->chat)
		return chat_segments(r, row, g, err);
	switch (r->kind) {
	case FT_ROW_TEXT:
		return text_row(r, row, g, err);
	case FT_ROW_COMPLETION:
		return joined_row(r, row, completion, 1, g, err);
	case FT_ROW_PAIR:
		return joined_row(r, row, pair, 2, g, err);
	default:
		return prompt_row(r, row, g, err);
	}
}

/* --- as rows again -------------------------------------------------------- */

static void add_ids(struct ft_str *s, const int32_t *id, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ft_str_addf(s, "%s%d", s->n && s->s[s->n - 1] != '[' ? "," : "",
			    (int)id[i]);
}

static void add_mask(struct ft_str *s, const uint8_t *mask, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ft_str_adds(s, mask[i] ? ",1" + !i : ",0" + !i);
}

void ids_row(const struct ft_row *row, const struct segments *g, int kind,
	     struct ft_str *out)
{
	struct ft_str v[5] = {0};
	struct ft_edit e[5] = {0};
	size_t n = 0;

	if (kind != FT_ROW_PAIR)
		e[n++].key = "input_ids";
	if (kind == FT_ROW_PAIR || kind == FT_ROW_COMPLETION) {
		e[n++].key = "prompt_ids";
		e[n++].key =
			kind == FT_ROW_PAIR ? "chosen_ids" : "completion_ids";
	}
	if (kind == FT_ROW_PAIR)
		e[n++].key = "rejected_ids";
	if (g->mask)
		e[n++].key = "assistant_masks";
	for (size_t i = 0; i < n; i++) {
		bool whole = !strcmp(e[i].key, "input_ids");
		int b = !strcmp(e[i].key, "rejected_ids");

		ft_str_addc(&v[i], '[');
		if (whole || !strcmp(e[i].key, "prompt_ids"))
			add_ids(&v[i], g->prefix, g->nprefix);
		if (!strcmp(e[i].key, "assistant_masks"))
			add_mask(&v[i], g->mask, g->nbranch[0]);
		else if (whole || strcmp(e[i].key, "prompt_ids") != 0)
			add_ids(&v[i], g->branch[b], g->nbranch[b]);
		ft_str_addc(&v[i], ']');
		e[i].json = v[i].s;
		e[i].n = v[i].n;
	}
	ft_row_edit(row, e, n, out);
	for (size_t i = 0; i < n; i++)
		ft_str_release(&v[i]);
}

/* Append the text of ids, checked. */
static int decode_ids(const struct ft_tok *t, const struct ft_row *row,
		      const struct ft_ids *ids, bool skip, struct ft_str *out,
		      struct ft_err *err)
{
	ft_str_clear(out);
	if (ft_tok_decode(t, ids->id, ids->n, skip, out, err))
		return ft_err_at(err, row->file, row->line);
	return 0;
}

/*
 * The text of a field's ids.  What follows a prompt is decoded with it, since
 * decoders treat the start of a text differently; where the two do not part
 * cleanly, on its own.
 */
static int decode_field(const struct ft_tok *t, const struct ft_row *row,
			const char *key, const struct ft_ids *prompt, bool skip,
			struct ft_str *json, struct ft_err *err)
{
	const struct rules r = {.vocab_size = ft_tok_vocab_size(t)};
	struct ft_ids own = {0}, all = {0};
	struct ft_str a = {0}, b = {0};
	size_t n = 0;
	int rc = read_ids(&r, row, key, &own, err);

	if (!rc && prompt->n) {
		for (size_t i = 0; i < prompt->n; i++)
			ft_ids_add(&all, prompt->id[i], 0, 0);
		for (size_t i = 0; i < own.n; i++)
			ft_ids_add(&all, own.id[i], 0, 0);
		rc = decode_ids(t, row, prompt, skip, &a, err);
		if (!rc)
			rc = decode_ids(t, row, &all, skip, &b, err);
		n = a.n;
	}
	if (!rc && (n > b.n || (n && memcmp(a.s, b.s, n) != 0) || !n)) {
		rc = decode_ids(t, row, &own, skip, &b, err);
		n = 0;
	}
	if (!rc)
		ft_str_add_json(json, ft_str_cstr(&b) + n, b.n - n);
	ft_ids_release(&own);
	ft_ids_release(&all);
	ft_str_release(&a);
	ft_str_release(&b);
	return rc;
}

int decode_row(const struct ft_tok *t, const struct ft_row *row, bool skip,
	       struct ft_str *out, struct ft_err *err)
{
	static const char *const key[][2] = {
		{"input_ids", "text"},
		{"prompt_ids", "prompt"},
		{"completion_ids", "completion"},
		{"chosen_ids", "chosen"},
		{"rejected_ids", "rejected"},
	};
	const struct rules r = {.vocab_size = ft_tok_vocab_size(t)};
	struct ft_ids prompt = {0}, none = {0};
	struct ft_str v[5] = {0};
	struct ft_edit e[5] = {0};
	size_t n = 0;
	int rc = 0;

	if (has(row, "prompt_ids"))
		rc = read_ids(&r, row, "prompt_ids", &prompt, err);
	for (int i = 0; i < 5 && !rc; i++) {
		if (!has(row, key[i][0]))
			continue;
		rc = decode_field(t, row, key[i][0], i > 1 ? &prompt : &none,
				  skip, &v[n], err);
		e[n] = (struct ft_edit){key[i][1], v[n].s, v[n].n, NULL};
		n++;
	}
	if (!rc && !n)
		rc = ft_row_err(
			err, row,
			"no field to decode (input_ids, prompt_ids, completion_ids, chosen_ids or rejected_ids)");
	if (!rc)
		ft_row_edit(row, e, n, out);
	for (size_t i = 0; i < n; i++)
		ft_str_release(&v[i]);
	ft_ids_release(&prompt);
	return rc;
}
