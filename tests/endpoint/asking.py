"""An engine that asks the servers of a test."""

from __future__ import annotations

from typing import Any

from promptmill.endpoint.engine import EndpointEngine
from promptmill.endpoint.options import EndpointOptions
from promptmill.endpoint.record import Served
from promptmill.endpoint.waits import Waits
from promptmill.engine.contract import Completion, Request
from promptmill.sampling import SamplingParameters
from tests.endpoint.server import MODEL, WordServer

SHORT = Waits(first_try=0.01, first_rest=0.01, longest_rest=0.2, meeting=0.02, tick=0.01)
"""What takes seconds between two tries takes hundredths here."""
SERVED = Served("completions", {"root": "words-1"}, "honoured", "server")


def engine_on(
    *servers: WordServer, served: Served = SERVED, model: str = MODEL, waits: Waits = SHORT, **options: Any
) -> EndpointEngine:
    """An engine that asks these servers."""
    urls = options.pop("urls", tuple(server.url for server in servers))
    sampling = SamplingParameters(max_new_tokens=64)
    return EndpointEngine(model, sampling, served, EndpointOptions(urls, waits=waits, **options))


def requests(count: int, *, first: int = 0) -> list[Request]:
    """Requests with texts of their own."""
    return [Request(place, 7 * place, prompt=f"prompt {place}") for place in range(first, first + count)]


def all_of(engine: EndpointEngine, asked: list[Request]) -> list[Completion]:
    """Every completion, in the order of the requests."""
    return sorted(engine.generate(asked, lambda: False), key=lambda completion: completion.position)


def texts(completions: list[Completion]) -> dict[int, str]:
    """Response by position."""
    return {completion.position: completion.response for completion in completions}


def expected(asked: list[Request]) -> dict[int, str]:
    """What a server in good health answers."""
    with WordServer() as calm:
        return texts(all_of(engine_on(calm), asked))
