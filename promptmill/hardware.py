"""The GPUs, the memory and the cores at hand, as far as placing a model needs to know them.

Asked of the driver (NVML), not of CUDA: it takes milliseconds, needs no torch, and leaves the
process free to fork, which a process that initialised CUDA is not.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VISIBLE = "CUDA_VISIBLE_DEVICES"
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Gpu:
    """One visible CUDA device.

    Attributes:
        free_bytes: memory that no process uses at the moment.
        capability: CUDA compute capability, as (8, 0) for an A100.
        uuid: the driver's name for it, which CUDA_VISIBLE_DEVICES takes as well as an index.
    """

    name: str
    free_bytes: int
    total_bytes: int
    capability: tuple[int, int]
    uuid: str = ""

    @property
    def has_bfloat16(self) -> bool:
        """Whether bfloat16 is native: Ampere and later.

        `torch.cuda.is_bf16_supported` counts emulation on Turing, which is slower than float32.
        """
        return self.capability >= (8, 0)


@dataclass(frozen=True)
class Hardware:
    """What one process may use.

    Attributes:
        host_bytes: memory of the machine that is free, or what is left of the job's share of it.
    """

    gpus: tuple[Gpu, ...]
    cores: int
    host_bytes: int = 0

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


class _Narrowed:
    """What CUDA_VISIBLE_DEVICES said before this process took some of the GPUs for itself."""

    original: str | None = None
    active = False


def detect_hardware() -> Hardware:
    """The GPUs that this process was given, the cores it may run on, and the memory it may use.

    GPUs stay in the answer when the process has taken only some of them (`narrow_to`): the label
    has to be the same before and after.
    """
    return Hardware(tuple(_visible_gpus()), available_cores(), host_memory())


def available_cores() -> int:
    """Cores that this process may run on: Slurm and taskset give fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def host_memory(control_groups: Iterable[Path] | None = None) -> int:
    """Bytes of memory that may still be used: the machine's, or that of a control group that has less left.

    Args:
        control_groups: folders of control groups (version 2); None for all that this process is in.
    """
    import psutil

    groups = _own_groups() if control_groups is None else control_groups
    left = [found[0] - found[1] for group in groups if (found := _limit_and_use(group)) is not None]
    return max(0, min([int(psutil.virtual_memory().available), *left]))


def narrow_to(gpus: Sequence[Gpu]) -> None:
    """Let CUDA see these GPUs alone; only before this process has touched CUDA."""
    if not _Narrowed.active:
        _Narrowed.original, _Narrowed.active = os.environ.get(VISIBLE), True
    os.environ[VISIBLE] = ",".join(gpu.uuid for gpu in gpus)


def widen() -> None:
    """Undo `narrow_to`."""
    if not _Narrowed.active:
        return
    _Narrowed.active = False
    if _Narrowed.original is None:
        os.environ.pop(VISIBLE, None)
    else:
        os.environ[VISIBLE] = _Narrowed.original


def _given() -> str | None:
    return _Narrowed.original if _Narrowed.active else os.environ.get(VISIBLE)


def _own_groups() -> list[Path]:
    """The folders of the control groups (version 2) that this process is in."""
    try:
        path = Path("/proc/self/cgroup").read_text().splitlines()[-1].rsplit(":", 1)[-1].strip("/")
    except (OSError, IndexError):
        return []
    groups = [_CGROUP / path, *(_CGROUP / path).parents]
    return [group for group in groups if group.is_relative_to(_CGROUP)]


def _limit_and_use(group: Path) -> tuple[int, int] | None:
    """Bytes of memory that a control group may use and does; None where it has no limit."""
    try:
        limit, used = (group / "memory.max").read_text().strip(), (group / "memory.current").read_text()
        cached = re.search(r"^inactive_file (\d+)$", (group / "memory.stat").read_text(), re.MULTILINE)
    except OSError:
        return None
    if limit == "max":
        return None
    # Files that are merely cached count as used, but make room as soon as somebody asks.
    return int(limit), int(used) - (int(cached.group(1)) if cached else 0)


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
    visible = _given()
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
        uuid=nvml.nvmlDeviceGetUUID(handle),
    )
