"""Small templates, each for one construct, filter, test, method or white space rule."""

WHITESPACE = [
    "a\n{% if true %}\nb\n{% endif %}\nc\n",
    "a\n  {% if true %}\n  b\n  {% endif %}\nc",
    "  {% if true %}x{% endif %}  ",
    "a {% if true %} b {% endif %} c",
    "a\n\t{% if true %}\n\tb{% endif %}\n\nc",
    "a  \n  {%- if true %}\n b {%- endif %} c",
    "a {%- if true -%} b {%- endif -%} c",
    "a\n{% if true -%}\n\n   b\n{%- endif %}\nc",
    "  {%+ if true %}x{%+ endif %}  y",
    "x\n  {%+ if true +%}\ny{% endif +%}\nz",
    "{% if true +%}\ny{% endif %}\nz",
    "{{ 1 }}\n{{ 2 }}\n",
    "  {{ 1 }}\n  {{ 2 }}  \n\n",
    "a {{- 1 -}} b {{ 2 -}}   c",
    "a\n\n{{- 1 -}}\n\nb",
    "a\n\n{{+ 1 }}\n\nb",
    "a {# note #} b",
    "a\n  {# note #}\nb",
    "a\n  {#- note -#}\n  b",
    "a\n  {#+ note +#}\nb",
    "a {#-#} b{# {{ 1 }} {% if %} #}",
    "{# a\nb\nc #}\nx",
    "a\n{% raw %}\n  {{ x }} {% if %}\n{% endraw %}\nb",
    "a  {%- raw -%}  {{ x }}  {%- endraw -%}  b",
    "a\n  {% raw %}{# no #}{% endraw +%}\nb",
    "a\n  {%+ raw %} {% {%+ endraw %}\nb",
    "x\r\ny\rz\r\n{% if true %}\r\nw{% endif %}",
    "trailing\n", "trailing\n\n", "\n", "",
    "{% for i in [1,2] %}\n  {{ i }}\n{% endfor %}\n",
    "{% for i in [1,2] -%}\n  {{ i }}\n{%- endfor %}\n",
    "a\u00a0{%- if true %}b{% endif %}",
    "a \u3000{%- if true -%}\u2003 b{% endif %}",
    "}} %} #} { % a", "{", "a {b} c", "{ { 1 } }",
    "{{ '{{ }} {% %}' }}", "{{ '}}' }}{{ \"%}\" }}",
    "{{ {'a': {'b': 1}} }}", "{{ {'a': {}}['a'] }}{{ {} }}",
    "{% set x = 1 %}{% set y = 2 %}\n\n{{ x }}\n\n\n{{ y }}",
    "{% set x -%}\n  text\n{%- endset %}[{{ x }}]",
    "  {% set x = 1 %}  \n  {{ x }}",
    "{%if true%}tight{%endif%}", "{%-if true-%} tight {%-endif-%}",
    "{%\n if\n true\n %}multi\n{% endif\n%}",
    "{{\n1\n+\n2\n}}",
    "é {%- if true %} ü{% endif %}",
]

LITERALS = [
    "{{ 1 }}", "{{ -1 }}", "{{ 1_000 }}", "{{ 0x1F }} {{ 0b101 }} {{ 0o17 }}", "{{ 1.5 }} {{ 1e3 }} {{ 2.5e-7 }}",
    "{{ 1.0 }} {{ 100.0 }} {{ 1e16 }} {{ 1e15 }} {{ 123456789.125 }} {{ 0.1 }} {{ 1e-4 }} {{ 1e-5 }}",
    "{{ true }} {{ false }} {{ none }} {{ True }} {{ False }} {{ None }}",
    "{{ 'a' 'b' \"c\" }}", "{{ 'it\\'s' }} {{ \"q\\\"q\" }}", "{{ 'a\\nb\\tc\\\\d' }}", "{{ 'a\nb' }}",
    "{{ '\\x41\\u00e9\\U0001F600\\101' }}", "{{ '\\q\\-' }}", "{{ 'a\\\nb' }}", "{{ '\\a\\b\\f\\v\\0'|tojson }}",
    "{{ [] }} {{ [1, 'a', none, 2.0] }} {{ [1,] }}", "{{ () }} {{ (1,) }} {{ (1, 2) }} {{ (1) }} {{ 1, 2 }}",
    "{{ {} }} {{ {'a': 1, 'b': [1, {'c': none}]} }} {{ {1: 2, 'x': true,} }}",
    "{{ 'héllo' }} {{ ['héllo', '日本', '😀'] }}", "{{ ['it\\'s', 'q\"', 'both\\'\"', '\\n\\t\\\\', '\\x00\\x7f\\u200b\\xa0'] }}",
    "{{ {'a': 1, 'a': 2} }}", "{{ {true: 'x', 1: 'y'} }}", "{{ [[[]]] }}", "{{ {'k': (1, [2])} }}",
    "{{ 1.0 == 1 }} {{ true == 1 }} {{ 'a' == 'a' }} {{ [1] == [1.0] }} {{ (1,) == [1] }} {{ none == false }}",
]

OPERATORS = [
    "{{ 1 + 2 * 3 }} {{ (1 + 2) * 3 }} {{ 7 // 2 }} {{ 7 / 2 }} {{ 6 / 2 }} {{ 7 % 3 }} {{ 2 ** 10 }}",
    "{{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7 // -2 }} {{ -7.5 // 2 }} {{ -7.5 % 2 }} {{ 7.5 % -2 }}",
    "{{ 2 ** 3 ** 2 }} {{ 2 ** -1 }} {{ -2 ** 2 }} {{ 1 - 2 - 3 }} {{ 100 / 10 / 5 }}",
    "{{ 1 + 1.5 }} {{ 3 * 1.0 }} {{ 2.5 - 0.5 }} {{ true + true }} {{ 0.1 + 0.2 }}",
    "{{ 'a' + 'b' }} {{ 'ab' * 3 }} {{ 3 * 'x' }} {{ 'x' * 0 }}[{{ 'x' * -2 }}]",
    "{{ [1] + [2, 3] }} {{ [0] * 3 }} {{ (1,) + (2,) }}",
    "{{ 'a' ~ 1 ~ none ~ true ~ 1.0 ~ [1] }}", "{{ 1 ~ (2 + 3) }}", "{{ 'a' ~ missing ~ 'b' }}",
    "{{ 1 < 2 }} {{ 2 <= 2 }} {{ 3 > 4 }} {{ 3 >= 4 }} {{ 1 != 2 }} {{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1 == 1 }}",
    "{{ 'a' < 'b' }} {{ 'Z' < 'a' }} {{ 'é' > 'z' }} {{ [1, 2] < [1, 3] }} {{ [1] < [1, 0] }} {{ (1, 'a') < (1, 'b') }}",
    "{{ 1 in [1, 2] }} {{ 3 not in [1, 2] }} {{ 'a' in 'cat' }} {{ 'k' in {'k': 1} }} {{ '' in 'x' }} {{ 1 in (1, 2) }}",
    "{{ 'x' in missing }} {{ not 1 in [1] }} {{ 'a' not in 'bcd' }}",
    "{{ true and false }} {{ 1 and 2 }} {{ 0 or 'x' }} {{ '' or none }} {{ not true }} {{ not '' }} {{ 0 and missing.x }}",
    "{{ 1 or 2 and 0 }} {{ not false and true }} {{ not (false and true) }} {{ not not 1 }} {{ 1 and 2 and 3 }}",
    "{{ 'y' if true else 'n' }} {{ 'y' if false else 'n' }} [{{ 'y' if false }}] {{ 1 if 0 else 2 if 0 else 3 }}",
    "{{ 'a' if 1 else 'b' if 0 }} {{ ('x' if false) is defined }}",
    "{{ -(-3) }} {{ +3 }} {{ - 2.5 }} {{ -true }}", "{{ 5 - -3 }} {{ 5--3 }} {{ -5|abs }} {{ (-5)|abs }}",
    "{{ '%s is %d' % ('a', 3) }} {{ '%s' % 'x' }} {{ '%05.2f|%-5s|%5s|%x|%%' % (3.14159, 'ab', 'cd', 255) }}",
    "{{ '%r %s' % ('a', none) }} {{ '%e' % 12345.678 }} {{ '%g' % 0.0001 }} {{ '%+d' % 5 }} {{ '%.3s' % 'abcdef' }}",
    "{{ 10 % 3 ~ 'x' }} {{ 2 * 3 ~ 4 }} {{ (1 + 2) ~ 3 }}", "{{ [1, 2] == [1, 2] }} {{ {'a': 1} == {'a': 1.0} }} {{ {'a': 1} != {'b': 1} }}",
    "{{ missing == missing2 }} {{ missing == none }} {{ missing != 1 }}", "{{ 1 if missing else 2 }} {{ not missing }}",
    "{{ 7.0 // 2 }} {{ 1e300 * 1e10 }} {{ -1e300 * 1e10 }} {{ 2 ** 0.5 }} {{ 10 ** 15 }}", "{{ 9223372036854775807 }} {{ -9223372036854775807 - 1 }}",
]

