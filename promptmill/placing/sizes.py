"""Which key of a model's configuration says how large a tensor is."""

from __future__ import annotations

import re
from typing import Any

Shape = tuple[int, ...]
_LIKELY = (
    (re.compile(r"embed|lm_head|\bwte\b|word_embeddings"), "vocab_size"),
    (re.compile(r"\bwpe\b|embed_positions"), "max_position_embeddings"),
    (re.compile(r"experts"), "moe_intermediate_size"),
    (re.compile(r"mlp|feed_forward|fc[12]|experts"), "intermediate_size"),
    (re.compile(r"[kv]_proj"), "num_key_value_heads"),
    (re.compile(r"[qo]_proj"), "num_attention_heads"),
    (re.compile(r""), "hidden_size"),
)
"""The size that tensors of such a name have, most telling first."""
_WHOLE = ("vocab_size", "max_position_embeddings")
"""Sizes that no tensor has a multiple of; heads and widths are stored several times in one."""


def config_key(name: str, stored: Shape, own: Shape, config: Any) -> tuple[str, int, int] | None:
    """The key behind a shape, its value, and the value that the stored shape calls for; None if no key is behind it.

    Args:
        stored, own: of one tensor, in the checkpoint and in the model of the configuration.
        config: of the language model.
    """
    if len(stored) != len(own):
        return None
    for there, here in zip(stored, own, strict=True):
        if there != here:
            for pattern, size in _LIKELY:
                if pattern.search(name) and (found := _value(size, there, here, config)) is not None:
                    return found
    return None


def layers_key(config: Any) -> str:
    """The key that says how many layers there are."""
    return _key("num_hidden_layers", config)


def _value(size: str, there: int, here: int, config: Any) -> tuple[str, int, int] | None:
    value = getattr(config, size, None)
    if not isinstance(value, int) or not value:
        return None
    times = here // value
    if not times or here % value or there % times or (times > 1 and size in _WHOLE):
        return None
    return _key(size, config), value, there // times


def _key(size: str, config: Any) -> str:
    """As config.json names it: GPT-2 says n_embd for hidden_size."""
    return str((getattr(config, "attribute_map", None) or {}).get(size, size))
