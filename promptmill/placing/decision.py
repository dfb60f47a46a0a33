"""A decision, as it is written down: what was chosen, by which arithmetic, and what it costs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from promptmill.placing.memory import GIB
from promptmill.placing.options import Device

Kind = Literal["cpu", "one-gpu", "several-gpus", "cpu-offload", "disk-offload"]


@dataclass(frozen=True)
class Arithmetic:
    """The bytes behind a decision.

    Attributes:
        parameters: a count, not bytes.
        weights: of the whole model.
        kv_cache_token: of one position of one row.
        kv_cache_row: of the longest row.
        positions: of all but a few rows, a count.
        working: activations or logits of a whole batch, whichever is more.
        context: of a GPU that a process uses.
        usable: on each device of a copy, after head-room, in the order of their numbers.
        planned: on the same, what the batch is planned to take.
    """

    parameters: int
    weights: int
    kv_cache_token: int
    kv_cache_row: int
    positions: int
    working: int
    context: int
    usable: tuple[int, ...]
    planned: tuple[int, ...]


@dataclass(frozen=True)
class Decision:
    """How a model goes onto one kind of hardware.

    Attributes:
        hardware: `Hardware.label`.
        quantization: `none`, `8bit`, `4bit`, or what the checkpoint comes as.
        device_map: module → number of a GPU among the copy's own, `cpu` or `disk`.
        copies: how many fit the machine at the same time, a process each.
        needs: bytes that must be free on each GPU of a copy to load it.
        batch_size: rows at a time that are safe by this arithmetic.
    """

    hardware: str
    dtype: str
    quantization: str
    kind: Kind
    device_map: tuple[tuple[str, Device], ...]
    gpus_per_copy: int
    copies: int
    batch_size: int
    needs: tuple[int, ...]
    arithmetic: Arithmetic
    warnings: tuple[str, ...] = ()

    @property
    def cache_positions(self) -> int:
        """Positions in the KV cache, of all rows together, that are safe by this arithmetic."""
        return self.batch_size * self.arithmetic.positions

    @property
    def summary(self) -> str:
        """One line for the log."""
        where = {
            "cpu": "on the CPU",
            "one-gpu": f"one copy a GPU, {self.copies} at the same time",
            "several-gpus": f"one copy over {self.gpus_per_copy} GPUs",
            "cpu-offload": "partly in host memory",
            "disk-offload": "partly on disk",
        }[self.kind]
        what = self.dtype if self.quantization == "none" else f"{self.quantization}, computing in {self.dtype}"
        return f"{what}, {where}; {self.arithmetic.weights / GIB:.1f} GiB of weights"

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary; `from_json` gives the same decision back."""
        return {**asdict(self), "device_map": dict(self.device_map)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Decision:
        """The decision that `to_json` wrote."""
        sums: dict[str, Any] = {
            name: tuple(item) if isinstance(item, list) else item for name, item in value["arithmetic"].items()
        }
        plain = {field.name: value[field.name] for field in fields(cls)}
        plain |= {
            "device_map": tuple(value["device_map"].items()),
            "needs": tuple(value["needs"]),
            "warnings": tuple(value["warnings"]),
            "arithmetic": Arithmetic(**sums),
        }
        return cls(**plain)
