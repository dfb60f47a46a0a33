"""Bytes of a model by dtype and quantization, part by part."""

from __future__ import annotations

from dataclasses import dataclass

from promptmill.errors import PromptmillError
from promptmill.fitting.model import GGUF, KnownModel
from promptmill.placing.choices import require_quantization
from promptmill.placing.memory import DTYPE_BYTES, Workload, estimate, kv_bytes

HALF = "float16"
"""Stands for both dtypes of two bytes."""


@dataclass(frozen=True)
class Precision:
    """A column of the answer.

    Attributes:
        name: for people.
        dtype: as it is asked for: float32, or auto for what the hardware does well.
    """

    name: str
    dtype: str
    quantization: str

    @property
    def sized_as(self) -> str:
        """The dtype by which bytes are counted."""
        return self.dtype if self.dtype in DTYPE_BYTES else HALF


PRECISIONS = (
    Precision("float32", "float32", "none"),
    Precision("float16/bfloat16", "auto", "none"),
    Precision("8bit", "auto", "8bit"),
    Precision("4bit", "auto", "4bit"),
)


@dataclass(frozen=True)
class MemoryRow:
    """One precision; all but the first two and the last in bytes.

    Attributes:
        unquantised: of the weights, those that stay in the dtype: embeddings, norms, the output layer.
        kv_token: of one position of one row.
        kv_cache: of all rows.
        working: activations or logits, whichever is more.
        context: what CUDA itself takes of a GPU.
        reason: why the model cannot be had so; None if it can.
    """

    precision: str
    quantization: str
    weights: int
    unquantised: int
    kv_token: int
    kv_cache: int
    working: int
    context: int
    total: int
    reason: str | None = None


def precisions_of(model: KnownModel) -> tuple[Precision, ...]:
    """What a model can be loaded in: of weights that come quantised, only as they are."""
    if not model.is_packed:
        return PRECISIONS
    if model.quantization == GGUF:  # unpacked as it is loaded
        return tuple(Precision(one.name, one.dtype, GGUF) for one in PRECISIONS[:2])
    return (Precision(model.quantization, "auto", model.quantization),)


def memory_rows(model: KnownModel, workload: Workload, rows: int) -> tuple[MemoryRow, ...]:
    """The sums for so many rows at a time, on one GPU that holds the whole model."""
    return tuple(_row(model, one, workload, rows) for one in precisions_of(model))


def _row(model: KnownModel, precision: Precision, workload: Workload, rows: int) -> MemoryRow:
    shape, dtype = model.shape, precision.sized_as
    sums = estimate(shape, dtype, precision.quantization, rows=rows, workload=workload, gpu=True)
    quantised = precision.quantization not in ("none", GGUF)
    return MemoryRow(
        precision=precision.name,
        quantization=precision.quantization,
        weights=sums.weights,
        unquantised=min(sums.weights, (shape.parameters - shape.matrices) * DTYPE_BYTES[dtype] if quantised else 0),
        kv_token=kv_bytes(shape, dtype, 1),
        kv_cache=sums.kv_cache,
        working=sums.working,
        context=sums.context,
        total=sums.total,
        reason=_reason(model, precision.quantization),
    )


def _reason(model: KnownModel, quantization: str) -> str | None:
    try:
        require_quantization(quantization, model.shape, ())
    except PromptmillError as error:
        return str(error)
    return None
