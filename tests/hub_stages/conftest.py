"""A hub with a user, and a client of it in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.hub import HubServer
from tests.hub_stages.processes import TOKEN, Client


@pytest.fixture
def client(hub: HubServer, tmp_path: Path) -> Client:
    """Alice's machine, from which operations run as processes."""
    hub.add_user("alice", token=TOKEN, orgs={"lab": "write", "school": "read"})
    return Client(hub, tmp_path / "home")


@pytest.fixture
def here(client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Client:
    """The same, and requests of this very process go to the hub with alice's token."""
    monkeypatch.setattr(constants, "ENDPOINT", client.hub.url)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "home" / "token"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return client
