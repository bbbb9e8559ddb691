/* SPDX-License-Identifier: MIT */
/* Adapter directories as PEFT writes them: adapter_config.json. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libcommon/base/mem.h"
#include "libcommon/io/input.h"
#include "libcommon/io/json.h"
#include "libcommon/io/output.h"
#include "libcommon/nn/adapter.h"
#include "libcommon/nn/adapter_priv.h"

#define PREFIX "base_model.model."

enum { CONFIG_MAX = 16 << 20, MAX_RANK = 4096 };

/* Fields that may stand there at the value that means "not used". */
static const char *const off_fields[] = {
	"alora_invocation_tokens",
	"arrow_config",
	"bias",
	"corda_config",
	"ensure_weight_tying",
	"eva_config",
	"fan_in_fan_out",
	"kasa_config",
	"layer_replication",
	"loftq_config",
	"lora_bias",
	"lora_ga_config",
	"monteclora_config",
	"target_parameters",
	"trainable_token_indices",
	"use_bdlora",
	"use_qalora",
	"velora_config",
};
/* Fields that are read, or change nothing here. */
static const char *const known_fields[] = {
	"alpha_pattern",
	"auto_mapping",
	"base_model_name_or_path",
	"exclude_modules",
	"inference_mode",
	"init_lora_weights",
	"layers_pattern",
	"layers_to_transform",
	"lora_alpha",
	"lora_dropout",
	"megatron_config",
	"megatron_core",
	"modules_to_save",
	"peft_type",
	"peft_version",
	"qalora_group_size",
	"r",
	"rank_pattern",
	"revision",
	"runtime_config",
	"target_modules",
	"task_type",
	"use_dora",
	"use_rslora",
};

static bool listed(const char *const *list, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(list[i], key))
			return true;
	}
	return false;
}

static bool is_off(const struct ft_json *v)
{
	return v->type == FT_JSON_NULL || v->type == FT_JSON_FALSE ||
	       ((v->type == FT_JSON_ARRAY || v->type == FT_JSON_OBJECT) &&
		v->n == 0) ||
	       (v->type == FT_JSON_STRING && !strcmp(v->s, "none"));
}

static int check_fields(const struct ft_json *o, const struct ft_config *c,
			struct ft_err *err)
{
	const struct ft_json *v;

	for (v = o->child; v; v = v->next) {
		if (listed(known_fields,
			   sizeof(known_fields) / sizeof(*known_fields),
			   v->key))
			continue;
		/* said of weights that are stored as [inputs, outputs] */
		if (is_off(v) ||
		    (c->arch->turned && !strcmp(v->key, "fan_in_fan_out")))
			continue;
		return ft_err_set(
			err, FT_EXIT_DATA,
			listed(off_fields,
			       sizeof(off_fields) / sizeof(*off_fields), v->key)
				? "'%.100s' is set, which is not supported"
				: "unknown field '%.100s'",
			v->key);
	}
	return 0;
}

/* How A and B began says nothing, unless the base's weights were changed with
   them: such an adapter means the changed ones. */
static int check_init(const struct ft_json *o, struct ft_err *err)
{
	static const char *const kept[] = {"gaussian", "eva", "orthogonal",
					   "mica"};
	const struct ft_json *v = ft_json_get(o, "init_lora_weights");

	if (!v || v->type != FT_JSON_STRING ||
	    listed(kept, sizeof(kept) / sizeof(*kept), v->s))
		return 0;
	return ft_err_set(
		err, FT_EXIT_DATA,
		"init_lora_weights '%.64s' changes the base's weights, which is not supported (PEFT converts it with path_initial_model_for_weight_conversion)",
		v->s);
}

static int get_numbers(struct ft_adapter *a, const struct ft_json *o,
		       struct ft_err *err)
{
	const char *type = "LORA";
	double dropout = 0;
	size_t n;

