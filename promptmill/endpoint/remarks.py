"""What is said of answers while rows are made: each thing once."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)

_JUDGED_AFTER = 20
_MANY = 0.2
_MOST = 20
"""Remarks after which no other answer is news."""


class Remarks:
    """What was said already, in one process.

    Args:
        origin: what the first answer of the run said of itself.
    """

    def __init__(self, origin: dict[str, str] | None = None) -> None:
        self._said: set[object] = set()
        self._origin = dict(origin or {})
        self._rows = self._empty = self._thought = 0

    def once(self, about: object, message: str, *values: object) -> None:
        """A warning, unless there was one about that."""
        if about not in self._said:
            self._said.add(about)
            logger.warning(message, *values)

    def row(self, text: str, *, thought: bool) -> None:
        """A response that came; many empty ones are worth a word.

        Args:
            thought: whether all its tokens went into reasoning.
        """
        self._rows += 1
        self._empty += not text.strip()
        self._thought += thought and not text.strip()
        if self._rows >= _JUDGED_AFTER and self._empty >= self._rows * _MANY:
            self.once(
                "empty",
                "%d of %d responses so far are empty, %d of them with all tokens spent on thoughts. Raise "
                "--max-new-tokens, or switch reasoning off at the server, in a run of its own (--name).",
                self._empty, self._rows, self._thought,
            )  # fmt: skip

    def origin(self, base: str, told: dict[str, str]) -> None:
        """Answers that say that something else made them."""
        for name, value in told.items():
            first = self._origin.setdefault(name, value)
            if value != first and len(self._said) < _MOST:
                self.once(
                    (name, value),
                    "An answer of %s has the %s %s; the first of the run had %s. It may come from another model.",
                    base, name, value, first,
                )  # fmt: skip
