/* SPDX-License-Identifier: MIT */
/*
 * The memory that passes go through: one function says what there is; run
 * without memory it counts, run with it it carves.
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/mem.h"
#include "libcommon/nn/model_priv.h"

enum { CHUNK_BYTES = 32 << 20, CHUNK_MIN = 64 };

/* Rows of logits at a time: such that they stay a small part of memory. */
static size_t chunk_rows(const struct ft_model *m, size_t n)
{
	size_t rows = CHUNK_BYTES / (m->cfg.vocab * m->k->real_size);

	if (rows < CHUNK_MIN)
		rows = CHUNK_MIN;
	return rows < n ? rows : n ? n : 1;
}

static size_t max2(size_t a, size_t b)
{
	return a > b ? a : b;
}

static size_t min2(size_t a, size_t b)
{
	return a < b ? a : b;
}

enum { THREADS = 16 };

static void no_run(void *pool, void (*fn)(void *arg, size_t piece, int worker),
		   void *arg, size_t n)
{
	(void)pool, (void)fn, (void)arg, (void)n;
}

struct need {
	struct ftk *k;
	const struct ft_reserve *r;
	size_t n;
};

/* What a query looks at is whether an output is wanted, never where. */
static char some;

static void want(struct need *a, size_t n)
{
	a->n = max2(a->n, n);
}

/* Slots that are computed together, n of them from s on, all with the weights
   of one layer. */
struct group {
	enum ft_slot s;
	size_t n;
	struct ftk_matrix mat[FTK_LINEAR_MAX];
	const struct ftk_weight *w[FTK_LINEAR_MAX];
};

/* With LoRA of rank r, whose input is dropped or not. */
static void linear_needs(struct need *a, const struct group *g, size_t r,
			 float p)
{
	struct ftk *k = a->k;
	struct ftk_matmul y[FTK_LINEAR_MAX];
	struct ftk_matmul_dx dx[FTK_LINEAR_MAX];
	struct ftk_lora l[FTK_LINEAR_MAX];
	struct ftk_lora_backward b[FTK_LINEAR_MAX];
	size_t m = a->r->t;

	for (size_t i = 0; i < g->n; i++) {
		size_t n = g->mat[i].n, in = g->mat[i].k;

		y[i] = (struct ftk_matmul){.w = g->w[i], .m = m};
		dx[i] = (struct ftk_matmul_dx){
			.dx = &some, .w = g->w[i], .m = m};
		l[i] = (struct ftk_lora){
			.m = m, .n = n, .k = in, .r = r, .drop.p = p};
		b[i] = (struct ftk_lora_backward){.dx = &some,
						  .m = m,
						  .n = n,
						  .k = in,
						  .r = r,
						  .drop.p = p};
		if (r)
			want(a, k->lora_ws(k, &l[i])); /* for u alone */
	}
	want(a, k->linear_ws(k, &(struct ftk_linear){y, l, g->n, NULL}));
	if (a->r->save)
		want(a, k->linear_backward_ws(k, &(struct ftk_linear_backward){
							 dx, b, g->n, NULL}));
}

static void weight_gradient_needs(struct need *a, const struct ftk_matrix *mat,
				  size_t rows, int real)
{
	if (a->r->save)
		want(a, a->k->matmul_dw_ws(
				a->k, &(struct ftk_matmul_dw){.dw = &some,
							      .dbias = &some,
							      .m = rows,
							      .n = mat->n,
							      .k = mat->k,
							      .real = real}));
}

/* A product apart, whose output may be REAL, and its gradients. */
static void product_needs(struct need *a, const struct ftk_weight *w,
			  const struct ftk_matrix *mat, size_t rows, int real)
{
	struct ftk *k = a->k;

	want(a, k->matmul_ws(k, &(struct ftk_matmul){
					.w = w, .m = rows, .real = real}));
	if (a->r->save)
		want(a, k->matmul_dx_ws(
				k, &(struct ftk_matmul_dx){
					   .w = w, .m = rows, .real = real}));
	weight_gradient_needs(a, mat, rows, real);
}

