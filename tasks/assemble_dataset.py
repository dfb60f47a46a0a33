"""Verify the shards and lay out the dataset."""

from __future__ import annotations

from collections.abc import Iterator

import luigi

from promptmill.assemble import assemble, recorded_dataset
from promptmill.plan import recorded_manifest
from promptmill.report.attempt import attempt_report
from tasks.announcing import link_to
from tasks.engine_stages import fetching_stages
from tasks.generate_shard import GenerateShard
from tasks.hardware_parameters import HardwareParameters
from tasks.prepare_prompts import PreparePrompts
from tasks.stage import Stage, target


class AssembleDataset(HardwareParameters, Stage):
    """Generates all shards, then writes Parquet files, card and manifest."""

    write_report = staticmethod(attempt_report)

    def requires(self) -> list[luigi.Task]:
        """The prompts, which say how many shards there are; and the model, fetched where the internet is."""
        return [self.clone(stage) for stage in (PreparePrompts, *fetching_stages(self.folder.settings))]

    def output(self) -> luigi.LocalTarget:
        """The manifest of the dataset."""
        return target(self.folder.dataset_manifest)

    def complete(self) -> bool:
        """Whether the manifest is there, and every file that it lists in its full length."""
        return recorded_dataset(self.folder) is not None

    def run(self) -> Iterator[list[GenerateShard]]:
        """All shards, then the dataset; shards that turn out damaged once more."""
        yield self._shards()
        if assemble(self.folder, self.write_report):
            # The damaged ones now count as unfinished: Luigi runs them, then this method from its top.
            yield self._shards()
        link_to(self, self.folder.report)

    def _shards(self) -> list[GenerateShard]:
        count = len(recorded_manifest(self.folder).shards)
        return [self.clone(GenerateShard, shard=shard) for shard in range(count)]
