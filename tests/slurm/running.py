"""Submitting and watching runs on the cluster of the tests, as a user does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.command import Outcome, committed, dataset_table, only_run
from tests.endpoint.server import MODEL, WordServer
from tests.forkserver import run_command
from tests.slurm.cluster import Cluster

SCRIPT = Path(__file__).parents[2] / "slurm" / "build_dataset.sbatch"


@dataclass(frozen=True)
class Source:
    """What makes the rows: a model in the jobs themselves, or a server that they ask.

    Attributes:
        at_once: rows that one task has under way.
    """

    model: object
    options: tuple[object, ...] = ()
    at_once: int = 0


def on_cpu(model: Path, *, batch_size: int) -> Source:
    """A model that each task loads."""
    return Source(model, ("--batch-size", batch_size), batch_size)


def on_server(server: WordServer, *, at_once: int) -> Source:
    """A server in the process of the test: a task starts soon, costs little, and goes at the server's pace."""
    where = ("--engine", "endpoint", "--endpoint-url", server.url, "--endpoint-concurrency", at_once)
    return Source(MODEL, (*where, "--gpus-per-task", 0), at_once)


class User:
    """Somebody at the login node, in a folder of their own."""

    def __init__(self, cluster: Cluster, folder: Path, source: Path | Source) -> None:
        self.cluster = cluster
        self.folder = folder
        self.source = source if isinstance(source, Source) else Source(source)
        self.options: tuple[object, ...] = ()

    def prompts(self, rows: int, name: str = "prompts.txt") -> Path:
        """A file of so many different prompts."""
        path = self.folder / name
        path.write_text("".join(f"prompt number {index} é\n" for index in range(rows)), encoding="utf-8")
        return path

    def submit(self, *options: object) -> Outcome:
        """Run SubmitDataset with the usual options and these."""
        command = [sys.executable, "-m", "luigi", "--module", "workflows", "SubmitDataset", "--local-scheduler"]
        source = ("--model", self.source.model, *self.source.options)
        given = [*source, "--partition", "low", *self.options, *options]
        done = run_command(
            [*command, *map(str, given)],
            cwd=self.folder,
            env={**os.environ, **_only_slurm(self.cluster.env)},
            timeout=120,
        )
        return Outcome(done.returncode, done.stdout + done.stderr)

    def submit_script(self, time_limit: str) -> str:
        """Edit a copy of the script for one job as a user would, and submit it; returns the job's number."""
        text = SCRIPT.read_text()
        edits = {
            "--model gpt2": f"--model {self.source.model} --max-new-tokens 16 --checkpoint-seconds 1 --batch-size 4",
            "prompts.jsonl": "prompts.txt",
            # Slurm binds no cores here: one, or the threads of several jobs hinder each other.
            "srun luigi": "srun taskset -c 0 luigi",
            "--mem=32G": "--mem=500",
            "--time=4:00:00": time_limit,
            "--signal=USR2@180": "--signal=USR2@10",
        }
        for old, new in edits.items():
            assert old in text
            text = text.replace(old, new)
        script = self.folder / "my.sbatch"
        script.write_text(text)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, **self.cluster.env, "PATH": path}
        command = ["sbatch", "--parsable", str(script)]
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    @property
    def run(self) -> Path:
        """The folder of the only run."""
        return only_run(self.folder / "data")

    def status(self) -> dict[str, Any]:
        """What `promptmill status --json` says."""
        done = run_command(
            [sys.executable, "-m", "promptmill.cli", "status", str(self.run), "--json"],
            env={**os.environ, **_only_slurm(self.cluster.env)},
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        value: dict[str, Any] = json.loads(done.stdout)
        return value

    def records(self) -> dict[str, Any]:
        """What the array tasks wrote about themselves, by job."""
        return {path.stem: json.loads(path.read_text()) for path in (self.run / "slurm" / "tasks").glob("*.json")}

    def rows_committed(self) -> int:
        """How many rows are on disk."""
        return len(dict.fromkeys((shard, position) for shard, position, _ in committed(self.run)))

    def logs(self) -> str:
        """What all jobs said, for failures."""
        logs = sorted([*self.folder.glob("*.log"), *self.folder.glob("data/runs/*/slurm/logs/*")])
        return "\n".join(f"== {log.name}\n{log.read_text()}" for log in logs)

    def wait_until(self, holds: Callable[[], bool], seconds: float) -> None:
        """Return as soon as it `holds`; shows the logs if it does not in time."""
        try:
            self.cluster.wait_for(holds, seconds)
        except TimeoutError as error:
            raise AssertionError(f"{error}: {self.cluster.states()}\n{self.logs()}") from error

    def wait_until_idle(self, seconds: float) -> None:
        """Return once Slurm has no job left."""
        self.wait_until(lambda: not self.cluster.states(), seconds)

    def require_dataset(self, rows: int) -> None:
        """The dataset is complete: every row once."""
        assert (self.run / "dataset.json").exists(), self.logs()
        table = dataset_table(self.run)
        assert table["prompt"].to_pylist() == [f"prompt number {index} é" for index in range(rows)]
        assert len(set(table["prompt_id"].to_pylist())) == rows


def _only_slurm(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith("SLURM_")}
