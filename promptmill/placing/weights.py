"""The tensors of a model by name and shape, and what the formula needs to know of them.

However they became known (transformers on the meta device, headers of safetensors, a config alone), the
same functions make the `ModelShape` of them. No torch here.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from promptmill.placing.memory import ModelShape

_EXPERTS_A_TOKEN = ("num_experts_per_tok", "moe_topk", "top_k_experts", "moe_top_k")
_FUSED_EXPERTS = ("gate_up", "input_linear")
_LAYER = re.compile(r"^(?:.+\.)?(?:layers|h|blocks)\.\d+(?=\.)")


@dataclass(frozen=True)
class Weight:
    """One tensor of a model, under the name that transformers gives it.

    Attributes:
        shape: of a linear layer (output features, input features), whichever way round it is stored.
        linear: whether it is the matrix of a linear layer.
        quantised: whether bitsandbytes would quantise it.
    """

    name: str
    shape: tuple[int, ...]
    linear: bool = False
    quantised: bool = False

    @property
    def values(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def layer(self) -> str | None:
        """The decoder layer that it belongs to, as `model.layers.3`; None outside of them."""
        found = _LAYER.match(self.name)
        return found[0] if found else None

    @property
    def module(self) -> str:
        """The module around the layer that holds it: `model.layers.3.mlp` for `model.layers.3.mlp.up_proj.weight`."""
        return ".".join(self.name.split(".")[:-2])


def model_shape(
    weights: Sequence[Weight], config: Any, *, eager: bool, buffer_bytes: int, stored_bytes: int | None = None
) -> ModelShape:
    """What the formula needs to know of a model.

    Args:
        weights: all tensors, those that are tied once.
        config: its attributes have the names that transformers gives them.
        eager: whether attention scores are written out.
        stored_bytes: of a checkpoint that comes quantised.
    """
    matrices = [weight for weight in weights if weight.quantised]
    full, windowed, window = _attention_layers(config)
    return ModelShape(
        model_type=str(config.model_type),
        parameters=sum(weight.values for weight in weights),
        matrices=sum(matrix.values for matrix in matrices),
        matrix_rows=sum(matrix.shape[0] for matrix in matrices),
        matrix_count=len(matrices),
        largest_matrix=max((matrix.values for matrix in matrices), default=0),
        buffer_bytes=buffer_bytes,
        layers=full,
        window_layers=windowed,
        window=window,
        kv_values=_kv_values(config),
        activation_values=_activation_values(weights, config),
        score_heads=_heads(config) if eager else 0,
        vocabulary=int(config.vocab_size),
        context=_context(config),
        stored_bytes=stored_bytes,
    )


def head_size(config: Any) -> int:
    """Values of one attention head."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // max(1, _heads(config)))


def _attention_layers(config: Any) -> tuple[int, int, int | None]:
    """Layers that keep all positions, layers with a sliding window, and how long it is."""
    window = getattr(config, "sliding_window", None)
    if getattr(config, "use_sliding_window", True) is False:
        window = None
    kinds = getattr(config, "layer_types", None)
    if kinds is None:
        kind = "sliding_attention" if window else "full_attention"
        kinds = [kind if _heads(config) else "recurrent"] * config.num_hidden_layers
    windowed = sum(kind in ("sliding_attention", "chunked_attention") for kind in kinds) if window else 0
    full = sum("attention" in kind and "linear" not in kind for kind in kinds) - windowed
    return full, windowed, int(window) if windowed and window else None


def _kv_values(config: Any) -> int:
    """Keys and values that a position adds in a layer."""
    if getattr(config, "kv_lora_rank", None) and getattr(config, "qk_nope_head_dim", None):
        # Latent attention: transformers caches the heads as they are unpacked.
        return int(_heads(config) * (config.qk_nope_head_dim + config.qk_rope_head_dim + config.v_head_dim))
    if getattr(config, "multi_query", False) and not hasattr(config, "num_key_value_heads"):
        return 2 * head_size(config)
    kv_heads = getattr(config, "num_key_value_heads", None) or getattr(config, "num_kv_heads", None) or _heads(config)
    return int(2 * kv_heads * head_size(config))


def _heads(config: Any) -> int:
    return int(getattr(config, "num_attention_heads", 0) or 0)


def _activation_values(weights: Sequence[Weight], config: Any) -> int:
    """Most values that a token has at a time: the residual, its norm and copies, and the widest part.

    Found by measuring seven architectures (tests/placing/test_memory.py): an MLP holds three times its
    width where gate and up are two matrices, four times where they are one, or where there is no gate.
    """
    hidden = int(config.hidden_size)
    attention = 3 * _heads(config) * head_size(config) + 2 * _kv_values(config) if _heads(config) else 0
    return 4 * hidden + max(attention - 2 * hidden, _mlp_values(weights, hidden, _experts_a_token(config)))


def _mlp_values(weights: Sequence[Weight], hidden: int, experts: int) -> int:
    modules: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    for weight in weights:
        if weight.linear:
            modules[weight.module].append(weight.shape)
    widest = 0
    for name, layers in modules.items():
        inner = [rows for rows, columns in layers if columns == hidden]
        if "expert" not in name and "attn" not in name and "attention" not in name and name and inner:
            gated = len(inner) >= 2 and inner[0] == inner[1]
            widest = max(widest, 3 * inner[0] if gated else _ungated(layers, inner[0]))
    for weight in weights:
        if len(weight.shape) == 3 and any(mark in weight.name for mark in _FUSED_EXPERTS):
            widest = max(widest, experts * (2 * max(weight.shape[1:]) + hidden))
    return widest


def _ungated(layers: Sequence[tuple[int, ...]], width: int) -> int:
    """Four times the width of the MLP; a matrix that makes gate and up at once is twice as wide."""
    return 2 * width if width // 2 in [columns for _, columns in layers] else 4 * width


def _experts_a_token(config: Any) -> int:
    return next((int(value) for name in _EXPERTS_A_TOKEN if (value := getattr(config, name, None))), 1)


def _context(config: Any) -> int | None:
    for name in ("max_position_embeddings", "max_seq_len"):
        size = getattr(config, name, None)
        if isinstance(size, int) and size > 0:
            return size
    return None
