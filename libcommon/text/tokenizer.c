/* SPDX-License-Identifier: MIT */
#include "libcommon/text/tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/base/hash.h"
#include "libcommon/io/input.h"
#include "libcommon/io/json.h"
#include "libcommon/text/tok.h"
#include "libcommon/text/unicode.h"

enum {
	MAX_FILE = 1 << 30,   /* tokenizer.json */
	MAX_CONFIG = 1 << 27, /* the others; some list every added token */
	MAX_TEXT = 1 << 28,   /* a normalized text has 32-bit offsets */
};

/* --- the files beside tokenizer.json -------------------------------------- */

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* The object in DIR/name: 1, 0 when there is no such file, -1. */
static int read_config(struct ft_arena *a, const char *dir, const char *name,
		       struct ft_json **out, struct ft_err *err)
{
	struct ft_str path = {0};
	char *s = NULL, *copy;
	size_t n;
	int rc = 0;

	ft_str_addf(&path, "%s/%s", dir, name);
	if (!exists(ft_str_cstr(&path)))
		goto out;
	rc = -1;
	s = ft_read_file(path.s, MAX_CONFIG, &n, err);
	if (!s)
		goto out;
	copy = ft_arena_strndup(a, s, n);
	rc = ft_json_parse(a, copy, n, out, err) ? -1 : 1;
	if (rc < 0)
		ft_err_at(err, path.s, 0);
out:
	free(s);
	ft_str_release(&path);
	return rc;
}

/* A token named by tokenizer_config.json: "</s>" or {"content": "</s>"}. */
static int named_token(const struct ft_tok *k, const struct ft_json *conf,
		       const char *key, int32_t *id, struct ft_err *err)
{
	const struct ft_json *v = ft_json_get(conf, key);

	if (v && v->type == FT_JSON_OBJECT)
		v = ft_json_get(v, "content");
	if (!v || v->type != FT_JSON_STRING || !v->ns)
		return 0;
	*id = ft_tok_id(k, v->s);
	if (*id < 0)
		return ft_err_set(err, FT_EXIT_DATA,
				  "%s '%.64s' is not in tokenizer.json", key,
				  v->s);
	return 0;
}

/* An id of config.json or generation_config.json, of a list the first. */
static int32_t numbered_token(const struct ft_tok *k,
			      const struct ft_json *conf, const char *key)
{
	const struct ft_json *v = ft_json_get(conf, key);

	if (v && v->type == FT_JSON_ARRAY)
		v = v->child;
	if (!v || !v->is_int || v->i < 0 || (uint64_t)v->i >= k->nword ||
	    !k->word[v->i].s)
		return -1;
	return (int32_t)v->i;
}

/* --- what is put around a text -------------------------------------------- */

/* Classes that put BOS and EOS around a text by flags of their own. */
static bool has_ends(const struct ft_json *conf)
{
	static const char *const class[] = {
		"LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer",
		"CohereTokenizer"};
	const struct ft_json *v = ft_json_get(conf, "tokenizer_class");

	for (int i = 0; i < 4 && v && v->type == FT_JSON_STRING; i++) {
		size_t n = strlen(class[i]);

		if (!strncmp(v->s, class[i], n) &&
		    (!v->s[n] || !strcmp(v->s + n, "Fast")))
			return true;
	}
	return false;
}

static void set_end(int32_t **v, size_t *n, bool add, int32_t id)
{
	*v = ft_xrealloc(*v, 1, sizeof(**v));
	(*v)[0] = id;
	*n = add;
}

/*
 * Where tokenizer_config.json says add_bos_token or add_eos_token, and its
 * class heeds them, they replace the template of tokenizer.json: the class
 * itself does so when it is loaded.  A token to add must be named.
 */
static int replace_template(struct ft_tok *k, const struct ft_json *conf,
			    struct ft_err *err)
{
	bool bos = true, eos = false;
	int a, b;

