"""One thread: two of them on a shared machine wait for each other more than they compute."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from promptmill.engine.loading import load_model


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    load_model.cache_clear()
