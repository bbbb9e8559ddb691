#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

load ../lib/common
load ../lib/tiny

# plan METHOD LENGTH FILE: that plan of a line of --json.
plan() {
	jq -c ".memory[] | select(.method == \"$1\" and .length == $2) | .plan" "$3"
}

# --- the six cases ------------------------------------------------------------

@test "help and version" {
	std_help ft-models
}

@test "bad command lines are status 2" {
	std_bad_option ft-models
	no() {
		local what=$1
		shift
		run --separate-stderr -2 ft-models "$@"
		says "$what"
	}
	no "did you mean 'mistral-7b'?" mistal-7b
	no "unknown model 'x'" x
	no "is no size" --memory lots
	no "of one model" --config
	no "of one model" --config phi-2 tinyllama
	no "of one model" --config "$M"
	no "of one model" --config --json phi-2
}

@test "torn input: a config.json that is cut is status 3" {
	mkdir "$T/m"
	head -c 100 "$M/config.json" >"$T/m/config.json"
	run --separate-stderr -3 ft-models "$T/m"
	says "$T/m/config.json"
	echo '{"model_type":"mamba"}' >"$T/m/config.json"
	run --separate-stderr -3 ft-models "$T/m"
	says "model_type 'mamba' is not supported (supported: llama, "
	run --separate-stderr -4 ft-models "$T/none/there"
	says "$T/none/there/config.json"
}

@test "a reader that stops early ends it by SIGPIPE, in silence" {
	run --separate-stderr bash -c '
		trap "" PIPE
		{ sleep 0.2; ft-models; echo "$?" >"$1"; } | :' - "$T/status"
	[ "$(cat "$T/status")" = 141 ]
	[ -z "$stderr" ]
}

@test "a full disk is status 4" {
	[ -w /dev/full ] || skip "no /dev/full"
	run --separate-stderr -4 bash -c "ft-models >/dev/full"
	says "cannot write"
}

@test "empty input: nothing is read" {
	ft models </dev/null >"$T/a"
	ft-models >"$T/b"
	cmp "$T/a" "$T/b"
}

# --- what it says ---------------------------------------------------------------

@test "every name, its hub id and its parameters" {
	# as the published checkpoints have them, of Gemma 3 the text
	cat >"$T/want" <<-'E'
		codellama-7b codellama/CodeLlama-7b-hf 6738546688
		codellama-13b codellama/CodeLlama-13b-hf 13016028160
		llama-2-7b meta-llama/Llama-2-7b-hf 6738415616
		llama-2-13b meta-llama/Llama-2-13b-hf 13015864320
		mistral-7b mistralai/Mistral-7B-v0.1 7241732096
		phi-2 microsoft/phi-2 2779683840
		deepseek-coder-6.7b deepseek-ai/deepseek-coder-6.7b-base 6740512768
		starcoder2-7b bigcode/starcoder2-7b 7173923840
		qwen2.5-7b-instruct Qwen/Qwen2.5-7B-Instruct 7615616512
		gemma-3-4b-it google/gemma-3-4b-it 3880263168
		tinyllama TinyLlama/TinyLlama-1.1B-Chat-v1.0 1100048384
		dialogpt-medium microsoft/DialoGPT-medium 354823168
	E
	ft-models --json | jq -r '"\(.name) \(.hub) \(.parameters)"' | diff "$T/want" -
	# the man page has the same
	local name hub rest
	while read -r name hub rest; do
		grep -q "^\\.It Li $name Ta [a-z0-9]* Ta $hub\$" "$ROOT/man/ft-models.1" ||
			fail_with "ft-models.1 does not have $name"
	done <"$T/want"
	# by hub id, too
	[ "$(ft-models --json Qwen/Qwen2.5-7B-Instruct | jq -r .name)" = qwen2.5-7b-instruct ]
}

@test "a table for people: all names, '-' beyond a model's positions" {
	run -0 ft-models
	[[ $output == "families: llama mistral "* ]]
	[ "$(grep -c '^mistral-7b ' <<<"$output")" -eq 2 ]
	[[ $(grep '^dialogpt-medium' <<<"$output" | tail -n 1) =~ ^dialogpt-medium\ +[0-9.]+\ +-\ +-\ +[0-9.]+\ +-\ +- ]]
	# LoRA takes more than QLoRA, all weights most; longer rows more
	ft-models --json | jq -e '[.memory[] | {key: "\(.method)\(.length)", value: .plan.all}] | from_entries |
		.lora512 > .qlora512 and .full512 > 3 * .lora512 and
		(.lora2048 == null or .lora2048 > .lora512)' >/dev/null
}

@test "the numbers are those of ft-sft --plan" {
	# a model that reads rows of 512, and 8 of them
	local method length flag
	jq -c '.max_position_embeddings = 2048' "$M/config.json" >"$T/c.json"
	ft-init -q -c "$T/c.json" --tokenizer "$M" --dtype bfloat16 -o "$T/m"
	ft-models --json "$T/m" >"$T/json"
	[ "$(jq '.memory | length' "$T/json")" -eq 6 ]
	for length in 512 2048; do
		awk -v n="$length" 'BEGIN {
			for (r = 0; r < 8; r++) {
				s = 3
				for (i = 2; i < n; i++)
					s = s "," 3 + (i * 7 + r) % 50
				print "{\"prompt_ids\":[0],\"completion_ids\":[" s "]}"
			}
		}' >"$T/rows"
		ft-tokenize -q -m "$T/m" "$T/rows" -o "$T/s"
		for method in lora qlora full; do
			case $method in
			lora) flag= ;;
			qlora) flag=--load-in-4bit ;;
			full) flag=--full ;;
			esac
			# shellcheck disable=SC2086
			ft-sft -q -m "$T/m" $flag --allow-no-stop --plan --json "$T/s" >"$T/want"
			plan "$method" "$length" "$T/json" >"$T/have"
			diff "$T/want" "$T/have" || fail_with "$method $length"
		done
	done
	# and with options
	ft-sft -q -m "$T/m" --allow-no-stop --plan --json --lora-r 3 --gradient-checkpointing \
		--per-device-train-batch-size 8 --dtype float32 "$T/s" >"$T/want"
	ft-models --json --lora-r 3 --gradient-checkpointing --dtype float32 "$T/m" >"$T/json"
	diff "$T/want" <(plan lora 2048 "$T/json")
}

@test "--memory: what is chosen within it, or 'no'" {
	ft-models --json --memory 7G mistral-7b >"$T/json"
	[ "$(jq '[.memory[] | select(.method == "qlora")] | length' "$T/json")" -ge 1 ]
	[ "$(jq '[.memory[] | select(.method != "qlora")] | length' "$T/json")" -eq 0 ]
	jq -e 'all(.memory[]; .plan.all <= 7 * 1073741824)' "$T/json" >/dev/null
	run -0 ft-models --memory 7G mistral-7b
	[[ $(tail -n 1 <<<"$output") =~ ^mistral-7b\ +no\ +no\ +no\ +[0-9.]+ ]] || fail_with "$output"
}

@test "--config: a config.json that the tools take" {
	local name
	for name in $(ft-models --json | jq -r .name); do
		mkdir "$T/$name"
		ft-models --config "$name" >"$T/$name/config.json"
		[ "$(ft-models --json "$T/$name" | jq -c .memory)" = "$(ft-models --json "$name" | jq -c .memory)" ] ||
			fail_with "$name"
	done
}