SUBSCRIPTS = [
    "{{ 'hello'[0] }}{{ 'hello'[-1] }}[{{ 'hello'[9] }}]", "{{ 'hello'[1:3] }} {{ 'hello'[:2] }} {{ 'hello'[3:] }} {{ 'hello'[:-1] }} {{ 'hello'[-3:] }}",
    "{{ 'hello'[::-1] }} {{ 'hello'[::2] }} {{ 'hello'[4:0:-2] }} {{ 'hello'[10:] }}| {{ 'hello'[-10:2] }} {{ 'hello'[:] }}",
    "{{ 'héllo wörld'[1] }} {{ 'héllo wörld'[1:8] }} {{ 'héllo'[::-1] }} {{ '日本語'[-1] }} {{ '日本語'[0:2] }}",
    "{{ [1, 2, 3][0] }} {{ [1, 2, 3][-1] }} {{ [1, 2, 3][1:] }} {{ [1, 2, 3][::-1] }} {{ [1, 2, 3][:-1] }} {{ (1, 2, 3)[1:] }}",
    "{{ [1, 2, 3][5:] }} {{ [1, 2, 3][2:1] }} {{ [1, 2, 3, 4, 5][-2::-2] }} {{ [1,2,3][none:2] }} {{ range(5)[1:3]|list }}",
    "{{ range(5)[1:3] }} {{ range(4)[::-1] }} {{ range(1, 20, 3)[1:5:2] }} {{ range(4)[::-1][1] }}",
    "{{ {'a': 1}['a'] }} {{ {'a': 1}.a }} [{{ {'a': 1}.b }}] [{{ {'a': 1}['b'] }}] {{ {1: 'x'}[1] }}",
    "{{ {'items': 1}['items'] }} {{ {'a': {'b': [10, 20]}}.a.b[1] }} {{ [[1, 2], [3]][0][1] }} {{ [5, 6].1 }}",
    "{{ ({'get': 5}).get('get') }} {{ {'a': 1}['get']('a') }}", "{{ 'abc'['upper']() }} {{ 'abc'.upper() }}",
    "{{ missing is defined }} {% set x = {} %}{{ x.y is defined }} {{ x['y'] is defined }}",
    "[{{ missing }}] [{{ {}.a }}] {{ missing|length }} {{ missing|list }}{% for i in missing %}never{% endfor %}",
    "{{ [1,2,3][true] }} {{ 'abc'[true] }} [{{ 'abc'['x'] }}] [{{ [1]['x'] }}] [{{ 5[0] }}] [{{ none.x }}]",
]

