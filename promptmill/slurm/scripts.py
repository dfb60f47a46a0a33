"""The batch scripts of a submission: short, readable, and free of anything that a user typed.

What was typed travels in a JSON file beside the script, whose path is the one thing that is quoted.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from promptmill.errors import ConfigurationError
from promptmill.slurm.options import SlurmOptions
from promptmill.slurm.walltime import signal_seconds

_ARRAY = """\
#!/usr/bin/env bash
# Written by promptmill: an array that fills the shards of one run.
#SBATCH --job-name={name}
{wishes}
# Preempted or requeued, the job returns with its number and goes on where it was.
#SBATCH --requeue
#SBATCH --open-mode=append
# To the program itself (no B:), so long before the walltime; it commits until the end.
#SBATCH --signal=USR2@{signal}
set -u
# srun does not take this over from sbatch by itself since Slurm 22.05.
export SRUN_CPUS_PER_TASK="${{SLURM_CPUS_PER_TASK:-1}}"
{setup}
srun --kill-on-bad-exit=1 {python} -m promptmill.slurm.start {arguments}
code=$?
# 75: stopped, with work left. If that was the walltime, Slurm does not bring the job back by itself.
if [ "$code" -eq 75 ]; then {python} -m promptmill.slurm.after {arguments}; fi
exit "$code"
"""

_LAST = """\
#!/usr/bin/env bash
# Written by promptmill: runs when the array has ended, and assembles or submits what is missing.
#SBATCH --job-name={name}
{wishes}
#SBATCH --requeue
#SBATCH --open-mode=append
set -u
{setup}
exec srun --kill-on-bad-exit=1 {python} -m promptmill.slurm.start {arguments}
"""


def array_script(name: str, options: SlurmOptions, arguments: Path) -> str:
    """The script of the array; `arguments` is the JSON file that its tasks read."""
    return _ARRAY.format(
        name=name,
        wishes="\n".join(options.lines(gpus=True)),
        signal=signal_seconds(options.time_seconds),
        setup="\n".join(options.setup),
        python=shlex.quote(sys.executable),
        arguments=shlex.quote(str(arguments)),
    )


def last_script(name: str, options: SlurmOptions, arguments: Path) -> str:
    """The script of the job that runs after the array."""
    return _LAST.format(
        name=name,
        wishes="\n".join(options.lines(gpus=False)),
        setup="\n".join(options.setup),
        python=shlex.quote(sys.executable),
        arguments=shlex.quote(str(arguments)),
    )


def log_pattern(folder: Path, name: str) -> str:
    """A path of logs for --output, in which `name` is a pattern of Slurm's and the folder is none.

    Raises:
        ConfigurationError: the folder's path has a backslash, which Slurm takes for "no pattern".
    """
    if "\\" in str(folder):
        raise ConfigurationError(
            f"The run's path {str(folder)!r} has a backslash, which Slurm cannot write logs to. "
            "Name another folder with --data-dir."
        )
    return f"{str(folder).replace('%', '%%')}/{name}"
