/* SPDX-License-Identifier: MIT */
/* Adapter directories as PEFT writes them: adapter_config.json. */
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

enum { CONFIG_MAX = 16 << 20 };

/* Fields that may stand there at the value that means "not used". */
static const char *const off_fields[] = {
	"alora_invocation_tokens",
	"arrow_config",
	"bias",
	"corda_config",
	"ensure_weight_tying",
	"eva_config",
	"exclude_modules",
	"fan_in_fan_out",
	"kasa_config",
	"layer_replication",
	"layers_pattern",
	"layers_to_transform",
	"loftq_config",
	"lora_bias",
	"lora_ga_config",
	"modules_to_save",
	"monteclora_config",
	"target_parameters",
	"trainable_token_indices",
	"use_bdlora",
	"use_dora",
	"use_qalora",
	"velora_config",
	"alpha_pattern",
	"rank_pattern",
};
/* Fields that change nothing here. */
static const char *const free_fields[] = {
	"auto_mapping",      "base_model_name_or_path",
	"inference_mode",    "init_lora_weights",
	"lora_alpha",        "lora_dropout",
	"megatron_config",   "megatron_core",
	"peft_type",         "peft_version",
	"qalora_group_size", "r",
	"revision",          "runtime_config",
	"target_modules",    "task_type",
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
		if (listed(free_fields,
			   sizeof(free_fields) / sizeof(*free_fields), v->key))
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
	    ft_json_bool(o, "use_rslora", &a->rslora, err) < 0)
		return -1;
	if (strcmp(type, "LORA"))
		return ft_err_set(
			err, FT_EXIT_DATA,
			"peft_type '%.64s' is not supported (supported: LORA)",
			type);
	if (a->r < 1 || a->r > 4096)
		return ft_err_set(err, FT_EXIT_DATA, "r is not in 1..4096");
	if (!(dropout >= 0 && dropout < 1))
		return ft_err_set(err, FT_EXIT_DATA,
				  "lora_dropout is not in [0, 1)");
	a->dropout = (float)dropout;
	return 0;
}

/* The modules are those whose tensors are there: target_modules may be a
   regular expression.  Every tensor has to belong to one. */
static void modules_from(struct ft_adapter *a, const struct ft_config *c,
			 const struct ft_st *st)
{
	char module[128], name[FT_NAME_MAX];

	for (size_t l = 0; l < c->layers; l++) {
		for (int s = FT_FIRST_LAYER_SLOT; s < FT_NSLOT; s++) {
			if (!ft_slot_is_linear((enum ft_slot)s) ||
			    !ft_config_has(c, (enum ft_slot)s))
				continue;
			ft_config_name(c, (enum ft_slot)s, l, module,
				       sizeof(module));
			snprintf(name, sizeof(name),
				 "base_model.model.%s.lora_A.weight", module);
			if (ft_st_find(st, name))
				ft_adapter_add(a, c, (enum ft_slot)s, l,
					       (size_t)a->r, a->alpha);
		}
	}
}

/* A module that target_modules names in plain words has to have tensors. */
static int check_targets(const struct ft_adapter *a, const struct ft_config *c,
			 const struct ft_json *o, struct ft_err *err)
{
	const struct ft_json *t = ft_json_get(o, "target_modules");
	char module[128];

	if (!t || t->type != FT_JSON_ARRAY)
		return 0;
	for (t = t->child; t; t = t->next) {
		if (t->type != FT_JSON_STRING)
			return ft_err_set(
				err, FT_EXIT_DATA,
				"target_modules holds something that is no string");
		for (size_t i = 0; i < c->layers * FT_NSLOT; i++) {
			int s = (int)(i % FT_NSLOT);

			if (!ft_slot_is_linear((enum ft_slot)s) ||
			    !ft_config_has(c, (enum ft_slot)s))
				continue;
			ft_config_name(c, (enum ft_slot)s, i / FT_NSLOT, module,
				       sizeof(module));
			if (ft_target_names(t->s, module) && a->at[i] < 0)
				return ft_err_set(
					err, FT_EXIT_DATA,
					"target_modules names '%s', which has no tensors",
					module);
		}
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
	modules_from(a, c, &st);
	if (!a->nmod) {
		ft_err_set(err, FT_EXIT_DATA,
			   "no LoRA tensor of this model's linear layers");
		ft_err_at(err, path.s, 0);
		goto out;
	}
	if (check_targets(a, c, o, err) < 0 ||
	    ft_block_alloc(&a->b, k, err) < 0)
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

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A name means a module of every layer; where some layers have none, or parts
   that are not for text have it as well, those that have one are named
   whole. */
static void add_targets(const struct ft_adapter *a, const struct ft_config *c,
			struct ft_str *s)
{
	char **names = ft_xcalloc(a->nmod, sizeof(*names));
	size_t in[FT_NSLOT] = {0}, n = 0;
	char path[128];

	for (size_t i = 0; i < a->nmod; i++)
		in[a->mod[i].slot]++;
	for (size_t i = 0; i < a->nmod; i++) {
		enum ft_slot slot = a->mod[i].slot;

		if (in[slot] < c->layers || c->arch->nested) {
			ft_config_name(c, slot, a->mod[i].layer, path,
				       sizeof(path));
			names[n++] = ft_xstrdup(path);
		} else if (a->mod[i].layer == 0) {
			names[n++] = ft_xstrdup(ft_slot_module(c, slot));
		}
	}
	if (n)
		qsort(names, n, sizeof(*names), by_name);
	for (size_t i = 0; i < n; i++) {
		ft_str_addf(s, "%s\n    \"%s\"", i ? "," : "", names[i]);
		free(names[i]);
	}
	free(names);
}

/* Every field PEFT 0.21 knows that may matter, sorted, indent 2, as it writes
   them. */
static void config_text(const struct ft_adapter *a, const struct ft_config *c,
			const char *base, struct ft_str *s)
{
	ft_str_adds(
		s,
		"{\n  \"alpha_pattern\": {},\n  \"auto_mapping\": null,\n  \"base_model_name_or_path\": ");
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
		",\n  \"megatron_config\": null,\n  \"megatron_core\": \"megatron.core\",\n  \"modules_to_save\": null,\n  \"peft_type\": \"LORA\",\n  \"peft_version\": \"0.21.2\",\n  \"r\": ");
	ft_str_addf(s, "%lld", (long long)a->r);
	ft_str_adds(
		s,
		",\n  \"rank_pattern\": {},\n  \"revision\": null,\n  \"target_modules\": [");
	add_targets(a, c, s);
	ft_str_addf(
		s,
		"\n  ],\n  \"task_type\": \"CAUSAL_LM\",\n  \"use_dora\": false,\n  \"use_rslora\": %s\n}",
		a->rslora ? "true" : "false");
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
