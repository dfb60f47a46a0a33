"""Each kind of file gives the prompts that a person sees in it."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptmill.errors import ConfigurationError, InvalidRows

from .conftest import Workbench

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip)
FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_text_file_gives_a_prompt_a_line(prompts_of):
    """Blank lines, a byte order mark and both kinds of line end leave no trace."""
    assert prompts_of("a.txt", b"\xef\xbb\xbfone\r\n\n  \ntwo  words\nlast") == ["one", "two  words", "last"]


def test_text_lines_are_split_at_line_feeds_alone(prompts_of):
    """Other characters that Unicode counts as line ends stay inside a prompt."""
    assert prompts_of("a.txt", "a\u2028b\x0cc\nd\n") == ["a\u2028b\x0cc", "d"]


def test_json_lines_hold_objects_or_strings(prompts_of):
    """A bare string is a prompt."""
    assert prompts_of("a.jsonl", '{"prompt": "one"}\n\n"two"\n') == ["one", "two"]


@pytest.mark.parametrize("space", ["", "\n", " \r\n\t"])
def test_json_list_is_read_with_any_space_in_it(prompts_of, space):
    """White space between the parts of a list means nothing."""
    parts = ["[", '{"prompt": "one"}', ",", '"two"', "]", ""]
    assert prompts_of("a.json", "\ufeff" + space.join(parts)) == ["one", "two"]


def test_json_list_larger_than_a_block_is_read_whole(prompts_of):
    """Elements that straddle the blocks of a read come out unharmed."""
    prompts = [f"é{number}" * (1 + number % 700) for number in range(1500)]
    text = json.dumps([{"prompt": prompt} for prompt in prompts], ensure_ascii=False)
    assert prompts_of("a.json", text) == prompts


def test_json_file_with_an_object_a_line_is_read_as_json_lines(prompts_of):
    """The ending .json is common for JSON lines too."""
    assert prompts_of("a.json", '{"prompt": "one"}\n{"prompt": "two"}\n') == ["one", "two"]


def test_csv_fields_may_hold_delimiters_quotes_and_line_ends(bench):
    """Quoted fields are one value, and every value is text."""
    path = bench.write("a.csv", 'prompt,score\r\n"a, ""b""\r\nc",1\r\nplain,\r\n')
    assert bench.rows(path) == [{"prompt": 'a, "b"\r\nc', "score": "1"}, {"prompt": "plain", "score": ""}]


def test_csv_column_without_a_name_is_called_by_its_number(bench):
    """The index column that pandas writes does no harm."""
    assert bench.rows(bench.write("a.csv", ",prompt\n0,one\n")) == [{"prompt": "one", "column_1": "0"}]


def test_tsv_is_split_at_tabs(bench):
    """Commas mean nothing in a .tsv file."""
    assert bench.rows(bench.write("a.tsv", "id\tprompt\n7\ta, b\n")) == [{"prompt": "a, b", "id": "7"}]


UNQUOTED = 'prompt\ttopic\n"To be or not\tplay\nHe said\tx\nthat is it"\tplay\nThe end\tz\n'


@pytest.mark.parametrize("more", ["", '"Who" is on first\tplay\n', '"open to the end\tplay\n'])
def test_tsv_without_quoting_is_not_glued_together(bench, more, caplog):
    """Where each line has the header's number of fields, a quote is a character like others, and it is said."""
    caplog.set_level("INFO")
    rows = bench.rows(bench.write("a.tsv", UNQUOTED + more))
    assert [tuple(row.values()) for row in rows] == [
        tuple(line.split("\t")) for line in (UNQUOTED + more).splitlines()[1:]
    ]
    assert "quotes are characters like others" in caplog.text


def test_tsv_with_quoted_line_ends_is_read_as_before(bench, caplog):
    """A field of several lines stays one, and how many there are is said."""
    caplog.set_level("INFO")
    rows = bench.rows(bench.write("a.tsv", 'prompt\tn\n"a\nb\tc"\t1\n"d"\t2\n'))
    assert [row["prompt"] for row in rows] == ["a\nb\tc", "d"]
    assert "a.tsv: 1 row spans several lines" in caplog.text
    assert caplog.text.count("spans") == 1


