"""What a person sees of a process that generates, and the small file that tells others."""

from __future__ import annotations

import logging
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from promptmill.clock import steady_time
from promptmill.files import storage_errors, write_json
from promptmill.rows import Row

logger = logging.getLogger(__name__)

LOG_SECONDS = 30
FILE_SECONDS = 5
LOADING = "loading the model"
"""What a process does before its first shard."""
_greeted: set[Path] = set()
"""Files of runs that this process has begun to fill: the shards after the first need no greeting."""


class Progress:
    """Counts rows as they finish; shows a bar on a terminal, a log line every 30 s elsewhere.

    Args:
        file: where this process says how it is doing; replaced every few seconds.
        label: what is being filled, as `shard 3 of 16`.
        total: rows of the whole run.
        done: rows of the run that are committed already.
        tell: whom to tell as well whenever the file is written.
    """

    def __init__(
        self,
        file: Path,
        label: str,
        *,
        total: int,
        done: int,
        tell: Callable[[Progress], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._label = label
        self._total = total
        self._before = done
        self._tell = tell
        self._clock = clock
        self._start = self._logged = self._written = clock()
        self._began = steady_time()
        self._rows = 0
        self._tokens = 0
        self._prompt_tokens = 0
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    @property
    def rows(self) -> int:
        """Rows that this process has made of the shard."""
        return self._rows

    @property
    def tokens_per_second(self) -> float:
        """Completion tokens a second since this process began the shard."""
        return self._tokens / max(self._clock() - self._start, 1e-9)

    def __enter__(self) -> Progress:
        if self._before and self._file not in _greeted:
            logger.info("Going on: %d of %d rows were already done.", self._before, self._total)
        _greeted.add(self._file)
        self.write()  # at once: `promptmill status` should not take a process that has just begun for none
        # Children of `--workers N` share one terminal: bars would overwrite each other.
        if sys.stderr.isatty() and multiprocessing.parent_process() is None:
            self._bar = _bar()
            self._task = self._bar.add_task(self._label, total=self._total, completed=self._before, rate="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._log()
        self.write()

    def add(self, row: Row) -> None:
        """Count a row that finished."""
        self._rows += 1
        self._tokens += row.completion_tokens or 0
        self._prompt_tokens += row.prompt_tokens or 0
        now = self._clock()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=1, rate=self._rate())
        elif now - self._logged >= LOG_SECONDS:
            self._logged = now
            self._log()
        if now - self._written >= FILE_SECONDS:
            self._written = now
            self.write()

    def _log(self) -> None:
        done = self._before + self._rows
        share = 100 * done // max(self._total, 1)
        logger.info("%s: %d of %d rows (%d %%), %s", self._label.capitalize(), done, self._total, share, self._rate())

    def _rate(self) -> str:
        rate = f"{self.tokens_per_second:.0f} tokens/s"
        left = self._total - self._before - self._rows
        if not self._rows or not left:
            return rate
        # From the start of this process: rows finish in bursts, so their latest pace says little.
        return f"{rate}, about {duration((self._clock() - self._start) / self._rows * left)} left"

    def write(self) -> None:
        """Tell others now."""
        _write(
            self._file,
            doing=self._label,
            began=round(self._began),
            seconds=round(self._clock() - self._start, 1),
            rows=self._rows,
            tokens=self._tokens,
            prompt_tokens=self._prompt_tokens,
            tokens_per_second=round(self.tokens_per_second, 1),
        )
        if self._tell is not None:
            self._tell(self)


def tell_loading(file: Path) -> None:
    """Tell others that this process loads its model, which may take minutes; `Progress` tells what comes of it.

    Args:
        file: as `Progress` takes it.
    """
    if file not in _greeted:
        _write(
            file,
            doing=LOADING,
            began=round(steady_time()),
            seconds=0.0,
            rows=0,
            tokens=0,
            prompt_tokens=0,
            tokens_per_second=0.0,
        )


@contextmanager
def loading_told(file: Path) -> Iterator[None]:
    """The same inside the block, for a process that need not generate after it.

    Args:
        file: as `Progress` takes it.
    """
    tell_loading(file)
    try:
        yield
    finally:
        with storage_errors(file):
            file.unlink(missing_ok=True)


def _write(file: Path, **values: object) -> None:
    who = {"host": socket.gethostname(), "pid": os.getpid()}
    write_json(file, {**who, "updated": round(time.time()), **values})


def writer_name() -> str:
    """A name for this process that no other on the cluster has at the same time."""
    return f"{socket.gethostname()}-{os.getpid()}"


def is_of_this_machine(writer: str) -> bool:
    """Whether a process of that name runs, or ran, here."""
    return writer.rpartition("-")[0] == socket.gethostname()


def writer_is_gone(writer: str) -> bool:
    """Whether a process of that name was one of this machine, and is there no longer."""
    pid = writer.rpartition("-")[2]
    if not is_of_this_machine(writer) or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _bar() -> Bar:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[rate]}"),
    )
    return Bar(*columns, console=Console(stderr=True))


def duration(seconds: float) -> str:
    """A time for people, in the unit that fits."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
