"""BuildDataset on llama.cpp's server with the demo model, as one has it on a laptop."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptmill.demo import demo_gguf
from promptmill.run import RunFolder, recorded_identity
from tests.command import build_dataset, dataset_table, only_run, rows_of, start
from tests.llama_cpp import llama_cpp

pytestmark = [pytest.mark.long, pytest.mark.demo]
ROWS = 40


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the server is."""
    with llama_cpp(demo_gguf(), tmp_path_factory.mktemp("llama-cpp")) as found:
        yield found


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """Questions, some of them answered in a word and some at length."""
    path = tmp_path / "prompts.jsonl"
    asked = [{"prompt": f"Write {1 + place % 5} sentence(s) about the number {place}."} for place in range(ROWS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in asked))
    return path


def options(url: str, prompts: Path, *more: object) -> list[object]:
    """A chat with the server, committed often."""
    common: list[object] = ["--engine", "endpoint", "--model", "smollm2", "--endpoint-url", url]
    return [*common, "--endpoint-api", "chat", "--prompts", prompts, "--checkpoint-seconds", 0.2, *more]


def test_a_run_is_killed_and_goes_on(tmp_path: Path, prompts: Path, url: str) -> None:
    """Sampled with every setting that the server has; rows that were committed stay as they are."""
    sampled = ("--max-new-tokens", 24, "--top-k", 50, "--min-p", 0.02, "--repetition-penalty", 1.1, "--stop", '["?"]')
    given = options(url, prompts, *sampled)
    process = start(*given, cwd=tmp_path)
    limit = time.monotonic() + 120
    while len(rows_of(tmp_path)) < 5:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < limit
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    kept = rows_of(tmp_path)
    assert len(kept) < ROWS, "the run was complete: make it longer"

    finished = build_dataset(*given, cwd=tmp_path)
    assert finished.code == 0, finished.said
    assert f"Going on: {len(kept)} of {ROWS} rows were already done." in finished.said
    assert {key: rows_of(tmp_path)[key] for key in kept} == kept
    run = only_run(tmp_path / "data")
    table = dataset_table(run).to_pydict()
    assert table["prompt"] == [json.loads(line)["prompt"] for line in prompts.read_text().splitlines()]
    assert set(table["finish_reason"]) <= {"stop", "length"}
    assert not any("?" in response for response in table["response"])
    assert all(1 <= tokens <= 24 for tokens in table["completion_tokens"])
    assert min(table["prompt_tokens"]) > 10
    served = recorded_identity(RunFolder(run)).served
    assert served is not None
    assert served["about"]["owned_by"] == "llamacpp"
    assert "134515008" in json.dumps(served), "llama.cpp tells the model's size"


def test_greedy_rows_come_out_the_same(tmp_path: Path, prompts: Path, url: str) -> None:
    """Asked one at a time, as the server computes otherwise what it computes together."""
    greedy = ("--temperature", 0, "--max-new-tokens", 8, "--limit", 6, "--endpoint-concurrency", 1)
    for folder in ("one", "other"):
        done = build_dataset(*options(url, prompts, *greedy), "--data-dir", folder, cwd=tmp_path)
        assert done.code == 0, done.said
    one, other = (dataset_table(only_run(tmp_path / folder))["response"].to_pylist() for folder in ("one", "other"))
    assert one == other


def test_a_prompt_longer_than_the_context_is_an_error_row(tmp_path: Path, prompts: Path, url: str) -> None:
    """In the server's words; the other rows are as they would be."""
    prompts.write_text(json.dumps({"prompt": "word " * 1500}) + "\n" + prompts.read_text())
    done = build_dataset(*options(url, prompts, "--max-new-tokens", 4, "--limit", 4), cwd=tmp_path)
    assert done.code == 0, done.said
    table = dataset_table(only_run(tmp_path / "data")).to_pydict()
    assert table["finish_reason"][0] == "error"
    assert "context" in table["error"][0]
    assert table["error"][1:] == [None] * 3