STATEMENTS = [
    "{% if 0 %}a{% elif 1 %}b{% else %}c{% endif %}", "{% if 0 %}a{% elif 0 %}b{% else %}c{% endif %}", "{% if '' %}a{% endif %}x",
    "{% if a %}a{% elif b %}b{% elif true %}c{% elif true %}d{% endif %}", "{% if true: %}colon{% endif %}", "{% if 1, 0 %}tuple{% endif %}",
    "{% for i in [1, 2, 3] %}{{ i }},{% endfor %}", "{% for i in [] %}x{% else %}empty{% endfor %}", "{% for i in [1] %}x{% else %}empty{% endfor %}",
    "{% for a, b in [[1, 2], [3, 4]] %}{{ a }}-{{ b }};{% endfor %}", "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for k in {'x': 1, 'y': 2} %}{{ k }}{% endfor %}", "{% for k, v in {'x': 1, 'y': 2}.items() %}{{ k }}={{ v }} {% endfor %}",
    "{% for k, v in {'x': 1}|items %}{{ k }}={{ v }}{% endfor %}", "{% for c in 'héy' %}<{{ c }}>{% endfor %}",
    "{% for i in range(5) if i % 2 == 0 %}{{ i }}/{{ loop.index }}/{{ loop.last }} {% endfor %}", "{% for i in range(3) if i > 5 %}x{% else %}none{% endfor %}",
    "{% for i in range(3) %}{{ loop.index }} {{ loop.index0 }} {{ loop.revindex }} {{ loop.revindex0 }} {{ loop.first }} {{ loop.last }} {{ loop.length }} {{ loop.depth }} {{ loop.depth0 }}\n{% endfor %}",
    "{% for i in [1, 2, 3] %}[{{ loop.previtem }}<{{ i }}<{{ loop.nextitem }}]{% endfor %}", "{% for i in [1,2] %}{{ loop.previtem is defined }}{{ loop.nextitem is undefined }} {% endfor %}",
    "{% for i in range(4) %}{{ loop.cycle('a', 'b', 'c') }}{% endfor %}", "{% for i in [1, 1, 2, 2, 1] %}{{ loop.changed(i) }} {% endfor %}",
    "{% for i in range(10) %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}", "{% for i in range(5) %}{% if i is odd %}{% continue %}{% endif %}{{ i }}{% endfor %}",
    "{% for i in [1, 2] %}{% for j in [3, 4] %}{{ i }}{{ j }}{{ loop.index }} {% if j == 3 and i == 2 %}{% break %}{% endif %}{% endfor %}{{ loop.index }}|{% endfor %}",
    "{% for n in [{'v': 1, 'c': [{'v': 2, 'c': [{'v': 3}]}]}, {'v': 4}] recursive %}{{ n.v }}@{{ loop.depth }}({{ loop(n.c) if n.c }}){% endfor %}",
    "{% for i in 1, 2 %}{{ i }}{% endfor %}", "{% for i in 'ab', 'cd' %}{{ i }}{% endfor %}", "{% for i in [1,2,3]|reverse %}{{ i }}{% endfor %}",
    "{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}", "{% for i in [1] %}{% set y = 5 %}{% endfor %}[{{ y }}]",
    "{% if true %}{% set z = 1 %}{% endif %}{{ z }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set (a, b) = [1, 2] %}{{ a }}{{ b }}", "{% set a = 1, 2 %}{{ a }}",
    "{% set ns = namespace(x=1, y='a') %}{% for i in range(3) %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}{{ ns.y }}", "{% set ns = namespace() %}{% set ns.a = [] %}{% set ns.a = ns.a + [1] %}{{ ns.a }} {{ ns.b is defined }}",
    "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a + ns.b }} {{ ns['a'] }}", "{% set ns = namespace(found=false) %}{% for x in [1,2] %}{% if x == 2 %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.found }}",
    "{% set ns = namespace(a=1) %}{% set ns.a, b = 5, 6 %}{{ ns.a }}{{ b }}",
    "{% set x %}block {{ 1 + 1 }}{% endset %}[{{ x }}]", "{% set x | upper %}shout{% endset %}{{ x }}", "{% set x | replace('a', 'b') | upper %}banana{% endset %}{{ x }}",
    "{% set x %}{% set inner = 1 %}{{ inner }}{% endset %}{{ x }}{{ inner is defined }}", "{% set x = 1 %}{% set x = x + 1 %}{{ x }}",
    "{% macro m() %}hi{% endmacro %}{{ m() }} {{ m() }}", "{% macro m(a, b=2, c='z') %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(1, c='q') }} {{ m(a=9, b=8) }}",
    "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(4) }}", "{% macro m(a) %}[{{ a }}]{{ a is defined }}{% endmacro %}{{ m() }}", "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}",
    "{% macro fact(n) %}{% if n <= 1 %}1{% else %}{{ n * (fact(n - 1)|int) }}{% endif %}{% endmacro %}{{ fact(6) }}", "{% set g = 1 %}{% macro m() %}{{ g }}{% set g = 5 %}{{ g }}{% endmacro %}{{ m() }}{{ g }}",
    "{% macro m() %}{{ later }}{% endmacro %}{% set later = 'ok' %}{{ m() }}", "{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m('a') + m('b') }} {{ m('a')|length }}", "{% for i in [1,2] %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% macro list_args() %}{{ varargs|join('-') }}{% endmacro %}{{ list_args(*[1, 2, 3]) }}", "{% macro kw(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ kw(**{'b': 1, 'a': 2}) }} {{ kw(1, **{'b': 3}) }}",
    "{% macro box(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}{% call box('b') %}in{{ 1 + 1 }}{% endcall %}", "{% macro each(xs) %}{% for x in xs %}{{ caller(x, loop.index) }}{% endfor %}{% endmacro %}{% call(v, i) each([5, 6]) %}{{ i }}:{{ v }} {% endcall %}",
    "{% macro opt() %}{{ caller() if caller else 'none' }}{% endmacro %}{{ opt() }}{% call opt() %}c{% endcall %}", "{% filter upper %}abc{{ 'def' }}{% endfilter %}", "{% filter replace('a', 'x')|upper|trim %} banana {% endfilter %}",
    "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}", "{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q is defined }}",
    "{% print 1, 'a' %}", "{% generation %}kept{% set inside = 1 %}{% endgeneration %}{{ inside is defined }}", "a\n  {% generation %}\nb\n  {% endgeneration %}\nc", "{% for i in [1,2] %}{% generation %}{{ i }}{{ loop.index }}{% endgeneration %}{% endfor %}",
    "{% set loop_messages = [1, 2] %}{% for m in loop_messages %}{{ m }}{% endfor %}", "{% for x in [1,2,3] %}{% if loop.first %}F{% elif loop.last %}L{% else %}M{% endif %}{% endfor %}", "{% for i in [3,1,2]|sort %}{{ i }}{% endfor %}",
    "{% set o = namespace(v=none) %}{% for i in range(2) %}{% if o.v is none %}{% set o.v = i %}{% endif %}{% endfor %}{{ o.v }}", "{% for k, g in {'b': 1, 'a': 2}|dictsort %}{{ k }}{{ g }}{% endfor %}",
    "{% if false %}{{ 'x'|no_such_filter }}{% endif %}ok", "{% if x is defined and x is no_such_test %}{% endif %}ok", "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}",
    "{% for i in range(2) %}{% with j = i * 2 %}{% if j == 2 %}{% continue %}{% endif %}{{ j }}{% endwith %}{% endfor %}", "{% for x in [[1,2],[3]] %}{% set outer = loop %}{% for y in x %}{{ outer.index }}.{{ loop.index }} {% endfor %}{% endfor %}",
    "{{ dict(a=1, b=2) }} {{ dict({'a': 1}, c=3) }} {{ dict([('k', 'v')]) }}", "{{ range(3)|list }} {{ range(1, 4)|list }} {{ range(10, 0, -3)|list }} {{ range(3) }} {{ range(1, 9, 2) }} {{ range(0)|list }} {{ range(5)|length }} {{ range(4)[-1] }}",
]

