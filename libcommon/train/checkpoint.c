/* SPDX-License-Identifier: MIT */
#include "libcommon/train/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "libcommon/io/input.h"
#include "libcommon/io/json.h"
#include "libcommon/io/manifest.h"
#include "libcommon/io/output.h"
#include "libcommon/io/shards.h"

enum { COPY_MAX = 1 << 29 };

#define MAX_COUNT (INT64_C(1) << 53)

static void join(struct ft_str *s, const char *dir, const char *name)
{
	ft_str_clear(s);
	ft_str_addf(s, "%s/%s", dir, name);
}

/* --- finding checkpoints --- */

/* N of "checkpoint-N", else -1. */
static int64_t step_of(const char *name)
{
	char *end;
	long long n;

	if (!ft_starts(name, "checkpoint-"))
		return -1;
	name += strlen("checkpoint-");
	if (*name < '0' || *name > '9')
		return -1;
	errno = 0;
	n = strtoll(name, &end, 10);
	return *end || errno ? -1 : (int64_t)n;
}

struct found {
	int64_t *step;
	size_t n, cap;
};

static int newest_first(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x < y) - (x > y);
}

static void find_all(const char *out, struct found *f)
{
	DIR *d = opendir(out);
	struct dirent *e;

	*f = (struct found){0};
	while (d && (e = readdir(d))) {
		if (step_of(e->d_name) < 0)
			continue;
		FT_GROW(f->step, f->n, f->cap, 1);
		f->step[f->n++] = step_of(e->d_name);
	}
	if (d)
		closedir(d);
	if (f->n)
		qsort(f->step, f->n, sizeof(*f->step), newest_first);
}

static void path_of(struct ft_str *s, const char *out, int64_t step)
{
	ft_str_clear(s);
	ft_str_addf(s, "%s/checkpoint-%lld", out, (long long)step);
}

int ft_checkpoint_check(const struct ft_train_opts *o, struct ft_err *err)
{
	struct found f;
	int rc = 0;

	find_all(o->out, &f);
	if (f.n && !o->resume && !o->overwrite)
		rc = ft_err_set(
			err, FT_EXIT_USAGE,
			"'%.200s' holds checkpoints of an earlier run; give --resume-from-checkpoint auto or --overwrite-output-dir",
			o->out);
	free(f.step);
	return rc;
}