	a->r = 8;
	a->alpha = 8;
	if (ft_json_str(o, "peft_type", &type, &n, err) < 0 ||
	    ft_json_int(o, "r", &a->r, err) < 0 ||
	    ft_json_real(o, "lora_alpha", &a->alpha, err) < 0 ||
	    ft_json_real(o, "lora_dropout", &dropout, err) < 0 ||
	    ft_json_bool(o, "use_rslora", &a->rslora, err) < 0 ||
	    ft_json_bool(o, "use_dora", &a->dora, err) < 0)
		return -1;
	if (strcmp(type, "LORA"))
		return ft_err_set(
			err, FT_EXIT_DATA,
			"peft_type '%.64s' is not supported (supported: LORA)",
			type);
	if (a->r < 1 || a->r > MAX_RANK)
		return ft_err_set(err, FT_EXIT_DATA, "r is not in 1..4096");
	if (!(dropout >= 0 && dropout < 1))
		return ft_err_set(err, FT_EXIT_DATA,
				  "lora_dropout is not in [0, 1)");
	a->dropout = (float)dropout;
	return 0;
}

/* Its rank and alpha by the patterns. */
static int add_module(struct ft_adapter *a, const struct ft_config *c,
		      const struct ft_json *o, enum ft_slot s, size_t layer,
		      const char *module, struct ft_err *err)
{
	double r = (double)a->r, alpha = a->alpha;

	if (ft_target_pattern(o, "rank_pattern", module, &r, err) < 0 ||
	    ft_target_pattern(o, "alpha_pattern", module, &alpha, err) < 0)
		return -1;
	if (!(r >= 1 && r <= MAX_RANK) || r != floor(r))
		return ft_err_set(
			err, FT_EXIT_DATA,
			"rank_pattern: the rank of '%s' is not in 1..%d",
			module, MAX_RANK);
	if (a->dora && !ft_slot_is_linear(s))
		return ft_err_set(err, FT_EXIT_DATA,
				  "use_dora on '%s' is not supported", module);
	ft_adapter_add(a, c, s, layer, (size_t)r, alpha);
	return 0;
}

/* Is the module there as the config wants it?  PEFT would let go of what it
   does not name, and begin anew what has no tensors. */
static int lora_from(struct ft_adapter *a, const struct ft_config *c,
		     const struct ft_json *o, const struct ft_st *st,
		     enum ft_slot s, size_t layer, const char *module,
		     struct ft_err *err)
{
	int wants = ft_target_wants(o, module, layer, err);
	char name[FT_NAME_MAX];
	bool there;

	snprintf(name, sizeof(name), PREFIX "%s.%s", module,
		 s == FT_EMBED ? "lora_embedding_A" : "lora_A.weight");
	there = ft_st_find(st, name);
	if (wants < 0)
		return -1;
	if (!there && wants == 1)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"target_modules names '%s', which has no tensors",
			module);
	if (there && !wants)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"there are tensors of '%s', which target_modules does not name",
			module);
	return there ? add_module(a, c, o, s, layer, module, err) : 0;
}

/* The name of modules_to_save that means the module, or NULL. */
static const struct ft_json *saved(const struct ft_json *o, const char *module)
{
	const struct ft_json *v = ft_json_get(o, "modules_to_save");

	for (v = v ? v->child : NULL; v; v = v->next) {
		if (v->type == FT_JSON_STRING && ft_target_saves(v->s, module))
			return v;
	}
	return NULL;
}

/* Every name of modules_to_save means something. */
static int check_saved(const struct ft_config *c, const struct ft_json *o,
		       struct ft_err *err)
{
	const struct ft_json *v = ft_json_get(o, "modules_to_save");
	char module[128];
	enum ft_slot s;
	size_t layer;

