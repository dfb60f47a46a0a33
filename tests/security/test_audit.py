"""`make audit` tells of vulnerabilities where it can ask, and says so where it cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import fake_program

AUDIT = Path(__file__).parents[2] / ".ci" / "audit.py"
SOUND: dict[str, Any] = {"name": "sound", "version": "1", "vulns": []}
BAD: dict[str, Any] = {"name": "bad", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}
UNKNOWN: dict[str, Any] = {"name": "unknown", "skip_reason": "Dependency not found"}


def audit(environment: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the audit with the pip-audit of an environment."""
    return subprocess.run(
        [sys.executable, str(AUDIT), "--environment", str(environment)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("found", "code", "says"),
    [
        ([SOUND, SOUND], 0, "0 known vulnerabilities in 2 pinned libraries."),
        ([SOUND, BAD], 1, "bad 1: CVE-1, fixed in 2\n1 known vulnerabilities in 2 pinned libraries."),
        ([SOUND, UNKNOWN], 0, "Not looked up: unknown\n0 known vulnerabilities in 1 pinned libraries."),
        ([UNKNOWN], 0, "Skipped: the database of vulnerabilities knows none of the libraries (Dependency not found)."),
        (None, 0, "Skipped: the database of vulnerabilities could not be asked (no network)."),
    ],
)
def test_what_was_found_is_told(found: list[dict[str, Any]] | None, code: int, says: str, tmp_path: Path) -> None:
    """A vulnerability is a failure; a database that does not answer is none, and is not taken for a clean bill."""
    (tmp_path / "bin").mkdir()
    answer = json.dumps({"dependencies": found})
    write = "true" if found is None else f'while [ "$1" != --output ]; do shift; done; printf %s \'{answer}\' > "$2"'
    fake_program(tmp_path / "bin", "pip-audit", f"{write}; echo 'no network' >&2; exit 1")
    done = audit(tmp_path)
    assert done.stdout.startswith(says), done.stdout
    assert done.returncode == code


@pytest.mark.long
def test_without_internet_it_is_skipped_with_a_word(tmp_path: Path) -> None:
    """pip-audit cannot even be installed."""
    nowhere = "http://127.0.0.1:9/simple"
    done = audit(
        tmp_path / "audit", PIP_INDEX_URL=nowhere, PIP_RETRIES="0", PIP_NO_CACHE_DIR="1", PIP_EXTRA_INDEX_URL=""
    )
    assert done.returncode == 0
    assert done.stdout.startswith("Skipped: pip-audit could not be installed (")
    assert "make audit" in done.stdout
