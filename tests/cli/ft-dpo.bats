#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What ft-dpo shares with ft-sft (steps, schedules, checkpoints, refusals) is
# tested in ft-sft.bats and crash.bats.

load ../lib/common
load ../lib/tiny

setup_file() {
	tiny_streams
	ft-sft -q -m "$M" -o "$F/a" --threads 1 --lora-r 4 --max-steps 8 --learning-rate 1e-3 \
		--save-steps 0 "$F/sft.ft"
}

setup() {
	S=$F/pair.ft
}

# dpo OUT ARG...: a short quiet run with every step logged, from MODEL or M.
dpo() {
	local out=$1
	shift
	ft-dpo -q -m "${MODEL:-$M}" -o "$out" --threads 1 --logging-steps 1 \
		--per-device-train-batch-size 4 --learning-rate 1e-3 "$@" "$S"
}

# value NAME OUT [N]: of the Nth line of its metrics.
value() {
	field "$1" "$2/train.metrics.jsonl" | sed -n "${3:-1}p"
}

# --- the six cases ------------------------------------------------------------

@test "help and version" {
	std_help ft-dpo
}

@test "bad command lines are status 2, and nothing is made" {
	std_bad_option ft-dpo
	no() {
		local what=$1
		shift
		run --separate-stderr -2 ft-dpo -o "$T/o" "$@" "$S"
		says "$what"
		[ ! -e "$T/o" ]
	}
	no "no model"
	no "--ref base with --full" -m "$M" --full --ref base
	no "--label-smoothing" -m "$M" --label-smoothing 0.1 --loss-type ipo
	no "--label-smoothing" -m "$M" --label-smoothing 0.1 --loss-type hinge
	no "sigmoid|hinge|ipo" -m "$M" --loss-type kto
	no "start|base|cached" -m "$M" --ref none
	no "beta" -m "$M" --beta 0
	no "label-smoothing" -m "$M" --label-smoothing 0.6
	no "--full" -m "$F/a" --full
	no "--lora-" -m "$F/a" --lora-r 4
	no "--full with --load-in-4bit" -m "$M" --full --load-in-4bit
	no "'w1'" -m "$M" --lora-target-modules w1
}

@test "a torn stream is status 3 and no step is made" {
	std_torn "$S" ft-dpo -m "$M" -o "$T/o"
	[[ $stderr == *truncated* ]]
	[ ! -e "$T/o" ]
}

@test "a reader of metrics that goes away does not end the run" {
	mkfifo "$T/fifo"
	head -c 1 "$T/fifo" >/dev/null &
	run --separate-stderr -0 dpo "$T/o" --num-train-epochs 20 --metrics "$T/fifo"
	wait
	[ -e "$T/o/ft-manifest.json" ]
	[[ $stderr == *"cannot write metrics"* ]]
}

@test "a full disk is status 4" {
	# shellcheck disable=SC2016
	run --separate-stderr -4 bash -c \
		'trap "" XFSZ; ulimit -f 8; exec ft-dpo -q -m "$1" -o "$2" --max-steps 2 "$3"' \
		- "$M" "$T/o" "$S"
	says "cannot write"
	[ ! -e "$T/o/ft-manifest.json" ]
}

@test "empty input is status 3" {
	std_empty 3 ft-dpo -m "$M" -o "$T/o"
	[ ! -e "$T/o" ]
}

# --- data ---------------------------------------------------------------------

@test "streams of another kind, and pairs without an answer, are status 3" {
	run --separate-stderr -3 ft-dpo -m "$M" -o "$T/o" "$F/sft.ft"
	says "kind 'completion'"
	echo '{"prompt":"Add.","chosen":"","rejected":"x"}' |
		ft-tokenize -q -m "$M" --no-append-eos -o "$T/s" || true
	[ ! -s "$T/s" ] || run -3 ft-dpo -m "$M" -o "$T/o" --allow-no-stop "$T/s"
	[ ! -e "$T/o" ]
}

# --- losses -------------------------------------------------------------------

