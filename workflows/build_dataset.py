"""Prompts and a model become a dataset, on disk or published."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import luigi

from promptmill.assemble import recorded_dataset
from promptmill.hub.looking import where_published
from promptmill.outcome import require_rows, told
from promptmill.production import all_shards_are_complete
from promptmill.report.attempt import have_report, verdict_on
from tasks.assemble_dataset import AssembleDataset
from tasks.check_auth import CheckAuth
from tasks.dry_run import show_what_is_asked
from tasks.engine_stages import check_options, fetching_stages, ready_stage
from tasks.hardware_parameters import HardwareParameters
from tasks.open_run import OpenRun
from tasks.parameters import Setting, switch
from tasks.prepare_prompts import PreparePrompts
from tasks.publish_dataset import PublishDataset, PublishParameters
from tasks.run_parameters import RunParameters
from tasks.stage import PromptmillTask, Stage

logger = logging.getLogger("promptmill")


class BuildDataset(PublishParameters, HardwareParameters, RunParameters, PromptmillTask):
    """The whole chain; started again after any kind of end, it does only what is missing."""

    publish_to = Setting(
        default=None, significant=False, description="Dataset repo to publish to, as OWNER/NAME. Default: none."
    )
    allow_pickle = switch(significant=False, description="Accept weights that come as pickles alone.")
    dry_run = switch(
        significant=False,
        description="Stop once the prompts are prepared, and log three of them as the model gets them.",
    )
    have_report = staticmethod(have_report)
    prompts_are_shown = False

    def requires(self) -> OpenRun:
        """The run's record."""
        check_options(self)
        self.check_publishing()
        self.share_data()
        return self.clone(OpenRun)

    def output(self) -> luigi.Target:
        """What the last stage leaves."""
        return self._last_stage().output()

    def complete(self) -> bool:
        """Whether the dataset of these very settings is done, and published if asked for; errors alone are none."""
        if self.dry_run:
            return self.prompts_are_shown
        if not (self.requires().complete() and self._last_stage().complete()):
            return False
        require_rows(self.requires().folder)
        return True

    def run(self) -> Iterator[Any]:
        """The Hub's leave first, then everything."""
        run = self.requires().folder
        fetching = [self._stage(stage) for stage in fetching_stages(run.settings)]
        if self.dry_run:
            yield [self._stage(PreparePrompts), *fetching]
            show_what_is_asked(run)
            self.prompts_are_shown = True
            return
        yield self._stage(CheckAuth)
        if self.publish_to:
            yield self._stage(PreparePrompts)
            self.require_still_fitting(run)
            yield fetching
            if not all_shards_are_complete(run):
                yield self._stage(ready_stage(run.settings))
                self.require_still_fitting(run)
        yield [self._stage(PreparePrompts), *fetching]
        yield self._last_stage()

    def say_where(self) -> None:
        """Tell the user what there is now."""
        if self.dry_run:
            return
        run = self.requires().folder
        dataset = recorded_dataset(run)
        if dataset is not None:
            logger.info("The dataset is complete: %s", told(run, dataset))
            if run.report.is_file():
                logger.info("%sThe report: %s", verdict_on(run), run.report)
        last = self._last_stage()
        if isinstance(last, PublishDataset) and (found := last.look()).published:
            logger.info("%s", where_published(run, found.unseen))

    def _last_stage(self) -> Stage:
        return self._stage(PublishDataset if self.publish_to else AssembleDataset)

    def _stage(self, stage: type[Stage]) -> Stage:
        return self.clone(stage, run_dir=str(self.requires().folder.path))


@BuildDataset.event_handler(luigi.Event.SUCCESS)
def _say_where(task: BuildDataset) -> None:
    task.say_where()


@BuildDataset.event_handler(luigi.Event.DEPENDENCY_PRESENT)
def _say_where_it_was(task: BuildDataset) -> None:
    task.have_report(task.requires().folder)
    task.say_where()
