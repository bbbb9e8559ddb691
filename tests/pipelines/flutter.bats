#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The Flutter pipeline at toy size, and its judge on right and wrong code.

load ../lib/common

# What an outer make says is not for this one.
unset MAKEFLAGS MFLAGS MAKELEVEL

# pipeline OUT [VARIABLE=VALUE...] TARGET...
pipeline() {
	local out=$1
	shift
	make --no-print-directory -C "$ROOT/pipelines" SMOKE=1 OUT="$out" "$@"
}

setup_file() {
	export OUT=$BATS_FILE_TMPDIR/out
	pipeline "$OUT" flutter >"$BATS_FILE_TMPDIR/log" 2>&1 || {
		cat "$BATS_FILE_TMPDIR/log" >&2
		return 1
	}
	touch "$BATS_FILE_TMPDIR/done"
}

@test "from records to a report" {
	for f in processed_data/{sft,chat}_dataset/{train,eval}.jsonl \
		processed_data/{sft,dpo}_dataset/{train,eval}.ft \
		outputs/{sft,control,dpo}_model/{ft-manifest.json,adapter_model.safetensors} \
		export/{merged,adapter}/ft-manifest.json eval/summary.json infer.jsonl; do
		[ -s "$OUT/$f" ] || fail_with "no $f"
	done
	for s in Goals 'Bits per byte' 'Preference accuracy' 'Win rate' \
		'loss (preference)' 'control (eval)' 'toy run'; do
		grep -qF "$s" "$OUT/report.html" || fail_with "no '$s' in the report"
	done
}

@test "the held-out app and every fifth item are in no training row" {
	d=$OUT/processed_data/sft_dataset
	[ "$(ft-rows --raw app "$d/train.jsonl" | grep -c ledgerly)" -eq 0 ]
	[ "$(ft-rows --raw part "$d/eval.jsonl" | sort | uniq -c | xargs)" = "5 heldout 5 newapp" ]
	comm -12 <(ft-rows --raw id "$d/train.jsonl" | sort) <(ft-rows --raw id "$d/eval.jsonl" | sort) >"$T/both"
	[ ! -s "$T/both" ]
	# the format of a prompt is that of the system before
	run -0 ft-rows --limit 1 --raw prompt "$d/train.jsonl"
	[ "${lines[0]}" = "### Task: Flutter Application Development" ]
	[ "${lines[1]}" = "**Framework**: Flutter" ]
	[[ ${lines[2]} == "**Architecture**: "* ]]
	[[ ${lines[3]} == "**Instruction**: "* ]]
	[ "${lines[-1]}" = "**Output**:" ]
}

@test "FORMAT=chat: the chat data set, through the template, is the same training" {
	pipeline "$OUT" FORMAT=chat OUT="$T/chat" flutter-sft >"$T/log" 2>&1 ||
		fail_with "$(cat "$T/log")"
	ft-show --json "$T/chat/processed_data/chat_dataset/train.ft" >"$T/a"
	ft-show --json "$OUT/processed_data/sft_dataset/train.ft" >"$T/b"
	grep -q '"kind":"chat"' "$T/a"
	for key in rows tokens supervised_tokens; do
		[ "$(jq .$key "$T/a")" = "$(jq .$key "$T/b")" ]
	done
}

@test "a second run does nothing" {
	pipeline "$OUT" flutter >"$T/log" 2>&1
	run ! grep -E '^(rows|tokens|sft|dpo|pairs|generate|logprob|judge|export|report|init) ' "$T/log"
	find "$OUT" -type f -newer "$BATS_FILE_TMPDIR/done" >"$T/new"
	[ ! -s "$T/new" ] || fail_with "$(cat "$T/new")"
}

@test "another setting makes again what depends on it" {
	cp -a "$OUT" "$T/out"
	touch "$T/before"
	pipeline "$T/out" MODEL="$OUT/toy" BETA=0.3 flutter-dpo >"$T/log" 2>&1
	[ "$T/out/outputs/dpo_model/ft-manifest.json" -nt "$T/before" ]
	[ ! "$T/out/outputs/sft_model/ft-manifest.json" -nt "$T/before" ]
	run ! cmp -s {"$OUT","$T/out"}/outputs/dpo_model/adapter_model.safetensors
}

