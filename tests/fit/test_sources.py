"""What describes a model, from the Hub and from folders: headers, never weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, LlamaConfig

from promptmill.errors import ConfigurationError
from promptmill.fitting.sources import read_source
from tests.fit.models import saved
from tests.forkserver import run_command
from tests.hub import HubServer

TOKEN = "hf_alice_secret_token"
NOT_FOUND, UNAVAILABLE, DENIED, CONFIGURATION = 66, 69, 77, 78


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 10 MB in several files."""
    folder = tmp_path_factory.mktemp("sharded")
    config = LlamaConfig(
        vocab_size=2000, hidden_size=256, intermediate_size=688, num_hidden_layers=2, num_attention_heads=8,
        num_key_value_heads=4, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(folder, max_shard_size="4MB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder


def fit(model: str, hub: HubServer, home: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command on a machine that talks to this hub."""
    token = variables.pop("token", TOKEN)
    return run_command(
        [sys.executable, "-m", "promptmill.cli", "fit", model, "--gpu", "T4", "--json", *options],
        env={**os.environ, **hub.environment(home, token=token), **variables},
        timeout=120,
    )


def answered(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What it said."""
    assert done.returncode == 0, done.stderr
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def test_a_repository_is_described_by_kilobytes(hub: HubServer, sharded: Path, tmp_path: Path) -> None:
    """All that is true of the folder, with the commit; for 10 MB of weights a few answers of 100 kB."""
    hub.add_user("alice", token=TOKEN)
    commit = hub.add_model("alice/llama", sharded)
    found = answered(fit("alice/llama", hub, tmp_path))
    model = saved(sharded)
    assert found["model"]["revision"] == commit
    assert (found["model"]["parameters"], found["model"]["stored_bytes"]) == (
        model.shape.parameters,
        model.stored_bytes,
    )
    assert found["model"]["stored_dtype"] == "F32"
    assert sum(request.sent for request in hub.requests) < 500_000 < model.stored_bytes
    assert not list(tmp_path.rglob("*.safetensors"))


def test_what_was_fetched_before_serves_without_a_network(hub: HubServer, sharded: Path, tmp_path: Path) -> None:
    """The config from the cache, and what is said about it."""
    hub.add_user("alice", token=TOKEN)
    hub.add_model("alice/llama", sharded)
    before = answered(fit("alice/llama", hub, tmp_path))
    after = answered(fit("alice/llama", hub, tmp_path, HF_HUB_OFFLINE="1"))
    assert after["model"]["parameters"] == before["model"]["parameters"]
    assert any("from the cache" in note for note in after["notes"])


def test_a_revision_is_asked_for(hub: HubServer, sharded: Path, tmp_path: Path) -> None:
    """And goes into the command."""
    hub.add_user("alice", token=TOKEN)
    commit = hub.add_model("alice/llama", sharded)
    hub.commit("alice/llama", {"config.json": "{}"})
    found = answered(fit("alice/llama", hub, tmp_path, "--revision", commit))
    assert found["model"]["revision"] == commit
    assert f"--revision {commit}" in found["command"]


def test_errors_of_the_hub_are_sentences(hub: HubServer, sharded: Path, tmp_path: Path) -> None:
    """Gated, not there, not to be asked: an exit code each, the way out, and no traceback."""
    hub.add_user("alice", token=TOKEN)
    hub.add_model("lab/closed", sharded, gated=True)
    for model, variables, code, said in (
        ("lab/closed", {}, DENIED, "is gated"),
        ("lab/nothing", {}, NOT_FOUND, "has no model lab/nothing"),
        ("lab/other", {"HF_HUB_OFFLINE": "1"}, UNAVAILABLE, "HF_HUB_OFFLINE is set"),
    ):
        done = fit(model, hub, tmp_path, **variables)
        assert (done.returncode, done.stdout) == (code, "")
        assert said in done.stderr
        assert "Traceback" not in done.stderr
        assert TOKEN not in done.stderr


def test_pickles_alone_are_sized_from_the_config(hub: HubServer, sharded: Path, tmp_path: Path) -> None:
    """And it is said what a run would need."""
    hub.add_user("alice", token=TOKEN)
    config = (sharded / "config.json").read_text()
    hub.add_model("alice/old", {"config.json": config, "pytorch_model.bin": b"x" * 1000})
    hub.add_model("alice/images", {"model_index.json": "{}"})
    found = answered(fit("alice/old", hub, tmp_path))
    assert found["model"]["parameters"] == saved(sharded).shape.parameters
    assert any("--allow-pickle" in note for note in found["notes"])
    none = fit("alice/images", hub, tmp_path)
    assert (none.returncode, "has no config.json" in none.stderr) == (CONFIGURATION, True)


def test_a_folder_whose_files_are_not_whole_is_sized_from_its_config(sharded: Path, tmp_path: Path) -> None:
    """It says what is missing."""
    for name in ("config.json", "model.safetensors.index.json"):
        (tmp_path / name).write_bytes((sharded / name).read_bytes())
    source = read_source(str(tmp_path))
    assert "not whole" in str(source.note)
    assert saved(tmp_path).shape.parameters == saved(sharded).shape.parameters


def test_a_config_alone_is_enough(sharded: Path, tmp_path: Path) -> None:
    """Named as a file, or as the folder around it; a damaged one is refused."""
    file = tmp_path / "config.json"
    file.write_bytes((sharded / "config.json").read_bytes())
    assert saved(file).shape.parameters == saved(tmp_path).shape.parameters == saved(sharded).shape.parameters
    file.write_text("{")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_source(str(file))


def test_the_demo_model_is_known_from_its_header() -> None:
    """As published, without unpacking it."""
    from promptmill.fitting.model import known_model
    from tests.placing.models import PUBLISHED

    assert known_model(read_source("demo")).shape.parameters == PUBLISHED["smollm2-135m"]
