"""What `promptmill status` tells, as values that go to JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["complete", "running", "loading", "waiting", "stopped", "ended"]


@dataclass(frozen=True)
class ShardStates:
    """How many shards are in which state.

    Attributes:
        running: a process that lives is working on it.
        waiting: nobody works on it yet; somebody will, or the same command started again will.
        lost: its jobs have ended, so nobody will work on it until SubmitDataset is run again.
    """

    total: int
    done: int
    running: int
    waiting: int
    lost: int


@dataclass(frozen=True)
class ProcessRate:
    """One process that generates.

    Attributes:
        doing: as `shard 3 of 16`.
        quiet_seconds: since it last told anything.
    """

    node: str
    devices: str | None
    job: str | None
    doing: str
    rows: int
    tokens: int
    rows_per_second: float
    tokens_per_second: float
    quiet_seconds: float


@dataclass(frozen=True)
class ErrorLine:
    """Something that went wrong, and the file that tells more."""

    text: str
    log: str | None


@dataclass(frozen=True)
class RunStatus:
    """All of it.

    Attributes:
        state: complete; running; loading (no process has begun a shard yet); waiting (for Slurm);
            stopped (start the same command again); ended (it would not help to: see `reason`).
        rows, tokens: committed; tokens of unfinished shards are estimated.
        exact: whether `rows` was counted, not estimated from a sample of very many chunks.
        cost: of the tokens, in the money of the price that was named; None if none was.
        eta_seconds: at the rate of now, 0 once every row is there; None if nothing is generated.
        made_again: rows generated more than once, None outside of Slurm; while the run goes on
            this includes what is not committed yet.
        jobs: how many of Slurm's jobs are in which state; None if it does not answer.
    """

    run: str
    state: State
    reason: str | None
    shards: ShardStates
    rows_total: int
    rows: int
    exact: bool
    tokens: int
    cost: float | None
    tokens_per_second_now: float
    tokens_per_second_overall: float
    eta_seconds: float | None
    restarts: int
    preemptions: int
    made_again: int | None
    jobs: dict[str, int] | None
    processes: tuple[ProcessRate, ...]
    errors: tuple[ErrorLine, ...]
    refused_nodes: tuple[str, ...]
    published: str | None

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary, for scripts."""
        return asdict(self)
