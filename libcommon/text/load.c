/* SPDX-License-Identifier: MIT */
/*
 * tokenizer.json to components.  What is not known is refused by name; fields
 * that the tokenizers package does not look at are not looked at here either
 * (padding and truncation are switched off by its users at every call).
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/io/json.h"
#include "libcommon/text/tok.h"
#include "libcommon/text/unicode.h"

static int unsupported(struct ft_err *err, const char *part, const char *what)
{
	return ft_err_set(err, FT_EXIT_DATA, "%s '%.64s' is not supported",
			  part, what);
}

static bool absent(const struct ft_json *v)
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

static struct ft_bytes keep(struct ft_tok *k, const char *s, size_t n)
{
	return (struct ft_bytes){ft_arena_strndup(&k->arena, s, n), n};
}

/* A string member that must be there. */
static int want_str(struct ft_tok *k, const struct ft_json *o, const char *part,
		    const char *key, struct ft_bytes *out, struct ft_err *err)
{
	const char *s;
	size_t n;
	int rc = ft_json_str(o, key, &s, &n, err);

	if (rc < 0)
		return -1;
	if (!rc)
		return ft_err_set(err, FT_EXIT_DATA, "%s: no '%s'", part, key);
	*out = keep(k, s, n);
	return 0;
}

/* A string member of exactly one character. */
static int want_char(struct ft_tok *k, const struct ft_json *o,
		     const char *part, const char *key, struct ft_bytes *out,
		     struct ft_err *err)
{
	if (want_str(k, o, part, key, out, err))
		return -1;
	if (!out->n || ft_utf8_len(out->s, out->n) != out->n)
		return ft_err_set(err, FT_EXIT_DATA,
				  "%s: '%s' is not one character", part, key);
	return 0;
}

static int get_bool(const struct ft_json *o, const char *key, bool *v,
		    struct ft_err *err)
{
	return ft_json_bool(o, key, v, err) < 0 ? -1 : 0;
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
	if (absent(p))
		return ft_err_set(err, FT_EXIT_DATA, "%s: no 'pattern'", part);
	if (want_str(k, p, part, "String", out, err))
		return -1;
	if (!out->n)
		return ft_err_set(err, FT_EXIT_DATA, "%s: the pattern is empty",
				  part);
	return 0;
}

/* Call one() for v, or for each member of the Sequences in it. */
typedef int part_fn(struct ft_tok *k, const struct ft_json *v, const char *type,
		    struct ft_err *err);

static int each_part(struct ft_tok *k, const struct ft_json *v,
		     const char *part, const char *list, part_fn *one,
		     struct ft_err *err)
{
	const struct ft_json *c;
	const char *type;

	if (absent(v))
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
		if (want_str(k, v, "normalizer", "prepend", &n.content, err))
			return -1;
	} else if (!strcmp(type, "Replace")) {
		n.kind = FT_NORM_REPLACE;
		if (want_pattern(k, v, "normalizer", &n.pattern, err) ||
		    want_str(k, v, "normalizer", "content", &n.content, err))
			return -1;
	} else {
		return unsupported(err, "normalizer", type);
	}
	FT_GROW(k->norm, k->nnorm, cap, 1);
	k->norm[k->nnorm++] = n;
	return 0;
}

/* --- pre-tokenizer -------------------------------------------------------- */

static int read_bytelevel(const struct ft_json *v, struct ft_pretok *p,
			  struct ft_err *err)
{
	bool regex = true;

	if (get_bool(v, "add_prefix_space", &p->prefix_space, err) ||
	    get_bool(v, "use_regex", &regex, err))
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
	    get_bool(v, "split", &p->split, err) ||
	    get_bool(v, "add_prefix_space", &space, err))
		return -1;
	rc = ft_json_str(v, "prepend_scheme", &s, &n, err);
	if (rc < 0)
		return -1;
	if (rc) {
		int i = 0;

		while (i < 3 && strcmp(s, scheme[i]))
			i++;
		if (i == 3)
			return unsupported(err, "prepend_scheme", s);
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
		rc = read_bytelevel(v, &p, err);
		k->bpe.byte_level = true;
	} else if (!strcmp(type, "Metaspace")) {
		rc = read_metaspace(k, v, &p, err);
	} else if (!strcmp(type, "Digits")) {
		p.kind = FT_PRE_DIGITS;
		rc = get_bool(v, "individual_digits", &p.each, err);
	} else {
		return unsupported(err, "pre_tokenizer", type);
	}
	FT_GROW(k->pre, k->npre, cap, 1);
	k->pre[k->npre++] = p;
	return rc;
}