FILTERS = [
    "{{ -3|abs }} {{ (-3.5)|abs }}", "{{ 'hello wORLD'|capitalize }} {{ 'éa'|capitalize }}", "{{ 'abc'|upper }} {{ 'ABC É'|lower }} {{ 'straße'|upper }} {{ 5|upper }} {{ none|lower }}", "{{ 'hello world-foo (bar) it\\'s'|title }}",
    "[{{ '  a b  '|trim }}] [{{ 'xxaxx'|trim('x') }}] [{{ '\\u3000a\\xa0'|trim }}] [{{ '\n\t a \n'|trim }}] {{ 5|trim }}", "{{ 'a'|string + 'b' }} {{ 5|string + '1' }} {{ [1]|string }} {{ 5|string|length }} {{ missing|string }}",
    "{{ missing|default('d') }} {{ ''|default('d') }} {{ ''|default('d', true) }} {{ none|default('d') }} {{ none|d('d', boolean=true) }} [{{ missing|default }}] {{ 0|default(5, true) }}", "{{ missing.x|default('d') if missing is defined else 'u' }}",
    "{{ [1, 2]|length }} {{ 'héllo'|length }} {{ {'a': 1}|count }} {{ ()|length }} {{ missing|length }}", "{{ [1, 2, 3]|first }} {{ [1, 2, 3]|last }} {{ 'abc'|first }} {{ 'abc'|last }} [{{ []|first }}] [{{ []|last }}] {{ {'a': 1}|first }} {{ (4, 5)|last }}",
    "{{ [1, 2, 3]|join }} {{ [1, 'a', none]|join(', ') }} {{ 'abc'|join('-') }} {{ []|join('x') }} {{ [{'n': 'x'}, {'n': 'y'}]|join('+', attribute='n') }} {{ {'a': 1, 'b': 2}|join(',') }}", "{{ 'abc'|list }} {{ {'a': 1}|list }} {{ (1, 2)|list }}",
    "{{ [3, 1, 2]|sort }} {{ ['b', 'A', 'c']|sort }} {{ ['b', 'A', 'c']|sort(case_sensitive=true) }} {{ [1, 3, 2]|sort(reverse=true) }} {{ [{'n': 2}, {'n': 1}]|sort(attribute='n') }} {{ 'cab'|sort }}", "{{ [{'a': 1, 'b': 2}, {'a': 1, 'b': 1}, {'a': 0, 'b': 9}]|sort(attribute='a,b') }}",
    "{{ {'b': 1, 'a': 2}|dictsort }} {{ {'b': 1, 'a': 2}|dictsort(by='value') }} {{ {'b': 1, 'A': 2}|dictsort(true) }} {{ {'b': 1, 'a': 2}|dictsort(reverse=true) }}", "{{ {'a': 1, 'b': 2}|items|list }} {{ {}|items|list }} {{ missing|items|list }}",
    "{{ [1, 2, 3]|reverse|list }} {{ 'héy'|reverse }} {{ [1,2]|reverse|join(',') }} {{ (1, 2)|reverse|first }}", "{{ ['a', 'b']|map('upper')|list }} {{ [{'n': 1}, {'n': 2}]|map(attribute='n')|list }} {{ [{'n': 1}, {}]|map(attribute='n', default='?')|join(',') }}", "{{ [' a ', 'b ']|map('trim')|map('upper')|join('|') }} {{ [{'f': {'n': 'x'}}]|map(attribute='f.n')|first }} {{ [[1,2],[3,4]]|map(attribute=1)|list }} {{ ['a','b']|map('replace', 'a', 'z')|list }}",
    "{{ [0, 1, '', 'a']|select|list }} {{ [1, 2, 3, 4]|select('odd')|list }} {{ [1, 2, 3]|select('>', 1)|list }} {{ [1, 2]|reject('equalto', 1)|list }} {{ [0, 1]|reject|list }} {{ [1,2,3]|select('in', [1,3])|list }}", "{{ [{'r': 'u', 'c': 1}, {'r': 's', 'c': 2}]|selectattr('r', 'equalto', 'u')|list }} {{ [{'a': 1}, {'b': 1}]|selectattr('a')|list }} {{ [{'a': 1}, {'b': 1}]|rejectattr('a', 'defined')|list }} {{ [{'a': {'b': 1}}]|selectattr('a.b', 'eq', 1)|list|length }}",
    "{% if []|select %}generators are true{% endif %}", "{% set g = [1,2]|map('string') %}{{ g|list }}{{ g|list }}", "{% set g = [1,2,3]|select %}{{ g|first }}{{ g|join(',') }}", "{% for x in [1,2]|map('string') %}{{ x }}{{ loop.last }}{% endfor %}",
    "{{ 'banana'|replace('a', 'o') }} {{ 'banana'|replace('a', 'o', 2) }} {{ 'abc'|replace('', '-') }} {{ 5|replace(5, 6) }} {{ 'aaa'|replace('aa', 'b') }} {{ 'x'|replace('x', '') }}", "{{ '42'|int }} {{ '4.9'|int }} {{ 'x'|int }} {{ 'x'|int(7) }} {{ 4.9|int }} {{ -4.9|int }} {{ 'ff'|int(base=16) }} {{ ' 12 '|int }} {{ true|int }} {{ none|int }} {{ '1_000'|int }} {{ '0x1f'|int(0, 16) }}",
    "{{ '1.5'|float }} {{ 3|float }} {{ 'x'|float }} {{ 'x'|float(2.5) }} {{ '1e3'|float }}", "{{ 2.5|round }} {{ 3.5|round }} {{ 2.675|round(2) }} {{ 2.1|round(0, 'ceil') }} {{ 2.9|round(0, 'floor') }} {{ 5|round }} {{ 42.55|round(1, 'floor') }} {{ 1.005|round(2) }}",
    "{{ [1, 2, 3]|sum }} {{ [{'v': 1}, {'v': 2}]|sum(attribute='v') }} {{ [1.5, 2]|sum(start=1) }} {{ []|sum }}", "{{ [3, 1, 2]|min }} {{ [3, 1, 2]|max }} {{ ['b', 'A']|min }} {{ [{'v': 2}, {'v': 5}]|max(attribute='v') }} [{{ []|max }}]", "{{ [1, 1, 2, 1]|unique|list }} {{ ['a', 'A', 'b']|unique|list }} {{ ['a', 'A']|unique(case_sensitive=true)|list }}",
    "{{ [1, 2, 3, 4, 5]|batch(2)|list }} {{ [1, 2, 3]|batch(2, 0)|list }} {{ [1, 2, 3, 4, 5]|slice(2)|list }} {{ [1,2,3]|slice(2, 'x')|list }}", "{{ 'a\nb\n\nc'|indent }}|{{ 'a\nb'|indent(2) }}|{{ 'a\nb'|indent(2, true) }}|{{ 'a\n\nb'|indent(2, blank=true) }}|{{ 'a\nb'|indent('>> ') }}|{{ 'a\nb\n'|indent(1, first=true) }}",
    "{{ 'abc'|center(9) }}|{{ 'abcd'|center(9) }}|{{ 'a'|center(2) }}|", "{{ '%s-%s'|format('a', 1) }} {{ 'x%dy'|format(3) }}", "{{ 'one two, three'|wordcount }}", "{{ '<a & \"b\">'|e }} {{ \"it's\"|escape }}", "{{ '<x>'|safe }} {{ ('<x>'|safe) + '<y>' }} {{ '<y>' + ('<x>'|safe) }} {{ ('<x>'|safe) ~ '<y>' }}",
    "{{ ('<x>'|safe)|upper + '<' }} {{ ('<x>'|safe)[0] + '<' }} {{ ('a<b'|safe).split('<')|join('<') }} {{ ('<x>'|safe).replace('x', '<') }} {{ ('<'|safe)|length }}", "{{ {'a': '<'}|tojson|safe }}", "{{ [1,2,3]|tojson|string }} {{ 'x' in ['x','y']|map('string')|list }}",
    "{{ none|reject('none')|list }} {{ none|map('upper')|list }}", "{{ ['<x>'|safe] }} {{ ('ab'|safe)|list }}", "{{ '1' % [2] }} {{ '1' % {} }} {{ '1' % missing }}",
    "{{ {'a': 1}|attr('a') is defined }} {{ 'abc'|attr('upper') is defined }}", "{{ 'a,b'.split(',')|map('trim')|list|last }}", "{{ 'abc'|upper|lower|title }}", "{{ [['a', 1], ['b', 2]]|map('first')|list }} {{ [['a', 1]]|map('last')|list }} {{ ['abc', 'de']|map('length')|sum }}",
    "{{ 'a'|int(base=99) }} {{ '7.5'|int(base=99) }}", "{{ 1|string|int + 1 }} {{ -1|string }} {{ 1 + 2|string|int }}",
]

