"""What the tests of the engines share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tests.engine.tiny import byte_tokenizer, tiny_model


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny models are slowed down by threads, and the machine may be shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def model() -> Any:
    """A tiny Llama of the test's own."""
    return tiny_model()


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """The byte tokenizer."""
    return byte_tokenizer()
