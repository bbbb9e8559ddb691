#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

load ../lib/common

setup() {
	cat >"$T/c" <<'EOF'
{"model_type":"llama","hidden_size":16,"intermediate_size":24,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2}
EOF
	for i in $(seq 40); do
		echo "final value$((i % 7)) = items.length; // the value of é"
	done >"$T/text"
}

init() {
	ft-init -q --config "$T/c" --text "$T/text" --vocab-size 280 "$@"
}

@test "help" { std_help ft-init; }
@test "bad option" { std_bad_option ft-init; }

@test "a torn configuration, a torn row" {
	std_torn "$T/c" ft-init --config /dev/stdin --text "$T/text" -o "$T/o"
	[ ! -e "$T/o" ]
	printf '{"text":"a"}\n{"te' >"$T/rows.jsonl"
	run --separate-stderr -3 ft-init --config "$T/c" --text "$T/rows.jsonl" -o "$T/o"
	says "rows.jsonl:2:"
	[ ! -e "$T/o" ]
}

@test "a reader of messages that goes away does no harm" {
	# shellcheck disable=SC2016
	run bash -c 'ft-init --config "$1/c" --text "$1/text" --vocab-size 280 -o "$1/o" 2>&1 | true; echo "${PIPESTATUS[0]}"' - "$T"
	[ "$output" = 0 ]
	[ -e "$T/o/ft-manifest.json" ]
}

@test "full disk" {
	# shellcheck disable=SC2016
	run --separate-stderr -4 bash -c \
		'trap "" XFSZ; ulimit -f 4; exec ft-init -q --config "$1/c" --text "$1/text" --vocab-size 280 -o "$1/o"' - "$T"
	says "cannot write"
	[ ! -e "$T/o/ft-manifest.json" ]
}

@test "empty input" {
	std_empty 3 ft-init --config /dev/stdin --text "$T/text" -o "$T/o"
	: >"$T/none"
	run --separate-stderr -3 ft-init --config "$T/c" --text "$T/none" -o "$T/o"
	says "no text"
	[ ! -e "$T/o" ]
}

@test "a model directory with all that transformers looks for" {
	init -o "$T/o"
	[ "$(jq -c '[.architectures[0], .vocab_size, .bos_token_id, .eos_token_id, .dtype, .torch_dtype, .rope_parameters.rope_type, .head_dim]' "$T/o/config.json")" = \
		'["LlamaForCausalLM",280,0,0,"float32","float32","default",4]' ]
	grep -q '"rope_theta": 10000.0' "$T/o/config.json"
	[ "$(jq -r .eos_token "$T/o/tokenizer_config.json")" = "<|endoftext|>" ]
	[ "$(jq -r .eos_token_id "$T/o/generation_config.json")" = 0 ]
	[ "$(jq -r '.files|keys|join(" ")' "$T/o/ft-manifest.json")" = \
		"config.json generation_config.json model.safetensors tokenizer.json tokenizer_config.json" ]
	[ "$(jq -r '.provenance[0].text_sha256[0]' "$T/o/ft-manifest.json")" = "$(sha256sum <"$T/text" | cut -d ' ' -f 1)" ]
	[ "$(ft-show "$T/o" | grep -c 'F32')" -ge 21 ]
}

@test "the same seed gives the same bytes, another other weights" {
	init -o "$T/a"
	init -o "$T/b"
	diff -r "$T/a" "$T/b"
	init --seed 7 -o "$T/c7"
	cmp "$T/a/tokenizer.json" "$T/c7/tokenizer.json"
	run -1 cmp -s "$T/a/model.safetensors" "$T/c7/model.safetensors"
}

