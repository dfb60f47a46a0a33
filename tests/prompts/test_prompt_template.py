"""A template renders a row, and can do no harm."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from promptmill.errors import ConfigurationError, InvalidRows, NotFound
from promptmill.prompts import template as module
from promptmill.prompts import template_text
from promptmill.prompts.problems import BadRowError
from promptmill.prompts.template import PromptTemplate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ a }}-{{ n + 1 }}", "<b>-3"),
        ("{{ row['odd name'] }}", "odd"),
        ("{% if missing is defined %}x{% else %}y{% endif %}", "y"),
        ("{% for x in items %}{{ x }},{% endfor %}", "1,2,"),
        ("{{ empty or '' }}.", "."),
        ("{{ items | tojson }}", "[1, 2]"),
    ],
)
def test_columns_are_variables(text, expected):
    """Values come out as they are, with nothing escaped."""
    row = {"a": "<b>", "n": 2, "odd name": "odd", "items": [1, 2], "empty": None}
    assert PromptTemplate(text).render(row) == expected


ORDER = {
    "order": {"items": ["apple"], "keys": None, "id": 1},
    "text": "Hello",
    "values": [3],
    "html": "<a at 0x1234567>",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ order.items }}", "['apple']"),
        ("{{ order['items'][0] }}{{ row.values[0] }}", "apple3"),
        ("{% for item in order.items %}{{ item }}{% endfor %}", "apple"),
        ("{{ [order] | map(attribute='items') | list }}", "[['apple']]"),
        ("{{ text.lower() }} {{ text.format() }} {{ order.get('id') }}", "hello Hello 1"),
        ("{% for i in [1, 2] %}{{ loop.cycle('a', 'b') }}{% endfor %}", "ab"),
        ("{{ html }}", "<a at 0x1234567>"),
        ("<b at 0x1234567>{{ text }}", "<b at 0x1234567>Hello"),
    ],
)
def test_keys_come_before_methods(text, expected):
    """An object's own `items` is meant, whatever Python's dictionaries call so; methods can still be called."""
    assert PromptTemplate(text).render(ORDER) == expected


@pytest.mark.parametrize(
    "text", ["{}", "{} ~ '!'", "[{}]", "{} | upper", "'%s' | format({})", "{} | string", "'{{}}'.format({})"]
)
def test_a_method_in_place_of_its_result_is_refused(text):
    """It would write an address that is another one in every run; the right spelling is said."""
    template = PromptTemplate("{{ " + text.format("text.lower") + " }}")
    with pytest.raises(
        BadRowError, match=r"text\.lower is a method and not a value; to call it, write {{ text\.lower\(\) }}"
    ):
        template.render(ORDER)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ order.items | map('upper') }}", "object and not what is in it; add a filter such as | list"),
        ("a {{ order.items | map('upper') ~ 'b' }}", "object and not what is in it"),
        ("{{ range }}", "range is a function and not a value"),
        ("{% macro ask(x) %}{{ x }}{% endmacro %}{{ ask }}", "ask is a function and not a value"),
        ("{{ order | attr('pop') }}", "fails"),
    ],
)
def test_an_object_in_place_of_its_text_is_refused(text, said):
    """Generators, functions and macros have no text of their own."""
    with pytest.raises(BadRowError, match=re.escape(said)):
        PromptTemplate(text).render(ORDER)


def test_a_fault_of_the_template_is_said_once(bench):
    """With the first row and the number of the others, before what is wrong with rows alone."""
    path = bench.write("a.jsonl", '{"question": "a"}\n' * 3000 + '{"question": "b"}\nbroken\n')
    with pytest.raises(InvalidRows) as caught:
        bench.prepare(path, template="{{ qestion }}")
    said = str(caught.value).splitlines()
    assert "2 things are wrong" in said[0]
    assert "line 1, and 3,000 more rows: the template fails: 'qestion' is undefined" in said[1]
    assert "line 3002: is not JSON" in said[2]
    assert len(said) == 4


def test_template_is_read_from_a_file(bench):
    """`@` in front means a file."""
    path = bench.write("my.jinja", "\ufeffSay {{ word }}\n")
    rows = bench.rows(bench.write("a.jsonl", '{"word": "hi"}'), template=f"@{path}")
    assert rows == [{"prompt": "Say hi", "word": "hi"}]


def test_missing_template_file_is_not_found():
    """The file is named, with the two ways to give a template."""
    with pytest.raises(NotFound, match=r"no\.jinja .*--template @FILE"):
        template_text("@no.jinja")


@pytest.mark.parametrize("text", ["{{ a", "{% if %}", "{{ a | nonsense }}", "{{ a | random }}"])
def test_template_that_does_not_compile_is_refused(text):
    """A filter that is not known counts too, and one whose result changes is not known."""
    with pytest.raises(ConfigurationError, match="line 1"):
        PromptTemplate(text)


def test_undefined_name_lists_the_columns(bench):
    """The nearest column is proposed, and the line is named."""
    path = bench.write("a.jsonl", '{"question": "a", "id": 1}\n')
    with pytest.raises(
        InvalidRows,
        match=r"line 1: .*'qestion' is undefined; the columns here are question, id\. Did you mean question",
    ):
        bench.prepare(path, template="{{ qestion }}")


def test_empty_result_is_refused(bench):
    """A prompt of nothing is no prompt."""
    path = bench.write("a.jsonl", '{"a": "x"}\n{"a": ""}\n')
    with pytest.raises(InvalidRows, match="line 2: the template gives an empty prompt"):
        bench.prepare(path, template="{{ a }}")


def test_null_is_never_written_as_none():
    """A value that is missing in a row would put the word None into the prompt."""
    with pytest.raises(BadRowError, match="empty \\(null\\)"):
        PromptTemplate("Summarise {{ a }}").render({"a": None})


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ items.append(3) }}",
        "{{ 10 ** (10 ** 9) }}",
        "{% include 'x' %}",
        "{{ 1 / 0 }}",
        "{{ row.items.__globals__ }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for i in range(10 ** 7) %}{% endfor %}",
        "{% for i in range(90000) %}{{ 'x' * 1000 }}{% endfor %}",
        "{{ 'x' | center(10 ** 10) }}",
        "{{ 'x' * 10 ** 10 }}",
        "{% set n = namespace(s='xxxxxxxx') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
        "{{ 1.5 | round(10 ** 9, 'ceil') }}",
        "{{ (1).from_bytes(('x' * 10 ** 7).encode(), 'big') }}",
        "{{ ('9' * 10 ** 5) | int // 7 ~ '' | attr('__class__') }}",
        "{{ '%*d' % (10 ** 9, 1) }}",
        "{{ '{:>2000000000}'.format(1) }}",
        "{{ '{x.__class__}'.format_map({'x': 1}) }}",
        "{{ ('x' * 10 ** 6).replace('x', 'y' * 10 ** 6) }}",
        "{{ ('x' * 10 ** 6).translate({120: 'y' * 10 ** 6}) }}",
        "{{ (5).to_bytes(10 ** 10, 'big') }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{{ cycler(1).__init__.__globals__ }}",
        "{{ self.__init__.__globals__ }}",
        "{{ namespace.__class__ }}",
    ],
)
def test_template_cannot_reach_out_or_take_the_memory(text):
    """Whatever it tries, the row is bad and the process goes on."""
    with pytest.raises(BadRowError):
        PromptTemplate(text).render({"items": [1]})


def test_template_cannot_run_for_ever(monkeypatch):
    """Loops in loops are stopped by the processor's clock."""
    monkeypatch.setattr(module, "MOST_SECONDS", 0.2)
    text = "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}"
    started = time.process_time()
    with pytest.raises(BadRowError, match="takes more than"):
        PromptTemplate(text).render({})
    assert time.process_time() - started < 5


