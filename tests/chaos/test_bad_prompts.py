"""Prompts files, templates and kinds of files that nobody would write by hand: an error of ours, or right handling."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptmill.errors import ConfigurationError, PromptmillError
from promptmill.prompts import PromptOptions, prepare_prompts, prepared_table
from promptmill.prompts import template as template_module
from promptmill.prompts.problems import BadRowError
from promptmill.prompts.template import PromptTemplate

FUZZ = settings(max_examples=150, deadline=None, derandomize=True, database=None)
GOOD = b'{"prompt": "good"}\n'
ENDINGS = ("txt", "jsonl", "ndjson", "json", "csv", "tsv", "parquet", "txt.gz", "jsonl.zst", "csv.gz", "json.zst")


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Fail if the block takes longer: it would wait for ever."""

    def over(signum: int, frame: FrameType | None) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def prepared(folder: Path, source: str, **options: Any) -> list[dict[str, Any]] | None:
    """The rows of a source, or None if it was refused by an error of ours; no file is left but the target."""
    target = folder / "data" / "prompts.parquet"
    before = _files(folder)
    try:
        with within(60):
            rows = prepare_prompts(PromptOptions(source, **options), target).rows
    except PromptmillError as error:
        said, rows = str(error), 0
    if not rows:
        assert 20 < len(said) < 4000
        assert _files(folder) == before
        return None
    assert _files(folder) == before | {target}
    return prepared_table(target, 0, rows).to_pylist()


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.is_dir()}


def _parquet(**columns: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def _zst(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content, asbytes=True))


