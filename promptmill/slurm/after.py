"""`python -m promptmill.slurm.after ARGUMENTS.json`: bring an array task back after its walltime.

Slurm requeues what it preempts, but ends for good what has used its time up. The batch script asks
this once the program has stopped with work left.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from promptmill.files import read_json, write_json
from promptmill.run import RunFolder
from promptmill.slurm.commands import requeue
from promptmill.slurm.environment import Place, here
from promptmill.slurm.errors import SlurmRefused, SlurmUnavailable
from promptmill.slurm.layout import SlurmFolder
from promptmill.slurm.record import MAX_BARREN_RESTARTS, read_record

_ENDED_BY = {"walltime": "the walltime ended", "stalled": "the model stood still"}


def requeue_if_sensible(run: RunFolder, place: Place, bring_back: Callable[[str], None] = requeue) -> str:
    """Requeue the array task if nobody else does and it gets anywhere; returns what was done and why.

    Nobody else does where the walltime ended it, or where it ended itself because its model stood still.

    Args:
        bring_back: requeues the job of this number; raises SlurmRefused or SlurmUnavailable.
    """
    path = SlurmFolder.of(run).task(place.job)
    record = read_record(path)
    last = record.starts[-1] if record and record.starts else None
    if record is None or last is None or last.restart != place.restarts or last.reason not in _ENDED_BY:
        return "Not requeued: it was not the walltime that ended this; Slurm brings a preempted job back by itself."
    ended = _ENDED_BY[last.reason]
    barren = record.barren_starts()
    if barren > MAX_BARREN_RESTARTS:
        why = (
            f"Not requeued: {barren} starts in a row ended without a row committed, the last because {ended}. "
            "Ask for more --time, or a smaller --checkpoint-seconds; of a stall the log has more."
        )
        write_json(path, asdict(record.with_last(reason="crash loop", error=why)))
        return why
    try:
        bring_back(place.number)
    except (SlurmRefused, SlurmUnavailable) as error:
        return f"Not requeued: {error}. The job that runs after the array submits what is missing."
    return f"Requeued: {ended}, with work left."


def main(path: str) -> None:
    """Say in the job's log what was decided."""
    value, place = read_json(Path(path)), here()
    if isinstance(value, dict) and place is not None:
        sys.stderr.write(requeue_if_sensible(RunFolder(Path(value["run"])), place) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
