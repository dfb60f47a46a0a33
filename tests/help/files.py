"""The recorded files, beside this one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import unified_diff
from pathlib import Path

FOLDER = Path(__file__).parent


def read() -> dict[str, str]:
    """File name → text, as recorded."""
    return {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.txt")}


def write(now: Mapping[str, str]) -> None:
    """Record these texts, and no others."""
    for name in read().keys() - now.keys():
        (FOLDER / name).unlink()
    for name, text in now.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def difference(recorded: Mapping[str, str], now: Mapping[str, str]) -> str:
    """What differs, as `diff -u` shows it; nothing if nothing does."""
    return "\n".join(line for name in sorted({*recorded, *now}) for line in _of_one(name, recorded, now))


def _of_one(name: str, recorded: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    before, after = (texts.get(name, "").splitlines() for texts in (recorded, now))
    return unified_diff(before, after, f"recorded/{name}", f"now/{name}", lineterm="")
