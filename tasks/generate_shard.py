"""Fill one shard: prompts to completions, committed chunk by chunk."""

from __future__ import annotations

import multiprocessing
import time

import luigi

from promptmill.errors import Interrupted
from promptmill.production import produce_shard, shard_is_complete
from promptmill.progress import writer_name
from promptmill.slurm.claims import Claims
from promptmill.slurm.walltime import stop_in_time
from promptmill.stopping import StopRequest, stop_request
from tasks.announcing import Announcer
from tasks.engine_stages import ready_stage
from tasks.hardware_parameters import HardwareParameters
from tasks.parameters import integer
from tasks.process import end_as_interrupted
from tasks.stage import Stage, target


class GenerateShard(HardwareParameters, Stage):
    """Generates the rows of one shard that are not committed yet."""

    shard = integer(description="Number of the shard, from 0.")
    produce = staticmethod(produce_shard)

    def requires(self) -> Stage:
        """A model that is known to load here, or a server that has one."""
        return self.clone(ready_stage(self.folder.settings))

    def output(self) -> luigi.LocalTarget:
        """The shard's manifest."""
        return target(self.folder.shards / f"{self.shard:05d}.json")

    def complete(self) -> bool:
        """Whether the manifest is there and of this run."""
        return shard_is_complete(self.folder, self.shard)

    def run(self) -> None:
        """Generate until done or told to stop."""
        with stop_in_time(stop_request) as stop, Announcer(self) as tell:
            if multiprocessing.parent_process() is None:
                self._fill(self.shard, stop, tell)
            else:
                self._fill_with_others(stop, tell)

    def _fill_with_others(self, stop: StopRequest, tell: Announcer) -> None:
        """Fill this shard and then whatever nobody works on.

        With `--workers N` Luigi starts a process a task: it would load the model for every shard.
        """
        claims = Claims(self.folder, writer_name(), writer_name())
        while True:
            shard = claims.take_next([self.shard])
            if shard is not None:
                try:
                    self._fill(shard, stop, tell)
                finally:
                    claims.release(shard)
            elif self.complete():
                return
            elif stop.requested:
                raise _stopped()
            else:
                time.sleep(1)  # another process is at this very shard

    def _fill(self, shard: int, stop: StopRequest, tell: Announcer) -> None:
        done = self.produce(
            self.folder,
            shard,
            batch_size=self.batch_size,
            endpoint=self.endpoint_options,
            checkpoint_seconds=self.checkpoint_seconds,
            processes=luigi.interface.core().workers,
            stop=stop,
            tell=tell,
            tolerance=self.tolerance,
        )
        if not done:
            raise _stopped()


@GenerateShard.event_handler(luigi.Event.PROCESS_FAILURE)
def _child_ended(_: GenerateShard, said: str) -> None:
    """A child of `--workers N` that ended with 75 left work behind, and nothing is wrong with it."""
    if said.endswith(f" {Interrupted.exit_code}"):  # Luigi tells the code in words alone
        end_as_interrupted()


def _stopped() -> Interrupted:
    return Interrupted("Stopped as told; the finished rows are committed. Start the same command again to go on.")
