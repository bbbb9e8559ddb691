#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

load ../lib/common

setup() {
	printf '%s\n' '{"id":"x", "n":1.50,"s":"é\u00e9"}' '{"n":2,"id":7}' >"$T/rows"
	cat >"$T/doc.json" <<-'EOF'
		[
		 {"name": "a", "items": [1, 2, 3]},
		 {"name": "b", "items": []}
		]
	EOF
}

@test "help and version" {
	std_help ft-rows
}

@test "bad command lines are status 2" {
	std_bad_option ft-rows
	run -2 --separate-stderr ft-rows --join nothing "$T/rows"
	says "'nothing'"
	run -2 --separate-stderr ft-rows --map '{' "$T/rows"
	says "jq program"
	run -2 ft-rows --limit -1 "$T/rows"
	# before a file is opened
	run -2 --separate-stderr ft-rows --join a="$T/none" --join nothing "$T/rows"
	says "'nothing'"
	run -2 --separate-stderr ft-rows --join a="$T/none" --join a="$T/none" "$T/rows"
	says "'a' twice"
	run -2 --separate-stderr ft-rows --join a=- <"$T/rows"
	says "standard input"
	run -2 ft-rows --join a=- --join b=- "$T/rows"
}

@test "torn input is status 3, nothing on stdin is no rows" {
	std_torn "$T/rows" ft-rows
	std_torn "$T/doc.json" ft-rows --json
	std_empty 0 ft-rows
	std_empty 3 ft-rows --json
	run -4 ft-rows "$T/none"
}

@test "early reader and full disk" {
	std_early_reader "$T/rows" ft-rows
	std_full_disk "$T/rows" ft-rows
}

@test "rows pass byte for byte" {
	ft-rows "$T/rows" | cmp - "$T/rows"
	ft-rows --limit 1 "$T/rows" "$T/rows" | cmp - <(head -n 1 "$T/rows")
}

@test "a map makes none, one or many of a row" {
	run -0 ft-rows --map 'select(.n > 1.6), {a: .id}' "$T/rows"
	[ "${lines[0]}" = '{"a":"x"}' ]
	[ "${lines[1]}" = '{"n":2,"id":7}' ]
	[ "${lines[2]}" = '{"a":7}' ]
	run -0 ft-rows --limit 2 --map '{a: 1}, {a: 2}, {a: 3}' "$T/rows"
	[ "${#lines[@]}" -eq 2 ]
	run -3 --separate-stderr ft-rows --map '.n' "$T/rows"
	says ":1: "
	PART=q run -0 ft-rows --map '{p: $ENV.PART}' <<<'[1]'
	[ "$output" = '{"p":"q"}' ]
}

@test "a JSON document's elements are rows" {
	run -0 ft-rows --json --map '.name as $n | .items[] | {n: $n, i: .}' "$T/doc.json"
	[ "${#lines[@]}" -eq 3 ]
	[ "${lines[2]}" = '{"n":"a","i":3}' ]
	run -0 ft-rows --json "$T/doc.json"
	[ "${lines[0]}" = '{"name": "a", "items": [1, 2, 3]}' ]
	run -0 ft-rows --json <<<'{"a":
		1}'
	[ "$output" = '{"a": 1}' ]
	run -3 --separate-stderr ft-rows --json <<<'[1]'
	says "not a JSON object"
	# the line of the element is named
	run -3 --separate-stderr ft-rows --json --map 'error("no")' "$T/doc.json"
	says "doc.json:2: "
}

@test "a join is by id and sample" {
	cat >"$T/b" <<-'EOF'
		{"id":7,"sample":1,"v":"71"}
		{"id":7,"v":"70"}
		{"id":"x","sample":0,"v":"x0"}
	EOF
	run -0 ft-rows --join o="$T/b" --map '{id, v: .o.v}' "$T/rows"
	[ "${lines[0]}" = '{"id":"x","v":"x0"}' ]
	[ "${lines[1]}" = '{"id":7,"v":"70"}' ]
	run -0 ft-rows --join o="$T/b" "$T/rows"
	[ "${lines[1]}" = '{"n":2,"id":7,"o":{"id":7,"v":"70"}}' ]
	# without an id a row has its number
	run -0 ft-rows --join o=<(echo '{"v":0}') <<<'{"n":1}'
	[ "$output" = '{"n":1,"o":{"v":0}}' ]
	run -3 --separate-stderr ft-rows --join o="$T/b" <<<'{"id":8}'
	says "no row of its id"
	cat "$T/b" "$T/b" >"$T/twice"
	run -3 --separate-stderr ft-rows --join o="$T/twice" "$T/rows"
	says "two rows"
}

@test "a field as text" {
	run -0 ft-rows --raw s --limit 1 "$T/rows"
	[ "$output" = "éé" ]
	run -3 --separate-stderr ft-rows --raw s <<<'{"n":2}'
	says "'s' is missing"
	run -3 --separate-stderr ft-rows --raw s <<<'{"s":null}'
	says "'s' is missing"
	run -3 --separate-stderr ft-rows --raw n "$T/rows"
	says "not a string"
}

@test "an output appears when it is complete" {
	run -3 ft-rows -o "$T/out" <<<'{"a":1}x'
	[ ! -e "$T/out" ]
	ft-rows -z -o "$T/out" "$T/rows"
	ft-rows "$T/out" | cmp - "$T/rows"
}

@test "an id joins however it is spelt" {
	printf '{"id":"caf\\u00e9","a":1}\n{"id":2.0,"a":2}\n' >"$T/a"
	printf '{"id":"café"}\n{"id":2,"sample":0}\n' >"$T/b"
	run -0 ft-rows --join a="$T/a" --map '{v: .a.a}' "$T/b"
	[ "${lines[*]}" = '{"v":1} {"v":2}' ]
}
