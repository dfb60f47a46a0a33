"""What a process made of which shard, and when: lines that are only ever appended, for the report.

    progress/<writer>.jsonl     one file a process, so there is nothing to lock

A shard is one line when it is begun, some on the way, and one at its end. A shard without an end was
killed. Nothing but the report reads this; lost or torn lines cost a point of its chart.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from promptmill.clock import steady_time
from promptmill.files import append_line
from promptmill.rows import Row

End = Literal["done", "stopped", "failed", "stalled"]
# A short run gets points enough for a chart, a long one a line a minute.
SHORTEST_SECONDS = 5.0
LONGEST_SECONDS = 60.0
_SHARE = 0.05


@dataclass(frozen=True)
class Point:
    """One line.

    Attributes:
        process: when the process began to work on the run; process numbers are used again, times are not.
        at: seconds since 1970; between two points of a process, seconds that passed.
        rows, tokens: made of the shard so far by this process.
        end: how its work on the shard ended; None before.
    """

    host: str
    process: float
    at: float
    shard: int
    rows: int
    tokens: int
    end: End | None = None


class ShardHistory:
    """Appends to the history of this process while it fills one shard.

    Args:
        missing: rows that the shard lacks; made all of them, it is done.
    """

    _process = 0.0

    def __init__(self, file: Path, shard: int, missing: int, clock: Callable[[], float] = steady_time) -> None:
        self._file = file
        self._shard = shard
        self._missing = missing
        self._clock = clock
        self._rows = self._tokens = 0
        self._began = self._written = clock()
        ShardHistory._process = ShardHistory._process or self._began

    def __enter__(self) -> ShardHistory:
        self._append(self._began)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rows == self._missing:
            self._append(self._clock(), "done")
        else:
            self._append(self._clock(), "stopped" if kind is None else "failed")

    def stalled(self) -> None:
        """Note that the process is about to be ended because nothing moves."""
        self._append(self._clock(), "stalled")

    def add(self, row: Row) -> None:
        """Count a row that finished."""
        self._rows += 1
        self._tokens += row.completion_tokens or 0
        now = self._clock()
        if now - self._written >= min(LONGEST_SECONDS, max(SHORTEST_SECONDS, _SHARE * (now - self._process))):
            self._append(now)

    def _append(self, now: float, end: End | None = None) -> None:
        self._written = now
        host, process = socket.gethostname(), round(self._process, 1)
        point = Point(host, process, round(now, 1), self._shard, self._rows, self._tokens, end)
        append_line(self._file, json.dumps(asdict(point)))


def read_history(file: Path) -> list[Point]:
    """All points of a file in order; a torn line is left out."""
    points = (_point(line) for line in file.read_bytes().splitlines())
    return [point for point in points if point is not None]


def _point(line: bytes) -> Point | None:
    try:
        value: dict[str, Any] = json.loads(line)
        return Point(**value)
    except (ValueError, TypeError):
        return None
