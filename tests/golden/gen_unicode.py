#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make libcommon/text/*: python3 gen_unicode.py OUT

Two tables: classes of characters (unicode_tables.c) and normalization
(normal_tables.c).  Needs unicodedata2==16.0.0 (categories and combining classes
of Unicode 16.0), regex (scripts and the Alphabetic property, of what Unicode
16.0 had assigned) and tokenizers, which has parts of several versions: its
regular expressions are of Unicode 16.0; normalization, punctuation, marks and
lower case are asked of the package itself, character by character.
"""
import os
import sys

import regex
import unicodedata2 as ucd
from tokenizers import Regex, normalizers, pre_tokenizers

assert ucd.unidata_version == "16.0.0"

L, N, S, W, NUM, PUNCT, NFC, WORD, HAN, MARK, CASED = (1 << i for i in range(11))
CATEGORIES = ("Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po "
              "Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co").split()
SPACE = {9, 10, 11, 12, 13, 32, 0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F,
         0x205F, 0x3000} | set(range(0x2000, 0x200B))
CHARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
# Rust's char::is_numeric is of Unicode 17.0, which adds these 13.
NUMERIC_17 = set(range(0x11DE0, 0x11DEA)) | {0x16FF4, 0x16FF5, 0x16FF6}
RUST_WORD = regex.compile(r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]")
SCRIPT_HAN = regex.compile(r"\p{Script=Han}")
NORM = {k: getattr(normalizers, k)() for k in
        ("NFC", "NFD", "NFKD", "Lowercase", "StripAccents")}


def norm(form, s):
    return NORM[form].normalize_str(s)


def members(pretok):
    """Characters that a pre-tokenizer keeps of all."""
    return {ord(c) for p, _ in pretok.pre_tokenize_str("".join(map(chr, CHARS))) for c in p}


def hangul(c):
    return 0xAC00 <= c < 0xD7A4


def combining():
    """Combining classes of the marks that the package reorders at all."""
    out = {}
    for c in CHARS:
        k = ucd.combining(chr(c))
        if not k:
            continue
        other = "\u0334" if k > 1 else "\u05b0"  # classes 1 and 10
        pair = "a" + (chr(c) + other if k > 1 else other + chr(c))
        if norm("NFD", pair) != pair:
            out[c] = k
    return out


def compositions(nfd):
    out = {}
    for c, d in nfd.items():
        two = ucd.decomposition(chr(c)).split()
        if len(two) == 2 and not two[0].startswith("<"):
            a, b = (int(x, 16) for x in two)
            if norm("NFC", chr(a) + chr(b)) == chr(c):
                out[a, b] = c
    return out


def rows(decl, values, form="%d"):
    out = ["%s[%d] = {" % (decl, len(values))]
    line = "\t"
    for v in values:
        s = form % v + ","
        if len(line) + len(s) > 72:
            out.append(line)
            line = "\t"
        line += s
    return out + [line, "};", ""]


def write(root, name, lines):
    head = ["/* SPDX-License-Identifier: MIT */",
            "/* Made by tests/golden/gen_unicode.py from Unicode 16.0.0 and the"
            " tokenizers", "   package: do not edit. */"]
    path = os.path.join(root, "libcommon/text")
    os.makedirs(path, exist_ok=True)
    with open(os.path.join(path, name), "w", encoding="ascii") as f:
        f.write("\n".join(head + lines))


def class_table(root, unstable, lower):
    punct = set(CHARS) - members(pre_tokenizers.Punctuation("removed"))
    word = members(pre_tokenizers.Split(Regex(r"\w"), "removed", invert=True))

    def classes(c):
        s = chr(c)
        g = ucd.category(s)
        bits = CATEGORIES.index(g) << 11
        if 0xD800 <= c < 0xE000:
            return bits
        known = g != "Cn"
        return (bits | L * (g[0] == "L") | N * (g[0] == "N") | S * (c in SPACE)
                | W * bool(known and RUST_WORD.match(s))
                | NUM * (g[0] == "N" or c in NUMERIC_17) | PUNCT * (c in punct)
                | NFC * (c in unstable) | WORD * (c in word)
                | HAN * bool(known and SCRIPT_HAN.match(s))
                | MARK * (norm("StripAccents", s) == "") | CASED * (c in lower))

    blocks, index = {}, []
    for hi in range(0x1100):
        b = tuple(classes(hi << 8 | lo) for lo in range(256))
        index.append(blocks.setdefault(b, len(blocks)))
    assert len(blocks) < 256
    out = ['#include "libcommon/text/unicode.h"', "", "/* clang-format off */"]
    out += rows("const unsigned char ft_uc_index", index)
    out += rows("const uint16_t ft_uc_block", [v for b in blocks for v in b])
    out[-1:] = ["/* clang-format on */", ""]
    write(root, "unicode_tables.c", out)


def spread(table):
    """Strings of characters as keys, where each begins, and one array."""
    keys = sorted(table)
    at, pool = [0], []
    for k in keys:
        pool += map(ord, table[k])
        at.append(len(pool))
    return keys, at, pool


def normal_table(root, nfd, nfkd, ccc, pairs, lower):
    out = ['#include "libcommon/text/normal.h"', "", "/* clang-format off */"]
    for name, table in (("nfd", nfd), ("nfkd", nfkd), ("lower", lower)):
        keys, at, pool = spread(table)
        out += ["const size_t ft_%s_n = %d;" % (name, len(keys))]
        out += rows("const uint32_t ft_%s_cp" % name, keys)
        out += rows("const uint16_t ft_%s_at" % name, at)
        out += rows("const uint32_t ft_%s_to" % name, pool)
    runs = []
    for c in sorted(ccc):
        if runs and runs[-1][1] == c - 1 and runs[-1][2] == ccc[c]:
            runs[-1][1] = c
        else:
            runs.append([c, c, ccc[c]])
    out += ["const size_t ft_ccc_n = %d;" % len(runs)]
    out += rows("const uint32_t ft_ccc", [v for r in runs for v in r])
    out += ["const size_t ft_pair_n = %d;" % len(pairs)]
    out += rows("const uint32_t ft_pair",
                [v for k in sorted(pairs) for v in k + (pairs[k],)])
    out[-1:] = ["/* clang-format on */", ""]
    write(root, "normal_tables.c", out)


def main():
    root = sys.argv[1]
    nfd = {c: norm("NFD", chr(c)) for c in CHARS if not hangul(c)}
    nfkd = {c: norm("NFKD", chr(c)) for c in CHARS if not hangul(c)}
    nfkd = {c: s for c, s in nfkd.items() if s != nfd[c]}
    nfd = {c: s for c, s in nfd.items() if s != chr(c)}
    lower = {c: norm("Lowercase", chr(c)) for c in CHARS}
    lower = {c: s for c, s in lower.items() if s != chr(c)}
    ccc = combining()
    pairs = compositions(nfd)
    unstable = {c for c in CHARS if norm("NFC", chr(c)) != chr(c)}
    unstable |= set(ccc) | {b for _, b in pairs}
    unstable |= set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    class_table(root, unstable, lower)
    normal_table(root, nfd, nfkd, ccc, pairs, lower)


main()