def test_tsv_whose_quotes_mean_both_is_refused(bench):
    """Nothing is guessed where either reading is wrong for some rows."""
    with pytest.raises(InvalidRows, match="line 2: has a quote that may open"):
        bench.prepare(bench.write("a.tsv", UNQUOTED + '"a\nb"\tx\n'))


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;\r"])
def test_the_line_that_excel_writes_is_no_header(bench, first):
    """It names the delimiter."""
    assert bench.rows(bench.write("a.csv", f"{first}\nid;prompt\n1;a, b\n")) == [{"prompt": "a, b", "id": "1"}]


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        ("What is 1+1?\nWhat is 2+2?\n", {}, [["What is 1+1?"], ["What is 2+2?"]]),
        ("1,What is 1+1?\n2,b\n", {"column": "column_2"}, [["What is 1+1?", "1", "What is 1+1?"], ["b", "2", "b"]]),
        ("1,a\n", {"template": "{{ column_2 }}"}, [["a", "1", "a"]]),
        ("country,2020\nPeru,2\n", {"column": "country"}, [["Peru", "Peru", "2"]]),
        (",0,1\n0,a,b\n", {"column": "0"}, [["a", "0", "a", "b"]]),
        ("prompt,2020\na,b\n", {}, [["a", "b"]]),
        ("Timestamp,What would you ask?\n1,a\n", {"column": "Timestamp"}, [["1", "1", "a"]]),
    ],
)
def test_first_row_of_a_file_without_header_is_kept(bench, content, options, expected):
    """A first line that reads like a row is one; names of people's, of pandas and those that they type are a header."""
    assert [list(row.values()) for row in bench.rows(bench.write("a.csv", content), **options)] == expected


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        ("1,What is 1+1?\n2,b\n", {}, r"columns are column_1, column_2\. .*--prompt-column column_2"),
        ("What is 1+1?\nb\n", {"column": "What is 1+1?"}, "columns are prompt"),
        ("apple\npear\n", {}, "put the line `prompt` before it"),
    ],
)
def test_what_is_proposed_for_a_file_without_header_loses_no_row(bench, content, options, said):
    """The first row is never proposed as the name of a column alone."""
    with pytest.raises(ConfigurationError, match=said):
        bench.prepare(bench.write("a.csv", content), **options)


def test_csv_field_may_be_longer_than_pythons_own_limit(prompts_of):
    """A document of a million characters is a prompt like any other."""
    assert prompts_of("a.csv", f"prompt\n{'x' * 1_000_000}\n") == ["x" * 1_000_000]


def test_parquet_columns_keep_their_types(bench):
    """Types that JSON does not have travel through too."""
    day = pa.array([19000, None], pa.date32())
    table = pa.table({"text": ["one", "two"], "day": day, "raw": [b"\xff", b""], "n": pa.array([1, 2], pa.int8())})
    table = table.append_column("kind", pa.array(["a", "b"]).dictionary_encode())
    path = bench.folder / "a.parquet"
    pq.write_table(table, path)
    bench.prepare(path)
    written = pq.read_table(bench.target)
    assert written.column("prompt").to_pylist() == ["one", "two"]
    assert written.select(["day", "raw", "n"]).equals(table.select(["day", "raw", "n"]))
    assert written.column("kind").to_pylist() == ["a", "b"]


COMPRESSED = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": lambda data: pa.Codec("zstd").compress(data, asbytes=True),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


@pytest.mark.parametrize("called", COMPRESSED)
@pytest.mark.parametrize("ending", COMPRESSED)
def test_compressed_files_are_read_like_plain_ones(prompts_of, ending, called):
    """By their first bytes, whatever they are called."""
    for name, content in (("a.txt", "one\ntwo\n"), ("a.json", '["one", "two"]'), ("a.csv", "prompt\none\ntwo\n")):
        assert prompts_of(name + called, COMPRESSED[ending](content.encode())) == ["one", "two"]


