# A data set to the rows of a part: PART is train, or eval for what is held out:
# every fifth item of each app (part "heldout") and all of NEW_APP ("newapp").
# ROWS items an app at most.
#
#	ft-rows --json --map "$(cat prompt.jq sft.jq)" data.json

.dataset_name as $app
| .metadata as $meta
| .instructions[:($ENV.ROWS | tonumber)]
| to_entries[]
| (if $app == $ENV.NEW_APP then "newapp"
   elif .key % 5 == 4 then "heldout"
   else "train" end) as $part
| select(($part == "train") == ($ENV.PART == "train"))
| .value
| {
    id: "\($app)/\(.output.project_structure | keys_unsorted[0])",
    app: $app,
    part: $part,
    prompt: prompt($meta.framework; $meta.architecture; .instruction; .input),
    completion: answer
  }
