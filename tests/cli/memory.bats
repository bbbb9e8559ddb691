#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What --plan says is what a run takes, --memory is kept to or refused, and
# neither changes what is computed.

load ../lib/common
load ../lib/tiny

# ids KIND ROWS A B VOCAB: rows of token ids, all of one length.
ids() {
	awk -v kind="$1" -v rows="$2" -v a="$3" -v b="$4" -v v="$5" '
	function list(n, s, i) {
		for (i = 0; i < n; i++)
			s = s (i ? "," : "") 3 + int(rand() * (v - 3))
		return "[" s "]"
	}
	BEGIN {
		srand(7)
		while (rows--) {
			printf "{\"prompt_ids\":%s", list(a)
			if (kind == "sft") printf ",\"completion_ids\":%s", list(b)
			if (kind == "pair") printf ",\"chosen_ids\":%s,\"rejected_ids\":%s", list(b), list(b)
			print "}"
		}
	}'
}

# shape NAME HIDDEN INTER LAYERS HEADS KV VOCAB TIED: a model of random weights
# and its rows.
shape() {
	printf '{"model_type":"llama","vocab_size":%d,"hidden_size":%d,"intermediate_size":%d,"num_hidden_layers":%d,"num_attention_heads":%d,"num_key_value_heads":%d,"tie_word_embeddings":%s}\n' \
		"$7" "$2" "$3" "$4" "$5" "$6" "$8" >"$F/$1.json"
	ft-init -q -c "$F/$1.json" --tokenizer "$M" --dtype "$9" -o "$F/$1"
	ids sft 8 32 96 "$7" >"$F/$1.sft.jsonl"
	ids pair 8 32 48 "$7" >"$F/$1.pair.jsonl"
	ids prompt 24 40 0 "$7" >"$F/$1.prompt.jsonl"
	local s
	for s in sft pair; do
		ft-tokenize -q -m "$F/$1" "$F/$1.$s.jsonl" -o "$F/$1.$s.ft"
	done
}

setup_file() {
	tiny_streams
	shape a 256 704 8 8 4 4096 true bfloat16
	shape b 192 512 4 6 6 24000 false float32
	shape c 128 512 14 8 1 2000 true bfloat16
	"${CC:-gcc}" -std=c11 -D_GNU_SOURCE -O1 "$ROOT/tests/lib/peak.c" -o "$F/peak"
}

setup() {
	S=$F/sft.ft
}

# all COMMAND...: the bytes that its plan sums up to.
all() {
	field all <("$@" --plan --json)
}

# What a run takes can be seen, and is not a sanitizer's.
need_memory() {
	[[ $(ft-sft --version) == *" release)"* || $(ft-sft --version) == *" debug)"* ]] ||
		skip "memory is the sanitizer's"
	[ -r /proc/self/smaps ] || skip "no /proc"
}

# peak COMMAND...: what it was seen to take.
peak() {
	local rc=0
	"$F/peak" "$T/peak" "$@" 2>"$T/err" >"$T/out" || rc=$?
	[ "$rc" -eq 0 ] || fail_with "status $rc: $(cat "$T/err")"
	cut -d ' ' -f 1 "$T/peak"
}

# within PEAK PLAN: 3 % and 8 MB.
within() {
	awk -v p="$1" -v q="$2" 'BEGIN {
		slack = 0.03 * q + 8 * 1048576
		printf "%.1f MB of %.1f planned\n", p / 1048576, q / 1048576 > "/dev/stderr"
		exit !(p > 0 && p <= q + slack && p >= q - slack)
	}' || fail_with "took $1 bytes, planned were $2"
}

# train NAME METHOD DTYPE ARG...: within its plan.
train() {
	local m=$F/$1 tool=$2 kind=sft
	[ "$tool" = ft-dpo ] && kind=pair
	set -- "$tool" -q -m "$m" --dtype "$3" --threads 2 --allow-no-stop \
		--max-steps 3 --save-steps 3 "${@:4}" "$m.$kind.ft"
	within "$(peak "$@" -o "$T/o")" "$(all "$@")"
	rm -r "$T/o"
}

generate() {
	local m=$F/$1
	set -- ft-generate -q -m "$m" --dtype "$2" --threads 2 --max-new-tokens 24 \
		"${@:3}" "$m.prompt.jsonl"
	within "$(peak "$@")" "$(all "$@")"
}

@test "the peak is within the plan: LoRA SFT" {
	need_memory
	train a ft-sft float32
	train a ft-sft bfloat16 --load-in-4bit
	train b ft-sft bfloat16
	train c ft-sft float32 --gradient-checkpointing
	train c ft-sft bfloat16 --eval-file "$F/c.sft.ft" --eval-steps 1
}

@test "the peak is within the plan: DoRA, LoRA on the ends, modules trained whole" {
	need_memory
	train a ft-sft float32 --use-dora --lora-dropout 0.1
	train b ft-sft bfloat16 --load-in-4bit --use-dora --lora-modules-to-save lm_head,norm
	train b ft-sft float32 --lora-target-modules all-linear,lm_head,embed_tokens
	train c ft-dpo bfloat16 --lora-modules-to-save mlp,embed_tokens
	ft-sft -q -m "$F/a" -o "$T/a" --max-steps 1 --allow-no-stop --use-dora \
		--lora-modules-to-save embed_tokens "$F/a.sft.ft"
	train a ft-dpo bfloat16 --adapter "$T/a"
	generate a bfloat16 --adapter "$T/a"
}

