/* SPDX-License-Identifier: MIT */
/* ft-models - the models that ft knows, and what memory training them takes. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "libcommon/io/output.h"
#include "libcommon/train/fit.h"
#include "libcommon/train/sft.h"

enum { NLENGTH = 3, NMETHOD = 3, COLUMN = 6 };

static const size_t lengths[NLENGTH] = {512, 2048, 8192};
static const struct {
	const char *name, *title;
	bool in_4bit, full;
} methods[NMETHOD] = {
	{"lora", "LoRA", false, false},
	{"qlora", "QLoRA", true, false},
	{"full", "full", false, true},
};

static const struct model {
	const char *name, *hub, *lora, *qlora; /* those two of others' tables */
	const char *config;                    /* NULL: name is a directory */
} models[] = {
#define MODEL(name, hub, lora, qlora, config) {name, hub, lora, qlora, config},
#include "tools/ft-models/models.inc"
#undef MODEL
};
enum { NMODELS = sizeof(models) / sizeof(*models) };

struct cmdline {
	const char *memory;
	bool json, config;
	struct ft_train_opts train;
};

static void check(int rc, struct ft_err *err)
{
	if (rc < 0)
		ft_die_err(err);
}

static void load(const struct model *m, struct ft_config *c)
{
	struct ft_err err;

	check(m->config ? ft_config_parse(c, m->config, strlen(m->config), &err)
			: ft_config_load(c, m->name, &err),
	      &err);
}

/* What a step takes: 1; 0 where there is no such. */
static int plan(const struct cmdline *cmd, const struct ft_config *c,
		int method, size_t length, struct ft_plan *p)
{
	struct ft_train_opts o = cmd->train;
	struct ft_trainer t = {.o = &o, .method = &ft_sft_method};
	struct ft_err err;
	int rc;

	if (length > c->max_pos)
		return 0;
	o.plan = true;
	o.full = methods[method].full;
	o.compute.in_4bit = methods[method].in_4bit;
	rc = ft_fit_imagine(&t, c, length, &err);
	if (rc < 0 && !(o.budget && err.code == FT_EXIT_SYS))
		ft_die_err(&err);
	*p = t.plan;
	ft_trainer_release(&t);
	return rc == 0;
}

/* --- for programs --- */

static void add_field(struct ft_str *s, const char *key, const char *value)
{
	if (!value)
		return;
	ft_str_addf(s, ",\"%s\":", key);
	ft_str_add_json(s, value, strlen(value));
}

static void add_json(const struct cmdline *cmd, const struct model *m,
		     struct ft_str *s)
{
	struct ft_config c;
	struct ft_plan p;
	const char *comma = "";

	load(m, &c);
	ft_str_adds(s, "{\"name\":");
	ft_str_add_json(s, m->name, strlen(m->name));
	add_field(s, "hub", m->hub);
	add_field(s, "family", c.arch->type);
	ft_str_addf(s, ",\"parameters\":%zu,\"positions\":%zu",
		    ft_config_params(&c, NULL), c.max_pos);
	add_field(s, "others_lora", m->lora);
	add_field(s, "others_qlora", m->qlora);
	ft_str_adds(s, ",\"memory\":[");
	for (int i = 0; i < NMETHOD * NLENGTH; i++) {
		size_t length = lengths[i % NLENGTH];

		if (!plan(cmd, &c, i / NLENGTH, length, &p))
			continue;
		ft_str_addf(s, "%s{\"method\":\"%s\",\"length\":%zu,\"plan\":",
			    comma, methods[i / NLENGTH].name, length);
		ft_plan_json(&p, s);
		s->s[s->n - 1] = '}'; /* its newline */
		comma = ",";
	}
	ft_str_adds(s, "]}\n");
}

/* --- for people --- */

static void add_families(struct ft_str *s)
{
	ft_str_adds(s, "families:");
	for (size_t i = 0; i < ft_narchs; i++)
		ft_str_addf(s, " %s", ft_archs[i].type);
	ft_str_adds(s, "\n\n");
}

static void add_names(const struct model *m, size_t n, int width,
		      struct ft_str *s)
{
	struct ft_config c;

	ft_str_addf(s, "%-*s %-11s %10s %9s  %s\n", width, "model", "family",
		    "parameters", "positions", "hub id");
	for (size_t i = 0; i < n; i++) {
		load(&m[i], &c);
		ft_str_addf(s, "%-*s %-11s %8.2f B %9zu  %s\n", width,
			    m[i].name, c.arch->type,
			    (double)ft_config_params(&c, NULL) / 1e9, c.max_pos,
			    m[i].hub ? m[i].hub : "");
	}
}

