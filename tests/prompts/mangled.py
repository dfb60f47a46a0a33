"""Files that cannot be used, and what is said of each; none of them would be written by hand."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

GOOD = '{"prompt": "good"}\n'
DEEP = "[" * 500 + "]" * 500
ENDINGS = ("txt", "jsonl", "ndjson", "json", "csv", "tsv", "parquet", "txt.gz", "jsonl.zst", "csv.gz", "json.zst")

Case = tuple[str, str | bytes, list[str]]
"""The name of a file, what is in it, and parts of the message."""


def parquet(**columns: Any) -> bytes:
    """A Parquet file with these columns."""
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def zst(content: bytes) -> bytes:
    """The same compressed."""
    return bytes(pa.Codec("zstd").compress(content, asbytes=True))


DAMAGED = "the file is cut off or damaged"
NULS = {
    "txt": "line 1, column prompt: has a NUL character at position 1",
    **{ending: f"a.{ending}" for ending in ("csv", "tsv")},  # read as an empty line; by Python 3.10 not at all
    **dict.fromkeys(("jsonl", "ndjson", "json"), "line 1: is not JSON"),
}
CODES = {
    **dict.fromkeys(("utf-16", "utf-32"), "line 1: is UTF-16; save the file as UTF-8"),
    **dict.fromkeys(("utf-16-le", "utf-16-be", "latin-1", "cp037"), "is not UTF-8"),
}
NULS_IN_HEADER = ("utf-16-le", "utf-16-be")
"""Codes in which the header of a CSV file is no text: see test_a_header_that_is_no_text_is_refused."""

OF_EACH_KIND: dict[str, Case] = {
    **{f"nothing in {ending}": (f"a.{ending}", b"", [DAMAGED if ending == "parquet" else "has no prompts"])
       for ending in ENDINGS},
    **{f"NULs in {ending}": (f"a.{ending}", b"\0" * 100, [NULS.get(ending.split(".")[0], DAMAGED)])
       for ending in ENDINGS},
    **{f"{code} in {ending}": (f"a.{ending}", 'prompt\n{"prompt": "Hällo"}\n'.encode(code), [said])
       for code, said in CODES.items()
       for ending in ("txt", "jsonl", "csv")
       if ending != "csv" or code not in NULS_IN_HEADER},
}  # fmt: skip

MANGLED: dict[str, Case] = {
    **OF_EACH_KIND,
    "broken JSON": ("a.jsonl", GOOD * 6 + '{"prompt": "x"\n' + GOOD, ["a.jsonl, line 7: is not JSON"]),
    "not an object": (
        "a.jsonl",
        GOOD * 8 + "[1, 2]\n17\nnull\n",
        ["line 9: is a list", "line 10: is a number (17)", "line 11: is null"],
    ),
    "lists in lines": ("a.jsonl", '["x"]\n["y"]\n', ["line 1: is a list", "line 2: is a list"]),
    "key twice": ("a.jsonl", GOOD + '{"prompt": "x", "o": {"a": 1, "a": 2}}\n', ["line 2: has the key 'a' twice"]),
    "key twice in a list": (
        "a.json",
        '["one",\n{"prompt": "x", "prompt": "y"}]',
        ["line 2: has the key 'prompt' twice"],
    ),
    "key twice in one object": ("a.json", '{"prompt": "x",\n"prompt": "y"}', ["line 1: has the key 'prompt' twice"]),
    "NaN as prompt": ("a.jsonl", GOOD + '{"prompt": NaN}\n', ["line 2, column prompt: is null (or NaN), not text"]),
    "several lists": ("a.json", '{"a": [{"x": "p"}], "b": [{"x": "q"}]}', ["several lists of rows, a, b", "jq -c"]),
    "zip": ("a.jsonl", b"PK\x03\x04" + b"x" * 50, ["a.jsonl: is a zip archive; unpack it"]),
    "missing column": ("a.jsonl", GOOD * 11 + '{"promt": "x"}\n', ["line 12, column prompt: is missing", "promt"]),
    "empty prompt": ("a.jsonl", GOOD * 13 + '{"prompt": " \\n"}\n', ["line 14, column prompt: is empty"]),
    "null prompt": ("a.jsonl", GOOD + '{"prompt": null}\n', ["line 2, column prompt: is null (or NaN), not text"]),
    "number as prompt": ("a.jsonl", GOOD + '{"prompt": 5}\n', ["line 2, column prompt: is 5, not text"]),
    "not UTF-8": ("a.txt", b"one\ntwo\nsixteen bytes on\xff\n", ["line 3: is not UTF-8 at byte 17 (0xff)"]),
    "not UTF-8 in CSV": ("a.csv", b"prompt\none\n\xe9t\xe9\n", ["line 3: is not UTF-8 at byte 1"]),
    "not UTF-8 in JSON": ("a.json", b'["one",\n"\xff"]', ["line 2: is not UTF-8"]),
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
    "absurd nesting": (
        "a.jsonl",
        GOOD + "[" * 100_000 + '\n{"prompt": ' + "[" * 100_000,
        ["line 2: is nested too deep", "line 3: is nested too deep"],
    ),
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
    "header alone": ("a.csv", "prompt,id\n", ["has no prompts"]),
    "header alone, tabs": ("a.tsv", "prompt\tid\n", ["has no prompts"]),
    "byte order mark alone": ("a.txt", b"\xef\xbb\xbf", ["has no prompts"]),
    "two byte order marks": ("a.jsonl", b"\xef\xbb\xbf" * 2 + GOOD.encode(), ["line 1: is not JSON"]),
    "line ends of old Macs": ("a.txt", "one\rtwo\r", ["line 1: ends its lines with \\r alone"]),
    "line ends of old Macs in CSV": ("a.csv", "prompt\rone\rtwo\r", ["line 1: is not CSV"]),
    "endless line": ("a.txt", b"x" * 65_000_000, ["line 1: is longer than 64 MB"]),
    "gzip bomb": ("a.txt.gz", gzip.compress(b"x" * 1_000_000) * 100, ["line 1: is longer than 64 MB"]),
    "zstd bomb": ("a.jsonl.zst", zst(b'{"prompt": "' + b"x" * 100_000_000 + b'"}'), ["line 1: is longer than 64 MB"]),
    "empty list": ("a.json", "[]", ["has no prompts"]),
    "open list": ("a.json", '["one",\n"two"', ["line 2: is not JSON: the list is not closed"]),
    "missing comma": ("a.json", '["one"\n"two"]', ["line 2: is not JSON: a comma or ] is missing"]),
    "trailing comma": ("a.json", '["one",\n]', ["line 2: is not JSON: nothing comes after the last comma"]),
    "text after the list": ("a.json", '["one"]\nx', ["line 2: is not JSON: there is more after the end"]),
    "broken element": ("a.json", '["one",\n{"prompt": tru}]', ["line 2: is not JSON"]),
    "number in a list": ("a.json", '["one",\n\n12]', ["line 3: is a number (12)"]),
    "not Parquet": ("a.parquet", b"PAR1 is not enough", ["a.parquet", "cut off or damaged"]),
    "bzip2 cut off": ("a.jsonl.bz2", bz2.compress(GOOD.encode() * 1000)[:-20], [DAMAGED]),
    "xz cut off": ("a.jsonl.xz", lzma.compress(GOOD.encode() * 1000)[:-20], [DAMAGED]),
    "gzip cut off at once": ("a.jsonl.gz", gzip.compress(GOOD.encode())[:5], [f"a.jsonl.gz: {DAMAGED}"]),
    "gzip cut off": ("a.jsonl.gz", gzip.compress(GOOD.encode() * 1000)[:-20], [DAMAGED]),
    "junk after gzip": ("a.jsonl.gz", gzip.compress(GOOD.encode()) + b"junk", [DAMAGED]),
    "Parquet cut off": ("a.parquet", parquet(prompt=["a"] * 1000)[:-100], [DAMAGED]),
    "Parquet of no rows": ("a.parquet", parquet(prompt=pa.array([], pa.string())), ["has no prompts"]),
    "Parquet of no columns": ("a.parquet", parquet(), ["has no prompts"]),
    "bytes as prompt": (
        "a.parquet",
        parquet(prompt=[b"\xff\xfe"]),
        ["row 1, column prompt: is b'", "not text"],
    ),
    "nothing but keys": (
        "a.jsonl",
        json.dumps({"prompt": "x", **{f"k{n}": 1 for n in range(1001)}}),
        ["more than 1000"],
    ),
}
