#!/usr/bin/env bats
# SPDX-License-Identifier: MIT

load ../lib/common

@test "--help and --version" {
	std_help ft
}

@test "an unknown option is status 2" {
	std_bad_option ft
}

@test "no tool named is status 2" {
	run --separate-stderr -2 ft
	says "no tool named"
}

@test "torn input: the tool's own status comes through" {
	mkdir "$T/bin"
	printf '#!/bin/sh\nexit 3\n' >"$T/bin/ft-torn-input"
	chmod +x "$T/bin/ft-torn-input"
	PATH="$PATH:$T/bin" run -3 ft torn-input
}

@test "an early reader: SIGPIPE, also when the parent ignored it" {
	run --separate-stderr bash -c '
		trap "" PIPE
		{ sleep 0.2; ft help; echo "$?" >"$1"; } | :' - "$T/status"
	[ "$(cat "$T/status")" = 141 ]
	[ -z "$stderr" ]
}

@test "a full disk is status 4" {
	[ -w /dev/full ] || skip "no /dev/full"
	for what in help doctor --help; do
		run --separate-stderr -4 bash -c "ft $what >/dev/full"
		says "cannot write"
	done
}

@test "empty input: nothing is read" {
	run -0 ft help </dev/null
	[ -n "$output" ]
}

@test "arguments and options after the name go to the tool" {
	mkdir "$T/bin"
	cat >"$T/bin/ft-echo-arguments" <<-'S'
		#!/bin/sh
		printf '<%s>' "$@"
	S
	chmod +x "$T/bin/ft-echo-arguments"
	PATH="$PATH:$T/bin" run -0 ft echo-arguments --help -q "a b" ''
	[ "$output" = '<--help><-q><a b><>' ]
}

@test "a tool beside ft wins over PATH" {
	mkdir "$T/bin" "$T/own"
	cp "$FT_BIN/ft" "$T/own/ft"
	printf '#!/bin/sh\necho path\n' >"$T/bin/ft-which-one"
	printf '#!/bin/sh\necho beside\n' >"$T/own/ft-which-one"
	chmod +x "$T/bin/ft-which-one" "$T/own/ft-which-one"
	PATH="$T/bin:$PATH" run -0 "$T/own/ft" which-one
	[ "$output" = beside ]
}

@test "an empty entry of PATH does not mean this folder" {
	cd "$T"
	printf '#!/bin/sh\necho here\n' >ft-planted
	chmod +x ft-planted
	PATH=":$PATH:" run -2 --separate-stderr ft planted
	says "unknown tool 'planted'"
}

@test "an unknown tool is status 2 and the nearest is named" {
	mkdir "$T/bin"
	printf '#!/bin/sh\n' >"$T/bin/ft-tokenise-rows"
	chmod +x "$T/bin/ft-tokenise-rows"
	PATH="$PATH:$T/bin" run --separate-stderr -2 ft tokenize-rows
	says "did you mean 'tokenise-rows'?"
	run --separate-stderr -2 ft ../evil
	says "unknown tool"
}

@test "a tool that cannot run is status 4" {
	mkdir "$T/bin"
	printf '#!/no/such/interpreter\n' >"$T/bin/ft-broken-one"
	chmod +x "$T/bin/ft-broken-one"
	PATH="$PATH:$T/bin" run --separate-stderr -4 ft broken-one
	says "cannot run"
}

@test "list names each tool once, with its path" {
	mkdir "$T/bin"
	printf '#!/bin/sh\n' >"$T/bin/ft-listed"
	cp "$T/bin/ft-listed" "$T/bin/ft-listed.bak"
	chmod +x "$T/bin/"*
	PATH="$T/bin:$PATH:$T/bin" run -0 ft list
	[ "$(grep -c '^listed' <<<"$output")" -eq 1 ]
	[[ $output == *"listed	$T/bin/ft-listed"* ]]
	run --separate-stderr -2 ft list more
	says "takes no argument"
}

@test "help NAME is the tool's own help" {
	mkdir "$T/bin"
	cat >"$T/bin/ft-helpful" <<-'S'
		#!/bin/sh
		echo "asked: $*"
	S
	chmod +x "$T/bin/ft-helpful"
	PATH="$PATH:$T/bin" run -0 ft help helpful
	[ "$output" = "asked: --help" ]
	run -0 ft help
	[[ $output == "usage: ft "* ]]
}

@test "doctor says what there is" {
	run -0 ft doctor
	for name in cpu features cores kernels memory "open files" "gpu driver" \
		cuda libzstd libjq tools; do
		[[ $output == *"  $name"* ]] || fail_with "no line for $name"
	done
}

@test "doctor: FT_ISA caps the kernels" {
	FT_ISA=scalar run -0 ft doctor
	[[ $output == *"kernels"*"scalar"* ]]
}

@test "doctor: an instruction set that is not known is a fault" {
	FT_ISA=nonsense run -1 ft doctor
	grep -q '^! kernels' <<<"$output"
}

@test "doctor: few open files are a fault" {
	run -1 bash -c 'ulimit -n 64; ft doctor'
	grep -q '^! open files' <<<"$output"
}
