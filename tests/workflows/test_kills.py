"""A run that is killed, again and again, ends in the dataset of one that was left alone."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tests.chaos.kills import WAYS, kill_again_and_again, wait_until, write_prompts
from tests.command import committed, only_run, start

ROWS = 300


@pytest.fixture
def options(tmp_path: Path, slow_gpt2: Path) -> list[object]:
    """A run of a few hundred rows in two shards, committed five times a second."""
    prompts = tmp_path / "prompts.jsonl"
    write_prompts(prompts, ROWS)
    return ["--model", slow_gpt2, "--prompts", prompts, "--max-new-tokens", 48, "--checkpoint-seconds", 0.2]


@pytest.mark.parametrize(("kills", "tokens"), [(len(WAYS), 12), pytest.param(20, 48, marks=pytest.mark.long)])
def test_kills_lose_and_double_nothing(tmp_path: Path, options: list[object], kills: int, tokens: int) -> None:
    """One process, its whole group, and children of Luigi's with a warning: the dataset is that of a calm run.

    The more kills, the longer the rows: some have to be left when it was killed for the last time.
    """
    options = [*options, "--max-new-tokens", tokens, "--batch-size", 2]
    result, wrong = kill_again_and_again(tmp_path, options, rows=ROWS, kills=kills, name="kills", workers=(1, 1, 2))
    assert wrong == []
    assert (result.faults, result.rows, result.lost, result.doubled) == (kills, ROWS, 0, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_keeps_the_finished_rows(tmp_path: Path, options: list[object], number: signal.Signals) -> None:
    """The process ends within ten seconds with 75, and what it had finished is committed.

    That Slurm's SIGUSR2 does what these do is in tests/test_stopping.py.
    """
    options = [*options, "--checkpoint-seconds", 3600, "--batch-size", 4, "--max-new-tokens", 20]
    process = start(*options, cwd=tmp_path)
    wait_until(lambda: any(_rows_told(tmp_path)), process)
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
    wait_until(lambda: len([rows for rows in _rows_told(tmp_path) if rows]) == 2, process)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 75, said
    assert {shard for shard, _, _ in committed(only_run(tmp_path / "data"))} == {0, 1}


def test_children_end_with_a_parent_that_is_killed(tmp_path: Path, options: list[object]) -> None:
    """They hear of it, commit what they have, and hold nothing any more."""
    options = [*options, "--checkpoint-seconds", 3600, "--batch-size", 4, "--max-new-tokens", 20, "--workers", 2]
    process = start(*options, cwd=tmp_path)
    wait_until(lambda: len([rows for rows in _rows_told(tmp_path) if rows]) == 2, process)
    process.kill()
    said, _ = process.communicate(timeout=60)  # the children have this pipe open as long as they are there
    assert process.returncode == -signal.SIGKILL
    assert said.count("finishing the forward pass under way") == 2, said
    assert {shard for shard, _, _ in committed(only_run(tmp_path / "data"))} == {0, 1}
    assert len(list(committed(only_run(tmp_path / "data")))) < ROWS


def _rows_told(folder: Path) -> list[int]:
    """How many rows each process says that it has made."""
    return [json.loads(path.read_text())["rows"] for path in folder.glob("data/runs/*/progress/*.json")]
