"""What an array task does: one shard after the other, its own first, then those that nobody works on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from promptmill.clock import steady_time
from promptmill.errors import ConfigurationError, Interrupted, PromptmillError
from promptmill.files import read_json, write_json
from promptmill.hardware import available_cores
from promptmill.production import produce_shard
from promptmill.run import RunFolder
from promptmill.slurm.claims import AskJobs, Claims, ask_slurm
from promptmill.slurm.commands import exclude_nodes
from promptmill.slurm.environment import Place
from promptmill.slurm.errors import SlurmRefused, SlurmUnavailable
from promptmill.slurm.layout import SlurmFolder
from promptmill.slurm.record import MAX_BARREN_RESTARTS, Clock, OwnRecord, Reason
from promptmill.slurm.walltime import TimedStop, Walltime
from promptmill.stopping import Exit, StopRequest
from promptmill.tolerance import USUAL, Tolerance

logger = logging.getLogger(__name__)

CRASH_LOOP_CODE = 70
Produce = Callable[..., bool]
Exclude = Callable[[str, list[str]], None]


@dataclass(frozen=True)
class Filling:
    """How an array task fills shards.

    Attributes:
        own: the shards that the submission gave it, which it takes first.
    """

    own: tuple[int, ...] = ()
    batch_size: int | None = None
    checkpoint_seconds: float = 60.0
    tolerance: Tolerance = USUAL

    @classmethod
    def from_json(cls, value: dict[str, Any], own: tuple[int, ...]) -> Filling:
        """What `asdict` made, for an array task with these shards of its own."""
        return cls(**{**value, "own": own, "tolerance": Tolerance(**value.get("tolerance", {}))})


class ArrayTask:
    """One life of an array task.

    Args:
        ask: which of some jobs are live.
        exclude: keeps what waits of a job away from nodes.
        clock: of this node.
    """

    def __init__(
        self,
        run: RunFolder,
        place: Place,
        walltime: Walltime,
        stop: StopRequest,
        *,
        ask: AskJobs = ask_slurm,
        exclude: Exclude = exclude_nodes,
        clock: Clock = steady_time,
    ) -> None:
        self._run = run
        self._place = place
        self._walltime = walltime
        self._stop = TimedStop(stop, walltime)
        self._exclude = exclude
        self.record = OwnRecord(run, place, clock)
        self._claims = Claims(run, place.job, self.record.start.writer, ask)
        self._claims.release_all()

    def require_no_crash_loop(self) -> None:
        """Refuse to go on after two restarts in a row that committed nothing.

        Raises:
            PromptmillError: says so, for the log and `promptmill status`.
        """
        barren = self.record.before.barren_starts()
        if barren <= MAX_BARREN_RESTARTS:
            return
        last = next((start.error for start in reversed(self.record.before.starts) if start.error), None)
        because = f" The last error was: {last}" if last else " The walltime may be too short to load the model."
        error = (
            f"Array task {self._place.job} was started {barren} times and committed nothing, so it is not started "
            f"again.{because} Mend that, then run the same SubmitDataset command again."
        )
        self.record.end("crash loop", error)
        raise CrashLoop(error)

    def guarded(self, work: Callable[[], None]) -> None:
        """Run `work` and write down how it ended, whatever happens."""
        try:
            with self._stop.hearing_user_signal():
                work()
        except Interrupted:
            self.record.end("walltime" if self._at_walltime() else "told to stop")
            raise
        except (Exit, SystemExit, KeyboardInterrupt) as leaving:
            # A task that ends the process on an error leaves the error as the context of its exit;
            # a signal that comes while nothing is generated ends the process from wherever it is.
            if isinstance(leaving.__context__, PromptmillError):
                self._failed(leaving.__context__)
            else:
                self.record.end("walltime" if self._at_walltime() else "told to stop")
            raise
        except Exception as error:
            self._failed(error)
            raise

    def fill(self, filling: Filling, *, before_first: Callable[[], None], produce: Produce = produce_shard) -> None:
        """Fill shards until none is left that nobody works on.

        Args:
            before_first: called once there is something to do, before the first shard.

        Raises:
            Interrupted: told to stop, or the walltime is near; all that finished is committed.
        """
        ready = False
        while (shard := self._claims.take_next(filling.own)) is not None:
            if not ready:
                before_first()
                ready = True
            self._require_time()
            self._fill_one(shard, filling, produce)
        self.record.end("done")

    def _fill_one(self, shard: int, filling: Filling, produce: Produce) -> None:
        self.record.working_on(shard)
        try:
            done = produce(
                self._run,
                shard,
                batch_size=filling.batch_size,
                checkpoint_seconds=filling.checkpoint_seconds,
                processes=_sharers(self._place),
                stop=self._stop,
                tolerance=filling.tolerance,
                on_stall=self.record.stalled,
            )
        finally:
            self.record.worked()
            self._claims.release(shard)
        if not done:
            raise Interrupted("Stopped as told; the finished rows are committed, and this job goes on when it returns.")

    def _require_time(self) -> None:
        """Do not begin what cannot come to a first commit."""
        if self._stop.requested:
            raise Interrupted("The walltime is near; this job goes on when it returns.")

    def _at_walltime(self) -> bool:
        return self._walltime.is_near()

    def _failed(self, error: Exception) -> None:
        reason: Reason = "refused" if isinstance(error, ConfigurationError) else "failed"
        text = str(error) if isinstance(error, PromptmillError) else f"{type(error).__name__}: {error}"
        self.record.end(reason, text[:2000])
        if reason == "refused":
            refuse_node(self._run, self._place, text, self._exclude)


def _sharers(place: Place) -> int:
    """How many tasks like this one share the cores that we see: a cluster may not bind tasks to theirs."""
    return max(1, available_cores() // place.cpus) if place.cpus else 1


class CrashLoop(PromptmillError):
    """An array task was started again and again, and committed nothing."""

    exit_code = CRASH_LOOP_CODE


def refuse_node(run: RunFolder, place: Place, reason: str, exclude: Exclude = exclude_nodes) -> None:
    """Note that this node cannot do the run, and keep what is still waiting away from it."""
    folder = SlurmFolder.of(run)
    write_json(folder.nodes / f"{place.node}.json", {"node": place.node, "reason": reason, "at": time.time()})
    try:
        exclude(place.job.split("_")[0], refused_nodes(run))
    except (SlurmUnavailable, SlurmRefused) as error:
        logger.debug("No pending task was kept away from this node: %s", error)


def refused_nodes(run: RunFolder) -> list[str]:
    """The nodes that said that they cannot do this run."""
    values = (read_json(path) for path in sorted(SlurmFolder.of(run).nodes.glob("*.json")))
    return [value["node"] for value in values if isinstance(value, dict)]
