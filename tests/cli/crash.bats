#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What is left of a run that dies, and that it can be gone on with.  The moments
# are drawn by SEED (printed when something fails); tests/lib/kill-sweep tries
# many more of them.  Where there is /dev/shm it is used: what is tested does not
# depend on the disk, and thousands of fsyncs do.

load ../lib/common
load ../lib/tiny
load ../lib/crash

commands() {
	LORA=(ft-sft -q -m "$M" --threads 1 --max-steps 7 --save-steps 2 --save-total-limit 2
		--logging-steps 1 --eval-file "$F/eval.ft" --eval-steps 3 --learning-rate 1e-3
		--lora-r 4 --lora-dropout 0.1 "$F/sft.ft")
	FULL=(ft-sft -q -m "$M" --full --threads 1 --max-steps 5 --save-steps 2 --logging-steps 2
		--learning-rate 1e-3 "$F/sft.ft")
	DPO=(ft-dpo -q -m "$F/start" --threads 1 --num-train-epochs 3 --save-steps 2 --logging-steps 1
		--per-device-train-batch-size 5 --learning-rate 1e-2 --lora-dropout 0.1 "$F/pair.ft")
	L=$F/lora
}

setup_file() {
	if [ -w /dev/shm ]; then
		F=$(mktemp -d /dev/shm/ft-crash.XXXXXX)
	fi
	export F
	tiny_streams
	killer_build "$F"
	export KILLER
	export SEED=${SEED:-$RANDOM}
	commands
	ft-sft -q -m "$M" -o "$F/start" --threads 1 --lora-r 4 --max-steps 2 --save-steps 0 "$F/sft.ft"
	reference "$F/lora" "${LORA[@]}"
	reference "$F/full" "${FULL[@]}"
	reference "$F/dpo" "${DPO[@]}"
}

teardown_file() {
	rm -rf "$F"
}

setup() {
	echo "SEED=$SEED"
	T=$F/$BATS_TEST_NUMBER
	mkdir "$T"
	commands
}

teardown() {
	rm -rf "$T"
}

# --- kill -9 -----------------------------------------------------------------

@test "kill -9 at 10 operations inside checkpoint writes: the same bytes after all" {
	local n
	draw 10 < <(ops "$L" '/checkpoint-[0-9]+\.tmp/')
	for n in "${DRAWN[@]}"; do
		survives "$L" "$n:kill" "${LORA[@]}"
	done
}

@test "kill -9 at 9 other operations: logging, dropping, the final save" {
	local n set
	draw 3 < <(ops "$L" '(write .*metrics|unlink .*checkpoint-[0-9]*/|rmdir|rename [^ ]*/checkpoint-[0-9]*$)')
	set=("${DRAWN[@]}")
	draw 3 < <(ops "$L" 'OUT/\.?[a-z]')
	for n in 1 3 $(op "$L" 'write OUT/\.adapter_model') "${set[@]}" "${DRAWN[@]}"; do
		survives "$L" "$n:kill" "${LORA[@]}"
	done
}

@test "kill -9 at 6 moments by the clock" {
	local s
	draw 6 < <(seq 2 60)
	for s in "${DRAWN[@]}"; do
		rm -rf "$T/k"
		run timeout -s KILL "$(printf '0.%03d' "$s")" "${LORA[@]}" -o "$T/k"
		resumes "$L" "after $s ms" "${LORA[@]}"
	done
}

@test "kill -9 of a full model's run and of preference training from an adapter" {
	local n
	draw 3 < <(ops "$F/full" .)
	for n in "${DRAWN[@]}"; do
		survives "$F/full" "$n:kill" "${FULL[@]}"
	done
	draw 3 < <(ops "$F/dpo" .)
	for n in $(op "$F/dpo" checkpoint-6.tmp) "${DRAWN[@]}"; do
		survives "$F/dpo" "$n:kill" "${DPO[@]}"
	done
}

@test "killed twice: while it resumes too" {
	local n k
	for k in 1 2 3; do
		rm -rf "$T/k"
		draw 1 < <(ops "$L" checkpoint-)
		n=${DRAWN[0]}
		with "$n:kill" "$T/k" "${LORA[@]}" -o "$T/k" || true
		draw 1 < <(seq 1 80)
		n=${DRAWN[0]}
		with "$n:kill" "$T/k" "${LORA[@]}" -o "$T/k" --resume-from-checkpoint auto || true
		resumes "$L" "twice, then $n" "${LORA[@]}"
	done
}

@test "a filter that is killed leaves no file of its name" {
	echo '{"prompt":"Add a"}' >"$T/rows"
	local n
	for n in 2 3 4; do
		run -137 with "$n:kill" "$T/.f" ft-generate -q -m "$M" --max-new-tokens 4 "$T/rows" -o "$T/f"
		[ ! -e "$T/f" ]
	done
	run -137 with 3:kill "$T/.f" ft-logprob -q -m "$M" "$F/eval.ft" -o "$T/f"
	[ ! -e "$T/f" ]
	for n in 2 3; do
		run -143 with "$n:15" "$T/.f" ft-logprob -q -m "$M" "$F/eval.ft" -o "$T/f"
		[ -z "$(ls -d "$T"/f "$T"/.f* 2>/dev/null)" ] || [ "$n" = 2 ]
		rm -f "$T"/.f*
	done
}

