"""A walltime too short for the work: the job goes on through requeues, unless it gets nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.endpoint.server import Asked, Reply, WordServer
from tests.slurm.cluster import Cluster
from tests.slurm.running import User, on_cpu, on_server

ROWS_OF_MINUTES = 2600
ROWS = 600


def test_the_signal_before_a_walltime_ends_in_the_dataset_and_a_crash_loop_ends_by_itself(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Two arrays at a time: one is told of its walltime when it has rows, as Slurm tells it, one before it has any."""
    with WordServer(seconds=0.1) as server, WordServer(_answer_trials_alone) as silent:
        busy = User(cluster, tmp_path / "busy", on_server(server, at_once=4))
        barren = User(cluster, tmp_path / "barren", on_server(silent, at_once=4))
        for user in (busy, barren):
            _submit(user, ROWS)

        busy.wait_until(lambda: (busy.run / "shards").exists() and busy.rows_committed() > 50, 120)
        (job,) = busy.records()
        # USR2 would let it use its time to the last seconds, as the long test shows.
        cluster.run("scancel", "--signal=TERM", job)
        assert busy.rows_committed() < ROWS, "the run was over before the signal: make it longer"
        _wait_for_the_end(barren)
        _require_requeued(busy)


def _answer_trials_alone(asked: Asked) -> Reply | None:
    return Reply(hangs=True) if "prompt number" in asked.text else None


@pytest.mark.long
def test_a_short_walltime_ends_in_the_dataset_and_a_crash_loop_ends_by_itself(
    cluster: Cluster, tmp_path: Path, slow_gpt2: Path
) -> None:
    """Three runs at a time: an array and a job that get on in each minute, an array that is never given the time to."""
    source = on_cpu(slow_gpt2, batch_size=8)
    busy, barren, single = (User(cluster, tmp_path / name, source) for name in ("busy", "barren", "single"))
    single.folder.mkdir()
    # Beside the two arrays, a minute may be over before the model of this one has loaded.
    single.prompts(2 * ROWS_OF_MINUTES)
    job = single.submit_script("--time=2")
    for user in (busy, barren):
        _submit(user, ROWS_OF_MINUTES)

    _wait_for_the_end(barren)
    _require_requeued(busy)
    single.require_dataset(2 * ROWS_OF_MINUTES)
    said = (single.folder / f"promptmill-{job}.log").read_text()
    assert "back into the queue" in said
    assert "rows were already done" in said


def _submit(user: User, rows: int) -> None:
    user.folder.mkdir()
    user.prompts(rows)
    user.options = ("--prompts", "prompts.txt", "--max-new-tokens", 16, "--max-parallel", 1, "--time", "1")
    submitted = user.submit("--checkpoint-seconds", 2)
    assert submitted.code == 0, submitted.said


def _wait_for_the_end(barren: User) -> None:
    """End it three times before its first row; the job after it then says why it does not go on."""
    for _ in range(3):
        _end_before_the_first_row(barren)
    # The job that notes the end still runs for a moment.
    barren.wait_until(lambda: barren.status()["state"] == "ended", 60)
    status = barren.status()
    assert (status["state"], status["rows"], status["restarts"]) == ("ended", 0, 2)
    assert "3 starts in a row" in barren.logs()
    assert "committed nothing" in status["reason"]
    assert "--time" in status["reason"]


def _require_requeued(busy: User) -> None:
    """It went on through requeues to its end, and made nothing twice."""
    busy.wait_until_idle(500)
    busy.require_dataset(len((busy.folder / "prompts.txt").read_text().splitlines()))
    status = busy.status()
    assert status["restarts"] >= 1
    reasons = [start["reason"] for record in busy.records().values() for start in record["starts"]]
    assert reasons[-1] == "done"
    assert set(reasons[:-1]) == {"walltime"}
    assert status["made_again"] == 0
    assert len(list(busy.run.glob("slurm/0*"))) == 1, "requeued, not submitted again"


def _end_before_the_first_row(user: User) -> None:
    """Do what Slurm does near the walltime, as soon as the process can hear it."""
    user.wait_until(lambda: _running_starts(user) == 1, 90)
    (job,) = user.records()
    user.cluster.run("scancel", "--signal=TERM", job)
    user.wait_until(lambda: _running_starts(user) == 0, 30)


def _running_starts(user: User) -> int:
    return sum(start["reason"] == "running" for record in user.records().values() for start in record["starts"])