/* --- post-processor ------------------------------------------------------- */

static int grow_ids(int32_t **v, size_t *n, const struct ft_json *list,
		    struct ft_err *err)
{
	if (!list || list->type != FT_JSON_ARRAY)
		return ft_err_set(err, FT_EXIT_DATA,
				  "post_processor: a special token has no ids");
	for (const struct ft_json *c = list->child; c; c = c->next) {
		if (!c->is_int || c->i < 0 || c->i >= FT_VOCAB_MAX)
			return ft_err_set(
				err, FT_EXIT_DATA,
				"post_processor: an id is out of range");
		*v = ft_xrealloc(*v, *n + 1, sizeof(**v));
		(*v)[(*n)++] = (int32_t)c->i;
	}
	return 0;
}

/* Ids before and after "$A" in the template for one text. */
static int read_template(struct ft_tok *k, const struct ft_json *v,
			 struct ft_err *err)
{
	const struct ft_json *single = ft_json_get(v, "single");
	const struct ft_json *tokens = ft_json_get(v, "special_tokens");
	bool seen = false;

	if (k->templated)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"post_processor: two templates are not supported");
	k->templated = true;
	if (!single || single->type != FT_JSON_ARRAY)
		return ft_err_set(err, FT_EXIT_DATA,
				  "post_processor: no template for one text");
	for (const struct ft_json *p = single->child; p; p = p->next) {
		const struct ft_json *t = ft_json_get(p, "SpecialToken");
		const struct ft_json *a = ft_json_get(p, "Sequence");
		const struct ft_json *id = ft_json_get(t ? t : a, "id");
		int rc = -1;

		if (!id || id->type != FT_JSON_STRING) {
			ft_err_set(
				err, FT_EXIT_DATA,
				"post_processor: a piece of the template has no id");
		} else if (t) {
			const struct ft_json *ids =
				ft_json_get(ft_json_get(tokens, id->s), "ids");

			rc = seen ? grow_ids(&k->after, &k->nafter, ids, err)
				  : grow_ids(&k->before, &k->nbefore, ids, err);
		} else if (seen || strcmp(id->s, "A")) {
			ft_err_set(
				err, FT_EXIT_DATA,
				"post_processor: a template with more than '$A' is not supported");
		} else {
			seen = true;
			rc = 0;
		}
		if (rc)
			return -1;
	}
	if (!seen)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"post_processor: a template without '$A' is not supported");
	return 0;
}

static int read_post(struct ft_tok *k, const struct ft_json *v,
		     const char *type, struct ft_err *err)
{
	if (!strcmp(type, "ByteLevel"))
		return 0; /* moves offsets, not ids */
	if (!strcmp(type, "TemplateProcessing"))
		return read_template(k, v, err);
	return unsupported(err, "post_processor", type);
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
	d->content = keep(k, " ", 1);
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
	size_t i = 0, cap = k->ndec;

	while (i < sizeof(name) / sizeof(*name) && strcmp(type, name[i]))
		i++;
	if (i == sizeof(name) / sizeof(*name))
		return unsupported(err, "decoder", type);
	d.kind = i;
	if (d.kind == FT_DEC_REPLACE &&
	    (want_pattern(k, v, "decoder", &d.pattern, err) ||
	     want_str(k, v, "decoder", "content", &d.content, err)))
		return -1;
	if (d.kind == FT_DEC_STRIP && read_strip(k, v, &d, err))
		return -1;
	if (d.kind == FT_DEC_METASPACE && read_dec_metaspace(k, v, &d, err))
		return -1;
	FT_GROW(k->dec, k->ndec, cap, 1);
	k->dec[k->ndec++] = d;
	return 0;
}

