"""A run that is killed, again and again, ends in the dataset of one that was left alone."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import build_dataset, committed, dataset_table, only_run, parquet_files, start

ROWS = 300
KILLS = 20


@pytest.fixture
def options(tmp_path: Path, slow_gpt2: Path) -> list[object]:
    """A run of a few hundred rows in two shards, committed five times a second."""
    prompts = tmp_path / "prompts.jsonl"
    chance = random.Random(3)
    texts = ("".join(chance.choices("abcdef ", k=chance.randint(1, 40))) for _ in range(ROWS))
    prompts.write_text("".join(json.dumps({"prompt": f"{index} {text}"}) + "\n" for index, text in enumerate(texts)))
    return ["--model", slow_gpt2, "--prompts", prompts, "--max-new-tokens", 48, "--checkpoint-seconds", 0.2]


def test_twenty_kills_lose_and_double_nothing(tmp_path: Path, options: list[object]) -> None:
    """Every committed row stays as it was, and the dataset is that of a run without a kill, byte for byte."""
    chance = random.Random(17)
    seen: dict[tuple[int, int], str] = {}
    kills = 0
    while kills < KILLS:
        process = start(*options, "--batch-size", 2, cwd=tmp_path)
        _wait_for_a_moment(process, tmp_path, len(seen), chance)
        if process.poll() is not None:
            break
        process.kill()
        process.communicate()
        kills += 1
        _remember(tmp_path, seen)
    assert kills == KILLS, f"the run was complete after {kills} kills: make it longer"
    assert 0 < len(seen) < ROWS
    finished = build_dataset(*options, "--batch-size", 2, cwd=tmp_path)
    assert finished.code == 0, finished.said
    assert f"{len(seen)} of {ROWS} rows were already done" in finished.said or len(seen) < ROWS // 2
    _remember(tmp_path, seen)

    calm = build_dataset(*options, "--data-dir", "calm", cwd=tmp_path)
    assert calm.code == 0, calm.said
    killed_run, calm_run = only_run(tmp_path / "data"), only_run(tmp_path / "calm")
    assert dataset_table(killed_run)["prompt_id"].to_pylist() == sorted(set(_ids(calm_run)))
    assert dataset_table(killed_run).equals(dataset_table(calm_run))
    assert [path.read_bytes() for path in parquet_files(killed_run)] == [
        path.read_bytes() for path in parquet_files(calm_run)
    ]
    assert not list(killed_run.rglob("*.corrupt*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR2])
def test_a_signal_keeps_the_finished_rows(tmp_path: Path, options: list[object], number: signal.Signals) -> None:
    """The process ends within ten seconds with 75, and what it had finished is committed."""
    options = [*options, "--checkpoint-seconds", 3600, "--batch-size", 4, "--max-new-tokens", 20]
    process = start(*options, cwd=tmp_path)
    _wait_until(lambda: any(_rows_told(tmp_path)), process)
    assert list(committed(only_run(tmp_path / "data"))) == []
    told = time.monotonic()
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert time.monotonic() - told < 10
    assert process.returncode == 75, said
    assert "the finished rows are committed" in said
    assert "Traceback" not in said
    assert len(list(committed(only_run(tmp_path / "data")))) > 0


def test_a_signal_to_a_run_with_workers_stops_all_of_them(tmp_path: Path, options: list[object]) -> None:
    """Slurm and terminals signal the whole group; the parent's code is 75 and rows of both shards are kept."""
    options = [*options, "--checkpoint-seconds", 3600, "--batch-size", 4, "--max-new-tokens", 20, "--workers", 2]
    process = start(*options, cwd=tmp_path)
    _wait_until(lambda: len([rows for rows in _rows_told(tmp_path) if rows]) == 2, process)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 75, said
    assert {shard for shard, _, _ in committed(only_run(tmp_path / "data"))} == {0, 1}


def _wait_for_a_moment(process: subprocess.Popen[str], folder: Path, seen: int, chance: random.Random) -> None:
    """A random moment: now and then while it starts, else while it generates."""
    if chance.random() < 0.25:
        time.sleep(chance.uniform(0, 4))
        return
    _wait_until(lambda: _count(folder) > seen, process)
    time.sleep(chance.uniform(0, 0.4))


def _wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + 120
    while not condition() and process.poll() is None:
        assert time.monotonic() < limit, "waited two minutes in vain"
        time.sleep(0.01)


def _rows_told(folder: Path) -> list[int]:
    """How many rows each process says that it has made."""
    return [json.loads(path.read_text())["rows"] for path in folder.glob("data/runs/*/progress/*.json")]


def _count(folder: Path) -> int:
    return len({(shard, position) for run in folder.glob("data/runs/*") for shard, position, _ in committed(run)})


def _remember(folder: Path, seen: dict[tuple[int, int], str]) -> None:
    """Every row that was ever committed still has the same text."""
    now = {(shard, at): text for run in folder.glob("data/runs/*") for shard, at, text in committed(run)}
    assert {key: now[key] for key in seen} == seen
    seen.update(now)


def _ids(run: Path) -> list[str]:
    ids: list[str] = dataset_table(run)["prompt_id"].to_pylist()
    return ids