static void add_memory(const struct cmdline *cmd, const struct model *m,
		       int width, struct ft_str *s)
{
	struct ft_config c;
	struct ft_plan p;

	load(m, &c);
	ft_str_addf(s, "%-*s", width, m->name);
	for (int i = 0; i < NMETHOD * NLENGTH; i++) {
		size_t length = lengths[i % NLENGTH];

		if (i % NLENGTH == 0)
			ft_str_adds(s, "  ");
		if (plan(cmd, &c, i / NLENGTH, length, &p))
			ft_str_addf(s, " %*.1f", COLUMN - 1,
				    (double)ft_plan_total(&p) / (1 << 30));
		else
			ft_str_addf(s, " %*s", COLUMN - 1,
				    length > c.max_pos ? "-" : "no");
	}
	if (m->lora || m->qlora)
		ft_str_addf(s, "   %-6s %s", m->lora ? m->lora : "",
			    m->qlora ? m->qlora : "");
	ft_str_addc(s, '\n');
}

static void add_table(const struct cmdline *cmd, const struct model *m,
		      size_t n, struct ft_str *s)
{
	int width = 5;

	for (size_t i = 0; i < n; i++) {
		int len = (int)strlen(m[i].name);

		width = len > width ? len : width;
	}
	add_families(s);
	add_names(m, n, width, s);
	ft_str_addf(s, "\n%-*s", width, "memory, GB");
	for (int i = 0; i < NMETHOD; i++)
		ft_str_addf(s, "   %-*s", COLUMN * NLENGTH - 1,
			    methods[i].title);
	ft_str_addf(s, "   others' tables\n%-*s", width, "tokens a row");
	for (int i = 0; i < NMETHOD * NLENGTH; i++)
		ft_str_addf(s, "%s %*zu", i % NLENGTH ? "" : "  ", COLUMN - 1,
			    lengths[i % NLENGTH]);
	ft_str_adds(s, "   LoRA   4 bits\n");
	for (size_t i = 0; i < n; i++)
		add_memory(cmd, &m[i], width, s);
}

/* --- what is asked for --- */

static struct model find(const char *name)
{
	size_t n = strnlen(name, 64), least = n / 2 + 1;
	const char *near = NULL;
	struct stat sb;

	for (int i = 0; i < NMODELS; i++) {
		size_t d = ft_edit_distance(name, n, models[i].name,
					    strlen(models[i].name));

		if (!strcmp(name, models[i].name) ||
		    !strcmp(name, models[i].hub))
			return models[i];
		if (d < least) {
			least = d;
			near = models[i].name;
		}
	}
	if (stat(name, &sb) == 0 || strchr(name, '/'))
		return (struct model){.name = name};
	if (near)
		ft_die(FT_EXIT_USAGE,
		       "unknown model '%s', and no such directory; did you mean '%s'?",
		       name, near);
	ft_die(FT_EXIT_USAGE, "unknown model '%s', and no such directory",
	       name);
}

static void show(const struct cmdline *cmd, const struct model *m, size_t n)
{
	struct ft_output *out;
	struct ft_str s = {0};
	struct ft_err err;

	if (cmd->config)
		ft_str_addf(&s, "%s\n", m->config);
	else if (!cmd->json)
		add_table(cmd, m, n, &s);
	for (size_t i = 0; cmd->json && i < n; i++)
		add_json(cmd, &m[i], &s);
	check(ft_output_open(&out, NULL, false, &err), &err);
	check(ft_output_write(out, s.s, s.n, &err), &err);
	check(ft_output_commit(out, &err), &err);
	ft_str_release(&s);
}

int main(int argc, char **argv)
{
	struct cmdline cmd = {.train = FT_TRAIN_DEFAULTS};
	const struct ft_opt table[] = {
		FT_FLAG(0, "json", &cmd.json, "a JSON object a model"),
		FT_FLAG(0, "config", &cmd.config,
			"the model's config.json, as far as it decides sizes"),
		FT_STR(0, "memory", &cmd.memory, "SIZE",
		       "what is chosen to fit into it, as 24G"),
		FT_INT(0, "per-device-train-batch-size", &cmd.train.batch, 1,
		       1 << 16, "N", "rows in a step"),
		FT_INT(0, "lora-r", &cmd.train.lora.r, 1, 4096, "N",
		       "rank of the adapter"),
		FT_FLAG(0, "gradient-checkpointing", &cmd.train.checkpointing,
			"keep no activations of a layer but its input"),
		FT_ENUM(0, "dtype", &cmd.train.compute.dtype,
			"bfloat16|float32",
			"what weights and activations are computed in"),
		FT_END,
	};
	struct model *m;
	struct ft_err err;
	size_t n;
	int i;

	ft_start(argv[0]);
	i = ft_opt_parse(
		argc, argv, table, "[OPTIONS] [MODEL|DIR...]",
		"Say what models there are, and what memory training them takes.");
	check(ft_plan_check(cmd.memory, true, cmd.json, &cmd.train.budget,
			    &err),
	      &err);
	n = argc > i ? (size_t)(argc - i) : NMODELS;
	m = ft_xcalloc(n, sizeof(*m));
	for (size_t k = 0; k < n; k++)
		m[k] = argc > i ? find(argv[i + (int)k]) : models[k];
	if (cmd.config && (cmd.json || argc - i != 1 || !m->config))
		ft_die(FT_EXIT_USAGE, "--config is of one model, by its name");
	show(&cmd, m, n);
	free(m);
	return FT_EXIT_OK;
}
