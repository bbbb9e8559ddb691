/* SPDX-License-Identifier: MIT */
/*
 * The memory that passes go through: one function says what there is; run
 * without memory it counts, run with it it carves.
 */
#include <stdlib.h>

#include "libcommon/base/mem.h"
#include "libcommon/nn/model_priv.h"

struct carve {
	char *base; /* NULL: count only */
	size_t n;
};

static void *take(struct carve *c, size_t count, size_t size)
{
	void *p = c->base ? c->base + c->n : NULL;

	c->n += (count * size + 63) / 64 * 64;
	return p;
}

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

/* The most that products with the weights of a slot ask for: some layers' may
   be in 4 bits, others' not. */
static size_t products(const struct ft_model *m, enum ft_slot s, size_t rows,
		       bool save)
{
	size_t layers = s < FT_FIRST_LAYER_SLOT ? 1 : m->cfg.layers, need = 0;
	struct ftk *k = m->k;

	for (size_t i = 0; i < layers; i++) {
		struct ftk_matmul y = {.w = ft_weight_at(m, s, i)->w,
				       .m = rows,
				       .real = s == FT_HEAD};
		struct ftk_matmul_dx dx = {.w = y.w, .m = rows, .real = y.real};

		need = max2(need, k->matmul_ws(k, &y));
		if (save)
			need = max2(need, k->matmul_dx_ws(k, &dx));
	}
	return need;
}

/* The most scratch that any op of a pass asks for.  What a query looks at is
   whether an output is wanted, never where: some says it is. */
static size_t scratch(const struct ft_model *m, const struct ft_reserve *r)
{
	const struct ft_config *c = &m->cfg;
	struct ftk *k = m->k;
	size_t need = 0, n, in, rows;
	void *some = &need;

	for (int s = 0; s < FT_NSLOT; s++) {
		ft_config_shape(c, (enum ft_slot)s, &n, &in);
		if (!in || s == FT_EMBED)
			continue;
		rows = s == FT_HEAD ? chunk_rows(m, r->n) : r->t;
		int real = s == FT_HEAD;

		need = max2(need, products(m, (enum ft_slot)s, rows, r->save));
		if (r->save) {
			need = max2(need,
				    k->matmul_dw_ws(k, &(struct ftk_matmul_dw){
							       .dw = some,
							       .dbias = some,
							       .m = rows,
							       .n = n,
							       .k = in,
							       .real = real}));
		}
		if (!r->r || !ft_slot_is_linear((enum ft_slot)s))
			continue;
		need = max2(need,
			    k->lora_ws(k, &(struct ftk_lora){.m = rows,
							     .n = n,
							     .k = in,
							     .r = r->r,
							     .drop.p = 0.5f}));
		need = max2(need,
			    k->lora_backward_ws(k, &(struct ftk_lora_backward){
							   .dx = some,
							   .m = rows,
							   .n = n,
							   .k = in,
							   .r = r->r,
							   .drop.p = 0.5f}));
	}
	need = max2(need, k->attn_ws(k, &(struct ftk_attn){.lse = some,
							   .nseg = r->nseg,
							   .tq = r->t,
							   .hq = c->heads,
							   .hkv = c->kv_heads,
							   .d = c->head_dim}));
	need = max2(need, k->attn_backward_ws(k, &(struct ftk_attn_backward){
							 .nseg = r->nseg,
							 .tq = r->t,
							 .hq = c->heads,
							 .hkv = c->kv_heads,
							 .d = c->head_dim}));
	need = max2(need, k->norm_backward_ws(k, &(struct ftk_norm_backward){
							 .dw = some,
							 .db = some,
							 .t = r->t,
							 .c = c->hidden}));
	return need;
}

static void carve_layer(const struct ft_model *m, const struct ft_reserve *r,
			struct carve *a, struct ft_layer_acts *l)
{
	const struct ft_config *c = &m->cfg;
	size_t as = m->k->act_size, rs = m->k->real_size, t = r->t;
	size_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;

	l->xa = take(a, t * c->hidden, as);
	l->xm = r->save ? take(a, t * c->hidden, as) : l->xa;
	l->stat1 = take(a, t * 2, rs);
	l->stat2 = take(a, t * 2, rs);
	l->n1 = take(a, t * c->hidden, as);
	l->n2 = r->save ? take(a, t * c->hidden, as) : l->n1;
	l->q = take(a, t * q, as);
	l->k = take(a, t * kv, as);
	l->v = take(a, t * kv, as);
	l->o = take(a, t * q, as);
	l->lse = r->save ? take(a, t * c->heads, rs) : NULL;
	l->gate = take(a, t * c->inter, as);
	l->up = take(a, t * c->inter, as);
	l->h = r->save ? take(a, t * c->inter, as) : l->gate;
	for (int s = FT_FIRST_LAYER_SLOT; s < FT_NSLOT; s++) {
		if (r->r && ft_slot_is_linear((enum ft_slot)s))
			l->u[s] = take(a, t * r->r, as);
	}
}

