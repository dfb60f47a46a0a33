"""Fill one shard: prompts to completions, committed chunk by chunk."""

from __future__ import annotations

import luigi

from promptmill.errors import Interrupted
from promptmill.production import produce_shard, shard_is_complete
from promptmill.slurm.walltime import stop_in_time
from promptmill.stopping import stop_request
from tasks.hardware_parameters import HardwareParameters
from tasks.parameters import integer
from tasks.place_model import PlaceModel
from tasks.stage import Stage, target


class GenerateShard(HardwareParameters, Stage):
    """Generates the rows of one shard that are not committed yet."""

    shard = integer(description="Number of the shard, from 0.")

    def requires(self) -> PlaceModel:
        """A model that is known to load here."""
        return self.clone(PlaceModel)

    def output(self) -> luigi.LocalTarget:
        """The shard's manifest."""
        return target(self.folder.shards / f"{self.shard:05d}.json")

    def complete(self) -> bool:
        """Whether the manifest is there and of this run."""
        return shard_is_complete(self.folder, self.shard)

    def run(self) -> None:
        """Generate until done or told to stop."""
        with stop_in_time(stop_request) as stop:
            done = produce_shard(
                self.folder,
                self.shard,
                batch_size=self.batch_size,
                checkpoint_seconds=self.checkpoint_seconds,
                processes=luigi.interface.core().workers,
                stop=stop,
            )
        if not done:
            raise Interrupted(
                "Stopped as told; the finished rows are committed. Start the same command again to go on."
            )
