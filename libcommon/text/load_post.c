/* SPDX-License-Identifier: MIT */
/* What is done behind the model: the post-processor and the decoder. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/text/load.h"

/* --- post-processor ------------------------------------------------------- */

struct id_list {
	int32_t **v;
	size_t *n;
};

static int add_id(struct id_list to, const struct ft_json *id,
		  struct ft_err *err)
{
	if (!id || !id->is_int || id->i < 0 || id->i >= FT_VOCAB_MAX)
		return ft_err_set(err, FT_EXIT_DATA,
				  "post_processor: an id is out of range");
	*to.v = ft_xrealloc(*to.v, *to.n + 1, sizeof(**to.v));
	(*to.v)[(*to.n)++] = (int32_t)id->i;
	return 0;
}

static bool all_strings(const struct ft_json *list)
{
	if (!list || list->type != FT_JSON_ARRAY)
		return false;
	for (const struct ft_json *c = list->child; c; c = c->next)
		if (c->type != FT_JSON_STRING)
			return false;
	return true;
}

/* The ids of a template's special token. */
static int add_special(struct id_list to, const struct ft_json *token,
		       struct ft_err *err)
{
	const struct ft_json *id = ft_json_get(token, "id");
	const struct ft_json *ids = ft_json_get(token, "ids");

	if (!ids || ids->type != FT_JSON_ARRAY)
		return ft_err_set(err, FT_EXIT_DATA,
				  "post_processor: a special token has no ids");
	if (!id || id->type != FT_JSON_STRING ||
	    !all_strings(ft_json_get(token, "tokens")))
		return ft_err_set(
			err, FT_EXIT_DATA,
			"post_processor: a special token has no 'id' or no 'tokens'");
	for (const struct ft_json *c = ids->child; c; c = c->next)
		if (add_id(to, c, err))
			return -1;
	return 0;
}

/* The name in a piece of a template, which is {KIND: {id, type_id}}. */
static const char *piece_id(const struct ft_json *piece, struct ft_err *err)
{
	const struct ft_json *id = ft_json_get(piece, "id");
	const struct ft_json *type = ft_json_get(piece, "type_id");

	if (id && id->type == FT_JSON_STRING && type && type->is_int &&
	    type->i >= 0 && type->i <= UINT32_MAX)
		return id->s;
	ft_err_set(err, FT_EXIT_DATA,
		   "post_processor: a piece of the template has no id");
	return NULL;
}

/* Ids before and after "$A" in the template for one text. */
static int read_template(struct ft_tok *k, const struct ft_json *v,
			 struct ft_err *err)
{
	const struct ft_json *single = ft_json_get(v, "single");
	const struct ft_json *pair = ft_json_get(v, "pair");
	const struct ft_json *tokens = ft_json_get(v, "special_tokens");
	struct id_list to = {&k->before, &k->nbefore};
	bool seen = false;

	if (!single || single->type != FT_JSON_ARRAY || !pair ||
	    pair->type != FT_JSON_ARRAY)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"post_processor: no template for one text or for two");
	for (const struct ft_json *p = single->child; p; p = p->next) {
		const struct ft_json *t = ft_json_get(p, "SpecialToken");
		const struct ft_json *a = ft_json_get(p, "Sequence");
		const char *id = piece_id(t ? t : a, err);

		if (!id || (t && add_special(to, ft_json_get(tokens, id), err)))
			return -1;
		if (t)
			continue;
		if (seen || strcmp(id, "A") != 0)
			return ft_err_set(
				err, FT_EXIT_DATA,
				"post_processor: a template with more than '$A' is not supported");
		seen = true;
		to = (struct id_list){&k->after, &k->nafter};
	}
	if (!seen)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"post_processor: a template without '$A' is not supported");
	return 0;
}

/* RobertaProcessing: one token before a text, one after it. */
static int read_roberta(struct ft_tok *k, const struct ft_json *v,
			struct ft_err *err)
{
	const struct ft_json *cls = ft_json_get(v, "cls");
	const struct ft_json *sep = ft_json_get(v, "sep");
	const struct id_list before = {&k->before, &k->nbefore};
	const struct id_list after = {&k->after, &k->nafter};
	bool flag; /* both move offsets, not ids */

