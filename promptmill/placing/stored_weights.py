"""The tensors of a model as transformers will load them, from what the headers of its checkpoint list.

Checkpoints differ from loaded models: masks and rotary tables were stored once, a tied output layer may be
there as well, experts come one by one and are loaded as one tensor, and layers may follow that only help
to train (DeepSeek's next-token layers).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from promptmill.placing.weights import Weight

Shape = tuple[int, ...]
_BUFFER = re.compile(r"(^|\.)(attn|attention)\.(masked_)?bias$|inv_freq$|position_ids$|rotary_emb\.")
_EXPERT = re.compile(r"^(?P<around>.+\.experts)\.\d+\.(?P<part>w1|w2|w3|gate_proj|up_proj|down_proj)\.weight$")
_DOWN = ("w2", "down_proj")
_OUTPUT = re.compile(r"(^|\.)(lm_head|embed_out)\.")
_EMBEDDING = re.compile(r"embed|\bwte\b|\bwpe\b")
_KEPT = re.compile(r"(^|\.)(gate|router|experts)(\.|$)")
_NUMBER = re.compile(r"(\d+)")
_TURNED = frozenset({"gpt2", "gpt-sw3", "openai-gpt"})
"""Model types whose matrices are stored the other way round (transformers' Conv1D)."""
_OWN_LAYERS = frozenset({"falcon"})
"""Model types whose linear layers are a class of their own, which is not quantised here."""


def loaded_weights(tensors: Mapping[str, Shape], config: Any) -> tuple[Weight, ...]:
    """The tensors that will be loaded, each classified, in the order of the model's layers.

    Args:
        tensors: name and shape of each that is stored, of weights that are not quantised.
        config: of the language model (`text_config`).
    """
    kept = {name: shape for name, shape in tensors.items() if _is_loaded(name, config)}
    named = (_weight(name, shape, config) for name, shape in _with_fused_experts(kept).items())
    return tuple(sorted(named, key=_order))


def _is_loaded(name: str, config: Any) -> bool:
    if _BUFFER.search(name) or (config.tie_word_embeddings and _OUTPUT.search(name)):
        return False
    layer = Weight(name, ()).layer
    number = int(layer.rpartition(".")[2]) if layer and "vision" not in name else 0
    return number < int(config.num_hidden_layers)


def _with_fused_experts(tensors: Mapping[str, Shape]) -> dict[str, Shape]:
    fused: dict[str, Shape] = {}
    experts: dict[str, dict[str, list[Shape]]] = defaultdict(lambda: defaultdict(list))
    for name, shape in tensors.items():
        found = _EXPERT.match(name)
        if found:
            experts[found["around"]]["down_proj" if found["part"] in _DOWN else "gate_up_proj"].append(shape)
        else:
            fused[name] = shape
    for around, parts in experts.items():
        down = parts["down_proj"]
        for part, shapes in parts.items():
            rows = shapes[0][0] * (len(shapes) // max(1, len(down)) if part == "gate_up_proj" else 1)
            fused[f"{around}.{part}"] = (len(down) or len(shapes), rows, *shapes[0][1:])
    return fused


def _weight(name: str, shape: Shape, config: Any) -> Weight:
    linear = len(shape) == 2 and name.endswith(".weight") and not _EMBEDDING.search(name.replace("embed_out", ""))
    linear = linear and not _KEPT.search(name)
    turned = shape[::-1] if linear and config.model_type in _TURNED and not _OUTPUT.search(name) else shape
    quantised = linear and not _OUTPUT.search(name) and config.model_type not in _OWN_LAYERS
    return Weight(name, turned, linear, quantised)


def _order(weight: Weight) -> tuple[int, Iterable[object]]:
    """Embeddings, layers by their number, what follows them, the output layer."""
    if _OUTPUT.search(weight.name):
        place = 3
    elif weight.layer is None:
        place = 0 if _EMBEDDING.search(weight.name) else 2
    else:
        place = 1
    return place, [(0, int(part)) if part.isdigit() else (1, part) for part in _NUMBER.split(weight.name)]
