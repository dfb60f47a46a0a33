"""Commands answer at once on a login node: what is heavy is imported by what needs it, when it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from promptmill.cli import app

HEAVY = ("torch", "transformers", "datasets", "accelerate", "bitsandbytes", "luigi", "pandas", "altair")
COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
PROBE = f"""
import sys
from promptmill.cli import app
try:
    app(sys.argv[1:], prog_name="promptmill")
finally:
    sys.stderr.write(" ".join(sorted({set(HEAVY)!r} & set(sys.modules))))
"""


def heavy_imports(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a fresh Python; what it imported of the heavy packages is on standard error."""
    return subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_imports_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    """For the program and for each of its commands; and each has an example."""
    done = heavy_imports(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: promptmill" in done.stdout
    assert arguments == ["--help"] or "Example: promptmill" in " ".join(done.stdout.split())


def test_status_imports_nothing_heavy(tmp_path: Path) -> None:
    """It is asked often, and on a login node."""
    done = heavy_imports("status", cwd=tmp_path)
    assert done.returncode == 66
    assert "no run" in done.stderr.lower()
    assert not any(done.stderr.endswith(name) for name in HEAVY)


def test_the_probe_sees_heavy_imports(tmp_path: Path) -> None:
    """A command that loads a model imports torch, so the tests above can fail."""
    done = heavy_imports("chat", "./nowhere", cwd=tmp_path)
    assert "torch" in done.stderr.split()


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        *((name[:2], name) for name in COMMANDS),
        ("chat demo --quant", "--quantization"),
        ("chat demo --dtype b", "bfloat16"),
    ],
)
def test_the_shell_completes(typed: str, completed: str, tmp_path: Path) -> None:
    """Commands, options, and the choices of those that have some."""
    done = subprocess.run(
        [sys.executable, "-c", 'from promptmill.cli import app; app(prog_name="promptmill")'],
        cwd=tmp_path,
        env={
            **os.environ,
            "_PROMPTMILL_COMPLETE": "complete_bash",
            "COMP_WORDS": f"promptmill {typed}",
            "COMP_CWORD": str(len(typed.split())),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert completed in done.stdout.split()
