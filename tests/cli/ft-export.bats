#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

load ../lib/common
load ../lib/tiny

setup_file() {
	tiny_streams
	ft-sft -q -m "$M" -o "$F/a" --threads 1 --num-train-epochs 2 --learning-rate 2e-2 "$F/sft.ft"
	ft-sft -q -m "$M" -o "$F/b" --threads 1 --num-train-epochs 2 --learning-rate 2e-2 \
		--lora-r 3 --use-rslora --lora-target-modules q_proj,down_proj "$F/sft.ft"
}

# scores MODEL...: sums of log-probabilities of the evaluation rows.
scores() {
	ft-logprob -q --dtype float32 -m "$@" "$F/eval.ft" | field sum_logps /dev/stdin
}

# alike MODEL MODEL TOLERANCE: they score the rows alike.
alike() {
	scores "$1" >"$T/scores1"
	scores "$2" >"$T/scores2"
	near_all "$T/scores1" "$T/scores2" "$3"
}

# complete DIR: its manifest is there, and says the truth.
complete() {
	(cd "$1" && jq -r '.files|to_entries[]|"\(.value.sha256)  \(.key)"' ft-manifest.json | sha256sum --quiet -c)
}

@test "help" { std_help ft-export; }
@test "bad option" { std_bad_option ft-export; }

@test "a torn adapter, a torn model" {
	cp -r "$F/a" "$T/a"
	head -c 1000 "$F/a/adapter_model.safetensors" >"$T/a/adapter_model.safetensors"
	run --separate-stderr -3 ft-export -m "$T/a" --to hf -o "$T/o"
	[ "$(wc -l <<<"$stderr")" -eq 1 ]
	cp -r "$M" "$T/m"
	head -c 5000 "$M/model.safetensors" >"$T/m/model.safetensors"
	run --separate-stderr -3 ft-export -m "$T/m" --adapter "$F/a" --to hf -o "$T/o"
	[ "$(wc -l <<<"$stderr")" -eq 1 ]
	[ ! -e "$T/o/ft-manifest.json" ]
}

@test "a reader of messages that goes away does no harm" {
	# shellcheck disable=SC2016
	run bash -c 'ft-export -m "$1" --to hf -o "$2" 2>&1 | true; echo "${PIPESTATUS[0]}"' - "$F/a" "$T/o"
	[ "$output" = 0 ]
	complete "$T/o"
}

@test "full disk" {
	# shellcheck disable=SC2016
	run --separate-stderr -4 bash -c \
		'trap "" XFSZ; ulimit -f 8; exec ft-export -q -m "$1" --to hf -o "$2"' - "$F/a" "$T/o"
	says "cannot write"
	[ ! -e "$T/o/ft-manifest.json" ]
	[ ! -e "$T/o/model.safetensors" ]
}

@test "an empty directory is no model" {
	mkdir "$T/none"
	run --separate-stderr -4 ft-export -m "$T/none" --to hf -o "$T/o"
	[ "$(wc -l <<<"$stderr")" -eq 1 ]
	[ ! -e "$T/o" ]
}

@test "merged: the same model, and all of its files" {
	run --separate-stderr -0 ft-export -m "$F/a" --to hf --dtype float32 -o "$T/o"
	[ -z "$output" ]
	[[ $stderr == *"differ by at most "*"(allowed 0.0001; the adapter moves them by "* ]]
	complete "$T/o"
	alike "$T/o" "$F/a" 1e-4
	cmp "$T/o/tokenizer.json" "$M/tokenizer.json"
	cmp "$T/o/tokenizer_config.json" "$M/tokenizer_config.json"
	cmp "$T/o/generation_config.json" "$M/generation_config.json"
	[ "$(jq -c '[.dtype, .torch_dtype]' "$T/o/config.json")" = '["float32","float32"]' ]
	[ "$(jq -cS 'del(.dtype, .torch_dtype)' "$T/o/config.json")" = "$(jq -cS 'del(.dtype, .torch_dtype)' "$M/config.json")" ]
	jq -e '.verified.max_difference <= 1e-4 and (.provenance[0].adapters|length) == 1' "$T/o/ft-manifest.json"
	# the base with --adapter is the same, and so are the bytes each time
	ft-export -q -m "$M" --adapter "$F/a" --to hf --dtype float32 --threads 1 -o "$T/o2"
	diff -r "$T/o" "$T/o2"
}

@test "merged in bfloat16, as the base is" {
	ft-export -q -m "$F/a" --to hf -o "$T/o"
	[ "$(jq -r .torch_dtype "$T/o/config.json")" = bfloat16 ]
	alike "$T/o" "$F/a" 0.05
	[ "$(stat -c %s "$T/o/model.safetensors")" -lt $(($(stat -c %s "$M/model.safetensors") + 4096)) ]
}

