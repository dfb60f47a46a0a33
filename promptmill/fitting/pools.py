"""The GPUs that are asked about: named ones, those of this machine, those of the cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from promptmill.errors import ConfigurationError, PromptmillError
from promptmill.hardware import Gpu, Hardware, detect_hardware
from promptmill.placing.fit import MOST_GPUS
from promptmill.placing.gpu_names import types_named
from promptmill.placing.gpu_types import GPU_TYPES, GpuType

logger = logging.getLogger(__name__)

SLURM_SECONDS = 5.0
_TURING = (7, 5)
_NAME_THEM = "There are no GPUs here, so all types of the table are shown. Name yours, as in --gpu 'T4:6'."


@dataclass(frozen=True)
class Pool:
    """GPUs of one type that a copy of a model may lie over: those of one machine or node; or a CPU.

    Attributes:
        gpu: their type, `CPU` for none.
        hardware: of one node.
        nodes: how many such nodes there are.
        partition: of the cluster; None elsewhere.
        here: whether it is this machine.
        listed: whether it is only a row of the table, at nobody's hand.
        vendor: NVIDIA or AMD.
        notes: what is to be known of this type.
    """

    gpu: str
    hardware: Hardware
    nodes: int = 1
    partition: str | None = None
    here: bool = False
    listed: bool = False
    vendor: str = "NVIDIA"
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """GPUs of a node."""
        return len(self.hardware.gpus)

    @property
    def is_cpu(self) -> bool:
        """Whether there is no GPU."""
        return not self.hardware.gpus

    @property
    def memory(self) -> int:
        """Bytes of one GPU, or of the host for a CPU."""
        return self.hardware.gpus[0].total_bytes if self.hardware.gpus else self.hardware.host_bytes


def find_pools(
    named: Sequence[str], partition: str | None, *, detect: Callable[[], Hardware] = detect_hardware
) -> tuple[tuple[Pool, ...], tuple[str, ...]]:
    """The pools, and what has to be said of the search.

    Named GPUs alone if there are any; else those of the partition; else those of this machine and of the
    cluster, and where there are none, the whole table.

    Args:
        detect: tells what this machine has, if that is asked for.

    Raises:
        ConfigurationError: an unknown type, or a partition that is not there.
        SlurmUnavailable: a partition is asked for, and Slurm does not answer.
    """
    if named:
        return tuple(_named(text, partition) for text in named), ()
    if partition is not None:
        return _of_partition(partition)
    here = detect()
    cluster, said = _of_cluster()
    pools = (*_of_machine(here), *cluster)
    cpu = Pool("CPU", replace(here, gpus=()), here=True)
    if pools:
        return ((*pools, cpu) if not here.gpus else pools), said
    table = (replace(_of_type(kind, MOST_GPUS), listed=True) for kind in GPU_TYPES)
    return (*table, cpu), (*said, _NAME_THEM)


def _named(text: str, partition: str | None) -> Pool:
    name, _, count = text.rpartition(":") if ":" in text else (text, "", "1")
    if not count.strip().isdigit() or int(count) < 1:
        raise ConfigurationError(f"--gpu {text!r}: {count!r} is no number of GPUs; write it as in --gpu 'T4:6'.")
    return replace(_of_type(_chosen(name), int(count)), partition=partition)


def _chosen(name: str) -> GpuType:
    found = types_named(name)
    if len(found) == 1:
        return found[0]
    choices = ", ".join(kind.name for kind in found or GPU_TYPES)
    what = "may be one of several types" if found else "is not in the table of GPU types"
    raise ConfigurationError(f"--gpu {name!r} {what}; choose one of: {choices}.")


def _of_type(kind: GpuType, count: int = 1) -> Pool:
    hardware = Hardware(tuple(replace(kind.gpu(), uuid=str(number)) for number in range(count)), cores=1)
    return Pool(kind.name, hardware, vendor=kind.vendor, notes=_notes(kind.gpu(), kind.vendor))


def _of_machine(here: Hardware) -> Iterable[Pool]:
    for name, same in groupby(sorted(here.gpus, key=lambda gpu: gpu.name), key=lambda gpu: gpu.name):
        gpus = tuple(same)
        yield Pool(name, replace(here, gpus=gpus), here=True, notes=_notes(gpus[0]))


def _of_cluster() -> tuple[tuple[Pool, ...], tuple[str, ...]]:
    """All partitions; a machine without Slurm has none, and Slurm that does not answer is no reason to fail."""
    from promptmill.slurm.commands import has_slurm

    if not has_slurm():
        return (), ()
    try:
        return _of_partition(None)
    except PromptmillError as error:
        return (), (f"The cluster's GPUs are not known: {str(error).splitlines()[0]}",)


def _of_partition(partition: str | None) -> tuple[tuple[Pool, ...], tuple[str, ...]]:
    from promptmill.slurm.partitions import gpu_nodes

    pools, said = [], []
    for kind in gpu_nodes(partition, timeout=SLURM_SECONDS):
        types = types_named(kind.gpu or "")
        if not types:
            said.append(
                f"Partition {kind.partition} has {kind.gpus} GPUs a node of the type {kind.gpu or '(not told)'}, which "
                f"is not in the table. Name what it is like: --partition {kind.partition} --gpu 'T4:{kind.gpus}'."
            )
            continue
        pool = _of_type(types[0], kind.gpus)
        several = f"{kind.gpu} may be {' or '.join(one.name for one in types)}; the smaller one is counted with."
        pools.append(
            replace(
                pool,
                hardware=replace(pool.hardware, host_bytes=kind.host_bytes),
                nodes=kind.nodes,
                partition=kind.partition,
                notes=(*pool.notes, *([several] if len(types) > 1 else [])),
            )
        )
    if partition is not None and not pools and not said:
        said.append(f"Partition {partition} has no GPUs. Name a partition that has, or GPUs by --gpu 'T4:6'.")
    return tuple(pools), tuple(said)


def _notes(gpu: Gpu, vendor: str = "NVIDIA") -> tuple[str, ...]:
    notes = []
    if not gpu.has_bfloat16:
        family = "Turing" if gpu.capability == _TURING else "older than Turing"
        notes.append(f"no bfloat16 ({family}), so float16 is used.")
    if gpu.capability < _TURING:
        notes.append("no kernels for 8bit; 4bit works.")
    if vendor == "AMD":
        notes.append("of AMD: the sums hold, but promptmill itself runs on NVIDIA GPUs and CPUs so far.")
    return tuple(notes)