/* Is it ".NAME.tmp.PID", the file of a writer that is no more? */
static bool orphan(const char *name)
{
	const char *at = name[0] == '.' ? strstr(name, ".tmp.") : NULL;
	long pid = at ? strtol(at + 5, NULL, 10) : 0;

	return pid > 0 && kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

/* What a killed run left half built. */
static void remove_torn(const char *out)
{
	struct ft_str path = {0};
	DIR *d = opendir(out);
	struct ft_err ignored;
	struct dirent *e;

	while (d && (e = readdir(d))) {
		join(&path, out, e->d_name);
		if (ft_starts(e->d_name, "checkpoint-") &&
		    ft_ends(e->d_name, ".tmp"))
			ft_remove_dir(path.s, &ignored);
		else if (orphan(e->d_name))
			unlink(path.s);
	}
	if (d)
		closedir(d);
	ft_str_release(&path);
}

static int remove_checkpoint(const char *path, struct ft_err *err)
{
	if (ft_manifest_drop(path, err) < 0)
		return -1;
	return ft_remove_dir(path, err);
}

int ft_checkpoint_claim(struct ft_trainer *t, struct ft_err *err)
{
	const char *out = t->o->out;
	struct ft_str path = {0};
	struct found f;
	int rc = ft_manifest_drop(out, err);

	remove_torn(out);
	find_all(out, &f);
	for (size_t i = 0; i < f.n && t->o->overwrite && !rc; i++) {
		path_of(&path, out, f.step[i]);
		rc = remove_checkpoint(path.s, err);
	}
	free(f.step);
	ft_str_release(&path);
	return rc;
}

int ft_checkpoint_find(const struct ft_trainer *t, struct ft_str *path,
		       struct ft_err *err)
{
	const char *want = t->o->resume;
	struct found f;
	int rc = 0;

	if (!want)
		return 0;
	if (strcmp(want, "auto")) {
		ft_str_adds(path, want);
		rc = ft_manifest_check(want, err);
		if (rc > 0)
			rc = ft_err_set(err, FT_EXIT_DATA,
					"'%.200s' is no complete checkpoint",
					want);
		return rc < 0 ? -1 : 1;
	}
	find_all(t->o->out, &f);
	for (size_t i = 0; i < f.n && !rc; i++) {
		struct ft_err why;

		path_of(path, t->o->out, f.step[i]);
		if (ft_manifest_check(path->s, &why) == 0)
			rc = 1;
		else
			ft_warn("%s is not complete: passed over", path->s);
	}
	free(f.step);
	return rc;
}

/* --- writing --- */

/* Everything a run has to agree on to be gone on with. */
static void identity(const struct ft_trainer *t, struct ft_str *s)
{
	ft_str_adds(s, "\"data\":");
	ft_str_add_json(s, t->data.info.digest, strlen(t->data.info.digest));
	ft_str_adds(s, ",\"options\":");
	ft_opt_json(t->table, s);
	ft_str_addf(
		s, ",\"start_model\":\"%s\",\"tool\":\"%s\",\"version\":\"%s\"",
		t->start_digest, ft_progname(), FT_VERSION);
}

/* trainer_state.json with TRL's fields; the few that are ours stand in
   rng_state.json, since a stranger's reader refuses extra ones. */
static int write_state(const struct ft_trainer *t, const char *dir,
		       struct ft_files *f, struct ft_err *err)
{
	struct ft_str s = {0}, path = {0};
	double per = (double)ft_data_steps_per_epoch(&t->data);
	int rc;

	ft_str_adds(
		&s,
		"{\n  \"best_global_step\": null,\n  \"best_metric\": null,\n  \"best_model_checkpoint\": null,\n  \"epoch\": ");
	ft_str_add_double(&s, (double)t->step / per);
	ft_str_addf(
		&s,
		",\n  \"eval_steps\": %lld,\n  \"global_step\": %lld,\n  \"is_hyper_param_search\": false,\n  \"is_local_process_zero\": true,\n  \"is_world_process_zero\": true,\n  \"log_history\": [%s\n  ],\n  \"logging_steps\": %lld,\n  \"max_steps\": %lld,\n  \"num_input_tokens_seen\": %lld,\n  \"num_train_epochs\": %lld,\n  \"save_steps\": %lld,\n  \"stateful_callbacks\": {},\n  \"total_flos\": 0,\n  \"train_batch_size\": %lld,\n  \"trial_name\": null,\n  \"trial_params\": null\n}\n",
		(long long)t->o->eval_steps, (long long)t->step,
		ft_str_cstr(&t->metrics.history),
		(long long)t->o->logging_steps, (long long)t->total,
		(long long)t->num_tokens,
		(long long)((double)t->total / per + 0.999999),
		(long long)t->o->save_steps, (long long)t->o->batch);
	join(&path, dir, "trainer_state.json");
	rc = ft_write_file(path.s, s.s, s.n, err);
	ft_files_add(f, "trainer_state.json");
	if (!rc) {
		ft_str_clear(&s);
		ft_str_addf(
			&s,
			"{\"bad_steps\":%lld,\"num_tokens\":%lld,\"optimizer_steps\":%lld,\"seed\":%lld,\"skipped_steps\":%lld,\"step\":%lld,\"train_loss_sum\":",
			(long long)t->bad, (long long)t->num_tokens,
			(long long)t->optim.t, (long long)t->o->compute.seed,
			(long long)t->skipped, (long long)t->step);
		ft_str_add_double(&s, t->train_loss_sum);
		ft_str_adds(&s, ",\"window\":[");
		for (int i = 0; i < FT_NSUM; i++) {
			if (i)
				ft_str_addc(&s, ',');
			ft_str_add_double(&s, t->window.v[i]);
		}
		ft_str_adds(&s, "]}\n");
		join(&path, dir, "rng_state.json");
		rc = ft_write_file(path.s, s.s, s.n, err);
		ft_files_add(f, "rng_state.json");
	}
	ft_str_release(&s);
	ft_str_release(&path);
	return rc;
}

static int copy_tokenizer(const struct ft_trainer *t, const char *dir,
			  struct ft_files *f, struct ft_err *err)
{
	const char *from = t->l.dir;

	return ft_files_tokenizer(f, dir, &from, 1, err);
}

/* config.json of the start model, saying that weights are float32 now. */
static int write_config(const struct ft_trainer *t, const char *dir,
			struct ft_files *f, struct ft_err *err)
{
	static const char type[] = "\"float32\"";
	const struct ft_edit edits[] = {
		{.key = "dtype", .json = type, .n = sizeof(type) - 1},
		{.key = "torch_dtype", .json = type, .n = sizeof(type) - 1},
	};
	struct ft_str path = {0}, out = {0};
	struct ft_arena a = {0};
	struct ft_row row = {0};
	char *text;
	int rc = -1;

	join(&path, t->l.dir, "config.json");
	text = ft_read_file(path.s, COPY_MAX, &row.ntext, err);
	row.text = text;
	if (text && !ft_json_parse(&a, text, row.ntext, &row.obj, err)) {
		ft_row_edit(&row, edits, 2, &out);
		join(&path, dir, "config.json");
		rc = ft_write_file(path.s, out.s, out.n, err);
		ft_files_add(f, "config.json");
	}
	if (!rc)
		rc = ft_files_copy(f, dir, t->l.dir, "generation_config.json",
				   err) < 0
			     ? -1
			     : 0;
	ft_arena_release(&a);
	ft_str_release(&path);
	ft_str_release(&out);
	free(text);
	return rc;
}

static int write_weights(const struct ft_trainer *t, const char *dir,
			 struct ft_files *f, struct ft_err *err)
{
	struct ft_str path = {0};
	char *base;
	int rc;

	if (t->o->full) {
		join(&path, dir, "model.safetensors");
		rc = ft_model_save(t->l.model, path.s, err);
		ft_files_add(f, "model.safetensors");
		ft_str_release(&path);
		return rc < 0 ? -1 : write_config(t, dir, f, err);
	}
	base = realpath(t->l.dir, NULL);
	rc = ft_adapter_save(&t->l.adapter, ft_model_config(t->l.model), dir,
			     base ? base : t->l.dir, err);
	ft_files_add(f, "adapter_config.json");
	ft_files_add(f, "adapter_model.safetensors");
	free(base);
	return rc;
}

/* A method's own state: DPO's frozen reference adapter. */
static int write_reference(const struct ft_trainer *t, const char *dir,
			   struct ft_files *f, struct ft_err *err)
{
	struct ft_str path = {0};
	int rc = 0;

	if (t->reference) {
		join(&path, dir, "reference.safetensors");
		rc = ft_block_save(&t->reference->b, t->reference->b.p, path.s,
				   FT_F32, err);
		ft_files_add(f, "reference.safetensors");
	}
	ft_str_release(&path);
	return rc;
}

static int write_all(const struct ft_trainer *t, const char *dir,
		     struct ft_err *err)
{
	struct ft_str path = {0}, extra = {0};
	struct ft_files f = {0};
	int rc = -1;

	join(&path, dir, "optimizer.safetensors");
	if (ft_mkdirs(dir, err) < 0 || write_weights(t, dir, &f, err) < 0 ||
	    (t->o->full && copy_tokenizer(t, dir, &f, err) < 0) ||
	    write_reference(t, dir, &f, err) < 0)
		goto out;
	if (t->optim.m) {
		if (ft_optimizer_save(&t->optim, path.s, err) < 0)
			goto out;
		ft_files_add(&f, "optimizer.safetensors");
	}
	if (write_state(t, dir, &f, err) < 0)
		goto out;
	identity(t, &extra);
	rc = ft_manifest_write(dir, (const char *const *)f.v, (int)f.n, extra.s,
			       err);
	if (!rc)
		rc = ft_sync_dir(dir, err);
out:
	ft_files_release(&f);
	ft_str_release(&path);
	ft_str_release(&extra);
	return rc;
}

static int drop_old(const struct ft_trainer *t, struct ft_err *err)
{
	size_t keep = (size_t)t->o->save_total_limit;
	struct ft_str path = {0};
	struct found f;
	int rc = 0;

	if (!keep)
		return 0;
	find_all(t->o->out, &f);
	for (size_t i = keep; i < f.n && !rc; i++) {
		/* an older run may have left later ones: this one stays */
		if (f.step[i] == t->step)
			continue;
		path_of(&path, t->o->out, f.step[i]);
		rc = remove_checkpoint(path.s, err);
	}
	free(f.step);
	ft_str_release(&path);
	return rc;
}

int ft_checkpoint_save(struct ft_trainer *t, struct ft_err *err)
{
	struct ft_str dir = {0}, tmp = {0};
	struct ft_err ignored;
	int rc = -1;

	path_of(&dir, t->o->out, t->step);
	ft_str_addf(&tmp, "%s.tmp", dir.s);
	if (access(tmp.s, F_OK) == 0)
		ft_remove_dir(tmp.s, &ignored);
	if (write_all(t, tmp.s, err) < 0) {
		ft_remove_dir(tmp.s, &ignored);
		goto out;
	}
	if (access(dir.s, F_OK) == 0 && remove_checkpoint(dir.s, err) < 0)
		goto out;
	if (rename(tmp.s, dir.s) < 0) {
		ft_err_sys(err, "cannot rename '%.200s'", tmp.s);
		goto out;
	}
	rc = ft_sync_dir(t->o->out, err);
	if (!rc)
		rc = drop_old(t, err);
out:
	ft_str_release(&dir);
	ft_str_release(&tmp);
	return rc;
}

/* Resuming needs checkpoints, not what they were copied from: provenance is
   the stream's, then this run's. */
static void provenance(const struct ft_trainer *t, struct ft_str *s)
{
	const struct ft_str *p = &t->data.info.provenance;
	size_t n = p->n;

	ft_str_adds(s, "\"provenance\":[");
	while (n && p->s[n - 1] != ']')
		n--;
	if (n > 2) {
		ft_str_add(s, p->s + 1, n - 2);
		ft_str_addc(s, ',');
	}
	ft_str_addc(s, '{');
	identity(t, s);
	ft_str_adds(s, "}]");
}

int ft_checkpoint_finish(struct ft_trainer *t, struct ft_err *err)
{
	struct ft_str extra = {0};
	struct ft_files f = {0};
	int rc = -1;

	/* a run killed while it dropped one may have left it half there */
	if (drop_old(t, err) < 0 || write_weights(t, t->o->out, &f, err) < 0 ||
	    copy_tokenizer(t, t->o->out, &f, err) < 0 ||
	    write_state(t, t->o->out, &f, err) < 0)
		goto out;
	provenance(t, &extra);
	rc = ft_manifest_write(t->o->out, (const char *const *)f.v, (int)f.n,
			       extra.s, err);
out:
	ft_files_release(&f);
	ft_str_release(&extra);
	return rc;
}

/* --- taking one up --- */

static int differs(const char *what, const struct ft_json *was,
		   const struct ft_json *is, struct ft_err *err)
{
	return ft_err_set(
		err, FT_EXIT_DATA,
		"the checkpoint was made with %s %.*s, this run has %.*s", what,
		was ? (int)(was->nraw < 100 ? was->nraw : 100) : 4,
		was ? was->raw : "none",
		is ? (int)(is->nraw < 100 ? is->nraw : 100) : 4,
		is ? is->raw : "none");
}

/* A manifest is laid out in lines: white space says nothing. */
static bool same(const struct ft_json *a, const struct ft_json *b)
{
	struct ft_str x = {0}, y = {0};
	bool eq = false;

	if (a && b) {
		ft_json_print(a, false, -1, &x);
		ft_json_print(b, false, -1, &y);
		eq = x.n == y.n && !memcmp(x.s, y.s, x.n);
	}
	ft_str_release(&x);
	ft_str_release(&y);
	return eq;
}

static int compare_options(const struct ft_json *was, const struct ft_json *is,
			   struct ft_err *err)
{
	char what[80];

	for (const struct ft_json *o = is ? is->child : NULL; o; o = o->next) {
		const struct ft_json *w = ft_json_get(was, o->key);

		if (same(w, o))
			continue;
		snprintf(what, sizeof(what), "--%.64s", o->key);
		return differs(what, w, o, err);
	}
	return 0;
}

static int check_identity(const struct ft_trainer *t,
			  const struct ft_json *manifest, struct ft_err *err)
{
	static const char *const keys[] = {"data", "start_model", "tool"};
	static const char *const says[] = {"the data", "the start model",
					   "tool"};
	struct ft_arena a = {0};
	struct ft_str s = {0};
	struct ft_json *now;
	int rc;

	ft_str_addc(&s, '{');
	identity(t, &s);
	ft_str_addc(&s, '}');
	rc = ft_json_parse(&a, s.s, s.n, &now, err);
	for (size_t i = 0; i < 3 && !rc; i++) {
		const struct ft_json *was = ft_json_get(manifest, keys[i]);
		const struct ft_json *is = ft_json_get(now, keys[i]);

		if (!same(was, is))
			rc = differs(says[i], was, is, err);
	}
	if (!rc)
		rc = compare_options(ft_json_get(manifest, "options"),
				     ft_json_get(now, "options"), err);
	ft_arena_release(&a);
	ft_str_release(&s);
	return rc;
}

static char *read_json(const char *dir, const char *name, struct ft_arena *a,
		       struct ft_json **o, struct ft_err *err)
{
	struct ft_str path = {0};
	size_t n;
	char *text;

	join(&path, dir, name);
	text = ft_read_file(path.s, COPY_MAX, &n, err);
	if (text && ft_json_parse(a, text, n, o, err) < 0) {
		ft_err_at(err, path.s, 0);
		free(text);
		text = NULL;
	}
	ft_str_release(&path);
	return text;
}

static int load_block(struct ft_block *b, const char *dir, const char *name,
		      struct ft_err *err)
{
	struct ft_str path = {0};
	struct ft_st st = {0};
	int rc;

	join(&path, dir, name);
	rc = ft_st_open(&st, path.s, err);
	if (!rc) {
		rc = ft_block_load(b, b->p, &st, "", err);
		if (rc < 0)
			ft_err_at(err, path.s, 0);
	}
	ft_st_release(&st);
	ft_str_release(&path);
	return rc;
}

/* Sums since the last logged line; what was not finite was written as null. */
static int load_window(struct ft_trainer *t, const struct ft_json *o)
{
	const struct ft_json *w = ft_json_get(o, "window");
	int i = 0;

	if (!w || w->type != FT_JSON_ARRAY || w->n != FT_NSUM)
		return -1;
	for (w = w->child; w; w = w->next)
		t->window.v[i++] = w->type == FT_JSON_NUMBER ? w->num : NAN;
	return 0;
}

/* The records logged before, for the state of later checkpoints. */
static int load_history(struct ft_trainer *t, const struct ft_json *o,
			struct ft_err *err)
{
	const struct ft_json *h = ft_json_get(o, "log_history");

	if (!h || h->type != FT_JSON_ARRAY)
		return ft_err_set(err, FT_EXIT_DATA,
				  "trainer_state.json lacks a field");
	for (h = h->child; h; h = h->next)
		ft_metrics_remember(&t->metrics, h->raw, h->nraw);
	return 0;
}

static int load_numbers(struct ft_trainer *t, const struct ft_json *o,
			struct ft_err *err)
{
	const struct {
		const char *key;
		int64_t *v;
	} counts[] = {
		{"step", &t->step},
		{"num_tokens", &t->num_tokens},
		{"optimizer_steps", &t->optim.t},
		{"bad_steps", &t->bad},
		{"skipped_steps", &t->skipped},
	};

	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		const char *key = counts[i].key;

		if (ft_json_int(o, key, counts[i].v, err) <= 0 ||
		    *counts[i].v < 0 || *counts[i].v > MAX_COUNT ||
		    t->step > t->total)
			return ft_err_set(
				err, FT_EXIT_DATA,
				"rng_state.json: '%s' is missing or out of range",
				key);
	}
	if (ft_json_real(o, "train_loss_sum", &t->train_loss_sum, err) <= 0 ||
	    load_window(t, o) < 0)
		return ft_err_set(err, FT_EXIT_DATA,
				  "rng_state.json lacks a field");
	return 0;
}

