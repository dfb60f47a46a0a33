"""A checkpoint's tensors against those of the model that its configuration describes, before a byte of them is read.

Which tensor of a checkpoint becomes which of the model is transformers' business (other prefixes, experts one by
one, matrices in one): so its own loader is run on the meta device, with the names and shapes of the files' headers.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger(__name__)

Shape = tuple[int, ...]
_MASK = re.compile(r"(^|\.)(attn|attention|self_attn)\.((masked_|causal_)?bias|causal_mask)$")
_TABLE = re.compile(r"(inv_freq|position_ids|rotary_emb\.\w+)$")
_HELPS_TO_TRAIN = re.compile(r"\.(eh_proj|enorm|hnorm|shared_head)\.")
_LAYER = re.compile(r"^(?P<stack>.*?[A-Za-z_]\w*)\.(?P<number>\d+)\.")


@dataclass(frozen=True)
class Differences:
    """What a checkpoint and a model do not have in common, by the model's names.

    Attributes:
        missing: of the model's tensors those that the checkpoint lacks; not those that are tied to one that it holds.
        unused: tensors of its layers for which the model has no place.
        mismatched: name, shape in the checkpoint, shape in the model.
        beside: unused tensors outside of the language model: an image encoder, a head that only helped to train.
    """

    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    mismatched: tuple[tuple[str, Shape, Shape], ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def spoil(self) -> bool:
        """Whether the model would compute something else with this checkpoint than what it was trained to."""
        return bool(self.missing or self.unused or self.mismatched)

    @classmethod
    def told(cls, info: Mapping[str, Any]) -> Differences:
        """What transformers says with `output_loading_info`; each unused tensor counts as one beside the model."""
        mismatched = sorted((name, tuple(stored), tuple(own)) for name, stored, own in info["mismatched_keys"])
        missing = sorted(name for name in info["missing_keys"] if not _TABLE.search(name) and not _MASK.search(name))
        return cls(tuple(missing), (), tuple(mismatched), tuple(sorted(info["unexpected_keys"])))


def compare(tensors: Mapping[str, Shape], model: Any, *, quantised: bool = False) -> Differences:
    """How the tensors of a checkpoint differ from those of a model.

    Args:
        tensors: name and shape of each that is stored.
        model: on the meta device, as the configuration describes it.
        quantised: whether the checkpoint comes quantised. A layer is then stored as other tensors below its
            name, so that all that can be seen is whether the layer is there.
    """
    if _is_the_same(tensors, model):
        return Differences()
    info = _loading_info(tensors, model)
    if info is None:
        return Differences()
    told = Differences.told(info)
    unexpected = [name for name in told.beside if not _is_buffer(name, tensors)]
    if quantised:
        return Differences(tuple(name for name in told.missing if not _is_covered(name, unexpected)))
    place = _Place.of(model, unexpected)
    unused = tuple(name for name in unexpected if place.has(name))
    return Differences(told.missing, unused, told.mismatched, tuple(sorted({*unexpected} - {*unused})))


def layer_number(name: str) -> int | None:
    """Which layer a tensor is of; None for one outside of the layers."""
    found = _LAYER.match(name)
    return int(found["number"]) if found else None


def _is_the_same(tensors: Mapping[str, Shape], model: Any) -> bool:
    """Whether every name and shape is the model's own, and what is missing is tied to what is there: the usual case."""
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    tied = getattr(model, "all_tied_weights_keys", None) or {}
    return all(own.get(name) == shape for name, shape in tensors.items()) and all(
        tied.get(name) in tensors for name in own.keys() - tensors.keys()
    )


def _loading_info(tensors: Mapping[str, Shape], model: Any) -> dict[str, Any] | None:
    """What transformers says of loading these tensors into such a model; None if that takes their values."""
    import torch

    with torch.device("meta"):
        state = {name: torch.empty(shape) for name, shape in tensors.items()}
    try:
        with _quiet_transformers():
            _, info = type(model).from_pretrained(
                None,
                config=model.config,
                state_dict=state,
                device_map={"": "meta"},
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except Exception as error:  # a model's own code, or a conversion that looks at values: loading will tell
        logger.debug("The weights could not be compared before they are loaded: %r", error)
        return None
    found: dict[str, Any] = info
    return found


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Without its own table of what is missing, as the message says it."""
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)


def _is_buffer(name: str, tensors: Mapping[str, Shape]) -> bool:
    """Whether it is what old checkpoints kept and models now compute: masks, which have no single dimension, tables."""
    shape = tensors.get(name, ())
    return bool(_TABLE.search(name)) or (bool(_MASK.search(name)) and len(shape) != 1)


def _is_covered(name: str, unexpected: list[str]) -> bool:
    """Whether the layer of a tensor is stored as other tensors."""
    module = name.rpartition(".")[0]
    return any(other.startswith((f"{name}.", f"{name}_", f"{module}.")) for other in unexpected)


@dataclass(frozen=True)
class _Place:
    """Where in a model an unused tensor would be.

    Attributes:
        prefix: of all names of the model, which a checkpoint may leave out.
        modules: names of all modules.
        stacks: names of the lists of layers, as `model.layers`.
        helping: layers that foresee the token after the next one, which help to train and are not loaded.
    """

    prefix: str
    modules: frozenset[str]
    stacks: frozenset[str]
    helping: frozenset[str]

    @classmethod
    def of(cls, model: Any, unexpected: list[str]) -> _Place:
        found = (_LAYER.match(name) for name in model.state_dict())
        stacks = frozenset(match["stack"] for match in found if match)
        modules = frozenset(name for name, _ in model.named_modules() if name)
        helping = (_LAYER.match(name) for name in unexpected if _HELPS_TO_TRAIN.search(name))
        return cls(f"{model.base_model_prefix}.", modules, stacks, frozenset(match[0] for match in helping if match))

    def has(self, name: str) -> bool:
        """Whether it is of a layer or a module that the model computes with, and not a thing of its own beside it."""
        layer = _LAYER.match(name)
        if layer is not None and layer[0] in self.helping:
            return False
        full = (name, self.prefix + name)
        layers = (match["stack"] in self.stacks for one in full if (match := _LAYER.match(one)))
        return any(layers) or any(one.rpartition(".")[0] in self.modules for one in full)