TOJSON = [
    "{{ {'a': 1, 'b': [1, 2.0, none, true], 'c': {}} |tojson }}", "{{ {'b': 1, 'a': 2}|tojson }} {{ {'b': 1, 'a': 2}|tojson(sort_keys=true) }}", "{{ {'a': [1, {'b': 2}], 'e': [], 'o': {}}|tojson(indent=2) }}", "{{ [1, 2]|tojson(indent=0) }}", "{{ 'é😀 \"q\" \\\\ \\n\\t\\r\\f\\b\\x01\\x7f/<>&\\''|tojson }}",
    "{{ 'é😀\\x7f'|tojson(ensure_ascii=true) }}", "{{ {'a': 1, 'b': 2}|tojson(separators=(',', ':')) }} {{ [1,2]|tojson(indent=4, separators=[' ,', '= ']) }}", "{{ [1.0, 1e20, 1.5e-7, 100000000000000000.0, 0.1]|tojson }}", "{{ (1, 2)|tojson }} {{ none|tojson }} {{ true|tojson }} {{ 'x'|tojson }} {{ 5|tojson }}",
    "{{ {1: 'a', 2.5: 'b', none: 'c', true: 'd'}|tojson }}", "{{ {'a': {'b': {'c': [1, [2, [3]]]}}}|tojson(indent='\t') }}", "{{ []|tojson(indent=2) }} {{ {}|tojson(indent=2) }} {{ [[]]|tojson(indent=2) }}", "{{ 1e400|tojson }} {{ [2, -1e999]|tojson }}", "{{ ['a']|tojson(false, 2) }}",
]

TESTS = [
    "{{ missing is defined }} {{ 1 is defined }} {{ missing is undefined }} {{ 1 is not defined }}", "{{ none is none }} {{ 1 is none }} {{ 1 is not none }} {{ missing is none }} {{ missing is not none }}", "{{ 'a' is string }} {{ 1 is string }} {{ missing is string }} {{ ('a'|safe) is string }}",
    "{{ {} is mapping }} {{ [] is mapping }} {{ 'a' is mapping }} {{ namespace() is mapping }}", "{{ [] is iterable }} {{ 'a' is iterable }} {{ {} is iterable }} {{ 1 is iterable }} {{ missing is iterable }} {{ none is iterable }} {{ range(2) is iterable }}", "{{ [] is sequence }} {{ 'a' is sequence }} {{ {} is sequence }} {{ 1 is sequence }} {{ (1,) is sequence }} {{ missing is sequence }} {{ range(2) is sequence }} {{ [1]|map('string') is sequence }} {{ {}.items() is sequence }}",
    "{{ 1 is number }} {{ 1.5 is number }} {{ true is number }} {{ 'a' is number }}", "{{ 1 is integer }} {{ true is integer }} {{ 1.0 is integer }} {{ 1.0 is float }} {{ 1 is float }}", "{{ true is boolean }} {{ 1 is boolean }} {{ true is true }} {{ 1 is true }} {{ false is false }} {{ none is false }} {{ missing is false }}",
    "{{ 3 is odd }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ -3 is odd }}", "{{ 'a' is in 'abc' }} {{ 1 is in [1] }} {{ 1 is not in [1] }} {{ 'x' is in({'x': 1}) }}", "{{ 1 is eq 1 }} {{ 1 is equalto(2) }} {{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 1 is gt 2 }} {{ 2 is le 2 }} {{ 2 is ge(3) }} {{ 1 is sameas 1 }} {{ 1 is lessthan 3 }} {{ 5 is greaterthan 3 }}",
    "{{ 'abc' is lower }} {{ 'ABC' is upper }} {{ 'Abc' is lower }} {{ '123' is upper }}", "{{ 'upper' is filter }} {{ 'nope' is filter }} {{ 'odd' is test }} {{ 'nope' is test }}", "{{ range is callable }} {{ 1 is callable }} {{ 'a'.upper is callable }}", "{{ ('a'|safe) is escaped }} {{ 'a' is escaped }}",
    "{{ 1 is odd and 2 is even }} {{ 1 is odd or false }} {{ not 1 is odd }} {{ 1 is not odd }} {{ 'y' if 1 is odd else 'n' }}", "{{ none is not defined }} {{ {'a': none}.a is none }} {{ {'a': none}.a is defined }} {{ {'a': none}.b is none }}", "{{ [1] is sameas [1] }} {{ none is sameas none }} {{ true is sameas true }} {{ false is sameas 0 }}",
    "{{ 'abc' is string and 'abc' is iterable and 'abc' is not mapping }}", "{{ 1 + 1 is number }} {{ 'a' ~ 1 is string }} {{ 2 * 3 is even }}",
]

