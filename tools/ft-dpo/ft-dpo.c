/* SPDX-License-Identifier: MIT */
/* ft-dpo - preference optimisation of a model on a token stream of pairs. */

#include <signal.h>
#include <stdlib.h>

#include "libcommon/base/die.h"
#include "libcommon/train/dpo.h"

int main(int argc, char **argv)
{
	struct ft_train_opts o = FT_TRAIN_DEFAULTS;
	struct ft_dpo_opts dpo = FT_DPO_DEFAULTS;
	const struct ft_opt *common = ft_train_table(&o);
	const struct ft_opt table[] = {
		FT_REAL(0, "beta", &dpo.beta, 1e-9, 1e6, "X",
			"strength of the pull towards the reference"),
		FT_ENUM(0, "loss-type", &dpo.loss, "sigmoid|hinge|ipo",
			"loss of a pair"),
		FT_REAL(0, "label-smoothing", &dpo.label_smoothing, 0, 0.5, "P",
			"chance that a label is wrong (cDPO, sigmoid)"),
		FT_REAL(0, "rpo-alpha", &dpo.rpo_alpha, 0, 1e6, "X",
			"weight of the chosen answers' negative log-likelihood beside it"),
		FT_ENUM(0, "ref", &dpo.ref, "start|base|cached",
			"reference: the model as it starts, its base, or the stream's ref_logps"),
		FT_GROUP(common),
		FT_END,
	};
	struct ft_trainer t = {.o = &o, .table = table};
	struct ft_method method;
	struct ft_err err = {0};
	int i, rc, sig;

	o.epochs = 1;
	o.lora.dropout = 0;
	ft_start(argv[0]);
	i = ft_opt_parse(
		argc, argv, table, "-m DIR [--full] -o OUT [OPTIONS] [STREAM]",
		"Train a model, or a LoRA adapter on it, to prefer the chosen answers of a token stream of pairs.");
	if (argc - i > 1)
		ft_die(FT_EXIT_USAGE, "one stream at a time");
	if (!o.lr_given)
		o.lr = o.full ? 5e-7 : 5e-6;
	if (ft_train_check(&o, &err) < 0 || ft_dpo_check(&dpo, &o, &err) < 0)
		ft_die_err(&err);
	signal(SIGPIPE, SIG_IGN);
	method = ft_dpo_method(&dpo);
	t.method = &method;
	rc = ft_train(&t, argc > i ? argv[i] : NULL, &sig, &err);
	if (!rc && o.plan)
		rc = ft_plan_write(&t.plan, o.json, &err);
	if (rc < 0)
		ft_die_err(&err);
	ft_trainer_release(&t);
	free(o.lora.targets.v);
	free(o.lora.save.v);
	free((void *)common);
	if (sig) {
		signal(sig, SIG_DFL);
		raise(sig);
	}
	return FT_EXIT_OK;
}
