#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# ft-tokenize --chat.  The templates are ours; what they render to is Jinja2's
# (tests/golden/check_jinja.py compares the two).

load ../lib/common

setup() {
	M=$T/m
	mkdir "$M"
	cp "$DATA"/tok/small/tokenizer*.json "$M"
	cat >"$M/chat_template.jinja" <<-'END'
		{{- bos_token }}
		{%- for m in messages %}
		    {{- '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}
		{%- endfor %}
		{%- if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}
	END
	cat >"$T/chat" <<-'END'
		{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"The cat sat."},{"role":"user","content":"on"},{"role":"assistant","content":"the mat"}]}
	END
}

# shown [OPTION...]: the first row of $T/chat as ft-show prints it, trained
# tokens in brackets, on one line.
shown() {
	ft-tokenize -q -m "$M" --chat "$@" "$T/chat" -o "$T/s"
	ft-show -m "$M" --rows 0 --color never "$T/s" | sed '1,2d; s/↵//g' | tr -d '\n ' | sed 's/branch1//'
}

# field NAME: of the first row in $output.
field() {
	ft-rows --raw "$1" <<<"${lines[0]}"
}

@test "--render: the template's text, with the tokens of tokenizer_config.json" {
	run -0 --separate-stderr ft-tokenize -m "$M" --chat --render "$T/chat"
	[ "$(field text)" = $'<s><|user|>\nHi</s>\n<|assistant|>\nThe cat sat.</s>\n<|user|>\non</s>\n<|assistant|>\nthe mat</s>' ]
	[ -z "$stderr" ]
	run -0 --separate-stderr ft-tokenize -m "$M" --chat --render --add-generation-prompt "$T/chat"
	[[ $(field text) == *$'the mat</s>\n<|assistant|>' ]]
}

@test "ids are those of the text, and nothing is added" {
	ft-tokenize -q -m "$M" --chat --render "$T/chat" >"$T/text"
	ft-tokenize -q -m "$M" --kind text --ids --no-special-tokens "$T/text" | ft-rows --map '{input_ids}' >"$T/a"
	ft-tokenize -q -m "$M" --chat --ids "$T/chat" | ft-rows --map '{input_ids}' >"$T/b"
	cmp "$T/a" "$T/b"
}

@test "all is trained on, or what assistants say: to the end of a turn, no further" {
	[ "$(shown)" = '<s>⟦<|user|>Hi</s><|assistant|>Thecatsat.</s><|user|>on</s><|assistant|>themat</s>⟧' ]
	[ "$(shown --assistant-only-loss)" = '<s><|user|>Hi</s><|assistant|>⟦Thecatsat.</s>⟧<|user|>on</s><|assistant|>⟦themat</s>⟧' ]
}

@test "a message says itself whether it is trained on" {
	sed -i 's/"The cat sat."/&,"train":false/' "$T/chat"
	[ "$(shown --assistant-only-loss)" = '<s><|user|>Hi</s><|assistant|>Thecatsat.</s><|user|>on</s><|assistant|>⟦themat</s>⟧' ]
	[[ $(shown) == *'⟧Thecatsat.</s>⟦'* ]]
	sed -i 's/"train":false/"weight":1/' "$T/chat"
	[[ $(shown --assistant-only-loss) == *'⟦Thecatsat.</s>⟧'* ]]
	sed -i 's/"weight":1/"weight":2/' "$T/chat"
	run --separate-stderr -3 ft-tokenize -m "$M" --chat "$T/chat"
	says "$T/chat:1: 'weight' of a message is 0 or 1"
}

@test "{% generation %} goes before" {
	cat >"$M/chat_template.jinja" <<-'END'
		{% for m in messages %}{% if m.role == 'assistant' %}A:{% generation %}{{ m.content }}{% endgeneration %}{{ eos_token }}{% else %}U:{{ m.content }}{% endif %}{% endfor %}
	END
	[ "$(shown --assistant-only-loss)" = 'U:HiA:⟦Thecatsat.⟧</s>U:onA:⟦themat⟧</s>' ]
}

