#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# A trainer's stream from what cannot be read twice: a copy is made beside its
# results, which has no name, so nothing is left of it however the run ends.

load ../lib/common
load ../lib/tiny

setup_file() {
	tiny_streams
	zstd -q "$F/sft.ft" -o "$F/sft.zst"
}

setup() {
	S=$F/sft.ft
}

# sft OUT ARG...: a short quiet run of 10 steps with a checkpoint at every one.
RUN=(-q -m "$M" --threads 1 --logging-steps 1 --save-steps 1
	--per-device-train-batch-size 2 --num-train-epochs 1)
sft() {
	local out=$1
	shift
	ft-sft "${RUN[@]}" -o "$out" "$@"
}

# until_true COMMAND...: wait for it to be true, 20 s at most.
until_true() {
	local i
	for ((i = 0; i < 400; i++)); do
		! "$@" || return 0
		sleep 0.05
	done
	fail_with "it did not come to: $*"
}

@test "a pipe, a fifo and a compressed file train as a file does" {
	sft "$T/file" "$S"
	# shellcheck disable=SC2002
	cat "$S" | sft "$T/pipe"
	mkfifo "$T/fifo"
	cat "$S" >"$T/fifo" &
	sft "$T/fifo.out" "$T/fifo"
	wait
	sft "$T/zst" "$F/sft.zst"
	sft "$T/zst.pipe" <"$F/sft.zst"
	sft "$T/stdin" <"$S"
	local o
	for o in pipe fifo.out zst zst.pipe stdin; do
		same_result "$T/file" "$T/$o"
		[ "$(names "$T/file")" = "$(names "$T/$o")" ]
	done
}

@test "after a kill the same pipe again gives the same bytes" {
	sft "$T/whole" --num-train-epochs 5 "$S"
	mkfifo "$T/fifo"
	ft-sft "${RUN[@]}" -o "$T/o" --num-train-epochs 5 <"$T/fifo" &
	local pid=$!
	cat "$S" >"$T/fifo"
	until_true test -e "$T/o/checkpoint-3/ft-manifest.json"
	kill -9 $pid || skip "it was done before it could be killed"
	wait $pid || true
	[ ! -e "$T/o/ft-manifest.json" ]
	[ -z "$(ls -d "$T"/o/.[a-z]* 2>/dev/null)" ]
	# shellcheck disable=SC2002
	cat "$S" | sft "$T/o" --num-train-epochs 5 --resume-from-checkpoint auto
	same_result "$T/whole" "$T/o"
	[ "$(names "$T/whole")" = "$(names "$T/o")" ]
}

@test "resuming takes the same stream from wherever it comes, and no other" {
	sft "$T/whole" "$S"
	cp -r "$T/whole" "$T/o"
	rewind "$T/o" 4
	sft "$T/o" --resume-from-checkpoint auto <"$F/sft.zst"
	same_result "$T/whole" "$T/o"
	cp -r "$T/whole" "$T/p"
	rewind "$T/p" 4
	# shellcheck disable=SC2016
	run --separate-stderr -3 bash -c \
		'in=$1; shift; cat "$in" | ft-sft "$@"' - "$F/eval.ft" \
		"${RUN[@]}" -o "$T/p" --resume-from-checkpoint auto
	says "the data"
}

# holds PID N: it has a file of N bytes open.
holds() {
	stat -Lc %s "/proc/$1"/fd/* 2>/dev/null | grep -qx "$2"
}

@test "the copy is in OUT, or above it as long as it is not there" {
	# The reader holds the copy open while it waits for the rest.
	look() {
		mkfifo "$T/f"
		ft-sft -q -m "$M" -o "$1" <"$T/f" &
		local pid=$!
		exec 9>"$T/f"
		rm "$T/f"
		head -c 4000 "$S" >&9
		until_true holds $pid 4000
		readlink /proc/$pid/fd/* | grep "^$T/" >"$T/links" || true
		exec 9>&-
		wait $pid || status=$?
	}
	local status=0
	look "$T/o"
	[ $status -eq 3 ]
	[ ! -e "$T/o" ]
	grep -E "^$T/[^/]* \(deleted\)$" "$T/links"
	mkdir "$T/o"
	look "$T/o"
	grep -E "^$T/o/[^/]* \(deleted\)$" "$T/links"
	[ -z "$(ls -A "$T/o")" ]
}

@test "a full disk while copying is status 4, and nothing is left" {
	# shellcheck disable=SC2016
	run --separate-stderr -4 bash -c \
		'trap "" XFSZ; cat "$3" | { ulimit -f 2; exec ft-sft -q -m "$1" -o "$2"; }' \
		- "$M" "$T/o" "$S"
	says "cannot write a copy"
	[ ! -e "$T/o" ]
	mkdir "$T/ro"
	touch "$T/file"
	run --separate-stderr -4 ft-sft -q -m "$M" -o "$T/file/o" "$F/sft.zst"
	says "Not a directory"
}

@test "input that is no stream is refused before it fills the disk" {
	# shellcheck disable=SC2016
	run --separate-stderr bash -c \
		'yes | ft-sft -q -m "$1" -o "$2"; echo "${PIPESTATUS[1]}"' - "$M" "$T/o"
	[ "$output" = 3 ]
	[[ $stderr == *"not a token stream"* ]]
	[ ! -e "$T/o" ]
}

@test "a file that is changed under a run ends it, status 3" {
	cp "$S" "$T/s"
	sft "$T/o" --num-train-epochs 500 --save-steps 0 "$T/s" 2>"$T/err" &
	local pid=$! status=0
	until_true grep -q loss "$T/o/train.metrics.jsonl"
	printf x | dd of="$T/s" bs=1 seek=3000 conv=notrunc status=none
	wait $pid || status=$?
	[ $status -eq 3 ]
	[ "$(cat "$T/err")" = "ft-sft: $T/s: changed while it was in use" ]
	[ ! -e "$T/o/ft-manifest.json" ]
	# replaced, as every tool does it, is another matter
	cp "$S" "$T/s"
	sft "$T/p" --num-train-epochs 20 --save-steps 0 "$T/s" &
	pid=$!
	until_true grep -q loss "$T/p/train.metrics.jsonl"
	cp "$F/eval.ft" "$T/s2"
	mv "$T/s2" "$T/s"
	wait $pid
	[ -e "$T/p/ft-manifest.json" ]
}
