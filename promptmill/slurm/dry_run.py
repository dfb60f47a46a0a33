"""Showing what would be submitted."""

from __future__ import annotations

from collections.abc import Iterator

from promptmill.run import RunFolder
from promptmill.slurm.commands import test_only
from promptmill.slurm.errors import SlurmRefused, SlurmUnavailable
from promptmill.slurm.packing import DEFAULT_MAX_ARRAY_SIZE, most_tasks
from promptmill.slurm.shards import missing_shards
from promptmill.slurm.submission import Plan, Script, prepare, scripts


def dry_run(run: RunFolder, plan: Plan) -> Iterator[str]:
    """Write the scripts of the next submission, submit nothing; yields each with what Slurm says to it."""
    wanted = plan.options.max_parallel
    try:
        most = most_tasks(wanted, plan.options.qos)
    except SlurmUnavailable as error:
        most = min(wanted, DEFAULT_MAX_ARRAY_SIZE)
        yield f"Slurm was not asked for its limits: {error}"
    submission = prepare(run, plan, missing_shards(run), most=most)
    for script in scripts(run, submission):
        yield f"{script.path}, to be submitted with {' '.join(script.options)}:\n{script.path.read_text('utf-8')}"
        yield f"sbatch --test-only: {_verdict(script)}"


def _verdict(script: Script) -> str:
    try:
        return test_only(script.path, *script.options)
    except (SlurmRefused, SlurmUnavailable) as error:
        return str(error)
