/* SPDX-License-Identifier: MIT */
/* ft-export - write a tuned model as others read it, and look whether it is
   the same. */

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "libcommon/io/manifest.h"
#include "libcommon/nn/combine.h"
#include "tools/ft-export/export.h"

static void check(int rc, struct ft_err *err)
{
	if (rc < 0)
		ft_die_err(err);
}

/* --- the command line ----------------------------------------------------- */

static void check_form(struct export *e)
{
	static const char *const later[] = {
		"mlx", "mlx-lora", "mlx-lm", "gguf", "gguf-lora", "csv", "card",
	};

	if (!e->to)
		ft_die(FT_EXIT_USAGE,
		       "no form: give --to hf, --to bnb or --to peft");
	e->peft = !strcmp(e->to, "peft");
	e->bnb = !strcmp(e->to, "bnb");
	if (e->peft || e->bnb || !strcmp(e->to, "hf"))
		return;
	for (size_t i = 0; i < sizeof(later) / sizeof(*later); i++) {
		if (!strcmp(e->to, later[i]))
			ft_die(FT_EXIT_USAGE,
			       "--to %s is not supported by this build (hf, bnb and peft are)",
			       e->to);
	}
	ft_die(FT_EXIT_USAGE,
	       "invalid value '%s' for --to: not one of hf|bnb|peft", e->to);
}

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* DIR or DIR:WEIGHT; a directory may have a colon in its name. */
static void add_adapter(struct export *e, const char *arg)
{
	const char *colon = strrchr(arg, ':');
	double weight = 1;
	char *dir = ft_xstrdup(arg), *end;

	if (colon && !is_dir(arg)) {
		weight = strtod(colon + 1, &end);
		if (end == colon + 1 || *end || !isfinite(weight))
			ft_die(FT_EXIT_USAGE,
			       "--adapter '%s': '%s' is not a weight", arg,
			       colon + 1);
		dir[colon - arg] = 0;
	}
	e->adapter_dir = ft_xrealloc((void *)e->adapter_dir, e->nadapters + 1,
				     sizeof(*e->adapter_dir));
	e->weight =
		ft_xrealloc(e->weight, e->nadapters + 1, sizeof(*e->weight));
	e->adapter_dir[e->nadapters] = dir;
	e->weight[e->nadapters++] = weight;
}

