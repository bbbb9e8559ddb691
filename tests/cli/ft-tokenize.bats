#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

load ../lib/common

M=$ROOT/tests/data/tok/small

setup() {
	printf '%s\n' '{"text":"The cat sat."}' '{"text":"on the mat"}' \
		>"$T/text"
	printf '%s\n' '{"prompt":"The cat","completion":" sat.","x":1}' \
		'{"id":"b","prompt":"The mat","completion":" was</s>"}' >"$T/completion"
	printf '%s\n' '{"prompt":"The cat","chosen":" sat","rejected":" was"}' >"$T/pair"
	printf '%s\n' '{"prompt":"The cat"}' >"$T/prompt"
}

# meta STREAM KEY: a value of the first or last document's metadata.
meta() {
	grep -aoE "\"$2\":\"[^\"\\\\]*" "$1" | tail -n 1 | cut -d'"' -f4
}

# ids STREAM FIELD: an array as --ids shows it.
field() {
	grep -oE "\"$2\":\[[0-9,]*\]" <<<"$1" | head -n 1 | cut -d: -f2
}

@test "--help and --version" {
	std_help ft-tokenize
}

@test "an unknown option is status 2" {
	std_bad_option ft-tokenize
}

@test "torn input is status 3, of rows and in the middle of one" {
	std_torn "$T/text" ft-tokenize -m "$M"
	std_torn "$T/text" ft-tokenize -m "$M" --ids
}

@test "an early reader: SIGPIPE" {
	std_early_reader "$T/text" ft-tokenize -q -m "$M"
	std_early_reader "$T/text" ft-tokenize -q -m "$M" --ids
}

@test "a full disk is status 4" {
	std_full_disk "$T/text" ft-tokenize -q -m "$M"
	std_full_disk "$T/text" ft-tokenize -q -m "$M" --ids
}

@test "empty input: a stream without rows, or none" {
	std_empty 0 ft-tokenize -q -m "$M" -o "$T/s"
	[ "$(meta "$T/s" ft.rows)" = 0 ]
	[ "$(meta "$T/s" ft.kind)" = text ]
	std_empty 0 ft-tokenize -q -m "$M" --kind pair -o "$T/s"
	[ "$(meta "$T/s" ft.kind)" = pair ]
	std_empty 0 ft-tokenize -q -m "$M" --ids
	[ -z "$output" ]
}

@test "no model, and one that is not there" {
	run --separate-stderr -2 ft-tokenize "$T/text"
	says "no model"
	run --separate-stderr -4 ft-tokenize -m "$T/none" "$T/text"
	says "cannot open"
}

@test "--ids equals what the tokenizers package makes of the same texts" {
	for name in small spm metaspace; do
		local f=$ROOT/tests/data/tok/$name/expect.jsonl
		ft-tokenize -q -m "$ROOT/tests/data/tok/$name" --kind text --ids \
			--no-special-tokens "$f" >"$T/out"
		[ "$(wc -l <"$T/out")" -eq 160 ]
		sed -E 's/.*, "ids": (\[[0-9, ]*\]), "offsets".*/\1/; s/ //g' "$f" >"$T/want"
		sed -E 's/.*,"input_ids":(\[[0-9,]*\])\}$/\1/' "$T/out" >"$T/got"
		cmp "$T/want" "$T/got"
		ft-tokenize -q -m "$ROOT/tests/data/tok/$name" --kind text --ids \
			--no-append-eos "$f" >"$T/out"
		sed -E 's/.*, "special": (\[[0-9, ]*\]), "no_added".*/\1/; s/ //g' "$f" >"$T/want"
		sed -E 's/.*,"input_ids":(\[[0-9,]*\])\}$/\1/' "$T/out" >"$T/got"
		cmp "$T/want" "$T/got"
	done
}

