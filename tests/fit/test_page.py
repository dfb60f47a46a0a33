"""docs/fit.md shows what the command says."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.forkserver import run_command
from tests.placing.models import CONFIGS

PAGE = (Path(__file__).parents[2] / "docs" / "fit.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("promptmill")
]


def run(*options: str, cwd: Path) -> str:
    """What the command says, without spaces at the ends of lines."""
    words = [sys.executable, "-m", "promptmill.cli", *options]
    done = run_command(words, cwd=cwd, timeout=120)
    assert done.returncode == 0, done.stderr
    return "\n".join(line.rstrip() for line in done.stdout.splitlines())


def test_the_tables_are_what_is_said(tmp_path: Path) -> None:
    """To the last digit."""
    shown = re.findall(r"```\n(Memory.*?)\n```", PAGE, re.DOTALL)
    said = run("fit", str(CONFIGS / "llama-2-7b.json"), "--gpu", "T4:6", "--gpu", "RTX 6000:2", cwd=tmp_path)
    assert len(shown) == 1
    assert shown[0] in said


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_runs(command: str, tmp_path: Path) -> None:
    """As it stands there."""
    (tmp_path / "prompts.jsonl").write_text(json.dumps({"prompt": "hello"}) + "\n")
    assert run(*shlex.split(command, comments=True)[1:], cwd=tmp_path)
