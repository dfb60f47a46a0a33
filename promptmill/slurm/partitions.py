"""The GPUs of a cluster's partitions, as `sinfo` tells of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from promptmill.errors import ConfigurationError
from promptmill.slurm.commands import TIMEOUT_SECONDS, sinfo

_FORMAT = "%R|%D|%m|%G"
_GPUS = re.compile(r"(?:^|,)(?:gres/)?gpu:(?:(?P<type>[^:,(]+):)?(?P<count>\d+)")
_MIB = 1 << 20


@dataclass(frozen=True)
class NodeKind:
    """Nodes of a partition with the same GPUs.

    Attributes:
        gpu: type of its GPUs as the cluster names it; None if it does not.
        gpus: of that type on each node.
        host_bytes: memory of a node.
    """

    partition: str
    nodes: int
    gpu: str | None
    gpus: int
    host_bytes: int


def gpu_nodes(partition: str | None = None, *, timeout: float = TIMEOUT_SECONDS) -> list[NodeKind]:
    """The kinds of nodes with GPUs, of one partition or of all.

    Raises:
        SlurmUnavailable, SlurmRefused: nobody can tell.
        ConfigurationError: there is no such partition.
    """
    lines = [line.split("|", 3) for line in sinfo(_FORMAT, timeout=timeout) if line.count("|") >= 3]
    names = list(dict.fromkeys(name for name, *_ in lines))
    if partition is not None and partition not in names:
        raise ConfigurationError(
            f"The cluster has no partition {partition!r}; its partitions are {', '.join(names) or 'none'}."
        )
    found = [kind for line in lines if partition in (None, line[0]) for kind in _kinds(*line)]
    return list(dict.fromkeys(found))


def _kinds(partition: str, nodes: str, memory: str, gres: str) -> Iterator[NodeKind]:
    size = int(re.sub(r"\D", "", memory) or 0) * _MIB
    for match in _GPUS.finditer(gres):
        yield NodeKind(partition, int(nodes), match["type"], int(match["count"]), size)
