"""Jobs that Slurm does not bring back: the script of one job requeues itself, the job after an array submits again."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.command import committed
from tests.slurm.cluster import Cluster
from tests.slurm.running import SCRIPT, Source, User

ROWS = 300


def test_a_stopped_job_requeues_itself_and_a_cancelled_array_is_submitted_again(
    cluster: Cluster, tmp_path: Path, slow_gpt2: Path, source: Source
) -> None:
    """Two runs at the same time, each ended once when some of its rows are committed."""
    single, array = User(cluster, tmp_path / "single", slow_gpt2), User(cluster, tmp_path / "array", source)
    for user in (single, array):
        user.folder.mkdir()
        user.prompts(ROWS)
    # A limit so short that every stop is near its end; the signal comes from here.
    job = single.submit_script("--time=4")
    array.options = ("--prompts", "prompts.txt", "--max-new-tokens", 16, "--max-parallel", 1, "--time", "20:00")
    submitted = array.submit("--partition", "cancel", "--checkpoint-seconds", 1)
    assert submitted.code == 0, submitted.said

    array.wait_until(lambda: _rows(array) > 20, 120)
    cluster.run("scancel", *array.records())
    single.wait_until(lambda: _rows(single) > 20, 120)
    cluster.run("scancel", "--signal=USR2", job)
    single.wait_until(lambda: not cluster.states(), 240)

    array.require_dataset(ROWS)
    assert "submitted again as job" in array.logs()
    assert len(array.records()) == 2
    said = (single.folder / f"promptmill-{job}.log").read_text()
    single.require_dataset(ROWS)
    assert "back into the queue" in said
    assert "rows were already done" in said


def test_the_script_of_one_job_is_taken_by_slurm(cluster: Cluster) -> None:
    """As it is in the repository."""
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    assert cluster.run("sbatch", "--test-only", "--mem=100", str(SCRIPT)) == ""


def _rows(user: User) -> int:
    runs = list((user.folder / "data" / "runs").glob("*/shards"))
    return len(list(committed(runs[0].parent))) if runs else 0
