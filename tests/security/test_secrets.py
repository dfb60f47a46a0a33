"""What is secret is written nowhere; tests/hub_stages/test_chain.py looks for the token in all that a chain leaves."""

from __future__ import annotations

import pytest
from huggingface_hub import constants

from promptmill.hub.errors import endpoint, page


def test_a_password_in_the_hubs_address_is_not_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses stand in auth.json, published.json, messages and the log."""
    monkeypatch.setattr(constants, "ENDPOINT", "https://me:secret@mirror.example:8443/hf")
    assert endpoint() == "https://mirror.example:8443/hf"
    assert page("a/b", "dataset") == "https://mirror.example:8443/hf/datasets/a/b"
