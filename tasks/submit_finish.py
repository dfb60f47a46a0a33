"""What runs after the array: assemble and publish, or submit the shards that are missing."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import luigi

from promptmill.assemble import recorded_dataset
from promptmill.outcome import require_rows
from promptmill.slurm.finishing import Resubmitted, finish
from promptmill.slurm.submission import recorded_submission
from tasks.publish_dataset import PublishDataset
from tasks.stage import Stage, target

logger = logging.getLogger("promptmill")


class FinishDataset(Stage):
    """Judges by the targets, not by how the jobs ended."""

    _resubmitted: Resubmitted | None = None

    def output(self) -> luigi.LocalTarget:
        """What the last stage leaves."""
        publishing = self._publishing()
        return publishing.output() if publishing else target(self.folder.dataset_manifest)

    def complete(self) -> bool:
        """Whether all is done, or in the hands of another submission."""
        if self._resubmitted is not None:
            return True
        publishing = self._publishing()
        return publishing.complete() if publishing else recorded_dataset(self.folder) is not None

    def run(self) -> Iterator[Stage]:
        """The dataset if every shard is there, else the missing shards once more."""
        self._resubmitted = finish(self.folder)
        if self._resubmitted is not None:
            jobs = ", ".join(self._resubmitted.submission.jobs)
            logger.info("%d shards are missing; submitted again as job %s.", self._resubmitted.shards, jobs)
            return
        require_rows(self.folder)
        logger.info("The dataset is complete: %s", self.folder.dataset)
        publishing = self._publishing()
        if publishing is not None:
            yield publishing

    def _publishing(self) -> PublishDataset | None:
        submission = recorded_submission(self.folder)
        if submission is None or submission.plan.publishing is None:
            return None
        return PublishDataset.from_str_params({**submission.plan.publishing, "run_dir": self.run_dir})