@test "the first losses: ln 2, 1, 1/(4 beta^2), from any start" {
	local m
	for m in "$M" "$F/a"; do
		MODEL=$m
		rm -rf "$T"/[shil]
		dpo "$T/s" --max-steps 1
		near "$(value loss "$T/s")" 0.6931471805599453 1e-6
		near "$(value rewards/chosen "$T/s")" 0 1e-6
		near "$(value rewards/margins "$T/s")" 0 1e-6
		[ "$(value rewards/accuracies "$T/s")" = 0 ]
		dpo "$T/l" --max-steps 1 --label-smoothing 0.2
		near "$(value loss "$T/l")" 0.6931471805599453 1e-6
		dpo "$T/h" --max-steps 1 --loss-type hinge
		near "$(value loss "$T/h")" 1 1e-6
		dpo "$T/i" --max-steps 1 --loss-type ipo
		near "$(value loss "$T/i")" 25 1e-6
		rm -r "$T/i"
		dpo "$T/i" --max-steps 1 --loss-type ipo --beta 0.5
		near "$(value loss "$T/i")" 1 1e-6
	done
	rm -r "$T/s"
	MODEL=$M dpo "$T/s" --max-steps 1 --full
	near "$(value loss "$T/s")" 0.6931471805599453 1e-6
}

@test "the first loss is ln 2 with DoRA, whole modules and LoRA on the ends, new or gone on from" {
	local more
	for more in "--use-dora --lora-modules-to-save lm_head,norm" \
		"--lora-target-modules all-linear,embed_tokens,lm_head"; do
		rm -rf "$T"/?
		# shellcheck disable=SC2086
		dpo "$T/n" --max-steps 3 --save-steps 2 $more
		near "$(value loss "$T/n")" 0.6931471805599453 1e-6
		near "$(value rewards/chosen "$T/n")" 0 1e-6
		MODEL=$T/n dpo "$T/g" --max-steps 3 --save-steps 2
		near "$(value loss "$T/g")" 0.6931471805599453 1e-6
		cp -r "$T/g" "$T/r"
		rewind "$T/r" 2
		MODEL=$T/n dpo "$T/r" --max-steps 3 --save-steps 2 --resume-from-checkpoint auto --threads 2
		same_result "$T/g" "$T/r"
		# without it the reference is the model, which the policy has left
		MODEL=$T/n dpo "$T/b" --max-steps 1 --ref base
		run ! near "$(value rewards/chosen "$T/b")" 0 1e-6
	done
}

@test "later losses are those of the margin" {
	S=$F/one.ft
	local args=(--num-train-epochs 6 --warmup-ratio 0 --learning-rate 1e-2)
	# l(z) of the second step, from what the metrics say of the one pair
	dpo "$T/s" "${args[@]}" --beta 0.3
	near "$(value loss "$T/s" 3)" "$(awk -v z="$(value rewards/margins "$T/s" 3)" \
		'BEGIN { printf "%.12g", log(1 + exp(-z)) }')" 1e-6
	[ "$(value rewards/accuracies "$T/s" 3)" = 1 ]
	near "$(value rewards/margins "$T/s" 3)" "$(paste <(value rewards/chosen "$T/s" 3) \
		<(value rewards/rejected "$T/s" 3) | awk '{ printf "%.12g", $1 - $2 }')" 1e-6
	dpo "$T/l" "${args[@]}" --label-smoothing 0.25
	near "$(value loss "$T/l" 3)" "$(awk -v z="$(value rewards/margins "$T/l" 3)" \
		'BEGIN { printf "%.12g", 0.75 * log(1 + exp(-z)) + 0.25 * log(1 + exp(z)) }')" 1e-6
	dpo "$T/h" "${args[@]}" --loss-type hinge
	near "$(value loss "$T/h" 3)" "$(awk -v z="$(value rewards/margins "$T/h" 3)" \
		'BEGIN { printf "%.12g", z < 1 ? 1 - z : 0 }')" 1e-6
	dpo "$T/i" "${args[@]}" --loss-type ipo
	local n
	n=$(ft-logprob -q -m "$M" "$S" | sed -nE 's/.*"chosen_tokens":([0-9]+).*"rejected_tokens":([0-9]+).*/\1 \2/p')
	near "$(value loss "$T/i" 3)" "$(awk -v n="$n" -v c="$(value rewards/chosen "$T/i" 3)" \
		-v r="$(value rewards/rejected "$T/i" 3)" 'BEGIN {
			split(n, k, " "); d = c / 0.1 / k[1] - r / 0.1 / k[2] - 1 / 0.2
			printf "%.12g", d * d }')" 1e-5
	# rewards are beta times the log-ratio
	near "$(value rewards/chosen "$T/s" 3)" "$(paste <(value logps/chosen "$T/s" 3) \
		<(value logps/chosen "$T/s" 1) | awk '{ printf "%.12g", 0.3 * ($1 - $2) }')" 1e-4
	local o
	for o in s l h i; do
		awk -v a="$(value loss "$T/$o")" -v b="$(value loss "$T/$o" 6)" 'BEGIN { exit !(b < a) }'
	done
}

