"""Clocks that jump, time zones that change, and libraries that are replaced in the course of a run."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from promptmill.engine.transformers import TransformersEngine
from promptmill.generate import PromptForm
from promptmill.prompts import read_prepared
from promptmill.run import RunFolder
from promptmill.sampling import SamplingParameters
from tests.command import build_dataset, committed, dataset_table, only_run, start
from tests.fakes import fake_clock, fake_version
from tests.forkserver import Process, run_command

HOUR = 3600
ROWS = 300


@pytest.mark.long
def test_a_run_in_which_the_clock_jumps_is_that_of_a_calm_clock(tmp_path: Path, slow_gpt2: Path) -> None:
    """Forward and back by hours while it generates, killed, gone on with in another time zone and other libraries.

    Rows are committed as ever after each jump, no duration that is told is out of all reason, and the
    rows are those that the engine makes without all that; the card names both versions.
    """
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("".join(f"{index} bottles\n" for index in range(ROWS)))
    options = ["--model", slow_gpt2, "--prompts", prompts, "--max-new-tokens", 40, "--checkpoint-seconds", 0.2]
    modules = tmp_path / "modules"
    modules.mkdir()
    ahead = fake_clock(modules)
    environment = {"PYTHONPATH": f"{modules}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}

    process = start(*options, "--batch-size", 1, cwd=tmp_path, env={**environment, "TZ": "Asia/Tokyo"})
    for jump in (0, HOUR, -HOUR):
        ahead.write_text(str(jump))
        _wait_for_commits(process, tmp_path, 3)
    run = only_run(tmp_path / "data")
    _wait(process, lambda: abs(_updated(run) - (time.time() - HOUR)) < HOUR / 2)
    status = _status(run, environment)
    process.kill()
    process.communicate()
    assert status["state"] == "running"
    (rate,) = status["processes"]
    assert rate["rows_per_second"] < 200
    assert 0 <= rate["quiet_seconds"] < HOUR
    kept = len(list(committed(run)))
    assert 0 < kept < ROWS

    ahead.write_text(str(-5 * HOUR))
    fake_version(modules, "datasets", "4.99.1")
    finished = build_dataset(*options, cwd=tmp_path, env={**environment, "TZ": "America/New_York"})
    assert finished.code == 0, finished.said
    assert "begun with other libraries than are here: datasets 4.99.1 and" in finished.said
    table = dataset_table(run)
    assert table["prompt"].to_pylist() == [f"{index} bottles" for index in range(ROWS)]
    assert table["response"].to_pylist() == _calm(run, slow_gpt2)
    assert "made with the same versions: datasets 4.99.1 and" in (run / "dataset" / "README.md").read_text()
    for history in run.glob("progress/*.jsonl"):
        times = [json.loads(line)["at"] for line in history.read_text().splitlines()]
        assert all(0 <= after - before < HOUR / 2 for before, after in pairwise(times))
    assert (run / "report.html").exists()


def _calm(run: Path, folder: Path) -> list[str]:
    """The responses that the engine makes of the run's prompts in one go."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    engine = TransformersEngine(model, tokenizer, SamplingParameters(max_new_tokens=40))
    form = PromptForm(chat=False, system_prompt=None, samples=1, run_seed=0)
    requests = form.requests(read_prepared(RunFolder(run).prompts_table, 0, ROWS))
    responses = {one.position: one.response for one in engine.generate(requests, lambda: False)}
    return [responses[position] for position in range(ROWS)]


def _wait_for_commits(process: Process, folder: Path, count: int) -> None:
    """Until so many more chunks are there."""
    enough = _chunks(folder) + count
    _wait(process, lambda: _chunks(folder) >= enough)


def _wait(process: Process, condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < limit, "waited two minutes in vain"
        time.sleep(0.02)


def _updated(run: Path) -> float:
    (file,) = run.glob("progress/*.json")
    return float(json.loads(file.read_text())["updated"])


def _chunks(folder: Path) -> int:
    return len(list(folder.glob("data/runs/*/shards/*/chunk-*.parquet")))


def _status(run: Path, environment: dict[str, str]) -> dict[str, object]:
    command = [sys.executable, "-m", "promptmill.cli", "status", str(run), "--json"]
    told = run_command(command, env={**os.environ, **environment}, check=True)
    status: dict[str, object] = json.loads(told.stdout)
    return status
