"""How many array tasks, and which shards each of them gets."""

from __future__ import annotations

from collections.abc import Sequence

from promptmill.slurm.commands import configuration, submit_limits
from promptmill.slurm.errors import SlurmRefused

DEFAULT_MAX_ARRAY_SIZE = 1001


def most_tasks(max_parallel: int, qos: str | None) -> int:
    """How many array tasks there may be, by the wish of the user and by what the cluster allows.

    More than run at the same time would only load the model more often: a task goes on through
    requeues until nothing is left.

    Raises:
        SlurmUnavailable: Slurm does not answer.
        SlurmRefused: the user may not submit as much as an array of one task and the last job.
    """
    size = configuration("MaxArraySize")
    # One of the user's jobs is the last one, which assembles.
    limits = [limit - 1 for limit in submit_limits(qos)]
    most = min([max_parallel, int(size) if size and size.isdigit() else DEFAULT_MAX_ARRAY_SIZE, *limits])
    if most < 1:
        raise SlurmRefused(
            f"The cluster lets you have {most + 1} jobs at once, and an array with the job that ends it takes two. "
            "See `sacctmgr show assoc user=$USER format=MaxSubmitJobs`, or run slurm/build_dataset.sbatch."
        )
    return most


def pack(shards: Sequence[int], tasks: int) -> list[tuple[int, ...]]:
    """The shards of each array task: neighbours together, as equal as can be; no task is without one."""
    count = min(tasks, len(shards))
    return [tuple(shards[len(shards) * i // count : len(shards) * (i + 1) // count]) for i in range(count)]
