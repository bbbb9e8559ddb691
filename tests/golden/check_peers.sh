#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check_peers.sh: what the tools write, opened by transformers and PEFT, and what
# PEFT writes, opened by the tools.  For each golden model: adapters by ft-sft
# (LoRA, rsLoRA, DoRA, modules whole, LoRA on the ends), one by ft-dpo, some of
# PEFT's; a model by ft-sft --full; ft-export's merged models, its adapter, its
# 4-bit form.  The tools and a python with the packages of requirements.txt are on
# PATH (make check-peers).
set -u
here=$(cd "$(dirname "$0")" && pwd)
data=$here/../data/golden
tmp=$(mktemp -d "${TMPDIR:-/tmp}/ft-peers.XXXXXX") || exit 99
trap 'rm -rf "$tmp"' EXIT
n=0 failed=0 todo=0

# tell STATUS NAME
tell() {
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		failed=1
	fi
}

# A tool, silent when it succeeds.
run() {
	local out
	if ! out=$("$@" 2>&1); then
		printf '%s\n' "$out" | sed "s/^/#   $1: /"
		return 1
	fi
}

peer() {
	python "$here/check_peers.py" "$@"
}

# same NAME MODEL ADAPTER|- OURS: OURS is opened by ft-logprob; MODEL with
# ADAPTER by the peers, all at the end, since they take long to start.
same() {
	todo=$((todo + 1))
	if run ft-logprob --dtype float32 -m "$4" "$out/rows.st" -o "$tmp/ours.$todo"; then
		printf '%s\t' "$1" "$2" "$3" "$out/rows.jsonl" >>"$tmp/todo"
		printf '%s\n' "$tmp/ours.$todo" >>"$tmp/todo"
	else
		tell 1 "$1"
	fi
}

cases="mha gqa_tied bias head_dim rope_linear rope_llama3 bf16 odd
	mistral qwen2 qwen2_yarn qwen3 phi starcoder2 gpt2 gpt2_bare
	gemma2 gemma3_text gemma3"
# Some linears of a case, by their names.
some_linears() {
	case $1 in
	gpt2*) echo c_attn,mlp.c_proj ;;
	phi) echo q_proj,fc2 ;;
	starcoder2) echo q_proj,c_proj ;;
	*) echo q_proj,down_proj ;;
	esac
}
table() {
	case $1 in
	gpt2*) echo wte ;;
	*) echo embed_tokens ;;
	esac
}
# shellcheck disable=SC2086
peer rows "$data" "$tmp" $cases && peer adapters "$data" "$tmp" $cases || exit 1
for case in $cases; do
	m=$data/$case out=$tmp/$case
	steps=(--max-steps 8 --learning-rate 0.01 --allow-no-stop --save-steps 0 -q)
	for kind in rows pairs; do
		run ft-tokenize -q -m "$m" "$out/$kind.jsonl" -o "$out/$kind.st"
		tell $? "$case: ft-tokenize $kind of ids"
	done
	same "$case: the model itself" "$m" - "$m"

	run ft-sft -m "$m" -o "$out/sft" "${steps[@]}" --lora-r 4 "$out/rows.st"
	tell $? "$case: ft-sft"
	same "$case: PEFT opens ft-sft's adapter" "$m" "$out/sft" "$out/sft"
	run ft-dpo -m "$out/sft" -o "$out/dpo" "${steps[@]}" "$out/pairs.st"
	tell $? "$case: ft-dpo goes on from it"
	same "$case: PEFT opens ft-dpo's adapter" "$m" "$out/dpo" "$out/dpo"
	run ft-sft -m "$m" -o "$out/rs" "${steps[@]}" --use-rslora \
		--lora-target-modules "$(some_linears "$case")" "$out/rows.st"
	tell $? "$case: ft-sft with rsLoRA"
	same "$case: PEFT opens that" "$m" "$out/rs" "$out/rs"
	run ft-sft -m "$m" -o "$out/dora.ft" "${steps[@]}" --use-dora \
		--lora-modules-to-save "lm_head,$(table "$case")" "$out/rows.st"
	tell $? "$case: ft-sft with DoRA, embedding and head whole"
	same "$case: PEFT opens that" "$m" "$out/dora.ft" "$out/dora.ft"
	run ft-sft -m "$m" -o "$out/ends.ft" "${steps[@]}" --lora-target-modules \
		"lm_head,$(table "$case"),$(some_linears "$case")" "$out/rows.st"
	tell $? "$case: ft-sft with LoRA on embedding and head"
	same "$case: PEFT opens that" "$m" "$out/ends.ft" "$out/ends.ft"
	for kind in dora ends dora.ft ends.ft; do
		[ "$kind" = "${kind%.ft}" ] &&
			same "$case: PEFT's own, $kind" "$m" "$out/$kind" "$out/$kind"
		[ "$case" = gemma3 ] && continue # its head stays its embedding
		run ft-export -q -m "$m" --adapter "$out/$kind" --to hf --dtype float32 \
			-o "$out/$kind.hf"
		tell $? "$case: ft-export of it"
		same "$case: transformers opens that" "$out/$kind.hf" - "$out/$kind"
	done
	run ft-sft -m "$m" -o "$out/full" --full "${steps[@]}" "$out/rows.st"
	tell $? "$case: ft-sft --full"
	same "$case: transformers opens it" "$out/full" - "$out/full"

	run ft-export -q -m "$m" --adapter "$out/dpo" --to peft -o "$out/peft"
	tell $? "$case: ft-export --to peft"
	same "$case: PEFT opens it" "$m" "$out/peft" "$out/dpo"
	run ft-export -q -m "$m" --adapter "$out/dpo" --to hf --dtype float32 \
		-o "$out/hf"
	tell $? "$case: ft-export --to hf"
	same "$case: transformers opens the merged model" "$out/hf" - "$out/hf"
	same "$case: which is the model with the adapter" "$out/hf" - "$out/dpo"
	run ft-export -q -m "$m" --adapter "$data/$case/adapter:0.5" \
		--adapter "$out/sft:2" --to hf --dtype float32 -o "$out/two"
	tell $? "$case: ft-export of two adapters"
	same "$case: transformers opens it" "$out/two" - "$out/two"
