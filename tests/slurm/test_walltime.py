"""A walltime too short for the work: the job goes on through requeues, unless it gets nowhere."""

from __future__ import annotations

from pathlib import Path

from tests.slurm.cluster import Cluster
from tests.slurm.running import User

ROWS = 2600


def test_a_short_walltime_ends_in_the_dataset_and_a_crash_loop_ends_by_itself(
    cluster: Cluster, tmp_path: Path, slow_gpt2: Path
) -> None:
    """Three runs at a time: an array and a job that get on in each minute, an array that is never given the time to."""
    busy, barren, single = (User(cluster, tmp_path / name, slow_gpt2) for name in ("busy", "barren", "single"))
    for user in (busy, barren, single):
        user.folder.mkdir()
        user.prompts(ROWS)
    job = single.submit_script("--time=1")
    for user in (busy, barren):
        user.options = ("--prompts", "prompts.txt", "--max-new-tokens", 16, "--max-parallel", 1, "--time", "1")
        submitted = user.submit("--checkpoint-seconds", 2, "--batch-size", 8)
        assert submitted.code == 0, submitted.said

    for _ in range(3):
        _end_before_the_first_row(barren)
    # The job that notes the end still runs for a moment.
    barren.wait_until(lambda: barren.status()["state"] == "ended", 60)
    status = barren.status()
    assert (status["state"], status["rows"], status["restarts"]) == ("ended", 0, 2)
    assert "3 starts in a row" in barren.logs()
    assert "committed nothing" in status["reason"]
    assert "--time" in status["reason"]

    busy.wait_until_idle(500)
    busy.require_dataset(ROWS)
    status = busy.status()
    assert status["restarts"] >= 1
    reasons = [start["reason"] for record in busy.records().values() for start in record["starts"]]
    assert reasons[-1] == "done"
    assert set(reasons[:-1]) == {"walltime"}
    assert status["made_again"] == 0
    assert len(list(busy.run.glob("slurm/0*"))) == 1, "requeued, not submitted again"

    single.require_dataset(ROWS)
    said = (single.folder / f"promptmill-{job}.log").read_text()
    assert "back into the queue" in said
    assert "rows were already done" in said


def _end_before_the_first_row(user: User) -> None:
    """Do what Slurm does near the walltime, as soon as the process can hear it."""
    user.wait_until(lambda: _running_starts(user) == 1, 90)
    (job,) = user.records()
    user.cluster.run("scancel", "--signal=TERM", job)
    user.wait_until(lambda: _running_starts(user) == 0, 30)


def _running_starts(user: User) -> int:
    return sum(start["reason"] == "running" for record in user.records().values() for start in record["starts"])
