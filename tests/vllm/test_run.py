"""BuildDataset with vLLM, as a user runs it: a process of its own, killed and started again."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from promptmill.files import read_json
from tests.command import build_dataset, committed, dataset_table, only_run, start

ROWS = 240


@pytest.fixture
def options(tmp_path: Path, tiny_llama: Path) -> list[object]:
    """A run of some rows, committed all the time."""
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"{index} and so on"}) + "\n" for index in range(ROWS)))
    return ["--model", tiny_llama, "--prompts", prompts, "--max-new-tokens", 40, "--checkpoint-seconds", 0]


def test_a_killed_run_ends_as_one_that_was_left_alone(tmp_path: Path, options: list[object]) -> None:
    """After a SIGKILL no committed row changes, and the dataset is complete and the same."""
    process = start("--engine", "vllm", *options, "--batch-size", 2, cwd=tmp_path)
    _wait_until(lambda: any(_committed(tmp_path / "data")), process)
    process.kill()
    said, _ = process.communicate()
    before = _committed(tmp_path / "data")
    assert 0 < len(before) < ROWS, said

    finished = build_dataset("--engine", "vllm", *options, cwd=tmp_path)
    assert finished.code == 0, finished.said
    after = _committed(tmp_path / "data")
    assert len(after) == ROWS
    assert before.items() <= after.items()
    run = only_run(tmp_path / "data")
    assert dataset_table(run)["prompt_id"].to_pylist() == sorted(set(dataset_table(run)["prompt_id"].to_pylist()))
    assert "vllm" in (run / "dataset" / "README.md").read_text()
    assert read_json(next(run.glob("placement-*.json")))["measured"]["tokens_per_second"] > 0

    calm = build_dataset("--engine", "vllm", *options, "--data-dir", "calm", cwd=tmp_path)
    assert calm.code == 0, calm.said
    assert dataset_table(only_run(tmp_path / "calm")).equals(dataset_table(run))


def test_a_signal_keeps_the_finished_rows(tmp_path: Path, options: list[object]) -> None:
    """Between two steps of vLLM's it stops, commits and ends with 75."""
    process = start("--engine", "vllm", *options, "--batch-size", 2, "--checkpoint-seconds", 3600, cwd=tmp_path)
    _wait_until(lambda: any(_rows_told(tmp_path)), process)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 75, said
    assert "the finished rows are committed" in said
    assert 0 < len(_committed(tmp_path / "data")) < ROWS


def test_a_run_of_another_engine_is_refused(tmp_path: Path, options: list[object]) -> None:
    """The engine is in the fingerprint: the same rows from another engine would be other rows."""
    own = [*options, "--name", "one", "--limit", 3]
    assert build_dataset(*own, cwd=tmp_path).code == 0
    refused = build_dataset(*own, "--engine", "vllm", cwd=tmp_path)
    assert refused.code == 78
    assert 'engine: "transformers" → "vllm"' in refused.said


def test_greedy_rows_are_those_of_transformers(tmp_path: Path, options: list[object]) -> None:
    """Chat template, tokens, ends and texts are the same."""
    own = [*options, "--temperature", 0, "--limit", 20]
    texts = []
    for engine in ("transformers", "vllm"):
        outcome = build_dataset(*own, "--engine", engine, "--data-dir", engine, cwd=tmp_path)
        assert outcome.code == 0, outcome.said
        table = dataset_table(only_run(tmp_path / engine))
        texts.append(table.select(["prompt_id", "response", "finish_reason", "prompt_tokens", "completion_tokens"]))
    assert texts[0].equals(texts[1])


def _wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + 300
    while not condition() and process.poll() is None:
        assert time.monotonic() < limit, "waited five minutes in vain"
        time.sleep(0.01)


def _rows_told(folder: Path) -> list[int]:
    """How many rows each process says that it has made."""
    return [json.loads(path.read_text())["rows"] for path in folder.glob("data/runs/*/progress/*.json")]


def _committed(data: Path) -> dict[tuple[int, int], str]:
    return {(shard, at): text for run in data.glob("runs/*") for shard, at, text in committed(run)}
