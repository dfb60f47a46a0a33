"""What is said of answers while rows are made: each thing once."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)


class Remarks:
    """What was said already, in one process."""

    def __init__(self) -> None:
        self._said: set[object] = set()

    def once(self, about: object, message: str, *values: object) -> None:
        """A warning, unless there was one about that."""
        if about not in self._said:
            self._said.add(about)
            logger.warning(message, *values)