@test "shards hold the same" {
	ft-export -q -m "$F/a" --to hf --dtype float32 -o "$T/one"
	ft-export -q -m "$F/a" --to hf --dtype float32 --max-shard-size 30000 -o "$T/o"
	complete "$T/o"
	[ ! -e "$T/o/model.safetensors" ]
	ft-show --diff "$T/one" "$T/o"
	# and a second export over it leaves none of them
	ft-export -q -m "$F/a" --to hf --dtype float32 -o "$T/o"
	complete "$T/o"
	[ "$(find "$T/o" -name '*.safetensors*' | wc -l)" -eq 1 ]
	cmp "$T/one/model.safetensors" "$T/o/model.safetensors"
}

@test "several adapters, weighted, merged and as one adapter" {
	ft-export -q -m "$M" --adapter "$F/a" --adapter "$F/b:-0.5" --to hf --dtype float32 -o "$T/hf"
	ft-export -q -m "$M" --adapter "$F/a" --adapter "$F/b:-0.5" --to peft -o "$T/peft"
	alike "$T/peft" "$T/hf" 1e-4
	[ "$(jq -c '[.r, .lora_alpha, .use_rslora]' "$T/peft/adapter_config.json")" = '[19,19,false]' ]
	# all of a, and of b nothing, is a
	ft-export -q -m "$M" --adapter "$F/b:0" --adapter "$F/a" --to peft -o "$T/p"
	alike "$T/p" "$F/a" 1e-5
	run ! alike "$T/peft" "$F/a" 1e-4
}

