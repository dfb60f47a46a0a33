"""Pickled weights that the user trusts become safetensors; a pickle that runs code is not loaded."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from promptmill.errors import EngineError
from promptmill.hub.pickled import without_pickles


@pytest.fixture
def pickled(tiny_gpt2: Path, tmp_path: Path) -> Path:
    """The tiny GPT-2 with its weights in a pickle."""
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_gpt2, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    torch.save(AutoModelForCausalLM.from_pretrained(tiny_gpt2).state_dict(), folder / "pytorch_model.bin")
    return folder


def files_of(folder: Path) -> tuple[str, ...]:
    """Names of all files."""
    return tuple(sorted(path.name for path in folder.iterdir()))


def test_pickled_weights_become_the_same_weights_as_safetensors(pickled: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    """Tied weights included; done once, the original stays as it is."""
    before = files_of(pickled)
    folder, files = without_pickles(pickled, before, tmp_path / "plain")
    assert not [name for name in files if name.endswith(".bin")]
    assert "model.safetensors" in files
    weights = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True).state_dict()
    original = AutoModelForCausalLM.from_pretrained(tiny_gpt2).state_dict()
    assert all(torch.equal(weights[name], original[name]) for name in original)
    assert files_of(pickled) == before
    changed = (folder / "model.safetensors").stat().st_mtime_ns
    assert without_pickles(pickled, before, folder) == (folder, files)
    assert (folder / "model.safetensors").stat().st_mtime_ns == changed


def test_a_pickle_that_runs_code_is_not_loaded(pickled: Path, tmp_path: Path) -> None:
    """Though pickles are allowed, tensors alone come out of them."""
    trace = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(trace),)

    (pickled / "pytorch_model.bin").write_bytes(pickle.dumps({"weights": Evil()}))
    with pytest.raises(EngineError, match="could run code"):
        without_pickles(pickled, files_of(pickled), tmp_path / "plain")
    assert not trace.exists()
    assert not (tmp_path / "plain").exists()


def test_without_pickles_the_folder_is_used_as_it_is(tiny_gpt2: Path, tmp_path: Path) -> None:
    """No copy is made."""
    files = files_of(tiny_gpt2)
    assert without_pickles(tiny_gpt2, files, tmp_path / "plain") == (tiny_gpt2, files)