@test "metrics have TRL's names; evaluation too" {
	dpo "$T/o" --max-steps 3 --eval-file "$F/one.ft" --eval-steps 2
	local m=$T/o/train.metrics.jsonl
	[ "$(head -n 1 "$m" | grep -oE '"[a-z_/]+":' | tr -d '":' | tr '\n' ' ')" = \
		"step time epoch loss rewards/chosen rewards/rejected rewards/accuracies rewards/margins logps/chosen logps/rejected entropy mean_token_accuracy grad_norm learning_rate num_tokens " ]
	[[ $(logged "$T/o" | tail -n 1) == *'"eval_loss":'*'"eval_rewards/chosen":'*'"eval_rewards/accuracies":'* ]]
	[ "$(grep eval_ "$m" | field step - | tr '\n' ' ')" = "2 3 " ]
	# before the first update, what ft-logprob says
	rm -r "$T/o"
	S=$F/one.ft dpo "$T/o" --max-steps 1
	ft-logprob -q -m "$M" "$F/one.ft" -o "$T/lp"
	near "$(value logps/chosen "$T/o")" "$(field chosen_sum_logps "$T/lp")" 1e-5
	near "$(value logps/rejected "$T/o")" "$(field rejected_sum_logps "$T/lp")" 1e-5
	# a prompt that two answers share is stored, and counted, once
	[ "$(value num_tokens "$T/o")" = "$(ft-show --json "$F/one.ft" | field tokens -)" ]
}

# --- steps --------------------------------------------------------------------

@test "defaults: one epoch, its rate by what is trained, no dropout" {
	ft-dpo -q -m "$M" -o "$T/o" --warmup-ratio 0 --logging-steps 1 "$S"
	[ "$(logged "$T/o" | field step - | tr '\n' ' ')" = "1 2 " ]
	[ "$(value learning_rate "$T/o")" = 5e-06 ]
	grep -q '"lora_dropout": 0' "$T/o/adapter_config.json"
	ft-dpo -q -m "$M" -o "$T/f" --full --warmup-ratio 0 --logging-steps 1 "$S"
	[ "$(value learning_rate "$T/f")" = 5e-07 ]
}

@test "each option of the loss changes the result" {
	local base=(--max-steps 3 --warmup-ratio 0 --save-steps 0)
	dpo "$T/o" "${base[@]}"
	changes() {
		rm -rf "$T/p"
		dpo "$T/p" "${base[@]}" "$@"
		differ "$T/o/adapter_model.safetensors" "$T/p/adapter_model.safetensors"
	}
	changes --beta 0.5
	changes --loss-type ipo
	changes --label-smoothing 0.3
	changes --lora-dropout 0.3
	changes --rpo-alpha 1
	# in [-1, 1] the hinge is the line that the sigmoid bends from
	changes --loss-type hinge
}

@test "the chosen answers' likelihood beside the loss: exactly SFT's part more" {
	# SGD with rate 1 from the same weights: the weights show the gradient
	local o=(--full --optim sgd --learning-rate 1 --lr-scheduler-type constant
		--max-grad-norm 0 --max-steps 1 --save-steps 0 --train-sampling-strategy sequential
		--per-device-train-batch-size 4 --threads 1 --logging-steps 1 --dtype float32)
	ft-tokenize -q -m "$M" --map '{prompt, completion: .chosen}' "$F/pair.jsonl" -o "$T/chosen.ft"
	ft-sft -q -m "$M" -o "$T/s" "${o[@]}" "$T/chosen.ft"
	ft-dpo -q -m "$M" -o "$T/d" "${o[@]}" "$S"
	ft-dpo -q -m "$M" -o "$T/r" "${o[@]}" --rpo-alpha 0.5 "$S"
	# rows of both in micro-batches of their own: the mean is the step's
	ft-dpo -q -m "$M" -o "$T/split" "${o[@]}" --rpo-alpha 0.5 --per-device-train-batch-size 1 \
		--gradient-accumulation-steps 4 "$S"
	near_tensors "$T/split/model.safetensors" "$T/r/model.safetensors" 1e-5
	ft-export -q -m "$M" --to hf --dtype float32 -o "$T/m"
	paste <(tensors "$T/m/model.safetensors") <(tensors "$T/s/model.safetensors") \
		<(tensors "$T/d/model.safetensors") <(tensors "$T/r/model.safetensors") | awk '
		function abs(x) { return x < 0 ? -x : x }
		{ g = 0.5 * ($2 - $1); d = abs($4 - $3 - g) }
		abs(g) > most { most = abs(g) }
		d > worst { worst = d }
		END { print worst, most; exit !(most > 0.01 && worst <= 1e-5 * most + 1e-6) }'
	near "$(value loss "$T/d")" 0.6931471805599453 1e-9
	near "$(value dpo_loss "$T/r")" 0.6931471805599453 1e-9
	near "$(value nll_loss "$T/r")" "$(value loss "$T/s")" 1e-5
	near "$(value loss "$T/r")" \
		"$(awk -v n="$(value nll_loss "$T/r")" 'BEGIN { printf "%.12g", log(2) + n / 2 }')" 1e-9
	[ -z "$(value nll_loss "$T/d")" ]
}

@test "what both answers begin with is computed once, and changes nothing" {
	# a dropout that drops nothing computes it for each
	local o=(--optim sgd --learning-rate 1 --lr-scheduler-type constant --warmup-ratio 0
		--max-grad-norm 0 --max-steps 1 --save-steps 0 --dtype float32) loss name
	for loss in sigmoid hinge ipo "sigmoid --rpo-alpha 0.7"; do
		rm -rf "$T/a" "$T/b"
		# shellcheck disable=SC2086
		MODEL=$F/a dpo "$T/a" "${o[@]}" --loss-type $loss
		# shellcheck disable=SC2086
		MODEL=$F/a dpo "$T/b" "${o[@]}" --loss-type $loss --lora-dropout 1e-7
		near_tensors "$T/a/adapter_model.safetensors" "$T/b/adapter_model.safetensors" 1e-5
		for name in loss logps/chosen logps/rejected entropy mean_token_accuracy num_tokens; do
			near "$(value "$name" "$T/a")" "$(value "$name" "$T/b")" 1e-5
		done
	done
}

@test "the same bytes for any number of threads; batches split as one likes" {
	local n
	for n in 1 2 4; do
		dpo "$T/t$n" --max-steps 4 --threads "$n" --lora-dropout 0.1
	done
	same_result "$T/t1" "$T/t2"
	same_result "$T/t1" "$T/t4"
	local g=(--full --optim sgd --learning-rate 10 --lr-scheduler-type constant
		--max-grad-norm 0 --max-steps 1 --save-steps 0)
	dpo "$T/a" "${g[@]}"
	dpo "$T/b" "${g[@]}" --per-device-train-batch-size 1 --gradient-accumulation-steps 4
	dpo "$T/c" "${g[@]}" --micro-batch-tokens 1
	local o
	for o in b c; do
		near "$(value loss "$T/$o")" "$(value loss "$T/a")" 1e-5
		near "$(value grad_norm "$T/$o")" "$(value grad_norm "$T/a")" 1e-4
		near_tensors "$T/$o/model.safetensors" "$T/a/model.safetensors" 1e-5
	done
}

# --- references ---------------------------------------------------------------

@test "going on from an adapter: start is a frozen copy of it, base is without" {
	MODEL=$F/a
	dpo "$T/s" --num-train-epochs 2 --save-steps 2
	near "$(value loss "$T/s")" 0.6931471805599453 1e-6
	[ -e "$T/s/checkpoint-2/reference.safetensors" ]
	cmp "$T/s/checkpoint-2/reference.safetensors" "$F/a/adapter_model.safetensors"
	[ ! -e "$T/s/reference.safetensors" ]
	dpo "$T/b" --num-train-epochs 2 --ref base --save-steps 2
	[ ! -e "$T/b/checkpoint-2/reference.safetensors" ]
	# from the base its first reward is what the adapter learnt
	awk -v l="$(value rewards/chosen "$T/b")" 'BEGIN { exit !(l > 1e-3 || l < -1e-3) }'
	# of a new adapter both are the same model
	MODEL=$M
	dpo "$T/n1" --max-steps 3 --save-steps 0
	dpo "$T/n2" --max-steps 3 --save-steps 0 --ref base
	cmp "$T/n1/adapter_model.safetensors" "$T/n2/adapter_model.safetensors"
}

@test "the stream's own reference: made by ft-logprob --columns" {
	local m s=$S
	for m in "$M" "$F/a"; do
		MODEL=$m
		rm -rf "$T"/[ac] "$T/s"
		ft-logprob -q -m "$m" --dtype float32 --columns "$s" -o "$T/s"
		S=$s dpo "$T/a" --dtype float32 --num-train-epochs 4
		S=$T/s dpo "$T/c" --dtype float32 --num-train-epochs 4 --ref cached
		field loss "$T/a/train.metrics.jsonl" >"$T/al"
		field loss "$T/c/train.metrics.jsonl" >"$T/cl"
		near_all "$T/cl" "$T/al" 1e-5
	done
	run --separate-stderr -3 ft-dpo -q -m "$M" -o "$T/o" --ref cached "$s"
	says "no ref_logps column"
	# the columns are of the adapter now
	run --separate-stderr -3 ft-dpo -q -m "$M" -o "$T/o" --ref cached "$T/s"
	says "another model"
	[ ! -e "$T/o" ]
}

# --- resuming -----------------------------------------------------------------

@test "resumed: the same bytes, from an adapter, with dropout, and full" {
	check() {
		dpo "$T/a" --num-train-epochs 3 --save-steps 4 --logging-steps 3 "$@"
		cp -r "$T/a" "$T/b"
		rewind "$T/b" 4
		dpo "$T/b" --num-train-epochs 3 --save-steps 4 --logging-steps 3 "$@" --resume-from-checkpoint auto
		same_result "$T/a" "$T/b"
		rm -r "$T/a" "$T/b"
	}
	MODEL=$F/a check --lora-dropout 0.1
	MODEL=$F/a check --ref base --loss-type ipo
	check --full
	# with its reference gone it does not
	MODEL=$F/a
	dpo "$T/a" --save-steps 1
	rm "$T/a/checkpoint-1/reference.safetensors"
	run --separate-stderr -3 dpo "$T/c" --resume-from-checkpoint "$T/a/checkpoint-1"
	says "reference.safetensors"
}

@test "resuming with another loss or reference is status 3, by name" {
	dpo "$T/o" --max-steps 3 --save-steps 1
	run --separate-stderr -3 dpo "$T/o" --max-steps 3 --beta 0.2 --resume-from-checkpoint auto
	says "--beta 0.1, this run has 0.2"
	run --separate-stderr -3 dpo "$T/o" --max-steps 3 --loss-type ipo --resume-from-checkpoint auto
	says "--loss-type"
	run --separate-stderr -3 dpo "$T/o" --max-steps 3 --ref base --resume-from-checkpoint auto
	says "--ref"
	MODEL=$F/a run --separate-stderr -3 dpo "$T/o" --max-steps 3 --resume-from-checkpoint auto
	says "the start model"
	ft-sft -q -m "$M" -o "$T/s" --save-steps 1 --max-steps 1 "$F/sft.ft"
	run --separate-stderr -3 dpo "$T/o" --resume-from-checkpoint "$T/s/checkpoint-1"
	says "this run has"
}

@test "one batch is learnt by heart, and then told apart" {
	dpo "$T/o" --overfit-one-batch --max-steps 60 --learning-rate 2e-2 --logging-steps 20
	awk -v l="$(value loss "$T/o" 3)" 'BEGIN { exit !(l < 0.05) }'
	[ "$(value rewards/accuracies "$T/o" 3)" = 1 ]
}
