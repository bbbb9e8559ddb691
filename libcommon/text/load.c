/* SPDX-License-Identifier: MIT */
/*
 * tokenizer.json to components.  What is not known is refused by name; fields
 * that the tokenizers package does not look at are not looked at here either
 * (padding and truncation are switched off by its users at every call).
 */
#include "libcommon/text/load.h"

#include <stdlib.h>
#include <string.h>

#include "libcommon/text/unicode.h"

int ft_load_unsupported(struct ft_err *err, const char *part, const char *what)
{
	return ft_err_set(err, FT_EXIT_DATA, "%s '%.64s' is not supported",
			  part, what);
}

bool ft_load_absent(const struct ft_json *v)
{
	return !v || v->type == FT_JSON_NULL;
}

/* The type of a component: its name, or NULL with err set. */
static const char *type_of(const struct ft_json *v, const char *part,
			   struct ft_err *err)
{
	const struct ft_json *t = ft_json_get(v, "type");

	if (v->type == FT_JSON_OBJECT && t && t->type == FT_JSON_STRING)
		return t->s;
	ft_err_set(err, FT_EXIT_DATA, "%s has no type", part);
	return NULL;
}

struct ft_bytes ft_load_keep(struct ft_tok *k, const char *s, size_t n)
{
	return (struct ft_bytes){ft_arena_strndup(&k->arena, s, n), n};
}

/* A string member that must be there. */
int ft_load_str(struct ft_tok *k, const struct ft_json *o, const char *part,
		const char *key, struct ft_bytes *out, struct ft_err *err)
{
	const char *s;
	size_t n;
	int rc = ft_json_str(o, key, &s, &n, err);

	if (rc < 0)
		return -1;
	if (!rc)
		return ft_err_set(err, FT_EXIT_DATA, "%s: no '%s'", part, key);
	*out = ft_load_keep(k, s, n);
	return 0;
}

/* A string member of exactly one character. */
static int want_char(struct ft_tok *k, const struct ft_json *o,
		     const char *part, const char *key, struct ft_bytes *out,
		     struct ft_err *err)
{
	if (ft_load_str(k, o, part, key, out, err))
		return -1;
	if (!out->n || ft_utf8_len(out->s, out->n) != out->n)
		return ft_err_set(err, FT_EXIT_DATA,
				  "%s: '%s' is not one character", part, key);
	return 0;
}

int ft_load_option(const struct ft_json *o, const char *key, bool *v,
		   struct ft_err *err)
{
	return ft_json_bool(o, key, v, err) < 0 ? -1 : 0;
}

/* A flag that must be there. */
int ft_load_flag(const struct ft_json *o, const char *part, const char *key,
		 bool *v, struct ft_err *err)
{
	int rc = ft_json_bool(o, key, v, err);

	if (!rc)
		return ft_err_set(err, FT_EXIT_DATA, "%s: no '%s'", part, key);
	return rc < 0 ? -1 : 0;
}

/* pattern of Replace: {"String": ...}, not empty. */
static int want_pattern(struct ft_tok *k, const struct ft_json *o,
			const char *part, struct ft_bytes *out,
			struct ft_err *err)
{
	const struct ft_json *p = ft_json_get(o, "pattern");

	if (ft_json_get(p, "Regex"))
		return ft_err_set(
			err, FT_EXIT_DATA,
			"%s 'Replace' by a regular expression is not supported",
			part);
	if (ft_load_absent(p))
		return ft_err_set(err, FT_EXIT_DATA, "%s: no 'pattern'", part);
	if (ft_load_str(k, p, part, "String", out, err))
		return -1;
	if (!out->n)
		return ft_err_set(err, FT_EXIT_DATA, "%s: the pattern is empty",
				  part);
	return 0;
}

/* Call one() for v, or for each member of the Sequences in it; v NULL: none. */
typedef int part_fn(struct ft_tok *k, const struct ft_json *v, const char *type,
		    struct ft_err *err);

static int each_part(struct ft_tok *k, const struct ft_json *v,
		     const char *part, const char *list, part_fn *one,
		     struct ft_err *err)
{
	const struct ft_json *c;
	const char *type;

	if (!v)
		return 0;
	type = type_of(v, part, err);
	if (!type)
		return -1;
	if (strcmp(type, "Sequence"))
		return one(k, v, type, err);
	c = ft_json_get(v, list);
	if (!c || c->type != FT_JSON_ARRAY)
		return ft_err_set(err, FT_EXIT_DATA, "%s: Sequence has no '%s'",
				  part, list);
	for (c = c->child; c; c = c->next)
		if (each_part(k, c, part, list, one, err))
			return -1;
	return 0;
}

/* --- normalizer ----------------------------------------------------------- */

static int read_norm(struct ft_tok *k, const struct ft_json *v,
		     const char *type, struct ft_err *err)
{
	struct ft_norm n = {0};
	size_t cap = k->nnorm;

	if (!strcmp(type, "Prepend")) {
		n.kind = FT_NORM_PREPEND;
		if (ft_load_str(k, v, "normalizer", "prepend", &n.content, err))
			return -1;
	} else if (!strcmp(type, "Replace")) {
		n.kind = FT_NORM_REPLACE;
		if (want_pattern(k, v, "normalizer", &n.pattern, err) ||
		    ft_load_str(k, v, "normalizer", "content", &n.content, err))
			return -1;
	} else {
		return ft_load_unsupported(err, "normalizer", type);
	}
	FT_GROW(k->norm, k->nnorm, cap, 1);
	k->norm[k->nnorm++] = n;
	return 0;
}

/* --- pre-tokenizer -------------------------------------------------------- */

/* ByteLevel, which as a pre-tokenizer, post-processor and decoder has the same
   members. */