static void carve_backward(struct ft_model *m, const struct ft_reserve *r,
			   struct carve *a)
{
	const struct ft_config *c = &m->cfg;
	size_t as = m->k->act_size, t = r->t;
	size_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;

	m->dx = take(a, t * c->hidden, as);
	m->dn = take(a, t * c->hidden, as);
	m->dq = take(a, t * q, as);
	m->dk = take(a, t * kv, as);
	m->dv = take(a, t * kv, as);
	m->dao = take(a, t * q, as);
	m->dh = take(a, t * c->inter, as);
}

static void carve(struct ft_model *m, const struct ft_reserve *r,
		  struct carve *a)
{
	const struct ft_config *c = &m->cfg;
	size_t as = m->k->act_size, rs = m->k->real_size, t = r->t;

	for (size_t l = 0; l < c->layers; l++) {
		if (l && !r->save)
			m->act[l] = m->act[0];
		else
			carve_layer(m, r, a, &m->act[l]);
	}
	m->x_final = r->save ? take(a, t * c->hidden, as) : m->act[0].xa;
	m->n_final = take(a, t * c->hidden, as);
	m->stat_final = take(a, t * 2, rs);
	m->tmp = take(a, t * c->hidden, as);
	m->table = take(a, r->positions * c->head_dim, rs);
	m->ids = take(a, t, sizeof(int32_t));
	m->pos = take(a, t, sizeof(int32_t));
	m->place = take(a, t, sizeof(int32_t));
	m->key = take(a, t, sizeof(uint64_t));
	m->seg = take(a, r->nseg, sizeof(struct ftk_segment));
	m->chunk = chunk_rows(m, r->n);
	m->src = take(a, m->chunk, sizeof(int32_t));
	m->target = take(a, m->chunk, sizeof(int32_t));
	m->hrow = take(a, m->chunk * c->hidden, as);
	m->dhrow = take(a, m->chunk * c->hidden, as);
	m->logits = take(a, m->chunk * c->vocab, rs);
	m->coef = take(a, m->chunk, rs);
	m->logp = take(a, m->chunk, rs);
	m->lse = take(a, m->chunk, rs);
	m->entropy = take(a, m->chunk, rs);
	m->hit = take(a, m->chunk, 1);
	if (r->slopes && !m->full)
		m->slope = take(a, r->n * c->hidden, as);
	if (r->save)
		carve_backward(m, r, a);
	m->ws = take(a, scratch(m, r), 1);
}

static bool fits(const struct ft_reserve *have, const struct ft_reserve *r)
{
	return have->t >= r->t && have->nseg >= r->nseg && have->n >= r->n &&
	       have->positions >= r->positions && have->r >= r->r &&
	       have->save >= r->save && have->slopes >= r->slopes;
}

struct ft_reserve ft_model_reserved(const struct ft_model *m)
{
	return m->cap;
}

int ft_model_reserve(struct ft_model *m, const struct ft_reserve *want,
		     struct ft_err *err)
{
	struct ft_reserve r = *want;
	struct carve a = {0};
	float *table;

	if (m->mem && fits(&m->cap, &r))
		return 0;
	r.t = max2(r.t, m->cap.t);
	r.nseg = max2(r.nseg, m->cap.nseg);
	r.n = max2(r.n, m->cap.n);
	r.positions = max2(r.positions, m->cap.positions);
	r.r = max2(r.r, m->cap.r);
	r.save = r.save || m->cap.save;
	r.slopes = r.slopes || m->cap.slopes;
	if (m->mem)
		m->k->free(m->k, m->mem);
	carve(m, &r, &a);
	m->mem = m->k->alloc(m->k, a.n);
	if (!m->mem)
		return ft_err_set(
			err, FT_EXIT_SYS,
			"no memory for activations of %zu tokens (%zu MB)", r.t,
			a.n >> 20);
	m->mem_bytes = a.n;
	a = (struct carve){.base = m->mem};
	carve(m, &r, &a);
	m->cap = r;
	m->ones = ft_xrealloc(m->ones, m->chunk, sizeof(*m->ones));
	for (size_t i = 0; i < m->chunk; i++)
		m->ones[i] = 1;
	table = ft_xmalloc(r.positions * m->cfg.head_dim * sizeof(float) + 1);
	ft_rope_table(&m->cfg, r.positions, table);
	m->k->put_real(m->k, m->table, table, r.positions * m->cfg.head_dim);
	m->k->sync(m->k);
	free(table);
	return 0;
}