static void layer_needs(struct ft_model *m, struct need *a,
			const struct group *g)
{
	if (g->s == FT_HEAD) {
		product_needs(a, g->w[0], &g->mat[0], chunk_rows(m, a->r->n),
			      1);
		return;
	}
	for (size_t i = 0; i < g->n; i++)
		weight_gradient_needs(a, &g->mat[i], a->r->t, 0);
	linear_needs(a, g, 0, 0);
	if (a->r->r) {
		linear_needs(a, g, a->r->r, 0);
		linear_needs(a, g, a->r->r, 0.5f);
	}
}

/* Before there are weights handles without contents answer.  -1: there is no
   memory even for their outlines. */
static int ask(struct ft_model *m, struct need *a, struct group g)
{
	void *mem[FTK_LINEAR_MAX] = {NULL};
	bool none = false;

	for (size_t i = 0; i < g.n; i++) {
		if (g.w[i])
			continue;
		mem[i] = a->k->alloc(a->k, a->k->weight_bytes(a->k, &g.mat[i]));
		none |= !mem[i];
		if (mem[i])
			g.w[i] = a->k->weight_make(a->k, mem[i], &g.mat[i]);
	}
	if (!none)
		layer_needs(m, a, &g);
	for (size_t i = 0; i < g.n; i++)
		if (mem[i])
			a->k->free(a->k, mem[i]);
	return none ? -1 : 0;
}

/* What an adapter may want of each apart: DoRA; to have it whole. */
static int ask_apart(struct ft_model *m, struct need *a, const struct group *g)
{
	int rc = 0;

	for (size_t i = 0; i < g->n && !rc; i++) {
		struct group one = {.s = g->s, .n = 1};

		one.mat[0] = g->mat[i];
		one.w[0] = g->w[i];
		if (a->r->dora)
			rc = ask(m, a, one);
		one.mat[0].type = a->k->real;
		one.mat[0].use = ft_slot_use(FT_HEAD) | FTK_W_TRAINED;
		one.w[0] = NULL;
		if (a->r->whole && !rc)
			rc = ask(m, a, one);
	}
	return rc;
}

static int group_needs(struct ft_model *m, struct need *a, enum ft_slot s,
		       size_t n)
{
	struct group was = {.n = 0};
	size_t layers = s < FT_FIRST_LAYER_SLOT ? 1 : m->cfg.layers;

	for (size_t l = 0; l < layers; l++) {
		struct group g = {.s = s, .n = n};
		bool same = was.n;

		for (size_t i = 0; i < n; i++) {
			enum ft_slot at = s + (enum ft_slot)i;

			g.mat[i] = ft_model_matrix(m, at, l);
			g.w[i] = ft_weight_at(m, at, l)->w;
			same &= g.mat[i].type == was.mat[i].type &&
				g.mat[i].use == was.mat[i].use;
		}
		was = g;
		if (!same && (ask(m, a, g) < 0 || ask_apart(m, a, &g) < 0))
			return -1;
	}
	return 0;
}

/* Products with one factor [n, k] of LoRA on the embedding or the head. */
static int factor_needs(struct need *a, size_t n, size_t k, size_t rows,
			int real)
{
	struct ftk_matrix mat = {.type = a->k->real,
				 .n = n,
				 .k = k,
				 .use = ft_slot_use(FT_HEAD) | FTK_W_TRAINED};
	void *mem = a->k->alloc(a->k, a->k->weight_bytes(a->k, &mat));

	if (!mem)
		return -1;
	product_needs(a, a->k->weight_make(a->k, mem, &mat), &mat, rows, real);
	a->k->free(a->k, mem);
	return 0;
}

static int ends_need(struct ft_model *m, struct need *a)
{
	size_t chunk = chunk_rows(m, a->r->n), r = a->r->r;
	size_t c = m->cfg.hidden;

	return factor_needs(a, c, r, a->r->t, 0) < 0 ||
			       factor_needs(a, r, c, chunk, 0) < 0 ||
			       factor_needs(a, m->cfg.vocab, r, chunk, 1) < 0
		       ? -1
		       : 0;
}

