"""A model as its config and the headers of its checkpoint describe it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from promptmill.errors import ConfigurationError
from promptmill.placing.architectures import known_weights, likely_weights
from promptmill.placing.checkpoint import PLAIN, stored_quantization
from promptmill.placing.headers import StoredTensor
from promptmill.placing.memory import ModelShape
from promptmill.placing.plain_split import PlainSplitter
from promptmill.placing.stored_weights import loaded_weights
from promptmill.placing.text_config import text_config, writes_scores
from promptmill.placing.weights import Weight, head_size, model_shape

GGUF = "gguf"
_NO_BUFFERS = ("gpt2", "opt", "bloom")
_ROTARY_BYTES = 4
"""Two float32 tables of half a head's size each."""


@dataclass(frozen=True)
class Source:
    """What was read of a model.

    Attributes:
        name: as people may read it.
        model: as `--model` takes it.
        kind: demo, local or hub.
        revision: commit of a Hub model; None for others.
        config: config.json.
        tensors: what the headers list; None if there are no safetensors.
        gguf: whether the weights come as a GGUF file, which is unpacked as it is loaded.
        note: what should be said about it.
    """

    name: str
    model: str
    kind: str
    revision: str | None
    config: Mapping[str, Any]
    tensors: Sequence[StoredTensor] | None
    gguf: bool = False
    note: str | None = None


@dataclass(frozen=True)
class KnownModel:
    """A model that was never loaded.

    Attributes:
        quantization: what the weights come as, `none` for plain ones.
        exact: whether parameters were counted, not guessed from a config of an unknown kind.
    """

    source: Source
    config: SimpleNamespace
    weights: tuple[Weight, ...]
    shape: ModelShape
    quantization: str
    exact: bool

    @cached_property
    def splitter(self) -> PlainSplitter:
        """Splits it over GPUs."""
        return PlainSplitter(self.weights, self.shape)

    @property
    def stored_bytes(self) -> int | None:
        """Bytes of its weights on the Hub or on disk; None if no header says."""
        return None if self.source.tensors is None else sum(tensor.nbytes for tensor in self.source.tensors)

    @property
    def stored_dtype(self) -> str | None:
        """The dtype of most of what is stored, as safetensors name it; None if no header says."""
        sizes: Counter[str] = Counter()
        for tensor in self.source.tensors or ():
            sizes[tensor.dtype] += tensor.nbytes
        return max(sizes, key=lambda name: sizes[name], default=None)

    @property
    def is_packed(self) -> bool:
        """Whether the weights come quantised (or as a GGUF), so that no other quantization can be chosen."""
        return self.quantization != PLAIN


def known_model(source: Source) -> KnownModel:
    """What the config and the headers come to.

    Raises:
        ConfigurationError: they do not say enough.
    """
    config = text_config(source.config)
    method, quantization = stored_quantization(dict(source.config))
    weights, exact = _weights(source, config, plain=method is None)
    shape = model_shape(
        weights,
        config,
        eager=writes_scores(config),
        buffer_bytes=0 if config.model_type in _NO_BUFFERS else _ROTARY_BYTES * head_size(config),
        stored_bytes=None if method is None else _stored_bytes(source),
    )
    return KnownModel(source, config, weights, shape, GGUF if source.gguf else quantization, exact)


def _weights(source: Source, config: SimpleNamespace, *, plain: bool) -> tuple[tuple[Weight, ...], bool]:
    if plain and source.tensors is not None:
        return loaded_weights({tensor.name: tensor.shape for tensor in source.tensors}, config), True
    try:
        known = known_weights(config) or (() if plain else likely_weights(config))
    except AttributeError as error:
        raise ConfigurationError(
            f"The config of {source.name} lacks {error.name}, so its size cannot be worked out from it alone. "
            "Complete its config.json, or choose a checkpoint with safetensors."
        ) from error
    if not known:
        raise ConfigurationError(
            f"The architecture {config.model_type!r} of {source.name} can only be sized from the headers of "
            "safetensors, and there are none. Choose a --revision with safetensors (often refs/pr/1; see the model's "
            "pull requests on the Hub), or a folder that has them."
        )
    return known, plain or known_weights(config) is not None


def _stored_bytes(source: Source) -> int:
    if source.tensors is None:
        raise ConfigurationError(
            f"{source.name} comes quantised, and only the headers of safetensors tell how large it is; there are none. "
            "Choose a checkpoint with safetensors."
        )
    return sum(tensor.nbytes for tensor in source.tensors)
