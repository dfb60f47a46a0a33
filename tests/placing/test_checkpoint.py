"""What a folder holds, seen from its config and the headers of its files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from promptmill.errors import ConfigurationError, EngineError
from promptmill.placing.checkpoint import inspect_checkpoint
from promptmill.placing.headers import stored_tensors

GPTQ = {"quant_method": "gptq", "bits": 4}
AWQ = {"quant_method": "awq", "bits": 4}
NF4 = {"quant_method": "bitsandbytes", "load_in_4bit": True}
INT8 = {"quant_method": "bitsandbytes", "load_in_8bit": True}


def _folder(path: Path, quantization: dict[str, object] | None = None) -> Path:
    config: dict[str, object] = {"model_type": "llama"}
    if quantization:
        config["quantization_config"] = quantization
    (path / "config.json").write_text(json.dumps(config))
    save_file({"a": torch.zeros(10, 10), "b": torch.zeros(3, dtype=torch.int8)}, path / "model.safetensors")
    return path


@pytest.mark.parametrize(
    ("config", "name"),
    [(None, "none"), (GPTQ, "gptq-4bit"), (AWQ, "awq-4bit"), (NF4, "bitsandbytes-4bit"), (INT8, "bitsandbytes-8bit")],
)
def test_a_checkpoint_is_what_its_config_says(config: dict[str, object] | None, name: str, tmp_path: Path) -> None:
    """The name by which it goes into the run's identity, and the bytes of its tensors."""
    found = inspect_checkpoint(_folder(tmp_path, config))
    assert (found.quantization, found.is_quantised, found.stored_bytes) == (name, name != "none", 403)


@pytest.mark.parametrize(("config", "package"), [(GPTQ, "gptqmodel"), (AWQ, "gptqmodel")])
def test_a_missing_backend_says_what_to_install(config: dict[str, object], package: str, tmp_path: Path) -> None:
    """Before anything is loaded; the packages are not among those of this project."""
    found = inspect_checkpoint(_folder(tmp_path, config))
    with pytest.raises(EngineError, match=f"pip install {package}"):
        found.require_backend()


@pytest.mark.parametrize(("config", "wanted"), [(GPTQ, "4bit"), (AWQ, "8bit"), (NF4, "8bit"), (INT8, "4bit")])
def test_quantising_twice_is_refused(config: dict[str, object], wanted: str, tmp_path: Path) -> None:
    """The message says what the weights are, and to leave the option out."""
    with pytest.raises(ConfigurationError, match="Leave --quantization out"):
        inspect_checkpoint(_folder(tmp_path, config)).require_not_again(wanted)


@pytest.mark.parametrize(("config", "wanted"), [(GPTQ, "none"), (AWQ, "auto"), (NF4, "4bit"), (None, "4bit")])
def test_weights_are_taken_as_what_they_are(config: dict[str, object] | None, wanted: str, tmp_path: Path) -> None:
    """`none` and `auto` load them so, and bitsandbytes' own name is no contradiction."""
    inspect_checkpoint(_folder(tmp_path, config)).require_not_again(wanted)


def test_pickles_are_refused(tmp_path: Path) -> None:
    """A pickle can run code; the message says how to come by safetensors."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(EngineError, match="pickle"):
        inspect_checkpoint(tmp_path)


def test_one_gguf_file_is_a_model_and_two_are_a_question(tmp_path: Path) -> None:
    """Which of several quantisations is meant cannot be guessed."""
    (tmp_path / "model-q4.gguf").write_bytes(b"GGUF")
    assert inspect_checkpoint(tmp_path).gguf == "model-q4.gguf"
    (tmp_path / "model-q8.gguf").write_bytes(b"GGUF")
    with pytest.raises(EngineError, match="2 GGUF files"):
        inspect_checkpoint(tmp_path)


def test_a_cut_file_is_noticed_from_its_header(tmp_path: Path) -> None:
    """Its header promises more bytes than there are."""
    file = _folder(tmp_path) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(EngineError, match="shorter than its header says"):
        inspect_checkpoint(tmp_path)
    file.write_bytes(b"\xff" * 100)
    with pytest.raises(EngineError, match="no safetensors file"):
        list(stored_tensors(tmp_path))


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    """The index names two files, and one is there."""
    (tmp_path / "config.json").write_text("{}")
    save_file({"a": torch.zeros(1)}, tmp_path / "one.safetensors")
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(EngineError, match=r"lacks two\.safetensors"):
        inspect_checkpoint(tmp_path)
