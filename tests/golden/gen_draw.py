#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make tests/data/draw.json: python3 gen_draw.py [OUT]

What transformers' generate() makes of logits before it draws: with repetition
penalty, temperature, top-k, top-p and min-p, alone and together; and greedy
text with a repetition penalty.  The model is tests/data/golden/mha.
"""
import json
import sys

from cases import open_model
import numpy as np
import torch

HOWS = [
    {},
    {"temperature": 0.6},
    {"repetition_penalty": 1.4},
    {"repetition_penalty": 0.7},
    {"min_p": 0.1},
    {"min_p": 0.5, "temperature": 2.5},
    {"top_k": 7, "min_p": 0.05},
    {"top_p": 0.8, "min_p": 0.02, "temperature": 1.7},
    {"repetition_penalty": 1.9, "min_p": 0.1, "temperature": 1.3},
    {"repetition_penalty": 1.2, "temperature": 0.8, "top_k": 20,
     "top_p": 0.9, "min_p": 0.08},
    {"repetition_penalty": 1.2, "temperature": 1.8, "top_k": 9,
     "top_p": 0.97, "min_p": 0.01},
    {"min_p": 1.0},
]


def generate(model, prompt, n, **how):
    return model.generate(
        torch.tensor([prompt]), max_new_tokens=n, pad_token_id=0,
        eos_token_id=-1, output_scores=True, output_logits=True,
        return_dict_in_generate=True, **how)


def drawn(model, prompt, how):
    torch.manual_seed(0)
    full = dict(do_sample=True, top_k=0, top_p=1.0, temperature=1.0)
    out = generate(model, prompt, 1, **{**full, **how})
    return {"prompt": prompt, "how": how,
            "logits": [float(x) for x in out.logits[0][0]],
            "probs": [float(x) for x in out.scores[0][0].softmax(-1)]}


def greedy(model, rng, penalty, n=48):
    """A prompt whose text is not a matter of rounding, and differs from the one
    without a penalty."""
    while True:
        prompt = [int(x) for x in rng.integers(3, 53, 6)]
        out = generate(model, prompt, n, do_sample=False,
                       repetition_penalty=penalty)
        plain = generate(model, prompt, n, do_sample=False)
        top = torch.stack([s[0].topk(2).values for s in out.scores])
        if ((top[:, 0] - top[:, 1]).min() > 1e-2
                and 2 not in out.sequences[0]
                and not torch.equal(out.sequences, plain.sequences)):
            ids = out.sequences[0][len(prompt):].tolist()
            return {"prompt": prompt, "penalty": penalty, "ids": ids}


def main():
    model = open_model("tests/data/golden/mha")
    rng = np.random.default_rng(5)
    rows = []
    for how in HOWS:
        prompt = [int(x) for x in rng.integers(3, 53, 12)]
        rows.append(drawn(model, prompt, how))
    texts = [greedy(model, rng, p) for p in (1.3, 1.05, 2.0)]
    path = sys.argv[1] if len(sys.argv) > 1 else "tests/data/draw.json"
    with open(path, "w") as f:
        f.write(json.dumps({"rows": rows, "greedy": texts}) + "\n")


main()
