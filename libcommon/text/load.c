/* SPDX-License-Identifier: MIT */
/*
 * tokenizer.json to what is done before the model sees a text.  What is not
 * known is refused by name; fields that the tokenizers package does not look at
 * are not looked at here either (padding and truncation are switched off by its
 * users at every call).
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

int ft_load_char(struct ft_tok *k, const struct ft_json *o, const char *part,
		 const char *key, struct ft_bytes *out, struct ft_err *err)
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

int ft_load_pattern(struct ft_tok *k, const struct ft_json *o, const char *part,
		    struct ft_pattern *out, struct ft_err *err)
{
	const struct ft_json *p = ft_json_get(o, "pattern");
	bool regex = ft_json_get(p, "Regex") != NULL;
	struct ft_err why;

	if (ft_load_absent(p))
		return ft_err_set(err, FT_EXIT_DATA, "%s: no 'pattern'", part);
	out->kind = regex ? FT_PAT_REGEX : FT_PAT_STRING;
	if (ft_load_str(k, p, part, regex ? "Regex" : "String", &out->string,
			err))
		return -1;
	if (!out->string.n)
		return ft_err_set(err, FT_EXIT_DATA, "%s: the pattern is empty",
				  part);
	if (regex && ft_regex_compile(&k->arena, out->string.s, out->string.n,
				      &out->re, &why))
		return ft_err_set(err, FT_EXIT_DATA,
				  "%s: regular expression '%.64s': %s", part,
				  out->string.s, why.msg);
	return 0;
}

/* Call one() for v, or for each member of the Sequences in it; v NULL: none. */
int ft_load_parts(struct ft_tok *k, const struct ft_json *v, const char *part,
		  const char *list, ft_load_part_fn *one, struct ft_err *err)
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
		if (ft_load_parts(k, c, part, list, one, err))
			return -1;
	return 0;
}

/* --- normalizer ----------------------------------------------------------- */

static int read_norm(struct ft_tok *k, const struct ft_json *v,
		     const char *type, struct ft_err *err)
{
	/* in the order of their enum */
	static const char *const name[] = {
		"Prepend", "Replace", "NFC",          "NFD",       "NFKC",
		"NFKD",    "Strip",   "StripAccents", "Lowercase", "ByteLevel"};
	static const char part[] = "normalizer";
	struct ft_norm n = {0};
	size_t i = 0, cap = k->nnorm;

	while (i < sizeof(name) / sizeof(*name) && strcmp(type, name[i]) != 0)
		i++;
	if (i == sizeof(name) / sizeof(*name))
		return ft_load_unsupported(err, part, type);
	n.kind = i;
	if (n.kind == FT_NORM_PREPEND &&
	    ft_load_str(k, v, part, "prepend", &n.content, err))
		return -1;
	if (n.kind == FT_NORM_REPLACE &&
	    (ft_load_pattern(k, v, part, &n.pattern, err) ||
	     ft_load_str(k, v, part, "content", &n.content, err)))
		return -1;
	if (n.kind == FT_NORM_STRIP &&
	    (ft_load_flag(v, part, "strip_left", &n.left, err) ||
	     ft_load_flag(v, part, "strip_right", &n.right, err)))
		return -1;
	FT_GROW(k->norm, k->nnorm, cap, 1);
	k->norm[k->nnorm++] = n;
	return 0;
}

/* --- pre-tokenizer -------------------------------------------------------- */

static const char pre[] = "pre_tokenizer";

int ft_load_bytelevel(const struct ft_json *v, const char *part,
		      struct ft_pretok *p, struct ft_err *err)
{
	bool regex = true, trim; /* moves offsets, not ids */

	if (ft_load_flag(v, part, "add_prefix_space", &p->prefix_space, err) ||
	    ft_load_flag(v, part, "trim_offsets", &trim, err) ||
	    ft_load_option(v, "use_regex", &regex, err))
		return -1;
	p->kind = regex ? FT_PRE_SCAN : FT_PRE_BYTELEVEL;
	p->scan = ft_scan_gpt2;
	return 0;
}

