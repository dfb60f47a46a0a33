"""Being told to stop: SIGTERM, SIGINT, SIGHUP and SIGUSR2 end a process soon, and lose nothing.

While rows are generated the signal only sets a flag, the forward pass under way ends, and what has
finished is committed. At any other time the process ends at once: every file is written atomically,
so there is nothing to save.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from promptmill.errors import Interrupted

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, signal.SIGHUP)
"""SIGHUP is what a terminal that is closed or an ssh connection that drops sends."""


class Exit(SystemExit, KeyboardInterrupt):
    """Ends the process with a code from wherever it is raised, inside a Luigi task too.

    Luigi swallows every exception of a task, SystemExit included, but lets KeyboardInterrupt
    through (luigi/worker.py, `TaskProcess.run`); Python ends a process with the code of a
    SystemExit. This is both.
    """


class StopRequest:
    """Whether this process was told to stop, and what it does about it at the moment."""

    def __init__(self) -> None:
        self._signal: int | None = None
        self._draining = False

    def install(self) -> None:
        """Listen for the signals; does nothing outside the main thread, where Python forbids it.

        Under nohup a terminal that is closed goes on to mean nothing.
        """
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                    signal.signal(number, self._received)

    @property
    def requested(self) -> bool:
        """Whether the process was told to stop."""
        return self._signal is not None

    def time_for(self, seconds: float) -> bool:
        """Whether work of so many seconds can still be begun; without a walltime, always."""
        return True

    @contextmanager
    def draining(self) -> Iterator[None]:
        """Inside the block a signal sets `requested`; the block has to look at it and come to an end."""
        self._draining = True
        try:
            yield
        finally:
            self._draining = False

    def _received(self, number: int, _frame: FrameType | None) -> None:
        again = self.requested
        self._signal = number
        if number == signal.SIGHUP:
            _leave_terminal()
        name = signal.Signals(number).name
        if self._draining and not again:
            _say(f"{name}: finishing the forward pass under way and committing the rows that are done.")
        elif self._draining and number == signal.SIGINT:
            _say(f"{name} again: leaving at once; rows that were not committed yet will be made again.")
            os._exit(Interrupted.exit_code)
        elif not self._draining:
            _say(f"{name}: stopping. Start the same command again to go on.")
            raise Exit(Interrupted.exit_code)


def _say(text: str) -> None:
    # Not through logging: a handler's lock may be held by the very code that the signal interrupted.
    with suppress(OSError):
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"{text}\n".encode())


def _leave_terminal() -> None:
    """Write nowhere from now on where a terminal was: no bar or log line may fail while rows are committed."""
    for stream in (1, 2):
        try:
            os.write(stream, b"")
            gone = os.isatty(stream)
        except OSError:
            gone = True
        if gone:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream)
            os.close(nowhere)


stop_request = StopRequest()