def test_text_that_begins_like_a_compressed_file_is_text(prompts_of):
    """The letters that name bzip2 are the beginning of words as well."""
    assert prompts_of("a.txt", "BZhello\nPAR1\n") == ["BZhello", "PAR1"]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize(
    "content",
    [
        '[\n  {"prompt": "hi"},\n  {"prompt": "ho"}\n]\n',
        '[{"prompt": "hi"}, {"prompt": "ho"}]',
        '["hi", "ho"]\n',
        '{\n  "prompt": "hi"\n}\n{\n  "prompt": "ho"\n}\n',
        '{"prompt": "hi"}{"prompt": "ho"}',
        '{"prompt": ["hi", "ho"]}',
        '{"prompt": {"0": "hi", "1": "ho"}}',
        '{"columns": ["prompt"], "index": [0, 1], "data": [["hi"], ["ho"]]}',
        '{"version": "1.1", "data": [{"prompt": "hi"}, {"prompt": "ho"}]}',
        '{\n"version": "1.1",\n"data": [{"prompt": "hi"}, {"prompt": "ho"}]\n}',
    ],
)
def test_json_is_read_by_what_is_in_it(prompts_of, name, content):
    """Lists in .jsonl, objects over several lines, tables column by column, and rows within an object."""
    assert prompts_of(name, content) == ["hi", "ho"]


@pytest.mark.parametrize(
    ("row", "options"),
    [
        ({"prompt": "hi", "data": [{"a": 1}]}, {}),
        ({"messages": [{"role": "user", "content": "hi"}], "tags": ["x"]}, {}),
        ({"question": "hi", "data": [{"a": 1}]}, {"column": "question"}),
        ({"question": "hi", "data": [{"a": 1}]}, {"template": "{{ question }}"}),
    ],
)
def test_a_file_of_one_row_is_that_row(bench, row, options):
    """Lists in an object that is a prompt itself are values like others."""
    (found,) = bench.rows(bench.write("a.jsonl", json.dumps(row)), **options)
    assert found.items() >= {key: value for key, value in row.items() if key != "prompt"}.items()


def test_nan_of_pandas_is_a_missing_value(bench):
    """Integers beside it stay integers."""
    content = '{"prompt": "a", "id": 1234567890123456789, "note": "x", "n": NaN}\n'
    content += '{"prompt": "b", "id": NaN, "note": NaN, "n": Infinity}\n'
    assert bench.rows(bench.write("a.jsonl", content)) == [
        {"prompt": "a", "id": 1234567890123456789, "note": "x", "n": None},
        {"prompt": "b", "id": None, "note": None, "n": float("inf")},
    ]


@pytest.mark.parametrize("name", ["a.txt.gz", "a.jsonl.gz", "a.json.gz", "a.csv.gz", "a.jsonl.zst", "a.txt.zst"])
def test_cut_off_compressed_file_is_an_error(bench, name):
    """A download that broke off is not taken for a shorter file."""
    content = b'"prompt"\n' + b"".join(b'"prompt number %d"\n' % (number * 7919) for number in range(5000))
    data = gzip.compress(content) if name.endswith(".gz") else pa.Codec("zstd").compress(content, asbytes=True)
    with pytest.raises(InvalidRows, match=r"cut off or damaged|is not JSON"):
        bench.prepare(bench.write(name, data[: len(data) // 2]))


@FEW
@given(st.lists(TEXT.filter(lambda text: "\n" not in text and not text.endswith("\r")), min_size=1))
def test_text_round_trip(prompts):
    """Any line of text comes back as it was."""
    assert _round_trip("a.txt", "\n".join([*prompts, ""])) == [
        p.removeprefix("\ufeff") if i == 0 else p for i, p in enumerate(prompts)
    ]


@FEW
@given(st.lists(TEXT, min_size=1), st.booleans())
def test_json_round_trip(prompts, ascii_only):
    """Any text comes back from a list and from lines, escaped or not."""
    values = [{"prompt": prompt} for prompt in prompts]
    assert _round_trip("a.json", json.dumps(values, ensure_ascii=ascii_only)) == prompts
    assert _round_trip("a.jsonl", "\n".join(json.dumps(value, ensure_ascii=ascii_only) for value in values)) == prompts


def _round_trip(name: str, content: str) -> list[str]:
    with TemporaryDirectory() as folder:
        bench = Workbench(Path(folder))
        return [row["prompt"] for row in bench.rows(bench.write(name, content))]
