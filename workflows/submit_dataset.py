"""Submit a run to Slurm once; it is preempted at will, and ends as a dataset."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import luigi

from promptmill.errors import ConfigurationError
from promptmill.run import RunFolder
from promptmill.slurm.commands import require_slurm
from promptmill.slurm.dry_run import dry_run
from promptmill.slurm.shards import missing_shards
from promptmill.slurm.submission import Plan, Submission, live_jobs, prepare, recorded_submission, submit
from tasks.assemble_dataset import AssembleDataset
from tasks.check_auth import CheckAuth
from tasks.engine_stages import check_options, fetching_stages
from tasks.hardware_parameters import HardwareParameters
from tasks.open_run import OpenRun
from tasks.parameters import Setting, switch
from tasks.prepare_prompts import PreparePrompts
from tasks.publish_dataset import PublishDataset, PublishParameters
from tasks.run_parameters import RunParameters
from tasks.stage import PromptmillTask, Stage
from tasks.submit_parameters import SlurmParameters

logger = logging.getLogger("promptmill")


class SubmitDataset(PublishParameters, HardwareParameters, RunParameters, SlurmParameters, PromptmillTask):
    """Does what needs the internet, submits an array and the job after it, and returns."""

    publish_to = Setting(
        default=None, significant=False, description="Dataset repo to publish to, as OWNER/NAME. Default: none."
    )
    allow_pickle = switch(significant=False, description="Accept weights that come as pickles alone.")
    dry_run = switch(significant=False, description="Write and show the scripts; submit nothing.")

    _shown = False

    def requires(self) -> OpenRun:
        """The run's record."""
        check_options(self)
        self.check_publishing()
        self.share_data()
        return self.clone(OpenRun)

    def output(self) -> luigi.Target:
        """What the job after the array leaves in the end."""
        return self._last_stage.output()

    def complete(self) -> bool:
        """Whether the dataset is there, or jobs that Slurm knows are on their way to it."""
        if self.dry_run:
            return self._shown
        return self.requires().complete() and (self._last_stage.complete() or bool(self._live()))

    def run(self) -> Iterator[Any]:
        """Ask the Hub, fetch the model, prepare the prompts; then submit."""
        plan = self._plan()
        if not self.dry_run:
            require_slurm()
            yield self._stage(CheckAuth)
        yield self._stage(PreparePrompts)
        if not self.dry_run:
            self.require_still_fitting(self._run)
            yield [self._stage(stage) for stage in fetching_stages(self._run.settings)]
        if self.dry_run:
            self._show(plan)
        else:
            submit(self._run, prepare(self._run, plan, missing_shards(self._run)))

    def say_where(self) -> None:
        """Tell the user what was submitted, and how to look."""
        if self._shown:
            return
        submission = recorded_submission(self._run)
        if self._last_stage.complete():
            logger.info("The dataset is complete: %s", self._run.dataset)
        elif submission is not None:
            _say(submission, self._run.path.as_posix())

    def _plan(self) -> Plan:
        if self.publish_every is not None:
            raise ConfigurationError(
                f"--publish-every is {self.publish_every}; an array publishes at its end. Leave it out, "
                "or publish what is complete by hand: `luigi --module workflows PublishSoFar ...`."
            )
        publishing = self._last_stage.to_str_params() if self.publish_to else None
        return Plan(
            self.slurm_options,
            self.batch_size,
            self.checkpoint_seconds,
            publishing,
            str(luigi.interface.core().log_level),
            (*self.placement_arguments, *self.endpoint_arguments),
            self.tolerance,
        )

    @property
    def _run(self) -> RunFolder:
        return self.requires().folder

    @cached_property
    def _last_stage(self) -> Stage:
        return self._stage(PublishDataset if self.publish_to else AssembleDataset)

    def _stage(self, stage: type[Stage]) -> Stage:
        return self.clone(stage, run_dir=str(self._run.path))

    def _live(self) -> list[object]:
        submission = recorded_submission(self._run)
        return [] if submission is None else list(live_jobs(submission))

    def _show(self, plan: Plan) -> None:
        for text in dry_run(self._run, plan):
            logger.info("%s", text)
        self._shown = True


def _say(submission: Submission, run: str) -> None:
    tasks, shards = len(submission.shards), sum(map(len, submission.shards))
    jobs = ",".join(submission.jobs)
    if tasks:
        logger.info(
            "Submitted: job %s, an array of %d tasks over %d shards; then job %s, which assembles and resubmits.",
            submission.jobs[0], tasks, shards, submission.jobs[-1],
        )  # fmt: skip
    else:
        logger.info("Submitted: job %s, which assembles the dataset; every shard is there.", jobs)
    logger.info("Look with:  promptmill status %s   or   squeue --jobs=%s", _shell(run), jobs)
    logger.info("End it with:  scancel %s   Committed rows stay; the same command goes on.", jobs.replace(",", " "))


def _shell(text: str) -> str:
    import shlex

    return shlex.quote(text)


@SubmitDataset.event_handler(luigi.Event.SUCCESS)
@SubmitDataset.event_handler(luigi.Event.DEPENDENCY_PRESENT)
def _say_where(task: SubmitDataset) -> None:
    task.say_where()
