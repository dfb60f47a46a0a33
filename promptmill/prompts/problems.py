"""What is wrong with the rows of a source, gathered so that all of it is said at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from promptmill.errors import InvalidRows

MOST_SHOWN = 20
_MOST_NAMES = 30


class BadRowError(Exception):
    """One row cannot be used; the reader that knows its place adds it to the problems."""

    def __init__(self, column: str | None, what: str) -> None:
        super().__init__(what)
        self.column = column
        self.what = what


class TemplateFaultError(BadRowError):
    """The template cannot be rendered with a row; most often with no row at all, so it is said once."""

    def __init__(self, what: str) -> None:
        super().__init__(None, f"the template {what}")


class Problems:
    """Up to 20 problems in full, and a count of all; a fault of the template counts once for all its rows."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._shown: list[str] = []
        self._faults: dict[str, tuple[str, int]] = {}
        self.count = 0

    def add_row(self, place: str, error: BadRowError) -> None:
        """Note that the row at `place` cannot be used."""
        if not isinstance(error, TemplateFaultError):
            self.add(place, error.what, error.column)
        elif error.what in self._faults:
            first, rows = self._faults[error.what]
            self._faults[error.what] = (first, rows + 1)
        elif len(self._faults) < MOST_SHOWN:
            self._faults[error.what] = (place, 1)
            self.count += 1
        else:
            self.count += 1

    def add(self, place: str, what: str, column: str | None = None) -> None:
        """Note that something is wrong at `place`, as in "prompts.jsonl, line 7"."""
        self.count += 1
        if len(self._shown) < MOST_SHOWN:
            where = place if column is None else f"{place}, column {column}"
            self._shown.append(f"  {where}: {what}")

    def raise_if_any(self) -> None:
        """Raise `InvalidRows` with everything noted so far."""
        if not self.count:
            return
        faults = [_fault(place, rows, what) for what, (place, rows) in self._faults.items()]
        shown_here = [*faults, *self._shown][:MOST_SHOWN]
        more = self.count - len(shown_here)
        tail = [f"  ... and {more} more"] if more else []
        head = f"{self._source} cannot be used; {self.count} {'thing is' if self.count == 1 else 'things are'} wrong:"
        raise InvalidRows("\n".join([head, *shown_here, *tail, "Correct this and give the same command again."]))


def _fault(place: str, rows: int, what: str) -> str:
    others = f", and {rows - 1:,} more {'row' if rows == 2 else 'rows'}" if rows > 1 else ""
    return f"  {place}{others}: {what}"


def check_encodable(column: str | None, value: str) -> None:
    """Raise `BadRowError` for text that UTF-8 cannot express: half of a surrogate pair."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        bad = f"\\u{ord(value[error.start]):04x}"
        raise BadRowError(column, f"has half of a surrogate pair, {bad}, at character {error.start + 1}") from error


def shown(value: object) -> str:
    """A value as it can stand in a message: on one line, escaped, at most 60 characters."""
    text = ascii(value[:80]) if isinstance(value, str) else ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def listed(names: Iterable[str]) -> str:
    """Names as they can stand in a message; the first 30 of many."""
    every = list(names)
    names_shown = [name if name and name.isprintable() else ascii(name) for name in every[:_MOST_NAMES]]
    more = f" and {len(every) - _MOST_NAMES} more" if len(every) > _MOST_NAMES else ""
    return ", ".join(names_shown) + more or "none"


def nearest(name: str, choices: Iterable[str]) -> str:
    """A "did you mean" for a name that does not exist, or nothing."""
    close = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f" Did you mean {close[0]}?" if close else ""