@test "--ids leaves what is there byte for byte and appends" {
	echo '{ "a" : 1e0,"text":"x", "é":"\u0041" }' >"$T/in"
	run -0 --separate-stderr ft-tokenize -q -m "$M" --ids --no-special-tokens "$T/in"
	[[ $output == '{ "a" : 1e0,"text":"x", "é":"\u0041","input_ids":['*'] }' ]]
}

@test "EOS is appended where it is not there, and only once" {
	run -0 --separate-stderr ft-tokenize -q -m "$M" --ids "$T/completion"
	[[ ${lines[0]} == *',1]}' ]]
	[[ ${lines[1]} == *',1]}' && ${lines[1]} != *',1,1]}' ]]
	run -0 --separate-stderr ft-tokenize -q -m "$M" --ids --no-append-eos "$T/completion"
	[[ ${lines[0]} != *',1]}' && ${lines[1]} == *',1]}' ]]
}

@test "BOS stands at the start once; the prompt's ids begin the whole" {
	run -0 --separate-stderr ft-tokenize -q -m "$M" --ids "$T/completion"
	all=$(field "${lines[0]}" input_ids)
	prompt=$(field "${lines[0]}" prompt_ids)
	rest=$(field "${lines[0]}" completion_ids)
	[[ $all == '[0,'* && $prompt == '[0,'* && $rest != *'[0,'* ]]
	[ "$all" = "${prompt%]},${rest#[}" ]
}

@test "a boundary inside a token: the common start is the prefix, and counted" {
	spm=$ROOT/tests/data/tok/spm
	run -0 --separate-stderr ft-tokenize -q -m "$spm" --ids --ledger "$T/l" "$T/completion"
	grep -q '"boundary_moved":2' "$T/l"
	joint=$(field "${lines[0]}" input_ids)
	prompt=$(field "${lines[0]}" prompt_ids)
	echo '{"prompt":"The cat"}' >"$T/in"
	run -0 --separate-stderr ft-tokenize -q -m "$spm" --ids "$T/in"
	[ "$prompt" != "$(field "$output" input_ids)" ]
	[[ $(field "$output" input_ids) == "${prompt%]},"* ]]
	echo '{"text":"The cat sat."}' >"$T/in"
	run -0 --separate-stderr ft-tokenize -q -m "$spm" --ids "$T/in"
	[ "$joint" = "$(field "$output" input_ids)" ]
}

@test "a pair: one prefix, two branches, EOS behind both" {
	ft-tokenize -q -m "$M" "$T/pair" -o "$T/s"
	[ "$(meta "$T/s" ft.kind)" = pair ]
	[ "$(meta "$T/s" ft.rows)" = 1 ]
	run -0 --separate-stderr ft-tokenize -q -m "$M" --ids "$T/pair"
	[[ $(field "$output" chosen_ids) == *',1]' ]]
	[[ $(field "$output" rejected_ids) == *',1]' ]]
}

@test "kinds: text, completion, pair, prompt in the stream's head" {
	for kind in text completion pair prompt; do
		ft-tokenize -q -m "$M" "$T/$kind" -o "$T/s"
		[ "$(meta "$T/s" ft.kind)" = "$kind" ]
	done
}

@test "one kind per stream: another one names its line" {
	run --separate-stderr -3 ft-tokenize -q -m "$M" -o "$T/s" "$T/text" "$T/pair"
	says "$T/pair:1: row of kind 'pair' in a stream of kind 'text'"
	[ ! -e "$T/s" ]
}

@test "--kind forces one" {
	run -0 --separate-stderr ft-tokenize -q -m "$M" --ids --kind prompt "$T/pair"
	[[ $output == *'"input_ids":[0,'* && $output != *chosen_ids* ]]
	run --separate-stderr -3 ft-tokenize -q -m "$M" --kind text "$T/pair"
	[[ $stderr == *"$T/pair:1: no field 'text'" ]]
}

