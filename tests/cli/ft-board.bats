#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

load ../lib/common

setup() {
	mkdir "$T/sft" "$T/dpo"
	for i in 1 2 3 4 5 6 7 8; do
		echo "{\"step\":$i,\"time\":10$i.5,\"epoch\":0.$i,\"loss\":$((9 - i)),\"num_tokens\":$((i * 100))}"
	done >"$T/sft/train.metrics.jsonl"
	echo '{"step":4,"time":104,"eval_loss":5}
{"step":8,"time":109,"eval_loss":2.25}
{"step":8,"time":109,"train_runtime":7.5}' >>"$T/sft/train.metrics.jsonl"
	echo '{"step":1,"time":1,"loss":0.69,"rewards/margins":0}
{"step":2,"time":2,"loss":0.25,"rewards/margins":null}
{"step":3,"time":3,"loss":0.125,"rewards/margins":1.5}' >"$T/dpo/train.metrics.jsonl"
}

@test "help and version" {
	std_help ft-board
}

@test "bad command lines are status 2" {
	std_bad_option ft-board
	run -2 --separate-stderr ft-board
	says "no run"
	run -2 ft-board --width 10 "$T/sft"
	run -2 ft-board --title x "$T/sft"
	run -2 ft-board --html "$T/p" -o "$T/q" "$T/sft"
	run -2 --separate-stderr ft-board --html "$T/p" --table x "$T/sft"
	says "TITLE=FILE"
	# before a run is opened
	run -2 --separate-stderr ft-board --html "$T/p" --samples x "$T/none"
	says "--samples wants TITLE=FILE"
	[ ! -e "$T/p" ]
}

@test "bad data is status 3, what is not there 4" {
	run -4 ft-board "$T/none"
	mkdir "$T/empty"
	run -3 --separate-stderr ft-board "$T/empty"
	says "metrics.jsonl"
	printf '{"step":1}\n[1]\n' >"$T/bad"
	run -3 --separate-stderr ft-board "$T/bad"
	says "bad:2: "
	printf '{"step":1,}\n' >"$T/bad"
	run -3 --separate-stderr ft-board "$T/bad"
	says "bad:1: "
	printf '{"step":1}\n{"step":1e300,"loss":1}\n' >"$T/bad"
	run -3 --separate-stderr ft-board "$T/bad"
	says "bad:2: field 'step' is out of range"
}

