"""Real processes, killed at random moments, again and again; then left alone until the dataset is there."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.results import Result
from tests.command import build_dataset, command, committed, dataset_table, only_run, parquet_files
from tests.forkserver import Process, start_command

Place = tuple[int, int]
"""Shard and position of a row."""


@dataclass
class Seen:
    """Every row that was ever committed, and what is wrong with what came later.

    Attributes:
        lost: rows that were committed and are gone, or have another text.
    """

    rows: dict[Place, str] = field(default_factory=dict)
    lost: set[Place] = field(default_factory=set)

    def look(self, data: Path) -> None:
        """Compare with what is on disk now."""
        now = {(shard, at): text for run in data.glob("runs/*") for shard, at, text in committed(run)}
        self.lost |= {place for place, text in self.rows.items() if now.get(place) != text}
        self.rows |= now


Kill = Callable[[Process], None]


def the_process(process: Process) -> None:
    """SIGKILL, as the kernel does when memory runs out."""
    process.kill()


def the_group(process: Process) -> None:
    """SIGKILL to all processes of the job at once, as near to a power cut as a signal comes."""
    os.killpg(process.pid, signal.SIGKILL)


def after_a_warning(process: Process) -> None:
    """SIGTERM, and SIGKILL a second later, as an impatient scheduler does."""
    os.killpg(process.pid, signal.SIGTERM)
    time.sleep(1)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


WAYS: tuple[Kill, ...] = (the_process, the_group, after_a_warning)


def write_prompts(path: Path, rows: int, *, longest: int = 40) -> None:
    """Prompts of random lengths, always the same."""
    chance = random.Random(3)
    texts = ("".join(chance.choices("abcdef ", k=chance.randint(1, longest))) for _ in range(rows))
    path.write_text("".join(json.dumps({"prompt": f"{index} {text}"}) + "\n" for index, text in enumerate(texts)))


def kill_again_and_again(
    folder: Path, options: Sequence[object], *, rows: int, kills: int, name: str, workers: Sequence[int] = (1,)
) -> tuple[Result, list[str]]:
    """Kill a run in turn in each way, compare it with one that was left alone; what is wrong with it.

    Args:
        options: of BuildDataset; the data folders `data` and `calm` are made in `folder`.
        rows: that the dataset will have; more than are made between the kills.
        workers: how many of Luigi's, by turns.
    """
    chance, seen, done, again = random.Random(17), Seen(), 0, 0
    while done < kills:
        number = workers[done % len(workers)]
        process = start_group(*options, "--workers", number, cwd=folder)
        _wait_for_a_moment(process, folder / "data", chance)
        if process.poll() is not None:
            break
        told = rows_told(folder / "data", process.pid)
        before = len(seen.rows)
        WAYS[done % len(WAYS)](process)
        process.wait()
        _end_orphans(process.pid)
        seen.look(folder / "data")
        again += max(0, told - (len(seen.rows) - before))
        done += 1
    finished, calm = _finished(folder, options, "data"), _finished(folder, options, "calm")
    seen.look(folder / "data")
    wrong = [] if done == kills else [f"the run was complete after {done} kills: make it longer"]
    wrong += [f"{len(seen.lost)} committed rows were lost or changed"] if seen.lost else []
    wrong += _differences(finished, calm)
    ids = dataset_table(finished)["prompt_id"].to_pylist()
    missing, doubled = rows - len(set(ids)), len(ids) - len(set(ids))
    return Result(name, done, done + 1, len(ids), len(seen.lost) + missing, doubled, again), wrong


def start_group(*options: object, cwd: Path) -> Process:
    """Start BuildDataset as the head of a process group of its own; what it says goes to a file."""
    with (cwd / "said.log").open("ab") as log:
        return start_command(
            command(*options),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def rows_told(data: Path, process: int) -> int:
    """How many rows a process says that it has made, of the shards that it is at."""
    files = data.glob(f"runs/*/progress/*-{process}.json")
    return sum(json.loads(path.read_text())["rows"] for path in files)


def _finished(folder: Path, options: Sequence[object], data: str) -> Path:
    # In larger batches than between the kills: faster, and the rows are the same.
    outcome = build_dataset(*options, "--batch-size", 32, "--data-dir", data, cwd=folder, timeout=3600)
    assert outcome.code == 0, outcome.said
    return only_run(folder / data)


def _differences(killed: Path, calm: Path) -> list[str]:
    wrong = []
    if not dataset_table(killed).equals(dataset_table(calm)):
        wrong.append("the rows differ from those of a run that was left alone")
    elif [path.read_bytes() for path in parquet_files(killed)] != [path.read_bytes() for path in parquet_files(calm)]:
        wrong.append("the files differ from those of a run that was left alone")
    if any(killed.rglob("*.corrupt*")):
        wrong.append("a kill left a damaged file")
    return wrong


def _wait_for_a_moment(process: Process, data: Path, chance: random.Random) -> None:
    """A random moment: now and then while it starts, else while it generates."""
    if chance.random() < 0.25:
        time.sleep(chance.uniform(0, 4))
        return
    before = _chunks(data)
    wait_until(lambda: _chunks(data) > before, process)
    time.sleep(chance.uniform(0, 0.4))


def wait_until(condition: Callable[[], bool], process: Process) -> None:
    """Wait until the condition holds or the process has ended."""
    limit = time.monotonic() + 300
    while not condition() and process.poll() is None:
        assert time.monotonic() < limit, "waited five minutes in vain"
        time.sleep(0.01)


def _chunks(data: Path) -> int:
    return sum(1 for _ in data.glob("runs/*/shards/*/chunk-*.parquet"))


def _end_orphans(group: int) -> None:
    """The children of a parent that was killed alone: Luigi's end by themselves, in their own time."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
