"""One copy over several devices: which layer goes where, and how many bytes that makes on each.

Two ways of choosing agree (a test holds them against each other): `Splitter` asks accelerate with the
model on the meta device, as a run does; `PlainSplitter` (module `plain_split`) needs no torch.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from promptmill.placing.memory import DTYPE_BYTES, NF4_BYTES, ModelShape, packing, weight_bytes
from promptmill.placing.options import Device
from promptmill.placing.shape import Skeleton
from promptmill.placing.weights import Weight


@dataclass(frozen=True)
class Split:
    """Where the parts of a model go.

    Attributes:
        device_map: module → GPU index, `cpu` or `disk`.
        weights: bytes a device.
        layers: decoder layers a device.
        largest_layer: bytes of the largest part that is never cut.
    """

    device_map: dict[str, Device]
    weights: dict[Device, int]
    layers: dict[Device, int]
    largest_layer: int

    @property
    def devices(self) -> set[Device]:
        """The devices that got something."""
        return set(self.device_map.values())


class Splitting(Protocol):
    """Splits one model, in one dtype and quantization at a time."""

    def split(self, dtype: str, quantization: str, budgets: Mapping[Device, int]) -> Split:
        """Fill the devices in order, each up to its budget; what is left over goes to `disk`."""

    def balanced(self, dtype: str, quantization: str, budgets: Mapping[Device, int]) -> Split:
        """Like `split`, but every GPU gets about as much, so that each has as much room for its rows."""

    def measured(self, device_map: dict[str, Device], dtype: str, quantization: str) -> Split:
        """How much lies where."""


class Splitter:
    """As accelerate decides.

    No layer is cut in two: the classes that transformers marks so (`_no_split_modules`) stay whole.
    accelerate keeps room for the largest layer on the first GPU and in host memory, for what may
    have to pass through.
    """

    def __init__(self, skeleton: Skeleton, shape: ModelShape) -> None:
        self._skeleton = skeleton
        self._shape = shape

    def split(self, dtype: str, quantization: str, budgets: Mapping[Device, int]) -> Split:
        """As `Splitting.split`."""
        from accelerate.utils import infer_auto_device_map

        with _without_complaints():
            device_map = infer_auto_device_map(
                self._skeleton.model,
                max_memory=scaled_budgets(self._shape, dtype, quantization, budgets),
                **self._how(dtype, quantization),
            )
        return self.measured(dict(device_map), dtype, quantization)

    def balanced(self, dtype: str, quantization: str, budgets: Mapping[Device, int]) -> Split:
        """As `Splitting.balanced`."""
        from accelerate.utils import get_balanced_memory, infer_auto_device_map

        how = self._how(dtype, quantization)
        scaled = scaled_budgets(self._shape, dtype, quantization, budgets)
        with _without_complaints():
            even = get_balanced_memory(self._skeleton.model, max_memory=scaled, **how)
            device_map = infer_auto_device_map(self._skeleton.model, max_memory=even, **how)
        return self.measured(dict(device_map), dtype, quantization)

    def measured(self, device_map: dict[str, Device], dtype: str, quantization: str) -> Split:
        """As `Splitting.measured`."""
        sizes = weight_sizes(self._skeleton.weights, self._shape, dtype, quantization)
        return measured_split(device_map, sizes, self._skeleton.layers)

    def _how(self, dtype: str, quantization: str) -> dict[str, Any]:
        import torch
        from accelerate.utils import CustomDtype

        kinds = {"4bit": CustomDtype.INT4, "8bit": torch.int8}
        kind = kinds.get(packing(quantization))
        return {
            "no_split_module_classes": list(self._skeleton.model._no_split_modules or []),
            "dtype": dtype,
            "special_dtypes": None if kind is None else dict.fromkeys(self._skeleton.matrices, kind),
        }


def weight_sizes(weights: Sequence[Weight], shape: ModelShape, dtype: str, quantization: str) -> dict[str, int]:
    """Bytes of each tensor, which together are those of the formula."""
    total = weight_bytes(shape, dtype, quantization) - shape.buffer_bytes
    plain = DTYPE_BYTES[dtype]
    packed = {"none": float(plain), "8bit": 1.0, "4bit": NF4_BYTES}[packing(quantization)]
    raw = {weight.name: weight.values * (packed if weight.quantised else plain) for weight in weights}
    share = total / max(1.0, sum(raw.values()))
    return {name: int(size * share) for name, size in raw.items()}


def counted_bytes(dtype: str, quantization: str) -> float:
    """Bytes of a quantised value as accelerate counts them: half a byte in 4 bits, and nothing for scales."""
    return {"none": float(DTYPE_BYTES[dtype]), "8bit": 1.0, "4bit": 0.5}[packing(quantization)]


def scaled_budgets(
    shape: ModelShape, dtype: str, quantization: str, budgets: Mapping[Device, int]
) -> dict[Device, int]:
    """Budgets for `counted_bytes`: smaller by what these leave out."""
    counted = shape.matrices * counted_bytes(dtype, quantization)
    counted += (shape.parameters - shape.matrices) * DTYPE_BYTES[dtype]
    scale = counted / max(1, weight_bytes(shape, dtype, quantization))
    return {device: max(0, int(size * scale)) for device, size in budgets.items()}


def measured_split(device_map: dict[str, Device], sizes: Mapping[str, int], layers: Collection[str]) -> Split:
    """How much lies where.

    Args:
        sizes: bytes of each tensor.
        layers: modules that are never cut.
    """
    weights: Counter[Device] = Counter()
    groups: Counter[str] = Counter()
    for name, size in sizes.items():
        weights[_place(device_map, name)] += size
        groups[next((layer for layer in _around(name) if layer in layers), name)] += size
    on_devices = Counter(_place(device_map, name) for name in layers)
    return Split(device_map, dict(weights), dict(on_devices), max(groups.values(), default=0))


def _place(device_map: Mapping[str, Device], name: str) -> Device:
    return next((device_map[part] for part in _around(name) if part in device_map), "cpu")


def _around(name: str) -> Iterator[str]:
    """The name, the module around it, the one around that, ..., and the whole model."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        yield ".".join(parts[:length])
    yield ""


@contextmanager
def _without_complaints() -> Iterator[None]:
    """accelerate warns of each GPU that this machine lacks, which a plan for another machine may name."""
    logger = logging.getLogger("accelerate.utils.modeling")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