/* How many slots are computed together from s on; 0: none, or it is one of
   those before. */
static size_t group_at(const struct ft_model *m, enum ft_slot s)
{
	size_t n, in;

	ft_config_shape(&m->cfg, s, &n, &in);
	if (!in || s == FT_EMBED || s == FT_POS || !ft_has(m, s))
		return 0;
	if (s == FT_K || s == FT_V || s == FT_UP)
		return 0;
	return s == FT_Q ? 3 : s == FT_GATE && ft_has(m, FT_UP) ? 2 : 1;
}

/* The most scratch that any op of a pass asks k for. */
static size_t scratch_of(struct ft_model *m, struct ftk *k,
			 const struct ft_reserve *r)
{
	const struct ft_config *c = &m->cfg;
	struct need a = {.k = k, .r = r};
	size_t n;

	for (int s = 0; s < FT_NSLOT; s++) {
		n = group_at(m, (enum ft_slot)s);
		if (n && group_needs(m, &a, (enum ft_slot)s, n) < 0)
			return SIZE_MAX;
	}
	if (r->ends && ends_need(m, &a) < 0)
		return SIZE_MAX;
	n = k->attn_ws(k, &(struct ftk_attn){.lse = &some,
					     .softcap = c->attn_cap,
					     .nseg = r->nseg,
					     .tq = r->t,
					     .hq = c->heads,
					     .hkv = c->kv_heads,
					     .d = c->head_dim});
	a.n = max2(a.n, n);
	if (!r->save)
		return a.n;
	n = k->attn_backward_ws(
		k, &(struct ftk_attn_backward){.softcap = c->attn_cap,
					       .nseg = r->nseg,
					       .tq = r->t,
					       .hq = c->heads,
					       .hkv = c->kv_heads,
					       .d = c->head_dim});
	a.n = max2(a.n, n);
	for (int heads = 0; heads < 2; heads++) {
		n = k->norm_backward_ws(
			k, &(struct ftk_norm_backward){
				   .dw = &some,
				   .db = &some,
				   .t = heads ? r->t * c->heads : r->t,
				   .c = heads ? c->head_dim : c->hidden});
		if (!heads || ft_has(m, FT_Q_NORM))
			a.n = max2(a.n, n);
	}
	return a.n;
}

/* Scratch for threads that there may not be: a plan does not depend on how
   many there are. */
static size_t scratch(struct ft_model *m, const struct ft_reserve *r)
{
	struct ftk_threads t = {.nthreads = THREADS, .run = no_run};
	const char *why, *name = m->k->name;
	struct ftk *k;
	size_t n;

	if (!strcmp(name, "cpu") && m->k->act == FTK_BF16)
		name = "cpu-bf16";
	k = strcmp(name, "cuda") ? ftk_open(name, &t, &why) : NULL;
	n = scratch_of(m, k ? k : m->k, r);
	if (k)
		k->close(k);
	return n;
}

/* --- what there is --- */

/* What only some families' norms read. */
static void carve_norms(const struct ft_model *m, const struct ft_reserve *r,
			struct ft_carve *a, struct ft_layer_acts *l)
{
	const struct ft_config *c = &m->cfg;
	size_t as = m->k->act_size, rs = m->k->real_size, t = r->t;

	if (ft_has(m, FT_Q_NORM)) {
		l->rq = ft_take(a, t * c->heads * c->head_dim, as);
		l->rk = ft_take(a, t * c->kv_heads * c->head_dim, as);
		l->statq = ft_take(a, t * c->heads * 2, rs);
		l->statk = ft_take(a, t * c->kv_heads * 2, rs);
	}
	if (ft_has(m, FT_ATTN_POST)) {
		l->pa = ft_take(a, t * c->hidden, as);
		l->pm = ft_take(a, t * c->hidden, as);
		l->stat3 = ft_take(a, t * 2, rs);
		l->stat4 = ft_take(a, t * 2, rs);
	}
}

