# A pair of a row, spoilt in length: what ft-pairgen takes away teaches that more
# is better, so here an import comes again and again, the answer is cut off, or
# it runs on.  Which of them, the row's id says.

def spoilt($kind; $text): {id, app, part, prompt, chosen: .completion, rejected: $text, pair_kind: $kind};

(.completion | split("\n")) as $lines
| [range($lines | length) | select($lines[.] | startswith("import "))] as $at
| (.id | explode | add) as $n
| if $n % 3 == 0 and ($at | length) > 0 then
    spoilt("repeated-import";
      ($lines[:$at[-1] + 1]
       + [range(1 + $n % 5) | $lines[$at[. % ($at | length)]]]
       + $lines[$at[-1] + 1:]) | join("\n"))
  elif $n % 3 == 1 then
    spoilt("cut-off"; $lines[:($lines | length) * (40 + $n % 50) / 100 | floor] | join("\n"))
  else
    spoilt("run-on"; .completion + ($lines[:($lines | length) / 2 | floor] | join("\n")))
  end
