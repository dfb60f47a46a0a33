"""Stops a run of which too much ends in error, before it has made a dataset of errors."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pyarrow as pa

from promptmill.errors import EngineError
from promptmill.parquet import read_parquet
from promptmill.plan import PromptsManifest, complete_shards
from promptmill.rows import Row
from promptmill.run import RunFolder
from promptmill.slurm.shards import chunks_of

JUDGED_AFTER = 100
"""Rows below which a share says nothing."""
_MOST_CHUNKS = 500
_SHOWN = 300


@dataclass
class Tally:
    """Rows, and those that ended in error, with the reasons; figures in a reason make no other reason of it."""

    rows: int = 0
    errors: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, error: str | None) -> None:
        """Count a row."""
        self.rows += 1
        if error is not None:
            self.errors += 1
            reason = re.sub(r"\d+", "0", error)
            self.reasons[reason] += 1
            self.examples.setdefault(reason, error)

    def __add__(self, other: Tally) -> Tally:
        reasons = self.reasons + other.reasons
        return Tally(self.rows + other.rows, self.errors + other.errors, reasons, {**self.examples, **other.examples})


class ErrorShare:
    """Judges the rows of the run, and by themselves those that this process made.

    The first so that a restart says at once what is wrong, the second so that a GPU which begins to
    fail in a run of a million rows spoils a hundred of them.

    Args:
        most: the largest share that is put up with.
        committed: the run's rows before this process made any.
    """

    def __init__(self, most: float, committed: Tally) -> None:
        self._most = most
        self._committed = committed
        self._own = Tally()

    def add(self, row: Row) -> None:
        """Count a row that this process made.

        Raises:
            EngineError: that was one error too many.
        """
        self._own.add(row.error)
        self.judge()

    def judge(self) -> None:
        """Look at what is known so far.

        Raises:
            EngineError: too many rows ended in error.
        """
        own, before = self._own, self._committed
        if self._too_many(own.rows, own.errors):
            raise EngineError(self._told(own, "that this process made"))
        if self._too_many(before.rows + own.rows, before.errors + own.errors):
            raise EngineError(self._told(before + own, "of the run"))

    def _too_many(self, rows: int, errors: int) -> bool:
        return rows >= JUDGED_AFTER and errors > self._most * rows

    def _told(self, tally: Tally, whose: str) -> str:
        often = ""
        if tally.reasons:
            reason, count = tally.reasons.most_common(1)[0]
            often = f" Most often ({count} times): {tally.examples[reason][:_SHOWN]}"
        return (
            f"{tally.errors} of {tally.rows} rows {whose} ended in error, which is more than --max-error-share "
            f"{self._most:g}.{often}\n"
            "All rows so far are committed, those in error too. If these rows can't be helped, go on with the same "
            "command and --max-error-share 1; else mend the cause and begin a run of its own with another --name, "
            "as rows that ended in error are not made again."
        )


def committed_tally(run: RunFolder, manifest: PromptsManifest) -> Tally:
    """What the run has committed: from the manifests of complete shards, and of the rest up to 500 chunks."""
    complete = complete_shards(run, manifest)
    tally = Tally(
        sum(shard.counts.rows for shard in complete.values()), sum(shard.counts.error for shard in complete.values())
    )
    unfinished = (shard for shard in range(len(manifest.shards)) if shard not in complete)
    chunks = (path for shard in unfinished for path in chunks_of(run, shard))
    for path in islice(chunks, _MOST_CHUNKS):
        for error in _errors_in(path):
            tally.add(error)
    return tally


def _errors_in(chunk: Path) -> Iterator[str | None]:
    try:
        yield from read_parquet(chunk, columns=["error"])["error"].to_pylist()
    except (pa.ArrowException, OSError):
        return  # Damaged: found and mended when the shard is filled.
