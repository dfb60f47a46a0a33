"""A model on the meta device: every tensor's size, and not a byte of it.

Made from the config alone, by transformers' own code, so that it is right for any architecture that
can be loaded: what is tied, what is a linear layer, what must not be cut in two.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from promptmill.errors import EngineError
from promptmill.placing.checkpoint import Checkpoint
from promptmill.placing.generators import auto_class, require_generator
from promptmill.placing.memory import ModelShape
from promptmill.placing.remote_code import running_code
from promptmill.placing.weights import Weight, model_shape


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
    def weights(self) -> tuple[Weight, ...]:
        """All of its tensors."""
        return _weights(self.model, self.matrices)

    @property
    def layers(self) -> frozenset[str]:
        """Names of the modules that must not be cut in two."""
        classes = self.model._no_split_modules or []
        return frozenset(name for name, module in self.model.named_modules() if type(module).__name__ in classes)

    @cached_property
    def shape(self) -> ModelShape:
        """What the formula needs to know of it."""
        return _shape(self, None)

    def stored(self, checkpoint: Checkpoint) -> ModelShape:
        """The same for weights as they come: quantised ones take the bytes of their files, an adapter adds its own."""
        shape = _shape(self, checkpoint.stored_bytes if checkpoint.is_quantised else None)
        return replace(shape, buffer_bytes=shape.buffer_bytes + checkpoint.adapter_bytes)


def skeleton_of(folder: str | Path, gguf: str | None = None, *, remote_code: bool = False) -> Skeleton:
    """The model of a folder, from its config.

    Raises:
        ConfigurationError: it needs Python code of its own, which may not be run.
        EngineError: transformers does not know the architecture, or it is none that writes text.
    """
    from transformers import AutoConfig

    try:
        with running_code(folder, remote_code):
            config = AutoConfig.from_pretrained(
                folder, trust_remote_code=remote_code, **({"gguf_file": gguf} if gguf else {})
            )
            require_generator(config, folder)
            return skeleton(config, remote_code=remote_code)
    except (OSError, ValueError, KeyError, ImportError, AttributeError) as error:
        raise EngineError(
            f"The config in {folder} describes no model that can be loaded: {' '.join(str(error).split())[:400]}"
        ) from error


def skeleton(config: Any, *, remote_code: bool = False) -> Skeleton:
    """The model that a config describes."""
    import torch

    plain = _without_quantization(config)
    with torch.device("meta"):
        model = auto_class(config).from_config(plain, dtype=torch.float32, trust_remote_code=remote_code)
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


def _weights(model: Any, matrices: frozenset[str]) -> tuple[Weight, ...]:
    return tuple(
        _weight(model.get_submodule(name.rpartition(".")[0]), name, tuple(parameter.shape), name in matrices)
        for name, parameter in model.named_parameters()  # tied ones come once
    )


def _weight(module: Any, name: str, shape: tuple[int, ...], quantised: bool) -> Weight:
    import torch
    from transformers.pytorch_utils import Conv1D

    linear = isinstance(module, (torch.nn.Linear, Conv1D)) and name.endswith(".weight")
    turned = shape[::-1] if linear and isinstance(module, Conv1D) else shape
    return Weight(name, turned, linear, quantised)


def _shape(skeleton: Skeleton, stored_bytes: int | None) -> ModelShape:
    return model_shape(
        skeleton.weights,
        skeleton.config,
        eager=skeleton.config._attn_implementation == "eager",
        buffer_bytes=sum(buffer.numel() * buffer.element_size() for buffer in skeleton.model.buffers()),
        stored_bytes=stored_bytes,
    )
