"""One question about placement, and the sums that answer it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from promptmill.hardware import Gpu, Hardware
from promptmill.placing.memory import (
    CONTEXT_BYTES,
    USABLE_SHARE,
    ModelShape,
    Workload,
    cache_bytes,
    estimate,
    kv_bytes,
    working_bytes,
)
from promptmill.placing.options import PlacementOptions
from promptmill.placing.split import Split, Splitting

GPU_ROWS = 256
CPU_ROWS = 64
"""More rows than these don't make a device faster, whatever its memory (`promptmill.engine.policy`)."""
HOST_SHARE = 0.9


@dataclass(frozen=True)
class Case:
    """One question: this model, in this dtype and quantization, on this hardware."""

    shape: ModelShape
    hardware: Hardware
    options: PlacementOptions
    workload: Workload
    dtype: str
    quantization: str
    splitter: Splitting

    @property
    def may_offload(self) -> bool:
        """Quantised layers stay on GPUs: transformers would keep those in host memory unquantised."""
        return self.quantization == "none" and self.options.offload != "none"

    def usable(self, gpu: Gpu, number: int) -> int:
        """Bytes of a GPU that a plan may count on."""
        limit = self.options.limit(number)
        free = int(gpu.free_bytes * USABLE_SHARE)
        return free if limit is None else min(free, limit)

    @property
    def host(self) -> int:
        """Bytes of host memory that a plan may count on."""
        limit = self.options.limit("cpu")
        free = int(self.hardware.host_bytes * HOST_SHARE)
        return free if limit is None else min(free, limit)

    @property
    def kv_row(self) -> int:
        """Bytes of the KV cache of the longest row."""
        return kv_bytes(self.shape, self.dtype, self.workload.longest.positions)

    def cache(self, rows: int) -> int:
        """Bytes of the KV cache of so many rows."""
        return cache_bytes(self.shape, self.dtype, rows=rows, workload=self.workload)

    def working(self, rows: int) -> int:
        """Bytes that come and go with so many rows."""
        return working_bytes(self.shape, self.dtype, self.quantization, rows=rows, workload=self.workload)

    def on_one(self, rows: int, *, gpu: bool) -> int:
        """Bytes on a device that holds the whole model."""
        wanted = estimate(self.shape, self.dtype, self.quantization, rows=rows, workload=self.workload, gpu=gpu)
        return wanted.total


def planned_bytes(case: Case, split: Split, rows: int, count: int) -> tuple[int, ...]:
    """Bytes on each GPU; what is offloaded is computed on the first, a layer at a time."""
    away = sum(number for device, number in split.layers.items() if not isinstance(device, int))
    total = max(1, sum(split.layers.values()))
    kv = case.cache(rows)
    planned = []
    for number in range(count):
        layers = split.layers.get(number, 0) + (away if number == 0 else 0)
        passing = split.largest_layer if away and number == 0 else 0
        planned.append(
            CONTEXT_BYTES + split.weights.get(number, 0) + passing + kv * layers // total + case.working(rows)
        )
    return tuple(planned)


def rows_over(case: Case, split: Split, usable: Sequence[int]) -> int:
    """The most rows that a split model can do at a time on GPUs with so many usable bytes."""

    def fits(rows: int) -> bool:
        planned = planned_bytes(case, split, rows, len(usable))
        return all(size <= limit for size, limit in zip(planned, usable, strict=True))

    return most_rows(GPU_ROWS, fits)


def host_holds(case: Case, split: Split, rows: int) -> bool:
    """Whether host memory holds its part of the weights, and so many rows."""
    passing = split.largest_layer if "disk" in split.devices else 0
    return split.weights.get("cpu", 0) + passing + case.cache(rows) + case.working(rows) <= case.host


def most_rows(limit: int, fits: Callable[[int], bool]) -> int:
    """The most rows up to `limit` that fit, 0 if not even one does."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
