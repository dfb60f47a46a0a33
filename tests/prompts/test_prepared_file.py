"""The prepared file: ids, digest, row groups, slices."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptmill.errors import NotFound, StorageError
from promptmill.prompts import PreparedPrompt, PreparedPrompts, default_prompts_path, prepared_table, read_prepared
from promptmill.prompts.table import row_lines


def numbered(count: int) -> str:
    """JSON lines of so many numbered prompts."""
    return "".join(json.dumps({"prompt": f"p{number}", "n": number}) + "\n" for number in range(count))


def test_ids_are_position_and_hash_of_the_prompt(bench):
    """The same prompt at the same place has the same id for ever."""
    bench.prepare(bench.write("a.txt", "one\ntwo\n"))
    ids = [prompt.prompt_id for prompt in read_prepared(bench.target, 0, 2)]
    assert ids == [f"{n:08d}-{hashlib.sha256(text).hexdigest()[:8]}" for n, text in enumerate([b"one", b"two"])]


def test_row_groups_are_bounded_in_rows_and_bytes(bench):
    """At most 8192 rows, and fewer where they are long."""
    bench.prepare(bench.write("a.jsonl", numbered(18_000)))
    assert _groups(bench.target) == [8192, 8192, 1616]
    bench.prepare(bench.write("b.txt", ("x" * 1_000_000 + "\n") * 20))
    assert max(_groups(bench.target)) <= 8


def test_many_small_files_share_row_groups(bench):
    """A glob of files with a prompt each does not make a row group each."""
    for number in range(30):
        bench.write(f"d/{number:02d}.txt", "one\n")
    bench.prepare(f"{bench.folder}/d/*.txt")
    assert _groups(bench.target) == [30]


@settings(max_examples=30, deadline=None)
@given(bounds=st.tuples(st.integers(0, 2500), st.integers(0, 2500)).map(sorted))
def test_slices_are_what_lies_between(tmp_path_factory, bounds):
    """Any start and stop give exactly the prompts between them, across row groups."""
    path = _prepared_once(tmp_path_factory)
    start, stop = bounds
    assert [prompt.prompt for prompt in read_prepared(path, start, stop)] == [f"p{n}" for n in range(start, stop)]
    assert prepared_table(path, start, stop).column("n").to_pylist() == list(range(start, stop))


def test_messages_come_back_as_messages(bench):
    """A chat is a tuple of role and content."""
    chat = [{"role": "user", "content": "Hi"}]
    prepared = bench.prepare(bench.write("a.jsonl", json.dumps({"messages": chat})))
    (prompt,) = read_prepared(bench.target, 0, 1)
    assert prepared.kind == "messages"
    assert prompt == PreparedPrompt(prompt.prompt_id, None, ({"role": "user", "content": "Hi"},))


def test_digest_depends_on_rows_and_not_on_the_kind_of_file(bench):
    """The same rows from lines, a list or Parquet have one digest; another order has another."""
    rows = [{"prompt": "a", "n": 1.5, "tags": ["x"]}, {"prompt": "b", "n": 2.5, "tags": []}]
    digests = {
        bench.prepare(bench.write("a.jsonl", "\n".join(map(json.dumps, rows)))).sha256,
        bench.prepare(bench.write("a.json", json.dumps(rows, indent=2))).sha256,
    }
    pq.write_table(prepared_table(bench.target, 0, 2).drop_columns("prompt_id"), bench.folder / "a.parquet")
    digests.add(bench.prepare(bench.folder / "a.parquet").sha256)
    assert len(digests) == 1
    assert bench.prepare(bench.write("b.json", json.dumps(rows[::-1]))).sha256 not in digests


def test_digest_can_be_computed_from_the_file(bench):
    """What the digest speaks of is what was written."""
    prepared = bench.prepare(bench.write("a.jsonl", numbered(1500)))
    assert hashlib.sha256(row_lines(pq.read_table(bench.target))).hexdigest() == prepared.sha256


def test_preparing_twice_gives_the_same_bytes(bench):
    """The file is a function of the source."""
    path = bench.write("a.jsonl", numbered(100))
    bench.prepare(path)
    first = bench.target.read_bytes()
    bench.prepare(path)
    assert bench.target.read_bytes() == first


def test_prepared_prompts_go_to_json_and_back(bench):
    """A manifest can hold them."""
    prepared = bench.prepare(bench.write("a.jsonl", numbered(3)))
    assert PreparedPrompts.from_json(json.loads(json.dumps(prepared.to_json()))) == prepared


@pytest.mark.parametrize(("start", "stop"), [(0, 4), (2, 1), (-1, 2)])
def test_slice_that_the_file_does_not_have_is_refused(bench, start, stop):
    """A file of another run is not read as if it were this one's."""
    bench.prepare(bench.write("a.jsonl", numbered(3)))
    with pytest.raises(StorageError, match="has 3 prompts"):
        list(read_prepared(bench.target, start, stop))


def test_damaged_or_missing_file_is_told_apart(bench):
    """Damage is the storage's, absence is not."""
    with pytest.raises(NotFound):
        list(read_prepared(bench.target, 0, 1))
    bench.write("out/prompts.parquet", b"torn")
    with pytest.raises(StorageError, match="damaged"):
        prepared_table(bench.target, 0, 1)


def test_default_prompts_can_be_prepared(bench):
    """Some forty varied prompts, of which the first is the one in the documentation."""
    rows = bench.rows(default_prompts_path())
    assert rows[0] == {"prompt": "What is the capital of France?", "category": "question"}
    assert 35 <= len(rows) <= 50
    assert len({row["prompt"] for row in rows}) == len(rows)
    assert len({row["category"] for row in rows}) >= 10


def test_memory_does_not_grow_with_the_source(bench):
    """200,000 prompts take less than 100 MB above the imports."""
    path = bench.write("a.jsonl", "".join(f'{{"prompt": "{"word " * 30}{n}", "id": {n}}}\n' for n in range(200_000)))
    script = (
        "import resource, sys; from pathlib import Path; import pyarrow.parquet\n"
        "from promptmill.prompts import PromptOptions, prepare_prompts\n"
        "used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = used(); prepare_prompts(PromptOptions(sys.argv[1]), Path(sys.argv[2])); print(used() - before)"
    )
    command = [sys.executable, "-c", script, str(path), str(bench.target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100


def _groups(path) -> list[int]:
    metadata = pq.read_metadata(path)
    return [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]


def _prepared_once(factory):
    from .conftest import Workbench

    path = factory.getbasetemp() / "slices" / "out" / "prompts.parquet"
    if not path.exists():
        path.parents[1].mkdir()
        bench = Workbench(path.parents[1])
        bench.prepare(bench.write("a.jsonl", numbered(2500)))
    return path
