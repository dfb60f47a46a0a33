"""Files that cannot be used are refused with the line, the column and the reason, and leave nothing behind."""

from __future__ import annotations

import json
import logging

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from promptmill.errors import InvalidRows, PromptmillError

from .mangled import GOOD, MANGLED, NULS_IN_HEADER
from .within import within


@pytest.mark.parametrize(("name", "content", "said"), MANGLED.values(), ids=MANGLED.keys())
def test_mangled_file_is_refused_with_place_and_reason(bench, name, content, said):
    """The message names the file and line and what is wrong there; no target and no temporary is left."""
    path = bench.write(name, content)
    with within(60), pytest.raises(InvalidRows) as caught:
        bench.prepare(path)
    for part in said:
        assert part in str(caught.value)
    assert 20 < len(str(caught.value)) < 4000
    assert {*bench.folder.rglob("*")} <= {path, bench.target.parent}


@pytest.mark.parametrize("code", NULS_IN_HEADER)
def test_a_header_that_is_no_text_is_refused(bench, code):
    """UTF-16 without its mark makes a column of NULs and letters; Python 3.10 does not read it at all."""
    path = bench.write("a.csv", 'prompt\n{"prompt": "Hällo"}\n'.encode(code))
    with pytest.raises(PromptmillError, match=r"the columns are 'p\\x00r\\x00|is not UTF-8|NUL") as caught:
        bench.prepare(path)
    assert len(str(caught.value)) < 4000
    assert {*bench.folder.rglob("*")} <= {path, bench.target.parent}


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


@pytest.mark.parametrize("values", [[1.5, True], [True, 0.5], [1, True], [[1], ["a"]], [{}, []]])
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
