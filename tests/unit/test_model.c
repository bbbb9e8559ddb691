/* SPDX-License-Identifier: MIT */
/* Which tensors make a model: tied and untied heads, what is ignored, what is
   refused by name. */
#include "libcommon/nn/model.h"

#include "libcommon/io/input.h"
#include "tests/lib/model.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

static struct ftk *k;
static struct ft_err err;

/* The tensors of tests/data/golden/gqa_tied, one left out, one added, with a
   config.json in which one text is replaced. */
struct change {
	const char *drop;
	struct ft_tensor add;
	const char *from, *to;
};

static struct ft_model *make(const struct change *h)
{
	struct ft_model *m = NULL;
	struct ft_st st;
	struct ft_tensor *t;
	char *text, *at;
	struct ft_str s = {0};
	size_t n = 0, len;

	if (ft_st_open(&st, GOLDEN "gqa_tied/model.safetensors", &err) < 0)
		eng_die("gqa_tied", &err);
	t = ft_xcalloc(st.n + 1, sizeof(*t));
	for (size_t i = 0; i < st.n; i++) {
		if (!h->drop || strcmp(h->drop, st.t[i].name) != 0)
			t[n++] = st.t[i];
	}
	if (h->add.name)
		t[n++] = h->add;
	text = ft_read_file(GOLDEN "gqa_tied/config.json", 1 << 20, &len, &err);
	at = text && h->from ? strstr(text, h->from) : NULL;
	if (!text || (h->from && !at) ||
	    ft_st_write(scratch_path("model.safetensors"), t, n, NULL, 0, &err))
		eng_die("scratch", &err);
	if (at)
		ft_str_addf(&s, "%.*s%s%s", (int)(at - text), text, h->to,
			    at + strlen(h->from));
	else
		ft_str_adds(&s, text);
	scratch_file("config.json", s.s, s.n);
	memset(&err, 0, sizeof(err));
	if (ft_model_open(&m, k, scratch(), FT_HOLD_FROZEN, &err) < 0)
		m = NULL;
	ft_str_release(&s);
	ft_st_release(&st);
	free(text);
	free(t);
	return m;
}

static void refuse(const struct change *h, const char *word)
{
	struct ft_model *m = make(h);

	CHECK(!m && err.code == FT_EXIT_DATA && strstr(err.msg, word),
	      "refused, '%s': %s", word, m ? "it was taken" : err.msg);
	ft_model_close(m);
}

/* The head's first value with tensor add beside the others, and whether the
   model is tied. */
static float head(const struct ft_tensor *add, bool tied, bool *is)
{
	struct change h = {.from = "\"tie_word_embeddings\": true",
			   .to = "\"tie_word_embeddings\": false"};
	struct ft_model *m;
	float row[64] = {0};

	if (add)
		h.add = *add;
	if (tied)
		h.from = NULL;
	m = make(&h);
	CHECK(m != NULL, "opened: %s", err.msg);
	if (!m)
		return 0;
	ft_model_rows(m, FT_HEAD, 0, 0, 1, NULL, row);
	*is = ft_model_config(m)->tied;
	ft_model_close(m);
	return row[0];
}

static void heads(void)
{
	struct ft_tensor own, same, half;
	const struct ft_tensor *e;
	struct ft_st st;
	float *other, first, x;
	uint16_t *bits;
	bool tied = false;

	if (ft_st_open(&st, GOLDEN "gqa_tied/model.safetensors", &err) < 0)
		eng_die("gqa_tied", &err);
	e = ft_st_find(&st, "model.embed_tokens.weight");
	first = *(const float *)e->data;
	x = head(NULL, true, &tied);
	CHECK(tied && x == first, "tied: the head is the embedding");
	same = *e;
	same.name = "lm_head.weight";
	x = head(&same, true, &tied);
	CHECK(tied && x == first, "tied, its copy stored too");
	own = same;
	other = ft_xmalloc(e->nbytes);
	memcpy(other, e->data, e->nbytes);
	other[0] = first + 1;
	own.data = other;
	x = head(&own, true, &tied);
	CHECK(!tied && x == first + 1, "tied, but a head of its own is stored");
	x = head(&own, false, &tied);
	CHECK(!tied && x == first + 1, "untied");
	bits = ft_xcalloc(e->numel, sizeof(*bits));
	half = own;
	half.dtype = FT_BF16;
	half.nbytes = e->numel * 2;
	half.data = bits;
	x = head(&half, true, &tied);
	CHECK(!tied && x == 0, "of another type and value");
	free(bits);
	free(other);
	ft_st_release(&st);
}

static void tensors(void)
{
	static const float data[64];
	struct change h = {.add = {.dtype = FT_F32,
				   .ndim = 1,
				   .shape = {4},
				   .numel = 4,
				   .nbytes = 16,
				   .data = data}};
	struct ft_model *m;

	h.add.name = "model.layers.1.self_attn.rotary_emb.inv_freq";
	m = make(&h);
	CHECK(m != NULL, "a rotary buffer is passed over: %s", err.msg);
	ft_model_close(m);
	h.add.name = "model.layers.0.self_attn.q_proj.bias";
	refuse(&h, "'model.layers.0.self_attn.q_proj.bias' is not part of");
	h.add.name = "model.layers.2.input_layernorm.weight";
	refuse(&h, "'model.layers.2.input_layernorm.weight' is not part of");
	h = (struct change){.drop = "model.layers.1.mlp.up_proj.weight"};
	refuse(&h, "'model.layers.1.mlp.up_proj.weight' is missing");
	h = (struct change){.from = "\"tie_word_embeddings\": true",
			    .to = "\"tie_word_embeddings\": false"};
	refuse(&h, "'lm_head.weight' is missing");
	h = (struct change){.from = "\"attention_bias\": false",
			    .to = "\"attention_bias\": true"};
	refuse(&h, "q_proj.bias' is missing");
	h = (struct change){.from = "\"num_key_value_heads\": 2",
			    .to = "\"num_key_value_heads\": 3"};
	refuse(&h, "k_proj.weight' is not of the shape");
}

int main(void)
{
	const char *why;

	k = ftk_open("cpu", &(struct ftk_threads){.nthreads = 1}, &why);
	if (!k)
		eng_die(why, NULL);
	heads();
	tensors();
	k->close(k);
	return test_done();
}
