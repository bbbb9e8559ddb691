/* SPDX-License-Identifier: MIT */
/*
 * Training by incremental counts: a merge visits only the words that hold its
 * pair, and a queue of pairs is put right lazily when one comes to its top.
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/text/tok.h"
#include "libcommon/text/unicode.h"

enum { LETTERS = 256, MIN_COUNT = 2 };

/* A distinct piece of the texts. */
struct word {
	size_t at; /* its bytes, then its symbols */
	uint32_t n;
	int64_t count;
};

struct words {
	uint32_t *v;
	size_t n, cap;
};

/* A pair of neighbours: how often, and the words that have got it since the
   queue was last told. */
struct pair {
	uint64_t key; /* left << 32 | right */
	int64_t count;
	struct words fresh;
};

/* A queued pair and words that may hold it.  Its count may be stale. */
struct entry {
	int64_t count;
	uint64_t key;
	struct words where; /* owned */
};

struct rule {
	uint64_t key;
	int32_t id;
};

struct ft_bpe_trainer {
	int32_t size;
	char **special; /* owned */
	int nspecial;
	bool bad; /* a text was not UTF-8 */

	struct ft_str bytes; /* of all words */
	struct word *word;
	size_t nword, capword;
	uint32_t *slot; /* hash of words: index + 1 */
	size_t mask;

	/* training */
	uint32_t *sym; /* symbols of all words */
	struct pair *pair;
	size_t npair, cappair;
	uint32_t *pslot;
	size_t pmask;
	uint32_t *changed; /* pairs with fresh words */
	size_t nchanged, capchanged;
	struct entry *heap;
	size_t nheap, capheap;
	struct ft_vocab vocab;
	struct ft_arena arena; /* its strings */
	struct rule *rule;
	size_t nrule, caprule;
};

struct ft_bpe_trainer *ft_bpe_trainer_new(int32_t vocab_size,
					  const char *const *specials,
					  int nspecials)
{
	struct ft_bpe_trainer *t = ft_xcalloc(1, sizeof(*t));

	t->size = vocab_size;
	t->special = ft_xcalloc((size_t)nspecials, sizeof(*t->special));
	for (int i = 0; i < nspecials; i++)
		t->special[i] = ft_xstrdup(specials[i]);
	t->nspecial = nspecials;
	t->mask = (1 << 16) - 1;
	t->slot = ft_xcalloc(t->mask + 1, sizeof(*t->slot));
	return t;
}

static void trainer_free(struct ft_bpe_trainer *t)
{
	for (int i = 0; i < t->nspecial; i++)
		free(t->special[i]);
	free(t->special);
	ft_str_release(&t->bytes);
	free(t->word);
	free(t->slot);
	free(t->sym);
	for (size_t i = 0; i < t->npair; i++)
		free(t->pair[i].fresh.v);
	free(t->pair);
	free(t->pslot);
	free(t->changed);
	for (size_t i = 0; i < t->nheap; i++)
		free(t->heap[i].where.v);
	free(t->heap);
	ft_vocab_release(&t->vocab);
	ft_arena_release(&t->arena);
	free(t->rule);
	free(t);
}

/* --- words ---------------------------------------------------------------- */

static size_t word_slot(const struct ft_bpe_trainer *t, const char *s, size_t n)
{
	size_t i = ft_hash_bytes(s, n) & t->mask;

	while (t->slot[i]) {
		const struct word *w = &t->word[t->slot[i] - 1];

		if (w->n == n && !memcmp(t->bytes.s + w->at, s, n))
			break;
		i = (i + 1) & t->mask;
	}
	return i;
}

static void grow_slots(struct ft_bpe_trainer *t)
{
	t->mask = 2 * t->mask + 1;
	free(t->slot);
	t->slot = ft_xcalloc(t->mask + 1, sizeof(*t->slot));
	for (size_t i = 0; i < t->nword; i++)
		t->slot[word_slot(t, t->bytes.s + t->word[i].at,
				  t->word[i].n)] = (uint32_t)i + 1;
}

static void count_word(struct ft_bpe_trainer *t, const char *s, size_t n)
{
	size_t i = word_slot(t, s, n);

	if (t->slot[i]) {
		t->word[t->slot[i] - 1].count++;
		return;
	}
	FT_GROW(t->word, t->nword, t->capword, 1);
	t->word[t->nword] = (struct word){t->bytes.n, (uint32_t)n, 1};
	t->slot[i] = (uint32_t)++t->nword;
	ft_str_add(&t->bytes, s, n);
	if (2 * t->nword > t->mask)
		grow_slots(t);
}

