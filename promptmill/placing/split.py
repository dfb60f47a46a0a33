"""One copy over several devices: accelerate decides, on the meta device, which layer goes where."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from promptmill.placing.memory import DTYPE_BYTES, NF4_BYTES, ModelShape, packing, weight_bytes
from promptmill.placing.options import Device
from promptmill.placing.shape import Skeleton


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


class Splitter:
    """Splits one model, in one dtype and quantization at a time."""

    def __init__(self, skeleton: Skeleton, shape: ModelShape) -> None:
        self._skeleton = skeleton
        self._shape = shape

    def split(self, dtype: str, quantization: str, budgets: Mapping[Device, int]) -> Split:
        """Fill the devices in order, each up to its budget; what is left over goes to `disk`.

        No layer is cut in two: the classes that transformers marks so (`_no_split_modules`) stay whole.
        accelerate keeps room for the largest layer on the first GPU and in host memory, for what may
        have to pass through.
        """
        from accelerate.utils import infer_auto_device_map

        with _without_complaints():
            device_map = infer_auto_device_map(
                self._skeleton.model,
                max_memory=self._scaled(dtype, quantization, budgets),
                **self._how(dtype, quantization),
            )
        return self.measured(dict(device_map), dtype, quantization)

    def balanced(self, dtype: str, quantization: str, budgets: Mapping[Device, int]) -> Split:
        """Like `split`, but every GPU gets about as much, so that each has as much room for its rows."""
        from accelerate.utils import get_balanced_memory, infer_auto_device_map

        how = self._how(dtype, quantization)
        with _without_complaints():
            even = get_balanced_memory(
                self._skeleton.model, max_memory=self._scaled(dtype, quantization, budgets), **how
            )
            device_map = infer_auto_device_map(self._skeleton.model, max_memory=even, **how)
        return self.measured(dict(device_map), dtype, quantization)

    def measured(self, device_map: dict[str, Device], dtype: str, quantization: str) -> Split:
        """How much lies where."""
        sizes = self._sizes(dtype, quantization)
        places = {name: _place(device_map, name) for name in sizes}
        weights: Counter[Device] = Counter()
        for name, size in sizes.items():
            weights[places[name]] += size
        groups: Counter[str] = Counter()
        whole: dict[str, Device] = {}
        for name, module in self._skeleton.model.named_modules():
            if type(module).__name__ in (self._skeleton.model._no_split_modules or []):
                whole[name] = _place(device_map, name)
        for name, size in sizes.items():
            groups[next((layer for layer in whole if name.startswith(f"{layer}.")), name)] += size
        layers = Counter(whole.values())
        return Split(device_map, dict(weights), dict(layers), max(groups.values(), default=0))

    def _sizes(self, dtype: str, quantization: str) -> dict[str, int]:
        total = weight_bytes(self._shape, dtype, quantization) - self._shape.buffer_bytes
        plain = DTYPE_BYTES[dtype]
        packed = _packed(quantization, plain)
        raw = {
            name: parameter.numel() * (packed if name in self._skeleton.matrices else plain)
            for name, parameter in self._skeleton.model.named_parameters()
        }
        share = total / max(1.0, sum(raw.values()))
        return {name: int(size * share) for name, size in raw.items()}

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

    def _scaled(self, dtype: str, quantization: str, budgets: Mapping[Device, int]) -> dict[Device, int]:
        """accelerate counts half a byte a 4-bit value, and nothing for scales: shrink the budgets instead."""
        plain = DTYPE_BYTES[dtype]
        counted = self._shape.matrices * {"none": plain, "8bit": 1, "4bit": 0.5}[packing(quantization)]
        counted += (self._shape.parameters - self._shape.matrices) * plain
        scale = counted / max(1, weight_bytes(self._shape, dtype, quantization))
        return {device: max(0, int(size * scale)) for device, size in budgets.items()}


def _packed(quantization: str, plain: int) -> float:
    return {"none": float(plain), "8bit": 1.0, "4bit": NF4_BYTES}[packing(quantization)]


def _place(device_map: Mapping[str, Device], name: str) -> Device:
    parts = name.split(".")
    for length in range(len(parts), -1, -1):
        prefix = ".".join(parts[:length])
        if prefix in device_map:
            return device_map[prefix]
    return "cpu"


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
