# SPDX-License-Identifier: MIT
#
# For crash.bats and kill-sweep, after common and tiny: runs that are killed at
# a moment of one's choice, and what has to hold afterwards.
# shellcheck shell=bash disable=SC2034,SC2154

# killer_build DIR: the library that makes things go wrong (tests/lib/killer.c).
killer_build() {
	command -v "${CC:-gcc}" >/dev/null || skip "no ${CC:-gcc}"
	"${CC:-gcc}" -std=c11 -D_GNU_SOURCE -O1 -shared -fPIC \
		"$ROOT/tests/lib/killer.c" -o "$1/killer.so"
	KILLER=$1/killer.so
}

# with WHAT OUT COMMAND...: the command, with WHAT done to it under OUT.
with() {
	local what=$1 out=$2
	shift 2
	KILLER_UNDER=$out KILLER_DO=$what LD_PRELOAD=$KILLER \
		ASAN_OPTIONS=verify_asan_link_order=0:${ASAN_OPTIONS-} "$@"
}

# reference REF COMMAND...: a run through in REF with its operations in REF.log,
# and one that keeps all checkpoints in REF.all.
reference() {
	local ref=$1
	shift
	KILLER_LOG=$ref.log with "" "$ref" "$@" -o "$ref" --resume-from-checkpoint auto
	"$@" -o "$ref.all" --save-total-limit 0
}

# op REF PATTERN [N]: the number of REF's Nth operation that matches.
op() {
	ops "$1" "$2" | sed -n "${3:-1}p"
}

# ops REF PATTERN: the numbers of all that match.
ops() {
	sed "s| $1| OUT|" "$1.log" | grep -E -- "$2" | cut -d ' ' -f 1
}

# draw N: N different ones of the lines of stdin, or all, into the array DRAWN;
# the same for the same SEED, which goes on.
draw() {
	local n=$1 at
	local -a left
	mapfile -t left
	DRAWN=()
	while [ ${#DRAWN[@]} -lt "$n" ] && [ ${#left[@]} -gt 0 ]; do
		SEED=$(((SEED * 1103515245 + 12345) % 2147483648))
		at=$((SEED / 65536 % ${#left[@]}))
		DRAWN+=("${left[at]}")
		left=("${left[@]:0:at}" "${left[@]:at+1}")
	done
}

# whole OUT REF: nothing under OUT is half there.  What has a final name and
# its manifest is as in the run through; OUT's own manifest is there only with
# all that it lists.
whole() {
	local f
	for f in "$1"/checkpoint-*/; do
		case $f in
		*.tmp/ | *'*/') continue ;;
		esac
		# one being removed has lost its manifest first
		[ ! -e "$f/ft-manifest.json" ] || diff -r "$f" "$2.all/$(basename "$f")" >&2 || return 1
	done
	for f in "$1"/*; do
		[ -f "$f" ] || continue
		case $f in *.metrics.jsonl) continue ;; esac
		cmp "$f" "$2/$(basename "$f")" >&2 || return 1
	done
	[ ! -e "$1/ft-manifest.json" ] || diff -r -x '*.metrics.jsonl' -x 'checkpoint-*' "$1" "$2" >&2
}

# survives REF WHAT COMMAND...: a run with OUT of $T/k dies of SIGKILL by WHAT
# (or is done before that), leaves what is whole, and resumed ends as REF did.
# The command gets -o OUT and, resuming, --resume-from-checkpoint auto.
survives() {
	local ref=$1 what=$2 status=0
	shift 2
	rm -rf "$T/k"
	with "$what" "$T/k" "$@" -o "$T/k" --resume-from-checkpoint auto >&2 || status=$?
	if [ $status -ne 137 ] && [ $status -ne 0 ]; then
		fail_with "$what: status $status" || return
	fi
	resumes "$ref" "$what" "$@"
}

# resumes REF WHAT COMMAND...: as above, of a run that is dead already.
resumes() {
	local ref=$1 what=$2
	shift 2
	whole "$T/k" "$ref" || fail_with "$what: something is half there" || return
	"$@" -o "$T/k" --resume-from-checkpoint auto >&2 || fail_with "$what: does not resume" || return
	same_result "$T/k" "$ref" || fail_with "$what: another result"
}