void ft_bpe_trainer_add(struct ft_bpe_trainer *t, const char *s, size_t n)
{
	const char *end = s + n;

	if (n > UINT32_MAX || ft_utf8_valid(s, n) != n) {
		t->bad = true;
		return;
	}
	while (s < end) {
		const char *q = ft_scan_gpt2(s, end);

		count_word(t, s, (size_t)(q - s));
		s = q;
	}
}

/* --- pairs ---------------------------------------------------------------- */

static size_t pair_slot(const struct ft_bpe_trainer *t, uint64_t key)
{
	size_t i = ft_hash_u64(key) & t->pmask;

	while (t->pslot[i] && t->pair[t->pslot[i] - 1].key != key)
		i = (i + 1) & t->pmask;
	return i;
}

static size_t find_pair(struct ft_bpe_trainer *t, uint64_t key)
{
	size_t i = pair_slot(t, key);

	if (t->pslot[i])
		return t->pslot[i] - 1;
	FT_GROW(t->pair, t->npair, t->cappair, 1);
	t->pair[t->npair] = (struct pair){.key = key};
	t->pslot[i] = (uint32_t)++t->npair;
	if (2 * t->npair > t->pmask) {
		t->pmask = 2 * t->pmask + 1;
		free(t->pslot);
		t->pslot = ft_xcalloc(t->pmask + 1, sizeof(*t->pslot));
		for (size_t k = 0; k < t->npair; k++)
			t->pslot[pair_slot(t, t->pair[k].key)] =
				(uint32_t)k + 1;
	}
	return t->npair - 1;
}

/* Word w has n more (or fewer) of a pair. */
static void change_pair(struct ft_bpe_trainer *t, uint32_t left, uint32_t right,
			uint32_t w, int64_t n)
{
	size_t i = find_pair(t, (uint64_t)left << 32 | right);
	struct pair *p = &t->pair[i];

	p->count += n;
	if (n < 0)
		return;
	if (!p->fresh.n) {
		FT_GROW(t->changed, t->nchanged, t->capchanged, 1);
		t->changed[t->nchanged++] = (uint32_t)i;
	}
	if (p->fresh.n && p->fresh.v[p->fresh.n - 1] == w)
		return;
	FT_GROW(p->fresh.v, p->fresh.n, p->fresh.cap, 1);
	p->fresh.v[p->fresh.n++] = w;
}

/* --- the queue ------------------------------------------------------------ */

static bool before(const struct entry *a, const struct entry *b)
{
	return a->count != b->count ? a->count > b->count : a->key < b->key;
}

static void push(struct ft_bpe_trainer *t, struct entry e)
{
	size_t i;

	FT_GROW(t->heap, t->nheap, t->capheap, 1);
	for (i = t->nheap++; i && before(&e, &t->heap[(i - 1) / 2]);
	     i = (i - 1) / 2)
		t->heap[i] = t->heap[(i - 1) / 2];
	t->heap[i] = e;
}

static void sift_down(struct ft_bpe_trainer *t, struct entry e)
{
	size_t i = 0;

	for (;;) {
		size_t k = 2 * i + 1;

		if (k >= t->nheap)
			break;
		if (k + 1 < t->nheap && before(&t->heap[k + 1], &t->heap[k]))
			k++;
		if (!before(&t->heap[k], &e))
			break;
		t->heap[i] = t->heap[k];
		i = k;
	}
	t->heap[i] = e;
}

static struct entry pop(struct ft_bpe_trainer *t)
{
	struct entry top = t->heap[0];
	struct entry last = t->heap[--t->nheap];

	if (t->nheap)
		sift_down(t, last);
	return top;
}

/* Queue the pairs that words have got. */
static void queue_changed(struct ft_bpe_trainer *t)
{
	for (size_t i = 0; i < t->nchanged; i++) {
		struct pair *p = &t->pair[t->changed[i]];

		if (p->count > 0)
			push(t, (struct entry){p->count, p->key, p->fresh});
		else
			free(p->fresh.v);
		memset(&p->fresh, 0, sizeof(p->fresh));
	}
	t->nchanged = 0;
}

