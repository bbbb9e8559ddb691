#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

load ../lib/common
load ../lib/tiny

setup_file() {
	tiny_streams
}

setup() {
	S=$F/sft.ft
	E=$F/eval.ft
}

# sft OUT ARG...: a short quiet run with every step logged.
sft() {
	local out=$1
	shift
	ft-sft -q -m "$M" -o "$out" --threads 1 --logging-steps 1 \
		--learning-rate 1e-3 "$@" "$S"
}

# --- the six cases ------------------------------------------------------------

@test "help and version" {
	std_help ft-sft
}

@test "bad command lines are status 2, and nothing is made" {
	std_bad_option ft-sft
	no() {
		local what=$1
		shift
		run --separate-stderr -2 ft-sft "$@"
		says "$what"
		[ ! -e "$T/o" ]
	}
	ft-sft -q -m "$M" -o "$T/a" --max-steps 1 --save-steps 0 "$S"
	no "no model" -o "$T/o" "$S"
	no "no output directory" -m "$M" "$S"
	no "one stream" -m "$M" -o "$T/o" "$S" "$E"
	no "--full" -m "$M" -o "$T/o" --full --adapter "$T/a" "$S"
	no "--full" -m "$T/a" -o "$T/o" --full "$S"
	no "--full" -m "$M" -o "$T/o" --full --lora-r 4 "$S"
	no "--lora-" -m "$T/a" -o "$T/o" --lora-alpha 4 "$S"
	no "--lora-" -m "$M" --adapter "$T/a" -o "$T/o" --use-rslora "$S"
	no "--base" -m "$M" -o "$T/o" --base "$M" "$S"
	no "--eval-file" -m "$M" -o "$T/o" --eval-steps 2 "$S"
	no "--overwrite-output-dir" -m "$M" -o "$T/o" --overwrite-output-dir --resume-from-checkpoint auto "$S"
	no "--optim sgd" -m "$M" -o "$T/o" --sgd-momentum 0.9 "$S"
	no "--full with --load-in-4bit" -m "$M" -o "$T/o" --full --load-in-4bit "$S"
	no "'nonsense'" -m "$M" -o "$T/o" --lora-target-modules q_proj,nonsense "$S"
	no "learning-rate" -m "$M" -o "$T/o" --learning-rate nan "$S"
	no "--train-sampling-strategy" -m "$M" -o "$T/o" --train-sampling-strategy first "$S"
	no "lora-r" -m "$M" -o "$T/o" --lora-r 0 "$S"
}

@test "a torn stream is status 3 and no step is made" {
	std_torn "$S" ft-sft -m "$M" -o "$T/o"
	[[ $stderr == *truncated* ]]
	[ ! -e "$T/o" ]
	# shellcheck disable=SC2016
	run --separate-stderr bash -c \
		'{ head -c 4000 "$2"; kill -9 "$BASHPID"; } | ft-sft -m "$1" -o "$3"; echo "${PIPESTATUS[1]}"' \
		- "$M" "$S" "$T/o"
	[ "$output" = 3 ]
	[[ $stderr == *truncated* ]]
	[ ! -e "$T/o" ]
}

@test "a reader of metrics that goes away does not end the run" {
	mkfifo "$T/fifo"
	head -c 1 "$T/fifo" >/dev/null &
	run --separate-stderr -0 sft "$T/o" --num-train-epochs 20 --metrics "$T/fifo"
	wait
	[ -e "$T/o/ft-manifest.json" ]
	[[ $stderr == *"cannot write metrics"* ]]
	[ "$(grep -c "cannot write" <<<"$stderr")" -eq 1 ]
	[ ! -e "$T/o/train.metrics.jsonl" ]
}

@test "a full disk is status 4" {
	# shellcheck disable=SC2016
	run --separate-stderr -4 bash -c \
		'trap "" XFSZ; ulimit -f 8; exec ft-sft -q -m "$1" -o "$2" --max-steps 2 "$3"' \
		- "$M" "$T/o" "$S"
	says "cannot write"
	[ ! -e "$T/o/ft-manifest.json" ]
	[ ! -e "$T/o/adapter_model.safetensors" ]
	[ -z "$(ls -d "$T"/o/checkpoint* "$T"/o/.[a-z]* 2>/dev/null)" ]
	[ -w /dev/full ] || skip "no /dev/full"
	run --separate-stderr -0 sft "$T/o2" --max-steps 3 --metrics /dev/full
	[ "$stderr" = "ft-sft: cannot write metrics: No space left on device" ]
}

@test "empty input is status 3" {
	std_empty 3 ft-sft -m "$M" -o "$T/o"
	[ ! -e "$T/o" ]
	ft-tokenize -q -m "$M" --kind completion -o "$T/none" /dev/null || true
	[ ! -s "$T/none" ] || {
		run --separate-stderr -3 ft-sft -m "$M" -o "$T/o" "$T/none"
		says "no rows"
	}
}

# --- data that is refused -----------------------------------------------------