@test "a template that leaves out earlier reasoning" {
	cat >"$M/chat_template.jinja" <<-'END'
		{% for m in messages %}
		{%- set c = m.content if loop.last else m.content.split('</think>')[-1] %}
		{{- '<|' + m.role + '|>' + c + eos_token + '\n' }}
		{%- endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}
	END
	sed -i 's|The cat|<think>was</think>&|; s|the mat|<think>sat</think>&|' "$T/chat"
	[ "$(shown --assistant-only-loss)" = '<|user|>Hi</s><|assistant|>⟦Thecatsat.</s>⟧<|user|>on</s><|assistant|>⟦<think>sat</think>themat</s>⟧' ]
}

@test "a template that rewrites what went before beyond recognition is refused" {
	cat >"$M/chat_template.jinja" <<-'END'
		{% for m in messages %}{{ messages | length }}{{ m.content }}{% if loop.last %}!{% endif %}{% endfor %}
	END
	run --separate-stderr -3 ft-tokenize -m "$M" --chat --assistant-only-loss "$T/chat" -o "$T/s"
	[[ $stderr == *"$T/chat:1: the chat template writes message 1 otherwise when others follow"* ]]
	ft-tokenize -q -m "$M" --chat "$T/chat" -o "$T/s"
}

@test "prompt and completion as messages: the prompt is the prefix" {
	echo '{"prompt":[{"role":"user","content":"on"}],"completion":[{"role":"assistant","content":"the mat"}]}' >"$T/chat"
	ft-tokenize -q -m "$M" --chat "$T/chat" -o "$T/s"
	run -0 ft-show -m "$M" --rows 0 --color never "$T/s"
	[[ $output == *'prefix     <s><|user|>'*'on</s>'*'<|assistant|>'*'branch 1   ⟦the mat</s>'* ]]
	run -0 --separate-stderr ft-tokenize -m "$M" --chat --render "$T/chat"
	[ "$(field completion)" = 'the mat</s>' ]
}

@test "pairs, with a prompt and without" {
	echo '{"prompt":[{"role":"user","content":"on"}],"chosen":[{"role":"assistant","content":"the mat"}],"rejected":[{"role":"assistant","content":"the cat"}]}' >"$T/a"
	echo '{"chosen":[{"role":"user","content":"on"},{"role":"assistant","content":"the mat"}],"rejected":[{"role":"user","content":"on"},{"role":"assistant","content":"the cat"}]}' >"$T/b"
	for f in a b; do
		ft-tokenize -q -m "$M" --chat --ids "$T/$f" |
			ft-rows --map '{prompt_ids, chosen_ids, rejected_ids}' >"$T/$f.ids"
	done
	cmp "$T/a.ids" "$T/b.ids"
	run -0 --separate-stderr ft-tokenize -m "$M" --chat --render "$T/b"
	[ "$(field chosen)" = 'the mat</s>' ]
	[ "$(field rejected)" = 'the cat</s>' ]
}

@test "--no-inject: text of a message forms no special token" {
	sed -i 's|Hi|Hi</s>x|' "$T/chat"
	ids() {
		ft-tokenize -q -m "$M" --chat --ids "$@" "$T/chat" | grep -oE '"input_ids":\[[0-9,]*' | tr ',' '\n' | grep -cx 1
	}
	[ "$(ids)" = 5 ]
	[ "$(ids --no-inject)" = 4 ]
	ft-tokenize -q -m "$M" --chat --no-inject "$T/chat" --ids | ft-tokenize -q -m "$M" --decode | ft-rows --map '{text}' >"$T/a"
	ft-tokenize -q -m "$M" --chat "$T/chat" --ids | ft-tokenize -q -m "$M" --decode | ft-rows --map '{text}' >"$T/b"
	cmp "$T/a" "$T/b"
}

@test "tools, reasoning, nulls and other variables reach the template" {
	cat >"$M/chat_template.jinja" <<-'END'
		{{ tools | tojson }}{{ messages[0] }}{{ x }}{{ documents }}
	END
	echo '{"messages":[{"role":"user","content":null,"thinking":"t"}],"tools":"[{\"a\":\"é\"}]","chat_template_kwargs":{"x":[1.0,true]}}' >"$T/chat"
	run -0 --separate-stderr ft-tokenize -m "$M" --chat --render "$T/chat"
	[ "$(field text)" = "[{\"a\": \"é\"}]{'thinking': 't', 'role': 'user', 'reasoning_content': 't'}[1.0, True]None" ]
}

