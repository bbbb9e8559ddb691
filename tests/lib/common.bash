# SPDX-License-Identifier: MIT
#
# For bats files: `load ../lib/common` first.  Tests run the tools in FT_BIN
# (build/bin unless set), with T a fresh folder and SHARED the shared data.
# shellcheck shell=bash disable=SC2154

bats_require_minimum_version 1.5.0

ROOT=$(cd "${BATS_TEST_DIRNAME:?}/../.." && pwd)
FT_BIN=$(realpath -m "${FT_BIN:-$ROOT/build/bin}")
SHARED=$(cd "$ROOT" && realpath -m "${FT_SHARED:-../shared}")
DATA=$ROOT/tests/data
T=${BATS_TEST_TMPDIR-}
PATH=$FT_BIN:$PATH
export ROOT FT_BIN SHARED DATA T PATH
export LC_ALL=C

# need_shared [PATH]: skip unless the shared data (and PATH in it) is there.
need_shared() {
	[ -d "$SHARED" ] || skip "no shared data at $SHARED (FT_SHARED)"
	[ $# -eq 0 ] || [ -e "$SHARED/$1" ] || skip "no $1 in the shared data"
}

# need_command NAME: skip unless NAME can be run.
need_command() {
	command -v "$1" >/dev/null || skip "$1 is not installed"
}

# A message: one line, from the tool, and nothing on stdout.
says() {
	[ -z "$output" ] || fail_with "stdout is not empty: $output"
	[ "$(wc -l <<<"$stderr")" -eq 1 ] || fail_with "not one line: $stderr"
	[[ $stderr == *"$1"* ]] || fail_with "'$stderr' does not say '$1'"
}

fail_with() {
	echo "$*" >&2
	return 1
}

# --- the six cases every tool has ---------------------------------------------

# std_help TOOL: --help and --version answer on stdout, status 0.
std_help() {
	run --separate-stderr -0 "$1" --help
	[[ $output == "usage: $1 "* ]] || fail_with "help begins: ${lines[0]}"
	[ -z "$stderr" ] || fail_with "stderr: $stderr"
	run --separate-stderr -0 "$1" --version
	[[ $output == "$1 "[0-9]* ]] || fail_with "version: $output"
}

# std_bad_option TOOL: status 2, one line on stderr that quotes the option.
std_bad_option() {
	run --separate-stderr -2 "$1" --no-such-option-at-all
	says "'--no-such-option-at-all'"
	[[ $stderr == "$1: "* ]] || fail_with "the tool is not named: $stderr"
}

# std_torn FILE COMMAND...: FILE without its last bytes on stdin is status 3.
std_torn() {
	local file=$1 n
	shift
	n=$(stat -c %s "$file")
	head -c $((n - (n > 8 ? 5 : 2))) "$file" >"$T/torn"
	run --separate-stderr -3 "$@" <"$T/torn"
	[ "$(wc -l <<<"$stderr")" -eq 1 ] || fail_with "not one line: $stderr"
	[[ $stderr == "$(basename "$1"): "* ]] || fail_with "the tool is not named: $stderr"
}

# std_early_reader FILE COMMAND...: FILE again and again on stdin, a reader
# that goes away: the writer dies of SIGPIPE, without a word, also when the
# parent ignored the signal.
std_early_reader() {
	local file=$1
	shift
	# shellcheck disable=SC2016
	run --separate-stderr bash -c '
		trap "" PIPE
		file=$1; shift
		while cat "$file" 2>/dev/null; do :; done |
			"$@" | head -c 1 >/dev/null
		echo "${PIPESTATUS[1]}"' - "$file" "$@"
	[ "$output" = 141 ] || fail_with "status $output instead of 141; $stderr"
	[ -z "$stderr" ] || fail_with "stderr: $stderr"
}

# std_full_disk FILE COMMAND...: with FILE on stdin, stdout full: status 4.
std_full_disk() {
	local file=$1
	shift
	[ -w /dev/full ] || skip "no /dev/full"
	# shellcheck disable=SC2016
	run --separate-stderr -4 bash -c '
		file=$1; shift
		exec "$@" <"$file" >/dev/full' - "$file" "$@"
	says "cannot write"
}

# std_empty STATUS COMMAND...: nothing on stdin; STATUS and, unless 0, a line.
std_empty() {
	local want=$1
	shift
	run --separate-stderr "-$want" "$@" </dev/null
	[ "$want" -eq 0 ] || [ "$(wc -l <<<"$stderr")" -eq 1 ] || fail_with "not one line: $stderr"
}
