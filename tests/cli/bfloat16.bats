#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# --dtype bfloat16, in all tools that compute.

load ../lib/common
load ../lib/tiny

setup_file() {
	tiny_streams
}

# run_sft OUT ARG...
run_sft() {
	local out=$1
	shift
	ft-sft -q -m "$M" -o "$out" --dtype bfloat16 --logging-steps 1 \
		--learning-rate 1e-3 "$@" "$F/sft.ft"
}

run_dpo() {
	local out=$1
	shift
	ft-dpo -q -m "$M" -o "$out" --dtype bfloat16 --logging-steps 1 \
		--learning-rate 1e-3 "$@" "$F/pair.ft"
}

@test "log-probabilities are those of float32 to some hundredths" {
	local d isa
	for d in float32 bfloat16; do
		ft-logprob -m "$M" --dtype $d "$F/eval.ft" -o "$T/$d.jsonl"
		field sum_logps "$T/$d.jsonl" >"$T/$d"
	done
	near_all "$T/bfloat16" "$T/float32" 0.01
	differ "$T/bfloat16" "$T/float32"
	for isa in scalar avx2 avx512 avx512bf16 amx-plain; do
		FT_ISA=$isa ft-logprob -m "$M" --dtype bfloat16 "$F/eval.ft" |
			field sum_logps /dev/stdin >"$T/$isa"
		near_all "$T/$isa" "$T/float32" 0.01
	done
}

@test "training follows float32" {
	local what d
	for what in "" --full; do
		run_sft "$T/half$what" --max-steps 40 --save-steps 0 $what
		run_sft "$T/whole$what" --max-steps 40 --save-steps 0 --dtype float32 $what
		for d in half whole; do
			field loss "$T/$d$what/train.metrics.jsonl" >"$T/$d.loss"
		done
		[ "$(wc -l <"$T/half.loss")" -eq 40 ]
		near_all "$T/half.loss" "$T/whole.loss" 0.03
		for d in half whole; do
			tail -n 10 "$T/$d.loss" | awk '{ s += $1 } END { print s / 10 }' >"$T/$d.end"
		done
		near_all "$T/half.end" "$T/whole.end" 0.01
		differ "$T/half.loss" "$T/whole.loss"
		# and it learns
		awk 'NR == 1 { a = $1 } NR == 40 { exit !($1 < a - 0.3) }' "$T/half.loss"
	done
}

@test "what is trained is kept in float32" {
	run_sft "$T/l" --max-steps 2 --save-steps 0
	run_sft "$T/f" --max-steps 2 --save-steps 0 --full
	local f
	for f in l/adapter_model f/model; do
		run -0 ft-show --json "$T/$f.safetensors"
		[[ $output == *'"F32"'* && $output != *'"BF16"'* ]]
	done
}

@test "DPO starts at ln 2, whatever the loss type at its start" {
	local type want
	for type in sigmoid:0.6931471805599453 hinge:1 ipo:25; do
		want=${type#*:}
		run_dpo "$T/$want" --loss-type "${type%:*}" --max-steps 1 --save-steps 0
		near "$(field loss "$T/$want/train.metrics.jsonl" | head -n 1)" "$want" 0
	done
}

@test "the same bytes for any number of threads" {
	local n
	for n in 1 2 4; do
		run_sft "$T/l$n" --max-steps 4 --threads $n
		run_sft "$T/f$n" --max-steps 3 --threads $n --full
		run_dpo "$T/d$n" --max-steps 3 --threads $n
	done
	for n in 2 4; do
		same_result "$T/l1" "$T/l$n"
		same_result "$T/f1" "$T/f$n"
		same_result "$T/d1" "$T/d$n"
	done
}

@test "a resumed run ends in the same bytes, and only in the same type" {
	local full
	for full in "" --full; do
		run_sft "$T/a$full" --max-steps 6 --save-steps 2 $full
		cp -r "$T/a$full" "$T/b$full"
		rewind "$T/b$full" 4
		run --separate-stderr -3 ft-sft -q -m "$M" -o "$T/b$full" --logging-steps 1 --dtype float32 \
			--learning-rate 1e-3 --max-steps 6 --save-steps 2 $full \
			--resume-from-checkpoint auto "$F/sft.ft"
		says dtype
		run_sft "$T/b$full" --max-steps 6 --save-steps 2 $full --resume-from-checkpoint auto
		same_result "$T/a$full" "$T/b$full"
	done
}

@test "tokens drawn have the log-probabilities that training sees" {
	local id
	for id in '[0,35,80]' '[0]' '[0,290,291,292,293,40,41,42,43,44,45]' '[0,7]'; do
		printf '{"prompt_ids":%s}\n' "$id"
	done | ft-generate -q -m "$M" --dtype bfloat16 -n 3 --max-new-tokens 12 \
		--completion-ids --logps >"$T/o"
	sed -E 's/"completion":"([^"\\]|\\.)*",//' "$T/o" |
		ft-tokenize -q -m "$M" --kind completion --no-append-eos -o "$T/s"
	ft-logprob -q -m "$M" --dtype bfloat16 "$T/s" -o "$T/lp"
	field sum_logps "$T/o" >"$T/a"
	field sum_logps "$T/lp" >"$T/b"
	[ "$(wc -l <"$T/a")" -eq 12 ]
	near_all "$T/a" "$T/b" 0.01
}
