"""What the tests of the prompts stage share: write a file, prepare it, look at the rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from promptmill.prompts import PreparedPrompts, PromptOptions, prepare_prompts, prepared_table

Rows = list[dict[str, Any]]


class Workbench:
    """A folder with sources in it, and the file that they are prepared into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.target = folder / "out" / "prompts.parquet"

    def write(self, name: str, content: str | bytes) -> Path:
        """Put a file into the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def prepare(self, source: str | Path, **options: Any) -> PreparedPrompts:
        """Prepare a source with these options."""
        return prepare_prompts(PromptOptions(str(source), **options), self.target)

    def rows(self, source: str | Path, **options: Any) -> Rows:
        """Prepare a source and read everything back, without the ids."""
        prepared = self.prepare(source, **options)
        table = prepared_table(self.target, 0, prepared.rows)
        return [{key: value for key, value in row.items() if key != "prompt_id"} for row in table.to_pylist()]


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    """An empty workbench."""
    return Workbench(tmp_path)


@pytest.fixture
def prompts_of(bench: Workbench) -> Callable[..., list[str]]:
    """The prompts alone of a file with this name and content."""

    def prompts(name: str, content: str | bytes, **options: Any) -> list[str]:
        return [row["prompt"] for row in bench.rows(bench.write(name, content), **options)]

    return prompts
