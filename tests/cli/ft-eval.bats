#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

load ../lib/common

setup() {
	cat >"$T/rows" <<'EOF'
{"id":1,"app":"x","prompt":"p","completion":" abc\n", "reference":"abc"}
{"id":2,"app":"x","prompt":"p","completion":"abcdefghij","reference":"abcdefghiX"}
{"id":3,"app":"y","prompt":"q","completion":"zz","reference":"abc"}
{"id":4,"app":"y","prompt":"q","completion":"","reference":""}
EOF
	cat >"$T/pairs" <<'EOF'
{"row":0,"id":1,"pair_kind":"k","chosen_sum_logps":-1,"rejected_sum_logps":-2,"chosen_bytes":5,"rejected_bytes":9}
{"row":1,"id":1,"pair_kind":"k","chosen_sum_logps":-3,"rejected_sum_logps":-2,"chosen_bytes":5,"rejected_bytes":5}
{"row":2,"id":2,"pair_kind":"l","chosen_sum_logps":-2,"rejected_sum_logps":-2,"chosen_bytes":5,"rejected_bytes":4}
EOF
}

# value NAME [KEY]: of the summary.
value() {
	jq -r ".$1.${2:-value}" "$T/s"
}

@test "help" { std_help ft-eval; }
@test "bad option" { std_bad_option ft-eval; }
@test "torn input" { std_torn "$T/rows" ft-eval --metric exact; }
@test "early reader" { std_early_reader "$T/rows" ft-eval -q --metric exact; }
@test "full disk" { std_full_disk "$T/rows" ft-eval -q --metric exact; }
@test "empty input" {
	std_empty 3 ft-eval --metric exact -o "$T/out"
	[[ $stderr == *"nothing to measure" ]]
	[ ! -e "$T/out" ]
}

@test "exact and close" {
	run --separate-stderr -0 ft-eval --metric close "$T/rows" --summary "$T/s" --by app
	[ "${lines[0]}" = '{"id":1,"app":"x","prompt":"p","completion":" abc\n", "reference":"abc","exact":true,"close":true,"similarity":1,"reward":10}' ]
	[ "${lines[1]}" = '{"id":2,"app":"x","prompt":"p","completion":"abcdefghij","reference":"abcdefghiX","exact":false,"close":true,"similarity":0.9,"reward":5}' ]
	[[ ${lines[2]} == *'"similarity":0,"reward":0}' ]]
	[[ ${lines[3]} == *'"exact":true,"close":true,"similarity":1,"reward":10}' ]]
	[ "$(value exact)" = 0.5 ]
	[ "$(value exact n)" = 4 ]
	[ "$(value exact interval)" = wilson ]
	[ "$(value reward)" = 6.25 ]
	[ "$(value by.app.x.close)" = 1 ]
	[ "$(value by.app.y.close n)" = 2 ]
	[[ $stderr == *"ft-eval: close/app=x 1.0000 [0.3424, 1.0000] n=2"* ]]
	run --separate-stderr -0 ft-eval -q --metric exact --close-threshold 0.91 --exact-reward 1 --close-reward 0.5 "$T/rows"
	[[ ${lines[1]} == *'"close":false,"similarity":0.9,"reward":0}' ]]
	[[ ${lines[0]} == *'"reward":1}' ]]
}

@test "another field to compare with, another field that groups" {
	run --separate-stderr -0 ft-eval --metric exact --reference-field prompt --group-by prompt --summary "$T/s" "$T/rows"
	[ "$(value exact)" = 0 ]
	[ "$(value exact groups)" = 2 ]
	run --separate-stderr -3 ft-eval --metric exact --reference-field nothing "$T/rows"
	says "$T/rows:1: field 'nothing' missing"
}

@test "a gate that is not met is status 1, and all is written" {
	run --separate-stderr -1 ft-eval -q --metric exact "$T/rows" -o "$T/out" --summary "$T/s" --gate 'exact>=0.5' --gate 'exact>0.5'
	says "gate 'exact>0.5' not met: it is 0.5"
	[ "$(wc -l <"$T/out")" -eq 4 ]
	[ "$(value exact)" = 0.5 ]
	run -0 ft-eval -q --metric exact "$T/rows" -o "$T/out" --by app --gate 'close/app=x>=1' --gate 'exact.n>=4' --gate 'exact.high<1' --gate 'exact.low>0'
	run -1 ft-eval -q --metric exact "$T/rows" -o "$T/out" --by app --gate 'close/app=nobody>=1'
	for g in exact 'other>=1' 'exact>=' 'exact>=1x' '>=1' 'exact/app>=1'; do
		run --separate-stderr -2 ft-eval --metric exact --gate "$g" "$T/rows"
		says "gate '$g'"
	done
}

