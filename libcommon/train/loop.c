/* SPDX-License-Identifier: MIT */
#include "libcommon/train/loop.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "libcommon/base/rng.h"
#include "libcommon/io/manifest.h"
#include "libcommon/io/output.h"
#include "libcommon/train/checkpoint.h"
#include "libcommon/train/fit.h"

/* --- signals: noted here, acted on between steps --- */

static volatile sig_atomic_t stop_signal, save_signal;

static void on_stop(int sig)
{
	if (stop_signal && sig == SIGINT) {
		signal(SIGINT, SIG_DFL);
		raise(SIGINT);
	}
	stop_signal = sig;
}

static void on_save(int sig)
{
	save_signal = sig;
}

static void catch_signal(int sig, void (*handler)(int))
{
	struct sigaction a = {.sa_handler = handler, .sa_flags = SA_RESTART};

	sigemptyset(&a.sa_mask);
	sigaction(sig, &a, NULL);
}

static void release_signals(void)
{
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGUSR1, SIG_DFL);
}

/* --- getting ready --- */

static int open_adapter(struct ft_trainer *t, struct ft_err *err)
{
	struct ft_train_opts *o = t->o;

	if (o->full) {
		t->block = ft_model_block(t->l.model);
		return 0;
	}
	if (!t->l.has_adapter) {
		if (ft_adapter_new(&t->l.adapter, t->l.k,
				   ft_model_config(t->l.model), &o->lora,
				   (uint64_t)o->compute.seed, err) < 0)
			return -1;
		t->l.has_adapter = true;
	}
	t->run.adapter = &t->l.adapter;
	t->l.adapter.dropout = (float)o->lora.dropout;
	t->block = &t->l.adapter.b;
	return 0;
}

static int load_data(struct ft_trainer *t, const char *stream,
		     struct ft_err *err)
{
	struct ft_train_opts *o = t->o;
	struct ft_data_want w = {.kinds = t->method->kinds,
				 .c = ft_model_config(t->l.model),
				 .model_dir = t->l.dir,
				 .allow_no_stop = o->allow_no_stop,
				 .copy_dir = o->out ? o->out : "."};

	if (w.c->attn_dropout != 0)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"%s/config.json: attention_dropout is %g: training with it is not supported",
			t->l.dir, w.c->attn_dropout);
	if (w.c->let_be != 0)
		ft_warn("%s/config.json asks for dropout of %g inside the model: it is left out",
			t->l.dir, w.c->let_be);
	if (ft_data_load(&t->data, stream, &w, err) < 0)
		return -1;
	ft_data_deal(&t->data, o);
	if (!o->eval_file)
		return 0;
	w.allow_no_stop = true;
	if (ft_data_load(&t->eval, o->eval_file, &w, err) < 0)
		return -1;
	t->has_eval = true;
	t->eval_rows = ft_xcalloc(t->eval.b.nrow, sizeof(*t->eval_rows));
	for (size_t i = 0; i < t->eval.b.nrow; i++)
		t->eval_rows[i] = i;
	return 0;
}

static int64_t total_steps(const struct ft_trainer *t)
{
	double per = (double)ft_data_steps_per_epoch(&t->data);

	if (t->o->max_steps >= 0)
		return t->o->max_steps;
	return (int64_t)ceil(t->o->epochs * per - 1e-9);
}

/* A result written over what training starts from could not be resumed, and a
   kill would leave neither. */
static int check_apart(const struct ft_trainer *t, struct ft_err *err)
{
	const char *const dirs[] = {t->l.dir, t->l.adapter_dir};
	struct stat out, in;

	for (int i = 0; i < 2; i++) {
		if (dirs[i] && stat(t->o->out, &out) == 0 &&
		    stat(dirs[i], &in) == 0 && out.st_dev == in.st_dev &&
		    out.st_ino == in.st_ino)
			return ft_err_set(
				err, FT_EXIT_USAGE,
				"the output directory is the one training starts from, '%.200s'",
				dirs[i]);
	}
	return 0;
}

