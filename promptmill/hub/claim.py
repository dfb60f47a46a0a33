"""The run that wants a dataset repository, as far as it is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from promptmill.hub.marker import Origin, origin_of
from promptmill.prompts.beginning import digest_of_first
from promptmill.run import RunFolder, recorded_identity

DigestOfFirst = Callable[[int], str]
"""The digest of this run's first so many prompts."""


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
        return cls(fingerprint, origin, partial(digest_of_first, run.prompts_table) if "prompts" in origin else None)

    @classmethod
    def by_marker(cls, fingerprint: str, marker: bytes) -> Claim:
        """What the marker of a run says that is published."""
        return cls(fingerprint, json.loads(marker).get("origin"))
