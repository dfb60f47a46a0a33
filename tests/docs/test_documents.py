"""What the documents say is true."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/*/README.md"),
        ROOT / "benchmarks" / "README.md",
    ]
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link is a file of the repository."""
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_are_finished(document: Path) -> None:
    """No placeholder is left."""
    assert not re.search(r"@@|TODO|FIXME|TBD", document.read_text(encoding="utf-8"))


def test_the_table_of_settings_is_up_to_date(tmp_path: Path) -> None:
    """README.md has what `python docs/settings.py` would write, so no option is missing or described wrongly."""
    table = "import sys; sys.path.insert(0, 'docs'); import settings; print(settings.table(), end='')"
    made = subprocess.run([sys.executable, "-c", table], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert made in (ROOT / "README.md").read_text(encoding="utf-8")
    assert made.count("\n") > 25


def test_folders_in_the_readme_are_there() -> None:
    """The annotated tree names no folder that does not exist."""
    tree = (ROOT / "README.md").read_text(encoding="utf-8").split("## What is where")[1].split("`make help`")[0]
    names = re.findall(r"^    (\w+)/ ", tree, re.MULTILINE)
    assert len(names) > 6
    assert all((ROOT / name).is_dir() for name in names)
