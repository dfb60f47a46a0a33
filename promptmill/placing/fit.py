"""Whether GPUs hold a model, and how many of them it takes, without any of them at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from promptmill.errors import PromptmillError
from promptmill.hardware import Gpu, Hardware
from promptmill.placing.case import Case
from promptmill.placing.choices import resolve_dtype
from promptmill.placing.decide import decide
from promptmill.placing.decision import Decision
from promptmill.placing.memory import ModelShape, Workload
from promptmill.placing.options import PlacementOptions
from promptmill.placing.split import Splitting

MOST_GPUS = 8
"""Of a node, as nearly all have at most."""


@dataclass(frozen=True)
class Fit:
    """One model in one dtype and quantization on GPUs of one type, or on a CPU.

    Attributes:
        dtype: of the computation; empty if the hardware cannot do what was asked for.
        decision: how it would be placed; None if not even `MOST_GPUS` hold it.
        available: whether the GPUs at hand are enough, and not more of the same kind needed.
        reason: why the hardware or the model cannot do it at all; None if that is no matter of memory.
    """

    dtype: str
    quantization: str
    decision: Decision | None
    available: bool
    reason: str | None = None

    @property
    def gpus(self) -> int | None:
        """As few as hold a copy, 0 on a CPU; None if a node does not."""
        return None if self.decision is None else self.decision.gpus_per_copy

    @property
    def rows(self) -> int:
        """At a time, of the workload's length."""
        return 0 if self.decision is None else self.decision.batch_size


@dataclass(frozen=True)
class Question:
    """A model and rows of a length, to be asked of one hardware after the other."""

    shape: ModelShape
    splitter: Splitting
    workload: Workload

    def case(self, hardware: Hardware, dtype: str, quantization: str) -> Case:
        """The question for `decide`; nothing is offloaded.

        Raises:
            ConfigurationError: a GPU does not have that dtype.
        """
        return Case(
            self.shape,
            hardware,
            PlacementOptions(offload="none"),
            self.workload.within(self.shape.context),
            resolve_dtype(dtype, hardware),
            quantization,
            self.splitter,
        )

    def fit(self, hardware: Hardware, dtype: str, quantization: str) -> Fit:
        """The answer for the hardware as it is, or, if that is too little, for a node of `MOST_GPUS`."""
        try:
            case = self.case(hardware, dtype, quantization)
            found = decide(case)
            if found is not None or not hardware.gpus:
                return Fit(case.dtype, quantization, found, available=found is not None)
            more = decide(replace(case, hardware=replace(hardware, gpus=_more(hardware.gpus))))
        except PromptmillError as error:
            return Fit("", quantization, None, available=False, reason=str(error))
        return Fit(case.dtype, quantization, more, available=False)


def _more(gpus: Sequence[Gpu]) -> tuple[Gpu, ...]:
    """The GPUs with others like the one with the most free memory, as many as a node has."""
    best = max(gpus, key=lambda gpu: gpu.free_bytes)
    return (*gpus, *(best for _ in range(MOST_GPUS - len(gpus))))
