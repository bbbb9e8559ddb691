#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

load ../lib/common

setup() {
	cat >"$T/rows" <<'EOF'
{"id":"a", "app":"x","prompt":"p","completion":"import 'a.dart';\n\nclass A {\n  int x = 1;\n  int y() => x;\n}\n","n":1.50}
{"prompt":"q","n":2,"completion":"ElevatedButton(child: Text('é'), onPressed: f)"}
{"prompt":"r","completion":"nothing to spoil"}
EOF
}

@test "help" { std_help ft-pairgen; }
@test "bad option" { std_bad_option ft-pairgen; }
@test "torn input" { std_torn "$T/rows" ft-pairgen; }
@test "early reader" { std_early_reader "$T/rows" ft-pairgen -q; }
@test "full disk" { std_full_disk "$T/rows" ft-pairgen -q; }
@test "empty input" {
	std_empty 0 ft-pairgen -q
	[ -z "$output" ]
}

@test "what is not ours passes byte for byte" {
	run --separate-stderr -0 ft-pairgen --kind-of-pair missing-import "$T/rows"
	[ "$output" = '{"id":"a", "app":"x","prompt":"p","n":1.50,"chosen":"import '"'a.dart'"';\n\nclass A {\n  int x = 1;\n  int y() => x;\n}\n","rejected":"\nclass A {\n  int x = 1;\n  int y() => x;\n}\n","pair_kind":"missing-import"}' ]
	[ "$stderr" = "ft-pairgen: 3 rows, 1 pairs (missing-import 1); 2 rows without a pair left out" ]
}

@test "several pairs of a row are different, and known as one row's" {
	run --separate-stderr -0 ft-pairgen --num-pairs-per-row 5 "$T/rows"
	[ "$(sort -u <<<"$output" | wc -l)" -eq "$(wc -l <<<"$output")" ]
	[ "$(grep -c '"id":"a"' <<<"$output")" -eq 5 ]
	[ "$(grep -c '"id":1}' <<<"$output")" -eq 5 ]
	[[ $stderr == *"1 rows without a pair left out" ]]
	# the last bracket or the one before it: the same text
	run --separate-stderr -0 ft-pairgen --num-pairs-per-row 9 <<<'{"id":null,"prompt":"p","completion":"f(g(x))"}'
	[ "$(jq -r .rejected <<<"$output")" = "$(jq -r .rejected <<<"$output" | awk '!seen[$0]++')" ]
	[ "${#lines[@]}" -eq 2 ]
	[[ ${lines[1]} == '{"id":0,"prompt"'* ]]
}

@test "the seed decides, not the other rows" {
	ft-pairgen -q --seed 7 --num-pairs-per-row 2 "$T/rows" >"$T/a"
	ft-pairgen -q --seed 7 --num-pairs-per-row 2 "$T/rows" >"$T/b"
	cmp "$T/a" "$T/b"
	{ sed -n 3p "$T/rows"; sed -n 2p "$T/rows"; } >"$T/other"
	ft-pairgen -q --seed 7 --num-pairs-per-row 2 "$T/other" >"$T/c"
	[ "$(grep '"q"' "$T/a")" = "$(cat "$T/c")" ]
	local seeds
	seeds=$(for s in 1 2 3 4 5 6 7 8; do ft-pairgen -q --seed $s "$T/rows" | sha256sum; done | sort -u | wc -l)
	[ "$seeds" -gt 1 ]
}

@test "a row that nothing applies to can be an error" {
	run --separate-stderr -3 ft-pairgen -q --on-none error "$T/rows" -o "$T/out"
	says "$T/rows:3: no pair can be made"
	[ ! -e "$T/out" ]
}