@test "rows, zstd and several files are text as well" {
	jq -Rc '{text: (. + "\n")}' "$T/text" >"$T/rows.jsonl"
	init -o "$T/a"
	ft-init -q --config "$T/c" --vocab-size 280 -o "$T/b" "$T/rows.jsonl"
	cmp "$T/a/tokenizer.json" "$T/b/tokenizer.json"
	head -n 20 "$T/text" >"$T/half"
	need_command zstd
	zstd -q "$T/half" -o "$T/half.zst"
	ft-init -q --config "$T/c" --vocab-size 280 --text "$T/half.zst" -o "$T/d" "$T/half"
	jq -e '.provenance[0].text_sha256|length == 2' "$T/d/ft-manifest.json"
	jq -c '{code: .text}' "$T/rows.jsonl" >"$T/code.jsonl"
	ft-init -q --config "$T/c" --vocab-size 280 --text "$T/code.jsonl" --text-field code -o "$T/e"
	cmp "$T/a/tokenizer.json" "$T/e/tokenizer.json"
	run --separate-stderr -3 ft-init -q --config "$T/c" --text "$T/code.jsonl" -o "$T/f"
	says "field 'text' missing"
}

@test "special tokens, bfloat16, biases and scaled rope" {
	jq -c '. + {attention_bias:true, tie_word_embeddings:true, rope_scaling:{type:"linear",factor:2}, rope_theta:5000.5, extra:[1,2]}' "$T/c" >"$T/c2"
	mv "$T/c2" "$T/c"
	init --special '<|a|>' --special '<|b|>' --dtype bfloat16 -o "$T/o"
	[ "$(jq -c '[.dtype, .rope_parameters, .rope_scaling, .extra]' "$T/o/config.json")" = \
		'["bfloat16",{"factor":2,"rope_theta":5000.5,"rope_type":"linear"},{"factor":2,"rope_type":"linear"},[1,2]]' ]
	[ "$(jq -r '.added_tokens[2].content' "$T/o/tokenizer.json")" = "<|b|>" ]
	ft-show "$T/o" >"$T/shown"
	grep -q 'q_proj.bias.*BF16' "$T/shown"
	run -1 grep -q lm_head "$T/shown"
}

@test "a tokenizer that is taken" {
	init -o "$T/a"
	jq -c '. + {vocab_size: 320}' "$T/c" >"$T/c2"
	ft-init -q --config "$T/c2" --tokenizer "$T/a" -o "$T/b"
	cmp "$T/a/tokenizer.json" "$T/b/tokenizer.json"
	cmp "$T/a/tokenizer_config.json" "$T/b/tokenizer_config.json"
	[ "$(jq .vocab_size "$T/b/config.json")" = 320 ]
	mkdir "$T/none"
	run --separate-stderr -4 ft-init -q --config "$T/c" --tokenizer "$T/none" -o "$T/d"
	says "no tokenizer.json"
	[ ! -e "$T/d/ft-manifest.json" ]
}

@test "an old directory is not complete while it changes" {
	init -o "$T/o"
	echo '{"hidden_size":16}' >"$T/bad"
	run --separate-stderr -3 ft-init -q --config "$T/bad" --text "$T/text" --vocab-size 280 -o "$T/o"
	says "$T/bad:"
	[ ! -e "$T/o/ft-manifest.json" ]
}

@test "combinations that make no sense" {
	run --separate-stderr -2 ft-init --config "$T/c" -o "$T/o"
	says "--text or --tokenizer"
	run --separate-stderr -2 ft-init --config "$T/c" --tokenizer x --vocab-size 280 -o "$T/o"
	says "--vocab-size"
	run --separate-stderr -2 ft-init --text "$T/text" -o "$T/o"
	says "--config"
	run --separate-stderr -2 ft-init --config "$T/c" --text "$T/text" --vocab-size 257 --special x -o "$T/o"
	says "no room"
	run --separate-stderr -2 init --special x --special x -o "$T/o"
	[ ! -e "$T/o" ]
	printf 'a\xff' >"$T/bytes"
	run --separate-stderr -3 ft-init --config "$T/c" --text "$T/bytes" -o "$T/o"
	says "byte 1 is not UTF-8"
}
