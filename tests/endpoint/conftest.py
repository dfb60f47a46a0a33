"""What the tests of the endpoint engine share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from promptmill.endpoint import rows, servers
from tests.endpoint.server import WordServer


@pytest.fixture
def server() -> Iterator[WordServer]:
    """A server in good health; tests tell it how to fail."""
    with WordServer() as running:
        yield running


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds between two tries takes hundredths here."""
    monkeypatch.setattr(rows, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(servers, "_FIRST_REST", 0.01)
    monkeypatch.setattr(servers, "LONGEST_REST", 0.2)
