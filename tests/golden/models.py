"""The models of the golden runs: two of random weights, small enough to lie in the archive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, LlamaConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from tests.engine.tiny import BOS, EOS, VOCABULARY, byte_tokenizer

CHAT, PLAIN = "golden/chat", "golden/plain"
CONTEXT = 128
_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "initializer_range": 0.5,
    "tie_word_embeddings": False,
}
_TEXT = {EOS, *"abcdefghijklmnopqrstuvwxyzé ,.".encode()}


def save_models(folder: Path) -> None:
    """Save a Llama with a chat template and a GPT-2 without one, each in a folder of its repository's name."""
    llama = LlamaConfig(
        **_COMMON,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=CONTEXT,
        pad_token_id=None,
    )
    gpt2 = GPT2Config(**_COMMON, n_embd=16, n_layer=2, n_head=2, n_positions=CONTEXT)
    _save(llama, folder / CHAT, seed=0, chat=True)
    _save(gpt2, folder / PLAIN, seed=3, chat=False)


def _save(config: Any, folder: Path, *, seed: int, chat: bool) -> None:
    model = _random_model(config, seed)
    model.generation_config.eos_token_id = [EOS]
    model.save_pretrained(folder)
    tokenizer = byte_tokenizer()
    if not chat:
        tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A model of random weights\n")


def _random_model(config: Any, seed: int) -> Any:
    """Weights in eighths, which take little room; bytes that are no letters are unlikely."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(8).round_().div_(8)
        for token in set(range(VOCABULARY)) - _TEXT:
            model.lm_head.weight[token] /= 4
    return model
