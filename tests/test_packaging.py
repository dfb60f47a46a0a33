"""What an installation holds, and that it works from anywhere."""

from __future__ import annotations

import configparser
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_package_is_named_in_setup_cfg() -> None:
    """A package that is forgotten there works in the checkout and is missing from an installation."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    named = set(config["options"]["packages"].split())
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("workflows", "tasks", "promptmill")
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert named == found


def test_the_command_works_from_any_folder(tmp_path: Path) -> None:
    """The `luigi` script finds `workflows` by its installation, and takes ours, not another package of that name."""
    luigi = Path(sys.executable).parent / "luigi"
    said = subprocess.run(
        [str(luigi), "--module", "workflows", "BuildDataset", "--help"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "--samples-per-prompt" in said
    where = "import workflows, tasks; print(workflows.__file__, tasks.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert found.split() == [str(ROOT / "workflows" / "__init__.py"), str(ROOT / "tasks" / "__init__.py")]


def test_constraints_pin_every_dependency() -> None:
    """What setup.cfg asks for is pinned to the version that the tests ran on; vLLM chooses its own versions."""
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    required = {
        requirement.split(";")[0].split(">")[0].split("<")[0].split("[")[0].strip().lower().replace("_", "-")
        for requirement in distribution("promptmill").requires or []
        if 'extra == "vllm"' not in requirement
    }
    assert required <= pinned


def test_the_make_targets_are_listed(tmp_path: Path) -> None:
    """`make help`, and `make` alone, name what there is."""
    said = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in ("dataset", "test", "check"):
        assert f"\n{name} " in f"\n{said}"


def test_make_says_what_is_missing(tmp_path: Path) -> None:
    """A Python that is too old, or cannot make environments, gets a sentence and not a trace."""
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    for name, script, says in (
        ("old", 'case "$2" in *version_info*) exit 1;; esac; echo Python 3.8.1', "needs Python 3.10 or later"),
        ("bare", 'case "$2" in *ensurepip*) exit 1;; esac', "python3-venv"),
    ):
        python = tmp_path / name
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
        (tmp_path / "setup.cfg").touch()
        (tmp_path / "constraints.txt").touch()
        outcome = subprocess.run(
            ["make", "dataset", f"PYTHON={python}"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert outcome.returncode != 0
        assert says in outcome.stderr
