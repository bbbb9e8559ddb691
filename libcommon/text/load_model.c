/* SPDX-License-Identifier: MIT */
/* The model and the added tokens of a tokenizer.json. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/text/load.h"

enum { AHEAD = 16 }; /* entries whose place in a table is fetched */

/* --- model ---------------------------------------------------------------- */

static int read_vocab(struct ft_tok *k, const struct ft_json *vocab,
		      struct ft_err *err)
{
	struct ft_vocab *v = &k->bpe.vocab;
	const struct ft_json *ahead;

	if (!vocab || vocab->type != FT_JSON_OBJECT)
		return ft_err_set(err, FT_EXIT_DATA, "model: no vocab");
	ft_vocab_init(v, vocab->n);
	ahead = vocab->child;
	for (int i = 0; i < AHEAD && ahead; i++)
		ahead = ahead->next;
	for (const struct ft_json *c = vocab->child; c; c = c->next) {
		if (ahead) {
			ft_vocab_fetch(v,
				       ft_hash_bytes(ahead->key, ahead->nkey));
			ahead = ahead->next;
		}
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

/* The id of a merge's whole.  As a rule wholes are numbered in the order of
   merges: the one behind the last is looked at first. */
static int32_t whole_id(const struct ft_vocab *v, const struct ft_str *s,
			int32_t last)
{
	size_t next = (size_t)(last + 1);

	if (next < v->n && v->tok[next].s && v->tok[next].n == s->n &&
	    !memcmp(v->tok[next].s, s->s, s->n))
		return (int32_t)next;
	return ft_vocab_get(v, ft_str_cstr(s), s->n);
}

/* A merge that is read, whose tokens are still to be found. */
struct merge {
	size_t at; /* in the list */
	struct ft_bytes part[2];
	uint64_t hash[2];
};
/* *m is moved behind a merge; 1, 0 when that is a comment, -1. */
static int next_merge(const struct ft_vocab *v, const struct ft_json **m,
		      size_t *at, enum ft_json_type type, struct merge *out,
		      struct ft_err *err)
{
	const struct ft_json *j = *m;

	*m = j->next;
	out->at = (*at)++;
	if (j->type != type)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"model: merges are partly strings, partly arrays");
	if (j->type == FT_JSON_STRING && ft_starts(j->s, "#version"))
		return 0;
	if (split_merge(j, out->part))
		return ft_err_set(err, FT_EXIT_DATA,
				  "model: merge %zu is not two tokens",
				  out->at);
	for (int i = 0; i < 2; i++) {
		out->hash[i] = ft_hash_bytes(out->part[i].s, out->part[i].n);
		ft_vocab_fetch(v, out->hash[i]);
	}
	return 1;
}

/* last is the whole of the merge before. */
static int find_merge(const struct ft_vocab *v, const struct merge *m,
		      int32_t last, struct ft_str *s, struct ft_bpe_rule *r,
		      struct ft_err *err)
{
	const struct ft_bytes *p = m->part;

	ft_str_clear(s);
	ft_str_add(s, p[0].s, p[0].n);
	ft_str_add(s, p[1].s, p[1].n);
	r->left = ft_vocab_get_hashed(v, p[0].s, p[0].n, m->hash[0]);
	r->right = ft_vocab_get_hashed(v, p[1].s, p[1].n, m->hash[1]);
	r->id = whole_id(v, s, last);
	if (r->left < 0 || r->right < 0 || r->id < 0)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"model: merge %zu is of tokens that are not in the vocabulary",
			m->at);
	return 0;
}

static int read_merges(struct ft_tok *k, const struct ft_json *list,
		       struct ft_err *err)
{
	const struct ft_vocab *v = &k->bpe.vocab;
	const struct ft_json *m;
	struct merge ahead[AHEAD];
	struct ft_bpe_rule *rule;
	struct ft_str s = {0};
	size_t n = 0, at = 0;
	int32_t last = -1;
	int rc = 0;

	if (!list || list->type != FT_JSON_ARRAY)
		return ft_err_set(err, FT_EXIT_DATA, "model: no merges");
	rule = ft_xcalloc(list->n, sizeof(*rule));
	for (m = list->child; m && !rc;) {
		size_t got = 0;

		while (m && got < AHEAD && rc >= 0) {
			rc = next_merge(v, &m, &at, list->child->type,
					&ahead[got], err);
			got += rc > 0;
		}
		rc = rc < 0 ? -1 : 0;
		for (size_t i = 0; i < got && !rc; i++, n++) {
			rc = find_merge(v, &ahead[i], last, &s, &rule[n], err);
			last = rule[n].id;
		}
	}
	if (!rc)
		rc = ft_bpe_ready(&k->bpe, rule, n, err);
	ft_str_release(&s);
	free(rule);
	return rc;
}

/* A member that the package does not know either, or NULL. */
static const char *unknown_member(const struct ft_json *model)
{
	static const char *const known[] = {"type",
					    "dropout",
					    "unk_token",
					    "continuing_subword_prefix",
					    "end_of_word_suffix",
					    "fuse_unk",
					    "byte_fallback",
					    "ignore_merges",
					    "cache_capacity",
					    "vocab",
					    "merges"};
	enum { N = sizeof(known) / sizeof(*known) };

	for (const struct ft_json *c = model->child; c; c = c->next) {
		int i = 0;

		while (i < N && strcmp(c->key, known[i]) != 0)
			i++;
		if (i == N)
			return c->key;
	}
	return NULL;
}

