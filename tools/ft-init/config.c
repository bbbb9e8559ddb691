/* SPDX-License-Identifier: MIT */
/* From a sketch of a config.json to all of it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/die.h"
#include "libcommon/io/input.h"
#include "libcommon/io/rows.h"
#include "tools/ft-init/init.h"

enum { CONFIG_MAX = 1 << 24, MAX_EDITS = 32 };

void draft_read(struct draft *d, const char *path)
{
	struct ft_err err;

	*d = (struct draft){.path = path};
	d->text = ft_read_file(path, CONFIG_MAX, &d->n, &err);
	if (!d->text)
		ft_die_err(&err);
	if (ft_json_parse(&d->arena, d->text, d->n, &d->o, &err)) {
		ft_err_at(&err, path, 0);
		ft_die_err(&err);
	}
	if (d->o->type != FT_JSON_OBJECT)
		ft_die(FT_EXIT_DATA, "%s: not a JSON object", path);
}

void draft_release(struct draft *d)
{
	ft_arena_release(&d->arena);
	free(d->text);
}

static _Noreturn void die_at(const struct draft *d, struct ft_err *err)
{
	ft_err_at(err, d->path, 0);
	ft_die_err(err);
}

int64_t draft_int(const struct draft *d, const char *key, int64_t without)
{
	struct ft_err err;

	if (ft_json_int(d->o, key, &without, &err) < 0)
		die_at(d, &err);
	return without;
}

double draft_real(const struct draft *d, const char *key, double without)
{
	struct ft_err err;

	if (ft_json_real(d->o, key, &without, &err) < 0)
		die_at(d, &err);
	return without;
}

/* --- fields --------------------------------------------------------------- */

struct edits {
	const struct draft *d;
	struct ft_edit v[MAX_EDITS];
	struct ft_str value[MAX_EDITS]; /* owned */
	size_t n;
};

static struct ft_str *set(struct edits *e, const char *key)
{
	e->v[e->n].key = key;
	return &e->value[e->n++];
}

static bool has(const struct edits *e, const char *key)
{
	const struct ft_json *v = ft_json_get(e->d->o, key);

	return v && v->type != FT_JSON_NULL;
}

static void set_default(struct edits *e, const char *key, const char *json)
{
	if (!has(e, key))
		ft_str_adds(set(e, key), json);
}

static void set_int(struct edits *e, const char *key, int64_t v)
{
	ft_str_addf(set(e, key), "%" PRId64, v);
}

/* Members of a rope object but its theta, its kind under the name given. */
static void add_rope(struct ft_str *s, const struct ft_json *from,
		     const char *kind_key)
{
	const struct ft_json *kind = ft_json_get(from, "rope_type");

	if (!kind)
		kind = ft_json_get(from, "type");
	ft_str_addf(s, "\"%s\":", kind_key);
	if (kind)
		ft_str_add(s, kind->raw, kind->nraw);
	else
		ft_str_adds(s, "\"default\"");
	for (const struct ft_json *v = from ? from->child : NULL; v;
	     v = v->next) {
		if (!strcmp(v->key, "rope_type") || !strcmp(v->key, "type") ||
		    !strcmp(v->key, "rope_theta"))
			continue;
		ft_str_addc(s, ',');
		ft_str_add_json(s, v->key, v->nkey);
		ft_str_addc(s, ':');
		ft_str_add(s, v->raw, v->nraw);
	}
}

/* A real number: to transformers 10000 is none, 10000.0 is. */
static void add_real(struct ft_str *s, double x)
{
	size_t at = s->n;

	ft_str_add_double(s, x);
	if (!strpbrk(s->s + at, ".en"))
		ft_str_adds(s, ".0");
}