static int prepare(struct ft_trainer *t, const char *stream, struct ft_err *err)
{
	struct ft_train_opts *o = t->o;
	struct ft_str from = {0};
	int rc;

	/* all that can be refused comes before OUT is touched */
	if (!o->plan && ft_checkpoint_check(o, err) < 0)
		return -1;
	if (ft_load_begin(&t->l, &o->compute, o->model, o->adapter, o->base,
			  o->full, err) < 0 ||
	    (!o->plan && check_apart(t, err) < 0) ||
	    load_data(t, stream, err) < 0 || open_adapter(t, err) < 0 ||
	    ft_fit(t, err) < 0)
		return -1;
	if (o->plan)
		return 0;
	if (ft_load_weights(&t->l, err) < 0 ||
	    ft_model_digest(t->l.adapter_dir ? t->l.adapter_dir : t->l.dir,
			    t->start_digest, err) < 0)
		return -1;
	if (ft_fit_take(t, err) < 0 ||
	    ft_optimizer_init(&t->optim, t->block, o, err) < 0)
		return -1;
	t->total = total_steps(t);
	if (t->method->start && t->method->start(t, err) < 0)
		return -1;
	rc = ft_checkpoint_find(t, &from, err);
	if (rc > 0)
		rc = ft_checkpoint_load(t, from.s, err);
	if (!rc)
		rc = ft_mkdirs(o->out, err);
	if (!rc)
		rc = ft_checkpoint_claim(t, err);
	if (!rc) {
		struct ft_str path = {0};

		if (o->metrics)
			ft_str_adds(&path, o->metrics);
		else
			ft_str_addf(&path, "%s/train.metrics.jsonl", o->out);
		rc = ft_metrics_open(&t->metrics, path.s, t->step, err);
		ft_str_release(&path);
	}
	if (!rc && t->step)
		ft_info("resuming from %s at step %lld of %lld", from.s,
			(long long)t->step, (long long)t->total);
	ft_str_release(&from);
	return rc;
}

/* --- a step --- */

void ft_trainer_pass(struct ft_trainer *t, const struct ft_data *d,
		     const size_t *rows, size_t n)
{
	ft_pass_clear(&t->pass);
	for (size_t i = 0; i < n; i++)
		ft_pass_add(&t->pass, ft_data_row(d, rows[i]), 0, false);
}

static void all_micros(struct ft_trainer *t, const struct ft_data *d,
		       const size_t *rows, size_t n, bool train,
		       struct ft_sums *sums)
{
	size_t tokens = (size_t)t->o->micro_tokens, take;

	for (size_t i = 0; i < n; i += take) {
		take = ft_data_micro(d, rows + i, n - i, tokens);
		t->method->micro(t, d, rows + i, take, train, sums);
	}
}

static double epoch_of(const struct ft_trainer *t)
{
	return (double)t->step / (double)ft_data_steps_per_epoch(&t->data);
}

static int evaluate(struct ft_trainer *t, struct ft_err *err)
{
	struct ft_sums sums = {{0}};
	double loss;

	all_micros(t, &t->eval, t->eval_rows, t->eval.b.nrow, false, &sums);
	if (ft_data_check(&t->eval, err) < 0)
		return -1;
	ft_str_clear(&t->fields);
	ft_metric(&t->fields, "", "epoch", epoch_of(t));
	loss = t->method->report(t, &sums, "eval_", &t->fields);
	ft_metrics_put(&t->metrics, t->step, t->fields.s);
	ft_info("step %lld eval_loss %.4f", (long long)t->step, loss);
	return 0;
}

/* Speed since the last logged line; its sums, which a checkpoint keeps, are
   t->window. */
struct window {
	double start;
	int64_t tokens;
};

static void log_window(struct ft_trainer *t, struct window *w, double norm,
		       double lr)
{
	struct ft_str *fields = &t->fields;

	ft_str_clear(fields);
	ft_metric(fields, "", "epoch", epoch_of(t));
	t->method->report(t, &t->window, "", fields);
	ft_metric(fields, "", "grad_norm", norm);
	ft_metric(fields, "", "learning_rate", lr);
	ft_metric(fields, "", "num_tokens", (double)t->num_tokens);
	ft_metrics_put(&t->metrics, t->step, fields->s);
	*w = (struct window){.start = ft_now()};
	t->window = (struct ft_sums){{0}};
}

/* 0; -1 when too many steps in a row were not finite. */
static int apply(struct ft_trainer *t, double loss, double norm, double lr,
		 struct ft_err *err)
{
	double clip = t->o->max_grad_norm, gscale = 1;

	if (!isfinite(loss) || !isfinite(norm)) {
		t->skipped++;
		t->bad++;
		ft_warn("step %lld: loss %g, gradient norm %g: not applied",
			(long long)t->step + 1, loss, norm);
		if (t->bad > t->o->max_bad_steps)
			return ft_err_set(err, FT_EXIT_NO,
					  "%lld steps in a row were not finite",
					  (long long)t->bad);
		return 0;
	}
	t->bad = 0;
	if (clip > 0 && norm > clip)
		gscale = clip / (norm + 1e-6);
	ft_optimizer_step(&t->optim, lr, gscale);
	if (t->o->full)
		ft_model_sync(t->l.model);
	else
		ft_adapter_sync(&t->l.adapter, t->l.model);
	return 0;
}

static void add_sums(struct ft_sums *to, const struct ft_sums *s)
{
	for (int i = 0; i < FT_NSUM; i++)
		to->v[i] += s->v[i];
}

static int one_step(struct ft_trainer *t, size_t *rows, struct window *w,
		    struct ft_progress *bar, struct ft_err *err)
{
	size_t n = ft_data_step(&t->data, (uint64_t)t->step, rows);
	double lr = ft_learning_rate(t->o, t->step, t->total);
	struct ft_sums sums = {{0}};
	double loss, norm;
	char values[160];
	bool log;

