"""How many rows are committed: from the manifests of complete shards, and the footers of a few chunks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from promptmill.plan import PromptsManifest, complete_shards
from promptmill.run import RunFolder
from promptmill.shard import ShardManifest
from promptmill.slurm.shards import chunks_of

# Reading a footer takes a quarter of a millisecond on a local disk, and several on a busy network.
MOST_FOOTERS = 500


@dataclass(frozen=True)
class Committed:
    """What is on disk.

    Attributes:
        begun: shards with chunks but no manifest.
        exact: whether every chunk was looked at.
    """

    rows: int
    tokens: int
    prompt_tokens: int
    done: frozenset[int]
    begun: frozenset[int]
    exact: bool


def count_committed(run: RunFolder, manifest: PromptsManifest) -> Committed:
    """Rows and tokens on disk; bounded work, however many rows or chunks there are."""
    complete = complete_shards(run, manifest)
    chunks = {shard: chunks_of(run, shard) for shard in _folders(run) if shard not in complete}
    partial, exact = _rows_of([path for paths in chunks.values() for path in paths])
    rows = sum(one.counts.rows for one in complete.values())
    tokens = sum(one.counts.completion_tokens for one in complete.values())
    prompt_tokens = sum(one.counts.prompt_tokens for one in complete.values())
    a_row = _tokens_a_row(run, complete)
    return Committed(
        rows=min(rows + partial, manifest.rows),
        tokens=tokens + round(partial * a_row[0]),
        prompt_tokens=prompt_tokens + round(partial * a_row[1]),
        done=frozenset(complete),
        begun=frozenset(shard for shard, paths in chunks.items() if paths),
        exact=exact,
    )


def _folders(run: RunFolder) -> list[int]:
    if not run.shards.is_dir():
        return []
    return sorted(int(path.name) for path in run.shards.iterdir() if path.name.isdigit())


def _rows_of(chunks: list[Path]) -> tuple[int, bool]:
    if len(chunks) <= MOST_FOOTERS:
        return sum(map(_rows_in, chunks)), True
    sample = chunks[:: -(-len(chunks) // MOST_FOOTERS)]
    return round(sum(map(_rows_in, sample)) * len(chunks) / len(sample)), False


def _rows_in(chunk: Path) -> int:
    try:
        return int(pq.read_metadata(chunk).num_rows)
    except (pa.ArrowException, OSError):
        return 0  # Damaged: found and mended when the shard is next filled.


def _tokens_a_row(run: RunFolder, complete: dict[int, ShardManifest]) -> tuple[float, float]:
    """Generated ones, and those of the prompt."""
    from promptmill.status.processes import progress_files

    rows = sum(one.counts.rows for one in complete.values())
    tokens = sum(one.counts.completion_tokens for one in complete.values())
    prompt_tokens = sum(one.counts.prompt_tokens for one in complete.values())
    if not rows:
        told = progress_files(run)
        rows, tokens = sum(one.rows for one in told), sum(one.tokens for one in told)
        prompt_tokens = sum(one.prompt_tokens for one in told)
    return (tokens / rows, prompt_tokens / rows) if rows else (0.0, 0.0)