METHODS = [
    "{{ {'a': 1}.get('a') }} {{ {'a': 1}.get('b') }} {{ {'a': 1}.get('b', 2) }} {{ {}.get('x', [])|length }}", "{{ {'a': 1, 'b': 2}.items()|list }} {{ {'a': 1}.keys()|list }} {{ {'a': 1}.values()|list }} {{ {'a': 1}.keys() }} {{ {'a': 1}.values() }} {{ {'a': 1}.items() }} {{ {'a': 1}.items()|length }} {{ {}.copy() }}", "{{ 'b' in {'b': 1}.keys() }} {{ 1 in {'b': 1}.values() }} {{ {'a': 1}.keys()|join }}",
    "{{ 'a b  c'.split() }} {{ 'a,b,c'.split(',') }} {{ 'a,b,c'.split(',', 1) }} {{ ' a b '.split(' ') }} {{ ''.split() }} {{ ''.split(',') }} {{ 'abc'.split('</think>')[-1] }} {{ 'a--b--c'.split('--', maxsplit=1) }}", "{{ ' a  b c '.split(none, 1) }} {{ ' a b '.split(none, 5) }} {{ '  a b  '.split(none, 0) }} {{ 'a b c'.rsplit(none, 1) }} {{ ' a  b '.rsplit(none, 1) }} {{ 'a.b.c'.rsplit('.', 1) }} {{ 'aaa'.rsplit('aa') }} {{ 'aaa'.split('aa') }}",
    "[{{ '  a '.strip() }}] [{{ 'xxaxx'.strip('x') }}] [{{ '  a '.lstrip() }}] [{{ '  a '.rstrip() }}] [{{ '\n\na\n'.strip('\n') }}] [{{ 'abcba'.strip('ab') }}] [{{ 'ééaé'.strip('é') }}] [{{ 'a'.strip('') }}] [{{ ' a'.strip(none) }}]", "{{ 'hello'.startswith('he') }} {{ 'hello'.endswith('lo') }} {{ 'hello'.startswith('') }} {{ 'hello'.startswith(('x', 'h')) }} {{ 'a'.endswith('aa') }}",
    "{{ 'banana'.replace('a', 'o') }} {{ 'banana'.replace('a', 'o', 1) }} {{ 'ab'.replace('', '.') }} {{ ''.replace('', 'x') }} {{ 'aXbX'.replace('X', '') }}", "{{ 'aBc'.upper() }} {{ 'aBc'.lower() }} {{ 'aBC dEF'.capitalize() }} {{ 'hello wORLD it\\'s'.title() }} {{ 'aBc'.swapcase() }} {{ 'É'.lower() }} {{ 'ß'.upper() }} {{ 'ЖЗ'.lower() }}", "{{ 'hello'.find('l') }} {{ 'hello'.find('x') }} {{ 'hello'.rfind('l') }} {{ 'hello'.index('e') }} {{ 'héllo'.find('l') }} {{ 'banana'.count('an') }} {{ 'abc'.count('') }} {{ 'abc'.rfind('') }}",
    "{{ ','.join(['a', 'b']) }} {{ ''.join([]) }} {{ '-'.join('abc') }}", "{{ 'a\nb\r\nc'.splitlines() }} {{ 'a\n'.splitlines(true) }} {{ ''.splitlines() }}", "{{ 'a=b=c'.partition('=') }} {{ 'a=b=c'.rpartition('=') }} {{ 'abc'.partition('=') }} {{ 'abc'.rpartition('=') }}", "{{ 'prefix-x'.removeprefix('prefix-') }} {{ 'x.txt'.removesuffix('.txt') }} {{ 'x'.removesuffix('y') }} {{ 'ab'.removesuffix('') }}",
    "{{ 'ab'.ljust(5) }}| {{ 'ab'.rjust(5) }}| {{ 'ab'.center(5, '*') }} {{ '5'.zfill(3) }} {{ '-5'.zfill(4) }} {{ 'ab'.ljust(5, '.') }}", "{{ 'abc'.isalpha() }} {{ 'ab1'.isalnum() }} {{ '12'.isdigit() }} {{ ' \n'.isspace() }} {{ 'AB'.isupper() }} {{ 'ab'.islower() }} {{ ''.isalpha() }} {{ '12'.isdecimal() }} {{ '12'.isnumeric() }} {{ 'é'.isalpha() }}", "{{ '{} and {}'.format('a', 1) }} {{ '{0}{1}{0}'.format('x', 'y') }} {{ '{a}-{b}'.format(a=1, b=none) }} {{ '{{}}'.format() }}",
    "{{ [1, 2, 1].count(1) }} {{ [1, 2].index(2) }} {{ [1].copy() }} {{ (1, 2, 1).count(1) }} {{ (5, 6).index(6) }}", "{{ 'a</think>b'.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') }}", "{% set u = 'x'.upper %}{{ u() }}", "{{ ' x '.strip().upper().lower() }}",
    "{% if 'tool_calls' in {'tool_calls': []} and {'tool_calls': []}['tool_calls'] %}a{% else %}b{% endif %}", "{{ {'a': {'b': 1}}.get('a').get('b') }} {{ {'a': {'b': 1}}.get('z', {}).get('b', 'no') }}", "{{ 'x'.join(['1']) ~ 'y' }}", "{{ ' leading'.lstrip(' ') }}{{ 'trailing '.rstrip(' ') }}|",
]

# Each of these must fail to render, with the reference implementation and with ours.
RUNTIME_ERRORS = [
    "{{ raise_exception('plain message') }}", "{{ raise_exception('with ' ~ 1 ~ ' part') }}", "{% if true %}{{ raise_exception(\"Conversation roles must alternate\") }}{% endif %}", "a{% for i in [1] %}{{ raise_exception('in loop') }}{% endfor %}b", "{% macro m() %}{{ raise_exception('in macro') }}{% endmacro %}{{ m() }}",
    "{{ missing.attribute }}", "{{ missing['key'] }}", "{{ missing() }}", "{{ missing + 1 }}", "{{ 1 + missing }}", "{{ 'a' + missing }}", "{{ missing + 'a' }}", "{{ {}.a.b }}", "{{ -missing }}", "{{ missing < 1 }}", "{{ missing|int }}", "{{ missing.x|default('d') }}",
    "{{ 'a' + 1 }}", "{{ 1 + 'a' }}", "{{ 'a' + none }}", "{{ [] + () }}", "{{ 'a' - 'b' }}", "{{ {} + {} }}", "{{ 1 / 0 }}", "{{ 1 % 0 }}", "{{ 1.0 // 0 }}", "{{ 0 ** -1 }}", "{{ 'a' < 1 }}", "{{ none < none }}", "{{ {} < {} }}", "{{ -'a' }}", "{{ 1 in 'abc' }}", "{{ 1 in 5 }}", "{{ 'x' in none }}",
    "{% for i in 5 %}{% endfor %}", "{% for i in none %}{% endfor %}", "{% for a, b in [1] %}{% endfor %}", "{% for a, b in [[1]] %}{% endfor %}", "{% set a, b = [1, 2, 3] %}", "{% set x = 1 %}{% set x.y = 2 %}", "{% set d = {} %}{% set d.x = 1 %}", "{{ 5|length }}", "{{ none|length }}", "{{ ([1]|map('string'))|length }}", "{{ 5|list }}", "{{ 'a'|tojson(bad=1) }}", "{{ missing|tojson }}", "{{ range|tojson }}", "{{ [missing]|tojson }}", "{{ {(1,2): 3}|tojson }}",
    "{{ [1, 'a']|sort }}", "{{ [1]|dictsort }}", "{{ {'a': 1}|dictsort(by='x') }}", "{{ [1]|items }}{{ [1]|items|list }}", "{{ [1]|map('nope')|list }}", "{{ [1]|map|list }}", "{{ [1]|select('nope')|list }}", "{{ [1]|selectattr|list }}", "{{ 'a'.nope() }}", "{{ {}.nope() }}", "{{ [].append(1) }}", "{% set l = [] %}{% set _ = l.append(1) %}{{ l }}", "{{ {'a': 1}.pop('a') }}", "{{ {}.update({}) }}", "{{ {}.setdefault('a', 1) }}", "{{ [].extend([]) }}", "{{ [1].pop() }}", "{{ [2, 1].sort() }}", "{{ {}.clear() }}",
    "{{ [1] in {} }}", "{{ {}.get([]) }}", "{{ [[1]]|unique|list }}", "{{ {(1, []): 2} }}", "{{ missing[1:] }}", "{% set x = none %}{{ x[1:] }}", "{% set x = {} %}{{ x[:2] }}", "{{ 5() }}", "{{ 'a'() }}", "{{ none() }}", "{{ range('a') }}", "{{ range(1, 2, 0) }}", "{{ range(1000000)|list }}", "{{ range() }}", "{{ 'a'.split('') }}", "{{ 'a'.split(1) }}", "{{ 'a'.startswith(1) }}", "{{ 'a'.replace('a') }}", "{{ 'a'.index('z') }}", "{{ [1].index(2) }}", "{{ ','.join([1]) }}", "{{ 'a'.upper(1) }}", "{{ 'a'|upper(1) }}", "{{ 'a'|replace('a') }}", "{{ 1 is divisibleby 0 }}", "{{ 'a' is odd }}", "{{ 1 is lt 'a' }}",
    "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{% endmacro %}{{ m(b=1) }}", "{% macro m() %}{% endmacro %}{% call m() %}{% endcall %}", "{% macro m(a) %}{{ a.b.c }}{% endmacro %}{{ m({}) }}", "{{ '%d' % 'x' }}", "{{ '%s %s' % 'x' }}", "{{ '%s' % (1, 2) }}", "{{ '%' % 1 }}", "{{ {[]: 1} }}", "{{ {{}: 1} }}", "{% for i in [1] %}{{ loop() }}{% endfor %}", "{% for i in [1] %}{{ loop([2]) }}{% endfor %}", "{% for i in [1] %}{{ loop.cycle() }}{% endfor %}",
    "{% if true %}{{ 'x'|no_such_filter }}{% endif %}", "{% if 1 is no_such_test %}{% endif %}", "{{ 'abc'[::0] }}", "{{ [1]|batch }}", "{{ 'x'|round }}", "{{ dict(1) }}", "{{ namespace(1) }}", "{{ '{}'.format() }}", "{{ '{'.format() }}", "{{ ''.__class__.__mro__ }}", "{{ ().__class__.__bases__[0].__subclasses__() }}", "{{ range.__globals__['x'] }}", "{{ raise_exception.__init__.__globals__ }}", "{{ [].__len__() }}", "{{ messages.__class__.__name__ }}",
]

