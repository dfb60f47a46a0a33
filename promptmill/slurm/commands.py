"""The boundary to Slurm: sbatch, squeue, sinfo, scontrol and sacctmgr, called with lists of arguments.

Nothing goes through a shell. Slurm that does not answer is one error, Slurm that says no another.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from promptmill.slurm.environment import for_commands
from promptmill.slurm.errors import SlurmRefused, SlurmUnavailable

TIMEOUT_SECONDS = 30.0
# As Slurm calls them (squeue --states): a job in any other state is over, or will never run.
RUNNING = ("RUNNING", "CONFIGURING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING")
LIVE = (*RUNNING, "PENDING", "COMPLETING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "STAGE_OUT")
_NOT_HERE = (
    "There is no `{program}` here, so this is no machine of a Slurm cluster. Log in to the cluster's login node, "
    "or run here without Slurm: `luigi --module workflows BuildDataset ... --local-scheduler`."
)
_FORMAT = "--format=%i|%T|%e|%N|%r|%j"
_NO_ANSWER = re.compile(
    r"unable to contact|connection refused|timed out|socket|zero bytes|munge|credential|communication", re.IGNORECASE
)


@dataclass(frozen=True)
class Job:
    """A job or array task that Slurm knows as pending or running.

    Attributes:
        id: `12`, or `12_3` for an array task.
        reason: why it waits.
        end: when its time is up; None if unlimited or not running.
    """

    id: str
    name: str
    state: str
    reason: str
    node: str
    end: datetime | None

    @property
    def runs(self) -> bool:
        """Whether it has nodes and a process at the moment."""
        return self.state in RUNNING


def has_slurm() -> bool:
    """Whether this is a machine from which jobs can be submitted."""
    return shutil.which("sbatch") is not None


def require_slurm() -> None:
    """Refuse before anything is downloaded where nothing can be submitted.

    Raises:
        SlurmUnavailable: the commands are not installed here.
    """
    if not has_slurm():
        raise SlurmUnavailable(_NOT_HERE.format(program="sbatch"))


def sbatch(script: Path, *options: str) -> str:
    """Submit a script; returns the job's id.

    Raises:
        SlurmUnavailable, SlurmRefused
    """
    answer = _run("sbatch", "--parsable", *options, str(script))
    return answer.strip().splitlines()[-1].split(";")[0]  # `id;cluster` where there are several clusters


def test_only(script: Path, *options: str) -> str:
    """What Slurm says it would do with the script; submits nothing.

    Raises:
        SlurmUnavailable, SlurmRefused
    """
    return _run("sbatch", "--test-only", *options, str(script), stderr=True).strip()


def jobs(*, names: Sequence[str] = (), ids: Sequence[str] = (), timeout: float = TIMEOUT_SECONDS) -> list[Job]:
    """The live jobs of these names or ids, every array task by itself.

    Raises:
        SlurmUnavailable: nobody can tell.
    """
    chosen = f"--name={','.join(names)}" if names else f"--jobs={','.join(ids)}"
    try:
        lines = _run("squeue", "--noheader", "--all", "--array", "--states=all", _FORMAT, chosen, timeout=timeout)
    except SlurmRefused as error:
        # Slurm has no code for it. Forgotten means over; any other trouble must not be taken for that.
        if "invalid job id" in str(error).lower():
            return []
        raise SlurmUnavailable(f"Slurm cannot tell what runs ({error}). Try again later; nothing is lost.") from error
    found = [_job(line) for line in lines.splitlines() if line.count("|") >= 5]
    return [job for job in found if job.state in LIVE]


def requeue(job: str) -> None:
    """Have a running job ended and started again later."""
    _run("scontrol", "requeue", job)


def exclude_nodes(job: str, nodes: Sequence[str]) -> None:
    """Keep the pending tasks of a job away from some nodes."""
    _run("scontrol", "update", f"JobId={job}", f"ExcNodeList={','.join(nodes)}")


def configuration(name: str) -> str | None:
    """A value of the cluster's configuration, as `MaxArraySize`; None if it is not told."""
    match = re.search(rf"^{name}\s*=\s*(\S+)", _run("scontrol", "show", "config"), re.MULTILINE)
    return match[1] if match else None


def sinfo(form: str, *, timeout: float = TIMEOUT_SECONDS) -> list[str]:
    """What sinfo says of the partitions, a line for each kind of node, in the format of its `--format`.

    Raises:
        SlurmUnavailable, SlurmRefused
    """
    return _run("sinfo", "--noheader", f"--format={form}", timeout=timeout).splitlines()


def submit_limits(qos: str | None) -> list[int]:
    """How many jobs the user may have at once, by each rule that accounting knows; none without accounting."""
    import getpass

    questions = [("assoc", f"user={getpass.getuser()}", "format=MaxSubmitJobs")]
    if qos is not None:
        questions.append(("qos", f"name={qos}", "format=MaxSubmitJobsPU"))
    try:
        said = "\n".join(_run("sacctmgr", "--noheader", "--parsable2", "show", *question) for question in questions)
    except (SlurmUnavailable, SlurmRefused):
        return []
    return [int(word) for word in said.split() if word.isdigit()]


def _job(line: str) -> Job:
    identifier, state, end, node, reason, name = line.split("|", 5)
    return Job(identifier, name, state, reason, node, _time(end))


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
    except ValueError:
        return None  # N/A, UNLIMITED, NONE


def _run(program: str, *arguments: str, stderr: bool = False, timeout: float = TIMEOUT_SECONDS) -> str:
    # Times in a form that can be read back, whatever the user likes to see.
    environment = {**for_commands(os.environ), "SLURM_TIME_FORMAT": "standard", "LC_ALL": "C.UTF-8"}
    if program == "squeue":
        environment["TZ"] = "UTC"  # local times are told twice in one night a year; sbatch would hand it to jobs
    try:
        done = subprocess.run(
            [program, *arguments],
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="surrogateescape",
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
        )
    except FileNotFoundError as error:
        raise SlurmUnavailable(_NOT_HERE.format(program=program)) from error
    except subprocess.TimeoutExpired as error:
        raise SlurmUnavailable(f"`{program}` has not answered for {timeout:.0f} s. Try again later.") from error
    if done.returncode:
        _refuse(program, done.stderr.strip())
    return done.stdout + (done.stderr if stderr else "")


def _refuse(program: str, said: str) -> None:
    if _NO_ANSWER.search(said):
        raise SlurmUnavailable(f"Slurm does not answer ({program}: {said}). Try again later; nothing is lost.")
    raise SlurmRefused(f"{program}: {said}")