/* Options that change ids and are not known here must be null or empty. */
static int refuse_options(const struct ft_json *model, struct ft_err *err)
{
	static const char *const name[] = {"continuing_subword_prefix",
					   "end_of_word_suffix"};
	const struct ft_json *v = ft_json_get(model, "dropout");
	const char *other = unknown_member(model);

	if (other)
		return ft_load_unsupported(err, "model", other);
	if (!ft_load_absent(v) && !(v->type == FT_JSON_NUMBER && v->num == 0))
		return ft_load_unsupported(err, "model", "dropout");
	for (int i = 0; i < 2; i++) {
		v = ft_json_get(model, name[i]);
		if (!ft_load_absent(v) &&
		    !(v->type == FT_JSON_STRING && !v->ns))
			return ft_load_unsupported(err, "model", name[i]);
	}
	return 0;
}

/* Can every text be spelled, so that the unknown token never is wanted? */
static bool spells_all(const struct ft_bpe *b)
{
	const int32_t *id = b->byte_level ? b->letter : b->fallback;

	for (int i = 0; i < 256; i++)
		if (id[i] < 0)
			return false;
	return b->byte_level || b->byte_fallback;
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
	if (type &&
	    (type->type != FT_JSON_STRING || strcmp(type->s, "BPE") != 0))
		return ft_load_unsupported(
			err, "model",
			type->type == FT_JSON_STRING ? type->s : "?");
	if (refuse_options(model, err) ||
	    ft_load_option(model, "byte_fallback", &b->byte_fallback, err) ||
	    ft_load_option(model, "fuse_unk", &b->fuse_unk, err) ||
	    ft_load_option(model, "ignore_merges", &b->ignore_merges, err) ||
	    read_vocab(k, ft_json_get(model, "vocab"), err))
		return -1;
	b->unk = -1;
	rc = ft_json_str(model, "unk_token", &unk, &n, err);
	if (rc < 0)
		return -1;
	if (rc)
		b->unk = ft_vocab_get(&b->vocab, unk, n);
	if (read_merges(k, ft_json_get(model, "merges"), err))
		return -1;
	if (rc && b->unk < 0 && !spells_all(b))
		return ft_err_set(
			err, FT_EXIT_DATA,
			"model: unk_token '%.64s' is not in the vocabulary",
			unk);
	return 0;
}

/* --- added tokens --------------------------------------------------------- */

/* What a normalized token looks like in normalized text. */
static struct ft_bytes normalized(struct ft_tok *k, struct ft_bytes content)
{
	struct ft_tok_ctx c = {0};
	struct ft_text t = {content.s, content.n, NULL, NULL, 0};
	struct ft_bytes s;

	ft_norm_run(k->norm, k->nnorm, &c, &t);
	s = ft_load_keep(k, t.s, t.n);
	ft_tok_ctx_release(&c);
	return s;
}

/*
 * Ids are the package's: that of the same string in the vocabulary, else the
 * next one after it, whatever the file says.  seen are the contents so far, by
 * index.
 */
static int read_added_token(struct ft_tok *k, const struct ft_json *v,
			    struct ft_vocab *seen, int32_t *next,
			    struct ft_err *err)
{
	static const char part[] = "added_tokens";
	const struct ft_json *id = ft_json_get(v, "id");
	struct ft_added *set = &k->added;
	struct ft_added_token t = {0};
	int32_t at;

	if (ft_load_str(k, v, part, "content", &t.content, err) ||
	    ft_load_flag(v, part, "single_word", &t.single_word, err) ||
	    ft_load_flag(v, part, "lstrip", &t.lstrip, err) ||
	    ft_load_flag(v, part, "rstrip", &t.rstrip, err) ||
	    ft_load_flag(v, part, "normalized", &t.normalized, err) ||
	    ft_load_flag(v, part, "special", &t.special, err))
		return -1;
	if (!id || !id->is_int || id->i < 0 || id->i > UINT32_MAX)
		return ft_err_set(err, FT_EXIT_DATA,
				  "added_tokens: id of '%.64s' is out of range",
				  t.content.s);
	if (!t.content.n)
		return 0;
	t.match = t.normalized ? normalized(k, t.content) : t.content;
	t.spell = t.match;
	at = ft_vocab_get(seen, t.content.s, t.content.n);
	if (at >= 0) {
		struct ft_added_token *old = &set->tok[at];

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
	ft_vocab_add(seen, t.content.s, t.content.n, (int32_t)set->n);
	FT_GROW(set->tok, set->n, set->cap, 1);
	set->tok[set->n++] = t;
	return 0;
}

static int read_added(struct ft_tok *k, const struct ft_json *list,
		      struct ft_err *err)
{
	struct ft_added *set = &k->added;
	int32_t next = (int32_t)k->bpe.vocab.count;
	struct ft_vocab seen;
	int rc = 0;

	if (!list)
		return 0;
	if (list->type != FT_JSON_ARRAY)
		return ft_err_set(err, FT_EXIT_DATA,
				  "added_tokens is not an array");
	ft_vocab_init(&seen, list->n);
	for (const struct ft_json *c = list->child; c && !rc; c = c->next)
		rc = read_added_token(k, c, &seen, &next, err);
	ft_vocab_release(&seen);
	if (rc)
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

int ft_load_model(struct ft_tok *k, const struct ft_json *root,
		  struct ft_err *err)
{
	if (read_model(k, ft_json_get(root, "model"), err) ||
	    read_added(k, ft_json_get(root, "added_tokens"), err))
		return -1;
	build_words(k);
	return 0;
}
