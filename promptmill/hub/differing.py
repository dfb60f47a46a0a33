"""How the run that a dataset was published from differs from this one, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from promptmill.hub.claim import DigestOfFirst
from promptmill.hub.marker import Origin

_PROMPTS = "prompts_sha256"
_SHOWN = 80


def differing(theirs: Origin, ours: Origin, digest_of_first: DigestOfFirst | None = None) -> tuple[str, ...]:
    """A phrase for everything that is another; what one of them does not know yet is left out."""
    told = [*_settings(theirs.get("settings"), ours.get("settings"))]
    told += _prompts(theirs, ours, digest_of_first)
    told += _settings(theirs.get("resolved"), ours.get("resolved"))
    return tuple(told)


def _settings(theirs: Any, ours: Any) -> Iterator[str]:
    if not (isinstance(theirs, dict) and isinstance(ours, dict)):
        return
    for name in dict.fromkeys((*ours, *theirs)):
        if name != _PROMPTS and theirs.get(name) != ours.get(name):
            yield f"its {name}: {_shown(theirs.get(name))}, yours {_shown(ours.get(name))}"


def _prompts(theirs: Origin, ours: Origin, digest_of_first: DigestOfFirst | None) -> Iterator[str]:
    its, own = theirs.get("prompts"), ours.get("prompts")
    # Until they are prepared nothing can be said of them but that the file is another.
    if not (isinstance(its, dict) and isinstance(own, dict)) or its.get("sha256") == own["sha256"]:
        return
    rows = its.get("rows")
    if not isinstance(rows, int):
        yield "its prompts are others"
    elif rows == own["rows"]:
        yield f"its prompts: {rows:,} rows as yours, with other texts or columns"
    else:
        yield f"its prompts: {rows:,} rows, yours {own['rows']:,}{_beginning(rows, its, own, digest_of_first)}"


def _beginning(rows: int, its: Any, own: Any, digest_of_first: DigestOfFirst | None) -> str:
    if digest_of_first is None or not 0 < rows < own["rows"]:
        return ""
    same = digest_of_first(rows) == its.get("sha256")
    return f"; the first {rows:,} are {'the same' if same else 'others'}"


def _shown(value: object) -> str:
    if value is None:
        return "not set"
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
