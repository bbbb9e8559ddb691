#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make libcommon/text/jinja_case.inc: python3 gen_case.py [OUT]

What Python's str methods know of characters: case mappings, and the classes of
islower, isupper, isalpha, isdecimal, isdigit, isnumeric, isprintable.  Made with
CPython 3.11 (Unicode 14.0), which the tests' expectations come from.
"""
import sys
import unicodedata

assert unicodedata.unidata_version == "14.0.0"
ALL = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def runs(pairs):
    """(code point, value) to runs of one value, each code point or every second."""
    out = []
    for cp, v in pairs:
        if out and out[-1][3] == v:
            a, z, step, _ = out[-1]
            if a == z and cp - z in (1, 2):
                out[-1] = (a, cp, cp - z, v)
                continue
            if a != z and cp - z == step:
                out[-1] = (a, cp, step, v)
                continue
        out.append((cp, cp, 1, v))
    return out


def table(name, pairs):
    rs = runs(pairs)
    text = ["static const struct run %s[] = {" % name]
    line = "\t"
    for a, z, step, v in rs:
        s = "{%d,%d,%d,%d}," % (a, z, step, v)
        if len(line) + len(s) > 76:
            text.append(line)
            line = "\t"
        line += s
    return text + [line, "};", ""]


def mapping(name, f):
    one = [(c, ord(f(chr(c))) - c) for c in ALL
           if len(f(chr(c))) == 1 and f(chr(c)) != chr(c)]
    return table(name, one)


def special(name, f):
    text = ["static const uint32_t %s[][4] = {" % name]
    for c in ALL:
        s = f(chr(c))
        if len(s) > 1:
            v = [c] + [ord(x) for x in s] + [0] * (3 - len(s))
            text.append("\t{%s}," % ",".join(map(str, v)))
    return text + ["};", ""]


def kind(name, f):
    return table(name, [(c, 0) for c in ALL if f(chr(c))])


def main():
    text = ["/* SPDX-License-Identifier: MIT */",
            "/* Made by tests/golden/gen_case.py from Unicode 14.0:"
            " do not edit. */",
            "/* clang-format off */"]
    text += mapping("lower", str.lower) + mapping("upper", str.upper)
    text += mapping("title", str.title)
    text += special("lower_more", str.lower) + special("upper_more", str.upper)
    text += special("title_more", str.title)
    for name in ("islower", "isupper", "isalpha", "isdecimal", "isdigit",
                 "isnumeric", "isprintable"):
        text += kind("t_" + name, getattr(str, name))
    text += table("t_iscased", [(c, 0) for c in ALL if chr(c).islower()
                  or chr(c).isupper() or chr(c).istitle()])
    # What stands between a letter and a final sigma without counting.
    text += table("t_isignorable", [(c, 0) for c in ALL
                  if ("A" + chr(c) + "\u03a3").lower()[-1] == "\u03c2"
                  and not (chr(c) + "\u03a3").lower().endswith("\u03c2")])
    text.pop()
    out = open(sys.argv[1], "w") if len(sys.argv) > 1 else sys.stdout
    out.write("\n".join(text) + "\n")


main()
