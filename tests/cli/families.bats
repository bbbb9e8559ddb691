#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Every family of models through the tools: trained, merged, quantised.

load ../lib/common

G=$DATA/golden
FAMILIES="mistral qwen2 qwen2_yarn qwen3 phi starcoder2 gpt2 gpt2_bare gemma2 gemma3_text gemma3"

# ids FROM N: a JSON list of N ids.
ids() {
	jq -cn --argjson a "$1" --argjson n "$2" '[range($n)|(.*7+$a)%30+5]'
}

# streams FAMILY: rows and pairs of ids, $T/sft.ft and $T/dpo.ft.
streams() {
	for i in 1 2 3 4; do
		printf '{"prompt_ids":%s,"completion_ids":%s}\n' "$(ids $i 4)" "$(ids $((i + 9)) 11)"
	done >"$T/rows.jsonl"
	for i in 1 2 3; do
		printf '{"prompt_ids":%s,"chosen_ids":%s,"rejected_ids":%s}\n' \
			"$(ids $i 5)" "$(ids $((i + 2)) 8)" "$(ids $((i + 5)) 6)"
	done >"$T/pairs.jsonl"
	ft-tokenize -q -m "$G/$1" "$T/rows.jsonl" -o "$T/sft.ft"
	ft-tokenize -q -m "$G/$1" "$T/pairs.jsonl" -o "$T/dpo.ft"
}

train() {
	local tool=$1
	shift
	"$tool" -q --allow-no-stop --save-steps 0 --max-steps 4 --learning-rate 1e-2 "$@" 2>"$T/said" ||
		fail_with "$tool $*: $(cat "$T/said")"
}

@test "every family learns in every way, and is merged into what it was" {
	for m in $FAMILIES; do
		streams "$m"
		rm -rf "$T"/[a-z]-*
		train ft-sft -m "$G/$m" -o "$T/a-lora" "$T/sft.ft"
		train ft-dpo -m "$T/a-lora" -o "$T/a-dpo" "$T/dpo.ft"
		train ft-sft -m "$G/$m" -o "$T/a-q" --load-in-4bit "$T/sft.ft"
		train ft-sft -m "$G/$m" -o "$T/a-full" --full "$T/sft.ft"
		# each compares what it wrote with what it was to be
		ft-export -q -m "$T/a-dpo" --to hf -o "$T/o-hf"
		ft-export -q -m "$T/a-dpo" --to peft -o "$T/o-peft"
		ft-export -q -m "$T/a-dpo" --to bnb -o "$T/o-bnb"
		ft-export -q -m "$T/o-bnb" --to hf -o "$T/o-back"
		ft-logprob -q -m "$T/a-full" "$T/sft.ft" -o "$T/o-rows"
		[ "$(wc -l <"$T/o-rows")" -eq 4 ]
	done
}

@test "memory that is planned is memory that does, whatever the family" {
	for m in gpt2 phi gemma3_text; do
		streams "$m"
		train ft-sft -m "$G/$m" -o "$T/$m-some" --memory 8M --per-device-train-batch-size 4 "$T/sft.ft"
		train ft-sft -m "$G/$m" -o "$T/$m-all" --per-device-train-batch-size 4 "$T/sft.ft"
		cmp "$T/$m-some/adapter_model.safetensors" "$T/$m-all/adapter_model.safetensors"
	done
}

@test "GPT-2: PEFT is told of its transposed weights" {
	streams gpt2_bare
	train ft-sft -m "$G/gpt2_bare" -o "$T/o" --lora-target-modules c_attn,mlp.c_proj "$T/sft.ft"
	[ "$(jq -c '[.fan_in_fan_out,.target_modules]' "$T/o/adapter_config.json")" = '[true,["c_attn","mlp.c_proj"]]' ]
	ft-show "$T/o/adapter_model.safetensors" | grep -q base_model.model.transformer.h.1.mlp.c_proj.lora_B.weight
}

@test "GPT-2: all weights are saved as they were stored" {
	streams gpt2_bare
	train ft-sft -m "$G/gpt2_bare" -o "$T/o" --full "$T/sft.ft"
	ft-show "$T/o/model.safetensors" | grep h.0.mlp.c_fc.weight | grep -q '16.*64'
}

@test "GPT-2: positions end" {
	printf '{"prompt_ids":%s,"completion_ids":[5]}\n' "$(ids 1 80)" >"$T/long.jsonl"
	ft-tokenize -q -m "$G/gpt2" "$T/long.jsonl" -o "$T/long.ft"
	run --separate-stderr -3 ft-logprob -q -m "$G/gpt2" "$T/long.ft"
	says "the model has 80"
}

@test "Gemma 3: what sees is kept when the rest is trained" {
	streams gemma3
	train ft-sft -m "$G/gemma3" -o "$T/o" --full "$T/sft.ft"
	seen() { ft-show "$1/model.safetensors" | grep -o 'vision_tower[a-z0-9_.]*' | sort; }
	seen "$T/o" >"$T/a"
	seen "$G/gemma3" >"$T/b"
	[ -s "$T/a" ]
	cmp "$T/a" "$T/b"
}

@test "a dropout that is left out is said" {
	streams gpt2
	cp -r "$G/gpt2" "$T/m"
	sed -i 's/"resid_pdrop": 0.0/"resid_pdrop": 0.1/' "$T/m/config.json"
	train ft-sft -m "$T/m" -o "$T/o" "$T/sft.ft"
	grep -q "asks for dropout of 0.1 inside the model: it is left out" "$T/said"
}

@test "new models of a family" {
	printf '{"text": "a b c"}\n' >"$T/t.jsonl"
	for c in '"qwen3","hidden_size":16,"intermediate_size":24,"num_hidden_layers":2,"num_attention_heads":2,"num_key_value_heads":1,"head_dim":8' \
		'"gpt2","n_embd":16,"n_layer":2,"n_head":2' \
		'"phi","hidden_size":32,"intermediate_size":24,"num_hidden_layers":2,"num_attention_heads":2' \
		'"gemma2","hidden_size":16,"intermediate_size":24,"num_hidden_layers":2,"num_attention_heads":2,"num_key_value_heads":1,"head_dim":8'; do
		rm -rf "$T/new"
		printf '{"model_type":%s}' "$c" >"$T/sketch.json"
		ft-init -q --config "$T/sketch.json" --tokenizer "$DATA/tiny" -o "$T/new"
		ft-tokenize -q -m "$T/new" "$T/t.jsonl" | ft-logprob -q -m "$T/new" >"$T/out"
		# nothing is known: all tokens are as likely
		jq -e '.sum_logps / .tokens | . < -3 and . > -9' "$T/out" >/dev/null
	done
	printf '{"model_type":"gemma3","text_config":{}}' >"$T/sketch.json"
	run --separate-stderr -3 ft-init --config "$T/sketch.json" --tokenizer "$DATA/tiny" -o "$T/new2"
	says "parts that ft-init does not make"
}

@test "a family that is not there: those that are" {
	cp -r "$G/mistral" "$T/m"
	sed -i 's/"mistral"/"mamba"/' "$T/m/config.json"
	streams mistral
	run --separate-stderr -3 ft-logprob -m "$T/m" "$T/sft.ft"
	says "llama, mistral, qwen2, qwen3, phi, starcoder2, gpt2, gemma2, gemma3_text, gemma3"
}
