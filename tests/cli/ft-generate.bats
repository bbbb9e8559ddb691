#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

load ../lib/common
load ../lib/tiny

setup_file() {
	tiny_streams
	tiny_rows 5 >"$F/rows"
	cat >"$F/prompts" <<-'EOT'
		{"prompt":"Add"}
		{"prompt":"Write a widget that shows the title in the center of the screen, and a button."}
		{"prompt":"c"}
		{"prompt":"class Counter extends"}
		{"prompt":"final int"}
		{"prompt":"Text("}
		{"prompt":"the state of the counter"}
		{"prompt":"super.key"}
		{"prompt":"{"}
	EOT
	# one that knows five answers by heart
	head -n 5 "$F/sft.jsonl" | ft-tokenize -q -m "$M" -o "$F/five.ft"
	ft-sft -q -m "$M" -o "$F/a" --threads 1 --overfit-one-batch --max-steps 150 \
		--learning-rate 2e-2 --save-steps 0 "$F/five.ft"
}

setup() {
	P=$F/prompts
}

gen() {
	ft-generate -q -m "$M" --threads 1 --max-new-tokens 12 "$@"
}

# --- the six cases ------------------------------------------------------------

@test "help and version" {
	std_help ft-generate
}

@test "bad command lines are status 2" {
	std_bad_option ft-generate
	no() {
		local what=$1
		shift
		run --separate-stderr -2 ft-generate "$@"
		says "$what"
	}
	no "no model" "$P"
	no "--prompt or rows" -m "$M" --prompt x "$P"
	no "num-samples" -m "$M" -n 0 "$P"
	no "temperature" -m "$M" --temperature -1 "$P"
	no "temperature" -m "$M" --temperature nan "$P"
	no "top-p" -m "$M" --top-p 0 "$P"
	no "top-p" -m "$M" --top-p 1.5 "$P"
	no "min-p" -m "$M" --min-p 1.5 "$P"
	no "min-p" -m "$M" --min-p -0.1 "$P"
	no "repetition-penalty" -m "$M" --repetition-penalty 0 "$P"
	no "max-new-tokens" -m "$M" --max-new-tokens 0 "$P"
	no "--base" -m "$M" --base "$M" "$P"
	mkdir "$T/bare"
	cp "$M/config.json" "$M/model.safetensors" "$T/bare"
	no "--stop" -m "$T/bare" --stop x "$P"
}

@test "a torn line is status 3, and no file is made" {
	std_torn "$P" ft-generate -m "$M" --max-new-tokens 1 -o "$T/o"
	[ ! -e "$T/o" ]
}

@test "a reader that stops early ends it by SIGPIPE, in silence" {
	local i
	for i in {1..300}; do cat "$P"; done >"$T/many"
	# shellcheck disable=SC2016
	run --separate-stderr bash -c '
		trap "" PIPE
		ft-generate -m "$1" --threads 1 --max-new-tokens 2 "$2" | head -c 1 >/dev/null
		echo "${PIPESTATUS[0]}"' - "$M" "$T/many"
	[ "$output" = 141 ]
	[ -z "$stderr" ]
}

@test "a full disk is status 4" {
	std_full_disk "$P" ft-generate -q -m "$M" --max-new-tokens 1
}

@test "empty input is empty output" {
	std_empty 0 ft-generate -m "$M"
	[ -z "$output" ]
	gen -o "$T/o" </dev/null
	[ -e "$T/o" ]
	[ ! -s "$T/o" ]
}

# --- rows -----------------------------------------------------------------------