	if (!cls || cls->type != FT_JSON_ARRAY || cls->n != 2 ||
	    cls->child->type != FT_JSON_STRING || !sep ||
	    sep->type != FT_JSON_ARRAY || sep->n != 2 ||
	    sep->child->type != FT_JSON_STRING)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"post_processor: 'cls' or 'sep' is not a token and its id");
	if (ft_load_flag(v, "post_processor", "trim_offsets", &flag, err) ||
	    ft_load_flag(v, "post_processor", "add_prefix_space", &flag, err) ||
	    add_id(before, cls->child->next, err) ||
	    add_id(after, sep->child->next, err))
		return -1;
	return 0;
}

static int read_post(struct ft_tok *k, const struct ft_json *v,
		     const char *type, struct ft_err *err)
{
	bool template = !strcmp(type, "TemplateProcessing");
	struct ft_pretok level;

	if (!strcmp(type, "ByteLevel"))
		return ft_load_bytelevel(v, "post_processor", &level, err);
	if (!template && strcmp(type, "RobertaProcessing") != 0)
		return ft_load_unsupported(err, "post_processor", type);
	if (k->templated)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"post_processor: two templates are not supported");
	k->templated = true;
	return template ? read_template(k, v, err) : read_roberta(k, v, err);
}

/* --- decoder -------------------------------------------------------------- */

static int read_count(const struct ft_json *v, const char *key, size_t *out,
		      struct ft_err *err)
{
	int64_t i = 0;

	if (ft_json_int(v, key, &i, err) < 0)
		return -1;
	if (i < 0)
		return ft_err_set(err, FT_EXIT_DATA,
				  "decoder: '%s' is negative", key);
	*out = (size_t)i;
	return 0;
}

static int read_strip(struct ft_tok *k, const struct ft_json *v,
		      struct ft_decoder *d, struct ft_err *err)
{
	if (ft_load_char(k, v, "decoder", "content", &d->content, err) ||
	    read_count(v, "start", &d->start, err) ||
	    read_count(v, "stop", &d->stop, err))
		return -1;
	return 0;
}

static int read_dec_metaspace(struct ft_tok *k, const struct ft_json *v,
			      struct ft_decoder *d, struct ft_err *err)
{
	struct ft_pretok p = {0};

	if (ft_load_metaspace(k, v, &p, err))
		return -1;
	d->pattern.string = p.mark;
	d->content = ft_load_keep(k, " ", 1);
	d->keep_first = p.scheme == FT_PREPEND_NEVER;
	return 0;
}

static int read_dec(struct ft_tok *k, const struct ft_json *v, const char *type,
		    struct ft_err *err)
{
	static const char *const name[] = {"ByteLevel",    "Replace",
					   "ByteFallback", "Fuse",
					   "Strip",        "Metaspace"};
	struct ft_decoder d = {0};
	struct ft_pretok level;
	size_t i = 0, cap = k->ndec;

	while (i < sizeof(name) / sizeof(*name) && strcmp(type, name[i]))
		i++;
	if (i == sizeof(name) / sizeof(*name))
		return ft_load_unsupported(err, "decoder", type);
	d.kind = i;
	if (d.kind == FT_DEC_BYTELEVEL &&
	    ft_load_bytelevel(v, "decoder", &level, err))
		return -1;
	if (d.kind == FT_DEC_REPLACE &&
	    (ft_load_pattern(k, v, "decoder", &d.pattern, err) ||
	     ft_load_str(k, v, "decoder", "content", &d.content, err)))
		return -1;
	if (d.kind == FT_DEC_STRIP && read_strip(k, v, &d, err))
		return -1;
	if (d.kind == FT_DEC_METASPACE && read_dec_metaspace(k, v, &d, err))
		return -1;
	FT_GROW(k->dec, k->ndec, cap, 1);
	k->dec[k->ndec++] = d;
	return 0;
}

int ft_load_post(struct ft_tok *k, const struct ft_json *v, struct ft_err *err)
{
	return ft_load_parts(k, v, "post_processor", "processors", read_post,
			     err);
}

int ft_load_decoder(struct ft_tok *k, const struct ft_json *v,
		    struct ft_err *err)
{
	k->has_decoder = v != NULL;
	return ft_load_parts(k, v, "decoder", "decoders", read_dec, err);
}
