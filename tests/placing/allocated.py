"""Small models of seven architectures, and what PyTorch really allocates for them."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from transformers import GemmaConfig, GPT2Config, LlamaConfig, MixtralConfig, PhiConfig, Qwen2Config, Qwen3Config

from promptmill.placing.memory import Workload

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


def generate(model: Any, rows: int, workload: Workload, steps: int | None = None) -> None:
    """A pass over prompts, then as many steps as there are new tokens; choosing tokens as the engine does."""
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


def peak_bytes(run: Callable[[], None]) -> int:
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


def storage_bytes(model: Any) -> int:
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
