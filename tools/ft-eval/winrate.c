/* SPDX-License-Identifier: MIT */
/* Which of two models answers better: a judge's command says. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/die.h"
#include "libcommon/base/hash.h"
#include "libcommon/base/mem.h"
#include "libcommon/base/rng.h"
#include "libcommon/io/command.h"
#include "tools/ft-eval/eval.h"

enum { MAX_REPLY = 1 << 30 };

enum winner { NOBODY, FIRST, SECOND, TIE };

struct answer {
	char *key; /* id and sample in one spelling; owned */
	struct ft_row row;
	bool swapped; /* the judge sees ours as b */
	enum winner winner;
};

/* Sorted by key (index), in the order of the file (v). */
struct answers {
	const char *file;
	struct ft_arena arena;
	struct answer *v; /* owned */
	size_t n, cap;
	struct answer **index; /* owned */
};

static bool scalar(const struct ft_json *v)
{
	return v && (v->type == FT_JSON_STRING || v->type == FT_JSON_NUMBER);
}

static char *key_of(const struct ft_row *row)
{
	struct ft_str key = {0};

	ft_row_key(row, true, &key);
	return key.s;
}

static int by_key(const void *a, const void *b)
{
	const struct answer *const *x = a, *const *y = b;

	return strcmp((*x)->key, (*y)->key);
}

static void load(struct answers *s, struct ft_rows *rows)
{
	struct ft_row row;
	struct ft_err err;
	int k;

	while ((k = ft_rows_next(rows, &row, &err)) > 0) {
		struct answer *a;

		eval_text(&row, "completion");
		FT_GROW(s->v, s->n, s->cap, 1);
		a = &s->v[s->n++];
		*a = (struct answer){.key = key_of(&row)};
		if (ft_row_copy(&s->arena, &row, &a->row, &err))
			ft_die_err(&err);
	}
	if (k < 0)
		ft_die_err(&err);
	s->index = ft_xcalloc(s->n + 1, sizeof(struct answer *));
	for (size_t i = 0; i < s->n; i++)
		s->index[i] = &s->v[i];
	qsort(s->index, s->n, sizeof(struct answer *), by_key);
	for (size_t i = 1; i < s->n; i++) {
		if (by_key(&s->index[i - 1], &s->index[i]) == 0)
			eval_die(&s->index[i]->row,
				 "two answers of the same id and sample");
	}
}

static struct answer *find(const struct answers *s, const char *key)
{
	struct answer want = {.key = (char *)(uintptr_t)key}, *p = &want;
	struct answer **r =
		bsearch(&p, s->index, s->n, sizeof(struct answer *), by_key);

	return r ? *r : NULL;
}

static void release(struct answers *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i].key);
	free(s->v);
	free(s->index);
	ft_arena_release(&s->arena);
}

/* --- what the judge is asked ---------------------------------------------- */

/* Fields of the answer itself, which would tell who wrote it. */
static const char *const own_fields[] = {
	"completion", "completion_ids", "finish_reason", "logps",
	"sum_logps",  "winner",         "win",
};
enum { NOWN = sizeof(own_fields) / sizeof(*own_fields) };

static void ask(const struct eval *e, struct answer *a, const struct answer *b,
		struct ft_str *out)
{
	struct ft_edit edit[NOWN + 6];
	struct ft_str id = {0};
	const struct ft_json *x, *y, *why;
	struct ft_xxh64 h;
	size_t n = 0;

	ft_xxh64_init(&h);
	ft_xxh64_add(&h, a->key, strlen(a->key));
	a->swapped = ft_rng_below((uint64_t)e->seed, FT_RNG_JUDGE,
				  ft_xxh64_end(&h), 0, 2) == 1;
	x = ft_json_get((a->swapped ? b : a)->row.obj, "completion");
	y = ft_json_get((a->swapped ? a : b)->row.obj, "completion");
	for (size_t i = 0; i < NOWN; i++)
		edit[n++] = (struct ft_edit){.key = own_fields[i]};
	ft_row_id(&a->row, &id);
	edit[n++] = (struct ft_edit){.key = "id", .json = id.s, .n = id.n};
	if (!scalar(ft_json_get(a->row.obj, "sample")))
		edit[n++] =
			(struct ft_edit){.key = "sample", .json = "0", .n = 1};
	edit[n++] = (struct ft_edit){.key = "a", .json = x->raw, .n = x->nraw};
	edit[n++] = (struct ft_edit){.key = "b", .json = y->raw, .n = y->nraw};
	why = ft_json_get((a->swapped ? b : a)->row.obj, "finish_reason");
	if (why)
		edit[n++] = (struct ft_edit){.key = "a_finish_reason",
					     .json = why->raw,
					     .n = why->nraw};
	why = ft_json_get((a->swapped ? a : b)->row.obj, "finish_reason");
	if (why)
		edit[n++] = (struct ft_edit){.key = "b_finish_reason",
					     .json = why->raw,
					     .n = why->nraw};
	ft_row_edit(&a->row, edit, n, out);
	ft_str_addc(out, '\n');
	ft_str_release(&id);
}

