"""What a user may ask of Slurm, checked before a script is written."""

from __future__ import annotations

import re
import shlex
from dataclasses import asdict, dataclass
from typing import Any

from promptmill.errors import ConfigurationError

_WORD = re.compile(r"[^\s'\"\\#]+")
_TIME = re.compile(r"(\d+-)?\d+(:\d+){0,2}")
_OURS = ("array", "dependency", "output", "error", "parsable", "requeue", "signal", "open-mode", "job-name", "wrap")


@dataclass(frozen=True)
class SlurmOptions:
    """One job's wishes; None leaves it to the cluster's default.

    Attributes:
        cpu_partition: where the last job goes, which needs no GPU; None for `partition`.
        time: walltime as Slurm writes it: minutes, MM:SS, HH:MM:SS, D-HH:MM:SS.
        max_parallel: how many array tasks there are at most.
        sbatch_args: further options of sbatch, split as a shell would.
        setup: shell lines that run before Python starts, such as `module load cuda`.
        resubmissions: how often the last job may submit what is missing.
    """

    partition: str | None = None
    cpu_partition: str | None = None
    account: str | None = None
    qos: str | None = None
    gpus_per_task: int = 1
    cpus_per_task: int = 1
    mem: str | None = None
    time: str | None = None
    max_parallel: int = 8
    constraint: str | None = None
    sbatch_args: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    resubmissions: int = 20

    def __post_init__(self) -> None:
        for name in ("partition", "cpu_partition", "account", "qos", "mem", "constraint"):
            _require_word(name, getattr(self, name))
        if self.time is not None and not _TIME.fullmatch(self.time):
            raise ConfigurationError(f"--time is {self.time!r}; write it as Slurm does: 90, 4:00:00 or 1-12:00:00.")
        least = {"gpus_per_task": 0, "cpus_per_task": 1, "max_parallel": 1, "resubmissions": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise ConfigurationError(f"--{_dashed(name)} is {getattr(self, name)}; it has to be {low} or more.")
        for argument in self.sbatch_args:
            _require_argument(argument)

    @property
    def time_seconds(self) -> int | None:
        """The walltime in seconds."""
        if self.time is None:
            return None
        days, _, rest = self.time.rpartition("-")
        fields = [int(field) for field in rest.split(":")]
        if days:  # D-H, D-H:M, D-H:M:S
            hours, minutes, seconds = [*fields, 0, 0][:3]
            return int(days) * 86400 + hours * 3600 + minutes * 60 + seconds
        if len(fields) == 3:
            return fields[0] * 3600 + fields[1] * 60 + fields[2]
        return fields[0] * 60 + (fields[1] if len(fields) == 2 else 0)

    def lines(self, *, gpus: bool) -> list[str]:
        """The #SBATCH lines of a job, with or without GPUs."""
        partition = self.partition if gpus else (self.cpu_partition or self.partition)
        wishes = {
            "partition": partition,
            "account": self.account,
            "qos": self.qos,
            "mem": self.mem,
            "time": self.time,
            "cpus-per-task": str(self.cpus_per_task) if gpus else "1",
        }
        if gpus:
            wishes["constraint"] = self.constraint
            wishes["gres"] = f"gpu:{self.gpus_per_task}" if self.gpus_per_task else None
        chosen = [f"#SBATCH --{name}={value}" for name, value in wishes.items() if value is not None]
        return chosen + [f"#SBATCH {_quoted(argument)}" for argument in self.sbatch_args]

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary; `from_json` gives the same options back."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> SlurmOptions:
        """What `to_json` wrote."""
        return cls(**{**value, "sbatch_args": tuple(value["sbatch_args"]), "setup": tuple(value["setup"])})


def split_arguments(text: str) -> tuple[str, ...]:
    """`--sbatch-args` as a list, split as a shell would."""
    return tuple(shlex.split(text))


def _require_word(name: str, value: str | None) -> None:
    if value is not None and not _WORD.fullmatch(value):
        raise ConfigurationError(
            f"--{_dashed(name)} is {value!r}; Slurm's names have no spaces, quotes or backslashes. "
            "See `sinfo` for partitions and `sacctmgr show assoc user=$USER` for accounts."
        )


def _require_argument(argument: str) -> None:
    if not argument.startswith("-") or not argument.isprintable():
        raise ConfigurationError(
            f"--sbatch-args has {argument!r}; give options with their value after an equals sign, in one line, "
            "as in --sbatch-args '--nice=100 --mail-type=END'."
        )
    name = argument.lstrip("-").split("=")[0]
    if name in _OURS:
        raise ConfigurationError(f"--sbatch-args has --{name}, which promptmill sets itself. Leave it out.")


def _quoted(argument: str) -> str:
    """As sbatch reads it from a script: it knows double quotes and backslashes, but is no shell."""
    if _WORD.fullmatch(argument):
        return argument
    return '"' + argument.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _dashed(name: str) -> str:
    return name.replace("_", "-")
