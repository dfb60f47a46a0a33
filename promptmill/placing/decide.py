"""Where a model goes: one copy a GPU if it fits; else over GPUs, host memory, disk; or a refusal.

Nothing is loaded and no device is touched: numbers in, a decision out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from promptmill.placing.case import CPU_ROWS, GPU_ROWS, Case, host_holds, most_rows, planned_bytes, rows_over
from promptmill.placing.choices import dtype_warnings, possible_quantizations, require_quantization
from promptmill.placing.costs import cost_warnings
from promptmill.placing.decision import Arithmetic, Decision, Kind
from promptmill.placing.memory import CONTEXT_BYTES, kv_bytes, weight_bytes
from promptmill.placing.options import Device
from promptmill.placing.split import Split

_KV_UNEVEN = 1.25
"""A GPU's share of the layers, and with them of the KV cache, may be this much above the average."""


def decide(case: Case, *, auto: bool = False) -> Decision | None:
    """The decision for a case; None if nothing that the options allow holds the model.

    Args:
        auto: try the least quantisation first that fits GPUs (or the CPU) without offloading; the
            case's own quantization is then of no account.

    Raises:
        ConfigurationError, EngineError: hardware or model cannot do what was asked for.
    """
    tried = possible_quantizations(case.shape, case.hardware.gpus) if auto else (case.quantization,)
    for quantization in tried:
        candidate = replace(case, quantization=quantization)
        require_quantization(quantization, case.shape, case.hardware.gpus)
        decision = _asked(candidate) if case.options.device_map else _whole(candidate)
        if decision is not None:
            return decision
    return None if case.options.device_map else _offloaded(replace(case, quantization=tried[0]))


def _whole(case: Case) -> Decision | None:
    """All of the model where it computes: on the CPU, one GPU, or several."""
    if not case.hardware.gpus:
        return _on_cpu(case)
    wanted = case.options.gpus_per_copy
    if wanted in (None, 1):
        decision = _one_gpu(case)
        if decision is not None or wanted == 1:
            return decision
    counts = range(2, len(case.hardware.gpus) + 1) if wanted is None else [wanted]
    return next((decision for count in counts if (decision := _several(case, count)) is not None), None)


def _on_cpu(case: Case) -> Decision | None:
    rows = most_rows(CPU_ROWS, lambda rows: case.on_one(rows, gpu=False) <= case.host)
    if not rows:
        return None
    planned = (case.on_one(rows, gpu=False),)
    return _decision(case, "cpu", {"": "cpu"}, rows, (case.host,), planned)


def _one_gpu(case: Case) -> Decision | None:
    """A copy on each GPU that holds one; the batch is what the smallest of them can do."""
    holding = [
        (usable, rows)
        for number, gpu in enumerate(case.hardware.gpus)
        if (rows := most_rows(GPU_ROWS, _fits(case, usable := case.usable(gpu, number))))
    ]
    if not holding:
        return None
    usable, rows = min(holding, key=lambda item: item[1])
    return _decision(
        case, "one-gpu", {"": 0}, rows, (usable,), (case.on_one(rows, gpu=True),), copies=len(holding), gpus=1
    )


def _fits(case: Case, usable: int) -> Callable[[int], bool]:
    return lambda rows: case.on_one(rows, gpu=True) <= usable


def _several(case: Case, count: int) -> Decision | None:
    """One copy over the `count` GPUs with the most free memory."""
    usable = _largest(case, count)
    if len(usable) < count:
        return None
    room: dict[Device, int] = {number: size - _beside(case, count) for number, size in enumerate(usable)}
    if min(room.values()) <= 0 or sum(room.values()) < weight_bytes(case.shape, case.dtype, case.quantization):
        return None
    for split in (case.splitter.balanced, case.splitter.split):
        found = split(case.dtype, case.quantization, room)
        rows = rows_over(case, found, usable)
        if rows and found.devices <= set(room):
            used = usable[: len(found.devices)]
            copies = len(case.hardware.gpus) // count if len({gpu.name for gpu in case.hardware.gpus}) == 1 else 1
            planned = planned_bytes(case, found, rows, len(used))
            return _decision(
                case, "several-gpus", found.device_map, rows, used, planned, copies=copies, gpus=len(used), split=found
            )
    return None