/* --- model ---------------------------------------------------------------- */

static int read_vocab(struct ft_tok *k, const struct ft_json *vocab,
		      struct ft_err *err)
{
	struct ft_vocab *v = &k->bpe.vocab;

	if (!vocab || vocab->type != FT_JSON_OBJECT)
		return ft_err_set(err, FT_EXIT_DATA, "model: no vocab");
	ft_vocab_init(v, vocab->n);
	for (const struct ft_json *c = vocab->child; c; c = c->next) {
		if (!c->is_int || c->i < 0 || c->i >= FT_VOCAB_MAX)
			return ft_err_set(
				err, FT_EXIT_DATA,
				"model: id of '%.64s' is out of range", c->key);
		if (ft_vocab_add(v,
				 ft_arena_strndup(&k->arena, c->key, c->nkey),
				 c->nkey, (int32_t)c->i))
			return ft_err_set(err, FT_EXIT_DATA,
					  "model: two tokens have the id %d",
					  (int)c->i);
	}
	return 0;
}

/* The two parts of a merge, which is "left right" or ["left", "right"]. */
static int split_merge(const struct ft_json *m, struct ft_bytes part[2])
{
	const char *space;

	if (m->type == FT_JSON_ARRAY && m->n == 2 &&
	    m->child->type == FT_JSON_STRING &&
	    m->child->next->type == FT_JSON_STRING) {
		part[0] = (struct ft_bytes){m->child->s, m->child->ns};
		part[1] = (struct ft_bytes){m->child->next->s,
					    m->child->next->ns};
		return 0;
	}
	if (m->type != FT_JSON_STRING || !(space = memchr(m->s, ' ', m->ns)))
		return -1;
	part[0] = (struct ft_bytes){m->s, (size_t)(space - m->s)};
	part[1] = (struct ft_bytes){space + 1, m->ns - part[0].n - 1};
	return memchr(part[1].s, ' ', part[1].n) ? -1 : 0;
}

static int read_merge(struct ft_tok *k, const struct ft_json *m, size_t i,
		      struct ft_str *s, struct ft_bpe_rule *r,
		      struct ft_err *err)
{
	struct ft_bytes part[2];

	if (split_merge(m, part))
		return ft_err_set(err, FT_EXIT_DATA,
				  "model: merge %zu is not two tokens", i);
	ft_str_clear(s);
	ft_str_add(s, part[0].s, part[0].n);
	ft_str_add(s, part[1].s, part[1].n);
	r->left = ft_vocab_get(&k->bpe.vocab, part[0].s, part[0].n);
	r->right = ft_vocab_get(&k->bpe.vocab, part[1].s, part[1].n);
	r->id = ft_vocab_get(&k->bpe.vocab, ft_str_cstr(s), s->n);
	if (r->left < 0 || r->right < 0 || r->id < 0)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"model: merge %zu is of tokens that are not in the vocabulary",
			i);
	return 0;
}

static int read_merges(struct ft_tok *k, const struct ft_json *list,
		       struct ft_err *err)
{
	struct ft_bpe_rule *rule;
	struct ft_str s = {0};
	size_t n = 0, i = 0;
	int rc = 0;

	if (!list || list->type != FT_JSON_ARRAY)
		return ft_err_set(err, FT_EXIT_DATA, "model: no merges");
	rule = ft_xcalloc(list->n, sizeof(*rule));
	for (const struct ft_json *m = list->child; m && !rc;
	     m = m->next, i++) {
		if (m->type == FT_JSON_STRING && ft_starts(m->s, "#version"))
			continue;
		rc = read_merge(k, m, i, &s, &rule[n++], err);
	}
	if (!rc)
		ft_bpe_ready(&k->bpe, rule, n);
	ft_str_release(&s);
	free(rule);
	return rc;
}