	if (!has_ends(conf))
		return 0;
	a = ft_json_bool(conf, "add_bos_token", &bos, err);
	b = ft_json_bool(conf, "add_eos_token", &eos, err);
	if (a < 0 || b < 0)
		return -1;
	if ((!a && !b) || (bos && k->bos < 0) || (eos && k->eos < 0))
		return 0;
	set_end(&k->before, &k->nbefore, bos, k->bos);
	set_end(&k->after, &k->nafter, eos, k->eos);
	return 0;
}

static int find_ends(struct ft_tok *k, const char *dir, struct ft_err *err)
{
	static const char *const other[] = {"generation_config.json",
					    "config.json"};
	struct ft_arena a = {0};
	struct ft_json *conf = NULL;
	int rc = read_config(&a, dir, "tokenizer_config.json", &conf, err);

	if (rc > 0 && (named_token(k, conf, "bos_token", &k->bos, err) ||
		       named_token(k, conf, "eos_token", &k->eos, err) ||
		       replace_template(k, conf, err))) {
		ft_err_at(err, "tokenizer_config.json", 0);
		rc = -1;
	}
	for (int i = 0; i < 2 && rc >= 0; i++) {
		if (k->bos >= 0 && k->eos >= 0)
			break;
		rc = read_config(&a, dir, other[i], &conf, err);
		if (rc <= 0)
			continue;
		if (k->bos < 0)
			k->bos = numbered_token(k, conf, "bos_token_id");
		if (k->eos < 0)
			k->eos = numbered_token(k, conf, "eos_token_id");
	}
	ft_arena_release(&a);
	return rc < 0 ? -1 : 0;
}

/* --- load and free -------------------------------------------------------- */

static void set_eos_text(struct ft_tok *k)
{
	if (k->eos < 0)
		return;
	k->eos_text = ft_xstrndup(k->word[k->eos].s, k->word[k->eos].n);
	for (size_t i = 0; i < k->added.n; i++) {
		const struct ft_added_token *t = &k->added.tok[i];

		if (t->id != k->eos)
			continue;
		free(k->eos_text);
		k->eos_text = ft_xstrndup(t->content.s, t->content.n);
	}
}

static int load(struct ft_tok *k, const char *path, struct ft_err *err)
{
	struct ft_str file = {0}, dir = {0};
	struct ft_sha256 h;
	struct stat st;
	char *s = NULL;
	size_t n;
	int rc = -1;

	ft_str_adds(&file, path);
	ft_str_adds(&dir, path);
	if (!stat(path, &st) && S_ISDIR(st.st_mode)) {
		ft_str_adds(&file, "/tokenizer.json");
	} else {
		const char *slash = strrchr(path, '/');

		ft_str_clear(&dir);
		ft_str_adds(&dir, ".");
		if (slash) {
			ft_str_clear(&dir);
			ft_str_add(&dir, path, (size_t)(slash - path) + 1);
		}
	}
	s = ft_read_file(ft_str_cstr(&file), MAX_FILE, &n, err);
	if (!s)
		goto out;
	ft_sha256_init(&h);
	ft_sha256_add(&h, s, n);
	ft_sha256_hex(&h, k->sha256);
	if (ft_tok_parse(k, s, n, err)) {
		ft_err_at(err, file.s, 0);
		goto out;
	}
	if (find_ends(k, ft_str_cstr(&dir), err))
		goto out;
	set_eos_text(k);
	rc = 0;
out:
	free(s);
	ft_str_release(&file);
	ft_str_release(&dir);
	return rc;
}

static struct ft_tok *new_tok(void)
{
	struct ft_tok *k = ft_xcalloc(1, sizeof(*k));

	pthread_mutex_init(&k->lock, NULL);
	k->bos = k->eos = -1;
	return k;
}

int ft_tok_load(struct ft_tok **out, const char *path, struct ft_err *err)
{
	struct ft_tok *k = new_tok();

	*out = NULL;
	if (load(k, path, err)) {
		ft_tok_free(k);
		return -1;
	}
	*out = k;
	return 0;
}