/*
 * The pair to merge next: 1, or 0 when none is left that counts.  The count of
 * a merged pair is never taken back, only those of its neighbours: the package
 * does it so, and a pair that comes up again through another spelling of the
 * same token is then queued with it.
 */
static int next_pair(struct ft_bpe_trainer *t, struct entry *e)
{
	while (t->nheap) {
		const struct entry *top = &t->heap[0];
		int64_t count = t->pair[find_pair(t, top->key)].count;

		if (count == top->count) {
			*e = pop(t);
			if (count >= MIN_COUNT)
				return 1;
			free(e->where.v);
			return 0;
		}
		*e = *top;
		e->count = count;
		sift_down(t, *e);
	}
	return 0;
}

/* --- merging -------------------------------------------------------------- */

static void merge_word(struct ft_bpe_trainer *t, uint32_t w, uint64_t key,
		       uint32_t id)
{
	uint32_t a = (uint32_t)(key >> 32), b = (uint32_t)key;
	uint32_t *s = t->sym + t->word[w].at;
	int64_t count = t->word[w].count;
	size_t n = t->word[w].n, m = 0;

	for (size_t i = 0; i < n; i++) {
		if (s[i] != a || i + 1 == n || s[i + 1] != b) {
			s[m++] = s[i];
			continue;
		}
		i++;
		if (m) {
			change_pair(t, s[m - 1], a, w, -count);
			change_pair(t, s[m - 1], id, w, count);
		}
		if (i + 1 < n) {
			change_pair(t, b, s[i + 1], w, -count);
			change_pair(t, id, s[i + 1], w, count);
		}
		s[m++] = id;
	}
	t->word[w].n = (uint32_t)m;
}

/* The id of a merge's string, which may be a token already. */
static int32_t token_of(struct ft_bpe_trainer *t, uint64_t key)
{
	const struct ft_bytes a = t->vocab.tok[key >> 32];
	const struct ft_bytes b = t->vocab.tok[(uint32_t)key];
	char *s = ft_arena_alloc(&t->arena, a.n + b.n + 1);
	int32_t id;

	memcpy(s, a.s, a.n);
	memcpy(s + a.n, b.s, b.n);
	id = ft_vocab_get(&t->vocab, s, a.n + b.n);
	if (id < 0) {
		id = (int32_t)t->vocab.n;
		ft_vocab_add(&t->vocab, s, a.n + b.n, id);
	}
	return id;
}

static void first_tokens(struct ft_bpe_trainer *t)
{
	ft_vocab_init(&t->vocab, (size_t)t->size);
	for (int i = 0; i < t->nspecial; i++)
		ft_vocab_add(&t->vocab, t->special[i], strlen(t->special[i]),
			     (int32_t)t->vocab.n);
	for (uint32_t cp = 0; cp < 2 * LETTERS; cp++) {
		char u[4];
		size_t n = ft_utf8_put(u, cp);

		if (ft_letter_byte(cp) >= 0 &&
		    ft_vocab_get(&t->vocab, u, n) < 0)
			ft_vocab_add(&t->vocab,
				     ft_arena_strndup(&t->arena, u, n), n,
				     (int32_t)t->vocab.n);
	}
}

static void first_pairs(struct ft_bpe_trainer *t)
{
	uint32_t letter[LETTERS];

	for (unsigned i = 0; i < LETTERS; i++) {
		char u[4];
		size_t n = ft_utf8_put(u, ft_byte_letter((unsigned char)i));

		letter[i] = (uint32_t)ft_vocab_get(&t->vocab, u, n);
	}
	t->sym = ft_xcalloc(t->bytes.n, sizeof(*t->sym));
	for (size_t i = 0; i < t->bytes.n; i++)
		t->sym[i] = letter[(unsigned char)t->bytes.s[i]];
	t->pmask = (1 << 16) - 1;
	t->pslot = ft_xcalloc(t->pmask + 1, sizeof(*t->pslot));
	for (size_t w = 0; w < t->nword; w++) {
		const uint32_t *s = t->sym + t->word[w].at;

		for (size_t i = 0; i + 1 < t->word[w].n; i++)
			change_pair(t, s[i], s[i + 1], (uint32_t)w,
				    t->word[w].count);
	}
	queue_changed(t);
}

static void train(struct ft_bpe_trainer *t)
{
	struct entry e;

	while (t->vocab.count < (size_t)t->size && next_pair(t, &e)) {
		int32_t id = token_of(t, e.key);

		FT_GROW(t->rule, t->nrule, t->caprule, 1);
		t->rule[t->nrule++] = (struct rule){e.key, id};
		for (size_t i = 0; i < e.where.n; i++)
			merge_word(t, e.where.v[i], e.key, (uint32_t)id);
		free(e.where.v);
		queue_changed(t);
	}
}