	if (v && v->type != FT_JSON_NULL && v->type != FT_JSON_ARRAY)
		return ft_err_set(err, FT_EXIT_DATA,
				  "field 'modules_to_save' is not a list");
	for (v = v ? v->child : NULL; v; v = v->next) {
		bool any = false;

		for (size_t i = 0; i < c->layers * FT_NSLOT && !any; i++) {
			if (!ft_place_at(c, i, &s, &layer))
				continue;
			ft_config_name(c, s, layer, module, sizeof(module));
			any = v->type == FT_JSON_STRING &&
			      ft_target_saves(v->s, module);
		}
		if (!any)
			return ft_err_set(
				err, FT_EXIT_DATA,
				"modules_to_save names '%.100s', which the model does not have",
				v->type == FT_JSON_STRING ? v->s : "");
	}
	return 0;
}

static int modules_from(struct ft_adapter *a, const struct ft_config *c,
			const struct ft_json *o, const struct ft_st *st,
			struct ft_err *err)
{
	char module[128];
	enum ft_slot s;
	size_t layer;

	if (check_saved(c, o, err) < 0)
		return -1;
	for (size_t i = 0; i < c->layers * FT_NSLOT; i++) {
		if (!ft_place_at(c, i, &s, &layer))
			continue;
		ft_config_name(c, s, layer, module, sizeof(module));
		if (saved(o, module))
			ft_adapter_add_whole(a, c, s, layer);
		else if (ft_slot_adapts(s) &&
			 lora_from(a, c, o, st, s, layer, module, err) < 0)
			return -1;
	}
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct ft_tensor *)a)->name,
		      ((const struct ft_tensor *)b)->name);
}

/* What PEFT saves beside the factors of an embedding or a head: the base's own
   parameters.  NULL, or where in the name that is said. */
static const char *base_layer(const char *name)
{
	return strstr(name, ".base_layer.");
}

/* Names as PEFT saves them: without that of the adapter, ".default"; and
   without what is the base's. */
static int tidy(struct ft_st *st, struct ft_err *err)
{
	size_t n = 0;

	for (size_t i = 0; i < st->n; i++) {
		const char *name = st->t[i].name;
		const char *at = strstr(name, ".default");
		struct ft_str s = {0};

		if (base_layer(name))
			continue;
		if (at && (!at[8] || at[8] == '.'))
			ft_str_addf(&s, "%.*s%s", (int)(at - name), name,
				    at + 8);
		else
			ft_str_adds(&s, name);
		if (ft_ends(s.s, ".lora_magnitude_vector.weight"))
			s.n -= strlen(".weight");
		st->t[n] = st->t[i];
		st->t[n++].name = ft_arena_strndup(&st->arena, s.s, s.n);
		ft_str_release(&s);
	}
	st->n = n;
	if (n)
		qsort(st->t, n, sizeof(*st->t), by_name);
	for (size_t i = 1; i < n; i++) {
		if (!strcmp(st->t[i - 1].name, st->t[i].name))
			return ft_err_set(
				err, FT_EXIT_DATA,
				"tensor '%.150s' is there twice, once as an adapter's 'default'",
				st->t[i].name);
	}
	return 0;
}

static int load(struct ft_adapter *a, struct ftk *k, const struct ft_config *c,
		const char *dir, const struct ft_json *o, struct ft_err *err)
{
	struct ft_str path = {0};
	struct ft_st st = {0};
	const char *base;
	size_t n;
	int rc = -1;

	if (o->type != FT_JSON_OBJECT) {
		ft_err_set(err, FT_EXIT_DATA, "not a JSON object");
		goto out;
	}
	if (check_fields(o, c, err) < 0 || check_init(o, err) < 0 ||
	    get_numbers(a, o, err) < 0)
		goto out;
	if (ft_json_str(o, "base_model_name_or_path", &base, &n, err) > 0)
		a->base = ft_xstrdup(base);
	ft_str_addf(&path, "%s/adapter_model.safetensors", dir);
	if (ft_st_open(&st, path.s, err) < 0)
		goto out;
	if (tidy(&st, err) < 0) {
		ft_err_at(err, path.s, 0);
		goto out;
	}
	if (modules_from(a, c, o, &st, err) < 0)
		goto out;
	if (!a->nmod) {
		ft_err_set(err, FT_EXIT_DATA,
			   "no LoRA tensor of this model's layers");
		ft_err_at(err, path.s, 0);
		goto out;
	}
	if (ft_block_alloc(&a->b, k, err) < 0)
		goto out;
	rc = ft_block_load(&a->b, a->b.p, &st, "", err);
	if (rc < 0)
		ft_err_at(err, path.s, 0);
out:
	ft_st_release(&st);
	ft_str_release(&path);
	return rc;
}

