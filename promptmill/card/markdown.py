"""Markdown that no text of a prompt, a model or a user can break out of."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

# Characters that hide, reorder or end text; a newline and a tab are shown as they are.
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn")
_KEPT = "\n\t\u200d"


def cell(text: str) -> str:
    """Text that cannot leave its cell, and whose angle brackets the Hub does not take for HTML."""
    escaped = re.sub(r"([\\`*_\[\]|])", r"\\\1", visible(text).replace("&", "&amp;").replace("<", "&lt;"))
    return escaped.replace("\r", "").replace("\n", "⏎")


def code(text: str) -> str:
    """Text as code within a line or a cell."""
    plain = visible(text).replace("\n", "⏎").replace("|", "\\|")
    ticks = "`" * (_longest_run(plain) + 1)
    return f"{ticks} {plain} {ticks}" if "`" in plain else f"{ticks}{plain}{ticks}"


def block(text: str, language: str = "text") -> str:
    """Text in a block of code whose fence is longer than any row of backticks in it."""
    plain = visible(text)
    fence = "`" * max(3, _longest_run(plain) + 1)
    return f"{fence}{language}\n{plain}\n{fence}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def facts(values: Mapping[str, str]) -> str:
    """A table of two columns, of plain text."""
    return table(["", ""], [[cell(name), cell(value)] for name, value in values.items()])


def cut(text: str, most: int) -> str:
    """At most so many characters, and how many were left out."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more characters)"


def visible(text: str) -> str:
    """The text with characters that hide or reorder others replaced."""
    return "".join(char if char in _KEPT or unicodedata.category(char) not in _UNSEEN else "�" for char in text)


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
