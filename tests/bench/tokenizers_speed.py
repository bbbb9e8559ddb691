#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Text to ids, beside the tokenizers package and tiktoken.

usage: tokenizers_speed.py [-p PAIRS] [-m MB] [-t TEXTS] TOKSPEED DATA [NAME...]

For each of DATA/tokenizers (gpt2, qwen2.5 and tinyllama, or those named) and
each kind of text: ours and theirs take turns, with caches cold (a tokenizer
just loaded) and warm (the same texts again), one thread and two.  With one
thread time is its own, with two the clock's.  TEXTS is a folder with prose.txt,
code.txt, cjk.txt; without it prose is the docstrings of the packages at hand,
code the Dart of DATA and cjk this machine's catalogues of messages.  jsonl is
the code as rows through ft-tokenize, with the file it writes, beside the same
texts in memory.  TSV.
"""
import argparse
import ast
import gettext
import glob
import hashlib
import json
import os
import statistics
import struct
import subprocess
import sys
import sysconfig
import tempfile
import time

os.environ.update(RAYON_NUM_THREADS="2", TOKENIZERS_PARALLELISM="false")

import numpy as np
import tiktoken
from tokenizers import Tokenizer

LONGEST = 20000  # characters of a text


def docstrings():
    for path in sorted(glob.glob(sysconfig.get_path("purelib") + "/**/*.py", recursive=True)):
        try:
            with open(path, encoding="utf-8") as f:
                tree = ast.parse(f.read())
        except (OSError, SyntaxError, ValueError):
            continue
        found = [ast.get_docstring(n) for n in ast.walk(tree) if isinstance(
            n, (ast.Module, ast.ClassDef, ast.FunctionDef))]
        yield "\n\n".join(s for s in found if s and len(s) > 200)


def messages():
    for path in sorted(glob.glob("/usr/share/locale/*/LC_MESSAGES/*.mo")):
        if path.split("/")[4] in ("ja", "zh_CN", "zh_TW", "ko"):
            with open(path, "rb") as f:
                try:
                    found = gettext.GNUTranslations(f)._catalog
                except (OSError, UnicodeDecodeError):
                    continue
            yield "\n".join(s for s in found.values() if not s.isascii())


def dart(data):
    p = subprocess.Popen(["zstd", "-dcq", data + "/dart/corpus.jsonl.zst"], stdout=subprocess.PIPE)
    with p.stdout:
        for row in p.stdout:
            yield json.loads(row)["text"]


def lines(path):
    with open(path, encoding="utf-8", newline="") as f:
        while s := f.read(LONGEST):
            yield s


def some(source, megabytes):
    out, left = [], megabytes * 1e6
    for s in source:
        for at in range(0, len(s), LONGEST):
            if left > 0:
                out.append(s[at:at + LONGEST])
                left -= len(out[-1].encode())
    return out


def texts(folder, data, megabytes):
    own = {"prose": docstrings, "code": lambda: dart(data), "cjk": messages}
    for kind, make in own.items():
        path = os.path.join(folder, kind + ".txt") if folder else ""
        v = some(lines(path) if os.path.exists(path) else make(), megabytes)
        if v:
            yield kind, v
        else:
            print("# no %s here: -t TEXTS" % kind, flush=True)


class Ours:
    def __init__(self, argv):
        self.p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, what):
        print(what, file=self.p.stdin, flush=True)
        return self.p.stdout.readline().split()

    def seconds(self, what):
        return float(self.ask(what)[0])


def clock(threads):
    return time.thread_time() if threads == 1 else time.monotonic()


def timed(threads, f):
    t = clock(threads)
    f()
    return clock(threads) - t


class Tokenizers:
    def __init__(self, path):
        self.path = path
        self.load()

    def load(self):
        self.tok = Tokenizer.from_file(self.path)
        self.tok.no_padding()
        self.tok.no_truncation()

    def ids(self, texts):
        h = hashlib.sha256()
        for e in self.tok.encode_batch(texts, add_special_tokens=False):
            h.update(np.array(e.ids, "<i4").tobytes())
        return h.hexdigest()

    def encode(self, texts, threads):
        os.environ["TOKENIZERS_PARALLELISM"] = "false" if threads == 1 else "true"
        return timed(threads, lambda: self.tok.encode_batch_fast(texts, add_special_tokens=False))


def letters():
    """GPT-2's alphabet, back to bytes."""
    own = [b for b in range(256) if 33 <= b <= 126 or (161 <= b <= 255 and b != 173)]
    rest = [b for b in range(256) if b not in own]
    return {chr(b): b for b in own} | {chr(256 + i): b for i, b in enumerate(rest)}


GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


