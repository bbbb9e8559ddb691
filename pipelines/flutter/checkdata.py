# SPDX-License-Identifier: MIT
"""Check data.json: python checkdata.py data.json [BOUND]

For developers (make -C pipelines flutter-checkdata), with tree-sitter and
tree-sitter-dart-orchard from PyPI.  Every file of every answer has to parse as
Dart; each class, enum or function that an instruction is about is named in it;
and answers are not templates: of the runs of 13 tokens of an answer, at most
BOUND (0.50) may stand in another answer too.  Prints what it found; exit status
1 when something is wrong.
"""
import collections
import json
import re
import sys

import tree_sitter_dart_orchard
from tree_sitter import Language, Parser

GRAM = 13
NAME = re.compile(r"^(?:abstract |sealed |final |base |interface )*"
                  r"(?:class|enum|mixin|extension type|extension) (\w+)", re.M)


def first_error(node):
    """The innermost first ERROR or MISSING node."""
    for child in node.children:
        if child.has_error or child.is_missing:
            return first_error(child)
    return node


def grams(code):
    """Runs of GRAM tokens; imports are alike in all code and left out."""
    code = re.sub(r"^import .*;$", "", code, flags=re.M)
    tokens = re.findall(r"\w+|[^\w\s]", code)
    return {tuple(tokens[i:i + GRAM]) for i in range(len(tokens) - GRAM + 1)}


def main():
    bound = float(sys.argv[2]) if len(sys.argv) > 2 else 0.50
    parser = Parser(Language(tree_sitter_dart_orchard.language()))
    bad = 0
    items = []
    with open(sys.argv[1], encoding="utf-8") as f:
        data = json.load(f)

    def complain(where, what):
        nonlocal bad
        bad += 1
        print(f"{where}: {what}")

    for app in data:
        name = app["dataset_name"]
        for key in ("framework", "architecture"):
            if not app["metadata"].get(key):
                complain(name, f"no metadata.{key}")
        if len(app["instructions"]) < 50:
            complain(name, f"{len(app['instructions'])} instructions")
        for item in app["instructions"]:
            for path, code in item["output"]["project_structure"].items():
                where = f"{name}/{path}"
                tree = parser.parse(code.encode())
                if tree.root_node.has_error:
                    line = first_error(tree.root_node).start_point[0]
                    complain(where, f"does not parse near line {line + 1}: "
                                    f"{code.splitlines()[line][:60]}")
                declared = NAME.findall(code)
                if not path.startswith("test/") and declared and not any(
                        d in item["instruction"] for d in declared):
                    complain(where, f"names none of {', '.join(declared)}")
                items.append((where, item["instruction"], grams(code)))

    for what, column in (("path", 0), ("instruction", 1)):
        for value, n in collections.Counter(i[column] for i in items).items():
            if n > 1:
                complain(value, f"{what} stands {n} times")

    count = collections.Counter(g for i in items for g in i[2])
    shares = sorted(((sum(count[g] > 1 for g in gs) / max(1, len(gs)), where)
                     for where, _, gs in items), reverse=True)
    for share, where in shares:
        if share > bound:
            complain(where, f"{share:.0%} of its {GRAM}-grams stand elsewhere")
    mean = sum(s for s, _ in shares) / len(shares)
    print(f"{len(data)} apps, {len(items)} files, "
          f"{sum(len(i[2]) for i in items)} {GRAM}-grams; in another answer too: "
          f"mean {mean:.1%}, most {shares[0][0]:.1%} ({shares[0][1]}), "
          f"bound {bound:.0%}")
    print("wrong: %d" % bad if bad else "all parse; none is like another")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