/* Options that change ids and are not known here must be null or empty. */
static int refuse_options(const struct ft_json *model, struct ft_err *err)
{
	static const char *const name[] = {"continuing_subword_prefix",
					   "end_of_word_suffix"};
	const struct ft_json *v = ft_json_get(model, "dropout");

	if (!absent(v) && !(v->type == FT_JSON_NUMBER && v->num == 0))
		return unsupported(err, "model", "dropout");
	for (int i = 0; i < 2; i++) {
		v = ft_json_get(model, name[i]);
		if (!absent(v) && !(v->type == FT_JSON_STRING && !v->ns))
			return unsupported(err, "model", name[i]);
	}
	return 0;
}

static int read_model(struct ft_tok *k, const struct ft_json *model,
		      struct ft_err *err)
{
	struct ft_bpe *b = &k->bpe;
	const struct ft_json *type = ft_json_get(model, "type");
	const char *unk;
	size_t n;
	int rc;

	if (!model || model->type != FT_JSON_OBJECT)
		return ft_err_set(err, FT_EXIT_DATA, "no model");
	/* Old files name no type; one with merges is BPE. */
	if (!absent(type) &&
	    (type->type != FT_JSON_STRING || strcmp(type->s, "BPE")))
		return unsupported(err, "model",
				   type->type == FT_JSON_STRING ? type->s
								: "?");
	if (refuse_options(model, err) ||
	    get_bool(model, "byte_fallback", &b->byte_fallback, err) ||
	    get_bool(model, "fuse_unk", &b->fuse_unk, err) ||
	    get_bool(model, "ignore_merges", &b->ignore_merges, err) ||
	    read_vocab(k, ft_json_get(model, "vocab"), err))
		return -1;
	b->unk = -1;
	rc = ft_json_str(model, "unk_token", &unk, &n, err);
	if (rc < 0)
		return -1;
	if (rc) {
		b->unk = ft_vocab_get(&b->vocab, unk, n);
		if (b->unk < 0)
			return ft_err_set(
				err, FT_EXIT_DATA,
				"model: unk_token '%.64s' is not in the vocabulary",
				unk);
	}
	return read_merges(k, ft_json_get(model, "merges"), err);
}

/* --- added tokens --------------------------------------------------------- */

static struct ft_added_token *added_by_content(struct ft_added *v,
					       const struct ft_bytes *s)
{
	for (size_t i = 0; i < v->n; i++)
		if (v->tok[i].content.n == s->n &&
		    !memcmp(v->tok[i].content.s, s->s, s->n))
			return &v->tok[i];
	return NULL;
}

/* What a normalized token looks like in normalized text. */
static struct ft_bytes normalized(struct ft_tok *k, struct ft_bytes content)
{
	struct ft_tok_ctx c = {0};
	struct ft_text t = {content.s, content.n, NULL, NULL, 0};
	struct ft_bytes s;

	ft_norm_run(k->norm, k->nnorm, &c, &t);
	s = keep(k, t.s, t.n);
	ft_textbuf_release(&c.norm[0]);
	ft_textbuf_release(&c.norm[1]);
	return s;
}

/*
 * Ids are the package's: that of the same string in the vocabulary, else the
 * next one after it, whatever the file says.
 */
static int read_added_token(struct ft_tok *k, const struct ft_json *v,
			    int32_t *next, struct ft_err *err)
{
	struct ft_added *set = &k->added;
	struct ft_added_token t = {.normalized = true}, *old;

	if (want_str(k, v, "added_tokens", "content", &t.content, err) ||
	    get_bool(v, "single_word", &t.single_word, err) ||
	    get_bool(v, "lstrip", &t.lstrip, err) ||
	    get_bool(v, "rstrip", &t.rstrip, err) ||
	    get_bool(v, "normalized", &t.normalized, err) ||
	    get_bool(v, "special", &t.special, err))
		return -1;
	if (!t.content.n)
		return 0;
	t.match = t.normalized ? normalized(k, t.content) : t.content;
	t.spell = t.match;
	old = added_by_content(set, &t.content);
	if (old) {
		/* once normalized, always decoded so */
		if (!t.normalized)
			t.spell = old->spell;
		t.id = old->id;
		t.special |= old->special;
		*old = t;
		return 0;
	}
	t.id = ft_vocab_get(&k->bpe.vocab, t.content.s, t.content.n);
	if (t.id < 0)
		t.id = (*next)++;
	if (t.id >= FT_VOCAB_MAX)
		return ft_err_set(err, FT_EXIT_DATA,
				  "added_tokens: too many tokens");
	FT_GROW(set->tok, set->n, set->cap, 1);
	set->tok[set->n++] = t;
	return 0;
}