int ft_load_metaspace(struct ft_tok *k, const struct ft_json *v,
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
	if (ft_load_char(k, v, pre, "replacement", &p->mark, err) ||
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

/* Digits: each of them, or runs of them and runs of others. */
static int read_digits(const struct ft_json *v, struct ft_pretok *p,
		       struct ft_err *err)
{
	bool each;

	if (ft_load_flag(v, pre, "individual_digits", &each, err))
		return -1;
	p->kind = FT_PRE_SCAN;
	p->scan = each ? ft_scan_digit : ft_scan_digits;
	return 0;
}

static int read_behaviour(const struct ft_json *v, struct ft_pretok *p,
			  struct ft_err *err)
{
	static const char *const name[] = {"Removed", "Isolated",
					   "MergedWithPrevious",
					   "MergedWithNext", "Contiguous"};
	const char *s;
	size_t n;
	int i = 0, rc = ft_json_str(v, "behavior", &s, &n, err);

	if (rc <= 0)
		return rc;
	while (i < 5 && strcmp(s, name[i]) != 0)
		i++;
	if (i == 5)
		return ft_load_unsupported(err, "pre_tokenizer: behavior", s);
	p->behaviour = i;
	return 1;
}

static int read_split(struct ft_tok *k, const struct ft_json *v,
		      struct ft_pretok *p, struct ft_err *err)
{
	int rc = read_behaviour(v, p, err);

	p->kind = FT_PRE_SPLIT;
	if (!rc)
		return ft_err_set(err, FT_EXIT_DATA,
				  "pre_tokenizer: no 'behavior'");
	if (rc < 0 || ft_load_flag(v, pre, "invert", &p->invert, err) ||
	    ft_load_pattern(k, v, pre, &p->pattern, err))
		return -1;
	/* All of the text is matches: the scanner need not tell which. */
	if (p->pattern.kind == FT_PAT_REGEX &&
	    (p->behaviour == FT_SPLIT_ISOLATED ||
	     (p->behaviour == FT_SPLIT_REMOVED && p->invert)))
		p->scan =
			ft_scan_known(p->pattern.string.s, p->pattern.string.n);
	if (p->scan)
		p->kind = FT_PRE_SCAN;
	return 0;
}

static int read_fixed(const struct ft_json *v, struct ft_pretok *p,
		      struct ft_err *err)
{
	int64_t n = 5;

	if (ft_json_int(v, "length", &n, err) < 0)
		return -1;
	if (n < 1)
		return ft_err_set(err, FT_EXIT_DATA,
				  "pre_tokenizer: length is not positive");
	p->kind = FT_PRE_FIXED;
	p->count = (size_t)n;
	return 0;
}

static void split_by_class(struct ft_pretok *p, unsigned class, int behaviour)
{
	p->kind = FT_PRE_SPLIT;
	p->pattern.kind = FT_PAT_CLASS;
	p->pattern.class = class;
	p->behaviour = behaviour;
}

static void add_pre(struct ft_tok *k, const struct ft_pretok *p)
{
	size_t cap = k->npre;

	FT_GROW(k->pre, k->npre, cap, 1);
	k->pre[k->npre++] = *p;
}

/* Those that are a pattern and no more. */
static int read_simple(struct ft_tok *k, const struct ft_json *v,
		       const char *type, struct ft_pretok *p,
		       struct ft_err *err)
{
	if (!strcmp(type, "Punctuation")) {
		split_by_class(p, FT_UC_PUNCT, FT_SPLIT_ISOLATED);
		return read_behaviour(v, p, err) < 0 ? -1 : 0;
	}
	split_by_class(p, FT_UC_S, FT_SPLIT_REMOVED);
	if (!strcmp(type, "WhitespaceSplit"))
		return 0;
	if (!strcmp(type, "BertPreTokenizer")) {
		add_pre(k, p);
		split_by_class(p, FT_UC_PUNCT, FT_SPLIT_ISOLATED);
		return 0;
	}
	if (!strcmp(type, "Whitespace")) {
		p->pattern.kind = FT_PAT_WORDS;
		p->invert = true;
		return 0;
	}
	if (!strcmp(type, "CharDelimiterSplit")) {
		p->pattern.kind = FT_PAT_STRING;
		return ft_load_char(k, v, pre, "delimiter", &p->pattern.string,
				    err);
	}
	return ft_load_unsupported(err, pre, type);
}

static int read_pre(struct ft_tok *k, const struct ft_json *v, const char *type,
		    struct ft_err *err)
{
	const struct ft_pretok letters = {.kind = FT_PRE_LETTERS};
	struct ft_pretok p = {0};
	int rc;

	/* The last ByteLevel leaves the text as it is, and the model reads
	   bytes; what comes after one sees its letters. */
	if (k->bpe.byte_level)
		add_pre(k, &letters);
	k->bpe.byte_level = false;
	if (!strcmp(type, "ByteLevel")) {
		rc = ft_load_bytelevel(v, pre, &p, err);
		k->bpe.byte_level = true;
	} else if (!strcmp(type, "Metaspace")) {
		rc = ft_load_metaspace(k, v, &p, err);
	} else if (!strcmp(type, "Digits")) {
		rc = read_digits(v, &p, err);
	} else if (!strcmp(type, "Split")) {
		rc = read_split(k, v, &p, err);
	} else if (!strcmp(type, "FixedLength")) {
		rc = read_fixed(v, &p, err);
	} else {
		rc = read_simple(k, v, type, &p, err);
	}
	if (!rc)
		add_pre(k, &p);
	return rc;
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
	if (ft_load_parts(k, given(root, "normalizer"), "normalizer",
			  "normalizers", read_norm, err) ||
	    ft_load_parts(k, given(root, "pre_tokenizer"), "pre_tokenizer",
			  "pretokenizers", read_pre, err) ||
	    ft_load_post(k, given(root, "post_processor"), err) ||
	    ft_load_decoder(k, given(root, "decoder"), err))
		goto out;
	rc = ft_load_model(k, root, err);
	if (!rc)
		ft_pretok_ready(k);
out:
	ft_arena_release(&a);
	return rc;
}
