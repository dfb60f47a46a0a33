"""Ends a process whose model stands still: stacks on disk, finished rows committed, exit code 75.

A forward pass that hangs in C hears no signal and no exception, so a thread watches it and ends the
process from beside it.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from promptmill.errors import Interrupted, PromptmillError
from promptmill.files import atomic_write
from promptmill.progress import duration

logger = logging.getLogger(__name__)

FIRST_TIMES = 4
"""How many times as long the first forward pass may take: kernels are loaded and compiled in it."""
FAREWELL_SECONDS = 60.0
"""How long committing may take at the end: a disk that hangs must not keep the process."""
_LOOKS = 20
_LONGEST_LOOK = 15.0


class Watchdog:
    """Watches one engine.

    The time is counted in its own looks, and one look counts twice its length at most: a process that
    was suspended for an hour (SIGSTOP, a laptop asleep) has not stood still for an hour.

    Args:
        beats: grows as long as the engine gets anywhere (`Engine.beats`).
        seconds: how long it may stay the same; None watches nothing.
        stacks: the file that gets the stacks of all threads.
        on_stall: told the reason before the process ends, once the rows are committed.
    """

    def __init__(
        self, beats: Callable[[], int], seconds: float | None, stacks: Path, on_stall: Callable[[str], None]
    ) -> None:
        self._beats = beats
        self._seconds = seconds
        self._stacks = stacks
        self._on_stall = on_stall

    @contextmanager
    def watching(self, commit: Callable[[], None]) -> Iterator[None]:
        """Watch inside the block; `commit` makes durable what has finished, from any thread."""
        if self._seconds is None:
            yield
            return
        over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(self._seconds, over, commit), name="watchdog", daemon=True)
        watch.start()
        try:
            yield
        finally:
            over.set()
            watch.join()

    def _watch(self, seconds: float, over: threading.Event, commit: Callable[[], None]) -> None:
        look = min(seconds / _LOOKS, _LONGEST_LOOK)
        last, quiet, worked = self._beats(), 0.0, False
        looked = time.monotonic()
        while not over.wait(look):
            since, looked = time.monotonic() - looked, time.monotonic()
            if (beats := self._beats()) != last:
                last, quiet, worked = beats, 0.0, True
            else:
                quiet += min(since, 2 * look)
            if quiet >= (seconds if worked else FIRST_TIMES * seconds):
                self._leave(quiet, commit)

    def _leave(self, quiet: float, commit: Callable[[], None]) -> None:
        farewell = threading.Thread(target=self._farewell, args=(quiet, commit), name="farewell", daemon=True)
        farewell.start()
        farewell.join(FAREWELL_SECONDS)
        os._exit(Interrupted.exit_code)

    def _farewell(self, quiet: float, commit: Callable[[], None]) -> None:
        """The log comes last: a handler's lock may be what the process hangs at."""
        kept = "What has finished is committed."
        self._dump()
        try:
            commit()
        except PromptmillError as error:
            kept = f"What has finished since the last commit is lost: {error}"
        said = (
            f"No forward pass has ended for {duration(quiet)} (--stall-timeout), so this process ends. {kept} "
            f"Where it hangs stands in {self._stacks}. Start the same command again to go on; if passes do take so "
            "long on this hardware, give more, as --stall-timeout 1h."
        )
        self._on_stall(said)
        logger.error("%s", said)

    def _dump(self) -> None:
        with suppress(PromptmillError, OSError), atomic_write(self._stacks) as temporary, temporary.open("w") as file:
            faulthandler.dump_traceback(file, all_threads=True)