def test_adding_up_lists_can_be_stopped(monkeypatch):
    """Jinja2's own sum is one step, which no timer interrupts."""
    monkeypatch.setattr(module, "MOST_SECONDS", 0.2)
    with pytest.raises(BadRowError, match="takes more than"):
        PromptTemplate("{{ ([[0]] * 300000) | sum(start=[]) | length }}").render({})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ items | sum(attribute='n') }}", "3"),
        ("{{ [1, 2] | sum(start=4) }}", "7"),
        ("{{ 2.55 | round(1) }} {{ 2.7 | round(method='floor') }}", "2.5 2.0"),
    ],
)
def test_filters_that_are_bounded_do_what_they_did(text, expected):
    """As Jinja2 documents them."""
    assert PromptTemplate(text).render({"items": [{"n": 1}, {"n": 2}]}) == expected


def test_one_step_that_never_ends_ends_the_process():
    """What Python cannot interrupt the kernel ends: no hanging, whatever the template does."""
    text = "{% set a = [0] %}{% set b = [0] %}" + "{% set a = [a, a] %}{% set b = [b, b] %}" * 40 + "{{ a == b }}"
    code = (
        "from promptmill.prompts import template as module; module.MOST_SECONDS = 0.2; "
        f"module.PromptTemplate({text!r}).render({{}})"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGPROF


def test_template_works_outside_the_main_thread():
    """Signals reach the main thread alone; elsewhere a template renders without the clock."""
    found = []
    thread = threading.Thread(target=lambda: found.append(PromptTemplate("{{ a }}").render({"a": 1})))
    thread.start()
    thread.join()
    assert found == ["1"]


def test_rendered_prompts_are_the_same_each_time(bench):
    """Two preparations give the same digest."""
    path = bench.write("a.jsonl", "\n".join(json.dumps({"a": str(number)}) for number in range(50)))
    assert bench.prepare(path, template="{{ row }}") == bench.prepare(path, template="{{ row }}")
