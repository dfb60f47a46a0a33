"""Files that cannot be used are refused with the line, the column and the reason, and leave nothing behind."""

from __future__ import annotations

import gzip
import io
import json
import logging
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptmill.errors import InvalidRows, PromptmillError

from .conftest import Workbench

GOOD = '{"prompt": "good"}\n'
DEEP = "[" * 500 + "]" * 500

MANGLED = {
    "broken JSON": ("a.jsonl", GOOD * 6 + '{"prompt": "x"\n' + GOOD, ["a.jsonl, line 7: is not JSON"]),
    "not an object": (
        "a.jsonl",
        GOOD * 8 + "[1, 2]\n17\nnull\n",
        ["line 9: is a list", "line 10: is a number (17)", "line 11: is null"],
    ),
    "list in lines": ("a.jsonl", '[{"prompt": "x"}]\n', ["line 1: is a list"]),
    "missing column": ("a.jsonl", GOOD * 11 + '{"promt": "x"}\n', ["line 12, column prompt: is missing", "promt"]),
    "empty prompt": ("a.jsonl", GOOD * 13 + '{"prompt": " \\n"}\n', ["line 14, column prompt: is empty"]),
    "null prompt": ("a.jsonl", GOOD + '{"prompt": null}\n', ["line 2, column prompt: is null"]),
    "number as prompt": ("a.jsonl", GOOD + '{"prompt": 5}\n', ["line 2, column prompt: is 5, not text"]),
    "not UTF-8": ("a.txt", b"one\ntwo\nsixteen bytes on\xff\n", ["line 3: is not UTF-8 at byte 17 (0xff)"]),
    "not UTF-8 in CSV": ("a.csv", b"prompt\none\n\xe9t\xe9\n", ["line 3: is not UTF-8 at byte 1"]),
    "not UTF-8 in JSON": ("a.json", b'["one",\n"\xff"]', ["line 2: is not UTF-8"]),
    "UTF-16": ("a.txt", "one\ntwo".encode("utf-16"), ["line 1: is UTF-16; save the file as UTF-8"]),
    "NUL": ("a.txt", b"one\nt\0wo\n", ["line 2, column prompt: has a NUL character at position 2"]),
    "lone surrogate": ("a.jsonl", GOOD + '{"prompt": "\\ud800"}\n', ["line 2", "half of a surrogate pair, \\ud800"]),
    "surrogate elsewhere": (
        "a.jsonl",
        GOOD + '{"prompt": "x", "note": ["\\udfff"]}\n',
        ["line 2, column note", "surrogate"],
    ),
    "surrogate in a key": ("a.jsonl", '{"prompt": "x", "\\ud800": 1}\n', ["line 1", "surrogate"]),
    "deep nesting": (
        "a.jsonl",
        GOOD + f'{{"prompt": "x", "deep": {DEEP}}}\n',
        ["line 2, column deep: is nested more than 64 deep"],
    ),
    "absurd nesting": ("a.jsonl", GOOD + "[" * 100_000 + "\n", ["line 2: is nested too deep"]),
    "absurd nesting in a list": ("a.json", "[" * 100_000, ["line 1: is nested too deep"]),
    "huge integer": (
        "a.jsonl",
        f'{{"prompt": "x", "id": {2**64}}}\n',
        ["line 1, column id", "does not fit in 64 bits"],
    ),
    "endless integer": ("a.jsonl", f'{{"prompt": "x", "id": {"9" * 5000}}}\n', ["line 1: is not JSON"]),
    "inexact number": (
        "a.jsonl",
        f'{{"prompt": "x", "n": {2**60 + 1}}}\n{{"prompt": "x", "n": 0.5}}\n',
        ["line 1, column n"],
    ),
    "duplicate header": ("a.csv", "prompt,id,id\nx,1,2\n", ["line 1: the header names a column twice: id"]),
    "ragged row": ("a.csv", "prompt,id\nx,1\na, b,1\n", ["line 3: has 3 fields where the header has 2"]),
    "open quote": ("a.csv", 'prompt\none\n"two\nthree\n' * 1, ["line 3: a quote that opens here is never closed"]),
    "text after a quote": ("a.csv", 'prompt\n"one"two\n', ["line 2: is not CSV"]),
    "no rows": ("a.jsonl", "\n\n", ["has no prompts"]),
    "empty file": ("a.json", "", ["has no prompts"]),
    "header alone": ("a.csv", "prompt,id\n", ["has no prompts"]),
    "empty list": ("a.json", "[]", ["has no prompts"]),
    "one object": ("a.json", '{\n"prompt": "x"\n}', ["is one JSON object"]),
    "open list": ("a.json", '["one",\n"two"', ["line 2: is not JSON: the list is not closed"]),
    "missing comma": ("a.json", '["one"\n"two"]', ["line 2: is not JSON: a comma or ] is missing"]),
    "trailing comma": ("a.json", '["one",\n]', ["line 2: is not JSON: nothing comes after the last comma"]),
    "text after the list": ("a.json", '["one"]\nx', ["line 2: is not JSON: there is more after the end"]),
    "broken element": ("a.json", '["one",\n{"prompt": tru}]', ["line 2: is not JSON"]),
    "number in a list": ("a.json", '["one",\n\n12]', ["line 3: is a number (12)"]),
    "not Parquet": ("a.parquet", b"PAR1 is not enough", ["a.parquet", "cut off or damaged"]),
    "not gzip": ("a.jsonl.gz", GOOD, ["a.jsonl.gz, after line 0: the file is cut off or damaged"]),
    "not zstd": ("a.jsonl.zst", GOOD, ["a.jsonl.zst, after line 0: the file is cut off or damaged"]),
    "nothing but keys": (
        "a.jsonl",
        json.dumps({"prompt": "x", **{f"k{n}": 1 for n in range(1001)}}),
        ["more than 1000"],
    ),
}


