"""Pytest fixtures; a conftest imports them."""

from collections.abc import Iterator

import pytest

from tests.hub.server import HubServer


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """An empty hub that ends with the test."""
    with HubServer() as server:
        yield server