@test "bits per byte and loss are ratios of sums" {
	cat >"$T/lp" <<'EOF'
{"row":0,"sum_logps":-6.931471805599453,"bytes":10,"tokens":5,"hits":[1,0,true,0,false]}
{"row":1,"sum_logps":-41.58883083359672,"bytes":30,"tokens":5,"hits":3}
EOF
	run --separate-stderr -0 ft-eval --metric bpb "$T/lp" --summary "$T/s"
	[ "$(value bpb)" = 1.75 ]
	[[ $(value loss) == 4.852* ]]
	[[ ${lines[0]} == *',"bpb":1}' ]]
	[[ ${lines[1]} == *',"bpb":2}' ]]
	run --separate-stderr -0 ft-eval --metric accuracy "$T/lp" --summary "$T/s"
	[ "$(value accuracy)" = 0.5 ]
	sed -i 's/-41.58883083359672/null/' "$T/lp"
	run --separate-stderr -3 ft-eval -q --metric bpb "$T/lp" -o "$T/out"
	says "$T/lp:2: field 'sum_logps' is not a number"
	[ ! -e "$T/out" ]
}

@test "preference: ties apart, baselines beside it, by kind" {
	run --separate-stderr -0 ft-eval --metric preference "$T/pairs" --summary "$T/s"
	[[ ${lines[0]} == *',"preference":"chosen","margin":1}' ]]
	[[ ${lines[1]} == *',"preference":"rejected","margin":-1}' ]]
	[[ ${lines[2]} == *',"preference":"tie","margin":0}' ]]
	[[ $(value preference) == 0.3333* ]]
	[[ $(value ties) == 0.3333* ]]
	[ "$(value shorter_wins)" = 0.5 ]
	[ "$(value preference groups)" = 2 ]
	[ "$(value preference interval)" = bootstrap ]
	[ "$(value by.pair_kind.k.preference)" = 0.5 ]
	[ "$(value base_logprob_wins)" = null ]
}

@test "preference against a reference, in any order of its rows" {
	sed 's/"chosen_sum_logps":-[0-9]/"chosen_sum_logps":-2.5/' "$T/pairs" | tac >"$T/ref"
	run --separate-stderr -0 ft-eval --metric preference --reference-rows "$T/ref" --beta 0.5 "$T/pairs" --summary "$T/s"
	[[ ${lines[0]} == *'"preference":"chosen","margin":0.75}' ]]
	[[ ${lines[1]} == *'"preference":"rejected","margin":-0.25}' ]]
	[ "$(value base_logprob_wins)" = 0 ]
	[ "$(value preference_where_base_wrong n)" = 3 ]
	head -n 2 "$T/ref" >"$T/short"
	run --separate-stderr -3 ft-eval -q --metric preference --reference-rows "$T/short" "$T/pairs" -o "$T/o"
	says "no row 0"
	head -n 2 "$T/pairs" >"$T/few"
	run --separate-stderr -3 ft-eval -q --metric preference --reference-rows "$T/ref" "$T/few" -o "$T/o"
	says "3 rows, of which only 2"
	sed 's/"id":1/"id":7/' "$T/ref" >"$T/other"
	run --separate-stderr -3 ft-eval -q --metric preference --reference-rows "$T/other" "$T/pairs" -o "$T/o"
	says "another id"
}

# A judge that likes the longer one, and answers backwards.
longer() {
	cat <<'EOF'
jq -c '{id, sample, winner: (if (.a|length) > (.b|length) then "a" elif (.a|length) < (.b|length) then "b" else "tie" end)}' | tac
EOF
}

@test "win rate by a judge that sees neither order nor owner" {
	for i in $(seq 0 39); do
		echo "{\"id\":$i,\"prompt\":\"p\",\"completion\":\"$(printf '%0*d' 20 0)\",\"finish_reason\":\"stop\"}" >>"$T/a"
		echo "{\"id\":$i,\"prompt\":\"p\",\"completion\":\"$(printf '%0*d' $((i < 10 ? 10 : i < 20 ? 20 : 22)) 0)\",\"finish_reason\":\"length\"}" >>"$T/b"
	done
	run --separate-stderr -0 ft-eval --metric winrate "$T/a" --against "$T/b" --judge "tee $T/seen | $(longer)" --summary "$T/s"
	[ "$(value winrate)" = 0.375 ]
	[ "$(value winrate_same_length)" = "$(jq -n 5/30)" ]
	[ "$(value winrate_same_length n)" = 30 ]
	[ "$(value ties)" = 0.25 ]
	[[ ${lines[0]} == *'"winner":"a","win":1}' ]]
	[[ ${lines[39]} == *'"winner":"b","win":0}' ]]
	[ "$(jq -s 'map(select(has("completion") or has("finish_reason")))|length' "$T/seen")" -eq 0 ]
	local first
	first=$(grep -c '"a_finish_reason":"stop"' "$T/seen")
	[ "$first" -gt 8 ]
	[ "$first" -lt 32 ]
	run --separate-stderr -0 ft-eval -q --metric winrate "$T/b" --against "$T/a" --judge "$(longer)" --summary "$T/s" -o "$T/o"
	[ "$(value winrate)" = 0.625 ]
}