class Tiktoken:
    """The same vocabulary, where it is ranks of bytes split by one regex."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as f:
            j = json.load(f)
        pre = j["pre_tokenizer"] or {}
        parts = pre.get("pretokenizers", [pre])
        regex = [p["pattern"]["Regex"] for p in parts if p.get("type") == "Split"]
        level = [p for p in parts if p.get("type") == "ByteLevel"]
        if not level or len(parts) != len(regex) + 1 or len(regex) > 1:
            raise ValueError("not ranks of bytes")
        back = letters()
        self.ranks = {bytes(back[c] for c in t): i for t, i in j["model"]["vocab"].items() if all(c in back for c in t)}
        self.regex = regex[0] if regex else GPT2
        self.load()

    def load(self):
        self.tok = tiktoken.Encoding("bench", pat_str=self.regex, mergeable_ranks=self.ranks, special_tokens={})

    def ids(self, texts):
        h = hashlib.sha256()
        for s in texts:
            h.update(np.array(self.tok.encode_ordinary(s), "<i4").tobytes())
        return h.hexdigest()

    def encode(self, texts, threads):
        if threads == 1:
            return timed(1, lambda: [self.tok.encode_ordinary(s) for s in texts])
        return timed(threads, lambda: self.tok.encode_ordinary_batch(texts, num_threads=threads))


def report(*columns):
    print("\t".join("%.4g" % c if isinstance(c, float) else str(c) for c in columns), flush=True)


def spread(r):
    return "%.1f (%.1f - %.1f)" % (statistics.median(r), min(r), max(r)) if r else "-"


def turns(name, kind, state, threads, mb, pairs, ours, peers, texts):
    took = {p: [] for p in ["ours", *peers]}
    for _ in range(pairs):
        took["ours"].append(ours.seconds(state))
        for p, peer in peers.items():
            if state == "cold":
                peer.load()
            took[p].append(peer.encode(texts, threads))
    row = [name, kind, state, threads, mb, mb / statistics.median(took["ours"])]
    for p in "tokenizers", "tiktoken":
        t = took.get(p, [])
        row += [mb / statistics.median(t) if t else "-", spread([b / a for a, b in zip(took["ours"], t)])]
    report(*row)
    return mb / statistics.median(took["ours"])


def jsonl(name, path, mb, pairs, ours, texts, out):
    """The share of the rate in memory that rows on disk get."""
    rows = os.path.join(out, "rows.jsonl")
    with open(rows, "w", encoding="utf-8") as f:
        for s in texts:
            print(json.dumps({"text": s}, ensure_ascii=False), file=f)
    empty = os.path.join(out, "empty.jsonl")
    open(empty, "w").close()
    argv = ["ft-tokenize", "-q", "-m", path, "--max-length", "0", "--no-append-eos", "-o", out + "/out.ft"]

    def run(what):
        before = os.times()
        subprocess.run(argv + [what], check=True)
        after = os.times()
        return after.children_user - before.children_user + after.children_system - before.children_system

    rate, share = [], []
    for _ in range(pairs):
        t = max(run(rows) - run(empty), 1e-3)
        rate.append(mb / t)
        share.append(ours.seconds("cold") / t)
    report(name, "jsonl", "cold", 1, mb, statistics.median(rate), "memory", spread(share), "-", "-")


def bench(name, path, args, out):
    peers = {"tokenizers": Tokenizers(path)}
    try:
        peers["tiktoken"] = Tiktoken(path)
    except ValueError:
        pass
    for kind, v in texts(args.texts, args.data, args.megabytes):
        mb = sum(len(s.encode()) for s in v) / 1e6
        file = os.path.join(out, "texts")
        with open(file, "wb") as f:
            for s in v:
                f.write(struct.pack("<I", len(s.encode())) + s.encode())
        alone = Ours([args.tokspeed, path, file, "1"])
        digest = alone.ask("ids")[0]
        for p, peer in peers.items():
            if peer.ids(v) != digest:
                print("# %s, %s: the ids of %s are others" % (name, kind, p), flush=True)
                if p == "tokenizers":
                    sys.exit(1)
        rates = {}
        for threads in 1, 2:
            ours = alone if threads == 1 else Ours([args.tokspeed, path, file, "2"])
            for state in "cold", "warm":
                rates[threads, state] = turns(name, kind, state, threads, mb, args.pairs, ours, peers, v)
        if kind == "code":
            jsonl(name, path, mb, args.pairs, alone, v, out)
    took = [alone.seconds("load") for _ in range(args.pairs)]
    theirs = [timed(1, peers["tokenizers"].load) for _ in range(args.pairs)]
    report(name, "load", "ms", 1, "-", statistics.median(took) * 1e3, statistics.median(theirs) * 1e3,
           spread([b / a for a, b in zip(took, theirs)]), "-", "-")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("-p", "--pairs", type=int, default=3)
    p.add_argument("-m", "--megabytes", type=float, default=4)
    p.add_argument("-t", "--texts", default="")
    p.add_argument("tokspeed")
    p.add_argument("data")
    p.add_argument("names", nargs="*")
    args = p.parse_args()
    report("tokenizer", "text", "caches", "threads", "MB", "MB/s", "tokenizers", "ratio", "tiktoken", "ratio")
    with tempfile.TemporaryDirectory() as out:
        for name in args.names or ["gpt2", "qwen2.5", "tinyllama"]:
            bench(name, os.path.join(args.data, "tokenizers", name, "tokenizer.json"), args, out)


main()
