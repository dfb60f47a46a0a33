"""A power cut at any point of a run costs nothing that was committed, and the restart ends in the same dataset."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.crash_points import Recording, broken_promises, crash_everywhere, record
from tests.chaos.disk import Call, Cuts
from tests.chaos.small_run import SmallRun
from tests.chaos.straced import STRACE, calls

SHM = Path("/dev/shm")
CHECKOUT = Path(__file__).parent.parent.parent
FEW = Cuts(every_byte=False)


@pytest.fixture
def small(tmp_path: Path, tiny_gpt2: Path) -> SmallRun:
    """The small run."""
    return SmallRun(tmp_path / "small", tiny_gpt2)


@pytest.mark.parametrize("every", [10, pytest.param(1, marks=pytest.mark.long)])
def test_every_crash_point_is_survived(small: SmallRun, every: int) -> None:
    """Every point and every choice of names that lasted; files that were not fsynced are cut at a few places."""
    findings = crash_everywhere(small, record(small), FEW, every=every)
    assert findings.wrong == []
    assert (findings.lost, findings.doubled) == (0, 0)
    assert findings.states > 500 / every
    assert 0 < findings.again < findings.states


@pytest.mark.parametrize(
    "is_left_out",
    [
        lambda call: call.kind == "fsync folder" and call.path.endswith("shards/00001"),
        lambda call: call.kind == "fsync folder" and call.path.endswith("shards"),
        lambda call: call.kind == "fsync" and ".chunk-" in call.path,
    ],
    ids=["the folder of a shard", "the folder above it", "a chunk"],
)
def test_an_fsync_that_is_missing_is_found(small: SmallRun, is_left_out: Callable[[Call], bool]) -> None:
    """The harness is able to fail: without one kind of fsync, committed rows are lost."""
    recording = record(small)
    calls = [replace(call, kind="look", path=".") if is_left_out(call) else call for call in recording.calls]
    assert calls != recording.calls
    moment, _ = recording.committed[3]
    few = Recording(calls[: moment + 2], recording.committed[:4], recording.dataset)
    sound = Recording(recording.calls[: moment + 2], recording.committed[:4], recording.dataset)
    assert broken_promises(small, sound, FEW, first=moment) == 0
    assert broken_promises(small, few, FEW, first=moment) > 0


@pytest.mark.long
def test_nothing_goes_round_the_recorder(tmp_path: Path, tiny_gpt2: Path) -> None:
    """The kernel saw the same calls in the same order, but for how a file's bytes were written."""
    if shutil.which("strace") is None:
        assert not os.environ.get("PROMPTMILL_REQUIRE_STRACE")
        pytest.skip("strace is not installed")
    trace, folder = tmp_path / "trace", tmp_path / "small"
    command = [*STRACE, "-o", str(trace), sys.executable, "-m", "tests.chaos.recorded", str(folder), str(tiny_gpt2)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    recorded = [tuple(line.split("\t")) for line in done.stdout.splitlines()]
    seen = [(call.kind, call.path, call.to) for call in calls(trace, folder / "data")]
    assert _once_written(seen) == _once_written(recorded)
    assert len(recorded) > 100


def _once_written(calls: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Writes that follow each other as one."""
    kept = calls[:1]
    for call in calls[1:]:
        if call[0] != "write" or call != kept[-1]:
            kept.append(call)
    return kept
