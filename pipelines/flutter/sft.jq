# A data set to the items of one part: PART is train, heldout (every fifth item
# of each app) or newapp (all of NEW_APP).  ROWS items an app at most.
#
#	ft-rows --json --map "$(cat prompt.jq sft.jq)" data.json

.dataset_name as $app
| .metadata as $meta
| (if $app == $ENV.NEW_APP then "newapp" else null end) as $whole
| .instructions[:($ENV.ROWS | tonumber)]
| to_entries[]
| ($whole // (if .key % 5 == 4 then "heldout" else "train" end)) as $part
| select($part == $ENV.PART)
| .value
| {
    id: "\($app)/\(.output.project_structure | keys_unsorted[0])",
    app: $app,
    prompt: prompt($meta.framework; $meta.architecture; .instruction; .input),
    completion: answer
  }