@test "streams of another kind, vocabulary or tokenizer are status 3" {
	run --separate-stderr -3 ft-sft -m "$M" -o "$T/o" "$F/pair.ft"
	says "kind 'pair'"

	mkdir "$T/big"
	sed -E 's/"vocab_size": [0-9]+/"vocab_size": 4000/' "$M/config.json" >"$T/big/config.json"
	echo '{"prompt_ids":[0,7],"completion_ids":[3999,1]}' |
		ft-tokenize -q -m "$T/big" -o "$T/ids.ft"
	run --separate-stderr -3 ft-sft -m "$M" -o "$T/o" "$T/ids.ft"
	says "token id 3999"

	cp -r "$M" "$T/other"
	echo >>"$T/other/tokenizer.json"
	run --separate-stderr -3 ft-sft -m "$T/other" -o "$T/o" "$S"
	says "another tokenizer"
	run --separate-stderr -3 ft-sft -m "$M" -o "$T/o" --eval-file "$F/pair.ft" "$S"
	says "kind 'pair'"
	run --separate-stderr -4 ft-sft -m "$T/nowhere" -o "$T/o" "$S"
	run --separate-stderr -4 ft-sft -m "$M" -o "$T/o" "$T/nowhere"
	says "nowhere"
	[ ! -e "$T/o" ]
}

@test "data that never trains an end token is status 3, unless allowed" {
	ft-tokenize -q --no-append-eos -m "$M" "$F/sft.jsonl" -o "$T/s"
	run --separate-stderr -3 ft-sft -m "$M" -o "$T/o" "$T/s"
	says "--allow-no-stop"
	[ ! -e "$T/o" ]
	ft-sft -q -m "$M" -o "$T/o" --max-steps 1 --allow-no-stop "$T/s"
	# an evaluation set need not
	ft-sft -q -m "$M" -o "$T/o2" --max-steps 1 --eval-file "$T/s" "$S"
}

@test "a model that asks for dropout of attention is refused, not trained without" {
	cp -r "$M" "$T/m"
	sed -i '0,/{/s//{"attention_dropout": 0.1,/' "$T/m/config.json"
	run --separate-stderr -3 ft-sft -m "$T/m" -o "$T/o" "$S"
	says "attention_dropout is 0.1"
	[ ! -e "$T/o" ]
	ft-logprob -q -m "$T/m" "$S" -o "$T/lp"
}

@test "an output directory in use is status 2, unless overwritten" {
	sft "$T/o" --num-train-epochs 1 --save-steps 1
	[ -d "$T/o/checkpoint-3" ]
	run --separate-stderr -2 sft "$T/o" --max-steps 1
	says "checkpoints of an earlier run"
	[ -e "$T/o/ft-manifest.json" ]
	sft "$T/o" --max-steps 1 --overwrite-output-dir
	[ -d "$T/o/checkpoint-1" ]
	[ ! -e "$T/o/checkpoint-3" ]
	[ "$(logged "$T/o" | wc -l)" -eq 1 ]
	sft "$T/new" --max-steps 1
	same_result "$T/o" "$T/new"
	cp -r "$M" "$T/m"
	run --separate-stderr -2 ft-sft -m "$T/m" --full -o "$T/./m" "$S"
	says "training starts from"
	run --separate-stderr -2 ft-sft -m "$T/new" -o "$T/new" --resume-from-checkpoint auto "$S"
	says "training starts from"
}

# --- steps --------------------------------------------------------------------

@test "steps: epochs times the steps of an epoch, the last of which is short" {
	sft "$T/o" --per-device-train-batch-size 3 --gradient-accumulation-steps 2 \
		--num-train-epochs 2
	local m=$T/o/train.metrics.jsonl tokens
	tokens=$(ft-show --json "$S" | field tokens -)
	[ "$(logged "$T/o" | field step - | tr '\n' ' ')" = "1 2 3 4 5 6 7 8 " ]
	[ "$(logged "$T/o" | field epoch - | tr '\n' ' ')" = "0.25 0.5 0.75 1 1.25 1.5 1.75 2 " ]
	[ "$(field num_tokens "$m" | sed -n 4p)" = "$tokens" ]
	[ "$(field num_tokens "$m" | tail -n 1)" = $((2 * tokens)) ]
	[ "$(field global_step "$T/o/trainer_state.json")" = 8 ]
	[ "$(field max_steps "$T/o/trainer_state.json")" = 8 ]

	sft "$T/half" --per-device-train-batch-size 6 --num-train-epochs 0.5
	[ "$(logged "$T/half" | wc -l)" -eq 2 ]
	sft "$T/max" --per-device-train-batch-size 6 --max-steps 5 --num-train-epochs 1
	[ "$(logged "$T/max" | wc -l)" -eq 5 ]
	sft "$T/huge" --per-device-train-batch-size 1048576 --gradient-accumulation-steps 1048576
	[ "$(logged "$T/huge" | wc -l)" -eq 3 ]
	sft "$T/none" --max-steps 0
	[ -e "$T/none/ft-manifest.json" ]
}