static struct ft_json *read_config(const char *dir, char **text,
				   struct ft_arena *arena, struct ft_str *path,
				   struct ft_err *err)
{
	struct ft_json *o;
	size_t n;

	ft_str_addf(path, "%s/adapter_config.json", dir);
	*text = ft_read_file(path->s, CONFIG_MAX, &n, err);
	if (!*text)
		return NULL;
	if (ft_json_parse(arena, *text, n, &o, err) < 0) {
		ft_err_at(err, path->s, 0);
		return NULL;
	}
	return o;
}

int ft_adapter_load(struct ft_adapter *a, struct ftk *k,
		    const struct ft_config *c, const char *dir,
		    struct ft_err *err)
{
	struct ft_arena arena = {0};
	struct ft_str path = {0};
	char *text = NULL;
	struct ft_json *o;
	int rc = -1;

	ft_adapter_start(a, c);
	o = read_config(dir, &text, &arena, &path, err);
	if (o) {
		rc = load(a, k, c, dir, o, err);
		if (rc < 0)
			ft_err_at(err, path.s, 0);
	}
	if (rc < 0)
		ft_adapter_release(a);
	ft_arena_release(&arena);
	ft_str_release(&path);
	free(text);
	return rc;
}

/* --- writing ------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What a module's rank or alpha is beside that of the whole; or its name. */
enum about { TARGET, RANK, ALPHA };

static bool says(const struct ft_adapter *a, const struct ft_lora_mod *m,
		 enum about what)
{
	return what == TARGET ||
	       (what == RANK ? (int64_t)m->r != a->r : m->alpha != a->alpha);
}

static bool alike(const struct ft_lora_mod *m, const struct ft_lora_mod *to,
		  enum about what)
{
	return m->slot == to->slot &&
	       (what == TARGET ||
		(what == RANK ? m->r == to->r : m->alpha == to->alpha));
}

/* A name means a module of every layer; where it is not the same in all, or
   parts that are not for text have it as well, those that have one are named
   whole. */
static char *name_of(const struct ft_adapter *a, const struct ft_config *c,
		     const struct ft_lora_mod *m, enum about what)
{
	size_t in = 0, all = m->slot < FT_FIRST_LAYER_SLOT ? 1 : c->layers;
	char path[128];

	for (size_t i = 0; i < a->nmod; i++)
		in += alike(&a->mod[i], m, what);
	if (in == all && !c->arch->nested)
		return m->layer ? NULL : ft_xstrdup(ft_slot_module(c, m->slot));
	ft_config_name(c, m->slot, m->layer, path, sizeof(path));
	return ft_xstrdup(path);
}

/* Lines of a list, or of an object, sorted by name. */
static void add_names(const struct ft_adapter *a, const struct ft_config *c,
		      enum about what, struct ft_str *s)
{
	char **line = ft_xcalloc(a->nmod + 1, sizeof(*line));
	size_t n = 0;

	for (size_t i = 0; i < a->nmod; i++) {
		const struct ft_lora_mod *m = &a->mod[i];
		char *name = says(a, m, what) ? name_of(a, c, m, what) : NULL;
		struct ft_str l = {0};

		if (!name)
			continue;
		ft_str_addf(&l, "\n    \"%s\"", name);
		if (what == RANK)
			ft_str_addf(&l, ": %zu", m->r);
		if (what == ALPHA) {
			ft_str_adds(&l, ": ");
			ft_str_add_double(&l, m->alpha);
		}
		line[n++] = l.s;
		free(name);
	}
	if (n)
		qsort(line, n, sizeof(*line), by_text);
	for (size_t i = 0; i < n; i++) {
		ft_str_addf(s, "%s%s", i ? "," : "", line[i]);
		free(line[i]);
	}
	ft_str_adds(s, n ? "\n  " : "");
	free(line);
}

