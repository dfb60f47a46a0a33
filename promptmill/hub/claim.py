"""The run that wants a dataset repository, as far as it is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from promptmill.hub.marker import Origin, origin_of
from promptmill.prompts import prepared_table
from promptmill.prompts.table import row_lines
from promptmill.run import RunFolder, recorded_identity

DigestOfFirst = Callable[[int], str]
"""The digest of this run's first so many prompts."""
_STEP = 8192


@dataclass(frozen=True)
class Claim:
    """What is asked of a repository that is there already: to be this run's.

    Attributes:
        fingerprint: None while not everything is settled that it is made of.
        origin: what the run is made from; None if nobody says.
        digest_of_first: None while the prompts are not prepared.
    """

    fingerprint: str | None = None
    origin: Origin | None = None
    digest_of_first: DigestOfFirst | None = None

    @classmethod
    def of(cls, run: RunFolder) -> Claim:
        """What is known of a run by now."""
        origin = origin_of(run)
        fingerprint = recorded_identity(run).fingerprint if run.identity.exists() else None
        return cls(fingerprint, origin, partial(_digest_of_first, run) if "prompts" in origin else None)

    @classmethod
    def by_marker(cls, fingerprint: str, marker: bytes) -> Claim:
        """What the marker of a run says that is published."""
        return cls(fingerprint, json.loads(marker).get("origin"))


def _digest_of_first(run: RunFolder, rows: int) -> str:
    digest = hashlib.sha256()
    for start in range(0, rows, _STEP):
        digest.update(row_lines(prepared_table(run.prompts_table, start, min(start + _STEP, rows))))
    return digest.hexdigest()
