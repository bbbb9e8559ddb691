#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""compare.py MADE COMMITTED: status 0 when both say the same.

Text is the same or not.  Numbers, in safetensors and JSON, may differ in the
last digits, since the libraries that make them add in an order of their own on
each machine: 1e-5 of the larger of 1 and the value, for a tensor of its largest
element.
"""
import json
import sys

TOLERANCE = 1e-5


def close(a, b, scale):
    return a == b or abs(a - b) <= TOLERANCE * max(1.0, abs(scale))


def same(a, b):
    number = (int, float)
    if isinstance(a, number) and isinstance(b, number):
        if isinstance(a, bool) or isinstance(b, bool):
            return a is b
        return close(a, b, b)
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def same_tensors(made, committed):
    from safetensors.torch import load_file
    a, b = load_file(made), load_file(committed)
    if a.keys() != b.keys():
        return False
    for name, x in a.items():
        y = b[name]
        if x.shape != y.shape or x.dtype != y.dtype:
            return False
        if not x.numel():
            continue
        x, y = x.double(), y.double()
        if not close((x - y).abs().max().item(), 0.0, y.abs().max().item()):
            print(f"{committed}: tensor '{name}' differs")
            return False
    return True


def same_json(made, committed):
    with open(made) as f, open(committed) as g:
        a, b = f.read(), g.read()
    if made.endswith(".jsonl"):
        return same([json.loads(x) for x in a.splitlines()],
                    [json.loads(x) for x in b.splitlines()])
    return same(json.loads(a), json.loads(b))


def main():
    made, committed = sys.argv[1:3]
    try:
        if made.endswith(".safetensors"):
            ok = same_tensors(made, committed)
        elif made.endswith((".json", ".jsonl")):
            ok = same_json(made, committed)
        else:
            ok = False
    except OSError as e:
        print(e)
        ok = False
    if not ok:
        print(f"{committed}: not what {made} says")
    return 0 if ok else 1


sys.exit(main())