def _offloaded(case: Case) -> Decision | None:
    """What the GPUs don't hold goes to host memory, and what that does not hold stays on disk."""
    if not case.may_offload:
        return None
    count = min(case.options.gpus_per_copy or len(case.hardware.gpus), len(case.hardware.gpus))
    usable = _largest(case, count)
    room: dict[Device, int] = {number: size - _beside(case, 1) for number, size in enumerate(usable)}
    room = {number: size for number, size in room.items() if size > 0}
    host = case.host if usable else case.host - case.working(1) - case.kv_row
    split = case.splitter.split(case.dtype, case.quantization, {**room, "cpu": max(0, host)})
    kind: Kind = "disk-offload" if "disk" in split.devices else "cpu-offload"
    rows = rows_over(case, split, usable) if room else most_rows(CPU_ROWS, lambda n: host_holds(case, split, n))
    if not rows or (kind == "disk-offload" and case.options.offload != "disk") or (usable and not room):
        return None
    planned = (
        planned_bytes(case, split, rows, count)
        if usable
        else (split.weights.get("cpu", 0) + case.cache(rows) + case.working(rows),)
    )
    return _decision(
        case, kind, split.device_map, rows, tuple(usable) or (case.host,), planned, gpus=count, split=split
    )


def _asked(case: Case) -> Decision | None:
    """The placement of `--device-map`, if it fits."""
    device_map = dict(case.options.device_map or ())
    split = case.splitter.measured(device_map, case.dtype, case.quantization)
    gpus = {device for device in split.devices if isinstance(device, int)}
    count = max(gpus) + 1 if gpus else 0
    usable = [case.usable(gpu, number) for number, gpu in enumerate(case.hardware.gpus[:count])]
    host = {device for device in split.devices if not isinstance(device, int)}
    if len(usable) < count or (gpus and host and not case.may_offload):
        return None
    if gpus:
        rows = rows_over(case, split, usable)
        planned = planned_bytes(case, split, rows, count)
    else:
        rows = most_rows(CPU_ROWS, lambda n: host_holds(case, split, n))
        planned = (split.weights.get("cpu", 0) + case.cache(rows) + case.working(rows),)
    if not rows or split.weights.get("cpu", 0) > case.host:
        return None
    kind = _kind(count, host)
    return _decision(case, kind, device_map, rows, tuple(usable) or (case.host,), planned, gpus=count, split=split)


def _kind(gpus: int, host: set[str]) -> Kind:
    if "disk" in host:
        return "disk-offload"
    if not gpus:
        return "cpu"
    return "cpu-offload" if host else "one-gpu" if gpus == 1 else "several-gpus"


def _largest(case: Case, count: int) -> list[int]:
    sizes = [case.usable(gpu, number) for number, gpu in enumerate(case.hardware.gpus)]
    return sorted(sizes, reverse=True)[:count]


def _beside(case: Case, count: int) -> int:
    """What a GPU needs beside its share of the weights, for one row."""
    return CONTEXT_BYTES + case.working(1) + int(case.kv_row * min(1.0, _KV_UNEVEN / count))


def _decision(
    case: Case,
    kind: Kind,
    device_map: dict[str, Device],
    rows: int,
    usable: Sequence[int],
    planned: Sequence[int],
    *,
    copies: int = 1,
    gpus: int = 0,
    split: Split | None = None,
) -> Decision:
    needs = planned_bytes(case, split, 1, gpus) if split and gpus else (case.on_one(1, gpu=True),) * gpus
    decision = Decision(
        hardware=case.hardware.label,
        dtype=case.dtype,
        quantization=case.quantization,
        kind=kind,
        device_map=tuple(device_map.items()),
        gpus_per_copy=gpus,
        copies=copies,
        batch_size=rows,
        needs=needs,
        arithmetic=Arithmetic(
            parameters=case.shape.parameters,
            weights=weight_bytes(case.shape, case.dtype, case.quantization),
            kv_cache_token=kv_bytes(case.shape, case.dtype, 1),
            kv_cache_row=case.kv_row,
            positions=case.workload.positions,
            working=case.working(rows),
            context=CONTEXT_BYTES if gpus else 0,
            usable=tuple(usable),
            planned=tuple(planned),
        ),
    )
    warnings = (*dtype_warnings(case.dtype, case.shape), *cost_warnings(decision, split, len(case.hardware.gpus)))
    return replace(decision, warnings=warnings)