	t->run.dropout = t->run.adapter ? t->l.adapter.dropout : 0;
	t->run.dropout_key = ft_mix64(
		ft_rng_key((uint64_t)t->o->compute.seed, FT_RNG_DROPOUT) +
		(uint64_t)t->data.epoch);
	if (t->o->overfit_one_batch)
		t->run.dropout = 0;
	t->run.save = true;
	ft_optimizer_zero(&t->optim);
	t->weight = t->method->weight(t, &t->data, rows, n);
	all_micros(t, &t->data, rows, n, true, &sums);
	if (ft_data_check(&t->data, err) < 0)
		return -1;
	t->run.dropout = 0;
	ft_str_clear(&t->fields);
	loss = t->method->report(t, &sums, "", &t->fields);
	norm = ft_optimizer_norm(&t->optim);
	if (apply(t, loss, norm, lr, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		size_t tokens = ft_data_row_tokens(&t->data, rows[i]);

		t->num_tokens += (int64_t)tokens;
		w->tokens += (int64_t)tokens;
	}
	t->seen += n;
	t->step++;
	if (!t->bad)
		t->train_loss_sum += loss;
	add_sums(&t->window, &sums);
	log = t->step % t->o->logging_steps == 0 || t->step == t->total;
	snprintf(values, sizeof(values), "loss %.4f lr %.2e grad_norm %.3g",
		 loss, lr, norm);
	ft_progress_step(bar, log, t->step, t->total, values,
			 (double)w->tokens / (ft_now() - w->start));
	if (log)
		log_window(t, w, norm, lr);
	return 0;
}

static bool due(int64_t step, int64_t every)
{
	return every > 0 && step % every == 0;
}

static int train_steps(struct ft_trainer *t, int *sig, struct ft_err *err)
{
	size_t most_rows = t->data.per_step < t->data.b.nrow ? t->data.per_step
							     : t->data.b.nrow;
	size_t *rows = ft_xcalloc(most_rows, sizeof(*rows));
	struct window w = {.start = ft_now()};
	struct ft_progress bar;
	int64_t saved = t->step;
	int rc = 0;

	ft_progress_start(&bar, t->step);
	while (t->step < t->total && !rc && !stop_signal) {
		bool last;

		rc = one_step(t, rows, &w, &bar, err);
		last = t->step == t->total;
		if (!rc && t->has_eval &&
		    (last || due(t->step, t->o->eval_steps)))
			rc = evaluate(t, err);
		if (!rc && (save_signal || due(t->step, t->o->save_steps) ||
			    (last && t->o->save_steps))) {
			save_signal = 0;
			rc = ft_checkpoint_save(t, err);
			saved = t->step;
		}
	}
	ft_progress_end(&bar);
	*sig = rc ? 0 : stop_signal;
	if (*sig && t->step > saved)
		rc = ft_checkpoint_save(t, err);
	free(rows);
	return rc;
}

/* Of this program's time: what of the run it did not do itself counts in the
   loss alone. */
static void log_end(struct ft_trainer *t, int64_t first, double took)
{
	struct ft_str *f = &t->fields;
	double applied = (double)(t->step - t->skipped);

	ft_str_clear(f);
	ft_metric(f, "", "epoch", epoch_of(t));
	ft_metric(f, "train_", "runtime", took);
	ft_metric(f, "train_", "samples_per_second", (double)t->seen / took);
	ft_metric(f, "train_", "steps_per_second",
		  (double)(t->step - first) / took);
	ft_metric(f, "train_", "loss",
		  applied > 0 ? t->train_loss_sum / applied : 0);
	ft_metrics_write(&t->metrics, t->step, f->s);
}

int ft_train(struct ft_trainer *t, const char *stream, int *sig,
	     struct ft_err *err)
{
	int64_t first;
	double start;
	int rc;

	*sig = 0;
	t->metrics.fd = -1;
	/* a signal to save may come as early as it likes; one to stop finds
	   nothing to save before the first step */
	catch_signal(SIGUSR1, on_save);
	rc = prepare(t, stream, err);
	if (rc < 0 || t->o->plan)
		return rc;
	catch_signal(SIGINT, on_stop);
	catch_signal(SIGTERM, on_stop);
	first = t->step;
	start = ft_now();
	rc = train_steps(t, sig, err);
	if (!rc && !*sig) {
		log_end(t, first, ft_now() - start);
		rc = ft_checkpoint_finish(t, err);
	}
	release_signals();
	return rc;
}

void ft_trainer_release(struct ft_trainer *t)
{
	if (t->method && t->method->end)
		t->method->end(t);
	ft_optimizer_release(&t->optim);
	ft_data_release(&t->data);
	ft_data_release(&t->eval);
	ft_pass_release(&t->pass);
	ft_metrics_close(&t->metrics);
	free(t->rows);
	free(t->eval_rows);
	ft_str_release(&t->fields);
	ft_unload(&t->l);
}