static int read_bytelevel(const struct ft_json *v, const char *part,
			  struct ft_pretok *p, struct ft_err *err)
{
	bool regex = true, trim; /* moves offsets, not ids */

	if (ft_load_flag(v, part, "add_prefix_space", &p->prefix_space, err) ||
	    ft_load_flag(v, part, "trim_offsets", &trim, err) ||
	    ft_load_option(v, "use_regex", &regex, err))
		return -1;
	p->kind = regex ? FT_PRE_GPT2 : FT_PRE_BYTELEVEL;
	return 0;
}

static int read_metaspace(struct ft_tok *k, const struct ft_json *v,
			  struct ft_pretok *p, struct ft_err *err)
{
	static const char *const scheme[] = {"never", "first", "always"};
	bool space = true;
	const char *s;
	size_t n;
	int rc;

	p->kind = FT_PRE_METASPACE;
	p->scheme = FT_PREPEND_ALWAYS;
	p->split = true;
	if (want_char(k, v, "pre_tokenizer", "replacement", &p->mark, err) ||
	    ft_load_option(v, "split", &p->split, err) ||
	    ft_load_option(v, "add_prefix_space", &space, err))
		return -1;
	rc = ft_json_str(v, "prepend_scheme", &s, &n, err);
	if (rc < 0)
		return -1;
	if (rc) {
		int i = 0;

		while (i < 3 && strcmp(s, scheme[i]))
			i++;
		if (i == 3)
			return ft_load_unsupported(err, "prepend_scheme", s);
		p->scheme = i;
	}
	if (!space && p->scheme != FT_PREPEND_NEVER)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"pre_tokenizer: add_prefix_space and prepend_scheme disagree");
	return 0;
}

static int read_pre(struct ft_tok *k, const struct ft_json *v, const char *type,
		    struct ft_err *err)
{
	struct ft_pretok p = {0};
	size_t cap = k->npre;
	int rc;

	if (k->bpe.byte_level)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"pre_tokenizer '%.64s' after ByteLevel is not supported",
			type);
	if (!strcmp(type, "ByteLevel")) {
		rc = read_bytelevel(v, "pre_tokenizer", &p, err);
		k->bpe.byte_level = true;
	} else if (!strcmp(type, "Metaspace")) {
		rc = read_metaspace(k, v, &p, err);
	} else if (!strcmp(type, "Digits")) {
		p.kind = FT_PRE_DIGITS;
		rc = ft_load_flag(v, "pre_tokenizer", "individual_digits",
				  &p.each, err);
	} else {
		return ft_load_unsupported(err, "pre_tokenizer", type);
	}
	FT_GROW(k->pre, k->npre, cap, 1);
	k->pre[k->npre++] = p;
	return rc;
}

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
		return read_bytelevel(v, "post_processor", &level, err);
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
	if (want_char(k, v, "decoder", "content", &d->content, err) ||
	    read_count(v, "start", &d->start, err) ||
	    read_count(v, "stop", &d->stop, err))
		return -1;
	return 0;
}

static int read_dec_metaspace(struct ft_tok *k, const struct ft_json *v,
			      struct ft_decoder *d, struct ft_err *err)
{
	struct ft_pretok p = {0};

	if (read_metaspace(k, v, &p, err))
		return -1;
	d->pattern = p.mark;
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
	    read_bytelevel(v, "decoder", &level, err))
		return -1;
	if (d.kind == FT_DEC_REPLACE &&
	    (want_pattern(k, v, "decoder", &d.pattern, err) ||
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

/* --- the whole ------------------------------------------------------------ */

/* A member of the file, or NULL when it is null. */
static const struct ft_json *given(const struct ft_json *root, const char *key)
{
	const struct ft_json *v = ft_json_get(root, key);

	return ft_load_absent(v) ? NULL : v;
}

/* What is not looked at is at least what it should be. */
static int check_file(const struct ft_json *root, struct ft_err *err)
{
	static const char *const unused[] = {"truncation", "padding"};
	const struct ft_json *v = ft_json_get(root, "version");

	if (root->type != FT_JSON_OBJECT)
		return ft_err_set(err, FT_EXIT_DATA, "not a tokenizer");
	if (v && v->type != FT_JSON_STRING)
		return ft_err_set(err, FT_EXIT_DATA, "version is not a string");
	if (v && strcmp(v->s, "1.0") != 0)
		return ft_load_unsupported(err, "version", v->s);
	for (int i = 0; i < 2; i++) {
		v = given(root, unused[i]);
		if (v && v->type != FT_JSON_OBJECT)
			return ft_err_set(err, FT_EXIT_DATA,
					  "%s is not an object", unused[i]);
	}
	return 0;
}

int ft_tok_parse(struct ft_tok *k, const char *s, size_t n, struct ft_err *err)
{
	struct ft_arena a = {0};
	struct ft_json *root;
	int rc = -1;

	if (ft_json_parse(&a, s, n, &root, err) || check_file(root, err))
		goto out;
	/* The pre-tokenizer says whether the model's text is bytes. */
	if (each_part(k, given(root, "normalizer"), "normalizer", "normalizers",
		      read_norm, err) ||
	    each_part(k, given(root, "pre_tokenizer"), "pre_tokenizer",
		      "pretokenizers", read_pre, err) ||
	    each_part(k, given(root, "post_processor"), "post_processor",
		      "processors", read_post, err) ||
	    each_part(k, given(root, "decoder"), "decoder", "decoders",
		      read_dec, err))
		goto out;
	k->has_decoder = given(root, "decoder") != NULL;
	rc = ft_load_model(k, root, err);
out:
	ft_arena_release(&a);
	return rc;
}