# (template, what our message must contain). The reference implementation must refuse them as well.
MALFORMED = [
    ("{{ 1", "is not closed"), ("a\n{% if", "line 2 column 1"), ("{% if %}x{% endif %}", "Expected an expression"), ("{% if 1 %}x", "Unexpected end of template"), ("{% if 1 %}\n\nx", "'elif' or 'else' or 'endif'"), ("{% for i in x %}", "'endfor' or 'else'"), ("{% for %}{% endfor %}", "Expected an expression"), ("{% for i x %}{% endfor %}", "expected token 'in'"), ("{% for i in %}{% endfor %}", "Expected an expression"),
    ("{% endif %}", "unknown tag 'endif'"), ("{% nope %}", "unknown tag 'nope'"), ("{% do x %}", "unknown tag 'do'"), ("{% if 1 %}{% endfor %}", "unknown tag 'endfor'"), ("{% else %}", "unknown tag 'else'"), ("{% %}", "tag name expected"), ("{% 1 %}", "tag name expected"), ("{{ }}", "Expected an expression"), ("{{ 1 2 }}", "expected token 'end of print statement', got 'integer'"), ("{{ a b }}", "got 'b'"), ("{{ 'a }}", "not closed"), ("{{ \"a\\\" }}", "not closed"),
    ("{{ (1 }}", "unexpected '}', expected ')'"), ("{{ [1 }}", "unexpected '}', expected ']'"), ("{{ 1) }}", "unexpected ')'"), ("{{ {1: 2 }}", "line 1 column"), ("{{ a[1 }}", "expected ']'"), ("{{ a[] }}", "expected subscript"), ("{{ a. }}", "expected name or number"), ("{{ a.'b' }}", "expected name or number"), ("{{ a| }}", "expected token 'name'"), ("{{ a|1 }}", "expected token 'name', got 'integer'"), ("{{ a is }}", "expected token 'name'"), ("{{ a is 1 }}", "expected token 'name'"), ("{{ 1 + }}", "unexpected 'end of print statement'"), ("{{ * 2 }}", "unexpected '*'"), ("{{ 1 == }}", "unexpected"), ("{{ not }}", "unexpected"), ("{{ 1 if }}", "unexpected"), ("{{ 1 if 2 else }}", "unexpected"),
    ("{{ a ? b }}", "unexpected char '?'"), ("{{ a & b }}", "unexpected char '&'"), ("{{ a ! b }}", "unexpected char '!'"), ("{{ $x }}", "unexpected char '$'"), ("x\n  {{ a @ b }}", "line 2 column 8"), ("{{ f(1,, 2) }}", "unexpected ','"), ("{{ f(a=1, 2) }}", "invalid syntax for function call"), ("{{ f(**a, *b) }}", "invalid syntax for function call"), ("{{ f(*a, *b) }}", "invalid syntax for function call"), ("{{ f(a=1, a=2) }}", "repeated"), ("{{ f(1 2) }}", "expected token ','"), ("{{ [1 2] }}", "expected token ','"), ("{{ {1} }}", "expected token ':'"), ("{{ {1: } }}", "unexpected '}'"), ("{{ {1: 2 3: 4} }}", "expected token ','"),
    ("{% set %}", "Expected an expression"), ("{% set 1 = 2 %}", "can't assign"), ("{% set 'a' = 2 %}", "can't assign"), ("{% set true = 2 %}", "can't assign"), ("{% set x %}", "'endset'"), ("{% set x = %}", "Expected an expression"), ("{% set x.y.z = 1 %}", "expected token 'end of statement block'"), ("{% set x[0] = 1 %}{% endset %}", "expected token 'end of statement block'"), ("{% for 1 in x %}{% endfor %}", "can't assign"), ("{% for a.b in x %}{% endfor %}", "expected token 'in'"), ("{% with a %}{% endwith %}", "expected token '='"), ("{% with 1 = 2 %}{% endwith %}", "can't assign"),
    ("{% macro %}{% endmacro %}", "expected token 'name'"), ("{% macro m %}{% endmacro %}", "expected token '('"), ("{% macro m(1) %}{% endmacro %}", "expected token 'name'"), ("{% macro m(a=1, b) %}{% endmacro %}", "non-default argument"), ("{% macro m() %}", "'endmacro'"), ("{% call x %}{% endcall %}", "expected call"), ("{% call m() %}", "'endcall'"), ("{% filter %}{% endfilter %}", "expected token 'name'"), ("{% filter upper %}", "'endfilter'"), ("{% filter nope %}{% endfilter %}", "No filter named 'nope'"), ("{% break %}", "outside loop"), ("{% continue %}", "outside loop"), ("{% for i in x %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}", "outside loop"),
    ("{{ x|nope }}", "No filter named 'nope'"), ("{{ x is nope }}", "No test named 'nope'"), ("{% for i in x %}{{ i|nope }}{% endfor %}", "No filter named 'nope'"), ("{{ x is odd is even }}", "chain multiple tests"), ("{# open", "Missing end of comment tag"), ("{% raw %} x", "Missing end of raw directive"), ("a\nb{% raw %}{% endra %}", "line 2 column 2"), ("{{ '\\x4' }}", "truncated"), ("{{ '\\u12' }}", "truncated"), ("{{ '\\U00110000' }}", "illegal Unicode"), ("{% generation %}", "'endgeneration'"), ("{% endgeneration %}", "unknown tag"), ("{{ a[1:2:3:4] }}", "at most three"), ("{% if x %}{% elif %}{% endif %}", "Expected an expression"), ("{% for x in y %}{% else %}{% else %}{% endfor %}", "unknown tag 'else'"),
    ("{{ 1_ }}", "got '_'"), ("{{ 1__0 }}", "got '__0'"), ("{{ 012 }}", "not a number"), ("{% if 1 }}x{% endif %}", "unexpected '}'"), ("{{ 1 %}", "unexpected '}'"), ("{{ 'a' 'b' c }}", "got 'c'"), ("{{ a.b c }}", "got 'c'"), ("\u00e9\n\u00e9\u00e9{{ ! }}", "line 2 column 6"),
]

