"""Faults on order: which requests they strike, and how often."""

import re
import threading
from dataclasses import dataclass, field

from tests.hub.effects import Effect


@dataclass(frozen=True)
class Match:
    """Which requests: `origin` is `hub`, `cdn` or `cas`; `path` is a regular expression, searched in path and query."""

    path: str = ""
    method: str | None = None
    origin: str | None = None

    def __call__(self, origin: str, method: str, path: str) -> bool:
        """Whether a request is meant."""
        return (
            self.origin in (None, origin) and self.method in (None, method) and re.search(self.path, path) is not None
        )


@dataclass
class Fault:
    """An effect on the next `times` matching requests (None: on all of them) after the first `skip`."""

    effect: Effect
    match: Match = field(default_factory=Match)
    times: int | None = 1
    skip: int = 0
    hits: int = field(default=0, init=False)  # how many requests it has struck
    _seen: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def strikes(self, origin: str, method: str, path: str) -> bool:
        """Whether this request is struck; counts it if it matches."""
        if not self.match(origin, method, path):
            return False
        with self._lock:
            self._seen += 1
            if self._seen <= self.skip or (self.times is not None and self.hits >= self.times):
                return False
            self.hits += 1
            return True
