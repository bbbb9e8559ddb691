#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Chat templates here against Jinja2, set up as transformers does it.

    check_jinja.py PROGRAM [-n N] [--seed S] [--renders FILE]

PROGRAM is build/release/tests/unit/test_jinja.  N random templates over random
messages (and every template of FILE, over varied messages) are rendered by both;
any difference is printed, and the status is 1.  What this project refuses by
name ("not supported") is counted, not compared.
"""
import argparse
import datetime
import json
import os
import random
import subprocess
import sys
import tempfile

from transformers.utils import chat_template_utils
from transformers.utils.chat_template_utils import _compile_jinja_template

# Both see this moment, whatever the clock does meanwhile.
os.environ["SOURCE_DATE_EPOCH"] = "1752105600"


class Fixed(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2025, 7, 10)


chat_template_utils.datetime = Fixed

WORDS = ["a", "Hello", "<|im_start|>", "x y", "", " ", "\n", "é", "ß", "日本",
         "𝄞z", "'", '"', "\\", "{{", "1", "12", "-3", "4.5", "a,b", "A B c",
         "  pad ", "<think>\nhm\n</think>\n\nyes", "ΑΣ", "İ", "tab\t", "&<>"]
ROLES = ["system", "user", "assistant", "tool"]


class Gen:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def pick(self, *v):
        return self.r.choice(v)

    def value(self, depth=2):
        k = self.r.randrange(10 if depth else 6)
        if k < 3:
            return self.r.choice(WORDS)
        if k == 3:
            return self.r.randrange(-3, 20)
        if k == 4:
            return self.pick(True, False, None)
        if k == 5:
            return self.pick(0.5, 1.0, -2.25, 1e20, 1e-7, 3.14, 100000.0)
        if k < 8:
            return [self.value(depth - 1) for _ in range(self.r.randrange(4))]
        return {self.r.choice(WORDS[:12]) or "k": self.value(depth - 1)
                for _ in range(self.r.randrange(4))}

    def message(self):
        m = {"role": self.r.choice(ROLES)}
        k = self.r.randrange(10)
        if k < 7:
            m["content"] = "".join(self.r.choice(WORDS) for _ in range(3))
        elif k == 7:
            m["content"] = [{"type": "text", "text": self.r.choice(WORDS)}
                            for _ in range(self.r.randrange(3))]
        elif k == 8:
            m["content"] = None
        if m["role"] == "assistant" and self.r.random() < .4:
            m["tool_calls"] = [{"type": "function", "id": "c%d" % i, "function": {
                "name": self.pick("f", "get"), "arguments": self.pick(
                    {"x": self.value(1)}, '{"x": 1}')}}
                for i in range(self.r.randrange(1, 3))]
        if m["role"] == "assistant" and self.r.random() < .2:
            m["reasoning_content"] = self.r.choice(WORDS)
        if m["role"] == "tool":
            m["name"] = "f"
            m["tool_call_id"] = "c0"
        return m

    def context(self):
        c = {"messages": [self.message() for _ in range(self.r.randrange(6))],
             "add_generation_prompt": self.pick(True, False),
             "bos_token": "<s>", "eos_token": "</s>",
             "n": self.r.randrange(-4, 9), "f": self.pick(.5, 2.0, -1.25),
             "s": "".join(self.r.choice(WORDS) for _ in range(3)),
             "t": self.r.choice(WORDS), "b": self.pick(True, False),
             "l": [self.value() for _ in range(self.r.randrange(5))],
             "li": [self.r.randrange(-5, 9) for _ in range(self.r.randrange(6))],
             "ls": [self.r.choice(WORDS) for _ in range(self.r.randrange(6))],
             "d": {k: self.value() for k in self.r.sample(
                 ["a", "b", "items", "role", "é", "Z", "c"], 3)},
             "o": None}
        if self.r.random() < .5:
            c["tools"] = [{"type": "function", "function": {
                "name": "f", "description": self.r.choice(WORDS), "parameters": {
                    "type": "object", "properties": {"x": {"type": "number"}},
                    "required": ["x"]}}} for _ in range(self.r.randrange(3))]
        return c

    # --- expressions, by what they mostly are ---

    def string(self, d):
        r = self.r
        if d <= 0:
            return self.pick("s", "t", "'a'", "'A b'", "''", "' x\\n'", '"q\'"',
                             "eos_token", "'%s|%r'", "'a,b,c'", "'ß'")
        d -= 1
        return r.choice([
            lambda: self.string(0),
            lambda: f"({self.string(d)} + {self.string(d)})",
            lambda: f"({self.any(d)} ~ {self.any(d)})",
            lambda: f"{self.string(d)}[{self.num(0)}:]",
            lambda: f"{self.string(d)}[:{self.num(0)}]",
            lambda: f"{self.string(d)}[{self.num(0)}:{self.num(0)}:{self.pick(-2, -1, 1, 2, 3)}]",
            lambda: f"{self.string(d)}[{self.num(0)}]",
            lambda: f"{self.string(d)}.{self.pick('upper', 'lower', 'title', 'capitalize', 'strip', 'lstrip', 'rstrip')}()",
            lambda: f"{self.string(d)}.{self.pick('strip', 'lstrip', 'rstrip')}({self.string(0)})",
            lambda: f"{self.string(d)}.replace({self.string(0)}, {self.string(0)})",
            lambda: f"{self.string(d)}.replace({self.string(0)}, {self.string(0)}, {self.num(0)})",
            lambda: f"{self.string(d)}.removeprefix({self.string(0)})",
            lambda: f"{self.string(d)}.{self.pick('ljust', 'rjust', 'center', 'zfill')}({self.num(0)})",
            lambda: f"{self.string(0)}.join({self.list(d)}|map('string'))",
            lambda: f"({self.any(d)}|{self.pick('string', 'upper', 'lower', 'title', 'capitalize', 'trim', 'safe', 'e')})",
            lambda: f"({self.any(d)}|tojson)",
            lambda: f"({self.any(d)}|tojson(indent={self.pick(0, 2, 4, 'none')}))",
            lambda: f"({self.any(d)}|tojson(ensure_ascii=true, sort_keys=true))",
            lambda: f"({self.any(d)}|tojson(separators=(',', ':')))",
            lambda: f"({self.list(d)}|join({self.string(0)}))",
            lambda: f"({self.string(d)}|indent({self.pick(2, 4, chr(39) + '> ' + chr(39))}{self.pick('', ', true', ', first=true, blank=true')}))",
            lambda: f"({self.string(d)}|replace({self.string(0)}, {self.any(0)}))",
            lambda: f"({self.string(d)}|truncate({self.pick(5, 8)}{self.pick('', ', true', ', leeway=0')}))",
            lambda: f"({self.string(d)}|center({self.pick(4, 9)}))",
            lambda: f"({self.string(d)}|reverse)",
            lambda: f"('%s-%r' % ({self.any(d)}, {self.any(d)}))",
            lambda: f"('%5.2f|%-4d|%04d|%x' % ({self.num(d)}, {self.int(d)}, {self.int(d)}, {self.int(0)}))",
            lambda: f"('{{}}:{{}}'.format({self.any(d)}, {self.any(d)}))",
            lambda: f"('{{0:>5}}|{{a:03d}}'.format({self.string(d)}, a={self.int(d)}))",
            lambda: f"('%s,%s'|format({self.any(d)}, {self.any(d)}))",
            lambda: f"({self.string(d)}|default({self.string(0)}, true))",
            lambda: f"({self.string(d)}|urlencode)",
            lambda: f"({self.string(d)} if {self.bool(d)} else {self.string(d)})",
            lambda: f"({self.string(d)} * {self.int(0)})",
        ])()

    def int(self, d):
        if d <= 0:
            return self.pick("n", "0", "1", "-1", "2", "3", "7", "100", "b")
        d -= 1
        return self.r.choice([
            lambda: self.int(0),
            lambda: f"({self.int(d)} {self.pick('+', '-', '*', '//', '%')} {self.int(d)})",
            lambda: f"({self.any(d)}|length)",
            lambda: f"({self.string(d)}|int)",
            lambda: f"({self.string(d)}|int({self.int(0)}, {self.pick(10, 16, 0)}))",
            lambda: f"{self.string(d)}.{self.pick('find', 'rfind', 'count')}({self.string(0)})",
            lambda: f"{self.list(d)}.{self.pick('count', 'index')}({self.any(0)})",
            lambda: f"({self.int(d)}|abs)",
            lambda: f"(-{self.int(d)})",
            lambda: f"({self.int(0)} ** {self.pick(0, 2, 3, -1)})",
            lambda: f"({self.string(d)}|wordcount)",
        ])()

    def num(self, d):
        if d <= 0:
            return self.pick("n", "0", "1", "-1", "2", "none", "3", "-2")
        d -= 1
        return self.r.choice([
            lambda: self.int(d), lambda: "f", lambda: self.pick("1.5", "2e3", "0.1", "1e16", "1_0.5"),
            lambda: f"({self.num(d)} {self.pick('+', '-', '*', '/', '//', '%', '**')} {self.num(d)})",
            lambda: f"({self.any(d)}|float)",
            lambda: f"({self.num(d)}|round({self.pick(0, 1, 2, -1)}{self.pick('', ', ' + chr(39) + 'floor' + chr(39))}))",
            lambda: f"({self.list(d)}|sum)", lambda: f"({self.list(d)}|{self.pick('min', 'max', 'first', 'last')})",
        ])()

    def list(self, d):
        if d <= 0:
            return self.pick("l", "li", "ls", "messages", "[]", "[1, 'a']", "(1, 2)", "[n, s]",
                             "range(3)", "range(n)")
        d -= 1
        t = lambda: self.pick("'string'", "'defined'", "'odd'", "'number'", "'eq', 1", "'none'",
                              "'in', 'abc'", "'lt', 3", "'iterable'", "'mapping'", "'sequence'", "'upper'")
        return self.r.choice([
            lambda: self.list(0),
            lambda: f"[{self.any(d)}, {self.any(d)}]",
            lambda: f"({self.list(d)} + {self.list(d)})",
            lambda: f"{self.list(d)}[{self.num(0)}:{self.num(0)}]",
            lambda: f"{self.list(d)}[::{self.pick(-1, 2, -2)}]",
            lambda: f"{self.string(d)}.{self.pick('split', 'rsplit')}({self.pick('', self.string(0), self.string(0) + ', 1', 'none, 1')})",
            lambda: f"{self.string(d)}.{self.pick('partition', 'rpartition')}({self.string(0)})",
            lambda: f"{self.string(d)}.splitlines({self.pick('', 'true')})",
            lambda: f"({self.any(d)}|list)",
            lambda: f"({self.list(d)}|{self.pick('sort', 'unique', 'reverse', 'sort(reverse=true)', 'sort(case_sensitive=true)')}|list)",
            lambda: f"({self.list(d)}|{self.pick('select', 'reject')}({self.pick('', t())})|list)",
            lambda: f"(messages|{self.pick('selectattr', 'rejectattr')}({self.pick(chr(39) + 'role' + chr(39) + ', ' + chr(39) + 'equalto' + chr(39) + ', ' + chr(39) + 'user' + chr(39), chr(39) + 'content' + chr(39), chr(39) + 'content' + chr(39) + ', ' + chr(39) + 'string' + chr(39))})|list)",
            lambda: f"({self.list(d)}|map({self.pick(chr(39) + 'upper' + chr(39), chr(39) + 'length' + chr(39), chr(39) + 'string' + chr(39), 'attribute=' + chr(39) + 'role' + chr(39), 'attribute=0', 'attribute=' + chr(39) + 'a.0' + chr(39) + ', default=' + chr(39) + 'D' + chr(39), chr(39) + 'tojson' + chr(39), chr(39) + 'default' + chr(39) + ', 1')})|list)",
            lambda: f"({self.dict(d)}|{self.pick('items', 'dictsort', 'dictsort(true)', 'dictsort(by=' + chr(39) + 'value' + chr(39) + ')')}|list)",
            lambda: f"({self.dict(d)}.{self.pick('items', 'keys', 'values')}()|list)",
            lambda: f"({self.list(d)}|{self.pick('batch', 'slice')}({self.pick(1, 2, 3)}{self.pick('', ', ' + chr(39) + 'x' + chr(39))})|list)",
            lambda: f"({self.list(d)} * {self.int(0)})",
            lambda: f"(messages|groupby('role'))",
            lambda: f"({self.list(d)} if {self.bool(d)} else {self.list(d)})",
        ])()

    def dict(self, d):
        if d <= 0:
            return self.pick("d", "{}", "{'a': 1}", "messages[0]", "{'k': s, 2: n}", "dict(a=1, b=s)")
        d -= 1
        return self.r.choice([
            lambda: self.dict(0), lambda: f"{{{self.pick(chr(39) + 'q' + chr(39), 's', 'n', '1', 'none', 'f', 'b', '(1, 2)')}: {self.any(d)}, 'b': {self.any(d)}}}",
            lambda: f"dict({self.dict(d)}, z={self.any(d)})", lambda: f"{self.dict(d)}.copy()",
            lambda: "messages[-1]", lambda: f"namespace({self.dict(d)}, a=1)",
        ])()

    def bool(self, d):
        if d <= 0:
            return self.pick("b", "true", "false", "n", "s", "o", "undefd", "add_generation_prompt")
        d -= 1
        tests = ["defined", "undefined", "none", "string", "number", "mapping", "iterable", "sequence",
                 "boolean", "integer", "float", "true", "false", "odd", "even", "lower", "upper",
                 "callable", "escaped", "divisibleby 2", "divisibleby(n)", "eq 1", "ne 'a'", "gt 2",
                 "in ['a', 1]", "in s", "sameas none", "filter", "test"]
        return self.r.choice([
            lambda: self.bool(0),
            lambda: f"({self.any(d)} is {self.pick('', 'not ')}{self.r.choice(tests)})",
            lambda: f"({self.any(d)} {self.pick('==', '!=', '<', '<=', '>', '>=')} {self.any(d)})",
            lambda: f"({self.int(d)} {self.pick('==', '!=', '<', '<=', '>', '>=')} {self.num(d)})",
            lambda: f"({self.int(d)} < {self.int(d)} <= {self.int(d)})",
            lambda: f"({self.any(d)} {self.pick('in', 'not in')} {self.any(d)})",
            lambda: f"({self.string(d)} in {self.string(d)})",
            lambda: f"(not {self.any(d)})",
            lambda: f"({self.any(d)} {self.pick('and', 'or')} {self.any(d)})",
            lambda: f"{self.string(d)}.{self.pick('startswith', 'endswith')}({self.string(0)})",
            lambda: f"{self.string(d)}.{self.pick('isdigit', 'isalpha', 'isalnum', 'isspace', 'isupper', 'islower', 'isnumeric', 'isdecimal', 'isascii')}()",
        ])()

    def any(self, d):
        if self.r.random() < .08:
            return self.pick("undefd", "o", "d.a", "d.nope", "d['a']", "messages[9]", "messages[0].content",
                             "messages[0]['role']", "loop.index", "loop", "d.items", "1.0", "none", "loop.last",
                             "range(2)", "d.keys()", "cycler(1, 2)", "namespace(x=1)", "n.real", "s.nope",
                             "li.append", "d.__class__", "d.get('a')", "d.get('q', 7)", "messages[0].tool_calls",
                             "tools", "tools[0].function.name", "bos_token", "[1,2][5]", "(s, n)")
        return self.r.choice([self.string, self.int, self.num, self.list, self.dict, self.bool])(d)

    # --- statements ---

    def ws(self):
        return self.pick("", "", "-", "-", "+"), self.pick("", "", "-", "-", "+")

    def tag(self, body):
        a, z = self.ws()
        return "{%" + a + " " + body + " " + z + "%}"

    def text(self):
        return self.pick("", " ", "\n", "x", "\n  ", "  \n", "\t", "a b\n", "#", "{ }", "\r\n", "{# c #}",
                         "{#- c -#}\n", "{% raw %}{{ x }}{% endraw %}", "é")

    def out(self, d):
        z = self.pick("", "-")
        return "{{" + self.pick("", "-", "+") + " " + self.any(d) + " " + z + "}}"

    def block(self, d, loop=False):
        return "".join(self.text() + self.stmt(d, loop) for _ in range(self.r.randrange(1, 4))) + self.text()

    def stmt(self, d, loop=False):
        T = self.tag
        if d <= 0:
            return self.out(2)
        d -= 1
        name = self.pick("v", "w", "s", "x")
        opts = [
            lambda: self.out(3), lambda: self.out(2), lambda: self.out(3),
            lambda: T(f"if {self.bool(2)}") + self.block(d, loop) + T("endif"),
            lambda: T(f"if {self.bool(2)}") + self.block(d, loop) + T(f"elif {self.bool(1)}") + self.block(d, loop)
            + T("else") + self.block(d, loop) + T("endif"),
            lambda: T(f"for {name} in {self.list(2)}{self.pick('', ' if ' + name, ' if ' + self.bool(1))}")
            + self.block(d, True) + "{{ loop.index }}" + self.pick("", "{{ loop.last }}{{ loop.length }}", "{{ loop.previtem }}{{ loop.nextitem }}", "{{ loop.cycle('a', 'b') }}{{ loop.changed(" + name + ") }}", "{{ loop.revindex }}{{ loop.revindex0 }}")
            + self.pick("", T("else") + self.block(d, loop)) + T("endfor"),
            lambda: T("for m in messages") + self.out(2) + "{{ m.role }}{{ m['content'] }}" + T("endfor"),
            lambda: T(f"for k, v in {self.dict(1)}.items()") + self.block(d, True) + "{{ k }}={{ v }}" + T("endfor"),
            lambda: T(f"set {name} = {self.any(3)}") + "{{ " + name + " }}",
            lambda: T(f"set {name}, w = {self.any(1)}, {self.any(1)}") + "{{ w }}",
            lambda: T(f"set {name}{self.pick('', ' | upper', ' | trim | length')}") + self.block(d, loop) + T("endset") + "{{ " + name + " }}",
            lambda: T(f"set ns = namespace(x={self.any(1)})") + T("for q in li") + T("set ns.x = ns.x ~ q") + T("endfor") + "{{ ns.x }}{{ ns.y }}",
            lambda: T(f"macro mm(a, b={self.any(1)})") + self.block(d) + "{{ a }}{{ b }}" + self.pick("", "{{ varargs }}", "{{ kwargs }}", "{{ caller is defined }}", "{{ caller() }}") + T("endmacro")
            + "{{ mm(" + self.any(1) + self.pick("", ", " + self.any(1), ", b=" + self.any(1), ", 1, 2", ", z=3") + ") }}",
            lambda: T("macro cc()") + "<{{ caller(" + self.pick("", "1") + ") }}>" + T("endmacro") + T("call" + self.pick("", "(p)", "(p=3)") + " cc()") + self.block(d) + self.pick("", "{{ p }}") + T("endcall"),
            lambda: T(f"filter {self.pick('upper', 'trim', 'indent(2)', 'replace(' + chr(39) + 'a' + chr(39) + ', s)')}") + self.block(d, loop) + T("endfilter"),
            lambda: T(f"with v = {self.any(1)}, x = v") + self.block(d, loop) + "{{ x }}" + T("endwith"),
            lambda: T("generation") + self.block(d) + T("endgeneration"),
            lambda: T("for q in [[1, [2, 3]], [4]] recursive") + "{{ loop.depth }}" + T("if q is iterable") + "({{ loop(q) }})" + T("else") + "{{ q }}" + T("endif") + T("endfor"),
        ]
        if loop:
            opts += [lambda: T(f"if {self.bool(1)}") + T(self.pick("break", "continue")) + T("endif"),
                     lambda: self.out(2) + "{{ loop.first }}{{ loop.index0 }}"]
        return self.r.choice(opts)()

    def template(self):
        if self.r.random() < .4:
            return "{{ " + self.any(self.pick(1, 2, 3, 4)) + " }}"
        return self.block(self.pick(1, 2, 3))


def theirs(template, context):
    try:
        return "out", _compile_jinja_template(template).render(**context)
    except Exception as e:
        return "error", "%s: %s" % (type(e).__name__, e)


UNICODE = [
    "{{ s.upper() }}|{{ s.lower() }}|{{ s.title() }}|{{ s.capitalize() }}|{{ s|title }}",
    "{{ [s] }}|{{ s|tojson }}|{{ s|tojson(ensure_ascii=true) }}|{{ s|urlencode }}",
    "{{ s.split() }}{{ s.splitlines() }}{{ s|wordcount }}{{ s[::-1] }}{{ s|length }}",
    "{% for c in s %}{{ 'x'.join(c.split()) }}{{ c.isalpha()|int }}{{ c.isdigit()|int }}{{ c.isdecimal()|int }}"
    "{{ c.isnumeric()|int }}{{ c.isalnum()|int }}{{ c.isspace()|int }}{{ c.isupper()|int }}{{ c.islower()|int }}"
    "{{ (c ~ 'ΑΣ').lower() }}{{ ('a' ~ c ~ 'Σ').lower() }}{{ ('ΑΣ' ~ c).lower() }}{% endfor %}",
]


def cases(args):
    g = Gen(args.seed)
    for a in range(0, 0x110000 if args.unicode else 0, 1024):
        text = "".join(chr(c) for c in range(a, a + 1024) if not 0xD800 <= c < 0xE000)
        for t in UNICODE:
            yield t, {"s": text}
    for _ in range(args.n):
        yield g.template(), g.context()
    if args.renders:
        for line in open(args.renders):
            row = json.loads(line)
            for _ in range(args.vary):
                c = g.context()
                c.pop("n"), c.pop("s"), c.pop("d"), c.pop("l")
                yield row["template"], {**row["context"], "messages": c["messages"],
                                        "add_generation_prompt": c["add_generation_prompt"],
                                        **({"tools": c["tools"]} if "tools" in c else {})}
                # the row's own messages, some of them changed
                m = [dict(x) for x in row["context"].get("messages", [])]
                for x in m:
                    if g.r.random() < .5 and isinstance(x.get("content"), str):
                        x["content"] = "".join(g.r.choice(WORDS) for _ in range(3))
                k = g.r.randrange(len(m) + 1)
                yield row["template"], {**row["context"], "messages": m[:k] if g.r.random() < .3 else m,
                                        "add_generation_prompt": g.pick(True, False)}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("-n", type=int, default=20000)
    p.add_argument("--vary", type=int, default=20)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--show", type=int, default=20)
    p.add_argument("--renders")
    p.add_argument("--unicode", action="store_true", help="every code point through the methods of strings")
    args = p.parse_args()
    todo = list(cases(args))
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as f:
        for t, c in todo:
            f.write(json.dumps({"template": t, "context": c}) + "\n")
        f.flush()
        ours = subprocess.run([args.program, f.name], capture_output=True, text=True)
    lines = ours.stdout.split("\n")[:-1]
    if len(lines) != len(todo):
        sys.exit("%s: %d rows of %d\n%s" % (args.program, len(lines), len(todo), ours.stderr))
    count = {"same": 0, "both refuse": 0, "refused here": 0, "differ": 0}
    why = {}
    for (t, c), line in zip(todo, lines):
        row = json.loads(line)
        kind, want = theirs(t, c)
        if "error" in row and kind == "error":
            count["both refuse"] += 1
        elif row.get("out") == want and kind == "out":
            count["same"] += 1
        elif "error" in row and any(x in row["error"] for x in (
                "not supported", "where it lies in memory")):
            count["refused here"] += 1
            k = row["error"].split(": ", 1)[1]
            why[k] = why.get(k, 0) + 1
        else:
            count["differ"] += 1
            if count["differ"] <= args.show:
                print("template %r\ncontext  %s\nhere     %r\nJinja2   %s %r\n" % (
                    t, json.dumps(c)[:600], row, kind, want))
    for k, n in sorted(why.items(), key=lambda x: -x[1])[:8]:
        print("%6d refused here: %s" % (n, k))
    print(", ".join("%s %d" % x for x in count.items()))
    return count["differ"] > 0


if __name__ == "__main__":
    sys.exit(main())
