"""What is said of answers while rows are made: each thing once."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)

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

    def once(self, about: object, message: str, *values: object) -> None:
        """A warning, unless there was one about that."""
        if about not in self._said:
            self._said.add(about)
            logger.warning(message, *values)

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