/* All that a layer has of its own; what norms and the gate make is from's
   where that is given. */
static void carve_layer(const struct ft_model *m, const struct ft_reserve *r,
			struct ft_carve *a, const struct ft_layer_acts *from,
			struct ft_layer_acts *l)
{
	const struct ft_config *c = &m->cfg;
	size_t as = m->k->act_size, rs = m->k->real_size, t = r->t;
	size_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;

	l->xa = ft_take(a, t * c->hidden, as);
	l->xm = r->save && !c->arch->parallel ? ft_take(a, t * c->hidden, as)
					      : l->xa;
	l->stat1 = ft_take(a, t * 2, rs);
	l->stat2 = ft_take(a, t * 2, rs);
	l->n1 = from ? from->n1 : ft_take(a, t * c->hidden, as);
	if (from)
		l->n2 = from->n2;
	else
		l->n2 = r->save && !c->arch->parallel
				? ft_take(a, t * c->hidden, as)
				: l->n1;
	l->q = ft_take(a, t * q, as);
	l->k = ft_take(a, t * kv, as);
	l->v = ft_take(a, t * kv, as);
	l->o = ft_take(a, t * q, as);
	l->lse = r->save ? ft_take(a, t * c->heads, rs) : NULL;
	l->gate = ft_take(a, t * c->inter, as);
	l->up = ft_has(m, FT_UP) ? ft_take(a, t * c->inter, as) : NULL;
	if (from)
		l->h = from->h;
	else
		l->h = r->save ? ft_take(a, t * c->inter, as) : l->gate;
	for (int s = FT_FIRST_LAYER_SLOT; s < FT_NSLOT; s++) {
		if (r->r && ft_slot_is_linear((enum ft_slot)s) &&
		    ft_has(m, (enum ft_slot)s))
			l->u[s] = ft_take(a, t * r->r, as);
	}
	carve_norms(m, r, a, l);
}

static void carve_layers(struct ft_model *m, const struct ft_reserve *r,
			 struct ft_carve *a)
{
	size_t last = m->cfg.layers - 1;
	const struct ft_layer_acts *lends = &m->act[last];

	carve_layer(m, r, a, NULL, &m->act[last]);
	for (size_t l = 0; l < last; l++) {
		struct ft_layer_acts *to = &m->act[l];

		if (r->save && l >= r->heavy) {
			carve_layer(m, r, a, l < r->light ? lends : NULL, to);
			continue;
		}
		*to = *lends;
		if (r->save)
			to->xa = ft_take(a, r->t * m->cfg.hidden,
					 m->k->act_size);
		if (m->cfg.arch->parallel)
			to->xm = to->xa;
	}
}

static void carve_head(struct ft_model *m, const struct ft_reserve *r,
		       struct ft_carve *a)
{
	const struct ft_config *c = &m->cfg;
	size_t as = m->k->act_size, rs = m->k->real_size;

	m->chunk = chunk_rows(m, r->n);
	m->src = ft_take(a, m->chunk, sizeof(int32_t));
	m->target = ft_take(a, m->chunk, sizeof(int32_t));
	m->hrow = ft_take(a, m->chunk * c->hidden, as);
	m->dhrow = ft_take(a, m->chunk * c->hidden, as);
	m->logits = ft_take(a, m->chunk * c->vocab, rs);
	m->coef = ft_take(a, m->chunk, rs);
	m->logp = ft_take(a, m->chunk, rs);
	m->lse = ft_take(a, m->chunk, rs);
	m->entropy = ft_take(a, m->chunk, rs);
	m->hit = ft_take(a, m->chunk, 1);
	if (r->slopes && !m->full)
		m->slope = ft_take(a, r->n * c->hidden, as);
}

static void carve_backward(struct ft_model *m, const struct ft_reserve *r,
			   struct ft_carve *a)
{
	const struct ft_config *c = &m->cfg;
	size_t as = m->k->act_size, t = r->t;
	size_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;

