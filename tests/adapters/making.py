"""A tiny base, and adapters for it that peft makes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import peft
import torch

from tests.engine.tiny import byte_tokenizer, tiny_model

LAYERS = ["q_proj", "v_proj", "down_proj"]


def save_base(folder: Path) -> Path:
    """A whole model: weights and tokenizer."""
    tiny_model().save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def save_adapter(folder: Path, base: Path | str, config: Any = None, model: Any = None) -> Path:
    """An adapter with weights as after a training: none of them zero, so that it changes what the base says."""
    config = config or peft.LoraConfig(r=4, lora_alpha=16, target_modules=LAYERS, task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for a name that will go
        wrapped = peft.get_peft_model(model or tiny_model(), config)
    torch.manual_seed(3)
    for name, weight in wrapped.named_parameters():
        if weight.requires_grad:
            with torch.no_grad():
                weight.add_(torch.randn_like(weight) * (0.01 if "magnitude" in name else 0.3))
    wrapped.peft_config["default"].base_model_name_or_path = str(base)
    wrapped.save_pretrained(folder, save_embedding_layers=False)  # "auto" would ask the Hub about the base
    return folder


def greedy_tokens(model: Any, prompt: str, count: int = 12) -> list[int]:
    """What transformers' own loop generates, at most `count` tokens."""
    ids = torch.tensor([list(prompt.encode())])
    said = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=count, pad_token_id=0
    )
    return [int(token) for token in said[0, ids.shape[1] :]]
