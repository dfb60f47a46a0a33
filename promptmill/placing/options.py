"""What a user may say about placement: none of it changes the bytes of a dataset."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from promptmill.errors import ConfigurationError

OFFLOADS = ("none", "cpu", "disk")
DEVICE_MAPS = ("auto", "cpu")
Device = int | str
_UNITS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 1 << 10,
    "MIB": 1 << 20,
    "GIB": 1 << 30,
    "TIB": 1 << 40,
}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?B)?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class PlacementOptions:
    """The overrides of `--device-map`, `--max-memory`, `--gpus-per-copy` and `--offload`.

    Attributes:
        device_map: module → GPU index, `cpu` or `disk`; None lets promptmill decide.
        max_memory: most bytes to use, a GPU index or `cpu` each; `gpu` stands for every GPU.
        gpus_per_copy: GPUs that one copy takes; None for as few as hold it.
        offload: how far a model that no GPUs hold may spill: nowhere, to `cpu`, or further to `disk`.
    """

    device_map: tuple[tuple[str, Device], ...] | None = None
    max_memory: tuple[tuple[Device, int], ...] = ()
    gpus_per_copy: int | None = None
    offload: str = "cpu"

    def __post_init__(self) -> None:
        if self.offload not in OFFLOADS:
            raise ConfigurationError(f"--offload is {self.offload!r}; choose one of {', '.join(OFFLOADS)}.")
        if self.gpus_per_copy is not None and self.gpus_per_copy < 1:
            raise ConfigurationError(f"--gpus-per-copy is {self.gpus_per_copy}; it has to be 1 or more.")

    @classmethod
    def parsed(
        cls,
        *,
        device_map: str | None = None,
        max_memory: str | None = None,
        gpus_per_copy: int | None = None,
        offload: str = "cpu",
    ) -> PlacementOptions:
        """The options as they are typed.

        Raises:
            ConfigurationError: one of them makes no sense.
        """
        return cls(_device_map(device_map), _max_memory(max_memory), gpus_per_copy, offload)

    def limit(self, device: Device) -> int | None:
        """Most bytes to use on a device; None for no limit but what is free."""
        limits = dict(self.max_memory)
        return limits.get(device, limits.get("gpu") if isinstance(device, int) else None)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> PlacementOptions:
        """What `to_json` made, with JSON's lists for pairs."""
        device_map, max_memory = value["device_map"], value["max_memory"]
        return cls(
            None if device_map is None else tuple((name, place) for name, place in device_map),
            tuple((device, size) for device, size in max_memory),
            value["gpus_per_copy"],
            value["offload"],
        )

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary, for the record."""
        return asdict(self)


def parse_size(text: str, option: str = "--max-memory") -> int:
    """Bytes of a size such as 10GiB, 10GB, 500MiB or 1024.

    Raises:
        ConfigurationError: it is no size.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ConfigurationError(f"{option}: {text!r} is no size; write it as in 10GiB, 500MiB or 10GB.")
    return int(float(match.group(1)) * _UNITS[(match.group(2) or "").upper()])


def _max_memory(text: str | None) -> tuple[tuple[Device, int], ...]:
    if not text:
        return ()
    if not text.lstrip().startswith("{"):
        return (("gpu", parse_size(text)),)
    value = _object(text, "--max-memory", '{"0": "10GiB", "cpu": "30GiB"}')
    return tuple((_device(key, "--max-memory", ("cpu", "gpu")), parse_size(str(size))) for key, size in value.items())


def _device_map(text: str | None) -> tuple[tuple[str, Device], ...] | None:
    if not text or text == "auto":
        return None
    if not text.lstrip().startswith("{"):
        return (("", _device(text, "--device-map", ("cpu",))),)
    example = '{"model.embed_tokens": 0, "model.layers": 0, "model.norm": 1, "lm_head": 1}'
    value = _object(text, "--device-map", example)
    return tuple((str(name), _device(place, "--device-map", ("cpu", "disk"))) for name, place in value.items())


def _device(value: object, option: str, names: tuple[str, ...]) -> Device:
    text = str(value).removeprefix("cuda:")
    if text.isdigit():
        return int(text)
    if text not in names:
        raise ConfigurationError(
            f"{option}: {value!r} is no device; write the number of a GPU (0, 1, ...) or {' or '.join(names)}."
        )
    return text


def _object(text: str, option: str, example: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"{option} is no JSON ({error}); write it as in '{example}'.") from error
    if not isinstance(value, dict) or not value:
        raise ConfigurationError(f"{option} has to be a JSON object with something in it, as in '{example}'.")
    return value