@test "a judge that dies, says too little or nonsense is status 4" {
	sed 's/"abc"/"x"/; s/ abc/b/' "$T/rows" >"$T/b"
	eval_with() {
		run --separate-stderr -4 ft-eval -q --metric winrate "$T/rows" --against "$T/b" --judge "$1" -o "$T/out"
		says "$2"
		[ ! -e "$T/out" ]
	}
	eval_with 'kill -9 $$' "signal 9"
	eval_with "exit 5" "status 5"
	eval_with "true" "0 replies to 4 rows"
	eval_with "head -n 2 | jq -c '{id,sample,winner:\"a\"}'" "2 replies to 4 rows"
	eval_with "cat" "field 'winner' missing"
	eval_with "jq -c '{id,sample,winner:\"c\"}'" "not a, b or tie"
	eval_with "jq -c '{id:9,sample,winner:\"a\"}'" "nobody asked"
	eval_with "jq -c '{id:1,sample,winner:\"a\"}'" "there before"
	eval_with "echo hello" "line 1 of its reply"
	run --separate-stderr -4 ft-eval -q --metric winrate "$T/rows" --against "$T/b" --judge-timeout 0.3 --judge "sleep 60" -o "$T/out"
	says "took too long"
}

@test "answers that have no partner are an error" {
	head -n 3 "$T/rows" >"$T/b"
	run --separate-stderr -3 ft-eval -q --metric winrate "$T/rows" --against "$T/b" --judge cat
	says "$T/rows:4: no answer of this id and sample"
	run --separate-stderr -3 ft-eval -q --metric winrate "$T/b" --against "$T/rows" --judge cat
	says "3 answers against 4"
	sed 's/"prompt":"p"/"prompt":"other"/' "$T/rows" >"$T/b"
	run --separate-stderr -3 ft-eval -q --metric winrate "$T/rows" --against "$T/b" --judge cat
	says "another one"
}

@test "options that the metric does not know are refused" {
	run --separate-stderr -2 ft-eval "$T/rows"
	says "no metric"
	run --separate-stderr -2 ft-eval --metric exact --judge cat
	says "--judge does not belong"
	run --separate-stderr -2 ft-eval --metric winrate --judge cat
	says "--against"
	run --separate-stderr -2 ft-eval --metric preference --beta 1
	says "--reference-rows"
	run --separate-stderr -2 ft-eval --metric exact --summary -
	says "cannot both go"
	run --separate-stderr -2 ft-eval --metric exact --by app --by app "$T/none"
	says "'app' twice"
	run --separate-stderr -2 ft-eval --metric exact --by app --gate 'close/lang=c>=1' "$T/none"
	says "not one of --by"
	run --separate-stderr -2 ft-eval --metric winrate --against - --judge cat <"$T/rows"
	says "standard input"
	run --separate-stderr -2 ft-eval --metric preference --reference-rows - - <"$T/pairs"
	says "standard input"
}

@test "a summary that cannot be written is known before the judge is asked" {
	run --separate-stderr -4 ft-eval -q --metric winrate "$T/rows" --against "$T/rows" --judge "touch $T/asked; jq -c '{id,sample,winner:\"tie\"}'" --summary "$T/no/s"
	says "cannot create"
	[ ! -e "$T/asked" ]
}

@test "token accuracy has an interval where all rows agree" {
	printf '{"hits":2,"tokens":2}\n{"hits":5,"tokens":5}\n' >"$T/lp"
	ft-eval -q --metric accuracy "$T/lp" --summary "$T/s" -o "$T/o"
	[ "$(value accuracy)" = 1 ]
	[ "$(value accuracy interval)" = wilson ]
	[[ $(value accuracy low) == 0.342* ]]
	head -n 1 "$T/lp" | ft-eval -q --metric accuracy --summary "$T/s" -o "$T/o"
	[[ $(value accuracy low) == 0.206* ]]
	sed -i 's/"hits":5/"hits":3/' "$T/lp"
	ft-eval -q --metric accuracy "$T/lp" --summary "$T/s" -o "$T/o"
	[ "$(value accuracy interval)" = bootstrap ]
}

@test "the same seed gives the same bytes" {
	for i in 1 2; do
		ft-eval -q --metric preference "$T/pairs" --summary "$T/s$i" -o "$T/o$i"
	done
	cmp "$T/s1" "$T/s2"
	cmp "$T/o1" "$T/o2"
}
