"""The GPUs and cores at hand, as far as placing a model needs to know them.

Asked of the driver (NVML), not of CUDA: it takes milliseconds, needs no torch, and leaves the
process free to fork, which a process that initialised CUDA is not.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Gpu:
    """One visible CUDA device.

    Attributes:
        free_bytes: memory that no process uses at the moment.
        capability: CUDA compute capability, as (8, 0) for an A100.
    """

    name: str
    free_bytes: int
    total_bytes: int
    capability: tuple[int, int]

    @property
    def has_bfloat16(self) -> bool:
        """Whether bfloat16 is native: Ampere and later.

        `torch.cuda.is_bf16_supported` counts emulation on Turing, which is slower than float32.
        """
        return self.capability >= (8, 0)


@dataclass(frozen=True)
class Hardware:
    """What one process may use."""

    gpus: tuple[Gpu, ...]
    cores: int

    @property
    def label(self) -> str:
        """A name for files: the same for machines on which a model is placed alike."""
        if not self.gpus:
            return "cpu"
        counts = Counter(gpu.name for gpu in self.gpus)
        return "-".join(f"{count}x{re.sub(r'[^a-z0-9]+', '-', name.lower())}" for name, count in sorted(counts.items()))

    @property
    def default_dtype(self) -> str:
        """bfloat16 where every GPU has it, float16 on older ones, float32 on a CPU."""
        if not self.gpus:
            return "float32"
        return "bfloat16" if all(gpu.has_bfloat16 for gpu in self.gpus) else "float16"


def detect_hardware() -> Hardware:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves to this process, and the cores it may run on."""
    return Hardware(tuple(_visible_gpus()), available_cores())


def available_cores() -> int:
    """Cores that this process may run on: Slurm and taskset give fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _visible_gpus() -> list[Gpu]:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []  # No NVIDIA driver: a machine without GPUs.
    try:
        return [_gpu(pynvml, handle) for handle in _visible_handles(pynvml)]
    finally:
        pynvml.nvmlShutdown()


def _visible_handles(nvml: Any) -> list[Any]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    handles = []
    for name in (part.strip() for part in visible.split(",")):
        if name.isdigit() and int(name) < nvml.nvmlDeviceGetCount():
            handles.append(nvml.nvmlDeviceGetHandleByIndex(int(name)))
        elif name.startswith(("GPU-", "MIG-")):
            handles.append(nvml.nvmlDeviceGetHandleByUUID(name))
        else:
            break  # CUDA ignores everything from the first invalid entry on.
    return handles


def _gpu(nvml: Any, handle: Any) -> Gpu:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return Gpu(
        name=nvml.nvmlDeviceGetName(handle),
        free_bytes=memory.free,
        total_bytes=memory.total,
        capability=tuple(nvml.nvmlDeviceGetCudaComputeCapability(handle)),
    )
