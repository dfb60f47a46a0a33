"""Starting commands in a test: forked from a server where that is the same, cold where it is not."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from tests.forkserver.imports import different
from tests.forkserver.job import Job, take_terminal

_ROOT = Path(__file__).parents[2]


class Forked:
    """A command that was forked; used as `subprocess.Popen`, with the same meanings.

    Attributes:
        stdout: what it writes, if that was asked for by `subprocess.PIPE`.
    """

    def __init__(self, args: Sequence[str], status: socket.socket, stdout: IO[Any] | None) -> None:
        self.args = list(args)
        self.stdout = stdout
        self.returncode: int | None = None
        self._status = status
        self.pid = int(status.recv(64))

    def poll(self) -> int | None:
        """Its exit code, if it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        if self.returncode is None:
            self._status.settimeout(timeout)
            try:
                said = self._status.recv(64)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
            assert said, "the server has gone"
            self.returncode = int(said)
            self._status.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[Any, None]:
        """Read what it writes to the end, and wait for its own."""
        end = None if timeout is None else time.monotonic() + timeout
        said = self._read(end)
        self.wait(None if end is None else max(0.0, end - time.monotonic()))
        return said, None

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.kill()  # a test that failed waits for nothing more
        if self.stdout is not None:
            self.stdout.close()
        self.wait()

    def _read(self, end: float | None) -> Any:
        if self.stdout is None:
            return None
        said = b""
        with selectors.DefaultSelector() as selector, self.stdout:
            selector.register(self.stdout, selectors.EVENT_READ)
            while True:
                if not selector.select(None if end is None else max(0.0, end - time.monotonic())):
                    raise subprocess.TimeoutExpired(self.args, 0, output=said)
                if not (more := os.read(self.stdout.fileno(), 1 << 16)):
                    break
                said += more
            binary = "b" in self.stdout.mode
        return said if binary else said.decode().replace("\r\n", "\n")


class _Server:
    """One server of this test process; it ends when this process does, as its socket closes."""

    def __init__(self, level: str) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        # The folder has no luigi.cfg; in a session of its own, so that Ctrl-C ends pytest first.
        command = [sys.executable, "-m", "tests.forkserver.server", str(theirs.fileno()), level]
        with theirs:
            self.process = subprocess.Popen(
                command,
                cwd=Path(__file__).parent,
                env={**_environment, "PYTHONPATH": str(_ROOT)},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def fork(self, job: Job, streams: Sequence[int]) -> socket.socket:
        """Ask for a command; the socket on which the server tells its process id and later its exit code."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            socket.send_fds(self._control, [json.dumps(asdict(job)).encode()], [*streams, theirs.fileno()])
        return ours


@functools.cache
def _server(level: str) -> _Server:
    return _Server(level)


_environment: dict[str, str] = {}
Process = Forked | subprocess.Popen[Any]


def set_environment(env: Mapping[str, str]) -> None:
    """Name the environment that tests have unless they change it: the servers' own."""
    _environment.update(env)


def start_command(
    words: Sequence[str],
    *,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int | None = None,
    stdout: Any = None,
    stderr: Any = None,
    text: bool = False,
    start_new_session: bool = False,
    terminal: bool = False,
) -> Process:
    """Start a command as `subprocess.Popen` does with these arguments.

    `python -m MODULE ...` and `python -c CODE ...` are forked from a server, if their imports would come out the same.

    Args:
        terminal: standard input becomes its controlling terminal.
    """
    env = dict(os.environ if env is None else env)
    level = _level(words, env)
    if level is None or stdin == subprocess.PIPE or stderr == subprocess.PIPE:
        return subprocess.Popen(
            words, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, text=text,
            start_new_session=start_new_session or terminal, preexec_fn=take_terminal if terminal else None,
        )  # fmt: skip
    with contextlib.ExitStack() as ours:
        reading, out = _pipe(ours) if stdout == subprocess.PIPE else (None, _descriptor(stdout, 1, ours))
        err = out if stderr == subprocess.STDOUT else _descriptor(stderr, 2, ours)
        streams = [_descriptor(stdin, 0, ours), out, err]
        job = Job(list(words[1:]), str(cwd or Path.cwd()), env, _umask(), start_new_session or terminal, terminal)
        status = _server(level).fork(job, streams)
    said = None if reading is None else os.fdopen(reading, "r" if text else "rb", encoding="utf-8" if text else None)
    return Forked(words, status, said)


def run_command(
    words: Sequence[str],
    *,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    input: str | None = None,
    stdin: int | None = None,
    stderr: int | None = None,
    timeout: float | None = None,
    check: bool = False,
    errors: str = "strict",
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end as `subprocess.run` does with these arguments, and keep what it says, read as UTF-8.

    Args:
        stderr: `subprocess.STDOUT` to have both in one.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, contextlib.ExitStack() as ours:
        if input is not None:
            stdin = _filled_pipe(input.encode(errors=errors))
            ours.callback(os.close, stdin)
        process = start_command(words, cwd=cwd, env=env, stdin=stdin, stdout=out, stderr=stderr or err)
        ours.close()
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        said = [_said(stream, errors) for stream in (out, err)]
    done = subprocess.CompletedProcess(list(words), code, *said)
    if check:
        done.check_returncode()
    return done


def _level(words: Sequence[str], env: Mapping[str, str]) -> str | None:
    """How much may have been imported: all, libraries, or nothing (None)."""
    if words[0] != sys.executable or words[1] not in ("-m", "-c") or not _environment:
        return None
    differs = different(_environment, env)
    if not differs:
        return "all"
    return "libraries" if all(name.startswith("HF_") or name == "HOME" for name in differs) else None


def _umask() -> int:
    # It can be read by setting it alone.
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _pipe(stack: contextlib.ExitStack) -> tuple[int, int]:
    """Both ends; that for writing is closed with the stack."""
    reading, writing = os.pipe()
    stack.callback(os.close, writing)
    return reading, writing


def _filled_pipe(content: bytes) -> int:
    """The reading end of a pipe that holds so much and no more will come."""
    assert len(content) < 1 << 16, "a pipe holds no more"
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading


def _descriptor(stream: Any, inherited: int, stack: contextlib.ExitStack) -> int:
    """The number of what `subprocess.Popen` takes for a stream."""
    if stream is None:
        return inherited
    if stream == subprocess.DEVNULL:
        number = os.open(os.devnull, os.O_RDWR)
        stack.callback(os.close, number)
        return number
    return stream if isinstance(stream, int) else stream.fileno()


def _said(stream: IO[bytes], errors: str) -> str:
    stream.seek(0)
    return stream.read().decode(errors=errors).replace("\r\n", "\n")
