"""Models that are not whole or not sound, with vLLM: refused, or the same rows as with transformers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from promptmill.engine.contract import Completion
from promptmill.errors import EngineError
from promptmill.hardware import Hardware
from promptmill.model import PinnedModel
from promptmill.placing.checkpoint import inspect_checkpoint
from promptmill.placing.decision import Decision
from promptmill.placing.memory import GIB, Workload
from promptmill.placing.options import PlacementOptions
from promptmill.placing.place import decide_place
from promptmill.vllm.engine import VllmEngine
from promptmill.vllm.loading import load_into_vllm
from promptmill.vllm.proof import prove
from tests.engine.tiny import greedy, prompts, requests

Weights = dict[str, torch.Tensor]


@pytest.fixture
def changed(tmp_path: Path, tiny_llama: Path) -> Callable[..., Path]:
    """The tiny Llama with other tensors or another configuration."""

    def folder(change: Callable[[Weights], Weights] = lambda tensors: tensors, **config: Any) -> Path:
        path = tmp_path / "model"
        shutil.copytree(tiny_llama, path)
        save_file(change(load_file(path / "model.safetensors")), path / "model.safetensors", metadata={"format": "pt"})
        file = path / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | config))
        return path

    return folder


def decided(folder: Path) -> Decision:
    """Where the model goes: on the CPU, as vLLM is to compute in float32."""
    return decide_place(
        inspect_checkpoint(folder),
        Hardware((), 1, 4 * GIB),
        PlacementOptions(),
        dtype="float32",
        quantization="none",
        workload=lambda tokenizer: Workload(8, 8),
    )


def pinned(folder: Path) -> PinnedModel:
    """The model as a run has it."""
    return PinnedModel(str(folder), "local", "0" * 40, str(folder), {})


def rows(folder: Path, decision: Decision) -> list[Completion]:
    """Greedy rows of a few prompts."""
    engine = VllmEngine(load_into_vllm(pinned(folder), decision), greedy(8), batch_size=100_000)
    return sorted(engine.generate(requests(prompts(6)), lambda: False), key=lambda one: one.position)


def test_a_run_that_was_placed_before_is_refused_with_weights_that_are_not_there(
    tiny_llama: Path, changed: Callable[..., Path]
) -> None:
    """vLLM itself would leave the layer as memory was, and make rows of exclamation marks."""
    decision = decided(tiny_llama)
    folder = changed(lambda tensors: {name: value for name, value in tensors.items() if "lm_head" not in name})
    with pytest.raises(EngineError, match=r"they lack lm_head.weight"):
        load_into_vllm(pinned(folder), decision)


def test_an_adapter_beside_a_model_is_not_read(
    tiny_llama: Path, changed: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    """vLLM reads every file of tensors in a folder without an index, and the last one wins."""
    expected = [one.response for one in rows(tiny_llama, decided(tiny_llama))]
    folder = changed()
    tensors = load_file(folder / "model.safetensors")
    save_file({name: torch.zeros_like(value) for name, value in tensors.items()}, folder / "zadapter.safetensors")
    assert [one.response for one in rows(folder, decided(folder))] == expected
    assert "zadapter.safetensors" in caplog.text


def test_weights_that_are_no_numbers_are_named_in_the_trial_and_are_no_rows(changed: Callable[..., Path]) -> None:
    """Instead of rows of the vocabulary's first token."""

    def spoilt(tensors: Weights) -> Weights:
        tensors["model.layers.0.mlp.up_proj.weight"][0, 0] = torch.nan
        return tensors

    folder = changed(spoilt)
    decision = decided(folder)
    with pytest.raises(EngineError, match=r"layers.0.mlp.up_proj.weight in .* hold values that are no numbers"):
        prove(load_into_vllm(pinned(folder), decision), decision)
    found = rows(folder, decision)
    assert {one.finish_reason for one in found} == {"error"}
    assert all("not numbers" in str(one.error) for one in found)
