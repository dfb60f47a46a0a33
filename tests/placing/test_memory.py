"""The formula, against published counts of parameters and against what PyTorch really allocates."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from transformers import (
    AutoModelForCausalLM,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MixtralConfig,
    PhiConfig,
    Qwen2Config,
    Qwen3Config,
)

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
from tests.placing.models import skeleton_named

# As their pages on the Hub count them ("Model size", from the safetensors).
PUBLISHED = {
    "gpt2": 124_439_808,
    "smollm2-135m": 134_515_008,
    "qwen2.5-0.5b": 494_032_768,
    "tinyllama-1.1b": 1_100_048_384,
    "gemma-2b": 2_506_172_416,
    "phi-2": 2_779_683_840,
    "phi-3-mini": 3_821_079_552,
    "llama-2-7b": 6_738_415_616,
    "mistral-7b-v0.1": 7_241_732_096,
    "qwen2.5-7b": 7_615_616_512,
    "llama-3-8b": 8_030_261_248,
    "gemma-2-9b": 9_241_705_984,
    "llama-2-13b": 13_015_864_320,
    "mixtral-8x7b": 46_702_792_704,
    "llama-2-70b": 68_976_648_192,
}
_COMMON = {"num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 8, "vocab_size": 2000}
_IDS: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
SMALL = {
    "gpt2": GPT2Config(n_embd=256, n_layer=4, n_head=8, vocab_size=2000, n_positions=1024, **_IDS),
    "llama": LlamaConfig(**_COMMON, intermediate_size=688, num_key_value_heads=4, **_IDS),
    "qwen2": Qwen2Config(**_COMMON, intermediate_size=1024, num_key_value_heads=2, **_IDS),
    "qwen3": Qwen3Config(**_COMMON, intermediate_size=1024, num_key_value_heads=2, head_dim=64, **_IDS),
    "gemma": GemmaConfig(**_COMMON, intermediate_size=2048, num_key_value_heads=1, head_dim=64, **_IDS),
    "phi": PhiConfig(**_COMMON, intermediate_size=1024, **_IDS),
    "mixtral": MixtralConfig(**_COMMON, intermediate_size=512, num_key_value_heads=2, num_local_experts=8, **_IDS),
}
QUANTISABLE = ("gpt2", "llama", "qwen2", "gemma", "phi")


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_as_published(name: str) -> None:
    """From the config alone, to the last one."""
    assert skeleton_named(name).shape.parameters == PUBLISHED[name]


@pytest.mark.parametrize("dtype", DTYPE_BYTES)
@pytest.mark.parametrize("name", SMALL)
def test_weights_are_what_is_allocated(name: str, dtype: str) -> None:
    """Within 2 %, in each dtype, for each architecture."""
    model = AutoModelForCausalLM.from_config(SMALL[name], dtype=getattr(torch, dtype))
    assert weight_bytes(skeleton(SMALL[name]).shape, dtype, "none") == pytest.approx(_storage_bytes(model), rel=0.02)


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
@pytest.mark.parametrize("name", QUANTISABLE)
def test_quantised_weights_are_what_is_allocated(name: str, bits: str, tmp_path: Path) -> None:
    """Within 2 % of all that bitsandbytes keeps: packed values, scales, scales of scales, code books."""
    AutoModelForCausalLM.from_config(SMALL[name]).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    loaded = load_model(LoadPlan(str(tmp_path), "float32", bits))
    expected = weight_bytes(skeleton(SMALL[name]).shape, "float32", bits)
    assert expected == pytest.approx(_storage_bytes(loaded.model), rel=0.02)


@pytest.mark.parametrize("name", SMALL)
def test_the_total_of_a_batch_is_what_is_allocated(name: str) -> None:
    """Within 15 % of the allocator's peak: 8 prompts of 128 tokens, then 32 more tokens each."""
    model = AutoModelForCausalLM.from_config(SMALL[name], dtype=torch.float32).eval()
    shape = skeleton(SMALL[name]).shape
    rows, workload = 8, Workload(prompt_tokens=128, new_tokens=32)
    peak = _peak(lambda: _generate(model, rows, workload)) + _storage_bytes(model)
    # The model's own cache is computed in place: nothing is moved from prompts' keys and values into slots.
    moved = min(2048, rows * workload.prompt_tokens) * kv_bytes(shape, "float32", 1)
    total = estimate(shape, "float32", "none", rows=rows, workload=workload, gpu=False).total - moved
    assert total == pytest.approx(peak, rel=0.15)


def test_activations_alone_are_what_is_allocated() -> None:
    """Within 5 %, without the weights to hide behind: Llama, 1,024 tokens in one pass."""
    model = AutoModelForCausalLM.from_config(SMALL["llama"], dtype=torch.float32).eval()
    shape = skeleton(SMALL["llama"]).shape
    workload = Workload(prompt_tokens=128, new_tokens=1)
    peak = _peak(lambda: _generate(model, 8, workload, steps=0))
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


def _generate(model: Any, rows: int, workload: Workload, steps: int | None = None) -> None:
    ids = torch.arange(rows * workload.prompt_tokens).reshape(rows, -1) % 1000
    with torch.inference_mode():
        output = model(input_ids=ids, logits_to_keep=1, use_cache=True)
        for _ in range(workload.new_tokens if steps is None else steps):
            scores = output.logits[:, -1].float()
            output = model(
                input_ids=scores.argmax(-1, keepdim=True),
                past_key_values=output.past_key_values,
                logits_to_keep=1,
                use_cache=True,
            )


def _peak(run: Callable[[], None]) -> int:
    """Most bytes that PyTorch's CPU allocator held at a time while `run` ran, above what it held before."""
    run()  # what is made once only
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = profiler.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak


def _storage_bytes(model: Any) -> int:
    """Bytes of all tensors that a model holds on to, those of quantisation included, each storage once."""
    storages: dict[int, int] = {}
    for tensor in [*model.parameters(), *model.buffers(), *_quantisation_tensors(model)]:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def _quantisation_tensors(model: Any) -> list[torch.Tensor]:
    found = []
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        for holder in (state, getattr(state, "state2", None)):
            found += [value for value in vars(holder or object).values() if isinstance(value, torch.Tensor)]
        if isinstance(getattr(parameter, "SCB", None), torch.Tensor):
            found.append(parameter.SCB)
    return found
