"""The formula, against what PyTorch really allocates; counts of parameters are held in tests/fit/test_shapes.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from promptmill.engine.loading import LoadPlan, load_model
from promptmill.placing.memory import (
    DTYPE_BYTES,
    GIB,
    MIB,
    Workload,
    cache_bytes,
    estimate,
    kv_bytes,
    weight_bytes,
    working_bytes,
)
from promptmill.placing.shape import skeleton
from tests.engine.tiny import byte_tokenizer
from tests.placing.allocated import SMALL, generate, peak_bytes, storage_bytes
from tests.placing.models import skeleton_named

QUANTISABLE = ("gpt2", "llama", "qwen2", "gemma", "phi")


@pytest.mark.parametrize("dtype", DTYPE_BYTES)
@pytest.mark.parametrize("name", SMALL)
def test_weights_are_what_is_allocated(name: str, dtype: str) -> None:
    """Within 2 %, in each dtype, for each architecture."""
    model = AutoModelForCausalLM.from_config(SMALL[name], dtype=getattr(torch, dtype))
    assert weight_bytes(skeleton(SMALL[name]).shape, dtype, "none") == pytest.approx(storage_bytes(model), rel=0.02)


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
@pytest.mark.parametrize("name", QUANTISABLE)
def test_quantised_weights_are_what_is_allocated(name: str, bits: str, tmp_path: Path) -> None:
    """Within 2 % of all that bitsandbytes keeps: packed values, scales, scales of scales, code books."""
    AutoModelForCausalLM.from_config(SMALL[name]).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    loaded = load_model(LoadPlan(str(tmp_path), "float32", bits))
    expected = weight_bytes(skeleton(SMALL[name]).shape, "float32", bits)
    assert expected == pytest.approx(storage_bytes(loaded.model), rel=0.02)


@pytest.mark.parametrize("name", SMALL)
def test_the_total_of_a_batch_is_what_is_allocated(name: str) -> None:
    """Within 15 % of the allocator's peak: 8 prompts of 128 tokens, then 32 more tokens each."""
    model = AutoModelForCausalLM.from_config(SMALL[name], dtype=torch.float32).eval()
    shape = skeleton(SMALL[name]).shape
    rows, workload = 8, Workload(prompt_tokens=128, new_tokens=32)
    peak = peak_bytes(lambda: generate(model, rows, workload)) + storage_bytes(model)
    # The model's own cache is computed in place: nothing is moved from prompts' keys and values into slots.
    moved = min(2048, rows * workload.prompt_tokens) * kv_bytes(shape, "float32", 1)
    total = estimate(shape, "float32", "none", rows=rows, workload=workload, gpu=False).total - moved
    assert total == pytest.approx(peak, rel=0.15)


def test_activations_alone_are_what_is_allocated() -> None:
    """Within 5 %, without the weights to hide behind: Llama, 1,024 tokens in one pass."""
    model = AutoModelForCausalLM.from_config(SMALL["llama"], dtype=torch.float32).eval()
    shape = skeleton(SMALL["llama"]).shape
    workload = Workload(prompt_tokens=128, new_tokens=1)
    peak = peak_bytes(lambda: generate(model, 8, workload, steps=0))
    cache = 8 * kv_bytes(shape, "float32", 128)
    working = working_bytes(shape, "float32", "none", rows=8, workload=workload)
    assert working == pytest.approx(peak, rel=0.05)  # both with the prompts' keys and values
    assert working - cache == pytest.approx(peak - cache, rel=0.05)


def test_the_kv_cache_counts_grouped_heads() -> None:
    """Llama-2-70b has 8 KV heads for 64 heads: 320 KiB a token in float16, an eighth of what 64 would take."""
    assert kv_bytes(skeleton_named("llama-2-70b").shape, "float16", 1) == 320 * 1024
    assert kv_bytes(skeleton_named("llama-2-7b").shape, "float16", 1) == 512 * 1024
    assert kv_bytes(skeleton_named("gemma-2b").shape, "bfloat16", 1) == 18 * 1024


def test_sliding_windows_bound_the_cache_only_where_it_forgets() -> None:
    """Mistral's window of 4,096 and every other layer of Gemma 2; the engine's slots keep all positions."""
    mistral, gemma = skeleton_named("mistral-7b-v0.1").shape, skeleton_named("gemma-2-9b").shape
    assert kv_bytes(mistral, "float16", 16_384, windowed=True) == kv_bytes(mistral, "float16", 4_096)
    assert kv_bytes(mistral, "float16", 16_384) == 4 * kv_bytes(mistral, "float16", 4_096)
    assert kv_bytes(gemma, "float16", 8_192, windowed=True) == 0.75 * kv_bytes(gemma, "float16", 8_192)
    assert (mistral.layers, mistral.window_layers, gemma.layers, gemma.window_layers) == (0, 32, 21, 21)


def test_the_example_of_the_documentation() -> None:
    """Llama-2-7b on a T4 in 4 bits, as docs/memory.md works it out."""
    shape = skeleton_named("llama-2-7b").shape
    workload = Workload(prompt_tokens=256, new_tokens=256)
    found = estimate(shape, "float16", "4bit", rows=16, workload=workload, gpu=True)
    assert round(found.weights / GIB, 1) == 3.6
    assert found.kv_cache == 4 * GIB
    assert round(found.working / GIB, 2) == 1.27
    assert found.context == 500 * MIB
    assert round(found.total / GIB, 1) == 9.4


def test_a_workload_is_cut_to_the_context() -> None:
    """GPT-2 has 1,024 positions: no plan is made for more."""
    assert Workload(2_000, 256, 9_000).within(1_024) == Workload(1_023, 1, 1_023)
    assert Workload(100, 4_000).within(1_024) == Workload(100, 924, 100)
    assert Workload(100, 4_000).within(None) == Workload(100, 4_000)


def test_the_longest_row_counts_once() -> None:
    """A batch of short rows, or the one long row, whichever is more."""
    shape = skeleton_named("llama-2-7b").shape
    workload = Workload(prompt_tokens=10, new_tokens=10, longest_prompt=1_000)
    assert cache_bytes(shape, "float16", rows=1, workload=workload) == kv_bytes(shape, "float16", 1_010)
    assert cache_bytes(shape, "float16", rows=100, workload=workload) == 100 * kv_bytes(shape, "float16", 20)
