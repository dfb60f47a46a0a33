"""The commands in the documents, as a reader would copy them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"(?:^<!-- (?P<note>.+?) -->\n)?^```sh\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_ENDS = re.compile(r"ends with (\d+)")


@dataclass(frozen=True)
class Block:
    """Lines of a document that a shell runs, and what the comment above them says of that.

    Attributes:
        note: `not run here: REASON`, `with Slurm`, `after a run` (called NAME), `ends with CODE`; None for a
            block that runs as it is.
    """

    text: str
    note: str | None

    @property
    def runs(self) -> bool:
        """Whether the tests run it."""
        return self.note is None or not self.note.startswith("not run here: ")

    @property
    def needs_slurm(self) -> bool:
        """Whether it submits jobs."""
        return self.note == "with Slurm"

    @property
    def needs_run(self) -> bool:
        """Whether there has to be a run called NAME."""
        return self.note == "after a run"

    @property
    def code(self) -> int:
        """The exit code that its last command is to have."""
        match = _ENDS.fullmatch(self.note or "")
        return int(match[1]) if match else 0


def blocks_of(document: Path) -> list[Block]:
    """The shell blocks of a document, in order."""
    text = document.read_text(encoding="utf-8")
    return [Block(match["text"], match["note"]) for match in _BLOCK.finditer(text)]


def loose_commands(document: Path) -> list[str]:
    """Indented lines with a command of ours: they would escape the tests."""
    lines = document.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if re.match(r"(    |\t)(luigi|promptmill|sbatch|luigid) ", line)]
