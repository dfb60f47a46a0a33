"""A pseudo-terminal with a program in it: type, and wait for what it shows."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.forkserver import start_command

PATIENCE_SECONDS = 240
CTRL_C, CTRL_D = "\x03", "\x04"
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A program on a terminal of 80 columns, from construction until the end of the `with` block."""

    def __init__(self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        env = {**os.environ, "TERM": "xterm", **(env or {})}
        self._process = start_command(
            arguments, cwd=cwd, env=env, stdin=theirs, stdout=theirs, stderr=theirs, terminal=True
        )
        os.close(theirs)
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._looked = 0
        self.shown = ""

    def type(self, text: str) -> None:
        """Press keys; Enter is a carriage return."""
        os.write(self._ours, text.encode())

    def wait_for(self, text: str) -> str:
        """Wait until `text` is shown after what was waited for last; returns what came up to its end."""
        until = time.monotonic() + PATIENCE_SECONDS
        while (found := self.shown.find(text, self._looked)) < 0:
            if not self._read(until - time.monotonic()):
                raise AssertionError(f"{text!r} was not shown; there is:\n{self.shown}")
        since, self._looked = self._looked, found + len(text)
        return self.shown[since : self._looked]

    def wait_for_more(self, characters: int) -> None:
        """Wait until so many more characters are shown, whatever they are."""
        until = time.monotonic() + PATIENCE_SECONDS
        while len(self.shown) < self._looked + characters:
            if not self._read(until - time.monotonic()):
                raise AssertionError(f"nothing more was shown; there is:\n{self.shown}")
        self._looked = len(self.shown)

    def wait_until_it_waits(self) -> None:
        """Wait until the program sleeps, as it does when it reads keys.

        Python's readline loses a Ctrl-C until the next key when it comes between the moment a key is shown and the
        moment it waits for another: too short a time for a person, not for a test.
        """
        stat = Path("/proc", str(self._process.pid), "stat")
        until = time.monotonic() + PATIENCE_SECONDS
        while stat.read_text().rpartition(")")[2].split()[0] != "S":
            if time.monotonic() > until:
                raise AssertionError(f"the program is still busy; there is:\n{self.shown}")
            time.sleep(0.01)

    def end(self) -> int:
        """Wait until the program ends; its exit code."""
        until = time.monotonic() + PATIENCE_SECONDS
        while self._read(until - time.monotonic()):
            pass
        return self._process.wait(PATIENCE_SECONDS)

    @property
    def text(self) -> str:
        """What was shown, without escape sequences and with plain line ends."""
        return _ESCAPES.sub("", self.shown).replace("\r\n", "\n")

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def _read(self, seconds: float) -> bool:
        """Take in what came; False if the program has ended, or nothing came in time."""
        if not select.select([self._ours], [], [], max(0.0, seconds))[0]:
            return False
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # what Linux says once the other end is closed
            return False
        self.shown += self._decoder.decode(data)
        return bool(data)
