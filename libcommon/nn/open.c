/* SPDX-License-Identifier: MIT */
#include "libcommon/nn/open.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "libcommon/base/mem.h"

static void run(void *pool, void (*fn)(void *arg, size_t piece, int worker),
		void *arg, size_t n)
{
	ft_pool_run(pool, fn, arg, n);
}

int ft_compute_open(struct ft_loaded *l, const struct ft_compute *c,
		    struct ft_err *err)
{
	const char *name = c->dtype == FT_DTYPE_BFLOAT16 ? "cpu-bf16" : "cpu";
	struct ftk_threads t;
	const char *why = "";

	*l = (struct ft_loaded){0};
	l->pool = ft_pool_new((int)c->threads);
	t = (struct ftk_threads){.nthreads = ft_pool_threads(l->pool),
				 .run = run,
				 .pool = l->pool};
	l->k = ftk_open(name, &t, &why);
	if (!l->k)
		return ft_err_set(err, FT_EXIT_SYS, "no backend: %s", why);
	return 0;
}

int ft_load_begin(struct ft_loaded *l, const struct ft_compute *c,
		  const char *model, const char *adapter, const char *base,
		  bool full, struct ft_err *err)
{
	enum ft_hold hold = c->in_4bit ? FT_HOLD_NF4 : FT_HOLD_FROZEN;
	struct ft_str dir = {0};

	if (ft_compute_open(l, c, err) < 0)
		return -1;
	if (base && (adapter || !ft_adapter_is(model)))
		return ft_err_set(
			err, FT_EXIT_USAGE,
			"--base, but -m is not an adapter's directory");
	if (!adapter && ft_adapter_is(model)) {
		adapter = model;
		if (ft_adapter_base(adapter, base, &dir, err) < 0) {
			ft_str_release(&dir);
			return -1;
		}
	} else {
		ft_str_adds(&dir, model);
	}
	l->dir = dir.s;
	if (ft_model_begin(&l->model, l->k, l->dir,
			   full ? FT_HOLD_TRAINED : hold, err) < 0)
		return -1;
	if (!adapter)
		return 0;
	l->adapter_dir = ft_xstrdup(adapter);
	if (ft_adapter_load(&l->adapter, l->k, ft_model_config(l->model),
			    adapter, err) < 0)
		return -1;
	l->has_adapter = true;
	return ft_adapter_check(adapter, ft_model_config(l->model),
				ft_model_file(l->model), err);
}

int ft_load_weights(struct ft_loaded *l, struct ft_err *err)
{
	if (ft_model_load(l->model, err) < 0)
		return -1;
	return l->has_adapter ? ft_adapter_attach(&l->adapter, l->model,
						  !l->adapter_dir, err)
			      : 0;
}

int ft_load(struct ft_loaded *l, const struct ft_compute *c, const char *model,
	    const char *adapter, const char *base, bool full,
	    struct ft_err *err)
{
	if (ft_load_begin(l, c, model, adapter, base, full, err) < 0)
		return -1;
	return ft_load_weights(l, err);
}

void ft_load_plan(struct ft_loaded *l, struct ft_plan *p)
{
	/* a tokenizer's tables are that much larger than its file */
	enum { TABLES = 4 };
	struct ft_carve c = {.plan = p, .part = FT_PLAN_PROGRAM};
	struct ft_str path = {0};
	struct stat sb;

	ft_model_plan_weights(l->model, p);
	if (l->has_adapter)
		ft_adapter_plan(&l->adapter, l->model, FT_PLAN_ADAPTER, p);
	ft_take(&c, FT_PLAN_LEAST, 1);
	ft_str_addf(&path, "%s/tokenizer.json", l->dir);
	if (stat(path.s, &sb) == 0)
		ft_take(&c, (size_t)sb.st_size, TABLES);
	ft_str_release(&path);
}

void ft_unload(struct ft_loaded *l)
{
	if (l->has_adapter)
		ft_adapter_release(&l->adapter);
	ft_model_close(l->model);
	if (l->k)
		l->k->close(l->k);
	if (l->pool)
		ft_pool_free(l->pool);
	free(l->dir);
	free(l->adapter_dir);
	*l = (struct ft_loaded){0};
}
