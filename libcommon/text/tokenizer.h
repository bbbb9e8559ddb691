/* SPDX-License-Identifier: MIT */
/*
 * Tokenizers from tokenizer.json, giving the very ids that the `tokenizers`
 * package gives from that file.  A component that is not known exactly is
 * refused by name at load: never a wrong id.
 */
#ifndef FT_TEXT_TOKENIZER_H
#define FT_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcommon/base/err.h"
#include "libcommon/base/str.h"

struct ft_tok;

/*
 * Token ids with the bytes of the input each came from, through normalizers
 * too: those that the package counts as a token's, before its post-processor
 * trims white space off.  Where a token is a part of a character, just the
 * bytes that it is made from, where that is known.
 */
struct ft_ids {
	int32_t *id;
	uint32_t *start, *end; /* byte offsets [start, end) in the text */
	size_t n, cap;
};
void ft_ids_add(struct ft_ids *v, int32_t id, uint32_t start, uint32_t end);
void ft_ids_clear(struct ft_ids *v);
void ft_ids_release(struct ft_ids *v);

/*
 * path is a directory with tokenizer.json, or a tokenizer.json.  BOS and EOS
 * are named by tokenizer_config.json beside it, else numbered by
 * generation_config.json, else by config.json.  What is put around a text is
 * what the post-processor says, unless tokenizer_config.json says add_bos_token
 * or add_eos_token and its tokenizer_class is of those that heed them (Llama,
 * CodeLlama, Gemma, Cohere).  A loaded tokenizer may be used by several threads
 * at once.
 */
int ft_tok_load(struct ft_tok **t, const char *path, struct ft_err *err);
/* From the text of a tokenizer.json alone: no BOS, no EOS. */
int ft_tok_from_json(struct ft_tok **t, const char *s, size_t n,
		     struct ft_err *err);
void ft_tok_free(struct ft_tok *t);

/* Flags of ft_tok_encode. */
enum {
	FT_TOK_SPECIALS = 1, /* add what the post-processor adds */
	FT_TOK_NO_ADDED = 2, /* text cannot form special added tokens */
	FT_TOK_PLAIN = 4,    /* nor any other added tokens */
};
/*
 * Append the ids of text to out.  Text that is not UTF-8, or of more than 256
 * MiB, is FT_EXIT_DATA.  Offsets of ids that the post-processor adds are
 * empty; white space that an added token eats is part of it.
 */
int ft_tok_encode(const struct ft_tok *t, const char *s, size_t n,
		  unsigned flags, struct ft_ids *out, struct ft_err *err);
/* The same without what the post-processor adds; where mark is given, bytes
   [0, n) of it, special tokens are formed of bytes whose mark is 0 only. */
int ft_tok_encode_marked(const struct ft_tok *t, const char *s, size_t n,
			 const unsigned char *mark, struct ft_ids *out,
			 struct ft_err *err);
/* Append the text of n ids; skip leaves special tokens out.  Invalid UTF-8
   from byte tokens becomes U+FFFD as the package does it, and ids that no token
   has are left out as it does; negative ones are errors. */
int ft_tok_decode(const struct ft_tok *t, const int32_t *id, size_t n,
		  bool skip, struct ft_str *out, struct ft_err *err);
/* The raw bytes of one token as they stand inside a text: no U+FFFD, no
   stripping ("▁" is a space).  For coloured views and streamed output. */
void ft_tok_piece(const struct ft_tok *t, int32_t id, struct ft_str *out);

int32_t ft_tok_id(const struct ft_tok *t, const char *token); /* -1: none */
int32_t ft_tok_bos(const struct ft_tok *t);                   /* -1: none */
int32_t ft_tok_eos(const struct ft_tok *t);
const char *ft_tok_eos_text(const struct ft_tok *t); /* NULL: none */
bool ft_tok_special(const struct ft_tok *t, int32_t id);
int32_t ft_tok_vocab_size(const struct ft_tok *t); /* highest id + 1 */
const char *ft_tok_sha256(const struct ft_tok *t); /* of tokenizer.json */

/*
 * Train a byte-level BPE with the GPT-2 split, deterministically: the most
 * frequent pair merges first, of equals the one with the lower ids.  Ids are
 * the special tokens in their order, the 256 letters, then merges; pairs seen
 * once are not merged, so that a small text gives fewer than vocab_size.
 *
 * The same as the tokenizers package's BpeTrainer(vocab_size, min_frequency=2,
 * special_tokens, initial_alphabet=ByteLevel.alphabet()) behind
 * ByteLevel(add_prefix_space=False).
 */
struct ft_bpe_trainer;
struct ft_bpe_trainer *ft_bpe_trainer_new(int32_t vocab_size,
					  const char *const *specials,
					  int nspecials);
/* Count one text; it ends a word. */
void ft_bpe_trainer_add(struct ft_bpe_trainer *t, const char *s, size_t n);
/* Append tokenizer.json to out and free t.  A vocab_size without room for the
   specials and letters is FT_EXIT_USAGE, text that was not UTF-8
   FT_EXIT_DATA. */
int ft_bpe_trainer_end(struct ft_bpe_trainer *t, struct ft_str *out,
		       struct ft_err *err);

#endif
