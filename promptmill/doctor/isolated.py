"""Checks side by side, each in a process of its own with a deadline.

A process, because a broken CUDA library ends its process, and a network file system that hangs holds
a thread for ever: neither may take the other checks with it.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from promptmill.doctor.values import Finding


@dataclass(frozen=True)
class Running:
    """A check under way, and the files that its process writes to."""

    name: str
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    errors: IO[bytes]
    command: str


def findings(names: Sequence[str], data: Path, *, seconds: float) -> Iterator[Finding]:
    """What the checks find, in their order, as soon as it is known.

    Args:
        seconds: that all of them may take, as they run at the same time.
    """
    until = time.monotonic() + seconds
    with ExitStack() as ending:
        running = [_start(name, data, ending) for name in names]
        for check in running:
            yield from _found(check, until, seconds)


def _start(name: str, data: Path, ending: ExitStack) -> Running:
    arguments = [sys.executable, "-m", "promptmill.doctor.one", name, str(data)]
    output, errors = (ending.enter_context(tempfile.TemporaryFile()) for _ in range(2))  # noqa: SIM115, entered here
    # Safe path: a random.py in the user's folder is not taken for Python's own.
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        start_new_session=True,
    )
    ending.callback(_kill, process)
    return Running(name, process, output, errors, shlex.join(["python", *arguments[1:]]))


def _found(check: Running, until: float, seconds: float) -> list[Finding]:
    try:
        code = check.process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        _kill(check.process)
        do = f"`{check.command}` tries it alone; --timeout gives it longer than {seconds:.0f} s."
        return [Finding(check.name, "fail", f"did not answer within {seconds:.0f} s", do)]
    if code:
        return [Finding(check.name, "fail", _end(check, code), f"`{check.command}` shows all of it.")]
    check.output.seek(0)
    return [Finding(**value) for value in json.loads(check.output.read().splitlines()[-1])]


def _end(check: Running, code: int) -> str:
    """How a process ended that has no findings."""
    if code < 0:
        return f"the check crashed ({signal.Signals(-code).name})"
    check.errors.seek(0)
    lines = check.errors.read().decode(errors="replace").strip().splitlines()
    return f"the check failed: {lines[-1] if lines else f'exit code {code}'}"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started; not waited for long, as one that hangs on a dead disk cannot be ended."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
