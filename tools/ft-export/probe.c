/* SPDX-License-Identifier: MIT */
/* What a model says of a text, by our own engine. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "libcommon/base/rng.h"
#include "libcommon/text/tokenizer.h"
#include "tools/ft-export/export.h"

enum { MAX_PROBE = 160 };

static const char text[] =
	"Write a widget that counts.\n\n"
	"class Counter extends StatefulWidget {\n"
	"  const Counter({super.key, required this.title});\n\n"
	"  final String title;\n\n"
	"  @override\n"
	"  State<Counter> createState() => _CounterState();\n"
	"}\n\n"
	"def mean(values):\n"
	"    return sum(values) / len(values) if values else 0.0\n\n"
	"The quick brown fox jumps over the lazy dog, 1234567890 times.\n";

/* The probe's ids: the text's, or made up for a model without a tokenizer. */
static void probe_ids(const struct export *e, struct ft_ids *ids)
{
	struct ft_str path = {0};
	struct ft_tok *tok;
	struct ft_err err;

	ft_str_addf(&path, "%s/tokenizer.json", e->dir);
	if (access(path.s, F_OK) == 0) {
		if (ft_tok_load(&tok, e->dir, &err) ||
		    ft_tok_encode(tok, text, sizeof(text) - 1, FT_TOK_SPECIALS,
				  ids, &err))
			ft_die_err(&err);
		ft_tok_free(tok);
	}
	ft_str_release(&path);
	for (size_t i = ids->n; i < 2 || (!ids->start && i < 64); i++) {
		FT_GROW(ids->id, ids->n, ids->cap, 1);
		ids->id[ids->n++] = (int32_t)ft_rng_below(0, FT_RNG_SAMPLE, i,
							  0, e->cfg.vocab);
	}
	if (ids->n > MAX_PROBE)
		ids->n = MAX_PROBE;
	if (ids->n > e->cfg.max_pos)
		ids->n = e->cfg.max_pos;
}

static void open_model(struct export *e, enum probe_what what,
		       const struct ft_adapter **adapter)
{
	const char *dir = what == PROBE_OUT && !e->peft ? e->out : e->dir;
	struct ft_adapter *a = NULL;
	struct ft_err err;

	if (ft_model_open(&e->l.model, e->l.k, dir, FT_HOLD_FROZEN, &err))
		ft_die_err(&err);
	if (what == PROBE_TUNED && e->has_adapter)
		a = &e->adapter;
	if (what == PROBE_OUT && e->peft) {
		a = &e->l.adapter;
		if (ft_adapter_load(a, e->l.k, &e->cfg, e->out, &err))
			ft_die_err(&err);
		e->l.has_adapter = true;
	}
	if (a && ft_adapter_attach(a, e->l.model, false, &err))
		ft_die_err(&err);
	*adapter = a;
}

static void close_model(struct export *e)
{
	if (e->l.has_adapter)
		ft_adapter_release(&e->l.adapter);
	e->l.has_adapter = false;
	ft_model_close(e->l.model);
	e->l.model = NULL;
}

void probe_run(struct export *e, struct probe *p, enum probe_what what)
{
	struct ft_ids ids = {0};
	struct ft_tokens tokens = {0};
	struct ft_pass pass = {0};
	const int32_t *segment[2];
	size_t len[2] = {0};
	struct ft_run run = {0};
	struct ft_reserve room;
	struct ft_err err;

	probe_ids(e, &ids);
	segment[0] = segment[1] = ids.id;
	len[1] = ids.n;
	ft_tokens_add(&tokens, 0, 2, segment, len, NULL);
	ft_pass_add(&pass, &tokens, 0, true);
	open_model(e, what, &run.adapter);
	room = (struct ft_reserve){.t = pass.t,
				   .nseg = pass.nseg,
				   .n = pass.n,
				   .positions = pass.maxpos};
	ft_reserve_adapter(&room, run.adapter);
	if (ft_model_reserve(e->l.model, &room, &err))
		ft_die_err(&err);
	p->n = pass.n;
	p->logp = ft_xcalloc(pass.n + 1, sizeof(*p->logp));
	ft_model_forward(e->l.model, &run, &pass);
	ft_model_head(e->l.model, &pass, NULL, p->logp, NULL, NULL);
	close_model(e);
	ft_pass_release(&pass);
	ft_tokens_release(&tokens);
	ft_ids_release(&ids);
}

double probe_differ(const struct probe *a, const struct probe *b)
{
	double worst = 0;

	for (size_t i = 0; i < a->n && i < b->n; i++) {
		double d = fabs((double)a->logp[i] - b->logp[i]) /
			   fmax(1, fabs((double)b->logp[i]));

		if (!(d <= worst))
			worst = d;
	}
	return a->n == b->n ? worst : NAN;
}

void probe_release(struct probe *p)
{
	free(p->logp);
}