/* --- tokenizer.json ------------------------------------------------------- */

static void add_token(struct ft_str *out, const struct ft_vocab *v, uint64_t id)
{
	ft_str_add_json(out, v->tok[id].s, v->tok[id].n);
}

/* A pair that was merged twice counts from its last time. */
static bool merged_later(const struct ft_bpe_trainer *t, size_t i,
			 const size_t *last)
{
	return last[t->pslot[pair_slot(t, t->rule[i].key)] - 1] != i;
}

static void write_merges(const struct ft_bpe_trainer *t, struct ft_str *out)
{
	size_t *last = ft_xcalloc(t->npair, sizeof(*last));
	const char *sep = "";

	for (size_t i = 0; i < t->nrule; i++)
		last[t->pslot[pair_slot(t, t->rule[i].key)] - 1] = i;
	for (size_t i = 0; i < t->nrule; i++) {
		if (merged_later(t, i, last))
			continue;
		ft_str_addf(out, "%s[", sep);
		add_token(out, &t->vocab, t->rule[i].key >> 32);
		ft_str_addc(out, ',');
		add_token(out, &t->vocab, (uint32_t)t->rule[i].key);
		ft_str_addc(out, ']');
		sep = ",";
	}
	free(last);
}

static void write_json(const struct ft_bpe_trainer *t, struct ft_str *out)
{
	ft_str_adds(out, "{\"version\":\"1.0\",\"truncation\":null,"
			 "\"padding\":null,\"added_tokens\":[");
	for (int i = 0; i < t->nspecial; i++) {
		size_t n = strlen(t->special[i]);

		ft_str_addf(out, "%s{\"id\":%d,\"content\":", i ? "," : "",
			    (int)ft_vocab_get(&t->vocab, t->special[i], n));
		ft_str_add_json(out, t->special[i], n);
		ft_str_adds(out, ",\"single_word\":false,\"lstrip\":false,"
				 "\"rstrip\":false,\"normalized\":false,"
				 "\"special\":true}");
	}
	ft_str_adds(out,
		    "],\"normalizer\":null,\"pre_tokenizer\":{\"type\":"
		    "\"ByteLevel\",\"add_prefix_space\":false,"
		    "\"trim_offsets\":true,\"use_regex\":true},"
		    "\"post_processor\":{\"type\":\"ByteLevel\","
		    "\"add_prefix_space\":true,\"trim_offsets\":false,"
		    "\"use_regex\":true},\"decoder\":{\"type\":\"ByteLevel\","
		    "\"add_prefix_space\":true,\"trim_offsets\":true,"
		    "\"use_regex\":true},\"model\":{\"type\":\"BPE\","
		    "\"dropout\":null,\"unk_token\":null,"
		    "\"continuing_subword_prefix\":null,"
		    "\"end_of_word_suffix\":null,\"fuse_unk\":false,"
		    "\"byte_fallback\":false,\"ignore_merges\":false,"
		    "\"vocab\":{");
	for (size_t i = 0; i < t->vocab.n; i++) {
		if (i)
			ft_str_addc(out, ',');
		add_token(out, &t->vocab, i);
		ft_str_addf(out, ":%zu", i);
	}
	ft_str_adds(out, "},\"merges\":[");
	write_merges(t, out);
	ft_str_adds(out, "]}}\n");
}

int ft_bpe_trainer_end(struct ft_bpe_trainer *t, struct ft_str *out,
		       struct ft_err *err)
{
	int rc = -1;

	if (t->bad) {
		ft_err_set(err, FT_EXIT_DATA,
			   "text to train a tokenizer on is not UTF-8");
	} else if (t->size < 0 || t->size > FT_VOCAB_MAX ||
		   t->size < t->nspecial + LETTERS) {
		ft_err_set(err, FT_EXIT_USAGE,
			   "a vocabulary of %d is out of range [%d, %d]",
			   (int)t->size, t->nspecial + LETTERS,
			   (int)FT_VOCAB_MAX);
	} else {
		first_tokens(t);
		first_pairs(t);
		train(t);
		write_json(t, out);
		rc = 0;
	}
	trainer_free(t);
	return rc;
}
