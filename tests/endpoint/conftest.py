"""What the tests of the endpoint engine share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.endpoint.server import WordServer


@pytest.fixture
def server() -> Iterator[WordServer]:
    """A server in good health; tests tell it how to fail."""
    with WordServer() as running:
        yield running
