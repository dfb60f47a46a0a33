"""What is forked: a command of this Python, and how a process becomes it."""

from __future__ import annotations

import fcntl
import importlib
import os
import random
import runpy
import subprocess
import sys
import tempfile
import termios
import types
from dataclasses import dataclass

from tests.forkserver import nested


def take_terminal() -> None:
    """Make standard input the controlling terminal: only then Ctrl-C is a signal."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@dataclass(frozen=True)
class Job:
    """A command line of this Python, and where it runs.

    Attributes:
        words: all that follows the name of the interpreter.
        terminal: standard input becomes the controlling terminal.
    """

    words: list[str]
    cwd: str
    env: dict[str, str]
    umask: int
    new_session: bool
    terminal: bool

    def begin(self, streams: list[int]) -> None:
        """Make this process the command's own."""
        if self.new_session:
            os.setsid()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        if self.terminal:
            take_terminal()
        os.chdir(self.cwd)
        os.umask(self.umask)
        os.environ.clear()
        os.environ.update(self.env)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
        subprocess.Popen = nested.Popen  # type: ignore[misc]
        random.seed()
        tempfile.tempdir = None
        importlib.invalidate_caches()
        # Luigi reads luigi.cfg of the current folder when it is imported.
        sys.modules["luigi.configuration"].LuigiConfigParser.reload()

    def run(self) -> None:
        """Run the command."""
        kind, what, *arguments = self.words
        sys.path[0] = self.cwd if kind == "-m" else ""
        sys.orig_argv = [sys.executable, *self.words]
        sys.argv = ["-c" if kind == "-c" else what, *arguments]
        if kind == "-m":
            sys.modules.pop(what, None)
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            main = types.ModuleType("__main__")
            sys.modules["__main__"] = main
            exec(compile(what, "<string>", "exec"), main.__dict__)
