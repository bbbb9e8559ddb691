#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

load ../lib/common
load ../lib/tiny

setup_file() {
	tiny_streams
	ft-sft -q -m "$M" -o "$F/a" --threads 1 --lora-r 4 --max-steps 8 --learning-rate 1e-3 \
		--save-steps 0 "$F/sft.ft"
}

setup() {
	S=$F/sft.ft
}

score() {
	ft-logprob -q -m "$M" --threads 1 "$@"
}

list() {
	sed -E "s/.*\"$1\":\[([^]]*)\].*/\1/" "$2" | tr ',' '\n'
}

# --- the six cases ------------------------------------------------------------

@test "help and version" {
	std_help ft-logprob
}

@test "bad command lines are status 2" {
	std_bad_option ft-logprob
	no() {
		local what=$1
		shift
		run --separate-stderr -2 ft-logprob "$@"
		says "$what"
	}
	no "no model" "$S"
	no "one stream" -m "$M" "$S" "$S"
	no "--columns" -m "$M" --columns --rows "$F/sft.jsonl" "$S"
	no "--base" -m "$M" --base "$M" "$S"
	no "--map" -m "$M" --map . "$S"
	no "micro-batch-tokens" -m "$M" --micro-batch-tokens 0 "$S"
}

@test "a torn stream is status 3, and no file is made" {
	std_torn "$S" ft-logprob -m "$M" -o "$T/o"
	[[ $stderr == *truncated* ]]
	[ ! -e "$T/o" ]
	std_torn "$S" ft-logprob -m "$M" --columns -o "$T/o"
	[ ! -e "$T/o" ]
}

@test "a reader that stops early ends it by SIGPIPE, in silence" {
	local all=()
	for _ in {1..60}; do all+=("$S"); done
	ft-show --join "${all[@]}" -o "$T/big"
	# shellcheck disable=SC2016
	run --separate-stderr bash -c '
		trap "" PIPE
		ft-logprob -m "$1" --threads 1 "$2" | head -c 1 >/dev/null
		echo "${PIPESTATUS[0]}"' - "$M" "$T/big"
	[ "$output" = 141 ]
	[ -z "$stderr" ]
}

@test "a full disk is status 4" {
	std_full_disk "$S" ft-logprob -q -m "$M"
	std_full_disk "$S" ft-logprob -q -m "$M" --columns
}

@test "empty input is status 3" {
	std_empty 3 ft-logprob -m "$M"
}

# --- scores -------------------------------------------------------------------

@test "a row's fields: line, log-probabilities, their sum, tokens, bytes" {
	score "$S" -o "$T/o"
	[ "$(wc -l <"$T/o")" -eq 20 ]
	[ "$(head -n 1 "$T/o" | grep -oE '"[a-z_]+":' | tr -d '":' | tr '\n' ' ')" = \
		"row logps sum_logps tokens hits bytes " ]
	[ "$(field row "$T/o" | tr '\n' ' ')" = "$(echo {0..19}) " ]
	# all log-probabilities are such; the sum is theirs; as many as tokens
	awk -F '[][]' '{
		n = split($2, v, ",")
		for (i = 1; i <= n; i++) { if (v[i] > 0) exit 1; s += v[i] }
		match($0, /"sum_logps":[-0-9.e]+/); sum = substr($0, RSTART + 12, RLENGTH - 12)
		match($0, /"tokens":[0-9]+/); t = substr($0, RSTART + 9, RLENGTH - 9)
		if (t != n || (s - sum) ^ 2 > 1e-8) exit 1
		s = 0
	}' "$T/o"
	local n
	n=$(field tokens "$T/o" | awk '{ s += $1 } END { print s }')
	[ "$n" = "$(ft-show --json "$S" | field supervised_tokens -)" ]
	# bytes of the text, without the end token
	sed -E 's/.*"completion":"([^"]*)".*/\1/' "$F/sft.jsonl" | awk '{ print length($0) }' >"$T/want"
	field bytes "$T/o" | diff - "$T/want"
}

