"""Which rules turn prompts into tokens, and tokens into text: a run keeps those that it was begun with.

A rule that changes what a model is asked, or what is kept of its answer, changes the rows. So each change of
the rules has a number, which a new run writes into its identity; a run that was begun before goes on as it was.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

VERSION = 1


@dataclass(frozen=True)
class Rendering:
    """The rules of one run, and what they came to when it was begun.

    Attributes:
        version: 0 for runs that were begun before rules had numbers, and for models that a server renders for.
        moment: when the run began (UTC, to the second), where the chat template asks for the date; else None.
        split: whether control tokens in what users wrote are read as text.
    """

    version: int = VERSION
    moment: str | None = None
    split: bool = False

    def to_json(self) -> dict[str, Any] | None:
        """A plain dictionary; None for the earliest rules, so that the fingerprints of their runs hold."""
        if not self.version:
            return None
        value = asdict(self)
        if not self.split:
            del value["split"]  # so that the fingerprints of runs from before there was a choice hold
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any] | None) -> Rendering:
        """What `to_json` wrote."""
        return EARLIEST if value is None else cls(**value)


EARLIEST = Rendering(version=0)
NEWEST = Rendering()
