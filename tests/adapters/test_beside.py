"""An adapter beside a whole model is never applied: it would be other rows under the same fingerprint."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from promptmill.engine.loading import LoadPlan, load_model
from promptmill.model import have_model
from tests.adapters.making import save_adapter, save_base


def test_the_whole_model_is_loaded_without_it(tmp_path: Path) -> None:
    """transformers applies the files of an adapter that lie beside the weights, wherever peft is installed."""
    base = save_base(tmp_path / "base")
    adapter = save_adapter(tmp_path / "adapter", base)
    both = Path(shutil.copytree(base, tmp_path / "both"))
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(adapter / name, both)
    plain = load_model(LoadPlan(str(base), "float32")).model.state_dict()
    loaded = load_model(LoadPlan(str(both), "float32")).model.state_dict()
    assert loaded.keys() == plain.keys()
    assert all(torch.equal(weight, plain[name]) for name, weight in loaded.items())


def test_the_log_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Which of the two is used."""
    both = save_adapter(save_base(tmp_path / "both"), "gpt2")
    pinned = have_model(str(both), None, tmp_path / "data")
    assert pinned.base is None
    assert "the model is used, without the adapter" in caplog.text
