"""What a check finds, as values that go to JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["pass", "warn", "fail"]
VERDICTS: tuple[Verdict, ...] = ("pass", "warn", "fail")
"""From the best to the worst."""


@dataclass(frozen=True)
class Finding:
    """One line of the answer.

    Attributes:
        check: what was looked at, in a word or two.
        says: what is the case.
        do: what to do about it; None if there is nothing to do.
    """

    check: str
    verdict: Verdict
    says: str
    do: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary; `Finding(**value)` gives the same finding back."""
        return asdict(self)


def worst(findings: Iterable[Finding]) -> Verdict:
    """The worst verdict among findings."""
    return max((finding.verdict for finding in findings), key=VERDICTS.index, default="pass")
