"""The examples are sound as far as can be told without the networks that they are for."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*/*.sh"))
MODULES = sorted(EXAMPLES.glob("*/*.py"))
READMES = sorted(EXAMPLES.glob("*/README.md"))


def name_of(path: Path) -> str:
    """For the test's own name."""
    return str(path.relative_to(EXAMPLES))


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_a_script_can_be_parsed(script: Path) -> None:
    """By bash, and it may be run."""
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    assert script.stat().st_mode & 0o111


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_a_script_refuses_what_it_cannot_use(script: Path, tmp_path: Path) -> None:
    """Without its environment, or with the wrong Python, it says what to do."""
    env = {"PATH": "/usr/bin:/bin", "PYTHON": "/bin/false", "PETALS_VENV": "none", "PIPES_VENV": "none"}
    done = subprocess.run([script], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_can_be_parsed(module: Path) -> None:
    """By the Python of the tests."""
    compile(module.read_text(encoding="utf-8"), module, "exec")


@pytest.mark.parametrize("readme", READMES, ids=name_of)
def test_a_readme_names_what_there_is(readme: Path) -> None:
    """The files beside it, targets of make, and options that its own parts or `BuildDataset` have."""
    text = readme.read_text(encoding="utf-8")
    for path in re.findall(r"examples/[\w-]+/[\w.-]+\w", text):
        assert (ROOT / path).exists(), path
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([a-z-]+)`", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    known = (ROOT / "README.md").read_text(encoding="utf-8") + "--local-scheduler --module"
    parts = "".join(
        path.read_text(encoding="utf-8") for path in [*readme.parent.glob("*.py"), *readme.parent.glob("*.sh")]
    )
    options = set(re.findall(r"--[a-z][a-z-]+", text))
    assert [option for option in sorted(options) if option not in known and f'"{option}"' not in parts] == []


def test_versions_are_pinned() -> None:
    """Every line of the requirements names one version."""
    for path in EXAMPLES.glob("*/requirements*.txt"):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        assert lines
        assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
