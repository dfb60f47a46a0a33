"""Jobs that Slurm does not bring back: the script of one job requeues itself, the job after an array submits again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.command import committed
from tests.slurm.cluster import Cluster
from tests.slurm.running import User

ROWS = 300
SCRIPT = Path(__file__).parents[2] / "slurm" / "build_dataset.sbatch"


def test_a_stopped_job_requeues_itself_and_a_cancelled_array_is_submitted_again(
    cluster: Cluster, tmp_path: Path, slow_gpt2: Path
) -> None:
    """Two runs at the same time, each ended once when some of its rows are committed."""
    single, array = (User(cluster, tmp_path / name, slow_gpt2) for name in ("single", "array"))
    for user in (single, array):
        user.folder.mkdir()
        user.prompts(ROWS)
    job = _submit_script(single)
    array.options = ("--prompts", "prompts.txt", "--max-new-tokens", 16, "--max-parallel", 1, "--time", "20:00")
    submitted = array.submit("--partition", "cancel", "--checkpoint-seconds", 1, "--batch-size", 4)
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


def _submit_script(user: User) -> str:
    """Edit a copy as a user would, and submit it."""
    text = SCRIPT.read_text()
    edits = {
        "--model gpt2": f"--model {user.model} --max-new-tokens 16 --checkpoint-seconds 1 --batch-size 4",
        "prompts.jsonl": "prompts.txt",
        # Slurm binds no cores here: one, or the threads of several jobs hinder each other.
        "srun luigi": "srun taskset -c 0 luigi",
        "--mem=32G": "--mem=500",
        # So short that every stop is near its end; the signal comes from the test.
        "--time=4:00:00": "--time=4",
        "--signal=USR2@180": "--signal=USR2@10",
    }
    for old, new in edits.items():
        assert old in text
        text = text.replace(old, new)
    script = user.folder / "my.sbatch"
    script.write_text(text)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **user.cluster.env, "PATH": path}
    command = ["sbatch", "--parsable", str(script)]
    done = subprocess.run(command, cwd=user.folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _rows(user: User) -> int:
    runs = list((user.folder / "data" / "runs").glob("*/shards"))
    return len(list(committed(runs[0].parent))) if runs else 0