int ft_checkpoint_load(struct ft_trainer *t, const char *dir,
		       struct ft_err *err)
{
	struct ft_str path = {0};
	struct ft_arena a = {0};
	struct ft_json *o;
	char *manifest, *state = NULL, *log = NULL;
	int rc = -1;

	manifest = read_json(dir, FT_MANIFEST, &a, &o, err);
	if (!manifest || check_identity(t, o, err) < 0)
		goto out;
	state = read_json(dir, "rng_state.json", &a, &o, err);
	if (!state || load_numbers(t, o, err) < 0)
		goto out;
	log = read_json(dir, "trainer_state.json", &a, &o, err);
	if (!log || load_history(t, o, err) < 0)
		goto out;
	if (load_block(t->block, dir,
		       t->o->full ? "model.safetensors"
				  : "adapter_model.safetensors",
		       err) < 0)
		goto out;
	if (t->reference &&
	    load_block(&t->reference->b, dir, "reference.safetensors", err) < 0)
		goto out;
	join(&path, dir, "optimizer.safetensors");
	if (t->optim.m && ft_optimizer_load(&t->optim, path.s, err) < 0)
		goto out;
	ft_model_sync(t->l.model);
	if (t->run.adapter)
		ft_adapter_sync(&t->l.adapter, t->l.model);
	if (t->reference)
		ft_adapter_sync(t->reference, t->l.model);
	rc = 0;
out:
	if (rc < 0)
		ft_err_at(err, dir, 0);
	ft_arena_release(&a);
	ft_str_release(&path);
	free(manifest);
	free(state);
	free(log);
	return rc;
}