static int read_added(struct ft_tok *k, const struct ft_json *list,
		      struct ft_err *err)
{
	struct ft_added *set = &k->added;
	int32_t next = (int32_t)k->bpe.vocab.count;

	if (absent(list))
		return 0;
	if (list->type != FT_JSON_ARRAY)
		return ft_err_set(err, FT_EXIT_DATA,
				  "added_tokens is not an array");
	for (const struct ft_json *c = list->child; c; c = c->next)
		if (read_added_token(k, c, &next, err))
			return -1;
	for (size_t i = 0; i < set->n; i++) {
		struct ft_added_token *t = &set->tok[i];

		if (!t->match.n)
			return ft_err_set(
				err, FT_EXIT_DATA,
				"added_tokens: '%.64s' is empty after normalization",
				t->content.s);
		if (ft_trie_add(t->normalized ? &set->normalized : &set->raw,
				&t->match, (int32_t)i))
			return ft_err_set(
				err, FT_EXIT_DATA,
				"added_tokens: two tokens are '%.64s' after normalization",
				t->match.s);
	}
	return 0;
}

/* --- decoding tables ------------------------------------------------------ */

/*
 * How ids are spelled: an added token as it is normalized.  Which of them are
 * special is asked of the spelling, as the package does it.
 */
static void build_words(struct ft_tok *k)
{
	const struct ft_vocab *v = &k->bpe.vocab;
	struct ft_vocab special;

	ft_vocab_init(&special, k->added.n);
	k->nword = v->n;
	for (size_t i = 0; i < k->added.n; i++) {
		const struct ft_added_token *t = &k->added.tok[i];

		if ((size_t)t->id >= k->nword)
			k->nword = (size_t)t->id + 1;
		if (t->special)
			ft_vocab_add(&special, t->content.s, t->content.n,
				     (int32_t)i);
	}
	k->word = ft_xcalloc(k->nword, sizeof(*k->word));
	k->special = ft_xcalloc(k->nword, sizeof(*k->special));
	if (v->n)
		memcpy(k->word, v->tok, v->n * sizeof(*k->word));
	for (size_t i = 0; i < k->added.n; i++)
		k->word[k->added.tok[i].id] = k->added.tok[i].spell;
	for (size_t i = 0; i < k->nword; i++)
		k->special[i] =
			k->word[i].s &&
			ft_vocab_get(&special, k->word[i].s, k->word[i].n) >= 0;
	ft_vocab_release(&special);
}

int ft_tok_parse(struct ft_tok *k, const char *s, size_t n, struct ft_err *err)
{
	struct ft_arena a = {0};
	struct ft_json *root;
	int rc = -1;

	if (ft_json_parse(&a, s, n, &root, err))
		goto out;
	if (root->type != FT_JSON_OBJECT) {
		ft_err_set(err, FT_EXIT_DATA, "not a tokenizer");
		goto out;
	}
	/* The pre-tokenizer says whether the model's text is bytes. */
	if (each_part(k, ft_json_get(root, "normalizer"), "normalizer",
		      "normalizers", read_norm, err) ||
	    each_part(k, ft_json_get(root, "pre_tokenizer"), "pre_tokenizer",
		      "pretokenizers", read_pre, err) ||
	    each_part(k, ft_json_get(root, "post_processor"), "post_processor",
		      "processors", read_post, err) ||
	    each_part(k, ft_json_get(root, "decoder"), "decoder", "decoders",
		      read_dec, err) ||
	    read_model(k, ft_json_get(root, "model"), err) ||
	    read_added(k, ft_json_get(root, "added_tokens"), err))
		goto out;
	k->has_decoder = !absent(ft_json_get(root, "decoder"));
	build_words(k);
	rc = 0;
out:
	ft_arena_release(&a);
	return rc;
}