@test "adapters of every kind are merged, and written again" {
	local a base
	echo '{"prompt_ids":[5,9,7],"completion_ids":[11,6,20,14,8,30,3]}' >"$T/ids"
	for a in "$ROOT"/tests/data/golden/adapters/*; do
		base=$(jq -r .base_model_name_or_path "$a/adapter/adapter_config.json")
		base=$(realpath "$a/adapter/$base")
		ft-export -q -m "$a/adapter" --to hf --dtype float32 -o "$T/hf"
		ft-export -q -m "$a/adapter" --to peft -o "$T/peft"
		[ "$(jq -cS '[.r, .lora_alpha, .use_dora, .use_rslora]' "$T/peft/adapter_config.json")" = \
			"$(jq -cS '[.r, .lora_alpha, .use_dora, .use_rslora]' "$a/adapter/adapter_config.json")" ]
		if jq -e '.use_dora or .modules_to_save != null' "$a/adapter/adapter_config.json" >"$T/null"; then
			run --separate-stderr -2 ft-export -q -m "$base" --adapter "$a/adapter:0.5" --to hf -o "$T/w"
			says "cannot be weighted or added to others"
			run --separate-stderr -2 ft-export -q -m "$base" --adapter "$a/adapter" --adapter "$a/adapter" --to hf -o "$T/w"
			says "cannot be weighted or added to others"
		else
			ft-export -q -m "$base" --adapter "$a/adapter:0.25" --adapter "$a/adapter:0.75" --to hf \
				--dtype float32 -o "$T/w"
			ft-tokenize -q -m "$base" "$T/ids" -o "$T/ids.st"
			near "$(ft-logprob -q --dtype float32 -m "$T/w" "$T/ids.st" | field sum_logps /dev/stdin)" \
				"$(ft-logprob -q --dtype float32 -m "$a/adapter" "$T/ids.st" | field sum_logps /dev/stdin)" 1e-4
		fi
		rm -rf "$T/hf" "$T/peft" "$T/w"
	done
}

@test "a head that is the embedding becomes one of its own where an adapter parts them" {
	local g=$ROOT/tests/data/golden
	for a in save_tied ends_tied; do
		ft-export -q -m "$g/adapters/$a/adapter" --to hf --dtype float32 -o "$T/$a"
		jq -e '.tie_word_embeddings == false' "$T/$a/config.json"
		ft-show "$T/$a/model.safetensors" | grep -q lm_head.weight
	done
	ft-export -q -m "$g/adapters/patterns/adapter" --to hf --dtype float32 -o "$T/o"
	jq -e '.tie_word_embeddings == true' "$T/o/config.json"
}

@test "an adapter keeps its numbers" {
	ft-export -q -m "$F/b" --to peft -o "$T/o"
	complete "$T/o"
	cmp "$T/o/adapter_model.safetensors" "$F/b/adapter_model.safetensors"
	[ "$(jq -r .base_model_name_or_path "$T/o/adapter_config.json")" = "$(realpath "$M")" ]
	cmp "$T/o/tokenizer.json" "$M/tokenizer.json"
	ft-export -q -m "$F/b" --to peft --base-name org/name -o "$T/n"
	[ "$(jq -r .base_model_name_or_path "$T/n/adapter_config.json")" = org/name ]
	# found again with --base, times a weight
	run --separate-stderr -4 ft-export -q -m "$T/n" --to hf -o "$T/m"
	says "--base"
	ft-export -q -m "$T/n" --base "$M" --to hf --dtype float32 -o "$T/m"
	alike "$T/m" "$F/b" 1e-4
	ft-export -q -m "$M" --adapter "$F/b:0.5" --to peft -o "$T/half"
	[ "$(jq .lora_alpha "$T/half/adapter_config.json")" = 16 ]
}

@test "another model is status 1, without a manifest" {
	run --separate-stderr -1 ft-export -q -m "$F/a" --to hf --tolerance 1e-9 -o "$T/o"
	says "is not the model it was made from"
	[ ! -e "$T/o/ft-manifest.json" ]
	run --separate-stderr -0 ft-export -q -m "$F/a" --to hf --tolerance 1e-9 --verify=false -o "$T/o"
	says "not compared"
	jq -e '.verified == null' "$T/o/ft-manifest.json"
}

@test "what this build cannot do is refused by name" {
	for to in mlx mlx-lora gguf gguf-lora; do
		run --separate-stderr -2 ft-export -m "$F/a" --to $to -o "$T/o"
		says "--to $to is not supported by this build"
	done
	run --separate-stderr -2 ft-export -m "$F/a" --to nonsense -o "$T/o"
	says "'nonsense'"
	[ ! -e "$T/o" ]
}

@test "combinations that make no sense" {
	no() {
		local what=$1
		shift
		run --separate-stderr -2 ft-export "$@"
		says "$what"
	}
	no "no form" -m "$F/a" -o "$T/o"
	no "-m DIR" --to hf -o "$T/o"
	no "-o DIR" -m "$M" --to hf
	no "has none" -m "$M" --to peft -o "$T/o"
	no "already" -m "$F/a" --adapter "$F/b" --to hf -o "$T/o"
	no "--base" -m "$M" --base "$M" --to hf -o "$T/o"
	no "float32" -m "$F/a" --to peft --dtype bfloat16 -o "$T/o"
	no "--base-name" -m "$F/a" --to hf --base-name x -o "$T/o"
	no "is not a weight" -m "$M" --adapter "$F/b:x" --to hf -o "$T/o"
	no "operand" -m "$M" --to hf -o "$T/o" x
	[ ! -e "$T/o" ]
	cp -r "$M" "$T/m"
	no "model's directory" -m "$T/m" --adapter "$F/a" --to hf -o "$T/./m"
	cmp "$M/model.safetensors" "$T/m/model.safetensors"
	cp -r "$F/a" "$T/a"
	no "adapter's directory" -m "$T/a" --to hf -o "$T/a"
}

@test "--to bnb: the weights that --load-in-4bit holds" {
	local shards
	ft-export -q -m "$M" --to bnb --dtype float32 -o "$T/o"
	complete "$T/o"
	jq -e '.quantization_config | .load_in_4bit and .bnb_4bit_use_double_quant
		and .quant_method == "bitsandbytes" and .bnb_4bit_quant_type == "nf4"' "$T/o/config.json"
	ft-logprob -q -m "$M" --load-in-4bit "$F/eval.ft" -o "$T/made"
	ft-logprob -q -m "$T/o" "$F/eval.ft" -o "$T/read"
	cmp "$T/made" "$T/read"
	ft-export -q -m "$T/o" --to bnb -o "$T/again"
	cmp "$T/o/model.safetensors" "$T/again/model.safetensors"
	cmp "$T/o/config.json" "$T/again/config.json"
	# in shards, by any number of threads
	ft-export -q -m "$M" --to bnb --dtype float32 --max-shard-size 20000 --threads 4 -o "$T/s"
	shards=("$T"/s/model-*.safetensors)
	[ "${#shards[@]}" -gt 2 ]
	ft-logprob -q -m "$T/s" "$F/eval.ft" -o "$T/read"
	cmp "$T/made" "$T/read"
}

@test "--to bnb of a tuned model; a base in 4 bits is tuned and written whole" {
	ft-export -q -m "$F/a" --to bnb -o "$T/o"
	complete "$T/o"
	jq -e '.verified | .rounding > 0.5 and .rounding <= 1 and .tolerance == null' "$T/o/ft-manifest.json"
	run --separate-stderr -1 ft-export -q -m "$F/a" --to bnb --tolerance 1e-9 -o "$T/no"
	[ ! -e "$T/no/ft-manifest.json" ]
	ft-export -q -m "$M" --to bnb -o "$T/four"
	ft-sft -q -m "$T/four" -o "$T/q" --threads 1 --num-train-epochs 2 --learning-rate 2e-2 "$F/sft.ft"
	ft-export -q -m "$T/q" --to hf --dtype float32 -o "$T/whole"
	complete "$T/whole"
	jq -e 'has("quantization_config") | not' "$T/whole/config.json"
	alike "$T/whole" "$T/q" 1e-4
	ft-export -q -m "$T/q" --to bnb -o "$T/tuned"
	complete "$T/tuned"
	ft-export -q -m "$T/q" --to peft -o "$T/peft"
	alike "$T/peft" "$T/q" 1e-4
}
