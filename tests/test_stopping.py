"""Signals: a flag while rows are generated, the end at any other time."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys

import pytest

from promptmill.errors import Interrupted
from promptmill.stopping import SIGNALS, Exit, StopRequest

SCRIPT = """
import os, signal
from promptmill.stopping import StopRequest
stop = StopRequest()
stop.install()
with stop.draining():
    {body}
print("drained", stop.requested)
"""


def run(body: str) -> subprocess.CompletedProcess[str]:
    """Run `body` while draining, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(body=body)], capture_output=True, text=True, check=False, timeout=60
    )


def send(number: int) -> str:
    """Python that sends this process a signal."""
    return f"os.kill(os.getpid(), {number}); "


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_draining_sets_the_flag(number: signal.Signals) -> None:
    """The block comes to its own end."""
    outcome = run(send(number))
    assert (outcome.returncode, outcome.stdout) == (0, "drained True\n")
    assert "committing the rows that are done" in outcome.stderr


def test_a_second_interrupt_leaves_at_once() -> None:
    """Ctrl-C twice ends the process in the middle of the block."""
    outcome = run(send(signal.SIGINT) * 2)
    assert (outcome.returncode, outcome.stdout) == (Interrupted.exit_code, "")


def test_a_second_sigterm_does_not_cut_the_drain_short() -> None:
    """Slurm sends SIGTERM more than once; rows are still committed."""
    assert run(send(signal.SIGTERM) * 2).stdout == "drained True\n"


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_at_any_other_time_ends_the_process_with_its_code(number: signal.Signals) -> None:
    """Nothing is to be saved there, as every file is written atomically."""
    stop = StopRequest()
    before = {each: signal.getsignal(each) for each in SIGNALS}
    stop.install()
    try:
        with pytest.raises(Exit) as caught:
            os.kill(os.getpid(), number)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert caught.value.code == Interrupted.exit_code


def test_under_nohup_a_closed_terminal_means_nothing() -> None:
    """Who has SIGHUP ignored wants the run to go on."""
    script = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)" + SCRIPT.format(body=send(signal.SIGHUP))
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (outcome.returncode, outcome.stdout) == (0, "drained False\n")


def test_rows_are_committed_when_the_terminal_is_gone() -> None:
    """What is written to a terminal that was closed fails, and must not fail the rest."""
    ours, theirs = pty.openpty()
    body = "input(); " + send(signal.SIGHUP) + "import sys; print('a log line', file=sys.stderr, flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(body=body)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=theirs
    ) as process:
        os.close(theirs)
        os.close(ours)
        said, _ = process.communicate(b"\n", timeout=60)
    assert (process.returncode, said) == (0, b"drained True\n")
