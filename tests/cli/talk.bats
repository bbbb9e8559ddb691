#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# ft-generate --chat as a conversation: at a terminal, and by --interactive
# without one.

load ../lib/common
load ../lib/tiny

setup_file() {
	echo "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}" >"$F/t"
	# a model that knows two answers by heart: characters of several bytes,
	# and one that does not end
	cat >"$F/rows" <<-'E'
		{"messages":[{"role":"user","content":"smile"},{"role":"assistant","content":"日本語 ✓ grün"}]}
		{"messages":[{"role":"user","content":"go"},{"role":"assistant","content":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}]}
	E
	sed 's/"messages":\[{"role":"user","content":\("[^"]*"\)},{"role":"assistant","content":\("[^"]*"\)}\]/"p":\1,"c":\2/' "$F/rows" |
		ft-rows --map '{prompt: ("<user>" + .p + "<a>"), completion: (.c + if .p == "smile" then "</s>" else "" end)}' |
		ft-tokenize -q -m "$M" --no-special-tokens --no-append-eos -o "$F/s"
	ft-sft -q -m "$M" -o "$F/a" --threads 1 --overfit-one-batch --allow-no-stop --max-steps 200 \
		--learning-rate 2e-2 --save-steps 0 "$F/s"
}

talk() {
	ft-generate -q -m "$F/a" --chat --chat-template "$F/t" --temperature 0 --threads 1 --max-new-tokens 40 "$@"
}

# tty STEPS [OPTION...]: talk at a terminal.
tty() {
	local steps=$1
	shift
	printf '%s\n' "$steps" >"$T/steps"
	"$ROOT/tests/lib/tty" "$T/steps" ft-generate -m "$F/a" --chat --chat-template "$F/t" \
		--temperature 0 --threads 1 "$@"
}

@test "each answer is that of rows with all that was said" {
	printf '%s\n' smile go go >"$T/in"
	talk --interactive <"$T/in" >"$T/out"
	[ "$(head -n 1 "$T/out")" = "日本語 ✓ grün" ]
	[ "$(wc -l <"$T/out")" -ge 3 ]
	# the third, by rows
	local a b c
	a=$(talk -p smile | ft-rows --raw completion)
	[ "$a" = "日本語 ✓ grün" ]
	b=$(printf '%s' '{"messages":[{"role":"user","content":"smile"},{"role":"assistant","content":"'"$a"'"},{"role":"user","content":"go"}]}' |
		talk | jq -c .completion)
	c=$(printf '%s' '{"messages":[{"role":"user","content":"smile"},{"role":"assistant","content":"'"$a"'"},{"role":"user","content":"go"},{"role":"assistant","content":'"$b"'},{"role":"user","content":"go"}]}' |
		talk | ft-rows --raw completion)
	{
		echo "$a"
		jq -r . <<<"$b"
		echo "$c"
	} | cmp - "$T/out"
	# any number of threads
	talk --threads 3 --interactive <"$T/in" | cmp - "$T/out"
}

@test "/clear begins anew; lines between fences are one message; empty ones are none" {
	printf '%s\n' go /clear '' smile >"$T/in"
	talk --interactive <"$T/in" >"$T/out"
	[ "$(tail -n 1 "$T/out")" = "日本語 ✓ grün" ]
	printf '%s\n' '"""' 'a' 'b' '"""' | talk --interactive >"$T/out"
	talk <<<'{"messages":[{"role":"user","content":"a\nb"}]}' | ft-rows --raw completion | cmp - "$T/out"
	printf 'smile' | talk --interactive >"$T/out"
	[ "$(cat "$T/out")" = "日本語 ✓ grün" ]
}

@test "what is shown is whole characters, as they come" {
	need_command python3
	yes smile | head -n 30 | sed 'a /clear' >"$T/in"
	python3 - "$T/in" ft-generate -q -m "$F/a" --chat --chat-template "$F/t" --temperature 0 \
		--threads 1 --interactive <<-'E'
		import os, subprocess, sys
		p = subprocess.Popen(sys.argv[2:], stdin=open(sys.argv[1]), stdout=subprocess.PIPE)
		n = 0
		whole = b""
		while True:
		    piece = os.read(p.stdout.fileno(), 65536)
		    if not piece:
		        break
		    piece.decode("utf-8")
		    whole += piece
		    n += 1
		assert whole.decode() == "日本語 ✓ grün\n" * 30, whole
		assert n > 60, n
		assert p.wait() == 0
	E
}