int ft_tok_from_json(struct ft_tok **out, const char *s, size_t n,
		     struct ft_err *err)
{
	struct ft_tok *k = new_tok();
	struct ft_sha256 h;

	*out = NULL;
	ft_sha256_init(&h);
	ft_sha256_add(&h, s, n);
	ft_sha256_hex(&h, k->sha256);
	if (ft_tok_parse(k, s, n, err)) {
		ft_tok_free(k);
		return -1;
	}
	*out = k;
	return 0;
}

void ft_tok_ctx_release(struct ft_tok_ctx *c)
{
	ft_bpe_ctx_release(&c->bpe);
	ft_regex_run_release(&c->run);
	free(c->nf);
	for (int i = 0; i < 2; i++) {
		ft_textbuf_release(&c->norm[i]);
		ft_textbuf_release(&c->pre[i]);
		free(c->spans[i].v);
	}
}

void ft_tok_free(struct ft_tok *k)
{
	if (!k)
		return;
	while (k->idle) {
		struct ft_tok_ctx *c = k->idle;

		k->idle = c->next;
		ft_tok_ctx_release(c);
		free(c);
	}
	ft_bpe_release(&k->bpe);
	ft_added_release(&k->added);
	free(k->norm);
	free(k->pre);
	free(k->before);
	free(k->after);
	free(k->dec);
	free(k->word);
	free(k->special);
	free(k->eos_text);
	ft_arena_release(&k->arena);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

/* --- encode --------------------------------------------------------------- */

/* The pool is the one part of a loaded tokenizer that changes. */
static struct ft_tok_ctx *borrow(const struct ft_tok *t)
{
	struct ft_tok *k = (struct ft_tok *)(uintptr_t)t;
	struct ft_tok_ctx *c;

	pthread_mutex_lock(&k->lock);
	c = k->idle;
	if (c)
		k->idle = c->next;
	pthread_mutex_unlock(&k->lock);
	return c ? c : ft_xcalloc(1, sizeof(*c));
}

static void give_back(const struct ft_tok *t, struct ft_tok_ctx *c)
{
	struct ft_tok *k = (struct ft_tok *)(uintptr_t)t;

	pthread_mutex_lock(&k->lock);
	c->next = k->idle;
	k->idle = c;
	pthread_mutex_unlock(&k->lock);
}

/* Was a special token found in text that must not form one? */
static bool forbidden(const struct ft_tok_ctx *c, const struct ft_found *f,
		      const struct ft_text *t)
{
	size_t from = f->after - f->tok->match.n;

	if (!c->mark || !f->tok->special)
		return false;
	for (size_t i = from; i < f->after; i++)
		for (uint32_t b = ft_text_from(t, i); b < ft_text_to(t, i); b++)
			if (c->mark[b])
				return true;
	return false;
}

/* The next added token that the text may form. */
static bool next_added(const struct ft_tok *k, const struct ft_tok_ctx *c,
		       const struct ft_trie *of, const struct ft_text *t,
		       size_t done, unsigned flags, struct ft_found *f)
{
	if (flags & FT_TOK_PLAIN)
		return false;
	while (ft_added_next(&k->added, of, t->s, t->n, f->after, done,
			     flags & FT_TOK_NO_ADDED, f))
		if (!forbidden(c, f, t))
			return true;
	return false;
}

/* What lies between added tokens of the first pass, normalized. */
static void encode_normal(const struct ft_tok *k, struct ft_tok_ctx *c,
			  const char *s, size_t a, size_t z, unsigned flags,
			  struct ft_ids *out)
{
	struct ft_text t = {s + a, z - a, NULL, NULL, (uint32_t)a};
	struct ft_found f = {0};
	size_t done = 0;

	ft_norm_run(k->norm, k->nnorm, c, &t);
	while (next_added(k, c, &k->added.normalized, &t, done, flags, &f)) {
		if (done < f.a)
			ft_pretok_run(k, c, &t, done, f.a, out);
		ft_ids_put(out, f.tok->id, ft_text_from(&t, f.a),
			   ft_text_to(&t, f.z - 1));
		done = f.z;
	}
	if (done < t.n)
		ft_pretok_run(k, c, &t, done, t.n, out);
}

/*
 * Where all that is done to a text is to its start and to its blanks, only what
 * is in front of the first cut need be written.
 */
static void encode_gap(const struct ft_tok *k, struct ft_tok_ctx *c,
		       const char *s, size_t a, size_t z, unsigned flags,
		       struct ft_ids *out)
{
	uint32_t first = (uint32_t)(z - a);

	if (k->blanks)
		ft_bpe_cut(&k->bpe, s + a, s + z, &first, 1);
	encode_normal(k, c, s, a, a + first, flags, out);
	a += first;
	if (a < z)
		ft_bpe_encode(&k->bpe, &c->bpe, s + a, z - a, (uint32_t)a, out);
}

static void put_ids(const int32_t *id, size_t n, uint32_t at,
		    struct ft_ids *out)
{
	for (size_t i = 0; i < n; i++)
		ft_ids_put(out, id[i], at, at);
}

static int encode(const struct ft_tok *k, const char *s, size_t n,
		  unsigned flags, const unsigned char *mark, struct ft_ids *out,
		  struct ft_err *err)
{
	const struct ft_text whole = {s, n, NULL, NULL, 0};
	struct ft_tok_ctx *c;
	struct ft_found f = {0};
	size_t done = 0, valid;

	if (n > MAX_TEXT)
		return ft_err_set(err, FT_EXIT_DATA,
				  "a text of %zu bytes is too long to encode",
				  n);
	valid = ft_utf8_valid(s, n);
	if (valid != n)
		return ft_err_set(err, FT_EXIT_DATA,
				  "text is not UTF-8 at byte %zu", valid + 1);
	c = borrow(k);
	c->mark = mark;
	if (flags & FT_TOK_SPECIALS)
		put_ids(k->before, k->nbefore, 0, out);
	while (next_added(k, c, &k->added.raw, &whole, done, flags, &f)) {
		if (done < f.a)
			encode_gap(k, c, s, done, f.a, flags, out);
		ft_ids_put(out, f.tok->id, (uint32_t)f.a, (uint32_t)f.z);
		done = f.z;
	}
	if (done < n)
		encode_gap(k, c, s, done, n, flags, out);
	if (flags & FT_TOK_SPECIALS)
		put_ids(k->after, k->nafter, (uint32_t)n, out);
	give_back(k, c);
	return 0;
}

int ft_tok_encode(const struct ft_tok *k, const char *s, size_t n,
		  unsigned flags, struct ft_ids *out, struct ft_err *err)
{
	return encode(k, s, n, flags, NULL, out, err);
}

int ft_tok_encode_marked(const struct ft_tok *k, const char *s, size_t n,
			 const unsigned char *mark, struct ft_ids *out,
			 struct ft_err *err)
{
	return encode(k, s, n, 0, mark, out, err);
}

/* --- what is known -------------------------------------------------------- */

int32_t ft_tok_id(const struct ft_tok *k, const char *token)
{
	size_t n = strlen(token);

	for (size_t i = 0; i < k->added.n; i++)
		if (k->added.tok[i].content.n == n &&
		    !memcmp(k->added.tok[i].content.s, token, n))
			return k->added.tok[i].id;
	return ft_vocab_get(&k->bpe.vocab, token, n);
}

int32_t ft_tok_bos(const struct ft_tok *k)
{
	return k->bos;
}

int32_t ft_tok_eos(const struct ft_tok *k)
{
	return k->eos;
}

const char *ft_tok_eos_text(const struct ft_tok *k)
{
	return k->eos_text;
}

bool ft_tok_special(const struct ft_tok *k, int32_t id)
{
	return id >= 0 && (size_t)id < k->nword && k->special[id];
}

int32_t ft_tok_vocab_size(const struct ft_tok *k)
{
	return (int32_t)k->nword;
}

const char *ft_tok_sha256(const struct ft_tok *k)
{
	return k->sha256;
}