# Valid for the reference implementation, refused by name here.
UNSUPPORTED = [
    ("{% include 'x' %}", "the tag 'include'"), ("{% import 'x' as y %}", "the tag 'import'"), ("{% from 'x' import y %}", "the tag 'from'"), ("{% extends 'x' %}", "the tag 'extends'"), ("{% block a %}{% endblock %}", "the tag 'block'"), ("{% autoescape true %}{% endautoescape %}", "the tag 'autoescape'"), ("{{ x|groupby('a') }}", "the filter 'groupby'"), ("{{ x|truncate }}", "the filter 'truncate'"), ("{{ x|urlize }}", "the filter 'urlize'"), ("{{ x|wordwrap }}", "the filter 'wordwrap'"), ("{{ x|pprint }}", "the filter 'pprint'"), ("{{ 99999999999999999999 }}", "a number of this size"), ("{{ '\\N{BULLET}' }}", "\\N"), ("{{ a[1, 2] }}", "a subscript with commas"), ("{{ é }}", "letters beyond ASCII"),
]

SMALL = {
    "whitespace": WHITESPACE, "literals": LITERALS, "operators": OPERATORS, "subscripts": SUBSCRIPTS,
    "statements": STATEMENTS, "filters": FILTERS, "tojson": TOJSON, "tests": TESTS, "methods": METHODS,
}

# Rendered after {% set c = ... %} (white space, letters, white space), d (letters) and parts.
PROVENANCE = [
    "{{ c }}", "{{ d }}", "{{ '<' + c + '>' }}", "{{ '<' ~ c ~ '>' }}", "{{ messages[0].role }}{{ messages[0].name }}", "{{ c|trim }}", "{{ '<  ' + c + '  >' }}", "{{ (' ' + c + ' ')|trim }}", "{{ (' x' + c)|trim }}", "{{ c.strip() }}", "{{ d.split('β') }}", "{{ d.split('β')|join('-') }}", "{{ ('x' + d + 'y').split('β') }}", "{{ (d + ' ' + d).split() }}", "{{ d|replace('β', 'NEW') }}", "{{ 'a-b-c'|replace('b', d) }}", "{{ d.replace('β', 'N') }}", "{{ d|replace('', '.') }}",
    "{{ d[1:3] }}", "{{ ('xx' + d)[1:4] }}", "{{ d[::-1] }}", "{{ ('12' + d)[::-1] }}", "{{ ('1' + d + '2')[::2] }}", "{{ d[0] }}{{ ('x' + d)[1] }}", "{{ d|upper }}", "{{ ('é' + d).upper() }}", "{{ d|upper|lower }}", "{{ d|title }} {{ ('a ' + d)|title }}", "{{ d|capitalize }}", "{{ ('x' + d).capitalize() }}", "{{ d.swapcase() }}", "{{ ['x', d, 'y']|join(', ') }}", "{{ [d, d]|join }}", "{{ [1, 2, 3]|join(d) }}", "{{ d|tojson }}", "{{ c|tojson }}", "{{ {'k': d, d: 'v'}|tojson }}", "{{ {'k': [d, {'z': d}]}|tojson(indent=2) }}", "{{ [d] }}{{ {'a': d} }}{{ (d,) }}", "{{ c|first }}{{ d|last }}{{ [d]|first }}",
    "{% for x in d %}{{ x }}.{% endfor %}", "{% set y %}({{ c }}){% endset %}{{ y }}", "{% set y | upper %}({{ d }}){% endset %}{{ y }}", "{% macro m(t) %}<{{ t }}>{% endmacro %}{{ m(d) }}{{ m(t=d) }}", "{% macro m(t) %}<{{ t }}>{% endmacro %}{{ m(d)|upper + '!' }}", "{% macro m() %}<{{ caller(d) }}>{% endmacro %}{% call(x) m() %}{{ x }}!{% endcall %}", "{% filter upper %}x{{ d }}{% endfilter %}", "{{ '%s=%s' % ('k', d) }}", "{{ d % () }}", "{{ '%.2s|%6s|%-6s|' % (d, d, d) }}", "{{ '%s' | format(d) }}", "{{ '{}!{a}'.format(d, a=d) }}", "{{ (d ~ '{}').format(1) }}", "{{ d * 2 }}", "{{ ('x' + d) * 2 }}", "{{ d|indent(2, true) }}", "{{ ('l\n' + d)|indent }}", "{{ 'a\nb'|indent(d) }}",
    "{{ d|string }}", "{{ d|safe }}", "{{ d|e }}", "{{ (d|safe) + '<' }}", "{{ '<' + (d|safe) + d }}", "{{ d|length }}", "{{ d == 'x' }}{{ d.startswith('β') }}", "{{ d|default('d') }}{{ missing|default(d) }}", "{{ d if true else 'n' }}{{ 'n' if false else d }}", "{{ d or 'x' }}{{ '' or d }}{{ 1 and d }}", "{% set ns = namespace(t='') %}{% for i in [1, 2] %}{% set ns.t = ns.t + d + '|' %}{% endfor %}{{ ns.t }}", "{{ d.partition('β') }}{{ d.rpartition('β') }}", "{{ (d + '\n' + d).splitlines() }}", "{{ d.center(9, '*') }}{{ d.ljust(5, '.') }}{{ d.rjust(5) }}", "{{ d|center(9) }}", "{{ d.zfill(6) }}", "{{ messages[1]|tojson }}", "{{ messages[1].items()|list }}", "{{ messages[1] }}",
    "{{ parts[1].text }}", "{% for p in parts %}{% if p.type == 'text' %}<t>{{ p.text }}</t>{% endif %}{% endfor %}", "{{ parts|selectattr('text', 'defined')|map(attribute='text')|join('+') }}", "{{ parts[1].get('text') ~ parts[2]['text'] }}", "{{ [d, 'b', 'a']|sort }}", "{{ [d, 'x', d]|unique|list }}", "{{ d|reverse }}{{ [d, 'x']|reverse|join }}", "{{ d|list }}", "{{ d.removeprefix('α') }}{{ d.removesuffix('γ') }}", "{{ (d + '-' + d).rsplit('-', 1) }}", "{{ d ~ '' }}{{ '' ~ d }}", "{{ d }}{{ d }}", "a{{ d }}b{{ d }}c", "{{ bos_token }}{{ d }}{{ messages[0].name }}", "{{ messages|map(attribute='content')|first }}", "{{ d|min }}{{ d|max }}", "{{ d|batch(2)|list }}", "{% with e = d %}{{ e }}{% endwith %}", "{{ dict(a=d).a }}{{ {'a': d}.get('a') }}", "{{ messages[1:]|map(attribute='content')|list|first }}", "{{ d|replace('β', 'b')|replace('b', d) }}", "{{ (d|list + ['x'])|join }}", "{{ c|trim|upper ~ ':' ~ d[1:] }}", "{{ 'αβ' == d[:2] }}", "{{ [d, 'q']|map('upper')|join(' ') }}", "{{ [[d, 1]]|map('first')|list }}", "{{ d|tojson|upper }}", "{{ ('a,' ~ d ~ ',b').split(',')|map('trim')|join('|') }}",
]
