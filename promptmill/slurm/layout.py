"""Where a run keeps what concerns Slurm: `<run>/slurm/`.

submission.json           the latest submission: which jobs, which shards
000001/                   each submission's scripts, and the arguments that they read
logs/12_3.log             what array task 3 of job 12 said
tasks/12_3.json           its record: starts, rows, where, how each ended
claims/00007.json         who works on shard 7 (advice, not a lock)
nodes/n1.json             why a node cannot do this run
ended.json                why nothing is submitted any more
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from promptmill.run import RunFolder


@dataclass(frozen=True)
class SlurmFolder:
    """Paths below `<run>/slurm`."""

    path: Path

    @classmethod
    def of(cls, run: RunFolder) -> SlurmFolder:
        """The folder of a run."""
        return cls(run.path / "slurm")

    @property
    def submission(self) -> Path:
        """The latest submission."""
        return self.path / "submission.json"

    @property
    def logs(self) -> Path:
        """What jobs said."""
        return self.path / "logs"

    @property
    def tasks(self) -> Path:
        """One record an array task."""
        return self.path / "tasks"

    @property
    def claims(self) -> Path:
        """One note a shard."""
        return self.path / "claims"

    @property
    def nodes(self) -> Path:
        """One note a node that cannot do this run."""
        return self.path / "nodes"

    @property
    def ended(self) -> Path:
        """Why nothing is submitted any more."""
        return self.path / "ended.json"

    def scripts(self, number: int) -> Path:
        """Scripts and arguments of one submission."""
        return self.path / f"{number:06d}"

    def task(self, job: str) -> Path:
        """The record of one array task."""
        return self.tasks / f"{job}.json"

    def claim(self, shard: int) -> Path:
        """The note about one shard."""
        return self.claims / f"{shard:05d}.json"
