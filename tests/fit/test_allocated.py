"""The estimate of `promptmill fit`, against what PyTorch allocates for the same folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from promptmill.engine.loading import LoadPlan, load_model
from promptmill.fitting.memory import memory_rows
from promptmill.placing.memory import Workload, kv_bytes, weight_bytes
from tests.engine.tiny import byte_tokenizer
from tests.fit.models import saved
from tests.placing.allocated import SMALL, generate, peak_bytes, storage_bytes

QUANTISABLE = ("gpt2", "llama", "qwen2", "gemma", "phi")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", SMALL)
def test_weights_are_what_is_allocated(name: str, dtype: str, tmp_path: Path) -> None:
    """Within 2 %, from the headers and the config."""
    model = AutoModelForCausalLM.from_config(SMALL[name], dtype=getattr(torch, dtype))
    model.save_pretrained(tmp_path)
    assert weight_bytes(saved(tmp_path).shape, dtype, "none") == pytest.approx(storage_bytes(model), rel=0.02)


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
@pytest.mark.parametrize("name", QUANTISABLE)
def test_quantised_weights_are_what_is_allocated(name: str, bits: str, tmp_path: Path) -> None:
    """Within 2 % of all that bitsandbytes keeps."""
    AutoModelForCausalLM.from_config(SMALL[name]).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    loaded = load_model(LoadPlan(str(tmp_path), "float32", bits))
    expected = weight_bytes(saved(tmp_path).shape, "float32", bits)
    assert expected == pytest.approx(storage_bytes(loaded.model), rel=0.02)
    load_model.cache_clear()


@pytest.mark.parametrize("name", SMALL)
def test_the_total_is_what_is_allocated(name: str, tmp_path: Path) -> None:
    """Within 15 % of the allocator's peak: the float32 line of the table for 8 rows of 160 positions."""
    model = AutoModelForCausalLM.from_config(SMALL[name], dtype=torch.float32).eval()
    model.save_pretrained(tmp_path)
    rows, workload = 8, Workload(prompt_tokens=128, new_tokens=32)
    peak = peak_bytes(lambda: generate(model, rows, workload)) + storage_bytes(model)
    known = saved(tmp_path)
    line = memory_rows(known, workload, rows)[0]
    # The model's own cache is computed in place: nothing is moved from prompts' keys and values into slots.
    moved = rows * workload.prompt_tokens * kv_bytes(known.shape, "float32", 1)
    assert line.total - line.context - moved == pytest.approx(peak, rel=0.15)
