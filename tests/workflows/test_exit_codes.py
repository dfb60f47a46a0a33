"""How a process ends is told by its code, with and without a luigi.cfg."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from promptmill import errors
from promptmill.errors import PromptmillError

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("config", [False, True], ids=["no luigi.cfg", "luigi.cfg"])
@pytest.mark.parametrize(
    ("task", "options", "code"),
    [
        ("Surprise", [], 1),
        ("Downstream", [], 1),
        ("Yielding", [], 1),
        ("Lazy", [], 1),
        ("Expected", [], 70),
        ("Expected", ["--workers", "2"], 1),
    ],
    ids=str,
)
def test_a_failure_is_never_zero(tmp_path: Path, config: bool, task: str, options: list[str], code: int) -> None:
    """Luigi's own default would be 0 even for a failed task."""
    if config:
        (tmp_path / "luigi.cfg").write_text((ROOT / "luigi.cfg").read_text())
    command = [
        sys.executable,
        "-m",
        "luigi",
        "--module",
        "tests.workflows.failing",
        task,
        "--local-scheduler",
        *options,
    ]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    outcome = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert outcome.returncode == code, outcome.stderr
    says = dict.fromkeys(("Surprise", "Downstream", "Yielding"), "ZeroDivisionError")
    says |= {"Lazy": "still returning false", "Expected": "The engine is on fire."}
    assert says[task] in outcome.stderr
    assert ("Traceback" in outcome.stderr) == (task != "Expected")


def test_a_failure_is_never_zero_where_luigi_reads_toml(tmp_path: Path) -> None:
    """The other of Luigi's two kinds of configuration gets the same codes."""
    # What Luigi reads TOML with is no dependency of ours: the standard library's own in its place.
    (tmp_path / "toml.py").write_text("import tomllib\n\ndef load(path):\n    return tomllib.load(open(path, 'rb'))\n")
    (tmp_path / "luigi.toml").write_text('[core]\nlog_level = "INFO"\n')
    command = [sys.executable, "-m", "luigi", "--module", "tests.workflows.failing", "Downstream", "--local-scheduler"]
    environment = {"PYTHONPATH": f"{ROOT}:{tmp_path}", "PATH": "/usr/bin:/bin", "LUIGI_CONFIG_PARSER": "toml"}
    outcome = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert outcome.returncode == 1, outcome.stderr


def test_every_error_has_a_code_of_its_own_that_the_readme_explains() -> None:
    """A batch script can tell them apart."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PromptmillError)]
    codes = [kind.exit_code for kind in kinds]
    assert len(set(codes)) == len(codes)
    readme = (ROOT / "README.md").read_text()
    assert all(f"\n| {code} |" in readme for code in codes)
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in kinds)