/* Whole paths. */
static void add_saved(const struct ft_adapter *a, const struct ft_config *c,
		      struct ft_str *s)
{
	char path[128];

	if (!a->nwhole)
		ft_str_adds(s, "null");
	for (size_t i = 0; i < a->nwhole; i++) {
		ft_config_name(c, a->whole[i].slot, a->whole[i].layer, path,
			       sizeof(path));
		ft_str_addf(s, "%s\n    \"%s\"", i ? "," : "[", path);
	}
	if (a->nwhole)
		ft_str_adds(s, "\n  ]");
}

/* Every field PEFT 0.21 knows that may matter, sorted, indent 2, as it writes
   them. */
static void config_text(const struct ft_adapter *a, const struct ft_config *c,
			const char *base, struct ft_str *s)
{
	ft_str_adds(s, "{\n  \"alpha_pattern\": {");
	add_names(a, c, ALPHA, s);
	ft_str_adds(
		s,
		"},\n  \"auto_mapping\": null,\n  \"base_model_name_or_path\": ");
	ft_str_add_json(s, base, strlen(base));
	ft_str_adds(
		s,
		",\n  \"bias\": \"none\",\n  \"exclude_modules\": null,\n  \"fan_in_fan_out\": ");
	ft_str_adds(s, c->arch->turned ? "true" : "false");
	ft_str_adds(
		s,
		",\n  \"inference_mode\": true,\n  \"init_lora_weights\": true,\n  \"layer_replication\": null,\n  \"layers_pattern\": null,\n  \"layers_to_transform\": null,\n  \"loftq_config\": {},\n  \"lora_alpha\": ");
	ft_str_add_double(s, a->alpha);
	ft_str_adds(s, ",\n  \"lora_bias\": false,\n  \"lora_dropout\": ");
	ft_str_add_float(s, a->dropout);
	ft_str_adds(
		s,
		",\n  \"megatron_config\": null,\n  \"megatron_core\": \"megatron.core\",\n  \"modules_to_save\": ");
	add_saved(a, c, s);
	ft_str_adds(
		s,
		",\n  \"peft_type\": \"LORA\",\n  \"peft_version\": \"0.21.2\",\n  \"r\": ");
	ft_str_addf(s, "%lld", (long long)a->r);
	ft_str_adds(s, ",\n  \"rank_pattern\": {");
	add_names(a, c, RANK, s);
	ft_str_adds(s, "},\n  \"revision\": null,\n  \"target_modules\": [");
	add_names(a, c, TARGET, s);
	ft_str_addf(
		s,
		"],\n  \"task_type\": \"CAUSAL_LM\",\n  \"use_dora\": %s,\n  \"use_rslora\": %s\n}",
		a->dora ? "true" : "false", a->rslora ? "true" : "false");
}

int ft_adapter_save(const struct ft_adapter *a, const struct ft_config *c,
		    const char *dir, const char *base, struct ft_err *err)
{
	struct ft_str path = {0}, text = {0};
	int rc;

	ft_str_addf(&path, "%s/adapter_model.safetensors", dir);
	rc = ft_block_save(&a->b, a->b.p, path.s, FT_F32, err);
	if (!rc) {
		ft_str_clear(&path);
		ft_str_addf(&path, "%s/adapter_config.json", dir);
		config_text(a, c, base, &text);
		rc = ft_write_file(path.s, text.s, text.n, err);
	}
	ft_str_release(&path);
	ft_str_release(&text);
	return rc;
}

