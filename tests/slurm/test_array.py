"""A run as an array over two nodes with two GPUs each, from a folder whose name no shell would like."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.slurm.cluster import Cluster
from tests.slurm.running import User

ROWS = 512
HOSTILE = "odd é $HOME 'single' \"double\" %A\nline"


def test_an_array_fills_the_dataset_and_each_task_sees_its_own_gpu(
    cluster: Cluster, tmp_path: Path, tiny_gpt2: Path
) -> None:
    """Dry run, submission, a second submission that submits nothing, and the dataset."""
    folder = tmp_path / HOSTILE
    folder.mkdir()
    user = User(cluster, folder, tiny_gpt2)
    prompts = user.prompts(ROWS, "my $PROMPTS; 'x'.txt")
    user.options = ("--prompts", prompts.name, "--max-new-tokens", 6, "--max-parallel", 4, "--time", "5:00")
    user.options = (*user.options, "--device-map", "cpu", "--max-memory", '{"cpu": "1500MiB"}')

    shown = user.submit("--dry-run", "--setup", "export GREETING='hello'")
    assert shown.code == 0, shown.said
    assert not cluster.states()
    scripts = sorted(user.run.glob("slurm/000001/*.sbatch"))
    assert [script.name for script in scripts] == ["array.sbatch", "last.sbatch"]
    for script in scripts:
        subprocess.run(["bash", "-n", script], check=True)
        assert script.read_text() in shown.said
        assert "export GREETING='hello'" in script.read_text()
    assert shown.said.count("to start at") == 2, shown.said  # the answer of sbatch --test-only

    first = user.submit()
    assert first.code == 0, first.said
    assert "an array of 4 tasks over 4 shards" in first.said
    assert "promptmill status" in first.said
    jobs = set(cluster.run("squeue", "-h", "-o", "%F").split())
    again = user.submit()
    assert again.code == 0, again.said
    assert "an array of 4 tasks over 4 shards" in again.said
    assert set(cluster.run("squeue", "-h", "-o", "%F").split()) == jobs
    user.wait_until_idle(120)

    user.require_dataset(ROWS)
    records = user.records().values()
    places = {(start["node"], start["devices"]) for record in records for start in record["starts"]}
    assert places == {("n1", "0"), ("n1", "1"), ("n2", "0"), ("n2", "1")}
    (placement,) = user.run.glob("placement-*.json")
    assert json.loads(placement.read_text())["options"]["max_memory"] == [["cpu", 1500 << 20]]
    status = user.status()
    assert (status["state"], status["rows"], status["made_again"], status["errors"]) == ("complete", ROWS, 0, [])
    assert json.loads((user.run / "run.json").read_text())["prompts_source"] == str(prompts)
    done = user.submit()
    assert done.code == 0, done.said
    assert "The dataset is complete" in done.said
    assert not cluster.states()
