"""Running the program as a user does: a process of its own, on the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.forkserver import Process, start_command


@dataclass(frozen=True)
class Outcome:
    """How a command ended and all that it said."""

    code: int
    said: str


def build_dataset(
    *options: object, cwd: Path, env: dict[str, str] | None = None, timeout: float = 300, local_scheduler: bool = True
) -> Outcome:
    """Run BuildDataset to its end in the folder `cwd`."""
    process = start(*options, cwd=cwd, env=env, local_scheduler=local_scheduler)
    said, _ = process.communicate(timeout=timeout)
    return Outcome(process.returncode, said)


def start(*options: object, cwd: Path, env: dict[str, str] | None = None, local_scheduler: bool = True) -> Process:
    """Start BuildDataset in the folder `cwd` and return at once."""
    words = command(*options)
    if not local_scheduler:
        words.remove("--local-scheduler")
    return start_command(
        words,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def command(*options: object) -> list[str]:
    """The command line of BuildDataset."""
    luigi = [sys.executable, "-m", "luigi", "--module", "workflows", "BuildDataset", "--local-scheduler"]
    return [*luigi, *(str(option) for option in options)]


def only_run(data: Path) -> Path:
    """The folder of the one run below a data folder."""
    (run,) = (data / "runs").iterdir()
    return run


def dataset_table(run: Path) -> pa.Table:
    """All rows of a run's dataset, as any reader of Parquet sees them."""
    return pa.concat_tables(pq.read_table(path) for path in parquet_files(run))


def parquet_files(run: Path) -> list[Path]:
    """The Parquet files of a run's dataset, in order."""
    return sorted((run / "dataset" / "data").glob("*.parquet"))


def committed(run: Path) -> Iterator[tuple[int, int, str]]:
    """Shard, position and response of every row that a run has committed so far."""
    for path in sorted(run.glob("shards/*/chunk-*.parquet")):
        table = pq.read_table(path, columns=["position", "response"])
        for row in table.to_pylist():
            yield int(path.parent.name), row["position"], row["response"]


def rows_of(folder: Path) -> dict[tuple[int, int], str]:
    """The response of every row that is committed in the data folder of `folder`, by shard and position."""
    return {(shard, at): text for run in folder.glob("data/runs/*") for shard, at, text in committed(run)}