/* transformers 4 reads rope_theta and rope_scaling, 5 rope_parameters. */
static void set_rope(struct edits *e)
{
	const struct ft_json *o = e->d->o;
	const struct ft_json *par = ft_json_get(o, "rope_parameters");
	const struct ft_json *old = ft_json_get(o, "rope_scaling");
	const struct ft_json *from =
		old && old->type == FT_JSON_OBJECT ? old : par;
	double theta = draft_real(e->d, "rope_theta", 10000);
	struct ft_err err;
	struct ft_str *s;

	if (par && par->type == FT_JSON_OBJECT &&
	    ft_json_real(par, "rope_theta", &theta, &err) < 0)
		die_at(e->d, &err);
	if (from && from->type != FT_JSON_OBJECT)
		from = NULL;
	add_real(set(e, "rope_theta"), theta);
	s = set(e, "rope_parameters");
	ft_str_addc(s, '{');
	add_rope(s, from, "rope_type");
	ft_str_adds(s, ",\"rope_theta\":");
	add_real(s, theta);
	ft_str_addc(s, '}');
	if (!strstr(s->s, "\"rope_type\":\"default\"")) {
		s = set(e, "rope_scaling");
		ft_str_addc(s, '{');
		add_rope(s, from, "rope_type");
		ft_str_addc(s, '}');
	}
}

/* The family; NULL where it is none, which is told later. */
static const struct ft_arch *set_architecture(struct edits *e)
{
	const struct ft_arch *found = NULL;
	const char *type = "llama";
	struct ft_err err;
	size_t n;

	if (ft_json_str(e->d->o, "model_type", &type, &n, &err) < 0)
		die_at(e->d, &err);
	set_default(e, "model_type", "\"llama\"");
	for (size_t i = 0; i < ft_narchs; i++) {
		if (!strcmp(ft_archs[i].type, type))
			found = &ft_archs[i];
	}
	if (found && found->nested)
		ft_die(FT_EXIT_DATA,
		       "%s: a model of type '%s' has parts that ft-init does not make",
		       e->d->path, type);
	if (found && !has(e, "architectures"))
		ft_str_addf(set(e, "architectures"), "[\"%s\"]", found->cls);
	return found;
}

/* What transformers' class of Llama has by default, in words. */
static void set_llama(struct edits *e)
{
	int64_t heads = draft_int(e->d, "num_attention_heads", 0);

	set_default(e, "hidden_act", "\"silu\"");
	set_default(e, "max_position_embeddings", "2048");
	set_default(e, "rms_norm_eps", "1e-06");
	set_default(e, "tie_word_embeddings", "false");
	set_default(e, "attention_bias", "false");
	set_default(e, "mlp_bias", "false");
	set_default(e, "use_cache", "true");
	if (!has(e, "num_key_value_heads"))
		set_int(e, "num_key_value_heads", heads);
	if (!has(e, "head_dim") && heads > 0)
		set_int(e, "head_dim",
			draft_int(e->d, "hidden_size", 0) / heads);
}

static void set_token(struct edits *e, const char *key, int32_t id)
{
	if (id >= 0)
		set_int(e, key, id);
	else
		ft_str_adds(set(e, key), "null");
}

static void set_all(struct edits *e, const struct facts *f)
{
	const struct ft_arch *arch = set_architecture(e);
	const char *dtype =
		f->dtype == DTYPE_BFLOAT16 ? "\"bfloat16\"" : "\"float32\"";

	set_int(e, "vocab_size", f->vocab);
	set_token(e, "bos_token_id", f->bos);
	set_token(e, "eos_token_id", f->eos);
	ft_str_adds(set(e, "dtype"), dtype);
	ft_str_adds(set(e, "torch_dtype"), dtype);
	add_real(set(e, "initializer_range"), f->range);
	if (arch && arch->theta != 0 && arch->local_theta == 0)
		set_rope(e);
	if (arch && !strcmp(arch->type, "llama"))
		set_llama(e);
}

void draft_finish(const struct draft *d, const struct facts *f,
		  struct ft_str *out, struct ft_config *c)
{
	struct edits e = {.d = d};
	struct ft_row row = {.text = d->text, .ntext = d->n, .obj = d->o};
	struct ft_arena arena = {0};
	struct ft_str s = {0};
	struct ft_json *v;
	struct ft_err err;

	set_all(&e, f);
	for (size_t i = 0; i < e.n; i++) {
		e.v[i].json = e.value[i].s;
		e.v[i].n = e.value[i].n;
	}
	ft_row_edit(&row, e.v, e.n, &s);
	if (ft_config_parse(c, s.s, s.n, &err) ||
	    ft_json_parse(&arena, s.s, s.n, &v, &err))
		die_at(d, &err);
	ft_json_print(v, true, 2, out);
	ft_str_addc(out, '\n');
	for (size_t i = 0; i < e.n; i++)
		ft_str_release(&e.value[i]);
	ft_str_release(&s);
	ft_arena_release(&arena);
}