@test "an epoch takes every row once: file order, or a seeded one" {
	# with a learning rate of 0 the losses name the rows
	local zero=(--learning-rate 0 --per-device-train-batch-size 1 --lora-dropout 0)
	sft "$T/a" "${zero[@]}" --num-train-epochs 2
	sft "$T/b" "${zero[@]}" --num-train-epochs 2 --train-sampling-strategy sequential
	sft "$T/c" "${zero[@]}" --num-train-epochs 2 --seed 7
	local o
	for o in b a c; do
		field loss "$T/$o/train.metrics.jsonl" >"$T/$o.loss"
		cmp <(head -n 20 "$T/$o.loss" | sort) <(head -n 20 "$T/b.loss" | sort)
		cmp <(tail -n 20 "$T/$o.loss" | sort) <(head -n 20 "$T/b.loss" | sort)
	done
	cmp <(head -n 20 "$T/b.loss") <(tail -n 20 "$T/b.loss")
	differ <(head -n 20 "$T/a.loss") <(tail -n 20 "$T/a.loss")
	differ "$T/a.loss" "$T/b.loss"
	differ "$T/a.loss" "$T/c.loss"
	# file order is that of the stream: what ft-logprob says of its rows
	ft-logprob -q -m "$M" "$S" -o "$T/lp"
	paste -d ' ' <(field sum_logps "$T/lp") <(field tokens "$T/lp") | awk '{ print -$1 / $2 }' >"$T/want"
	head -n 20 "$T/b.loss" >"$T/have"
	near_all "$T/have" "$T/want" 1e-4
}

@test "the rate: warmup begins at 0; linear, cosine, constant" {
	rates() {
		rm -rf "$T/o"
		sft "$T/o" --max-steps 8 "$@"
		field learning_rate "$T/o/train.metrics.jsonl" | tr '\n' ' '
	}
	is() {
		[ "$1" = "$2" ] || fail_with "rates $1, not $2"
	}
	same_rates() {
		paste "$T/have" "$T/want" | awk '{ d = $1 - $2; if (d > 1e-9 || d < -1e-9) bad = 1 }
			END { exit bad || NR != 8 }'
	}
	rates | tr ' ' '\n' | grep . >"$T/have"
	awk 'BEGIN { print 0; for (i = 0; i < 7; i++) print 1e-3 * (1 - i / 7) }' >"$T/want"
	same_rates
	is "$(rates --warmup-steps 4 --lr-scheduler-type constant_with_warmup)" \
		"0 0.00025 0.0005 0.00075 0.001 0.001 0.001 0.001 "
	is "$(rates --warmup-steps 0.25 --lr-scheduler-type constant_with_warmup)" \
		"0 0.0005 0.001 0.001 0.001 0.001 0.001 0.001 "
	is "$(rates --lr-scheduler-type constant)" \
		"0.001 0.001 0.001 0.001 0.001 0.001 0.001 0.001 "
	is "$(rates --warmup-ratio 0)" \
		"0.001 0.000875 0.00075 0.000625 0.0005 0.000375 0.00025 0.000125 "
	rates --warmup-ratio 0 --lr-scheduler-type cosine | tr ' ' '\n' | grep . >"$T/have"
	awk 'BEGIN { for (i = 0; i < 8; i++) print 0.0005 * (1 + cos(atan2(0, -1) * i / 8)) }' >"$T/want"
	same_rates
	# the first step of a warmup changes nothing
	sft "$T/first" --max-steps 1
	sft "$T/none" --max-steps 0
	cmp "$T/first/adapter_model.safetensors" "$T/none/adapter_model.safetensors"
	# defaults, by what is trained
	ft-sft -q -m "$M" -o "$T/d" --max-steps 1 --warmup-ratio 0 --logging-steps 1 "$S"
	[ "$(field learning_rate "$T/d/train.metrics.jsonl")" = 0.0002 ]
	ft-sft -q -m "$M" -o "$T/df" --max-steps 1 --warmup-ratio 0 --logging-steps 1 --full "$S"
	[ "$(field learning_rate "$T/df/train.metrics.jsonl")" = 2e-05 ]
}

# --- metrics ------------------------------------------------------------------

