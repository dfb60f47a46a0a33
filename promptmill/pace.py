"""How long a row takes in this process, so that none is begun that cannot be finished."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from promptmill.engine.contract import Completion


class Pace:
    """The tokens of the rows so far, times the seconds of a forward pass; kept from shard to shard.

    Where a server makes the forward passes, a row says itself how long it took.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._since: float | None = None
        self._passes = 0
        self._rows = 0
        self._tokens = 0
        self._told = 0.0

    @contextmanager
    def generating(self) -> Iterator[None]:
        """Time counts inside the block only: what lies between two shards is no forward pass."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._seconds = self._elapsed
            self._since = None

    def forward_pass(self) -> None:
        """Count one."""
        self._passes += 1

    def finished(self, completion: Completion) -> None:
        """Count a row that finished."""
        self._rows += 1
        self._tokens += completion.completion_tokens or 0
        self._told += completion.seconds or 0.0

    @property
    def row_seconds(self) -> float:
        """Seconds from a row's first token to its last, on average; 0 while nothing is known."""
        if self._told:
            return self._told / self._rows
        if not self._rows or not self._passes:
            return 0.0
        return self._tokens / self._rows * self._elapsed / self._passes

    @property
    def _elapsed(self) -> float:
        return self._seconds + (0.0 if self._since is None else time.monotonic() - self._since)
