/* SPDX-License-Identifier: MIT */
/*
 * Which modules an adapter's names mean, by PEFT's rules: check_target_module_
 * exists of tuners_utils.py, get_pattern_key and _set_trainable of other.py.
 */
#include <stddef.h>
#include <string.h>

#include "libcommon/nn/adapter_priv.h"
#include "libcommon/text/regex.h"

bool ft_target_names(const char *target, const char *module)
{
	size_t nt = strlen(target), nm = strlen(module);

	if (nt > nm || strcmp(module + nm - nt, target))
		return false;
	return nt == nm || module[nm - nt - 1] == '.';
}

bool ft_target_saves(const char *name, const char *module)
{
	size_t n = strlen(name), len = strlen(module);

	for (size_t end = n; n && end <= len; end++) {
		if ((!module[end] || module[end] == '.') &&
		    !memcmp(module + end - n, name, n))
			return true;
	}
	return false;
}

/* Does the whole module match?  before: what may stand before it. */
static int matches(const char *regex, const char *before, const char *module,
		   struct ft_err *err)
{
	struct ft_arena a = {0};
	struct ft_regex_run run = {0};
	struct ft_regex *re;
	struct ft_str s = {0};
	const char *from, *to;
	int rc = -1;

	if (*regex == '^') {
		before = "";
		regex++;
	}
	ft_str_addf(&s, "%s(?:%s)$", before, regex);
	if (ft_regex_compile(&a, s.s, s.n, &re, err) < 0) {
		struct ft_err why = *err;

		ft_err_set(err, FT_EXIT_DATA, "regular expression '%.100s': %s",
			   regex, why.msg);
	} else {
		ft_regex_begin(&run, re, module, module + strlen(module));
		rc = ft_regex_next(&run, module, &from, &to) && from == module;
	}
	ft_regex_run_release(&run);
	ft_arena_release(&a);
	ft_str_release(&s);
	return rc;
}

/* The strings of a list one after another, or one string. */
static const struct ft_json *first(const struct ft_json *v)
{
	if (!v || (v->type != FT_JSON_ARRAY && v->type != FT_JSON_STRING))
		return NULL;
	return v->type == FT_JSON_ARRAY ? v->child : v;
}

static const struct ft_json *after(const struct ft_json *list,
				   const struct ft_json *v)
{
	return list->type == FT_JSON_ARRAY ? v->next : NULL;
}

/* Is the layer among those to transform, under a name that layers have? */
static bool layer_wanted(const struct ft_json *o, const char *module,
			 size_t layer)
{
	const struct ft_json *which = ft_json_get(o, "layers_to_transform");
	const struct ft_json *names = ft_json_get(o, "layers_pattern"), *v;
	const char *at = module;
	bool named = !first(names);

	if (!which || which->type == FT_JSON_NULL ||
	    (which->type == FT_JSON_ARRAY && !which->n))
		return true;
	while (*at && !(at[0] == '.' && at[1] >= '0' && at[1] <= '9'))
		at++;
	for (v = first(names); v; v = after(names, v)) {
		size_t n = v->ns;

		named |= (size_t)(at - module) >= n &&
			 !memcmp(at - n, v->s, n) &&
			 (at - n == module || at[-(ptrdiff_t)n - 1] == '.');
	}
	if (!*at || !named)
		return false;
	if (which->type == FT_JSON_NUMBER)
		return which->is_int && which->i == (int64_t)layer;
	for (v = which->type == FT_JSON_ARRAY ? which->child : NULL; v;
	     v = v->next) {
		if (v->is_int && v->i == (int64_t)layer)
			return true;
	}
	return false;
}

/* Does a field, a list of names or one expression, mean the module?  2: by its
   whole path. */
static int named(const struct ft_json *o, const char *field, const char *module,
		 struct ft_err *err)
{
	const struct ft_json *list = ft_json_get(o, field), *v;
	int rc = 0;

	if (list && list->type == FT_JSON_STRING)
		return *list->s ? matches(list->s, "", module, err) : 0;
	for (v = first(list); v; v = v->next) {
		if (v->type != FT_JSON_STRING)
			return ft_err_set(
				err, FT_EXIT_DATA,
				"%s holds something that is no string", field);
		if (!strcmp(v->s, module))
			rc = 2;
		else if (!rc)
			rc = ft_target_names(v->s, module);
	}
	return rc;
}

int ft_target_wants(const struct ft_json *o, const char *module, size_t layer,
		    struct ft_err *err)
{
	const struct ft_json *saved = ft_json_get(o, "modules_to_save");
	const struct ft_json *t = ft_json_get(o, "target_modules"), *v;
	int rc = named(o, "exclude_modules", module, err);

	if (rc)
		return rc < 0 ? -1 : 0;
	for (v = first(saved); v; v = after(saved, v)) {
		if (v->type == FT_JSON_STRING && ft_target_saves(v->s, module))
			return 0;
	}
	if (!t || t->type == FT_JSON_NULL ||
	    (t->type == FT_JSON_STRING && !strcmp(t->s, "all-linear")))
		return 2;
	rc = named(o, "target_modules", module, err);
	if (rc <= 0 || t->type == FT_JSON_STRING)
		return rc;
	/* layers count for ends of names alone */
	return rc == 2 || layer_wanted(o, module, layer);
}

int ft_target_pattern(const struct ft_json *o, const char *field,
		      const char *module, double *v, struct ft_err *err)
{
	const struct ft_json *p = ft_json_get(o, field);

	if (!p || p->type == FT_JSON_NULL)
		return 0;
	if (p->type != FT_JSON_OBJECT)
		return ft_err_set(err, FT_EXIT_DATA,
				  "field '%s' is not an object", field);
	for (p = p->child; p; p = p->next) {
		int rc = matches(p->key, "(?:.*\\.)?", module, err);

		if (rc < 0)
			return -1;
		if (!rc)
			continue;
		if (p->type != FT_JSON_NUMBER)
			return ft_err_set(err, FT_EXIT_DATA,
					  "%s: '%.100s' is no number", field,
					  p->key);
		*v = p->num;
		return 0;
	}
	return 0;
}
