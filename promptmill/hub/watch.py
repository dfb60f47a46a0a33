"""Progress of a download in bytes, read from the disk: the same for every way that they come."""

from __future__ import annotations

import logging
import multiprocessing
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType

from promptmill.hub.space import readable

logger = logging.getLogger(__name__)

LOG_SECONDS = 15.0
_LOOK_SECONDS = 0.5


class Watch:
    """Says how far a download is: a bar on a terminal, else a plain line every 15 seconds.

    Args:
        arrived: bytes on the disk, counted anew at each call.
        total: bytes to come in all.
    """

    def __init__(self, label: str, total: int, arrived: Callable[[], int], *, log_seconds: float = LOG_SECONDS) -> None:
        self._label = label
        self._total = total
        self._arrived = arrived
        self._log_seconds = log_seconds
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._start = 0.0
        self._before = 0

    def __enter__(self) -> Watch:
        self._start, self._before = time.monotonic(), self._arrived()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def line(self) -> str:
        """How far it is, how fast, and how long it will take."""
        arrived = min(self._arrived(), self._total)
        seconds = max(time.monotonic() - self._start, 1e-6)
        rate = max(0, arrived - self._before) / seconds
        share = 100 * arrived // max(self._total, 1)
        left = f", about {(self._total - arrived) / rate:.0f} s left" if rate and arrived < self._total else ""
        pace = f"{readable(int(rate))}/s"
        return f"{self._label}: {readable(arrived)} of {readable(self._total)} ({share} %), {pace}{left}"

    def _look(self) -> None:
        if sys.stderr.isatty() and multiprocessing.parent_process() is None:
            self._show_bar()
            return
        while not self._end.wait(self._log_seconds):
            logger.info("%s", self.line())

    def _show_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.progress import TransferSpeedColumn as Speed

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), Speed(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(self._label, total=self._total, completed=self._before)
            while not self._end.wait(_LOOK_SECONDS):
                bar.update(task, completed=min(self._arrived(), self._total))
            bar.update(task, completed=min(self._arrived(), self._total))
