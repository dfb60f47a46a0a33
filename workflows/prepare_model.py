"""A model is fetched where there is internet, for jobs that run where there is none."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import luigi

from promptmill.hub.auth import check_access
from promptmill.model import checked_model, have_model, is_at_hand, kind_of
from tasks.parameters import switch
from tasks.run_parameters import RunParameters
from tasks.stage import PromptmillTask

logger = logging.getLogger("promptmill")


class PrepareModel(PromptmillTask):
    """CheckAuth and DownloadModel alone; BuildDataset with the same model then needs no internet for it."""

    model = RunParameters.model
    revision = RunParameters.revision
    trust_remote_code = RunParameters.trust_remote_code
    data_dir = RunParameters.data_dir
    allow_pickle = switch(significant=False, description="Accept weights that come as pickles alone.")

    def output(self) -> list[luigi.Target]:
        """Nothing of its own: the record is named by the commit, which only the Hub knows."""
        return []

    def complete(self) -> bool:
        """Whether a commit that was fetched for this revision is on disk."""
        model = checked_model(self.model)
        return is_at_hand(model, self.revision, Path(self.data_dir), remote_code=self.trust_remote_code)

    def run(self) -> None:
        """Ask, download, verify, write down."""
        model = checked_model(self.model)
        check_access(model if kind_of(model) == "hub" else None, None, now=time.time())
        fetched = have_model(
            model,
            self.revision,
            Path(self.data_dir),
            allow_pickle=self.allow_pickle,
            remote_code=self.trust_remote_code,
        )
        logger.info("%s is on this disk, commit %s, in %s", fetched.model, fetched.revision, fetched.folder)
