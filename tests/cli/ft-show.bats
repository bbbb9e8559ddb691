#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

load ../lib/common

setup() {
	P=$DATA/fuzz/tstream/pair
	ST=$DATA/fuzz/safetensors/three
	cat >"$T/rows" <<-'EOF'
		{"prompt":"a","completion":"b","n":1}
		{"prompt":"c","completion":"d","n":null}
		{"text":"e\u001b[31m"}
	EOF
}

# flip FILE OFFSET COPY: a copy with one byte changed.
flip() {
	local b
	cp "$1" "$3"
	b=$(od -An -tu1 -j "$2" -N 1 "$1")
	# shellcheck disable=SC2059
	printf "\\x$(printf %x $((b ^ 1)))" |
		dd of="$3" bs=1 seek="$2" conv=notrunc status=none
}

@test "help and version" {
	std_help ft-show
}

@test "bad command lines are status 2" {
	std_bad_option ft-show
	run -2 --separate-stderr ft-show --rows x "$P"
	says "--rows wants"
	run -2 ft-show --rows 1:2x "$P"
	run -2 --separate-stderr ft-show --rows 1:1 "$T/none"
	says "--rows"
	run -2 ft-show --rows 99999999999999999999 "$P"
	run -2 ft-show --diff "$P"
	run -2 ft-show --diff "$P" "$P" "$P"
	run -2 ft-show --document 0 "$P" "$P"
	run -2 ft-show --document -1 "$P"
	run -2 ft-show --join --rows 1 "$P"
	run -2 ft-show --model . "$P"
	run -2 ft-show --json --ledger "$P"
	run -2 ft-show --color blue "$P"
}

@test "torn input is status 3, for each kind of file" {
	std_torn "$P" ft-show
	[[ $stderr == *"truncated: no end document" ]]
	std_torn "$ST" ft-show
	[[ $stderr == *truncated* ]]
	std_torn "$T/rows" ft-show
	printf '{"a":1,' | run -3 ft-show
}

@test "no input, no file, no known content" {
	std_empty 3 ft-show
	run -4 --separate-stderr ft-show "$T/none"
	says "none"
	run -3 --separate-stderr ft-show - <<<"hello"
	says "neither"
	run -4 ft-show "$T"
}

@test "a reader that stops early ends it by SIGPIPE, in silence" {
	local all=()
	for _ in {1..300}; do all+=("$P"); done
	ft-show --join "${all[@]}" -o "$T/big"
	# shellcheck disable=SC2016
	run --separate-stderr bash -c \
		'trap "" PIPE; ft-show --rows 0: "$1" | head -c 1 >/dev/null; echo "${PIPESTATUS[0]}"' - "$T/big"
	[ "$output" = 141 ]
	[ -z "$stderr" ]
}

@test "a full disk is status 4" {
	std_full_disk "$P" ft-show
	std_full_disk "$P" ft-show --document 1
}

@test "a stream's summary" {
	run -0 ft-show "$P"
	[[ $output == *"kind         pair"* ]]
	[[ $output == *"rows         2, of 4 branches"* ]]
	[[ $output == *"tokens       12, of which 2 in prefixes"* ]]
	[[ $output == *"supervised   8"* ]]
	[[ $output == *"column       ref_logps, by segment, 4 numbers, -5 to -1, mean -3"* ]]
	[[ $output == *"length       4 to 5, mean 4.5"* ]]
	[[ $output == *'"dropped": {'* ]]
	run -0 ft-show --json "$P"
	[ "${#lines[@]}" -eq 1 ]
	[[ $output == *'"supervised_tokens":8,'* ]]
	[[ $output == *'"length":{"min":4,"max":5,"mean":4.5,"from":{"4":2}}'* ]]
	run -0 ft-show --ledger "$P"
	[ "$output" = '{"rows": {"in": 3, "kept": 2, "dropped": {"long": 1}}, "note": "x"}' ]
}

