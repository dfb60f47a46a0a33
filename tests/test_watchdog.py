"""A thread that ends a process which stands still: what it saves, and what it leaves alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from promptmill import watchdog
from promptmill.engine.contract import Completion, MayBegin, Request, ShouldStop
from promptmill.errors import StorageError
from promptmill.generate import fill_shard
from promptmill.rows import Row
from promptmill.shard import ShardStore
from promptmill.watchdog import Watchdog
from tests.fakes import completion_of

ROOT = Path(__file__).parents[1]
ROWS = 40


class Halting:
    """An engine that goes on for so many rows, a beat a row, and then for ever without one."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.beats = 0

    def generate(self, requests: list[Request], should_stop: ShouldStop, may_begin: MayBegin) -> Iterator[Completion]:
        """A row every 50 ms, and in between it is asked whether to stop."""
        for request in requests[: self.rows]:
            time.sleep(0.05)
            self.beats += 1
            yield completion_of(request)
        while self.rows < ROWS:
            should_stop()
            time.sleep(0.01)


class SlowStore(ShardStore):
    """Its disk takes a second."""

    def commit(self, rows: list[Row]) -> None:
        """Wait first."""
        time.sleep(1)
        super().commit(rows)


class FullStore(ShardStore):
    """Its disk is full."""

    def commit(self, rows: list[Row]) -> None:
        """Refuse."""
        raise StorageError("there is no space left on the device")


class HungStore(ShardStore):
    """Its disk does not come back."""

    def commit(self, rows: list[Row]) -> None:
        """Wait for ever."""
        time.sleep(3600)


def fill(
    folder: Path, *, rows: int, kind: type[ShardStore] = ShardStore, seconds: float = 0.3, every: float = 60
) -> None:
    """Fill a shard under a watchdog."""
    store = kind(folder, 0, fingerprint="f", rows=ROWS)
    missing = {position: Request(position, 7, prompt=str(position)) for position in range(ROWS)}
    engine = Halting(rows)
    guard = Watchdog(lambda: engine.beats, seconds, folder / "stacks.txt", lambda why: (folder / "why").write_text(why))
    sys.stderr.write("begun\n")
    options = {"checkpoint_seconds": every, "should_stop": bool, "on_row": lambda row: None}
    fill_shard(store, missing, engine, watch=guard.watching, **options)  # type: ignore[arg-type]


CASES: dict[str, Callable[[Path], None]] = {
    "halts": lambda folder: fill(folder, rows=5),
    "never begins": lambda folder: fill(folder, rows=0),
    "hangs in a commit": lambda folder: fill(folder, rows=5, kind=SlowStore, every=0.15),
    "full disk": lambda folder: fill(folder, rows=5, kind=FullStore),
    "hung disk": lambda folder: fill(folder, rows=5, kind=HungStore),
    "goes on": lambda folder: fill(folder, rows=ROWS, seconds=1),
}


def begin(case: str, folder: Path) -> subprocess.Popen[str]:
    """Run a case in a process of its own."""
    program = [sys.executable, "-m", "tests.test_watchdog", case, str(folder)]
    return subprocess.Popen(program, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def committed(folder: Path) -> list[int]:
    """Positions on disk, every one as often as it is there."""
    import pyarrow.parquet as pq

    chunks = sorted((folder / "00000").glob("chunk-*.parquet"))
    return [position for chunk in chunks for position in pq.read_table(chunk)["position"].to_pylist()]


@pytest.mark.parametrize(
    ("case", "rows", "why"),
    [
        ("halts", 5, "What has finished is committed."),
        ("never begins", 0, "What has finished is committed."),
        ("full disk", 0, "is lost: there is no space left on the device"),
        ("hung disk", 0, None),
    ],
)
def test_what_stands_still_is_ended_and_its_rows_are_kept(
    tmp_path: Path, case: str, rows: int, why: str | None
) -> None:
    """Code 75, the stacks of all threads, as many rows as the disk takes; to be asked whether to stop is no life."""
    _, said = (process := begin(case, tmp_path)).communicate(timeout=60)
    assert process.returncode == 75, said
    assert committed(tmp_path) == list(range(rows))
    stacks = (tmp_path / "stacks.txt").read_text()
    assert "in generate" in stacks
    assert "Current thread" in stacks
    if why is not None:
        assert why in (tmp_path / "why").read_text()
        assert why in said


def test_a_commit_under_way_is_waited_for(tmp_path: Path) -> None:
    """The rows in the hands of the thread that stands still in it are there once."""
    _, said = (process := begin("hangs in a commit", tmp_path)).communicate(timeout=60)
    assert process.returncode == 75, said
    found = committed(tmp_path)
    assert found == list(range(len(found)))
    assert found


def test_a_process_that_was_suspended_has_not_stood_still(tmp_path: Path) -> None:
    """Slurm and laptops stop processes for longer than any timeout, and let them go on."""
    process = begin("goes on", tmp_path)
    assert process.stderr is not None
    assert process.stderr.readline() == "begun\n"
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(2.5)  # what is tested is that this much time does not count
    os.kill(process.pid, signal.SIGCONT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert committed(tmp_path) == list(range(ROWS))


if __name__ == "__main__":
    watchdog.FAREWELL_SECONDS = 2.0
    CASES[sys.argv[1]](Path(sys.argv[2]))