@test "fields pass as they are; a former completion becomes the reference" {
	printf '%s\n' '{ "id" : 7e0, "prompt":"Add", "x":[1,  2], "completion":"c\u0065" }' \
		'{"prompt":"Text(","reference":"r","completion":"c","sample":9}' >"$T/rows"
	gen --max-new-tokens 2 --temperature 0 "$T/rows" >"$T/o"
	[ "$(wc -l <"$T/o")" -eq 2 ]
	[[ $(head -n 1 "$T/o") == '{ "id" : 7e0, "prompt":"Add", "x":[1,  2],"reference":"c\u0065","sample":0,"completion":"'*'","finish_reason":"length"'*'}' ]] ||
		fail_with "$(head -n 1 "$T/o")"
	[ "$(grep -o '"reference"' "$T/o" | wc -l)" -eq 2 ]
	[ "$(grep -o '"sample":0' "$T/o" | wc -l)" -eq 2 ]
	# what is made is rows again
	gen --max-new-tokens 2 --temperature 0 "$T/o" >"$T/p"
	[ "$(field completion "$T/o")" = "$(field completion "$T/p")" ]
	[ "$(field reference "$T/p")" = "$(field completion "$T/o")" ]
}

@test "rows come in order, samples of a prompt one after another" {
	sed 's/{/{"at":/; s/"prompt"/0,"prompt"/' "$P" | awk '{ sub("\"at\":0", "\"at\":" NR); print }' >"$T/rows"
	gen -n 3 --batch-size 4 "$T/rows" >"$T/o"
	[ "$(field at "$T/o" | tr '\n' ' ')" = "$(for i in {1..9}; do printf '%s %s %s ' "$i" "$i" "$i"; done)" ]
	[ "$(field sample "$T/o" | tr '\n' ' ')" = "$(for i in {1..9}; do printf '0 1 2 '; done)" ]
}

@test "-p: one prompt; --map, -z, -o, several files" {
	run -0 gen --temperature 0 -p Add
	[[ $output == '{"prompt":"Add","sample":0,"completion":'* ]]
	[ "$output" = "$(head -n 1 "$P" | gen --temperature 0)" ]
	echo '{"q":"Add"}' | gen --temperature 0 --map '{prompt:.q}' >"$T/o"
	[ "$output" = "$(cat "$T/o")" ]
	gen --temperature 0 -z "$P" "$P" -o "$T/z"
	[ "$(od -An -tx1 -N 4 "$T/z")" = " 28 b5 2f fd" ]
	run -0 ft-show "$T/z"
	[[ $output == *"rows         18"* ]]
}

@test "prompts that cannot be: status 3 with the line" {
	bad() {
		run --separate-stderr -3 gen <<<"$1"
		says ":1: "
	}
	bad '{"text":"a"}'
	bad '{"prompt":7}'
	bad '{"prompt_ids":"a"}'
	bad '{"prompt_ids":[1,99999]}'
	bad '{"prompt_ids":[-1]}'
	bad '{"prompt_ids":[]}'
	run --separate-stderr -3 gen --no-special-tokens <<<'{"prompt":""}'
	says "no tokens"
	run --separate-stderr -3 gen --max-prompt-length 5 "$P"
	says "--max-prompt-length"
	gen --max-prompt-length 500 --max-new-tokens 1 "$P" >"$T/o"
	mkdir "$T/bare"
	cp "$M/config.json" "$M/model.safetensors" "$T/bare"
	run --separate-stderr -3 ft-generate -m "$T/bare" "$P"
	says "no tokenizer.json"
	run --separate-stderr -0 ft-generate -q -m "$T/bare" --completion-ids --max-new-tokens 3 --temperature 0 <<<'{"prompt_ids":[0,35]}'
	[ "$(field sample - <<<"$output")" = 0 ]
}

@test "a slow writer: rows come as a batch is full, and are the same bytes" {
	mkfifo "$T/in"
	gen -n 2 --batch-size 4 "$P" >"$T/want"
	gen -n 2 --batch-size 4 <"$T/in" >"$T/o" &
	exec 7>"$T/in"
	head -n 4 "$P" >&7
	local i
	for ((i = 0; i < 200; i++)); do
		[ "$(wc -l <"$T/o")" -lt 2 ] || break
		sleep 0.1
	done
	[ "$(wc -l <"$T/o")" -ge 2 ]
	tail -n +5 "$P" >&7
	exec 7>&-
	wait $!
	cmp "$T/want" "$T/o"
}

