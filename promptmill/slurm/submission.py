"""Submitting a run: scripts written, an array and the job after it handed to Slurm, and noted."""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from promptmill.files import atomic_write, make_folder, read_json, storage_errors, write_json
from promptmill.run import RunFolder
from promptmill.slurm.commands import Job, jobs, sbatch
from promptmill.slurm.filling import Filling, refused_nodes
from promptmill.slurm.layout import SlurmFolder
from promptmill.slurm.options import SlurmOptions
from promptmill.slurm.packing import most_tasks, pack
from promptmill.slurm.scripts import array_script, last_script, log_pattern
from promptmill.tolerance import USUAL, Tolerance


@dataclass(frozen=True)
class Plan:
    """What a submission is to do, the same at every resubmission.

    Attributes:
        placement: arguments that tell an array task where the model goes, or which server has it.
        publishing: parameters of the task that publishes, as texts; None to stop at the assembled dataset.
    """

    options: SlurmOptions
    batch_size: int | None
    checkpoint_seconds: float
    publishing: dict[str, str] | None = None
    log_level: str = "INFO"
    placement: tuple[str, ...] = ()
    tolerance: Tolerance = USUAL

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Plan:
        """What `asdict` made."""
        options, placement = SlurmOptions.from_json(value["options"]), tuple(value["placement"])
        tolerance = Tolerance(**value.get("tolerance", {}))
        return cls(**{**value, "options": options, "placement": placement, "tolerance": tolerance})


@dataclass(frozen=True)
class Submission:
    """What was handed to Slurm.

    Attributes:
        number: of the run's submissions, from 1.
        names: the jobs' names, which no other submission has: the array's, then the last job's.
        jobs: their ids; empty if the process was killed between noting and submitting.
        shards: of each array task.
        resubmitted: how often in a row the last job did this.
        submitted: seconds since 1970.
    """

    number: int
    names: tuple[str, str]
    jobs: tuple[str, ...]
    shards: tuple[tuple[int, ...], ...]
    plan: Plan
    resubmitted: int
    submitted: float


@dataclass(frozen=True)
class Script:
    """A script and the options that sbatch gets with it."""

    path: Path
    options: tuple[str, ...]


def prepare(
    run: RunFolder, plan: Plan, missing: list[int], *, resubmitted: int = 0, most: int | None = None
) -> Submission:
    """Write the scripts and arguments of the next submission; nothing is submitted.

    Args:
        most: how many array tasks there may be; None asks the cluster.

    Raises:
        SlurmUnavailable: the cluster's limits cannot be asked for.
        SlurmRefused: they leave room for nothing.
        StorageError: the files cannot be written.
    """
    folder = SlurmFolder.of(run)
    number = 1 + max((int(path.name) for path in folder.path.glob("[0-9]*") if path.name.isdigit()), default=0)
    shards = tuple(pack(missing, most or most_tasks(plan.options.max_parallel, plan.options.qos))) if missing else ()
    submission = Submission(number, _names(run, number), (), shards, plan, resubmitted, time.time())
    _write_files(run, submission)
    return submission


def submit(run: RunFolder, submission: Submission) -> Submission:
    """Hand a prepared submission to Slurm; returns it with the jobs' ids.

    It is noted before and after: killed in between, the jobs are found again by their names.

    Raises:
        SlurmUnavailable, SlurmRefused
    """
    folder = SlurmFolder.of(run)
    make_folder(folder.logs)
    with storage_errors(folder.ended):
        folder.ended.unlink(missing_ok=True)
    write_json(folder.submission, asdict(submission))
    ids: list[str] = []
    for script in scripts(run, submission):
        after = [f"--dependency=afterany:{ids[-1]}"] if ids else []
        ids.append(sbatch(script.path, *script.options, *after))
        submission = replace(submission, jobs=tuple(ids))
        write_json(folder.submission, asdict(submission))
    return submission


def scripts(run: RunFolder, submission: Submission) -> list[Script]:
    """The scripts of a submission, in the order in which they are submitted."""
    folder = SlurmFolder.of(run)
    place = folder.scripts(submission.number)
    found = []
    if submission.shards:
        tasks = len(submission.shards)
        array = f"--array=0-{tasks - 1}%{min(tasks, submission.plan.options.max_parallel)}"
        excluded = [f"--exclude={','.join(nodes)}"] if (nodes := refused_nodes(run)) else []
        output = f"--output={log_pattern(folder.logs.absolute(), '%A_%a.log')}"
        found.append(Script(place / "array.sbatch", (array, output, *excluded)))
    output = f"--output={log_pattern(folder.logs.absolute(), '%j-last.log')}"
    found.append(Script(place / "last.sbatch", (output,)))
    return found


def recorded_submission(run: RunFolder) -> Submission | None:
    """The latest submission; None if the run was never submitted."""
    value = read_json(SlurmFolder.of(run).submission)
    if not isinstance(value, dict):
        return None
    return Submission(
        number=value["number"],
        names=(value["names"][0], value["names"][1]),
        jobs=tuple(value["jobs"]),
        shards=tuple(tuple(task) for task in value["shards"]),
        plan=Plan.from_json(value["plan"]),
        resubmitted=value["resubmitted"],
        submitted=value["submitted"],
    )


def live_jobs(submission: Submission) -> list[Job]:
    """The jobs of a submission that Slurm knows as pending or running.

    A last job that waits for an array which Slurm has forgotten counts as well: it will run.

    Raises:
        SlurmUnavailable: nobody can tell.
    """
    return jobs(names=submission.names)


def _write_files(run: RunFolder, submission: Submission) -> None:
    place = SlurmFolder.of(run).scripts(submission.number).absolute()
    plan, path = submission.plan, str(run.path.absolute())
    common = ["--run-dir", path, "--local-scheduler", "--log-level", plan.log_level]
    filler = ["--submission", str(submission.number), *plan.placement]
    filling = Filling((), plan.batch_size, plan.checkpoint_seconds, plan.tolerance)
    write_json(
        place / "array.json",
        {
            "run": path,
            "argv": ["--module", "workflows", "FillShards", *filler, *common],
            "shards": submission.shards,
            "filling": {key: value for key, value in asdict(filling).items() if key != "own"},
        },
    )
    write_json(place / "last.json", {"run": path, "argv": ["--module", "workflows", "FinishDataset", *common]})
    _write_text(place / "array.sbatch", array_script(submission.names[0], plan.options, place / "array.json"))
    _write_text(place / "last.sbatch", last_script(submission.names[1], plan.options, place / "last.json"))


def filling_of(run: RunFolder, number: int, index: int) -> Filling:
    """What the array task `index` of a submission is to do; any other task helps where it can."""
    value = read_json(SlurmFolder.of(run).scripts(number) / "array.json")
    if not isinstance(value, dict):
        return Filling()
    own = value["shards"][index] if index < len(value["shards"]) else ()
    return Filling.from_json(value["filling"], tuple(own))


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _names(run: RunFolder, number: int) -> tuple[str, str]:
    # The name of a run is unique in its data folder only.
    mark = hashlib.sha256(str(run.path.absolute()).encode("utf-8", "surrogateescape")).hexdigest()[:6]
    name = f"promptmill-{run.path.name}-{mark}-{number}"
    return name, f"{name}-last"
