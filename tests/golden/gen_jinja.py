#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make tests/data/jinja/*: python3 gen_jinja.py [OUT]

Templates of our own, a case a line of TEMPLATES (and some of several lines), as
transformers renders them with the variables of CONTEXT: rows {template, expect},
or {template, fails} where it raises.
"""
import json
import os
import sys

from transformers.utils.chat_template_utils import _compile_jinja_template
CONTEXT = {"messages":[{"role":"user","content":"Hi <s> there"},{"role":"assistant","content":"The cat\n sat.","tool_calls":[{"type":"function","function":{"name":"f","arguments":{"x":[1,2.5,None],"é":"ß"}}}]}],
 "tools":[{"name":"f","parameters":{"type":"object"}}],"n":3,"f":2.5,"s":" a,b ß ","l":[3,1,2],"ls":["b","A","a"],"d":{"b":1,"a":"x","items":[1]},"o":None,"big":123456789012345678901234567890}
TEMPLATES = r'''
{{ 1 + 2 * 3 - 4 // 3 % 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 3 ** 2 }} {{ 1 < 2 <= 2 < 3 }} {{ 'a' ~ 1 ~ none ~ 1.0 }}
{{ 1e16 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1/3 }} {{ 100000.0 }} {{ 1e300 * 1e10 }} {{ 0x1f }} {{ 1_000 }} {{ big }}
{{ [1, 'a\'b', "q", 'q"', true, none, {'k': (1,)}, 'é\n\x00', undefd] }}
{{ undefd }}|{{ undefd is defined }}|{{ o }}|{{ o is none }}|{{ d.nope }}|{{ d['nope'] is undefined }}|{{ l[7] is defined }}|{{ none.x is defined }}
{{ d.items() | list }} {{ d['items'] }} {{ d.b }} {{ d.get('z', 9) }} {{ d.get('z') }} {{ d | items | list }} {{ d | dictsort(reverse=true) }}
{{ s.strip() }}|{{ s.split(',') }}|{{ s.split() }}|{{ s.upper() }}|{{ s | title }}|{{ s | trim | capitalize }}|{{ s | length }}|{{ s[1:-1] }}|{{ s[::-1] }}|{{ s[-2] }}
{{ 'ΑΣ'.lower() }} {{ 'İ'.lower() | length }} {{ 'ǆ'.title() }} {{ 'ŉ'.upper() }} {{ "they're bill's" | title }} {{ "they're bill's".title() }}
{{ 'a b  c'.split(none, 1) }} {{ ' a b '.rsplit(none, 1) }} {{ 'a-b-c'.rsplit('-', 1) }} {{ 'a-b'.partition('-') }} {{ 'x\ny\r\nz'.splitlines() }}
{{ 'a,b'.replace(',', ';') }} {{ 'aaa' | replace('a', 'b', 2) }} {{ 'abc'.startswith(('x', 'a')) }} {{ 'abc'.endswith('bc') }} {{ 'abc'.find('c') }}
{{ '%s|%5.1f|%-3d|%03d|%r|%x|%%' % ('a', 2.25, 3, 4, 'b', 255) }} {{ '{} {0}'.format is defined }} {{ '{:>4}|{a!r}'.format(1, a='b') }} {{ '%s-%s' | format(1, 2) }} {{ '%s|' % undefd }}{{ 'a' % undefd }}{{ '%s' % [] }}{{ '%%' % {} }}
{{ l | sort }} {{ ls | sort }} {{ ls | sort(case_sensitive=true) }} {{ ls | unique | list }} {{ l | sum }} {{ l | min }} {{ l | max }} {{ l | first }} {{ l | last }} {{ l | reverse | list }} {{ [none, none] | sort }}
{{ l | map('string') | join('+') }} {{ messages | map(attribute='role') | list }} {{ l | select('odd') | list }} {{ l | reject('gt', 1) | list }} {{ messages | selectattr('tool_calls', 'defined') | list | length }} {{ messages | rejectattr('role', 'equalto', 'user') | map(attribute='content') | first }}
{{ l | batch(2, 0) | list }} {{ l | slice(2) | list }} {{ messages | groupby('role') | map('first') | list }} {{ l | list == l }} {{ (1, 2) + (3,) }} {{ [1] * 3 }}
{{ messages[1].tool_calls[0].function.arguments | tojson }} {{ tools | tojson(indent=2) }} {{ 'é<"\\' | tojson }} {{ 'é𝄞' | tojson(ensure_ascii=true) }} {{ {'b': 1, 'a': [1.0, true]} | tojson(sort_keys=true, separators=(',', ':')) }} {{ [] | tojson(indent=1) }} {{ '\x00\x7f' | tojson }} {{ '\x00\x7f' | tojson(true) }}
{{ 'a\nb\n\nc' | indent(2) }}|{{ 'a\nb' | indent('> ', true) }}|{{ 'x' | center(5) }}|{{ 'foo bar baz qux' | truncate(9) }}|{{ '42.7' | int }} {{ 'x' | int(5) }} {{ 'ff' | int(base=16) }} {{ '1.5' | float }} {{ 2.5 | round }} {{ 42.55 | round(1, 'floor') }} {{ -3 | abs }}
{{ 'a' in s }} {{ 'b' not in d }} {{ 2 in l }} {{ 1 == true }} {{ 1.0 == 1 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ (not l) or o or 'x' }} {{ '' and 1 }} {{ 'y' if n > 2 else 'z' }} {{ 'y' if n > 9 }}
{{ 1 is odd }} {{ 's' is string }} {{ d is mapping }} {{ l is sequence }} {{ n is number }} {{ n is integer }} {{ f is float }} {{ true is boolean }} {{ o is not none }} {{ 6 is divisibleby 3 }} {{ l is iterable }} {{ 'A' is upper }} {{ n is in [3] }} {{ 'trim' is filter }} {{ 'odd' is test }} {{ range is callable }} {{ false is false }}
{% for m in messages -%} {{ loop.index }}/{{ loop.length }} {{ loop.first }} {{ loop.last }} {{ m.role }} {{ loop.previtem.role }} {{ loop.nextitem.role }} {{ loop.revindex0 }} {{ loop.cycle('a', 'b') }}{% else %}none{% endfor %}
{% for x in l if x > 1 %}{{ x }}{{ loop.length }},{% else %}no{% endfor %}{% for x in [] %}{% else %}empty{% endfor %}{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% else %}E{% endfor %}{% for x in l %}{% continue %}{% else %}C{% endfor %}
{% for x in [[1, [2]], 3] recursive %}{{ loop.depth }}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}{% endif %}{% endfor %}
{% set x = 1 %}{% for i in l %}{% set x = i %}{{ x }}{% endfor %}{{ x }}{% set ns = namespace(v=0) %}{% for i in l %}{% set ns.v = ns.v + i %}{% endfor %}{{ ns.v }}{{ ns.w }}{{ ns }}
{% set a, b = 1, 'z' %}{{ a }}{{ b }}{% set t %}in {{ n }}{% endset %}{{ t }}{% set t | upper %}x{% endset %}{{ t }}{% with a = 5, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% macro m(a, b=2, c) %}{% endmacro %}
{% macro m(a, b='d') %}<{{ a }}{{ b }}{{ varargs }}{{ kwargs }}>{% endmacro %}{{ m(1) }}{{ m(1, 2, 3, z=4) }}{{ m(b=7) }}{{ m.name }}
{% macro c() %}[{{ caller('p') }}]{% endmacro %}{% call(q) c() %}{{ q }}{{ n }}{% endcall %}{% macro late() %}{{ zz }}{% endmacro %}{% set zz = 'set later' %}{{ late() }}
{% filter upper | replace('A', '4') %}abc{% endfilter %}{% raw %}{{ no }}{% endraw %}{# gone #}{% generation %}gen{% endgeneration %}
{% if false %}a{% elif 0 %}b{% elif l %}c{% else %}d{% endif %}{% if not messages[0]['x'] %}e{% endif %}{% print 'p' %}
x  {%- if true -%}  y  {%+ endif +%}  
{{- ' z ' -}}  
{{ cycler(1, 2).next() }}{% set j = joiner(',') %}{{ j() }}{{ j() }}{{ dict(a=1, **{'b': 2}) }}{{ dict([['k', 'v']]) }}{{ range(5, 0, -2) | list }}{{ range(3) }}{{ '<' | e ~ ('>' | safe) }}{{ ('<' | safe) + '&' }}
{% for i in l %}{% for j in [1] %}{{ n }}{% endfor %}{% set n = i %}{{ n }}{% endfor %}|{% for i in [1] %}{% for j in [1] %}{{ late_n }}{{ s2 }}{% endfor %}{% set s2 = 1 %}{% endfor %}{% set o2 %}{{ o2 }}{% endset %}
{{ raise_exception('no: ' ~ n) }}
{{ undefd.x }}
{{ 1 + 'a' }}
{{ [1, 2 }}
{{ 1 | nosuch }}
{% if x is nosuch %}{% endif %}
{{ s.nosuch() }}
{% include 'x' %}
{{ 1 // 0 }}
{{ messages | tojson(nosuch=1) }}
{{ l.append(1) }}
{% for i in range(1000000) %}{% endfor %}
'''
MORE = ["{% if true %}\n  a\n  {% endif %}\n b \n",
        "{%- set x = 1 %}\n\n {{ x }}\n", "a\r\nb\r{{ 1 }}\r\n",
        "  {% for i in l %}\n    {{ i }}\n  {% endfor %}\n",
        "{% raw -%}\n  x {{ }}\n{%- endraw %}\ny",
        "a {#- c -#}\n b {# c #}\n  {# c +#}\n",
        "{% for m in messages %}\n{{ m.role }}\n{%- endfor +%}\n\n"]


def main():
    out = os.path.join(sys.argv[1] if len(sys.argv) > 1 else ".",
                       "tests/data/jinja")
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "context.json"), "w") as f:
        f.write(json.dumps(CONTEXT, ensure_ascii=False) + "\n")
    with open(os.path.join(out, "cases.jsonl"), "w") as f:
        for t in TEMPLATES.strip("\n").split("\n") + MORE:
            try:
                row = {"template": t,
                       "expect": _compile_jinja_template(t).render(**CONTEXT)}
            except Exception:
                row = {"template": t, "fails": True}
            f.write(json.dumps(row, ensure_ascii=False) + "\n")


main()