# --- signals -------------------------------------------------------------------

@test "SIGTERM, SIGINT: the step is finished, saved, and the run dies of the signal" {
	local s
	for s in 15 2; do
		rm -rf "$T/k"
		# in the middle of step 3's record
		run --separate-stderr -$((128 + s)) with "$(op "$L" 'write .*metrics' 3):$s" "$T/k" \
			"${LORA[@]}" -o "$T/k"
		[ -z "$stderr" ]
		[ "$(ls -d "$T"/k/checkpoint*)" = "$T/k/checkpoint-2"$'\n'"$T/k/checkpoint-3" ]
		[ -e "$T/k/checkpoint-3/ft-manifest.json" ]
		[ ! -e "$T/k/ft-manifest.json" ]
		"${LORA[@]}" -o "$T/k" --resume-from-checkpoint auto
		cmp "$T/k/adapter_model.safetensors" "$L/adapter_model.safetensors"
		cmp "$T/k/trainer_state.json" "$L/trainer_state.json"
	done
}

@test "SIGTERM inside a checkpoint's write: it is completed first" {
	run -143 with "$(op "$L" 'write .*checkpoint-4.tmp'):15" "$T/k" "${LORA[@]}" -o "$T/k"
	[ -e "$T/k/checkpoint-4/ft-manifest.json" ]
	resumes "$L" "15" "${LORA[@]}"
}

@test "SIGTERM and SIGINT before the first step: nothing to save" {
	# the stream does not come, so it waits; bash lets background jobs ignore
	# SIGINT, which env undoes
	mkfifo "$T/in"
	sleep 60 >"$T/in" 3>&- &
	local feeder=$! s pid
	for s in TERM INT; do
		env --default-signal=INT "${LORA[@]/"$F/sft.ft"/-}" -o "$T/k" <"$T/in" 3>&- &
		pid=$!
		sleep 0.3
		kill -USR1 $pid
		kill -$s $pid
		status=0
		wait $pid || status=$?
		[ $status -eq $((128 + $(kill -l $s))) ]
		[ ! -e "$T/k" ]
	done
	kill $feeder
	# where the directory is there already but no step is done
	run with "1:15" "$T/k" "${LORA[@]}" -o "$T/k"
	[ "$status" -eq 143 ]
	[ -z "$(ls -d "$T"/k/checkpoint* 2>/dev/null)" ]
	resumes "$L" "before" "${LORA[@]}"
}

@test "SIGUSR1: saved, and it goes on" {
	local args=("${LORA[@]}" --save-total-limit 0)
	run --separate-stderr -0 with "$(op "$L" 'write .*metrics' 3):10" "$T/k" "${args[@]}" -o "$T/k"
	[ "$(cd "$T/k" && echo checkpoint*)" = "checkpoint-2 checkpoint-3 checkpoint-4 checkpoint-6 checkpoint-7" ]
	cmp "$T/k/adapter_model.safetensors" "$L/adapter_model.safetensors"
	# also before the first step, and without --save-steps
	run -0 with "1:10" "$T/u" "${args[@]}" --save-steps 0 -o "$T/u"
	[ "$(cd "$T/u" && echo checkpoint*)" = "checkpoint-1" ]
	cmp "$T/u/adapter_model.safetensors" "$L/adapter_model.safetensors"
}

@test "a second SIGINT: it leaves at once" {
	local n
	n=$(op "$L" 'write .*checkpoint-4.tmp')
	run -130 with "$((n - 6)):2,$n:2" "$T/k" "${LORA[@]}" -o "$T/k"
	[ ! -e "$T/k/checkpoint-4" ]
	[ -e "$T/k/checkpoint-2/ft-manifest.json" ]
	resumes "$L" "twice" "${LORA[@]}"
}

@test "under make: after SIGTERM the next stage is not run; make again goes on" {
	need_command make
	cat >"$T/Makefile" <<-'EOF'
		.RECIPEPREFIX = >
		next: out/ft-manifest.json
		>cp out/adapter_model.safetensors $@
		out/ft-manifest.json:
		>echo $$$$ >pid; exec ft-sft -q -m $(M) -o out --threads 1 --max-steps $(N) --save-steps 0 \
		>	--logging-steps 1 --resume-from-checkpoint auto $(F)/sft.ft
	EOF
	(cd "$T" && exec make -s N=100000 >make.out 2>&1 3>&-) &
	local pid=$! i
	for ((i = 0; i < 100; i++)); do
		[ "$(cat "$T/out/train.metrics.jsonl" 2>/dev/null | wc -l)" -gt 3 ] && break
		sleep 0.05
	done
	kill -TERM "$(cat "$T/pid")"
	status=0
	wait $pid || status=$?
	[ $status -eq 2 ]
	grep -q 'Terminated\|143' "$T/make.out"
	[ ! -e "$T/next" ]
	[ ! -e "$T/out/ft-manifest.json" ]
	ls "$T"/out/checkpoint-*/ft-manifest.json
	# what the rule would have done, to the end
	rm -r "$T/out"
	(cd "$T" && make -s N=5)
	[ -e "$T/next" ]
}