@test "the peak is within the plan: full" {
	need_memory
	train a ft-sft bfloat16 --full
	train b ft-sft float32 --full
	train c ft-sft float32 --full --optim sgd
}

@test "the peak is within the plan: DPO" {
	need_memory
	train a ft-dpo float32
	train b ft-dpo float32 --full
	train c ft-dpo bfloat16
	ft-sft -q -m "$F/a" -o "$T/a" --max-steps 1 --allow-no-stop "$F/a.sft.ft"
	train a ft-dpo bfloat16 --adapter "$T/a"
}

@test "the peak is within the plan: generation and scoring" {
	need_memory
	generate a float32
	generate b bfloat16 -n 3
	generate c bfloat16 --batch-size 8
	set -- ft-logprob -q -m "$F/b" --threads 2 "$F/b.sft.ft"
	within "$(peak "$@")" "$(all "$@")"
}

# budgets COMMAND...: at 40, 60 and 80 % of what it would take it keeps to that,
# or names what would do, and that does.
budgets() {
	local free part least rc kept=0
	free=$(all "$@")
	for part in 40 60 80; do
		rc=0
		"$F/peak" "$T/peak" "$@" "${OUT[@]}" --memory $((free * part / 100)) 2>"$T/err" >"$T/out" || rc=$?
		if [ $rc -eq 0 ]; then
			awk -v p="$(cut -d ' ' -f 1 "$T/peak")" -v q=$((free * part / 100)) \
				'BEGIN { exit !(p <= 1.03 * q + 8 * 1048576) }' ||
				fail_with "$(cat "$T/peak") bytes at $part % of $free"
			kept=$((kept + 1))
		else
			[ $rc -eq 4 ] || fail_with "status $rc"
			least=$(sed -nE 's/.*too little: ([0-9]+M) is the least$/\1/p' "$T/err")
			[ -n "$least" ] || fail_with "no least: $(cat "$T/err")"
			[ $((${least%M} << 20)) -gt $((free * part / 100)) ]
			"$@" "${OUT[@]}" --memory "$least" >"$T/out"
			run "$@" "${OUT[@]}" --memory "$((${least%M} - 1))M"
			[ "$status" -eq 4 ]
		fi
		rm -rf "$T/o"
	done
	[ $kept -ge "$KEPT" ] || fail_with "only $kept budgets did"
}

@test "--memory at 40, 60 and 80 % of the free choice is kept to, or refused rightly" {
	need_memory
	OUT=(-o "$T/o") KEPT=2
	budgets ft-sft -q -m "$F/a" --dtype float32 --allow-no-stop --threads 2 --max-steps 2 --save-steps 0 "$F/a.sft.ft"
	budgets ft-dpo -q -m "$F/c" --dtype bfloat16 --allow-no-stop --threads 2 --max-steps 2 --save-steps 0 "$F/c.pair.ft"
	KEPT=1
	budgets ft-sft -q -m "$F/b" --dtype float32 --full --allow-no-stop --threads 2 --max-steps 2 --save-steps 0 "$F/b.sft.ft"
	OUT=()
	budgets ft-generate -q -m "$F/c" --threads 2 --max-new-tokens 100 "$F/c.prompt.jsonl"
	budgets ft-logprob -q -m "$F/a" --threads 2 "$F/a.sft.ft"
}

@test "files are read without a second copy" {
	need_memory
	local any plan
	set -- ft-logprob -q -m "$F/b" --dtype bfloat16 --micro-batch-tokens 16 --threads 1 "$F/b.sft.ft"
	peak "$@" >/dev/null
	any=$(cut -d ' ' -f 2 "$T/peak")
	plan=$(all "$@")
	# the model's file is larger than what this leaves for it
	[ "$(stat -c %s "$F/b/model.safetensors")" -gt $((24 << 20)) ]
	[ "$any" -lt $((plan + (24 << 20))) ] || fail_with "$any bytes in all, $plan planned"
}

@test "a plan is for what a step holds" {
	# rows of 128 tokens, or 32 and twice 48
	local n
	for n in 1 3; do
		run -0 ft-sft -m "$F/a" --allow-no-stop --plan --per-device-train-batch-size $n "$F/a.sft.ft"
		[[ ${lines[-1]} == "$((128 * n)) tokens at a time,"* ]]
	done
	run -0 ft-sft -m "$F/a" --allow-no-stop --plan --per-device-train-batch-size 2 \
		--gradient-accumulation-steps 2 "$F/a.sft.ft"
	[[ ${lines[-1]} == "512 tokens at a time,"* ]]
	run -0 ft-dpo -m "$F/a" --allow-no-stop --plan --per-device-train-batch-size 1 "$F/a.pair.ft"
	[[ ${lines[-1]} == "128 tokens at a time,"* ]]
	run -0 ft-sft -m "$F/a" --allow-no-stop --plan --per-device-train-batch-size 9 "$F/a.sft.ft"
	[[ ${lines[-1]} == "1024 tokens at a time,"* ]]
}

