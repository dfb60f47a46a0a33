"""Who works on which shard: a note that is believed only as long as Slurm says that its job runs.

A claim is advice, not a lock. Lost, torn or ignored, it costs work done twice, never a row: chunks
of two processes do not disturb each other, and readers take each row once.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from promptmill.files import create_json, read_json, storage_errors, write_json
from promptmill.progress import is_of_this_machine, writer_is_gone
from promptmill.run import RunFolder
from promptmill.slurm.commands import Job, jobs
from promptmill.slurm.errors import SlurmRefused, SlurmUnavailable
from promptmill.slurm.layout import SlurmFolder
from promptmill.slurm.shards import changed, chunks_of, missing_shards

logger = logging.getLogger(__name__)

# Where Slurm does not answer, a shard whose files have not changed for so long is taken for deserted.
DESERTED_SECONDS = 900.0

_JOB = re.compile(r"\d+(_\d+)?")
AskJobs = Callable[[Sequence[str]], list[Job]]


@dataclass(frozen=True)
class Claim:
    """An array task says that it works on a shard."""

    shard: int
    job: str
    writer: str
    since: float


def ask_slurm(ids: Sequence[str]) -> list[Job]:
    """The live ones of these jobs."""
    return jobs(ids=ids)


class Claims:
    """The notes of one run, as one array task sees them.

    Args:
        job: id of the array task that asks.
        ask: which of some jobs are live; raises SlurmUnavailable.
    """

    def __init__(self, run: RunFolder, job: str, writer: str, ask: AskJobs = ask_slurm) -> None:
        self._run = run
        self._folder = SlurmFolder.of(run)
        self._job = job
        self._writer = writer
        self._ask = ask

    def taken(self, shards: Iterable[int]) -> set[int]:
        """Those of the shards that another array task is working on at this moment."""
        claims = [claim for shard in shards if (claim := read_claim(self._folder, shard)) and claim.job != self._job]
        if not claims:
            return set()
        # Somebody may fill shards by hand, on a machine that Slurm knows nothing of.
        asked = sorted({claim.job for claim in claims if _JOB.fullmatch(claim.job)})
        try:
            running = {job.id for job in self._ask(asked) if job.runs} if asked else set()
        except (SlurmUnavailable, SlurmRefused):
            asked, running = [], set()
        return {claim.shard for claim in claims if claim.job in running or self._deserves_belief(claim, asked)}

    def of_neighbour(self, shard: int) -> Claim | None:
        """The claim of another process of this machine that is working on the shard at this moment; else None."""
        claim = read_claim(self._folder, shard)
        if claim is None or claim.job == self._job or not is_of_this_machine(claim.writer):
            return None
        return claim if self._looks_alive(claim) else None

    def take_next(self, own: Sequence[int]) -> int | None:
        """Take one of the missing shards that nobody works on, one's own first; None if there is none."""
        while True:
            missing = missing_shards(self._run)
            free = set(missing) - self.taken(missing)
            order = [shard for shard in own if shard in free]
            # From the far end of the others' shares: they begin at the near one.
            order += sorted(free - set(own), reverse=True)
            if not order:
                return None
            if self.take(order[0]):
                if order[0] not in own:
                    logger.info("Shard %d is nobody's at the moment; it is filled here.", order[0])
                return order[0]

    def take(self, shard: int) -> bool:
        """Note that this task works on the shard; False if another was quicker."""
        mine = Claim(shard, self._job, self._writer, time.time())
        path = self._folder.claim(shard)
        if create_json(path, asdict(mine)):
            return True
        old = read_claim(self._folder, shard)
        if old is not None and old.job != self._job and self.taken([shard]):
            return False
        write_json(path, asdict(mine))
        return True

    def release(self, shard: int) -> None:
        """Take the note back, if it is this task's own."""
        claim = read_claim(self._folder, shard)
        if claim is not None and claim.job == self._job:
            path = self._folder.claim(shard)
            with storage_errors(path):
                path.unlink(missing_ok=True)

    def release_all(self) -> None:
        """Take back what an earlier life of this task left."""
        for path in self._folder.claims.glob("*.json"):
            self.release(int(path.stem))

    def _deserves_belief(self, claim: Claim, asked: list[str]) -> bool:
        """Whether a claim that Slurm has not judged is of a process whose files still change."""
        return claim.job not in asked and self._looks_alive(claim)

    def _looks_alive(self, claim: Claim) -> bool:
        if writer_is_gone(claim.writer):
            return False
        files = [self._run.progress / f"{claim.writer}.json", *chunks_of(self._run, claim.shard)]
        latest = max([claim.since, *(changed(path) for path in files)])
        # A time to come is that of a clock which was set back since: it would be believed for as long.
        return abs(time.time() - latest) < DESERTED_SECONDS


def read_claim(folder: SlurmFolder, shard: int) -> Claim | None:
    """The note about a shard; None if nobody took it."""
    value = read_json(folder.claim(shard))
    return Claim(**value) if isinstance(value, dict) else None
