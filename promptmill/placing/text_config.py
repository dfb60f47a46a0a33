"""A config.json read as transformers reads it, without transformers: the names it uses and the defaults it fills in."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from promptmill.errors import ConfigurationError

_OTHER_NAMES = {
    "hidden_size": ("n_embd", "d_model"),
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("n_head", "n_heads"),
    "intermediate_size": ("n_inner", "ffn_dim", "ffn_hidden_size"),
    "max_position_embeddings": ("n_positions",),
}
_NESTED = ("text_config", "language_config", "llm_config")
_NEEDED = ("model_type", "vocab_size", "hidden_size", "num_hidden_layers")
_DEFAULTS: dict[str, dict[str, Any]] = {
    # What published configs leave out, as transformers fills it in.
    "gpt2": {"vocab_size": 50_257, "max_position_embeddings": 1_024},
    "gemma": {"head_dim": 256},
    "gemma2": {"head_dim": 256, "sliding_window": 4_096},
    "gemma3_text": {
        "vocab_size": 262_208,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "sliding_window": 4_096,
        "max_position_embeddings": 131_072,
    },
    "qwen2": {"use_sliding_window": False},
    "qwen2_moe": {"use_sliding_window": False},
    "qwen3": {"use_sliding_window": False, "head_dim": 128},
    "qwen3_moe": {"use_sliding_window": False},
}
_FULL_ATTENTION_EVERY = {"gemma2": 2, "gemma3_text": 6}
_TIED = frozenset(
    {
        "bloom", "cohere", "cohere2", "ernie4_5", "falcon", "falcon_mamba", "gemma", "gemma2", "gemma3", "gemma3_text",
        "gemma3n_text", "gemma4_text", "gpt2", "gpt_bigcode", "gpt_neo", "lfm2", "lfm2_moe", "lfm3", "mamba",
        "minicpm3", "mpt", "openai-gpt", "opt", "recurrent_gemma", "smollm3", "starcoder2", "vaultgemma", "xglm",
        "zamba", "zamba2",
    }
)  # fmt: skip
"""Model types whose output layer is the embedding unless the config says otherwise."""
_EAGER = frozenset(
    {
        "bloom", "codegen", "falcon_mamba", "gemma2", "gpt_neo", "gpt_neox_japanese", "gpt_oss", "gptj", "granite_swa",
        "mamba", "mamba2", "mpt", "openai-gpt", "rwkv", "vaultgemma", "xglm", "xlstm",
    }
)  # fmt: skip
"""Model types for which transformers has no fused attention, so that scores are written out."""


def text_config(config: Mapping[str, Any]) -> SimpleNamespace:
    """The part of a config that describes the language model, by transformers' own names.

    Raises:
        ConfigurationError: something that has to be there is not.
    """
    nested = next((config[name] for name in _NESTED if isinstance(config.get(name), dict)), None)
    plain = dict(config) if nested is None else {"model_type": config.get("model_type"), **nested}
    for name, others in _OTHER_NAMES.items():
        found = next((plain[other] for other in others if plain.get(other) is not None), None)
        if plain.get(name) is None and found is not None:
            plain[name] = found
    kind = str(plain.get("model_type"))
    for name, value in _DEFAULTS.get(kind, {}).items():
        plain.setdefault(name, value)
    missing = [name for name in _NEEDED if not plain.get(name)]
    if missing:
        raise ConfigurationError(
            f"The config of the model lacks {' and '.join(missing)}, so its size cannot be worked out "
            f"(model_type is {plain.get('model_type')!r}). Choose a model that transformers can load, or complete its "
            "config.json."
        )
    plain.setdefault("tie_word_embeddings", config.get("tie_word_embeddings", kind in _TIED))
    plain.setdefault("layer_types", _layer_types(kind, plain))
    return SimpleNamespace(**plain)


def writes_scores(config: Any) -> bool:
    """Whether attention scores are written out in full."""
    return config.model_type in _EAGER


def _layer_types(kind: str, plain: Mapping[str, Any]) -> list[str] | None:
    """Which layers look back over all positions, where a rule of the model type says so."""
    every = plain.get("sliding_window_pattern") or _FULL_ATTENTION_EVERY.get(kind)
    if not isinstance(every, int) or not plain.get("sliding_window"):
        return None
    layers = range(1, int(plain["num_hidden_layers"]) + 1)
    return ["sliding_attention" if number % every else "full_attention" for number in layers]