@test "own samples: another text of the same id, scored low enough" {
	cat >"$T/samples" <<'EOF'
{"id":"a","sample":0,"completion":" same\n","reward":-1}
{"id":"a","sample":1,"completion":"good","reward":1}
{"id":"a","sample":2,"completion":"bad","reward":0}
{"id":"a","sample":3,"completion":"unknown","reward":null}
EOF
	echo '{"id":"a","prompt":"p","completion":"same"}' >"$T/r"
	run --separate-stderr -0 ft-pairgen --rejected-from "$T/samples" --max-reward 0 --num-pairs-per-row 9 "$T/r"
	[ "$output" = '{"id":"a","prompt":"p","chosen":"same","rejected":"bad","pair_kind":"own-sample"}' ]
	[[ $stderr == *"1 samples whose 'reward' is null left out" ]]
	run --separate-stderr -0 ft-pairgen --rejected-from "$T/samples" --num-pairs-per-row 9 "$T/r"
	[ "${#lines[@]}" -eq 3 ]
	cat "$T/samples" "$T/samples" >"$T/twice"
	run --separate-stderr -0 ft-pairgen --rejected-from "$T/twice" --num-pairs-per-row 9 "$T/r"
	[ "${#lines[@]}" -eq 3 ]
	sed -i 's/,"reward":1}/}/' "$T/samples"
	run --separate-stderr -3 ft-pairgen --rejected-from "$T/samples" --max-reward 0 "$T/r"
	says "$T/samples:2: field 'reward' missing"
}

@test "scored: best against worst of a prompt" {
	cat >"$T/s" <<'EOF'
{"id":2,"prompt":"p","completion":"b","score":3}
{"prompt":"q","completion":"d","score":1}
{"id":2,"prompt":"p","completion":"a","score":1}
{"prompt":"q","completion":"e","score":1}
{"id":2,"prompt":"p","completion":"c","score":2}
EOF
	run --separate-stderr -0 ft-pairgen --kind-of-pair scored --score-field score "$T/s"
	[ "$output" = '{"id":2,"prompt":"p","score":3,"chosen":"b","rejected":"a","pair_kind":"scored"}' ]
	[[ $stderr == *"5 rows, 1 pairs (scored 1); 1 prompts without a pair" ]]
	run --separate-stderr -0 ft-pairgen --kind-of-pair scored --score-field score --min-gap 2.5 "$T/s"
	[ -z "$output" ]
	# without ids, all pairs of a prompt are known by its first row
	for i in 3 1 4 2; do
		echo "{\"prompt\":\"p\",\"completion\":\"$i\",\"reward\":$i}"
	done >"$T/s"
	run --separate-stderr -0 ft-pairgen --kind-of-pair scored --num-pairs-per-row 5 "$T/s"
	[ "$(jq -c '[.chosen,.rejected,.id]' <<<"$output")" = '["4","1",0]
["3","2",0]' ]
	sed -i 's/"completion":"2"/"completion":"1"/; s/"completion":"3"/"completion":"4"/' "$T/s"
	run --separate-stderr -0 ft-pairgen --kind-of-pair scored --num-pairs-per-row 5 "$T/s"
	[ "${#lines[@]}" -eq 1 ]
}

@test "a generated row's reference is the good answer when asked for" {
	echo '{"prompt":"p","reference":"f(a)","completion":"x"}' >"$T/r"
	run --separate-stderr -0 ft-pairgen --kind-of-pair unbalanced-bracket --chosen-field reference "$T/r"
	[[ $output == '{"prompt":"p","reference":"f(a)","chosen":"f(a)","rejected":"f(a'*'"pair_kind":"unbalanced-bracket"}' ]]
}

@test "combinations that make no sense" {
	run --separate-stderr -2 ft-pairgen --kind-of-pair own-sample
	says "--rejected-from"
	run --separate-stderr -2 ft-pairgen --kind-of-pair scored,stale-state
	run --separate-stderr -2 ft-pairgen --kind-of-pair bad-kind
	says "'bad-kind'"
	run --separate-stderr -2 ft-pairgen --kind-of-pair stale-state,stale-state
	run --separate-stderr -2 ft-pairgen --max-reward 0 "$T/none"
	says "--rejected-from"
	run --separate-stderr -2 ft-pairgen --min-gap 1 "$T/none"
	says "scored"
	run --separate-stderr -2 ft-pairgen --score-field x "$T/none"
	run --separate-stderr -2 ft-pairgen --kind-of-pair scored --chosen-field x "$T/none"
	run --separate-stderr -2 ft-pairgen --rejected-from - <"$T/rows"
	says "standard input"
}

@test "a row without its fields is an error that names the line" {
	run --separate-stderr -3 ft-pairgen <<<'{"completion":"f()"}'
	says "-:1: field 'prompt' missing"
	run --separate-stderr -3 ft-pairgen <<<'{"prompt":"f()","completion":3}'
	says "-:1: field 'completion' is not a string"
}
