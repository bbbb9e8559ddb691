/* SPDX-License-Identifier: MIT */
/* ft-sft - supervised fine-tuning of a model on a token stream. */

#include <signal.h>
#include <stdlib.h>

#include "libcommon/base/die.h"
#include "libcommon/train/sft.h"

int main(int argc, char **argv)
{
	struct ft_train_opts o = FT_TRAIN_DEFAULTS;
	struct ft_trainer t = {.o = &o, .method = &ft_sft_method};
	const struct ft_opt *table = ft_train_table(&o);
	struct ft_err err = {0};
	int i, rc, sig;

	ft_start(argv[0]);
	i = ft_opt_parse(
		argc, argv, table, "-m DIR [--full] -o OUT [OPTIONS] [STREAM]",
		"Train a model, or a LoRA adapter on it, on the supervised tokens of a token stream.");
	if (argc - i > 1)
		ft_die(FT_EXIT_USAGE, "one stream at a time");
	if (!o.lr_given)
		o.lr = o.full ? 2e-5 : 2e-4;
	if (ft_train_check(&o, &err) < 0)
		ft_die_err(&err);
	signal(SIGPIPE, SIG_IGN);
	t.table = table;
	rc = ft_train(&t, argc > i ? argv[i] : NULL, &sig, &err);
	if (!rc && o.plan)
		rc = ft_plan_write(&t.plan, o.json, &err);
	if (rc < 0)
		ft_die_err(&err);
	ft_trainer_release(&t);
	free(o.lora.targets.v);
	free(o.lora.save.v);
	free((void *)table);
	if (sig) {
		signal(sig, SIG_DFL);
		raise(sig);
	}
	return FT_EXIT_OK;
}
