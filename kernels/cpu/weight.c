/* SPDX-License-Identifier: MIT */
/* Weights of the CPU backends: borrowed, converted, or packed in panels. */
#include "kernels/cpu/cpu.h"

static float from_half(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = h >> 10 & 31;
	uint32_t man = h & 0x3ff, bits;
	float f;

	if (exp == 0) { /* zero or subnormal: man units of 2^-24 */
		f = (float)man / 16777216.0f;
		return sign ? -f : f;
	}
	bits = sign | (exp == 31 ? 0x7f800000 : (exp + 112) << 23) | man << 13;
	memcpy(&f, &bits, 4);
	return f;
}

static size_t type_size(enum ftk_type t)
{
	switch (t) {
	case FTK_F32:
		return 4;
	case FTK_F64:
		return 8;
	case FTK_BF16:
	case FTK_F16:
		return 2;
	default:
		return 0;
	}
}

/* Element i of data that may lie at any address. */
static double element(enum ftk_type t, const void *data, size_t i)
{
	const char *p = (const char *)data + i * type_size(t);
	double d;
	float f;
	uint16_t h;

	switch (t) {
	case FTK_F64:
		memcpy(&d, p, 8);
		return d;
	case FTK_F32:
		memcpy(&f, p, 4);
		return f;
	case FTK_F16:
		memcpy(&h, p, 2);
		return from_half(h);
	default:
		memcpy(&h, p, 2);
		return cpu_widen(h);
	}
}

void cpu_floats(enum ftk_type t, const void *data, size_t i, size_t n,
		float *to)
{
	uint16_t h;

	if (t == FTK_F32) {
		memcpy(to, (const char *)data + 4 * i, 4 * n);
	} else if (t == FTK_BF16) {
		for (size_t l = 0; l < n; l++) {
			memcpy(&h, (const char *)data + 2 * (i + l), 2);
			to[l] = cpu_widen(h);
		}
	} else {
		for (size_t l = 0; l < n; l++)
			to[l] = (float)element(t, data, i + l);
	}
}

/* Where element i of the matrix lies in its data. */
static size_t place(const struct ftk_matrix *m, size_t i)
{
	return m->use & FTK_W_TURNED ? i % m->k * m->n + i / m->k : i;
}

void cpu_matrix_floats(const struct ftk_matrix *m, size_t i, size_t n,
		       float *to)
{
	if (!(m->use & FTK_W_TURNED)) {
		cpu_floats(m->type, m->data, i, n, to);
		return;
	}
	for (size_t l = 0; l < n; l++)
		to[l] = (float)element(m->type, m->data, place(m, i + l));
}

/* --- what a weight is kept as -------------------------------------------- */

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static int in_nf4(const struct ftk_matrix *m)
{
	return m->type == FTK_NF4 || m->use & FTK_W_NF4;
}

static int packed(const struct ftk *k, const struct ftk_matrix *m)
{
	if (in_nf4(m))
		return 0;
	if (!((const struct cpu *)k)->packs ||
	    !(m->use & (FTK_W_FORWARD | FTK_W_BACKWARD)))
		return 0;
	return k->act == FTK_BF16 || m->type == FTK_BF16;
}

/* Data that serves as it lies: as REAL, or for its rows. */
static int borrowed(const struct ftk *k, const struct ftk_matrix *m)
{
	if (m->use & FTK_W_TURNED)
		return 0;
	return m->type == k->real ||
	       (m->type == FTK_BF16 && ((const struct cpu *)k)->packs);
}

static int plain(const struct ftk *k, const struct ftk_matrix *m)
{
	return (!packed(k, m) && !in_nf4(m)) ||
	       m->use & (FTK_W_ROWS | FTK_W_TRAINED);
}

size_t ftk_weight_bytes(const struct ftk *k, const struct ftk_matrix *m)
{
	size_t head = cpu_pad(sizeof(struct ftk_weight)), max, size = head;

	if (m->type != k->real && m->use & FTK_W_TRAINED)
		return SIZE_MAX;
	if (in_nf4(m) ? m->use & (FTK_W_ROWS | FTK_W_TRAINED)
		      : !type_size(m->type))
		return SIZE_MAX;
	max = (SIZE_MAX / 2 - head) / (2 * sizeof(double));
	if (m->n > max - PANEL || m->k > max - PANEL ||
	    (m->k && m->n + PANEL > max / (m->k + PANEL)))
		return SIZE_MAX;
	if (plain(k, m) && !borrowed(k, m))
		size += cpu_pad(m->n * m->k * k->real_size);
	if (packed(k, m))
		size += cpu_panel_bytes(m->n, m->k);
	if (in_nf4(m))
		size += cpu_pad(sizeof(struct ftk_nf4));
	if (in_nf4(m) && m->type != FTK_NF4)
		size += nf4_bytes(m->n * m->k);
	return size;
}

/* --- making -------------------------------------------------------------- */

struct convert {
	const struct ftk_matrix *m;
	void *to;
};