# --- sampling ---------------------------------------------------------------------

@test "greedy: the same text for any batch and any number of threads" {
	gen --temperature 0 --completion-ids --batch-size 1 "$P" >"$T/1"
	local b
	for b in 2 8 64; do
		gen --temperature 0 --completion-ids --batch-size $b "$P" >"$T/o"
		cmp "$T/1" "$T/o"
	done
	ft-generate -q -m "$M" --threads 4 --max-new-tokens 12 --temperature 0 --completion-ids --logps "$P" >"$T/t4"
	gen --temperature 0 --completion-ids --logps "$P" >"$T/t1"
	cmp "$T/t1" "$T/t4"
	# alone or with others
	sed -n 4p "$P" | gen --temperature 0 --completion-ids >"$T/alone"
	cmp "$T/alone" <(sed -n 4p "$T/1")
}

@test "top-k 1, a tiny top-p, hardly any temperature: greedy" {
	gen --temperature 0 "$P" >"$T/0"
	gen --temperature 1.5 --top-k 1 "$P" >"$T/o"
	cmp "$T/0" "$T/o"
	gen --top-p 1e-9 "$P" >"$T/o"
	cmp "$T/0" "$T/o"
	gen --temperature 1e-4 "$P" >"$T/o"
	cmp "$T/0" "$T/o"
}

@test "a seed gives the same rows again, another seed others; samples differ" {
	gen -n 4 "$P" >"$T/a"
	gen -n 4 --seed 42 "$P" >"$T/b"
	cmp "$T/a" "$T/b"
	ft-generate -q -m "$M" --threads 4 --max-new-tokens 12 -n 4 "$P" >"$T/b"
	cmp "$T/a" "$T/b"
	gen -n 4 --seed 43 "$P" >"$T/c"
	differ "$T/a" "$T/c"
	[ "$(head -n 4 "$T/a" | field completion - | sort -u | wc -l)" -eq 4 ]
	# the first samples do not depend on how many there are
	gen -n 2 "$P" >"$T/d"
	cmp <(grep '"sample":[01],' "$T/a") "$T/d"
	# nor do equal prompts draw alike
	gen <<<$'{"prompt":"Add"}\n{"prompt":"Add"}' >"$T/e"
	[ "$(field completion "$T/e" | sort -u | wc -l)" -eq 2 ]
}

@test "top-k and top-p leave the most probable, temperature flattens" {
	ids() {
		ft-generate -q -m "$M" -n 200 --max-new-tokens 1 --completion-ids -p "Text(" "$@" |
			field completion_ids - | sort | uniq -c | sort -rn
	}
	[ "$(ids --top-k 3 --temperature 3 | wc -l)" -eq 3 ]
	[ "$(ids --temperature 3 | wc -l)" -gt 20 ]
	[ "$(ids --temperature 3 | wc -l)" -gt "$(ids --temperature 0.5 | wc -l)" ]
	[ "$(ids --temperature 3 --top-p 0.2 | wc -l)" -lt "$(ids --temperature 3 | wc -l)" ]
	# the kept ones are the most probable: all are among the first by log-probability
	ft-generate -q -m "$M" -n 200 --max-new-tokens 1 --completion-ids --logps -p "Text(" --temperature 3 |
		paste <(field sum_logps -) | sort -u | sort -rg >"$T/all"
	ft-generate -q -m "$M" -n 200 --max-new-tokens 1 --logps -p "Text(" --temperature 3 --top-k 3 |
		field sum_logps - | sort -u | sort -rg >"$T/three"
	cmp <(head -n 3 "$T/all") "$T/three"
}