@test "through a pipe and compressed it is the same" {
	ft-show --json - <"$P" | sed 's/"file":"-"//' >"$T/a"
	cat "$P" | ft-show --json | sed 's/"file":"-"//' >"$T/b"
	cmp "$T/a" "$T/b"
	ft-show --json "$P" | cut -d , -f 2- >"$T/c"
	ft-show --join -z "$P" -o "$T/z"
	[ "$(od -An -tx1 -N 4 "$T/z")" = " 28 b5 2f fd" ]
	run -0 ft-show --diff "$P" "$T/z"
	need_command zstd
	zstd -q "$ST" -o "$T/st.zst"
	run -0 ft-show --diff "$ST" "$T/st.zst"
}

@test "rows: trained tokens stand in brackets" {
	run -0 ft-show --rows 1 "$P"
	[ "${lines[0]}" = "row 1 (source line 1): 0 + 4, 2 tokens" ]
	[ "${lines[2]}" = "  branch 1   2 ⟦3 4 5⟧" ]
	[ "${lines[3]}" = "    ref_logps -4" ]
	run -0 ft-show --rows 0: "$P"
	[ "$(grep -c ^row <<<"$output")" -eq 2 ]
	run -0 ft-show --rows 0:1 "$P"
	[ "$(grep -c ^row <<<"$output")" -eq 1 ]
	run -3 ft-show --rows 2 "$P"
	run -3 ft-show --rows 0 "$ST"
}

@test "rows in colour: green where trained, dim where not" {
	run -0 ft-show --rows 1 --color always "$P"
	[ "${lines[2]}" = $'  branch 1   \e[2m2\e[0m \e[32m3 4 5\e[0m' ]
	[[ $output != *⟦* ]]
	run -0 ft-show --rows 1 --color never "$P"
	[[ $output != *$'\e'* ]]
}

@test "rows of another tokenizer are not decoded" {
	need_shared data/tokenizers/gpt2/tokenizer.json
	run -3 --separate-stderr ft-show --rows 0 -m "$SHARED/data/tokenizers/gpt2" "$P"
	says "another tokenizer"
}

@test "tensors" {
	run -0 ft-show "$ST"
	[ "${lines[0]}" = "metadata format: pt" ]
	[[ ${lines[2]} == "a     F32     [2,3] "*" 24" ]]
	[[ ${lines[3]} == "b     F16     [0,2] "*" 0" ]]
	[ "${lines[5]}" = "3 tensors, 7 elements, 32 bytes" ]
	run -0 ft-show --stats --json "$ST"
	[[ $output == *'"name":"a","dtype":"F32","shape":[2,3],"bytes":24,"min":0,"max":5,"mean":2.5,"rms":3.02'* ]]
	mkdir "$T/model"
	cp "$ST" "$T/model/adapter_model.safetensors"
	run -0 ft-show "$T/model"
	[[ $output == *"3 tensors"* ]]
}

@test "integers have their signs" {
	local h='{"a":{"dtype":"I16","shape":[2],"data_offsets":[0,4]}}      '
	# shellcheck disable=SC2059
	{ printf "\\x$(printf %x ${#h})\0\0\0\0\0\0\0%s" "$h"; printf '\xfd\xff\x07\0'; } >"$T/i"
	[ "$(ft-show -js "$T/i" | jq -c '.tensors[0]|[.min,.max,.mean]')" = '[-3,7,2]' ]
	sed 's/"I16"/"U16"/' "$T/i" >"$T/u"
	[ "$(ft-show -js "$T/u" | jq -c '.tensors[0]|[.min,.max]')" = '[7,65533]' ]
}

@test "rows of JSON" {
	run -0 ft-show "$T/rows"
	[[ $output == *"rows         3"* ]]
	[[ $output == *"kind         completion   2"* ]]
	[[ $output == *"kind         text         1"* ]]
	[[ $output == *" 2  n: null|number"* ]]
	run -0 ft-show --json "$T/rows"
	[[ $output == *'"kinds":{"completion":2,"text":1}'* ]]
}