@test "metrics have TRL's names; a line sums up the steps since the last" {
	sft "$T/o" --max-steps 6 --eval-file "$E" --lora-dropout 0
	local m=$T/o/train.metrics.jsonl
	[ "$(head -n 1 "$m" | grep -oE '"[a-z_/]+":' | tr -d '":' | tr '\n' ' ')" = \
		"step time epoch loss entropy mean_token_accuracy grad_norm learning_rate num_tokens " ]
	[ "$(logged "$T/o" | tail -n 1 | grep -oE '"[a-z_/]+":' | tr -d '":' | tr '\n' ' ')" = \
		"step time epoch eval_loss eval_entropy eval_mean_token_accuracy " ]
	# the end: means over the whole run, however it was logged
	[ "$(tail -n 1 "$m" | grep -oE '"[a-z_/]+":' | tr -d '":' | tr '\n' ' ')" = \
		"step time epoch train_runtime train_samples_per_second train_steps_per_second train_loss " ]
	near "$(field train_loss "$m")" "$(field loss "$m" | awk '{ s += $1 } END { printf "%.12f", s / NR }')" 1e-9
	[ "$(grep -c train_runtime "$m")" -eq 1 ]
	[ -z "$(grep train_runtime "$T/o/trainer_state.json")" ]
	# every third step: the same steps, fewer lines; means over tokens
	sft "$T/p" --max-steps 6 --logging-steps 3 --lora-dropout 0 --metrics "$T/m"
	[ "$(field step "$T/m" | tr '\n' ' ')" = "3 6 6 " ]
	[ "$(field train_loss "$T/m")" = "$(field train_loss "$m")" ]
	[ ! -e "$T/p/train.metrics.jsonl" ]
	cmp "$T/o/adapter_model.safetensors" "$T/p/adapter_model.safetensors"
	near "$(field loss "$T/m" | head -n 1)" \
		"$(field loss "$m" | head -n 3 | awk '{ s += $1 } END { print s / 3 }')" 0.05
	[ "$(field grad_norm "$T/m" | head -n 1)" = "$(field grad_norm "$m" | sed -n 3p)" ]
}

@test "evaluation: every so many steps and at the end, over the whole set" {
	sft "$T/o" --max-steps 8 --eval-file "$E" --eval-steps 3
	grep eval_ "$T/o/train.metrics.jsonl" >"$T/ev"
	[ "$(field step "$T/ev" | tr '\n' ' ')" = "3 6 8 " ]
	ft-logprob -q -m "$T/o" "$E" -o "$T/lp"
	near "$(field eval_loss "$T/ev" | tail -n 1)" \
		"$(paste <(field sum_logps "$T/lp") <(field tokens "$T/lp") |
			awk '{ s -= $1; n += $2 } END { printf "%.9g", s / n }')" 1e-5
	# evaluating changes nothing, nor does how it is cut
	sft "$T/p" --max-steps 8
	cmp "$T/o/adapter_model.safetensors" "$T/p/adapter_model.safetensors"
	sft "$T/q" --max-steps 8 --eval-file "$E" --micro-batch-tokens 1
	near "$(field eval_loss "$T/ev" | tail -n 1)" \
		"$(field eval_loss "$T/q/train.metrics.jsonl")" 1e-4
}

@test "progress: plain lines where there is no terminal, none with -q" {
	run --separate-stderr -0 ft-sft -m "$M" -o "$T/o" --max-steps 4 --logging-steps 2 "$S"
	[ -z "$output" ]
	[ "$(grep -c 'ft-sft: step [24]/4 loss .* lr .* grad_norm .* tok/s eta .* MB' <<<"$stderr")" -eq 2 ]
	run --separate-stderr -0 sft "$T/p" --max-steps 4
	[ -z "$stderr" ]
	run --separate-stderr -2 ft-sft --json-errors -m "$M" "$S"
	[[ $stderr == '{"tool":"ft-sft",'*'"status":2}' ]]
}

# --- checkpoints --------------------------------------------------------------

@test "a checkpoint holds what going on needs; the limit drops the oldest" {
	sft "$T/o" --max-steps 8 --save-steps 2 --save-total-limit 2
	[ "$(names "$T/o")" = "adapter_config.json adapter_model.safetensors checkpoint-6 checkpoint-8 ft-manifest.json rng_state.json tokenizer.json tokenizer_config.json train.metrics.jsonl trainer_state.json" ]
	[ "$(names "$T/o/checkpoint-6")" = "adapter_config.json adapter_model.safetensors ft-manifest.json optimizer.safetensors rng_state.json trainer_state.json" ]
	cmp "$T/o/adapter_model.safetensors" "$T/o/checkpoint-8/adapter_model.safetensors"
	[ "$(field global_step "$T/o/checkpoint-6/trainer_state.json")" = 6 ]
	run -0 grep -c '"learning-rate": 0.001' "$T/o/checkpoint-6/ft-manifest.json"
	local sum
	sum=$(sha256sum <"$T/o/checkpoint-6/optimizer.safetensors")
	grep -q "${sum%% *}" "$T/o/checkpoint-6/ft-manifest.json"
	[ "$(grep -c '"time"' "$T/o/checkpoint-6/trainer_state.json")" -eq 0 ]

	sft "$T/f" --full --max-steps 2 --save-steps 1
	[ "$(names "$T/f/checkpoint-1")" = "config.json ft-manifest.json generation_config.json model.safetensors optimizer.safetensors rng_state.json tokenizer.json tokenizer_config.json trainer_state.json" ]
	[ "$(names "$T/f")" = "checkpoint-1 checkpoint-2 config.json ft-manifest.json generation_config.json model.safetensors rng_state.json tokenizer.json tokenizer_config.json train.metrics.jsonl trainer_state.json" ]
	grep -q '"torch_dtype": *"float32"' "$T/f/config.json"
	ft-logprob -q -m "$T/f" "$E" -o "$T/lp"

	sft "$T/none" --max-steps 3 --save-steps 0
	[ -z "$(ls -d "$T"/none/checkpoint* 2>/dev/null)" ]
	sft "$T/sgd" --max-steps 1 --optim sgd
	[ ! -e "$T/sgd/checkpoint-1/optimizer.safetensors" ]
}

@test "an adapter resumed gives the same bytes as one run through" {
	local args=(--num-train-epochs 3 --save-steps 2 --logging-steps 3 --lora-dropout 0.1
		--eval-file "$E" --eval-steps 3)
	sft "$T/a" "${args[@]}"
	cp -r "$T/a" "$T/b"
	rewind "$T/b" 4
	sft "$T/b" "${args[@]}" --resume-from-checkpoint auto --threads 2
	same_result "$T/a" "$T/b"
	# from one by name, elsewhere
	sft "$T/c" "${args[@]}" --resume-from-checkpoint "$T/a/checkpoint-2"
	cmp "$T/a/adapter_model.safetensors" "$T/c/adapter_model.safetensors"
	diff -r "$T/a/checkpoint-8" "$T/c/checkpoint-8"
	# auto with nothing there is a run from the start
	sft "$T/d" "${args[@]}" --resume-from-checkpoint auto
	same_result "$T/a" "$T/d"
	# resuming what is finished finishes it again
	sft "$T/a" "${args[@]}" --resume-from-checkpoint auto
	same_result "$T/a" "$T/d"
}

@test "a full model and SGD with momentum resumed: the same bytes" {
	local args=(--max-steps 6 --save-steps 4 --weight-decay 0.1)
	sft "$T/a" "${args[@]}" --full
	cp -r "$T/a" "$T/b"
	rewind "$T/b" 4
	sft "$T/b" "${args[@]}" --full --resume-from-checkpoint auto
	same_result "$T/a" "$T/b"
	sft "$T/c" "${args[@]}" --optim sgd --sgd-momentum 0.9
	cp -r "$T/c" "$T/d"
	rewind "$T/d" 4
	sft "$T/d" "${args[@]}" --optim sgd --sgd-momentum 0.9 --resume-from-checkpoint auto
	same_result "$T/c" "$T/d"
}

@test "resuming with other options, data or start model is status 3, by name" {
	sft "$T/o" --max-steps 4 --save-steps 2
	cp -r "$T/o" "$T/was"
	no() {
		local what=$1
		shift
		run --separate-stderr -3 ft-sft -q -m "$M" -o "$T/o" --threads 1 --logging-steps 1 \
			--learning-rate 1e-3 --max-steps 4 --save-steps 2 --resume-from-checkpoint auto "$@"
		says "$what"
		diff -r "$T/o" "$T/was"
	}
	no "--learning-rate 0.001, this run has 0.002" --learning-rate 0.002 "$S"
	no "--seed" --seed 1 "$S"
	no "--per-device-train-batch-size" --per-device-train-batch-size 4 "$S"
	no "--lora-r" --lora-r 4 "$S"
	no "--micro-batch-tokens" --micro-batch-tokens 100 "$S"
	no "--full" --full "$S"
	no "the data" "$E"
	cp -r "$M" "$T/m"
	printf ' ' >>"$T/m/config.json"
	no "the start model" -m "$T/m" "$S"
	# what changes no result may differ
	sft "$T/o" --max-steps 4 --save-steps 3 --threads 2 --resume-from-checkpoint auto
}

@test "a damaged checkpoint is refused by name, passed over by auto" {
	sft "$T/a" --max-steps 6 --save-steps 2
	cp -r "$T/a" "$T/b"
	rewind "$T/b" 4
	printf x | dd of="$T/b/checkpoint-4/optimizer.safetensors" bs=1 seek=3000 conv=notrunc status=none
	run --separate-stderr -3 sft "$T/b" --max-steps 6 --save-steps 2 --resume-from-checkpoint "$T/b/checkpoint-4"
	says "optimizer.safetensors"
	mkdir "$T/b/checkpoint-5" "$T/b/checkpoint-6.tmp"
	: >"$T/b/checkpoint-6.tmp/x"
	run --separate-stderr -0 ft-sft -m "$M" -o "$T/b" --threads 1 --logging-steps 1 \
		--learning-rate 1e-3 --max-steps 6 --save-steps 2 --resume-from-checkpoint auto "$S"
	[[ $stderr == *"checkpoint-5 is not complete: passed over"*"checkpoint-4 is not complete: passed over"* ]]
	[[ $stderr == *"resuming from $T/b/checkpoint-2 at step 2 of 6"* ]]
	rmdir "$T/b/checkpoint-5"
	same_result "$T/a" "$T/b"
	run --separate-stderr -3 sft "$T/c" --resume-from-checkpoint "$T"
	says "no complete checkpoint"
	[ ! -e "$T/c" ]
}

@test "numbers in a checkpoint that cannot be are refused" {
	sft "$T/a" --max-steps 4 --save-steps 2
	local v old sum
	for v in -5 5 1.5 9007199254740993 null; do
		rm -rf "$T/b"
		cp -r "$T/a" "$T/b"
		rewind "$T/b" 2
		cd "$T/b/checkpoint-2"
		old=$(sha256sum rng_state.json)
		sed -i "s/\"step\":2/\"step\":$v/" rng_state.json
		sum=$(sha256sum rng_state.json)
		sed -i "s/${old%% *}/${sum%% *}/; /\"rng_state.json\"/,/size/ s/\"size\": [0-9]*/\"size\": $(stat -c %s rng_state.json)/" ft-manifest.json
		run --separate-stderr -3 sft "$T/b" --max-steps 4 --save-steps 2 --resume-from-checkpoint "$T/b/checkpoint-2"
		says "'step' is missing or out of range"
	done
}

@test "a path that is not UTF-8 makes no file that cannot be read" {
	cp -r "$M" "$T/m"$'\xe9'
	M=$T/m$'\xe9' sft "$T/o" --max-steps 1 --save-steps 0
	run --separate-stderr -4 ft-sft -q -m "$T/o" -o "$T/p" --max-steps 1 "$S"
	says "give --base"
	ft-sft -q -m "$T/o" --base "$M" -o "$T/q" --max-steps 1 --save-steps 0 "$S"
}

# --- results ------------------------------------------------------------------

@test "the same bytes for any number of threads" {
	local n o
	for n in 1 2 4; do
		sft "$T/l$n" --max-steps 5 --threads "$n"
		sft "$T/f$n" --max-steps 3 --full --threads "$n"
	done
	for n in 2 4; do
		same_result "$T/l1" "$T/l$n"
		same_result "$T/f1" "$T/f$n"
	done
}

# split DTYPE STEPS TOLERANCE: losses with LoRA, rows together or apart.
split() {
	local o=(--max-steps "$2" --lora-dropout 0.2 --dtype "$1")
	sft "$T/$1.1" "${o[@]}"
	sft "$T/$1.2" "${o[@]}" --micro-batch-tokens 1
	field loss "$T/$1.1/train.metrics.jsonl" >"$T/$1.1.loss"
	field loss "$T/$1.2/train.metrics.jsonl" >"$T/$1.2.loss"
	near_all "$T/$1.1.loss" "$T/$1.2.loss" "$3"
}

@test "another split or packing of a step's rows gives the same gradient" {
	# SGD with rate 1 from the same weights: the weights show the gradient
	local g=(--full --optim sgd --learning-rate 1 --lr-scheduler-type constant
		--max-grad-norm 0 --max-steps 1 --save-steps 0)
	sft "$T/a" "${g[@]}"
	sft "$T/b" "${g[@]}" --per-device-train-batch-size 4 --gradient-accumulation-steps 2
	sft "$T/c" "${g[@]}" --per-device-train-batch-size 1 --gradient-accumulation-steps 8
	sft "$T/d" "${g[@]}" --micro-batch-tokens 1
	sft "$T/e" "${g[@]}" --micro-batch-tokens 100
	local o k
	for o in b c d e; do
		for k in loss grad_norm mean_token_accuracy entropy; do
			near "$(field $k "$T/$o/train.metrics.jsonl")" \
				"$(field $k "$T/a/train.metrics.jsonl")" 1e-5
		done
		near_tensors "$T/$o/model.safetensors" "$T/a/model.safetensors" 1e-5
	done
	cmp "$T/a/model.safetensors" "$T/b/model.safetensors"
	# in bfloat16 a weight may be rounded to another side after some steps
	split float32 10 1e-6
	split bfloat16 3 1e-4
}

@test "a step of plain descent is as long as the rate times the clipped gradient" {
	local g=(--full --optim sgd --learning-rate 0.5 --lr-scheduler-type constant --save-steps 0)
	moved() {
		rm -rf "$T/p"
		sft "$T/p" "${g[@]}" --max-steps 1 --max-grad-norm "$1"
		paste <(tensors "$T/o/model.safetensors") <(tensors "$T/p/model.safetensors") |
			awk '{ s += ($1 - $2) ^ 2 } END { printf "%.9g", sqrt(s) }'
	}
	sft "$T/o" "${g[@]}" --max-steps 0
	near "$(moved 0.5)" 0.25 1e-4
	local norm
	norm=$(field grad_norm "$T/p/train.metrics.jsonl")
	near "$(moved 0)" "$(awk -v n="$norm" 'BEGIN { print n / 2 }')" 1e-4
	near "$(moved 1e6)" "$(awk -v n="$norm" 'BEGIN { print n / 2 }')" 1e-4
}

@test "one batch is learnt by heart" {
	sft "$T/o" --overfit-one-batch --max-steps 150 --learning-rate 2e-2 --logging-steps 50 \
		--per-device-train-batch-size 4
	local loss
	loss=$(field loss "$T/o/train.metrics.jsonl" | tail -n 1)
	awk -v l="$loss" 'BEGIN { exit !(l < 0.1) }' || fail_with "loss $loss"
}

@test "each option that shapes training changes it; the others do not" {
	local base=(--max-steps 3 --warmup-ratio 0 --save-steps 0)
	sft "$T/o" "${base[@]}"
	changes() {
		rm -rf "$T/p"
		sft "$T/p" "${base[@]}" "$@"
		differ "$T/o/adapter_model.safetensors" "$T/p/adapter_model.safetensors"
	}
	keeps() {
		rm -rf "$T/p"
		sft "$T/p" "${base[@]}" "$@"
		cmp "$T/o/adapter_model.safetensors" "$T/p/adapter_model.safetensors"
	}
	changes --lora-r 4
	grep -q '"r": 4' "$T/p/adapter_config.json"
	changes --lora-alpha 7
	grep -q '"lora_alpha": 7' "$T/p/adapter_config.json"
	changes --lora-dropout 0.5
	grep -q '"lora_dropout": 0.5' "$T/p/adapter_config.json"
	changes --lora-target-modules q_proj,v_proj --lora-target-modules mlp.down_proj
	[ "$(grep -A 4 target_modules "$T/p/adapter_config.json" | tr -d ' \n')" = \
		'"target_modules":["down_proj","q_proj","v_proj"],' ]
	changes --use-rslora
	grep -q '"use_rslora": true' "$T/p/adapter_config.json"
	changes --use-dora
	grep -q '"use_dora": true' "$T/p/adapter_config.json"
	changes --lora-modules-to-save lm_head,input_layernorm
	jq -e '.modules_to_save | contains(["lm_head", "model.layers.1.input_layernorm"])' \
		"$T/p/adapter_config.json"
	changes --lora-target-modules all-linear,embed_tokens,lm_head
	jq -e '.target_modules | contains(["embed_tokens", "lm_head", "q_proj"])' "$T/p/adapter_config.json"
	changes --per-device-train-batch-size 4
	changes --gradient-accumulation-steps 2
	changes --learning-rate 2e-3
	changes --lr-scheduler-type cosine
	changes --warmup-ratio 0.5
	changes --warmup-steps 2
	changes --optim sgd
	changes --weight-decay 0.5
	changes --adam-beta1 0.5
	changes --adam-beta2 0.5
	changes --adam-epsilon 0.1
	changes --max-grad-norm 0
	changes --max-steps 4
	changes --train-sampling-strategy sequential
	changes --overfit-one-batch
	changes --seed 3
	keeps --lora-target-modules all-linear
	keeps --lora_target_modules=all-linear
	changes --dtype float32
	keeps --dtype bfloat16
	keeps --logging-steps 2
	keeps --save-steps 1
	keeps --save-total-limit 1
	keeps --max-bad-steps 1
	keeps --allow-no-stop
	keeps --num-train-epochs 9
	sft "$T/s1" "${base[@]}" --optim sgd
	sft "$T/s2" "${base[@]}" --optim sgd --sgd-momentum 0.9
	differ "$T/s1/adapter_model.safetensors" "$T/s2/adapter_model.safetensors"
}

# All that an adapter can have: options of two of them.
DORA=(--use-dora --lora-dropout 0.1 --lora-modules-to-save "embed_tokens,norm,lm_head")
ENDS=(--lora-target-modules "all-linear,embed_tokens,lm_head" --lora-dropout 0.1)

@test "DoRA, whole modules, LoRA on the ends: any number of threads, resumed, gone on with" {
	local args=(--max-steps 5 --save-steps 3 --weight-decay 0.1) more n
	for more in DORA ENDS; do
		local -n kind=$more
		rm -rf "$T"/?
		for n in 1 2 4; do
			sft "$T/$n" "${args[@]}" "${kind[@]}" --threads "$n"
			same_result "$T/1" "$T/$n"
		done
		cp -r "$T/1" "$T/r"
		rewind "$T/r" 3
		sft "$T/r" "${args[@]}" "${kind[@]}" --resume-from-checkpoint auto
		same_result "$T/1" "$T/r"
		# 4 bits, and on from it
		sft "$T/q" "${args[@]}" "${kind[@]}" --load-in-4bit
		sft "$T/g" --max-steps 1 --adapter "$T/1"
		cmp "$T/1/adapter_config.json" <(sed "s/\"lora_dropout\": 0.05/\"lora_dropout\": 0.1/" "$T/g/adapter_config.json")
		awk -v a="$(field loss "$T/1/train.metrics.jsonl" | head -n 1)" \
			-v b="$(field loss "$T/g/train.metrics.jsonl" | head -n 1)" 'BEGIN { exit !(b < a) }'
	done
}

@test "adapters that cannot be are refused, by name" {
	run --separate-stderr -2 sft "$T/o" --use-dora --lora-target-modules q_proj,lm_head
	says "--use-dora on 'lm_head' is not supported"
	run --separate-stderr -2 sft "$T/o" --lora-modules-to-save q_proj,score
	says "the model has no module 'score'"
	run --separate-stderr -2 sft "$T/o" --full --use-dora
	says "--lora-* with --full"
	[ ! -e "$T/o" ]
}

@test "training goes on from an adapter, by -m or --adapter, with another base path" {
	sft "$T/a" --max-steps 5 --lora-r 4
	sft "$T/b" --max-steps 3 --adapter "$T/a"
	ft-sft -q -m "$T/a" -o "$T/c" --threads 1 --logging-steps 1 --learning-rate 1e-3 --max-steps 3 "$S"
	same_result "$T/b" "$T/c"
	grep -q '"r": 4' "$T/b/adapter_config.json"
	grep -q "\"base_model_name_or_path\": \"$M\"" "$T/b/adapter_config.json"
	differ "$T/a/adapter_model.safetensors" "$T/b/adapter_model.safetensors"
	# its first loss is where the other stopped
	awk -v a="$(field loss "$T/a/train.metrics.jsonl" | head -n 1)" \
		-v b="$(field loss "$T/b/train.metrics.jsonl" | head -n 1)" 'BEGIN { exit !(b < a) }'
	cp -r "$T/a" "$T/moved"
	sed -i 's|"base_model_name_or_path": .*|"base_model_name_or_path": "/nowhere/else",|' "$T/moved/adapter_config.json"
	run --separate-stderr -4 ft-sft -q -m "$T/moved" -o "$T/d" "$S"
	says "give --base"
	ft-sft -q -m "$T/moved" --base "$M" -o "$T/d" --threads 1 --logging-steps 1 --learning-rate 1e-3 --max-steps 3 "$S"
	cmp "$T/b/adapter_model.safetensors" "$T/d/adapter_model.safetensors"
	# relative to the adapter
	cp -r "$M" "$T/base"
	sed -i 's|"/nowhere/else"|"../base"|' "$T/moved/adapter_config.json"
	ft-sft -q -m "$T/moved" -o "$T/e" --threads 1 --logging-steps 1 --learning-rate 1e-3 --max-steps 3 "$S"
	cmp "$T/b/adapter_model.safetensors" "$T/e/adapter_model.safetensors"
	grep -q "\"base_model_name_or_path\": \"$T/base\"" "$T/e/adapter_config.json"
}

@test "a stream from a pipe, or compressed, trains alike" {
	sft "$T/a" --max-steps 3
	S=- sft "$T/b" --max-steps 3 <"$S"
	ft-tokenize -q -m "$M" "$F/sft.jsonl" |
		ft-sft -q -m "$M" -o "$T/c" --threads 1 --logging-steps 1 --learning-rate 1e-3 --max-steps 3
	ft-tokenize -q -z -m "$M" "$F/sft.jsonl" -o "$T/z"
	S=$T/z sft "$T/d" --max-steps 3
	same_result "$T/a" "$T/b"
	same_result "$T/a" "$T/c"
	cmp "$T/a/adapter_model.safetensors" "$T/d/adapter_model.safetensors"
}

@test "what is not finite is not applied, and ends the run when it goes on" {
	cp -r "$M" "$T/m"
	local n
	n=$(stat -c %s "$T/m/model.safetensors")
	# the last weight: +Inf in bfloat16
	printf '\200\177' | dd of="$T/m/model.safetensors" bs=1 seek=$((n - 2)) conv=notrunc status=none
	M=$T/m run --separate-stderr -1 sft "$T/o" --max-steps 9 --max-bad-steps 2
	[ "$(grep -c 'not applied' <<<"$stderr")" -eq 3 ]
	[[ ${stderr##*$'\n'} == *"3 steps in a row were not finite"* ]]
	[ ! -e "$T/o/ft-manifest.json" ]
	# fewer than that: the weights are as they were, the log says null
	M=$T/m sft "$T/p" --max-steps 3 --max-bad-steps 5 --save-steps 2
	M=$T/m sft "$T/q" --max-steps 0
	cmp "$T/p/adapter_model.safetensors" "$T/q/adapter_model.safetensors"
	[ "$(field loss "$T/p/train.metrics.jsonl" | head -n 1)" = null ]
	[ "$(field skipped_steps "$T/p/checkpoint-2/rng_state.json")" = 2 ]
	# and such a checkpoint can be gone on from
	cp -r "$T/p" "$T/r"
	rewind "$T/r" 2
	M=$T/m sft "$T/r" --max-steps 3 --max-bad-steps 5 --save-steps 2 --resume-from-checkpoint auto
	same_result "$T/p" "$T/r"
}

@test "weights in 4 bits: they learn, the same bytes for any number of threads, resumed too" {
	local n d
	for d in float32 bfloat16; do
		for n in 1 2 4; do
			sft "$T/$d.$n" --load-in-4bit --dtype "$d" --threads "$n" \
				--max-steps 6 --save-steps 3
			cmp "$T/$d.$n/adapter_model.safetensors" \
				"$T/$d.1/adapter_model.safetensors"
		done
		jq -se 'map(.loss | values) | first > last' "$T/$d.1/train.metrics.jsonl"
	done
	cp -r "$T/float32.1/checkpoint-3" "$T/c"
	sft "$T/more" --load-in-4bit --dtype float32 --max-steps 6 --save-steps 3 \
		--resume-from-checkpoint "$T/c"
	cmp "$T/more/adapter_model.safetensors" "$T/float32.1/adapter_model.safetensors"
	run --separate-stderr -3 sft "$T/other" --dtype float32 --max-steps 6 --save-steps 3 \
		--resume-from-checkpoint "$T/c"
	says load-in-4bit
}
