"""Commands answer at once on a login node: what is heavy is imported by what needs it, when it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest
import typer

from promptmill.cli import app

HEAVY = ("torch", "transformers", "datasets", "accelerate", "bitsandbytes", "luigi", "pandas", "altair")
COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
HELP = [["--help"], *([name, "--help"] for name in COMMANDS)]
COMPLETIONS = {
    **{name[:2]: name for name in COMMANDS},
    "chat demo --quant": "--quantization",
    "chat demo --dtype b": "bfloat16",
}
PROBE = f"""
import contextlib, io, json, os, sys
from promptmill.cli import app

for asked in json.loads(sys.argv[1]):
    os.environ.update(asked["environment"])
    out, err, code = io.StringIO(), io.StringIO(), 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            app(asked["arguments"], prog_name="promptmill")
    except SystemExit as end:
        code = end.code
    for name in asked["environment"]:
        del os.environ[name]
    heavy = sorted({set(HEAVY)!r} & set(sys.modules))
    print(json.dumps(dict(code=code, out=out.getvalue(), err=err.getvalue(), heavy=heavy)))
"""
"""What came of each command, and which of the heavy packages the process has imported until then."""


@dataclass(frozen=True)
class Answer:
    """How a command ended, what it said, and the heavy packages that are imported by then."""

    code: int
    out: str
    err: str
    heavy: list[str]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    """Of one fresh Python, asked everything in this order; the last is meant to import what is heavy."""
    folder = tmp_path_factory.mktemp("login-node")
    asked = [(" ".join(words), words, {}) for words in [*HELP, ["status"]]]
    asked += [(typed, [], completing(typed)) for typed in COMPLETIONS]
    asked += [("chat ./nowhere", ["chat", "./nowhere"], {})]
    told = json.dumps([{"arguments": words, "environment": environment} for _, words, environment in asked])
    done = subprocess.run(
        [sys.executable, "-c", PROBE, told],
        cwd=folder,
        env={**os.environ, "HF_HOME": str(folder / "hf-home"), "HF_ENDPOINT": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    lines = done.stdout.splitlines()
    return {name: Answer(**json.loads(line)) for (name, *_), line in zip(asked, lines, strict=True)}


def completing(typed: str) -> dict[str, str]:
    """What bash tells a program that is to complete a line."""
    words = {"COMP_WORDS": f"promptmill {typed}", "COMP_CWORD": str(len(typed.split()))}
    return {"_PROMPTMILL_COMPLETE": "complete_bash", **words}


@pytest.mark.parametrize("name", [" ".join(words) for words in HELP])
def test_help_imports_nothing_heavy(name: str, answers: dict[str, Answer]) -> None:
    """For the program and for each of its commands; and each has an example."""
    answer = answers[name]
    assert (answer.code, answer.err, answer.heavy) == (0, "", [])
    assert "Usage: promptmill" in answer.out
    assert name == "--help" or "Example: promptmill" in " ".join(answer.out.split())


def test_status_imports_nothing_heavy(answers: dict[str, Answer]) -> None:
    """It is asked often, and on a login node."""
    answer = answers["status"]
    assert (answer.code, answer.heavy) == (66, [])
    assert "no run" in answer.err.lower()


@pytest.mark.parametrize(("typed", "completed"), COMPLETIONS.items())
def test_the_shell_completes(typed: str, completed: str, answers: dict[str, Answer]) -> None:
    """Commands, options, and the choices of those that have some; nothing heavy is imported for that either."""
    answer = answers[typed]
    assert completed in answer.out.split()
    assert (answer.code, answer.heavy) == (0, [])


def test_the_probe_sees_heavy_imports(answers: dict[str, Answer]) -> None:
    """A command that loads a model imports torch, so the tests above can fail."""
    assert "torch" in answers["chat ./nowhere"].heavy
