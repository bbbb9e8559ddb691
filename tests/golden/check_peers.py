#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""For check_peers.sh.

rows MODEL ROWS PAIRS: write rows of ids that its vocabulary has.
compare MODEL ADAPTER|- ROWS OURS: status 0 when transformers' MODEL, with
PEFT's ADAPTER, gives the log-probs that ft-logprob wrote to OURS.
"""
import json
import sys
import warnings

warnings.filterwarnings("ignore")

from cases import F, np, open_model, os, torch
from peft import PeftModel

TOLERANCE = 1e-4


def rows(model, to, pairs):
    with open(os.path.join(model, "config.json")) as f:
        vocab = json.load(f)["vocab_size"]
    rng = np.random.default_rng(5)
    pick = lambda n: rng.integers(3, vocab, n).tolist()
    with open(to, "w") as f, open(pairs, "w") as g:
        for i in range(12):
            prompt = pick(3 + i)
            f.write(json.dumps({"prompt_ids": prompt,
                                "completion_ids": pick(20 - i)}) + "\n")
            g.write(json.dumps({"prompt_ids": prompt,
                                "chosen_ids": pick(5 + i),
                                "rejected_ids": pick(9)}) + "\n")
    return 0


def logps(model, row):
    ids, n = row["prompt_ids"] + row["completion_ids"], len(row["prompt_ids"])
    with torch.no_grad():
        lp = F.log_softmax(model(input_ids=torch.tensor([ids])).logits[0], -1)
    return [lp[i - 1, ids[i]].item() for i in range(n, len(ids))]


def compare(model, adapter, rows_file, ours_file):
    m = open_model(model)
    if adapter != "-":
        m = PeftModel.from_pretrained(m, adapter)
        m.eval()
    worst = 0.0
    with open(rows_file) as f, open(ours_file) as g:
        theirs = [logps(m, json.loads(line)) for line in f]
        ours = [json.loads(line) for line in g]
    if [o["row"] for o in ours] != list(range(len(theirs))):
        print("# not the same rows")
        return 1
    for a, b in zip(ours, theirs):
        if len(a["logps"]) != len(b):
            print("# row %d: %d tokens for %d" % (a["row"], len(a["logps"]),
                                                  len(b)))
            return 1
        for x, y in zip(a["logps"], b):
            worst = max(worst, abs(x - y) / max(1.0, abs(y)))
    print("# worst %.1e" % worst)
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    what = {"rows": rows, "compare": compare}[sys.argv[1]]
    sys.exit(what(*sys.argv[2:]))
