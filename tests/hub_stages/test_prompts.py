"""Datasets of the Hub as prompts: configs, splits and revisions."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from tests.forkserver import run_command
from tests.hub import HubServer

CONFIGS = """---
configs:
- config_name: easy
  data_files: [{split: train, path: easy/train.jsonl}, {split: test, path: easy/test.jsonl}]
- config_name: hard
  data_files: [{split: only, path: hard.jsonl}]
---
"""
FILES = {
    "README.md": CONFIGS,
    "easy/train.jsonl": '{"prompt": "easy train"}\n',
    "easy/test.jsonl": '{"prompt": "easy test"}\n',
    "hard.jsonl": '{"prompt": "hard"}\n',
}
PREPARE = """
import json, sys
from pathlib import Path
from promptmill.errors import PromptmillError
from promptmill.prompts import PromptOptions, prepare_prompts, prepared_table
said = []
for source in sys.argv[2:]:
    try:
        rows = prepare_prompts(PromptOptions(source), Path(sys.argv[1])).rows
        said.append(prepared_table(Path(sys.argv[1]), 0, rows)["prompt"].to_pylist())
    except PromptmillError as error:
        said.append([error.exit_code, str(error)])
print(json.dumps(said))
"""


@pytest.fixture
def environment(hub: HubServer, tmp_path: Path) -> dict[str, str]:
    """A user of the hub without an account, in a home of their own."""
    return {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_TELEMETRY": "1"}


def prepared(environment: dict[str, str], folder: Path, *sources: str) -> list[list[object]]:
    """The prompts of each source, or exit code and message; in one process, as importing datasets takes seconds."""
    done = run_command(
        [sys.executable, "-c", PREPARE, str(folder / "prompts.parquet"), *sources], env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    said: list[list[object]] = json.loads(done.stdout)
    return said


def test_configs_splits_and_revisions_are_read(hub: HubServer, environment: dict[str, str], tmp_path: Path) -> None:
    """What is not named is taken where there is one only; else the message has the names, and a command that works."""
    first = hub.add_dataset("me/tasks", {**FILES, "hard.jsonl": '{"prompt": "first"}\n'})
    hub.commit("me/tasks", {"hard.jsonl": FILES["hard.jsonl"]}, kind="dataset")
    right = {
        "me/tasks:easy:test": ["easy test"],
        "me/tasks:hard": ["hard"],
        f"me/tasks@{first}:hard": ["first"],
    }
    wrong = {
        "me/tasks@main:train": ("needs the name of a config; its configs are easy, hard", "me/tasks@main:easy:train"),
        "me/tasks:hard:test": ("config hard of the dataset me/tasks has no split test", "me/tasks:hard:only"),
    }
    proposed = [source for _, source in wrong.values()]
    said = prepared(environment, tmp_path, *right, *wrong, *proposed)
    assert said[: len(right)] == list(right.values())
    for (message, source), (code, text) in zip(wrong.values(), said[len(right) :], strict=False):
        assert code == 78
        assert message in str(text)
        assert shlex.split(str(text).split("Name one: ")[1]) == ["--prompts", source]
    assert said[len(right) + len(wrong) :] == [["easy train"], ["hard"]]
