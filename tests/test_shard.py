"""A shard on disk: chunks, damage, and the manifest that proves it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from promptmill import rows
from promptmill.rows import Row
from promptmill.shard import ShardCounts, ShardStore


def row(position: int, response: str = "text") -> Row:
    """A row that ended by itself."""
    return Row(position, response, "stop", 2, 3, seed=position, error=None)


def store(folder: Path, *, rows: int = 4, fingerprint: str = "f" * 64) -> ShardStore:
    """Shard 3 of a run."""
    return ShardStore(folder, 3, fingerprint=fingerprint, rows=rows)


def positions(of: ShardStore) -> list[int]:
    """What is committed."""
    found: list[int] = of.read()["position"].to_pylist()
    return found


def chunks(folder: Path) -> list[Path]:
    """The chunk files, in order."""
    return sorted((folder / "00003").glob("chunk-*.parquet"))


def test_committed_rows_are_read_by_another_process(tmp_path: Path) -> None:
    """What one store committed, a new one reads, in order of position."""
    store(tmp_path).commit([row(2), row(0)])
    store(tmp_path).commit([row(1)])
    assert positions(store(tmp_path)) == [0, 1, 2]


def test_a_shard_is_complete_only_with_its_manifest(tmp_path: Path) -> None:
    """All rows alone are not enough, the manifest is."""
    filled = store(tmp_path)
    filled.commit([row(0), row(1), row(2), row(3)])
    assert filled.manifest() is None
    filled.complete()
    manifest = store(tmp_path).manifest()
    assert manifest is not None
    assert manifest.counts == ShardCounts(rows=4, prompt_tokens=8, completion_tokens=12, stop=4)


def test_rows_whose_tokens_nobody_counted_are_in_no_sum(tmp_path: Path) -> None:
    """They are told apart; a row with an error is none of them."""
    filled = store(tmp_path)
    uncounted = replace(row(1), prompt_tokens=None, completion_tokens=None)
    failed = replace(row(2), finish_reason="error", prompt_tokens=None, completion_tokens=0, error="no")
    filled.commit([row(0), uncounted, failed, row(3)])
    assert filled.complete().counts == ShardCounts(
        rows=4, prompt_tokens=4, completion_tokens=6, stop=3, error=1, uncounted=1
    )


def test_chunks_of_earlier_versions_are_read_with_those_of_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They had columns of tokens that hold no null; a run that was begun then goes on."""
    earlier = [field.with_nullable(False) if field.name.endswith("_tokens") else field for field in rows.SCHEMA]
    with monkeypatch.context() as patch:
        patch.setattr(rows, "SCHEMA", pa.schema(earlier))
        store(tmp_path).commit([row(0)])
    assert not pq.read_schema(chunks(tmp_path)[0]).field("prompt_tokens").nullable
    store(tmp_path).commit([replace(row(1), prompt_tokens=None)])
    assert positions(store(tmp_path)) == [0, 1]


def test_a_shard_with_missing_rows_cannot_be_completed(tmp_path: Path) -> None:
    """Nobody can write a manifest that lies."""
    filled = store(tmp_path)
    filled.commit([row(0)])
    with pytest.raises(ValueError, match="1 of 4"):
        filled.complete()


def test_rows_of_two_processes_count_once(tmp_path: Path) -> None:
    """Where two filled the same shard, every reader sees the same, first row."""
    one, two = store(tmp_path), store(tmp_path)
    one.commit([row(0, "one"), row(1, "one")])
    two.commit([row(1, "two"), row(2, "two")])
    table = store(tmp_path).read()
    assert table["position"].to_pylist() == [0, 1, 2]
    assert table["response"].to_pylist() == ["one", "one", "two"]


def test_the_same_rows_committed_twice_are_one_file(tmp_path: Path) -> None:
    """Two processes at the same point write the same name and the same bytes."""
    for _ in range(2):
        target = store(tmp_path / "x")
        target.commit([row(0)])
        shutil.copytree(tmp_path / "x", tmp_path / "y", dirs_exist_ok=True)
        shutil.rmtree(tmp_path / "x")
    assert len(chunks(tmp_path / "y")) == 1


@pytest.mark.parametrize("damage", ["truncate", "empty", "zero", "flip"])
def test_a_damaged_chunk_is_set_aside_and_only_its_rows_are_lost(tmp_path: Path, damage: str) -> None:
    """The other chunks are read, the bad bytes are kept under another name."""
    target = store(tmp_path)
    target.commit([row(0), row(1)])
    target.commit([row(2), row(3)])
    _damage(chunks(tmp_path)[0], damage)
    assert positions(store(tmp_path)) == [2, 3]
    assert len(list((tmp_path / "00003").glob("*.corrupt-*"))) == 1


def test_a_complete_shard_that_lost_rows_counts_as_unfinished(tmp_path: Path) -> None:
    """Reading it sets the manifest aside, so that the lost rows are made again."""
    target = store(tmp_path)
    target.commit([row(0), row(1)])
    target.commit([row(2), row(3)])
    manifest = target.complete()
    _damage(chunks(tmp_path)[1], "flip")
    assert target.read_complete(manifest) is None
    assert target.manifest() is None
    target.commit([row(2), row(3)])
    assert target.complete().counts.rows == 4


def test_chunks_and_manifest_of_another_run_are_not_used(tmp_path: Path) -> None:
    """The fingerprint in every file tells whose it is."""
    other = store(tmp_path, fingerprint="0" * 64)
    other.commit([row(0), row(1), row(2), row(3)])
    other.complete()
    assert store(tmp_path).manifest() is None
    assert positions(store(tmp_path)) == []


def test_a_temporary_of_a_killed_process_is_no_chunk(tmp_path: Path) -> None:
    """What was not renamed was not committed."""
    store(tmp_path).commit([row(0)])
    (tmp_path / "00003" / ".chunk-000002-0123456789abcdef.parquet.tmp-1-a").write_bytes(b"half a ch")
    assert positions(store(tmp_path)) == [0]


def _damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "truncate":
        content = content[: len(content) // 2]
    elif kind == "empty":
        content = bytearray()
    elif kind == "zero":
        content = bytearray(len(content))
    else:
        content[len(content) // 2] ^= 1
    path.write_bytes(content)