@test "stop strings are not shown, nor what may become one" {
	[ "$(printf 'smile\n' | talk --interactive --stop "✓")" = "日本語 " ]
	[ "$(printf 'smile\n' | talk --interactive --stop "語 ✓ grünes" --stop "rün")" = "日本語 ✓ g" ]
	[ "$(printf 'smile\n' | talk --interactive --stop "never")" = "日本語 ✓ grün" ]
}

@test "a long conversation forgets how it began" {
	local i
	for ((i = 0; i < 30; i++)); do echo smile; done >"$T/in"
	run --separate-stderr -0 ft-generate -m "$F/a" --chat --chat-template "$F/t" --temperature 0 \
		--threads 1 --max-new-tokens 40 --interactive <"$T/in"
	[[ $output == "日本語 ✓ grün"* ]]
	[[ $stderr == *"messages do not fit any more and are forgotten"* ]]
	# too long a message is said, and the next is answered
	{
		head -c 3000 /dev/zero | tr '\0' x
		echo
		echo smile
	} >"$T/in"
	run --separate-stderr -0 ft-generate -q -m "$F/a" --chat --chat-template "$F/t" --temperature 0 \
		--threads 1 --interactive <"$T/in"
	[ "$output" = "日本語 ✓ grün" ]
	[[ $stderr == "ft-generate: "*"tokens are too many: there is room for 256" ]]
}

need_tty() {
	need_command python3
	python3 -c 'import pty; pty.openpty()' 2>/dev/null ||
		skip "this machine gives no terminals (/dev/pts)"
}

@test "at a terminal: a prompt, an answer, Ctrl-D ends" {
	need_tty
	run -0 tty $'wait > \ntype smile\nwait grün\nwait > \nkey D'
	[[ $output == *"Ctrl-C stops an answer, Ctrl-D ends"*"日本語 ✓ grün"* ]]
	# not asked for: rows as ever
	run -0 talk -p smile
	[[ $output == '{"messages":'*'"completion":"日本語 ✓ grün"'* ]]
	run --separate-stderr -0 talk </dev/null
	[ -z "$output" ]
}

@test "at a terminal: Ctrl-C stops an answer, not the program" {
	need_tty
	# an answer that would go on for long; then a line is left
	cp -r "$M" "$T/m"
	sed -i 's/"max_position_embeddings": 256/"max_position_embeddings": 100000/' "$T/m/config.json"
	run -0 tty $'wait > \ntype go\nwait aaa\nkey C\nwait > \nkey C\nwait > \ntype /clear\nwait > \ntype smile\nwait grün\nwait > \nkey D' \
		--base "$T/m" --max-new-tokens 40000
	[[ $output == *aaa*"日本語 ✓ grün"* ]]
	[[ $output != *"cut at"* ]]
}

@test "bad combinations are status 2" {
	no() {
		local what=$1
		shift
		run --separate-stderr -2 ft-generate -m "$M" "$@"
		says "$what"
	}
	no "--interactive belongs to --chat" --interactive
	no "no rows to read" --chat --interactive rows
	no "no rows to read" --chat --interactive -o "$T/o"
	no "no rows to read" --chat --interactive -n 2
	no "no rows to read" --chat --interactive --logps
	no "no rows to read" --chat --interactive -p x
}

@test "a full disk is status 4; a reader that goes away ends it" {
	[ -w /dev/full ] || skip "no /dev/full"
	run --separate-stderr -4 bash -c 'exec "$@" >/dev/full' - ft-generate -q -m "$F/a" --chat \
		--chat-template "$F/t" --interactive <<<smile
	says "cannot write"
	# shellcheck disable=SC2016
	run --separate-stderr bash -c '
		yes smile | head -n 200 | "$@" 2>/dev/null | head -c 1 >/dev/null
		echo "${PIPESTATUS[2]}"' - ft-generate -q -m "$F/a" --chat --chat-template "$F/t" --interactive
	[ "$output" = 141 ]
}
