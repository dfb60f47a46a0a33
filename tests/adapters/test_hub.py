"""An adapter on the Hub: its base comes from there as well, and both commits are pinned."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptmill.adapters import CONFIG, WEIGHTS
from promptmill.errors import AccessDenied, ConfigurationError, NotFound
from promptmill.fitting.sources import read_source
from promptmill.hub.weights import needed_files
from promptmill.model import have_model, is_at_hand, pin_model
from tests.adapters.making import save_adapter, save_base
from tests.hub import HubServer
from tests.hub_stages.conftest import client, here
from tests.hub_stages.processes import Client

__all__ = ("client", "here")
ADAPTER, BASE = "lab/adapter", "lab/base"


def files(folder: Path) -> dict[str, bytes]:
    """What lies in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def hub_adapter(here: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    """A hub that has a base with a licence, and an adapter of it."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    url = here.hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url)
    base = save_base(tmp_path / "base")
    here.hub.add_model(BASE, {**files(base), "README.md": b"---\nlicense: mit\n---\n"})
    here.hub.add_model(ADAPTER, {**files(save_adapter(tmp_path / "adapter", BASE)), "README.md": b"# A"})
    return here.hub


def test_both_are_fetched_and_pinned(hub_adapter: HubServer, tmp_path: Path) -> None:
    """A run stays with the commits that it began with, whatever comes to either repository later."""
    data, pin = tmp_path / "data", tmp_path / "model.json"
    pinned = pin_model(ADAPTER, None, data, pin)
    assert pinned.base is not None
    assert WEIGHTS in pinned.files
    assert "model.safetensors" in pinned.base.files
    assert (pinned.license, pinned.base.model) == ("mit", BASE)
    assert is_at_hand(ADAPTER, None, data)
    for repo in (ADAPTER, BASE):
        hub_adapter.commit(repo, {"notes.txt": b"new"})
    (Path(pinned.base.folder) / "config.json").unlink()
    again = pin_model(ADAPTER, None, data, pin)
    assert again.base is not None
    assert (again.revision, again.base.revision) == (pinned.revision, pinned.base.revision)
    newer = have_model(ADAPTER, None, data)
    assert newer.base is not None
    assert pinned.base.revision != newer.base.revision


def test_a_base_that_is_not_there(hub_adapter: HubServer, tmp_path: Path) -> None:
    """The message names both; nothing is taken for fetched."""
    hub_adapter.delete(BASE)
    with pytest.raises((NotFound, AccessDenied), match=f"the base model that the adapter {ADAPTER} names"):
        have_model(ADAPTER, None, tmp_path / "data")
    assert not is_at_hand(ADAPTER, None, tmp_path / "data")


def test_fit_reads_the_base(hub_adapter: HubServer) -> None:
    """From its config and headers, under the adapter's name."""
    source = read_source(ADAPTER)
    assert (source.model, source.config["model_type"]) == (ADAPTER, "llama")
    assert f"an adapter of {BASE}" in str(source.note)


def test_which_files_of_an_adapter_are_needed() -> None:
    """No pickle; and beside a whole model the model's weights alone."""
    adapter = [CONFIG, WEIGHTS, "tokenizer.json", "optimizer.pt"]
    assert needed_files("a", adapter, allow_pickle=False) == (CONFIG, WEIGHTS, "tokenizer.json")
    both = needed_files("a", [*adapter, "model.safetensors", "config.json"], allow_pickle=False)
    assert WEIGHTS not in both
    assert "model.safetensors" in both
    with pytest.raises(ConfigurationError, match=r"adapter_model\.bin, a pickle"):
        needed_files("a", [CONFIG, "adapter_model.bin"], allow_pickle=True)