@test "messages want --chat" {
	echo '{"messages":[{"role":"user","content":"x"}]}' >"$T/in"
	run --separate-stderr -3 ft-tokenize -m "$M" -o "$T/s" "$T/in"
	says "$T/in:1: rows of messages want --chat"
	run --separate-stderr -2 ft-tokenize -m "$M" --kind chat "$T/in"
	says "rows of messages want --chat"
}

@test "rows that are nothing, or no strings, name their line" {
	printf '{"text":"x"}\n{"y":1}\n' >"$T/in"
	run --separate-stderr -3 ft-tokenize -q -m "$M" -o "$T/s" "$T/in"
	says "$T/in:2: no field to encode"
	printf '{"text":"x"}\n{"text":7}\n' >"$T/in"
	run --separate-stderr -3 ft-tokenize -q -m "$M" -o "$T/s" "$T/in"
	says "$T/in:2: field 'text' is not a string"
}

@test "--on-long error counts every row before it fails" {
	printf '{"text":"%s"}\n' a 'b b b b b b b b' c 'd d d d d d d d d d' >"$T/in"
	run --separate-stderr -3 ft-tokenize -m "$M" --max-length 9 -o "$T/s" "$T/in"
	says "2 of 4 rows are longer than --max-length 9 (the longest is 12, the first at $T/in:2)"
	[[ $stderr == *"--on-long drop"* ]]
	[ ! -e "$T/s" ]
}

@test "--on-long drop, truncate and split, and their ledgers" {
	printf '{"text":"%s"}\n' a 'b b b b b b b b' c 'd d d d d d d d d d' >"$T/in"
	ft-tokenize -q -m "$M" --max-length 9 --on-long drop --ledger "$T/l" -o "$T/s" "$T/in"
	grep -q '"rows_in":4,"rows_kept":2,' "$T/l"
	grep -q '"rows_dropped":{"too_long":2,' "$T/l"
	[ "$(meta "$T/s" ft.rows)" = 2 ]
	ft-tokenize -q -m "$M" --max-length 9 --on-long truncate --ledger "$T/l" -o "$T/s" "$T/in"
	grep -q '"rows_kept":4,"rows_cut":2,' "$T/l"
	[ "$(meta "$T/s" ft.rows)" = 4 ]
	ft-tokenize -q -m "$M" --max-length 6 --on-long split --ledger "$T/l" -o "$T/s" "$T/in"
	grep -q '"rows_split":2,' "$T/l"
	kept=$(grep -oE '"rows_written":[0-9]+' "$T/l" | cut -d: -f2)
	[ "$(meta "$T/s" ft.rows)" = "$kept" ]
	[ "$kept" -gt 4 ]
}

@test "a cut row loses its EOS, and no supervised token is lost uncounted" {
	printf '{"text":"%s"}\n' 'b b b b b b b b' >"$T/in"
	run -0 --separate-stderr ft-tokenize -q -m "$M" --ids --max-length 5 --on-long truncate \
		--ledger "$T/l" "$T/in"
	[[ $(field "$output" input_ids) != *',1]' ]]
	n() { grep -oE "\"$1\":[0-9]+" "$T/l" | cut -d: -f2; }
	[ "$(n supervised_in)" -eq $(($(n supervised_kept) + $(n supervised_cut))) ]
	[ "$(n supervised_kept)" -eq 4 ]
	[ "$(n eos_appended)" -eq 0 ]
}

@test "a prompt that leaves no room is dropped and counted" {
	printf '{"prompt":"b b b b b b b b","completion":"c"}\n' >"$T/in"
	ft-tokenize -q -m "$M" --max-length 5 --on-long truncate --ledger "$T/l" -o "$T/s" "$T/in"
	grep -q '"prompt_too_long":1' "$T/l"
	[ "$(meta "$T/s" ft.rows)" = 0 ]
}

@test "--on-long split is for text only" {
	run --separate-stderr -2 ft-tokenize -m "$M" --kind pair --on-long split "$T/pair"
	says "for text rows"
	run --separate-stderr -3 ft-tokenize -q -m "$M" --on-long split -o "$T/s" "$T/pair"
	says "$T/pair:1: --on-long split"
}

