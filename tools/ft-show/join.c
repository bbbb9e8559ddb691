/* SPDX-License-Identifier: MIT */
/* Several streams as one. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"
#include "tools/ft-show/show.h"
#include "tools/ft-show/stream.h"

static void add_ledgers(struct ft_str *out, const struct ft_json *x,
			const struct ft_json *y, const char *name);

static void add_key(struct ft_str *out, const struct ft_json *c, bool first)
{
	if (!first)
		ft_str_addc(out, ',');
	ft_str_add_json(out, c->key, c->nkey);
	ft_str_addc(out, ':');
}

static void add_objects(struct ft_str *out, const struct ft_json *x,
			const struct ft_json *y)
{
	bool first = true;

	ft_str_addc(out, '{');
	for (const struct ft_json *c = x->child; c; c = c->next) {
		add_key(out, c, first);
		add_ledgers(out, c, ft_json_get(y, c->key), c->key);
		first = false;
	}
	for (const struct ft_json *c = y->child; c; c = c->next) {
		if (ft_json_get(x, c->key))
			continue;
		add_key(out, c, first);
		ft_str_add(out, c->raw, c->nraw);
		first = false;
	}
	ft_str_addc(out, '}');
}

/* Numbers are added, objects member by member; all else must be the same. */
static void add_ledgers(struct ft_str *out, const struct ft_json *x,
			const struct ft_json *y, const char *name)
{
	int64_t sum;

	if (y && x->type == FT_JSON_OBJECT && y->type == FT_JSON_OBJECT) {
		add_objects(out, x, y);
	} else if (y && x->type == FT_JSON_NUMBER &&
		   y->type == FT_JSON_NUMBER) {
		if (x->is_int && y->is_int &&
		    !__builtin_add_overflow(x->i, y->i, &sum))
			ft_str_addf(out, "%jd", (intmax_t)sum);
		else
			ft_str_add_double(out, x->num + y->num);
	} else if (!y || (x->nraw == y->nraw &&
			  memcmp(x->raw, y->raw, x->nraw) == 0)) {
		ft_str_add(out, x->raw, x->nraw);
	} else {
		ft_die(FT_EXIT_DATA, "ledgers differ in '%.100s'", name);
	}
}

static void sum_ledger(struct ft_str *sum, const struct ft_str *more)
{
	struct ft_str out = {0};
	struct ft_arena a = {0};
	struct ft_json *x, *y;
	struct ft_err err;

	if (ft_json_parse(&a, sum->s, sum->n, &x, &err) < 0 ||
	    ft_json_parse(&a, more->s, more->n, &y, &err) < 0)
		ft_die_err(&err);
	add_ledgers(&out, x, y, "");
	ft_arena_release(&a);
	ft_str_release(sum);
	*sum = out;
}

static void check_same(const struct stream *first, const struct stream *st)
{
	const struct ft_stream_info *x = &first->info, *y = &st->info;
	const char *what = NULL;

	if (x->kind != y->kind)
		what = "kind";
	else if (strcmp(x->tokenizer, y->tokenizer) != 0)
		what = "tokenizer";
	else if (x->vocab_size != y->vocab_size)
		what = "vocabulary";
	else if (strcmp(x->reference, y->reference) != 0)
		what = "reference model";
	if (what)
		ft_die(FT_EXIT_DATA, "%s: of another %s than %s", st->s->name,
		       what, first->s->name);
}

/* What joining did: each part's digest, rows and own provenance. */
static void add_part(struct ft_str *b, const struct ft_stream_info *i,
		     bool first)
{
	ft_str_addf(b, "%s{\"digest\":\"%s\",\"rows\":%jd,\"provenance\":%s}",
		    first ? "" : ",", i->digest, (intmax_t)i->rows,
		    i->provenance.s);
}

/* Read all of them to their ends: nothing is written before that. */
static void read_infos(const struct source *s, int n,
		       struct ft_stream_info *info, struct ft_str *ledger)
{
	struct stream first, st;
	struct ft_str *prov = &info->provenance;
	int64_t max;

	stream_open(&first, &s[0]);
	while (stream_next(&first))
		;
	*info = first.info;
	info->ledger = info->provenance = (struct ft_str){0};
	max = info->max_length ? info->max_length : INT64_MAX;
	ft_str_adds(prov, "[{\"tool\":\"ft-show\",\"version\":\"" FT_VERSION
			  "\",\"options\":{\"join\":true},\"inputs\":[");
	ft_str_add(ledger, first.info.ledger.s, first.info.ledger.n);
	add_part(prov, &first.info, true);
	for (int i = 1; i < n; i++) {
		stream_open(&st, &s[i]);
		check_same(&first, &st);
		while (stream_next(&st))
			;
		if (st.info.max_length == 0)
			max = INT64_MAX;
		else if (st.info.max_length > max)
			max = st.info.max_length;
		sum_ledger(ledger, &st.info.ledger);
		add_part(prov, &st.info, false);
		stream_close(&st);
	}
	ft_str_adds(prov, "]}]");
	info->max_length = max == INT64_MAX ? 0 : max;
	stream_close(&first);
}

/* The rows of one, whose source lines go on from base; returns the base of
   the next. */
static int64_t copy_rows(struct ft_stream_writer *w, const struct source *s,
			 int64_t base)
{
	int64_t next = base;
	struct stream st;
	struct ft_err err;

	stream_open(&st, s);
	while (stream_next(&st))
		for (size_t r = 0; r < st.b.nrow; r++) {
			if (st.b.row[r] >= INT64_MAX - base)
				ft_die(FT_EXIT_DATA,
				       "%s: source line %jd is too large",
				       s->name, (intmax_t)st.b.row[r]);
			st.b.row[r] += base;
			if (st.b.row[r] >= next)
				next = st.b.row[r] + 1;
			if (ft_stream_put(w, &st.b, r, &err) < 0)
				source_die(s, &err);
		}
	stream_close(&st);
	return next;
}

void stream_join(struct show *sh, char **files, int n)
{
	struct source *s = ft_xcalloc((size_t)n, sizeof(*s));
	struct ft_stream_info info = {0};
	struct ft_str ledger = {0};
	struct ft_stream_writer *w;
	struct ft_err err;
	int64_t base = 0;

	for (int i = 0; i < n; i++)
		source_open(&s[i], files[i]);
	read_infos(s, n, &info, &ledger);
	if (ft_stream_begin(&w, sh->out, &info, &err) < 0)
		ft_die_err(&err);
	for (int i = 0; i < n; i++)
		base = copy_rows(w, &s[i], base);
	if (ft_stream_end(w, ledger.s, &err) < 0)
		ft_die_err(&err);
	for (int i = 0; i < n; i++)
		source_close(&s[i]);
	free(s);
	ft_stream_info_release(&info);
	ft_str_release(&ledger);
}