/* --- and its base --------------------------------------------------------- */

/* The base's tensor that "PREFIX module.base_layer.weight" (or bias) is a copy
   of: the embedding's, or the head's, which may be that; or NULL. */
static const struct ft_tensor *
base_of(const struct ft_config *c, const char *name, const struct ft_st *base)
{
	static const enum ft_slot s[] = {FT_HEAD, FT_EMBED};
	const char *what = strrchr(name, '.');
	char module[FT_NAME_MAX], path[FT_NAME_MAX + 64];
	const struct ft_tensor *t = NULL;
	bool found = false;

	for (int i = 0; i < 2 && !t; i++) {
		ft_config_name(c, s[i], 0, module, sizeof(module));
		snprintf(path, sizeof(path), PREFIX "%s.base_layer%s", module,
			 what);
		found |= !strcmp(path, name);
		ft_config_stored(c, s[i], 0, module, sizeof(module));
		snprintf(path, sizeof(path), "%s%s", module, what);
		t = found ? ft_st_find(base, path) : NULL;
	}
	return t;
}

int ft_adapter_check(const char *dir, const struct ft_config *c,
		     const struct ft_st *base, struct ft_err *err)
{
	struct ft_str path = {0};
	struct ft_st st;
	int rc;

	ft_str_addf(&path, "%s/adapter_model.safetensors", dir);
	rc = ft_st_open(&st, path.s, err);
	for (size_t i = 0; !rc && i < st.n; i++) {
		const struct ft_tensor *t = &st.t[i], *own = NULL;

		if (!base_layer(t->name))
			continue;
		own = base_of(c, t->name, base);
		if (!own || !ft_tensor_equal(t, own))
			rc = ft_err_set(
				err, FT_EXIT_DATA,
				"tensor '%.150s' is not what the base model has",
				t->name);
	}
	ft_st_release(&st);
	if (rc < 0)
		ft_err_at(err, path.s, 0);
	ft_str_release(&path);
	return rc;
}

bool ft_adapter_is(const char *dir)
{
	struct ft_str path = {0};
	struct stat sb;
	bool is;

	ft_str_addf(&path, "%s/adapter_config.json", dir);
	is = stat(path.s, &sb) == 0;
	ft_str_release(&path);
	return is;
}

static bool is_model_dir(const char *path)
{
	struct ft_str s = {0};
	struct stat sb;
	bool is;

	ft_str_addf(&s, "%s/config.json", path);
	is = stat(s.s, &sb) == 0;
	ft_str_release(&s);
	return is;
}

int ft_adapter_base(const char *dir, const char *given, struct ft_str *base,
		    struct ft_err *err)
{
	struct ft_arena arena = {0};
	struct ft_str path = {0};
	const char *name;
	char *text = NULL;
	struct ft_json *o;
	size_t n;
	int rc = -1;

	if (given) {
		ft_str_adds(base, given);
		return 0;
	}
	o = read_config(dir, &text, &arena, &path, err);
	if (!o)
		goto out;
	rc = ft_json_str(o, "base_model_name_or_path", &name, &n, err);
	if (!rc)
		rc = ft_err_set(
			err, FT_EXIT_DATA,
			"base_model_name_or_path is missing; give --base");
	if (rc < 0) {
		ft_err_at(err, path.s, 0);
		goto out;
	}
	rc = 0;
	if (!is_model_dir(name) && name[0] != '/') {
		ft_str_addf(base, "%s/%s", dir, name);
		if (is_model_dir(base->s))
			goto out;
		ft_str_clear(base);
	}
	ft_str_adds(base, name);
	if (!is_model_dir(name)) {
		rc = ft_err_set(
			err, FT_EXIT_SYS,
			"its base model '%.200s' is not a directory here; give --base",
			name);
		ft_err_at(err, path.s, 0);
	}
out:
	ft_arena_release(&arena);
	ft_str_release(&path);
	free(text);
	return rc < 0 ? -1 : 0;
}