@test "killed in the middle, it goes on to the same bytes" {
	(exec setsid make -C "$ROOT/pipelines" SMOKE=1 OUT="$T/out" flutter-sft >"$T/log" 2>&1) &
	pid=$!
	for _ in $(seq 600); do
		[ ! -e "$T/out/outputs/sft_model/checkpoint-2" ] || break
		sleep 0.05
	done
	kill -9 -- "-$pid" || true
	wait "$pid" || true
	[ -e "$T/out/outputs/sft_model/checkpoint-2" ]
	[ ! -e "$T/out/outputs/control_model/ft-manifest.json" ]
	pipeline "$T/out" flutter-sft >"$T/log" 2>&1
	# both models lie in other folders, which only adapter_config.json says
	cmp {"$OUT","$T/out"}/outputs/sft_model/adapter_model.safetensors
	cmp {"$OUT","$T/out"}/outputs/control_model/adapter_model.safetensors
}

@test "bad data stops make, and nothing half-written is left" {
	head -c 300000 "$ROOT/pipelines/flutter/data.json" >"$T/data.json"
	run ! make -C "$ROOT/pipelines" SMOKE=1 OUT="$T/out" FLUTTER_DATA="$T/data.json" flutter
	[[ $output == *"Error 3"* ]]
	[ -z "$(find "$T/out" -name '*.jsonl' -o -name '*.ft')" ]
	# a row that no prompt can be made of
	echo '[{"dataset_name":"a","metadata":{},"instructions":[{"instruction":1}]}]' >"$T/data.json"
	run ! make -C "$ROOT/pipelines" SMOKE=1 OUT="$T/out" FLUTTER_DATA="$T/data.json" flutter-data
	[[ $output == *"Error 3"* ]]
}

@test "without a model it says what to do" {
	run ! make -C "$ROOT/pipelines" OUT="$T/out" FLUTTER_BASE="$T/none" flutter-data
	[[ $output == *"no embedded model"* ]]
	run ! make -C "$ROOT/pipelines" BASE_OUT="$T/base" base
	[[ $output == *"CORPUS="* ]]
}

@test "infer answers a prompt" {
	cp -a "$OUT" "$T/out"
	pipeline "$T/out" MODEL="$OUT/toy" flutter-infer PROMPT="Don't \$HOME \"this\"" >"$T/log" 2>&1
	[ "$(ft-rows --raw prompt "$T/out/infer.jsonl" | grep -F 'Instruction')" = "**Instruction**: Don't \$HOME \"this\"" ]
	[ "$(ft-rows --raw finish_reason "$T/out/infer.jsonl")" ]
}

@test "base: the recipe at toy size" {
	need_shared data/dart/corpus.jsonl.zst
	ft-rows --limit 60 "$SHARED/data/dart/corpus.jsonl.zst" -o "$T/corpus.jsonl"
	make --no-print-directory -C "$ROOT/pipelines" CORPUS="$T/corpus.jsonl" BASE_OUT="$T/base" \
		BASE_VOCAB=400 BASE_CONFIG=flutter/toy.json BASE_MAX_STEPS=2 BASE_BATCH=1 \
		FLUTTER_BASE="$T/model" BASE_RECORDS="$T" base >"$T/log" 2>&1 || fail_with "$(cat "$T/log")"
	[ -s "$T/model/ft-manifest.json" ]
	[ -s "$T/curve-decay.jsonl" ]
	[ -s "$T/heldout.json" ]
}

@test "the embedded model is there and answers" {
	m=$ROOT/pipelines/flutter/base/model
	[ -e "$m/ft-manifest.json" ] || skip "no embedded model yet"
	run -0 ft-generate -q -m "$m" --temperature 0 --max-new-tokens 4 -p "import 'package:"
	[[ $output == *flutter* ]]
	[ "$(stat -c %s "$m/model.safetensors")" -le 12000000 ]
}

