# The prompt and the answer of an item of data.json, as training and inference
# have them.  Put before the maps of this folder.

def prompt($framework; $architecture; $instruction; $input):
  "### Task: Flutter Application Development\n\n"
  + "**Framework**: \($framework)\n"
  + "**Architecture**: \($architecture)\n\n"
  + "**Instruction**: \($instruction)\n\n"
  + (if ($input // "") != "" then "**Input**: \($input)\n\n" else "" end)
  + "**Output**:";

# Each file of the project under a comment that names it.
def answer:
  "\n" + ([.output.project_structure | to_entries[]
           | "// \(.key)\n\(.value)"] | join("\n"));
