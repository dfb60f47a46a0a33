"""Prompts files, templates and kinds of files that nobody would write by hand: an error of ours, or right handling.

Each file that cannot be used, with what is said of it, is in tests/prompts/mangled.py.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptmill.errors import ConfigurationError, PromptmillError
from promptmill.prompts import PromptOptions, prepare_prompts, prepared_table
from promptmill.prompts import template as template_module
from promptmill.prompts.problems import BadRowError
from promptmill.prompts.template import PromptTemplate
from tests.prompts.mangled import ENDINGS, parquet, zst
from tests.prompts.within import within

FUZZ = settings(max_examples=150, deadline=None, derandomize=True, database=None)
GOOD = b'{"prompt": "good"}\n'
WAYS_OUT = ("--prompt", "--template", "same command again")
"""What a message tells the user to type, one of them."""


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
        assert any(way in said for way in WAYS_OUT), said
        assert _files(folder) == before
        return None
    assert _files(folder) == before | {target}
    return prepared_table(target, 0, rows).to_pylist()


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.is_dir()}


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
    "frames.jsonl.zst": (zst(GOOD), ["good"]),
    "a\nb.jsonl": (GOOD, ["good"]),
    "-rf.jsonl": (GOOD, ["good"]),
    "%s😀.jsonl": (GOOD, ["good"]),
    "keys.jsonl": (b'{"prompt": "x", "a\\nb": 1, "": 2, "%s": 3, "response": 4, "{{ x }}": 5}', ["x"]),
    "nan.jsonl": (b'{"prompt": "x", "n": NaN}\n{"prompt": "x", "n": 1e999}\n', ["x"] * 2),
}


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


WHOLE = {
    "a.txt": b"one\ntwo\n",
    "a.jsonl": b'{"prompt": "one", "o": {"a": [1, null]}}\n"two"\n',
    "a.json": b'[{"prompt": "one", "o": {"a": [1, 2.5]}},\n"two"]',
    "a.csv": b'prompt,n\n"one, ""1""",1\ntwo,2\n',
    "a.jsonl.gz": gzip.compress(b'{"prompt": "one"}\n"two"\n', mtime=0),
    "a.json.zst": zst(b'["one", "two"]'),
    "a.parquet": parquet(prompt=["one", "two"], n=[1, 2]),
}


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """A file in which bytes were changed, dropped or put in at some place."""
    name = draw(st.sampled_from(sorted(WHOLE)))
    put = st.binary(max_size=4) | st.sampled_from(
        [b"\0", b"\xff", b'"', b"[", b"{", b",", b"\n", b"\\ud800", b"NaN", b"1e999"]
    )
    at, drop = draw(st.integers(0, len(WHOLE[name]))), draw(st.integers(0, 3))
    return name, WHOLE[name][:at] + draw(put) + WHOLE[name][at + drop :]


@st.composite
def no_file(draw: st.DrawFn) -> tuple[str, bytes]:
    """Any bytes; behind an ending of compressed files they are compressed, so that the reader behind gets them."""
    ending, content = draw(st.sampled_from(ENDINGS)), draw(st.binary(max_size=200))
    pack = {"gz": gzip.compress, "zst": zst}.get(ending.rpartition(".")[2], bytes)
    return f"a.{ending}", pack(content)


@FUZZ
@given(file=damaged() | no_file())
def test_any_bytes_are_refused_or_read(file: tuple[str, bytes]) -> None:
    """Damage anywhere in a file, and what was none at all, never end in a traceback."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / file[0]
        path.write_bytes(file[1])
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