done
# Weights in NF4 of other families: new models, since bitsandbytes' code for
# processors wants rows of whole blocks.
for case in gpt2 phi qwen3 gemma3_text; do
	m=$tmp/$case.new out=$tmp/$case.nf4
	case $case in
	gpt2) sizes='"n_embd":64,"n_layer":2,"n_head":2' ;;
	*) sizes='"hidden_size":64,"intermediate_size":128,"num_hidden_layers":2,"num_attention_heads":2,"num_key_value_heads":2,"head_dim":32' ;;
	esac
	mkdir -p "$out"
	printf '{"model_type":"%s",%s}' $case "$sizes" >"$out/sketch.json"
	run ft-init -q --config "$out/sketch.json" --initializer-range 0.2 \
		--tokenizer "$here/../data/tiny" -o "$m"
	tell $? "$case: ft-init"
	cp "$tmp/$case/rows.jsonl" "$out/"
	run ft-tokenize -q -m "$m" "$out/rows.jsonl" -o "$out/rows.st"
	same "$case: transformers opens ft-init's model" "$m" - "$m"
	run ft-export -q -m "$m" --to bnb -o "$out/bnb"
	tell $? "$case: ft-export --to bnb"
	same "$case: bitsandbytes opens it" "$out/bnb" - "$out/bnb"
	run ft-export -q -m "$out/bnb" --to hf --dtype float32 -o "$out/floats"
	tell $? "$case: ft-export --to hf of that"
	same "$case: transformers opens it" "$out/floats" - "$out/bnb"
done
# Weights in NF4: what bitsandbytes wrote and what ft-export writes, opened by
# transformers with bitsandbytes.
m=$data/nf4 out=$tmp/nf4
peer rows "$data" "$tmp" nf4 || exit 1
run ft-tokenize -q -m "$m" "$out/rows.jsonl" -o "$out/rows.st"
tell $? "nf4: ft-tokenize rows of ids"
for form in nested plain; do
	same "nf4: $form, of bitsandbytes" "$m/$form" - "$m/$form"
	run ft-sft -m "$m/$form" -o "$out/$form.sft" --max-steps 8 \
		--learning-rate 0.01 --allow-no-stop --save-steps 0 -q "$out/rows.st"
	tell $? "nf4: ft-sft of $form"
	same "nf4: PEFT opens the adapter on $form" "$m/$form" \
		"$out/$form.sft" "$out/$form.sft"
	run ft-export -q -m "$out/$form.sft" --to hf --dtype float32 -o "$out/$form.hf"
	tell $? "nf4: ft-export --to hf of $form"
	same "nf4: transformers opens it" "$out/$form.hf" - "$out/$form.sft"
	run ft-export -q -m "$out/$form.sft" --to bnb -o "$out/$form.bnb"
	tell $? "nf4: ft-export --to bnb of $form and an adapter"
	same "nf4: bitsandbytes opens it" "$out/$form.bnb" - "$out/$form.bnb"
done
for dtype in float32 bfloat16; do
	run ft-export -q -m "$m" --to bnb --dtype $dtype -o "$out/$dtype"
	tell $? "nf4: ft-export --to bnb in $dtype"
	same "nf4: bitsandbytes opens it" "$out/$dtype" - "$out/$dtype"
done
peer compare "$tmp/todo" $((n + 1)) || failed=1
echo "1..$((n + $(wc -l <"$tmp/todo")))"
exit $failed
