# A row of base answers joined with the others, for the report.
def graded($name): "\($name), judged \(.reward)" as $key
  | {($key): .completion};

{
  id,
  prompt: (.prompt | (split("**Instruction**: ")[1] // .) | split("\n\n**Output**:")[0]),
  "by hand": .reference
} + (.dpo | graded("DPO")) + (.sft | graded("SFT")) + graded("base")