@test "an empty completion trains on EOS; with nothing to learn a row is dropped" {
	printf '{"prompt":"a","completion":""}\n' >"$T/in"
	ft-tokenize -q -m "$M" --ledger "$T/l" -o "$T/s" "$T/in"
	grep -q '"rows_kept":1,' "$T/l"
	ft-tokenize -q -m "$M" --no-append-eos --ledger "$T/l" -o "$T/s" "$T/in"
	grep -q '"empty":1' "$T/l"
	[ "$(meta "$T/s" ft.rows)" = 0 ]
}

@test "rows of ids need no tokenizer.json" {
	mkdir "$T/m"
	echo '{"vocab_size":10}' >"$T/m/config.json"
	echo '{"prompt_ids":[1,2],"completion_ids":[3,4,5]}' >"$T/in"
	ft-tokenize -q -m "$T/m" -o "$T/s" "$T/in"
	[ "$(meta "$T/s" ft.kind)" = completion ]
	[ "$(meta "$T/s" ft.supervised_tokens)" = 3 ]
	[ "$(meta "$T/s" ft.vocab_size)" = 10 ]
	[ "$(meta "$T/s" ft.tokenizer)" = "" ]
	echo '{"prompt_ids":[1,2],"completion_ids":[10]}' >"$T/in"
	run --separate-stderr -3 ft-tokenize -q -m "$T/m" -o "$T/s2" "$T/in"
	says "$T/in:1: field 'completion_ids' has an id that is not in [0, 10)"
	echo '{"prompt":"x","chosen_ids":[1],"rejected_ids":[2]}' >"$T/in"
	run --separate-stderr -3 ft-tokenize -q -m "$T/m" --kind pair -o "$T/s2" "$T/in"
	says "$T/in:1: no field 'prompt_ids'"
	run --separate-stderr -3 ft-tokenize -q -m "$T/m" -o "$T/s2" "$T/text"
	says "no tokenizer.json"
}

@test "--decode gives the text back" {
	ft-tokenize -q -m "$M" --ids "$T/completion" |
		sed -E 's/,"completion":"[^"]*"//' >"$T/ids"
	run -0 --separate-stderr ft-tokenize -q -m "$M" --decode "$T/ids"
	[[ ${lines[0]} == *'"completion":" sat.</s>"'* ]]
	run -0 --separate-stderr ft-tokenize -q -m "$M" --decode --no-special-tokens "$T/ids"
	[[ ${lines[0]} == *'"completion":" sat."'* ]]
	[[ ${lines[0]} == *'"text":"The cat sat."'* ]]
	echo '{"completion_ids":[99999]}' >"$T/in"
	run --separate-stderr -3 ft-tokenize -q -m "$M" --decode "$T/in"
	says "$T/in:1: field 'completion_ids' has an id"
}

@test "a completion decodes behind its prompt, space and all" {
	spm=$ROOT/tests/data/tok/spm
	echo '{"prompt":"The cat#","completion":" sat."}' >"$T/in"
	ft-tokenize -q -m "$spm" --ids "$T/in" >"$T/ids"
	run -0 --separate-stderr ft-tokenize -q -m "$spm" --decode --no-special-tokens "$T/ids"
	[[ ${lines[0]} == *'"completion":" sat."'* ]]
}

@test "--map reshapes rows first" {
	echo '{"q":"The cat","a":" sat"}' >"$T/in"
	ft-tokenize -q -m "$M" --map '{prompt: .q, completion: .a}' -o "$T/s" "$T/in"
	[ "$(meta "$T/s" ft.kind)" = completion ]
}