@test "a plan is printed, and nothing is written" {
	cd "$T"
	run --separate-stderr -0 ft-sft -m "$M" --plan "$S"
	[ -z "$stderr" ]
	[[ $output == "weights "*"kept activations "*"--memory "*M* ]]
	[[ ${lines[-1]} == *"tokens at a time, all of 2 layers kept" ]]
	ft-sft -m "$M" --plan -o "$T/o" --full --json <"$S" >"$T/json"
	cat "$S" | ft-sft -m "$M" --plan -o "$T/o" --full --json | cmp - "$T/json"
	[[ $(cat "$T/json") == '{"weights":'*'"recomputed":0}' ]]
	ft-dpo -m "$M" --plan --ref base "$F/pair.ft" >"$T/dpo"
	ft-generate -m "$M" --plan -o "$T/o" "$F/sft.jsonl" >"$T/gen"
	[[ $(cat "$T/gen") == *"keys and values "* ]]
	ft-logprob -m "$M" --plan -o "$T/o" "$S" >"$T/lp"
	[[ $(names "$T") == "dpo gen json lp"?( separate-stderr-*) ]]
	ft-sft -m "$M" --plan --gradient-checkpointing "$S" | grep -q ", of 2 layers 1 kept, 1 computed again$"
}

@test "a plan does not depend on threads" {
	local n tool
	for tool in "ft-sft $S" "ft-sft --full $S" "ft-dpo $F/pair.ft" "ft-generate $F/sft.jsonl" "ft-logprob $S"; do
		# shellcheck disable=SC2086
		for n in 1 2 4; do
			${tool%% *} -m "$M" --plan --json --threads $n ${tool#* } >"$T/$n"
		done
		cmp "$T/1" "$T/2" && cmp "$T/1" "$T/4" || fail_with "$tool"
	done
}

@test "bad command lines are status 2" {
	no() {
		local what=$1
		shift
		run --separate-stderr -2 "$@"
		says "$what"
	}
	local size
	for size in "" G -1 0 8X 8GG 1e9 "8 G" nan; do
		no "is no size" ft-sft -m "$M" -o "$T/o" "--memory=$size" "$S"
	done
	no "--json" ft-sft -m "$M" -o "$T/o" --json "$S"
	no "--json" ft-generate -m "$M" --json "$F/sft.jsonl"
	no "is no size" ft-generate -m "$M" --memory lots "$F/sft.jsonl"
	no "is no size" ft-logprob -m "$M" --memory lots "$S"
	[ ! -e "$T/o" ]
}

@test "too little memory is status 4, with the least that does, and nothing is made" {
	run --separate-stderr -4 ft-sft -m "$M" -o "$T/o" --memory 1K "$S"
	says "M is the least"
	[ ! -e "$T/o" ]
	run --separate-stderr -4 ft-generate -m "$M" -o "$T/g" --memory 1K "$F/sft.jsonl"
	says "M is the least"
	run --separate-stderr -4 ft-logprob -m "$M" -o "$T/g" --memory 1K "$S"
	says "M is the least"
	[ ! -e "$T/g" ]
}

@test "what is computed again, and the budget, change no byte" {
	tune() {
		ft-sft -q -m "$M" -o "$T/$1" --threads 1 --logging-steps 1 --max-steps 4 \
			--learning-rate 1e-3 "${@:2}" "$S"
	}
	tune a
	tune b --gradient-checkpointing --threads 2
	same_result "$T/a" "$T/b"
	tune c --memory 1G
	same_result "$T/a" "$T/c"
	# another split is another plan: the same numbers
	tune d --micro-batch-tokens 64
	tune e --micro-batch-tokens 64 --gradient-checkpointing
	same_result "$T/d" "$T/e"
	near_tensors "$T/d/adapter_model.safetensors" "$T/a/adapter_model.safetensors" 1e-4
	if grep -rlE '"memory"|"plan"|gradient.checkpointing' "$T/c" | grep .; then
		fail_with "a budget is recorded"
	fi
}

@test "going on takes the same budget" {
	local least args=(-q -m "$F/c" --allow-no-stop --threads 1 --save-steps 2)
	least=$(ft-sft "${args[@]}" --plan --memory 1K "$F/c.sft.ft" 2>&1 | sed -E 's/.*: ([0-9]+M) is.*/\1/')
	ft-sft "${args[@]}" -o "$T/a" --memory "$least" --max-steps 4 "$F/c.sft.ft"
	cp -r "$T/a" "$T/b"
	rewind "$T/b" 2
	ft-sft "${args[@]}" -o "$T/b" --memory "$least" --max-steps 4 --resume-from-checkpoint auto "$F/c.sft.ft"
	same_result "$T/a" "$T/b"
	rewind "$T/b" 2
	run --separate-stderr -3 ft-sft "${args[@]}" -o "$T/b" --max-steps 4 --resume-from-checkpoint auto "$F/c.sft.ft"
	says "micro-batch-tokens"
}