# --- the judge ------------------------------------------------------------------

# reward GRADE CODE [FINISH_REASON]: of an answer to $ask.
reward() {
	ft-rows --json --map "{id: 0, prompt: \$ENV.ask, completion: \$ENV.code, finish_reason: \$ENV.why}" <<<null |
		"$ROOT/pipelines/flutter/judge" |
		ft-rows --map "{v: (if \"$1\" == \"\" then .reward else .grades[\"$1\"] end | tostring)}" --raw v
}

judge_setup() {
	export ask why=stop code
	ask=$'### Task\n\n**Instruction**: Write CounterTile, a StatelessWidget with an int count, a TextButton labelled "Add one" and an onAdd callback.\n\n**Output**:'
	code="
// lib/counter_tile.dart
import 'package:flutter/material.dart';

class CounterTile extends StatelessWidget {
  const CounterTile({super.key, required this.count, required this.onAdd});

  final int count;
  final VoidCallback onAdd;

  @override
  Widget build(BuildContext context) {
    return Row(
      children: [
        Text('\$count of \${count > 3 ? \"many } (\" : 'few'}'), // a ) in a comment
        TextButton(onPressed: onAdd, child: const Text('Add one')),
      ],
    );
  }
}
"
}

@test "judge: right code gets all" {
	judge_setup
	[ "$(reward "")" = 1 ]
}

@test "judge: each grade finds its fault" {
	judge_setup
	right=$code
	code=${right/children: \[/children: (} && [ "$(reward balanced | cut -c 1-3)" != 1 ] && [ "$(reward end)" = 0 ]
	code=${right/\'Add one\'/\'Add one} && [ "$(reward balanced | cut -c 1-3)" != 1 ] && [ "$(reward end)" = 0 ]
	code="$right /* open" && [ "$(reward balanced | cut -c 1-3)" != 1 ] && [ "$(reward end)" = 0 ]
	code="$right return 3;" && [ "$(reward parses)" != 1 ]
	code=${right//onAdd/onMore} && [ "$(reward asked)" != 1 ]
	code=${right//Add one/Add} && [ "$(reward asked)" != 1 ]
	code=${right//CounterTile/OtherTile} && [ "$(reward declared)" = 0 ]
	code=${right//TextButton/FlatButton} && [ "$(reward current)" = 0.5 ]
	code="$right
class Second {" && [ "$(reward end)" = 0 ]
	code="$right
// lib/other.dart
class Other {}" && [ "$(reward end)" = 0 ]
	code="$right import 'dart:io';" && [ "$(reward end)" = 0 ]
	why=length code=$right && [ "$(why=length reward end)" = 0 ]
	code="$right$right$right$right" && [ "$(reward fresh)" = 0 ]
	code="A CounterTile with a TextButton" && [ "$(reward "")" = 0 ]
	code="class CounterTile {}" && [ "$(reward "" | cut -c 1-3)" = 0.0 ]
}

@test "judge: winners, and all answers by hand pass" {
	judge_setup
	# shellcheck disable=SC2034
	right=$code wrong=${code/\]/)}
	for order in "a right wrong" "b wrong right" "tie right right"; do
		read -r want x y <<<"$order"
		a=${!x} b=${!y} ft-rows --json --map '{id: 7, sample: 0, prompt: $ENV.ask, a: $ENV.a, b: $ENV.b}' <<<null |
			"$ROOT/pipelines/flutter/judge" >"$T/row"
		[ "$(ft-rows --raw winner "$T/row")" = "$want" ]
	done
	PART=train NEW_APP=none ROWS=1000 ft-rows --json \
		--map "$(cat "$ROOT"/pipelines/flutter/{prompt,sft}.jq)" "$ROOT/pipelines/flutter/data.json" |
		"$ROOT/pipelines/flutter/judge" | ft-rows --map 'select(.reward < 0.9)' >"$T/low"
	[ ! -s "$T/low" ]
	run -3 "$ROOT/pipelines/flutter/judge" <<<'{"prompt":"x"}'
}
