"""How a run is doing, told from small files and, where it answers, from Slurm."""

from promptmill.status.reading import read_status
from promptmill.status.values import RunStatus

__all__ = ["RunStatus", "read_status"]