# --- disks ---------------------------------------------------------------------

@test "a disk that fills up: status 4, nothing half there, resumed once there is room" {
	local n
	draw 3 < <(ops "$L" 'write .*checkpoint-[0-9]+\.tmp')
	for n in "${DRAWN[@]}" $(op "$L" 'mkdir .*checkpoint-2') $(op "$L" 'create .*checkpoint-4.tmp') $(op "$L" 'write .*optimizer' 5) \
		$(ops "$L" 'write OUT/\.adapter_model') $(op "$L" 'write OUT/\.ft-manifest'); do
		rm -rf "$T/k"
		run --separate-stderr -4 with "$n:full" "$T/k" "${LORA[@]}" -o "$T/k"
		[[ $stderr == *"No space left on device"* ]]
		[ -z "$(ls -d "$T"/k/*.tmp "$T"/k/.[a-z]* 2>/dev/null)" ]
		[ ! -e "$T/k/ft-manifest.json" ]
		resumes "$L" "full at $n" "${LORA[@]}"
	done
}

@test "a disk that fails to sync: status 4, nothing half there" {
	local n
	draw 2 < <(ops "$L" 'fsync .*checkpoint-[0-9]+\.tmp')
	for n in "${DRAWN[@]}" $(op "$L" 'fsync .*checkpoint-2.tmp') \
		$(op "$L" 'fsync OUT/\.adapter_model') $(op "$L" 'fsync OUT/\.ft-manifest'); do
		rm -rf "$T/k"
		run --separate-stderr -4 with "$n:eio" "$T/k" "${LORA[@]}" -o "$T/k"
		says "Input/output error"
		[ ! -e "$T/k/ft-manifest.json" ]
		resumes "$L" "eio at $n" "${LORA[@]}"
	done
}

@test "a small file system of its own: the earlier checkpoint stays, then it goes on" {
	mkdir "$T/disk"
	# shellcheck disable=SC2016
	unshare -m true 2>/dev/null && unshare -m mount -t tmpfs -o size=64k none "$T/disk" 2>/dev/null ||
		skip "cannot mount a file system here"
	local size
	size=$(($(du -sk --apparent-size "$L/checkpoint-6" | cut -f 1) * 2))
	# shellcheck disable=SC2016
	run --separate-stderr -0 unshare -m bash -c '
		disk=$1 size=$2 ref=$3
		shift 3
		mount -t tmpfs -o size="${size}k" none "$disk" || exit 99
		"$@" -o "$disk/k"
		[ $? -eq 4 ] || exit 98
		[ -e "$disk/k/checkpoint-2/ft-manifest.json" ] || exit 97
		[ "$(echo "$disk"/k/checkpoint*)" = "$disk/k/checkpoint-2" ] || exit 96
		[ ! -e "$disk/k/ft-manifest.json" ] || exit 95
		diff -r "$disk/k/checkpoint-2" "$ref/checkpoint-2" 2>/dev/null
		mount -o remount,size=16m "$disk" || exit 94
		"$@" -o "$disk/k" --resume-from-checkpoint auto || exit 93
		diff -r -x "*.metrics.jsonl" "$disk/k" "$ref"' \
		- "$T/disk" "$size" "$L" "${LORA[@]}"
	[[ $stderr == *"No space left on device"* ]]
}

# --- torn input ----------------------------------------------------------------

@test "a torn line, a torn stream, a writer that dies: status 3 and no result" {
	head -c -4 "$F/sft.jsonl" >"$T/torn"
	run --separate-stderr -3 ft-generate -q -m "$M" --max-new-tokens 1 "$T/torn" -o "$T/f"
	[ ! -e "$T/f" ]
	# shellcheck disable=SC2016
	run bash -c 'ft-tokenize -q -m "$1" "$2" | ft-sft -q -m "$1" -o "$3"; echo "${PIPESTATUS[@]}"' \
		- "$M" "$T/torn" "$T/o"
	[[ ${lines[-1]} == "3 3" ]]
	[ ! -e "$T/o" ]
	head -c -1 "$F/pair.ft" >"$T/torn"
	run --separate-stderr -3 ft-dpo -q -m "$M" -o "$T/o" "$T/torn"
	run --separate-stderr -3 ft-logprob -q -m "$M" -o "$T/f" "$T/torn"
	[ ! -e "$T/o" ]
	[ ! -e "$T/f" ]
}