@test "the same bytes again, from stdin too, and -z is the same stream" {
	ft-tokenize -q -m "$M" -o "$T/a" "$T/text"
	ft-tokenize -q -m "$M" <"$T/text" >"$T/b"
	cmp "$T/a" "$T/b"
	need_command zstd
	ft-tokenize -q -m "$M" -z -o "$T/c" "$T/text"
	zstd -q -dc "$T/c" | cmp - "$T/a"
	zstd -q "$T/text" -o "$T/text.zst"
	ft-tokenize -q -m "$M" "$T/text.zst" | cmp - "$T/a"
}

@test "a summary on stderr unless -q; the ledger is in the stream too" {
	run --separate-stderr -0 ft-tokenize -m "$M" -o "$T/s" --ledger "$T/l" "$T/text"
	says "2 rows: 2 kept"
	run --separate-stderr -0 ft-tokenize -q -m "$M" -o "$T/s" "$T/text"
	[ -z "$stderr" ]
	grep -aq 'rows_in' "$T/s"
}

@test "an adapter's tokenizer is its base's" {
	mkdir "$T/adapter"
	ln -s "$M" "$T/only-here"
	echo '{"base_model_name_or_path":"../only-here"}' >"$T/adapter/adapter_config.json"
	ft-tokenize -q -m "$M" -o "$T/a" "$T/text"
	ft-tokenize -q -m "$T/adapter" -o "$T/b" "$T/text"
	cmp "$T/a" "$T/b"
	ft-tokenize -q -m "$T/adapter" --base "$ROOT/tests/data/tok/spm" -o "$T/b" "$T/text"
	! cmp -s "$T/a" "$T/b"
}

@test "what a tokenizer has that is not known is refused by name" {
	mkdir "$T/m"
	sed 's/"type": "ByteLevel", "add_prefix_space": false/"type": "UnicodeScripts", "x": false/' \
		"$M/tokenizer.json" >"$T/m/tokenizer.json"
	run --separate-stderr -3 ft-tokenize -m "$T/m" "$T/text"
	says "tokenizer.json: pre_tokenizer 'UnicodeScripts' is not supported"
}

@test "options that exclude each other are status 2" {
	run --separate-stderr -2 ft-tokenize -m "$M" --ids --decode "$T/text"
	says "exclude each other"
	run --separate-stderr -2 ft-tokenize -m "$M" --decode --max-length 5 "$T/text"
	says "--decode takes no"
	run --separate-stderr -2 ft-tokenize -m "$M" --ids --on-long split "$T/text"
	says "for streams"
}

@test "--added-tokens says which of them text can form" {
	local mark
	echo '{"text":"a [x]<s>"}' >"$T/marks"
	for mark in all plain none; do
		ids=$(ft-tokenize -q -m "$M" --ids --no-special-tokens \
			--added-tokens $mark "$T/marks")
		field "$ids" input_ids >>"$T/modes"
	done
	[ "$(sort -u "$T/modes" | wc -l)" -eq 3 ]
	[ "$(head -n 1 "$T/modes")" = "[66,391,0]" ]
	[[ $(sed -n 2p "$T/modes") == "[66,391,"* ]]
	[[ $(sed -n 3p "$T/modes") != *391* ]]
}

@test "a tokenizer that normalizes and splits by an expression" {
	echo '{"text":"Muu\u0308 IT'"'"'S 12"}' >"$T/nfc"
	ids=$(ft-tokenize -q -m "$ROOT/tests/data/tok/qwen" --ids "$T/nfc")
	ft-tokenize -q -m "$ROOT/tests/data/tok/qwen" --decode \
		--no-special-tokens <<<"$ids" >"$T/back"
	grep -qF '"text":"Muü IT'"'"'S 12"' "$T/back"
}

@test "an expression that is not known is refused by name" {
	mkdir "$T/odd"
	sed 's/(?i:/(?<=x/' "$ROOT/tests/data/tok/qwen/tokenizer.json" \
		>"$T/odd/tokenizer.json"
	run -3 ft-tokenize -m "$T/odd" --ids "$T/text"
	[[ $output == *"'(?<' is not supported"* ]]
}