static void convert_rows(void *arg, size_t piece, int worker)
{
	const struct cpu_job *j = arg;
	const struct convert *c = j->a;
	size_t i = cpu_begin(j, piece) * c->m->k;
	size_t end = cpu_end(j, piece) * c->m->k;

	(void)worker;
	if (j->k->real == FTK_F64) {
		for (; i < end; i++)
			((double *)c->to)[i] =
				element(c->m->type, c->m->data, place(c->m, i));
	} else {
		cpu_matrix_floats(c->m, i, end - i, (float *)c->to + i);
	}
}

/* to [n] = elements i.. as bfloat16. */
static void half_row(uint16_t *to, const struct ftk_matrix *m, size_t i,
		     size_t n)
{
	int turned = (m->use & FTK_W_TURNED) != 0;

	if (m->type == FTK_BF16 && !turned) {
		memcpy(to, (const char *)m->data + 2 * i, 2 * n);
	} else if (m->type == FTK_F32 && !turned) {
		float f;

		for (size_t l = 0; l < n; l++) {
			memcpy(&f, (const char *)m->data + 4 * (i + l), 4);
			to[l] = cpu_round(f);
		}
	} else {
		for (size_t l = 0; l < n; l++)
			to[l] = cpu_round((float)element(m->type, m->data,
							 place(m, i + l)));
	}
}

struct pack {
	struct ftk_weight *w;
	const struct ftk_matrix *m;
};

/* A row's pairs lie 128 bytes apart: so many rows go together through so few
   of them that these stay in the first cache. */
static void pack_panel(void *arg, size_t piece, int worker)
{
	enum { PAIRS = 64 };
	const struct cpu_job *j = arg;
	const struct pack *p = j->a;
	const struct ftk_weight *w = p->w;

	(void)worker;
	for (size_t s = 0; s < w->steps; s += PAIRS) {
		size_t pairs = w->steps - s < PAIRS ? w->steps - s : PAIRS;
		size_t l = 2 * s < w->k ? w->k - 2 * s : 0;

		l = l < 2 * pairs ? l : 2 * pairs;
		for (size_t i = 0; i < PANEL; i++) {
			size_t row = piece * PANEL + i;
			uint16_t h[2 * PAIRS] = {0};
			uint16_t *to = cpu_panel(w, row, s) + 2 * i;

			if (row < w->n)
				half_row(h, p->m, row * w->k + 2 * s, l);
			for (size_t q = 0; q < pairs; q++)
				memcpy(to + q * 2 * PANEL, h + 2 * q, 4);
		}
	}
}

static void pack(struct ftk *k, struct ftk_weight *w,
		 const struct ftk_matrix *m)
{
	struct pack p = {w, m};

	cpu_for(k, pack_panel, &p, round_up(w->n, PANEL) / PANEL, 1);
}

struct ftk_weight *ftk_weight_make(struct ftk *k, void *mem,
				   const struct ftk_matrix *m)
{
	struct ftk_weight *w = mem;
	char *next = (char *)mem + cpu_pad(sizeof(*w));
	struct convert c = {m, next};

	*w = (struct ftk_weight){
		.n = m->n, .k = m->k, .use = m->use, .type = k->real};
	if (plain(k, m) && borrowed(k, m)) {
		w->data = m->data;
		w->type = m->type;
	} else if (plain(k, m)) {
		w->data = next;
		next += cpu_pad(m->n * m->k * k->real_size);
		if (m->data)
			cpu_for(k, convert_rows, &c, m->n, cpu_step(m->k));
	}
	if (packed(k, m)) {
		w->panels = (uint16_t *)(void *)next;
		w->steps = cpu_panel_steps(m->k);
		if (m->data)
			pack(k, w, m);
	}
	if (in_nf4(m)) {
		struct ftk_nf4 *q = (struct ftk_nf4 *)(void *)next;

		if (m->data && m->type == FTK_NF4)
			*q = *(const struct ftk_nf4 *)m->data;
		else if (m->data)
			nf4_make(k, q, next + cpu_pad(sizeof(*q)), m);
		w->nf4 = q;
	}
	return w;
}

void ftk_weight_sync(struct ftk *k, struct ftk_weight *w)
{
	struct ftk_matrix m = {w->type, w->data, w->n, w->k, w->use};

	if (w->panels && w->use & FTK_W_TRAINED)
		pack(k, w, &m);
}

void ftk_weight_get(struct ftk *k, const struct ftk_weight *w, size_t r0,
		    size_t n, float *out)
{
	(void)k;
	if (w->nf4) {
		nf4_floats(w->nf4, r0 * w->k, n * w->k, out);
		return;
	}
	for (size_t i = 0; i < n; i++)
		for (size_t l = 0; l < w->k; l++, out++)
			*out = w->data ? (float)element(w->type, w->data,
							(r0 + i) * w->k + l)
				       : cpu_widen(cpu_panel(
						 w, r0 + i,
						 l / 2)[(r0 + i) % PANEL * 2 +
							l % 2]);
}

int ftk_weight_nf4(const struct ftk *k, const struct ftk_weight *w,
		   struct ftk_nf4 *out)
{
	(void)k;
	if (!w->nf4)
		return -1;
	*out = *w->nf4;
	return 0;
}
