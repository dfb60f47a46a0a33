"""Have the model's files on disk, pinned to a commit."""

from __future__ import annotations

import luigi

from promptmill.model import pin_model, recorded_model
from promptmill.run import recorded_identity
from tasks.check_auth import CheckAuth
from tasks.parameters import switch
from tasks.stage import Stage, target


class DownloadModel(Stage):
    """Resolves the revision to a commit once a run, and downloads what is missing into the Hugging Face cache."""

    # Not significant: at a commit without safetensors it decides whether there is a run, never which bytes load.
    allow_pickle = switch(significant=False, description="Accept weights that come as pickles alone.")

    def requires(self) -> CheckAuth:
        """A yes from the Hub."""
        return self.clone(CheckAuth)

    def output(self) -> luigi.LocalTarget:
        """Which commit, where, and how large each file is."""
        return target(self.folder.model)

    def complete(self) -> bool:
        """Whether the pinned files are all there, as they were when they were verified."""
        pinned = recorded_model(self.folder.model)
        return pinned is not None and pinned.is_on_disk()

    def run(self) -> None:
        """Resolve, download, verify, write down."""
        settings = self.folder.settings
        run = self.folder
        identity = recorded_identity(run) if run.identity.exists() else None
        pin_model(
            settings.model,
            settings.revision,
            run.data,
            run.model,
            fixed=None if identity is None else identity.revision,
            fixed_base=None if identity is None else identity.base,
            allow_pickle=self.allow_pickle,
            remote_code=settings.trust_remote_code,
        )
