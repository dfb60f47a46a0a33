"""What the job after an array does: judge by the targets, and submit what is missing or say why not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from promptmill.assemble import assemble, recorded_dataset
from promptmill.errors import PromptmillError
from promptmill.files import read_json, write_json
from promptmill.run import RunFolder
from promptmill.slurm.layout import SlurmFolder
from promptmill.slurm.record import read_records
from promptmill.slurm.shards import changed, committed_after, missing_shards
from promptmill.slurm.submission import Submission, prepare, recorded_submission, submit

HandOver = Callable[[RunFolder, Submission], Submission]


class Unfinished(PromptmillError):
    """The array ended with shards missing, and submitting it again would not help."""

    exit_code = 70


@dataclass(frozen=True)
class Resubmitted:
    """What was submitted because shards were missing."""

    shards: int
    submission: Submission


def finish(run: RunFolder, *, most: int | None = None, hand_over: HandOver = submit) -> Resubmitted | None:
    """Assemble the dataset if every shard is there and sound, else submit what is missing.

    Args:
        most: how many array tasks there may be; None asks the cluster.
        hand_over: gives a submission to Slurm and returns it with the jobs' ids.

    Raises:
        Unfinished: nothing was committed since the last submission, or that was tried often enough.
        SlurmUnavailable, SlurmRefused, StorageError
    """
    missing = missing_shards(run)
    if not missing and recorded_dataset(run) is None:
        missing = assemble(run)
    return _resubmit(run, missing, most, hand_over) if missing else None


def ended_because(run: RunFolder) -> str | None:
    """Why nothing is submitted any more; None if there is no such reason."""
    value = read_json(SlurmFolder.of(run).ended)
    return str(value["reason"]) if isinstance(value, dict) else None


def _resubmit(run: RunFolder, missing: list[int], most: int | None, hand_over: HandOver) -> Resubmitted:
    last = recorded_submission(run)
    if last is None:
        raise Unfinished(f"{len(missing)} shards are missing, and nothing was ever submitted. Run SubmitDataset.")
    if not committed_after(run, _begin(run, last)):
        _end(run, f"The jobs of submission {last.number} have ended and committed nothing.{_last_error(run)}")
    if last.resubmitted >= last.plan.options.resubmissions:
        _end(run, f"{len(missing)} shards are missing after {last.resubmitted} resubmissions.{_last_error(run)}")
    again = prepare(run, last.plan, missing, resubmitted=last.resubmitted + 1, most=most)
    return Resubmitted(len(missing), hand_over(run, again))


def _begin(run: RunFolder, submission: Submission) -> float:
    # By the clock of the file server, which is also that of the chunks.
    return changed(SlurmFolder.of(run).scripts(submission.number) / "last.sbatch")


def _end(run: RunFolder, reason: str) -> None:
    text = f"{reason} Mend that, then run the same SubmitDataset command again; every committed row is kept."
    write_json(SlurmFolder.of(run).ended, {"reason": text, "at": time.time()})
    raise Unfinished(text)


def _last_error(run: RunFolder) -> str:
    starts = [start for record in read_records(SlurmFolder.of(run)) for start in record.starts if start.error]
    if not starts:
        return f" See the logs in {SlurmFolder.of(run).logs}."
    latest = max(starts, key=lambda start: start.began)
    return f" The last error, on {latest.node}: {latest.error}"