@test "JSON documents are laid out" {
	printf '{"peft_type":"LORA","r":[1,2]}' >"$T/adapter_config.json"
	run -0 ft-show "$T/adapter_config.json"
	[ "$output" = '{
  "peft_type": "LORA",
  "r": [
    1,
    2
  ]
}' ]
	printf '{\n "global_step": 3\n}\n' >"$T/state"
	run -0 ft-show "$T/state"
	[ "${lines[1]}" = '  "global_step": 3' ]
}

@test "a document cut out is a tensor file" {
	ft-show --document 1 "$P" -o "$T/d"
	run -0 ft-show "$T/d"
	[[ $output == *"input_ids   I32     [12] "* ]]
	[ $((($(od -An -tu8 -N 8 "$T/d") + 8) % 8)) -eq 0 ]
	run -0 ft-show --document 2 "$P" -o "$T/e"
	run -3 --separate-stderr ft-show --document 3 "$P"
	says "there are 3 documents"
}

@test "streams are joined: lines go on, ledgers are summed" {
	ft-show --join "$P" "$P" "$P" -o "$T/j"
	run -0 ft-show --ledger "$T/j"
	[ "$output" = '{"rows": {"in": 9, "kept": 6, "dropped": {"long": 3}}, "note": "x"}' ]
	run -0 ft-show --rows 0: "$T/j"
	[[ $output == *"row 5 (source line 5): 0 + 4, 2 tokens"* ]]
	run -0 ft-show --json "$T/j"
	[[ $output == *'"tool": "ft-show"'*'"tool": "seed"'* ]]
	cat "$P" "$P" >"$T/cat"
	run -3 --separate-stderr ft-show "$T/cat"
	says "ft-show --join"
	run -3 --separate-stderr ft-show --join "$P" "$ST" -o "$T/k"
	says "not a token stream"
	[ ! -e "$T/k" ]
}

@test "diff: the first difference has a name" {
	run -0 ft-show --diff "$P" "$P"
	[ -z "$output" ]
	ft-show --join "$P" "$P" -o "$T/j"
	run -1 ft-show --diff "$P" "$T/j"
	[[ $output == *"fuzz/tstream/pair ends after 2 rows" ]]
	flip "$ST" $(($(stat -c %s "$ST") - 4)) "$T/a"
	run -1 ft-show --diff "$ST" "$T/a"
	[ "$output" = "tensor 'a' [1,2]: 5 against 5.0000005" ] ||
		[[ $output == "tensor "*" against "* ]]
	sed 's/"d"/"x"/' "$T/rows" >"$T/rows2"
	run -1 ft-show --diff "$T/rows" "$T/rows2"
	[ "$output" = "row 1, field 'completion': \"d\" against \"x\"" ]
	printf '%s\n' '{"n":1,"completion":"b","prompt":"a"}' >"$T/r1"
	head -n 1 "$T/rows" >"$T/r2"
	run -0 ft-show --diff "$T/r1" "$T/r2"
	# one value, spelled in two ways
	echo '{"a":{"x":1.0,"y":["\u0041",null]},"b":2}' >"$T/r1"
	echo '{"b":2e0,"a":{"y":["A",null],"x":1}}' >"$T/r2"
	run -0 ft-show --diff "$T/r1" "$T/r2"
	echo '{"b":2e0,"a":{"y":["A",0],"x":1}}' >"$T/r2"
	run -1 ft-show --diff "$T/r1" "$T/r2"
	echo '{"a":9007199254740993}' >"$T/r1"
	echo '{"a":9007199254740992}' >"$T/r2"
	run -1 ft-show --diff "$T/r1" "$T/r2"
	run -1 ft-show --diff "$P" "$ST"
}

@test "control characters of others do not reach the terminal" {
	printf '[{"a":"x\xc2\x9b2J\x7f"}]' >"$T/c1.json"
	run -0 ft-show "$T/c1.json"
	[[ $output == *'"x\u009b2J\u007f"'* ]]
	ft-show "$T/c1.json" | jq -e '.[0].a == "x\u009b2J\u007f"'
	printf '{"a\\u001b[31m":1}\n{"b":2}\n' >"$T/esc"
	run -0 ft-show "$T/esc"
	[[ $output == *'a\x1b[31m'* ]]
	[[ $output != *$'\e'* ]]
}
