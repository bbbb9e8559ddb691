/* SPDX-License-Identifier: MIT */
/* Calls of what is built in: parameters by position and by name. */
#include <string.h>

#include "libcommon/text/jinja_priv.h"

bool jp_given(const struct jval *v)
{
	return v && v->t != V_NONE;
}

int jp_int(struct jx *x, const struct jval *v, int64_t dflt, int64_t *out)
{
	*out = dflt;
	if (!v)
		return 0;
	if (v->t == V_UNDEF)
		return jx_undefined(x, v);
	if (!jv_is_int(v))
		return jx_err(x, "'%s' object is no integer", jv_type(v));
	*out = jv_i(v);
	return 0;
}

int jp_bool(struct jx *x, const struct jval *v, bool dflt, bool *out)
{
	*out = dflt;
	return v ? jv_truth(x, v, out) : 0;
}

int jp_str(struct jx *x, const struct jval *v, const char *what,
	   const struct jstr **out)
{
	if (v->t == V_UNDEF)
		return jx_undefined(x, v);
	if (v->t != V_STR)
		return jx_err(x, "%s is a string, not '%s'", what, jv_type(v));
	*out = v->u.s;
	return 0;
}

/* The i-th name of a signature; *opt says whether it may be left out. */
static bool parameter(const char *sig, size_t i, const char **name, size_t *n,
		      bool *opt)
{
	if (*sig == '/')
		sig++;
	while (i--) {
		sig = strchr(sig, ',');
		if (!sig)
			return false;
		sig++;
	}
	if (!*sig || *sig == '*')
		return false;
	*name = sig;
	*n = strcspn(sig, ",?");
	*opt = sig[*n] == '?';
	return true;
}

static int by_name(struct jx *x, const struct jbuiltin *f,
		   const struct jargs *args, const struct jval *v[])
{
	const char *name = NULL;
	size_t n = 0;
	bool opt;

	for (size_t k = 0; k < args->nk; k++) {
		size_t i = 0;

		while (parameter(f->sig, i, &name, &n, &opt) &&
		       (args->key[k]->n != n ||
			memcmp(args->key[k]->s, name, n) != 0))
			i++;
		if (*f->sig == '/' || !parameter(f->sig, i, &name, &n, &opt))
			return jx_err(x,
				      "'%s' takes no keyword argument '%.100s'",
				      f->name, args->key[k]->s);
		if (v[i])
			return jx_err(x, "'%s' got two values for '%.100s'",
				      f->name, args->key[k]->s);
		v[i] = &args->kv[k];
	}
	return 0;
}

static int bind(struct jx *x, const struct jbuiltin *f,
		const struct jargs *args, const struct jval *v[JX_PARAMS])
{
	const char *name;
	size_t n, i = 0;
	bool opt;

	if (strchr(f->sig, '*'))
		return 0; /* they look at args themselves */
	for (; i < args->n; i++) {
		if (!parameter(f->sig, i, &name, &n, &opt))
			return jx_err(x, "'%s' takes at most %zu argument(s)",
				      f->name, i);
		v[i] = &args->v[i];
	}
	if (by_name(x, f, args, v))
		return -1;
	for (i = 0; parameter(f->sig, i, &name, &n, &opt); i++)
		if (!v[i] && !opt)
			return jx_err(x, "'%s' wants an argument '%.*s'",
				      f->name, (int)n, name);
	return 0;
}

/*
 * What `safe` and `escape` make is Markup, which escapes what it is joined
 * with.  Some filters keep it Markup, some see any string in it; the rest would
 * do other things to it than to a string, and is refused.
 */
static bool keeps_markup(const struct jbuiltin *f)
{
	static const char *const names[] = {"upper", "lower",  "capitalize",
					    "title", "center", "trim"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(f->name, names[i]))
			return jinja_filter(names[i]) == f;
	return false;
}

static bool takes_markup(const struct jbuiltin *f)
{
	static const char *const names[] = {
		"safe",  "e",   "escape",  "string",    "length",
		"count", "d",   "default", "tojson",    "join",
		"list",  "int", "float",   "wordcount", "replace"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(f->name, names[i]))
			return jinja_filter(names[i]) == f;
	return jinja_test(f->name) == f;
}

static int mark_safe(struct jx *x, const struct jbuiltin *f, struct jval *v)
{
	struct jstr *s;

	if (!keeps_markup(f))
		return 0;
	s = jx_alloc(x, sizeof(*s));
	*s = *v->u.s;
	s->safe = true;
	*v = jv_str(s);
	return 0;
}

int jx_builtin(struct jx *x, const struct jbuiltin *f, const struct jval *self,
	       const struct jargs *args, struct jval *out)
{
	const struct jval *v[JX_PARAMS] = {NULL};
	struct jval of = jv_none(), result = jv_none();
	int rc;

	if (self)
		of = *self;
	if (jx_step(x) || bind(x, f, args, v))
		return -1;
	if (of.t == V_STR && of.u.s->safe && !keeps_markup(f) &&
	    !takes_markup(f))
		return jx_err(x,
			      "'%s' of Markup (safe, escape) is not supported",
			      f->name);
	if (++x->depth > JX_DEPTH)
		return jx_err(x, "nested too deep");
	rc = f->fn(x, &of, v, args, &result);
	x->depth--;
	if (!rc && of.t == V_STR && of.u.s->safe)
		rc = mark_safe(x, f, &result);
	*out = result;
	return rc;
}