@test "values that differ by rounding alone, or beyond all numbers, have axes" {
	local v
	for v in "1 1.0000000000000002 1" "1e17 100000000000000016 1e17" \
		"-1.7e308 1.7e308 0" "5e-324 0 1e-323" "-1 -1.0000000000000002 -1"; do
		# shellcheck disable=SC2086
		printf '{"step":%s,"loss":%s}\n' 1 ${v%% *} 2 "$(cut -d' ' -f2 <<<"$v")" 3 ${v##* } >"$T/m"
		timeout 20 ft-board --html "$T/page" "$T/m"
		[ "$(stat -c %s "$T/page")" -lt 20000 ]
		run ! grep -E '"[^"]*\b-?(nan|inf)\b' "$T/page"
		timeout 20 ft-board "$T/m" >"$T/o"
	done
}

@test "names of others do not reach the terminal as control characters" {
	printf '{"step":1,"a\\u001b[31m\\u009b2J":1}\n{"step":2,"a\\u001b[31m\\u009b2J":2}\n' >"$T/m"
	run -0 ft-board $'x\eb'="$T/m"
	[[ $output == *"a?[31m?2J"* ]]
	[[ $output == *"x?b"* ]]
	[[ $output != *$'\e'* && $output != *$'\xc2\x9b'* ]]
	ft-board --html "$T/page" --title $'a\xff<' "$T/m"
	grep -q '<title>a�&lt;</title>' "$T/page"
}

@test "an evaluation metric by its name" {
	run -0 ft-board --metrics eval_loss "$T/sft"
	[[ $output == *┤* ]]
}

@test "a record in the making is left alone" {
	printf '{"step":9,"lo' >>"$T/sft/train.metrics.jsonl"
	run -0 --separate-stderr ft-board "$T/sft"
	[ -z "$stderr" ]
	[[ $output == *"8 steps"* ]]
}

@test "early reader and full disk" {
	run bash -c 'trap "" PIPE; ft-board --height 100 --width 400 "$@" "$@" "$@" "$@" "$@" "$@" | head -c 1 >/dev/null; echo "${PIPESTATUS[0]}"' - "$T/sft"
	[[ $output == 141 || $output == 0 ]]
	[ -w /dev/full ] || skip "no /dev/full"
	run -4 --separate-stderr bash -c 'ft-board "$1" >/dev/full' - "$T/sft"
}

@test "terminal: axis, curve, last values" {
	run -0 ft-board --width 60 "A=$T/sft"
	[ "${lines[0]}" = loss ]
	[[ $output == *"A 1   A (eval) 2.250"* ]]
	[[ $output == *"step 8"* ]]
	[[ $output == *"A  8 steps, 8 s"* ]]
	# falling: the first column's dot is high, the last one's low
	[[ ${lines[1]} == *┤⠢* || ${lines[1]} == *┤⠤* || ${lines[1]} == *┤⠒* || ${lines[1]} == *┤⡀* || ${lines[1]} == *┤⠑* || ${lines[2]} == *┤⠑* ]]
	[[ $output == *█*▁* ]]
	[[ $output != *$'\033'* ]]
	run -0 ft-board --color always "A=$T/sft"
	[[ $output == *$'\033[34m'* ]]
	run -0 ft-board --metrics grad_norm "$T/sft"
	[[ $output != *┤* ]]
}

@test "without colours runs have marks, preference losses a chart of their own" {
	run -0 ft-board "A=$T/sft" "B=$T/sft" "D=$T/dpo"
	[[ $output == *"o A 1"*"x B 1"* ]]
	[[ $output == *"loss (preference)"* ]]
	[[ $output == *"rewards/margins (preference)"* ]]
}

@test "a step written twice counts once, the later" {
	echo '{"step":7,"time":110,"loss":40}' >>"$T/sft/train.metrics.jsonl"
	run -0 ft-board "$T/sft"
	[[ $output == *"sft 40 "* ]]
}

@test "page: tables, curves, samples, texts, all escaped" {
	echo '{"model":"<base>","bpb":{"value":1.25,"n":9,"low":1.1,"high":1.4},"ok":true}
{"model":"SFT","bpb":{"value":0.75,"n":9,"ci":[0.7,0.8]},"ok":false}' >"$T/rows"
	echo '{"accuracy":{"value":0.5,"n":4,"low":0.1,"high":0.9}}' >"$T/sum.json"
	echo '{"id":"s1","prompt":"<p>","base":"a & b","tuned":"c","n":1}' >"$T/samples"
	echo 'A "quoted" <text>' >"$T/text"
	ft-board --html "$T/page" --title 'T <1>' --lead 'lead & more' \
		--table "Bits=$T/rows" --table "Sum=$T/sum.json" \
		--samples "Samples=$T/samples" --text "Text=$T/text" \
		"SFT=$T/sft" "$T/dpo"
	for s in '<title>T &lt;1&gt;</title>' 'lead &amp; more' '&lt;base&gt;' \
		'<b>1.250</b>' '1.100 – 1.400' '0.700 – 0.800' 'n 9' '>accuracy<' \
		'<figcaption>tuned' 'a &amp; b' '&quot;quoted&quot; &lt;text&gt;' \
		'loss (preference)' 'SFT (eval), step 4: 5' '<polyline class="s1"' \
		'class="yes"' 'prefers-color-scheme'; do
		grep -qF -- "$s" "$T/page" || fail_with "no $s"
	done
	run ! grep -qE '<(base|p|text)>|<script|(src|href)="?(http|//)' "$T/page"
	ft-board --html - --table "Bits=$T/rows" | grep -q 'SFT'
	# the same bytes again
	cp "$T/page" "$T/page.1"
	ft-board --html "$T/page" --title 'T <1>' --lead 'lead & more' \
		--table "Bits=$T/rows" --table "Sum=$T/sum.json" \
		--samples "Samples=$T/samples" --text "Text=$T/text" \
		"SFT=$T/sft" "$T/dpo"
	cmp "$T/page" "$T/page.1"
}

@test "page: well-formed" {
	need_command python3
	ft-board --html "$T/page" "SFT=$T/sft" "$T/dpo"
	python3 - "$T/page" <<-'EOF'
		import sys
		from html.parser import HTMLParser
		void = {"meta"}
		class P(HTMLParser):
		    stack = []
		    def handle_starttag(self, tag, attrs):
		        if tag not in void: self.stack.append(tag)
		    def handle_startendtag(self, tag, attrs): pass
		    def handle_endtag(self, tag):
		        assert self.stack.pop() == tag, tag
		p = P()
		p.feed(open(sys.argv[1]).read())
		assert not p.stack, p.stack
	EOF
}

@test "page: a table of many columns keeps them all" {
	jq -nc '[range(40) | {("c\(.)"): .}] | add' >"$T/wide"
	ft-board --html - --table "W=$T/wide" | grep -q 'c39</th>'
}

@test "page: bad parts are status 3" {
	printf '{"a":1}\n{"a":}\n' >"$T/bad"
	run -3 --separate-stderr ft-board --html "$T/page" --table "a=$T/bad"
	says "bad:2: "
	echo '[1]' >"$T/bad"
	run -3 --separate-stderr ft-board --html "$T/page" --table "a=$T/bad"
	says "objects"
	run -3 ft-board --html "$T/page" --samples "a=$T/bad"
	printf '\377' >"$T/bad"
	run -3 --separate-stderr ft-board --html "$T/page" --text "a=$T/bad"
	says "UTF-8"
	[ ! -e "$T/page" ]
}
