"""What a placement costs, in plain words."""

from __future__ import annotations

from promptmill.placing.decision import Decision
from promptmill.placing.memory import GIB
from promptmill.placing.split import Split

BUS_BYTES_A_SECOND = 12e9
"""What PCIe 3.0 ×16 gives in practice, as on nodes with T4 or RTX 6000; newer buses give two to four times that."""
DISK_BYTES_A_SECOND = 1e9
"""A local SSD; a busy network file system gives a tenth of it."""
FEW_ROWS = 8


def cost_warnings(decision: Decision, split: Split | None, gpus: int) -> tuple[str, ...]:
    """A sentence for each thing that will be slow."""
    found = [
        _spread(decision),
        _offload(decision, split),
        _few_rows(decision),
        _idle(decision, gpus),
        _slow(decision),
        _unpacked(decision),
    ]
    return tuple(warning for warning in found if warning)


def _spread(decision: Decision) -> str | None:
    if decision.kind != "several-gpus":
        return None
    return (
        f"No single GPU holds the model, so one copy lies over {decision.gpus_per_copy} GPUs, which compute one after "
        f"the other: expect the speed of one GPU, not of {decision.gpus_per_copy}."
    )


def _offload(decision: Decision, split: Split | None) -> str | None:
    if split is None or decision.kind not in ("cpu-offload", "disk-offload"):
        return None
    host, disk = split.weights.get("cpu", 0), split.weights.get("disk", 0)
    if decision.kind == "cpu-offload":
        return (
            f"{host / GIB:.1f} GiB of weights stay in host memory and cross to the GPU at every step: at least "
            f"{host / BUS_BYTES_A_SECOND:.1f} s a step on PCIe 3.0, tens of times slower than a model that fits."
        )
    return (
        f"{disk / GIB:.1f} GiB of weights are read from disk at every step: at least "
        f"{disk / DISK_BYTES_A_SECOND:.0f} s a step on a local SSD, hundreds of times slower than a model that fits."
    )


def _few_rows(decision: Decision) -> str | None:
    if not decision.gpus_per_copy or decision.batch_size >= FEW_ROWS:
        return None
    return (
        f"Beside the weights there is room for only {decision.batch_size} row(s) of {decision.arithmetic.positions} "
        "positions at a time, and a GPU is fast only with many: more quantisation, or a smaller --max-new-tokens, "
        "may give several times the tokens/s."
    )


def _idle(decision: Decision, gpus: int) -> str | None:
    used = decision.copies * decision.gpus_per_copy
    if not used or used >= gpus:
        return None
    return f"{gpus - used} of {gpus} GPUs stay unused: what is left of them holds no copy."


def _slow(decision: Decision) -> str | None:
    if decision.kind != "cpu" or decision.quantization in ("none", "gguf"):
        return None
    return f"On a CPU, {decision.quantization} saves memory and no time; the rows differ from those in float32."


def _unpacked(decision: Decision) -> str | None:
    if decision.quantization != "gguf":
        return None
    return (
        f"The weights of a GGUF file are unpacked to {decision.dtype} as they are loaded: its values stay, and "
        f"take {decision.arithmetic.weights / GIB:.1f} GiB, several times the file."
    )
