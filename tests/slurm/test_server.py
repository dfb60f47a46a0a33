"""A model's server in a job of its own, and an array that asks it: the server is sent away and comes back elsewhere."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from promptmill.demo import demo_gguf
from tests.slurm.cluster import Cluster
from tests.slurm.running import Source, User

ROWS = 256
REPOSITORY = Path(__file__).parents[2]


@pytest.mark.demo
@pytest.mark.long
def test_an_array_waits_for_its_server(cluster: Cluster, tmp_path: Path) -> None:
    """llama.cpp's server; submitted before it is up, and requeued when some rows are committed."""
    url = tmp_path / "server-url"
    serve = shlex.join([sys.executable, "-m", "tests.llama_cpp", str(demo_gguf()), str(url)])
    place = ("-p", "low", "-J", "server", "--requeue", "--open-mode=append", "-D", str(REPOSITORY))
    server = cluster.run("sbatch", "--parsable", *place, "-o", str(tmp_path / "server.log"), f"--wrap=exec {serve}")
    user = User(cluster, tmp_path, Source("smollm2"))
    user.prompts(ROWS)
    user.options = ("--engine", "endpoint", "--endpoint-url", f"@{url}", "--endpoint-api", "chat")
    user.options = (*user.options, "--gpus-per-task", 0, "--max-parallel", 2, "--time", "10:00")
    submitted = user.submit("--prompts", "prompts.txt", "--max-new-tokens", 8, "--checkpoint-seconds", 1)
    assert submitted.code == 0, submitted.said

    user.wait_until(lambda: user.rows_committed() > 10, 120)
    before = url.read_text()
    cluster.run("scontrol", "requeue", server)
    assert user.rows_committed() < ROWS, "the run was over before the server went: make it longer"
    user.wait_until(lambda: cluster.states().get(server) == "PENDING", 60)
    kept = {path: path.read_bytes() for path in user.run.glob("shards/*/chunk-*.parquet")}
    user.wait_until(lambda: "No good answer" in user.logs(), 60)
    user.wait_until(lambda: _is_back(cluster, server), 60)
    user.wait_until(lambda: set(cluster.states()) == {server}, 180)
    assert url.read_text() != before

    user.require_dataset(ROWS)
    assert {path: path.read_bytes() for path in kept} == kept
    status = user.status()
    assert (status["state"], status["rows"], status["made_again"], status["restarts"]) == ("complete", ROWS, 0, 0)
    assert len(user.records()) == 2


def _is_back(cluster: Cluster, job: str) -> bool:
    """Whether it runs; until then its start is pulled forward."""
    cluster.start_pending_now()
    return cluster.states().get(job) == "RUNNING"
