"""What goes wrong on a cluster, one after the other, in one run."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.running import Source, User

# So many that a machine twice as fast is not done before the last mishap.
ROWS = 3200


@pytest.mark.long
def test_mishaps_lose_nothing(cluster: Cluster, tmp_path: Path, source: Source) -> None:
    """A cancelled task, a requeued one, no slurmctld for 20 s, a slurmd killed under its jobs."""
    user = User(cluster, tmp_path, source)
    user.prompts(ROWS)
    user.options = ("--prompts", "prompts.txt", "--max-new-tokens", 16, "--max-parallel", 4, "--time", "20:00")
    user.options = (*user.options, "--checkpoint-seconds", 2)
    submitted = user.submit()
    assert submitted.code == 0, submitted.said
    user.wait_until(lambda: (user.run / "shards").exists() and user.rows_committed() > 100, 90)
    assert user.status()["processes"], "whoever commits rows is seen"
    array = next(iter(user.records())).split("_")[0]

    cluster.run("scancel", f"{array}_0")
    cluster.run("scontrol", "requeue", f"{array}_1")
    cluster.end("slurmctld")
    try:
        stopped = time.monotonic()
        status = user.status()
        assert status["jobs"] is None, "the files alone have to do"
        assert status["rows"] > 100
        refused = user.submit()
        assert refused.code == 69, refused.said
        assert "nothing is lost" in refused.said
        time.sleep(max(0.0, 20 - (time.monotonic() - stopped)))
    finally:
        cluster.start_controller()

    assert user.rows_committed() < ROWS, "the run was over before the last mishap: make it longer"
    cluster.end("slurmd-n2", signal.SIGKILL)
    try:
        # Slurm gives the node up, and its jobs go back into the queue; the processes themselves live on.
        cluster.wait_for(lambda: not cluster.run("squeue", "-h", "-t", "R", "-w", "n2"), 90)
    finally:
        cluster.start_node("n2")
    kept = {path: path.read_bytes() for path in user.run.glob("shards/*/chunk-*.parquet")}
    user.wait_until_idle(240)
    if not (user.run / "dataset.json").exists():
        again = user.submit()
        assert again.code == 0, again.said
        user.wait_until_idle(240)
    user.require_dataset(ROWS)
    assert {path: path.read_bytes() for path in kept} == kept
    print(f"restarts {user.status()['restarts']}, made again {user.status()['made_again']} of {ROWS}")
