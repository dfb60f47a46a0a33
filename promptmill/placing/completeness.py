"""Whether a checkpoint holds a model's weights, all of them and in its shapes.

transformers fills what a checkpoint lacks with random values and says so in a warning, and vLLM 0.32 leaves its
memory as it finds it: a dataset of such rows looks like any other.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from promptmill.errors import EngineError
from promptmill.placing.checkpoint import Checkpoint
from promptmill.placing.compared import Differences, Shape, compare, layer_number
from promptmill.placing.generators import architecture
from promptmill.placing.headers import stored_tensors
from promptmill.placing.sizes import config_key, layers_key

logger = logging.getLogger(__name__)

_SHOWN = 6
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
_OUTPUT = ("lm_head.weight", "embed_out.weight")


def require_all_weights(checkpoint: Checkpoint, model: Any) -> None:
    """See that a checkpoint's files hold a model; of a GGUF file, loading tells (`require_loaded`).

    Args:
        model: on the meta device, as the checkpoint's configuration describes it.

    Raises:
        EngineError: tensors are missing, have no place in the model, or have another shape.
    """
    if checkpoint.gguf is not None:
        return
    tensors = {tensor.name: tensor.shape for tensor in stored_tensors(checkpoint.folder)}
    found = compare(tensors, model, quantised=checkpoint.is_quantised)
    if found.spoil:
        raise EngineError(_refusal(found, str(checkpoint.folder), model, tensors))
    if found.beside:
        logger.warning(
            "The model's files hold tensors that its language model has no use for; they are left out: %s.",
            _listed(found.beside),
        )


def require_loaded(folder: str, model: Any, info: Mapping[str, Any]) -> None:
    """See that loading found every weight of a model.

    Args:
        info: what transformers says with `output_loading_info`.

    Raises:
        EngineError: some are missing, or have another shape.
    """
    found = Differences.told(info)
    if found.spoil:
        raise EngineError(_refusal(found, folder, model, {}))


def _refusal(found: Differences, folder: str, model: Any, tensors: Mapping[str, Shape]) -> str:
    parts = []
    if found.missing:
        parts.append(f"they lack {_listed(found.missing)}")
    if found.unused:
        parts.append(f"the model has no place for {_listed(found.unused)}")
    for name, stored, own in found.mismatched[:_SHOWN]:
        parts.append(f"{name} is {_shape(stored)} in the files and {_shape(own)} in the model")
    if len(found.mismatched) > _SHOWN:
        parts.append(f"so are {len(found.mismatched) - _SHOWN} more of another shape")
    return (
        f"The weights in {folder} are not those of the {type(model).__name__} that its config.json describes: "
        f"{'; '.join(parts)}. Its rows would not be those of the model that was trained, so it is not loaded. "
        f"{_cure(found, model, tensors)}"
    )


def _cure(found: Differences, model: Any, tensors: Mapping[str, Shape]) -> str:
    config = model.config.get_text_config(decoder=True)
    for name, stored, own in found.mismatched:
        said = config_key(name, stored, own, config)
        if said is not None:
            key, value, wanted = said
            return (
                f"{key} is {value} in config.json, and the files say {wanted}: correct it, or copy the whole model "
                "again."
            )
    layers = _layers(tensors, model)
    own_layers = int(getattr(config, "num_hidden_layers", 0) or 0)
    if layers and layers != own_layers and not found.mismatched:
        return (
            f"{layers_key(config)} is {own_layers} in config.json, and the files hold {layers} layers: correct it, "
            "or copy the whole model again."
        )
    foreign = [name for name in found.beside if layer_number(name) is not None]
    if foreign and any(layer_number(name) is not None for name in found.missing):
        return (
            f"The names are those of another library, as {foreign[0]}. Convert the checkpoint for transformers, or "
            "choose a repository that holds it so."
        )
    if found.missing and set(found.missing) <= set(_OUTPUT):
        return (
            f"config.json names {architecture(model.config)}. If that has no output layer, choose a model that has one "
            "(...ForCausalLM); if its output layer is its embedding, set tie_word_embeddings to true in config.json; "
            "else copy the whole model again."
        )
    return "Copy the whole model again, or choose another revision of it."


def _layers(tensors: Mapping[str, Shape], model: Any) -> int:
    """How many layers the files hold, if they number them as the model does."""
    prefix = model.base_model_prefix
    stacks = {name.split(".0.")[0] for name in model.state_dict() if ".0." in name}
    stacks |= {stack.removeprefix(f"{prefix}.") for stack in stacks}
    numbers = [
        number
        for name in tensors
        if (number := layer_number(name)) is not None and name.split(f".{number}.")[0] in stacks
    ]
    return max(numbers, default=-1) + 1


def _listed(names: Iterable[str]) -> str:
    """Names, layers of one kind together: `model.layers.{0-31}.mlp.up_proj.weight`."""
    kinds: dict[str, list[int]] = defaultdict(list)
    for name in names:
        numbers = _NUMBER.findall(name)
        kinds[_NUMBER.sub("{}", name, count=1)].append(int(numbers[0]) if numbers else -1)
    shown = [kind.format(_range(sorted(numbers))) if "{}" in kind else kind for kind, numbers in kinds.items()]
    more = f" and {len(shown) - _SHOWN} more of other names" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more


def _range(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return str(numbers[0])
    return "{" + f"{numbers[0]}-{numbers[-1]}" + "}"


def _shape(shape: Shape) -> str:
    return " × ".join(map(str, shape)) or "a single number"
