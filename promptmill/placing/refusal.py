"""Why a model fits nowhere, with the sizes, and the three nearest ways out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from promptmill.errors import EngineError
from promptmill.hardware import Hardware
from promptmill.placing.case import Case
from promptmill.placing.choices import can_quantize, possible_quantizations
from promptmill.placing.decide import decide
from promptmill.placing.decision import Decision
from promptmill.placing.gpu_types import GPU_TYPES
from promptmill.placing.memory import CONTEXT_BYTES, GIB, kv_bytes, weight_bytes
from promptmill.placing.options import PlacementOptions
from promptmill.settings import ENGINES

_MOST_GPUS = 8
WAYS = 3


def refusal(case: Case) -> EngineError:
    """The error for a case that `decide` found no place for."""
    ways = "\n".join(f"    {number}. {way}" for number, way in enumerate(islice(ways_out(case), WAYS), start=1))
    return EngineError(f"{_sizes(case)}\nThe nearest ways out:\n{ways}")


def _sizes(case: Case) -> str:
    weights = weight_bytes(case.shape, case.dtype, case.quantization)
    gpus = case.hardware.gpus
    parts = [
        f"{_gib(weights)} of weights ({case.shape.parameters / 1e9:.2f} billion parameters in {_format(case)})",
        f"{_gib(case.kv_row)} of KV cache for one row of {case.workload.positions} positions",
        f"{_gib(case.working(1))} to compute",
    ]
    if gpus:
        parts.append(f"{_gib(CONTEXT_BYTES)} of CUDA context")
    here = [f"{gpu.name} with {_gib(gpu.free_bytes)} free of {_gib(gpu.total_bytes)}" for gpu in gpus]
    here.append(f"{_gib(case.hardware.host_bytes)} of host memory")
    return (
        f"The model does not fit this hardware, and nothing was loaded. It needs {_joined(parts)}. "
        f"Here are: {_joined(_counted(here))}. "
        f"Of free memory {_percent(case)} may be planned with."
    )


def _percent(case: Case) -> str:
    return "95 %" if case.hardware.gpus else "90 %"


def ways_out(case: Case) -> Iterator[str]:
    """What to do about a case that `decide` found no place for.

    Nearest first: what takes only another option, then other hardware, then another model.
    """
    yield from _more_quantisation(case)
    yield from _shorter_rows(case)
    yield from offload_way(case)
    yield from _all_gpus(case)
    yield from _more_of_these(case)
    yield from _larger_gpu(case)
    yield _smaller_model(case)
    yield "wait until other processes have left the device (nvidia-smi lists them), or free host memory."
    yield from elsewhere(case)


def elsewhere(case: Case) -> Iterator[str]:
    """What is left when no hardware at hand will do."""
    if "endpoint" in ENGINES:
        yield "--engine endpoint with --endpoint-url: let a server that holds the model generate."
    else:
        size = _gib(weight_bytes(case.shape, case.dtype, case.quantization))
        yield f"an endpoint: a server that holds the model's {size}, outside of promptmill."


def _more_quantisation(case: Case) -> Iterator[str]:
    if case.shape.stored_bytes is not None:
        return
    names = possible_quantizations(case.shape, case.hardware.gpus)
    for name in names[names.index(case.quantization) + 1 :] if case.quantization in names else ():
        found = decide(replace(case, quantization=name))
        if found is not None:
            yield f"--quantization {name}: {_gib(found.arithmetic.weights)} of weights, {_place(found)}."
            return


def offload_way(case: Case) -> Iterator[str]:
    """The least offloading that would do, with what it costs; nothing if none does."""
    order = ("none", "cpu", "disk")
    for name in order[order.index(case.options.offload) + 1 :]:
        found = decide(replace(case, options=replace(case.options, offload=name)))
        if found is not None:
            cost = next((text for text in found.warnings if "every step" in text), "")
            yield f"--offload {name}. {cost}"
            return


def _shorter_rows(case: Case) -> Iterator[str]:
    new = case.workload.new_tokens // 2
    while new >= 16:
        found = decide(replace(case, workload=replace(case.workload, new_tokens=new)))
        if found is not None:
            yield f"--max-new-tokens {new}: rows of {found.arithmetic.positions} positions fit, {_place(found)}."
            return
        new //= 2


def _all_gpus(case: Case) -> Iterator[str]:
    free = replace(case, options=PlacementOptions(offload="none"))
    found = decide(free) if case.options != free.options and case.hardware.gpus else None
    if found is not None:
        yield f"leave --device-map, --max-memory and --gpus-per-copy out: the model fits, {_place(found)}."


def _more_of_these(case: Case) -> Iterator[str]:
    if not case.hardware.gpus:
        return
    gpu = max(case.hardware.gpus, key=lambda one: one.total_bytes)
    for count in range(len(case.hardware.gpus), _MOST_GPUS + 1):
        whole = replace(gpu, free_bytes=int(gpu.total_bytes * 0.98))
        found = decide(_elsewhere(case, Hardware((whole,) * count, case.hardware.cores)))
        if found is not None and found.gpus_per_copy >= 1:
            yield f"{found.gpus_per_copy} × {gpu.name} with all of their memory free, {_place(found)}."
            return


def _larger_gpu(case: Case) -> Iterator[str]:
    for kind in GPU_TYPES:
        if not can_quantize(kind.gpu(), case.quantization) or (case.dtype == "bfloat16" and kind.capability < (8, 0)):
            continue
        found = decide(_elsewhere(case, Hardware((kind.gpu(),), case.hardware.cores)))
        if found is not None:
            yield f"one GPU with {kind.mib / 1024:.0f} GiB, such as {_article(kind.name)} {kind.name}."
            return


def _elsewhere(case: Case, hardware: Hardware) -> Case:
    dtype = case.dtype if case.hardware.gpus or case.dtype != "float32" else "float16"
    return replace(case, hardware=hardware, options=PlacementOptions(offload="none"), dtype=dtype)


def _smaller_model(case: Case) -> str:
    room = (
        case.host
        if not case.hardware.gpus
        else max(case.usable(gpu, number) - CONTEXT_BYTES for number, gpu in enumerate(case.hardware.gpus))
    )
    room -= case.working(1) + kv_bytes(case.shape, case.dtype, case.workload.positions)
    share = max(0, room) / max(1, weight_bytes(case.shape, case.dtype, case.quantization))
    return (
        f"a smaller model: up to about {case.shape.parameters * min(1.0, share) / 1e9:.1f} billion parameters "
        f"in {_format(case)} fit here."
    )


def _place(found: Decision) -> str:
    if found.kind == "one-gpu":
        return "on one GPU"
    return f"over {found.gpus_per_copy} GPUs" if found.gpus_per_copy else "on the CPU"


def _format(case: Case) -> str:
    return case.dtype if case.quantization == "none" else case.quantization


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB / 10 else f"{size / (1 << 20):.0f} MiB"


def _counted(names: list[str]) -> list[str]:
    return [f"{names.count(name)} × {name}" if names.count(name) > 1 else name for name in dict.fromkeys(names)]


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _article(name: str) -> str:
    return "an" if (name[0] in "AHLMR" and not name.startswith(("MI", "Q"))) or name.startswith("MI") else "a"