	m->dx = ft_take(a, t * c->hidden, as);
	m->dn = ft_take(a, t * c->hidden, as);
	m->dq = ft_take(a, t * q, as);
	m->dk = ft_take(a, t * kv, as);
	m->dv = ft_take(a, t * kv, as);
	m->dao = ft_take(a, t * q, as);
	m->dh = ft_take(a, t * c->inter, as);
	if (ft_has(m, FT_Q_NORM)) {
		m->drq = ft_take(a, t * q, as);
		m->drk = ft_take(a, t * kv, as);
	}
	if (ft_has(m, FT_ATTN_POST))
		m->dpost = ft_take(a, t * c->hidden, as);
}

/* What adapters have beside the layers' u. */
static void carve_adapter(struct ft_model *m, const struct ft_reserve *r,
			  struct ft_carve *a)
{
	size_t as = m->k->act_size, n, k, wide = 0, deep = 0;

	for (int s = FT_FIRST_LAYER_SLOT; s < FT_NSLOT; s++) {
		if (!ft_slot_is_linear((enum ft_slot)s))
			continue;
		ft_config_shape(&m->cfg, (enum ft_slot)s, &n, &k);
		wide = ft_has(m, (enum ft_slot)s) ? max2(wide, n) : wide;
		deep = ft_has(m, (enum ft_slot)s) ? max2(deep, k) : deep;
	}
	if (r->ends) {
		m->ue = ft_take(a, r->t * r->r, as);
		m->uh = ft_take(a, m->chunk * r->r, as);
	}
	if (r->ends && r->save) {
		m->duh = ft_take(a, m->chunk * r->r, as);
		m->hx = ft_take(a, m->chunk * m->cfg.hidden, as);
		m->hkey = ft_take(a, m->chunk, sizeof(*m->hkey));
	}
	if (r->dora)
		m->z = ft_take(a, r->t * wide, as);
	if (r->dora && r->save)
		m->xd = ft_take(a, r->t * deep, as);
}

/* more: threads beyond those that every plan has room for take their own. */
static void carve(struct ft_model *m, const struct ft_reserve *r, bool more,
		  struct ft_carve *a)
{
	const struct ft_config *c = &m->cfg;
	size_t as = m->k->act_size, rs = m->k->real_size, t = r->t;
	size_t ws = scratch(m, r);

	if (more)
		ws = max2(ws, scratch_of(m, m->k, r));
	a->part = r->save ? FT_PLAN_KEPT : FT_PLAN_WORK;
	carve_layers(m, r, a);
	m->x_final = r->save ? ft_take(a, t * c->hidden, as) : m->act[0].xa;
	m->n_final = ft_take(a, t * c->hidden, as);
	m->stat_final = ft_take(a, t * 2, rs);
	a->part = FT_PLAN_LOGITS;
	carve_head(m, r, a);
	a->part = FT_PLAN_WORK;
	m->tmp = ft_take(a, t * c->hidden, as);
	m->table = ft_take(a, r->positions * c->rot, rs);
	if (c->arch->local_theta != 0)
		m->local = ft_take(a, r->positions * c->rot, rs);
	if (ft_has(m, FT_QKV)) {
		m->qkv = ft_take(a, t * 3 * c->hidden, as);
		m->thirds = ft_take(a, t * 3, sizeof(*m->thirds));
	}
	m->ids = ft_take(a, t, sizeof(int32_t));
	m->pos = ft_take(a, t, sizeof(int32_t));
	m->place = ft_take(a, t, sizeof(int32_t));
	m->key = ft_take(a, t, sizeof(uint64_t));
	m->seg = ft_take(a, r->nseg, sizeof(struct ftk_segment));
	carve_adapter(m, r, a);
	if (r->save)
		carve_backward(m, r, a);
	m->ws = ft_take(a, ws, 1);
}

void ft_reserve_adapter(struct ft_reserve *r, const struct ft_adapter *a)
{
	if (!a)
		return;
	r->r = a->max_r;
	r->dora = a->dora;
	r->whole = a->nwhole > 0;
	r->ends = a->at[FT_EMBED] >= 0 || a->at[FT_HEAD] >= 0;
}