@test "min-p leaves what is probable enough; a repetition penalty what is new" {
	ids() {
		ft-generate -q -m "$M" -n 100 --max-new-tokens 1 --completion-ids -p "Text(" --temperature 3 "$@" |
			field completion_ids - | sort -u | wc -l
	}
	[ "$(ids)" -gt "$(ids --min-p 0.3)" ]
	[ "$(ids --min-p 1)" -eq 1 ]
	# greedy: no token twice where it costs that much
	twice() {
		sed -E 's/.*"completion_ids":\[([^]]*)\].*/\1/' "$1" | while IFS= read -r l; do
			tr ',' '\n' <<<"$l" | sort | uniq -d
		done | wc -l
	}
	gen --temperature 0 --max-new-tokens 40 --completion-ids --logps "$P" >"$T/plain"
	gen --temperature 0 --max-new-tokens 40 --completion-ids --logps --repetition-penalty 50 "$P" >"$T/new"
	[ "$(twice "$T/plain")" -gt 0 ]
	[ "$(twice "$T/new")" -eq 0 ]
	# for any batch and any number of threads, greedy or drawn
	local n how
	for how in "--temperature 0" "--temperature 0.9 --min-p 0.02 -n 3"; do
		# shellcheck disable=SC2086
		for n in "1 1" "4 3" "2 64"; do
			ft-generate -q -m "$M" --max-new-tokens 12 --repetition-penalty 1.3 $how \
				--threads "${n% *}" --batch-size "${n#* }" "$P" >"$T/$n"
			cmp "$T/1 1" "$T/$n"
		done
	done
	# hardly any temperature: greedy
	gen --dtype float32 --temperature 1e-9 --repetition-penalty 1.5 --logps -p "Text(" >"$T/b"
	gen --dtype float32 --temperature 0 --repetition-penalty 1.5 --logps -p "Text(" >"$T/c"
	cmp "$T/b" "$T/c"
}

@test "stop strings: cut before the first, wherever tokens end" {
	stops() {
		local text=$1 reason=$2
		shift 2
		run -0 ft-generate -q -m "$F/a" --temperature 0 "$@" < <(sed -n 2p "$F/sft.jsonl")
		[[ $output == *"\"completion\":\"$text\",\"finish_reason\":\"$reason\"}" ]] || fail_with "$output"
	}
	# what it learnt: Text('value: 7')  ;
	stops "Text('value: 7')  ;" stop
	stops "Text('value: 7')  ;" stop --stop "never there"
	stops "Text('va" stop --stop "never there" --stop "lue"
	stops "Text('value" stop --stop " 7" --stop ":"
	stops "" stop --stop "T"
	stops "Text('value: 7')  " stop --stop ";"
	stops "T" stop --stop "ext('value: 7"
	run -0 ft-generate -q -m "$F/a" --temperature 0 --max-new-tokens 2 --stop "never there" < <(sed -n 2p "$F/sft.jsonl")
	[[ $output == *'"finish_reason":"length"}' ]]
}

@test "what was learnt by heart is said, to its end" {
	ft-generate -q -m "$F/a" --temperature 0 --max-new-tokens 60 "$F/rows" >"$T/o"
	[ "$(field finish_reason "$T/o" | sort -u)" = '"stop"' ]
	sed -E 's/.*"completion":"([^"]*)".*/\1/' "$F/rows" >"$T/want"
	sed -E 's/.*"completion":"([^"]*)".*/\1/' "$T/o" >"$T/have"
	diff "$T/want" "$T/have"
	# by --adapter, and from a base that moved
	ft-generate -q -m "$M" --adapter "$F/a" --temperature 0 --max-new-tokens 60 "$F/rows" | cmp - "$T/o"
	cp -r "$F/a" "$T/a"
	sed -i 's|"base_model_name_or_path": .*|"base_model_name_or_path": "/nowhere",|' "$T/a/adapter_config.json"
	run -4 ft-generate -q -m "$T/a" "$F/rows"
	ft-generate -q -m "$T/a" --base "$M" --temperature 0 --max-new-tokens 60 "$F/rows" | cmp - "$T/o"
	# the base alone says something else
	gen --temperature 0 "$F/rows" >"$T/base"
	differ "$T/base" "$T/o"
	# a special token more or less in front is another prompt
	ft-generate -q -m "$M" --no-special-tokens --temperature 0 --max-new-tokens 12 "$F/rows" >"$T/bare"
	differ "$T/base" "$T/bare"
}

