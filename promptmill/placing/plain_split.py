"""The choice of accelerate's `infer_auto_device_map` and `get_balanced_memory`, made from names and sizes alone.

Devices are filled in order. A module that does not fit is opened and its parts are tried, save a decoder
layer, which stays whole. On the first GPU (and in host memory) room is kept for the largest layer to come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from promptmill.placing.memory import DTYPE_BYTES, ModelShape
from promptmill.placing.options import Device
from promptmill.placing.split import Split, counted_bytes, measured_split, scaled_budgets, weight_sizes
from promptmill.placing.weights import Weight

_MARGIN = 1.25
"""Of the largest layer, what each GPU gets beyond its even share (accelerate's figure)."""


@dataclass
class _Module:
    """A module, or a tensor of one.

    Attributes:
        whole: whether it must not be opened.
    """

    name: str
    size: float = 0.0
    whole: bool = False
    parts: dict[str, _Module] = field(default_factory=dict)

    @property
    def opened(self) -> list[_Module]:
        """What it consists of; nothing for a layer, or for one that holds tensors only."""
        inner = [part for part in self.parts.values() if part.parts]
        return [] if self.whole or not inner else list(self.parts.values())


class PlainSplitter:
    """Splits a model of which only names and shapes are known."""

    def __init__(self, weights: Sequence[Weight], shape: ModelShape) -> None:
        self._weights = weights
        self._shape = shape
        self._layers = frozenset(layer for weight in weights if (layer := weight.layer))
        self._model = lru_cache(self._made)
        self._sizes = lru_cache(self._weighed)

    def split(self, dtype: str, quantization: str, budgets: Mapping[Device, int]) -> Split:
        """As `Splitting.split`."""
        scaled = scaled_budgets(self._shape, dtype, quantization, budgets)
        return self.measured(_filled(self._model(dtype, quantization), scaled), dtype, quantization)

    def balanced(self, dtype: str, quantization: str, budgets: Mapping[Device, int]) -> Split:
        """As `Splitting.balanced`."""
        model = self._model(dtype, quantization)
        even = _even(model, scaled_budgets(self._shape, dtype, quantization, budgets))
        return self.measured(_filled(model, even), dtype, quantization)

    def measured(self, device_map: dict[str, Device], dtype: str, quantization: str) -> Split:
        """As `Splitting.measured`."""
        return measured_split(device_map, self._sizes(dtype, quantization), self._layers)

    def _weighed(self, dtype: str, quantization: str) -> dict[str, int]:
        return weight_sizes(self._weights, self._shape, dtype, quantization)

    def _made(self, dtype: str, quantization: str) -> _Module:
        plain, packed = DTYPE_BYTES[dtype], counted_bytes(dtype, quantization)
        root = _Module("")
        for weight in self._weights:
            size = weight.values * (packed if weight.quantised else plain)
            self._add(root, weight.name, size)
        return root

    def _add(self, root: _Module, name: str, size: float) -> None:
        module = root
        module.size += size
        for part in name.split("."):
            inner = f"{module.name}.{part}".lstrip(".")
            module = module.parts.setdefault(part, _Module(inner, whole=inner in self._layers))
            module.size += size


def _filled(model: _Module, budgets: Mapping[Device, int]) -> dict[str, Device]:
    devices = [*budgets, *([] if "disk" in budgets else ["disk"])]
    gpus = [device for device in budgets if isinstance(device, int)]
    keep_room = {*gpus[:1], "cpu"}
    left = list(model.parts.values())
    used = dict.fromkeys(devices, 0.0)
    places: dict[str, Device] = {}
    while left:
        part, device = left[0], devices[0]
        limit = float("inf") if device == "disk" else float(budgets[device])
        room = limit - (_largest(left[1:]) if device in keep_room else 0.0)
        if used[device] + part.size <= room:
            places[part.name] = device
            used[device] += part.size
            left.pop(0)
        elif part.opened:
            left[:1] = part.opened
        else:
            devices.pop(0)
    return places


def _largest(modules: Sequence[_Module]) -> float:
    return max((_largest(module.opened) if module.opened else module.size for module in modules), default=0.0)


def _even(model: _Module, budgets: Mapping[Device, int]) -> dict[Device, int]:
    gpus = sorted(device for device, size in budgets.items() if isinstance(device, int) and size > 0)
    if len(gpus) < 2:
        return dict(budgets)
    layers = [module.size for module in _leaves(model, stop_at_layers=True) if module.whole]
    inner = [module.size for module in _leaves(model, stop_at_layers=False)]
    margin = int(_MARGIN * max(layers[0] if layers else 0.0, sum(inner) / max(1, len(inner))))
    share = int(model.size) // len(gpus) + margin
    return {**budgets, **{gpu: min(share, budgets[gpu]) for gpu in gpus[:-1]}}


def _leaves(module: _Module, *, stop_at_layers: bool) -> list[_Module]:
    """The innermost modules, or the layers and what lies beside them."""
    inner = [part for part in module.parts.values() if part.parts]
    if not inner or (stop_at_layers and module.whole):
        return [module]
    return [leaf for part in inner for leaf in _leaves(part, stop_at_layers=stop_at_layers)]
