"""How many GPUs of each type a model takes, without any of them at hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from promptmill.hardware import Hardware
from promptmill.placing.case import Case
from promptmill.placing.choices import possible_quantizations, resolve_dtype
from promptmill.placing.decide import decide
from promptmill.placing.gpu_types import GPU_TYPES, GpuType
from promptmill.placing.memory import ModelShape, Workload, weight_bytes
from promptmill.placing.options import PlacementOptions
from promptmill.placing.shape import Skeleton
from promptmill.placing.split import Splitter

MOST_GPUS = 8


@dataclass(frozen=True)
class Fit:
    """One GPU type and quantization.

    Attributes:
        gpus: as few as hold a copy; None if a node of `MOST_GPUS` does not.
        rows: at a time, of the workload's length.
        weights: bytes of them.
    """

    gpu: str
    dtype: str
    quantization: str
    gpus: int | None
    rows: int
    weights: int


def fits(
    skeleton: Skeleton, shape: ModelShape, workload: Workload, types: Sequence[GpuType] = GPU_TYPES
) -> Iterator[Fit]:
    """The answer for each type and for each quantization that bitsandbytes can do on it, the least first."""
    splitter = Splitter(skeleton, shape)
    for kind in types:
        hardware = Hardware((kind.gpu(),) * MOST_GPUS, cores=1)
        names = ("none",) if shape.stored_bytes is not None else possible_quantizations(shape, hardware.gpus)
        for name in names:
            yield _fit(
                Case(
                    shape,
                    hardware,
                    PlacementOptions(offload="none"),
                    workload.within(shape.context),
                    resolve_dtype("auto", hardware),
                    name,
                    splitter,
                ),
                kind.name,
            )


def _fit(case: Case, gpu: str) -> Fit:
    found = decide(case)
    gpus, rows = (None, 0) if found is None else (found.gpus_per_copy, found.batch_size)
    return Fit(gpu, case.dtype, case.quantization, gpus, rows, weight_bytes(case.shape, case.dtype, case.quantization))