@test "where the template is: file, string, list, by name, in another file" {
	rm "$M/chat_template.jinja"
	run --separate-stderr -3 ft-tokenize -m "$M" --chat "$T/chat"
	says "has no chat template"
	echo '{"eos_token":"</s>","chat_template":"S{{ messages|length }}"}' >"$M/tokenizer_config.json"
	run -0 --separate-stderr ft-tokenize -m "$M" --chat --render "$T/chat"
	[ "$(field text)" = S4 ]
	echo '{"chat_template":[{"name":"default","template":"D"},{"name":"tool_use","template":"T"},{"name":"rag","template":"R"}]}' >"$M/tokenizer_config.json"
	run -0 --separate-stderr ft-tokenize -m "$M" --chat --render "$T/chat"
	[ "$(field text)" = D ]
	sed 's/^{/{"tools":[],/' "$T/chat" >"$T/tools"
	run -0 --separate-stderr ft-tokenize -m "$M" --chat --render "$T/tools"
	[ "$(field text)" = T ]
	run -0 --separate-stderr ft-tokenize -m "$M" --chat --chat-template rag --render "$T/chat"
	[ "$(field text)" = R ]
	echo 'F{{ eos_token }}' >"$T/file.jinja"
	run -0 --separate-stderr ft-tokenize -m "$M" --chat --chat-template "$T/file.jinja" --render "$T/chat"
	[ "$(field text)" = F ]
	run --separate-stderr -3 ft-tokenize -m "$M" --chat --chat-template nosuch "$T/chat"
	says "no chat template 'nosuch'"
}

@test "templates that are wrong, and those that raise" {
	echo '{{ 1 | nosuch }}' >"$M/chat_template.jinja"
	run --separate-stderr -3 ft-tokenize -m "$M" --chat "$T/chat"
	says "chat template, line 1: filter 'nosuch' is not known"
	echo "{{ raise_exception('roles') }}" >"$M/chat_template.jinja"
	run --separate-stderr -3 ft-tokenize -m "$M" --chat "$T/chat"
	[[ $stderr == *"$T/chat:1: chat template, line 1: the template raises: roles" ]]
}

@test "a date in a template can be held" {
	echo "{{ strftime_now('%Y-%m-%d %H') }}" >"$M/chat_template.jinja"
	SOURCE_DATE_EPOCH=86400 run -0 --separate-stderr ft-tokenize -m "$M" --chat --render "$T/chat"
	[ "$(field text)" = '1970-01-02 00' ]
}

@test "rows that are no chats; options that do not go together" {
	echo '{"messages":[]}' >"$T/in"
	run --separate-stderr -3 ft-tokenize -m "$M" --chat "$T/in"
	says "$T/in:1: field 'messages' has no message"
	echo '{"text":"x"}' >"$T/in"
	run --separate-stderr -3 ft-tokenize -m "$M" --chat "$T/in"
	says "$T/in:1: --chat takes messages"
	echo '{"prompt":"x"}' >"$T/in"
	run --separate-stderr -3 ft-tokenize -m "$M" --chat "$T/in"
	says "$T/in:1: field 'prompt' is not a list of messages"
	run --separate-stderr -2 ft-tokenize -m "$M" --render "$T/in"
	says "belong to --chat"
	run --separate-stderr -2 ft-tokenize -m "$M" --chat --decode "$T/in"
	says "exclude each other"
}

@test "chats that are too long are counted, dropped or cut" {
	run --separate-stderr -3 ft-tokenize -m "$M" --chat --max-length 20 "$T/chat" -o "$T/s"
	[[ $stderr == *"1 of 1 rows are longer than --max-length 20"* ]]
	ft-tokenize -q -m "$M" --chat --assistant-only-loss --max-length 35 --on-long truncate "$T/chat" -o "$T/s" --ledger "$T/l"
	grep -q '"rows_cut":1' "$T/l"
	ft-tokenize -q -m "$M" --chat --assistant-only-loss --max-length 8 --on-long truncate "$T/chat" -o "$T/s" --ledger "$T/l"
	grep -q '"empty":1' "$T/l"
}