REFUSED: dict[str, bytes] = {
    **{f"empty.{ending}": b"" for ending in ENDINGS},
    **{f"nul.{ending}": b"\0" * 100 for ending in ENDINGS},
    **{f"{code}.{ending}": 'prompt\n{"prompt": "Hällo"}\n'.encode(code)
       for code in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp037")
       for ending in ("txt", "jsonl", "csv")},
    "bom-alone.txt": b"\xef\xbb\xbf",
    "two-boms.jsonl": b"\xef\xbb\xbf" * 2 + GOOD,
    "old-mac.txt": b"one\rtwo\r",
    "old-mac.csv": b"prompt\rone\rtwo\r",
    "long.txt": b"x" * 65_000_000,
    "bomb.txt.gz": gzip.compress(b"x" * 100_000_000),
    "bomb.jsonl.zst": _zst(b'{"prompt": "' + b"x" * 100_000_000 + b'"}'),
    "cut.jsonl.gz": gzip.compress(GOOD * 1000)[:-20],
    "junk-after.jsonl.gz": gzip.compress(GOOD) + b"junk",
    "deep.jsonl": b'{"prompt": ' + b"[" * 100_000,
    "deep.json": b"[" * 100_000,
    "header.tsv": b"prompt\tid\n",
    "twice.csv": b"prompt,prompt\na,b\n",
    "mixed.jsonl": b'{"prompt": "a", "x": 1}\n{"prompt": "a", "x": "y"}\n',
    "half.jsonl": b'{"prompt": "\\ud800"}\n',
    "number.jsonl": b'{"prompt": 1}\n',
    "cut.parquet": _parquet(prompt=["a"] * 1000)[:-100],
    "empty-rows.parquet": _parquet(prompt=pa.array([], pa.string())),
    "binary.parquet": _parquet(prompt=[b"\xff\xfe"]),
    "no-columns.parquet": _parquet(),
}  # fmt: skip
USED: dict[str, tuple[bytes, list[str]]] = {
    "bom.txt": (b"\xef\xbb\xbfone\n", ["one"]),
    "bom.csv": (b"\xef\xbb\xbfprompt\none\n", ["one"]),
    "bom.json": (b'\xef\xbb\xbf["one"]', ["one"]),
    "crlf.jsonl": (GOOD.replace(b"\n", b"\r\n") * 2, ["good"] * 2),
    "crlf.txt": (b"one\r\ntwo\r\n", ["one", "two"]),
    "crlf.csv": (b'prompt\r\n"a\r\nb"\r\n', ["a\r\nb"]),
    "10MB.txt": (b"x" * 10_000_000, ["x" * 10_000_000]),
    "10MB.jsonl": (json.dumps({"prompt": "x" * 10_000_000}).encode(), ["x" * 10_000_000]),
    "10MB.csv": (b'prompt\n"' + b"x" * 10_000_000 + b'"\n', ["x" * 10_000_000]),
    "members.jsonl.gz": (gzip.compress(GOOD) * 2, ["good"] * 2),
    "frames.jsonl.zst": (_zst(GOOD), ["good"]),
    "a\nb.jsonl": (GOOD, ["good"]),
    "-rf.jsonl": (GOOD, ["good"]),
    "%s😀.jsonl": (GOOD, ["good"]),
    "keys.jsonl": (b'{"prompt": "x", "a\\nb": 1, "": 2, "%s": 3, "response": 4, "{{ x }}": 5}', ["x"]),
    "nan.jsonl": (b'{"prompt": "x", "n": NaN}\n{"prompt": "x", "n": 1e999}\n', ["x"] * 2),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_used_is_refused(name: str, tmp_path: Path) -> None:
    """And leaves nothing."""
    (tmp_path / name).write_bytes(REFUSED[name])
    assert prepared(tmp_path, str(tmp_path / name)) is None


@pytest.mark.parametrize("name", USED)
def test_an_odd_file_that_can_be_used_is_read_right(name: str, tmp_path: Path) -> None:
    """Every prompt, as it stands there."""
    content, prompts = USED[name]
    (tmp_path / name).write_bytes(content)
    rows = prepared(tmp_path, str(tmp_path / name))
    assert rows is not None
    assert [row["prompt"] for row in rows] == prompts


MADE: dict[str, Callable[[Path], object]] = {
    "a folder.jsonl": lambda path: path.mkdir(),
    "a pipe.jsonl": os.mkfifo,
    "a circle.jsonl": lambda path: path.symlink_to(path),
    "to nowhere.jsonl": lambda path: path.symlink_to("gone"),
    "endless.txt": lambda path: path.symlink_to("/dev/zero"),
    "silent.jsonl": lambda path: path.symlink_to("/dev/tty"),
}


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("way", ["by name", "by glob", "as template"])
def test_what_is_no_file_is_not_waited_for(kind: str, way: str, tmp_path: Path) -> None:
    """Folders, pipes, devices, links in a circle."""
    MADE[kind](tmp_path / kind)
    (tmp_path / "good.jsonl").write_bytes(GOOD)
    if way == "as template":
        assert prepared(tmp_path, str(tmp_path / "good.jsonl"), template=f"@{tmp_path / kind}") is None
    else:
        assert prepared(tmp_path, str(tmp_path / kind) if way == "by name" else f"{tmp_path}/{kind[:4]}*") is None


@FUZZ
@given(ending=st.sampled_from(ENDINGS), content=st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(ending: str, content: bytes) -> None:
    """Compressed ones hold them compressed, so that the reader behind gets them."""
    packed = gzip.compress(content) if ending.endswith(".gz") else _zst(content) if ending.endswith(".zst") else content
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{ending}"
        path.write_bytes(packed)
        prepared(Path(folder), str(path))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@FUZZ
@given(rows=st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), min_size=1, max_size=4))
def test_any_json_is_refused_or_every_row_comes_through(rows: list[dict[str, Any]]) -> None:
    """Whatever the other columns hold, the prompts are those of the file, in order."""
    lines = [json.dumps({**row, "prompt": f"p{index}"}) for index, row in enumerate(rows)]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        path.write_text("\n".join(lines))
        found = prepared(Path(folder), str(path))
    assert found is None or [row["prompt"] for row in found] == [f"p{index}" for index in range(len(rows))]


PIECES = (
    "{{", "}}", "{%", "%}", " for x in ", " range(9999) ", "a", ".b", "['c']", " if ", " else ", " endfor ", " endif ",
    " set ", " = ", " macro f() ", " endmacro ", "f()", "|", "join", "tojson", "list", "sort", "center(9**9)", "x", "~",
    "**", "*", "9999", "'x'", "(", ")", "[", "]", ".__class__", "self", "loop", "namespace()", " recursive ", "#}",
    "{#",    " include 'x' ", " import 'x' as y ", " call ", " raw ", "\x00", "\ud800", "😀", "-", "\n",
)  # fmt: skip


@FUZZ
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=14), wrap=st.booleans())
def test_any_template_is_refused_or_rendered(pieces: list[str], wrap: bool) -> None:
    """No error that is not ours, no hanging."""
    text = f"{{{{ {''.join(pieces)} }}}}" if wrap else "".join(pieces)
    before = template_module.MOST_SECONDS
    template_module.MOST_SECONDS = 1.0
    try:
        with within(60):
            PromptTemplate(text).render({"a": {"b": [1, 2], "c": "d"}, "x": "y"})
    except (ConfigurationError, BadRowError):
        pass
    finally:
        template_module.MOST_SECONDS = before