@test "pairs: both answers' fields" {
	score --dtype float32 "$F/pair.ft" -o "$T/o"
	[ "$(head -n 1 "$T/o" | grep -oE '"[a-z_]+":' | tr -d '":' | tr '\n' ' ')" = \
		"row chosen_logps chosen_sum_logps chosen_tokens chosen_hits chosen_bytes rejected_logps rejected_sum_logps rejected_tokens rejected_hits rejected_bytes " ]
	# an answer scores as it does alone: a shared prefix changes nothing
	sed -E 's/"chosen":("[^"]*"),"rejected":("[^"]*")/"completion":\2/' "$F/pair.jsonl" |
		ft-tokenize -q -m "$M" -o "$T/s"
	score --dtype float32 "$T/s" -o "$T/p"
	field rejected_sum_logps "$T/o" >"$T/a"
	field sum_logps "$T/p" >"$T/b"
	near_all "$T/a" "$T/b" 1e-5
	list rejected_logps "$T/o" >"$T/a"
	list logps "$T/p" >"$T/b"
	near_all "$T/a" "$T/b" 1e-5
}

@test "texts: what nothing precedes is not scored" {
	echo '{"text":"Add a button."}' | ft-tokenize -q -m "$M" --no-special-tokens -o "$T/s"
	score "$T/s" -o "$T/o"
	local stored
	stored=$(ft-show --json "$T/s" | field tokens -)
	[ "$(field tokens "$T/o")" -eq $((stored - 1)) ]
}

@test "the same bytes for any threads, the same numbers however it is cut" {
	score "$S" >"$T/1"
	ft-logprob -q -m "$M" --threads 4 "$S" >"$T/4"
	cmp "$T/1" "$T/4"
	score - <"$S" | cmp - "$T/1"
	list logps "$T/1" >"$T/a"
	local n
	for n in 1 60 1000000; do
		score --micro-batch-tokens $n "$S" >"$T/o"
		list logps "$T/o" >"$T/b"
		near_all "$T/b" "$T/a" 1e-5
	done
}

@test "an adapter: by -m, --adapter, --base" {
	score "$S" >"$T/base"
	score --adapter "$F/a" "$S" >"$T/o"
	differ "$T/base" "$T/o"
	ft-logprob -q -m "$F/a" --threads 1 "$S" | cmp - "$T/o"
	cp -r "$F/a" "$T/a"
	sed -i 's|"base_model_name_or_path": .*|"base_model_name_or_path": "/nowhere",|' "$T/a/adapter_config.json"
	run --separate-stderr -4 ft-logprob -q -m "$T/a" "$S"
	says "give --base"
	ft-logprob -q -m "$T/a" --base "$M" --threads 1 "$S" | cmp - "$T/o"
	# trained on these rows, it finds them more probable
	awk -v a="$(field sum_logps "$T/base" | awk '{ s += $1 } END { print s }')" \
		-v b="$(field sum_logps "$T/o" | awk '{ s += $1 } END { print s }')" 'BEGIN { exit !(b > a) }'
}

@test "--rows: appended to the rows that the stream was made from" {
	score --rows "$F/sft.jsonl" "$S" -o "$T/o"
	score "$S" -o "$T/p"
	[ "$(wc -l <"$T/o")" -eq 20 ]
	cmp <(sed -E 's/,"row":.*//' "$T/o") <(sed 's/}$//' "$F/sft.jsonl")
	cmp <(sed -E 's/.*,"row":/{"row":/' "$T/o") "$T/p"
	# rows that were dropped on the way are left out
	ft-tokenize -q -m "$M" --max-length 40 --on-long drop "$F/sft.jsonl" -o "$T/s"
	local kept
	kept=$(ft-show --json "$T/s" | field rows -)
	[ "$kept" -lt 20 ]
	[ "$kept" -gt 0 ]
	score --rows "$F/sft.jsonl" "$T/s" -o "$T/q"
	[ "$(field id "$T/q")" = "$(field row "$T/q")" ]
	[ "$(wc -l <"$T/q")" -eq "$kept" ]
	head -n 10 "$F/sft.jsonl" >"$T/few"
	run --separate-stderr -3 score --rows "$T/few" "$S" -o "$T/r"
	says "no row 10"
	[ ! -e "$T/r" ]
	# --map is for those rows
	score --rows "$F/sft.jsonl" --map '{id}' "$S" -o "$T/m"
	[[ $(head -n 1 "$T/m") == '{"id":0,"row":0,"logps":['* ]]
	# rows that have such fields have them replaced, in place
	score --rows "$T/o" "$S" | cmp - "$T/o"
}

@test "--columns: the same stream with a column, that says whose it is" {
	local p=$F/pair.ft
	score --columns "$p" -o "$T/c"
	run -0 ft-show "$T/c"
	[[ $output == *"column       ref_logps, by segment, 24 numbers"* ]]
	[[ $output == *"reference    "* ]]
	[ "$(ft-show --ledger "$T/c")" = "$(ft-show --ledger "$p")" ]
	cmp <(ft-show --rows 0: "$T/c" | grep -v ref_logps) <(ft-show --rows 0: "$p")
	score "$p" -o "$T/lp"
	ft-show --rows 0: "$T/c" | sed -nE 's/.*ref_logps ([-0-9.e]+)$/\1/p' >"$T/a"
	paste -d '\n' <(field chosen_sum_logps "$T/lp") <(field rejected_sum_logps "$T/lp") >"$T/b"
	near_all "$T/a" "$T/b" 1e-5
	# again, by another model: replaced
	score --adapter "$F/a" --columns "$T/c" -o "$T/d"
	run -1 ft-show --diff "$T/c" "$T/d"
	score --columns "$T/d" -o "$T/e"
	run -0 ft-show --diff "$T/c" "$T/e"
	score --columns -z "$p" -o "$T/z"
	run -0 ft-show --diff "$T/c" "$T/z"
}

@test "streams of another tokenizer or vocabulary are status 3" {
	cp -r "$M" "$T/other"
	echo >>"$T/other/tokenizer.json"
	run --separate-stderr -3 ft-logprob -m "$T/other" "$S"
	says "another tokenizer"
	mkdir "$T/big"
	sed -E 's/"vocab_size": [0-9]+/"vocab_size": 4000/' "$M/config.json" >"$T/big/config.json"
	echo '{"prompt_ids":[0,7],"completion_ids":[3999,1]}' |
		ft-tokenize -q -m "$T/big" -o "$T/ids"
	run --separate-stderr -3 ft-logprob -m "$M" "$T/ids"
	says "token id 3999"
	# without a tokenizer there are no bytes to count
	cp "$M/model.safetensors" "$M/config.json" "$T/big"
	ft-logprob -q -m "$T/big" "$S" -o "$T/o"
	[[ $(head -n 1 "$T/o") != *bytes* ]]
}

@test "weights in 4 bits: near the model's, the same for any number of threads" {
	local n
	score "$S" -o "$T/float"
	for n in 1 2 4; do
		score --load-in-4bit --threads "$n" "$S" -o "$T/$n"
		cmp "$T/$n" "$T/1"
	done
	run ! cmp -s "$T/1" "$T/float"
	jq -se '[.[0:length/2], .[length/2:]] | transpose
		| map((.[0].sum_logps - .[1].sum_logps | fabs) / .[1].tokens)
		| max < 1' "$T/1" "$T/float"
}

@test "a checkpoint of bitsandbytes is what its floats become" {
	local g=$ROOT/tests/data/golden/nf4
	printf '{"prompt_ids":[3,4],"completion_ids":[%s]}\n' 5,6,7 8,9,50,2 >"$T/rows"
	ft-tokenize -q -m "$g" "$T/rows" -o "$T/s"
	ft-logprob -q -m "$g" --load-in-4bit "$T/s" -o "$T/made"
	ft-logprob -q -m "$g/nested" "$T/s" -o "$T/read"
	cmp "$T/made" "$T/read"
	ft-logprob -q -m "$g/nested" --load-in-4bit "$T/s" -o "$T/both"
	cmp "$T/made" "$T/both"
	run --separate-stderr -2 ft-sft -m "$g/nested" --full -o "$T/o" "$T/s"
	says "cannot be trained"
}
