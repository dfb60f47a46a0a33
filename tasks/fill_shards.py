"""What an array task runs: load the model once, and fill shards until none is left that nobody works on."""

from __future__ import annotations

import os
import socket
from functools import partial

import luigi

from promptmill.production import produce_shard
from promptmill.progress import writer_name
from promptmill.slurm.claims import Claims
from promptmill.slurm.environment import Place, here
from promptmill.slurm.filling import ArrayTask
from promptmill.slurm.shards import missing_shards
from promptmill.slurm.submission import filling_of
from promptmill.slurm.walltime import Walltime, walltime_of
from promptmill.stopping import stop_request
from tasks.endpoint_parameters import EndpointParameters
from tasks.engine_stages import fetching_stages, ready_stage
from tasks.hardware_parameters import PlacementParameters
from tasks.parameters import integer
from tasks.prepare_prompts import PreparePrompts
from tasks.stage import Stage, target


class FillShards(PlacementParameters, EndpointParameters, Stage):
    """Fills several shards in one process; on a node of a cluster, or by hand on any machine."""

    submission = integer(default=0, description="Which submission's share to begin with. Default: 0, none.")

    def requires(self) -> list[luigi.Task]:
        """The model's files and the prompts, which the login node fetched."""
        return [self.clone(stage) for stage in (*fetching_stages(self.folder.settings), PreparePrompts)]

    def output(self) -> list[luigi.LocalTarget]:
        """The manifests of the shards that are still missing."""
        return [target(self.folder.shards / f"{shard:05d}.json") for shard in missing_shards(self.folder)]

    def complete(self) -> bool:
        """Whether no shard is left that nobody works on."""
        if not self.folder.prompts.exists():
            return False
        missing = missing_shards(self.folder)
        return not set(missing) - Claims(self.folder, self._where.job, writer_name()).taken(missing)

    def run(self) -> None:
        """Fill shard after shard until done, told to stop, or out of time."""
        place = self._where
        walltime = walltime_of(place.job) if here() else Walltime()
        task = ArrayTask(self.folder, place, walltime, stop_request)
        task.require_no_crash_loop()
        filling = filling_of(self.folder, self.submission, place.index)
        produce = partial(produce_shard, endpoint=self.endpoint_options)
        task.guarded(lambda: task.fill(filling, before_first=self._get_ready, produce=produce))

    @property
    def _where(self) -> Place:
        return here() or Place(writer_name(), "", 0, 0, socket.gethostname(), os.environ.get("CUDA_VISIBLE_DEVICES"))

    def _get_ready(self) -> None:
        # Not as a dependency: that would load the model where nothing is left to do, and what it
        # says about this node would not reach the record.
        stage = self.clone(ready_stage(self.folder.settings))
        if not stage.complete():
            stage.run()
