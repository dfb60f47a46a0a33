"""Preempted at will: nothing that was committed is lost, and little is made twice."""

from __future__ import annotations

from pathlib import Path

from tests.slurm.cluster import Cluster
from tests.slurm.running import Source, User

ROWS = 900
PREEMPTIONS = 5


def test_preemption_keeps_committed_rows_and_repeats_few(cluster: Cluster, tmp_path: Path, source: Source) -> None:
    """A job of higher priority takes all nodes, twice; the array returns each time by itself."""
    user = User(cluster, tmp_path, source)
    user.prompts(ROWS)
    user.options = ("--prompts", "prompts.txt", "--max-new-tokens", 16, "--max-parallel", 3, "--time", "20:00")
    submitted = user.submit("--checkpoint-seconds", 5)
    assert submitted.code == 0, submitted.said
    kept: dict[Path, bytes] = {}
    for _ in range(2):
        before = user.rows_committed() if (user.run / "shards").exists() else 0
        user.wait_until(lambda before=before: user.rows_committed() >= before + 100, 90)
        _take_all_nodes(user)
        kept |= {path: path.read_bytes() for path in user.run.glob("shards/*/chunk-*.parquet")}
    assert user.rows_committed() < ROWS, "the run was over before the last preemption: make it longer"
    assert user.status()["preemptions"] + 3 >= PREEMPTIONS
    user.wait_until_idle(180)

    user.require_dataset(ROWS)
    assert {path: path.read_bytes() for path in kept} == kept
    status = user.status()
    assert status["preemptions"] >= PREEMPTIONS
    assert status["restarts"] == status["preemptions"]
    assert status["made_again"] / ROWS < 0.05
    # Rows that were under way count as nothing, but cost something: at most what is under way at a restart.
    assert (status["made_again"] + source.at_once * status["restarts"]) / ROWS < 0.05
    print(f"preemptions {status['preemptions']}, rows made again {status['made_again']} of {ROWS}")


def _take_all_nodes(user: User) -> None:
    """Run a short job of high priority on every GPU, and wait until it has ended."""
    everything = ("-p", "high", "-N2", "--exclusive", "--gres=gpu:2")
    user.cluster.run("sbatch", *everything, "-J", "urgent", "-o", "/dev/null", "--wrap=sleep 1")
    urgent = ("squeue", "-h", "-n", "urgent")
    user.wait_until(lambda: not user.cluster.run(*urgent), 60)
