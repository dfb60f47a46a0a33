"""The fakes of the tests, all of them: an engine that needs no model."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from promptmill.engine.contract import Completion, Request, ShouldStop


class StubEngine:
    """Answers every request with a text made of its seed, last request first.

    Args:
        seconds: waits so long before each row.
        fail_after: raises a RuntimeError after so many rows.
    """

    def __init__(self, *, seconds: float = 0.0, fail_after: int | None = None) -> None:
        self.seconds = seconds
        self.fail_after = fail_after
        self.generated: list[int] = []

    def generate(self, requests: Iterable[Request], should_stop: ShouldStop) -> Iterator[Completion]:
        """One completion a request, until told to stop."""
        for request in reversed(list(requests)):
            if should_stop():
                return
            if self.fail_after is not None and len(self.generated) >= self.fail_after:
                raise RuntimeError("the stub engine fails as it was told to")
            time.sleep(self.seconds)
            self.generated.append(request.position)
            yield completion_of(request)


def completion_of(request: Request) -> Completion:
    """What the stub engine answers."""
    text = request.prompt if request.prompt is not None else str(request.messages)
    return Completion(request.position, f"{request.seed:x} answers {text}", "stop", len(text), 3)