static bool same_dir(const char *a, const char *b)
{
	struct stat x, y;

	return a && stat(a, &x) == 0 && stat(b, &y) == 0 &&
	       x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void find_models(struct export *e)
{
	struct ft_err err;

	if (ft_adapter_is(e->model)) {
		if (e->adapters.n)
			ft_die(FT_EXIT_USAGE,
			       "-m is an adapter's directory already; give its base with -m");
		check(ft_adapter_base(e->model, e->base, &e->given_dir, &err),
		      &err);
		e->dir = e->given_dir.s;
		add_adapter(e, e->model);
	} else {
		if (e->base)
			ft_die(FT_EXIT_USAGE,
			       "--base, but -m is not an adapter's directory");
		e->dir = e->model;
	}
	for (int i = 0; i < e->adapters.n; i++)
		add_adapter(e, e->adapters.v[i]);
	if (e->peft && !e->nadapters)
		ft_die(FT_EXIT_USAGE,
		       "--to peft needs an adapter; '%s' has none", e->model);
	for (size_t i = 0; i < e->nadapters; i++) {
		if (same_dir(e->out, e->adapter_dir[i]))
			ft_die(FT_EXIT_USAGE, "-o is the adapter's directory");
	}
	if (same_dir(e->out, e->dir))
		ft_die(FT_EXIT_USAGE, "-o is the model's directory");
}

static void check_usage(struct export *e, bool dtype_given)
{
	check_form(e);
	if (!e->model || !e->out)
		ft_die(FT_EXIT_USAGE, "%s is missing",
		       e->model ? "-o DIR" : "-m DIR");
	if (e->peft && dtype_given && e->dtype != DTYPE_FLOAT32)
		ft_die(FT_EXIT_USAGE, "adapters are written in float32");
	if (e->base_name && !e->peft)
		ft_die(FT_EXIT_USAGE, "--base-name belongs to --to peft");
}

/* --- adapters ------------------------------------------------------------- */

static void load_adapters(struct export *e)
{
	struct ft_adapter *a = ft_xcalloc(e->nadapters + 1, sizeof(*a));
	struct ft_st base;
	struct ft_err err;

	check(ft_st_open_dir(&base, e->dir, &err), &err);
	ft_config_see(&e->cfg, &base);
	for (size_t i = 0; i < e->nadapters; i++) {
		const char *dir = e->adapter_dir[i];

		check(ft_adapter_load(&a[i], e->l.k, &e->cfg, dir, &err), &err);
		check(ft_adapter_check(dir, &e->cfg, &base, &err), &err);
	}
	ft_st_release(&base);
	e->has_adapter = e->nadapters > 0;
	if (e->nadapters == 1) {
		e->adapter = a[0];
		if (e->weight[0] != 1)
			check(ft_adapter_scale(&e->adapter, e->weight[0], &err),
			      &err);
	} else if (e->nadapters) {
		check(ft_adapter_combine(&e->adapter, a, e->weight,
					 e->nadapters, &e->cfg, &err),
		      &err);
		for (size_t i = 0; i < e->nadapters; i++)
			ft_adapter_release(&a[i]);
	}
	free(a);
}

static void export_adapter(struct export *e)
{
	struct ft_err err;
	char *path = e->base_name ? ft_xstrdup(e->base_name)
				  : realpath(e->dir, NULL);

	if (!path)
		ft_die_errno("cannot resolve '%s'", e->dir);
	check(ft_adapter_save(&e->adapter, &e->cfg, e->out, path, &err), &err);
	ft_files_add(&e->files, "adapter_config.json");
	ft_files_add(&e->files, "adapter_model.safetensors");
	free(path);
}

/* --- is it the same? ------------------------------------------------------ */

/*
 * bfloat16 keeps 8 bits of each weight, which moves log-probabilities in the
 * second decimal; what is in float32 differs by the order of sums.  What 4 bits
 * do to them nobody can say: there the weights are compared.
 */
static double tolerance(const struct export *e)
{
	if (e->tolerance > 0)
		return e->tolerance;
	if (e->bnb)
		return HUGE_VAL;
	return !e->peft && e->stored == FT_BF16 ? 0.2 : 1e-4;
}

/* Are weights in 4 bits what they were, as near as those come? */
static bool verify_nf4(struct export *e, struct ft_str *extra)
{
	double error = export_nf4_error(e);

	ft_info("weights in 4 bits: the largest error is %.3g of what rounding may make of it",
		error);
	ft_str_adds(extra, ",\"rounding\":");
	ft_str_add_double(extra, error);
	return error <= 1;
}

static bool verify(struct export *e, struct ft_str *extra)
{
	struct probe base = {0}, tuned = {0}, out = {0};
	double differ, moved;
	bool same = true;

	if (!e->verify) {
		ft_warn("what was written was not compared (--verify=false)");
		ft_str_adds(extra, ",\"verified\":null");
		return true;
	}
	probe_run(e, &base, PROBE_BASE);
	probe_run(e, &tuned, PROBE_TUNED);
	probe_run(e, &out, PROBE_OUT);
	differ = probe_differ(&out, &tuned);
	moved = probe_differ(&tuned, &base);
	if (e->bnb && e->tolerance <= 0)
		ft_info("reopened: log-probabilities of %zu tokens differ by at most %.3g (the adapter moves them by %.3g)",
			tuned.n, differ, moved);
	else
		ft_info("reopened: log-probabilities of %zu tokens differ by at most %.3g (allowed %.3g; the adapter moves them by %.3g)",
			tuned.n, differ, tolerance(e), moved);
	ft_str_addf(extra, ",\"verified\":{\"tokens\":%zu,\"max_difference\":",
		    tuned.n);
	ft_str_add_double(extra, differ);
	ft_str_adds(extra, ",\"tolerance\":");
	ft_str_add_double(extra, tolerance(e)); /* null: none */
	if (e->bnb)
		same = verify_nf4(e, extra);
	ft_str_addc(extra, '}');
	probe_release(&base);
	probe_release(&tuned);
	probe_release(&out);
	return same && differ <= tolerance(e);
}

static void add_digest(struct ft_str *s, const char *dir, const char *before)
{
	struct ft_err err;
	char hex[65];

	check(ft_model_digest(dir, hex, &err), &err);
	ft_str_addf(s, "%s\"%s\"", before, hex);
}

static void provenance(const struct export *e, const struct ft_opt *table,
		       struct ft_str *s)
{
	ft_str_addf(
		s,
		"\"provenance\":[{\"tool\":\"ft-export\",\"version\":\"%s\",\"options\":",
		FT_VERSION);
	ft_opt_json(table, s);
	add_digest(s, e->dir, ",\"base\":");
	ft_str_adds(s, ",\"adapters\":[");
	for (size_t i = 0; i < e->nadapters; i++) {
		add_digest(s, e->adapter_dir[i],
			   i ? ",{\"digest\":" : "{\"digest\":");
		ft_str_adds(s, ",\"weight\":");
		ft_str_add_double(s, e->weight[i]);
		ft_str_addc(s, '}');
	}
	ft_str_adds(s, "]}]");
}

/* --- the whole ------------------------------------------------------------ */

static int export(struct export *e, const struct ft_opt *table)
{
	const struct ft_compute c = {.dtype = FT_DTYPE_FLOAT32,
				     .threads = e->threads};
	const char *from[2] = {e->nadapters == 1 ? e->adapter_dir[0] : NULL,
			       e->dir};
	struct ft_str extra = {0};
	struct ft_err err;
	bool same;

	check(ft_compute_open(&e->l, &c, &err), &err);
	check(ft_config_load(&e->cfg, e->dir, &err), &err);
	load_adapters(e);
	check(ft_mkdirs(e->out, &err), &err);
	check(ft_manifest_drop(e->out, &err), &err);
	if (e->peft)
		export_adapter(e);
	else
		export_weights(e);
	check(ft_files_tokenizer(&e->files, e->out, from, 2, &err), &err);
	if (!e->peft)
		check(ft_files_copy(&e->files, e->out, e->dir,
				    "generation_config.json", &err),
		      &err);
	provenance(e, table, &extra);
	same = verify(e, &extra);
	if (same)
		check(ft_manifest_write(e->out, (const char *const *)e->files.v,
					(int)e->files.n, extra.s, &err),
		      &err);
	else
		ft_warn("'%s' is not the model it was made from; it has no manifest",
			e->out);
	ft_str_release(&extra);
	return same ? FT_EXIT_OK : FT_EXIT_NO;
}

static void release(struct export *e)
{
	if (e->has_adapter)
		ft_adapter_release(&e->adapter);
	for (size_t i = 0; i < e->nadapters; i++)
		free((void *)(uintptr_t)e->adapter_dir[i]);
	free((void *)e->adapter_dir);
	free((void *)e->adapters.v);
	free(e->weight);
	ft_files_release(&e->files);
	ft_str_release(&e->given_dir);
	ft_unload(&e->l);
}

int main(int argc, char **argv)
{
	bool dtype_given = false;
	struct export e = {.dtype = AS_BASE,
			   .shard_bytes = FT_SHARD_BYTES,
			   .verify = true};
	const struct ft_opt table[] = {
		FT_STR_FREE('m', "model", &e.model, "DIR",
			    "model directory, or an adapter's"),
		FT_LIST_FREE(0, "adapter", &e.adapters, "DIR[:WEIGHT]",
			     "adapter on the model; several are added up"),
		FT_STR_FREE(0, "base", &e.base, "DIR",
			    "the base model, if not where the adapter says"),
		FT_STR(0, "to", &e.to, "FORM",
		       "hf: a merged model; bnb: one in 4 bits; peft: an adapter"),
		FT_STR_FREE('o', "output-dir", &e.out, "DIR",
			    "the directory to write"),
		{0,
		 "dtype",
		 FT_KIND_ENUM,
		 {.e = &e.dtype},
		 0,
		 0,
		 "float32|bfloat16",
		 "how weights are stored (as the base's)",
		 0,
		 &dtype_given},
		FT_INT(0, "max-shard-size", &e.shard_bytes, 1, INT64_MAX,
		       "BYTES", "a shard is at most so large"),
		FT_STR(0, "base-name", &e.base_name, "NAME",
		       "peft: the base model's name in adapter_config.json (its absolute path)"),
		FT_REAL(0, "tolerance", &e.tolerance, 0, 1e9, "X",
			"log-probabilities may differ by this (0: by dtype)"),
		FT_FLAG(0, "verify", &e.verify,
			"open what was written and compare"),
		FT_INT_FREE(0, "threads", &e.threads, 0, 1024, "N",
			    "threads (0: all processors); changes no result"),
		FT_END,
	};
	int i, rc;

	ft_start(argv[0]);
	i = ft_opt_parse(
		argc, argv, table,
		"-m DIR [--adapter DIR[:WEIGHT]]... --to hf|bnb|peft -o DIR",
		"Write a tuned model in the form that other software loads, reopen it and compare.");
	if (i < argc)
		ft_die(FT_EXIT_USAGE, "'%s' is an operand too many", argv[i]);
	check_usage(&e, dtype_given);
	find_models(&e);
	signal(SIGPIPE, SIG_IGN);
	rc = export(&e, table);
	release(&e);
	return rc;
}
