"""Bad input: one paragraph that says what to do, an exit code of its own, no traceback, nothing lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import build_dataset

CONFIGURATION, ROWS, NOT_FOUND, STORAGE, UNAVAILABLE = 78, 65, 66, 74, 69


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a few prompts files, good and bad."""
    (tmp_path / "good.jsonl").write_text('{"prompt": "Hello"}\n')
    (tmp_path / "broken.jsonl").write_text('{"prompt": "ok"}\n' * 6 + '{"prompt": "torn\n')
    (tmp_path / "columns.csv").write_text("question,answer\nWhy?,Because\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--prompts", "godo.jsonl"], NOT_FOUND, ["no file godo.jsonl", "Did you mean good.jsonl?"]),
        (["--prompts", "columns.csv"], CONFIGURATION, ["question", "answer", "--prompt-column"]),
        (["--prompts", "good.jsonl", "--prompt-column", "promt"], CONFIGURATION, ["promt", "prompt"]),
        (["--prompts", "broken.jsonl"], ROWS, ["broken.jsonl", "line 7"]),
        (["--prompts", "-"], CONFIGURATION, ["standard input", "Save it to a file"]),
        (["--prompts", "good.jsonl", "--template", "{{ nme }}"], ROWS, ["nme"]),
        (["--model", "./nowhere"], NOT_FOUND, ["./nowhere", "no such folder"]),
        (["--model", "empty/"], CONFIGURATION, ["config.json", "save_pretrained"]),
        (["--model", "a/b/c"], CONFIGURATION, ["a/b/c", "owner/name"]),
        (["--model", "nobody/nothing"], UNAVAILABLE, ["does not answer", "HF_ENDPOINT"]),
        (["--quantization", "3bit"], CONFIGURATION, ["--quantization", "3bit", "none, 8bit, 4bit"]),
        (["--top-p", "3"], CONFIGURATION, ["--top-p is 3.0", "up to 1"]),
        (["--top-k", "many"], CONFIGURATION, ["--top-k", "many", "whole number"]),
        (["--batch-size", "0"], CONFIGURATION, ["--batch-size", "auto"]),
        (["--stop", "[1]"], CONFIGURATION, ["--stop", "JSON list"]),
        (["--max-memory", "lots"], CONFIGURATION, ["--max-memory", "lots"]),
        (["--offload", "moon"], CONFIGURATION, ["--offload", "none, cpu, disk"]),
        (["--name", "../up"], CONFIGURATION, ["--name", "'../up'"]),
        (["--data-dir", "file"], STORAGE, ["--data-dir"]),
        (["--publish-to", "me/mine"], 77, ["hf auth login"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_answered_in_a_paragraph(
    folder: Path, tiny_gpt2: Path, options: list[str], code: int, says: list[str]
) -> None:
    """What was wrong, the value, and what to do; the exit code tells the kind."""
    given = {"--model": str(tiny_gpt2), "--prompts": "good.jsonl"}
    for name, value in given.items():
        if name not in options:
            options = [*options, name, value]
    outcome = build_dataset(*options, cwd=folder)
    assert outcome.code == code, outcome.said
    assert all(text in outcome.said for text in says), outcome.said
    assert "Traceback" not in outcome.said
    assert len(outcome.said) < 1500


def test_debug_shows_the_traceback(folder: Path, tiny_gpt2: Path) -> None:
    """For those who want to look into it."""
    outcome = build_dataset("--model", tiny_gpt2, "--prompts", "broken.jsonl", "--log-level", "DEBUG", cwd=folder)
    assert outcome.code == ROWS
    assert "Traceback" in outcome.said


def test_an_unknown_option_is_named(folder: Path) -> None:
    """As every command line does, with code 2."""
    outcome = build_dataset("--temprature", "1", cwd=folder)
    assert outcome.code == 2
    assert "--temprature" in outcome.said


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 88 kB."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=88k", "tmpfs", str(path)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a file system can be mounted by root only: {mounted.stderr.strip()}")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def _remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


def test_a_full_disk_loses_nothing(tmp_path: Path, tiny_gpt2: Path, disk: Path) -> None:
    """The run stops with a sentence, and goes on once there is room, with every chunk as it was."""
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("".join(f"prompt number {number}\n" for number in range(300)))
    options = ("--model", tiny_gpt2, "--prompts", prompts, "--data-dir", "disk", "--max-new-tokens", 60, "--name", "a")
    options = (*options, "--checkpoint-seconds", 0.1)
    full = build_dataset(*options, cwd=tmp_path)
    assert full.code == STORAGE, full.said
    assert "no space left" in full.said
    assert "Traceback" not in full.said
    kept = {path: path.read_bytes() for path in disk.rglob("chunk-*.parquet")}
    _remount(disk, "size=8m")
    assert build_dataset(*options, cwd=tmp_path).code == 0
    assert {path: path.read_bytes() for path in kept} == kept


def test_a_data_folder_that_cannot_be_written_is_named(folder: Path, tiny_gpt2: Path, disk: Path) -> None:
    """Read-only: the path, the reason and the option, before anything is loaded."""
    _remount(disk, "ro")
    outcome = build_dataset("--model", tiny_gpt2, "--prompts", "good.jsonl", "--data-dir", "disk", cwd=folder)
    assert outcome.code == STORAGE, outcome.said
    assert "disk" in outcome.said
    assert "read-only" in outcome.said
    assert "--data-dir" in outcome.said
    assert "Traceback" not in outcome.said


def test_importing_the_workflows_does_not_import_torch() -> None:
    """Help, errors and a finished run answer at once."""
    check = "import sys, workflows; sys.exit(bool({'torch', 'transformers', 'datasets'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", check], check=True)