static void ask_all(const struct eval *e, struct answers *ours,
		    const struct answers *theirs, struct ft_str *out)
{
	for (size_t i = 0; i < ours->n; i++) {
		struct answer *a = &ours->v[i];
		const struct answer *b = find(theirs, a->key);
		const struct ft_json *p = eval_text(&a->row, "prompt"), *q;

		if (!b)
			eval_die(&a->row,
				 "no answer of this id and sample in '%s'",
				 e->against);
		q = ft_json_get(b->row.obj, "prompt");
		if (q && (q->type != FT_JSON_STRING || q->ns != p->ns ||
			  memcmp(q->s, p->s, p->ns) != 0))
			eval_die(&b->row,
				 "the prompt is another one than in '%s'",
				 a->row.file);
		ask(e, a, b, out);
	}
	if (theirs->n != ours->n)
		ft_die(FT_EXIT_DATA, "%zu answers against %zu in '%s'", ours->n,
		       theirs->n, e->against);
}

/* --- what it says --------------------------------------------------------- */

static _Noreturn void bad_reply(const struct eval *e, size_t line,
				const char *what)
{
	ft_die(FT_EXIT_SYS, "judge '%s': line %zu of its reply: %s", e->judge,
	       line, what);
}

static void take(const struct eval *e, struct answers *ours, size_t line,
		 const char *s, size_t n)
{
	struct ft_arena arena = {0};
	struct ft_row row = {.row = (int64_t)line - 1};
	const struct ft_json *w;
	struct answer *a;
	struct ft_err err;
	char *key;

	if (ft_json_parse(&arena, s, n, &row.obj, &err))
		bad_reply(e, line, err.msg);
	if (row.obj->type != FT_JSON_OBJECT ||
	    !scalar(ft_json_get(row.obj, "id")))
		bad_reply(e, line, "no object with an id");
	key = key_of(&row);
	a = find(ours, key);
	free(key);
	if (!a)
		bad_reply(e, line, "nobody asked about this id and sample");
	if (a->winner != NOBODY)
		bad_reply(e, line, "this id and sample was there before");
	w = ft_json_get(row.obj, "winner");
	if (!w || w->type != FT_JSON_STRING)
		bad_reply(e, line, "field 'winner' missing");
	if (!strcmp(w->s, "tie"))
		a->winner = TIE;
	else if (!strcmp(w->s, "a") || !strcmp(w->s, "b"))
		a->winner = *w->s == 'a' ? FIRST : SECOND;
	else
		bad_reply(e, line, "field 'winner' is not a, b or tie");
	ft_arena_release(&arena);
}

static void take_all(const struct eval *e, struct answers *ours,
		     const struct ft_str *reply)
{
	const char *s = ft_str_cstr(reply), *end = s + reply->n;
	size_t line = 0;

	while (s < end) {
		const char *nl = memchr(s, '\n', (size_t)(end - s));
		size_t n = nl ? (size_t)(nl - s) : (size_t)(end - s);

		take(e, ours, ++line, s, n);
		s += n + !!nl;
	}
	if (line != ours->n)
		ft_die(FT_EXIT_SYS, "judge '%s': %zu replies to %zu rows",
		       e->judge, line, ours->n);
}

static bool same_length(const struct eval *e, const struct answer *a,
			const struct answer *b)
{
	double x = (double)ft_json_get(a->row.obj, "completion")->ns;
	double y = (double)ft_json_get(b->row.obj, "completion")->ns;

	return fabs(x - y) <= e->length_tolerance * fmax(x, y);
}

static void count(struct eval *e, const struct answer *a,
		  const struct answer *b)
{
	bool tie = a->winner == TIE;
	bool win = a->winner == (a->swapped ? SECOND : FIRST);
	const char *says = tie ? "\"tie\"" : win ? "\"a\"" : "\"b\"";
	const char *value = tie ? "0.5" : win ? "1" : "0";
	double v = tie ? 0.5 : win;

	tally_row(e->tally, &a->row, e->group_by, &e->by);
	tally_add(e->tally, "winrate", v, 1);
	if (same_length(e, a, b))
		tally_add(e->tally, "winrate_same_length", v, 1);
	tally_add(e->tally, "ties", tie, 1);
	if (!tie)
		tally_add(e->tally, "first_wins", a->winner == FIRST, 1);
	eval_put(e, &a->row,
		 (struct ft_edit[]){
			 {.key = "winner", .json = says, .n = strlen(says)},
			 {.key = "win", .json = value, .n = strlen(value)},
		 },
		 2);
}

void eval_winrate(struct eval *e, struct ft_rows *rows)
{
	struct answers ours = {0}, theirs = {0};
	struct ft_str question = {0}, reply = {0};
	char *against = ft_xstrdup(e->against);
	struct ft_rows *other;
	struct ft_err err;

	load(&ours, rows);
	if (ft_rows_open(&other, &against, 1, e->map, &err))
		ft_die_err(&err);
	load(&theirs, other);
	ft_rows_close(other);
	ask_all(e, &ours, &theirs, &question);
	if (ours.n && ft_command_run(e->judge, question.s, question.n,
				     e->judge_timeout, MAX_REPLY, &reply, &err))
		ft_die_err(&err);
	take_all(e, &ours, &reply);
	for (size_t i = 0; i < ours.n; i++)
		count(e, &ours.v[i], find(&theirs, ours.v[i].key));
	release(&ours);
	release(&theirs);
	ft_str_release(&question);
	ft_str_release(&reply);
	free(against);
}
