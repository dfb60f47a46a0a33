"""The rows of a run as they are on disk, in a stream: of the dataset once it is laid out, else of the chunks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from promptmill.columns import layout_of, leaves_out_errors, shown_prompt
from promptmill.errors import PromptmillError
from promptmill.parquet import read_parquet
from promptmill.plan import PromptsManifest
from promptmill.prompts import prepared_table
from promptmill.run import RunFolder
from promptmill.slurm.shards import chunks_of

COLUMNS = ("response", "finish_reason", "prompt_tokens", "completion_tokens", "error")
_BATCH_ROWS = 4096


@dataclass(frozen=True)
class SampleRow:
    """A row to show; `prompt` is the text or the messages, None where the prompts cannot be read."""

    number: int
    prompt: str | list[dict[str, Any]] | None
    response: str
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None
    error: str | None


class RowSource:
    """All rows that there are, each once.

    Attributes:
        rows: how many there are.
        whole: whether they are those of the dataset, laid out.
        unreadable: files that turned out damaged; the rest is read all the same.
    """

    def __init__(self, run: RunFolder, manifest: PromptsManifest) -> None:
        self._run = run
        self._manifest = manifest
        self.unreadable: list[str] = []
        self._files = _dataset_files(run, manifest)
        self.whole = bool(self._files)
        self._starts = [start * manifest.samples for start, _ in manifest.shards]
        # The dataset's footers say how many rows there are; of chunks, two may hold the same row.
        self._kept: dict[Path, Sequence[int]] = {} if self.whole else dict(self._positions())
        self.rows = manifest.rows if self.whole else sum(map(len, self._kept.values()))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The columns `COLUMNS` of all rows, some thousand at a time."""
        for file in self._files or list(self._kept):
            yield from self._batches_of(file)

    def sample(self, indices: Iterable[int]) -> Iterator[SampleRow]:
        """The rows at these places of the stream, which are in order."""
        wanted = sorted(indices)
        files = self._files or list(self._kept)
        sizes = [pq.read_metadata(file).num_rows if self.whole else len(self._kept[file]) for file in files]
        ends = list(accumulate(sizes))
        for index in wanted:
            place = bisect_right(ends, index)
            within = index - (ends[place] - sizes[place])
            found = self._row_of(files[place], within)
            if found is not None:
                yield found

    def _batches_of(self, file: Path) -> Iterator[pa.RecordBatch]:
        kept, at = self._kept.get(file), 0
        try:
            for batch in pq.ParquetFile(file).iter_batches(_BATCH_ROWS, columns=list(COLUMNS), use_threads=False):
                yield batch if kept is None else batch.take(pa.array(_within(kept, at, at + batch.num_rows)))
                at += batch.num_rows
        except (pa.ArrowException, OSError):
            self.unreadable.append(file.name)

    def _positions(self) -> Iterator[tuple[Path, Sequence[int]]]:
        """Each chunk, and which of its rows no earlier chunk of its shard has."""
        for shard in range(len(self._manifest.shards)):
            seen: set[int] = set()
            for file in chunks_of(self._run, shard):
                try:
                    positions = read_parquet(file, columns=["position"])["position"].to_pylist()
                except (pa.ArrowException, OSError):
                    self.unreadable.append(file.name)
                    continue
                kept = [index for index, position in enumerate(positions) if position not in seen]
                seen.update(positions)
                # As a range it takes no memory; two processes that made the same rows are rare.
                yield file, range(len(positions)) if len(kept) == len(positions) else kept

    def _row_of(self, file: Path, within: int) -> SampleRow | None:
        try:
            row = _row(file, within if self.whole else self._kept[file][within])
        except (pa.ArrowException, OSError):
            return None
        if self.whole:
            shard = self._files.index(file)
            number, prompt = self._starts[shard] + within, shown_prompt(row)
        else:
            number = self._starts[int(file.parent.name)] + row["position"]
            prompt = self._prompt(number // self._manifest.samples)
        names = ("response", "finish_reason", "prompt_tokens", "completion_tokens", "error")
        return SampleRow(number, prompt, *(row[name] for name in names))

    def _prompt(self, index: int) -> str | list[dict[str, Any]] | None:
        try:
            table = prepared_table(self._run.prompts_table, index, index + 1)
        except PromptmillError:
            return None
        value: str | list[dict[str, Any]] = table.column(1)[0].as_py()
        return value


def _dataset_files(run: RunFolder, manifest: PromptsManifest) -> list[Path]:
    """The files of the dataset in order, if all are there with all their rows; else none."""
    if leaves_out_errors(layout_of(run)):
        return []
    count = len(manifest.shards)
    files = [run.dataset / "data" / f"train-{shard:05d}-of-{count:05d}.parquet" for shard in range(count)]
    try:
        right = all(pq.read_metadata(file).num_rows == manifest.shard_rows(shard) for shard, file in enumerate(files))
    except (pa.ArrowException, OSError):
        return []
    return files if right else []


def _within(kept: Sequence[int], start: int, stop: int) -> list[int]:
    low, high = bisect_right(kept, start - 1), bisect_right(kept, stop - 1)
    return [index - start for index in kept[low:high]]


def _row(file: Path, index: int) -> dict[str, Any]:
    """One row; reads one row group."""
    with pq.ParquetFile(file) as parquet:
        first = 0
        for group in range(parquet.num_row_groups):
            rows = parquet.metadata.row_group(group).num_rows
            if index < first + rows:
                table = parquet.read_row_group(group, use_threads=False)
                return dict(table.slice(index - first, 1).to_pylist()[0])
            first += rows
    raise OSError(f"{file} has no row {index}")


def is_blank(texts: pa.Array) -> pa.Array:
    """Whether each text has nothing but white space."""
    return pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(texts)), 0)
