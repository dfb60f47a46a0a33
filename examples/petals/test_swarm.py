"""A dataset from a private swarm, one of whose servers is killed in the middle. Run by `make test-petals`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import build_dataset, dataset_table, start
from tests.examples.processes import free_ports, wait_until

HERE = Path(__file__).parent
VENV = Path(os.environ.get("PETALS_VENV", ".venv-petals")).absolute()
PROMPTS = 40
OPTIONS = ("--max-new-tokens", 48, "--temperature", 0, "--prompts", "prompts.jsonl")
COLUMNS = ["prompt_id", "sample_index", "response", "finish_reason", "prompt_tokens", "completion_tokens", "error"]


class Swarm:
    """The processes that swarm.sh starts."""

    def __init__(self, model: Path, folder: Path) -> None:
        self.model, self.folder = model, folder
        self.first, self.second, self.port = free_ports(3)
        self._again: subprocess.Popen[bytes] | None = None
        ports = {"PORT1": str(self.first), "PORT2": str(self.second), "PORT": str(self.port)}
        self._env = {**os.environ, **ports, "PETALS_VENV": str(VENV), "OMP_NUM_THREADS": "1"}
        self._all = subprocess.Popen(
            [HERE / "swarm.sh", model, "4", folder], env=self._env, start_new_session=True, stdout=subprocess.DEVNULL
        )
        wait_until(lambda: self._says("bridge", "The bridge to") and self._says("second", "Started"), "the swarm")

    def kill_second(self) -> None:
        """SIGKILL for one server and its children."""
        os.killpg(int((self.folder / "second.pid").read_text()), signal.SIGKILL)

    def start_second_again(self) -> None:
        """As somebody does who finds that it is gone."""
        command = [VENV / "bin" / "python", "-W", "ignore", HERE / "serve.py", self.model, "--swarm", self.folder]
        with (self.folder / "again.log").open("wb") as log:
            self._again = subprocess.Popen(
                [*command, "--blocks", "2:4", "--port", str(self.second)],
                env=self._env, start_new_session=True, stdout=log, stderr=log,
            )  # fmt: skip
        wait_until(lambda: self._says("again", "Started"), "the second server")

    def end(self) -> None:
        """End all of it."""
        self._all.terminate()
        self._all.wait()
        if self._again is not None:
            os.killpg(self._again.pid, signal.SIGKILL)
            self._again.wait()

    def _says(self, name: str, text: str) -> bool:
        log = self.folder / f"{name}.log"
        said = log.read_text(errors="replace") if log.exists() else ""
        assert "Traceback" not in said, said
        return text in said


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Llama, written with the swarm's own transformers."""
    folder = tmp_path_factory.mktemp("model") / "tiny-llama"
    subprocess.run([VENV / "bin" / "python", "-W", "ignore", HERE / "tiny_model.py", folder], check=True)
    return folder


@pytest.fixture
def swarm(model: Path, tmp_path: Path) -> Iterator[Swarm]:
    """Two servers and the bridge."""
    running = Swarm(model, tmp_path / "swarm")
    yield running
    running.end()


def test_a_swarm_that_loses_a_server_makes_the_same_dataset(model: Path, swarm: Swarm, tmp_path: Path) -> None:
    """Every row once, and each token as this machine alone would make it."""
    prompts = [{"prompt": f"Number {number} of the things to say: "} for number in range(PROMPTS)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    url = f"http://127.0.0.1:{swarm.port}/v1"
    asked = ["--engine", "endpoint", "--endpoint-url", url, "--endpoint-api", "chat", "--model", "tiny-llama", *OPTIONS]
    hasty = ["--endpoint-concurrency", 4, "--checkpoint-seconds", 1, "--endpoint-patience", "20s"]
    run = tmp_path / "data" / "runs" / "swarm"

    interrupted = start(*asked, *hasty, "--name", "swarm", cwd=tmp_path)
    wait_until(lambda: any(run.glob("shards/*/*.parquet")) or interrupted.poll() is not None, "a committed chunk")
    swarm.kill_second()
    said, _ = interrupted.communicate(timeout=300)
    assert interrupted.returncode == 75, said
    assert not (run / "dataset").exists()

    swarm.start_second_again()
    patient = ["--endpoint-concurrency", 4, "--endpoint-patience", "3m"]
    done = build_dataset(*asked, *patient, "--name", "swarm", cwd=tmp_path)
    assert done.code == 0, done.said
    alone = build_dataset("--model", model, "--name", "alone", "--dtype", "float32", *OPTIONS, cwd=tmp_path)
    assert alone.code == 0, alone.said
    made, expected = (
        dataset_table(tmp_path / "data" / "runs" / name).select(COLUMNS).sort_by("prompt_id").to_pylist()
        for name in ("swarm", "alone")
    )
    assert len(made) == PROMPTS
    assert made == expected
