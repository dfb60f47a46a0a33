"""What an array task tells about itself: each start of it, what came of it, and how it ended.

One file an array task, written by its process alone, so there is nothing to lock. A start that has
no end was killed; the next one finds that out, and closes it with what the progress file told last.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from promptmill.clock import steady_time
from promptmill.files import read_json, write_json
from promptmill.progress import writer_name
from promptmill.run import RunFolder
from promptmill.slurm.environment import Place
from promptmill.slurm.layout import SlurmFolder
from promptmill.slurm.shards import changed, committed_after

Reason = Literal["running", "done", "walltime", "told to stop", "killed", "failed", "stalled", "refused", "crash loop"]
Clock = Callable[[], float]
KEPT = 200
MAX_BARREN_RESTARTS = 2


@dataclass(frozen=True)
class Start:
    """One life of an array task.

    Attributes:
        writer: name of its progress file.
        began, ended: seconds since 1970; `ended` is None while it runs, or if it was killed.
        rows, tokens: generated in this life, whether committed or not.
        shards: those that it worked on.
        counted: whether what was made of the last of them is in `rows` and `tokens`.
        committed: whether any of it was committed.
        noted: when this was first written, by the clock of the file server, which is that of the chunks.
    """

    restart: int
    node: str
    host: str
    devices: str | None
    writer: str
    began: float
    ended: float | None = None
    reason: Reason = "running"
    error: str | None = None
    rows: int = 0
    tokens: int = 0
    shards: tuple[int, ...] = ()
    counted: bool = False
    committed: bool = False
    noted: float | None = None


@dataclass(frozen=True)
class TaskRecord:
    """All lives of an array task; of very many only the latest, and the sums of the rest."""

    job: str
    starts: tuple[Start, ...] = ()
    earlier_rows: int = 0
    earlier_starts: int = 0

    @property
    def rows(self) -> int:
        """Rows generated in all lives."""
        return self.earlier_rows + sum(start.rows for start in self.starts)

    def with_start(self, start: Start) -> TaskRecord:
        """With one more life."""
        dropped, kept = self.starts[: 1 - KEPT] if len(self.starts) >= KEPT else (), self.starts[1 - KEPT :]
        return replace(
            self,
            starts=(*kept, start),
            earlier_rows=self.earlier_rows + sum(old.rows for old in dropped),
            earlier_starts=self.earlier_starts + len(dropped),
        )

    def with_last(self, **changes: Any) -> TaskRecord:
        """With the latest life changed."""
        return replace(self, starts=(*self.starts[:-1], replace(self.starts[-1], **changes)))

    def barren_starts(self) -> int:
        """How many of the latest lives in a row committed nothing, and were not told to stop before they could."""
        count = 0
        for start in reversed(self.starts):
            if start.committed:
                break
            # A preemption says nothing about whether the program works.
            count += start.reason != "told to stop"
        return count


def read_record(path: Path) -> TaskRecord | None:
    """The record in a file; None if there is none."""
    value = read_json(path)
    if not isinstance(value, dict):
        return None
    starts = tuple(Start(**{**start, "shards": tuple(start["shards"])}) for start in value["starts"])
    return TaskRecord(value["job"], starts, value["earlier_rows"], value["earlier_starts"])


def read_records(folder: SlurmFolder) -> list[TaskRecord]:
    """The records of all array tasks that ever ran, by name."""
    found = (read_record(path) for path in sorted(folder.tasks.glob("*.json")))
    return [record for record in found if record is not None]


class OwnRecord:
    """The record of this very process, from `begin` to `end`.

    Args:
        clock: seconds since 1970 on this node, which need not be those of the file server.
    """

    def __init__(self, run: RunFolder, place: Place, clock: Clock = steady_time) -> None:
        self._run = run
        self._clock = clock
        self._path = SlurmFolder.of(run).task(place.job)
        old = read_record(self._path) or TaskRecord(place.job)
        if old.starts and old.starts[-1].reason == "running":
            old = _closed(run, old)
        self.before = old
        start = Start(place.restarts, place.node, socket.gethostname(), place.devices, writer_name(), clock())
        self._record = old.with_start(start)
        self._write()
        self._record = self._record.with_last(noted=changed(self._path))
        self._write()

    @property
    def start(self) -> Start:
        """This life."""
        return self._record.starts[-1]

    def working_on(self, shard: int) -> None:
        """Say which shard is next."""
        self._record = self._record.with_last(shards=(*self.start.shards, shard), counted=False)
        self._write()

    def worked(self) -> None:
        """Add what the progress file of this process says about the shard that has just ended."""
        rows, tokens = progressed(self._run, self.start)
        committed = self.start.committed or rows > 0
        self._record = self._record.with_last(
            rows=self.start.rows + rows, tokens=self.start.tokens + tokens, counted=True, committed=committed
        )
        self._write()

    def end(self, reason: Reason, error: str | None = None) -> None:
        """Say how it ended."""
        self._record = self._record.with_last(ended=self._clock(), reason=reason, error=error)
        self._write()

    def stalled(self, error: str) -> None:
        """Say that it is about to end because nothing moves; called from another thread than the rest."""
        self.worked()
        committed = self.start.committed or _committed(self._run, self.start)
        self._record = self._record.with_last(committed=committed)
        self.end("stalled", error)

    def _write(self) -> None:
        write_json(self._path, asdict(self._record))


def progressed(run: RunFolder, start: Start) -> tuple[int, int]:
    """Rows and tokens of the shard that a life is working on, as its progress file told last, if not counted yet."""
    value = read_json(run.progress / f"{start.writer}.json")
    if not isinstance(value, dict) or not start.shards or start.counted:
        return 0, 0
    of_this_shard = str(value["doing"]).startswith(f"shard {start.shards[-1] + 1} of ")
    # Progress tells whole seconds. An older file may be that of a process which had the same number.
    if not of_this_shard or value["began"] < int(start.began):
        return 0, 0
    return int(value["rows"]), int(value["tokens"])


def _closed(run: RunFolder, record: TaskRecord) -> TaskRecord:
    """The record with its last life ended: it never said so itself, so it was killed."""
    last = record.starts[-1]
    rows, tokens = progressed(run, last)
    committed = last.committed or _committed(run, last)
    # The shards before the one under way are in `rows` already; the progress file is about that one alone.
    return record.with_last(reason="killed", rows=last.rows + rows, tokens=last.tokens + tokens, committed=committed)


def _committed(run: RunFolder, start: Start) -> bool:
    return committed_after(run, start.began if start.noted is None else start.noted, list(start.shards))
