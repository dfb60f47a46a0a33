"""A model on the meta device: every tensor's size, and not a byte of it.

Made from the config alone, by transformers' own code, so that it is right for any architecture that
can be loaded: what is tied, what is a linear layer, what must not be cut in two.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from promptmill.errors import EngineError
from promptmill.placing.checkpoint import Checkpoint
from promptmill.placing.memory import ModelShape

_EXPERTS_A_TOKEN = ("num_experts_per_tok", "moe_topk", "top_k_experts", "moe_top_k")


@dataclass(frozen=True)
class Skeleton:
    """A model without weights.

    Attributes:
        model: on the meta device, tied as the real one will be.
        matrices: names of the weights that bitsandbytes would quantise.
    """

    model: Any
    matrices: frozenset[str] = field(repr=False)

    @property
    def config(self) -> Any:
        """The part of the config that describes the text model."""
        return self.model.config.get_text_config(decoder=True)

    @cached_property
    def shape(self) -> ModelShape:
        """What the formula needs to know of it."""
        return _shape(self, None)

    def stored(self, checkpoint: Checkpoint) -> ModelShape:
        """The same for weights that come quantised: their bytes are those of the files."""
        return _shape(self, checkpoint.stored_bytes if checkpoint.is_quantised else None)


def skeleton_of(folder: str | Path, gguf: str | None = None) -> Skeleton:
    """The model of a folder, from its config.

    Raises:
        EngineError: transformers does not know the architecture, or it is no causal language model.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, **({"gguf_file": gguf} if gguf else {}))
        return skeleton(config)
    except (OSError, ValueError, KeyError, ImportError, AttributeError) as error:
        raise EngineError(
            f"The config in {folder} describes no model that can be loaded: {' '.join(str(error).split())[:400]}"
        ) from error


def skeleton(config: Any) -> Skeleton:
    """The model that a config describes."""
    import torch
    from transformers import AutoModelForCausalLM

    plain = _without_quantization(config)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(plain, dtype=torch.float32)
    return Skeleton(model, _matrices(model))


def _without_quantization(config: Any) -> Any:
    import copy

    plain = copy.deepcopy(config)
    if getattr(plain, "quantization_config", None) is not None:
        del plain.quantization_config
    return plain


def _matrices(model: Any) -> frozenset[str]:
    """As transformers' quantizers choose: linear layers, without the output layer and what is tied."""
    import torch
    from transformers.pytorch_utils import Conv1D
    from transformers.quantizers.base import HfQuantizer
    from transformers.quantizers.quantizers_utils import should_convert_module

    kept = HfQuantizer.get_modules_to_not_convert(model, None, model._keep_in_fp32_modules)
    return frozenset(
        f"{name}.weight"
        for name, module in model.named_modules()
        if (type(module) is torch.nn.Linear or isinstance(module, Conv1D)) and should_convert_module(name, kept)
    )


def _shape(skeleton: Skeleton, stored_bytes: int | None) -> ModelShape:
    model, config = skeleton.model, skeleton.config
    parameters = dict(model.named_parameters())  # tied ones come once
    matrices = [parameters[name] for name in skeleton.matrices if name in parameters]
    full, windowed, window = _attention_layers(config)
    return ModelShape(
        model_type=str(config.model_type),
        parameters=sum(parameter.numel() for parameter in parameters.values()),
        matrices=sum(matrix.numel() for matrix in matrices),
        matrix_rows=sum(_rows(skeleton, name, parameters) for name in skeleton.matrices if name in parameters),
        matrix_count=len(matrices),
        largest_matrix=max((matrix.numel() for matrix in matrices), default=0),
        buffer_bytes=sum(buffer.numel() * buffer.element_size() for buffer in model.buffers()),
        layers=full,
        window_layers=windowed,
        window=window,
        kv_values=_kv_values(config),
        activation_values=_activation_values(model, config),
        score_heads=_heads(config) if config._attn_implementation == "eager" else 0,
        vocabulary=int(config.vocab_size),
        context=_context(config),
        stored_bytes=stored_bytes,
    )


def _rows(skeleton: Skeleton, name: str, parameters: dict[str, Any]) -> int:
    from transformers.pytorch_utils import Conv1D

    module = skeleton.model.get_submodule(name.removesuffix(".weight"))
    return int(parameters[name].shape[1 if isinstance(module, Conv1D) else 0])


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
        return 2 * _head_size(config)
    kv_heads = getattr(config, "num_key_value_heads", None) or getattr(config, "num_kv_heads", None) or _heads(config)
    return int(2 * kv_heads * _head_size(config))


def _heads(config: Any) -> int:
    return int(getattr(config, "num_attention_heads", 0) or 0)


def _head_size(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // max(1, _heads(config)))


def _activation_values(model: Any, config: Any) -> int:
    """Most values that a token has at a time: the residual, its norm and copies, and the widest part.

    Found by measuring seven architectures (tests/placing/test_memory.py): an MLP holds three times its
    width where gate and up are two matrices, four times where they are one, or where there is no gate.
    """
    hidden = int(config.hidden_size)
    attention = 3 * _heads(config) * _head_size(config) + 2 * _kv_values(config) if _heads(config) else 0
    return 4 * hidden + max(attention - 2 * hidden, _mlp_values(model, hidden, _experts_a_token(config)))


def _mlp_values(model: Any, hidden: int, experts: int) -> int:
    import torch
    from transformers.pytorch_utils import Conv1D

    widest = 0
    for name, module in model.named_modules():
        inner = [
            child.nf if isinstance(child, Conv1D) else child.out_features
            for child_name, child in module.named_children()
            if isinstance(child, (torch.nn.Linear, Conv1D))
            and (child.nx if isinstance(child, Conv1D) else child.in_features) == hidden
        ]
        if "expert" not in name and "attn" not in name and "attention" not in name and name and inner:
            gated = len(inner) >= 2 and inner[0] == inner[1]
            widest = max(widest, 3 * inner[0] if gated else _ungated(module, inner[0]))
        for parameter_name, parameter in module.named_parameters(recurse=False):
            if parameter.dim() == 3 and parameter_name.startswith("gate_up"):  # experts fused into one tensor
                widest = max(widest, experts * (2 * max(parameter.shape[1:]) + hidden))
    return widest


def _ungated(module: Any, width: int) -> int:
    """Four times the width of the MLP; a matrix that makes gate and up at once is twice as wide."""
    narrower = [child.in_features for child in module.children() if hasattr(child, "in_features")]
    return 2 * width if width // 2 in narrower else 4 * width


def _experts_a_token(config: Any) -> int:
    return next((int(value) for name in _EXPERTS_A_TOKEN if (value := getattr(config, name, None))), 1)


def _context(config: Any) -> int | None:
    for name in ("max_position_embeddings", "max_seq_len"):
        size = getattr(config, name, None)
        if isinstance(size, int) and size > 0:
            return size
    return None
