"""The one table of what Slurm tells a job through its environment."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

JOB = "SLURM_JOB_ID"
ARRAY_JOB = "SLURM_ARRAY_JOB_ID"
ARRAY_INDEX = "SLURM_ARRAY_TASK_ID"
RESTARTS = "SLURM_RESTART_COUNT"
NODE = "SLURMD_NODENAME"
CPUS = "SLURM_CPUS_PER_TASK"
DEVICES = "CUDA_VISIBLE_DEVICES"  # SLURM_JOB_GPUS holds global numbers, which CUDA does not count by.

# Set by an administrator or a user for all commands; the rest of SLURM_* describes one job.
_FOR_ALL_COMMANDS = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_TIME_FORMAT")


@dataclass(frozen=True)
class Place:
    """Which array task this process is, and where it runs.

    Attributes:
        job: id as people write it: `12_3` for an array task.
        number: id of this very task as Slurm counts inside: 15 for `12_3`, say.
        index: of the array task; 0 for a job that is no array.
        restarts: how many times Slurm has started it again.
        devices: CUDA_VISIBLE_DEVICES; None if not set.
        cpus: that the task was given; None if not told.
    """

    job: str
    number: str
    index: int
    restarts: int
    node: str
    devices: str | None
    cpus: int | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Place | None:
        """The place that the environment tells of; None outside of Slurm."""
        number = environment.get(JOB)
        if not number:
            return None
        array, index = environment.get(ARRAY_JOB), environment.get(ARRAY_INDEX, "0")
        return cls(
            job=f"{array}_{index}" if array else number,
            number=number,
            index=int(index),
            restarts=int(environment.get(RESTARTS, "0")),
            node=environment.get(NODE) or socket.gethostname(),
            devices=environment.get(DEVICES),
            cpus=int(environment[CPUS]) if environment.get(CPUS, "").isdigit() else None,
        )


def here() -> Place | None:
    """The array task that this process is; None outside of Slurm."""
    return Place.of(os.environ)


def for_commands(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what describes the job that we are in.

    A job that submits another would hand its own size and devices down to it.
    """
    if JOB not in environment:
        return dict(environment)
    return {
        name: value
        for name, value in environment.items()
        if name in _FOR_ALL_COMMANDS or not name.startswith(("SLURM", "CUDA_VISIBLE", "GPU_DEVICE_ORDINAL"))
    }
