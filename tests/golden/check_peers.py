#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""For check_peers.sh.

rows DATA TMP CASE...: write TMP/CASE/{rows,pairs}.jsonl, ids of the vocabulary
of DATA/CASE.
adapters DATA TMP CASE...: PEFT's own adapters on the models of DATA, with what
it has for most: TMP/CASE/{dora,ends}.
compare TODO N: for each line NAME, MODEL, ADAPTER (or -), ROWS, OURS of TODO a
line of TAP, numbered from N: does transformers' MODEL with PEFT's ADAPTER give
the log-probs of ROWS that ft-logprob wrote to OURS?
"""
import json
import sys
import warnings

warnings.filterwarnings("ignore")
import transformers

transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()

from cases import F, fresh, np, open_model, os, torch
from gen_adapters import values
from peft import LoraConfig, PeftModel, get_peft_model

TOLERANCE = 1e-4


def rows(data, tmp, *cases):
    for case in cases:
        with open(os.path.join(data, case, "config.json")) as f:
            c = json.load(f)
            # the last ones may stand for images
            vocab = c.get("text_config", c)["vocab_size"] - 4
        rng = np.random.default_rng(5)
        pick = lambda n: rng.integers(3, vocab, n).tolist()
        path = fresh(os.path.join(tmp, case))
        with open(path + "/rows.jsonl", "w") as f, \
                open(path + "/pairs.jsonl", "w") as g:
            for i in range(12):
                prompt = pick(3 + i)
                f.write(json.dumps({"prompt_ids": prompt,
                                    "completion_ids": pick(20 - i)}) + "\n")
                g.write(json.dumps({"prompt_ids": prompt,
                                    "chosen_ids": pick(5 + i),
                                    "rejected_ids": pick(9)}) + "\n")
    return 0


def adapters(data, tmp, *cases):
    for i, case in enumerate(cases):
        path = os.path.join(data, case)
        for kind in "dora", "ends":
            m = open_model(path)
            turned = case.startswith("gpt2")
            table = "wte" if turned else "embed_tokens"
            linears = [n for n, x in m.named_modules()
                       if type(x).__name__ in ("Linear", "Conv1D")
                       and "vision" not in n and "multi_modal" not in n
                       and n != "lm_head"]
            some = [n for n in linears if ".0." in n] or linears[:2]
            kw = (dict(use_dora=True, target_modules=linears,
                       rank_pattern={n: 3 for n in some[:2]},
                       alpha_pattern={n: 5 for n in some[1:3]},
                       modules_to_save=[table, "lm_head"])
                  if kind == "dora" else
                  dict(use_rslora=True,
                       target_modules=some + [table, "lm_head"]))
            peft = get_peft_model(m, LoraConfig(
                r=4, lora_alpha=6, task_type="CAUSAL_LM",
                fan_in_fan_out=turned, **kw))
            values(peft, 900 + i)
            peft.save_pretrained(os.path.join(tmp, case, kind))
    return 0


def logps(model, row):
    ids, n = row["prompt_ids"] + row["completion_ids"], len(row["prompt_ids"])
    with torch.no_grad():
        lp = F.log_softmax(model(input_ids=torch.tensor([ids])).logits[0], -1)
    return [lp[i - 1, ids[i]].item() for i in range(n, len(ids))]


def in_float32(model):
    """bitsandbytes' linears multiply, in float32, what they dequantise: without
    gradients they take kernels that leave out the rounding to the type of the
    checkpoint.  What is not quantised stays in the type of the file, whatever
    dtype was asked for."""
    for p in model.parameters():
        if p.is_floating_point():
            p.data = p.data.float()
    for mod in model.modules():
        if type(mod).__name__ == "Linear4bit":
            import bitsandbytes.functional as bnb
            w = bnb.dequantize_4bit(mod.weight, mod.weight.quant_state)
            mod.forward = lambda x, w=w.float(): F.linear(x, w)
    return model


def one(model, adapter, rows_file, ours_file):
    """The worst difference; infinite where it is not the same rows."""
    m = in_float32(open_model(model))
    if adapter != "-":
        m = PeftModel.from_pretrained(m, adapter)
        m.eval()
    with open(rows_file) as f, open(ours_file) as g:
        theirs = [logps(m, json.loads(line)) for line in f]
        ours = [json.loads(line) for line in g]
    if ([o["row"] for o in ours] != list(range(len(theirs)))
            or [len(o["logps"]) for o in ours] != [len(t) for t in theirs]):
        return float("inf")
    return max(abs(x - y) / max(1.0, abs(y)) for a, b in zip(ours, theirs)
               for x, y in zip(a["logps"], b))


def compare(todo, first):
    bad = 0
    with open(todo) as f:
        lines = [line.rstrip("\n").split("\t") for line in f]
    for n, (name, *files) in enumerate(lines, int(first)):
        try:
            worst = one(*files)
        except Exception as e:  # that it opens is what is tested
            print("#   %s: %s" % (type(e).__name__, str(e).splitlines()[0]))
            worst = float("inf")
        ok = worst <= TOLERANCE
        bad += not ok
        print("%sok %d - %s: worst %.1e" % ("" if ok else "not ", n, name,
                                           worst), flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    what = {"rows": rows, "adapters": adapters, "compare": compare}[sys.argv[1]]
    sys.exit(what(*sys.argv[2:]))