@test "--chat: messages through the template, as the text that it makes" {
	echo "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}" >"$T/t"
	local chat=(--chat --chat-template "$T/t" --temperature 0 --max-new-tokens 8)
	echo '{"messages":[{"role":"user","content":"if ("}]}' >"$T/chat"
	echo '{"prompt":"<user>if (<a>"}' >"$T/text"
	ft-generate -q -m "$M" "${chat[@]}" "$T/chat" | ft-rows --raw completion >"$T/a"
	ft-generate -q -m "$M" --no-special-tokens --temperature 0 --max-new-tokens 8 "$T/text" |
		ft-rows --raw completion >"$T/b"
	[ -s "$T/a" ]
	cmp "$T/a" "$T/b"
	ft-generate -q -m "$M" "${chat[@]}" --prompt 'if (' | ft-rows --raw completion | cmp - "$T/a"
	echo '{"prompt":"x"}' >"$T/text"
	run --separate-stderr -3 ft-generate -q -m "$M" "${chat[@]}" "$T/text"
	says "field 'prompt' is not a list of messages"
	run --separate-stderr -3 ft-generate -q -m "$M" --chat "$T/chat"
	says "has no chat template"
}

@test "token ids and log-probabilities: those of ft-logprob, whatever the temperature" {
	local id
	for id in '[0,35,80]' '[0]' '[0,290,291,292,293,40,41,42,43,44,45]' '[0,7]'; do
		printf '{"prompt_ids":%s}\n' "$id"
	done >"$T/ids"
	local t
	for t in "1" "0.3" "1 --repetition-penalty 1.7 --min-p 0.1"; do
		# shellcheck disable=SC2086
		gen -n 3 --dtype float32 --temperature $t --completion-ids --logps "$T/ids" >"$T/o"
		[ "$(wc -l <"$T/o")" -eq 12 ]
		# its tokens scored by the training forward
		sed -E 's/"completion":"([^"\\]|\\.)*",//' "$T/o" |
			ft-tokenize -q -m "$M" --kind completion --no-append-eos -o "$T/s"
		ft-logprob -q -m "$M" --dtype float32 "$T/s" -o "$T/lp"
		list() {
			sed -E 's/.*"logps":\[([^]]*)\].*/\1/' "$1" | tr ',' '\n'
		}
		list "$T/o" >"$T/a"
		list "$T/lp" >"$T/b"
		near_all "$T/a" "$T/b" 1e-4
		field sum_logps "$T/o" >"$T/a"
		field sum_logps "$T/lp" >"$T/b"
		near_all "$T/a" "$T/b" 1e-4
		# as many as there are tokens
		[ "$(head -n 1 "$T/o" | sed -E 's/.*"completion_ids":\[([^]]*)\].*/\1/' | tr ',' '\n' | wc -l)" -le 12 ]
	done
	run -0 gen "$T/ids"
	[[ $output != *logps* ]]
	[[ $output != *completion_ids* ]]
}

@test "weights in 4 bits generate, alike for any number of threads" {
	local n
	for n in 1 2 4; do
		ft-generate -q -m "$M" --load-in-4bit --threads "$n" --temperature 0 \
			--max-new-tokens 12 "$P" -o "$T/$n"
		cmp "$T/$n" "$T/1"
	done
	[ -s "$T/1" ]
}