@pytest.mark.parametrize(("name", "content", "said"), MANGLED.values(), ids=MANGLED.keys())
def test_mangled_file_is_refused_with_place_and_reason(bench, name, content, said):
    """The message names the file and line and what is wrong there; no target and no temporary is left."""
    path = bench.write(name, content)
    with pytest.raises(InvalidRows) as caught:
        bench.prepare(path)
    for part in said:
        assert part in str(caught.value)
    assert not bench.target.parent.exists() or list(bench.target.parent.iterdir()) == []


def test_all_problems_are_said_at_once(bench):
    """The first twenty stand in full, the rest is counted."""
    path = bench.write("a.jsonl", GOOD + "broken\n" * 15 + '{"prompt": ""}\n' * 15)
    with pytest.raises(InvalidRows) as caught:
        bench.prepare(path)
    lines = str(caught.value).splitlines()
    assert "30 things are wrong" in lines[0]
    assert [line.split(":")[0].split("line ")[1] for line in lines[1:21]] == [
        *[str(number) for number in range(2, 17)],
        *[f"{number}, column prompt" for number in range(17, 22)],
    ]
    assert lines[21] == "  ... and 10 more"


def test_conflicting_types_name_column_and_both_lines(bench):
    """Text in one line and a number much later is said with both places."""
    rows = (
        [{"prompt": "x", "score": None}] * 2 + [{"prompt": "x", "score": "high"}] * 2000 + [{"prompt": "x", "score": 3}]
    )
    path = bench.write("a.jsonl", "\n".join(map(json.dumps, rows)))
    with pytest.raises(InvalidRows, match=r"line 2003, column score: is a number, but text on .*a\.jsonl, line 3"):
        bench.prepare(path)


@pytest.mark.parametrize(
    "values", [[1.5, True], [True, 0.5], [1, True], [{"a": 1.5}, {"a": False}], [[1], ["a"]], [{}, []]]
)
def test_values_of_different_types_are_never_converted(bench, values):
    """Arrow alone would make 1.0 of true."""
    path = bench.write("a.jsonl", "\n".join(json.dumps({"prompt": "x", "value": value}) for value in values))
    with pytest.raises(InvalidRows, match="line 2, column value"):
        bench.prepare(path)


def test_parquet_rows_are_counted_from_one(bench):
    """A Parquet file has no lines, so the row is named."""
    path = bench.folder / "a.parquet"
    pq.write_table(pa.table({"prompt": ["x"] * 1500 + [None]}), path)
    with pytest.raises(InvalidRows, match=r"a\.parquet, row 1501, column prompt: is null"):
        bench.prepare(path)


def test_parquet_with_a_column_twice_is_refused(bench):
    """Which of the two is meant cannot be known."""
    path = bench.folder / "a.parquet"
    pq.write_table(pa.table([["x"], ["y"]], names=["prompt", "prompt"]), path)
    with pytest.raises(InvalidRows, match="has a column twice: prompt"):
        bench.prepare(path)


def test_limit_leaves_what_comes_after_it_unread(bench):
    """A broken line after the first N prompts does not matter."""
    path = bench.write("a.jsonl", GOOD * 3 + "broken\n" * 5)
    assert bench.prepare(path, limit=3).rows == 3
    with pytest.raises(InvalidRows, match="line 4"):
        bench.prepare(path, limit=4)


def test_source_that_changes_while_it_is_read_is_refused(bench, caplog):
    """Two passes over two different contents would make a third."""
    row = '{"prompt": "good", "response": "taken"}\n'
    path = bench.write("a.jsonl", row * 3)

    def change(record):
        # What columns become is known, and told, after the first pass and before the second.
        if "travels through as" in record.getMessage():
            path.write_text(row * 4)
        return True

    caplog.set_level(logging.INFO, "promptmill")
    with caplog.filtering(change), pytest.raises(InvalidRows, match="changed while it was read"):
        bench.prepare(path)
    assert path.read_text() == row * 4
    assert not bench.target.exists()


def _parquet() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"prompt": ["one", "two"], "n": [1, 2]}), buffer)
    return buffer.getvalue()


WHOLE = {
    "a.txt": b"one\ntwo\n",
    "a.jsonl": b'{"prompt": "one", "o": {"a": [1, null]}}\n"two"\n',
    "a.json": b'[{"prompt": "one", "o": {"a": [1, 2.5]}},\n"two"]',
    "a.csv": b'prompt,n\n"one, ""1""",1\ntwo,2\n',
    "a.jsonl.gz": gzip.compress(b'{"prompt": "one"}\n"two"\n', mtime=0),
    "a.json.zst": pa.Codec("zstd").compress(b'["one", "two"]', asbytes=True),
    "a.parquet": _parquet(),
}


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(WHOLE)),
    cut=st.integers(0, 2000),
    drop=st.integers(0, 3),
    put=st.binary(max_size=4)
    | st.sampled_from([b"\0", b"\xff", b'"', b"[", b"{", b",", b"\n", b"\\ud800", b"NaN", b"1e999"]),
)
def test_damage_anywhere_is_an_error_of_ours_or_harmless(name, cut, drop, put):
    """Bytes changed, dropped or put in at any place never end in a traceback."""
    whole = WHOLE[name]
    cut %= len(whole) + 1
    said = "--prompts"
    with TemporaryDirectory() as folder:
        bench = Workbench(Path(folder))
        try:
            bench.rows(bench.write(name, whole[:cut] + put + whole[cut + drop :]))
        except PromptmillError as error:
            said = str(error)
    assert "--prompt" in said or "same command again" in said
