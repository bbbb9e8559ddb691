#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make libcommon/text/unicode_tables.c: python3 gen_unicode.py [OUT]

Needs unicodedata2==16.0.0 (general categories of Unicode 16.0) and regex (the
Alphabetic property, of what Unicode 16.0 had assigned).  The version is part of
the result: the tokenizers package's regular expressions are of Unicode 16.0,
and ids depend on the classes.
"""
import sys

import regex
import unicodedata2 as ucd

assert ucd.unidata_version == "16.0.0"

L, N, S, W, NUM = 1, 2, 4, 8, 16
SPACE = {9, 10, 11, 12, 13, 32, 0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F,
         0x205F, 0x3000} | set(range(0x2000, 0x200B))
# Rust's char::is_numeric is of Unicode 17.0, which adds these 13.
NUMERIC_17 = set(range(0x11DE0, 0x11DEA)) | {0x16FF4, 0x16FF5, 0x16FF6}
WORD = regex.compile(r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]")


def classes(cp):
    if 0xD800 <= cp < 0xE000:
        return 0
    c = chr(cp)
    g = ucd.category(c)
    return (L * (g[0] == "L") | N * (g[0] == "N") | S * (cp in SPACE)
            | W * bool(g != "Cn" and WORD.match(c))
            | NUM * (g[0] == "N" or cp in NUMERIC_17))


def rows(name, values, ctype):
    out = ["const %s %s[%d] = {" % (ctype, name, len(values))]
    line = "\t"
    for v in values:
        s = "%d," % v
        if len(line) + len(s) > 72:
            out.append(line)
            line = "\t"
        line += s
    return out + [line, "};", ""]


def main():
    blocks, index = {}, []
    for hi in range(0x1100):
        b = tuple(classes(hi << 8 | lo) for lo in range(256))
        index.append(blocks.setdefault(b, len(blocks)))
    assert len(blocks) < 256
    flat = [v for b in blocks for v in b]
    text = ["/* SPDX-License-Identifier: MIT */",
            "/* Made by tests/golden/gen_unicode.py from Unicode 16.0.0:"
            " do not edit. */",
            '#include "libcommon/text/unicode.h"', "",
            "/* clang-format off */"]
    text += rows("ft_uc_index", index, "unsigned char")
    text += rows("ft_uc_block", flat, "unsigned char")
    text[-1:] = ["/* clang-format on */", ""]
    out = open(sys.argv[1], "w") if len(sys.argv) > 1 else sys.stdout
    out.write("\n".join(text))


main()
