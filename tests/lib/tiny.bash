# SPDX-License-Identifier: MIT
#
# For bats files, after common: the model of tests/data/tiny, rows and streams
# for it, and ways to look at what training left.
#	M	the model's directory
#	F	streams of the file's tests: sft.ft eval.ft pair.ft one.ft, and
#		the rows they are made from (.jsonl)
# shellcheck shell=bash disable=SC2034,SC2154

M=$DATA/tiny
F=${F:-${BATS_FILE_TMPDIR-}}
export M F

# tiny_rows N [FROM]: rows with prompt and completion of various lengths.
tiny_rows() {
	local i words=(title count state button center value)
	for ((i = ${2:-0}; i < ${2:-0} + $1; i++)); do
		printf '{"id":%d,"prompt":"Write a widget that shows %s %d.","completion":"Text(%s)%*s;"}\n' \
			"$i" "${words[i % 6]}" "$i" "'${words[i * 5 % 6]}: $((i * 7))'" $((i % 9 + 1)) ""
	done
}

# tiny_pairs N: preference pairs.
tiny_pairs() {
	local i
	for ((i = 0; i < $1; i++)); do
		printf '{"prompt":"Add %d to the count.","chosen":"count += %d;","rejected":"count =+ %d%*s;"}\n' \
			"$i" "$i" $((i * 3)) $((i % 4)) ""
	done
}

tiny_streams() {
	tiny_rows 20 >"$F/sft.jsonl"
	tiny_rows 6 100 >"$F/eval.jsonl"
	tiny_pairs 12 >"$F/pair.jsonl"
	head -n 1 "$F/pair.jsonl" >"$F/one.jsonl"
	local s
	for s in sft eval pair one; do
		ft-tokenize -q -m "$M" "$F/$s.jsonl" -o "$F/$s.ft"
	done
}

# field NAME FILE: its values in JSON lines, one a line.
field() {
	sed -nE "s|.*\"$1\": ?([^,}]*).*|\1|p" "$2" | sed 's/ *$//'
}

# near A B TOLERANCE: |A - B| <= TOLERANCE max(1, |B|).
near() {
	awk -v a="$1" -v b="$2" -v t="$3" 'BEGIN {
		if (a !~ /[0-9]/ || b !~ /[0-9]/) exit 1
		d = a - b; m = b < 0 ? -b : b
		exit !((d < 0 ? -d : d) <= t * (m > 1 ? m : 1))
	}' || fail_with "$1 is not near $2 ($3)"
}

# near_all FILE FILE TOLERANCE: numbers, one a line, near each other.
near_all() {
	[ "$(wc -l <"$1")" -eq "$(wc -l <"$2")" ] && [ -s "$1" ] ||
		fail_with "not as many numbers: $(wc -l "$1" "$2")"
	paste "$1" "$2" | awk -v t="$3" '{
		d = $1 - $2; m = $2 < 0 ? -$2 : $2
		if ((d < 0 ? -d : d) > t * (m > 1 ? m : 1)) { print NR ": " $0; bad = 1 }
	} END { exit bad }' || fail_with "numbers differ by more than $3"
}

# tensors FILE: every number of a float32 safetensors file.
tensors() {
	local n
	n=$(od -An -tu8 -N 8 "$1")
	od -An -v -tf4 -w4 -j $((n + 8)) "$1"
}

# near_tensors A B TOLERANCE: max |a - b| <= TOLERANCE max |b|.
near_tensors() {
	paste <(tensors "$1") <(tensors "$2") | awk -v t="$3" '
		NF != 2 { bad = 1 }
		{ d = $1 - $2; if (d < 0) d = -d; m = $2 < 0 ? -$2 : $2 }
		d > worst { worst = d }
		m > most { most = m }
		END { print worst / most; exit bad || !most || worst > t * most }' ||
		fail_with "tensors differ by more than $3"
}

# same_result A B: two OUTs, alike in every byte but the times in metrics.
same_result() {
	diff -r -x '*.metrics.jsonl' "$1" "$2" >&2 || return 1
	diff <(untimed "$1"/train.metrics.jsonl) <(untimed "$2"/train.metrics.jsonl) >&2
}

# differ A B: two files that are there and are not the same.  (Where it is not
# the last line of a test, "! cmp" fails nothing.)
differ() {
	[ -r "$1" ] && [ -r "$2" ] || return 1
	if cmp -s "$1" "$2"; then
		fail_with "$1 and $2 are the same"
	fi
}

untimed() {
	sed -E 's/"(time|train_runtime|train_samples_per_second|train_steps_per_second)":[0-9.e+-]*,//g' "$1"
}

# logged OUT: its metrics but for the line that a run ends with.
logged() {
	grep -v train_runtime "$1/train.metrics.jsonl"
}

# names DIR: what is in it, on one line.
names() {
	local n
	n=$(ls -A "$1")
	echo "${n//$'\n'/ }"
}

# rewind OUT N: as if the run had been killed just after checkpoint-N.
rewind() {
	local f
	for f in "$1"/*; do
		case ${f##*/} in
		checkpoint-*) [ "${f##*-}" -le "$2" ] || rm -r "$f" ;;
		*.metrics.jsonl) ;;
		*) rm "$f" ;;
		esac
	done
}