void ft_model_plan_acts(struct ft_model *m, const struct ft_reserve *r,
			bool more, struct ft_plan *p)
{
	struct ft_carve a = {.plan = p};
	struct ft_model count = *m;

	count.act = ft_xcalloc(m->cfg.layers, sizeof(*count.act));
	carve(&count, r, more, &a);
	free(count.act);
}

static bool fits(const struct ft_reserve *have, const struct ft_reserve *r)
{
	if (r->save && (have->light > r->light || have->heavy > r->heavy))
		return false;
	return have->t >= r->t && have->nseg >= r->nseg && have->n >= r->n &&
	       have->positions >= r->positions && have->r >= r->r &&
	       have->save >= r->save && have->slopes >= r->slopes &&
	       have->dora >= r->dora && have->ends >= r->ends &&
	       have->whole >= r->whole;
}

static void put_table(struct ft_model *m, const struct ft_rope *r, void *to)
{
	size_t n = m->cap.positions * m->cfg.rot;
	float *table = ft_xmalloc(n * sizeof(float) + 1);

	ft_rope_table(&m->cfg, r, m->cap.positions, table);
	m->k->put_real(m->k, to, table, n);
	m->k->sync(m->k);
	free(table);
}

/* Of [t, 3] rows the first, the second, the third of each token. */
static void put_thirds(struct ft_model *m)
{
	size_t t = m->cap.t;
	int32_t *idx = ft_xmalloc(3 * t * sizeof(*idx) + 1);

	for (size_t i = 0; i < 3 * t; i++)
		idx[i] = (int32_t)(i % t * 3 + i / t);
	m->k->put(m->k, m->thirds, idx, 3 * t * sizeof(*idx));
	m->k->sync(m->k);
	free(idx);
}

int ft_model_reserve(struct ft_model *m, const struct ft_reserve *want,
		     struct ft_err *err)
{
	struct ft_reserve r = *want;
	struct ft_carve a = {0};

	if (m->mem && fits(&m->cap, &r))
		return 0;
	if (r.positions > ft_config_positions(&m->cfg))
		return ft_err_set(
			err, FT_EXIT_DATA,
			"%zu positions are asked for: the model has %zu",
			r.positions, ft_config_positions(&m->cfg));
	if (m->cap.save) {
		r.light = r.save ? min2(r.light, m->cap.light) : m->cap.light;
		r.heavy = r.save ? min2(r.heavy, m->cap.heavy) : m->cap.heavy;
	}
	r.t = max2(r.t, m->cap.t);
	r.nseg = max2(r.nseg, m->cap.nseg);
	r.n = max2(r.n, m->cap.n);
	r.positions = max2(r.positions, m->cap.positions);
	r.r = max2(r.r, m->cap.r);
	r.save = r.save || m->cap.save;
	r.slopes = r.slopes || m->cap.slopes;
	r.dora = r.dora || m->cap.dora;
	r.ends = r.ends || m->cap.ends;
	r.whole = r.whole || m->cap.whole;
	r.heavy = min2(r.heavy, m->cfg.layers - 1);
	r.light = max2(min2(r.light, m->cfg.layers - 1), r.heavy);
	if (m->mem)
		m->k->free(m->k, m->mem);
	m->mem = NULL;
	carve(m, &r, true, &a);
	m->mem = m->k->alloc(m->k, a.n);
	if (!m->mem)
		return ft_err_set(
			err, FT_EXIT_SYS,
			"no memory for activations of %zu tokens (%zu MB)", r.t,
			a.n >> 20);
	m->mem_bytes = a.n;
	a = (struct ft_carve){.base = m->mem};
	carve(m, &r, true, &a);
	m->cap = r;
	m->ones = ft_xrealloc(m->ones, m->chunk, sizeof(*m->ones));
	for (size_t i = 0; i < m->chunk; i++)
		m->ones[i] = 1;
	put_table(m, &m->cfg.rope, m->table);
	if (m->local)
		put_table(m, &m->cfg.local, m->local);
	if (m->thirds)
		put_thirds(m);
	return 0;
}
