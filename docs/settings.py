"""Write the table of settings into README.md: `python docs/settings.py`. A test looks that it is up to date."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tasks.process import set_luigi_defaults
from workflows import BuildDataset

README = Path(__file__).parent.parent / "README.md"
_TABLE = re.compile(r"(?<=\|---\|---\|---\|---\|\n)(?:\| `--[^\n]*\n)+")


def table() -> str:
    """A row a parameter of BuildDataset: what it is for, its default, and whether it changes the dataset."""
    set_luigi_defaults()
    return "".join(_row(name, parameter) for name, parameter in BuildDataset.get_params())


def _row(name: str, parameter: object) -> str:
    description, _, default = str(parameter.description).rpartition("Default: ")  # type: ignore[attr-defined]
    description, default = (description, default) if description else (default, "off.")
    changes = "yes" if parameter.significant and name != "name" else ""  # type: ignore[attr-defined]
    cells = (f"`--{name.replace('_', '-')}`", description.strip().rstrip("."), default.rstrip("."), changes)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    README.write_text(_TABLE.sub(lambda _: table(), text), encoding="utf-8")
    sys.stdout.write(f"{README.name} is up to date\n")
