"""vLLM in several processes, as on several GPUs: signals to all of them, and what they leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from promptmill.shard import ShardStore
from tests.vllm.two_workers import ROWS


@pytest.fixture
def running(tmp_path: Path, tiny_llama: Path) -> Iterator[subprocess.Popen[str]]:
    """Two workers that have made a few rows; a process group of their own."""
    command = [sys.executable, "-m", "tests.vllm.two_workers", str(tiny_llama), str(tmp_path)]
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    limit = time.monotonic() + 600
    while rows(tmp_path) == 0 and process.poll() is None:
        assert time.monotonic() < limit, "waited ten minutes in vain"
        time.sleep(0.05)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture(autouse=True)
def _memory_given_back() -> Iterator[None]:
    """What vLLM's processes share is gone when they are, which may take a moment."""
    before = shared()
    yield
    limit = time.monotonic() + 60
    while shared() - before and time.monotonic() < limit:
        time.sleep(0.05)
    assert shared() - before == set()


def shared() -> set[Path]:
    """Python's blocks of shared memory on this machine."""
    return set(Path("/dev/shm").glob("psm_*"))


def rows(folder: Path) -> int:
    """How many are committed."""
    return int(ShardStore(folder, 0, fingerprint="f", rows=ROWS).read().num_rows)


def test_signals_to_all_processes_stop_the_run_and_lose_nothing(running: subprocess.Popen[str], tmp_path: Path) -> None:
    """Ctrl-C, Slurm's signal before the walltime and scancel go to each process of a job: it ends with 75."""
    assert running.poll() is None, running.communicate()[0]
    for one in psutil.Process(running.pid).children(recursive=True):
        for connection in one.net_connections("tcp"):
            assert connection.status != psutil.CONN_LISTEN or connection.laddr.ip in ("127.0.0.1", "::1"), connection
    for number in (signal.SIGUSR2, signal.SIGTERM):
        os.killpg(running.pid, number)
    said, _ = running.communicate(timeout=300)
    assert running.returncode == 75, said
    assert "Traceback" not in said
    assert 0 < rows(tmp_path) < ROWS


def test_workers_end_with_a_parent_that_is_killed(running: subprocess.Popen[str]) -> None:
    """Nothing holds a GPU after a SIGKILL of the process that commits."""
    workers = psutil.Process(running.pid).children(recursive=True)
    assert workers, running.communicate()[0]
    running.kill()
    running.communicate(timeout=300)
    _, alive = psutil.wait_procs(workers, timeout=120)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []
