#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tokenizers against the tokenizers package, on the same files and texts.

diff_tokenizers.py TOKENS DATA MEGABYTES FILES [NAME...]: all characters and pairs
through the normal forms; FILES random tokenizer.json files with random texts;
then for each of DATA/tokenizers and each stand-in (standins.py), or those named,
so much text.  All three modes of special tokens, ids, offsets and decoded text.
Prints what was covered; fails on any difference.
"""
import glob
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

os.environ.update(TOKENIZERS_PARALLELISM="false", RUST_BACKTRACE="0")

import numpy as np
from tokenizers import Tokenizer

import standins
import vary

TOKENS = sys.argv[1]
PLAIN, SPECIALS, NO_ADDED, DECODE, SKIP = 0, 1, 2, 16, 17


def ours(path, requests):
    """What the library makes of (kind, bytes); a string when it refuses."""
    with tempfile.TemporaryFile() as f, tempfile.TemporaryFile() as out:
        for kind, b in requests:
            f.write(struct.pack("<II", kind, len(b)) + b)
        f.seek(0)
        p = subprocess.run([TOKENS, path], stdin=f, stdout=out, stderr=subprocess.PIPE)
        if p.returncode:
            return "%d: %s" % (p.returncode, p.stderr.decode("utf-8", "replace").strip())
        out.seek(0)
        data = out.read()
    at, answers = 0, []
    for kind, _ in requests:
        n = struct.unpack_from("<i", data, at)[0]
        at += 4
        if n < 0:
            answers.append(None)
        elif kind < DECODE:
            answers.append(np.frombuffer(data, "<i4", 3 * n, at).reshape(3, n))
            at += 12 * n
        else:
            answers.append(data[at:at + n])
            at += n
    return answers


def untrimmed(j):
    """Without what is switched off at every call, or moves offsets only."""
    j = dict(j, truncation=None, padding=None)
    post = j.get("post_processor")
    for p in [post or {}] + (post or {}).get("processors", []):
        if "trim_offsets" in p:
            p["trim_offsets"] = False
    return j


def same_offsets(text, got, offsets):
    """Ours are of bytes; a part of a character counts as all of it."""
    chars = np.cumsum((np.frombuffer(text.encode() + b"\0", np.uint8) & 0xC0) != 0x80)
    want = np.array(offsets).reshape(-1, 2)
    a, z = got[1], got[2]
    full = a < z
    return np.array_equal(chars[a[full]] - 1, want[full, 0]) and np.array_equal(chars[z[full] - 1], want[full, 1])


class Theirs:
    def __init__(self, j):
        self.tok = Tokenizer.from_str(json.dumps(untrimmed(j)))

    def encode(self, texts, kind):
        self.tok.encode_special_tokens = bool(kind & NO_ADDED)
        return self.tok.encode_batch(texts, add_special_tokens=bool(kind & SPECIALS))

    def survives(self, text):
        """The package panics on some texts."""
        try:
            for kind in (PLAIN, NO_ADDED):
                self.encode([text], kind)
        except BaseException as e:
            if isinstance(e, KeyboardInterrupt):
                raise
            return False
        return True

    def decode(self, ids, kind):
        return self.tok.decode(ids, skip_special_tokens=kind == SKIP).encode()


class Tally:
    def __init__(self):
        self.bytes = self.texts = self.tokens = self.bad = 0
        self.refused, self.told, self.before = {}, set(), set()

    def differ(self, what, text, got, want):
        self.bad += 1
        self.told.add(what)
        if len(self.told) <= 20 and what not in self.before:
            self.before.add(what)
            print("DIFFERS %s: %r\n  ours   %s\n  theirs %s" % (what, text[:300], str(got)[:300], str(want)[:300]), flush=True)


def compare(name, path, theirs, texts, rng, t, offsets, kinds=(PLAIN, SPECIALS, NO_ADDED)):
    """All modes of these texts; a refusal of ours is returned."""
    got = ours(path, [(k, s.encode()) for k in kinds for s in texts])
    if isinstance(got, str):
        return got
    size = theirs.tok.get_vocab_size()
    lists = []
    for i, k in enumerate(kinds):
        for s, g, e in zip(texts, got[i * len(texts):], theirs.encode(texts, k)):
            t.texts += 1
            t.bytes += len(s.encode())
            t.tokens += len(e.ids)
            if g is None or not np.array_equal(g[0], e.ids):
                t.differ("%s, mode %d" % (name, k), s, g if g is None else g[0].tolist(), e.ids)
            elif offsets and k == PLAIN and not same_offsets(s, g, e.offsets):
                t.differ("%s, offsets" % name, s, g[1:].T.tolist(), e.offsets)
            if k == PLAIN:
                lists.append(e.ids)
    lists = [v if rng.random() < .6 else [rng.randrange(size + 2) for _ in range(rng.randrange(12))]
             for v in lists[:200]]
    wanted = []
    for k in (DECODE, SKIP):
        for v in lists:
            try:
                wanted.append((k, v, theirs.decode(v, k)))
            except BaseException as e:  # the package panics on some
                if isinstance(e, KeyboardInterrupt):
                    raise
    got = ours(path, [(k, np.array(v, "<i4").tobytes()) for k, v, _ in wanted])
    for (k, v, want), g in zip(wanted, got):
        if g != want:
            t.differ("%s, decode %d" % (name, k), str(v), g, want)
    return None


def batches(data, megabytes, parts, rng):
    """Lists of texts, that many megabytes: files in order, and random ones."""
    left, batch, size = megabytes << 20, [], 0
    source = standins.texts(data)
    while left > 0:
        s = next(source, None) if rng.random() < .7 else None
        if s is None:
            s = vary.a_text(rng, parts, rng.choice((12, 60, 400)))
        n = len(s.encode())
        left -= n
        size += n
        batch.append(s)
        if size > 2 << 20 or left <= 0:
            yield batch
            batch, size = [], 0


def whole_files(data, megabytes, out, names):
    found = sorted(glob.glob(os.path.join(data, "tokenizers/*/tokenizer.json")))
    for path in found + standins.make(data, out):
        if names and os.path.basename(os.path.dirname(path)) not in names:
            continue
        rng, t, begun = random.Random(1), Tally(), time.time()
        name = os.path.basename(os.path.dirname(path))
        # alone: a tokenizer_config.json beside it may have its own BOS
        path = shutil.copyfile(path, os.path.join(out, "tokenizer.json"))
        with open(path, encoding="utf-8") as f:
            j = json.load(f)
        try:
            theirs = Theirs(j)
        except Exception as e:  # damaged: ours says so too
            why = ours(path, [])
            print("%s: not read by the package (%s), by ours: %s" % (name, str(e)[:60], str(why)[:100]), flush=True)
            yield not isinstance(why, str)
            continue
        parts = [a["content"] for a in j["added_tokens"]]
        for i, batch in enumerate(batches(data, megabytes, parts, rng)):
            why = compare(name, path, theirs, batch, rng, t, i % 8 == 0)
            if why:
                t.differ(name, "refused", why, "")
                break
        print("%s: %d texts, %.1f MB in three modes, %d tokens, %d differ, %.0f s" % (
            name, t.texts, t.bytes / 3e6, t.tokens, t.bad, time.time() - begun), flush=True)
        yield t.bad


def normal_forms(out):
    t, rng, texts = Tally(), random.Random(2), list(vary.normal_texts())
    for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents"):
        path = os.path.join(out, "probe.json")
        j = vary.normal_probe(form)
        with open(path, "w", encoding="utf-8") as f:
            json.dump(j, f)
        why = compare(form, path, Theirs(j), texts, rng, t, True, (PLAIN,))
        if why:
            t.differ(form, "refused", why, "")
    print("normal forms: %d texts of all characters and pairs, %d differ" % (len(texts), t.bad), flush=True)
    return t.bad


def random_file(seed, path, t):
    """One file and texts for it; what became of it."""
    rng = random.Random(seed)
    j = vary.a_tokenizer(rng)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(j, f)
    try:
        theirs = Theirs(j)
    except Exception:
        return "theirs"
    parts = [a["content"] for a in j["added_tokens"]]
    texts = [vary.a_text(rng, parts, rng.choice((3, 12, 40))) for _ in range(40)] + [""]
    texts = [s for s in texts if theirs.survives(s)]
    # characters that vanish shift the package's offsets, not ours
    why = compare("random %d" % seed, path, theirs, texts, rng, t, j["model"]["unk_token"] is not None)
    if t.bad:
        print("  from seed %d: %s" % (seed, json.dumps({k: j[k] for k in (
            "normalizer", "pre_tokenizer", "decoder", "added_tokens")}, ensure_ascii=False)[:1500]), flush=True)
    if not why:
        return "both"
    if not why.startswith("3:"):
        t.differ("random %d" % seed, "crashed", why, "")
    return why.split(": ", 2)[-1]


def random_files(first, count, out):
    """Each in a process of its own: the package can take for ever, or die."""
    found, texts, bad = {}, 0, 0
    for seed in range(first, first + count):
        r, w = os.pipe()
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            signal.alarm(10)
            t = Tally()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            what = random_file(seed, os.path.join(out, "random.json"), t)
            os.write(w, json.dumps([what, t.texts, t.bad]).encode())
            os._exit(0)
        os.close(w)
        with os.fdopen(r) as f:
            answer = f.read()
        os.waitpid(pid, 0)
        what, n, differ = json.loads(answer) if answer else ("no end", 0, 0)
        texts += n
        bad += differ
        found[what] = found.get(what, 0) + 1
        if (seed + 1) % 500 == 0:
            print("  ... %d: %d texts, %d differ" % (seed + 1, texts, bad), flush=True)
    print("random files: %d, loaded by both %d, not read by the package %d, without end there %d; %d texts, %d differ" % (
        count, found.pop("both", 0), found.pop("theirs", 0), found.pop("no end", 0), texts, bad))
    for what, n in sorted(found.items(), key=lambda x: -x[1])[:40]:
        print("  refused, %d: %s" % (n, what[:160]))
    sys.stdout.flush()
    return bad


def main():
    data, megabytes, count = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    bad = 0
    with tempfile.TemporaryDirectory() as out:
        bad += normal_forms(out)
        bad += random_files(int(os.environ.get("FIRST", 0)), count, out)
        if megabytes:
            bad += sum(whole_files(data, megabytes, out, sys.argv[5:]))
    print("%d differences" % bad)
    sys.exit(bad > 0)


main()
