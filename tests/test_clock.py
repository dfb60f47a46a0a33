"""What compares two moments bears a clock that is set in between."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from promptmill import clock
from promptmill.history import ShardHistory, read_history
from promptmill.hub.admission import Questions
from promptmill.hub.auth import Access
from promptmill.hub.errors import endpoint
from promptmill.progress import Progress
from promptmill.rows import Row
from promptmill.slurm import commands
from promptmill.slurm.walltime import Walltime
from promptmill.status.processes import progress_files
from tests.fakes import begun_run, fake_clock, fake_program

HOUR = 3600.0
ROOT = Path(__file__).parents[1]


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Asked for once, as by a process that has been at work; then set by an hour a time."""
    clock.steady_time()
    return monkeypatch


def jump(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Set the clock of the day."""
    true = time.time
    patch.setattr(time, "time", lambda: true() + seconds)


@pytest.mark.parametrize("seconds", [HOUR, -HOUR], ids=["forward", "back"])
def test_time_within_a_process_goes_on(set_clock: pytest.MonkeyPatch, seconds: float) -> None:
    """An hour that was not there counts nowhere."""
    before, wall = clock.steady_time(), time.time()
    assert abs(before - wall) < HOUR / 2
    jump(set_clock, seconds)
    assert 0 <= clock.steady_time() - before < HOUR / 2
    assert abs(time.time() - wall - seconds) < HOUR / 2


@pytest.mark.parametrize("seconds", [HOUR, -HOUR], ids=["forward", "back"])
def test_a_walltime_is_not_over_because_the_clock_was_set(set_clock: pytest.MonkeyPatch, seconds: float) -> None:
    """What is left is what was left, less what has passed."""
    walltime = Walltime(end=time.time() + 2 * HOUR, limit=2 * HOUR)
    jump(set_clock, seconds)
    assert 1.5 * HOUR < walltime.left() < 2 * HOUR
    assert not walltime.is_near()


@pytest.mark.parametrize("seconds", [HOUR, -HOUR], ids=["forward", "back"])
def test_rates_are_told_by_the_time_that_passed(set_clock: pytest.MonkeyPatch, tmp_path: Path, seconds: float) -> None:
    """In the progress file and in the history; both also tell when they were written, by the clock of now."""
    run = begun_run(tmp_path, tmp_path)
    row = Row(0, "r", "stop", 1, 7, 0, None)
    passed = 0.0
    with (
        Progress(run.progress / "h-1.json", "shard 1 of 4", total=9, done=0, clock=lambda: passed) as progress,
        ShardHistory(run.progress / "h-1.jsonl", 0, 9) as history,
    ):
        jump(set_clock, seconds)
        passed = 20.0
        for _ in range(4):
            progress.add(row)
            history.add(row)
    (told,) = progress_files(run)
    assert told.rows_per_second == pytest.approx(0.2)
    assert abs(told.updated - time.time()) < HOUR / 2
    times = [point.at for point in read_history(run.progress / "h-1.jsonl")]
    assert 0 <= times[-1] - times[0] < HOUR / 2


def test_a_yes_of_the_hub_is_believed_for_its_time_and_never_longer() -> None:
    """After months it is asked again; so it is after a clock that was set back would make it last."""
    now = 1_790_000_000.0
    access = Access(endpoint=endpoint(), account=None, model="me/model", publish_to=None, answered=True, checked_at=now)
    questions = Questions("me/model", None)

    def believed(later: float) -> bool:
        return questions.answered_by(access, max_age=12 * HOUR, now=now + later)

    assert believed(HOUR)
    assert not believed(13 * HOUR)
    assert not believed(90 * 24 * HOUR)
    assert not believed(-HOUR)
    assert not questions.answered_by(replace(access, endpoint="https://other"), max_age=HOUR, now=now)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_the_end_of_a_job_is_the_same_moment_in_every_time_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    """Slurm tells local times; in the night in which clocks are set back one of them is told twice."""
    moment = 1_793_511_000  # 2026-11-01 01:30 in New York, for the second time
    fake_program(tmp_path, "squeue", f'echo "7|RUNNING|$(date -d @{moment} +%Y-%m-%dT%H:%M:%S)|n1|None|a"')
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        (job,) = commands.jobs(ids=["7"])
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    assert job.end is not None
    assert job.end.timestamp() == moment


def test_the_fake_clock_is_one(tmp_path: Path) -> None:
    """A process under it sees the day change, and its own time go on."""
    fake_clock(tmp_path).write_text(str(-HOUR))
    code = (
        "import json, time; from promptmill.clock import steady_time; print(json.dumps([time.time(), steady_time()]))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    wall, steady = json.loads(told.stdout)
    assert abs(time.time() - HOUR - wall) < HOUR / 2
    assert abs(wall - steady) < HOUR / 2
